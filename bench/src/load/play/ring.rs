//! Who hears of whom: communities of equal size, each a ring on which everybody has as many neighbours on either side. It
//! knows nothing of what they hear.

use super::super::ledger::Faults;
use super::super::scenario::Users;

/// The communities of one stage; its seats are whole communities.
#[derive(Debug, Clone, Copy)]
pub struct Ring {
    community: usize,
    /// Neighbours on either side.
    reach: usize,
}

impl Ring {
    pub fn of(users: &Users) -> Self {
        Self {
            community: users.community as usize,
            reach: users.contacts as usize / 2,
        }
    }

    pub fn contacts(self) -> usize {
        2 * self.reach
    }

    /// The contact number `place` (below `contacts`) of a seat.
    pub fn contact(self, seat: usize, place: usize) -> usize {
        let (first, at) = (seat - seat % self.community, seat % self.community);
        let step = place / 2 + 1;
        let step = if place.is_multiple_of(2) {
            step
        } else {
            self.community - step
        };
        first + (at + step) % self.community
    }

    /// Which contact of `seat` another one is.
    pub fn place(self, seat: usize, other: usize) -> Option<usize> {
        if seat / self.community != other / self.community {
            return None;
        }
        let ahead = (other + self.community - seat) % self.community;
        let behind = self.community - ahead;
        match (ahead, behind) {
            (1.., _) if ahead <= self.reach => Some(2 * (ahead - 1)),
            (1.., _) if behind <= self.reach => Some(2 * (behind - 1) + 1),
            _ => None,
        }
    }
}

/// Everything that is said to many, counted at each who should hear it.
#[derive(Debug)]
pub struct Hearers {
    each: usize,
    sent: Vec<u32>,
    /// By hearer and place of the speaker: what should come next.
    expected: Vec<u32>,
    under_way: u64,
}

impl Hearers {
    /// So many seats, each of which hears so many others.
    pub fn new(seats: usize, each: usize) -> Self {
        Self {
            each,
            sent: vec![0; seats],
            expected: vec![0; seats * each],
            under_way: 0,
        }
    }

    /// The number of what is said now, to so many.
    pub fn say(&mut self, speaker: usize, hearers: usize) -> u32 {
        self.sent[speaker] += 1;
        self.under_way += hearers as u64;
        self.sent[speaker] - 1
    }

    /// One has heard it; gives how many were passed over, or None when it should not have come.
    pub fn hear(
        &mut self,
        hearer: usize,
        place: usize,
        speaker: usize,
        number: u32,
        faults: &mut Faults,
    ) -> Option<u32> {
        // Before anything was said there are no places, and nothing to be heard.
        let said = self.sent.get(speaker).copied().unwrap_or_default();
        let expected = self.expected.get_mut(hearer * self.each + place);
        let Some(expected) = expected.filter(|_| number < said) else {
            faults.misrouted += 1;
            return None;
        };
        if number < *expected {
            // Twice, or after one that was said later: which of them would take memory to tell.
            faults.duplicated += 1;
            return None;
        }
        let skipped = number - *expected;
        *expected = number + 1;
        self.under_way = self.under_way.saturating_sub(1 + u64::from(skipped));
        Some(skipped)
    }

    pub fn under_way(&self) -> u64 {
        self.under_way
    }

    pub fn close(&mut self, faults: &mut Faults) {
        faults.lost += std::mem::take(&mut self.under_way);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_are_mutual_different_and_within_the_community() {
        for (community, contacts) in [(3, 2), (10, 4), (10, 8), (51, 50)] {
            let users = Users {
                community,
                contacts,
                ..Users::default()
            };
            let ring = Ring::of(&users);
            for seat in [
                0,
                1,
                community as usize - 1,
                community as usize,
                2 * community as usize - 1,
            ] {
                let mut all: Vec<usize> = (0..ring.contacts())
                    .map(|p| ring.contact(seat, p))
                    .collect();
                for (place, &other) in all.iter().enumerate() {
                    assert_eq!(other / community as usize, seat / community as usize);
                    assert_ne!(other, seat);
                    assert_eq!(
                        ring.place(seat, other),
                        Some(place),
                        "{community} {seat} {other}"
                    );
                    assert!(ring.place(other, seat).is_some(), "not mutual");
                }
                all.sort_unstable();
                all.dedup();
                assert_eq!(all.len(), contacts as usize);
            }
        }
    }

    #[test]
    fn what_is_not_heard_is_lost_and_what_is_heard_twice_is_a_fault() {
        let mut hearers = Hearers::new(3, 2);
        let mut faults = Faults::default();
        for number in 0..3 {
            assert_eq!(hearers.say(0, 2), number);
        }
        assert_eq!(hearers.hear(1, 0, 0, 0, &mut faults), Some(0));
        assert_eq!(hearers.hear(1, 0, 0, 2, &mut faults), Some(1));
        assert_eq!(hearers.hear(2, 1, 0, 0, &mut faults), Some(0));
        assert!(faults.is_clean());
        assert_eq!(hearers.hear(2, 1, 0, 0, &mut faults), None);
        assert_eq!(faults.duplicated, 1);
        assert_eq!(hearers.hear(2, 1, 0, 9, &mut faults), None);
        assert_eq!(faults.misrouted, 1);
        hearers.close(&mut faults);
        assert_eq!(faults.lost, 2);
    }

    #[test]
    fn what_comes_before_anything_was_said_is_a_stray() {
        let mut faults = Faults::default();
        assert_eq!(Hearers::new(0, 0).hear(1, 0, 0, 0, &mut faults), None);
        assert_eq!(faults.misrouted, 1);
    }
}
