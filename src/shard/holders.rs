//! Who holds which message for a client of an account: ack queues, outbound queues, backlogs, and leftovers in the
//! mailbox. Refuses to know where rows are.
//!
//! A message that is owed ([`Kept`]) has holders. When a client has it, the others hold it for their own client
//! only: it needs no other way any more. When a session ends with it, the message is theirs who still hold it; the last
//! holder's leftover finds it another way (`im/pending.rs`).

use std::collections::BTreeSet;

use crate::actor::Kept;
use crate::base::{ActorKey, SessionId};
use crate::im::Session;
use crate::im::acks::Unacked;

use super::Shard;
use super::cell::Mail;

impl Shard {
    /// Whether the head of the mailbox is a leftover that somebody else holds, too.
    pub(super) fn is_held_elsewhere(&self, actor: ActorKey) -> bool {
        let Some(cell) = self.cells.get(actor) else {
            return false;
        };
        let Some(Mail::Leftover(Unacked {
            kept: Some(kept), ..
        })) = cell.mailbox.front()
        else {
            return false;
        };
        let is_it = |other: &Kept| other.number == kept.number;
        let living = || cell.account.sessions.iter().filter(|s| !s.ended);
        // The head is one of the leftovers.
        kept.is_shared
            && (living().any(|session| self.held_by(session).any(is_it))
                || cell
                    .mailbox
                    .leftovers()
                    .filter(|other| is_it(other))
                    .count()
                    > 1)
    }

    /// A client has the message: whoever else holds it owes it to nobody, and a cursor that is about to read its row
    /// is warned.
    pub(super) fn release(&mut self, actor: ActorKey, kept: Kept) {
        if kept.is_shared {
            self.each_holding(actor, kept.number, |held| *held = None);
        }
        let sessions = self.cells.get_mut(actor).into_iter();
        let sessions = sessions.flat_map(|cell| &mut cell.account.sessions);
        for flood in sessions.filter_map(|session| session.flood.as_mut()) {
            if flood.asked && kept.is_stored {
                flood.gone.insert(kept.number);
            }
        }
    }

    /// Tells whoever holds a message that a further session gets it; whether there is anybody.
    pub(super) fn share(&mut self, actor: ActorKey, number: u64) -> bool {
        let mut is_shared = false;
        self.each_holding(actor, number, |held| {
            is_shared = true;
            if let Some(kept) = held {
                kept.is_shared = true;
            }
        });
        is_shared
    }

    /// The message has a row now: whoever holds it knows.
    pub(super) fn stored(&mut self, actor: ActorKey, number: u64) {
        self.each_holding(actor, number, |held| {
            if let Some(kept) = held {
                kept.is_stored = true;
            }
        });
    }

    /// Numbers of what is on its way to this session, or to another whose client is there.
    pub(super) fn in_flight_to(&self, actor: ActorKey, id: SessionId) -> BTreeSet<u64> {
        let sessions = self.cells.get(actor).into_iter();
        let sessions = sessions.flat_map(|cell| &cell.account.sessions);
        // A session whose client is away may never acknowledge, and the newcomer may be that very client.
        let present = sessions.filter(|s| !s.ended && (s.stream.is_some() || s.id == id));
        let kept = present.flat_map(|session| self.held_by(session));
        kept.map(|kept| kept.number).collect()
    }

    fn held_by<'a>(&'a self, session: &'a Session) -> impl Iterator<Item = &'a Kept> {
        let stream = session.stream.and_then(|key| self.streams.get(key));
        let unwritten = stream.into_iter().flat_map(|stream| stream.outbound.kept());
        session.kept().chain(unwritten)
    }

    fn each_holding(
        &mut self,
        actor: ActorKey,
        number: u64,
        mut change: impl FnMut(&mut Option<Kept>),
    ) {
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        let is_it = |held: &&mut Option<Kept>| held.is_some_and(|kept| kept.number == number);
        for session in &mut cell.account.sessions {
            // None holds the same message twice.
            let stream = session.stream.and_then(|key| self.streams.get_mut(key));
            let unwritten = stream.into_iter();
            let unwritten = unwritten.flat_map(|stream| stream.outbound.kept_mut());
            if let Some(held) = session.kept_mut().chain(unwritten).find(is_it) {
                change(held);
            }
        }
        cell.mailbox.leftovers_mut().filter(is_it).for_each(change);
    }
}
