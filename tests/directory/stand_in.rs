//! A directory server on the wire that means no good: each [`Mode`] is one way to answer wrongly, late or never. It
//! counts what it was asked. It speaks no TLS, and refuses to know what would be right, except in [`Mode::Well`].
//!
//! ```text
//! let stand_in = StandIn::start(vec![Entry::person("juliet")]);
//! stand_in.set(Mode::Silent);                            // what is asked from now on is not answered
//! assert_eq!(stand_in.binds(), [(JULIET, "pencil")]);
//! ```

mod answer;
mod asked;
mod tell;
#[cfg(test)]
mod tests;

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use asked::{Filter, Search};
pub use tell::COOKIE;

/// How it answers. It may be changed at any time, for what is asked from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As it should.
    Well,
    /// It reads, and says nothing.
    Silent,
    /// As it should, each time so late.
    Slow(Duration),
    /// It closes the connection when it is asked to bind anybody, or anybody but the service.
    ClosesInBind(Who),
    /// It closes the connection when it is asked to change a password (RFC 3062), or an entry.
    ClosesInChange,
    /// It says the first half of its answer to a bind and closes the connection.
    CutsAnswers,
    /// Bytes that are no BER.
    Garbage,
    /// Of the results of a search there is no end.
    Endless,
    /// "Ask there", and there is here.
    Referrals,
    /// A search finds nothing but references to itself.
    References,
    /// A search finds what it should, behind so many references to itself.
    RefersOften(usize),
    /// A search finds one reference (RFC 4511 section 4.5.3), to any of these ports; 0 is an address of another protocol.
    RefersToAny([u16; 3]),
    /// A search finds a reference to each of these ports.
    RefersToEach([u16; 2]),
    /// A search finds one to this port, with this behind it (RFC 4516): `base?attributes?scope?filter`.
    RefersWith(u16, &'static str),
    /// A search finds one to this port, with a filter of so many parentheses in parentheses.
    RefersDeeply(u16, usize),
    /// It says nothing when it is asked to bind anybody but the service.
    SilentInBinds,
    /// Answers to what nobody asked.
    WrongIds,
    /// It begins a message of two gigabytes and goes on with it.
    HugeLength,
    /// A message of elements in elements in elements.
    Nested,
    /// Entries have a name and nothing else.
    WithoutAttributes,
    /// Each entry is found twice, the second time elsewhere.
    Twins,
    /// What it finds is not below the base that was named, and somebody with everybody's password.
    OtherBase,
    /// StartTLS is not to be had.
    RefusesStartTls,
    /// A notice of disconnection (RFC 4511 section 4.4.1) instead of an answer, and the end of the connection.
    Disconnects,
    /// This result, whatever is asked: 51 busy, 52 unavailable, 53 unwilling, 1 operations error.
    Result(u8),
    /// As it should, and it tells of changes (RFC 4533): of everybody first, with a state that is no text; then nothing.
    Tells,
    /// It knows no state that it is shown: e-syncRefreshRequired (RFC 4533 section 2.6).
    TellsAnew,
    /// It is just stopping: unavailable (52), to who wants to be told.
    TellsNotNow,
    /// It dies after the first of those of whom it would tell.
    TellsHalf,
    /// Of those of whom it tells there is no end.
    TellsEndlessly,
    /// What it tells is no message of RFC 4533's.
    TellsGarbage,
    /// It tells of nobody, and that this is everybody.
    TellsOfNobody,
    /// The same of the first.
    TellsOfOne,
    /// As it should; to who shows a state, that everybody is as they were.
    TellsOfNoChange,
    /// As it should; but who tries the password of this person hears that it is unavailable (52).
    BusyOf(&'static str),
    /// As it should; but what changes an entry waits until it is to answer otherwise.
    HoldsChanges,
    /// As it should; but who looks for several at once hears what was so then when it is to answer otherwise.
    HoldsLooks,
    /// As it should; but it wants no new password (19), and changes an entry once: then nobody may any more (50).
    ChangesOnce,
    /// As it should; but the password of this person is wrong (49).
    WrongOf(&'static str),
    /// One entry at a time to who asks for pages (RFC 2696), each so late.
    PagesOfOne(Duration),
    /// A group has ever more members behind those that were given, as Active Directory gives them.
    EndlessRanges,
    /// Binds succeed, whatever the password: RFC 4513 section 5.1.2 lets a server do so for an empty one.
    LetsAnybodyIn,
}

/// Whose binds are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Everybody,
    Users,
}

/// What there is to be found.
#[derive(Clone, Debug)]
pub struct Entry {
    pub dn: String,
    pub attributes: Vec<(String, String)>,
}

impl Entry {
    /// Somebody like those of the sample.
    pub fn person(name: &str) -> Entry {
        let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Entry {
            dn: format!("uid={name},ou=people,dc=verona,dc=example"),
            attributes: vec![
                attribute("objectClass", "inetOrgPerson"),
                attribute("uid", name),
                attribute("cn", name),
                attribute("displayName", name),
                attribute("mail", &format!("{name}@verona.example")),
                attribute("entryUUID", &format!("00000000-0000-0000-0000-{name:0>12}")),
            ],
        }
    }
}

/// A server; it ends with the test. It lets people of its entries in by [`crate::slapd::PASSWORD`], and the service.
pub struct StandIn {
    pub port: u16,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    mode: Mutex<Mode>,
    /// Whether it says that it can tell of changes.
    tells: Mutex<bool>,
    /// What it is called, and how many changes it has counted, as Active Directory says it.
    counted: Mutex<Option<(String, u64)>>,
    /// What it is called instead on a connection behind a search, until that was said.
    behind: Mutex<Option<String>>,
    entries: Mutex<Arc<Vec<Entry>>>,
    port: u16,
    /// Those who are told of changes, and the number of what they asked.
    told: Mutex<Vec<(TcpStream, u32)>>,
    /// Looks that it has held.
    held: AtomicUsize,
    ends: AtomicBool,
    sockets: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
    sent: AtomicUsize,
    binds: Mutex<Vec<(String, String)>>,
    searches: Mutex<Vec<Search>>,
    extended: Mutex<Vec<String>>,
    modified: Mutex<Vec<Vec<u8>>>,
}

impl StandIn {
    pub fn start(entries: Vec<Entry>) -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            mode: Mutex::new(Mode::Well),
            tells: Mutex::new(false),
            counted: Mutex::default(),
            behind: Mutex::default(),
            entries: Mutex::new(Arc::new(entries)),
            port,
            told: Mutex::default(),
            held: AtomicUsize::new(0),
            ends: AtomicBool::new(false),
            sockets: Mutex::default(),
            connections: AtomicUsize::new(0),
            sent: AtomicUsize::new(0),
            binds: Mutex::default(),
            searches: Mutex::default(),
            extended: Mutex::default(),
            modified: Mutex::default(),
        });
        let own = Arc::clone(&shared);
        StandIn {
            port,
            shared,
            listener: Some(thread::spawn(move || accept(&listener, &own))),
        }
    }

    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// What is asked from now on is answered like this.
    pub fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    /// It says that it can tell of changes.
    pub fn offer_to_tell(&self) {
        *self.shared.tells.lock().unwrap() = true;
    }

    /// There is this to be found from now on; nobody is told.
    pub fn have(&self, entries: Vec<Entry>) {
        *self.shared.entries.lock().unwrap() = Arc::new(entries);
    }

    /// Who is told of changes hears that this entry is there, by a number of its own: those that were there at first have
    /// theirs in their order, from 0 on.
    pub fn tell_of(&self, number: u32, entry: &Entry) {
        self.shared.tell(number, entry, tell::IS_ADDED);
    }

    /// The same of one that is not there any more.
    pub fn tell_gone(&self, number: u32, entry: &Entry) {
        self.shared.tell(number, entry, tell::IS_DELETED);
    }

    /// How many looks it has held.
    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::SeqCst)
    }

    /// It says that it is this server of an Active Directory, and has counted so many changes.
    pub fn count(&self, server: &str, changes: u64) {
        *self.shared.counted.lock().unwrap() = Some((server.to_owned(), changes));
    }

    /// Who has searched is with another server, until they have asked with which.
    pub fn fail_over_behind_searches(&self, other: &str) {
        *self.shared.behind.lock().unwrap() = Some(other.to_owned());
    }

    /// The states that it was shown by who wants to be told of changes; empty is none.
    pub fn cookies(&self) -> Vec<Vec<u8>> {
        let searches = self.searches();
        searches
            .into_iter()
            .filter_map(|search| search.cookie)
            .collect()
    }

    /// Closes all its connections; new ones are accepted.
    pub fn cut(&self) {
        for socket in self.shared.sockets.lock().unwrap().drain(..) {
            // It may be closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many bytes were taken from it.
    pub fn sent(&self) -> usize {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// The names and passwords by which somebody tried to bind; of SASL, its mechanism.
    pub fn binds(&self) -> Vec<(String, String)> {
        self.shared.binds.lock().unwrap().clone()
    }

    pub fn searches(&self) -> Vec<Search> {
        self.shared.searches.lock().unwrap().clone()
    }

    /// What entries were to be changed into, as it came: the contents of a ModifyRequest (RFC 4511 section 4.6).
    pub fn modified(&self) -> Vec<Vec<u8>> {
        self.shared.modified.lock().unwrap().clone()
    }

    /// The object identifiers of extended operations.
    pub fn extended(&self) -> Vec<String> {
        self.shared.extended.lock().unwrap().clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        // Whoever waits for a connection gets one.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        self.cut();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept() {
        if shared.ends.load(Ordering::SeqCst) {
            return;
        }
        let clone = socket.try_clone().unwrap();
        shared.sockets.lock().unwrap().push(clone);
        // Whoever counts them may cut them.
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // An error is the end of the connection, which is what many modes come to.
            let _ = answer::serve(&socket, &shared);
            let _ = socket.shutdown(Shutdown::Both);
        });
    }
}
