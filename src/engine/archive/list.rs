//! The index of an archive: lists of messages under what they are found by. A row costs as much as a message does, so
//! those of contacts and of names are written for dozens of messages at a time (`im/archive/tail.rs`), and those of words
//! when somebody searches (`words.rs`). Refuses to know what a message says.
//!
//! A row's key is the account, the term, and the number of the row's last message: whoever removes messages, the oldest
//! first, removes the row with the last of them, and lists of one term do not overlap. Its value is nothing, for
//! that one message, or a list: a number, and a term that tells more of the message, for each.

use std::sync::Arc;

use crate::actor::rows::{Durability, Export, Row, RowKey, RowRange, Slices, Table, Write};
use crate::actor::{Actor, Stop, Turn};
use crate::base::{AccountId, Month, limits};
use crate::im::archive::{Entry, Term};

/// What archived messages are found by: with whom they were exchanged, by which name, and by their words.
pub static INDEX: Table = Table {
    name: "archive-index",
    durability: Durability::Soon,
    export: Export::Derived,
    slices: Slices::Monthly { number_at: 16 },
    about: "Index of archived messages, kept apart by month; key: account id, digest of contact or word or a group of names, number of the last message in the row; value: all numbers in it, each with a digest of full JID or name; nothing for a word's one message",
};

/// One entry of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    pub number: u64,
    /// Of a contact's list the full JID, of names the name, of a word nothing.
    pub detail: Term,
}

impl Posting {
    /// What is in a row of [`INDEX`], the oldest first; nothing if that is damaged.
    pub fn read(row: &Row) -> impl DoubleEndedIterator<Item = Posting> + '_ {
        let number = row.key.as_bytes().get(16..);
        let number = number.and_then(|number| Some(u64::from_be_bytes(number.try_into().ok()?)));
        let single = number
            .filter(|_| row.value.is_empty())
            .map(|number| Posting {
                number,
                detail: Term::NONE,
            });
        let (chunks, rest) = row.value.as_chunks::<POSTING_BYTES>();
        let chunks = if rest.is_empty() { chunks } else { &[] };
        let listed = chunks.iter().filter_map(|bytes| {
            let (number, detail) = bytes.split_first_chunk::<8>()?;
            Some(Posting {
                number: u64::from_be_bytes(*number),
                detail: Term(detail.try_into().ok()?),
            })
        });
        single.into_iter().chain(listed)
    }
}

/// The writes that index these messages, whose numbers rise, by contact and name.
pub fn index(account: AccountId, entries: impl Iterator<Item = Entry>) -> Vec<Write> {
    let mut all: Vec<(Term, Posting)> = Vec::new();
    for entry in entries {
        let posting = |detail| Posting {
            number: entry.number,
            detail,
        };
        all.push((entry.contact, posting(entry.full_jid)));
        if entry.name != Term::NONE {
            all.push((Term::names_with(entry.name), posting(entry.name)));
        }
    }
    // Of one term in the order in which they came.
    all.sort_by_key(|(term, _)| *term);
    let mut writes = Vec::new();
    let mut left = &all[..];
    while let Some((term, first)) = left.first() {
        // A row belongs to one month, with which it goes.
        let end = Month::of(first.number).next().first_number();
        let is_of_row = |(of, posting): &&(Term, Posting)| of == term && posting.number < end;
        let (row, rest) = left.split_at(left.iter().take_while(is_of_row).count().max(1));
        writes.push(list(account, *term, row));
        left = rest;
    }
    writes
}

fn list(account: AccountId, term: Term, postings: &[(Term, Posting)]) -> Write {
    let mut value = Vec::with_capacity(postings.len() * POSTING_BYTES);
    for (_, posting) in postings {
        value.extend_from_slice(&posting.number.to_be_bytes());
        value.extend_from_slice(&posting.detail.0);
    }
    let last = postings.last().map_or(0, |(_, posting)| posting.number);
    Write::Put {
        table: &INDEX,
        key: index_key(account, term, last),
        value: value.into(),
    }
}

/// The entry of a word for one message.
pub(super) fn single(account: AccountId, term: Term, number: u64) -> Write {
    Write::Put {
        table: &INDEX,
        key: index_key(account, term, number),
        value: Arc::from([]),
    }
}

