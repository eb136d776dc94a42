//! Presence subscriptions (RFC 6121 section 3): the tables of appendix A, and what follows from a change of state.
//! Refuses to know on which worker, or server, the contact lives: stanzas go to an address.
//!
//! | section | item |
//! |---|---|
//! | 3.1 to 3.3 | [`outbound`], [`inbound`] |
//! | 3.1.3 requests kept for who is away | [`request`]: also for who is there, until they are answered |
//! | 3.4 pre-approval | [`Next::PreApproval`]; it is used up by the request that it answers |
//! | 2.5.2 removal of an item | [`remove`] |
//! | appendix A.2, A.3 | [`OUTBOUND`], [`INBOUND`] |
//!
//! An automatic `unsubscribed` in answer to `unsubscribe` (A.3.2, a SHOULD) goes to other servers only. Here a tell
//! is never lost, so there is nothing to correct; and it could deny a request that its receiver made meanwhile.

pub mod request;
mod table;

use std::sync::Arc;

use crate::actor::rows::Write;
use crate::actor::{Draft, Outcome, Stop, Turn};
use crate::base::limits;
use crate::jid::Jid;
use crate::stanza::{Condition, Header, Kind, Payload, Stanza, StanzaError};

use super::account::{self, Account};
use super::blocking;
use super::invitation;
use super::outgoing;
use super::presence;
use super::roster::{self, Roster, RosterItem, Sight, Standing};

pub use request::REQUEST;
pub use table::{Act, INBOUND, Incoming, Next, OUTBOUND, Outgoing, State};

/// Outbound: a client manages its subscription to a contact, or the contact's to it.
///
/// # Errors
/// Parks until the roster was read; rejects what cannot be asked.
pub fn outbound(turn: &mut Turn<'_, Account>, stanza: &Stanza, act: Act) -> Outcome {
    let contact = contact_of(turn, stanza)?;
    if stanza.charge() > limits::REQUEST_BYTES_MAX {
        // Section 3.1.3: "set limits on the number or size of inbound presence subscription requests".
        return Err(reject(
            Condition::PolicyViolation,
            "The request is too large",
        ));
    }
    let roster = roster::load(turn)?;
    let old = roster::item(turn, &roster, &contact)?;
    let mut new = old
        .clone()
        .unwrap_or_else(|| RosterItem::unknown(contact.clone()));
    let state = State::of(new.standing);
    let rule = OUTBOUND[act as usize][state as usize];
    match rule.next {
        Next::Same => {}
        Next::PreApproval => new.standing.approved = true,
        Next::NoPreApproval => new.standing.approved = false,
        Next::State(next) => new.standing = next.put_into(new.standing),
    }
    let was_from = old.as_ref().is_some_and(|item| item.standing.from);
    // Appendix A.1: "the server MUST wait until the user has approved the subscription request before adding the
    // contact to the user's roster". Asking adds it, too, and so does approving beforehand.
    new.standing.listed |= new.standing.from || new.standing.ask || new.standing.approved;
    let changes = new.standing
        != old
            .as_ref()
            .map_or(Standing::default(), |item| item.standing);
    if changes && !old.as_ref().is_some_and(|item| item.standing.listed) && new.standing.listed {
        roster::check_quota(turn, &roster, old.as_ref(), &new)?;
    }
    // Section 3.2.2: "While the user is still subscribed to the contact's presence (i.e., before ...), the
    // contact's server MUST send a presence stanza of type "unavailable" from all of the contact's online resources".
    if was_from && !new.standing.from {
        presence::leave(turn, &contact)?;
    }
    if rule.route {
        // Section 3: "the server MUST stamp the outgoing presence stanza with the bare JID".
        let stanza = stamped(turn, stanza, &contact);
        match changes {
            true => outgoing::tell(turn, stanza)?,
            false => turn.out.send(stanza),
        }
    }
    if changes {
        request::answer(turn, old.as_ref(), &new)?;
        save(turn, &roster, old.as_ref(), &new)?;
    }
    // Section 3.1.5: "The contact's server MUST then also send current presence to the user from each of the
    // contact's available resources."
    if new.standing.from && !was_from {
        presence::introduce(turn, &contact);
    }
    Ok(())
}

