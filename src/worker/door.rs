//! Who may be inside: one count of connections, one per address prefix of those that have not proved who
//! they are, one per worker of those still shaking hands. Refuses to know sockets and streams.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::base::{AddressPrefix, WorkerId};

/// The counts, shared by the doorman and all workers.
#[derive(Debug)]
pub struct Door {
    total: AtomicUsize,
    limits: DoorLimits,
    unproved: Mutex<HashMap<AddressPrefix, usize>>,
    unsecured: Vec<AtomicUsize>,
    /// Where [`Door::calmest`] begins to look, counted on.
    next: AtomicUsize,
}

/// How many may be inside.
#[derive(Clone, Copy, Debug)]
pub struct DoorLimits {
    /// Connections in all: below the process's limit of descriptors.
    pub total_max: usize,
    /// Connections of one prefix that have not proved who they are. [`AddressPrefix::Local`] is free.
    pub unproved_max: usize,
}

/// Why somebody must stay outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The server is full.
    Full,
    /// Too many of this prefix have not proved who they are.
    PrefixFull,
}

impl Door {
    /// An empty house with `worker_count` workers.
    pub fn new(limits: DoorLimits, worker_count: usize) -> Arc<Door> {
        Arc::new(Door {
            total: AtomicUsize::new(0),
            limits,
            unproved: Mutex::new(HashMap::new()),
            unsecured: (0..worker_count).map(|_| AtomicUsize::new(0)).collect(),
            next: AtomicUsize::new(0),
        })
    }

    /// Lets one connection in: it counts until the permit is dropped.
    pub fn admit(self: &Arc<Door>, prefix: AddressPrefix) -> Result<Permit, Refusal> {
        if self.total.fetch_add(1, Ordering::Relaxed) >= self.limits.total_max {
            self.total.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Full);
        }
        let worker = self.calmest();
        self.unsecured[worker.index()].fetch_add(1, Ordering::Relaxed);
        let mut permit = Permit {
            door: Arc::clone(self),
            worker,
            prefix: AddressPrefix::Local,
            unsecured: true,
            is_proved: false,
        };
        permit.count_under(prefix)?;
        Ok(permit)
    }

    /// Connections inside.
    pub fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// The worker with the fewest connections that are still shaking hands; of several, each in turn, or one worker
    /// would shake hands with all who come one after the other.
    fn calmest(&self) -> WorkerId {
        let count = self.unsecured.len();
        let first = self.next.fetch_add(1, Ordering::Relaxed) % count;
        let in_turn = (first..count).chain(0..first);
        let index = in_turn
            .min_by_key(|index| self.unsecured[*index].load(Ordering::Relaxed))
            .expect("a server has at least one worker");
        WorkerId(u8::try_from(index).expect("there are at most 256 workers"))
    }
}

/// The right to be inside; dropped with the connection.
#[derive(Debug)]
pub struct Permit {
    door: Arc<Door>,
    /// Under which it counts as unproved; `Local` is not counted.
    prefix: AddressPrefix,
    worker: WorkerId,
    unsecured: bool,
    is_proved: bool,
}

impl Permit {
    /// The worker that shall shake hands with it.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// Counts it under `prefix`, and no longer under the one before: a proxy has told who it is.
    pub fn count_under(&mut self, prefix: AddressPrefix) -> Result<(), Refusal> {
        self.uncount();
        if prefix != AddressPrefix::Local {
            let mut unproved = self.door.unproved.lock();
            let count = unproved.entry(prefix).or_insert(0);
            if *count >= self.door.limits.unproved_max {
                return Err(Refusal::PrefixFull);
            }
            *count += 1;
            self.prefix = prefix;
        }
        Ok(())
    }

    /// It has proved who it is: its prefix may send another one.
    pub fn proved(&mut self) {
        self.is_proved = true;
        self.uncount();
    }

    /// Whether it has.
    pub fn is_proved(&self) -> bool {
        self.is_proved
    }

    fn uncount(&mut self) {
        if self.prefix == AddressPrefix::Local {
            return;
        }
        let prefix = std::mem::replace(&mut self.prefix, AddressPrefix::Local);
        let mut unproved = self.door.unproved.lock();
        if let Some(count) = unproved.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                unproved.remove(&prefix);
            }
        }
    }

    /// Its handshake is behind it: its worker may get another one.
    pub fn secured(&mut self) {
        if std::mem::replace(&mut self.unsecured, false) {
            self.door.unsecured[self.worker.index()].fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.uncount();
        self.secured();
        self.door.total.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: DoorLimits = DoorLimits {
        total_max: 4,
        unproved_max: 2,
    };
    const ROMEO: AddressPrefix = AddressPrefix::V4([192, 0, 2, 1]);
    const JULIET: AddressPrefix = AddressPrefix::V4([192, 0, 2, 2]);

    #[test]
    fn one_prefix_cannot_fill_the_house() {
        let door = Door::new(LIMITS, 1);
        let mut first = door.admit(ROMEO).unwrap();
        let second = door.admit(ROMEO).unwrap();
        assert_eq!(door.admit(ROMEO).unwrap_err(), Refusal::PrefixFull);
        assert_eq!(door.total(), 2);
        let _juliet = door.admit(JULIET).unwrap();
        first.proved();
        let _third = door.admit(ROMEO).unwrap();
        assert_eq!(door.admit(JULIET).unwrap_err(), Refusal::Full);
        drop(second);
        drop(door.admit(ROMEO).unwrap());
        assert_eq!(door.total(), 3);
    }

    #[test]
    fn connections_behind_a_proxy_count_under_the_address_it_tells() {
        let door = Door::new(LIMITS, 1);
        let mut permits: Vec<_> = (0..3)
            .map(|_| door.admit(AddressPrefix::Local).unwrap())
            .collect();
        assert_eq!(permits[0].count_under(ROMEO), Ok(()));
        assert_eq!(permits[1].count_under(ROMEO), Ok(()));
        assert_eq!(permits[2].count_under(ROMEO), Err(Refusal::PrefixFull));
        drop(permits);
        assert_eq!(door.total(), 0);
        assert!(door.unproved.lock().is_empty());
    }

    #[test]
    fn newcomers_go_to_the_worker_with_the_fewest_handshakes() {
        let door = Door::new(LIMITS, 2);
        let mut first = door.admit(AddressPrefix::Local).unwrap();
        let second = door.admit(AddressPrefix::Local).unwrap();
        assert_eq!(
            (first.worker(), second.worker()),
            (WorkerId(0), WorkerId(1))
        );
        let third = door.admit(AddressPrefix::Local).unwrap();
        assert_eq!(third.worker(), WorkerId(0));
        first.secured();
        drop(third);
        // It would be the other's turn, but that one is at work.
        assert_eq!(
            door.admit(AddressPrefix::Local).unwrap().worker(),
            WorkerId(0)
        );
    }

    #[test]
    fn guests_who_come_one_after_the_other_are_spread_over_the_workers() {
        let door = Door::new(LIMITS, 3);
        let mut welcomed = [0; 3];
        for _ in 0..30 {
            let guest = door.admit(AddressPrefix::Local).unwrap();
            welcomed[guest.worker().index()] += 1;
        }
        assert_eq!(welcomed, [10; 3]);
    }
}