/// The newest message that is indexed under this name.
///
/// # Errors
/// Parks until the lists were read in which it may be.
pub fn named<A: Actor>(
    turn: &Turn<'_, A>,
    account: AccountId,
    name: Term,
) -> Result<Option<u64>, Stop> {
    let term = Term::names_with(name);
    let mut to = u64::MAX;
    for _ in 0..limits::ARCHIVE_NAME_READS {
        let range = postings(account, term, 0, to);
        let (rows, more) = turn.load_pick(&INDEX, &crate::actor::rows::Pick::Last(range))?;
        let mut newest_first = rows.iter().flat_map(|row| Posting::read(row).rev());
        if let Some(found) = newest_first.find(|posting| posting.detail == name) {
            return Ok(Some(found.number));
        }
        match rows.last().and_then(last_in).filter(|_| more) {
            Some(last) => to = last,
            None => break,
        }
    }
    Ok(None)
}

/// The number in a row's key.
pub(super) fn last_in(row: &Row) -> Option<u64> {
    let number = row.key.as_bytes().get(16..)?;
    Some(u64::from_be_bytes(number.try_into().ok()?))
}

/// Under which a list is whose last message has this number.
pub(super) fn index_key(account: AccountId, term: Term, last: u64) -> RowKey {
    RowKey::new(&account.0.to_be_bytes())
        .then(&term.0)
        .then(&last.to_be_bytes())
}

/// Lists under one term whose last messages are numbered from `from` to before `to`.
pub fn postings(account: AccountId, term: Term, from: u64, to: u64) -> RowRange {
    RowRange {
        from: index_key(account, term, from),
        to: index_key(account, term, to),
        count_max: usize::MAX,
        bytes_max: limits::RANGE_BYTES_MAX,
    }
}

/// Bytes of an entry in a list.
pub(super) const POSTING_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Sequence;

    const ME: AccountId = AccountId(7);
    const DAY_MS: u64 = 24 * 3_600_000;

    fn entry(day: u64, n: u64, contact: &str) -> Entry {
        Entry {
            // From the middle of November 2026 on.
            number: Sequence::first_at(1_794_700_800_000 + day * DAY_MS) + n,
            contact: Term::contact(contact),
            full_jid: Term::full_jid(contact),
            name: Term([n as u8; 8]),
        }
    }

    fn rows(entries: &[Entry]) -> Vec<Row> {
        let writes = index(ME, entries.iter().copied());
        let rows = writes.into_iter().map(|write| match write {
            Write::Put { key, value, .. } => Row {
                key,
                value: value.to_vec(),
            },
            other => panic!("{other:?}"),
        });
        rows.collect()
    }

    #[test]
    fn a_list_is_found_under_its_last_message_and_holds_all() {
        let entries: Vec<Entry> = (0..64).map(|n| entry(0, n, "romeo@example.org")).collect();
        let rows = rows(&entries);
        // One of the contact, and of names as many as there are lists.
        assert_eq!(rows.len(), 1 + usize::from(limits::ARCHIVE_NAME_LISTS));
        let of_contact = postings(ME, entries[0].contact, 0, u64::MAX);
        let is_of_contact = |row: &&Row| (&of_contact.from..&of_contact.to).contains(&&row.key);
        let list = rows.iter().find(is_of_contact).expect("a list");
        assert_eq!(last_in(list), entries.last().map(|last| last.number));
        let numbers: Vec<u64> = Posting::read(list).map(|posting| posting.number).collect();
        let all: Vec<u64> = entries.iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, all);
    }

    #[test]
    fn a_list_ends_with_its_month() {
        let entries = [entry(0, 8, "a"), entry(10, 16, "a"), entry(20, 24, "a")];
        let rows = rows(&entries);
        let months: Vec<Vec<u64>> = rows
            .iter()
            .map(|row| Posting::read(row).map(|posting| posting.number).collect())
            .collect();
        let [a, b, c] = entries.map(|entry| entry.number);
        // The names of all three are in one group.
        assert_eq!(months.len(), 4);
        assert!(months.iter().filter(|list| **list == [a, b]).count() == 2);
        assert!(months.iter().filter(|list| **list == [c]).count() == 2);
    }

    #[test]
    fn what_has_no_name_is_in_no_list_of_names() {
        let nameless = Entry {
            name: Term::NONE,
            ..entry(0, 1, "a")
        };
        assert_eq!(rows(&[nameless]).len(), 1);
        assert_eq!(rows(&[]).len(), 0);
    }

    #[test]
    fn a_damaged_list_is_empty() {
        let key = |bytes: &[u8]| RowKey::new(bytes);
        for (key, value) in [
            (key(b"short"), &b""[..]),
            (index_key(ME, Term::NONE, 1), b"123"),
            (index_key(ME, Term::NONE, 1), &[0; 17]),
        ] {
            let row = Row {
                key,
                value: value.to_vec(),
            };
            assert_eq!(Posting::read(&row).count(), 0);
        }
    }
}
