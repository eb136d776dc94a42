//! How many accounts were made lately, by address and by host: what a host allows is a bound on both. Refuses to
//! know names and passwords, and forgets everything with the process.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{AddressPrefix, HashSeed, KeyedMap, KeyedState, Now, limits};
use crate::config::HostRegistration;

/// Accounts made and tried within a host's window.
pub struct Registrations {
    prefixes: KeyedMap<(Arc<str>, AddressPrefix), Tally>,
    /// The same by age: the oldest windows are forgotten first.
    oldest: BTreeMap<u64, (Arc<str>, AddressPrefix)>,
    hosts: BTreeMap<Arc<str>, Tally>,
    next_order: u64,
}

/// Whose guest a newcomer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guest {
    /// The host lets so many in.
    OfHost,
    /// Whom the operator invites, the host has room for, and they take none of others.
    OfOperator,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    since_ms: u64,
    order: u64,
    attempts: u32,
    made: u32,
}

impl Tally {
    /// A new window begins when the old one is over.
    fn at(self, now: Now, window_ms: u64) -> Tally {
        match now.mono_ms.saturating_sub(self.since_ms) < window_ms {
            true => self,
            false => Tally {
                since_ms: now.mono_ms,
                order: self.order,
                ..Tally::default()
            },
        }
    }
}

impl Registrations {
    /// None yet.
    pub fn new(seed: HashSeed) -> Registrations {
        Registrations {
            prefixes: KeyedMap::with_hasher(KeyedState::new(seed)),
            oldest: BTreeMap::new(),
            hosts: BTreeMap::new(),
            next_order: 0,
        }
    }

    /// Counts an attempt, with or without an invitation; whether it may go on.
    pub fn may_try(
        &mut self,
        host: &Arc<str>,
        prefix: AddressPrefix,
        option: &HostRegistration,
        now: Now,
    ) -> bool {
        let attempts_max = option
            .per_address
            .saturating_mul(limits::REGISTRATION_ATTEMPTS_PER_ACCOUNT);
        let tally = self.prefix(host, prefix, option, now);
        tally.attempts = tally.attempts.saturating_add(1);
        tally.attempts <= attempts_max
    }

    /// Counts an account that is about to be made, if the address and the host have room for it; whether they have. Asked
    /// and counted at once: two threads make accounts.
    pub fn reserve(
        &mut self,
        host: &Arc<str>,
        prefix: AddressPrefix,
        option: &HostRegistration,
        guest: Guest,
        now: Now,
    ) -> bool {
        let of_host = self.host(host, option, now).made;
        let of_prefix = self.prefix(host, prefix, option, now).made;
        let is_full = guest == Guest::OfHost && of_host >= option.per_host;
        if is_full || of_prefix >= option.per_address {
            return false;
        }
        if guest == Guest::OfHost {
            self.host(host, option, now).made += 1;
        }
        self.prefix(host, prefix, option, now).made += 1;
        true
    }

    /// Nothing came of an account that was counted.
    pub fn give_back(
        &mut self,
        host: &Arc<str>,
        prefix: AddressPrefix,
        option: &HostRegistration,
        guest: Guest,
        now: Now,
    ) {
        if guest == Guest::OfHost {
            let of_host = self.host(host, option, now);
            of_host.made = of_host.made.saturating_sub(1);
        }
        let of_prefix = self.prefix(host, prefix, option, now);
        of_prefix.made = of_prefix.made.saturating_sub(1);
    }

    fn host(&mut self, host: &Arc<str>, option: &HostRegistration, now: Now) -> &mut Tally {
        let tally = self.hosts.entry(Arc::clone(host)).or_default();
        *tally = tally.at(now, option.window.as_ms());
        tally
    }

    fn prefix(
        &mut self,
        host: &Arc<str>,
        prefix: AddressPrefix,
        option: &HostRegistration,
        now: Now,
    ) -> &mut Tally {
        let key = (Arc::clone(host), prefix);
        if !self.prefixes.contains_key(&key) {
            self.make_room();
            let order = self.next_order;
            self.next_order += 1;
            self.oldest.insert(order, key.clone());
            let tally = Tally {
                since_ms: now.mono_ms,
                order,
                ..Tally::default()
            };
            self.prefixes.insert(key.clone(), tally);
        }
        let tally = self.prefixes.entry(key).or_default();
        *tally = tally.at(now, option.window.as_ms());
        tally
    }

