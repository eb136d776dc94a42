//! Every message by its number, sent against received: what is lost, comes twice, out of order, or to somebody else. It
//! knows nothing of connections.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

/// What went wrong; anything of it fails a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// Sent, and never come.
    pub lost: u64,
    /// Come a second time.
    pub duplicated: u64,
    /// Overtaken by one that was sent later.
    pub disordered: u64,
    /// Come to somebody to whom it was not sent.
    pub misrouted: u64,
    /// Come back as an error.
    pub bounced: u64,
    /// Sessions that ended without being asked to.
    pub closed: u64,
    /// Logins refused, or not done in time.
    pub logins_failed: u64,
    /// Requests answered by an error, or not at all.
    pub refused: u64,
}

impl Faults {
    fn zip(&self, other: &Self, with: fn(u64, u64) -> u64) -> Self {
        Self {
            lost: with(self.lost, other.lost),
            duplicated: with(self.duplicated, other.duplicated),
            disordered: with(self.disordered, other.disordered),
            misrouted: with(self.misrouted, other.misrouted),
            bounced: with(self.bounced, other.bounced),
            closed: with(self.closed, other.closed),
            logins_failed: with(self.logins_failed, other.logins_failed),
            refused: with(self.refused, other.refused),
        }
    }

    pub fn add(&mut self, other: &Self) {
        *self = self.zip(other, |a, b| a + b);
    }

    pub fn since(&self, earlier: &Self) -> Self {
        self.zip(earlier, u64::saturating_sub)
    }

    /// Each with its name, for tables.
    pub fn named(&self) -> [(&'static str, u64); 8] {
        [
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("out of order", self.disordered),
            ("misrouted", self.misrouted),
            ("bounced", self.bounced),
            ("sessions closed", self.closed),
            ("logins failed", self.logins_failed),
            ("requests refused", self.refused),
        ]
    }

    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }

    /// Whether nothing went wrong but what a server does that has too much to do: it lets nobody in, or answers no requests.
    pub fn is_shedding(&self) -> bool {
        let others = Self {
            logins_failed: 0,
            refused: 0,
            ..*self
        };
        others.is_clean()
    }
}

/// The messages of one sender to one receiver.
#[derive(Debug, Default)]
struct Lane {
    sent: u32,
    /// The number that should come next.
    expected: u32,
    /// Numbers that were passed over and may still come.
    missing: BTreeSet<u32>,
}

/// All lanes of a thread.
#[derive(Debug, Default)]
pub struct Ledger {
    lanes: HashMap<(u32, u32), Lane>,
    under_way: u64,
}

impl Ledger {
    /// The number of the next message on this lane, which is under way from here on.
    pub fn send(&mut self, sender: u32, receiver: u32) -> u32 {
        let lane = self.lanes.entry((sender, receiver)).or_default();
        lane.sent += 1;
        self.under_way += 1;
        lane.sent - 1
    }

    /// Takes one in; false when it should not have come.
    pub fn receive(
        &mut self,
        sender: u32,
        receiver: u32,
        number: u32,
        faults: &mut Faults,
    ) -> bool {
        let lane = self.lanes.get_mut(&(sender, receiver));
        let Some(lane) = lane.filter(|lane| number < lane.sent) else {
            faults.misrouted += 1;
            return false;
        };
        if number >= lane.expected {
            if number > lane.expected {
                lane.missing.extend(lane.expected..number);
            }
            lane.expected = number + 1;
        } else if lane.missing.remove(&number) {
            faults.disordered += 1;
        } else {
            faults.duplicated += 1;
            return false;
        }
        // What comes when nobody waits any longer is lost already.
        self.under_way = self.under_way.saturating_sub(1);
        true
    }

    /// Sent, and neither come nor counted as lost.
    pub fn under_way(&self) -> u64 {
        self.under_way
    }

    /// Nobody waits any longer: what is under way is lost.
    pub fn close(&mut self, faults: &mut Faults) {
        faults.lost += std::mem::take(&mut self.under_way);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(sent: u32, arrivals: &[(u32, u32)]) -> Faults {
        let mut ledger = Ledger::default();
        let mut faults = Faults::default();
        for number in 0..sent {
            assert_eq!(ledger.send(1, 2), number);
        }
        for &(receiver, number) in arrivals {
            ledger.receive(1, receiver, number, &mut faults);
        }
        ledger.close(&mut faults);
        faults
    }

    fn each_to_2(numbers: &[u32]) -> Vec<(u32, u32)> {
        numbers.iter().map(|number| (2, *number)).collect()
    }

    #[test]
    fn what_comes_once_and_in_order_is_no_fault() {
        assert!(faults(3, &each_to_2(&[0, 1, 2])).is_clean());
    }

    #[test]
    fn what_comes_when_nobody_waits_any_longer_is_lost() {
        let (mut ledger, mut faults) = (Ledger::default(), Faults::default());
        ledger.send(1, 2);
        ledger.close(&mut faults);
        ledger.receive(1, 2, 0, &mut faults);
        assert_eq!((faults.lost, ledger.under_way()), (1, 0));
    }

    #[test]
    fn every_fault_is_counted_as_what_it_is() {
        let clean = Faults::default();
        let lost = |lost| Faults { lost, ..clean };
        assert_eq!(faults(3, &each_to_2(&[0, 2])), lost(1));
        assert_eq!(faults(3, &each_to_2(&[0, 1])), lost(1));
        assert_eq!(faults(3, &[]), lost(3));
        let twice = Faults {
            duplicated: 1,
            ..clean
        };
        assert_eq!(faults(2, &each_to_2(&[0, 1, 1])), twice);
        assert_eq!(faults(2, &each_to_2(&[0, 0, 1])), twice);
        let late = Faults {
            disordered: 1,
            ..clean
        };
        assert_eq!(faults(3, &each_to_2(&[1, 0, 2])), late);
        let late_and_twice = Faults {
            disordered: 1,
            duplicated: 1,
            ..clean
        };
        assert_eq!(faults(3, &each_to_2(&[1, 0, 0, 2])), late_and_twice);
        let astray = Faults {
            misrouted: 1,
            lost: 1,
            ..clean
        };
        assert_eq!(faults(1, &[(3, 0)]), astray);
        let invented = Faults {
            misrouted: 1,
            ..clean
        };
        assert_eq!(faults(1, &each_to_2(&[0, 7])), invented);
    }
}
