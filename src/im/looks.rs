//! Rows by which the names of accounts are found that look alike (UTS #39; peers.md 7.8 row 62). Refuses to judge a name
//! (`auth/looks.rs`).

use crate::actor::rows::{Durability, Export, RowKey, Slices, Table, Write};
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

/// The write by which an account is found by its looks.
pub fn put(host: &str, localpart: &str) -> Write {
    Write::Put {
        table: &LOOKS,
        key: key(host, localpart),
        value: [].into(),
    }
}

/// The write that takes it back.
pub fn delete(host: &str, localpart: &str) -> Write {
    Write::Delete {
        table: &LOOKS,
        key: key(host, localpart),
    }
}

/// The key of an account's row. Prepared names hold no zero byte, and neither do their skeletons.
pub fn key(host: &str, localpart: &str) -> RowKey {
    of_skeleton(host, localpart, 0).then(localpart.as_bytes())
}

/// Where the rows begin, with an `end` of 0, or end, with 1, of those who look like this one.
pub fn of_skeleton(host: &str, localpart: &str, end: u8) -> RowKey {
    RowKey::new(host.as_bytes())
        .then(&[0])
        .then(skeleton(localpart).as_bytes())
        .then(&[end])
}
