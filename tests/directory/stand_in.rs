//! A directory server on the wire that means no good: each [`Mode`] is one way to answer wrongly, late or never. It
//! counts what it was asked. It speaks no TLS, and refuses to know what would be right, except in [`Mode::Well`].
//!
//! ```text
//! let stand_in = StandIn::start(vec![Entry::person("juliet")]);
//! stand_in.set(Mode::Silent);                            // what is asked from now on is not answered
//! assert_eq!(stand_in.binds(), [(JULIET, "pencil")]);
//! ```

use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::ber::{self, ENUMERATED, Element, INTEGER, OCTETS, SEQUENCE, SET};
use crate::slapd::{PASSWORD, SERVICE, SERVICE_PASSWORD};

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
    /// It dies after the first of those of whom it would tell.
    TellsHalf,
    /// Of those of whom it tells there is no end.
    TellsEndlessly,
    /// What it tells is no message of RFC 4533's.
    TellsGarbage,
    /// It tells of nobody, and that this is everybody.
    TellsOfNobody,
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

/// A server; it ends with the test. It lets people of its entries in by [`PASSWORD`], and the service.
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
    entries: Vec<Entry>,
    port: u16,
    ends: AtomicBool,
    sockets: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
    sent: AtomicUsize,
    binds: Mutex<Vec<(String, String)>>,
    searches: Mutex<Vec<Search>>,
    extended: Mutex<Vec<String>>,
    modified: Mutex<Vec<Vec<u8>>>,
}

/// A search that it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    pub base: String,
    pub filter: Filter,
    /// The state that was shown with a request to be told of changes; empty if there was none.
    pub cookie: Option<Vec<u8>>,
}

/// A filter as it came (RFC 4511 section 4.5.1.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Equal(String, String),
    /// As numbers, where both are.
    AtLeast(String, String),
    Present(String),
    /// By a matching rule: here it is no other than being equal.
    Rule {
        rule: String,
        name: String,
        value: String,
    },
    /// One that it does not understand, by its tag: nothing is like it.
    Other(u8),
}

impl StandIn {
    pub fn start(entries: Vec<Entry>) -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            mode: Mutex::new(Mode::Well),
            tells: Mutex::new(false),
            counted: Mutex::default(),
            entries,
            port,
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

    /// It says that it is this server of an Active Directory, and has counted so many changes.
    pub fn count(&self, server: &str, changes: u64) {
        *self.shared.counted.lock().unwrap() = Some((server.to_owned(), changes));
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
            let _ = serve(&socket, &shared);
            let _ = socket.shutdown(Shutdown::Both);
        });
    }
}

/// A message that is to be answered: RFC 4511 section 4.1.1.
struct Asked<'a> {
    socket: &'a TcpStream,
    shared: &'a Shared,
    id: u32,
    /// Of a search that asks to be told of changes.
    cookie: Option<Vec<u8>>,
}

fn serve(socket: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut from = socket;
    while let Some(message) = ber::read(&mut from)? {
        let parts = ber::parts(&message.content);
        let asked = Asked {
            socket,
            shared,
            id: ber::as_number(&parts[0].content),
            cookie: parts.get(2).and_then(cookie),
        };
        let operation = &parts[1];
        shared.note(operation, asked.cookie.clone());
        let mode = *shared.mode.lock().unwrap();
        match operation.tag {
            // Unbinding ends the connection; abandoning has no answer.
            UNBIND => return Ok(()),
            ABANDON => {}
            _ => asked.answer(mode, operation)?,
        }
    }
    Ok(())
}

impl Shared {
    fn note(&self, operation: &Element, cookie: Option<Vec<u8>>) {
        let text = |element: &Element| String::from_utf8_lossy(&element.content).into_owned();
        match operation.tag {
            BIND => {
                let parts = ber::parts(&operation.content);
                let proof = match parts[2].tag {
                    SASL => text(&ber::parts(&parts[2].content)[0]),
                    _ => text(&parts[2]),
                };
                self.binds.lock().unwrap().push((text(&parts[1]), proof));
            }
            SEARCH => {
                let search = Search {
                    cookie,
                    ..Search::read(operation)
                };
                self.searches.lock().unwrap().push(search);
            }
            MODIFY => {
                let mut modified = self.modified.lock().unwrap();
                modified.push(operation.content.clone());
            }
            EXTENDED => {
                let name = text(&ber::parts(&operation.content)[0]);
                self.extended.lock().unwrap().push(name);
            }
            _ => {}
        }
    }
}

