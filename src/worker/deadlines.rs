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
        let entry = self.0.pop().map(|Reverse(entry)| entry);
        // A storm of logins leaves two entries each, and nothing of their memory behind.
        if self.0.capacity() > FEW_COUNT.max(4 * self.0.len()) {
            self.0.shrink_to(2 * self.0.len());
        }
        entry
    }
}

/// Below so many (16 KiB) memory is not given back: they come again at once.
const FEW_COUNT: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_their_order_and_their_memory_is_given_back() {
        let mut deadlines = Deadlines::default();
        let key = ConnectionKey::default();
        let count = 100_000;
        for at_ms in (0..count).rev() {
            deadlines.set(at_ms, key);
        }
        assert!(deadlines.0.capacity() >= count as usize);
        for at_ms in 0..count {
            assert_eq!(deadlines.take_due(at_ms), Some((at_ms, key)));
            assert_eq!(
                deadlines.take_due(at_ms),
                None,
                "nothing is due before its time"
            );
            let left = (count - 1 - at_ms) as usize;
            assert!(deadlines.0.capacity() <= FEW_COUNT.max(4 * left), "{left}");
        }
    }
}
