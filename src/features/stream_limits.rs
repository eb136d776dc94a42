//! XEP-0478: Stream Limits Advertisement, version 0.2.0: see `stream/features.rs`. Scenarios:
//! `tests/scenarios/bind.xmpp`, `framing.xmpp`

use super::NONE;
use crate::actor::{Feature, Spec};
use crate::im::Account;

pub const STREAM_LIMITS: Feature<Account> = Feature {
    name: "stream-limits",
    specs: &[Spec::xep(478, "0.2.0")],
    ..NONE
};
