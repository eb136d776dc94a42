//! The rules (DESIGN section 20), and who broke them. It refuses to know how letters travel.
//!
//! 1. A letter that was acknowledged to its sender has been read by its recipient, before the crash or after.
//! 2. On one login the letters of one sender come in the order in which they were sent, each at most once.
//! 3. A letter does not come again after the crash when the server had made it durable that its recipient
//!    acknowledged it; nor does one of an earlier round, once a letter to the same recipient was acknowledged
//!    behind it.
//! 4. After a round in which senders sent again what was not acknowledged, under the same origin-ids, every
//!    letter has been read. With rule 2 a recipient who was offline has each exactly once. One who was online
//!    may have read a letter before the crash and read it again after: delivery does not wait for the disk.

use std::collections::{BTreeMap, BTreeSet};

use crate::client::Letter;
use crate::load::{RecipientReport, SenderReport};

/// What senders did after the restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aftermath {
    /// Nothing: what was not acknowledged is given up.
    Silence,
    /// They sent it again.
    Again,
}

/// Everything that is known of a round.
pub struct Round {
    pub aftermath: Aftermath,
    pub senders: Vec<SenderReport>,
    /// One for each recipient; of those who were offline an empty one.
    pub before: Vec<RecipientReport>,
    pub after: Vec<RecipientReport>,
}

/// What a round came to.
#[derive(Debug, Default)]
pub struct Tally {
    pub sent: usize,
    pub acknowledged: usize,
    pub read_before: usize,
    pub read_after: usize,
    pub twice: usize,
}

impl Round {
    /// Every breach of a rule, in words.
    pub fn breaches(&self) -> Vec<String> {
        let mut breaches = Vec::new();
        for (from, sender) in self.senders.iter().enumerate() {
            let refused = sender.refused.iter();
            breaches.extend(refused.map(|text| format!("sender {from} was refused: {text}")));
        }
        for (to, after) in self.after.iter().enumerate() {
            let before = &self.before[to];
            breaches.extend(disorder(to, "before the crash", &before.letters));
            breaches.extend(disorder(to, "after the crash", &after.letters));
            self.judge_missing(to, &mut breaches);
            self.judge_returning(to, &mut breaches);
        }
        breaches
    }

    /// Numbers for the report.
    pub fn tally(&self) -> Tally {
        let count = |reports: &[RecipientReport]| reports.iter().map(|r| r.letters.len()).sum();
        let twice = self.before.iter().zip(&self.after).map(|(before, after)| {
            let before: BTreeSet<&Letter> = before.letters.iter().collect();
            after
                .letters
                .iter()
                .filter(|letter| before.contains(letter))
                .count()
        });
        Tally {
            sent: self.senders.iter().map(|s| s.sent.len()).sum(),
            acknowledged: self.senders.iter().map(|s| s.acknowledged).sum(),
            read_before: count(&self.before),
            read_after: count(&self.after),
            twice: twice.sum(),
        }
    }

    /// Rules 1 and 4.
    fn judge_missing(&self, to: usize, breaches: &mut Vec<String>) {
        let logins = [&self.before[to], &self.after[to]];
        let read: BTreeSet<&Letter> = logins.iter().flat_map(|r| &r.letters).collect();
        for sender in &self.senders {
            for (at, letter) in sender.sent.iter().enumerate().filter(|(_, l)| l.to == to) {
                if read.contains(letter) {
                    continue;
                }
                if at < sender.acknowledged {
                    breaches.push(format!("acknowledged and lost: {letter:?}"));
                } else if self.aftermath == Aftermath::Again {
                    breaches.push(format!("sent again and lost: {letter:?}"));
                }
            }
        }
    }

    /// Rule 3, and letters that nobody sent.
    fn judge_returning(&self, to: usize, breaches: &mut Vec<String>) {
        let before = &self.before[to];
        let forgotten: BTreeSet<&Letter> = before.letters[..before.confirmed].iter().collect();
        let sent: BTreeSet<&Letter> = self.senders.iter().flat_map(|s| &s.sent).collect();
        let is_settled = self.senders.iter().any(|sender| {
            let acknowledged = sender.sent.iter().take(sender.acknowledged);
            acknowledged.into_iter().any(|letter| letter.to == to)
        });
        for letter in &self.after[to].letters {
            if forgotten.contains(letter) {
                breaches.push(format!(
                    "acknowledged by its recipient and back: {letter:?}"
                ));
            }
            if !sent.contains(letter) && is_settled {
                breaches.push(format!("back from an earlier round: {letter:?}"));
            }
        }
        for letter in &before.letters {
            if !sent.contains(letter) {
                breaches.push(format!(
                    "from an earlier round, before the crash: {letter:?}"
                ));
            }
        }
    }
}

/// Rule 2.
fn disorder(to: usize, when: &str, letters: &[Letter]) -> Vec<String> {
    let mut last: BTreeMap<usize, u32> = BTreeMap::new();
    let mut breaches = Vec::new();
    for letter in letters {
        let last = last.entry(letter.from).or_default();
        if letter.to != to {
            breaches.push(format!("{when} recipient {to} read another's: {letter:?}"));
        }
        if letter.number <= *last {
            breaches.push(format!("{when} {letter:?} came behind number {last}"));
        }
        *last = letter.number;
    }
    breaches
}

/// The judge judged: each rule is broken once, and a round that keeps them all passes.
pub fn judge_itself() {
    let letter = |number| Letter {
        from: 0,
        to: 0,
        number,
    };
    let round = |acknowledged, before: &[u32], confirmed, after: &[u32], aftermath| {
        let read = |numbers: &[u32]| numbers.iter().copied().map(letter).collect();
        Round {
            aftermath,
            senders: vec![SenderReport {
                sent: (1..=4).map(letter).collect(),
                acknowledged,
                refused: Vec::new(),
            }],
            before: vec![RecipientReport {
                letters: read(before),
                confirmed,
            }],
            after: vec![RecipientReport {
                letters: read(after),
                confirmed: 0,
            }],
        }
        .breaches()
        .len()
    };
    use Aftermath::{Again, Silence};
    assert_eq!(round(3, &[1, 2], 1, &[2, 3], Silence), 0);
    assert_eq!(round(4, &[1, 2], 1, &[3], Silence), 1, "4 is lost");
    assert_eq!(round(2, &[], 0, &[2, 1], Silence), 1, "2 before 1");
    assert_eq!(round(2, &[], 0, &[1, 2, 2], Silence), 1, "2 twice");
    assert_eq!(round(2, &[1, 2], 2, &[2], Silence), 1, "2 is back");
    assert_eq!(round(2, &[], 0, &[1, 2, 9], Silence), 1, "9 is nobody's");
    assert_eq!(round(2, &[], 0, &[1, 2, 3], Again), 1, "4 was sent again");
    assert_eq!(round(2, &[1, 2], 0, &[2, 3, 4], Again), 0);
}
