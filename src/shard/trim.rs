//! An archive that holds more than its host allows loses its oldest messages, beside the mailbox. XEP-0313 section
//! 3.2: "Any such deleted messages MUST be the oldest in the archive".

use crate::actor::rows::{Fence, RowRange};
use crate::actor::{Answer, Ticket};
use crate::base::{ActorKey, Now, limits};
use crate::engine::archive::{self, ARCHIVE, INDEXED};
use crate::im::archive::{Holding, Quota, key};

use super::Shard;
use super::cell::Cell;
use super::output::{Ask, Output};
use super::seats::Seat;

/// A question about an archive that holds too much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trim {
    ticket: Ticket,
    /// Before which number words are indexed, once that is known.
    indexed_before: u64,
}

impl Shard {
    /// Looks how far the words of an archive are indexed that holds too much, unless that is under way: then its oldest
    /// messages are read.
    pub(super) fn trim_archive(&mut self, now: Now, actor: ActorKey) {
        let Some(cell) = self.cells.get(actor).filter(|cell| cell.trim.is_none()) else {
            return;
        };
        let Some(quota) = self.quota_of(now, cell) else {
            return;
        };
        let account = &cell.account;
        let (Some(identity), Some(archive)) = (account.identity, &account.archive) else {
            return;
        };
        if archive.tally.excess(&quota).is_none() {
            return;
        }
        let (table, key) = (&INDEXED, key(identity.id));
        let fence = Fence::AfterSaves;
        self.ask_trim(now, actor, 0, Ask::Row { table, key, fence });
    }

    /// Where the store is overloaded, one of the next messages will do.
    fn ask_trim(&mut self, now: Now, actor: ActorKey, indexed_before: u64, ask: Ask) {
        if let Ok(ticket) = self.seats.take(Seat::Trim(actor)) {
            if let Some(cell) = self.cells.get_mut(actor) {
                cell.trim = Some(Trim {
                    ticket,
                    indexed_before,
                });
            }
            self.flush_saves(now);
            self.outputs.push_back(Output::Ask(ticket, ask));
        }
    }

    /// Asks for the oldest messages.
    fn ask_oldest(&mut self, now: Now, actor: ActorKey, indexed_before: u64) {
        let Some(cell) = self.cells.get(actor) else {
            return;
        };
        let Some(quota) = self.quota_of(now, cell) else {
            return;
        };
        let account = &cell.account;
        let (Some(identity), Some(archive)) = (account.identity, &account.archive) else {
            return;
        };
        let Some(excess) = archive.tally.excess(&quota) else {
            return;
        };
        let range = RowRange {
            count_max: match excess {
                Holding { count, bytes: 0 } => usize::try_from(count).unwrap_or(usize::MAX),
                _ => usize::MAX,
            }
            .min(limits::ARCHIVE_TRIM_COUNT),
            bytes_max: limits::RANGE_BYTES_MAX,
            // What was removed before is not stepped over again.
            ..archive::range(identity.id, archive.tally.oldest(&quota), u64::MAX)
        };
        let ask = Ask::Range {
            table: &ARCHIVE,
            range,
            fence: Fence::AfterSaves,
        };
        self.ask_trim(now, actor, indexed_before, ask);
    }

    /// The oldest messages of an archive: they go, until it holds no more than it may.
    pub(super) fn trimmed(&mut self, now: Now, actor: ActorKey, ticket: Ticket, answer: Answer) {
        let Some(cell) = self.cells.get(actor) else {
            return;
        };
        let Some(trim) = cell.trim.filter(|trim| trim.ticket == ticket) else {
            return;
        };
        let quota = self.quota_of(now, cell);
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        cell.trim = None;
        let rows = match answer {
            Answer::Row(mark) => {
                let indexed_before = archive::indexed_before(mark.as_deref());
                return self.ask_oldest(now, actor, indexed_before);
            }
            Answer::Range { rows, .. } => rows,
            // One of the next messages tries again.
            other => return log::error!("trim_failed answer={other:?}"),
        };
        let account = &mut cell.account;
        // Whoever has the name now is not whose archive this is, or nobody knows any more how much it holds.
        let (Some(quota), Some(identity), Some(archive)) =
            (quota, account.identity, &mut account.archive)
        else {
            return;
        };
        let tally = &mut archive.tally;
        if rows.is_empty() {
            log::warn!("archive_recounted account={}", account.jid);
            tally.clear();
        }
        let mut writes = Vec::new();
        let mut ends = None;
        for row in &rows {
            let Some(number) = archive::number_of(&row.key) else {
                continue;
            };
            if tally.excess(&quota).is_none() || writes.len() >= limits::ARCHIVE_ERASE_WRITES {
                break;
            }
            // What no client has yet is owed all the same.
            writes.extend(archive::rescue(row, &self.seal));
            writes.extend(archive::erase(identity.id, row, trim.indexed_before));
            tally.remove(number, row.value.len() as u64);
            ends = Some((ends.map_or(number, |(first, _)| first), number));
        }
        let (first, last) = match ends {
            Some(ends) => ends,
            None if rows.is_empty() => (0, u64::MAX),
            // Its owner has emptied it meanwhile.
            None => return,
        };
        writes.extend(tally.rows_between(identity.id, first, last));
        for write in writes {
            self.unsave(write);
        }
        // Long messages come in small pages.
        self.trim_archive(now, actor);
    }

    /// None where a reload took the domain away.
    fn quota_of(&self, now: Now, cell: &Cell) -> Option<Quota> {
        let host = self.config.host(cell.account.jid.domainpart())?;
        Some(Quota::of(&host.archive, now))
    }
}