    fn make_room(&mut self) {
        while self.prefixes.len() >= limits::REGISTRATION_PREFIXES_MAX {
            let Some((_, forgotten)) = self.oldest.pop_first() else {
                return;
            };
            self.prefixes.remove(&forgotten);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(per_address: u32, per_host: u32) -> HostRegistration {
        HostRegistration {
            per_address,
            per_host,
            ..HostRegistration::default()
        }
    }

    fn v4(last: u16) -> AddressPrefix {
        let [high, low] = last.to_be_bytes();
        AddressPrefix::V4([192, 0, high, low])
    }

    fn at(ms: u64) -> Now {
        Now::default().plus_ms(ms)
    }

    #[test]
    fn an_address_makes_so_many_accounts_in_an_hour_and_others_are_not_its_affair() {
        let mut known = Registrations::new(HashSeed(1, 2));
        let (host, option) = (Arc::from("example.org"), option(2, 100));
        for _ in 0..2 {
            assert!(known.reserve(&host, v4(1), &option, Guest::OfHost, at(0)));
        }
        for guest in [Guest::OfHost, Guest::OfOperator] {
            assert!(!known.reserve(&host, v4(1), &option, guest, at(3_599_999)));
        }
        assert!(known.reserve(&host, v4(2), &option, Guest::OfHost, at(0)));
        let other = Arc::from("example.net");
        assert!(known.reserve(&other, v4(1), &option, Guest::OfHost, at(0)));
        assert!(known.reserve(&host, v4(1), &option, Guest::OfHost, at(3_600_000)));
    }

    #[test]
    fn an_account_that_was_not_made_takes_nobodys_place() {
        let mut known = Registrations::new(HashSeed(1, 2));
        let (host, option) = (Arc::from("example.org"), option(1, 1));
        for _ in 0..3 {
            assert!(known.reserve(&host, v4(1), &option, Guest::OfHost, at(0)));
            assert!(!known.reserve(&host, v4(2), &option, Guest::OfHost, at(0)));
            known.give_back(&host, v4(1), &option, Guest::OfHost, at(0));
        }
        // In another window there is nothing to give back.
        known.give_back(&host, v4(1), &option, Guest::OfHost, at(9_000_000));
        assert!(known.reserve(&host, v4(1), &option, Guest::OfHost, at(9_000_000)));
    }

    #[test]
    fn who_only_tries_names_is_stopped_too() {
        let mut known = Registrations::new(HashSeed(1, 2));
        let (host, option) = (Arc::from("example.org"), option(1, 100));
        let tried = (0..100).filter(|_| known.may_try(&host, v4(1), &option, at(0)));
        assert_eq!(
            tried.count(),
            limits::REGISTRATION_ATTEMPTS_PER_ACCOUNT as usize
        );
    }

    #[test]
    fn a_host_has_its_own_bound_however_many_addresses_come() {
        let mut known = Registrations::new(HashSeed(1, 2));
        let (host, option) = (Arc::from("example.org"), option(1, 3));
        let mut made = 0;
        for address in 0..10 {
            if known.reserve(&host, v4(address), &option, Guest::OfHost, at(0)) {
                made += 1;
            }
        }
        assert_eq!(made, 3);
        // Of whom the operator invites, the host has room for more.
        assert!(known.reserve(&host, v4(9), &option, Guest::OfOperator, at(0)));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut known = Registrations::new(HashSeed(1, 2));
        let (host, option) = (Arc::from("example.org"), option(1, 1));
        for address in 0..limits::REGISTRATION_PREFIXES_MAX as u16 + 10 {
            known.may_try(&host, v4(address), &option, at(0));
        }
        assert_eq!(known.prefixes.len(), limits::REGISTRATION_PREFIXES_MAX);
        assert_eq!(known.oldest.len(), known.prefixes.len());
    }
}
