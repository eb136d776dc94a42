//! Presence subscriptions (RFC 6121 section 3): the tables of appendix A, and what follows from a change of state.
//! Refuses to know on which worker, or server, the contact lives: stanzas go to an address.
//!
//! | section | item |
//! |---|---|
//! | 3.1 to 3.3 | [`outbound`], [`inbound`] |
//! | 3.1.3 requests kept for who is away | [`REQUEST`], [`requests`]: also for who is there, until they are answered |
//! | 3.4 pre-approval | [`Next::PreApproval`]; it is used up by the request that it answers |
//! | 2.5.2 removal of an item | [`remove`] |
//! | appendix A.2, A.3 | [`OUTBOUND`], [`INBOUND`] |
//!
//! An automatic `unsubscribed` in answer to `unsubscribe` (A.3.2, a SHOULD) goes to other servers only. Here a tell
//! is never lost, so there is nothing to correct; and it could deny a request that its receiver made meanwhile.

use std::sync::Arc;

use crate::actor::rows::{Durability, Export, RowKey, RowRange, Slices, Table, Write};
use crate::actor::{Draft, Outcome, Stop, Turn};
use crate::base::{AccountId, SessionId, limits};
use crate::jid::Jid;
use crate::stanza::{Condition, Header, Kind, Payload, Stanza, StanzaError, Type, read_stored};

use super::account::{self, Account};
use super::outgoing;
use super::presence;
use super::roster::{self, Roster, RosterItem, Sight, Standing};

/// Requests that wait for the user's answer, whole.
pub static REQUEST: Table = Table {
    name: "request",
    durability: Durability::BeforeReply,
    export: Export::WithAccount,
    slices: Slices::Whole,
    about: "Subscription requests that the user has not answered; key: account id, the requester's bare JID",
};

/// The nine states of appendix A.1, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    None,
    NonePendingOut,
    NonePendingIn,
    NonePendingOutIn,
    To,
    ToPendingIn,
    From,
    FromPendingOut,
    Both,
}

/// The four types of appendix A, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Subscribe,
    Unsubscribe,
    Subscribed,
    Unsubscribed,
}

/// What becomes of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// "no state change".
    Same,
    State(State),
    /// A.2.3 note 1.
    PreApproval,
    /// A.2.4 note 1: no state change, but a pre-approval is cancelled.
    NoPreApproval,
}

/// A cell of tables 2 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// MUST; else MUST NOT or SHOULD NOT, which are the same here.
    pub route: bool,
    pub next: Next,
}

/// A cell of tables 6 to 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// MUST; else SHOULD NOT, which is obeyed.
    pub deliver: bool,
    pub next: Next,
    /// The server answers on the user's behalf with this.
    pub reply: Option<Act>,
}

const fn to(state: State) -> Outgoing {
    Outgoing {
        route: true,
        next: Next::State(state),
    }
}

const fn keep(route: bool) -> Outgoing {
    Outgoing {
        route,
        next: Next::Same,
    }
}

const PRE_APPROVAL: Outgoing = Outgoing {
    route: false,
    next: Next::PreApproval,
};
const NO_PRE_APPROVAL: Outgoing = Outgoing {
    route: false,
    next: Next::NoPreApproval,
};

/// Appendix A.2 by [`Act`] and [`State`].
pub const OUTBOUND: [[Outgoing; 9]; 4] = [
    [
        to(State::NonePendingOut),
        keep(true),
        to(State::NonePendingOutIn),
        keep(true),
        keep(true),
        keep(true),
        to(State::FromPendingOut),
        keep(true),
        keep(true),
    ],
    [
        keep(true),
        to(State::None),
        keep(true),
        to(State::NonePendingIn),
        to(State::None),
        to(State::NonePendingIn),
        keep(true),
        to(State::From),
        to(State::From),
    ],
    [
        PRE_APPROVAL,
        PRE_APPROVAL,
        to(State::From),
        to(State::FromPendingOut),
        PRE_APPROVAL,
        to(State::Both),
        keep(false),
        keep(false),
        keep(false),
    ],
    [
        NO_PRE_APPROVAL,
        NO_PRE_APPROVAL,
        to(State::None),
        to(State::NonePendingOut),
        NO_PRE_APPROVAL,
        to(State::To),
        to(State::None),
        to(State::NonePendingOut),
        to(State::To),
    ],
];

