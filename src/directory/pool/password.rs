//! Passwords and keys that we write: nothing of them is left in memory that is ours, or the encoder's
//! (`src/vendor/lber`). Refuses to know what a password should be.

use std::collections::HashSet;
use std::time::Instant;

use lber::common::TagClass;
use lber::structures::{ASNTag, OctetString, Sequence, Tag};
use ldap3::exop::Exop;
use ldap3::{LdapConn, Mod};
use zeroize::Zeroizing;

use super::{BindOutcome, Failure, Link, asking_for_policy, failure, outcome, remaining};
use crate::base::Secret;
use crate::directory::error::DirectoryError;

/// Values of one attribute that nobody may see.
pub struct Secrets<'a> {
    pub attribute: &'a str,
    pub values: &'a [Secret],
}

impl Link {
    /// Gives an entry another password by RFC 3062.
    ///
    /// # Errors
    /// As [`Link::search`]; what the directory does not want is none.
    pub fn change_password(
        &mut self,
        dn: &str,
        password: &Secret,
        until: Instant,
    ) -> Result<BindOutcome, DirectoryError> {
        // One that was changed is refused the second time, as one that was used lately or is too young, and who has it would
        // hear that it was not changed.
        self.call_once(until, |connection, until| {
            let result = connection
                .with_timeout(remaining(until)?)
                .with_controls(asking_for_policy())
                .extended(password_modify(dn, password));
            outcome(result.map_err(failure)?.1)
        })
    }

    /// The same by the attribute that Active Directory has for it; in the same change these are given other values.
    ///
    /// # Errors
    /// As [`Link::search`]; what the directory does not want is none.
    pub fn change_unicode_password(
        &mut self,
        dn: &str,
        password: &Secret,
        others: &Secrets<'_>,
        until: Instant,
    ) -> Result<BindOutcome, DirectoryError> {
        let Ok(text) = std::str::from_utf8(password.expose()) else {
            return Ok(BindOutcome::wrong());
        };
        let unicode = [unicode_password(text)];
        let first = Secrets {
            attribute: "unicodePwd",
            values: &unicode,
        };
        self.call_once(until, |connection, until| {
            replace_all(connection, dn, &[&first, others], until)
        })
    }

    /// Gives an attribute these values instead of those that it has.
    ///
    /// # Errors
    /// As [`Link::search`]; what the directory refuses is none.
    pub fn replace_secrets(
        &mut self,
        dn: &str,
        secrets: &Secrets<'_>,
        until: Instant,
    ) -> Result<BindOutcome, DirectoryError> {
        self.call(until, |connection, until| {
            replace_all(connection, dn, &[secrets], until)
        })
    }
}

/// Of attributes without values nothing is said.
fn replace_all(
    connection: &mut LdapConn,
    dn: &str,
    all: &[&Secrets<'_>],
    until: Instant,
) -> Result<BindOutcome, Failure> {
    let meant = all.iter().filter(|secrets| !secrets.values.is_empty());
    let changes = meant.map(|secrets| {
        let values: HashSet<&[u8]> = secrets.values.iter().map(Secret::expose).collect();
        Mod::Replace(secrets.attribute.as_bytes(), values)
    });
    let result = connection
        .with_timeout(remaining(until)?)
        .with_controls(asking_for_policy())
        .modify(dn, changes.collect());
    outcome(result.map_err(failure)?)
}

/// RFC 3062 section 2: `PasswdModifyRequestValue ::= SEQUENCE { userIdentity [0] OCTET STRING OPTIONAL, oldPasswd [1] ..
/// OPTIONAL, newPasswd [2] OCTET STRING OPTIONAL }`. The library's own leaves copies behind.
fn password_modify(dn: &str, password: &Secret) -> Exop {
    let part = |id, bytes: &[u8]| {
        Tag::OctetString(OctetString {
            id,
            class: TagClass::Context,
            inner: bytes.to_vec(),
        })
    };
    let request = Tag::Sequence(Sequence {
        inner: vec![part(0, dn.as_bytes()), part(2, password.expose())],
        ..Sequence::default()
    });
    Exop {
        name: Some(PASSWORD_MODIFY.to_owned()),
        // Taken over, and zeroed when it is written.
        val: Some(lber::write::encode(request.into_structure())),
    }
}

/// A password as Active Directory takes it ([MS-ADTS] section 3.1.1.3.1.5): UTF-16, least byte first, in quotation marks.
fn unicode_password(password: &str) -> Secret {
    let quoted = Zeroizing::new(format!("\"{password}\""));
    let mut bytes = Vec::with_capacity(quoted.len() * 2);
    bytes.extend(quoted.encode_utf16().flat_map(u16::to_le_bytes));
    Secret::new(bytes)
}

const PASSWORD_MODIFY: &str = "1.3.6.1.4.1.4203.1.11.1";

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    use super::super::Purpose::Searching;
    use super::super::tests::silent;
    use super::*;
    use crate::directory::access::Access;
    use crate::directory::servers::{Servers, Setback};

    #[test]
    fn a_server_on_which_a_change_is_not_tried_again_is_not_one_that_has_worked() {
        let closing = TcpListener::bind("127.0.0.1:0").expect("a port");
        let first = format!("ldap://{}", closing.local_addr().expect("bound"));
        let closes = thread::spawn(move || {
            let (mut socket, _) = closing.accept().expect("somebody asks");
            // What is asked; then it ends.
            let _ = socket.read(&mut [0]);
        });
        let (_listener, access) = silent(false);
        let access = Access {
            servers: vec![first, access.servers[0].clone()],
            ..access
        };
        let servers = Arc::new(Servers::new(2));
        // It was silent to what somebody asked; the time to try it again has come.
        let now = Instant::now();
        let before = now.checked_sub(Duration::from_secs(60));
        let before = before.expect("the machine is up");
        let setback = Setback {
            is_at_work: true,
            reason: "as a test would have it",
            begun: before,
            since: None,
        };
        servers.failed(1, Searching, setback, before);
        let mut link = Link::new(Arc::new(access), Arc::clone(&servers), Searching);
        let password = Secret::new(b"a nightingale".to_vec());
        let until = now + Duration::from_secs(60);
        let changed = link.change_password("uid=juliet,dc=a", &password, until);
        let Err(DirectoryError::NoServer(reason)) = changed else {
            panic!("nobody has answered: {changed:?}");
        };
        assert!(reason.contains("may have been done"), "{reason}");
        assert!(!servers.has_done_since(1, Searching, before));
        closes.join().expect("it has ended");
    }
}
