//! How long a failed attempt waits for its verdict (peers.md row 21). Refuses to delay anything but failures:
//! whoever knows the password never meets this table, whatever others did to the account or the address.

use std::collections::BTreeMap;

use crate::base::{AddressPrefix, HashSeed, KeyedMap, KeyedState, Now, limits};

/// Failures by address prefix and by account name, whether or not there is such an account.
pub struct Penalties {
    seed: HashSeed,
    /// Apart, so that a list of names cannot push out the address that tries them.
    prefixes: Table,
    accounts: Table,
}

impl Penalties {
    /// No failures yet. Names are kept as hashes under `seed`.
    pub fn new(seed: HashSeed) -> Penalties {
        Penalties {
            seed,
            prefixes: Table::new(seed),
            accounts: Table::new(seed),
        }
    }

    /// Counts a failure; answers after how many milliseconds the peer may be told.
    pub fn fail(
        &mut self,
        host: &str,
        localpart: Option<&str>,
        prefix: AddressPrefix,
        now: Now,
    ) -> u64 {
        let by_prefix = match prefix {
            AddressPrefix::V4(octets) => {
                let key = u64::from(u32::from_be_bytes(octets));
                self.prefixes.fail(key, now)
            }
            // A /64 beginning with 32 zero bits is no one's: it cannot be mistaken for IPv4.
            AddressPrefix::V6(octets) => self.prefixes.fail(u64::from_be_bytes(octets), now),
            // Everybody behind a unix socket would share one entry.
            AddressPrefix::Local => 0,
        };
        let by_account = match localpart {
            Some(localpart) => {
                let key = self.seed.hash_str(&format!("{host}\0{localpart}"));
                self.accounts.fail(key, now)
            }
            None => 0,
        };
        by_prefix.max(by_account).max(limits::PENALTY_FIRST_MS)
    }
}

/// One kind of key with its failures; the least recently failed are forgotten first.
struct Table {
    entries: KeyedMap<u64, Entry>,
    /// Keys by their last failure.
    oldest: BTreeMap<u64, u64>,
    next_order: u64,
}

struct Entry {
    failures: u8,
    last_ms: u64,
    order: u64,
}

impl Table {
    fn new(seed: HashSeed) -> Table {
        Table {
            entries: KeyedMap::with_hasher(KeyedState::new(seed)),
            oldest: BTreeMap::new(),
            next_order: 0,
        }
    }

    fn fail(&mut self, key: u64, now: Now) -> u64 {
        let order = self.next_order;
        self.next_order += 1;
        let before = match self.entries.remove(&key) {
            Some(entry) => {
                self.oldest.remove(&entry.order);
                let forgotten =
                    now.mono_ms.saturating_sub(entry.last_ms) / limits::PENALTY_DECAY_MS;
                u64::from(entry.failures).saturating_sub(forgotten)
            }
            None => 0,
        };
        // `before` was a u8 and is bounded by the line below.
        let failures = (before + 1).min(FAILURES_MAX) as u8;
        self.entries.insert(
            key,
            Entry {
                failures,
                last_ms: now.mono_ms,
                order,
            },
        );
        self.oldest.insert(order, key);
        while self.entries.len() > limits::PENALTY_COUNT_MAX {
            let Some((_, forgotten)) = self.oldest.pop_first() else {
                break;
            };
            self.entries.remove(&forgotten);
        }
        (limits::PENALTY_FIRST_MS << before.min(FAILURES_MAX)).min(limits::PENALTY_MAX_MS)
    }
}

/// More are not counted, so that a quarter of an hour forgets any number of them.
const FAILURES_MAX: u64 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: HashSeed = HashSeed(1, 2);

    fn at(ms: u64) -> Now {
        Now::default().plus_ms(ms)
    }

    fn v4(last: u8) -> AddressPrefix {
        AddressPrefix::V4([192, 0, 2, last])
    }

    #[test]
    fn delays_double_up_to_the_longest() {
        let mut penalties = Penalties::new(SEED);
        let delays: Vec<_> = (0..20)
            .map(|_| penalties.fail("example.com", Some("juliet"), v4(1), at(0)))
            .collect();
        assert_eq!(delays[..6], [500, 1_000, 2_000, 4_000, 8_000, 8_000]);
        assert_eq!(delays[19], 8_000);
    }

    #[test]
    fn an_address_pays_for_trying_many_names_and_a_name_for_being_tried_from_many_addresses() {
        let mut penalties = Penalties::new(SEED);
        for index in 0..5 {
            let name = format!("name{index}");
            penalties.fail("example.com", Some(&name), v4(1), at(0));
            penalties.fail("example.com", Some("juliet"), v4(10 + index), at(0));
        }
        assert_eq!(
            penalties.fail("example.com", Some("fresh"), v4(1), at(0)),
            8_000
        );
        assert_eq!(
            penalties.fail("example.com", Some("juliet"), v4(99), at(0)),
            8_000
        );
        assert_eq!(
            penalties.fail("example.com", Some("fresh2"), v4(98), at(0)),
            500
        );
        assert_eq!(
            penalties.fail("example.org", Some("juliet"), v4(97), at(0)),
            500
        );
    }

    #[test]
    fn failures_are_forgotten_one_a_minute() {
        let mut penalties = Penalties::new(SEED);
        for _ in 0..4 {
            penalties.fail("example.com", Some("juliet"), v4(1), at(0));
        }
        let mut later = |ms| penalties.fail("example.com", Some("juliet"), v4(1), at(ms));
        assert_eq!(later(59_999), 8_000);
        assert_eq!(later(59_999 + 3 * 60_000), 2_000);
        assert_eq!(later(10_000_000), 500);
        // A clock that seems to go back forgets nothing and breaks nothing.
        assert_eq!(later(0), 1_000);
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_quiet_first() {
        let mut table = Table::new(SEED);
        for _ in 0..3 {
            table.fail(u64::MAX, at(0));
        }
        for key in 0..limits::PENALTY_COUNT_MAX as u64 + 10 {
            table.fail(key, at(0));
            if key % 1_000 == 0 {
                table.fail(u64::MAX, at(0));
            }
        }
        assert_eq!(table.entries.len(), limits::PENALTY_COUNT_MAX);
        assert_eq!(table.oldest.len(), limits::PENALTY_COUNT_MAX);
        assert_eq!(table.fail(0, at(0)), 500, "the first was forgotten");
        assert_eq!(
            table.fail(u64::MAX, at(0)),
            8_000,
            "who goes on is remembered"
        );
    }

    #[test]
    fn who_has_no_address_pays_for_the_name_only() {
        let mut penalties = Penalties::new(SEED);
        for _ in 0..5 {
            penalties.fail("example.com", None, AddressPrefix::Local, at(0));
        }
        assert_eq!(
            penalties.fail("example.com", None, AddressPrefix::Local, at(0)),
            500
        );
    }
}
