//! Presence (RFC 6121 section 4): what a session says about itself, to whom it goes, and what those hear who ask.
//! Refuses to know where contacts live: a broadcast names them all, and the engine makes one envelope for each
//! worker of it (DESIGN section 11).
//!
//! | section | item |
//! |---|---|
//! | 4.2 initial presence | `available`, also of the account's other resources |
//! | 4.3 probes | `probe`, `asked.rs`; to accounts on this server that nobody uses they are not brought, which is an answer, too |
//! | 4.4 updates | `available` |
//! | 4.5 unavailable | `unavailable`, [`ended`] for a session that said no good-bye |
//! | 4.6 directed presence | `directed`, `forget_directed` |
//! | 4.7.2.3 priority | `priority` |

mod asked;
mod hidden;

use crate::actor::{Draft, Envelope, Outcome, Stop, Turn};
use crate::base::limits;
use crate::jid::{Jid, JidList};
use crate::stanza::{Condition, Header, Kind, Payload, Stanza, StanzaError, Type, ns};

use super::account::{Account, Change};
use super::blocking::{self, Blocklist};
use super::capabilities;
use super::last;
use super::roster::shared::standing_of;
use super::roster::{self, Roster, Standing};
use super::session::Session;
use super::subscription::{self, Act};

use asked::probed;

pub use asked::{is_known, is_own, may_know, may_see, shares_presence, turned_away};
pub use hidden::{hide, show};

/// Outbound: what a client says about itself, to everybody or to one.
pub fn outbound(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    let Some(session) = draft.session.and_then(|id| turn.actor.session(id)) else {
        return Ok(());
    };
    if matches!(
        draft.stanza.header.type_,
        Type::Available | Type::Unavailable
    ) {
        bound(&mut draft.stanza)?;
    }
    let stanza = &draft.stanza;
    match (stanza.header.type_, &stanza.header.to) {
        (Type::Available, None) => available(turn, session, stanza),
        (Type::Unavailable, None) => {
            unavailable(turn, session, stanza);
            Ok(())
        }
        (Type::Available | Type::Unavailable, Some(to)) => directed(turn, session, stanza, to),
        // Section 4.3: "if a user's client generates an outbound presence probe then the user's server SHOULD route
        // the probe ... or process the probe".
        (Type::Error | Type::Probe, Some(_)) => {
            turn.out.send(stanza.clone());
            Ok(())
        }
        (Type::Error | Type::Probe, None) => Ok(()),
        (type_, _) => match Act::of(type_) {
            Some(act) => subscription::outbound(turn, stanza, act),
            None => Ok(()),
        },
    }
}

/// Refuses presence that is too large. Of a good-bye only the words are left out: to refuse it would be to leave the user
/// available.
fn bound(presence: &mut Stanza) -> Outcome {
    if presence.charge() <= limits::PRESENCE_BYTES_MAX {
        return Ok(());
    }
    if presence.header.type_ == Type::Unavailable {
        presence.payload = Payload::EMPTY;
        return Ok(());
    }
    Err(Stop::Reject(StanzaError::new(
        Condition::PolicyViolation,
        "The presence is too large",
    )))
}

/// Inbound: to the sessions that RFC 6121 section 8.5 names.
pub fn inbound(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    let stanza = &draft.stanza;
    match stanza.header.type_ {
        Type::Probe => return probed(turn, stanza),
        Type::Unavailable => forget_directed(turn, stanza),
        type_ => {
            if let Some(act) = Act::of(type_) {
                return subscription::inbound(turn, draft, act);
            }
        }
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
        unavailable(turn, session, &gone(session));
    }
    turn.out.change.push(Change::Ended(session.id));
}

/// A contact may see the account from now on: it is told what there is to see.
pub fn introduce(turn: &mut Turn<'_, Account>, contact: &Jid) {
    for session in turn.actor.available() {
        if let Some(presence) = &session.presence {
            turn.out.send(addressed(presence, contact));
        }
    }
}

