//! How much an archive holds, month by month, since months are dropped whole. Exact: the row of a month tells up to which
//! message it counts, and those behind it are counted when the account is read. It tells up to where the archive is indexed,
//! too, because both become due at the same time.

use std::ops::Range;

use smallvec::SmallVec;

use crate::actor::rows::{Row, Write};
use crate::base::{AccountId, Month, Now, Sequence, limits};
use crate::config::HostArchive;

use super::{TALLY, key};

/// What is in an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveTally {
    /// The oldest first. Where there is one, as mostly, it is looked at with the rest and not elsewhere.
    months: SmallVec<[MonthTally; 1]>,
    /// The newest message that is counted.
    last: u64,
    /// The newest message that is indexed.
    indexed: u64,
    /// Messages with lower numbers were removed.
    floor: u64,
    /// What came since something was indexed.
    unindexed: Holding,
    /// Messages whose rows became shorter of late, and how long they are since: whoever removes one may have read it before.
    shrunk: Vec<(u64, u64)>,
}

/// So many messages, and the bytes of their rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    pub count: u64,
    pub bytes: u64,
}

/// What an archive may hold (`host.archive`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// None where there is no bound.
    pub count: Option<u64>,
    /// None where there is no bound.
    pub bytes: Option<u64>,
    /// What is older can be read no more, leaves the store with its month, and does not count.
    pub since: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MonthTally {
    /// The numbers in it, the second excluded.
    first: u64,
    end: u64,
    held: Holding,
}

