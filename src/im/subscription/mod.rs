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
//! What two accounts of this server say to each other is numbered, so that their halves agree in the end whatever
//! crosses, is lost or comes late: `half.rs`.

mod half;
pub mod request;
mod table;

use std::sync::Arc;

use crate::actor::auth::AccountAnswer;
use crate::actor::{Draft, Outcome, Stop, Tell, Turn};
use crate::base::limits;
use crate::jid::Jid;
use crate::stanza::{Condition, Header, Kind, Payload, Stanza, StanzaError};

use super::account::{self, Account, Change};
use super::blocking;
use super::invitation::{self, Redemption};
use super::outgoing::{self, Care};
use super::presence;
use super::roster::{self, Numbers, Roster, RosterItem, Sight, Standing};

use half::{Half, Name, Said, Step};

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
    // While a list of the directory says that they see each other, nothing that they say changes it.
    let relation = turn.actor.relation(&contact);
    let is_said = match act {
        Act::Subscribe | Act::Unsubscribe => relation.to,
        Act::Subscribed | Act::Unsubscribed => relation.from,
    };
    if is_said {
        return Ok(());
    }
    if matches!(act, Act::Subscribe | Act::Unsubscribe) {
        count(turn)?;
    }
    let roster = roster::load(turn)?;
    let old = roster::item(turn, &roster, &contact)?;
    let mut new = known(old.as_ref(), &contact);
    let fresh = turn.sequence.next(turn.now);
    let step = half::outbound(half_of(&new), act, fresh);
    put_half(&mut new, step.half);
    // Appendix A.1: "the server MUST wait until the user has approved the subscription request before adding the
    // contact to the user's roster". Asking adds it, too, and so does approving beforehand.
    new.standing.listed |= new.standing.from || new.standing.ask || new.standing.approved;
    let was = old.as_ref().map_or(Standing::default(), |it| it.standing);
    if !was.listed && new.standing.listed {
        roster::check_quota(turn, &roster, old.as_ref(), &new)?;
    }
    // Section 3.2.2: "While the user is still subscribed to the contact's presence (i.e., before ...), the
    // contact's server MUST send a presence stanza of type "unavailable" from all of the contact's online resources".
    if was.from && !new.standing.from {
        presence::leave(turn, &contact)?;
    }
    if let Some(said) = step.says {
        // Section 3: "the server MUST stamp the outgoing presence stanza with the bare JID".
        let stanza = stamped(turn, stanza, &contact);
        say(turn, stanza, said)?;
    }
    settle(turn, &roster, old.as_ref(), &new, &step)?;
    // Section 3.1.5: "The contact's server MUST then also send current presence to the user from each of the
    // contact's available resources."
    if new.standing.from && !was.from {
        presence::introduce(turn, &contact);
    }
    Ok(())
}

/// Section 3.1.3 asks for what "helps to prevent presence subscription request spam": nobody sends them faster than
/// people do.
fn count(turn: &mut Turn<'_, Account>) -> Outcome {
    let now_ms = turn.now.mono_ms;
    let until_ms = turn.actor.acts_until_ms.max(now_ms) + limits::ACTS_EVERY_MS;
    if until_ms > now_ms + limits::ACTS_BURST * limits::ACTS_EVERY_MS {
        let error = StanzaError::new(
            Condition::ResourceConstraint,
            "Too many requests for subscriptions, try again later",
        );
        return Err(Stop::Reject(error));
    }
    turn.out.change.push(Change::Acted { until_ms });
    Ok(())
}

