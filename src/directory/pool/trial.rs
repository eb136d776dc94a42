//! Trying servers that have failed: with what another has just answered, by a thread of its own, so that nobody who logs in
//! waits for it; and going back to them once they work. Refuses to choose which of them is used.

use std::sync::Arc;
use std::time::Instant;

use ldap3::{LdapConn, Scope};

use super::connect::simple_bind;
use super::search::search;
use super::{Failure, Kept, Link, Purpose, Query, SILENCE, failure, guarded, outcome, remaining};
use crate::base::{Secret, limits};
use crate::directory::access::{Access, Identity};
use crate::directory::servers::Servers;

/// What a server has answered well, and one that has failed is asked, too.
pub struct Trial {
    purpose: Purpose,
    /// The one that has answered.
    server: usize,
    asked: Asked,
}

enum Asked {
    Bind { dn: String, password: Secret },
    Search(Query),
}

impl Link {
    /// Goes back to a server that is before the one it has, if one works again. For when nobody waits.
    pub fn go_back(&mut self) {
        let Some(server) = self.kept.as_ref().map(|kept| kept.server) else {
            return;
        };
        let until = Instant::now() + self.patience();
        if let Some(better) = self.servers.working_before(server, self.purpose)
            && let Some(kept) = self.connect(better, until)
        {
            self.kept = Some(Kept {
                is_tried: true,
                ..kept
            });
        }
    }

    /// A password is right: where that is not known to be judged, it is tried, too. A wrong one is not, as it counts as a guess
    /// wherever it is tried.
    pub(super) fn offer_bind(&self, dn: &str, password: &Secret) {
        self.offer(|| Asked::Bind {
            dn: dn.to_owned(),
            password: password.clone(),
        });
    }

    /// The same of a search. Of one for much a single entry is asked for: that there are more is an answer, too. One for what a
    /// server says of itself says nothing of what others look for.
    pub(super) fn offer_search(&self, query: &Query) {
        if query.base.is_empty() {
            return;
        }
        let is_small = query.count_max < limits::DIRECTORY_PAGE_ENTRIES as usize;
        self.offer(|| {
            Asked::Search(Query {
                count_max: if is_small { query.count_max } else { 1 },
                ..query.clone()
            })
        });
    }

    fn offer(&self, asked: impl FnOnce() -> Asked) {
        let (Some(trials), Some(kept)) = (&self.trials, &self.kept) else {
            return;
        };
        let (purpose, server) = (self.purpose, kept.server);
        if self.servers.is_trial_due(server, purpose, Instant::now()) {
            let asked = asked();
            // Whoever tries may be busy with another: then the next answer will do.
            let _ = trials.try_send(Trial {
                purpose,
                server,
                asked,
            });
        }
    }

    /// Tries a server that has failed, and tells everybody what came of it.
    pub fn try_out(access: &Arc<Access>, servers: &Arc<Servers>, trial: &Trial) {
        let link = Link::new(Arc::clone(access), Arc::clone(servers), trial.purpose);
        let now = Instant::now();
        let patience = link.patience() + access.operation_timeout;
        let failed = servers.pick_for_trial(trial.server, trial.purpose, patience, now);
        let Some(server) = failed else {
            return;
        };
        let Some(mut kept) = link.connect(server, now + patience) else {
            return;
        };
        // Of a server that does not even answer us nobody's password has to be asked.
        if link.is_answered(&mut kept, |connection, until| {
            own(connection, access, trial.purpose, until)
        }) && link.is_answered(&mut kept, |connection, until| {
            trial.asked.ask(connection, until)
        }) {
            link.note_work(&mut kept);
        }
    }

