//! What nobody asks for any more leaves the store, a page at a time, once an hour. One worker does it for all,
//! because no account owns it. Whole months of archives: `retention.rs`.

use crate::actor::Answer;
use crate::actor::rows::{Fence, RowKey, RowRange, Write};
use crate::base::{Now, WorkerId, limits};
use crate::im::origin::{self, ORIGIN};

use super::Shard;
use super::output::{Ask, Output};
use super::seats::Seat;

/// The worker that sweeps.
pub(super) const SWEEPER: WorkerId = WorkerId(0);

impl Shard {
    /// It is time to sweep.
    pub(super) fn sweep_due(&mut self, now: Now) {
        self.timers.arm_sweep(now.mono_ms + limits::SWEEP_EVERY_MS);
        let range = origin::outdated(now);
        self.ask_sweep(range);
        self.replay_due();
        self.ask_emptying(None);
        self.ask_clock();
    }

    /// A page of what is too old: it goes, and the next is asked for.
    pub(super) fn swept(&mut self, now: Now, answer: Answer) {
        let (rows, more) = match answer {
            Answer::Range { rows, more } => (rows, more),
            other => {
                log::error!("sweep_failed answer={other:?}");
                return;
            }
        };
        let last = rows.last().map(|row| row.key.clone());
        for row in rows {
            self.unsave(Write::Delete {
                table: &ORIGIN,
                key: row.key,
            });
        }
        self.flush_saves(now);
        if let (true, Some(last)) = (more, last) {
            let range = RowRange {
                from: first_behind(last),
                ..origin::outdated(now)
            };
            self.ask_sweep(range);
        }
    }

    fn ask_sweep(&mut self, range: RowRange) {
        let range = RowRange {
            count_max: PAGE_COUNT,
            bytes_max: limits::RANGE_BYTES_MAX,
            ..range
        };
        // Where the store is overloaded, the next hour will do.
        if let Ok(ticket) = self.seats.take(Seat::Sweep) {
            let ask = Ask::Range {
                table: &ORIGIN,
                range,
                // One page is not read before the last one is gone: sweeping never hurries anybody.
                fence: Fence::AfterSaves,
            };
            self.outputs.push_back(Output::Ask(ticket, ask));
        }
    }
}

/// The least key that is greater.
pub(super) fn first_behind(key: RowKey) -> RowKey {
    key.then(&[0])
}

/// Rows removed in one save.
const PAGE_COUNT: usize = 1_000;
