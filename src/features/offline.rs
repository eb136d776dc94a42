//! XEP-0160: Best Practices for Handling Offline Messages, version 1.0.1; XEP-0203: Delayed Delivery, version
//! 2.0; XEP-0334: Message Processing Hints, version 1.0.0, `no-store`. The work is done in `im/pending.rs`
//! and `im/message.rs`. Scenarios: `tests/scenarios/offline.xmpp`

use super::NONE;
use crate::actor::{Feature, Spec};
use crate::im::Account;
use crate::stanza::ns;

pub const OFFLINE: Feature<Account> = Feature {
    name: "offline",
    specs: &[Spec::xep(160, "1.0.1"), Spec::xep(203, "2.0"), Spec::xep(334, "1.0.0")],
    host_disco: &[ns::OFFLINE_FEATURE, ns::DELAY],
    ..NONE
};
