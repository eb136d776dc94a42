//! Numbers for rows that must sort by the time at which they were given.

use super::time::Now;

/// Gives out numbers that only grow: the wall clock's milliseconds in the high 44 bits, a counter below. A
/// clock that steps back makes the counter run on from the highest number given.
#[derive(Debug)]
pub struct Sequence {
    last: u64,
}

impl Sequence {
    /// Numbers above this one, whatever the clock says.
    pub fn above(last: u64) -> Sequence {
        Sequence { last }
    }

    /// The last number given, or the one that none may be below.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The next number.
    pub fn next(&mut self, now: Now) -> u64 {
        self.last = Self::count_in(now.wall_ms).max(self.last + 1);
        self.last
    }

    /// How many numbers there are in so much time.
    pub const fn count_in(ms: u64) -> u64 {
        ms << COUNTER_BITS
    }
}

/// A million numbers in one millisecond before the time runs ahead of itself.
const COUNTER_BITS: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_even_when_the_clock_steps_back() {
        let mut sequence = Sequence::above(0);
        let late = sequence.next(Now {
            mono_ms: 1,
            wall_ms: 2_000,
        });
        let early = sequence.next(Now {
            mono_ms: 2,
            wall_ms: 1_000,
        });
        assert!(early > late);
        assert_eq!(late, Sequence::count_in(2_000));
    }

    #[test]
    fn a_new_process_goes_on_above_the_last_even_if_the_clock_was_set_back() {
        let now = Now {
            mono_ms: 1,
            wall_ms: 1_000,
        };
        let last = Sequence::count_in(5_000);
        let mut sequence = Sequence::above(last);
        assert_eq!(sequence.next(now), last + 1);
        assert_eq!(sequence.last(), last + 1);
    }
}
