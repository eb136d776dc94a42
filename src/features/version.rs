//! XEP-0092: Software Version, version 1.1. Scenarios: `tests/scenarios/discovery.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 2 protocol | [`version`]; `<os/>` is not sent: section 4 advises to let it be switched off, and it tells attackers more than users |

use super::NONE;
use crate::actor::{Feature, IqRoute, Outcome, Spec, Turn};
use crate::im::{Account, iq};
use crate::stanza::{Iq, Payload, ns};

pub const VERSION: Feature<Account> = Feature {
    name: "version",
    specs: &[Spec::xep(92, "1.1")],
    host_disco: &[ns::VERSION],
    host: &[IqRoute::get(ns::VERSION, "query", version)],
    ..NONE
};

/// Name and version of this software.
fn version(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let payload = Payload::from_normal(&format!(
        "<query xmlns='{}'><name>Stonechat</name><version>{}</version></query>",
        ns::VERSION,
        env!("CARGO_PKG_VERSION"),
    ));
    iq::answer(turn, iq, payload);
    Ok(())
}
