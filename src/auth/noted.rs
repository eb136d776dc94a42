//! What the SCRAM keys of hosts look like, for names without keys to show the same: noted in rows, remembered, and a few for each
//! host. Refuses to know what is noted (`counts.rs`, `shapes.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::accounts::AccountRows;
use crate::actor::rows::{Durability, Export, RowKey, RowRange, Slices, StoreError, Table, Write};
use crate::base::limits;

/// All that is noted, by host.
pub static ITERATIONS: Table = Table {
    name: "iterations",
    durability: Durability::BeforeReply,
    export: Export::Never,
    slices: Slices::Whole,
    about: "An iteration count that SCRAM keys of a host have or had. Key: host, 0, the count; or host, 1, digest, count and length of the salt of keys in its directory. No value.",
};

/// How one kind of it is written in keys of rows.
pub(super) struct Form<T> {
    /// Behind the host.
    pub letter: u8,
    pub write: fn(T) -> Vec<u8>,
    pub read: fn(&[u8]) -> Option<T>,
}

/// What is noted of one kind. Hosts are few, and so is what is noted of each.
pub(super) struct Noted<T> {
    form: Form<T>,
    known: Mutex<BTreeMap<Arc<str>, Vec<T>>>,
}

impl<T: Copy + PartialEq> Noted<T> {
    pub fn new(form: Form<T>) -> Noted<T> {
        Noted {
            form,
            known: Mutex::default(),
        }
    }

    /// Keys of `host` look like this. Waits for the disk if that is news.
    ///
    /// # Errors
    /// The store's.
    pub fn note(&self, rows: &AccountRows, host: &str, what: T) -> Result<(), StoreError> {
        let known = self.of(rows, host)?;
        if known.contains(&what) || known.len() >= limits::SCRAM_COUNTS_MAX {
            return Ok(());
        }
        (rows.save)(vec![Write::Put {
            table: &ITERATIONS,
            key: prefix(host, self.form.letter).then(&(self.form.write)(what)),
            value: Vec::new().into(),
        }])?;
        if let Some(known) = self.known.lock().get_mut(host)
            && !known.contains(&what)
        {
            known.push(what);
        }
        Ok(())
    }

    /// All that is noted of a host.
    ///
    /// # Errors
    /// The store's.
    pub fn of(&self, rows: &AccountRows, host: &str) -> Result<Vec<T>, StoreError> {
        if let Some(known) = self.known.lock().get(host) {
            return Ok(known.clone());
        }
        let from = prefix(host, self.form.letter);
        let before = from.as_bytes().len();
        let range = RowRange {
            from,
            to: prefix(host, self.form.letter + 1),
            count_max: limits::SCRAM_COUNTS_MAX,
            bytes_max: limits::RANGE_BYTES_MAX,
        };
        let (found, _) = (rows.range)(&ITERATIONS, &range)?;
        let found = found.iter();
        let found = found.filter_map(|row| (self.form.read)(row.key.as_bytes().get(before..)?));
        let found: Vec<T> = found.collect();
        let mut known = self.known.lock();
        Ok(known.entry(Arc::from(host)).or_insert(found).clone())
    }
}

fn prefix(host: &str, letter: u8) -> RowKey {
    RowKey::new(host.as_bytes()).then(&[letter])
}