/// A contact may not see the account any more: every resource goes, also those that only this contact saw. Who is
/// blocked saw them go before.
///
/// # Errors
/// Parks until the blocklist was read.
pub fn leave(turn: &mut Turn<'_, Account>, contact: &Jid) -> Outcome {
    if blocking::is_blocked(turn, contact)? {
        return Ok(());
    }
    for session in turn.actor.sessions.iter().filter(|session| !session.ended) {
        let directed = session.directed.iter();
        let directed = directed.filter(|to| to.bare_str() == contact.as_str());
        let mut was_seen = session.is_available();
        for to in directed {
            was_seen = true;
            turn.out.change.push(Change::Directed {
                session: session.id,
                to: to.clone(),
                available: false,
            });
        }
        if was_seen {
            turn.out.send(addressed(&gone(session), contact));
        }
    }
    Ok(())
}

/// Lists have changed: `gone` do not see the account any more, `seers` do now, and of `seen` it is asked what there is to
/// see.
///
/// # Errors
/// Parks until the blocklist was read.
pub fn regrouped(
    turn: &mut Turn<'_, Account>,
    gone_: &[Jid],
    seers: &[Jid],
    seen: &[Jid],
) -> Outcome {
    if gone_.is_empty() && seers.is_empty() && seen.is_empty() {
        return Ok(());
    }
    let blocked = blocking::load(turn)?;
    let free = |jids: &[Jid]| -> JidList {
        let free = jids.iter().filter(|jid| !blocked.matches(jid));
        free.collect()
    };
    for session in turn.actor.available() {
        broadcast(turn, gone(session), free(gone_));
        if let Some(presence) = &session.presence {
            // It was addressed to the account itself.
            let mut presence = presence.clone();
            presence.header.to = None;
            broadcast(turn, presence, free(seers));
        }
        broadcast(turn, probe_of(session), free(seen));
    }
    Ok(())
}

fn available(turn: &mut Turn<'_, Account>, session: &Session, stanza: &Stanza) -> Outcome {
    let priority = priority(stanza)?;
    let roster = roster::load(turn)?;
    let blocked = blocking::load(turn)?;
    let first = session.presence.is_none();
    if first {
        subscription::request::show(turn, &roster, session.id)?;
    }
    let took_messages = !first && session.priority >= 0;
    // Section 4.2.2: "The user's server MUST also broadcast initial presence from the user's newly available
    // resource to all of the user's available resources (including the resource that generated the presence
    // notification in the first place)".
    let own = addressed(stanza, &turn.actor.jid);
    for other in turn
        .actor
        .available()
        .filter(|other| other.id != session.id)
    {
        turn.out.deliver(other.id, own.clone());
        if first && let Some(presence) = &other.presence {
            turn.out.deliver(session.id, presence.clone());
        }
    }
    turn.out.deliver(session.id, own.clone());
    turn.out.change.push(Change::Presence {
        session: session.id,
        presence: Some(own),
        priority,
    });
    capabilities::claimed(turn, session, stanza);
    // Sections 4.2.2 and 4.4.2: to "all contacts that are subscribed to the user's presence".
    broadcast(
        turn,
        stanza.clone(),
        audience(turn.actor, &roster, &blocked, |s| s.from),
    );
    if first {
        probe(turn, session, &roster, &blocked)?;
    }
    if priority >= 0 && !took_messages && !turn.actor.anonymous {
        turn.out.change.push(Change::DeliverPending {
            session: session.id,
        });
    }
    Ok(())
}

/// Section 4.3.1: "The user's server SHOULD send a presence probe whenever the user starts a new presence session".
/// The answer is for the resource that asks: the others have seen it.
fn probe(
    turn: &mut Turn<'_, Account>,
    session: &Session,
    roster: &Roster,
    blocked: &Blocklist,
) -> Outcome {
    let seen = audience(turn.actor, roster, blocked, |s| s.to);
    broadcast(turn, probe_of(session), seen);
    ask_again(turn, roster, blocked)
}

