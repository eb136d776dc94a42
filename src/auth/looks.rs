//! What the names of a host's accounts look like (UTS #39; peers.md 7.8 row 62), so that no newcomer takes a name that
//! people would read as somebody else's. Refuses to judge what an operator gives.

use super::accounts::Accounts;
use super::admin::AccountError;
use crate::actor::rows::{Durability, Export, RowKey, RowRange, Slices, Table, Write};
use crate::base::limits;
use crate::jid::skeleton;

/// One row for each account, so that two names which look alike lie side by side. It goes with the account's own row: who
/// has its name later has its looks.
pub static LOOKS: Table = Table {
    name: "looks",
    durability: Durability::BeforeReply,
    export: Export::Never,
    slices: Slices::Whole,
    about: "What the name of an account looks like. Key: host, 0, skeleton of the localpart (UTS #39), 0, localpart.",
};

/// Whether a name may look like one that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looks {
    /// It may: an operator gives it.
    Any,
    /// It may not: its owner has chosen it.
    Own,
}

/// The write by which an account is found by its looks.
pub(super) fn put(host: &str, localpart: &str) -> Write {
    Write::Put {
        table: &LOOKS,
        key: key(host, localpart),
        value: [].into(),
    }
}

/// The write that takes it back.
pub(super) fn delete(host: &str, localpart: &str) -> Write {
    Write::Delete {
        table: &LOOKS,
        key: key(host, localpart),
    }
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

/// Prepared names hold no zero byte, and neither do their skeletons.
fn key(host: &str, localpart: &str) -> RowKey {
    of_skeleton(host, localpart, 0).then(localpart.as_bytes())
}

fn of_skeleton(host: &str, localpart: &str, end: u8) -> RowKey {
    RowKey::new(host.as_bytes())
        .then(&[0])
        .then(skeleton(localpart).as_bytes())
        .then(&[end])
}