/// Inbound: a contact asks for a subscription, or tells what became of one.
///
/// # Errors
/// Parks until the roster was read; rejects, which nobody hears, when there is no such account.
pub fn inbound(turn: &mut Turn<'_, Account>, draft: &mut Draft, act: Act) -> Outcome {
    let Some(contact) = draft.stanza.header.from.as_ref().map(Jid::to_bare) else {
        return Ok(());
    };
    if turn.actor.anonymous || contact.as_str() == turn.actor.jid.as_str() {
        return Ok(());
    }
    account::identify(turn)?;
    let roster = roster::load(turn)?;
    let standing = roster.standing(&contact, turn.actor.jid.domainpart());
    let rule = INBOUND[act as usize][State::of(standing) as usize];
    // A.3.1 note 1, for the states in which section 3.4.2 lets the user approve beforehand.
    let is_granted = act == Act::Subscribe && standing.approved;
    // Also who has asked before, and shows a token now.
    if act == Act::Subscribe
        && !standing.from
        && !is_granted
        && let Some(used) = invitation::welcomes(turn, &draft.stanza, &contact)?
    {
        return welcome(turn, &roster, draft, &contact, used);
    }
    match rule.next {
        Next::State(next) if is_granted => grant(turn, &roster, &contact, next),
        Next::State(next) => happen(turn, &roster, draft, &contact, act, next),
        _ => {
            if let Some(reply) = rule.reply {
                let reply = said(turn, reply, &contact, &draft.stanza);
                turn.out.send(reply);
                // Who asks for what it has may have missed what it shows.
                presence::introduce(turn, &contact);
            }
            Ok(())
        }
    }
}

/// The state changes as the table says.
fn happen(
    turn: &mut Turn<'_, Account>,
    roster: &Arc<Roster>,
    draft: &mut Draft,
    contact: &Jid,
    act: Act,
    next: State,
) -> Outcome {
    let old = roster::item(turn, roster, contact)?;
    // XEP-0191 section 3.3: of who is blocked nothing is delivered, "and the server MUST NOT respond".
    let is_quiet = blocking::is_blocked(turn, contact)?;
    let mut new = old
        .clone()
        .unwrap_or_else(|| RosterItem::unknown(contact.clone()));
    let was_from = new.standing.from;
    new.standing = next.put_into(new.standing);
    // Section 8.5.2.1.2: "the server MUST NOT rewrite the 'to' attribute"; but section 3.1.3: to a full JID is "as
    // if the request had been directed to the contact's bare JID".
    draft.stanza.header.to = Some(turn.actor.jid.clone());
    if act == Act::Subscribe {
        let too_large = draft.stanza.charge() > limits::REQUEST_BYTES_MAX;
        if too_large || roster.counts.pending_in >= turn.config.roster.requests {
            // Who asks hears nothing, as if the user did not answer.
            log::info!("request_dropped account={}", turn.actor.jid);
            return Ok(());
        }
        let account = account::identify(turn)?;
        turn.out
            .write
            .push(request::put(account, contact, &draft.stanza));
        // "Presence subscription requests are sent to available resources, whereas the roster pushes ... are sent
        // to interested resources."
        for session in turn.actor.available() {
            turn.out.deliver(session.id, draft.stanza.clone());
        }
    } else {
        // Sections 3.1.6, 3.2.3 and 3.3.3: "Deliver ... to all of the user's interested resources ... This MUST
        // occur before sending the roster push".
        let interested = turn.actor.sessions.iter().filter(|_| !is_quiet);
        for session in interested.filter(|session| session.interested && !session.ended) {
            turn.out.deliver(session.id, draft.stanza.clone());
        }
    }
    request::answer(turn, old.as_ref(), &new)?;
    save(turn, roster, old.as_ref(), &new)?;
    if was_from && !new.standing.from {
        // Section 3.3.3: "Generate an outbound presence stanza of type "unavailable" from each of the contact's
        // available resources to the user."
        presence::leave(turn, contact)?;
    }
    if act == Act::Unsubscribe && !is_quiet && turn.config.host(contact.domainpart()).is_none() {
        let reply = said(turn, Act::Unsubscribed, contact, &draft.stanza);
        turn.out.send(reply);
    }
    Ok(())
}

