//! What a stream asks the auth thread, and what it hears. The front of every back end that verifies users:
//! the embedded store today, the directory next. The asker never learns whether an account exists.

use std::sync::Arc;

use crate::base::{AccountId, AddressPrefix, Generation, Secret};

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
    /// The back end could not be asked: `temporary-auth-failure`.
    Unavailable,
}
