//! Messages (RFC 6121 sections 5 and 8.5): who gets one, and what its sender hears when nobody does.

use smallvec::SmallVec;

use crate::actor::{Delivery, Disk, Draft, Kept, Outcome, Stop, Turn};
use crate::base::SessionId;
use crate::config::Keep;
use crate::jid::Jid;
use crate::stanza::{
    Condition, Rounding, Stanza, StanzaError, Type, delay_element, ns, parse_stamp,
};
use crate::xml::Element;

use super::account::{self, Account, Change};
use super::acks::Unacked;
use super::blocking;
use super::classify::classify;
use super::pending::{self, Body, Leftover};
use super::presence;
use super::quota::{self, Room, Sender};
use super::session::Session;

/// Outbound: to the home of its recipient.
pub fn route(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    let mut stanza = draft.take_stanza();
    // RFC 6120 section 8.1.1.1: "If the client ... a message stanza ... does not contain a 'to'
    // address", it is addressed to the sender's own bare JID (RFC 6120 section 10.3.1).
    stanza
        .header
        .to
        .get_or_insert_with(|| turn.actor.jid.clone());
    turn.out.route(stanza, draft.settle.take());
    Ok(())
}

/// Outbound, first: XEP-0359 section 3: "Stanza ID generating entities, which encounter a <stanza-id/> element where the
/// 'by' attribute matches the 'by' attribute they would otherwise set, MUST delete that element even if they are not
/// adding their own stanza ID". A delay without a time is not archived for its sender either, nor copied to his devices.
pub fn strip_own_ids(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    let account = turn.actor.jid.as_str();
    let payload = &draft.stanza.payload;
    if payload.has(ns::STANZA_ID, "stanza-id") || payload.has(ns::DELAY, "delay") {
        let is_forged = |child: &Element<'_>| is_id_by(child, account) || is_timeless(child);
        draft.stanza.payload = payload.without(is_forged);
    }
    Ok(())
}

/// XEP-0203 section 4: "The format MUST adhere to the dateTime format specified in XEP-0082". One that does not has crashed
/// clients, for years where it is archived.
fn is_timeless(child: &Element<'_>) -> bool {
    let stamp = || child.attribute("stamp");
    let time = || stamp().and_then(|stamp| parse_stamp(&stamp, Rounding::Down));
    child.is(ns::DELAY, "delay") && time().is_none()
}

fn is_id_by(child: &Element<'_>, account: &str) -> bool {
    let by = child.attribute("by");
    child.is(ns::STANZA_ID, "stanza-id")
        && by.is_some_and(|by| Jid::parse(&by).is_ok_and(|by| by.as_str() == account))
}

/// Inbound, first: what only this server says to this account is a forgery when it arrives.
pub fn strip_forged(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    let account = turn.actor.jid.as_str();
    let host = turn.actor.jid.domainpart();
    let from = draft.stanza.header.from.as_ref();
    let is_own = from.is_some_and(|from| from.bare_str() == account);
    let is_forged = |child: &Element<'_>| match (child.ns(), child.name()) {
        // CVE-2017-5589 and its class: only an account's own server makes carbons for it.
        (ns::CARBONS, "sent" | "received") => true,
        // XEP-0203 section 4: "the recipient's server SHOULD discard a delayed delivery notation whose 'from'
        // attribute matches the server's JabberID".
        (ns::DELAY, "delay") => {
            let is_ours = |from: &str| {
                Jid::parse(from).is_ok_and(|it| it.as_str() == host || it.as_str() == account)
            };
            is_timeless(child) || child.attribute("from").is_some_and(|from| is_ours(&from))
        }
        // XEP-0359 section 3: "where the 'by' attribute matches the 'by' attribute they would otherwise set,
        // MUST delete that element even if they are not adding their own stanza ID".
        (ns::STANZA_ID, "stanza-id") => is_id_by(child, account),
        // Results of one's own archive come from nobody else. Those of other archives their askers know.
        (ns::MAM, "result") => is_own,
        _ => false,
    };
    // Most messages have nothing of the kind: the index says so without a look inside.
    let payload = &draft.stanza.payload;
    if STRIPPED.iter().any(|(ns, name)| payload.has(ns, name)) {
        draft.stanza.payload = payload.without(is_forged);
    }
    Ok(())
}

