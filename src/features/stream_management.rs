//! XEP-0198: Stream Management, version 1.6.3: see `im/acks.rs` and `shard/login.rs`. Scenarios:
//! `tests/scenarios/management.xmpp`

use super::NONE;
use crate::actor::{Feature, Spec};
use crate::im::Account;

pub const STREAM_MANAGEMENT: Feature<Account> = Feature {
    name: "stream-management",
    specs: &[Spec::xep(198, "1.6.3")],
    ..NONE
};