/// Inbound: a contact asks for a subscription, or tells what became of one.
///
/// # Errors
/// Parks until the roster was read; rejects, which nobody hears, when there is no such account, or no room for a
/// request yet.
pub fn inbound(turn: &mut Turn<'_, Account>, draft: &mut Draft, act: Act) -> Outcome {
    let Some(contact) = draft.stanza.header.from.as_ref().map(Jid::to_bare) else {
        return Ok(());
    };
    if turn.actor.anonymous || contact.as_str() == turn.actor.jid.as_str() {
        return Ok(());
    }
    account::identify(turn)?;
    let roster = roster::load(turn)?;
    let old = roster::item(turn, &roster, &contact)?;
    let mut new = known(old.as_ref(), &contact);
    let was = new.standing;
    let name = match draft.tell {
        Some(Tell {
            number, answers, ..
        }) => Name::Tell { number, answers },
        None if turn.config.host(contact.domainpart()).is_some() => Name::Unasked,
        None => Name::Foreign,
    };
    // Also who has asked before, and shows a token now.
    if act == Act::Subscribe
        && !was.from
        && !was.approved
        && (was.pending_in || !name.is_heard(half_of(&new)))
        && let Some(used) = invitation::welcomes(turn, &draft.stanza, &contact)?
        && welcome(turn, &roster, old.as_ref(), &mut new, name, used)?
    {
        return Ok(());
    }
    // XEP-0191 section 3.3: of who is blocked nothing is delivered, "and the server MUST NOT respond".
    let is_quiet = blocking::is_blocked(turn, &contact)?;
    let fresh = turn.sequence.next(turn.now);
    let step = half::inbound(half_of(&new), act, name, fresh);
    put_half(&mut new, step.half);
    if step.is_delivered && !(is_quiet && act != Act::Subscribe) {
        deliver(turn, &roster, draft, &contact, act)?;
    }
    if was.from && !new.standing.from {
        // Section 3.3.3: "Generate an outbound presence stanza of type "unavailable" from each of the contact's
        // available resources to the user."
        presence::leave(turn, &contact)?;
    }
    if let Some(said) = step.says.filter(|said| said.is_kept || !is_quiet) {
        let mut reply = plain(turn.actor, said.act, &contact);
        reply.header.id = draft.stanza.header.id.clone();
        reply.header.trace = draft.stanza.header.trace;
        say(turn, reply, said)?;
    }
    settle(turn, &roster, old.as_ref(), &new, &step)?;
    if step.says.is_some_and(|said| said.act == Act::Subscribed) {
        // Section 3.4.2, and 3.1.3 for who has a subscription: it may have missed what it shows.
        presence::introduce(turn, &contact);
    }
    Ok(())
}

