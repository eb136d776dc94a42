//! What the names of a host's accounts look like (UTS #39; peers.md 7.8 row 62), so that no newcomer takes a name that
//! people would read as somebody else's. Refuses to judge what an operator gives.

use super::accounts::Accounts;
use super::admin::AccountError;
use crate::actor::rows::RowRange;
use crate::base::limits;
use crate::im::looks::{LOOKS, key, of_skeleton};

/// Whether a name may look like one that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looks {
    /// It may: an operator gives it.
    Any,
    /// It may not: its owner has chosen it.
    Own,
}

impl Accounts {
    /// Whether another account's name looks like this one. Reads two rows at most: those that are there look alike
    /// because an operator wanted it, and one of them is another.
    ///
    /// # Errors
    /// `Exists`, `Store`.
    pub(super) fn check_looks(&self, host: &str, localpart: &str) -> Result<(), AccountError> {
        let alike = RowRange {
            from: of_skeleton(host, localpart, 0),
            to: of_skeleton(host, localpart, 1),
            count_max: 2,
            bytes_max: limits::RANGE_BYTES_MAX,
        };
        let own = key(host, localpart);
        let (rows, _) = (self.rows.range)(&LOOKS, &alike)?;
        match rows.iter().all(|row| row.key == own) {
            true => Ok(()),
            false => Err(AccountError::Exists),
        }
    }
}
