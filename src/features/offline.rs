//! XEP-0160: Best Practices for Handling Offline Messages, version 1.0.1; XEP-0203: Delayed Delivery, version
//! 2.0; XEP-0334: Message Processing Hints, version 1.0.0; and what concerns a server in XEP-0085: Chat State
//! Notifications, version 2.1; XEP-0184: Message Delivery Receipts, version 1.4.0; XEP-0333: Displayed Markers, version
//! 1.0.0. The work is done in `im/classify.rs`, `im/pending.rs` and `im/message.rs`. Scenarios:
//! `tests/scenarios/offline.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 0085 5.6 states alone are not stored | `im/classify.rs`, as for receipts and markers; all three are carried and never made |
//! | 0203 4 delays in this server's name | `im::message::strip_forged` |

use super::NONE;
use crate::actor::{Feature, Spec};
use crate::im::Account;
use crate::stanza::ns;

pub const OFFLINE: Feature<Account> = Feature {
    name: "offline",
    specs: &[
        Spec::xep(85, "2.1"),
        Spec::xep(160, "1.0.1"),
        Spec::xep(184, "1.4.0"),
        Spec::xep(203, "2.0"),
        Spec::xep(333, "1.0.0"),
        Spec::xep(334, "1.0.0"),
    ],
    host_disco: &[ns::OFFLINE_FEATURE, ns::DELAY],
    ..NONE
};
