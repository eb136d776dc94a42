//! The store as the accounts use it. Refuses to know what a row means.

use std::path::{Path, PathBuf};

use crate::actor::rows::{StoreError, Table};
use crate::auth::{AccountRows, ENTRY, ITERATIONS, LOOKS, TOKEN, WAITING};
use crate::base::AccountId;
use crate::engine::archive::{ARCHIVE, INDEX, INDEXED};
use crate::features::private_storage::PRIVATE;
use crate::features::vcard::VCARD_TABLE;
use crate::im::archive::{EMPTYING, PREFERENCES, TALLY};
use crate::im::blocking::BLOCKLIST;
use crate::im::credentials::{ACCOUNT, PURGE, REGISTRATION, TOMBSTONE};
use crate::im::invitation::{INVITATION, RESERVATION};
use crate::im::last::LAST;
use crate::im::origin::ORIGIN;
use crate::im::outgoing::OUTGOING;
use crate::im::pending::PENDING;
use crate::im::roster::ROSTER;
use crate::im::seen::SEEN;
use crate::im::subscription::REQUEST;
use crate::shard::{NUMBERS, RETENTION, numbers_floor, numbers_range};
use crate::store::Store;

use super::restored::COPIED;

/// Every table of the server. One that is missing here is missing in backups, and survives its account.
pub const TABLES: &[&Table] = &[
    &ACCOUNT,
    &ARCHIVE,
    &BLOCKLIST,
    &COPIED,
    &EMPTYING,
    &ENTRY,
    &INDEX,
    &INDEXED,
    &INVITATION,
    &ITERATIONS,
    &LAST,
    &LOOKS,
    &NUMBERS,
    &ORIGIN,
    &OUTGOING,
    &PENDING,
    &PREFERENCES,
    &PRIVATE,
    &PURGE,
    &REGISTRATION,
    &RESERVATION,
    &REQUEST,
    &RETENTION,
    &ROSTER,
    &SEEN,
    &TALLY,
    &TOKEN,
    &TOMBSTONE,
    &VCARD_TABLE,
    &WAITING,
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
    let (keys, spare) = (store.clone(), store.clone());
    AccountRows {
        row: Box::new(move |table, key| row.row_now(table, key)),
        range: Box::new(move |table, asked| {
            range
                .range_now(table, asked)
                .map(|page| (page.rows, page.more))
        }),
        keys: Box::new(move |table, asked, behind| {
            let page = keys.walk_now(table, asked, behind)?;
            Ok((page.keys, page.more))
        }),
        save: Box::new(move |writes| save.save_now(writes)),
        save_in_reserve: Box::new(move |writes| spare.save_in_reserve_now(writes)),
        tables: TABLES,
        next_id: Box::new(move || next.next_number("account").map(AccountId)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::rows::{RowKey, Slices, Write};
    use crate::auth::{AccountError, Accounts, AuthSettings, Purged};
    use crate::base::{HashSeed, Now, Rng, Secret, Sequence};
    use crate::im::roster::RosterItem;
    use crate::jid::Jid;
    use crate::store::StoreOptions;

    /// A row of this account, wherever its table has a number by time.
    fn row(table: &'static Table, account: u64) -> Write {
        let number_at = match table.slices {
            Slices::Whole => 8,
            Slices::Monthly { number_at } => number_at,
        };
        let mut key = account.to_be_bytes().to_vec();
        key.resize(number_at, 7);
        key.extend(Sequence::first_at(1_795_392_000_000).to_be_bytes());
        Write::Put {
            table,
            key: RowKey::new(&key),
            value: b"x"[..].into(),
        }
    }

    fn accounts(store: &Store) -> Accounts {
        let settings = AuthSettings {
            iterations: [("localhost".into(), 1)].into_iter().collect(),
            ..AuthSettings::default()
        };
        Accounts::new(
            account_rows(store),
            settings,
            Secret::new(vec![3; 32]),
            HashSeed(1, 2),
            Rng::from_seed([0; 32]),
        )
    }

    #[test]
    fn an_operator_keeps_people_out_and_removes_them_while_the_disk_is_full() {
        let dir = std::env::temp_dir().join(format!("stonechat-rows-{}", std::process::id()));
        let store = Store::open(StoreOptions::at(&dir), TABLES, Vec::new()).expect("a disk");
        let accounts = accounts(&store);
        let password = Secret::new(b"pencil".to_vec());
        let add = |name| accounts.add("localhost", name, &password, Now::default());
        let romeo = add("romeo").expect("the name is free");
        let contacts = (0..3).map(|n| {
            let jid = Jid::parse(&format!("a-friend-whose-name-is-long-{n}@localhost"));
            let mut item = RosterItem::unknown(jid.expect("valid"));
            (item.standing.to, item.standing.from) = (true, true);
            let row = item.row(romeo.id);
            Write::Put {
                table: &ROSTER,
                key: row.key,
                value: row.value.into(),
            }
        });
        store.save_now(contacts.collect()).expect("there is room");
        store.set_reserve(u64::MAX);
        // Nobody comes, and who is here can be made to go.
        assert_eq!(
            add("juliet"),
            Err(AccountError::Store(StoreError::DiskFull))
        );
        accounts
            .disable("localhost", "romeo")
            .expect("the reserve is for this");
        let removed = accounts.remove("localhost", "romeo", Now::default());
        assert_eq!(removed, Ok(romeo.id));
        assert_eq!(accounts.purge(romeo.id), Ok(Purged::All));
        assert_eq!(accounts.purge_again(romeo.id), Ok(Purged::All));
        let mut left = Vec::new();
        let visited = store.visit_now(|table, _, _| {
            left.push(table.name);
            Ok(())
        });
        visited.expect("a disk");
        left.retain(|name| [ROSTER.name, ACCOUNT.name, PURGE.name].contains(name));
        assert_eq!(left, [""; 0]);
        drop((store, accounts));
        std::fs::remove_dir_all(&dir).expect("it is ours");
    }

    #[test]
    fn nothing_of_an_archive_outlives_its_account() {
        let store = Store::in_memory(TABLES, Vec::new());
        let accounts = accounts(&store);
        // Messages, what they are found by, how far that goes, wishes, counts, and what waits for clients.
        let tables = [&ARCHIVE, &INDEX, &INDEXED, &PREFERENCES, &TALLY, &PENDING];
        let rows = tables
            .iter()
            .flat_map(|table| [row(table, 1), row(table, 2)]);
        store.save_now(rows.collect()).expect("memory");
        // More than a page of them.
        let many = (0..2_500_u64).map(|n| Write::Put {
            table: &ARCHIVE,
            key: RowKey::new(&[2u64.to_be_bytes(), n.to_be_bytes()].concat()),
            value: b"x"[..].into(),
        });
        store.save_now(many.collect()).expect("memory");
        accounts.purge(AccountId(2)).expect("memory");
        let mut left = Vec::new();
        let visited = store.visit_now(|table, key, _| {
            if tables.iter().any(|of| of.name == table.name) {
                left.push((table.name, key[..8].to_vec()));
            }
            Ok(())
        });
        visited.expect("memory");
        left.sort_unstable();
        let mut expected = tables.map(|table| (table.name, 1u64.to_be_bytes().to_vec()));
        expected.sort_unstable();
        assert_eq!(left, expected);
    }
}