/// What [`strip_forged`] looks at.
const STRIPPED: [(&str, &str); 5] = [
    (ns::MAM, "result"),
    (ns::CARBONS, "sent"),
    (ns::CARBONS, "received"),
    (ns::DELAY, "delay"),
    (ns::STANZA_ID, "stanza-id"),
];

/// Inbound: which sessions shall get it, by RFC 6121 section 8.5.
pub fn choose_sessions(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    let type_ = draft.stanza.header.type_;
    // One whose queue is full counts as gone for what can be kept until its client acknowledges. What cannot is
    // delivered all the same: twice the bound of its queue is the end of that (`shard/overfull.rs`).
    draft.is_storable = is_storable(&draft.stanza);
    match account::identify_unless_anonymous(turn) {
        // Who is there and has nothing to say to a stranger does not differ from nobody.
        Err(Stop::Reject(_)) if !is_answered(draft) => return Err(Stop::Done),
        outcome => outcome?,
    }
    let may_wait = draft.is_storable && !turn.actor.anonymous;
    let takes = |session: &Session| !may_wait || !session.is_full();
    let resource = draft
        .stanza
        .header
        .to
        .as_ref()
        .and_then(|to| to.resourcepart());
    if let Some(resource) = resource {
        let session = turn.actor.resource(resource);
        // 8.5.3.1: "For a message stanza, the server MUST deliver the stanza to the resource."
        if let Some(session) = session.filter(|session| takes(session)) {
            draft.targets.push(session.id);
            return Ok(());
        }
        // 8.5.3.2.1: normal, groupchat and headline are ignored or answered with an error; chat is handled like
        // one to the bare JID. For one whose queue is full a normal message is kept.
        match (type_, session) {
            (Type::Normal | Type::Groupchat, None) => return Err(silence(turn, &draft.stanza)?),
            (Type::Headline | Type::Error, None) => return Ok(()),
            _ => {}
        }
    } else if type_ == Type::Groupchat {
        // 8.5.2.1.1: "the server MUST NOT deliver the stanza to any of the available resources but
        // instead MUST return a stanza error to the sender".
        return Err(nobody());
    } else if type_ == Type::Error {
        // 8.5.2.1.1: "For a message stanza of type "error", the server MUST silently ignore".
        return Ok(());
    }
    let takers = || {
        turn.actor
            .sessions
            .iter()
            .filter(|session| session.is_willing() && takes(session))
    };
    let highest = takers().map(|session| session.priority).max();
    draft.targets.extend(
        takers()
            // "the most available resource or resources": those of the highest priority. The others learn
            // of it by carbons. A headline goes to "all of the non-negative resources".
            .filter(|session| type_ == Type::Headline || Some(session.priority) == highest)
            .map(|session| session.id),
    );
    Ok(())
}

/// Inbound: whether it is owed, and gets a pending row for that (DESIGN section 20).
pub fn keep(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    let is_storable = draft.is_storable;
    let anonymous = turn.actor.anonymous;
    if !draft.targets.is_empty() {
        if is_storable {
            let kept = pending::owe(turn, draft.archived);
            let is_due = turn.config.delivery.keep == Keep::Always && !anonymous;
            draft.kept = Some(match (is_due, turn.disk) {
                (false, _) => kept,
                (true, Disk::Roomy) => {
                    let sender = Sender::default();
                    pending::put(turn, kept, body(draft), turn.now.wall_ms, sender)?
                }
                // A disk without room keeps nothing: then it is owed as long as somebody holds it, and settled when a
                // client has it (`shard/unstored.rs`). For clients that are away nobody waits.
                (true, Disk::Full) if draft.targets.iter().any(|id| is_there(turn, *id)) => kept,
                (true, Disk::Full) => return Err(Stop::Reject(no_room())),
            });
        }
        return Ok(());
    }
    // The switch of XEP-0160 is about who is away: a session whose queue is full is not.
    let is_missed = turn.actor.sessions.iter().any(Session::is_willing);
    if is_storable && !anonymous && (is_missed || turn.catalog.has("offline")) {
        let kept = pending::owe(turn, draft.archived);
        draft.kept = store(turn, kept, body(draft), turn.now.wall_ms)?;
        return Ok(());
    }
    // XEP-0160: chat states alone "SHOULD NOT be stored offline", and nobody misses them.
    if classify(&draft.stanza).missed {
        // What could be stored is bounced by a server that stores nothing.
        return Err(match is_storable {
            true => nobody(),
            false => silence(turn, &draft.stanza)?,
        });
    }
    Ok(())
}

