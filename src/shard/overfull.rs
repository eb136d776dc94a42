//! What a session's queues still take when they are full, its client is away, or its stream is slow (DESIGN
//! sections 7 and 11). Refuses to know how a stanza gets in.
//!
//! No stranger may end somebody's connection or session by sending much, nor learn by it that there is one: messages
//! are kept for later from the bound on (`im/message.rs`), presence coalesces, requests bounce, what nobody misses is
//! dropped. What may be an answer, and what nobody repeats, gets half as much again; the rest up to twice the bound is
//! for what the account itself and its server say: other resources, roster pushes, answers. Only that is never left
//! out, and then the session is what gives way; and the presence of those to whom it is subscribed, which has more room,
//! because it comes in one burst when the client does. It gives way, too, for copies of what contacts say, if they are in the
//! archive; for those of what strangers say it does when its client wants to resume it.

use crate::config::Config;
use crate::im::Session;
use crate::im::account::Contacts;
use crate::im::acks::Fill;
use crate::im::classify::classify;
use crate::jid::Jid;
use crate::stanza::{Kind, Newcomer, Sender, Stanza, Type, ns};
use crate::stream::StreamState;

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes into the queues.
    Take,
    /// Its sender, who may know that there is somebody, hears an error, if it is of a kind that is answered.
    Refuse,
    /// Its sender hears what he hears when there is nobody.
    Miss,
    /// Nobody hears of it.
    Drop,
    /// The same, but its reader would miss it: the session goes on, and is not resumed (XEP-0198 section 5).
    Lack,
    /// It goes in, and was the last: the connection is closed, or the session ends if there is none.
    Last,
}

/// Makes room for a stanza where that can be done, and judges it. `contacts` says who they are.
pub(super) fn judge(
    session: &mut Session,
    mut stream: Option<&mut StreamState>,
    config: &Config,
    stanza: &Stanza,
    contacts: Contacts<'_>,
) -> Verdict {
    let soft = config.c2s.outbound_soft.as_bytes() as usize;
    let is_away = stream.is_none();
    if !is_away && fill(session, stream.as_deref(), soft) == Fill::Room {
        return Verdict::Take;
    }
    let sender = sender(session, config, stanza, contacts);
    let mut is_newer = false;
    if let Some(newcomer) = Newcomer::new(stanza, sender) {
        is_newer = coalesce(session, stream.as_deref_mut(), &newcomer);
    }
    let fill = fill(session, stream.as_deref(), soft);
    if is_away && is_request(stanza) && fill > Fill::Room {
        return Verdict::Refuse;
    }
    match is_newer {
        true if fill < Fill::Crowded => Verdict::Take,
        _ => verdict(session, sender, stanza, contacts, fill),
    }
}

/// The same for what has to wait behind a cursor, where there is a quarter of the room.
pub(super) fn judge_waiting(
    session: &mut Session,
    config: &Config,
    stanza: &Stanza,
    contacts: Contacts<'_>,
) -> Verdict {
    let is_away = session.stream.is_none();
    let bounds = session.backlog_bounds();
    let sender = sender(session, config, stanza, contacts);
    let Some(flood) = session.flood.as_mut() else {
        return Verdict::Take;
    };
    if flood.fill(bounds) == Fill::Room {
        return Verdict::Take;
    }
    let is_newer = Newcomer::new(stanza, sender).is_some_and(|newcomer| flood.coalesce(&newcomer));
    if is_away && is_request(stanza) {
        return Verdict::Refuse;
    }
    let fill = flood.fill(bounds);
    match is_newer {
        true if fill < Fill::Crowded => Verdict::Take,
        _ => verdict(session, sender, stanza, contacts, fill),
    }
}

/// What becomes of a delivery where so much is held already.
fn verdict(
    session: &Session,
    sender: Sender,
    stanza: &Stanza,
    contacts: Contacts<'_>,
    fill: Fill,
) -> Verdict {
    let header = &stanza.header;
    let is_own = is_own(&session.jid, stanza) && !is_carbon(stanza);
    let is_presence = header.kind == Kind::Presence;
    let is_told = header.kind == Kind::Message && header.type_ != Type::Error;
    let is_known = || is_own || is_known(session, header.from.as_ref(), contacts);
    // From here on it is not taken.
    let end = match sender {
        _ if is_own => Fill::Twice,
        Sender::Contact | Sender::Joined if is_presence => Fill::Crowded,
        _ if is_carbon(stanza) || is_missed(stanza) || is_known() => Fill::Half,
        _ if is_told || (is_presence && header.type_ == Type::Available) => Fill::Full,
        _ => Fill::Half,
    };
    if fill < end {
        return Verdict::Take;
    }
    let is_lived_by = is_own && !is_request(stanza) && !is_told;
    match header.kind {
        _ if is_lived_by || (is_presence && sender == Sender::Contact) => Verdict::Last,
        Kind::Message if is_carbon(stanza) => unfit_copy(session, stanza, contacts),
        Kind::Message if !is_told => Verdict::Drop,
        Kind::Message | Kind::Iq if is_told || is_request(stanza) => match is_known() {
            true => Verdict::Refuse,
            false if is_storable(stanza) || is_request(stanza) => Verdict::Miss,
            false => Verdict::Drop,
        },
        _ => Verdict::Drop,
    }
}

