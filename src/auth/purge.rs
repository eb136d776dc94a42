//! What is left of an account that was removed: its rows go, and whoever was its contact is told. Refuses to know
//! what a row means, but for the roster's, and who carries what is told.

use std::sync::atomic::Ordering;

use super::accounts::Accounts;
use crate::actor::Tell;
use crate::actor::rows::{Export, RowKey, RowRange, StoreError, Write};
use crate::base::{AccountId, limits};
use crate::im::credentials::{PURGE, purge_key, purged_account};
use crate::im::outgoing::{self, OUTGOING};
use crate::im::roster::{ROSTER, Record};
use crate::im::subscription::farewell;
use crate::jid::Jid;

/// What became of the rows of a removed account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purged {
    All,
    /// The server stops; the next start goes on.
    Stopped,
}

/// Each of these blocks on the store.
impl Accounts {
    /// Removes every row of an account that was removed, page by page, each of them read once. What its contacts have to
    /// hear is stored with it, for the account's home to tell. Asking again does no harm, and goes on where it failed
    /// before.
    ///
    /// # Errors
    /// The store's.
    pub fn purge(&self, account: AccountId) -> Result<Purged, StoreError> {
        let marker = (self.rows.row)(&PURGE, &purge_key(account))?;
        let leaver = marker.as_deref().and_then(purged_account);
        // Behind everything that is on its way to the store.
        (self.rows.save_in_reserve)(vec![mark(account, leaver.as_ref())])?;
        if let Some(leaver) = &leaver {
            self.part_with_contacts(account, leaver)?;
        }
        let goes = |export| !matches!(export, Export::Never | Export::Outlives);
        for table in self.rows.tables.iter().filter(|table| goes(table.export)) {
            // A store that keeps its deletions beside its rows steps over all of them if it begins at the first key again.
            let mut behind = None;
            loop {
                if self.purging_is_over.load(Ordering::Acquire) {
                    return Ok(Purged::Stopped);
                }
                let (keys, more) = (self.rows.keys)(table, &rows_of(account), behind.as_ref())?;
                behind = keys.last().cloned();
                let deletes = keys.into_iter().map(|key| Write::Delete { table, key });
                (self.rows.save_in_reserve)(deletes.collect())?;
                if !more {
                    break;
                }
            }
        }
        Ok(Purged::All)
    }

    /// Accounts that were removed since the last start.
    ///
    /// # Errors
    /// The store's.
    pub fn removed(&self) -> Result<Vec<AccountId>, StoreError> {
        let everything = RowRange {
            from: RowKey::new(&[]),
            to: RowKey::new(&[0xff; 9]),
            count_max: PURGE_COUNT,
            bytes_max: limits::RANGE_BYTES_MAX,
        };
        let (mut accounts, mut behind) = (Vec::new(), None);
        loop {
            let (keys, more) = (self.rows.keys)(&PURGE, &everything, behind.as_ref())?;
            behind = keys.last().cloned();
            let ids = keys.iter().filter_map(|key| key.as_bytes().try_into().ok());
            accounts.extend(ids.map(|id| AccountId(u64::from_be_bytes(id))));
            if !more {
                return Ok(accounts);
            }
        }
    }

    /// Purges again what was removed before this start, and forgets that it was: rows that were on their way then came
    /// behind the first purge.
    ///
    /// # Errors
    /// The store's.
    pub fn purge_again(&self, account: AccountId) -> Result<Purged, StoreError> {
        let purged = self.purge(account)?;
        if purged == Purged::All {
            (self.rows.save_in_reserve)(vec![Write::Delete {
                table: &PURGE,
                key: purge_key(account),
            }])?;
        }
        Ok(purged)
    }

    /// From now on no rows are removed any more: what is left is the next start's.
    pub fn stop_purging(&self) {
        self.purging_is_over.store(true, Ordering::Release);
    }

    /// XEP-0077 section 3.2: "the server SHOULD also cancel all existing presence subscriptions related to that
    /// entity (as stored in the entity's roster)". A contact's row goes in the commit that keeps what they are told.
    fn part_with_contacts(&self, account: AccountId, leaver: &Jid) -> Result<(), StoreError> {
        let mut number = self.last_tell(account)?;
        let mut range = rows_of(account);
        loop {
            let (rows, more) = (self.rows.range)(&ROSTER, &range)?;
            if let Some(last) = rows.last() {
                range.from = last.key.clone().then(&[0]);
            }
            let mut writes = Vec::with_capacity(rows.len());
            for row in rows {
                let item = match Record::decode(&row) {
                    Some(Record::Item(item)) => Some(item),
                    Some(Record::Head(_)) | None => None,
                };
                for (last, stanza) in item.iter().flat_map(|item| {
                    farewell(leaver, item).map(move |stanza| (item.numbers, stanza))
                }) {
                    // Above all that the contact heard of the account (`im/subscription/half.rs`).
                    number = number.max(last.asked).max(last.answered) + 1;
                    let tell = Tell {
                        account,
                        number,
                        answers: last.heard,
                    };
                    writes.push(outgoing::put(&stanza, tell));
                }
                writes.push(Write::Delete {
                    table: &ROSTER,
                    key: row.key,
                });
            }
            (self.rows.save_in_reserve)(writes)?;
            if !more {
                return Ok(());
            }
        }
    }

    /// The number of the last thing that the account told and nobody confirmed yet; what follows is told behind it.
    fn last_tell(&self, account: AccountId) -> Result<u64, StoreError> {
        let mut last = None;
        loop {
            let range = RowRange {
                count_max: PURGE_COUNT,
                bytes_max: limits::RANGE_BYTES_MAX,
                ..outgoing::rows_of(account, last)
            };
            let (rows, more) = (self.rows.range)(&OUTGOING, &range)?;
            let number = rows.last().and_then(|row| row.key.as_bytes().last_chunk());
            last = number.map(|number| u64::from_be_bytes(*number)).or(last);
            if !more {
                return Ok(last.unwrap_or(0));
            }
        }
    }
}

/// The row that says that this account was removed.
pub(super) fn mark(account: AccountId, leaver: Option<&Jid>) -> Write {
    Write::Put {
        table: &PURGE,
        key: purge_key(account),
        value: leaver.map_or("", Jid::as_str).as_bytes().into(),
    }
}

fn rows_of(account: AccountId) -> RowRange {
    RowRange {
        from: RowKey::new(&account.0.to_be_bytes()),
        to: RowKey::new(&account.0.saturating_add(1).to_be_bytes()),
        count_max: PURGE_COUNT,
        bytes_max: limits::RANGE_BYTES_MAX,
    }
}

/// Rows removed in one commit.
const PURGE_COUNT: usize = 1_000;
