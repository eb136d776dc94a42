//! XEP-0352: Client State Indication, version 1.0.0: see `im/inactive.rs`. With what XEP-0286: Mobile Considerations on
//! LTE Networks, version 1.0.0, asks of servers. Scenarios: `tests/scenarios/client_state.xmpp`

use super::NONE;
use crate::actor::{Feature, Spec};
use crate::im::Account;

pub const CLIENT_STATE: Feature<Account> = Feature {
    name: "csi",
    specs: &[Spec::xep(286, "1.0.0"), Spec::xep(352, "1.0.0")],
    ..NONE
};
