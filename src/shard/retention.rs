//! Months that no host keeps leave the archives (XEP-0313 section 3.2), whole, once an hour. Of a host that keeps less than
//! another they leave account by account (`expiry.rs`).
//!
//! What is removed does not come back, so the clock is not believed at once: a server whose clock is set forward by years
//! would lose all it has. The moment up to which the archives are swept is kept in the store, and comes closer to the
//! clock's by at most four times the time that the server has run ([`limits::SWEEP_CATCH_UP`]).
//!
//! What no client has yet is owed however old it is: before a month goes, messages in it that somebody waits for get rows
//! of their own ([`archive::rescue`]).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::actor::Answer;
use crate::actor::rows::{
    Durability, Export, Fence, Pick, Row, RowKey, RowRange, Slices, Table, Write,
};
use crate::base::{Month, Now, Sequence, limits};
use crate::engine::archive::{self, ARCHIVE, INDEX};
use crate::im::archive::TALLY;
use crate::im::pending::{self, MARK, PENDING};

use super::Shard;
use super::expiry;
use super::output::{Ask, Output};
use super::save::SaveRecord;
use super::seats::Seat;
use super::sweep::first_behind;

/// One row, and one for each host that keeps less than another.
pub static RETENTION: Table = Table {
    name: "retention",
    durability: Durability::Soon,
    export: Export::Never,
    slices: Slices::Whole,
    about: "Up to which moment the clock is believed when archives are swept, in milliseconds of the wall clock; and for hosts that keep less than others, before which number nothing of theirs is left",
};

/// The months that go: all that end before the one of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Months {
    before: u64,
}

/// What the sweeper remembers between two sweeps.
#[derive(Debug, Default)]
pub(super) struct Retention {
    /// When it swept last, on the monotonic clock.
    swept_at_ms: Option<u64>,
    /// The month before which nobody waits for anything in the archives.
    rescued: u64,
    /// What is owed got rows of its own since the first page of what waits was read; what became of them is not known.
    is_rescuing: bool,
    /// Such rows were refused.
    pub(super) is_unrescued: bool,
    /// Messages of a host's accounts are being removed.
    pub(super) is_walking: bool,
    /// What such a walk asked to be removed was refused since it began.
    pub(super) is_refused: bool,
    /// Hosts that are next, and before which number their messages go.
    pub(super) due: VecDeque<(Arc<str>, u64)>,
}

impl Shard {
    /// Asks how far the clock was believed when it swept last.
    pub(super) fn ask_clock(&mut self) {
        // Where the store is overloaded, the next hour will do: here and below.
        if let Ok(ticket) = self.seats.take(Seat::Clock) {
            let range = RowRange {
                from: RowKey::new(&[]),
                to: RowKey::new(&[u8::MAX]),
                count_max: usize::MAX,
                bytes_max: limits::RANGE_BYTES_MAX,
            };
            let ask = Ask::Range {
                table: &RETENTION,
                range,
                fence: Fence::AfterSaves,
            };
            self.outputs.push_back(Output::Ask(ticket, ask));
        }
    }

    /// The store says so: months go that are too old by a clock that may be believed.
    pub(super) fn clock_known(&mut self, now: Now, answer: Answer) {
        let rows = match answer {
            Answer::Range { rows, .. } => rows,
            other => return log::error!("retention_unknown answer={other:?}"),
        };
        let before_ms = number_under(&rows, &RowKey::new(KEY));
        let swept_at_ms = self.retention.swept_at_ms.replace(now.mono_ms);
        let ran_ms = now.mono_ms - swept_at_ms.unwrap_or(now.mono_ms);
        let moment_ms = believed_ms(now.wall_ms, before_ms, ran_ms);
        if moment_ms < now.wall_ms.saturating_sub(JUMP_MS) {
            log::warn!(
                "retention_waits clock_ms={} swept_until_ms={moment_ms}",
                now.wall_ms
            );
        }
        self.unsave(Write::Put {
            table: &RETENTION,
            key: RowKey::new(KEY),
            value: moment_ms.to_be_bytes()[..].into(),
        });
        self.flush_saves(now);
        let over = |kept_ms: u64| {
            let oldest = Sequence::first_at(moment_ms.saturating_sub(kept_ms));
            Month::of(oldest).first_number()
        };
        let before = self.longest_retention_ms().map(over);
        self.expire_shorter(&rows, before, over);
        let Some(before) = before else {
            return;
        };
        let months = Months { before };
        if before > self.retention.rescued {
            (self.retention.is_rescuing, self.retention.is_unrescued) = (false, false);
            self.ask_waiting(months, RowKey::new(&[]));
        } else {
            self.drop_months(now, months);
        }
    }

