//! Tells whose confirmation never came are told again, when the server starts and once an hour. One worker reads
//! them for all. One that is on its way at that moment arrives twice, which is harmless.

use crate::actor::rows::{Fence, RowKey, RowRange};
use crate::actor::{Answer, Envelope};
use crate::base::{AccountId, Now, limits};
use crate::im::outgoing::{self, OUTGOING};

use super::Shard;
use super::output::{Ask, Output};
use super::turns::Seat;

impl Shard {
    /// Reads the first page.
    pub(super) fn replay_due(&mut self) {
        self.ask_replay(None, None);
    }

    /// What an account left to be told when it was removed.
    pub(super) fn replay_of(&mut self, account: AccountId) {
        self.ask_replay(Some(account), None);
    }

    /// A page of them: each goes to its receiver again, then the next is asked for.
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
            log::info!("told_again number={}", tell.number);
            self.route(now, Envelope::Tell { stanza, tell });
        }
        if let (true, Some(last)) = (more, last) {
            self.ask_replay(account, Some(last));
        }
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

/// Tells read at a time.
const PAGE_COUNT: usize = 500;
