//! Why an authentication did not succeed, in the words of RFC 6120 section 6.5. Refuses to know more than
//! the peer may: an unknown account is a wrong password.

use std::fmt;

/// What the peer is told: the conditions of RFC 6120 section 6.5, all of them, some in several variants where people have
/// to do different things. XEP-0388 section 2.6.2 uses the same ones, in the same namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslFailure {
    /// The client sent `<abort/>`.
    Aborted,
    /// The account is disabled. For back ends whose policy is to tell; our own store answers `NotAuthorized`.
    AccountDisabled,
    /// The account is disabled for a while, because of wrong passwords.
    AccountLocked,
    /// The credentials were right once.
    CredentialsExpired,
    /// The mechanism sends a password and the stream is not encrypted.
    EncryptionRequired,
    /// The base64 is wrong.
    IncorrectEncoding,
    /// The authorization identity is not the account itself.
    InvalidAuthzid,
    /// The mechanism was not offered.
    InvalidMechanism,
    /// The message breaks the mechanism's grammar, or came out of order.
    MalformedRequest,
    /// Policy wants more of this account than the mechanism gives.
    MechanismTooWeak,
    /// Everything that must not be told apart.
    NotAuthorized,
    /// The credentials are right, and good for nothing but being changed.
    PasswordMustChange,
    /// The back end could not be asked.
    TemporaryAuthFailure,
}

impl SaslFailure {
    /// The condition's element name.
    pub fn element_name(self) -> &'static str {
        match self {
            SaslFailure::Aborted => "aborted",
            SaslFailure::AccountDisabled | SaslFailure::AccountLocked => "account-disabled",
            SaslFailure::CredentialsExpired | SaslFailure::PasswordMustChange => {
                "credentials-expired"
            }
            SaslFailure::EncryptionRequired => "encryption-required",
            SaslFailure::IncorrectEncoding => "incorrect-encoding",
            SaslFailure::InvalidAuthzid => "invalid-authzid",
            SaslFailure::InvalidMechanism => "invalid-mechanism",
            SaslFailure::MalformedRequest => "malformed-request",
            SaslFailure::MechanismTooWeak => "mechanism-too-weak",
            SaslFailure::NotAuthorized => "not-authorized",
            SaslFailure::TemporaryAuthFailure => "temporary-auth-failure",
        }
    }

    /// Whether the attempt may have been a guess (who has credentials that have expired holds them), so that the peer hears of it only when
    /// `AuthAsk::Failed` is answered.
    pub fn may_be_a_guess(self) -> bool {
        matches!(
            self,
            SaslFailure::AccountDisabled | SaslFailure::AccountLocked | SaslFailure::NotAuthorized
        )
    }
}

impl fmt::Display for SaslFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SaslFailure::Aborted => "the client gave up",
            SaslFailure::AccountDisabled => "the account is disabled",
            SaslFailure::AccountLocked => {
                "the account is locked after too many wrong passwords: wait, or ask your administrator"
            }
            SaslFailure::CredentialsExpired => "the credentials have expired",
            SaslFailure::EncryptionRequired => "this mechanism needs an encrypted stream",
            SaslFailure::IncorrectEncoding => "the data is not base64",
            SaslFailure::InvalidAuthzid => "you may act as your own account only",
            SaslFailure::InvalidMechanism => "the mechanism was not offered",
            SaslFailure::MalformedRequest => "the message does not fit the mechanism",
            SaslFailure::MechanismTooWeak => "a stronger mechanism is required",
            SaslFailure::NotAuthorized => "the name or the password is wrong",
            SaslFailure::PasswordMustChange => {
                "the password must be changed before anybody can log in with it"
            }
            SaslFailure::TemporaryAuthFailure => "authentication is not possible right now",
        })
    }
}
