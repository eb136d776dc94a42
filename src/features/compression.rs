//! XEP-0138: Stream Compression, version 2.1: see `stream/compression.rs` and `worker/deflate.rs`; negotiated in the order
//! of XEP-0170: Recommended Order of Stream Feature Negotiation, version 1.0. Off on every listener by default. Scenarios:
//! `tests/scenarios/compression.xmpp`; bytes: `tests/hostile/compression.rs`

use super::NONE;
use crate::actor::{Feature, Spec};
use crate::im::Account;

pub const COMPRESSION: Feature<Account> = Feature {
    name: "compression",
    specs: &[Spec::xep(138, "2.1"), Spec::xep(170, "1.0")],
    ..NONE
};
