//! The few deadlines that are the shell's own: handshakes, closing, proof of identity. Refuses to know
//! what happens when one is missed; the core's timers are the core's.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::connection::ConnectionKey;

/// Deadlines by time. A connection keeps its current one itself; an entry that disagrees with it is stale
/// and skipped, so that nothing has to be searched for when a deadline moves.
#[derive(Default)]
pub struct Deadlines(BinaryHeap<Reverse<(u64, ConnectionKey)>>);

impl Deadlines {
    /// Remembers to look at `key` at `at_ms`.
    pub fn set(&mut self, at_ms: u64, key: ConnectionKey) {
        self.0.push(Reverse((at_ms, key)));
    }

    /// The earliest entry's time.
    pub fn next_ms(&self) -> Option<u64> {
        self.0.peek().map(|Reverse((at_ms, _))| *at_ms)
    }

    /// Takes an entry that is due at `now_ms`.
    pub fn take_due(&mut self, now_ms: u64) -> Option<(u64, ConnectionKey)> {
        if self.next_ms()? > now_ms {
            return None;
        }
        self.0.pop().map(|Reverse(entry)| entry)
    }
}
