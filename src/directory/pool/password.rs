//! Passwords and keys that we write: nothing of them is left in memory that is ours, or the encoder's
//! (`src/vendor/lber`). Refuses to know what a password should be.

use std::collections::HashSet;
use std::time::Instant;

use lber::common::TagClass;
use lber::structures::{ASNTag, OctetString, Sequence, Tag};
use ldap3::Mod;
use ldap3::exop::Exop;
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
        let mut once = Once::default();
        self.call(until, |connection, until| {
            once.begin()?;
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
        let mut once = Once::default();
        self.replace_all(dn, &[&first, others], until, &mut || once.begin())
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
        self.replace_all(dn, &[secrets], until, &mut || Ok(()))
    }

    /// Of attributes without values nothing is said. `begin` says whether it may be tried, each time.
    fn replace_all(
        &mut self,
        dn: &str,
        all: &[&Secrets<'_>],
        until: Instant,
        begin: &mut dyn FnMut() -> Result<(), Failure>,
    ) -> Result<BindOutcome, DirectoryError> {
        self.call(until, |connection, until| {
            begin()?;
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
        })
    }
}

/// Something that is not tried again where it is not known whether it was done: a password that was changed is refused the
/// second time, as one that was used lately or is too young, and who has it would hear that it was not changed.
#[derive(Default)]
struct Once {
    is_begun: bool,
}

impl Once {
    fn begin(&mut self) -> Result<(), Failure> {
        match std::mem::replace(&mut self.is_begun, true) {
            true => Err(Failure::Answer(DirectoryError::NoServer(
                UNKNOWN.to_owned(),
            ))),
            false => Ok(()),
        }
    }
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

const UNKNOWN: &str = "a change of a password was not answered, and may have been made";
const PASSWORD_MODIFY: &str = "1.3.6.1.4.1.4203.1.11.1";
