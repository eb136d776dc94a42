//! Kept messages on their way to a session, as far as the session knows of them: where the cursor over their rows is, and
//! what waits behind it. Numbers say what came before what. Refuses to know how rows are read.

use std::collections::{BTreeSet, VecDeque};

use crate::actor::{Delivery, Kept};
use crate::base::limits;
use crate::jid::Jid;
use crate::stanza::Newcomer;

use super::acks::{Bounds, Fill};

/// Delivery of what was kept: a cursor over the rows, and what came in meanwhile, which waits behind it so
/// that the order stays.
#[derive(Debug, Default)]
pub struct Flood {
    /// Number of the first row that has not been read.
    pub next: u64,
    /// Number of the first row that it does not read: it was kept since the cursor began.
    pub end: u64,
    /// A read is outstanding.
    pub asked: bool,
    /// Messages that clients got since it was asked: their rows may still come with the answer.
    pub gone: BTreeSet<u64>,
    /// Reads that failed since one did not.
    pub failures: u32,
    /// When to read again after a failure, on the monotonic clock.
    pub retry_at_ms: Option<u64>,
    backlog: VecDeque<Waiting>,
    backlog_bytes: usize,
}

/// What waits, and the number that a message kept in its place would have.
#[derive(Debug)]
struct Waiting {
    number: u64,
    delivery: Delivery,
}

impl Flood {
    /// A cursor over the rows from number `next` to before number `end`.
    pub fn new(next: u64, end: u64) -> Flood {
        Flood {
            next,
            end,
            ..Flood::default()
        }
    }

    /// Puts a delivery behind the rows of lower numbers.
    pub fn wait(&mut self, number: u64, delivery: Delivery) {
        self.backlog_bytes += delivery.stanza.charge();
        self.backlog.push_back(Waiting { number, delivery });
    }

    /// Takes out the first that waits, if it came before what has this number.
    pub fn take_before(&mut self, number: u64) -> Option<Delivery> {
        self.backlog.front().filter(|first| first.number < number)?;
        let first = self.backlog.pop_front()?;
        self.backlog_bytes -= first.delivery.stanza.charge();
        Some(first.delivery)
    }

    /// What waits, in its order.
    pub fn backlog(&self) -> impl Iterator<Item = &Delivery> {
        self.backlog.iter().map(|waiting| &waiting.delivery)
    }

    /// What waits, when the flood is over or its session is.
    pub fn into_backlog(self) -> impl Iterator<Item = Delivery> {
        self.backlog.into_iter().map(|waiting| waiting.delivery)
    }

    /// What is owed of it, for changes that another holder causes.
    pub fn kept_mut(&mut self) -> impl Iterator<Item = &mut Option<Kept>> {
        let backlog = self.backlog.iter_mut();
        backlog.map(|waiting| &mut waiting.delivery.kept)
    }

    /// Bytes that wait.
    pub fn backlog_bytes(&self) -> usize {
        self.backlog_bytes
    }

    /// How full it is of what waits.
    pub fn fill(&self, bounds: Bounds) -> Fill {
        bounds.fill(self.backlog.len(), self.backlog_bytes)
    }

    /// Whether something of this sender waits.
    pub fn holds_from(&self, sender: Option<&Jid>) -> bool {
        self.backlog()
            .any(|delivery| delivery.stanza.header.from.as_ref() == sender)
    }

    /// Drops the presence that `newcomer` makes void; whether there was any.
    pub fn coalesce(&mut self, newcomer: &Newcomer<'_>) -> bool {
        let before = self.backlog.len();
        let gone = &mut self.backlog_bytes;
        self.backlog.retain(|waiting| {
            let stanza = &waiting.delivery.stanza;
            let stays = !newcomer.replaces(stanza);
            if !stays {
                *gone -= stanza.charge();
            }
            stays
        });
        self.backlog.len() < before
    }
}

/// Full JIDs whose messages are kept and have yet to be read.
#[derive(Debug, Default)]
pub struct Senders {
    some: BTreeSet<Jid>,
    /// There are more than are remembered.
    are_many: bool,
}

impl Senders {
    /// One more.
    pub fn add(&mut self, sender: Jid) {
        if self.some.len() < limits::KEPT_SENDERS_MAX {
            self.some.insert(sender);
        } else if !self.some.contains(&sender) {
            self.are_many = true;
        }
    }

    /// Whether `sender` is among them, or may be. The account of `own` and its server are only when they are.
    pub fn has(&self, sender: &Jid, own: &Jid) -> bool {
        let is_own = || sender.bare_str() == own.bare_str() || sender.as_str() == own.domainpart();
        self.some.contains(sender) || (self.are_many && !is_own())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).expect("valid")
    }

    #[test]
    fn beyond_the_bound_everybody_is_a_sender_but_the_account_itself() {
        let own = jid("juliet@h/r");
        let mut senders = Senders::default();
        for number in 0..limits::KEPT_SENDERS_MAX {
            senders.add(jid(&format!("u{number}@h/r")));
        }
        senders.add(jid("u0@h/r"));
        assert!(senders.has(&jid("u0@h/r"), &own));
        assert!(
            !senders.has(&jid("romeo@h/r"), &own),
            "exactly known so far"
        );
        senders.add(jid("nurse@h/r"));
        assert!(senders.has(&jid("romeo@h/r"), &own));
        assert!(!senders.has(&jid("juliet@h"), &own));
        assert!(!senders.has(&jid("h"), &own));
    }
}