const fn news(state: State) -> Incoming {
    Incoming {
        deliver: true,
        next: Next::State(state),
        reply: None,
    }
}

const fn end(state: State) -> Incoming {
    Incoming {
        deliver: true,
        next: Next::State(state),
        reply: Some(Act::Unsubscribed),
    }
}

const IGNORED: Incoming = Incoming {
    deliver: false,
    next: Next::Same,
    reply: None,
};
const GRANTED: Incoming = Incoming {
    deliver: false,
    next: Next::Same,
    reply: Some(Act::Subscribed),
};

/// Appendix A.3 by [`Act`] and [`State`].
pub const INBOUND: [[Incoming; 9]; 4] = [
    [
        news(State::NonePendingIn),
        news(State::NonePendingOutIn),
        IGNORED,
        IGNORED,
        news(State::ToPendingIn),
        IGNORED,
        GRANTED,
        GRANTED,
        GRANTED,
    ],
    [
        IGNORED,
        IGNORED,
        end(State::None),
        end(State::NonePendingOut),
        IGNORED,
        end(State::To),
        end(State::None),
        end(State::NonePendingOut),
        end(State::To),
    ],
    [
        IGNORED,
        news(State::To),
        IGNORED,
        news(State::ToPendingIn),
        IGNORED,
        IGNORED,
        IGNORED,
        news(State::Both),
        IGNORED,
    ],
    [
        IGNORED,
        news(State::None),
        IGNORED,
        news(State::NonePendingIn),
        news(State::None),
        news(State::NonePendingIn),
        IGNORED,
        news(State::From),
        news(State::From),
    ],
];

impl State {
    /// The state in which an account stands to a contact.
    pub fn of(standing: Standing) -> State {
        match (
            standing.to,
            standing.from,
            standing.ask,
            standing.pending_in,
        ) {
            (true, true, ..) => State::Both,
            (true, false, _, true) => State::ToPendingIn,
            (true, false, _, false) => State::To,
            (false, true, true, _) => State::FromPendingOut,
            (false, true, false, _) => State::From,
            (false, false, true, true) => State::NonePendingOutIn,
            (false, false, true, false) => State::NonePendingOut,
            (false, false, false, true) => State::NonePendingIn,
            (false, false, false, false) => State::None,
        }
    }

    /// A standing in this state, with what is no part of states as it was.
    pub fn put_into(self, before: Standing) -> Standing {
        use State::*;
        Standing {
            to: matches!(self, To | ToPendingIn | Both),
            from: matches!(self, From | FromPendingOut | Both),
            ask: matches!(self, NonePendingOut | NonePendingOutIn | FromPendingOut),
            pending_in: matches!(self, NonePendingIn | NonePendingOutIn | ToPendingIn),
            ..before
        }
    }
}

impl Act {
    /// What a presence of this type does; none if it is about something else.
    pub fn of(type_: Type) -> Option<Act> {
        match type_ {
            Type::Subscribe => Some(Act::Subscribe),
            Type::Unsubscribe => Some(Act::Unsubscribe),
            Type::Subscribed => Some(Act::Subscribed),
            Type::Unsubscribed => Some(Act::Unsubscribed),
            _ => None,
        }
    }

