//! What an account remembers of its archive (XEP-0313): what its owner wants archived, how much is in it, what came last,
//! and how far a query came. Refuses to know how messages are stored and searched (`engine/archive`).

mod emptying;
mod id;
mod preferences;
mod search;
mod tail;
mod tally;

use crate::actor::rows::{Durability, Export, RowKey, RowRange, Slices, Table};
use crate::actor::{Stop, Turn};
use crate::base::{AccountId, limits};

use super::account::{Account, Change};
use crate::jid::Jid;

pub use emptying::{EMPTYING, Emptying};
pub use id::ArchiveId;
pub use preferences::{Policy, Preferences};
pub use search::{Flip, Page, Query, Reach, Search, Stage, Term, With};
pub use tail::{ENTRY_AT, ENTRY_BYTES, Entry, Tail};
pub use tally::{ArchiveTally, Holding, Quota, counted};

/// Archived messages: account number, then a number by time, both big-endian. What is in a row: `engine/archive/row.rs`.
pub static ARCHIVE: Table = Table {
    name: "archive",
    durability: Durability::Soon,
    export: Export::WithAccount,
    slices: Slices::Monthly { number_at: 8 },
    about: "Archived messages (XEP-0313), kept apart by month; key: account id, number by time",
};

/// What the owner of an archive wants in it.
pub static PREFERENCES: Table = Table {
    name: "archive-preferences",
    durability: Durability::BeforeReply,
    export: Export::WithAccount,
    slices: Slices::Whole,
    about: "Archiving preferences (XEP-0441); key: account id",
};

/// How much of each month is in an archive.
pub static TALLY: Table = Table {
    name: "archive-tally",
    durability: Durability::Soon,
    export: Export::Derived,
    slices: Slices::Monthly { number_at: 8 },
    about: "Archived messages of a month (u32), bytes of their rows (u64), the last that is counted, the last that is indexed; key: account id, first number of the month",
};

/// The part of an archive that is in memory while its account is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archive {
    pub preferences: Preferences,
    pub tally: ArchiveTally,
    /// What is not indexed yet.
    pub tail: Tail,
}

impl Archive {
    /// A message was archived, in a row of so many bytes. When rows of the tally are due, the index is, too.
    pub fn add(&mut self, entry: Entry, bytes: u64) {
        if self.tally.add(entry.number, bytes) {
            self.tail.clear();
        } else {
            self.tail.push(entry);
        }
    }

    /// What is to be indexed: what is still there, and can be read at all.
    pub fn unindexed(&self, quota: &Quota) -> impl Iterator<Item = Entry> + '_ {
        self.tail.from(self.tally.floor().max(quota.since))
    }
}

/// Runs `read` on the account's archive, which is read from the store first if it is not in memory.
///
/// # Errors
/// Parks until it was read.
pub fn with_archive<T>(
    turn: &mut Turn<'_, Account>,
    account: AccountId,
    read: impl FnOnce(&Archive) -> T,
) -> Result<T, Stop> {
    if let Some(archive) = &turn.actor.archive {
        return Ok(read(archive));
    }
    let preferences = turn.load(&PREFERENCES, &key(account))?;
    let preferences = preferences.map(|row| readable(row, &turn.actor.jid));
    let (rows, _) = turn.load_range(&TALLY, &months(account))?;
    let mut tally = ArchiveTally::read(rows);
    // What is not indexed, and may not be counted: it came since the last of these was written.
    let (rows, _) = turn.load_range(&ARCHIVE, &behind(account, tally.indexed_to()))?;
    let mut tail = Tail::default();
    for row in rows {
        if let Some(number) = row.key.as_bytes().get(8..).and_then(|n| n.try_into().ok()) {
            tally.add_found(u64::from_be_bytes(number), row.value.len() as u64);
        }
        if let Some(entry) = Entry::read(row) {
            tail.push(entry);
        }
    }
    let archive = Archive {
        preferences: preferences.unwrap_or_default(),
        tally,
        tail,
    };
    let found = read(&archive);
    turn.out.change.push(Change::ArchiveRead(Box::new(archive)));
    Ok(found)
}

/// What its owner wants; nothing at all where that cannot be read: what was not kept can be missed, what was kept cannot
/// be unread.
fn readable(row: &[u8], owner: &Jid) -> Preferences {
    Preferences::decode(row).unwrap_or_else(|| {
        log::error!("archive_preferences_damaged account={owner}");
        Preferences {
            default: Some(Policy::Never),
            ..Preferences::default()
        }
    })
}

/// The key of an account's preferences.
pub fn key(account: AccountId) -> RowKey {
    RowKey::new(&account.0.to_be_bytes())
}

fn months(account: AccountId) -> RowRange {
    RowRange {
        from: key(account).then(&[0; 8]),
        to: key(account).then(&[0xff; 8]),
        // A century of months.
        count_max: 1_200,
        bytes_max: limits::RANGE_BYTES_MAX,
    }
}

/// The counts of an account's months that end before the one that begins with this number.
pub fn months_before(account: AccountId, before: u64) -> RowRange {
    RowRange {
        to: key(account).then(&before.to_be_bytes()),
        ..months(account)
    }
}

/// Messages behind the one of this number: fewer than a page holds.
fn behind(account: AccountId, number: u64) -> RowRange {
    RowRange {
        from: key(account).then(&number.saturating_add(1).to_be_bytes()),
        to: key(account).then(&[0xff; 8]),
        count_max: usize::MAX,
        bytes_max: limits::RANGE_BYTES_MAX,
    }
}
