//! What the SCRAM keys of a host's directory look like, so that names without an entry show the same: the host's own
//! option says nothing of keys that others made. Refuses to know the keys.

use super::accounts::AccountRows;
use super::noted::{Form, Noted};
use crate::actor::auth::{KeyShape, ScramHash};
use crate::actor::rows::StoreError;
use crate::base::Secret;
use crate::stream::sasl::digest::hmac;

/// The shapes by host.
pub(super) struct Shapes(Noted<KeyShape>);

impl Default for Shapes {
    fn default() -> Shapes {
        Shapes(Noted::new(Form {
            letter: 1,
            write,
            read,
        }))
    }
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
        let shapes = self.0.of(rows, host)?;
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
        self.0.note(rows, host, shape)
    }
}

/// Digest, count and length of the salt: six bytes.
fn write(shape: KeyShape) -> Vec<u8> {
    let hash = match shape.hash {
        ScramHash::Sha1 => 1,
        ScramHash::Sha256 => 2,
        ScramHash::Sha512 => 3,
    };
    let [a, b, c, d] = shape.iterations.to_be_bytes();
    vec![hash, a, b, c, d, shape.salt_bytes]
}

fn read(bytes: &[u8]) -> Option<KeyShape> {
    let [hash, a, b, c, d, salt_bytes] = *bytes else {
        return None;
    };
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
            assert_eq!(read(&write(shape)), Some(shape));
        }
        assert_eq!(read(&[9, 0, 0, 16, 0, 16]), None);
        assert_eq!(read(&[1, 0, 0, 16, 0]), None);
    }
}