/// Whether the client of this session is there.
fn is_there(turn: &Turn<'_, Account>, id: SessionId) -> bool {
    let session = turn.actor.session(id);
    session.is_some_and(|session| session.stream.is_some())
}

/// Whether everybody hears what becomes of a message that nobody takes: it is stored, or the RFC wants an error
/// (8.5.2.1.1).
fn is_answered(draft: &Draft) -> bool {
    let is_bare = draft
        .stanza
        .header
        .to
        .as_ref()
        .is_none_or(|to| to.resourcepart().is_none());
    match draft.stanza.header.type_ {
        Type::Groupchat => is_bare,
        Type::Normal => is_bare && draft.is_storable,
        _ => draft.is_storable,
    }
}

/// Section 8.5 leaves a choice, "either (a) silently ignore the stanza or (b) return an error stanza"; and section 11:
/// "a server MUST NOT leak presence": that there is nobody hears only who may know it. Others hear nothing, as they do
/// when somebody is there.
fn silence(turn: &mut Turn<'_, Account>, stanza: &Stanza) -> Result<Stop, Stop> {
    Ok(
        match presence::may_know(turn, stanza.header.from.as_ref())? {
            true => nobody(),
            false => Stop::Done,
        },
    )
}

/// What a row of it holds.
fn body(draft: &Draft) -> Body<'_> {
    match draft.archived {
        Some(_) => Body::Archived(&draft.stanza),
        None => Body::Whole(&draft.stanza),
    }
}

/// Keeps what nobody can take now, within the quota, until somebody comes or has room. What a contact sends beyond it is
/// not lost where it is archived: clients find it there (XEP-0313) when they log in, nothing is kept besides, and its
/// sender hears nothing of it. A client that is there, or comes back for its session, does not look there, and would
/// never see it: its session ends instead of going on without. A stranger's is bounced, and not archived either: an archive
/// is bounded as well, and he would fill it in minutes at the expense of the oldest that contacts said.
fn store(
    turn: &mut Turn<'_, Account>,
    kept: Kept,
    body: Body<'_>,
    wall_ms: u64,
) -> Result<Option<Kept>, Stop> {
    let (Body::Whole(stanza) | Body::Archived(stanza)) = body;
    let earlier = kept;
    let kept = if kept.is_stored {
        kept
    } else {
        match quota::room(turn, stanza)? {
            Room::For(sender) => pending::put(turn, kept, body, wall_ms, sender)?,
            Room::NoneForContacts if is_archived(turn, body) => {
                give_up_sessions(turn);
                return Ok(None);
            }
            Room::NoneForContacts => return Err(Stop::Reject(mailbox_full())),
            Room::NoneForStrangers => return Err(nobody()),
        }
    };
    // A cursor comes to what was stored before it began, and may have passed what is stored now.
    let sessions = turn.actor.sessions.iter();
    for session in sessions.filter(|s| s.is_willing() && !s.will_read(earlier)) {
        turn.out.change.push(Change::Missed {
            session: session.id,
            number: kept.number,
            from: stanza.header.from.clone(),
        });
    }
    Ok(Some(kept))
}

/// Whether the account's archive has it: what was archived says where.
fn is_archived(turn: &Turn<'_, Account>, body: Body<'_>) -> bool {
    match body {
        Body::Archived(_) => true,
        Body::Whole(stanza) => {
            let account = turn.actor.jid.as_str();
            let mut children = stanza.payload.children();
            children.any(|child| is_id_by(&child, account))
        }
    }
}

/// Every session ends that is owed what cannot be kept for it: those that are full. Whoever has logged in just now looks into the archive. XEP-0198 section 5: "the client and server use the 'h'
/// attribute to retransmit any stanzas lost by the disconnection": what is resumed has no holes.
fn give_up_sessions(turn: &mut Turn<'_, Account>) {
    let sessions = turn.actor.sessions.iter();
    let owed = sessions.filter(|session| session.is_willing() && !session.takes_messages());
    let owed: Vec<SessionId> = owed.map(|session| session.id).collect();
    if !owed.is_empty() {
        turn.out.change.push(Change::GiveUp(owed));
    }
}

