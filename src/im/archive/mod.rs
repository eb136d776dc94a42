//! What an account remembers of its archive (XEP-0313): what its owner wants archived, how much is in it, and how far
//! a query came. Refuses to know how messages are stored and searched (`engine/archive`).

mod id;
mod preferences;
mod search;
mod tally;

use crate::actor::rows::{Durability, Export, RowKey, RowRange, Slices, Table, Write};
use crate::actor::{Stop, Turn};
use crate::base::{AccountId, Month, limits};

use super::account::{Account, Change};

pub use id::ArchiveId;
pub use preferences::{Policy, Preferences};
pub use search::{Flip, Page, Query, Reach, Search, Stage, Term};
pub use tally::ArchiveTally;

/// What the owner of an archive wants in it.
pub static PREFERENCES: Table = Table {
    name: "archive-preferences",
    durability: Durability::BeforeReply,
    export: Export::WithAccount,
    slices: Slices::Whole,
    about: "Archiving preferences (XEP-0441); key: account id",
};

/// How many messages of each month are in an archive.
pub static TALLY: Table = Table {
    name: "archive-tally",
    durability: Durability::Soon,
    export: Export::Derived,
    slices: Slices::Monthly { number_at: 8 },
    about: "Archived messages of a month, roughly (u32); key: account id, first number of the month",
};

/// The part of an archive that is in memory while its account is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archive {
    pub preferences: Preferences,
    pub tally: ArchiveTally,
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
    let preferences = preferences
        .and_then(Preferences::decode)
        .unwrap_or_default();
    let (rows, _) = turn.load_range(&TALLY, &months(account))?;
    let archive = Archive {
        preferences,
        tally: ArchiveTally::read(rows),
    };
    let found = read(&archive);
    turn.out.change.push(Change::ArchiveRead(Box::new(archive)));
    Ok(found)
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

/// The write that keeps a count of the month of this number.
pub fn tally_row(account: AccountId, number: u64, count: u32) -> Write {
    let first = Month::of(number).first_number();
    Write::Put {
        table: &TALLY,
        key: key(account).then(&first.to_be_bytes()),
        value: count.to_be_bytes()[..].into(),
    }
}
