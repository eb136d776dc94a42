//! RFC 6120 endpoints: framing, negotiation, SASL and acknowledgements of one XML stream. Refuses to know
//! accounts beyond their names, and every socket.

mod echo_stub;
pub mod sasl;

pub use echo_stub::{StreamKey, StreamState, TlsFacts, TlsVersion};
