//! Archives whose owners emptied them when the server stopped, or the disk refused to go on: they are emptied to the end,
//! when the server starts and once an hour. One worker reads which they are, and gives each to its owner's home. Refuses to
//! know how messages are removed (`features/mam/erase.rs`).

use crate::actor::rows::{Fence, RowKey};
use crate::actor::{Answer, Envelope};
use crate::base::{AccountId, Now, SessionId};
use crate::im::Progress;
use crate::im::archive::{EMPTYING, Emptying};
use crate::jid::Jid;

use super::Shard;
use super::aside::Aside;
use super::cell::Mail;
use super::output::{Ask, Output};
use super::seats::Seat;

impl Shard {
    /// Asks which there are behind this one.
    pub(super) fn ask_emptying(&mut self, after: Option<RowKey>) {
        // Where the store is overloaded, the next hour will do.
        if let Ok(ticket) = self.seats.take(Seat::Emptying) {
            let ask = Ask::Range {
                table: &EMPTYING,
                range: Emptying::rows_after(after),
                fence: Fence::AfterSaves,
            };
            self.outputs.push_back(Output::Ask(ticket, ask));
        }
    }

    /// The store says so.
    pub(super) fn found_emptying(&mut self, now: Now, answer: Answer) {
        let (rows, more) = match answer {
            Answer::Range { rows, more } => (rows, more),
            other => return log::error!("emptying_unknown answer={other:?}"),
        };
        for row in &rows {
            let Some(emptying) = Emptying::read(row) else {
                log::error!("emptying_row_damaged key={:?}", row.key);
                continue;
            };
            if let Some(writes) = emptying.renew(row) {
                self.save(writes.into_iter(), None, None);
            }
            let Emptying {
                account,
                owner,
                until,
            } = emptying;
            let envelope = Envelope::Empty {
                owner,
                account,
                until,
            };
            self.route(now, envelope);
        }
        if let Some(last) = rows.into_iter().next_back().filter(|_| more) {
            self.ask_emptying(Some(last.key));
        }
    }

    /// Goes on at its owner's home, unless it does already.
    pub(super) fn empty(&mut self, now: Now, owner: Jid, account: AccountId, until: u64) {
        if self.config.host(owner.domainpart()).is_none() {
            // A reload took the domain away; perhaps it comes back.
            return;
        }
        let home = self.routes.home(&owner);
        if home != self.place.worker {
            let envelope = Envelope::Empty {
                owner,
                account,
                until,
            };
            return self.send(home, envelope);
        }
        let actor = self.cell_at(now, &owner);
        self.next_aside += 1;
        let number = self.next_aside;
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        let is_it = |aside: &Aside| matches!(aside.progress, Progress::Erasing { .. });
        if !cell.asides.iter().any(is_it) {
            let progress = Progress::Erasing {
                of: account,
                from: 0,
                until,
                count: 0,
            };
            // Nobody's: no session has this number.
            let nobody = SessionId(0);
            cell.asides
                .push(Aside::new(number, nobody, Mail::Emptying, progress));
        }
        self.run_asides(now, actor);
        // Else nobody looks whether the account can leave memory.
        self.wake(actor);
    }
}
