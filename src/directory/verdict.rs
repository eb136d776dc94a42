//! What a directory means by its answer to a password, each kind in its own words. Refuses to know who is told.

use super::error::DirectoryError;
use super::pool::BindOutcome;
use crate::actor::auth::{AccountAnswer, Bar};
use crate::config::DirectoryPreset;

/// What a bind says about a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is right, and nobody comes in by it.
    Barred(Bar),
    Right,
    /// Nobody comes in by any: the directory does not say whether it is right.
    Shut(Bar),
    Wrong,
}

/// The verdict on a bind.
///
/// # Errors
/// `Refused`: the directory did not judge the password.
pub fn of_bind(preset: DirectoryPreset, outcome: BindOutcome) -> Result<Verdict, DirectoryError> {
    if let Some(verdict) = bar_of(preset, &outcome) {
        return Ok(verdict);
    }
    match outcome.code {
        SUCCESS => Ok(Verdict::Right),
        // No such entry, no password, or none of this kind: all of them are a wrong password.
        INAPPROPRIATE_AUTHENTICATION | INVALID_CREDENTIALS | INVALID_DN | NO_SUCH_OBJECT => {
            Ok(Verdict::Wrong)
        }
        code => Err(DirectoryError::Refused {
            code,
            text: outcome.text,
        }),
    }
}

fn bar_of(preset: DirectoryPreset, outcome: &BindOutcome) -> Option<Verdict> {
    use Verdict::{Barred, Shut};
    // draft-behera-ldap-password-policy-10 section 6.2: passwordExpired (0), accountLocked (1), changeAfterReset (2).
    // Section 8.1: whether an account is locked is seen to before the password is.
    match (outcome.policy.error, outcome.code) {
        // "Account inactivated. Contact system administrator.": 389 DS says so, too, with accountLocked.
        (Some(1), UNWILLING) if preset == DirectoryPreset::Ds389 => {
            return Some(Shut(Bar::Disabled));
        }
        (Some(0), _) => return Some(Barred(Bar::Expired)),
        (Some(1), SUCCESS) => return Some(Barred(Bar::Locked)),
        (Some(1), _) => return Some(Shut(Bar::Locked)),
        (Some(2), _) => return Some(Barred(Bar::MustChange)),
        _ => {}
    }
    match (preset, outcome.code) {
        // "80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data 775, v3839": the number behind
        // "data" is a Windows error in hexadecimal. All but the last come with the right password only.
        (DirectoryPreset::ActiveDirectory, INVALID_CREDENTIALS) => {
            let (_, data) = outcome.text.split_once("data ")?;
            match data.split([',', ' ']).next()? {
                // ERROR_PASSWORD_EXPIRED.
                "532" => Some(Barred(Bar::Expired)),
                // ERROR_ACCOUNT_DISABLED, ERROR_ACCOUNT_EXPIRED; ERROR_INVALID_LOGON_HOURS, ERROR_INVALID_WORKSTATION: not now, or
                // not there. RFC 6120 section 6.5.2: "temporarily disabled".
                "533" | "701" | "530" | "531" => Some(Barred(Bar::Disabled)),
                // ERROR_PASSWORD_MUST_CHANGE.
                "773" => Some(Barred(Bar::MustChange)),
                // ERROR_ACCOUNT_LOCKED_OUT.
                "775" => Some(Shut(Bar::Locked)),
                _ => None,
            }
        }
        // "Exceed password retry limit".
        (DirectoryPreset::Ds389, CONSTRAINT_VIOLATION) => Some(Shut(Bar::Locked)),
        _ => None,
    }
}

/// What a user hears whose new password the directory did not take.
///
/// # Errors
/// `Refused`: not because of the password.
pub fn of_change(outcome: BindOutcome) -> Result<AccountAnswer, DirectoryError> {
    match outcome.code {
        // Too short, too simple, one of the last ones; too young (RFC 4511 appendix A.2).
        CONSTRAINT_VIOLATION | UNWILLING => Ok(AccountAnswer::PasswordUnfit),
        code => Err(DirectoryError::Refused {
            code,
            text: outcome.text,
        }),
    }
}

