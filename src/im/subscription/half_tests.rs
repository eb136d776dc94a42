//! Two halves with a queue in each direction: whatever waits, crosses, is lost, comes twice or hours late, they agree
//! when everything has been heard.

use std::collections::{BTreeMap, VecDeque};

use super::*;
use crate::base::Rng;

const ACTS: [Act; 4] = [
    Act::Subscribe,
    Act::Unsubscribe,
    Act::Subscribed,
    Act::Unsubscribed,
];

/// An account, what it has told and nobody confirmed, and what is on its way to it.
#[derive(Clone, Debug, Default)]
struct Side {
    half: Half,
    rows: BTreeMap<u64, Said>,
    mailbox: VecDeque<Mail>,
}

#[derive(Clone, Copy, Debug)]
enum Mail {
    Tell(Said),
    /// "unsubscribed" in answer to a probe.
    Denial,
}

#[derive(Debug, Default)]
struct Pair {
    sides: [Side; 2],
    last: u64,
}

impl Pair {
    fn fresh(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn does(&mut self, who: usize, act: Act) {
        let fresh = self.fresh();
        let step = outbound(self.sides[who].half, act, fresh);
        self.commit(who, step);
    }

    /// The item is removed, as `subscription::remove` does.
    fn removes(&mut self, who: usize) {
        let Standing { to, from, ask, .. } = self.sides[who].half.standing;
        if to || ask {
            self.does(who, Act::Unsubscribe);
        }
        if from {
            self.does(who, Act::Unsubscribed);
        }
        self.sides[who].half.standing.approved = false;
    }

    fn commit(&mut self, who: usize, step: Step) {
        self.sides[who].half = step.half;
        for number in step.void {
            self.sides[who].rows.remove(&number);
        }
        if let Some(said) = step.says {
            if said.is_kept {
                self.sides[who].rows.insert(said.number, said);
            }
            self.sides[1 - who].mailbox.push_back(Mail::Tell(said));
        }
    }

    /// The next mail is read; the confirmation may be lost.
    fn reads(&mut self, who: usize, is_confirmed: bool) {
        let Some(mail) = self.sides[who].mailbox.pop_front() else {
            return;
        };
        let fresh = self.fresh();
        let half = self.sides[who].half;
        let step = match mail {
            Mail::Denial => inbound(half, Act::Unsubscribed, Name::Unasked, fresh),
            Mail::Tell(said) => {
                if is_confirmed {
                    self.sides[1 - who].rows.remove(&said.number);
                }
                let name = Name::Tell {
                    number: said.number,
                    answers: said.answers,
                };
                inbound(half, said.act, name, fresh)
            }
        };
        self.commit(who, step);
    }

    fn is_probed(&mut self, who: usize) {
        if !self.sides[who].half.standing.from {
            self.sides[1 - who].mailbox.push_back(Mail::Denial);
        }
    }

    /// Everything that was not confirmed is told again, if it still stands.
    fn tells_again(&mut self, who: usize) {
        let side = self.sides[who].clone();
        for (number, said) in side.rows {
            match side.half.stands(said.act, number) {
                true => self.sides[1 - who].mailbox.push_back(Mail::Tell(said)),
                false => {
                    self.sides[who].rows.remove(&number);
                }
            }
        }
    }

    fn rest(&mut self) {
        for _ in 0..8 {
            for who in [0, 1, 0, 1] {
                while !self.sides[who].mailbox.is_empty() {
                    self.reads(who, true);
                }
            }
            for who in [0, 1] {
                self.tells_again(who);
            }
        }
        assert!(
            self.sides.iter().all(|side| side.rows.is_empty()),
            "{self:?}"
        );
        let [a, b] = self.sides.each_ref().map(|side| side.half.standing);
        assert_eq!((a.to, a.from), (b.from, b.to), "{self:?}");
        assert_eq!((a.ask, b.ask), (b.pending_in, a.pending_in), "{self:?}");
    }
}

#[test]
fn halves_agree_whatever_crosses_is_lost_or_comes_again() {
    let mut agreed = 0;
    for seed in 0..30_000_u64 {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::from_seed(bytes);
        let mut pair = Pair::default();
        for _ in 0..4 + rng.below(40) {
            let who = rng.below(2) as usize;
            match rng.below(16) {
                0..7 => pair.does(who, ACTS[rng.below(4) as usize]),
                7 => pair.removes(who),
                8..12 => pair.reads(who, rng.below(4) > 0),
                12 => pair.is_probed(who),
                13 => pair.tells_again(who),
                // The mailbox is full, or the disk refuses.
                _ => drop(pair.sides[who].mailbox.pop_front()),
            }
        }
        pair.rest();
        let [a, b] = pair.sides.map(|side| side.half.standing);
        agreed += usize::from(a.to || b.to || a.ask || b.ask);
    }
    // Else it would be easy.
    assert!(agreed > 10_000, "{agreed}");
}

#[test]
fn an_answer_that_crosses_another_request_answers_nothing() {
    let mut pair = Pair::default();
    pair.does(0, Act::Subscribe);
    pair.reads(1, true);
    pair.does(1, Act::Subscribed);
    // In front of what comes in.
    pair.does(0, Act::Unsubscribe);
    pair.does(0, Act::Subscribe);
    pair.reads(0, true);
    assert!(pair.sides[0].half.standing.ask && !pair.sides[0].half.standing.to);
    pair.rest();
    assert!(pair.sides[1].half.standing.pending_in);
}

#[test]
fn a_probe_does_not_cancel_the_request_in_front_of_it() {
    let mut pair = Pair::default();
    pair.does(0, Act::Subscribe);
    pair.reads(1, true);
    pair.is_probed(1);
    pair.reads(0, true);
    assert!(pair.sides[0].half.standing.ask);
    // It does correct who thinks to have what is not there.
    pair.sides[0].half.standing = State::To.put_into(Standing::default());
    pair.is_probed(1);
    pair.reads(0, true);
    assert!(!pair.sides[0].half.standing.to);
}

#[test]
fn who_grants_what_nobody_asks_for_is_told_so() {
    let mut pair = Pair::default();
    // Half of a subscription, as an import or an older version may leave it.
    pair.sides[1].half.standing = State::NonePendingIn.put_into(Standing::default());
    pair.does(1, Act::Subscribed);
    assert!(pair.sides[1].half.standing.from);
    pair.reads(0, true);
    pair.reads(1, true);
    assert_eq!(pair.sides[1].half.standing, Standing::default());
    pair.rest();
}

#[test]
fn halves_without_numbers_understand_each_other() {
    let mut pair = Pair::default();
    pair.sides[0].half.standing = State::NonePendingOut.put_into(Standing::default());
    pair.sides[1].half.standing = State::NonePendingIn.put_into(Standing::default());
    pair.does(1, Act::Subscribed);
    pair.reads(0, true);
    assert!(pair.sides[0].half.standing.to);
    pair.rest();
}