impl Holding {
    /// A row that is damaged may count anything.
    fn add(&mut self, count: u64, bytes: u64) {
        self.count = self.count.saturating_add(count);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

impl Quota {
    /// What a host allows at this moment.
    pub fn of(host: &HostArchive, now: Now) -> Quota {
        let bound = |most: u64| (most > 0).then_some(most);
        let oldest = |kept_ms| Sequence::first_at(now.wall_ms.saturating_sub(kept_ms));
        Quota {
            count: bound(u64::from(host.messages)),
            bytes: bound(host.size.as_bytes()),
            since: bound(host.retention.as_ms()).map_or(0, oldest),
        }
    }
}

impl ArchiveTally {
    /// What the rows of an account say. What came since is to be added: [`ArchiveTally::indexed_to`].
    pub fn read(rows: &[Row]) -> ArchiveTally {
        let mut tally = ArchiveTally::default();
        for (month, last, indexed) in rows.iter().filter_map(read_row) {
            tally.months.push(month);
            // The newest row has the last word: those of earlier months were written for the last time before it.
            tally.last = last;
            tally.indexed = indexed.min(last);
        }
        tally
    }

    /// The newest message that is indexed.
    pub fn indexed_to(&self) -> u64 {
        self.indexed
    }

    /// What counts for this quota. A month of which something may still be read counts whole.
    pub fn held(&self, quota: &Quota) -> Holding {
        let mut held = Holding::default();
        for month in self.months.iter().filter(|month| month.end > quota.since) {
            held.add(month.held.count, month.held.bytes);
        }
        held
    }

    /// How much more than that it holds; none if it is not more.
    pub fn excess(&self, quota: &Quota) -> Option<Holding> {
        let held = self.held(quota);
        let over = |held: u64, most: Option<u64>| most.map_or(0, |most| held.saturating_sub(most));
        let excess = Holding {
            count: over(held.count, quota.count),
            bytes: over(held.bytes, quota.bytes),
        };
        (excess != Holding::default()).then_some(excess)
    }

    /// The number from which on the messages are that count.
    pub fn oldest(&self, quota: &Quota) -> u64 {
        let mut months = self.months.iter();
        let month = months.find(|month| month.end > quota.since);
        month.map_or(self.floor, |month| month.first.max(self.floor))
    }

    /// A message was archived under this number, in a row of so many bytes. Whether rows and index are due with it.
    pub fn add(&mut self, number: u64, bytes: u64) -> bool {
        let is_due = self.is_due(number, bytes);
        self.month_of(number).held.add(1, bytes);
        self.last = self.last.max(number);
        self.unindexed.add(1, bytes);
        if is_due {
            self.indexed = self.last;
            self.unindexed = Holding::default();
        }
        is_due
    }

    /// Messages with lower numbers were removed, as far as is remembered.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// What was found behind [`ArchiveTally::indexed_to`], the oldest first.
    pub fn add_found(&mut self, number: u64, bytes: u64) {
        self.unindexed.add(1, bytes);
        // Rows are written between two times at which the index is, and count what it does not have.
        if number > self.last {
            self.month_of(number).held.add(1, bytes);
            self.last = number;
        }
    }

    /// The message of this number is gone, whose row had so many bytes. The oldest go first, so one of a lower number is
    /// gone already.
    pub fn remove(&mut self, number: u64, bytes: u64) {
        if number < self.floor {
            return;
        }
        self.floor = number.saturating_add(1);
        let shrunk = self.shrunk.iter().find(|(of, _)| *of == number);
        let bytes = shrunk.map_or(bytes, |(_, after)| bytes.min(*after));
        if let Some(month) = self.known_month_of(number) {
            month.held.count = month.held.count.saturating_sub(1);
            month.held.bytes = month.held.bytes.saturating_sub(bytes);
        }
    }

    /// The row of a message that had `before` bytes has `after`.
    pub fn shrink(&mut self, number: u64, before: u64, after: u64) {
        if number < self.floor {
            return;
        }
        if let Some(month) = self.known_month_of(number) {
            let less = before.saturating_sub(after);
            month.held.bytes = month.held.bytes.saturating_sub(less);
        }
        if self.shrunk.len() >= SHRUNK_MAX {
            self.shrunk.remove(0);
        }
        self.shrunk.push((number, after));
    }

    /// There is nothing where messages were counted.
    pub fn clear(&mut self) {
        for month in &mut self.months {
            month.held = Holding::default();
        }
    }

    /// Whether rows are to be written and the index is to be made with the message of this number, of so many bytes: seldom,
    /// and so often that what is not indexed is read at once.
    pub fn is_due(&self, number: u64, bytes: u64) -> bool {
        let is_new = self.months.last().is_none_or(|month| month.end <= number);
        is_new
            || self.unindexed.count + 1 >= limits::ARCHIVE_TALLY_EVERY
            || self.unindexed.bytes.saturating_add(bytes) >= limits::ARCHIVE_TALLY_BYTES
    }

    /// The writes that keep the count with the message of this number, which is not added yet, and say that it is indexed.
    pub fn rows_with(
        &self,
        account: AccountId,
        number: u64,
        bytes: u64,
    ) -> impl Iterator<Item = Write> + use<> {
        let mut after = self.clone();
        after.add(number, bytes);
        let newest = after.months.pop();
        // The last word about the month before, which ends with this message.
        let is_new = self.months.last().is_none_or(|month| month.end <= number);
        let before = after.months.pop().filter(|_| is_new);
        let upto = (number, number);
        let before = before.map(|month| replace(account, month, upto, 0..0));
        before
            .into_iter()
            .chain(newest.map(|month| put(account, month, upto)))
    }

    /// The writes that keep the counts of months in which something was removed: those of two numbers, and all between
    /// them. Where the store has no count any more, none is made.
    pub fn rows_between(
        &self,
        account: AccountId,
        from: u64,
        to: u64,
    ) -> impl Iterator<Item = Write> + '_ {
        let touched = self
            .months
            .iter()
            .filter(move |month| month.end > from && month.first <= to);
        let upto = (self.last, self.indexed);
        // Up to where the index goes, the store alone knows: of a save with lists that was refused nobody may have heard yet.
        touched.map(move |month| replace(account, *month, upto, INDEXED))
    }

    fn known_month_of(&mut self, number: u64) -> Option<&mut MonthTally> {
        let mut months = self.months.iter_mut().rev();
        months.find(|month| month.first <= number && number < month.end)
    }

    fn month_of(&mut self, number: u64) -> &mut MonthTally {
        // Mostly the newest, and no look at the calendar.
        let behind = self.months.partition_point(|month| month.end <= number);
        let is_there = self
            .months
            .get(behind)
            .is_some_and(|month| month.first <= number);
        if !is_there {
            let month = Month::of(number);
            self.months.insert(
                behind,
                MonthTally {
                    first: month.first_number(),
                    end: month.next().first_number(),
                    held: Holding::default(),
                },
            );
        }
        &mut self.months[behind]
    }
}

fn read_row(row: &Row) -> Option<(MonthTally, u64, u64)> {
    let first = u64::from_be_bytes(row.key.as_bytes().get(8..)?.try_into().ok()?);
    let (count, rest) = row.value.split_first_chunk::<4>()?;
    let (bytes, rest) = rest.split_first_chunk::<8>()?;
    let (last, indexed) = rest.split_first_chunk::<8>()?;
    let month = MonthTally {
        first,
        end: Month::of(first).next().first_number(),
        held: Holding {
            count: u32::from_be_bytes(*count).into(),
            bytes: u64::from_be_bytes(*bytes),
        },
    };
    let indexed = u64::from_be_bytes(indexed.try_into().ok()?);
    Some((month, u64::from_be_bytes(*last), indexed))
}

/// The write that keeps how much a month holds whose last message has this number, all of it indexed: for who counts anew.
pub fn counted(account: AccountId, held: Holding, last: u64) -> Write {
    let month = Month::of(last);
    let (first, end) = (month.first_number(), month.next().first_number());
    put(account, MonthTally { first, end, held }, (last, last))
}

fn put(account: AccountId, month: MonthTally, (last, indexed): (u64, u64)) -> Write {
    let mut value = [0; INDEXED.end];
    let count = u32::try_from(month.held.count).unwrap_or(u32::MAX);
    value[..4].copy_from_slice(&count.to_be_bytes());
    value[4..12].copy_from_slice(&month.held.bytes.to_be_bytes());
    value[12..20].copy_from_slice(&last.to_be_bytes());
    value[INDEXED].copy_from_slice(&indexed.to_be_bytes());
    Write::Put {
        table: &TALLY,
        key: key(account).then(&month.first.to_be_bytes()),
        value: value[..].into(),
    }
}

/// So many retractions may pass a removal that has read and not written.
const SHRUNK_MAX: usize = 32;
/// Where a row tells up to which message the archive is indexed.
const INDEXED: Range<usize> = 20..28;

/// The same for a month that may have left the store, of whose row some bytes stay.
fn replace(account: AccountId, month: MonthTally, upto: (u64, u64), keeps: Range<usize>) -> Write {
    match put(account, month, upto) {
        Write::Put { table, key, value } => Write::Replace {
            table,
            key,
            value,
            keeps,
        },
        other => other,
    }
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