/// How full the queue of what the client has not acknowledged is, or that of what is to be written.
fn fill(session: &Session, stream: Option<&StreamState>, soft: usize) -> Fill {
    let unacked = session.acks.as_ref().map_or(Fill::Room, |acks| acks.fill());
    // Its own bounds judge it beyond.
    let unwritten = match stream.map_or(0, |stream| stream.outbound.bytes()) {
        bytes if bytes > soft.saturating_mul(2) => Fill::Half,
        bytes if bytes > soft => Fill::Full,
        _ => Fill::Room,
    };
    unacked.max(unwritten)
}

fn is_storable(stanza: &Stanza) -> bool {
    classify(stanza).held
}

/// Whether its sender wants to know if nobody gets it.
fn is_missed(stanza: &Stanza) -> bool {
    classify(stanza).missed
}

/// A roster push is none: it says not even from whom it comes, and nobody repeats it.
fn is_request(stanza: &Stanza) -> bool {
    let is_push = stanza.header.from.is_none();
    !is_push && matches!(stanza.header.type_, Type::Get | Type::Set)
}

/// What the sender of a presence is to the session, or of anything else.
fn sender(session: &Session, config: &Config, stanza: &Stanza, contacts: Contacts<'_>) -> Sender {
    let from = stanza.header.from.as_ref();
    let sender = session.sender(config, from);
    match (sender, stanza.header.kind, from) {
        (Sender::Other, Kind::Presence, Some(from)) if contacts.standing(from).to => {
            Sender::Contact
        }
        _ => sender,
    }
}

/// Whether the session may be known to be there by whoever sent something (RFC 6121 section 11).
fn is_known(session: &Session, from: Option<&Jid>, contacts: Contacts<'_>) -> bool {
    let Some(from) = from else {
        return true;
    };
    session.has_told(from) || (session.is_available() && contacts.standing(from).from)
}

/// Whether an error may tell the sender of what was refused. Presence is not answered, and a copy has no sender.
pub(super) fn is_answered(stanza: &Stanza) -> bool {
    stanza.header.kind != Kind::Presence && !is_carbon(stanza)
}

/// Whether there was anything that this presence made void.
fn coalesce(
    session: &mut Session,
    stream: Option<&mut StreamState>,
    newcomer: &Newcomer<'_>,
) -> bool {
    let unwritten = match (&stream, &session.acks) {
        (Some(stream), _) => stream.outbound.stanza_count(),
        (None, Some(acks)) => acks.unwritten_count(),
        (None, None) => 0,
    };
    // What was not written is the tail of both queues, stanza for stanza.
    let mut found = false;
    if let Some(acks) = &mut session.acks {
        found |= acks.coalesce(newcomer, unwritten);
    }
    if let Some(stream) = stream {
        found |= stream.outbound.coalesce(newcomer);
    }
    found
}

/// From its own account, or from the server itself.
fn is_own(own: &Jid, stanza: &Stanza) -> bool {
    let from = stanza.header.from.as_ref();
    from.is_none_or(|from| from.bare_str() == own.bare_str() || from.as_str() == own.domainpart())
}

/// What becomes of a copy for which there is no room. Its reader finds it in the archive if it is there, but only when he logs
/// in anew: not when he resumes. For what he said himself on another device, or a contact said, the session ends.
fn unfit_copy(session: &Session, stanza: &Stanza, contacts: Contacts<'_>) -> Verdict {
    let own = session.jid.bare_str();
    let copies = ["sent", "received"].map(|name| stanza.payload.child(ns::CARBONS, name));
    let forwarded = copies.into_iter().flatten().next();
    let forwarded = forwarded.and_then(|copy| copy.child(ns::FORWARD, "forwarded"));
    let Some(message) = forwarded.and_then(|it| it.child(ns::CLIENT, "message")) else {
        return Verdict::Drop;
    };
    let is_archived = message.children().any(|child| {
        child.is(ns::STANZA_ID, "stanza-id") && child.attribute("by").as_deref() == Some(own)
    });
    if !is_archived {
        return Verdict::Drop;
    }
    // Who only asks for a subscription is a stranger: no answer of the account's owner made him another.
    let is_known = |from: &Jid| {
        let standing = contacts.standing(from);
        from.as_str() == own || standing.listed || standing.to || standing.from
    };
    let from = message.attribute("from");
    let from = from.and_then(|from| Jid::parse(&from).ok());
    match from.is_some_and(|from| is_known(&from.to_bare())) {
        true => Verdict::Last,
        false => Verdict::Lack,
    }
}

/// Whether it is a copy (XEP-0280) that this server made: forged ones do not get so far.
fn is_carbon(stanza: &Stanza) -> bool {
    stanza.payload.has(ns::CARBONS, "received") || stanza.payload.has(ns::CARBONS, "sent")
}
