//! What is counted of an archive while rows of it come and go.

use super::*;

const ME: AccountId = AccountId(7);
const MONTH_MS: u64 = 31 * 24 * 3_600_000;
/// The middle of November 2026.
const BEGIN_MS: u64 = 1_794_700_800_000;

fn number(month: u64, n: u64) -> u64 {
    Sequence::first_at(BEGIN_MS + month * MONTH_MS + n)
}

fn quota(count: u64, bytes: u64) -> Quota {
    let bound = |most: u64| (most > 0).then_some(most);
    Quota {
        count: bound(count),
        bytes: bound(bytes),
        since: 0,
    }
}

/// Rows as the store has them, and the messages behind the last of them.
#[derive(Default)]
struct Disk {
    rows: std::collections::BTreeMap<Vec<u8>, Vec<u8>>,
    messages: Vec<(u64, u64)>,
}

impl Disk {
    fn write(&mut self, writes: impl Iterator<Item = Write>) {
        for write in writes {
            match write {
                Write::Put { key, value, .. } => {
                    self.rows.insert(key.as_bytes().to_vec(), value.to_vec());
                }
                Write::Replace {
                    key, value, keeps, ..
                } => {
                    if let Some(row) = self.rows.get_mut(key.as_bytes()) {
                        let kept = row[keeps.clone()].to_vec();
                        *row = value.to_vec();
                        row[keeps].copy_from_slice(&kept);
                    }
                }
                Write::Delete { .. } => panic!("no count is removed by itself"),
            }
        }
    }

    fn add(&mut self, tally: &mut ArchiveTally, number: u64, bytes: u64) {
        if tally.is_due(number, bytes) {
            self.write(tally.rows_with(ME, number, bytes));
        }
        tally.add(number, bytes);
        self.messages.push((number, bytes));
    }

    /// The account is read again. How many messages were found that no row counts.
    fn read(&self) -> (ArchiveTally, usize) {
        let rows = self.rows.iter().map(|(key, value)| Row {
            key: crate::actor::rows::RowKey::new(key),
            value: value.clone(),
        });
        let mut tally = ArchiveTally::read(&rows.collect::<Vec<Row>>());
        let behind = tally.indexed_to();
        let found = self.messages.iter().filter(|(number, _)| *number > behind);
        for (number, bytes) in found.clone() {
            tally.add_found(*number, *bytes);
        }
        (tally, found.count())
    }
}

#[test]
fn what_is_counted_comes_back_whenever_the_account_is_read() {
    let (mut tally, mut disk) = (ArchiveTally::default(), Disk::default());
    for month in 0..3 {
        for n in 0..150 {
            disk.add(&mut tally, number(month, n), 1_000 + n);
            let (again, found) = disk.read();
            assert_eq!(again.held(&quota(0, 0)), tally.held(&quota(0, 0)));
            assert!(found < limits::ARCHIVE_TALLY_EVERY as usize);
            // It goes on as if it had never been away.
            if n % 40 == 7 {
                tally = again;
            }
        }
    }
    let all = tally.held(&quota(0, 0));
    assert_eq!(all.count, 450);
    assert_eq!(
        all.bytes,
        disk.messages.iter().map(|(_, bytes)| bytes).sum::<u64>()
    );
}

#[test]
fn what_a_row_counts_that_was_written_in_between_is_counted_once_and_not_indexed_yet() {
    let (mut tally, mut disk) = (ArchiveTally::default(), Disk::default());
    for n in 0..10 {
        disk.add(&mut tally, number(0, n), 100);
    }
    // One is retracted.
    tally.shrink(number(0, 3), 100, 60);
    disk.messages[3].1 = 60;
    disk.write(tally.rows_between(ME, number(0, 3), number(0, 3)));
    let (again, found) = disk.read();
    assert_eq!(again.held(&quota(0, 0)), tally.held(&quota(0, 0)));
    // The first message of a month is indexed at once.
    assert_eq!((found, again.indexed_to()), (9, number(0, 0)));
    disk.add(&mut tally, number(0, 10), limits::ARCHIVE_TALLY_BYTES);
    let (again, found) = disk.read();
    assert_eq!((found, again.indexed_to()), (0, number(0, 10)));
    assert_eq!(again.held(&quota(0, 0)), tally.held(&quota(0, 0)));
}

