//! IQs (RFC 6120 section 8.2.3, RFC 6121 section 8.5): exactly one answer to every request, and no sign to
//! strangers of who is there.

use crate::actor::{Draft, Outcome, Stop, Turn, Verb};
use crate::jid::Jid;
use crate::stanza::{Condition, Iq, Payload, Stanza, StanzaError, Type, ns};

use super::account::{self, Account};
use super::presence;
use super::session::Session;

/// Outbound: answered here when it asks this account or its server, else to the home of its recipient.
pub fn outbound(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    let stanza = &draft.stanza;
    let to = stanza.header.to.as_ref();
    let own = to.is_none_or(|to| to.as_str() == turn.actor.jid.as_str());
    // Any domain served here: they all are this server.
    let host = to
        .is_some_and(|to| to.localpart().is_none() && turn.config.host(to.domainpart()).is_some());
    if !own && !host {
        if is_request(stanza) {
            let iq = well_formed(stanza)?;
            let neighbour = to.is_some_and(|to| turn.config.host(to.domainpart()).is_some());
            if neighbour && verb(stanza) == Verb::Set && iq.child().is(ns::ROSTER, "query") {
                // RFC 6121 section 2.3.3: "The server MUST return a <forbidden/> stanza error to the client if the
                // sender of the roster set is not authorized", whether there is such a roster or not.
                return Err(Stop::Reject(StanzaError::new(
                    Condition::Forbidden,
                    "The roster belongs to somebody else",
                )));
            }
        }
        turn.out.route(stanza.clone(), draft.settle.take());
        return Ok(());
    }
    if !is_request(stanza) {
        // An answer to nothing that this server ever asked through an account.
        return Ok(());
    }
    let iq = well_formed(stanza)?;
    let child = iq.child();
    let route = if host {
        turn.catalog
            .host_route(verb(stanza), child.ns(), child.name())
    } else {
        turn.catalog
            .account_route(verb(stanza), child.ns(), child.name())
    };
    // Section 8.4: "If ... it does not understand the namespace ... MUST return" service-unavailable.
    let route = route.ok_or_else(|| Stop::Reject(account::unavailable()))?;
    (route.handler)(turn, iq)
}

/// Inbound: to the one session that is meant, or answered on behalf of the account.
pub fn inbound(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    let stanza = &draft.stanza;
    let request = is_request(stanza);
    let from = stanza.header.from.as_ref();
    match stanza.header.to.as_ref().and_then(|to| to.resourcepart()) {
        Some(resource) => {
            let session = turn.actor.resource(resource);
            // 8.5.3.1: requests of those who do not share presence "SHOULD NOT" be delivered;
            // answers "MUST".
            // RFC 6121 section 2.1.6 lets clients be fooled who do not check who pushes: only their server does.
            let is_push = request && is_push(stanza);
            let session = session
                .filter(|_| !is_push || presence::is_own(turn.actor, from))
                .filter(|s| !request || presence::shares_presence(turn.actor, s.id, from))
                .map(|session| session.id);
            match session {
                Some(session) => turn.out.deliver(session, stanza.clone()),
                None if request => return Err(Stop::Reject(account::unavailable())),
                None => {}
            }
            Ok(())
        }
        None if request => {
            let iq = well_formed(stanza)?;
            let child = iq.child();
            let route = turn
                .catalog
                .account_route(verb(stanza), child.ns(), child.name());
            let own = presence::is_own(turn.actor, from);
            match route {
                // No feature says yet that subscribers may ask, too.
                Some(route) if own => (route.handler)(turn, iq),
                _ => Err(Stop::Reject(account::unavailable())),
            }
        }
        // 8.5.2.1.3: never delivered to a resource.
        None => Ok(()),
    }
}

/// The session that asks, if it is one of the account's own.
pub fn requester<'a>(account: &'a Account, iq: Iq<'_>) -> Option<&'a Session> {
    let from = iq.header().from.as_ref();
    let from = from.filter(|from| from.bare_str() == account.jid.as_str());
    account.resource(from.and_then(Jid::resourcepart)?)
}

/// Answers before anything that the same turn delivers to the account's sessions behind it: a result that is routed
/// would come later.
pub fn answer(turn: &mut Turn<'_, Account>, iq: Iq<'_>, payload: Payload) {
    let result = iq.result(payload);
    match requester(turn.actor, iq) {
        Some(session) => turn.out.deliver(session.id, result),
        None => turn.out.send(result),
    }
}

/// What only a user's own server says: of its roster, and of its blocklist (XEP-0191 section 3.3).
fn is_push(stanza: &Stanza) -> bool {
    let mut names = stanza.payload.names();
    names.any(|name| name == (ns::ROSTER, "query") || name.0 == ns::BLOCKING)
}

fn is_request(stanza: &Stanza) -> bool {
    matches!(stanza.header.type_, Type::Get | Type::Set)
}

fn verb(stanza: &Stanza) -> Verb {
    if stanza.header.type_ == Type::Set {
        Verb::Set
    } else {
        Verb::Get
    }
}

fn well_formed(stanza: &Stanza) -> Result<Iq<'_>, Stop> {
    Iq::request(stanza).ok_or_else(|| {
        Stop::Reject(StanzaError::new(
            Condition::BadRequest,
            "A request has an id and exactly one child element",
        ))
    })
}
