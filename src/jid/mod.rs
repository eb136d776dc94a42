//! Addresses and their preparation (RFC 7622). Refuses to know what lives at an address.

/// THROW-AWAY stand-in.
#[derive(Clone, Debug)]
pub struct Jid;
