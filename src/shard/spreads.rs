//! Presence that some of its many receivers have yet to get, and what the same account says behind it: one queue for
//! each account, served in turns. Refuses to know how a stanza gets to whom it is for.
//!
//! What waits is worth only as much as the newest of each session: a later presence takes the place of an earlier one
//! for everybody who gets both, and those who have waited come first; unless the session has said something else between
//! the two, which keeps its place. So an account holds at most a few lists of its contacts for each session, however fast
//! it speaks; what else it says, and what stands before that, is bounded because its clients are not read beyond
//! [`limits::SPREAD_BYTES_MAX`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::actor::Envelope;
use crate::base::limits;
use crate::jid::{Jid, JidList};
use crate::stanza::{Kind, Newcomer, Sender, Stanza, Type};

use super::mesh::charge;

/// The queues of one worker.
#[derive(Default)]
pub(super) struct Spreads {
    /// By bare JID of who speaks. An account keeps its place for one turn more than it needs: what it says to many in
    /// that time waits for its turn, too.
    queues: BTreeMap<Box<str>, Queue>,
    /// Each of them once.
    turns: VecDeque<Box<str>>,
    bytes: usize,
    /// Bytes that the worker's load was last told of.
    pub counted_bytes: usize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Envelope>,
    bytes: usize,
}

impl Spreads {
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Bytes that wait, the addresses of receivers included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// An account that spoke to nobody lately speaks to many: it has the next turn.
    pub fn begin(&mut self, envelope: Envelope) {
        let Some(account) = speaker(&envelope).map(Box::<str>::from) else {
            return;
        };
        if !self.queues.contains_key(&account) {
            self.turns.push_front(account.clone());
            self.queues.insert(account, Queue::default());
        }
        let waits = self.put_behind(envelope).is_none();
        debug_assert!(waits, "its account has a queue");
    }

    /// Queues what has to wait behind presence of the same account that is still on its way to some; gives back
    /// what has not.
    pub fn put_behind(&mut self, mut envelope: Envelope) -> Option<Envelope> {
        if self.queues.is_empty() || answers_for_its_account(&envelope) {
            return Some(envelope);
        }
        let queue = speaker(&envelope).and_then(|account| self.queues.get_mut(account));
        let Some(queue) = queue else {
            return Some(envelope);
        };
        self.bytes -= queue.bytes;
        if let Envelope::Group { stanza, to } = &mut envelope {
            queue.replace(stanza, to);
        }
        queue.bytes += charge(&envelope);
        queue.waiting.push_back(envelope);
        self.bytes += queue.bytes;
        None
    }

    /// What the same account said before to whom this envelope is for, and that waits, in its order; nothing of it waits any
    /// longer. So what may not wait goes behind it and not behind all that it says to others. None where this has to wait
    /// with the rest: presence, which says as much later, and what is for nobody in particular.
    pub fn overtaken_by(&mut self, envelope: &Envelope) -> Option<Vec<Envelope>> {
        let (Envelope::Stanza { stanza, .. } | Envelope::Tell { stanza, .. }) = envelope else {
            return None;
        };
        let header = &stanza.header;
        if header.kind == Kind::Presence
            && matches!(header.type_, Type::Available | Type::Unavailable)
        {
            return None;
        }
        let to = header.to.as_ref()?.bare_str();
        let queue = self.queues.get_mut(header.from.as_ref()?.bare_str())?;
        self.bytes -= queue.bytes;
        let ahead = queue.take_of(to);
        self.bytes += queue.bytes;
        Some(ahead)
    }

    /// How many accounts have the right to a turn.
    pub fn turn_count(&self) -> usize {
        self.turns.len()
    }

    /// The next account that has something to say has its turn: its part of what waits, at most so many receivers. None
    /// when there is none any more.
    pub fn next_turn(&mut self, count: usize) -> Option<(Box<str>, Vec<Envelope>)> {
        while let Some(account) = self.turns.pop_front() {
            let part = self.part_of(&account, count);
            if part.is_empty() {
                self.queues.remove(&account);
                continue;
            }
            self.turns.push_back(account.clone());
            return Some((account, part));
        }
        None
    }

    fn part_of(&mut self, account: &str, mut count: usize) -> Vec<Envelope> {
        let mut part = Vec::new();
        let Some(queue) = self.queues.get_mut(account) else {
            return part;
        };
        self.bytes -= queue.bytes;
        while count > 0
            && let Some(envelope) = queue.take(count)
        {
            count -= match &envelope {
                Envelope::Group { to, .. } => to.len().clamp(1, count),
                _ => 1,
            };
            part.push(envelope);
        }
        self.bytes += queue.bytes;
        part
    }

    /// So much waits of this account that its own clients are not to be read.
    pub fn is_full_of(&self, account: &str) -> bool {
        !self.queues.is_empty()
            && self
                .queues
                .get(account)
                .is_some_and(|queue| queue.bytes >= limits::SPREAD_BYTES_MAX)
    }

    /// What waits of an account, for tests.
    #[cfg(test)]
    pub fn waiting(&self, account: &str) -> impl Iterator<Item = &Envelope> {
        let queue = self.queues.get(account);
        queue.into_iter().flat_map(|queue| &queue.waiting)
    }
}

