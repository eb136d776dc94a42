//! The options of accounts: what is kept for them, how much of it, and their credentials. Refuses to know the
//! clients that are connected.

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use crate::base::limits;
use crate::config::units::{Duration, Size};

/// Messages to accounts.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// Which messages are written to disk before they are acknowledged to the sender: "always" all, so that none is
    /// lost in a crash; "offline-only" those whose recipient is not connected.
    /// reload: live
    pub keep: Keep,
    /// Offline messages kept for one account. What contacts send beyond it is in its archive only (features.mam), and
    /// sessions that could be resumed end, so that their clients look there; strangers, who get a tenth, and without
    /// archives everybody hear `service-unavailable`.
    /// reload: live
    pub offline_count: u32,
    /// Bytes of the same.
    /// reload: live
    pub offline_size: Size,
}

impl Default for Delivery {
    fn default() -> Delivery {
        Delivery {
            keep: Keep::default(),
            offline_count: limits::PENDING_COUNT_MAX as u32,
            offline_size: Size::from_bytes(limits::PENDING_BYTES_MAX as u64),
        }
    }
}

/// Contacts and subscriptions.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Roster {
    /// Contacts in one roster; beyond it clients hear `resource-constraint`.
    /// reload: live
    pub items: u32,
    /// Bytes of the same: addresses, names and groups, at most 4 MiB.
    /// reload: live
    pub size: Size,
    /// Subscription requests that wait for one user's answer, at most 500; further ones are dropped, as if the user
    /// did not answer.
    /// reload: live
    pub requests: u32,
}

impl Default for Roster {
    fn default() -> Roster {
        Roster {
            items: limits::ROSTER_ITEMS_MAX,
            size: Size::from_bytes(limits::ROSTER_BYTES_MAX),
            requests: limits::REQUEST_COUNT_MAX,
        }
    }
}

/// What an account keeps for its clients and shows of itself.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Bytes of one account's private XML (XEP-0049), at most 1 MiB; beyond it clients hear `resource-constraint`.
    /// reload: live
    pub private_size: Size,
    /// Namespaces of the same.
    /// reload: live
    pub private_namespaces: u32,
    /// Bytes of one vCard (XEP-0054) with its photo; a larger one is `not-acceptable`.
    /// reload: live
    pub vcard_size: Size,
}

impl Default for Profile {
    fn default() -> Profile {
        Profile {
            private_size: Size::from_bytes(limits::PRIVATE_BYTES_MAX),
            private_namespaces: limits::PRIVATE_NAMESPACES_MAX,
            vcard_size: Size::from_bytes(limits::VCARD_BYTES_MAX),
        }
    }
}

/// Who keeps others away (XEP-0191), and tells you why (XEP-0377).
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blocking {
    /// Addresses in one blocklist, at most 10000; beyond it clients hear `resource-constraint`.
    /// reload: live
    pub items: u32,
    /// Address to which reports of spam and abuse go as messages; they are in the audit file in any case. If it is not
    /// on this server, only those go whose writers agreed that others read them. If empty, none go.
    /// reload: live
    pub report_to: String,
}

impl Default for Blocking {
    fn default() -> Blocking {
        Blocking {
            items: limits::BLOCKLIST_ITEMS_MAX,
            report_to: String::new(),
        }
    }
}

/// Which messages are written to disk before they are acknowledged.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// All (DESIGN section 20).
    #[default]
    Always,
    /// Those whose recipient is not connected.
    OfflineOnly,
}

/// Accounts and their credentials.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// PBKDF2 iterations of new SCRAM keys, 4096 to 1000000; older keys follow at their account's next PLAIN login.
    /// reload: live
    pub scram_iterations: u32,
    /// How long the name of a removed account cannot be taken again.
    /// reload: live
    pub tombstone: Duration,
    /// Whether a user who changes the password ends all other sessions of the account.
    /// reload: live
    pub password_change_ends_sessions: bool,
    /// Invitations of one account that may be open at a time, at most 1000.
    /// reload: live
    pub invitations_per_account: u32,
    /// How long a token for fast authentication is good (XEP-0484); when half of it is over its client gets another.
    /// At least "1 h".
    /// reload: live
    pub token_expiry: Duration,
    /// Clients of one account that may have such tokens, at most 1000; the one whose token ends first gives way.
    /// reload: live
    pub token_clients: u32,
    /// Whether tokens are offered that are not bound to the TLS channel, which clients in browsers need.
    /// reload: live
    pub token_unbound: bool,
}

impl Default for Auth {
    fn default() -> Auth {
        Auth {
            scram_iterations: limits::SCRAM_ITERATIONS,
            tombstone: Duration::from_ms(limits::TOMBSTONE_MS),
            password_change_ends_sessions: true,
            invitations_per_account: limits::INVITATIONS_PER_ACCOUNT_MAX,
            token_expiry: Duration::from_ms(limits::TOKEN_EXPIRY_MS),
            token_clients: limits::TOKEN_CLIENTS_MAX,
            token_unbound: true,
        }
    }
}