const SUCCESS: u32 = 0;
const CONSTRAINT_VIOLATION: u32 = 19;
const NO_SUCH_OBJECT: u32 = 32;
const INVALID_DN: u32 = 34;
const INAPPROPRIATE_AUTHENTICATION: u32 = 48;
const INVALID_CREDENTIALS: u32 = 49;
const UNWILLING: u32 = 53;

#[cfg(test)]
mod tests {
    use super::super::ber::PolicyWords;
    use super::*;

    fn outcome(code: u32, text: &str, error: Option<u64>) -> BindOutcome {
        BindOutcome {
            code,
            text: text.to_owned(),
            policy: PolicyWords {
                error,
                ..PolicyWords::default()
            },
        }
    }

    #[test]
    fn every_directory_has_its_own_words_for_the_same() {
        use DirectoryPreset::{Ds389, OpenLdap};
        let of = |preset, code, text: &str, error| of_bind(preset, outcome(code, text, error));
        let barred = |bar| Ok(Verdict::Barred(bar));
        let shut = |bar| Ok(Verdict::Shut(bar));
        assert_eq!(of(OpenLdap, 0, "", None), Ok(Verdict::Right));
        assert_eq!(of(OpenLdap, 49, "", None), Ok(Verdict::Wrong));
        assert_eq!(of(OpenLdap, 49, "", Some(1)), shut(Bar::Locked));
        assert_eq!(of(OpenLdap, 49, "", Some(0)), barred(Bar::Expired));
        assert_eq!(of(OpenLdap, 0, "", Some(2)), barred(Bar::MustChange));
        assert_eq!(of(Ds389, 19, "", None), shut(Bar::Locked));
        assert_eq!(of(Ds389, 19, "", Some(1)), shut(Bar::Locked));
        assert_eq!(of(Ds389, 53, "", Some(1)), shut(Bar::Disabled));
        // Not a word about the password: nobody is told that it is wrong.
        assert!(of(OpenLdap, 13, "confidentiality required", None).is_err());
        assert!(of(OpenLdap, 53, "", None).is_err());
        assert!(of(Ds389, 53, "", None).is_err());
    }

    #[test]
    fn active_directory_says_by_a_number_why_nobody_comes_in() {
        use DirectoryPreset::{ActiveDirectory, OpenLdap};
        let of = |preset, code, data: &str| {
            let text = format!(
                "80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data {data}, v3839"
            );
            of_bind(preset, outcome(code, &text, None))
        };
        for (data, verdict) in [
            // ERROR_NO_SUCH_USER, ERROR_LOGON_FAILURE.
            ("525", Verdict::Wrong),
            ("52e", Verdict::Wrong),
            ("530", Verdict::Barred(Bar::Disabled)),
            ("531", Verdict::Barred(Bar::Disabled)),
            ("532", Verdict::Barred(Bar::Expired)),
            ("533", Verdict::Barred(Bar::Disabled)),
            ("701", Verdict::Barred(Bar::Disabled)),
            ("773", Verdict::Barred(Bar::MustChange)),
            ("775", Verdict::Shut(Bar::Locked)),
            // Nothing that we know.
            ("", Verdict::Wrong),
            ("0", Verdict::Wrong),
            ("5320", Verdict::Wrong),
        ] {
            assert_eq!(of(ActiveDirectory, 49, data), Ok(verdict), "{data}");
            // To others it is a word like any.
            assert_eq!(of(OpenLdap, 49, data), Ok(Verdict::Wrong), "{data}");
            assert_eq!(of(ActiveDirectory, 0, data), Ok(Verdict::Right), "{data}");
        }
    }

    #[test]
    fn a_new_password_is_unfit_or_the_directory_is() {
        let of = |code| of_change(outcome(code, "", None));
        assert_eq!(of(19), Ok(AccountAnswer::PasswordUnfit));
        assert!(of(50).is_err());
    }
}
