//! Going back to a server that is before the one we have. Refuses to choose it.

use std::time::Instant;

use ldap3::{LdapConn, Scope};

use super::connect::simple_bind;
use super::{Failure, Kept, Link, Purpose, SILENCE, failure, guarded, outcome, remaining};
use crate::directory::access::{Access, Identity};

impl Link {
    /// Goes back to a server that is before the one it has, if one works again: answers, too, so that whoever asks next
    /// does not have to find out that it does not. For when nobody waits.
    pub fn go_back(&mut self) {
        let Some(server) = self.kept.as_ref().map(|kept| kept.server) else {
            return;
        };
        let now = Instant::now();
        let is_better = |other| other < server;
        let better = self
            .servers
            .pick(self.purpose, is_better, self.patience(), now);
        if let Some(better) = better
            && let Some(mut kept) = self.connect(better, now + self.access.connect_timeout)
            && self.is_answered(&mut kept)
        {
            self.kept = Some(kept);
        }
    }

    /// Whether anything comes of what we ask ourselves. It does not prove the server well: those who bind may be judged
    /// elsewhere, or what they look for be somewhere else.
    fn is_answered(&self, kept: &mut Kept) -> bool {
        let begun = Instant::now();
        let until = begun + self.access.operation_timeout;
        let tried = guarded(|| try_out(&self.access, &mut kept.connection, self.purpose, until));
        let reason = match tried {
            Ok(()) | Err(Failure::Answer(_)) => return true,
            Err(Failure::Connection(reason)) => reason,
            Err(Failure::Late | Failure::Silence) => SILENCE.to_owned(),
        };
        self.note_failure((kept.server, begun), true, &reason);
        false
    }
}

/// Asks something of the same kind as will be asked on this connection: a bind, as us or as nobody, whose answer may be
/// any; or for what the root says (RFC 4512 section 5.1).
fn try_out(
    access: &Access,
    connection: &mut LdapConn,
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
