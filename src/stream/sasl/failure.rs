//! Why an authentication did not succeed, in the words of RFC 6120 section 6.5. Refuses to know more than
//! the peer may: an unknown account is a wrong password.

use std::fmt;

/// What the peer is told; each variant is one condition of RFC 6120 section 6.5, and together they are all
/// of them. XEP-0388 section 2.6.2 uses the same ones, in the same namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslFailure {
    /// The client sent `<abort/>`.
    Aborted,
    /// The account is disabled. Kept for back ends whose policy is to tell; ours answers `NotAuthorized`.
    AccountDisabled,
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
    /// The back end could not be asked.
    TemporaryAuthFailure,
}

impl SaslFailure {
    /// The condition's element name.
    pub fn element_name(self) -> &'static str {
        match self {
            SaslFailure::Aborted => "aborted",
            SaslFailure::AccountDisabled => "account-disabled",
            SaslFailure::CredentialsExpired => "credentials-expired",
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
            SaslFailure::AccountDisabled | SaslFailure::NotAuthorized
        )
    }
}

impl fmt::Display for SaslFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SaslFailure::Aborted => "the client gave up",
            SaslFailure::AccountDisabled => "the account is disabled",
            SaslFailure::CredentialsExpired => "the credentials have expired",
            SaslFailure::EncryptionRequired => "this mechanism needs an encrypted stream",
            SaslFailure::IncorrectEncoding => "the data is not base64",
            SaslFailure::InvalidAuthzid => "you may act as your own account only",
            SaslFailure::InvalidMechanism => "the mechanism was not offered",
            SaslFailure::MalformedRequest => "the message does not fit the mechanism",
            SaslFailure::MechanismTooWeak => "a stronger mechanism is required",
            SaslFailure::NotAuthorized => "the name or the password is wrong",
            SaslFailure::TemporaryAuthFailure => "authentication is not possible right now",
        })
    }
}
