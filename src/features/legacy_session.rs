//! RFC 3921 section 3, session establishment: obsolete, offered as optional and answered for clients that
//! still ask. Scenarios: `tests/scenarios/bind.xmpp`

use super::NONE;
use crate::actor::{Feature, IqRoute, Outcome, Turn};
use crate::im::{Account, iq};
use crate::stanza::{Iq, Payload, ns};

pub const SESSION: Feature<Account> = Feature {
    name: "legacy-session",
    host: &[IqRoute::set(ns::SESSION, "session", established)],
    account: &[IqRoute::set(ns::SESSION, "session", established)],
    ..NONE
};

/// Nothing happens: the session began with the resource.
fn established(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    iq::answer(turn, iq, Payload::EMPTY);
    Ok(())
}
