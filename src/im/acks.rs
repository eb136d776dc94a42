//! XEP-0198: Stream Management, version 1.6.3: the session's side. Counts what came in and what of it is
//! settled, and holds what went out until the client has it. Knows nothing of streams.
//!
//! | section | item |
//! |---|---|
//! | 4 acks | [`Acks::acknowledge`], [`Acks::handled`] |
//! | 5 resumption | [`Acks::unacked`], [`Acks::resume`] |

use std::collections::VecDeque;

use crate::actor::Kept;
use crate::stanza::{Header, Kind, Newcomer, Stanza, Type};

/// Counters and queues of one session with stream management.
pub struct Acks {
    /// Unguessable half of the resumption id; empty when the client did not ask to resume.
    pub token: String,
    /// How long the session waits for its client; 0 when it cannot be resumed.
    pub resume_timeout_ms: u64,
    /// Number of the last outbound stanza that the client acknowledged, modulo 2^32.
    acked: u32,
    /// Outbound stanzas that it has not, oldest first.
    unacked: VecDeque<Unacked>,
    unacked_bytes: usize,
    bounds: Bounds,
    /// Since when the queue has been full without an acknowledgement, on the monotonic clock.
    full_since_ms: Option<u64>,
    /// While the client is away: how many of the queue it may have seen, so that they count whatever comes.
    seen: usize,
    /// `<r/>` was sent and not answered: so many stanzas went out behind it.
    asked: Option<u32>,
    /// Number of the last inbound stanza, modulo 2^32.
    received: u32,
    /// What `<resumed/>` said last: no later answer may say less.
    resumed: u32,
    /// One mark per inbound stanza behind the settled prefix.
    marks: VecDeque<Mark>,
    /// The client asked for an acknowledgement and was told less than it sent: another `<a/>` follows
    /// when this many are settled.
    owed: Option<u32>,
}

/// How much may be unacknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub count_max: usize,
    pub bytes_max: usize,
}

/// How full a queue is. Messages are kept elsewhere from its bound on ([`super::session::Session::is_full`]), presence
/// coalesces, and what else comes is taken as far as `shard/overfull.rs` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fill {
    /// Below its bound.
    Room,
    Full,
    /// Half as much again.
    Half,
    Twice,
    /// Sixteen times its bound of stanzas, or four times of bytes: the end even for the presence of contacts, of which
    /// as much comes at once as there are contacts.
    Crowded,
}

impl Bounds {
    /// How full a queue is that holds so much.
    pub fn fill(self, count: usize, bytes: usize) -> Fill {
        let holds = |count_times: usize, bytes_times: usize| {
            count.saturating_mul(2) >= self.count_max.saturating_mul(count_times)
                || bytes.saturating_mul(2) >= self.bytes_max.saturating_mul(bytes_times)
        };
        match () {
            () if holds(2 * CROWD, 8) => Fill::Crowded,
            () if holds(4, 4) => Fill::Twice,
            () if holds(3, 3) => Fill::Half,
            () if holds(2, 2) => Fill::Full,
            () => Fill::Room,
        }
    }
}

/// An outbound stanza that the client has not acknowledged.
#[derive(Clone, Debug)]
pub struct Unacked {
    pub stanza: Stanza,
    /// What it is owed, should its client never acknowledge it.
    pub kept: Option<Kept>,
    /// When it was first sent, for the delay stamp of what is delivered again.
    pub wall_ms: u64,
    /// A request whose answer went out: it arrived, whether or not its client acknowledges it.
    pub is_answered: bool,
}

impl Unacked {
    /// Whether this is the request that `answer` answers, by the rules of RFC 6120 section 8.2.3: its id comes back, to
    /// whom it came from.
    fn is_request_of(&self, answer: &Header) -> bool {
        let request = &self.stanza.header;
        request.kind == Kind::Iq
            && matches!(request.type_, Type::Get | Type::Set)
            && !self.is_answered
            && request.id == answer.id
            && request.from == answer.to
    }
}

/// An inbound stanza that is not settled, or waits for one before it.
#[derive(Debug)]
struct Mark {
    since_ms: u64,
    /// None when settled; else what a bounce needs.
    header: Option<Box<Header>>,
    /// How many have yet to say that their part of it is durable.
    awaited: u8,
}

/// The client acknowledged what was never sent (XEP-0198 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooHigh {
    pub h: u32,
    pub sent: u32,
}

