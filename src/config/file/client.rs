//! The options of clients' streams and sessions (RFC 6120, XEP-0198, XEP-0352): sizes, rates and times. Refuses to know
//! what an account keeps.

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use crate::base::limits;
use crate::config::units::{Duration, Size};

/// What compression remembers.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dictionary {
    /// What the same sender said just before.
    #[default]
    Sender,
    /// What was sent before, by whomever.
    Stream,
}

/// Streams of clients.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct C2s {
    /// Largest stanza after authentication, told to clients by XEP-0478; at least 10000 B.
    /// reload: live
    pub element_size: Size,
    /// Silence after which a client is pinged (XEP-0199).
    /// reload: live
    pub ping_after: Duration,
    /// Time a pinged client has to send anything.
    /// reload: live
    pub ping_timeout: Duration,
    /// Time from the connection to a bound session.
    /// reload: live
    pub negotiation_timeout: Duration,
    /// Time for the TLS handshake alone.
    /// reload: live
    pub handshake_timeout: Duration,
    /// Connections of one address (of a /64 network with IPv6) that have not logged in; further ones are closed at
    /// once. Behind a proxy it is the address that the PROXY header tells; the machine's own is not counted.
    /// reload: restart
    pub unproved_per_address: u32,
    /// Stanzas a second that one client may send for long; it is read more slowly beyond.
    /// reload: live
    pub rate_stanzas_per_s: u32,
    /// Stanzas that one client may send at once.
    /// reload: live
    pub rate_stanzas_burst: u32,
    /// Bytes a second that one client may send for long.
    /// reload: live
    pub rate_bytes_per_s: Size,
    /// Bytes that one client may send at once; at least `element_size`.
    /// reload: live
    pub rate_bytes_burst: Size,
    /// Bytes that may wait for a slow client; above it for `outbound_soft_for` the connection is closed.
    /// reload: live
    pub outbound_soft: Size,
    /// See `outbound_soft`.
    /// reload: live
    pub outbound_soft_for: Duration,
    /// Bytes waiting for a slow client above which the connection is closed at once.
    /// reload: live
    pub outbound_hard: Size,
    /// Sessions of one account at a time.
    /// reload: live
    pub sessions_per_account: u32,
    /// What happens when a client wishes for a resource in use: "replace-old" closes the older session, "refuse-new"
    /// answers `conflict`, "make-new" gives the newcomer another name (RFC 6120 section 7.7.2.2).
    /// reload: live
    pub resource_conflict: ResourceConflict,
    /// What compression (`listener.compression`) remembers: "sender" forgets all between stanzas of different senders, so
    /// that nobody learns by their length what others say; "stream" forgets nothing and saves far more bytes.
    /// reload: live
    pub compression_dictionary: Dictionary,
}

impl Default for C2s {
    fn default() -> C2s {
        C2s {
            element_size: Size::from_bytes(limits::ELEMENT_BYTES_MAX as u64),
            ping_after: Duration::from_ms(limits::PING_AFTER_MS),
            ping_timeout: Duration::from_ms(limits::PING_TIMEOUT_MS),
            negotiation_timeout: Duration::from_ms(limits::NEGOTIATION_TIMEOUT_MS),
            handshake_timeout: Duration::from_ms(limits::HANDSHAKE_TIMEOUT_MS),
            unproved_per_address: limits::UNPROVED_PER_PREFIX_MAX,
            rate_stanzas_per_s: limits::RATE_STANZAS_PER_S,
            rate_stanzas_burst: limits::RATE_STANZAS_BURST,
            rate_bytes_per_s: Size::from_bytes(limits::RATE_BYTES_PER_S),
            rate_bytes_burst: Size::from_bytes(limits::RATE_BYTES_BURST),
            outbound_soft: Size::from_bytes(limits::OUTBOUND_SOFT_BYTES as u64),
            outbound_soft_for: Duration::from_ms(limits::OUTBOUND_SOFT_MS),
            outbound_hard: Size::from_bytes(limits::OUTBOUND_HARD_BYTES as u64),
            sessions_per_account: limits::SESSIONS_PER_ACCOUNT_MAX as u32,
            resource_conflict: ResourceConflict::default(),
            compression_dictionary: Dictionary::default(),
        }
    }
}

/// What happens when a client wishes for a resource in use.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceConflict {
    /// The newcomer gets another name.
    MakeNew,
    /// The newcomer gets `conflict`.
    RefuseNew,
    /// The older session is closed.
    #[default]
    ReplaceOld,
}

/// Stream management (XEP-0198).
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sm {
    /// How long a session waits for its client after the connection is lost.
    /// reload: live
    pub resume_timeout: Duration,
    /// Stanzas that a client may leave unacknowledged; beyond it the connection is closed.
    /// reload: live
    pub unacked_count: u32,
    /// Bytes of the same.
    /// reload: live
    pub unacked_size: Size,
    /// Stanzas sent before the server asks for an acknowledgement.
    /// reload: live
    pub ack_request_after: u32,
}

impl Default for Sm {
    fn default() -> Sm {
        Sm {
            resume_timeout: Duration::from_ms(limits::RESUME_TIMEOUT_MS),
            unacked_count: limits::UNACKED_COUNT_MAX as u32,
            unacked_size: Size::from_bytes(limits::UNACKED_BYTES_MAX as u64),
            ack_request_after: limits::ACK_REQUEST_AFTER,
        }
    }
}

/// What waits for clients at which nobody looks (XEP-0352), until something comes that does not wait.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Csi {
    /// Whether the presence of others waits; only the newest of each is sent.
    /// reload: live
    pub hold_presence: bool,
    /// Whether chat states, receipts, chat markers and reactions wait.
    /// reload: live
    pub hold_messages: bool,
    /// Stanzas that wait at most for one client; then they go out.
    /// reload: live
    pub held_count: u32,
    /// Bytes of the same.
    /// reload: live
    pub held_size: Size,
}

impl Default for Csi {
    fn default() -> Csi {
        Csi {
            hold_presence: true,
            hold_messages: true,
            held_count: limits::CSI_HELD_COUNT_MAX,
            held_size: Size::from_bytes(limits::CSI_HELD_BYTES_MAX),
        }
    }
}
