//! What a stream asks the auth thread, and what it hears. The front of every back end that verifies users:
//! the embedded store and directories. The asker never learns whether an account exists.

use std::sync::Arc;

use super::rows::RowKey;
use crate::base::{AccountId, AddressPrefix, Generation, Secret, Uuid};
use crate::jid::Jid;
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
    /// Whose entry a certificate's subject is the name of (SASL EXTERNAL), of a host whose users live in a directory;
    /// with the account that the peer wishes for, if it named one.
    Certified {
        host: Arc<str>,
        subject: Arc<str>,
        localpart: Option<Arc<str>>,
    },
    /// An attempt failed: answers [`AuthAnswer::Released`] when the peer may be told, which is later the
    /// more often this prefix and this account have failed. `localpart` is none if none was named.
    Failed {
        host: Arc<str>,
        localpart: Option<Arc<str>>,
        prefix: AddressPrefix,
    },
    /// Of these digests, those whose keys an account lacks, or has with fewer iterations than its host wants (XEP-0480).
    Upgrades {
        host: Arc<str>,
        localpart: Arc<str>,
        account: AccountRef,
        hashes: Vec<ScramHash>,
    },
    /// Keys that a client made which has proved the password, from this address.
    TakeKeys {
        host: Arc<str>,
        localpart: Arc<str>,
        account: AccountRef,
        keys: Box<ScramKeys>,
        prefix: AddressPrefix,
    },
    /// Whether somebody holds a token (XEP-0484).
    Token(Box<TokenProof>),
    /// A token for a client that has proved who it is.
    IssueToken(Box<TokenWish>),
    /// A user changes the own account; from this address, if that is known.
    Own(AccountAsk, Option<AddressPrefix>),
    /// Somebody who has no account wishes for one (XEP-0077).
    Register(Box<Registration>),
    /// Whether somebody who shows this token may register (XEP-0445).
    Invitation {
        host: Arc<str>,
        token: Secret,
        prefix: AddressPrefix,
    },
    /// An account was removed: everything else that it had goes, and its contacts are written to
    /// ([`crate::im::outgoing`]).
    Purge(AccountId),
}

/// A mechanism of the family HT-SHA-256 (XEP-0484): by what of the channel its token is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenMechanism {
    Exporter,
    EndPoint,
    Unbound,
}

impl TokenMechanism {
    /// All of them, best first.
    pub const ALL: [TokenMechanism; 3] = [
        TokenMechanism::Exporter,
        TokenMechanism::EndPoint,
        TokenMechanism::Unbound,
    ];

    /// Its name in SASL.
    pub fn name(self) -> &'static str {
        match self {
            TokenMechanism::Exporter => "HT-SHA-256-EXPR",
            TokenMechanism::EndPoint => "HT-SHA-256-ENDP",
            TokenMechanism::Unbound => "HT-SHA-256-NONE",
        }
    }

    /// The mechanism of that name.
    pub fn from_name(name: &str) -> Option<TokenMechanism> {
        TokenMechanism::ALL.into_iter().find(|m| m.name() == name)
    }

    /// What rows call it.
    pub fn code(self) -> u8 {
        match self {
            TokenMechanism::Exporter => 1,
            TokenMechanism::EndPoint => 2,
            TokenMechanism::Unbound => 3,
        }
    }

    /// The mechanism that rows call so.
    pub fn from_code(code: u8) -> Option<TokenMechanism> {
        TokenMechanism::ALL.into_iter().find(|m| m.code() == code)
    }
}

/// The proof that somebody holds a token, and what else was asked with it.
#[derive(Clone, Debug)]
pub struct TokenProof {
    pub host: Arc<str>,
    pub localpart: Arc<str>,
    /// The client to which the token was given.
    pub client: Uuid,
    pub mechanism: TokenMechanism,
    /// What the channel is bound by.
    pub binding: Secret,
    pub proof: Secret,
    /// How often the client has tried, if it counts.
    pub count: Option<u32>,
    /// The token ends with this login.
    pub invalidates: bool,
    /// Another token is wished for, of this mechanism.
    pub request: Option<TokenMechanism>,
}

/// A wish for a token.
#[derive(Clone, Debug)]
pub struct TokenWish {
    pub host: Arc<str>,
    pub localpart: Arc<str>,
    pub account: AccountRef,
    pub client: Uuid,
    pub mechanism: TokenMechanism,
}

/// A token as its client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreshToken {
    pub token: Secret,
    /// In milliseconds since 1970.
    pub expires_wall_ms: u64,
}

/// What a user asks for the own account. It is done once, however often the turn runs that asks for it; and not at all
/// if the account is of another generation by then, for whoever asks may have been thrown out with the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountAsk {
    /// Another password. Derivation happens on the auth thread; every token made under the old one ends.
    SetPassword {
        host: Arc<str>,
        localpart: Arc<str>,
        account: AccountRef,
        password: Secret,
    },
    /// No account any more.
    Remove {
        host: Arc<str>,
        localpart: Arc<str>,
        account: AccountRef,
    },
    /// Which clients have tokens (XEP-0484).
    Clients {
        host: Arc<str>,
        localpart: Arc<str>,
        id: AccountId,
    },
    /// Clients have none any more.
    Revoke {
        host: Arc<str>,
        localpart: Arc<str>,
        account: AccountRef,
        clients: Clients,
    },
    /// An invitation by which somebody becomes a contact, and registers where the host allows it (XEP-0401 section 5.1):
    /// under `name`, which is kept for them, if there is one. That is prepared, and allowed by the host's rules.
    Invite {
        host: Arc<str>,
        localpart: Arc<str>,
        account: AccountRef,
        name: Option<String>,
    },
    /// One use of an invitation by which this contact asks for a subscription (XEP-0379). Registrations use the same
    /// ones, and of all who come at once with one that serves once, one is served.
    Redeem { invitation: RowKey, contact: Jid },
}