    fn type_(self) -> Type {
        match self {
            Act::Subscribe => Type::Subscribe,
            Act::Unsubscribe => Type::Unsubscribe,
            Act::Subscribed => Type::Subscribed,
            Act::Unsubscribed => Type::Unsubscribed,
        }
    }
}

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
        presence::leave(turn, &contact);
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
        answer_request(turn, old.as_ref(), &new)?;
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
            .push(put_request(account, contact, &draft.stanza));
        // "Presence subscription requests are sent to available resources, whereas the roster pushes ... are sent
        // to interested resources."
        for session in turn.actor.available() {
            turn.out.deliver(session.id, draft.stanza.clone());
        }
    } else {
        // Sections 3.1.6, 3.2.3 and 3.3.3: "Deliver ... to all of the user's interested resources ... This MUST
        // occur before sending the roster push".
        let interested = turn.actor.sessions.iter();
        for session in interested.filter(|session| session.interested && !session.ended) {
            turn.out.deliver(session.id, draft.stanza.clone());
        }
    }
    answer_request(turn, old.as_ref(), &new)?;
    save(turn, roster, old.as_ref(), &new)?;
    if was_from && !new.standing.from {
        // Section 3.3.3: "Generate an outbound presence stanza of type "unavailable" from each of the contact's
        // available resources to the user."
        presence::leave(turn, contact);
    }
    if act == Act::Unsubscribe && turn.config.host(contact.domainpart()).is_none() {
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
        presence::leave(turn, contact);
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

/// Requests that wait for an answer, to a session that becomes available: "The contact's server MUST continue to
/// deliver the subscription request whenever the contact creates an available resource".
///
/// # Errors
/// Parks until they were read.
pub fn requests(turn: &mut Turn<'_, Account>, roster: &Roster, session: SessionId) -> Outcome {
    if roster.counts.pending_in == 0 {
        return Ok(());
    }
    let account = account::identify(turn)?;
    let (rows, _) = turn.load_range(&REQUEST, &request_range(account))?;
    let requests: Vec<Option<Stanza>> = rows.iter().map(|r| decode_request(&r.value)).collect();
    for request in requests {
        match request {
            Some(stanza) => turn.out.deliver(session, stanza),
            None => log::error!("request_row_damaged account={}", turn.actor.jid),
        }
    }
    Ok(())
}

/// What was asked is answered or withdrawn: it is not shown again.
fn answer_request(
    turn: &mut Turn<'_, Account>,
    old: Option<&RosterItem>,
    new: &RosterItem,
) -> Outcome {
    let was_pending = old.is_some_and(|item| item.standing.pending_in);
    if was_pending && !new.standing.pending_in {
        let account = account::identify(turn)?;
        turn.out.write.push(Write::Delete {
            table: &REQUEST,
            key: request_key(account, &new.jid),
        });
    }
    Ok(())
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

/// Says something on the user's behalf.
pub fn plain(account: &Account, act: Act, contact: &Jid) -> Stanza {
    let header = Header {
        from: Some(account.jid.clone()),
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

fn put_request(account: AccountId, contact: &Jid, stanza: &Stanza) -> Write {
    let mut value = vec![ROW_VERSION];
    stanza.write_standalone(&mut value);
    Write::Put {
        table: &REQUEST,
        key: request_key(account, contact),
        value: value.into(),
    }
}

/// A stored request; none if the row is damaged.
pub fn decode_request(value: &[u8]) -> Option<Stanza> {
    let (&version, xml) = value.split_first()?;
    (version == ROW_VERSION).then_some(())?;
    read_stored(std::str::from_utf8(xml).ok()?)
}

fn request_key(account: AccountId, contact: &Jid) -> RowKey {
    RowKey::new(&account.0.to_be_bytes()).then(contact.bare_str().as_bytes())
}

fn request_range(account: AccountId) -> RowRange {
    RowRange {
        from: RowKey::new(&account.0.to_be_bytes()),
        to: RowKey::new(&account.0.saturating_add(1).to_be_bytes()),
        count_max: usize::MAX,
        bytes_max: limits::ROSTER_READ_BYTES_MAX,
    }
}

fn reject(condition: Condition, text: &'static str) -> Stop {
    Stop::Reject(StanzaError::new(condition, text))
}

const ROW_VERSION: u8 = 1;

#[cfg(test)]
mod tests;