    /// Hosts that keep less than what leaves the disk with its month, and of which that was not removed yet, one behind the
    /// other: whatever becomes of one, the others have their turn.
    fn expire_shorter(&mut self, rows: &[Row], all: Option<u64>, over: impl Fn(u64) -> u64) {
        let hosts = self.config.hosts.iter();
        let shorter = hosts.filter_map(|host| {
            let kept_ms = host.archive.retention.as_ms();
            let before = Some(over(kept_ms)).filter(|_| kept_ms > 0)?;
            let done = number_under(rows, &expiry::key_of(&host.name)).max(all);
            (done.unwrap_or(0) < before).then(|| (Arc::clone(&host.name), before))
        });
        self.retention.due = shorter.collect();
        if !self.retention.is_walking {
            self.expire_next();
        }
    }

    /// None if a host keeps its archives for ever.
    fn longest_retention_ms(&self) -> Option<u64> {
        let hosts = self.config.hosts.iter();
        let retentions = hosts.map(|host| host.archive.retention.as_ms());
        let all = retentions.map(|ms| (ms > 0).then_some(ms));
        all.collect::<Option<Vec<u64>>>()?.into_iter().max()
    }

    fn ask_waiting(&mut self, months: Months, from: RowKey) {
        let range = RowRange {
            from,
            to: RowKey::new(&[u8::MAX; 17]),
            count_max: PAGE_COUNT,
            bytes_max: limits::RANGE_BYTES_MAX,
        };
        if let Ok(ticket) = self.seats.take(Seat::Waiting(months)) {
            let ask = Ask::Range {
                table: &PENDING,
                range,
                fence: Fence::AfterSaves,
            };
            self.outputs.push_back(Output::Ask(ticket, ask));
        }
    }

    /// A page of what waits for clients, of all accounts.
    pub(super) fn found_waiting(&mut self, now: Now, months: Months, answer: Answer) {
        let (rows, more) = match answer {
            Answer::Range { rows, more } => (rows, more),
            other => return log::error!("retention_failed answer={other:?}"),
        };
        let next = rows.last().filter(|_| more);
        let next = next.map(|last| first_behind(last.key.clone()));
        let is_old = |key: &RowKey| pending::number(key).is_some_and(|n| n < months.before);
        let marks = rows
            .into_iter()
            .filter(|row| row.value.first() == Some(&MARK));
        let keys: Vec<RowKey> = marks.map(|row| row.key).filter(is_old).collect();
        if keys.is_empty() {
            return self.go_on_with(now, months, next);
        }
        if let Ok(ticket) = self.seats.take(Seat::Rescue(months, next)) {
            let ask = Ask::Pick {
                table: &ARCHIVE,
                pick: Pick::Rows(keys),
                fence: Fence::AfterSaves,
            };
            self.outputs.push_back(Output::Ask(ticket, ask));
        }
    }

    /// The messages in months that go, and for which somebody waits.
    pub(super) fn rescued(
        &mut self,
        now: Now,
        months: Months,
        next: Option<RowKey>,
        answer: Answer,
    ) {
        let (rows, is_cut) = match answer {
            Answer::Range { rows, more } => (rows, more),
            other => return log::error!("retention_failed answer={other:?}"),
        };
        let rescued = rows
            .iter()
            .filter_map(|row| archive::rescue(row, &self.seal));
        let rescued: Vec<Write> = rescued.collect();
        if !rescued.is_empty() {
            // Apart from what may be refused for reasons of its own.
            self.flush_saves(now);
            for write in &rescued {
                self.fresh.wrote(write);
            }
            self.ask_save(SaveRecord::rescue(), rescued);
            self.retention.is_rescuing = true;
        }
        let last = rows.into_iter().next_back().filter(|_| is_cut);
        self.go_on_with(now, months, last.map(|row| first_behind(row.key)).or(next));
    }

