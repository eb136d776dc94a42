//! How often something was done lately, by whoever did it. Refuses to know what it was, and forgets everything with the
//! process.

use std::collections::BTreeMap;
use std::hash::Hash;

use crate::base::{AccountId, AddressPrefix, HashSeed, KeyedMap, KeyedState, Now, limits};

/// Counts by key, each from its first on until its time is over; the oldest are forgotten first.
pub struct Windows<K> {
    counts: KeyedMap<K, Window>,
    /// Keys by age.
    oldest: BTreeMap<u64, K>,
    next_order: u64,
    window_ms: u64,
}

#[derive(Clone, Copy)]
struct Window {
    since_ms: u64,
    order: u64,
    count: u32,
}

impl<K: Clone + Eq + Hash> Windows<K> {
    /// Nothing was done yet.
    pub fn new(seed: HashSeed, window_ms: u64) -> Windows<K> {
        Windows {
            counts: KeyedMap::with_hasher(KeyedState::new(seed)),
            oldest: BTreeMap::new(),
            next_order: 0,
            window_ms,
        }
    }

    /// How often it was done within the time that runs.
    pub fn count(&self, key: &K, now: Now) -> u32 {
        let window = self.counts.get(key);
        let window = window.filter(|window| !self.is_over(window, now));
        window.map_or(0, |window| window.count)
    }

    /// It is done once more.
    pub fn add(&mut self, key: K, now: Now) {
        if let Some(window) = self.counts.get(&key).copied() {
            if !self.is_over(&window, now) {
                let count = window.count.saturating_add(1);
                self.counts.insert(key, Window { count, ..window });
                return;
            }
            self.oldest.remove(&window.order);
        }
        let order = self.next_order;
        self.next_order += 1;
        self.oldest.insert(order, key.clone());
        let window = Window {
            since_ms: now.mono_ms,
            order,
            count: 1,
        };
        self.counts.insert(key, window);
        while self.counts.len() > limits::WINDOWS_MAX {
            let Some((_, forgotten)) = self.oldest.pop_first() else {
                return;
            };
            self.counts.remove(&forgotten);
        }
    }

    fn is_over(&self, window: &Window, now: Now) -> bool {
        now.mono_ms.saturating_sub(window.since_ms) >= self.window_ms
    }
}

/// Changes of passwords by those who know them: by account and by address. Whoever changes one from somewhere else, or
/// another at the same place, keeps nobody from it.
pub struct PasswordChanges(Windows<(AccountId, Option<AddressPrefix>)>);

impl PasswordChanges {
    /// None yet.
    pub fn new(seed: HashSeed) -> PasswordChanges {
        PasswordChanges(Windows::new(seed, limits::PASSWORD_CHANGES_WINDOW_MS))
    }

    /// Whether the account may change its password now, from this address if that is known; if so, it counts.
    pub fn may(&mut self, account: AccountId, prefix: Option<AddressPrefix>, now: Now) -> bool {
        let key = (account, prefix);
        let fits = self.0.count(&key, now) < limits::PASSWORD_CHANGES_MAX;
        if fits {
            self.0.add(key, now);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now::default().plus_ms(ms)
    }

    #[test]
    fn a_count_begins_anew_when_its_time_is_over() {
        let mut windows = Windows::new(HashSeed(1, 2), 1_000);
        for ms in [0, 500, 999] {
            windows.add("a", at(ms));
        }
        assert_eq!(windows.count(&"a", at(999)), 3);
        assert_eq!(windows.count(&"b", at(999)), 0);
        assert_eq!(windows.count(&"a", at(1_000)), 0);
        windows.add("a", at(1_000));
        assert_eq!(windows.count(&"a", at(1_999)), 1);
        assert_eq!(windows.oldest.len(), 1);
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let mut windows = Windows::new(HashSeed(1, 2), 1_000);
        for key in 0..=limits::WINDOWS_MAX {
            windows.add(key, at(0));
        }
        assert_eq!(windows.count(&0, at(0)), 0);
        assert_eq!(windows.count(&1, at(0)), 1);
        assert_eq!(windows.counts.len(), windows.oldest.len());
    }

    #[test]
    fn a_password_changes_so_often_from_one_address() {
        let mut changes = PasswordChanges::new(HashSeed(1, 2));
        let prefix = |last| Some(AddressPrefix::V4([192, 0, 2, last]));
        let may = (0..100).filter(|_| changes.may(AccountId(1), prefix(1), at(0)));
        assert_eq!(may.count(), limits::PASSWORD_CHANGES_MAX as usize);
        assert!(changes.may(AccountId(1), prefix(2), at(0)));
        assert!(changes.may(AccountId(2), prefix(1), at(0)));
        let over = at(limits::PASSWORD_CHANGES_WINDOW_MS);
        assert!(changes.may(AccountId(1), prefix(1), over));
    }
}