/// Section 3.4.2: "MUST automatically respond to such a stanza on behalf of the user by returning a presence
/// stanza of type "subscribed"".
fn grant(
    turn: &mut Turn<'_, Account>,
    roster: &Arc<Roster>,
    contact: &Jid,
    next: State,
) -> Outcome {
    let Some(old) = roster::item(turn, roster, contact)? else {
        return Ok(());
    };
    let mut new = old.clone();
    let pending = next.put_into(old.standing);
    new.standing = Standing {
        from: true,
        pending_in: false,
        approved: false,
        ..pending
    };
    let granted = plain(turn.actor, Act::Subscribed, contact);
    outgoing::tell(turn, granted)?;
    save(turn, roster, Some(&old), &new)?;
    presence::introduce(turn, contact);
    Ok(())
}

/// XEP-0379 section 3.5: who shows a token of this account is approved, and asked for a subscription in return. A full
/// roster takes nobody: then the request is one like any other.
fn welcome(
    turn: &mut Turn<'_, Account>,
    roster: &Arc<Roster>,
    draft: &mut Draft,
    contact: &Jid,
    used: Write,
) -> Outcome {
    let old = roster::item(turn, roster, contact)?;
    let mut new = old
        .clone()
        .unwrap_or_else(|| RosterItem::unknown(contact.clone()));
    let asks = !new.standing.to;
    new.standing = Standing {
        from: true,
        ask: asks,
        pending_in: false,
        approved: false,
        listed: true,
        ..new.standing
    };
    if roster::check_quota(turn, roster, old.as_ref(), &new).is_err() {
        let state = State::of(roster.standing(contact, turn.actor.jid.domainpart()));
        let rule = INBOUND[Act::Subscribe as usize][state as usize];
        return match rule.next {
            Next::State(next) => happen(turn, roster, draft, contact, Act::Subscribe, next),
            _ => Ok(()),
        };
    }
    turn.out.write.push(used);
    let granted = plain(turn.actor, Act::Subscribed, contact);
    outgoing::tell(turn, granted)?;
    if asks {
        let asked = plain(turn.actor, Act::Subscribe, contact);
        outgoing::tell(turn, asked)?;
    }
    request::answer(turn, old.as_ref(), &new)?;
    save(turn, roster, old.as_ref(), &new)?;
    presence::introduce(turn, contact);
    Ok(())
}

/// What somebody who came by an invitation asks whoever invited.
pub fn invited(newcomer: &Jid, inviter: &Jid, token: &str) -> Stanza {
    Stanza {
        payload: Payload::from_normal(&invitation::preauth(token)),
        ..spoken(newcomer, Act::Subscribe, inviter)
    }
}