    fn go_on_with(&mut self, now: Now, months: Months, next: Option<RowKey>) {
        if let Some(from) = next {
            return self.ask_waiting(months, from);
        }
        let retention = &mut self.retention;
        if std::mem::take(&mut retention.is_unrescued) {
            // The next hour tries again.
            return log::error!("retention_waits reason=\"what is owed could not be stored\"");
        }
        if std::mem::take(&mut retention.is_rescuing) {
            // The pages come behind the answers to what was saved before (`Fence::AfterSaves`).
            return self.ask_waiting(months, RowKey::new(&[]));
        }
        retention.rescued = months.before;
        self.drop_months(now, months);
    }

    fn drop_months(&mut self, now: Now, Months { before }: Months) {
        // What was written before is in a save before (`fresh.rs`).
        self.flush_saves(now);
        for table in [&ARCHIVE, &INDEX, &TALLY] {
            let seat = Seat::Save(SaveRecord::default());
            if let Ok(ticket) = self.seats.take(seat) {
                self.fresh.sent();
                let ask = Ask::Drop { table, before };
                self.outputs.push_back(Output::Ask(ticket, ask));
            }
        }
    }
}

fn number_under(rows: &[Row], key: &RowKey) -> Option<u64> {
    let row = rows.iter().find(|row| row.key == *key)?;
    Some(u64::from_be_bytes(row.value.as_slice().try_into().ok()?))
}

/// The moment up to which archives are swept: what the clock says, but after the moment of the last sweep no later than
/// the server's time allows that ran since then. A server that never swept believes its clock.
fn believed_ms(wall_ms: u64, before_ms: Option<u64>, ran_ms: u64) -> u64 {
    let allowed = |before_ms: u64| before_ms.saturating_add(ran_ms * limits::SWEEP_CATCH_UP);
    before_ms.map_or(wall_ms, |before_ms| wall_ms.min(allowed(before_ms)))
}

/// Engines have no row without a key.
const KEY: &[u8] = b"clock";
/// Rows read at a time.
const PAGE_COUNT: usize = 1_000;
/// By so much the clock may be ahead without a word: a night's maintenance.
const JUMP_MS: u64 = 24 * 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::testing::{NOW, stage};
    use crate::base::AccountId;
    use crate::engine::archive;

    const HOUR_MS: u64 = 3_600_000;
    const YEAR_MS: u64 = 365 * 24 * HOUR_MS;

    #[test]
    fn a_clock_that_jumps_ahead_is_believed_an_hour_later_by_four_hours() {
        let now_ms = 50 * YEAR_MS;
        assert_eq!(believed_ms(now_ms, None, 0), now_ms);
        let in_step = believed_ms(now_ms + HOUR_MS, Some(now_ms), HOUR_MS);
        assert_eq!(in_step, now_ms + HOUR_MS);
        let jumped = believed_ms(now_ms + 9 * YEAR_MS, Some(now_ms), HOUR_MS);
        assert_eq!(jumped, now_ms + limits::SWEEP_CATCH_UP * HOUR_MS);
        // A start alone proves nothing, however often it happens.
        assert_eq!(believed_ms(now_ms + YEAR_MS, Some(now_ms), 0), now_ms);
        // Set right again, or back by mistake: sweeping less is no loss.
        assert_eq!(believed_ms(now_ms, Some(jumped), HOUR_MS), now_ms);
        assert_eq!(believed_ms(0, Some(now_ms), HOUR_MS), 0);
    }

    #[test]
    fn what_was_written_before_months_go_is_saved_before() {
        let (mut shard, _) = stage();
        shard.unsave(Write::Put {
            table: &ARCHIVE,
            key: archive::key(AccountId(7), 9),
            value: [1][..].into(),
        });
        let nothing = Answer::Range {
            rows: Vec::new(),
            more: false,
        };
        shard.found_waiting(NOW, Months { before: 5 }, nothing);
        shard.end_turn(NOW);
        let asked = std::iter::from_fn(|| shard.poll_output()).filter_map(|output| match output {
            Output::Ask(_, Ask::Save { .. }) => Some("save"),
            Output::Ask(_, Ask::Drop { .. }) => Some("drop"),
            _ => None,
        });
        assert_eq!(asked.collect::<Vec<_>>(), ["save", "drop", "drop", "drop"]);
    }
}
