//! Tells whose confirmation never came are told again: when the server starts, once an hour, and soon after one was
//! turned away. One worker reads them for all, and gives each to its teller, whose turn knows whether it still stands:
//! so what an account tells another stays in its order. One that is on its way at that moment arrives twice, which is
//! harmless (`im/subscription/half.rs`).

use crate::actor::rows::{Fence, RowKey, RowRange};
use crate::actor::{Answer, Envelope, Tell};
use crate::base::{AccountId, Now, limits};
use crate::im::outgoing::{self, OUTGOING};
use crate::stanza::Stanza;

use super::Shard;
use super::cell::Mail;
use super::output::{Ask, Output};
use super::turns::Seat;

impl Shard {
    /// Reads the first page, or the next.
    pub(super) fn replay_due(&mut self) {
        let after = self.replayed_to.take();
        self.ask_replay(None, after);
    }

    /// A tell was turned away for a reason that passes.
    pub(super) fn retell_soon(&mut self, now: Now) {
        self.timers
            .arm_replay(now.mono_ms + limits::RETELL_AFTER_MS);
    }

    /// What an account left to be told when it was removed.
    pub(super) fn replay_of(&mut self, account: AccountId) {
        self.ask_replay(Some(account), None);
    }

    /// A page of them goes to its tellers; the next one follows when they had time to tell them.
    pub(super) fn replayed(&mut self, now: Now, account: Option<AccountId>, answer: Answer) {
        let (rows, more) = match answer {
            Answer::Range { rows, more } => (rows, more),
            other => {
                log::error!("replay_failed answer={other:?}");
                return;
            }
        };
        let last = rows.last().map(|row| row.key.clone());
        for row in rows {
            let Some((stanza, tell)) = outgoing::decode(&row) else {
                log::error!("outgoing_row_damaged key={:?}", row.key);
                continue;
            };
            self.route(now, Envelope::Retell { stanza, tell });
        }
        match account {
            Some(_) if more && last.is_some() => self.ask_replay(account, last),
            None if more && last.is_some() => {
                self.replayed_to = last;
                self.timers
                    .arm_replay(now.mono_ms + limits::RETELL_PAUSE_MS);
            }
            _ => {}
        }
    }

    /// To the account that told it, here or on its worker.
    pub(super) fn retell(&mut self, now: Now, stanza: Stanza, tell: Tell) {
        let Some(from) = stanza.header.from.clone() else {
            return;
        };
        if self.config.host(from.domainpart()).is_none() {
            // A reload took the domain away; perhaps it comes back.
            return;
        }
        let home = self.routes.home(&from);
        if home != self.place.worker {
            return self.send(home, Envelope::Retell { stanza, tell });
        }
        let actor = self.cell_at(now, &from);
        self.post_to(actor, Mail::Retell { stanza, tell });
    }

    fn ask_replay(&mut self, account: Option<AccountId>, after: Option<RowKey>) {
        let rows = match account {
            None => outgoing::rows_after(after),
            Some(account) => {
                let rows = outgoing::rows_of(account, None);
                let from = after.map_or(rows.from, |key| key.then(&[0]));
                RowRange { from, ..rows }
            }
        };
        let range = RowRange {
            count_max: PAGE_COUNT,
            bytes_max: limits::RANGE_BYTES_MAX,
            ..rows
        };
        // Where the store is overloaded, the next hour will do.
        if let Ok(ticket) = self.seats.take(Seat::Replay(account)) {
            let ask = Ask::Range {
                table: &OUTGOING,
                range,
                fence: Fence::None,
            };
            self.outputs.push_back(Output::Ask(ticket, ask));
        }
    }
}

/// Tells read at a time: they go through mailboxes, which take this many from one sender on top of all else.
const PAGE_COUNT: usize = 100;
