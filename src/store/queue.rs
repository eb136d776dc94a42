//! What waits for the writer, and when it must begin. Refuses to know what is done with it.
//!
//! When the writer commits: five milliseconds after the first save that nobody waits for (`Soon`), so that a row
//! which is deleted within that time never reaches the disk; one millisecond after somebody waits (a
//! `BeforeReply` table, a fenced read, a blocking caller); at once if all who are there wait, since a commit
//! gathers those who come while it lasts anyway.

use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex};

use crate::actor::Answer;
use crate::actor::rows::{Durability, Write};
use crate::base::limits::COMMIT_COLLECT_MS;

use super::api::{Reply, Request};

/// A request and who is answered.
pub(super) struct Asked {
    pub(super) to: To,
    pub(super) request: Request,
}

pub(super) enum To {
    Port(Reply),
    /// A thread that waits for this one answer.
    Caller(Sender<Answer>),
}

impl Asked {
    /// Whether somebody waits for this with everything else they have to do.
    fn urgent(&self) -> bool {
        let waits = |write: &Write| write.table().durability == Durability::BeforeReply;
        match (&self.to, &self.request) {
            (To::Port(_), Request::Save(writes) | Request::SaveOfChain(writes, _)) => {
                writes.iter().any(waits)
            }
            _ => true,
        }
    }
}

/// What waits for the writer. A list under a lock, because it is taken whole: a push costs no wake-up unless it
/// changes when the writer must begin.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    bell: Condvar,
}

#[derive(Default)]
struct Waiting {
    asked: Vec<Asked>,
    /// When the first one came for which nobody waits, and the first one for which somebody does.
    soon_since: Option<Instant>,
    urgent_since: Option<Instant>,
    committing: bool,
    closing: bool,
}

impl Waiting {
    fn begins_at(&self) -> Option<Instant> {
        let collected = self.soon_since.map(|since| since + COLLECT);
        let urgent = self.urgent_since.map(|since| match collected {
            Some(collected) => collected.min(since + COLLECT_URGENT),
            None => since,
        });
        urgent.or(collected)
    }

    /// Whether the writer must look again.
    fn push(&mut self, asked: Asked) -> bool {
        let since = if asked.urgent() {
            &mut self.urgent_since
        } else {
            &mut self.soon_since
        };
        self.asked.push(asked);
        let first = since.is_none();
        if first {
            *since = Some(Instant::now());
        }
        first
    }
}

impl Queue {
    pub(super) fn push(&self, all: impl Iterator<Item = Asked>) {
        let mut waiting = self.waiting.lock();
        let mut ring = false;
        for asked in all {
            ring |= waiting.push(asked);
        }
        drop(waiting);
        if ring {
            self.bell.notify_one();
        }
    }

    /// Queues a read, or returns it if there is nothing to wait for.
    pub(super) fn push_behind_saves(&self, asked: Asked) -> Option<Asked> {
        let mut waiting = self.waiting.lock();
        if waiting.asked.is_empty() && !waiting.committing {
            return Some(asked);
        }
        let ring = waiting.push(asked);
        drop(waiting);
        if ring {
            self.bell.notify_one();
        }
        None
    }

    /// What is to be done next; none when there is nothing and never will be. Nothing at all when nothing has come until
    /// `patience` was over.
    pub(super) fn take(&self, patience: Option<Duration>) -> Option<Vec<Asked>> {
        let mut waiting = self.waiting.lock();
        waiting.committing = false;
        let until = patience.map(|patience| Instant::now() + patience);
        loop {
            match (waiting.begins_at(), until) {
                _ if waiting.closing => break,
                (None, None) => self.bell.wait(&mut waiting),
                (None, Some(until)) => {
                    let is_over = self.bell.wait_until(&mut waiting, until).timed_out();
                    if is_over && waiting.asked.is_empty() && !waiting.closing {
                        return Some(Vec::new());
                    }
                }
                (Some(moment), _) => {
                    if self.bell.wait_until(&mut waiting, moment).timed_out() {
                        break;
                    }
                }
            }
        }
        if waiting.asked.is_empty() {
            return None;
        }
        waiting.committing = true;
        waiting.soon_since = None;
        waiting.urgent_since = None;
        Some(std::mem::take(&mut waiting.asked))
    }

    pub(super) fn close(&self) {
        self.waiting.lock().closing = true;
        self.bell.notify_one();
    }

    #[cfg(test)]
    pub(super) fn is_only_committing(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.committing && waiting.asked.is_empty()
    }
}

const COLLECT: Duration = Duration::from_millis(COMMIT_COLLECT_MS);
/// How long one who waits lets others join, while there are some who do not wait.
const COLLECT_URGENT: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::super::api::PortId;
    use super::super::testing::{LETTERS, ROSTERS, put};
    use super::*;
    use crate::actor::Ticket;

    fn ask(write: Write) -> Asked {
        let reply = Reply {
            port: PortId(0),
            ticket: Ticket(1),
        };
        Asked {
            to: To::Port(reply),
            request: Request::Save(vec![write]),
        }
    }

    #[test]
    fn who_waits_alone_begins_at_once_and_in_company_after_a_millisecond() {
        let mut waiting = Waiting::default();
        waiting.push(ask(put(&ROSTERS, b"a", b"1")));
        assert_eq!(waiting.begins_at(), waiting.urgent_since);

        waiting.push(ask(put(&LETTERS, b"a", b"1")));
        let urgent = waiting.urgent_since.unwrap();
        assert_eq!(waiting.begins_at(), Some(urgent + COLLECT_URGENT));

        waiting.urgent_since = None;
        let soon = waiting.soon_since.unwrap();
        assert_eq!(waiting.begins_at(), Some(soon + COLLECT));
    }
}
