//! Hash maps whose seed is an argument. A remote party picks JIDs, ids and attribute names, so the hash is
//! keyed SipHash: nobody outside can choose keys that collide, or names that load one worker.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use siphasher::sip::SipHasher13;

/// 128 secret bits: from the system's entropy in production, from the world's seed in the simulator.
#[derive(Clone, Copy)]
pub struct HashSeed(pub u64, pub u64);

impl HashSeed {
    /// The keyed hash of `text`, for partitions: the same on every node that shares the seed.
    pub fn hash_str(self, text: &str) -> u64 {
        SipHasher13::new_with_keys(self.0, self.1).hash(text.as_bytes())
    }
}

/// Builds SipHash-1-3 under one [`HashSeed`].
#[derive(Clone, Copy)]
pub struct KeyedState(HashSeed);

impl KeyedState {
    /// The state that every map of one owner is made with.
    pub fn new(seed: HashSeed) -> KeyedState {
        KeyedState(seed)
    }
}

impl BuildHasher for KeyedState {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0.0, self.0.1)
    }
}

/// A map that remote parties may pick the keys of: `KeyedMap::with_hasher(state)`.
pub type KeyedMap<K, V> = HashMap<K, V, KeyedState>;

/// A set that remote parties may pick the members of.
pub type KeyedSet<K> = HashSet<K, KeyedState>;
