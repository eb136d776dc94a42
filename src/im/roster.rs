//! The roster (RFC 6121 section 2), which is empty until it is stored: a client that asks is answered.

use crate::actor::{Outcome, Stop, Turn};
use crate::stanza::{Condition, Iq, Payload, StanzaError, ns};

use super::account::{Account, Change};

/// Answers a roster get: no items.
pub fn query(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    // Section 2.2: "If a client requests the roster ... it is ... an interested resource".
    let session = iq.header().from.as_ref().and_then(|from| from.resourcepart());
    if let Some(session) = session.and_then(|resource| turn.actor.resource(resource)) {
        turn.out.change.push(Change::Interested { session: session.id });
    }
    // Section 2.1.3: "If the user has a roster but it is empty, the server MUST return an empty
    // <query/> element".
    let empty = Payload::from_normal(&format!("<query xmlns='{}'/>", ns::ROSTER));
    turn.out.send(iq.result(empty));
    Ok(())
}

/// Refuses a roster set.
pub fn set(_: &mut Turn<'_, Account>, _: Iq<'_>) -> Outcome {
    Err(Stop::Reject(StanzaError::new(
        Condition::FeatureNotImplemented,
        "This server does not store rosters",
    )))
}
