//! XML streams of clients (RFC 6120): framing, negotiation, authentication, and the queue of what goes out.
//! Refuses to know accounts and what a stanza means: it hands complete ones to whoever drives it.
//!
//! What no switch takes away ([`SPECS`]; what one does is in the tables of `features/`):
//! - XEP-0175: Best Practices for Use of SASL ANONYMOUS, version 1.2 (`sasl/exchange.rs`; off by default)
//! - XEP-0178: Best Practices for Use of SASL EXTERNAL with Certificates, version 1.2, of clients
//!   (`sasl/exchange.rs`; off by default)
//! - XEP-0368: SRV records for XMPP over TLS, version 1.1.0: direct TLS and ALPN (`worker/tls/context.rs`)
//! - XEP-0386: Bind 2, version 1.1.0 (`login.rs`, `shard/login.rs`); the `<metadata/>` of the archive in `<bound/>` (section
//!   3.3, a SHOULD) is not done, because every login would wait for two reads of the archive: a client that wants it asks
//!   with its first request (XEP-0313 section 6)
//! - XEP-0388: Extensible SASL Profile, version 1.0.4 (`sasl_profile.rs`)
//! - XEP-0438: Best practices for password hashing and storage, version 0.2.0 (`auth/keys.rs`)
//! - XEP-0440: SASL Channel-Binding Type Capability, version 1.0.0 (`sasl/mechanism.rs`)
//! - XEP-0474: SASL SCRAM Downgrade Protection, version 0.5.0 (`sasl/scram.rs`)

mod compression;
mod features;
mod login;
mod negotiate;
mod nonza;
mod outbound;
mod rate;
mod reading;
mod register;
pub mod sasl;
mod sasl_outcome;
mod sasl_profile;
mod state;
mod tls;
mod upgrade;

pub use compression::processing_failed;
pub use login::{BindWish, ClientState, EnableWish, Fast, Login, Profile, ResumeWish, UsedToken};
pub use negotiate::failed;
pub use outbound::{Item, Outbound};
pub use state::{Context, Event, Phase, SessionRef, StreamState};
pub use tls::{TlsFacts, TlsVersion};

use crate::actor::Spec;

pub use crate::base::StreamKey;

/// Specifications of the negotiation, which are no features that could be switched off.
pub const SPECS: &[Spec] = &[
    Spec::xep(175, "1.2"),
    Spec::xep(178, "1.2"),
    Spec::xep(368, "1.1.0"),
    Spec::xep(386, "1.1.0"),
    Spec::xep(388, "1.0.4"),
    Spec::xep(438, "0.2.0"),
    Spec::xep(440, "1.0.0"),
    Spec::xep(474, "0.5.0"),
];
