//! XML streams of clients (RFC 6120): framing, negotiation, authentication, and the queue of what goes out.
//! Refuses to know accounts and what a stanza means: it hands complete ones to whoever drives it.

mod features;
mod login;
mod negotiate;
mod nonza;
mod outbound;
mod rate;
pub mod sasl;
mod sasl_profile;
mod state;
mod tls;

pub use negotiate::failed;
pub use login::{BindWish, EnableWish, Login, Profile, ResumeWish};
pub use outbound::{Item, Outbound};
pub use state::{Context, Event, Phase, SessionRef, StreamState};
pub use tls::{TlsFacts, TlsVersion};

pub use crate::base::StreamKey;
