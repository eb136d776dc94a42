//! Which iteration counts a host's keys have, so that names without an account show one of them too: with today's
//! option alone, every account that is older than it would be known by its count. Refuses to know the keys.

use super::accounts::AccountRows;
use super::noted::{Form, Noted};
use crate::actor::auth::ScramHash;
use crate::actor::rows::StoreError;
use crate::base::Secret;
use crate::stream::sasl::digest::hmac;

/// The counts by host.
pub(super) struct Counts(Noted<u32>);

impl Default for Counts {
    fn default() -> Counts {
        Counts(Noted::new(Form {
            letter: 0,
            write: |count| count.to_be_bytes().to_vec(),
            read: |bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)),
        }))
    }
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
        let counts = self.0.of(rows, host)?;
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
    ///
    /// # Errors
    /// The store's.
    pub fn note(&self, rows: &AccountRows, host: &str, count: u32) -> Result<(), StoreError> {
        self.0.note(rows, host, count)
    }
}
