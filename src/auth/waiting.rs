//! Who has registered where an operator lets newcomers in, and waits: so many at a time, so that nobody fills a store, and
//! takes all names, by asking. Refuses to know who may ask.

use super::accounts::Accounts;
use super::admin::AccountError;
use crate::actor::rows::{Row, RowRange, StoreError};
use crate::base::{Now, limits};
use crate::im::credentials::{localpart_of, names_after};
use crate::im::waiting::WAITING;

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
        match self.remove_waiting(host, &localpart, now) {
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
