//! An archive that holds more than its host allows loses its oldest messages, beside the mailbox. XEP-0313 section
//! 3.2: "Any such deleted messages MUST be the oldest in the archive".

use crate::actor::Answer;
use crate::actor::rows::{Fence, RowRange};
use crate::base::{ActorKey, Now, limits};
use crate::engine::archive::{self, ARCHIVE, Archived};

use super::Shard;
use super::output::{Ask, Output};
use super::turns::Seat;

impl Shard {
    /// So many messages are too many.
    pub(super) fn trim_archive(&mut self, now: Now, actor: ActorKey, excess: usize) {
        let Some(identity) = self.cells.get(actor).and_then(|cell| cell.account.identity) else {
            return;
        };
        let range = RowRange {
            count_max: excess.min(limits::ARCHIVE_TRIM_COUNT),
            bytes_max: limits::RANGE_BYTES_MAX,
            ..archive::range(identity.id, 0, u64::MAX)
        };
        // Where the store is overloaded, one of the next messages will do.
        if let Ok(ticket) = self.seats.take(Seat::Trim(actor)) {
            self.flush_saves(now);
            let ask = Ask::Range {
                table: &ARCHIVE,
                range,
                fence: Fence::AfterSaves,
            };
            self.outputs.push_back(Output::Ask(ticket, ask));
        }
    }

    /// The oldest messages of an archive: they go.
    pub(super) fn trimmed(&mut self, actor: ActorKey, answer: Answer) {
        let rows = match answer {
            Answer::Range { rows, .. } => rows,
            other => return log::error!("trim_failed answer={other:?}"),
        };
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        let Some(identity) = cell.account.identity else {
            return;
        };
        let own = cell.account.jid.clone();
        let mut writes = Vec::new();
        let mut months = Vec::new();
        for row in &rows {
            // What no client has yet is owed all the same.
            writes.extend(archive::rescue(row, &self.seal));
            writes.extend(archive::erase(identity.id, row, &own));
            if let (Some(found), Some(archive)) = (Archived::read(row), &mut cell.account.archive) {
                archive.tally.remove(found.id.number);
                months.push(found.id.number);
            }
        }
        // The first and the last say which months were touched.
        let ends = months.first().into_iter().chain(months.last());
        if let Some(archive) = &cell.account.archive {
            writes.extend(ends.map(|number| archive.tally.write(identity.id, *number)));
        }
        for write in writes {
            self.unsave(write);
        }
    }
}
