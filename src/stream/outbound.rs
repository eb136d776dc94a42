//! What waits to be written to one stream: values and pointers, rendered to bytes at the last moment.

use std::collections::VecDeque;

use crate::actor::Kept;
use crate::base::Spares;
use crate::stanza::{Kind, Newcomer, Stanza, Type};

/// One thing to be written.
#[derive(Clone, Debug)]
pub enum Item {
    /// A stanza; `kept` is there when being written counts as being delivered, because the client does not
    /// acknowledge.
    Stanza { stanza: Stanza, kept: Option<Kept> },
    /// Anything else, complete.
    Xml(Box<str>),
}

/// The queue of one stream.
#[derive(Debug, Default)]
pub struct Outbound {
    queue: VecDeque<Item>,
    bytes: usize,
    /// Bytes of very large stanzas beyond the largest that anybody may send: one roster is not a slow reader.
    excess: usize,
    /// What was rendered, but is not in the socket yet.
    rendered: Vec<Option<Kept>>,
    /// When the soft bound was last exceeded without interruption.
    above_soft_since_ms: Option<u64>,
    /// What was queued again when a session was resumed: it was held already, and does not count against the bound.
    replayed: usize,
}

impl Outbound {
    /// Appends.
    pub fn push(&mut self, item: Item) {
        self.bytes += item.charge();
        self.excess += item.excess();
        self.queue.push_back(item);
    }

    /// Appends something other than a stanza.
    pub fn push_xml(&mut self, xml: impl Into<Box<str>>) {
        self.push(Item::Xml(xml.into()));
    }

    /// What waits now was held by the session that was resumed.
    pub fn mark_replayed(&mut self) {
        self.replayed = self.bytes;
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that wait, each reference charged its size.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Before [`Outbound::push`]: with memory that another has left, if there is any.
    pub fn borrow_queue(&mut self, spares: &mut Spares<Item>) {
        spares.lend(&mut self.queue);
    }

    /// Renders from the front until `out` holds about 16 KiB (`CHUNK_BYTES`); whether more waits.
    pub fn render(&mut self, out: &mut Vec<u8>, spares: &mut Spares<Item>) -> bool {
        while out.len() < CHUNK_BYTES {
            let Some(item) = self.queue.pop_front() else {
                break;
            };
            self.bytes -= item.charge();
            self.excess -= item.excess();
            match item {
                Item::Stanza { stanza, kept } => {
                    stanza.write(out);
                    self.rendered.extend(kept.map(Some));
                }
                Item::Xml(xml) => out.extend_from_slice(xml.as_bytes()),
            }
        }
        if self.queue.is_empty() {
            spares.take_back(&mut self.queue);
            self.replayed = 0;
        }
        !self.queue.is_empty()
    }

    /// Everything rendered is in the socket, or never will be: what that decides.
    pub fn take_rendered(&mut self) -> Vec<Option<Kept>> {
        std::mem::take(&mut self.rendered)
    }

    /// What is not in the socket yet.
    pub fn kept(&self) -> impl Iterator<Item = &Kept> + '_ {
        let waiting = self.queue.iter().filter_map(|item| match item {
            Item::Stanza { kept, .. } => kept.as_ref(),
            Item::Xml(_) => None,
        });
        waiting.chain(self.rendered.iter().flatten())
    }