/// To the sessions that the standard names.
fn deliver(
    turn: &mut Turn<'_, Account>,
    roster: &Roster,
    draft: &mut Draft,
    contact: &Jid,
    act: Act,
) -> Outcome {
    // Section 8.5.2.1.2: "the server MUST NOT rewrite the 'to' attribute"; but section 3.1.3: to a full JID is "as
    // if the request had been directed to the contact's bare JID".
    draft.stanza.header.to = Some(turn.actor.jid.clone());
    if act == Act::Subscribe {
        if draft.stanza.charge() > limits::REQUEST_BYTES_MAX {
            // Who asks hears nothing, as if the user did not answer.
            log::debug!("request_too_large account={}", turn.actor.jid);
            return Err(Stop::Done);
        }
        if roster.counts.pending_in >= turn.config.roster.requests {
            // The same, until there is room: its row stays with who asks, and is told again.
            log::debug!("request_postponed account={}", turn.actor.jid);
            return Err(reject(Condition::ResourceConstraint, ""));
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
        let interested = turn.actor.sessions.iter();
        for session in interested.filter(|session| session.interested && !session.ended) {
            turn.out.deliver(session.id, draft.stanza.clone());
        }
    }
    Ok(())
}

/// XEP-0379 section 3.5: who shows a token of this account is approved, and asked for a subscription in return. A full
/// roster takes nobody: then the request is one like any other.
fn welcome(
    turn: &mut Turn<'_, Account>,
    roster: &Arc<Roster>,
    old: Option<&RosterItem>,
    new: &mut RosterItem,
    name: Name,
    redemption: Redemption,
) -> Result<bool, Stop> {
    let listed = RosterItem {
        standing: Standing {
            listed: true,
            ..new.standing
        },
        ..new.clone()
    };
    if roster::check_quota(turn, roster, old, &listed).is_err() {
        return Ok(false);
    }
    match redemption {
        Redemption::Written(used) => turn.out.write.push(used),
        Redemption::Asked(ask) => {
            // Somebody else may have used it since it was read.
            if turn.ask_account(&ask)? != AccountAnswer::Redeemed {
                return Ok(false);
            }
        }
    }
    new.standing.listed = true;
    let fresh = turn.sequence.next(turn.now);
    let heard = half::inbound(half_of(new), Act::Subscribe, name, fresh);
    put_half(new, heard.half);
    forget(turn, &heard)?;
    say_plainly(turn, new, Act::Subscribed)?;
    if !new.standing.to {
        say_plainly(turn, new, Act::Subscribe)?;
    }
    request::answer(turn, old, new)?;
    save(turn, roster, old, new)?;
    presence::introduce(turn, &new.jid);
    Ok(true)
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
    let Standing { to, from, ask, .. } = old.standing;
    let contact = &old.jid;
    let mut new = RosterItem::unknown(contact.clone());
    put_half(&mut new, half_of(old));
    // "If the user has a presence subscription to the contact, then the user's server MUST send a presence stanza of
    // type "unsubscribe""; one that was asked for is withdrawn likewise.
    if to || ask {
        say_plainly(turn, &mut new, Act::Unsubscribe)?;
    }
    if from {
        presence::leave(turn, contact)?;
        say_plainly(turn, &mut new, Act::Unsubscribed)?;
    }
    // Appendix A.1: a request that was not answered is none of the item's business.
    new.standing = Standing {
        pending_in: new.standing.pending_in,
        ..Standing::default()
    };
    save(turn, roster, Some(old), &new)
}

fn say_plainly(turn: &mut Turn<'_, Account>, item: &mut RosterItem, act: Act) -> Outcome {
    let fresh = turn.sequence.next(turn.now);
    let step = half::outbound(half_of(item), act, fresh);
    put_half(item, step.half);
    if let Some(said) = step.says {
        let stanza = plain(turn.actor, act, &item.jid);
        say(turn, stanza, said)?;
    }
    forget(turn, &step)
}

/// Requests that accounts of this server have not answered are said once more under their numbers: who has heard of one
/// hears nothing new.
///
/// # Errors
/// Parks until their rows were read.
pub fn ask_again(turn: &mut Turn<'_, Account>, contacts: &[Jid]) -> Outcome {
    for item in roster::items(turn)? {
        let half = half_of(&item);
        if !half.standing.ask || half.numbers.asked == 0 || !contacts.contains(&item.jid) {
            continue;
        }
        let said = Said {
            act: Act::Subscribe,
            number: half.numbers.asked,
            answers: 0,
            is_kept: false,
        };
        let request = plain(turn.actor, Act::Subscribe, &item.jid);
        say(turn, request, said)?;
    }
    Ok(())
}

/// A tell of this account was not confirmed: it is told again if it still stands.
///
/// # Errors
/// Parks until the roster was read.
pub fn retell(turn: &mut Turn<'_, Account>, stanza: &Stanza, tell: Tell) -> Outcome {
    let act = Act::of(stanza.header.type_);
    let (Some(contact), Some(act)) = (stanza.header.to.as_ref(), act) else {
        return Ok(());
    };
    let is_own = match account::identify(turn) {
        Ok(account) => account == tell.account,
        Err(Stop::Reject(_)) => false,
        Err(stop) => return Err(stop),
    };
    // What an account told last before it was removed stands.
    let stands = !is_own || {
        let roster = roster::load(turn)?;
        let item = roster::item(turn, &roster, contact)?;
        item.is_none_or(|item| half_of(&item).stands(act, tell.number))
    };
    log::info!("told_again number={} stands={stands}", tell.number);
    match stands {
        true => turn.out.tell(stanza.clone(), tell),
        false => turn
            .out
            .write
            .push(outgoing::delete(tell.account, tell.number)),
    }
    Ok(())
}

/// Sends what a half says to the other.
fn say(turn: &mut Turn<'_, Account>, stanza: Stanza, said: Said) -> Outcome {
    let tell = Tell {
        account: account::identify(turn)?,
        number: said.number,
        answers: said.answers,
    };
    let care = match said.is_kept {
        true => Care::Kept,
        false => Care::Once,
    };
    outgoing::tell(turn, stanza, tell, care);
    Ok(())
}

/// Writes what a step changed, if it changed anything.
fn settle(
    turn: &mut Turn<'_, Account>,
    roster: &Roster,
    old: Option<&RosterItem>,
    new: &RosterItem,
    step: &Step,
) -> Outcome {
    forget(turn, step)?;
    if new.standing == old.map_or(Standing::default(), |it| it.standing)
        && new.numbers == old.map_or(Numbers::default(), |it| it.numbers)
    {
        return Ok(());
    }
    request::answer(turn, old, new)?;
    save(turn, roster, old, new)
}

/// Tells for which something later stands are not told any more.
fn forget(turn: &mut Turn<'_, Account>, step: &Step) -> Outcome {
    for &number in &step.void {
        let account = account::identify(turn)?;
        turn.out.write.push(outgoing::delete(account, number));
    }
    Ok(())
}

fn known(old: Option<&RosterItem>, contact: &Jid) -> RosterItem {
    old.cloned()
        .unwrap_or_else(|| RosterItem::unknown(contact.clone()))
}

fn half_of(item: &RosterItem) -> Half {
    Half {
        standing: item.standing,
        numbers: item.numbers,
    }
}

fn put_half(item: &mut RosterItem, half: Half) {
    (item.standing, item.numbers) = (half.standing, half.numbers);
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

fn reject(condition: Condition, text: &'static str) -> Stop {
    Stop::Reject(StanzaError::new(condition, text))
}