/// Section 3.1.2: "the user's server SHOULD resend the subscription request ... (e.g., whenever a new resource becomes
/// available for the user ...)"; but not whenever a client says so. What went to this server is never lost, but whoever
/// blocked the user when it came did not hear of it.
fn ask_again(turn: &mut Turn<'_, Account>, roster: &Roster, blocked: &Blocklist) -> Outcome {
    if turn.now.mono_ms < turn.actor.asks_again_at_ms {
        return Ok(());
    }
    let mut asked = contacts(turn.actor, roster, blocked, |s| s.ask);
    if asked.is_empty() {
        return Ok(());
    }
    // Where there are more, others have their turn another day.
    let first = turn.rng.below(asked.len().try_into().unwrap_or(u32::MAX)) as usize;
    asked.rotate_left(first);
    asked.truncate(limits::ASKS_AGAIN_MAX);
    let (near, far): (Vec<Jid>, Vec<Jid>) = asked
        .into_iter()
        .partition(|contact| turn.config.host(contact.domainpart()).is_some());
    if !near.is_empty() {
        subscription::ask_again(turn, &near)?;
    }
    for contact in far {
        let mut request = subscription::plain(turn.actor, Act::Subscribe, &contact);
        request.header.id = Some(turn.rng.token().into());
        turn.out.send(request);
    }
    turn.out.change.push(Change::AskedAgain {
        next_ms: turn.now.mono_ms + limits::ASKS_AGAIN_EVERY_MS,
    });
    Ok(())
}

