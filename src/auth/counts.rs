//! Which iteration counts a host's keys have, so that names without an account show one of them too: with today's
//! option alone, every account that is older than it would be known by its count. Refuses to know the keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::accounts::AccountRows;
use crate::actor::auth::ScramHash;
use crate::actor::rows::{Durability, Export, RowKey, RowRange, Slices, StoreError, Table, Write};
use crate::base::{Secret, limits};
use crate::stream::sasl::digest::hmac;

/// The counts by host.
pub static ITERATIONS: Table = Table {
    name: "iterations",
    durability: Durability::BeforeReply,
    export: Export::Never,
    slices: Slices::Whole,
    about: "An iteration count that SCRAM keys of a host have or had. Key: host, 0, the count; or host, 1, digest, count and length of the salt of keys in its directory. No value.",
};

/// What is known of the table, by host; hosts are few and so are counts.
#[derive(Default)]
pub(super) struct Counts {
    known: Mutex<BTreeMap<Arc<str>, Vec<u32>>>,
}

impl Counts {
    /// The count that `localpart` shows if it has no account: stable, and one of those that accounts show. `today`
    /// where there is no account yet.
    pub fn pick(
        &self,
        rows: &AccountRows,
        secret: &Secret,
        (host, localpart): (&str, &str),
        today: u32,
    ) -> Result<u32, StoreError> {
        let counts = self.of(rows, host)?;
        // The highest number wins: a further count takes its share of the names from each of the others and leaves
        // the rest as they were, as accounts move on one by one.
        let drawn = |count: &u32| {
            let text = format!("{host}\0{localpart}\0{count}\0iterations");
            let digest = hmac(ScramHash::Sha256, secret.expose(), text.as_bytes());
            digest.expose().to_vec()
        };
        Ok(counts.into_iter().max_by_key(drawn).unwrap_or(today))
    }

    /// Keys of `host` have this count. Waits for the disk if that is news.
    pub fn note(&self, rows: &AccountRows, host: &str, count: u32) -> Result<(), StoreError> {
        let counts = self.of(rows, host)?;
        if counts.contains(&count) || counts.len() >= limits::SCRAM_COUNTS_MAX {
            return Ok(());
        }
        (rows.save)(vec![Write::Put {
            table: &ITERATIONS,
            key: prefix(host).then(&count.to_be_bytes()),
            value: Vec::new().into(),
        }])?;
        if let Some(known) = self.known.lock().get_mut(host)
            && !known.contains(&count)
        {
            known.push(count);
        }
        Ok(())
    }

    fn of(&self, rows: &AccountRows, host: &str) -> Result<Vec<u32>, StoreError> {
        if let Some(counts) = self.known.lock().get(host) {
            return Ok(counts.clone());
        }
        let range = RowRange {
            from: prefix(host),
            to: RowKey::new(host.as_bytes()).then(&[1]),
            count_max: limits::SCRAM_COUNTS_MAX,
            bytes_max: limits::RANGE_BYTES_MAX,
        };
        let (found, _) = (rows.range)(&ITERATIONS, &range)?;
        let counts: Vec<u32> = found
            .iter()
            .filter_map(|row| row.key.as_bytes().last_chunk())
            .map(|count| u32::from_be_bytes(*count))
            .collect();
        let mut known = self.known.lock();
        Ok(known.entry(Arc::from(host)).or_insert(counts).clone())
    }
}

fn prefix(host: &str) -> RowKey {
    RowKey::new(host.as_bytes()).then(&[0])
}
