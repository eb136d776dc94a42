//! Numbers for rows that must sort by the time at which they were given.

use super::time::Now;

/// Gives out numbers that only grow: the wall clock's milliseconds in the high 44 bits, a counter below. A
/// clock that steps back makes the counter run on from the highest number given.
#[derive(Debug, Default)]
pub struct Sequence {
    last: u64,
}

impl Sequence {
    /// The next number.
    pub fn next(&mut self, now: Now) -> u64 {
        self.last = (now.wall_ms << COUNTER_BITS).max(self.last + 1);
        self.last
    }

    /// The wall clock's milliseconds at which `number` was given, roughly.
    pub fn wall_ms_of(number: u64) -> u64 {
        number >> COUNTER_BITS
    }
}

/// A million numbers in one millisecond before the time runs ahead of itself.
const COUNTER_BITS: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_even_when_the_clock_steps_back() {
        let mut sequence = Sequence::default();
        let late = sequence.next(Now {
            mono_ms: 1,
            wall_ms: 2_000,
        });
        let early = sequence.next(Now {
            mono_ms: 2,
            wall_ms: 1_000,
        });
        assert!(early > late);
        assert_eq!(Sequence::wall_ms_of(late), 2_000);
    }
}
