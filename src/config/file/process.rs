//! The options of the process as a whole: threads, memory, TLS, the store, what is recorded and logged.
//! Refuses to know hosts and clients.

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use crate::base::limits;
use crate::config::units::{Duration, Size};

/// The process as a whole.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Worker threads; 0 is one for each core.
    /// reload: restart
    pub workers: u32,
    /// Whether each worker stays on a core of its own.
    /// reload: restart
    pub pin: bool,
    /// How long a stopping server waits for its clients to take their goodbye. Up to half of it is for what they sent
    /// before to become durable, so that they are told.
    /// reload: live
    pub drain_timeout: Duration,
    /// Memory for everything that waits in queues, shared out equally to the workers. As it fills, new logins wait, then
    /// presence does, archives are not read, the slowest readers lose their connections, and at the very top nothing more
    /// is read.
    /// reload: live
    pub queue_memory: Size,
    /// How long what clients send may wait for a busy worker to read it. From then on new logins wait, from twice as long on
    /// presence does, from four times as long on archives are not read; messages are. "0 ms" never makes anybody wait for that.
    /// reload: live
    pub overload_after: Duration,
    /// Where clients are sent when the server stops (RFC 6120 section 4.9.3.19), as "host" or "host:port"; if
    /// empty they are told `system-shutdown` instead.
    /// reload: live
    pub see_other_host: String,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            workers: 0,
            pin: true,
            drain_timeout: Duration::from_ms(limits::DRAIN_TIMEOUT_MS),
            queue_memory: Size::from_bytes(limits::QUEUE_MEMORY_BYTES),
            overload_after: Duration::from_ms(limits::OVERLOAD_AFTER_MS),
            see_other_host: String::new(),
        }
    }
}

/// TLS on all listeners.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Versions that are accepted, of "1.2" and "1.3".
    /// reload: live
    pub versions: Vec<TlsVersion>,
    /// Whether a connection of TLS 1.3 is kept as its bare keys once its handshake is over: 7 KB less for each. What reads and
    /// writes its records is then our own code instead of rustls', which more eyes have seen; see "Less memory for TLS" in
    /// conf/README.md. For connections made from then on.
    /// reload: live
    pub compact: bool,
}

impl Default for Tls {
    fn default() -> Tls {
        Tls {
            versions: vec![TlsVersion::V1_2, TlsVersion::V1_3],
            compact: false,
        }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum TlsVersion {
    /// RFC 5246.
    #[serde(rename = "1.2")]
    V1_2,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    V1_3,
}

/// The embedded store.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Memory for what was read from disk. It fills and stays full: a login leaves its roster there, 3 KB for fifty contacts.
    /// reload: restart
    pub cache: Size,
    /// Free space on the disk below which writes are refused while the server stays up.
    /// reload: restart
    pub reserve_free: Size,
}

impl Default for Store {
    fn default() -> Store {
        Store {
            cache: Size::from_bytes(limits::STORE_CACHE_BYTES),
            reserve_free: Size::from_bytes(limits::STORE_RESERVE_BYTES),
        }
    }
}

/// Records of who did what, as JSON lines.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// File that records are appended to; a relative path starts at the data directory. If empty, none are kept.
    /// reload: restart
    pub file: String,
    /// What happens when the disk does not keep up: "stop-intake" lets no new login in until it does, "drop-and-count"
    /// leaves records out and says how many.
    /// reload: live
    pub when_full: WhenFull,
}

impl Default for Audit {
    fn default() -> Audit {
        Audit {
            file: "audit.jsonl".to_owned(),
            when_full: WhenFull::default(),
        }
    }
}

/// What happens when audit records cannot be written fast enough.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// Records are left out and counted.
    #[default]
    DropAndCount,
    /// No new login is let in.
    StopIntake,
}

/// The log, on standard error.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// A level (error, warn, info, debug, trace), or levels by module, as in "info,stonechat::stream=debug"; without a
    /// module the crates that we stand on are meant, too.
    /// reload: live
    pub filter: String,
}

impl Default for Log {
    fn default() -> Log {
        Log {
            filter: "warn,stonechat=info".to_owned(),
        }
    }
}
