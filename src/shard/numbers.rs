//! Numbers of rows across restarts. A number must never come again, and none before one that was given, whatever
//! the wall clock says when the next process starts. So each worker's saves carry a mark along, ahead of all that it has
//! given, and the next process begins above the highest mark. Refuses to know what the numbers are for.

use crate::actor::rows::{Durability, Export, Row, RowKey, RowRange, Slices, Table, Write};
use crate::base::{Sequence, WorkerId, limits};

use super::Shard;

/// One row for each worker that ever gave a number that was stored.
pub static NUMBERS: Table = Table {
    name: "numbers",
    durability: Durability::Soon,
    export: Export::Never,
    slices: Slices::Whole,
    about: "Marks above all numbers of stored rows; key: worker; value: a number, big-endian",
};

/// All rows of [`NUMBERS`].
pub fn numbers_range() -> RowRange {
    RowRange {
        from: RowKey::new(&[]),
        to: RowKey::new(&[u8::MAX; 2]),
        count_max: usize::MAX,
        bytes_max: usize::MAX,
    }
}

/// The number above which a process may begin that finds these rows of [`NUMBERS`]; none if one is damaged,
/// because guessing could give a number twice. All workers begin above the same one: an account may have had its home
/// elsewhere.
pub fn numbers_floor(rows: &[Row]) -> Option<u64> {
    rows.iter().try_fold(0, |floor, row| {
        let mark = row.value.as_slice().try_into().ok()?;
        Some(u64::from_be_bytes(mark).max(floor))
    })
}

/// How long a process waits that begins above `floor`, until the clock has passed it: numbers are times, by which
/// messages are stamped and found, and none shall be of the future. Not longer than marks are ahead: beyond, somebody
/// has set the clock back, and the numbers run on from the highest one.
pub fn numbers_wait_ms(floor: u64, wall_ms: u64) -> u64 {
    let ahead_ms = Sequence::wall_ms_of(floor).saturating_sub(wall_ms);
    match ahead_ms <= limits::NUMBERS_AHEAD_MS {
        true => ahead_ms,
        false => 0,
    }
}

impl Shard {
    /// Adds a mark to what is being saved if it may hold numbers above the last durable one, or soon will; the
    /// mark. In the same save as the rows: after a crash both are there or neither.
    pub(super) fn mark(&self, writes: &mut Vec<Write>) -> Option<u64> {
        let mark = mark_for(self.sequence.last(), self.marked)?;
        writes.push(put(self.place.worker, mark));
        Some(mark)
    }
}

impl Shard {
    /// A mark that may be written at any time, as a row that says nothing new.
    pub(super) fn renewed_mark(&self) -> (u64, Write) {
        let lead = Sequence::count_in(limits::NUMBERS_AHEAD_MS);
        let mark = self.marked.max(self.sequence.last().saturating_add(lead));
        (mark, put(self.place.worker, mark))
    }
}

/// The next mark, half of its lead before the last one is reached.
fn mark_for(last: u64, marked: u64) -> Option<u64> {
    let lead = Sequence::count_in(limits::NUMBERS_AHEAD_MS);
    (last.saturating_add(lead / 2) > marked).then(|| last.saturating_add(lead))
}

fn put(worker: WorkerId, mark: u64) -> Write {
    Write::Put {
        table: &NUMBERS,
        key: RowKey::new(&[worker.0]),
        value: mark.to_be_bytes()[..].into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Now;

    fn row(worker: u8, value: &[u8]) -> Row {
        Row {
            key: RowKey::new(&[worker]),
            value: value.to_vec(),
        }
    }

    #[test]
    fn a_process_begins_above_the_highest_mark_of_all_workers() {
        assert_eq!(numbers_floor(&[]), Some(0));
        let rows = [
            row(0, &7_u64.to_be_bytes()),
            row(u8::MAX, &9_u64.to_be_bytes()),
        ];
        assert_eq!(numbers_floor(&rows), Some(9));
        let range = numbers_range();
        assert!(
            rows.iter()
                .all(|row| range.from <= row.key && row.key < range.to)
        );
    }

    #[test]
    fn a_damaged_mark_is_no_reason_to_guess() {
        assert_eq!(numbers_floor(&[row(0, b"short")]), None);
    }

    #[test]
    fn a_process_begins_when_the_clock_has_passed_the_mark_unless_it_was_set_back() {
        let wall_ms = 1_795_392_000_000;
        let mark = |ahead_ms| Sequence::first_at(wall_ms + ahead_ms) + 7;
        for (ahead_ms, wait_ms) in [
            (0, 0),
            (1, 1),
            (limits::NUMBERS_AHEAD_MS, limits::NUMBERS_AHEAD_MS),
            (limits::NUMBERS_AHEAD_MS + 1, 0),
            (86_400_000, 0),
        ] {
            assert_eq!(numbers_wait_ms(mark(ahead_ms), wall_ms), wait_ms);
        }
        assert_eq!(numbers_wait_ms(0, wall_ms), 0);
        let now = Now {
            mono_ms: 1,
            wall_ms: wall_ms + limits::NUMBERS_AHEAD_MS,
        };
        let mut sequence = Sequence::above(mark(limits::NUMBERS_AHEAD_MS));
        let first = sequence.next(now);
        assert_eq!(Sequence::wall_ms_of(first), now.wall_ms);
    }

    #[test]
    fn no_number_is_saved_that_is_not_below_a_mark() {
        let lead = Sequence::count_in(limits::NUMBERS_AHEAD_MS);
        assert_eq!(mark_for(5, 0), Some(5 + lead));
        assert_eq!(mark_for(5 + lead / 2, 5 + lead), None);
        let next = 6 + lead / 2;
        assert_eq!(mark_for(next, 5 + lead), Some(next + lead));
    }
}
