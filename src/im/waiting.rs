//! Rows by which those are found who have registered and wait for an operator. Refuses to know how many may
//! (`auth/waiting.rs`).

use crate::actor::rows::{Durability, Export, Slices, Table, Write};

use super::credentials::name_key;

/// One row for each, which goes when an operator has decided.
pub static WAITING: Table = Table {
    name: "waiting",
    durability: Durability::BeforeReply,
    export: Export::Never,
    slices: Slices::Whole,
    about: "Accounts that wait for an operator, and since when (milliseconds of the wall clock); key: host, 0, localpart",
};

/// The write that says that an account waits since that moment of the wall clock, in milliseconds.
pub fn put(host: &str, localpart: &str, since_wall_ms: u64) -> Write {
    Write::Put {
        table: &WAITING,
        key: name_key(host, localpart),
        value: since_wall_ms.to_be_bytes()[..].into(),
    }
}

/// The write that says that it does so no more.
pub fn delete(host: &str, localpart: &str) -> Write {
    Write::Delete {
        table: &WAITING,
        key: name_key(host, localpart),
    }
}
