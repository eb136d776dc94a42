//! XEP-0012: Last Activity, version 2.0, of the host. Scenarios: `tests/scenarios/discovery.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 3 offline user query, 4 online user query | come with the roster, which says who may ask |
//! | 5 server query | [`uptime`] |

use super::NONE;
use crate::actor::{Feature, IqRoute, Outcome, Spec, Turn};
use crate::im::{Account, iq};
use crate::stanza::{Iq, Payload, ns};

pub const LAST_ACTIVITY: Feature<Account> = Feature {
    name: "last-activity",
    specs: &[Spec::xep(12, "2.0")],
    host_disco: &[ns::LAST],
    host: &[IqRoute::get(ns::LAST, "query", uptime)],
    ..NONE
};

/// Section 5: "the number of seconds that the host has been running since it was last (re-)started".
/// The monotonic clock of the shell begins with the process.
fn uptime(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let seconds = turn.now.mono_ms / 1_000;
    let payload = Payload::from_normal(&format!(
        "<query xmlns='{}' seconds='{seconds}'/>",
        ns::LAST
    ));
    iq::answer(turn, iq, payload);
    Ok(())
}
