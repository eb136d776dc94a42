//! XEP-0280: Message Carbons, version 1.0.1, in the wrapping of XEP-0297: Stanza Forwarding, version 1.0.
//! Scenarios: `tests/scenarios/carbons.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 4, 5 enabling and disabling | `enable`, `disable`; asking twice is answered twice |
//! | 6.1 which messages | `im/classify.rs`, all rules of `urn:xmpp:carbons:rules:0` but one: an error is copied only where it carries what would have been eligible, because originals are not remembered |
//! | 7 received | [`received`] |
//! | 8 sent | [`sent`] |
//! | 9 private | `im/classify.rs` |
//! | 11 forged carbons | `im::message::strip_forged` |

use super::NONE;
use crate::actor::{Draft, Feature, IqRoute, Outcome, Spec, Turn};
use crate::base::SessionId;
use crate::im::classify::classify;
use crate::im::iq;
use crate::im::{Account, Change, Session};
use crate::jid::Jid;
use crate::stanza::{Header, Iq, Kind, Payload, Stanza, ns};

pub const CARBONS: Feature<Account> = Feature {
    name: "carbons",
    specs: &[Spec::xep(280, "1.0.1"), Spec::xep(297, "1.0")],
    host_disco: &[ns::CARBONS],
    account_disco: &[ns::CARBONS],
    account: &[
        IqRoute::set(ns::CARBONS, "enable", enable),
        IqRoute::set(ns::CARBONS, "disable", disable),
    ],
    ..NONE
};

/// Outbound: copies of what one session sent, to the others.
pub fn sent(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    if turn.actor.sessions.len() < 2 || !classify(&draft.stanza).copied_when_sent {
        return Ok(());
    }
    // Which of one's own sessions get the message itself is known when it comes in: [`received`].
    let to = draft.stanza.header.to.as_ref();
    if to.is_none_or(|to| to.bare_str() == turn.actor.jid.as_str()) {
        return Ok(());
    }
    let sender: Vec<SessionId> = draft.session.into_iter().collect();
    // XEP-0313 section 3.5: "servers SHOULD include the element as a child of the forwarded message", and nobody but
    // the account may see it.
    let mut stanza = draft.stanza.clone();
    if let Some(id) = &draft.stanza_id {
        stanza.payload = stanza.payload.with(id);
    }
    copy(turn, &stanza, "sent", &sender);
    Ok(())
}

/// Inbound: "deliver a forwarded copy to each Carbons-enabled resource ... that did not receive it".
pub fn received(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    // Most accounts have nobody else to tell: no need to look into the message.
    let wanted = |session: &Session| wants_copy(session) && !draft.targets.contains(&session.id);
    if !turn.actor.sessions.iter().any(wanted) {
        return Ok(());
    }
    let mut skip: Vec<SessionId> = draft.targets.to_vec();
    let from = draft.stanza.header.from.as_ref();
    if let Some(own) = from.filter(|from| from.bare_str() == turn.actor.jid.as_str()) {
        // A message to oneself: one copy for whoever neither sent nor gets it.
        if classify(&draft.stanza).copied_when_sent {
            let sender = own.resourcepart().and_then(|r| turn.actor.resource(r));
            skip.extend(sender.map(|session| session.id));
            copy(turn, &draft.stanza, "sent", &skip);
        }
    } else if !skip.is_empty() && classify(&draft.stanza).copied_when_received {
        copy(turn, &draft.stanza, "received", &skip);
    }
    Ok(())
}

fn enable(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    set(turn, iq, true)
}

fn disable(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    set(turn, iq, false)
}

fn set(turn: &mut Turn<'_, Account>, iq: Iq<'_>, enabled: bool) -> Outcome {
    let resource = iq
        .header()
        .from
        .as_ref()
        .and_then(|from| from.resourcepart());
    if let Some(session) = resource.and_then(|resource| turn.actor.resource(resource)) {
        turn.out.change.push(Change::Carbons {
            session: session.id,
            enabled,
        });
    }
    iq::answer(turn, iq, Payload::EMPTY);
    Ok(())
}

fn copy(turn: &mut Turn<'_, Account>, stanza: &Stanza, wrapper: &str, skip: &[SessionId]) {
    let wanted = |session: &&Session| wants_copy(session);
    let mut payload: Option<Payload> = None;
    for session in turn.actor.sessions.iter().filter(wanted) {
        if skip.contains(&session.id) {
            continue;
        }
        let payload = payload
            .get_or_insert_with(|| wrapped(stanza, wrapper))
            .clone();
        let carbon = addressed(turn.actor.jid.clone(), session.jid.clone(), stanza, payload);
        turn.out.deliver(session.id, carbon);
    }
}

fn wants_copy(session: &Session) -> bool {
    session.carbons && !session.ended
}

/// Section 7: "the 'from' attribute MUST be the Carbons-enabled user's bare JID ... and the 'to' attribute
/// MUST be the full JID of the resource receiving the copy", "SHOULD maintain the same 'type'".
fn addressed(from: Jid, to: Jid, stanza: &Stanza, payload: Payload) -> Stanza {
    let header = Header {
        from: Some(from),
        to: Some(to),
        trace: stanza.header.trace,
        ..Header::new(Kind::Message, stanza.header.type_)
    };
    Stanza { header, payload }
}

fn wrapped(stanza: &Stanza, wrapper: &str) -> Payload {
    let mut xml = format!(
        "<{wrapper} xmlns='{}'><forwarded xmlns='{}'>",
        ns::CARBONS,
        ns::FORWARD
    )
    .into_bytes();
    stanza.write_standalone(&mut xml);
    xml.extend_from_slice(format!("</forwarded></{wrapper}>").as_bytes());
    Payload::from_normal(&String::from_utf8(xml).expect("written from strings and ASCII only"))
}
