//! Connections to a directory's servers: made, kept, tried on the next server when one fails. What names
//! `ldap3` is here and below; refuses to know users, and to wait longer than it is told.

mod bind;
mod connect;
mod filter;
mod follow;
mod password;
mod search;
mod sync;
mod trial;
mod whoami;
mod write;

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use ldap3::{LdapConn, LdapError, LdapResult, Scope};

use super::access::Access;
use super::error::DirectoryError;
use super::servers::{Servers, Setback};
use crate::base::limits;
use crate::config::DirectoryScope;

pub use bind::BindOutcome;
use bind::{asking_for_policy, outcome};
use connect::connect;
pub use filter::is_filter;
pub use password::Secrets;
pub use sync::Listened;
pub use trial::Trial;

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Query {
    pub base: String,
    pub depth: Depth,
    pub filter: String,
    pub attributes: Vec<String>,
    /// More entries are an error.
    pub count_max: usize,
}

/// How far below its base a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Depth {
    Base,
    Children,
    Subtree,
}

impl Depth {
    fn scope(self) -> Scope {
        match self {
            Depth::Base => Scope::Base,
            Depth::Children => Scope::OneLevel,
            Depth::Subtree => Scope::Subtree,
        }
    }
}

impl From<DirectoryScope> for Depth {
    fn from(scope: DirectoryScope) -> Depth {
        match scope {
            DirectoryScope::One => Depth::Children,
            DirectoryScope::Sub => Depth::Subtree,
        }
    }
}

/// What a connection is for. In the order of places in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Others bind on it, one after the other.
    Binding,
    /// It is ours.
    Searching,
}

impl Purpose {
    /// What an operator reads.
    fn work(self) -> &'static str {
        match self {
            Purpose::Binding => "binds",
            Purpose::Searching => "searches",
        }
    }
}

/// One thread's connection, to whichever server it has now.
pub struct Link {
    access: Arc<Access>,
    servers: Arc<Servers>,
    purpose: Purpose,
    /// Who tries servers that have failed; none if nobody does.
    trials: Option<Sender<Trial>>,
    kept: Option<Kept>,
}

struct Kept {
    connection: LdapConn,
    server: usize,
    /// When it was last used, or made.
    used: Instant,
    /// Whether it was ever used: one that was not may be there to find out whether a server works again.
    is_tried: bool,
}

/// How an operation failed.
enum Failure {
    /// The directory has answered, or we do not want to know.
    Answer(DirectoryError),
    /// The connection is of no use any more.
    Connection(String),
    /// The time of whoever asks is over, which was less than a server may take: that says nothing of it.
    Late,
    /// Nothing comes, or not fast enough; of what, for an operator.
    Silence(&'static str),
}

impl Failure {
    /// A silence until this time is none where a server may be silent for longer.
    fn until(self, until: Instant, whole: Instant) -> Failure {
        match self {
            Failure::Silence(_) if until < whole => Failure::Late,
            failure => failure,
        }
    }
}

impl Link {
    /// None is made before it is needed.
    pub fn new(access: Arc<Access>, servers: Arc<Servers>, purpose: Purpose) -> Link {
        Link {
            access,
            servers,
            purpose,
            trials: None,
            kept: None,
        }
    }

    /// The same, whose servers that have failed are tried by whoever hears this ([`Link::try_out`]).
    pub fn with_trials(self, trials: Option<Sender<Trial>>) -> Link {
        Link { trials, ..self }
    }

    /// Whether the server says in its root (RFC 4512 section 5.1) that it can do this.
    ///
    /// # Errors
    /// As [`Link::search`].
    fn offers(
        &mut self,
        attribute: &str,
        oid: &str,
        until: Instant,
    ) -> Result<bool, DirectoryError> {
        let root = Query {
            base: String::new(),
            depth: Depth::Base,
            filter: "(objectClass=*)".to_owned(),
            attributes: vec![attribute.to_owned()],
            count_max: 1,
        };
        let found = self.search(&root, until)?;
        let mut said = found.iter().flat_map(|entry| entry.texts(attribute));
        Ok(said.any(|said| said == oid))
    }