fn unavailable(turn: &mut Turn<'_, Account>, session: &Session, stanza: &Stanza) {
    // Section 4.5.2: to all available resources, "including the resource that generated" it, and to all contacts
    // that see it ...
    let was_available = session.presence.is_some();
    if was_available {
        let own = addressed(stanza, &turn.actor.jid);
        for other in turn.actor.available() {
            turn.out.deliver(other.id, own.clone());
        }
    }
    let sees = |jid: &Jid| was_available && turn.actor.last_standing(jid).from;
    // ... and to whoever got directed presence (section 4.6.3, rule 2).
    for to in &session.directed {
        if !sees(to) {
            turn.out.send(addressed(stanza, to));
        }
        turn.out.change.push(Change::Directed {
            session: session.id,
            to: to.clone(),
            available: false,
        });
    }
    if was_available {
        // Who is available has read the list.
        let (nobody, empty) = (Blocklist::default(), Roster::default());
        let roster = turn.actor.last_roster().unwrap_or(&empty);
        let blocked = turn.actor.last_blocklist().unwrap_or(&nobody);
        let seers = audience(turn.actor, roster, blocked, |s| s.from);
        broadcast(turn, stanza.clone(), seers);
    }
    let is_last = |turn: &Turn<'_, Account>| turn.actor.available().all(|it| it.id == session.id);
    if was_available && is_last(turn) && turn.catalog.has("last-activity") {
        last::remember(turn, stanza);
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
    // Section 4.6.3, rule 1: to a contact that sees it anyway, in a presence session, it "SHOULD NOT otherwise modify
    // the contact's status". An available session has the roster in memory.
    let sees = session.is_available() && turn.actor.last_standing(to).from;
    let is_new = available && !known && !sees;
    if is_new && !has_room_for(session, to) {
        return Err(Stop::Reject(StanzaError::new(
            Condition::ResourceConstraint,
            "Too many entities have directed presence from this resource",
        )));
    }
    if available != known && !(available && sees) {
        turn.out.change.push(Change::Directed {
            session: session.id,
            to: to.clone(),
            available,
        });
    }
    turn.out.send(stanza.clone());
    Ok(())
}

/// Whether one more may be remembered.
fn has_room_for(session: &Session, to: &Jid) -> bool {
    let bytes: usize = session.directed.iter().map(|to| to.as_str().len()).sum();
    session.directed.len() < limits::DIRECTED_COUNT_MAX
        && bytes + to.as_str().len() <= limits::DIRECTED_BYTES_MAX
}

/// Section 4.6.1: "SHOULD remove any entity that sends unavailable presence to the user".
fn forget_directed(turn: &mut Turn<'_, Account>, stanza: &Stanza) {
    let Some(from) = &stanza.header.from else {
        return;
    };
    for session in &turn.actor.sessions {
        if session.directed.contains(from) {
            turn.out.change.push(Change::Directed {
                session: session.id,
                to: from.clone(),
                available: false,
            });
        }
    }
}

/// The same presence to all of these.
fn broadcast(turn: &mut Turn<'_, Account>, stanza: Stanza, to: JidList) {
    if !to.is_empty() {
        turn.out.send.push(Envelope::Group { stanza, to });
    }
}

/// Contacts that are not blocked.
fn contacts(
    account: &Account,
    roster: &Roster,
    blocked: &Blocklist,
    is_meant: fn(Standing) -> bool,
) -> Vec<Jid> {
    let domain = account.jid.domainpart();
    let meant = roster.contacts().filter(|c| is_meant(c.standing));
    let mut meant: Vec<Jid> = meant.filter_map(|contact| contact.jid(domain)).collect();
    if account.membership.member().is_some() {
        meant.retain(|jid| !is_meant(standing_of(account.relation(jid))));
        let mut list = JidList::default();
        let is_meant = |relation| is_meant(standing_of(relation));
        account.membership.list(domain, is_meant, &mut list);
        meant.extend(list.iter().filter_map(Jid::from_prepared));
    }
    if !blocked.is_empty() {
        meant.retain(|jid| !blocked.matches(jid));
    }
    meant
}

/// The same as a list.
fn audience(
    account: &Account,
    roster: &Roster,
    blocked: &Blocklist,
    is_meant: fn(Standing) -> bool,
) -> JidList {
    let domain = account.jid.domainpart();
    let mut list = JidList::default();
    if account.membership.member().is_some() {
        // Who is on a list as well is meant once.
        let own = roster.contacts().filter(|c| is_meant(c.standing));
        for jid in own.filter_map(|contact| contact.jid(domain)) {
            if !is_meant(standing_of(account.relation(&jid))) && !blocked.matches(&jid) {
                list.push(&jid);
            }
        }
        if blocked.is_empty() {
            let is_meant = |relation| is_meant(standing_of(relation));
            account.membership.list(domain, is_meant, &mut list);
            return list;
        }
    }
    if !blocked.is_empty() {
        return contacts(account, roster, blocked, is_meant)
            .iter()
            .collect();
    }
    for contact in roster.contacts().filter(|c| is_meant(c.standing)) {
        contact.list(domain, &mut list);
    }
    list
}

fn addressed(stanza: &Stanza, to: &Jid) -> Stanza {
    let mut stanza = stanza.clone();
    stanza.header.to = Some(to.clone());
    stanza
}

fn probe_of(session: &Session) -> Stanza {
    let header = Header {
        from: Some(session.jid.clone()),
        ..Header::new(Kind::Presence, Type::Probe)
    };
    Stanza {
        header,
        payload: Payload::EMPTY,
    }
}

/// What is said for a session that says nothing more itself.
fn gone(session: &Session) -> Stanza {
    let header = Header {
        from: Some(session.jid.clone()),
        ..Header::new(Kind::Presence, Type::Unavailable)
    };
    Stanza {
        header,
        payload: Payload::EMPTY,
    }
}

fn from_to(type_: Type, from: &Jid, to: &Jid) -> Stanza {
    let header = Header {
        from: Some(from.clone()),
        to: Some(to.clone()),
        ..Header::new(Kind::Presence, type_)
    };
    Stanza {
        header,
        payload: Payload::EMPTY,
    }
}

fn priority(stanza: &Stanza) -> Result<i8, Stop> {
    let refused = |text| Stop::Reject(StanzaError::new(Condition::BadRequest, text));
    let is_priority = |name: &(&str, &str)| *name == (ns::CLIENT, "priority");
    if stanza.payload.names().filter(is_priority).count() > 1 {
        // Section 4.7.2.3: "A presence stanza MUST NOT contain more than one <priority/> element".
        return Err(refused("There is more than one priority"));
    }
    let Some(element) = stanza.payload.child(ns::CLIENT, "priority") else {
        return Ok(0);
    };
    // "The value MUST be an integer between -128 and +127".
    let priority = element.text().trim().parse();
    priority.map_err(|_| refused("The priority is not an integer between -128 and 127"))
}