impl Acks {
    /// Counters at zero: "'h' ... the value ... is initialized to zero".
    pub fn new(token: String, resume_timeout_ms: u64, bounds: Bounds) -> Acks {
        Acks {
            token,
            resume_timeout_ms,
            acked: 0,
            unacked: VecDeque::new(),
            unacked_bytes: 0,
            bounds,
            full_since_ms: None,
            seen: 0,
            asked: None,
            received: 0,
            resumed: 0,
            marks: VecDeque::new(),
            owed: None,
        }
    }

    // ---- what goes out ----

    /// Holds a stanza until the client has it.
    pub fn sent(&mut self, stanza: Unacked) {
        self.unacked_bytes += stanza.stanza.charge();
        if let Some(since) = &mut self.asked {
            *since += 1;
        }
        self.unacked.push_back(stanza);
    }

    /// Whether to ask for an acknowledgement now: when something waits for one and no question is open, or
    /// when `again_after` more stanzas went out since. Counts the question as asked.
    pub fn asks(&mut self, again_after: u32) -> bool {
        let due = match self.asked {
            None => !self.unacked.is_empty(),
            Some(since) => since >= again_after,
        };
        if due {
            self.asked = Some(0);
        }
        due
    }

    /// Whether the client claims to have more than it was sent.
    pub fn is_too_high(&self, h: u32) -> Option<TooHigh> {
        // Section 4: the counter wraps at 2^32, so the difference is modular.
        let count = h.wrapping_sub(self.acked) as usize;
        (count > self.unacked.len()).then(|| TooHigh {
            h,
            sent: self.sent_count(),
        })
    }