    /// How long whoever tries a server that has failed may take until it is known what came of it.
    fn patience(&self) -> Duration {
        self.access.connect_timeout + self.access.operation_timeout
    }

    /// Runs an operation on a connection; on others if that fails, while there is time.
    fn call<T>(
        &mut self,
        until: Instant,
        mut operation: impl FnMut(&mut LdapConn, Instant) -> Result<T, Failure>,
    ) -> Result<T, DirectoryError> {
        let mut spared = Vec::new();
        loop {
            if let Some(value) = self.attempt(until, &mut spared, &mut operation)? {
                return Ok(value);
            }
        }
    }

    /// The same for what is not tried again: what was not answered may have been done.
    fn call_once<T>(
        &mut self,
        until: Instant,
        operation: impl FnOnce(&mut LdapConn, Instant) -> Result<T, Failure>,
    ) -> Result<T, DirectoryError> {
        let done = self.attempt(until, &mut Vec::new(), operation)?;
        done.ok_or_else(|| DirectoryError::NoServer(UNKNOWN.to_owned()))
    }

    /// Runs an operation on a connection; none if no answer came.
    fn attempt<T>(
        &mut self,
        until: Instant,
        spared: &mut Vec<(usize, String)>,
        operation: impl FnOnce(&mut LdapConn, Instant) -> Result<T, Failure>,
    ) -> Result<Option<T>, DirectoryError> {
        if Instant::now() >= until {
            return Err(DirectoryError::Late);
        }
        let mut kept = self.take_connection(until, spared)?;
        let begun = Instant::now();
        let whole = begun + self.access.operation_timeout;
        let own_until = until.min(whole);
        let done = guarded(|| operation(&mut kept.connection, own_until));
        match done.map_err(|failure| failure.until(until, whole)) {
            Ok(value) => {
                self.note_work(&mut kept);
                self.kept = Some(kept);
                return Ok(Some(value));
            }
            Err(Failure::Answer(error)) => {
                // What still comes of an answer that was too long must not be taken for the next one's.
                let is_clean = !matches!(error, DirectoryError::TooMuch | DirectoryError::Garbled);
                self.note_work(&mut kept);
                self.kept = is_clean.then_some(kept);
                return Err(error);
            }
            // One that was kept may have been closed meanwhile by whoever is between.
            Err(Failure::Connection(_)) if kept.is_tried => {}
            Err(Failure::Connection(reason)) => self.blame((kept.server, begun), reason, spared),
            Err(Failure::Late) => self.put_back(&kept),
            Err(Failure::Silence(reason)) => {
                self.blame((kept.server, begun), reason.to_owned(), spared);
            }
        }
        Ok(None)
    }

    /// The server has answered.
    fn note_work(&self, kept: &mut Kept) {
        let now = Instant::now();
        (kept.used, kept.is_tried) = (now, true);
        if self.servers.did(kept.server, self.purpose, now) {
            self.note_health(kept.server);
        }
    }

    fn note_health(&self, server: usize) {
        let url = &self.access.servers[server];
        log::warn!("directory_works server={url} at={}", self.purpose.work());
    }

    /// An operation has failed. If others of its kind went well in the time that one may take, it may be a matter of this one
    /// alone (of an entry whose password somebody else judges, of a group that is too large): the server is spared, and not
    /// asked again for it.
    fn blame(
        &self,
        (server, begun): (usize, Instant),
        reason: String,
        spared: &mut Vec<(usize, String)>,
    ) {
        let now = Instant::now();
        let since = now.checked_sub(self.access.operation_timeout);
        let has_done = |since| self.servers.has_done_since(server, self.purpose, since);
        if !since.is_some_and(has_done) {
            return self.note_failure((server, begun), true, &reason);
        }
        let url = &self.access.servers[server];
        match self.servers.failed_once(server, now) {
            true => log::warn!("directory_fails_once server={url} reason={reason:?}"),
            false => log::debug!("directory_fails_once server={url} reason={reason:?}"),
        }
        spared.push((server, format!("{url}: {reason}")));
    }

