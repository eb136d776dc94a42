//! Numbers for rows that must sort by the time at which they were given.

use jiff::Timestamp;
use jiff::tz::TimeZone;

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

    /// The least number that can be given at this moment of the wall clock.
    pub fn first_at(wall_ms: u64) -> u64 {
        wall_ms.min(WALL_MS_MAX) << COUNTER_BITS
    }

    /// How many numbers there are in so much time.
    pub const fn count_in(ms: u64) -> u64 {
        ms << COUNTER_BITS
    }

    /// The wall clock's milliseconds at which `number` was given, roughly.
    pub fn wall_ms_of(number: u64) -> u64 {
        number >> COUNTER_BITS
    }
}

/// A month of the calendar in UTC, as the slices of tables have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    pub year: i16,
    /// 1 is January.
    pub month: i8,
}

impl Month {
    /// The month in which `number` was given.
    pub fn of(number: u64) -> Month {
        let date = moment(Sequence::wall_ms_of(number))
            .to_zoned(TimeZone::UTC)
            .date();
        Month {
            year: date.year(),
            month: date.month(),
        }
    }

    /// The least number that can be given in this month.
    pub fn first_number(self) -> u64 {
        let date = jiff::civil::Date::new(self.year, self.month, 1);
        let start = date.and_then(|date| date.to_zoned(TimeZone::UTC));
        // Both parts came from a date; a time before 1970 is the beginning of all numbers.
        let ms = start.map_or(0, |start| start.timestamp().as_millisecond());
        Sequence::first_at(u64::try_from(ms).unwrap_or(0))
    }

    /// The month behind this one.
    pub fn next(self) -> Month {
        match self.month {
            12.. => Month {
                year: self.year + 1,
                month: 1,
            },
            month => Month {
                month: month + 1,
                ..self
            },
        }
    }
}

fn moment(wall_ms: u64) -> Timestamp {
    // 44 bits of milliseconds end in the year 2527.
    Timestamp::from_millisecond(wall_ms as i64).unwrap_or_default()
}

/// A million numbers in one millisecond before the time runs ahead of itself.
const COUNTER_BITS: u32 = 20;
/// What the other bits hold.
const WALL_MS_MAX: u64 = u64::MAX >> COUNTER_BITS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_holds_the_numbers_between_its_first_and_that_of_the_next() {
        let noon = Sequence::first_at(1_795_392_000_000);
        let month = Month::of(noon);
        assert_eq!((month.year, month.month), (2026, 11));
        let (first, next) = (month.first_number(), month.next().first_number());
        assert!(first <= noon && noon < next);
        assert_eq!(Month::of(first), month);
        assert_eq!(Month::of(next - 1), month);
        assert_eq!(Month::of(next), month.next());
        let december = month.next();
        assert_eq!((december.next().year, december.next().month), (2027, 1));
        assert_eq!(Month::of(u64::MAX).year, 2527);
    }

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
