//! XEP-0480: SASL Upgrade Tasks, version 0.2.0: see `stream/upgrade.rs`. Scenarios: `tests/scenarios/upgrade.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 2.1 advertising | SCRAM-SHA-256 and -512, whoever comes; who needs nothing hears `<success/>` at once |
//! | 2.2, 2.3 tasks one after the other | `stream/upgrade.rs`, after SCRAM only: who used a token or a certificate proved no password |
//! | 3 SCRAM | keys that are missing, or older than the host's iteration count |

use super::NONE;
use crate::actor::{Feature, Spec};
use crate::im::Account;

pub const SASL_UPGRADE: Feature<Account> = Feature {
    name: "sasl-upgrade",
    specs: &[Spec::xep(480, "0.2.0")],
    ..NONE
};