impl Asked<'_> {
    fn answer(&self, mode: Mode, operation: &Element) -> io::Result<()> {
        match mode {
            Mode::Silent => Ok(()),
            Mode::Slow(late) => {
                thread::sleep(late);
                self.well(operation)
            }
            Mode::ClosesInBind(who) if operation.tag == BIND => {
                let parts = ber::parts(&operation.content);
                if who == Who::Users && parts[1].content == SERVICE.as_bytes() {
                    return self.well(operation);
                }
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Mode::CutsAnswers if operation.tag == BIND => {
                let whole = self.message(&self.result(BIND_ANSWER, 0, &[]));
                self.send(&whole[..whole.len() / 2])?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Mode::Garbage => self.send(&[0xff; 4096]),
            Mode::Endless if operation.tag == SEARCH => self.endless(),
            Mode::Referrals => {
                let here = format!("ldap://127.0.0.1:{}/dc=verona,dc=example", self.shared.port);
                let referral = ber::of(REFERRAL, &[ber::text(&here)]);
                self.say(&self.result(answer_to(operation.tag), 10, &[referral]))
            }
            Mode::References if operation.tag == SEARCH => {
                let here = format!("ldap://127.0.0.1:{}/dc=verona,dc=example", self.shared.port);
                self.say(&ber::of(REFERENCE, &[ber::text(&here)]))?;
                self.say(&self.result(DONE, 0, &[]))
            }
            Mode::WrongIds => {
                let id = ber::number(INTEGER, self.id + 1000);
                let result = self.result(answer_to(operation.tag), 0, &[]);
                self.send(&ber::of(SEQUENCE, &[id, result]))
            }
            Mode::HugeLength => self.huge(),
            Mode::Nested => self.send(&nested()),
            Mode::RefusesStartTls if operation.tag == EXTENDED => {
                self.say(&self.result(EXTENDED_ANSWER, 2, &[]))
            }
            Mode::Disconnects => {
                let name = ber::write(RESPONSE_NAME, b"1.3.6.1.4.1.1466.20036");
                let notice = self.result(EXTENDED_ANSWER, 52, &[name]);
                let id = ber::number(INTEGER, 0);
                self.send(&ber::of(SEQUENCE, &[id, notice]))?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Mode::Result(code) => self.say(&self.result(answer_to(operation.tag), code, &[])),
            Mode::Tells
            | Mode::TellsAnew
            | Mode::TellsHalf
            | Mode::TellsEndlessly
            | Mode::TellsGarbage
            | Mode::TellsOfNobody
                if operation.tag == SEARCH && self.cookie.is_some() =>
            {
                self.tell(mode, operation)
            }
            Mode::LetsAnybodyIn if operation.tag == BIND => {
                self.say(&self.result(BIND_ANSWER, 0, &[]))
            }
            Mode::WithoutAttributes | Mode::Twins | Mode::OtherBase if operation.tag == SEARCH => {
                self.search(operation, mode)
            }
            _ => self.well(operation),
        }
    }

    /// As it should be.
    fn well(&self, operation: &Element) -> io::Result<()> {
        match operation.tag {
            BIND => {
                let parts = ber::parts(&operation.content);
                let fine = self.shared.lets_in(&parts[1].content, &parts[2]);
                self.say(&self.result(BIND_ANSWER, if fine { 0 } else { 49 }, &[]))
            }
            SEARCH => self.search(operation, Mode::Well),
            // It says that it did.
            MODIFY => self.say(&self.result(answer_to(MODIFY), 0, &[])),
            // It can do nothing of this, StartTLS included: protocolError (2).
            EXTENDED => self.say(&self.result(EXTENDED_ANSWER, 2, &[])),
            // It changes nothing: unwillingToPerform (53).
            other => self.say(&self.result(answer_to(other), 53, &[])),
        }
    }

    fn search(&self, operation: &Element, mode: Mode) -> io::Result<()> {
        let search = Search::read(operation);
        if search.base.is_empty() {
            // The root DSE (RFC 4512 section 5.1).
            let base = (
                "namingContexts".to_owned(),
                "dc=verona,dc=example".to_owned(),
            );
            let mut attributes = vec![base];
            if *self.shared.tells.lock().unwrap() {
                attributes.push(("supportedControl".to_owned(), SYNC_REQUEST.to_owned()));
            }
            let counted = self.shared.counted.lock().unwrap();
            if let Some((server, count)) = counted.as_ref() {
                attributes.push(("dsServiceName".to_owned(), server.clone()));
                attributes.push(("highestCommittedUSN".to_owned(), count.to_string()));
            }
            self.entry("", &attributes)?;
            return self.say(&self.result(DONE, 0, &[]));
        }
        let below = |entry: &&Entry| {
            entry
                .dn
                .to_lowercase()
                .ends_with(&search.base.to_lowercase())
        };
        let found = self.shared.entries.iter().filter(below);
        for entry in found.filter(|entry| search.filter.finds(entry)) {
            let dn = &entry.dn;
            match mode {
                Mode::WithoutAttributes => self.entry(dn, &[])?,
                Mode::OtherBase => self.entry(ELSEWHERE, &entry.attributes)?,
                Mode::Twins => {
                    self.entry(dn, &entry.attributes)?;
                    let second = dn.replace("ou=people", "cn=second,ou=people");
                    self.entry(&second, &entry.attributes)?;
                }
                _ => self.entry(dn, &entry.attributes)?,
            }
        }
        self.say(&self.result(DONE, 0, &[]))
    }

    fn entry(&self, dn: &str, attributes: &[(String, String)]) -> io::Result<()> {
        self.say(&found(dn, attributes))
    }

    /// What becomes of what a search finds (RFC 4533).
    fn tell(&self, mode: Mode, operation: &Element) -> io::Result<()> {
        let search = Search::read(operation);
        let all = self.shared.entries.iter();
        let found = all.filter(|entry| search.filter.finds(entry));
        match mode {
            Mode::TellsAnew => return self.say(&self.result_of(DONE, SYNC_REFRESH_REQUIRED)),
            Mode::TellsGarbage => return self.say(&sync_info(&[0x30, 3, 1, 1])),
            Mode::TellsHalf => {
                self.told(0, &self.shared.entries[0])?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            Mode::TellsEndlessly => {
                for number in 0.. {
                    self.told(number, &Entry::person(&format!("u{number}")))?;
                }
            }
            Mode::TellsOfNobody => {}
            _ => {
                for (number, entry) in found.enumerate() {
                    self.told(u32::try_from(number).unwrap(), entry)?;
                }
            }
        }
        // refreshPresent: who was not named is not there.
        self.say(&sync_info(&ber::of(0xa2, &[ber::write(OCTETS, &COOKIE)])))
    }

    /// An entry that is there, by a number of its own.
    fn told(&self, number: u32, entry: &Entry) -> io::Result<()> {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let state = [ber::write(ENUMERATED, &[1]), ber::write(OCTETS, &id)];
        let control = [
            ber::text(SYNC_STATE),
            ber::write(OCTETS, &ber::of(SEQUENCE, &state)),
        ];
        let controls = ber::of(CONTROLS, &[ber::of(SEQUENCE, &control)]);
        let id = ber::number(INTEGER, self.id);
        let operation = found(&entry.dn, &entry.attributes);
        self.send(&ber::of(SEQUENCE, &[id, operation, controls]))
    }

    fn endless(&self) -> io::Result<()> {
        for number in 0.. {
            let entry = Entry::person(&format!("u{number}"));
            self.entry(&entry.dn, &entry.attributes)?;
        }
        Ok(())
    }

    fn huge(&self) -> io::Result<()> {
        self.send(b"\x30\x84\x7f\xff\xff\xf0")?;
        self.send(&ber::number(INTEGER, self.id))?;
        self.send(b"\x64\x84\x7f\xff\xff\x00\x04\x84\x7f\xff\xf0\x00")?;
        loop {
            self.send(&[b'x'; 65_536])?;
        }
    }

    /// An LDAPResult (RFC 4511 section 4.1.9) and what comes behind it.
    fn result(&self, tag: u8, code: u8, rest: &[Vec<u8>]) -> Vec<u8> {
        self.result_with(tag, ber::write(ENUMERATED, &[code]), rest)
    }

    /// One whose code is large.
    fn result_of(&self, tag: u8, code: u32) -> Vec<u8> {
        self.result_with(tag, ber::number(ENUMERATED, code), &[])
    }

    fn result_with(&self, tag: u8, code: Vec<u8>, rest: &[Vec<u8>]) -> Vec<u8> {
        let head = [code, ber::text(""), ber::text("said by the stand-in")];
        ber::of(tag, &[&head[..], rest].concat())
    }

    fn message(&self, operation: &[u8]) -> Vec<u8> {
        let id = ber::number(INTEGER, self.id);
        ber::of(SEQUENCE, &[id, operation.to_vec()])
    }

    fn say(&self, operation: &[u8]) -> io::Result<()> {
        self.send(&self.message(operation))
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut to = self.socket;
        to.write_all(bytes)?;
        self.shared.sent.fetch_add(bytes.len(), Ordering::SeqCst);
        Ok(())
    }
}

impl Shared {
    fn lets_in(&self, dn: &[u8], proof: &Element) -> bool {
        let dn = String::from_utf8_lossy(dn);
        let password: &[u8] = &proof.content;
        match dn.as_ref() {
            "" => password.is_empty(),
            SERVICE => password == SERVICE_PASSWORD.as_bytes(),
            ELSEWHERE => password == PASSWORD.as_bytes(),
            _ => {
                let mut all = self.entries.iter();
                password == PASSWORD.as_bytes() && all.any(|entry| entry.dn == dn)
            }
        }
    }
}

impl Search {
    fn read(operation: &Element) -> Search {
        let parts = ber::parts(&operation.content);
        Search {
            base: String::from_utf8_lossy(&parts[0].content).into_owned(),
            filter: Filter::read(&parts[6]),
            cookie: None,
        }
    }
}

impl Filter {
    fn read(element: &Element) -> Filter {
        let all = || {
            ber::parts(&element.content)
                .iter()
                .map(Filter::read)
                .collect()
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match element.tag {
            0xa0 => Filter::And(all()),
            0xa1 => Filter::Or(all()),
            0xa2 => Filter::Not(Box::new(Filter::read(&ber::parts(&element.content)[0]))),
            0xa3 => {
                let parts = ber::parts(&element.content);
                Filter::Equal(text(&parts[0].content), text(&parts[1].content))
            }
            0xa5 => {
                let parts = ber::parts(&element.content);
                Filter::AtLeast(text(&parts[0].content), text(&parts[1].content))
            }
            0x87 => Filter::Present(text(&element.content)),
            // RFC 4511 section 4.5.1.7.7.
            0xa9 => {
                let parts = ber::parts(&element.content);
                let part = |tag| {
                    let found = parts.iter().find(|part| part.tag == tag);
                    found.map(|part| text(&part.content)).unwrap_or_default()
                };
                Filter::Rule {
                    rule: part(0x81),
                    name: part(0x82),
                    value: part(0x83),
                }
            }
            other => Filter::Other(other),
        }
    }

    fn finds(&self, entry: &Entry) -> bool {
        match self {
            Filter::And(all) => all.iter().all(|filter| filter.finds(entry)),
            Filter::Or(all) => all.iter().any(|filter| filter.finds(entry)),
            Filter::Not(filter) => !filter.finds(entry),
            Filter::Equal(name, value) | Filter::Rule { name, value, .. } => {
                entry.attributes.iter().any(|(own, has)| {
                    own.eq_ignore_ascii_case(name) && has.eq_ignore_ascii_case(value)
                })
            }
            Filter::AtLeast(name, value) => entry.attributes.iter().any(|(own, has)| {
                let number = |text: &str| text.parse::<u64>().unwrap_or_default();
                own.eq_ignore_ascii_case(name) && number(has) >= number(value)
            }),
            Filter::Present(name) => {
                let mut names = entry.attributes.iter().map(|(own, _)| own);
                names.any(|own| own.eq_ignore_ascii_case(name))
            }
            Filter::Other(_) => false,
        }
    }

    /// The values with which something is compared.
    pub fn values(&self) -> Vec<&str> {
        match self {
            Filter::And(all) | Filter::Or(all) => all.iter().flat_map(Filter::values).collect(),
            Filter::Not(filter) => filter.values(),
            Filter::Equal(_, value) | Filter::AtLeast(_, value) | Filter::Rule { value, .. } => {
                vec![value]
            }
            Filter::Present(_) | Filter::Other(_) => Vec::new(),
        }
    }
}

/// An entry as a search finds it (RFC 4511 section 4.5.2).
fn found(dn: &str, attributes: &[(String, String)]) -> Vec<u8> {
    let attribute = |(name, value): &(String, String)| {
        let values = ber::of(SET, &[ber::text(value)]);
        ber::of(SEQUENCE, &[ber::text(name), values])
    };
    let attributes: Vec<_> = attributes.iter().map(attribute).collect();
    ber::of(ENTRY, &[ber::text(dn), ber::of(SEQUENCE, &attributes)])
}

/// A Sync Info Message (RFC 4533 section 2.5) with this value.
fn sync_info(value: &[u8]) -> Vec<u8> {
    let name = ber::write(0x80, SYNC_INFO.as_bytes());
    ber::of(INTERMEDIATE, &[name, ber::write(0x81, value)])
}

/// The state in a Sync Request Control (RFC 4533 section 2.2): empty if there is none.
fn cookie(controls: &Element) -> Option<Vec<u8>> {
    let controls = ber::parts(&controls.content);
    let mut controls = controls.iter().map(|control| ber::parts(&control.content));
    let control = controls.find(|parts| parts[0].content == SYNC_REQUEST.as_bytes())?;
    let value = ber::parts(&control.last()?.content);
    let parts = ber::parts(&value[0].content);
    let cookie = parts.into_iter().find(|part| part.tag == OCTETS);
    Some(cookie.map_or_else(Vec::new, |cookie| cookie.content))
}

/// A message that is deeper than any stack, and complete.
fn nested() -> Vec<u8> {
    const DEPTH: u32 = 3_000_000;
    // Each level is a head of six bytes and all that is in it.
    let heads = (0..DEPTH).map(|level| {
        let [a, b, c, d] = ((DEPTH - 1 - level) * 6).to_be_bytes();
        [SEQUENCE, 0x84, a, b, c, d]
    });
    heads.flatten().collect()
}

/// Where [`Mode::OtherBase`] finds everybody.
const ELSEWHERE: &str = "uid=x,dc=mantua,dc=example";

// Tags of operations (RFC 4511 section 4.2 and on), and of what is in them.
const BIND: u8 = 0x60;
const BIND_ANSWER: u8 = 0x61;
const UNBIND: u8 = 0x42;
const SEARCH: u8 = 0x63;
const ENTRY: u8 = 0x64;
const DONE: u8 = 0x65;
const REFERENCE: u8 = 0x73;
const MODIFY: u8 = 0x66;
const DELETE: u8 = 0x4a;
const DELETE_ANSWER: u8 = 0x6b;
const ABANDON: u8 = 0x50;
const EXTENDED: u8 = 0x77;
const EXTENDED_ANSWER: u8 = 0x78;
const SASL: u8 = 0xa3;
const REFERRAL: u8 = 0xa3;
const RESPONSE_NAME: u8 = 0x8a;
const INTERMEDIATE: u8 = 0x79;
const CONTROLS: u8 = 0xa0;

// RFC 4533 sections 2.2, 2.3, 2.5 and 2.6.
const SYNC_REQUEST: &str = "1.3.6.1.4.1.4203.1.9.1.1";
const SYNC_STATE: &str = "1.3.6.1.4.1.4203.1.9.1.2";
const SYNC_INFO: &str = "1.3.6.1.4.1.4203.1.9.1.4";
const SYNC_REFRESH_REQUIRED: u32 = 4096;
/// A state that nobody could take for text.
pub const COOKIE: [u8; 5] = [0, 0xff, 0xfe, 0x30, 0x80];

/// The tag of the answer to an operation.
fn answer_to(tag: u8) -> u8 {
    match tag {
        SEARCH => DONE,
        DELETE => DELETE_ANSWER,
        // Binding, modifying, adding, renaming, comparing, extended.
        other => other + 1,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::Command;

    use super::*;
    use crate::slapd::{BASE, JULIET};

    fn start(mode: Mode) -> StandIn {
        let stand_in = StandIn::start(vec![Entry::person("juliet"), Entry::person("romeo")]);
        stand_in.set(mode);
        stand_in
    }

    /// What ldapsearch says of a search for Juliet, within five seconds.
    fn search(stand_in: &StandIn, arguments: &[&str]) -> String {
        let filter = "(&(objectClass=inetOrgPerson)(uid=juliet))";
        let mut command = Command::new("timeout");
        command.args([
            "5",
            "ldapsearch",
            "-o",
            "nettimeout=2",
            "-H",
            &stand_in.url(),
        ]);
        command.args(["-x", "-D", JULIET, "-w", PASSWORD, "-b", BASE]);
        let output = command.args(arguments).arg(filter).output().unwrap();
        let bytes = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn it_can_do_well_and_says_what_it_was_asked() {
        let stand_in = start(Mode::Well);
        let said = search(&stand_in, &[]);
        assert!(said.contains("mail: juliet@verona.example"), "{said}");
        assert!(!said.contains("romeo"), "{said}");
        assert_eq!(stand_in.binds(), [(JULIET.to_owned(), PASSWORD.to_owned())]);
        let searches = stand_in.searches();
        assert_eq!(searches[0].base, BASE);
        assert_eq!(searches[0].filter.values(), ["inetOrgPerson", "juliet"]);
        assert_eq!(stand_in.connections(), 1);
    }

    #[test]
    fn each_mode_is_what_a_well_known_client_takes_it_for() {
        for (mode, arguments, expected) in [
            (
                Mode::ClosesInBind(Who::Everybody),
                &[][..],
                "Can't contact LDAP server",
            ),
            (Mode::CutsAnswers, &[], "Can't contact LDAP server"),
            (Mode::Result(52), &[], "Server is unavailable (52)"),
            (Mode::References, &[], "search reference"),
            (Mode::Referrals, &[], "Referral (10)"),
            (Mode::RefusesStartTls, &["-ZZ"], "Protocol error (2)"),
            (Mode::Disconnects, &[], "Can't contact LDAP server"),
            (Mode::Endless, &["-z", "5"], "uid: u4\n"),
            (Mode::WithoutAttributes, &[], "numEntries: 1"),
            (Mode::Twins, &[], "numEntries: 2"),
            (Mode::OtherBase, &[], "dn: uid=x,dc=mantua,dc=example"),
        ] {
            let said = search(&start(mode), arguments);
            assert!(said.contains(expected), "{mode:?}: {said}");
        }
    }

    /// What comes in answer to a bind, up to so many bytes; `None` is nothing within a moment.
    fn raw(stand_in: &StandIn, count: usize) -> Option<Vec<u8>> {
        let mut socket = TcpStream::connect(("127.0.0.1", stand_in.port)).unwrap();
        let bind = b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00";
        socket.write_all(bind).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(match count {
                1 => 500,
                // What comes takes its time on a busy machine.
                _ => 30_000,
            })))
            .unwrap();
        let mut bytes = vec![0; count];
        socket.read_exact(&mut bytes).ok().map(|()| bytes)
    }

    #[test]
    fn on_the_wire_it_is_as_bad_as_it_says() {
        assert_eq!(raw(&start(Mode::Silent), 1), None);
        assert_eq!(raw(&start(Mode::Slow(Duration::from_secs(60))), 1), None);
        assert!(raw(&start(Mode::Slow(Duration::from_millis(10))), 10).is_some());
        assert_eq!(raw(&start(Mode::Garbage), 4).unwrap(), [0xff; 4]);
        let wrong = raw(&start(Mode::WrongIds), 20).unwrap();
        assert!(
            wrong.windows(4).any(|part| part == [2, 2, 0x03, 0xe9]),
            "{wrong:x?}"
        );
        let huge = start(Mode::HugeLength);
        assert!(
            raw(&huge, 1_000_000)
                .unwrap()
                .starts_with(b"\x30\x84\x7f\xff")
        );
        // What is on its way is counted when all of a piece is.
        assert!(huge.sent() > 900_000);
        let whole = nested();
        assert_eq!(raw(&start(Mode::Nested), whole.len()).unwrap(), whole);
        // A bind without a password, whose success proves nothing.
        let anybody = raw(&start(Mode::LetsAnybodyIn), 14).unwrap();
        assert!(anybody.windows(3).any(|part| part == [ENUMERATED, 1, 0]));
    }

    #[test]
    fn cut_connections_end_and_new_ones_are_taken() {
        let stand_in = start(Mode::Silent);
        let mut socket = TcpStream::connect(("127.0.0.1", stand_in.port)).unwrap();
        while stand_in.connections() == 0 {
            thread::yield_now();
        }
        stand_in.cut();
        assert_eq!(socket.read(&mut [0]).unwrap(), 0);
        stand_in.set(Mode::Well);
        assert!(search(&stand_in, &[]).contains("numEntries: 1"));
    }
}
