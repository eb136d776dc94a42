//! The store as the accounts use it. Refuses to know what a row means.

use std::path::{Path, PathBuf};

use crate::actor::rows::{StoreError, Table};
use crate::auth::{AccountRows, ITERATIONS};
use crate::base::AccountId;
use crate::engine::archive::{ARCHIVE, INDEX};
use crate::im::archive::{PREFERENCES, TALLY};
use crate::im::credentials::{ACCOUNT, PURGE, REGISTRATION, TOMBSTONE};
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
    &INDEX,
    &ITERATIONS,
    &NUMBERS,
    &ORIGIN,
    &OUTGOING,
    &PENDING,
    &PREFERENCES,
    &PURGE,
    &REGISTRATION,
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
        tables: TABLES,
        next_id: Box::new(move || next.next_number("account").map(AccountId)),
    }
}
