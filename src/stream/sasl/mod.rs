//! The server's side of SASL (RFC 4422), values in and values out, under both of XMPP's profiles: RFC 6120
//! section 6 and XEP-0388. Refuses to know either profile's elements, where credentials are kept, and how
//! keys are derived from passwords.
//!
//! | specification | item |
//! |---|---|
//! | RFC 5802, 7677: SCRAM-SHA-1, -256; SCRAM-SHA-512 alike | [`Exchange`], `scram.rs` |
//! | RFC 9266 tls-exporter, RFC 5929 tls-server-end-point | [`ChannelFacts`], [`channel_bindings`] |
//! | RFC 5929 tls-unique | not done: undefined for TLS 1.3 |
//! | XEP-0440 1.0.0, types of channel binding | [`channel_bindings`] |
//! | XEP-0474 0.5.0, downgrade protection | `scram.rs`, attribute `h` |
//! | RFC 4616 PLAIN; RFC 4422 appendix A EXTERNAL with XEP-0178; RFC 4505 ANONYMOUS | `exchange.rs` |
//! | draft-schmaus-kitten-sasl-ht-09, HT-SHA-256 of XEP-0484 | `token.rs`; -UNIQ not done: see tls-unique |
//! | RFC 6331 DIGEST-MD5, RFC 2195 CRAM-MD5, XEP-0078 | not done: XEP-0438 section 4 forbids them |

#[cfg(test)]
mod client;
pub mod digest;
mod encoding;
mod exchange;
#[cfg(test)]
mod exchange_tests;
mod failure;
mod identity;
mod mechanism;
mod scram;
#[cfg(test)]
mod scram_tests;
pub mod token;

pub use encoding::{decode_initial_response, decode_response, encode};
pub use exchange::{Exchange, Step, TokenTerms};
pub use failure::SaslFailure;
pub use mechanism::{ChannelFacts, Mechanism, SaslPolicy, channel_bindings, offered};