impl AccountAsk {
    /// The account is so by now; whoever runs again asks for this one.
    pub fn renew(&mut self, now: AccountRef) {
        match self {
            AccountAsk::SetPassword { account, .. }
            | AccountAsk::Remove { account, .. }
            | AccountAsk::Revoke { account, .. }
            | AccountAsk::Invite { account, .. } => *account = now,
            AccountAsk::Clients { .. } | AccountAsk::Redeem { .. } => {}
        }
    }
}

/// Some of an account's clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// These.
    These(Vec<Uuid>),
    /// All but this one.
    AllBut(Option<Uuid>),
}

impl Clients {
    /// Whether this one is meant.
    pub fn include(&self, client: Uuid) -> bool {
        match self {
            Clients::These(these) => these.contains(&client),
            Clients::AllBut(one) => *one != Some(client),
        }
    }
}

/// A client that has a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownClient {
    pub client: Uuid,
    /// When it got the last one, in milliseconds since 1970.
    pub issued_wall_ms: u64,
    /// Until when that is good.
    pub expires_wall_ms: u64,
}

/// A wish for an account.
#[derive(Clone, Debug)]
pub struct Registration {
    pub host: Arc<str>,
    /// Prepared, and allowed by the host's rules.
    pub localpart: Arc<str>,
    pub password: Secret,
    pub prefix: AddressPrefix,
    /// The invitation by which they come, found good before.
    pub token: Option<Secret>,
    /// What else the operator asks for, by the names of the fields.
    pub fields: Vec<(String, String)>,
}

/// Why nobody can be registered now, or under this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationError {
    /// The name is taken, or was until lately.
    Conflict,
    /// Only who is invited may register.
    NotInvited,
    /// The invitation is for somebody of another name.
    OtherName,
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
            RegistrationError::NotInvited => (
                Condition::NotAllowed,
                "An invitation is needed to register here",
            ),
            RegistrationError::OtherName => (
                Condition::NotAcceptable,
                "The invitation is for another name",
            ),
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

/// An account that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    pub id: AccountId,
    /// Whoever invited them has to be told ([`crate::im::outgoing`]).
    pub tells: bool,
}

/// What became of an [`AccountAsk`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountAnswer {
    /// It is so. The account as it is now, or was until now.
    Done(AccountRef),
    /// To `Invite`.
    Invited {
        token: Secret,
        expires_wall_ms: u64,
        registers: bool,
    },
    /// To `Redeem`: it is used up so far, durably.
    Redeemed,
    /// To `Clients`: the one that got a token last comes first.
    Clients(Vec<KnownClient>),
    /// As many invitations are open as may be; or it was changed as often as may be for now.
    TooMany,
    /// So many names were asked for that are taken: whoever asks finds out who is here.
    TooManyNames,
    /// Somebody has the name, had it until lately, or is invited under it.
    NameTaken,
    /// There is no such account any more, or it may not log in; or no such invitation.
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

impl AccountRef {
    /// Whether this is what the account was before it became the other; nobody else's becomes it.
    pub fn is_before(self, now: AccountRef) -> bool {
        self.id != now.id || self.generation.is_before(now.generation)
    }
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

impl ScramKeys {
    /// What a stranger sees of them.
    pub fn shape(&self) -> KeyShape {
        KeyShape {
            hash: self.hash,
            iterations: self.iterations,
            // RFC 5802 has no bound; no directory's keys with a longer one are taken (`directory/keys.rs`).
            salt_bytes: u8::try_from(self.salt.len()).unwrap_or(u8::MAX),
        }
    }
}

/// What a stranger who asks for somebody's keys sees of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyShape {
    pub hash: ScramHash,
    pub iterations: u32,
    pub salt_bytes: u8,
}

/// By what a client shall derive keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpgradeTerms {
    pub hash: ScramHash,
    pub iterations: u32,
    /// Fresh.
    pub salt: Vec<u8>,
}

/// Why somebody does not come in whom a directory knows, in words that its administrator wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// The account is closed.
    Disabled,
    /// The password has expired.
    Expired,
    /// Too many wrong passwords were tried.
    Locked,
    /// The password was given by an administrator, and must be changed first.
    MustChange,
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
    /// To `Certified`.
    Certified {
        localpart: Arc<str>,
        account: AccountRef,
    },
    /// To `Password`, `Admission`, `Certified`, `Token` and `IssueToken`: wrong, unknown or disabled, without saying which.
    Refused,
    /// To `Token`: it is the right one, and another if it is time for that.
    Proved {
        account: AccountRef,
        /// What proves us to the client.
        responder: Secret,
        token: Option<FreshToken>,
    },
    /// To `Password` and `Admission`: whoever it is, they do not come in, and may know why.
    Barred(Bar),
    /// To `Token`: it was the right one.
    Expired,
    /// To `IssueToken`.
    Issued(FreshToken),
    /// To `Failed`: the peer may be told now.
    Released,
    /// To `Upgrades`.
    Upgrades(Vec<UpgradeTerms>),
    /// To `TakeKeys`.
    Taken,
    /// To `Own`.
    Own(AccountAnswer),
    /// To `Register`.
    Registered(Result<Registered, RegistrationError>),
    /// To `Invitation`.
    Invited(bool),
    /// To `Purge`: nothing is left, and what contacts have to hear is stored.
    Purged(AccountId),
    /// The back end could not be asked: `temporary-auth-failure`.
    Unavailable,
}