    /// Whether anything comes.
    fn is_answered(
        &self,
        kept: &mut Kept,
        ask: impl FnOnce(&mut LdapConn, Instant) -> Result<(), Failure>,
    ) -> bool {
        let begun = Instant::now();
        let until = begun + self.access.operation_timeout;
        let reason = match guarded(|| ask(&mut kept.connection, until)) {
            Ok(()) | Err(Failure::Answer(_)) => return true,
            Err(Failure::Connection(reason)) => reason,
            Err(Failure::Late) => SILENCE.to_owned(),
            Err(Failure::Silence(reason)) => reason.to_owned(),
        };
        self.note_failure((kept.server, begun), true, &reason);
        false
    }
}

impl Asked {
    /// Whatever is answered: what is right on one server may be so on another somewhat later.
    fn ask(&self, connection: &mut LdapConn, until: Instant) -> Result<(), Failure> {
        match self {
            Asked::Bind { dn, password } => {
                connection.with_timeout(remaining(until)?);
                outcome(simple_bind(connection, dn, password)?).map(|_| ())
            }
            Asked::Search(query) => search(connection, query, until).map(|_| ()),
        }
    }
}

/// Asks something of the same kind as others do: a bind, as us or as nobody, whose answer may be any; or for what the root says
/// (RFC 4512 section 5.1). It does not prove the server well: those who bind may be judged elsewhere, or what they look for be
/// somewhere else.
fn own(
    connection: &mut LdapConn,
    access: &Access,
    purpose: Purpose,
    until: Instant,
) -> Result<(), Failure> {
    connection.with_timeout(remaining(until)?);
    let result = match (purpose, &access.identity) {
        (Purpose::Searching, _) => {
            let found = connection.search("", Scope::Base, "(objectClass=*)", NO_ATTRIBUTES);
            found.map_err(failure)?.1
        }
        (Purpose::Binding, Identity::Password { dn, password }) => {
            simple_bind(connection, dn, password)?
        }
        // RFC 4513 section 5.1.1.
        (Purpose::Binding, Identity::Nobody | Identity::Certificate) => {
            connection.simple_bind("", "").map_err(failure)?
        }
    };
    outcome(result).map(|_| ())
}

/// RFC 4511 section 4.5.1.8: "A list containing only the OID "1.1" indicates that no attributes are to be returned."
const NO_ATTRIBUTES: [&str; 1] = ["1.1"];

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::super::tests::{anybody, silent};
    use super::*;
    use crate::directory::servers::Setback;

    const SHORT: Duration = Duration::from_millis(50);

    /// What is known of a server that has failed before when another has answered this, and it was tried.
    fn tried(listener: &TcpListener, access: Access, asked: Asked) -> String {
        let url = format!("ldap://{}", listener.local_addr().expect("bound"));
        let access = Arc::new(Access {
            servers: vec![url, "ldap://other".to_owned()],
            connect_timeout: SHORT,
            operation_timeout: SHORT,
            ..access
        });
        let purpose = match asked {
            Asked::Bind { .. } => Purpose::Binding,
            Asked::Search(_) => Purpose::Searching,
        };
        let servers = Arc::new(Servers::new(2));
        let before = Instant::now().checked_sub(Duration::from_secs(60));
        let before = before.expect("the machine is up");
        let setback = Setback {
            is_at_work: true,
            reason: "as a test would have it",
            begun: before,
            since: None,
        };
        servers.failed(0, purpose, setback, before);
        let trial = Trial {
            purpose,
            server: 1,
            asked,
        };
        Link::try_out(&access, &servers, &trial);
        servers.why(purpose)
    }

    #[test]
    fn what_is_tried_and_says_nothing_is_left_alone_again() {
        for start_tls in [true, false] {
            let (listener, access) = silent(start_tls);
            let why = tried(&listener, access, Asked::Search(anybody()));
            assert!(why.ends_with(SILENCE), "{why}");
            let (listener, access) = silent(start_tls);
            let (dn, password) = ("cn=a".to_owned(), Secret::new(b"pencil".to_vec()));
            let why = tried(&listener, access, Asked::Bind { dn, password });
            assert!(why.ends_with(SILENCE), "{why}");
        }
    }
}
