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

/// By whose leave somebody comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comer {
    /// The operator has invited them: the host has room for them, and they take none of others.
    OfOperator,
    /// A user has, or nobody.
    Other,
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

    /// Whether an address, and the host as a whole, may make one account more.
    pub fn has_room(
        &mut self,
        (host, prefix): (&Arc<str>, AddressPrefix),
        comer: Comer,
        option: &HostRegistration,
        now: Now,
    ) -> bool {
        let host_has_room = match comer {
            Comer::OfOperator => true,
            Comer::Other => self.host(host, option, now).made < option.per_host,
        };
        host_has_room && self.prefix(host, prefix, option, now).made < option.per_address
    }

    /// Counts an account that is about to be made.
    pub fn made(
        &mut self,
        (host, prefix): (&Arc<str>, AddressPrefix),
        comer: Comer,
        option: &HostRegistration,
        now: Now,
    ) {
        if comer == Comer::Other {
            self.host(host, option, now).made += 1;
        }
        self.prefix(host, prefix, option, now).made += 1;
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
            assert!(known.has_room((&host, v4(1)), Comer::Other, &option, at(0)));
            known.made((&host, v4(1)), Comer::Other, &option, at(0));
        }
        assert!(!known.has_room((&host, v4(1)), Comer::Other, &option, at(3_599_999)));
        assert!(!known.has_room((&host, v4(1)), Comer::OfOperator, &option, at(3_599_999)));
        assert!(known.has_room((&host, v4(2)), Comer::Other, &option, at(0)));
        assert!(known.has_room(
            (&Arc::from("example.net"), v4(1)),
            Comer::Other,
            &option,
            at(0)
        ));
        assert!(known.has_room((&host, v4(1)), Comer::Other, &option, at(3_600_000)));
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
            if known.has_room((&host, v4(address)), Comer::Other, &option, at(0)) {
                known.made((&host, v4(address)), Comer::Other, &option, at(0));
                made += 1;
            }
        }
        assert_eq!(made, 3);
        // Of whom the operator invites, the host has room for more.
        assert!(known.has_room((&host, v4(9)), Comer::OfOperator, &option, at(0)));
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
