//! The index of words (XEP-0431), made when somebody searches: what was archived since the last search is read once, in
//! steps, and from then on its words are found without a look at any message. Most archives are never searched, and a
//! message with ten words would cost ten rows in each of two archives. Refuses to know what is searched for.

use std::sync::Arc;

use super::row::{ARCHIVE, Archived, put_words, range};
use crate::actor::rows::{Durability, Export, RowRange, Slices, Table, Write};
use crate::actor::{Actor, Disk, Stop, Turn};
use crate::base::{AccountId, limits};
use crate::im::archive::key;
use crate::im::message::no_room;

/// How far the index of an archive's words goes.
pub static INDEXED: Table = Table {
    name: "archive-indexed",
    durability: Durability::Soon,
    export: Export::Derived,
    slices: Slices::Whole,
    about: "Number before which the words of an archive are indexed; key: account id",
};

/// What a step did: the writes that take the index further, in one save with the mark that says so, and the number
/// before which all is indexed then.
pub(super) struct Step {
    pub writes: Vec<Write>,
    pub next: u64,
}

/// Indexes messages from number `from` on, or from where the index ends; none if there are no more.
///
/// # Errors
/// Parks until the mark and the messages were read. Rejects if there are some, and the disk is known to be full: a save that is
/// refused takes along what rests on it, of whomever.
pub(super) fn index<A: Actor>(
    turn: &Turn<'_, A>,
    account: AccountId,
    from: Option<u64>,
) -> Result<Option<Step>, Stop> {
    let from = match from {
        Some(from) => from,
        None => {
            let mark = turn.load(&INDEXED, &key(account))?;
            // What is damaged, or was made of words of another form, is made anew.
            mark.and_then(number_in).unwrap_or(0)
        }
    };
    let range = RowRange {
        count_max: limits::ARCHIVE_INDEX_STEP,
        ..range(account, from, u64::MAX)
    };
    let (rows, _) = turn.load_range(&ARCHIVE, &range)?;
    if !rows.is_empty() && turn.disk == Disk::Full {
        return Err(Stop::Reject(no_room()));
    }
    let (mut writes, mut last) = (Vec::new(), None);
    for row in rows {
        if writes.len() >= limits::ARCHIVE_INDEX_WORDS {
            break;
        }
        let message = Archived::read(row).into_iter();
        writes.extend(message.flat_map(|message| put_words(account, &message)));
        last = super::row::number_of(&row.key).or(last);
    }
    let Some(last) = last else {
        return Ok(None);
    };
    let next = last.saturating_add(1);
    // Two searches at a time may set it back: what is indexed twice is what it was.
    writes.push(Write::Put {
        table: &INDEXED,
        key: key(account),
        value: mark(next),
    });
    Ok(Some(Step { writes, next }))
}

/// The number before which the words of messages may be indexed, by the archive's row of [`INDEXED`]: without one nobody ever
/// searched. Of one that cannot be read nobody knows.
pub fn indexed_before(mark: Option<&[u8]>) -> u64 {
    mark.map_or(0, |mark| number_in(mark).unwrap_or(u64::MAX))
}

/// A mark's value: the form of the words, and the number before which they are indexed.
fn mark(next: u64) -> Arc<[u8]> {
    let mut value = vec![WORDS_VERSION];
    value.extend_from_slice(&next.to_be_bytes());
    value.into()
}

fn number_in(mark: &[u8]) -> Option<u64> {
    let (&version, number) = mark.split_first()?;
    let number = u64::from_be_bytes(number.try_into().ok()?);
    (version == WORDS_VERSION).then_some(number)
}

/// Counts the changes of what a word is (`term.rs`). The first form had no version in its marks.
const WORDS_VERSION: u8 = 3;