    /// One to another server than these, which are spared for the reasons beside them.
    fn take_connection(
        &mut self,
        until: Instant,
        spared: &[(usize, String)],
    ) -> Result<Kept, DirectoryError> {
        let idle = Duration::from_millis(limits::DIRECTORY_IDLE_MS);
        // Whoever finds that a server is silent finds it for all: none of the others has to wait for it, too.
        let is_left = |kept: &Kept| {
            let now = Instant::now();
            self.servers.is_better_left(kept.server, self.purpose, now)
        };
        let is_good = |kept: &Kept| kept.used.elapsed() < idle && !is_left(kept);
        if let Some(kept) = self.kept.take().filter(is_good) {
            return Ok(kept);
        }
        let is_meant = |server| spared.iter().all(|(known, _)| *known != server);
        loop {
            let now = Instant::now();
            if now >= until {
                return Err(DirectoryError::Late);
            }
            let found = self
                .servers
                .pick(self.purpose, is_meant, self.patience(), now);
            let Some(server) = found else {
                let last = spared.last().map(|(_, reason)| reason.clone());
                let reason = last.unwrap_or_else(|| self.servers.why(self.purpose));
                return Err(DirectoryError::NoServer(reason));
            };
            if let Some(kept) = self.connect(server, until) {
                return Ok(kept);
            }
        }
    }

    fn connect(&self, server: usize, until: Instant) -> Option<Kept> {
        let url = &self.access.servers[server];
        let begun = Instant::now();
        let whole = begun + self.access.connect_timeout;
        let connected = connect(
            &self.access,
            (url, self.access.start_tls),
            self.purpose,
            until.min(whole),
        );
        let reason = match connected.map_err(|failure| failure.until(until, whole)) {
            Ok(connection) => {
                if self.servers.is_reached(server, self.purpose) {
                    self.note_health(server);
                }
                return Some(Kept {
                    connection,
                    server,
                    used: Instant::now(),
                    is_tried: false,
                });
            }
            Err(Failure::Late) => {
                self.servers.put_back(server, self.purpose, Instant::now());
                return None;
            }
            Err(Failure::Answer(error)) => error.to_string(),
            Err(Failure::Connection(reason)) => reason,
            Err(Failure::Silence(reason)) => reason.to_owned(),
        };
        self.note_failure((server, begun), false, &reason);
        None
    }

    /// Nobody knows what would have come of it.
    fn put_back(&self, kept: &Kept) {
        // Who has used it before was not the one who was to try it.
        if !kept.is_tried {
            let now = Instant::now();
            self.servers.put_back(kept.server, self.purpose, now);
        }
    }

    fn note_failure(&self, (server, begun): (usize, Instant), is_at_work: bool, reason: &str) {
        let url = &self.access.servers[server];
        let now = Instant::now();
        let setback = Setback {
            is_at_work,
            reason: &format!("{url}: {reason}"),
            begun,
            since: now.checked_sub(self.access.operation_timeout),
        };
        if self.servers.failed(server, self.purpose, setback, now) {
            let work = self.purpose.work();
            log::warn!("directory_fails server={url} at={work} reason={reason:?}");
        }
    }
}

fn refused(result: LdapResult) -> Failure {
    let (code, text) = (result.rc, result.text);
    match code {
        BUSY | UNAVAILABLE | PREMATURE_END => {
            Failure::Connection(format!("refuses to work (result {code}): {text}"))
        }
        _ => Failure::Answer(DirectoryError::Refused { code, text }),
    }
}

fn failure(error: LdapError) -> Failure {
    match error {
        LdapError::FilterParsing => Failure::Answer(DirectoryError::Refused {
            code: 0,
            text: "the filter of the configuration is none".to_owned(),
        }),
        LdapError::LdapResult { result } => {
            Failure::Connection(format!("refuses (result {}): {}", result.rc, result.text))
        }
        LdapError::Timeout { .. } => Failure::Silence(SILENCE),
        error => Failure::Connection(error.to_string()),
    }
}

fn remaining(until: Instant) -> Result<Duration, Failure> {
    let left = until.checked_duration_since(Instant::now());
    left.filter(|left| !left.is_zero())
        .ok_or(Failure::Silence(SILENCE))
}

/// The library panics at some answers that are not LDAP: those are a broken connection, and no reason to end anything.
fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    panic::catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Failure::Connection("its answer is not LDAP".to_owned())))
}

