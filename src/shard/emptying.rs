//! Archives whose owners emptied them when the server stopped, or the disk refused to go on: they are emptied to the end,
//! when the server starts and once an hour. One worker reads which they are, and gives each to its owner's home. Refuses to
//! know how messages are removed (`features/mam/erase.rs`).

use crate::actor::rows::{Fence, RowKey, StoreError, Write};
use crate::actor::{Answer, Envelope, Loaded, Need};
use crate::base::{AccountId, ActorKey, Now, SessionId, limits};
use crate::im::Progress;
use crate::im::archive::{EMPTYING, Emptying};
use crate::jid::Jid;

use super::Shard;
use super::aside::Aside;
use super::cell::Mail;
use super::output::{Ask, Output};
use super::save::SaveRecord;
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
                // A home elsewhere may look for it before it is there: in an hour, then.
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
        if self.called_off.contains(&Emptying::key(account, until)) {
            return;
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
            cell.asides
                .push(Aside::new(number, NOBODY, Mail::Emptying, progress));
            // Since its row was read for this it may have been called off, and the store may have heard of that.
            let need = Need::Row(&EMPTYING, Emptying::key(account, until));
            self.park_aside(now, actor, number, need);
        }
        self.run_asides(now, actor);
        // Else nobody looks whether the account can leave memory.
        self.wake(actor);
    }

    /// One that a session asked for failed. Its row may be there, by which it goes on: the session may call it off as long as
    /// there is one.
    pub(super) fn emptying_failed(
        &mut self,
        now: Now,
        actor: ActorKey,
        session: SessionId,
        progress: Progress,
    ) {
        let Progress::Erasing {
            of, from, until, ..
        } = progress
        else {
            return;
        };
        let Some(cell) = self.cells.get_mut(actor).filter(|_| from > 0) else {
            return;
        };
        if cell.emptyings_failed.len() < limits::EMPTYINGS_FAILED_MAX {
            cell.emptyings_failed.push((session, progress));
        } else {
            self.empty_no_further(now, vec![Emptying::key(of, until)]);
        }
    }

    /// What says that an archive is to be emptied, where nobody is there any more to whom that could be said again.
    pub(super) fn keep_emptying(&mut self, actor: ActorKey, failed: &Aside) {
        let Some(cell) = self.cells.get(actor) else {
            return;
        };
        if failed.session == NOBODY {
            // It began by its row. If that is gone, it was called off.
            return;
        }
        if let Progress::Erasing { of, until, .. } = failed.progress {
            let owner = cell.account.jid.clone();
            let emptying = Emptying {
                account: of,
                owner,
                until,
            };
            self.save(std::iter::once(emptying.put()), None, None);
        }
    }

    /// Archives are emptied no further: nor in the next process, as soon as the store has heard of it. What is too much to be
    /// remembered is asked for once.
    pub(super) fn empty_no_further(&mut self, now: Now, emptyings: Vec<RowKey>) {
        for key in &emptyings {
            if self.called_off.len() < limits::CALLED_OFF_MAX {
                self.called_off.insert(key.clone());
            } else {
                log::error!(
                    "call_off_asked_once: if the disk refuses, an archive is emptied in the end"
                );
            }
        }
        self.ask_call_off(now, emptyings);
    }

    /// Asks again for what the store has not heard of.
    pub(super) fn call_off_emptyings(&mut self, now: Now) {
        if !self.called_off.is_empty() {
            let keys = self.called_off.iter().cloned().collect();
            self.ask_call_off(now, keys);
        }
    }

    fn ask_call_off(&mut self, now: Now, keys: Vec<RowKey>) {
        // Behind what put them there, and apart from what a disk without room refuses.
        self.flush_saves(now);
        let table = &EMPTYING;
        let delete = |key| Write::Delete { table, key };
        let deletes = keys.iter().cloned().map(delete).collect();
        self.ask_save(SaveRecord::call_off(keys), deletes);
    }

    /// The store answered that.
    pub(super) fn called_off(&mut self, now: Now, keys: Vec<RowKey>, error: Option<StoreError>) {
        if error.is_some() {
            // `probe_disk` asks again.
            return self.timers.arm_disk(now.mono_ms + limits::DISK_PROBE_MS);
        }
        for key in keys {
            self.called_off.remove(&key);
        }
    }
}

/// Whether it says that what is to be gone on with has no row any more.
pub(super) fn is_over(loaded: &Loaded) -> bool {
    matches!(loaded, Loaded::Row { table, value: None, .. } if table.is(&EMPTYING))
}

/// Whose what began by a row is: no session has this number.
const NOBODY: SessionId = SessionId(0);
