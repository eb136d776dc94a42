//! RFC 6120 endpoints: framing, negotiation, SASL and acknowledgements of one XML stream. Refuses to know
//! accounts beyond their names, and every socket.

pub mod sasl;
