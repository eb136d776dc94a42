//! What the SCRAM keys of a host's directory look like, so that names without an entry show the same: the host's own
//! option says nothing of keys that others made. Refuses to know the keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::accounts::AccountRows;
use super::counts::ITERATIONS;
use crate::actor::auth::{KeyShape, ScramHash};
use crate::actor::rows::{Row, RowKey, RowRange, StoreError, Write};
use crate::base::{Secret, limits};
use crate::stream::sasl::digest::hmac;

/// What is known of the table, by host; a directory has few.
#[derive(Default)]
pub(super) struct Shapes {
    known: Mutex<BTreeMap<Arc<str>, Vec<KeyShape>>>,
}

impl Shapes {
    /// What `localpart` shows for a digest if it has no keys: stable, and one of those that others show; none where
    /// nobody has any yet.
    ///
    /// # Errors
    /// The store's.
    pub fn pick(
        &self,
        rows: &AccountRows,
        secret: &Secret,
        (host, localpart): (&str, &str),
        hash: ScramHash,
    ) -> Result<Option<KeyShape>, StoreError> {
        let shapes = self.of(rows, host)?;
        // The highest number wins, as in `Counts::pick`.
        let drawn = |shape: &KeyShape| {
            let (count, salt) = (shape.iterations, shape.salt_bytes);
            let text = format!("{host}\0{localpart}\0{count}\0{salt}\0shape");
            let digest = hmac(ScramHash::Sha256, secret.expose(), text.as_bytes());
            digest.expose().to_vec()
        };
        let fit = shapes.into_iter().filter(|shape| shape.hash == hash);
        Ok(fit.max_by_key(drawn))
    }

    /// Keys of the directory of `host` look like this. Waits for the disk if that is news.
    ///
    /// # Errors
    /// The store's.
    pub fn note(&self, rows: &AccountRows, host: &str, shape: KeyShape) -> Result<(), StoreError> {
        let shapes = self.of(rows, host)?;
        if shapes.contains(&shape) || shapes.len() >= limits::SCRAM_COUNTS_MAX {
            return Ok(());
        }
        (rows.save)(vec![Write::Put {
            table: &ITERATIONS,
            key: key_of(host, shape),
            value: Vec::new().into(),
        }])?;
        if let Some(known) = self.known.lock().get_mut(host)
            && !known.contains(&shape)
        {
            known.push(shape);
        }
        Ok(())
    }

    fn of(&self, rows: &AccountRows, host: &str) -> Result<Vec<KeyShape>, StoreError> {
        if let Some(shapes) = self.known.lock().get(host) {
            return Ok(shapes.clone());
        }
        let range = RowRange {
            from: prefix(host),
            to: RowKey::new(host.as_bytes()).then(&[2]),
            count_max: limits::SCRAM_COUNTS_MAX,
            bytes_max: limits::RANGE_BYTES_MAX,
        };
        let (found, _) = (rows.range)(&ITERATIONS, &range)?;
        let shapes: Vec<KeyShape> = found.iter().filter_map(shape_of).collect();
        let mut known = self.known.lock();
        Ok(known.entry(Arc::from(host)).or_insert(shapes).clone())
    }
}

fn prefix(host: &str) -> RowKey {
    RowKey::new(host.as_bytes()).then(&[1])
}

/// Digest, count and length of the salt: six bytes.
fn key_of(host: &str, shape: KeyShape) -> RowKey {
    let hash = match shape.hash {
        ScramHash::Sha1 => 1,
        ScramHash::Sha256 => 2,
        ScramHash::Sha512 => 3,
    };
    let [a, b, c, d] = shape.iterations.to_be_bytes();
    prefix(host).then(&[hash, a, b, c, d, shape.salt_bytes])
}

fn shape_of(row: &Row) -> Option<KeyShape> {
    let [hash, a, b, c, d, salt_bytes] = *row.key.as_bytes().last_chunk()?;
    Some(KeyShape {
        hash: match hash {
            1 => ScramHash::Sha1,
            2 => ScramHash::Sha256,
            3 => ScramHash::Sha512,
            _ => return None,
        },
        iterations: u32::from_be_bytes([a, b, c, d]),
        salt_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_they_were_written() {
        for hash in [ScramHash::Sha1, ScramHash::Sha256, ScramHash::Sha512] {
            let shape = KeyShape {
                hash,
                iterations: 4_096,
                salt_bytes: 255,
            };
            let row = Row {
                key: key_of("a.example", shape),
                value: Vec::new(),
            };
            assert_eq!(shape_of(&row), Some(shape));
        }
        let damaged = Row {
            key: prefix("a").then(&[9, 0, 0, 16, 0, 16]),
            value: Vec::new(),
        };
        assert_eq!(shape_of(&damaged), None);
    }
}