/// Section 2.5.2: the user removes an item, and with it what stands between the two.
///
/// # Errors
/// Parks until the account is identified.
pub fn remove(turn: &mut Turn<'_, Account>, roster: &Arc<Roster>, old: &RosterItem) -> Outcome {
    let Standing {
        to,
        from,
        ask,
        pending_in,
        ..
    } = old.standing;
    let contact = &old.jid;
    // "If the user has a presence subscription to the contact, then the user's server MUST send a presence stanza of
    // type "unsubscribe""; one that was asked for is withdrawn likewise.
    if to || ask {
        let stanza = plain(turn.actor, Act::Unsubscribe, contact);
        outgoing::tell(turn, stanza)?;
    }
    if from {
        presence::leave(turn, contact)?;
        let stanza = plain(turn.actor, Act::Unsubscribed, contact);
        outgoing::tell(turn, stanza)?;
    }
    // Appendix A.1: a request that was not answered is none of the item's business.
    let new = RosterItem {
        standing: Standing {
            pending_in,
            ..Standing::default()
        },
        ..RosterItem::unknown(contact.clone())
    };
    save(turn, roster, Some(old), &new)
}

/// Writes the item, and tells interested resources if it is another for them.
fn save(
    turn: &mut Turn<'_, Account>,
    roster: &Roster,
    old: Option<&RosterItem>,
    new: &RosterItem,
) -> Outcome {
    let shown = old.and_then(RosterItem::shown);
    let sight = match shown == new.shown() {
        true => Sight::Hidden,
        false => Sight::Shown,
    };
    let (roster, new) = roster::change(turn, roster, old, new.clone(), sight)?;
    if sight == Sight::Shown {
        roster::push(turn, &roster, &new);
    }
    Ok(())
}

/// The contact's bare JID: "SHOULD treat it as if the request had been directed to the contact's bare JID".
fn contact_of(turn: &Turn<'_, Account>, stanza: &Stanza) -> Result<Jid, Stop> {
    let Some(to) = &stanza.header.to else {
        return Err(reject(Condition::BadRequest, "Nobody is addressed"));
    };
    if turn.actor.anonymous {
        return Err(reject(
            Condition::NotAllowed,
            "An anonymous account has no subscriptions",
        ));
    }
    if to.bare_str() == turn.actor.jid.as_str() {
        // Section 4.2.2: "an entity is implicitly subscribed to its own presence".
        return Err(reject(
            Condition::NotAllowed,
            "You see your own resources without a subscription",
        ));
    }
    Ok(to.to_bare())
}

fn stamped(turn: &Turn<'_, Account>, stanza: &Stanza, contact: &Jid) -> Stanza {
    let mut stanza = stanza.clone();
    stanza.header.from = Some(turn.actor.jid.clone());
    stanza.header.to = Some(contact.clone());
    stanza
}

/// What a contact of an account that is no more has to hear: the subscriptions in both directions are cancelled, and
/// what was asked is withdrawn or denied.
pub fn farewell(leaver: &Jid, item: &RosterItem) -> impl Iterator<Item = Stanza> {
    let Standing {
        to,
        from,
        ask,
        pending_in,
        ..
    } = item.standing;
    let stanza = |act| spoken(leaver, act, &item.jid);
    let withdrawn = (to || ask).then(|| stanza(Act::Unsubscribe));
    let denied = (from || pending_in).then(|| stanza(Act::Unsubscribed));
    withdrawn.into_iter().chain(denied)
}

/// Says something on the user's behalf.
pub fn plain(account: &Account, act: Act, contact: &Jid) -> Stanza {
    spoken(&account.jid, act, contact)
}

fn spoken(account: &Jid, act: Act, contact: &Jid) -> Stanza {
    let header = Header {
        from: Some(account.clone()),
        to: Some(contact.clone()),
        ..Header::new(Kind::Presence, act.type_())
    };
    Stanza {
        header,
        payload: Payload::EMPTY,
    }
}

/// The same in answer to something.
fn said(turn: &Turn<'_, Account>, act: Act, contact: &Jid, cause: &Stanza) -> Stanza {
    let mut stanza = plain(turn.actor, act, contact);
    stanza.header.id = cause.header.id.clone();
    stanza.header.trace = cause.header.trace;
    stanza
}

fn reject(condition: Condition, text: &'static str) -> Stop {
    Stop::Reject(StanzaError::new(condition, text))
}
