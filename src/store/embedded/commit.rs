//! A collection of writes, durable at once. Refuses to know whether the disk has room for it.

use std::thread;
use std::time::Duration;

use fjall::{Keyspace, OwnedWriteBatch, PersistMode};

use crate::actor::rows::{Slices, StoreError, Write};

use super::slices::Opened;

impl Opened {
    pub(super) fn commit(&self, writes: &[Write]) -> Result<Result<(), fjall::Error>, StoreError> {
        // What `Database::batch` makes, with room for all.
        let batch = OwnedWriteBatch::with_capacity(self.db.clone(), writes.len());
        let mut batch = batch.durability(Some(PersistMode::SyncData));
        let spaces = self.spaces.read();
        let mut touched = vec![false; spaces.len()];
        let mut last = 0;
        for write in writes {
            let (table, key) = match write {
                Write::Put { table, key, .. } | Write::Delete { table, key } => (table, key),
                Write::Replace { .. } => return Err(StoreError::Broken),
            };
            // Mostly the one of the write before.
            let is_last = spaces.get(last).is_some_and(|last| last.is_of(table, key));
            let at = match is_last {
                true => Some(last),
                false => spaces.iter().position(|space| space.is_of(table, key)),
            };
            last = at.unwrap_or(last);
            match (write, at) {
                // fjall panics at an empty key.
                (Write::Put { .. } | Write::Delete { .. }, Some(_))
                    if key.as_bytes().is_empty() =>
                {
                    return Err(StoreError::Broken);
                }
                (Write::Put { value, .. }, Some(at)) => {
                    batch.insert(&spaces[at].keyspace, key.as_bytes(), &**value);
                    touched[at] = true;
                }
                (Write::Delete { .. }, Some(at)) => {
                    batch.remove(&spaces[at].keyspace, key.as_bytes());
                    touched[at] = true;
                }
                // The months of what is put were made before.
                (Write::Put { .. }, None) => return Err(StoreError::Broken),
                // A month that is gone has no rows to remove.
                (Write::Delete { .. }, None) if table.slices != Slices::Whole => {}
                (Write::Delete { .. }, None) | (Write::Replace { .. }, _) => {
                    return Err(StoreError::Broken);
                }
            }
        }
        for (space, _) in spaces.iter().zip(touched).filter(|(_, touched)| *touched) {
            if let Err(error) = self.wait_for_flushes(&space.keyspace) {
                return Ok(Err(error));
            }
        }
        Ok(batch.commit())
    }

    /// Waits while the worker thread is behind, and notices if it is dead, as fjall's own wait does not. One
    /// sealed memtable, one about to be and one that this commit fills make three; fjall would wait at four.
    fn wait_for_flushes(&self, space: &Keyspace) -> Result<(), fjall::Error> {
        while space.sealed_memtable_count() >= 2 || space.l0_table_count() >= 24 {
            self.db.persist(PersistMode::Buffer)?;
            thread::sleep(FLUSH_POLL);
        }
        Ok(())
    }
}

/// Between looks at a flush that is behind.
const FLUSH_POLL: Duration = Duration::from_millis(1);