#[test]
fn a_count_that_comes_behind_lists_that_were_refused_does_not_say_that_they_are_there() {
    let (mut tally, mut disk) = (ArchiveTally::default(), Disk::default());
    for n in 0..10 {
        disk.add(&mut tally, number(0, n), 100);
    }
    // The disk refuses the save with these lists, which nobody has heard yet.
    while !tally.is_due(number(0, 10), 100) {
        tally.add(number(0, 10), 100);
    }
    tally.add(number(0, 11), 100);
    tally.shrink(number(0, 3), 100, 60);
    disk.messages[3].1 = 60;
    disk.write(tally.rows_between(ME, number(0, 3), number(0, 3)));
    assert_eq!(disk.read().0.indexed_to(), number(0, 0));
}

#[test]
fn what_no_row_counts_is_read_at_once_however_long_messages_are() {
    let (mut tally, mut disk) = (ArchiveTally::default(), Disk::default());
    for n in 0..100 {
        disk.add(&mut tally, number(0, n), 100_000);
        let (_, found) = disk.read();
        assert!(found * 100_000 < limits::RANGE_BYTES_MAX);
    }
}

#[test]
fn a_message_is_removed_once_whoever_says_so() {
    let (mut tally, mut disk) = (ArchiveTally::default(), Disk::default());
    for n in 0..10 {
        disk.add(&mut tally, number(0, n), 100);
    }
    for n in [0, 1, 2, 0, 1, 2, 1] {
        tally.remove(number(0, n), 100);
    }
    let left = Holding {
        count: 7,
        bytes: 700,
    };
    assert_eq!(tally.held(&quota(0, 0)), left);
    assert_eq!(tally.oldest(&quota(0, 0)), number(0, 2) + 1);
    disk.write(tally.rows_between(ME, number(0, 0), number(0, 2)));
    assert_eq!(disk.read().0.held(&quota(0, 0)), left);
    tally.shrink(number(0, 5), 100, 40);
    tally.shrink(number(0, 1), 100, 40);
    assert_eq!(tally.held(&quota(0, 0)).bytes, 640);
    // Whoever removes them read them before one was retracted.
    for n in 3..6 {
        tally.remove(number(0, n), 100);
    }
    assert_eq!(tally.held(&quota(0, 0)).bytes, 400);
}

#[test]
fn counts_of_months_before_say_nothing_of_what_is_new() {
    let (mut tally, mut disk) = (ArchiveTally::default(), Disk::default());
    disk.add(&mut tally, number(0, 0), 100);
    for n in 0..30 {
        disk.add(&mut tally, number(1, n), 100);
    }
    tally.remove(number(0, 0), 100);
    disk.write(tally.rows_between(ME, number(0, 0), number(0, 0)));
    assert_eq!(disk.read().0.held(&quota(0, 0)).count, 30);
}

#[test]
fn months_of_which_nothing_is_kept_do_not_count_and_are_not_counted_again() {
    let (mut tally, mut disk) = (ArchiveTally::default(), Disk::default());
    for month in 0..2 {
        for n in 0..10 {
            disk.add(&mut tally, number(month, n), 100);
        }
    }
    let mut quota = quota(15, 0);
    let excess = Holding { count: 5, bytes: 0 };
    assert_eq!(tally.excess(&quota), Some(excess));
    quota.since = number(1, 0);
    assert_eq!(tally.excess(&quota), None);
    assert_eq!(Month::of(tally.oldest(&quota)), Month::of(number(1, 0)));
    // The month has left the store: what is removed from it, to be sure, brings no count back.
    disk.rows.pop_first();
    disk.write(tally.rows_between(ME, number(0, 0), number(1, 0)));
    assert_eq!(disk.rows.len(), 1);
}

#[test]
fn bytes_are_bounded_like_messages_and_what_has_no_bound_is_never_too_much() {
    let (mut tally, mut disk) = (ArchiveTally::default(), Disk::default());
    for n in 0..10 {
        disk.add(&mut tally, number(0, n), 1_000);
    }
    assert_eq!(tally.excess(&quota(0, 0)), None);
    assert_eq!(tally.excess(&quota(10, 10_000)), None);
    let excess = |count, bytes| Some(Holding { count, bytes });
    assert_eq!(tally.excess(&quota(0, 9_500)), excess(0, 500));
    assert_eq!(tally.excess(&quota(8, 9_500)), excess(2, 500));
    tally.clear();
    assert_eq!(tally.excess(&quota(8, 9_500)), None);
}

#[test]
fn rows_of_another_kind_are_no_months() {
    let row = |value: &[u8]| Row {
        key: key(ME).then(&number(0, 0).to_be_bytes()),
        value: value.to_vec(),
    };
    let rows = [row(&[1, 2]), row(&[0; 4]), row(&[0; 20])];
    assert_eq!(ArchiveTally::read(&rows), ArchiveTally::default());
}
