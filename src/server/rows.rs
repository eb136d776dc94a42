//! The store as the accounts use it, and what is left of an account that was removed. Refuses to know what a
//! row means.

use std::path::{Path, PathBuf};

use crate::actor::rows::{Export, RowKey, RowRange, StoreError, Table, Write};
use crate::auth::{AccountRows, ITERATIONS};
use crate::base::{AccountId, limits};
use crate::engine::archive::{ARCHIVE, INDEX};
use crate::im::archive::{PREFERENCES, TALLY};
use crate::im::blocking::BLOCKLIST;
use crate::im::credentials::{ACCOUNT, PURGE, TOMBSTONE, purge_key};
use crate::im::origin::ORIGIN;
use crate::im::outgoing::OUTGOING;
use crate::im::pending::PENDING;
use crate::im::roster::ROSTER;
use crate::im::subscription::REQUEST;
use crate::shard::{NUMBERS, numbers_floor, numbers_range};
use crate::store::Store;

/// Every table of the server. One that is missing here is missing in backups, and survives its account.
pub const TABLES: &[&Table] = &[
    &ACCOUNT,
    &ARCHIVE,
    &BLOCKLIST,
    &INDEX,
    &ITERATIONS,
    &NUMBERS,
    &ORIGIN,
    &OUTGOING,
    &PENDING,
    &PREFERENCES,
    &PURGE,
    &REQUEST,
    &ROSTER,
    &TALLY,
    &TOMBSTONE,
];

/// The number above which the rows of this process begin. Waits for the disk.
///
/// # Errors
/// The store's, or [`StoreError::Broken`] when the rows that say so are damaged.
pub fn first_numbers(store: &Store) -> Result<u64, StoreError> {
    let page = store.range_now(&NUMBERS, &numbers_range())?;
    numbers_floor(&page.rows).ok_or(StoreError::Broken)
}

/// The store's directory inside the data directory.
pub fn store_directory(data: &Path) -> PathBuf {
    data.join("store")
}

/// The store as [`Accounts`](crate::auth::Accounts) want it.
pub fn account_rows(store: &Store) -> AccountRows {
    let (row, range, save, next) = (store.clone(), store.clone(), store.clone(), store.clone());
    AccountRows {
        row: Box::new(move |table, key| row.row_now(table, key)),
        range: Box::new(move |table, asked| {
            range
                .range_now(table, asked)
                .map(|page| (page.rows, page.more))
        }),
        save: Box::new(move |writes| save.save_now(writes)),
        next_id: Box::new(move || next.next_number("account").map(AccountId)),
    }
}

/// Removes the rows of an account from all `tables` whose keys begin with its number. Waits for the disk.
///
/// # Errors
/// The store's; what was removed before stays removed, and asking again goes on.
pub fn purge(
    store: &Store,
    tables: &[&'static Table],
    account: AccountId,
) -> Result<(), StoreError> {
    let range = RowRange {
        from: RowKey::new(&account.0.to_be_bytes()),
        to: RowKey::new(&account.0.saturating_add(1).to_be_bytes()),
        count_max: PURGE_COUNT,
        bytes_max: limits::RANGE_BYTES_MAX,
    };
    for table in tables.iter().filter(|table| table.export != Export::Never) {
        loop {
            let page = store.range_now(table, &range)?;
            let writes = page.rows.into_iter().map(|row| Write::Delete {
                table,
                key: row.key,
            });
            store.save_now(writes.collect())?;
            if !page.more {
                break;
            }
        }
    }
    Ok(())
}

/// Purges the accounts that were removed since the last start: their purge may have failed, or a session that was
/// about to end may have written behind it. Before anything runs that writes rows. Waits for the disk.
///
/// # Errors
/// The store's; the next start tries again.
pub fn purge_removed(store: &Store, tables: &[&'static Table]) -> Result<usize, StoreError> {
    let mut count = 0;
    loop {
        let everything = RowRange {
            from: purge_key(AccountId(0)),
            to: purge_key(AccountId(u64::MAX)),
            count_max: PURGE_COUNT,
            bytes_max: limits::RANGE_BYTES_MAX,
        };
        let page = store.range_now(&PURGE, &everything)?;
        let mut forgotten = Vec::with_capacity(page.rows.len());
        for row in page.rows {
            if let Ok(id) = <[u8; 8]>::try_from(row.key.as_bytes()) {
                purge(store, tables, AccountId(u64::from_be_bytes(id)))?;
                count += 1;
            }
            forgotten.push(Write::Delete {
                table: &PURGE,
                key: row.key,
            });
        }
        store.save_now(forgotten)?;
        if !page.more {
            return Ok(count);
        }
    }
}

/// Rows removed in one commit.
const PURGE_COUNT: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::rows::{Durability, Slices};

    static THINGS: Table = Table {
        name: "things",
        durability: Durability::Soon,
        export: Export::WithAccount,
        slices: Slices::Whole,
        about: "A test's.",
    };

    #[test]
    fn what_a_purge_left_behind_is_purged_at_the_next_start_and_once() {
        let store = Store::in_memory(&[&THINGS, &PURGE], Vec::new());
        let put = |table, key: &[u8]| Write::Put {
            table,
            key: RowKey::new(key),
            value: b""[..].into(),
        };
        let removed: Vec<u64> = (10..10 + 2 * PURGE_COUNT as u64).collect();
        let mut rows = vec![put(&THINGS, &5u64.to_be_bytes())];
        for id in &removed {
            rows.push(put(&THINGS, &id.to_be_bytes()));
            rows.push(put(&PURGE, &id.to_be_bytes()));
        }
        store.save_now(rows).expect("memory");
        assert_eq!(purge_removed(&store, &[&THINGS]), Ok(removed.len()));
        let everything = RowRange {
            from: RowKey::new(&[]),
            to: RowKey::new(&[0xff]),
            count_max: 10,
            bytes_max: 1_000,
        };
        let left = store.range_now(&THINGS, &everything).expect("memory");
        let keys: Vec<RowKey> = left.rows.into_iter().map(|row| row.key).collect();
        assert_eq!(keys, [RowKey::new(&5u64.to_be_bytes())]);
        assert_eq!(purge_removed(&store, &[&THINGS]), Ok(0));
    }

    #[test]
    fn nothing_of_a_removed_account_stays_and_its_neighbours_are_whole() {
        let store = Store::in_memory(&[&THINGS], Vec::new());
        let key = |account: u64, thing: u16| {
            RowKey::new(&account.to_be_bytes()).then(&thing.to_be_bytes())
        };
        let put = |account, thing| Write::Put {
            table: &THINGS,
            key: key(account, thing),
            value: b"x"[..].into(),
        };
        // More than one page, and no row in common with the accounts beside it.
        let all = (0..2_500)
            .map(|thing| put(2, thing))
            .chain([put(1, 0), put(3, 0)]);
        store.save_now(all.collect()).expect("memory");
        purge(&store, &[&THINGS], AccountId(2)).expect("memory");
        let everything = RowRange {
            from: RowKey::new(&[]),
            to: RowKey::new(&[0xff]),
            count_max: 10,
            bytes_max: 1_000,
        };
        let left = store.range_now(&THINGS, &everything).expect("memory");
        let keys: Vec<RowKey> = left.rows.into_iter().map(|row| row.key).collect();
        assert_eq!(keys, [key(1, 0), key(3, 0)]);
    }
}
