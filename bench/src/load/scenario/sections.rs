//! The sections of a scenario, with what holds where they say nothing.

use serde::{Deserialize, Serialize};

use crate::client::people::PASSWORD;
use crate::client::sasl::Mechanism;
use crate::client::session::Transport;
use crate::load::span::Span;

/// Who takes part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Users {
    /// On each host.
    pub count: u32,
    /// The number of the first.
    pub first: u32,
    /// What their names begin with; the number follows.
    pub prefix: String,
    /// Digits of the number, with leading zeros.
    pub digits: usize,
    pub password: String,
    pub resource: String,
    /// Contacts of each; an even number.
    pub contacts: u32,
    /// Contacts are within groups of so many, each a ring.
    pub community: u32,
}

impl Default for Users {
    fn default() -> Self {
        Self {
            count: 1_000,
            first: 0,
            prefix: "load".to_owned(),
            digits: 6,
            password: PASSWORD.to_owned(),
            resource: "load".to_owned(),
            contacts: 0,
            community: 2,
        }
    }
}

/// How they connect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Connection {
    pub transport: Transport,
    pub mechanism: Mechanism,
    /// Whether sessions have stream management with resumption (XEP-0198).
    pub stream_management: bool,
    /// Whether they authenticate and bind in one (XEP-0388, XEP-0386). The mechanism `fast` does so anyway.
    pub sasl2: bool,
    /// Whether a session that is ready keeps the keys of its TLS and nothing else: a few hundred bytes instead of 10 KB. A
    /// server that changes its keys (RFC 8446 section 4.6.3), which few do within gigabytes, is then not understood.
    pub keys_only: bool,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            transport: Transport::StartTls,
            mechanism: Mechanism::ScramSha1,
            stream_management: false,
            sasl2: false,
            keys_only: false,
        }
    }
}

/// How they come in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Login {
    /// Logins a second, of all users together; 0 for as many as `in-flight` allows.
    pub rate: f64,
    /// Logins under way at a time. With a rate it does not bind: an open loop waits for nobody.
    pub in_flight: u32,
    /// How long a session stays, in the scenario `login`.
    pub stay: Span,
}

impl Default for Login {
    fn default() -> Self {
        Self {
            rate: 0.0,
            in_flight: 64,
            stay: Span::default(),
        }
    }
}

/// How long it lasts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Time {
    /// Between the last login and the first load; memory is read at its end.
    pub settle: Span,
    /// Load that is not measured.
    pub warm_up: Span,
    /// Load that is.
    pub measure: Span,
    /// How long what is under way at the end may take to arrive.
    pub patience: Span,
}

impl Default for Time {
    fn default() -> Self {
        Self {
            settle: Span::seconds(2),
            warm_up: Span::seconds(2),
            measure: Span::seconds(30),
            patience: Span::seconds(10),
        }
    }
}

/// Pairs who exchange messages: in a closed loop whoever receives one answers it, in an open one they leave at a rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Chat {
    /// Messages a second, of all pairs together; 0 for a closed loop.
    pub rate: f64,
    /// Messages under way in each pair of a closed loop.
    pub window: u32,
    /// Bytes of each message as sent.
    pub size: usize,
}

impl Default for Chat {
    fn default() -> Self {
        Self {
            rate: 0.0,
            window: 1,
            size: 200,
        }
    }
}

/// Presence that changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Presence {
    /// Changes a second, of all users together; 0 for a closed loop.
    pub rate: f64,
    /// Users whose change is under way in a closed loop, all together; who was heard by all contacts says the next.
    pub speakers: u32,
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            rate: 0.0,
            speakers: 100,
        }
    }
}

/// Rooms (XEP-0045), one for each community.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Muc {
    /// The service; empty to ask the server.
    pub service: String,
    /// Messages a second, into all rooms together; each is heard by a whole room.
    pub rate: f64,
    /// Bytes of each message as sent.
    pub size: usize,
}

impl Default for Muc {
    fn default() -> Self {
        Self {
            service: String::new(),
            rate: 10.0,
            size: 200,
        }
    }
}

/// What users of a public service do in an hour, each of those who are online.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Day {
    /// Messages that each sends, to contacts who are online.
    pub messages: f64,
    /// Bytes of each message as sent.
    pub size: usize,
    /// Changes of presence.
    pub presence: f64,
    /// Pages of the archive that each reads (XEP-0313).
    pub archive_reads: f64,
    /// Farewells; somebody else logs in for each.
    pub leaves: f64,
    /// Of all users, who is online at a time, in percent.
    pub online: f64,
    /// Of all users, whose phone lies idle (XEP-0352), in percent.
    pub idle: f64,
    /// Of all connections, how many break without a word each minute, in percent. They come back at once.
    pub cuts: f64,
    /// Of all users, who stays away but for a surge, in percent: whole communities.
    pub reserve: f64,
    /// By what messages, presence, archive reads and attempts to log in are multiplied for a while: an overload. Those who come
    /// beyond the ordinary are of the reserve and leave again at once; nobody leaves sooner than otherwise.
    pub surge: f64,
    /// From the beginning of the load, its warming up included.
    pub surge_after: Span,
    pub surge_for: Span,
}

impl Default for Day {
    fn default() -> Self {
        Self {
            messages: 20.0,
            size: 200,
            presence: 6.0,
            archive_reads: 2.0,
            leaves: 2.0,
            online: 90.0,
            idle: 60.0,
            cuts: 0.0,
            reserve: 0.0,
            surge: 1.0,
            surge_after: Span::seconds(20),
            surge_for: Span::default(),
        }
    }
}

impl Day {
    pub fn has_surge(&self) -> bool {
        self.surge > 1.0 && !self.surge_for.0.is_zero()
    }
}
