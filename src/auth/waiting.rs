//! Who has registered where an operator lets newcomers in, and waits: so many at a time, so that nobody fills a store, and
//! takes all names, by asking. Refuses to know who may ask.

use super::accounts::Accounts;
use super::admin::AccountError;
use crate::actor::rows::{Durability, Export, Row, RowRange, Slices, StoreError, Table, Write};
use crate::base::{Now, limits};
use crate::im::credentials::{localpart_of, name_key, names_after};

/// One row for each, which goes when an operator has decided.
pub static WAITING: Table = Table {
    name: "waiting",
    durability: Durability::BeforeReply,
    export: Export::Never,
    slices: Slices::Whole,
    about: "Accounts that wait for an operator, and since when (milliseconds of the wall clock); key: host, 0, localpart",
};

/// The write that says that an account waits.
pub(super) fn put(host: &str, localpart: &str, now: Now) -> Write {
    Write::Put {
        table: &WAITING,
        key: name_key(host, localpart),
        value: now.wall_ms.to_be_bytes()[..].into(),
    }
}

/// The write that says that it does so no more.
pub(super) fn delete(host: &str, localpart: &str) -> Write {
    Write::Delete {
        table: &WAITING,
        key: name_key(host, localpart),
    }
}

impl Accounts {
    /// Whether one more may wait on a host. If too many do, whoever has waited longest gives way, if that was
    /// [`limits::REGISTRATION_WAITING_MS`] at least.
    ///
    /// # Errors
    /// The store's.
    pub(super) fn may_wait(&self, host: &str, now: Now) -> Result<bool, StoreError> {
        let most = limits::REGISTRATIONS_WAITING_MAX;
        let range: RowRange = names_after(host, None, most, limits::RANGE_BYTES_MAX);
        let (rows, is_more) = (self.rows.range)(&WAITING, &range)?;
        if rows.len() < most && !is_more {
            return Ok(true);
        }
        let since = |row: &Row| {
            row.value
                .as_slice()
                .try_into()
                .map_or(0, u64::from_be_bytes)
        };
        let Some(oldest) = rows.iter().min_by_key(|row| since(row)) else {
            return Ok(false);
        };
        let Some(localpart) = localpart_of(host, &oldest.key) else {
            return Ok(false);
        };
        if now.wall_ms < since(oldest).saturating_add(limits::REGISTRATION_WAITING_MS) {
            return Ok(false);
        }
        log::info!("registration_gave_way account={localpart}@{host}");
        match self.remove(host, &localpart, now) {
            Ok(account) => {
                self.purge(account)?;
                Ok(true)
            }
            Err(AccountError::Store(error)) => Err(error),
            // An operator was faster.
            Err(_) => Ok(false),
        }
    }
}
