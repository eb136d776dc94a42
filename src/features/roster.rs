//! RFC 6121 section 2 as a feature, with XEP-0237: Roster Versioning, version 1.3, which it has taken up: see
//! `im/roster/`. Scenarios: `tests/scenarios/roster.xmpp`

use super::NONE;
use crate::actor::{Feature, IqRoute, Spec, Stop, Turn};
use crate::im::{Account, roster, subscription};
use crate::stanza::{Condition, ns};

pub const ROSTER: Feature<Account> = Feature {
    name: "roster",
    specs: &[Spec::xep(237, "1.3")],
    account: &[
        IqRoute::get(ns::ROSTER, "query", roster::query),
        // RFC 6121 section 2.3.3: "The server MUST return a <forbidden/> stanza error to the client if the sender of the
        // roster set is not authorized", whether there is such a roster or not.
        IqRoute::set(ns::ROSTER, "query", roster::set).refusing(Condition::Forbidden),
    ],
    portable: Some(portable),
    ..NONE
};

/// XEP-0227 section 4.4, and section 4.9: "Each <user/> element SHOULD contain pending incoming subscription requests".
fn portable(turn: &mut Turn<'_, Account>) -> Result<String, Stop> {
    let roster = roster::portable(turn)?;
    Ok(roster + &subscription::request::portable(turn)?)
}