const UNKNOWN: &str = "what was asked was not answered, and may have been done";
const SILENCE: &str = "does not answer in time";
const REFERRAL: u32 = 10;
const BUSY: u32 = 51;
const UNAVAILABLE: u32 = 52;
/// The library's own, for a search that did not end.
const PREMATURE_END: u32 = 88;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::path::PathBuf;

    use super::*;
    use crate::directory::content::Content;
    use crate::directory::{person, resolver};

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(50);

    /// To a server that takes connections and says nothing, which has a minute for each answer.
    pub(super) fn silent(start_tls: bool) -> (TcpListener, Access) {
        // The system takes them.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("ldap://{}", listener.local_addr().expect("bound"));
        let config = person::tests::config("");
        let access = Access::read(&config, &|_| PathBuf::new()).expect("needs no file");
        let access = Access {
            start_tls,
            connect_timeout: LONG,
            operation_timeout: LONG,
            ..access.to(&url)
        };
        (listener, access)
    }

    pub(super) fn anybody() -> Query {
        person::query_for_all(&person::tests::config(""))
    }

    #[test]
    fn who_has_little_time_left_blames_no_server_and_keeps_nobody_from_it() {
        let (_takes, no_tls) = silent(true);
        let (_listens, no_answer) = silent(false);
        let (_is_there, access) = silent(false);
        // Asked by the name that a system knows without asking anybody.
        let no_name = access
            .to("ldap://localhost")
            .by(&resolver::tests::unanswered());
        for access in [no_tls, no_answer, no_name] {
            let servers = Arc::new(Servers::new(1));
            let mut link = Link::new(Arc::new(access), Arc::clone(&servers), Purpose::Searching);
            let found = link.search(&anybody(), Instant::now() + SHORT);
            assert_eq!(found.err(), Some(DirectoryError::Late));
            assert_eq!(servers.why(Purpose::Searching), "");
            // The same where it has failed before, and the time to try it again has come.
            let before = Instant::now().checked_sub(LONG).expect("the machine is up");
            let setback = Setback {
                is_at_work: true,
                reason: "as a test would have it",
                begun: before,
                since: None,
            };
            servers.failed(0, Purpose::Searching, setback, before);
            for _ in 0..2 {
                let found = link.search(&anybody(), Instant::now() + SHORT);
                assert_eq!(found.err(), Some(DirectoryError::Late));
            }
            assert_eq!(
                servers.why(Purpose::Searching),
                "as a test would have it",
                "nothing is known that was not known before"
            );
        }
    }

    #[test]
    fn who_listens_finds_out_that_nobody_can_be_reached() {
        let (_listener, access) = silent(true);
        let access = Access {
            connect_timeout: SHORT,
            ..access
        };
        let servers = Arc::new(Servers::new(1));
        let mut link = Link::new(Arc::new(access), Arc::clone(&servers), Purpose::Searching);
        let mut content = Content::new(1);
        let heard = link.listen(&anybody(), &mut content, &|| false, &mut |_| {});
        assert!(
            matches!(heard, Err(DirectoryError::NoServer(_))),
            "{heard:?}"
        );
        assert!(servers.why(Purpose::Searching).ends_with(SILENCE));
    }
}
