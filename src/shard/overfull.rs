//! What a session's queues still take when they are full, its client is away, or its stream is slow (DESIGN
//! sections 7 and 11). Refuses to know how a stanza gets in.
//!
//! No stranger may end somebody's connection or session by sending much: messages are kept for later from the bound
//! on (`im/message.rs`), presence coalesces, requests bounce, and at twice the bound nothing of a stranger gets in.
//! Only what the client asked for or lives by is never left out, and then the session is what gives way: answers, roster
//! pushes, and the presence of those to whom it is subscribed, which has more room, because it comes in one burst when
//! the client does.

use crate::im::Session;
use crate::im::acks::CROWD;
use crate::im::roster::Roster;
use crate::jid::Jid;
use crate::stanza::{Kind, Newcomer, Sender, Stanza, Type, ns};
use crate::stream::StreamState;

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes into the queues.
    Take,
    /// Its sender hears an error, if it is of a kind that is answered.
    Refuse,
    /// It goes in, and was the last: the connection is closed, or the session ends if there is none.
    Last,
}

/// Makes room for a stanza where that can be done, and judges it. `soft` is the bound of the stream's queue from
/// which it counts as slow; `roster` says who are contacts.
pub(super) fn judge(
    session: &mut Session,
    stream: Option<&mut StreamState>,
    soft: usize,
    stanza: &Stanza,
    roster: Option<&Roster>,
) -> Verdict {
    let is_away = stream.is_none();
    let is_slow = stream.as_ref().is_some_and(|s| s.outbound.bytes() > soft);
    let is_full = |session: &Session| session.acks.as_ref().is_some_and(|acks| acks.is_full());
    if !is_away && !is_slow && !is_full(session) {
        return Verdict::Take;
    }
    let sender = sender(session, stanza, roster);
    if let Some(newcomer) = Newcomer::new(stanza, sender) {
        coalesce(session, stream, &newcomer);
    }
    let Some(acks) = &session.acks else {
        // The bounds of the stream's queue judge it.
        return Verdict::Take;
    };
    if is_request(stanza) && is_away && acks.is_full() {
        return Verdict::Refuse;
    }
    let (is_overfull, is_crowded) = (acks.is_overfull(), acks.is_crowded());
    if !is_overfull {
        return Verdict::Take;
    }
    beyond_twice(session, sender, stanza, is_crowded)
}

/// The same for what has to wait behind a cursor, where there is a quarter of the room.
pub(super) fn judge_waiting(
    session: &mut Session,
    stanza: &Stanza,
    roster: Option<&Roster>,
) -> Verdict {
    let is_away = session.stream.is_none();
    let bounds = session.backlog_bounds();
    let sender = sender(session, stanza, roster);
    let Some(flood) = session
        .flood
        .as_mut()
        .filter(|f| f.holds_times(1, 1, bounds))
    else {
        return Verdict::Take;
    };
    if let Some(newcomer) = Newcomer::new(stanza, sender) {
        flood.coalesce(&newcomer);
    }
    if is_away && is_request(stanza) {
        return Verdict::Refuse;
    }
    if !flood.holds_times(2, 2, bounds) {
        return Verdict::Take;
    }
    let is_crowded = flood.holds_times(CROWD, 4, bounds);
    beyond_twice(session, sender, stanza, is_crowded)
}

/// What becomes of a delivery where twice the bound is held already.
fn beyond_twice(session: &Session, sender: Sender, stanza: &Stanza, is_crowded: bool) -> Verdict {
    if sender == Sender::Contact && !is_crowded {
        return Verdict::Take;
    }
    let is_owed = sender != Sender::Other || is_own(&session.jid, stanza);
    let is_told = stanza.header.kind == Kind::Message && stanza.header.type_ != Type::Error;
    match is_owed && !is_request(stanza) && !is_told {
        true => Verdict::Last,
        false => Verdict::Refuse,
    }
}

/// A roster push is none: it says not even from whom it comes, and nobody repeats it.
fn is_request(stanza: &Stanza) -> bool {
    let is_push = stanza.header.from.is_none();
    !is_push && matches!(stanza.header.type_, Type::Get | Type::Set)
}

/// What the sender of a presence is to the session, or of anything else.
fn sender(session: &Session, stanza: &Stanza, roster: Option<&Roster>) -> Sender {
    let from = stanza.header.from.as_ref();
    let sender = session.sender(from);
    let is_contact = |from: &Jid, roster: &Roster| {
        let domain = session.jid.domainpart();
        roster.standing(&from.to_bare(), domain).to
    };
    match (sender, stanza.header.kind, from.zip(roster)) {
        (Sender::Other, Kind::Presence, Some((from, roster))) if is_contact(from, roster) => {
            Sender::Contact
        }
        _ => sender,
    }
}

/// Whether an error may tell the sender of what was refused. Presence is not answered, and a copy has no sender.
pub(super) fn is_answered(stanza: &Stanza) -> bool {
    stanza.header.kind != Kind::Presence && !is_carbon(stanza)
}

fn coalesce(session: &mut Session, stream: Option<&mut StreamState>, newcomer: &Newcomer<'_>) {
    let unwritten = match (&stream, &session.acks) {
        (Some(stream), _) => stream.outbound.stanza_count(),
        (None, Some(acks)) => acks.unwritten_count(),
        (None, None) => 0,
    };
    // What was not written is the tail of both queues, stanza for stanza.
    if let Some(acks) = &mut session.acks {
        acks.coalesce(newcomer, unwritten);
    }
    if let Some(stream) = stream {
        stream.outbound.coalesce(newcomer);
    }
}

/// From its own account, or from the server itself.
fn is_own(own: &Jid, stanza: &Stanza) -> bool {
    let from = stanza.header.from.as_ref();
    from.is_none_or(|from| from.bare_str() == own.bare_str() || from.as_str() == own.domainpart())
}

/// Whether it is a copy (XEP-0280) that this server made: forged ones do not get so far.
fn is_carbon(stanza: &Stanza) -> bool {
    stanza.payload.has(ns::CARBONS, "received") || stanza.payload.has(ns::CARBONS, "sent")
}