    /// The same, for changes that another holder causes.
    pub fn kept_mut(&mut self) -> impl Iterator<Item = &mut Option<Kept>> + '_ {
        let waiting = self.queue.iter_mut().filter_map(|item| match item {
            Item::Stanza { kept, .. } => Some(kept),
            Item::Xml(_) => None,
        });
        waiting.chain(&mut self.rendered)
    }

    /// Takes out what was not rendered and somebody misses, messages and requests, for a stream that loses its
    /// session: those that nobody else holds. Of the stanzas the last `held` are its session's. What is left may still be
    /// written.
    pub fn take_owed(&mut self, held: usize) -> Vec<Item> {
        let mut unheld = self.stanza_count().saturating_sub(held);
        let mut owed = Vec::new();
        self.queue = std::mem::take(&mut self.queue)
            .into_iter()
            .filter_map(|item| {
                let is_unheld = unheld > 0;
                if matches!(item, Item::Stanza { .. }) {
                    unheld = unheld.saturating_sub(1);
                }
                if !item.is_owed() {
                    return Some(item);
                }
                if is_unheld {
                    owed.push(item);
                }
                None
            })
            .collect();
        self.count_again();
        owed
    }

    /// Drops the presence, not rendered yet, that `newcomer` makes void.
    pub fn coalesce(&mut self, newcomer: &Newcomer<'_>) {
        let is_void =
            |item: &Item| matches!(item, Item::Stanza { stanza, .. } if newcomer.replaces(stanza));
        let gone = &mut self.bytes;
        self.queue.retain(|item| {
            let stays = !is_void(item);
            if !stays {
                *gone -= item.charge();
            }
            stays
        });
    }

    /// Stanzas that were not rendered.
    pub fn stanza_count(&self) -> usize {
        let is_stanza = |item: &&Item| matches!(item, Item::Stanza { .. });
        self.queue.iter().filter(is_stanza).count()
    }

    /// Drops the stanzas that were not rendered, for a stream whose session counts them and goes on elsewhere: if
    /// any of them were left out, the client would count the others in their place.
    pub fn drop_stanzas(&mut self) {
        self.queue.retain(|item| matches!(item, Item::Xml(_)));
        self.count_again();
    }

    fn count_again(&mut self) {
        self.bytes = self.queue.iter().map(Item::charge).sum();
        self.excess = self.queue.iter().map(Item::excess).sum();
    }

    /// Drops everything that was not rendered.
    pub fn clear(&mut self) {
        self.queue.clear();
        self.count_again();
    }

    /// Whether the queue has been above `soft` for `soft_ms`, or is above `hard`. An empty queue takes one stanza,
    /// however large.
    pub fn is_stuck(&mut self, now_ms: u64, soft: usize, soft_ms: u64, hard: usize) -> bool {
        self.watch(now_ms, soft);
        let Some(since_ms) = self.above_soft_since_ms else {
            return false;
        };
        let first = self
            .queue
            .front()
            .map_or(0, |item| item.charge() - item.excess());
        self.bytes - self.excess - first > hard + self.replayed
            || now_ms.saturating_sub(since_ms) >= soft_ms
    }

    /// Notes whether the queue is above `soft`; to be called whenever it grew or shrank.
    pub fn watch(&mut self, now_ms: u64, soft: usize) {
        if self.bytes <= soft {
            self.above_soft_since_ms = None;
        } else {
            self.above_soft_since_ms.get_or_insert(now_ms);
        }
    }

    /// Since when it has been above its soft bound, on the monotonic clock.
    pub fn above_soft_since_ms(&self) -> Option<u64> {
        self.above_soft_since_ms
    }
}

impl Item {
    /// A message finds another way, and who asked hears that nobody answers.
    fn is_owed(&self) -> bool {
        let Item::Stanza { stanza, .. } = self else {
            return false;
        };
        let header = &stanza.header;
        header.kind == Kind::Message || matches!(header.type_, Type::Get | Type::Set)
    }

    fn excess(&self) -> usize {
        match self {
            Item::Stanza { stanza, .. } => stanza.excess(),
            Item::Xml(_) => 0,
        }
    }

    fn charge(&self) -> usize {
        match self {
            Item::Stanza { stanza, .. } => stanza.charge(),
            Item::Xml(xml) => xml.len(),
        }
    }
}

/// Enough to fill a socket's buffer in few calls, little enough that every stream gets its turn.
const CHUNK_BYTES: usize = 16 * 1024;