/// Inbound, last: to the chosen sessions.
pub fn deliver(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    let Some((&last, others)) = draft.targets.split_last() else {
        return Ok(());
    };
    let kept = draft.kept.map(|kept| among(kept, draft.targets.len()));
    let delivery = |session, stanza| Delivery {
        session,
        stanza,
        kept,
    };
    for &session in others {
        let stanza = draft.stanza.clone();
        turn.out.deliver.push(delivery(session, stanza));
    }
    let stanza = draft.take_stanza();
    turn.out.deliver.push(delivery(last, stanza));
    Ok(())
}

/// Whether a message may be kept for somebody who cannot take it now (XEP-0160 section 3).
pub fn is_storable(stanza: &Stanza) -> bool {
    classify(stanza).held
}

/// The answer while nothing can be stored.
pub fn no_room() -> StanzaError {
    StanzaError::new(
        Condition::ResourceConstraint,
        "The server cannot store this now",
    )
}

fn nobody() -> Stop {
    Stop::Reject(account::unavailable())
}

/// The answer when what would have to be kept cannot be. A stranger hears what he does where there is nobody, or where
/// he is blocked: section 11 forbids to tell him more.
fn mailbox_full() -> StanzaError {
    // XEP-0160 section 2, step 3: "if not (e.g., because the recipient's offline message queue is
    // full), the server returns a <service-unavailable/> error to the sender".
    StanzaError::new(
        Condition::ServiceUnavailable,
        "The recipient's offline storage is full",
    )
}

/// So many sessions get it now.
fn among(kept: Kept, sessions: usize) -> Kept {
    Kept {
        is_shared: kept.is_shared || sessions > 1,
        ..kept
    }
}

/// What a session that is over did not acknowledge: to other sessions, into the store, or back.
pub fn leftover(turn: &mut Turn<'_, Account>, held: &Unacked) -> Outcome {
    if held.kept.is_some() && blocking::is_unwanted(turn, &held.stanza)? {
        if let Some(kept) = held.kept.filter(|kept| kept.is_stored) {
            let account = account::identify(turn)?;
            turn.out.write.push(pending::delete(account, kept.number));
        }
        return Ok(());
    }
    match pending::leftover(turn.actor, held) {
        Leftover::Leave => Ok(()),
        Leftover::Bounce => Err(nobody()),
        Leftover::Keep(kept) => {
            let takers = takers(turn.actor);
            // XEP-0198 section 4 offers three ways: "by either returning an error to the sender, delivery to an alternate
            // resource, or committing the stanza to offline storage". Where there is no room in the storage, a session that
            // is not full can take what it would else never see, though it gets more than it should at once.
            let is_refused = !kept.is_stored
                && !takers.is_empty()
                && quota::room(turn, &held.stanza)? == Room::NoneForContacts;
            if is_refused {
                redeliver(turn, held, &takers);
                return Ok(());
            }
            // If it was archived, its row may be gone from there by now.
            store(turn, kept, Body::Whole(&held.stanza), held.wall_ms)?;
            Ok(())
        }
        Leftover::Redeliver(sessions) => {
            redeliver(turn, held, &sessions);
            Ok(())
        }
    }
}

/// Sessions that are not full.
fn takers(account: &Account) -> SmallVec<[SessionId; 4]> {
    let takers = account.sessions.iter().filter(|s| s.takes_messages());
    takers.map(|session| session.id).collect()
}

fn redeliver(turn: &mut Turn<'_, Account>, held: &Unacked, sessions: &[SessionId]) {
    let kept = held.kept.map(|kept| among(kept, sessions.len()));
    for &session in sessions {
        let stanza = delayed(turn, held);
        turn.out.deliver.push(Delivery {
            session,
            stanza,
            kept,
        });
    }
}

/// What was sent once already says when.
fn delayed(turn: &Turn<'_, Account>, held: &Unacked) -> Stanza {
    let mut stanza = held.stanza.clone();
    if let Ok(host) = Jid::domain(&turn.host.name)
        && !pending::is_stamped(&stanza, &host)
    {
        stanza.payload = stanza.payload.with(&delay_element(&host, held.wall_ms));
    }
    stanza
}