    /// The client has everything up to `h`, which [`Acks::is_too_high`] has let pass: what it acknowledged leaves
    /// the queue, oldest first.
    pub fn acknowledge(&mut self, h: u32) -> impl Iterator<Item = Unacked> + '_ {
        let count = (h.wrapping_sub(self.acked) as usize).min(self.unacked.len());
        self.acked = h;
        self.asked = None;
        self.seen = self.seen.saturating_sub(count);
        if count > 0 {
            self.full_since_ms = None;
        }
        let gone: usize = self
            .unacked
            .range(..count)
            .map(|held| held.stanza.charge())
            .sum();
        self.unacked_bytes -= gone;
        self.unacked.drain(..count)
    }

    /// Number of stanzas sent since stream management was enabled, modulo 2^32.
    pub fn sent_count(&self) -> u32 {
        // The queue is bounded far below 2^32.
        self.acked.wrapping_add(self.unacked.len() as u32)
    }

    /// The connection was lost, and any open question with it. So many of the queue were never written.
    pub fn detached(&mut self, unwritten: usize) {
        self.asked = None;
        self.full_since_ms = None;
        self.seen = self.unacked.len().saturating_sub(unwritten);
    }

    /// Stanzas of a session whose client is away that were never written.
    pub fn unwritten_count(&self) -> usize {
        self.unacked.len() - self.seen
    }

    /// Drops the presence that `newcomer` makes void, among the last `unwritten` of the queue: what was written counts,
    /// for the client may have counted it. Whether there was any.
    pub fn coalesce(&mut self, newcomer: &Newcomer<'_>, unwritten: usize) -> bool {
        let before = self.unacked.len();
        let first = self.unacked.len().saturating_sub(unwritten);
        for at in (first..self.unacked.len()).rev() {
            if newcomer.replaces(&self.unacked[at].stanza)
                && let Some(gone) = self.unacked.remove(at)
            {
                self.unacked_bytes -= gone.stanza.charge();
            }
        }
        self.unacked.len() < before
    }

    /// Notes whether the queue is full; to be called when it grew or shrank.
    pub fn watch(&mut self, now_ms: u64) {
        if !self.is_full() {
            self.full_since_ms = None;
        } else {
            self.full_since_ms.get_or_insert(now_ms);
        }
    }

    /// Since when the queue has been full without an acknowledgement.
    pub fn full_since_ms(&self) -> Option<u64> {
        self.full_since_ms
    }

    /// What the client has not acknowledged, oldest first.
    pub fn unacked(&self) -> impl ExactSizeIterator<Item = &Unacked> {
        self.unacked.iter()
    }

    /// Whether the client holds a request that `answer` answers, as far as it has acknowledged.
    pub fn holds_request(&self, answer: &Header) -> bool {
        let mut unacked = self.unacked.iter();
        unacked.any(|held| held.is_request_of(answer))
    }

    /// The client answered a request before it acknowledged it.
    pub fn answered(&mut self, answer: &Header) {
        let mut unacked = self.unacked.iter_mut();
        if let Some(held) = unacked.find(|held| held.is_request_of(answer)) {
            held.is_answered = true;
        }
    }

    /// What is owed to the client, newest first, for changes that another holder causes.
    pub fn kept_mut(&mut self) -> impl Iterator<Item = &mut Option<Kept>> {
        self.unacked.iter_mut().rev().map(|held| &mut held.kept)
    }

    /// Bytes of what the client has not acknowledged.
    pub fn unacked_bytes(&self) -> usize {
        self.unacked_bytes
    }

    /// The queue, for a session that ends.
    pub fn take_unacked(&mut self) -> VecDeque<Unacked> {
        self.unacked_bytes = 0;
        self.seen = 0;
        std::mem::take(&mut self.unacked)
    }

    /// The bound is reached.
    pub fn is_full(&self) -> bool {
        self.unacked.len() >= self.bounds.count_max || self.unacked_bytes >= self.bounds.bytes_max
    }

    /// How full it is.
    pub fn fill(&self) -> Fill {
        self.bounds.fill(self.unacked.len(), self.unacked_bytes)
    }

    /// How many stanzas and bytes a cursor may put in now. It takes half of the bounds, so that a client that is
    /// slow to acknowledge its offline messages slows them down, instead of losing its connection to them.
    pub fn cursor_room(&self) -> (usize, usize) {
        let (count, bytes) = (self.bounds.count_max / 2, self.bounds.bytes_max / 2);
        (
            count.max(1).saturating_sub(self.unacked.len()),
            bytes.max(1).saturating_sub(self.unacked_bytes),
        )
    }

    /// How much may wait behind a cursor: a quarter of the bounds, so that it fits when the cursor is done.
    pub fn backlog_bounds(&self) -> Bounds {
        Bounds {
            count_max: (self.bounds.count_max / 4).max(1),
            bytes_max: (self.bounds.bytes_max / 4).max(1),
        }
    }

    // ---- what comes in ----

    /// A stanza came in: its number. `header` is kept for a bounce should it never be settled.
    pub fn receive(&mut self, now_ms: u64, header: Header) -> u32 {
        self.received = self.received.wrapping_add(1);
        self.marks.push_back(Mark {
            since_ms: now_ms,
            header: Some(Box::new(header)),
            awaited: 1,
        });
        self.received
    }

    /// One more has to settle this stanza: its sender's own rows, beside those of whoever takes it.
    pub fn await_one_more(&mut self, sequence: u32) {
        let ahead = sequence.wrapping_sub(self.handled()).wrapping_sub(1) as usize;
        if let Some(mark) = self.marks.get_mut(ahead) {
            mark.awaited = mark.awaited.saturating_add(1);
        }
    }

    /// A stanza is settled by one of those who have to. True when the client is owed an `<a/>` for it.
    pub fn settle(&mut self, sequence: u32) -> bool {
        let ahead = sequence.wrapping_sub(self.handled()).wrapping_sub(1) as usize;
        if let Some(mark) = self.marks.get_mut(ahead) {
            mark.awaited = mark.awaited.saturating_sub(1);
            if mark.awaited == 0 {
                mark.header = None;
            }
        }
        while self.marks.front().is_some_and(|mark| mark.header.is_none()) {
            self.marks.pop_front();
        }
        let due = self.owed.is_some_and(|owed| {
            // Handled has reached or passed what was owed.
            self.handled().wrapping_sub(owed) < u32::MAX / 2
        });
        if due {
            self.owed = None;
        }
        due
    }

    /// The contiguous settled prefix: what `<a h=''/>` may say (DESIGN section 20).
    pub fn handled(&self) -> u32 {
        self.received.wrapping_sub(self.marks.len() as u32)
    }

    /// Every stanza that the living process holds, settled or not: what `<resumed h=''/>` says, so that a
    /// resume never makes a client repeat what was delivered.
    pub fn resume(&mut self) -> u32 {
        self.resumed = self.received;
        self.received
    }

    /// What `<a h=''/>` says: the settled prefix, but never less than `<resumed/>` did. A count that goes back is
    /// one of almost 2^32 to a client, which then closes its stream (section 6, "too high").
    pub fn told(&self) -> u32 {
        let handled = self.handled();
        let ahead = self.resumed.wrapping_sub(handled) as usize;
        if ahead <= self.marks.len() {
            self.resumed
        } else {
            handled
        }
    }

    /// The client asks: the `h` of the answer. What is not settled yet will be announced unasked.
    pub fn answer_request(&mut self) -> u32 {
        if !self.marks.is_empty() {
            self.owed = Some(self.received);
        }
        self.told()
    }

    /// Number of stanzas that are not settled or wait for one that is not.
    pub fn unsettled_count(&self) -> usize {
        self.marks.len()
    }

    /// When the oldest unsettled stanza came in, on the monotonic clock.
    pub fn unsettled_since_ms(&self) -> Option<u64> {
        self.marks
            .iter()
            .find(|mark| mark.header.is_some())
            .map(|mark| mark.since_ms)
    }

    /// Takes the header of the oldest stanza unsettled since before `before_ms`, with its number.
    pub fn take_overdue(&mut self, before_ms: u64) -> Option<(u32, Box<Header>)> {
        let first = self.handled().wrapping_add(1);
        let (ahead, mark) = self
            .marks
            .iter_mut()
            .enumerate()
            .find(|(_, mark)| mark.header.is_some() && mark.since_ms <= before_ms)?;
        Some((first.wrapping_add(ahead as u32), mark.header.take()?))
    }
}

