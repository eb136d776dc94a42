//! How many messages an archive holds, month by month, since months are dropped whole.

use crate::actor::rows::{Row, Write};
use crate::base::{AccountId, Month};

use super::tally_row;

/// Messages of each month, by its first number, the oldest first. Rough: what was counted since the last row of a
/// month was written is lost in a crash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveTally {
    months: Vec<(u64, u32)>,
}

impl ArchiveTally {
    /// What the rows of an account say.
    pub fn read(rows: &[Row]) -> ArchiveTally {
        let month = |row: &Row| {
            let first = row.key.as_bytes().get(8..)?.try_into().ok()?;
            let count = row.value.as_slice().try_into().ok()?;
            Some((u64::from_be_bytes(first), u32::from_be_bytes(count)))
        };
        ArchiveTally {
            months: rows.iter().filter_map(month).collect(),
        }
    }

    /// Messages of all months.
    pub fn count(&self) -> u64 {
        self.months.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// A message was archived under this number.
    pub fn add(&mut self, number: u64) {
        let first = Month::of(number).first_number();
        match self
            .months
            .binary_search_by_key(&first, |(first, _)| *first)
        {
            Ok(at) => self.months[at].1 = self.months[at].1.saturating_add(1),
            Err(at) => self.months.insert(at, (first, 1)),
        }
    }

    /// The message of this number is gone.
    pub fn remove(&mut self, number: u64) {
        let first = Month::of(number).first_number();
        if let Ok(at) = self
            .months
            .binary_search_by_key(&first, |(first, _)| *first)
        {
            self.months[at].1 = self.months[at].1.saturating_sub(1);
        }
    }

    /// Messages in the month of this number.
    pub fn in_month_of(&self, number: u64) -> u32 {
        let first = Month::of(number).first_number();
        let month = self.months.iter().find(|month| month.0 == first);
        month.map_or(0, |(_, count)| *count)
    }

    /// The write that keeps the count of the month of this number.
    pub fn write(&self, account: AccountId, number: u64) -> Write {
        tally_row(account, number, self.in_month_of(number))
    }
}

#[cfg(test)]
mod tests {
    use super::super::key;
    use super::*;
    use crate::base::Sequence;

    #[test]
    fn months_are_counted_apart_and_come_back_from_their_rows() {
        let month_ms = 31 * 24 * 3_600_000;
        let number = |n: u64| Sequence::first_at(1_795_392_000_000 + n * month_ms);
        let mut tally = ArchiveTally::default();
        for n in [1, 0, 0, 1, 0] {
            tally.add(number(n));
        }
        assert_eq!(
            (
                tally.count(),
                tally.in_month_of(number(0)),
                tally.in_month_of(number(1))
            ),
            (5, 3, 2)
        );
        let rows: Vec<Row> = [number(0), number(1)]
            .iter()
            .map(|number| match tally.write(AccountId(7), *number) {
                Write::Put { key, value, .. } => Row {
                    key,
                    value: value.to_vec(),
                },
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(ArchiveTally::read(&rows), tally);
        tally.remove(number(0));
        tally.remove(number(5));
        assert_eq!(tally.count(), 4);
    }

    #[test]
    fn rows_of_another_kind_are_no_months() {
        let row = Row {
            key: key(AccountId(1)),
            value: vec![1, 2],
        };
        assert_eq!(ArchiveTally::read(&[row]), ArchiveTally::default());
    }
}
