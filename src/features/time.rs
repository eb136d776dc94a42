//! XEP-0202: Entity Time, version 2.0. Scenarios: `tests/scenarios/discovery.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 3 protocol | [`time`]; the offset is `Z`: a server has no place of its own |

use super::NONE;
use crate::actor::{Feature, IqRoute, Outcome, Spec, Turn};
use crate::im::{Account, iq};
use crate::stanza::{Iq, Payload, ns, stamp};

pub const TIME: Feature<Account> = Feature {
    name: "time",
    specs: &[Spec::xep(202, "2.0")],
    host_disco: &[ns::TIME],
    host: &[IqRoute::get(ns::TIME, "time", time)],
    ..NONE
};

/// The wall clock of the turn. "the offset from UTC" is `+00:00`: XEP-0082 allows `Z`, clients of 2010 do not.
fn time(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let payload = Payload::from_normal(&format!(
        "<time xmlns='{}'><tzo>+00:00</tzo><utc>{}</utc></time>",
        ns::TIME,
        stamp(turn.now.wall_ms),
    ));
    iq::answer(turn, iq, payload);
    Ok(())
}