/// See [`Fill::Crowded`].
pub const CROWD: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::{Kind, Payload, Type};

    const BOUNDS: Bounds = Bounds {
        count_max: 3,
        bytes_max: 10_000,
    };

    fn stanza() -> Stanza {
        Stanza {
            header: Header::new(Kind::Message, Type::Chat),
            payload: Payload::EMPTY,
        }
    }

    fn sent(acks: &mut Acks, count: usize) {
        for _ in 0..count {
            acks.sent(Unacked {
                stanza: stanza(),
                kept: None,
                wall_ms: 0,
                is_answered: false,
            });
        }
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_sent_is_an_error_and_changes_nothing() {
        let mut acks = Acks::new(String::new(), 0, BOUNDS);
        sent(&mut acks, 2);
        assert_eq!(acks.is_too_high(3), Some(TooHigh { h: 3, sent: 2 }));
        assert_eq!(acks.unacked().len(), 2);
        assert_eq!(acks.is_too_high(2), None);
        assert_eq!(acks.acknowledge(2).count(), 2);
        assert_eq!(
            acks.is_too_high(1),
            Some(TooHigh { h: 1, sent: 2 }),
            "h never goes back"
        );
    }

    #[test]
    fn counters_wrap_at_two_to_the_32() {
        let mut acks = Acks::new(String::new(), 0, BOUNDS);
        acks.acked = u32::MAX;
        acks.received = u32::MAX;
        sent(&mut acks, 2);
        assert_eq!(acks.acknowledge(1).count(), 2);
        let number = acks.receive(0, stanza().header);
        assert_eq!(number, 0);
        assert_eq!(acks.handled(), u32::MAX);
        acks.settle(number);
        assert_eq!(acks.handled(), 0);
    }

    #[test]
    fn h_is_the_contiguous_settled_prefix() {
        let mut acks = Acks::new(String::new(), 0, BOUNDS);
        let numbers: Vec<u32> = (0..3).map(|_| acks.receive(0, stanza().header)).collect();
        acks.settle(numbers[1]);
        assert_eq!(acks.answer_request(), 0);
        assert!(!acks.settle(numbers[0]), "the third is still owed");
        assert_eq!(acks.handled(), 2);
        assert!(acks.settle(numbers[2]), "now the client hears of all three");
        assert_eq!(acks.handled(), 3);
        assert_eq!(acks.resume(), 3);
    }

    #[test]
    fn h_never_goes_back_behind_what_a_resumed_stream_was_told() {
        let mut acks = Acks::new(String::new(), 0, BOUNDS);
        let numbers: Vec<u32> = (0..3).map(|_| acks.receive(0, stanza().header)).collect();
        acks.settle(numbers[0]);
        assert_eq!(acks.answer_request(), 1);
        assert_eq!(acks.resume(), 3, "held, if not settled");
        acks.receive(0, stanza().header);
        assert_eq!(acks.answer_request(), 3);
        acks.settle(numbers[1]);
        acks.settle(numbers[2]);
        assert_eq!(acks.answer_request(), 3);
        assert!(acks.settle(4));
        assert_eq!(acks.told(), 4);
    }

    #[test]
    fn what_is_overdue_is_handed_out_once_oldest_first() {
        let mut acks = Acks::new(String::new(), 0, BOUNDS);
        acks.receive(5, stanza().header);
        acks.receive(9, stanza().header);
        assert_eq!(acks.take_overdue(4).map(|(number, _)| number), None);
        assert_eq!(acks.take_overdue(5).map(|(number, _)| number), Some(1));
        assert_eq!(acks.take_overdue(5).map(|(number, _)| number), None);
        assert_eq!(acks.unsettled_since_ms(), Some(9));
    }

    #[test]
    fn the_queue_is_full_at_its_bound() {
        let mut acks = Acks::new(String::new(), 0, BOUNDS);
        sent(&mut acks, 2);
        assert!(!acks.is_full());
        sent(&mut acks, 1);
        assert!(acks.is_full());
    }
}
