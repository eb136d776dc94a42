//! What a stream asks the auth thread, and what it hears. The front of every back end that verifies users:
//! the embedded store today, the directory next. The asker never learns whether an account exists.

use std::sync::Arc;

use crate::base::{AccountId, AddressPrefix, Generation, Secret};
use crate::stanza::{Condition, ErrorType, StanzaError};

pub use crate::config::ScramHash;

/// A question to the auth thread. Names are prepared (RFC 7622 section 3.3) before they are asked.
#[derive(Debug)]
pub enum AuthAsk {
    /// The SCRAM keys of an account. For an unknown or disabled one the answer has the same shape and
    /// costs the same reads: a stable fake salt and keys that no password matches.
    ScramKeys {
        host: Arc<str>,
        localpart: Arc<str>,
        hash: ScramHash,
    },
    /// Whether `password` is the account's (SASL PLAIN). Derivation happens on the auth thread, which
    /// also upgrades the stored keys when the host's iteration count was raised.
    Password {
        host: Arc<str>,
        localpart: Arc<str>,
        password: Secret,
    },
    /// Whether the account may log in, its identity being proved otherwise (SASL EXTERNAL).
    Admission { host: Arc<str>, localpart: Arc<str> },
    /// An attempt failed: answers [`AuthAnswer::Released`] when the peer may be told, which is later the
    /// more often this prefix and this account have failed. `localpart` is none if none was named.
    Failed {
        host: Arc<str>,
        localpart: Option<Arc<str>>,
        prefix: AddressPrefix,
    },
    /// A user changes the own account.
    Own(AccountAsk),
    /// Somebody who has no account wishes for one (XEP-0077).
    Register(Box<Registration>),
    /// An account was removed: everything else that it had goes, and its contacts are written to
    /// ([`crate::im::outgoing`]).
    Purge(AccountId),
}

/// What a user asks for the own account. It is done once, however often the turn runs that asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountAsk {
    /// Another password. Derivation happens on the auth thread; every token made under the old one ends.
    SetPassword {
        host: Arc<str>,
        localpart: Arc<str>,
        id: AccountId,
        password: Secret,
    },
    /// No account any more.
    Remove {
        host: Arc<str>,
        localpart: Arc<str>,
        id: AccountId,
    },
}

/// A wish for an account.
#[derive(Clone, Debug)]
pub struct Registration {
    pub host: Arc<str>,
    /// Prepared, and allowed by the host's rules.
    pub localpart: Arc<str>,
    pub password: Secret,
    pub prefix: AddressPrefix,
    /// What else the operator asks for, by the names of the fields.
    pub fields: Vec<(String, String)>,
}

/// Why nobody can be registered now, or under this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationError {
    /// The name is taken, or was until lately.
    Conflict,
    /// No password may be this.
    PasswordUnfit,
    /// This address, or the host as a whole, has made as many accounts as it may for now.
    TooMany,
    /// The back end could not be asked.
    Unavailable,
}

impl RegistrationError {
    /// What the peer hears.
    pub fn to_stanza_error(self) -> StanzaError {
        let (condition, text) = match self {
            RegistrationError::Conflict => (Condition::Conflict, "This name is taken"),
            RegistrationError::PasswordUnfit => (
                Condition::NotAcceptable,
                "The password is empty, too long, or holds characters that no password may hold",
            ),
            RegistrationError::TooMany => (
                Condition::ResourceConstraint,
                "Too many accounts were registered lately, try again later",
            ),
            RegistrationError::Unavailable => (
                Condition::InternalServerError,
                "Registration is not possible right now",
            ),
        };
        match self {
            RegistrationError::Unavailable => {
                StanzaError::new(condition, text).of_type(ErrorType::Wait)
            }
            _ => StanzaError::new(condition, text),
        }
    }
}

/// What became of an [`AccountAsk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountAnswer {
    /// It is so. The account as it is now, or was until now.
    Done(AccountRef),
    /// There is no such account any more, or it may not log in.
    Gone,
    /// No password may be this.
    PasswordUnfit,
}

/// Which account, beyond its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountRef {
    pub id: AccountId,
    pub generation: Generation,
}

/// RFC 5802 section 3: what a server stores in place of a password.
#[derive(Clone, Debug)]
pub struct ScramKeys {
    pub hash: ScramHash,
    pub iterations: u32,
    pub salt: Vec<u8>,
    pub stored_key: Secret,
    pub server_key: Secret,
}

/// The auth thread's verdict.
#[derive(Debug)]
pub enum AuthAnswer {
    /// To `ScramKeys`. `account` is none for the fake: whatever the client proves is then refused.
    ScramKeys {
        keys: ScramKeys,
        account: Option<AccountRef>,
    },
    /// To `Password` and `Admission`.
    Admitted(AccountRef),
    /// To `Password` and `Admission`: wrong, unknown or disabled, without saying which.
    Refused,
    /// To `Failed`: the peer may be told now.
    Released,
    /// To `Own`.
    Own(AccountAnswer),
    /// To `Register`.
    Registered(Result<AccountId, RegistrationError>),
    /// To `Purge`: nothing is left, and what contacts have to hear is stored.
    Purged(AccountId),
    /// The back end could not be asked: `temporary-auth-failure`.
    Unavailable,
}
