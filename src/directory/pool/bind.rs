//! Passwords that are tried, and what a server says of what it was told to do. Refuses to judge what follows for whoever tries.

use std::time::Instant;

use ldap3::LdapResult;
use ldap3::controls::RawControl;

use super::{BUSY, Failure, Link, REFERRAL, UNAVAILABLE, failure, refused, remaining};
use crate::base::Secret;
use crate::directory::ber::PolicyWords;
use crate::directory::error::DirectoryError;

/// What came of a bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindOutcome {
    /// The result code of RFC 4511 appendix A.
    pub code: u32,
    /// The directory's own words.
    pub text: String,
    pub policy: PolicyWords,
}

impl Link {
    /// Tries a password. RFC 4513 section 5.1.2: "Servers SHOULD by default fail Unauthenticated Bind requests", which not
    /// all do: an empty one is never sent.
    ///
    /// # Errors
    /// As [`Link::search`]; a password that is wrong is none.
    pub fn bind(
        &mut self,
        dn: &str,
        password: &Secret,
        until: Instant,
    ) -> Result<BindOutcome, DirectoryError> {
        let Ok(text) = std::str::from_utf8(password.expose()) else {
            return Ok(BindOutcome::wrong());
        };
        if text.is_empty() || dn.is_empty() {
            return Ok(BindOutcome::wrong());
        }
        let tried = self.call(until, |connection, until| {
            let result = connection
                .with_timeout(remaining(until)?)
                .with_controls(asking_for_policy())
                .simple_bind(dn, text);
            outcome(result.map_err(failure)?)
        });
        if tried.as_ref().is_ok_and(BindOutcome::is_success) {
            self.offer_bind(dn, password);
        }
        tried
    }
}

impl BindOutcome {
    /// As if the directory had said so.
    pub(super) fn wrong() -> BindOutcome {
        BindOutcome {
            code: INVALID_CREDENTIALS,
            text: String::new(),
            policy: PolicyWords::default(),
        }
    }

    /// RFC 4511 appendix A.1: success.
    pub fn is_success(&self) -> bool {
        self.code == 0
    }
}

/// Asks for the words of a password policy beside the result (draft-behera-ldap-password-policy-10 section 6.1).
pub(super) fn asking_for_policy() -> RawControl {
    RawControl {
        ctype: PASSWORD_POLICY.to_owned(),
        crit: false,
        val: None,
    }
}

/// What a bind's answer says; a server that cannot work is as good as none.
pub(super) fn outcome(result: LdapResult) -> Result<BindOutcome, Failure> {
    if matches!(result.rc, BUSY | UNAVAILABLE) {
        return Err(refused(result));
    }
    if result.rc == REFERRAL {
        return Err(Failure::Answer(DirectoryError::Referred));
    }
    let mut policy = PolicyWords::default();
    for control in &result.ctrls {
        match (control.1.ctype.as_str(), &control.1.val) {
            (PASSWORD_POLICY, Some(value)) => policy = PolicyWords::read(value),
            // What 389 DS says in its own old way (draft-vchu-ldap-pwd-policy-00).
            (PASSWORD_EXPIRED, _) => policy.error = policy.error.or(Some(0)),
            _ => {}
        }
    }
    Ok(BindOutcome {
        code: result.rc,
        text: result.text,
        policy,
    })
}

/// draft-behera-ldap-password-policy-10 section 6.1.
const PASSWORD_POLICY: &str = "1.3.6.1.4.1.42.2.27.8.5.1";
const PASSWORD_EXPIRED: &str = "2.16.840.1.113730.3.4.4";
const INVALID_CREDENTIALS: u32 = 49;
