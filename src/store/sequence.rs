//! Numbers that are never given twice, reserved in blocks so that most cost no write. Knows nothing of what they
//! number.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::actor::rows::{RowKey, StoreError, Write};

use super::api::Store;
use super::schema::META;

/// What is reserved and not yet given, by name.
#[derive(Default)]
pub(super) struct Sequences(Mutex<HashMap<String, Block>>);

#[derive(Clone, Copy)]
struct Block {
    next: u64,
    end: u64,
}

impl Store {
    /// The next number of the sequence `name`, counted from 1 and never given twice; a crash skips up to 63.
    /// Waits for a commit once in 64 calls.
    ///
    /// # Errors
    /// The store's, when a new block could not be reserved.
    pub fn next_number(&self, name: &str) -> Result<u64, StoreError> {
        // The lock is held over the commit, so that two callers never reserve the same block.
        let mut blocks = self.sequences().0.lock();
        let block = match blocks.get(name) {
            Some(block) if block.next < block.end => *block,
            _ => self.reserve(name)?,
        };
        let rest = Block {
            next: block.next + 1,
            end: block.end,
        };
        blocks.insert(name.to_owned(), rest);
        Ok(block.next)
    }

    fn reserve(&self, name: &str) -> Result<Block, StoreError> {
        let key = RowKey::new(b"number/").then(name.as_bytes());
        let next = match self.row_now(&META, &key)? {
            None => 1,
            Some(value) => match <[u8; 8]>::try_from(value.as_slice()) {
                Ok(bytes) => u64::from_be_bytes(bytes),
                // Guessing could give a number twice.
                Err(_) => return Err(StoreError::Broken),
            },
        };
        let end = next.checked_add(BLOCK).ok_or(StoreError::Broken)?;
        self.save_now(vec![Write::Put {
            table: &META,
            key,
            value: Arc::from(end.to_be_bytes()),
        }])?;
        Ok(Block { next, end })
    }
}

/// Numbers reserved by one commit.
const BLOCK: u64 = 64;

#[cfg(test)]
mod tests {
    use super::super::api::{Store, StoreOptions};
    use super::super::testing::TempDir;

    #[test]
    fn numbers_rise_from_one_and_skip_at_most_a_block_over_a_restart() {
        let dir = TempDir::new();
        let open = || Store::open(StoreOptions::at(dir.path()), &[], Vec::new()).unwrap();
        let store = open();
        let first: Vec<u64> = (0..130)
            .map(|_| store.next_number("account").unwrap())
            .collect();
        assert_eq!(first, (1..=130).collect::<Vec<u64>>());
        assert_eq!(store.next_number("room").unwrap(), 1);
        drop(store);
        let after = open().next_number("account").unwrap();
        assert!((131..131 + 64).contains(&after), "{after}");
    }

    #[test]
    fn two_threads_never_get_the_same_number() {
        let store = Store::in_memory(&[], Vec::new());
        let take =
            |store: Store| move || (0..500).map(|_| store.next_number("n").unwrap()).collect();
        let other = std::thread::spawn(take(store.clone()));
        let mut all: Vec<u64> = take(store)();
        all.extend(other.join().unwrap());
        all.sort_unstable();
        assert_eq!(all, (1..=1_000).collect::<Vec<u64>>());
    }
}
