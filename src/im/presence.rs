//! Presence (RFC 6121 section 4) as far as it needs no roster: each resource's own, seen by the account's
//! other resources, and directed presence. Broadcast to contacts and subscriptions come with the roster.

use crate::actor::{Draft, Outcome, Stop, Turn};
use crate::base::{SessionId, limits};
use crate::jid::Jid;
use crate::stanza::{Condition, Header, Kind, Payload, Stanza, StanzaError, Type, ns};

use super::account::{Account, Change};
use super::session::Session;

/// Outbound: what a client says about itself, to everybody or to one.
pub fn outbound(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    let Some(session) = draft.session.and_then(|id| turn.actor.session(id)) else {
        return Ok(());
    };
    let stanza = &draft.stanza;
    match (stanza.header.type_, &stanza.header.to) {
        (Type::Available, None) => available(turn, session, stanza),
        (Type::Unavailable, None) => {
            unavailable(turn, session, stanza);
            Ok(())
        }
        (Type::Available | Type::Unavailable, Some(to)) => directed(turn, session, stanza, to),
        (Type::Error, Some(_)) => {
            turn.out.send(stanza.clone());
            Ok(())
        }
        (Type::Error | Type::Probe, _) => Ok(()),
        _ => Err(Stop::Reject(StanzaError::new(
            Condition::FeatureNotImplemented,
            "This server does not keep subscriptions",
        ))),
    }
}

/// Inbound: to the sessions that RFC 6121 section 8.5 names.
pub fn inbound(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    let stanza = &draft.stanza;
    if !matches!(
        stanza.header.type_,
        Type::Available | Type::Unavailable | Type::Error
    ) {
        // Nobody here has a subscription that could change: 8.5.1, "MUST silently ignore".
        return Ok(());
    }
    match stanza.header.to.as_ref().and_then(|to| to.resourcepart()) {
        // 8.5.3.1 and 8.5.3.2.2: to the resource, or to nobody.
        Some(resource) => {
            if let Some(session) = turn.actor.resource(resource) {
                turn.out.deliver(session.id, stanza.clone());
            }
        }
        // 8.5.2.1.2: "the server MUST deliver it to all available resources".
        None => {
            for session in turn.actor.available() {
                turn.out.deliver(session.id, stanza.clone());
            }
        }
    }
    Ok(())
}

/// A session is over, however it ended: whoever saw it hears so (RFC 6121 section 4.5.2).
pub fn ended(turn: &mut Turn<'_, Account>, session: &Session) {
    if session.presence.is_some() || !session.directed.is_empty() {
        let header = Header {
            from: Some(session.jid.clone()),
            ..Header::new(Kind::Presence, Type::Unavailable)
        };
        let stanza = Stanza {
            header,
            payload: Payload::EMPTY,
        };
        unavailable(turn, session, &stanza);
    }
    turn.out.change.push(Change::Ended(session.id));
}

fn available(turn: &mut Turn<'_, Account>, session: &Session, stanza: &Stanza) -> Outcome {
    let priority = priority(stanza)?;
    let first = session.presence.is_none();
    let took_messages = !first && session.priority >= 0;
    // RFC 6121 section 4.2.2: "The user's server MUST also broadcast initial presence from the user's
    // newly available resource to all of the user's available resources (including the resource that
    // generated the presence notification in the first place)".
    let stanza = to_self(turn.actor, stanza);
    for other in turn
        .actor
        .available()
        .filter(|other| other.id != session.id)
    {
        turn.out.deliver(other.id, stanza.clone());
        if first && let Some(presence) = &other.presence {
            turn.out.deliver(session.id, presence.clone());
        }
    }
    turn.out.deliver(session.id, stanza.clone());
    turn.out.change.push(Change::Presence {
        session: session.id,
        presence: Some(stanza),
        priority,
    });
    if priority >= 0 && !took_messages && !turn.actor.anonymous {
        turn.out.change.push(Change::DeliverPending {
            session: session.id,
        });
    }
    Ok(())
}

fn unavailable(turn: &mut Turn<'_, Account>, session: &Session, stanza: &Stanza) {
    // Section 4.5.2: to all available resources, "including the resource that generated" it, and to
    // whoever got directed presence (section 4.6.3, rule 2).
    let own = to_self(turn.actor, stanza);
    for other in turn.actor.available() {
        turn.out.deliver(other.id, own.clone());
    }
    for to in &session.directed {
        let mut stanza = stanza.clone();
        stanza.header.to = Some(to.clone());
        turn.out.send(stanza);
        turn.out.change.push(Change::Directed {
            session: session.id,
            to: to.clone(),
            available: false,
        });
    }
    turn.out.change.push(Change::Presence {
        session: session.id,
        presence: None,
        priority: 0,
    });
}

fn directed(turn: &mut Turn<'_, Account>, session: &Session, stanza: &Stanza, to: &Jid) -> Outcome {
    let available = stanza.header.type_ == Type::Available;
    let known = session.directed.contains(to);
    if available && !known && session.directed.len() >= limits::DIRECTED_COUNT_MAX {
        return Err(Stop::Reject(StanzaError::new(
            Condition::ResourceConstraint,
            "Too many entities have directed presence from this resource",
        )));
    }
    if available != known {
        turn.out.change.push(Change::Directed {
            session: session.id,
            to: to.clone(),
            available,
        });
    }
    turn.out.send(stanza.clone());
    Ok(())
}

fn to_self(account: &Account, stanza: &Stanza) -> Stanza {
    let mut stanza = stanza.clone();
    stanza.header.to = Some(account.jid.clone());
    stanza
}

fn priority(stanza: &Stanza) -> Result<i8, Stop> {
    let Some(element) = stanza.payload.child(ns::CLIENT, "priority") else {
        return Ok(0);
    };
    // RFC 6121 section 4.7.2.3: "an integer between -128 and +127".
    element.text().trim().parse().map_err(|_| {
        Stop::Reject(StanzaError::new(
            Condition::BadRequest,
            "The priority is not an integer between -128 and 127",
        ))
    })
}

/// Whether `asker` may know that `session` is there: it is of the same account, or has its directed presence.
pub fn shares_presence(account: &Account, session: SessionId, asker: Option<&Jid>) -> bool {
    let Some(asker) = asker else {
        return false;
    };
    let directed = |session: &Session| {
        session.directed.contains(asker) || session.directed.contains(&asker.to_bare())
    };
    asker.bare_str() == account.jid.as_str() || account.session(session).is_some_and(directed)
}

/// Whether `asker` is one of the account's own.
pub fn is_own(account: &Account, asker: Option<&Jid>) -> bool {
    asker.is_some_and(|asker| asker.bare_str() == account.jid.as_str())
}
