//! What waits to be written to one stream: values and pointers, rendered to bytes at the last moment.

use std::collections::VecDeque;

use crate::actor::Kept;
use crate::base::Spares;
use crate::base::limits::RENDER_CHUNK_BYTES;
use crate::jid::Jid;
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
    rendered: VecDeque<Option<Kept>>,
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

    /// See [`StreamState::glance`](super::StreamState::glance).
    pub(super) fn glance(&self) -> usize {
        let first = match self.queue.front() {
            Some(Item::Stanza { stanza, .. }) => stanza.payload.xml().as_bytes().first().copied(),
            Some(Item::Xml(text)) => text.as_bytes().first().copied(),
            None => None,
        };
        let sizes = self.bytes ^ self.excess ^ self.replayed ^ self.rendered.len();
        sizes
            ^ usize::from(self.above_soft_since_ms.is_some())
            ^ usize::from(first.unwrap_or_default())
    }

    /// Before [`Outbound::push`]: with memory that another has left, if there is any.
    pub fn borrow_queue(&mut self, spares: &mut Spares<Item>) {
        spares.lend(&mut self.queue);
    }

    /// Before rendering: the same for what is written but not in the socket yet.
    pub fn borrow_rendered(&mut self, spares: &mut Spares<Option<Kept>>) {
        spares.lend(&mut self.rendered);
    }

    /// Renders from the front until `out` holds about 16 KiB ([`RENDER_CHUNK_BYTES`]); whether more waits.
    pub fn render(&mut self, out: &mut Vec<u8>, spares: &mut Spares<Item>) -> bool {
        while out.len() < RENDER_CHUNK_BYTES && !self.queue.is_empty() {
            self.render_next(out);
        }
        self.end_render(spares)
    }

    fn render_next(&mut self, out: &mut Vec<u8>) {
        let Some(item) = self.queue.pop_front() else {
            return;
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

    fn end_render(&mut self, spares: &mut Spares<Item>) -> bool {
        if self.queue.is_empty() {
            spares.take_back(&mut self.queue);
            self.replayed = 0;
        }
        !self.queue.is_empty()
    }

    /// Renders the first that waits, and what follows it from the same sender: what stands in one piece of compressed
    /// bytes is nobody else's (XEP-0138, CRIME). The account's own stanzas carry what others said, copies and results,
    /// and stand alone. Whether more waits.
    pub fn render_one_sender(
        &mut self,
        own: Option<&Jid>,
        out: &mut Vec<u8>,
        spares: &mut Spares<Item>,
    ) -> bool {
        let sender = self.queue.front().and_then(Item::sender).cloned();
        let is_own = |jid: &Jid| own.is_none_or(|own| own.bare_str() == jid.bare_str());
        // Nobody but an occupant or a resource speaks for itself alone.
        let sender = sender.filter(|jid| jid.is_full() && !is_own(jid));
        self.render_next(out);
        while out.len() < RENDER_CHUNK_BYTES
            && sender.is_some()
            && self.queue.front().and_then(Item::sender) == sender.as_ref()
        {
            self.render_next(out);
        }
        self.end_render(spares)
    }

    /// Everything rendered is in the socket, or never will be: what that decides.
    pub fn take_rendered(&mut self) -> VecDeque<Option<Kept>> {
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

    /// The message that is owed under this number, if it was not rendered.
    pub fn stanza_under(&self, number: u64) -> Option<&Stanza> {
        self.queue.iter().find_map(|item| match item {
            Item::Stanza { stanza, kept } => kept
                .is_some_and(|kept| kept.number == number)
                .then_some(stanza),
            Item::Xml(_) => None,
        })
    }

    /// What is owed of it, for changes that another holder causes.
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
    pub fn coalesce(&mut self, newcomer: &Newcomer<'_>) -> bool {
        let before = self.queue.len();
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
        self.queue.len() < before
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

    fn sender(&self) -> Option<&Jid> {
        match self {
            Item::Stanza { stanza, .. } => stanza.header.from.as_ref(),
            Item::Xml(_) => None,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::{Header, Payload};

    fn stanza(from: &str, id: &str) -> Item {
        let mut header = Header::new(Kind::Message, Type::Chat);
        header.from = Jid::parse(from).ok();
        header.id = Some(id.into());
        let payload = Payload::EMPTY;
        Item::Stanza {
            stanza: Stanza { header, payload },
            kept: None,
        }
    }

    #[test]
    fn what_is_compressed_in_one_piece_is_one_senders() {
        let own = Jid::parse("juliet@h/phone").expect("valid");
        let mut outbound = Outbound::default();
        for (from, id) in [
            ("romeo@h/a", "1"),
            ("romeo@h/a", "2"),
            ("romeo@h/b", "3"),
            // Copies of what others said.
            ("juliet@h", "4"),
            ("juliet@h", "5"),
            ("room@h/one", "6"),
            ("room@h/two", "7"),
            ("h", "8"),
            ("h", "9"),
        ] {
            outbound.push(stanza(from, id));
        }
        outbound.push_xml("<r/>");
        let mut spares = Spares::default();
        let mut pieces = Vec::new();
        loop {
            let mut out = Vec::new();
            let more = outbound.render_one_sender(Some(&own), &mut out, &mut spares);
            let text = String::from_utf8(out).expect("UTF-8");
            let ids: Vec<&str> = text.split(" id='").skip(1).map(|rest| &rest[..1]).collect();
            pieces.push(ids.concat());
            if !more {
                break;
            }
        }
        assert_eq!(pieces, ["12", "3", "4", "5", "6", "7", "8", "9", ""]);
        assert_eq!((outbound.bytes(), outbound.is_empty()), (0, true));
    }
}