impl Queue {
    /// The head, or as many receivers of it as these.
    fn take(&mut self, count: usize) -> Option<Envelope> {
        let mut envelope = self.waiting.pop_front()?;
        self.bytes -= charge(&envelope);
        if let Envelope::Group { stanza, to } = &mut envelope
            && to.len() > count
        {
            let rest = Envelope::Group {
                stanza: stanza.clone(),
                to: to.split_off(count),
            };
            self.bytes += charge(&rest);
            self.waiting.push_front(rest);
        }
        Some(envelope)
    }

    /// All that is for this bare address.
    fn take_of(&mut self, to: &str) -> Vec<Envelope> {
        let mut taken = Vec::new();
        let mut kept = VecDeque::with_capacity(self.waiting.len());
        for mut envelope in self.waiting.drain(..) {
            if receiver(&envelope) == Some(to) {
                taken.push(envelope);
                continue;
            }
            if let Envelope::Group { stanza, to: all } = &mut envelope {
                let its = all.take_of(to);
                if !its.is_empty() {
                    let (stanza, to) = (stanza.clone(), its);
                    taken.push(Envelope::Group { stanza, to });
                }
                if all.is_empty() {
                    continue;
                }
            }
            kept.push_back(envelope);
        }
        self.bytes = kept.iter().map(charge).sum();
        self.waiting = kept;
        taken
    }

    /// Takes out what `stanza` makes void for those who get it now; of them come first who have waited. What stands before
    /// something else that the same session said stays, for it came before that (RFC 6120 section 10.1): it would come
    /// behind it.
    fn replace(&mut self, stanza: &Stanza, to: &mut JidList) {
        let from = stanza.header.from.as_ref();
        let is_between = |earlier: &Envelope| {
            !matches!(earlier, Envelope::Group { .. }) && sender(earlier) == from
        };
        let behind = self.waiting.iter().rposition(is_between);
        let behind = behind.map_or(0, |at| at + 1);
        let is_void = |earlier: &Envelope| matches!(earlier, Envelope::Group { stanza: old, .. } if replaces(stanza, old));
        if !self.waiting.range(behind..).any(is_void) {
            return;
        }
        let newly: BTreeSet<&str> = to.iter().collect();
        let mut overdue = JidList::default();
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for earlier in self.waiting.range_mut(behind..) {
            if !is_void(earlier) {
                continue;
            }
            self.bytes -= charge(earlier);
            if let Envelope::Group { to, .. } = earlier {
                for jid in std::mem::take(to).iter() {
                    match newly.get(jid) {
                        None => to.push_prepared(jid),
                        Some(jid) if seen.insert(jid) => overdue.push_prepared(jid),
                        Some(_) => {}
                    }
                }
            }
            self.bytes += charge(earlier);
        }
        let bytes = &mut self.bytes;
        self.waiting.retain(|earlier| {
            let is_gone = matches!(earlier, Envelope::Group { to, .. } if to.is_empty());
            if is_gone {
                *bytes -= charge(earlier);
            }
            !is_gone
        });
        for jid in to.iter().filter(|jid| !seen.contains(jid)) {
            overdue.push_prepared(jid);
        }
        *to = overdue;
    }
}

/// Whether what the same session said earlier to many says nothing any more: presence coalesces as it does
/// everywhere, and who is asked twice (a probe) answers once.
fn replaces(new: &Stanza, old: &Stanza) -> bool {
    let (is_asked, was_asked) = (new.header.type_, old.header.type_);
    match (is_asked, was_asked) {
        (Type::Probe, Type::Probe) => new.header.from == old.header.from,
        (Type::Probe, _) | (_, Type::Probe) => false,
        _ => Newcomer::new(new, Sender::Other).is_some_and(|newcomer| newcomer.replaces(old)),
    }
}

/// The account that says it.
fn speaker(envelope: &Envelope) -> Option<&str> {
    sender(envelope).map(Jid::bare_str)
}

/// The account that it is for, where that is one.
fn receiver(envelope: &Envelope) -> Option<&str> {
    let (Envelope::Stanza { stanza, .. } | Envelope::Tell { stanza, .. }) = envelope else {
        return None;
    };
    stanza.header.to.as_ref().map(Jid::bare_str)
}

/// Who says it.
fn sender(envelope: &Envelope) -> Option<&Jid> {
    let (Envelope::Stanza { stanza, .. }
    | Envelope::Group { stanza, .. }
    | Envelope::Tell { stanza, .. }) = envelope
    else {
        return None;
    };
    stanza.header.from.as_ref()
}

/// What is said to those who asked, or sent what cannot be delivered, belongs to no client's stream, with whose presence it
/// would have to keep an order (RFC 6120 section 10.1). It does not wait, or strangers could fill the queue.
fn answers_for_its_account(envelope: &Envelope) -> bool {
    let Envelope::Stanza { stanza, .. } = envelope else {
        return false;
    };
    let header = &stanza.header;
    let is_bare = header.from.as_ref().is_some_and(Jid::is_bare);
    header.kind != Kind::Presence && (is_bare || header.type_ == Type::Error)
}
