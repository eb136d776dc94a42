//! A host that keeps archives shorter than another has its old messages removed account by account, since the months in
//! which they are stay (`retention.rs`). Once for each month that goes, one account at a time, and nobody waits for it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::actor::Answer;
use crate::actor::rows::{Fence, Row, RowKey, RowRange, Table, Write};
use crate::base::{AccountId, Now, limits};
use crate::engine::archive::{self, ARCHIVE};
use crate::im::archive::{TALLY, months_before};
use crate::im::credentials::{ACCOUNT, AccountRow, localpart_of, names_after};

use super::Shard;
use super::output::{Ask, Output};
use super::retention::RETENTION;
use super::turns::Seat;

/// How far the accounts of a host were looked at.
#[derive(Debug)]
pub(super) struct Walk {
    host: Arc<str>,
    /// Months go that end before this number.
    before: u64,
    /// The account that is looked at, and those behind it.
    accounts: VecDeque<AccountId>,
    /// The last name that was read; there may be more behind it.
    last: Option<String>,
    is_last_page: bool,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// Names are read.
    Names,
    /// The months in which the account has something.
    Months,
    /// What it has in them from this number on, and the rows that count it.
    Messages(u64, Vec<RowKey>),
}

impl Shard {
    /// Messages of this host's accounts go that are in months before this one, unless others are going.
    pub(super) fn expire(&mut self, host: &Arc<str>, before: u64) {
        if std::mem::replace(&mut self.retention.is_walking, true) {
            return;
        }
        self.retention.is_refused = false;
        self.walk(Walk {
            host: Arc::clone(host),
            before,
            accounts: VecDeque::new(),
            last: None,
            is_last_page: false,
            step: Step::Names,
        });
    }

    /// Asks for what the next step reads.
    fn walk(&mut self, walk: Walk) {
        let (table, range): (&'static Table, RowRange) = match (&walk.step, walk.accounts.front()) {
            (Step::Months, Some(account)) => (&TALLY, months_before(*account, walk.before)),
            (Step::Messages(from, _), Some(account)) => (
                &ARCHIVE,
                RowRange {
                    count_max: limits::ARCHIVE_TRIM_COUNT,
                    bytes_max: limits::RANGE_BYTES_MAX,
                    // What was removed before is not stepped over again.
                    ..archive::range(*account, *from, walk.before)
                },
            ),
            (Step::Names, _) | (_, None) => {
                let last = walk.last.as_deref();
                let bytes_max = limits::RANGE_BYTES_MAX;
                (
                    &ACCOUNT,
                    names_after(&walk.host, last, PAGE_COUNT, bytes_max),
                )
            }
        };
        match self.seats.take(Seat::Expire(Box::new(walk))) {
            Ok(ticket) => self.outputs.push_back(Output::Ask(
                ticket,
                Ask::Range {
                    table,
                    range,
                    fence: Fence::AfterSaves,
                },
            )),
            // Where the store is overloaded, the next hour will do.
            Err(_) => self.retention.is_walking = false,
        }
    }

    /// The store says what the step wanted to know.
    pub(super) fn walked(&mut self, now: Now, mut walk: Walk, answer: Answer) {
        // What was saved before this was asked was answered before.
        if self.retention.is_refused {
            self.retention.is_walking = false;
            return log::error!("expiry_failed host={} reason=\"not removed\"", walk.host);
        }
        let (rows, more) = match answer {
            Answer::Range { rows, more } => (rows, more),
            other => {
                // The next hour begins again.
                self.retention.is_walking = false;
                return log::error!("expiry_failed host={} answer={other:?}", walk.host);
            }
        };
        match std::mem::replace(&mut walk.step, Step::Months) {
            Step::Names => {
                walk.is_last_page = !more;
                walk.read_names(&rows);
            }
            Step::Months if rows.is_empty() => drop(walk.accounts.pop_front()),
            Step::Months => {
                walk.step = Step::Messages(0, rows.into_iter().map(|row| row.key).collect());
            }
            Step::Messages(_, months) if rows.is_empty() => {
                for key in months {
                    let table = &TALLY;
                    self.unsave(Write::Delete { table, key });
                }
                walk.accounts.pop_front();
            }
            Step::Messages(from, months) => {
                if let Some(account) = walk.accounts.front() {
                    for row in &rows {
                        // As when an archive is trimmed.
                        let writes = archive::rescue(row, &self.seal).into_iter();
                        for write in writes.chain(archive::erase(*account, row)) {
                            self.unsave(write);
                        }
                    }
                }
                let last = rows.last().and_then(|row| archive::number_of(&row.key));
                let next = last.map_or(from, |last| last.saturating_add(1));
                walk.step = Step::Messages(next, months);
            }
        }
        self.flush_saves(now);
        if !walk.accounts.is_empty() {
            return self.walk(walk);
        }
        walk.step = Step::Names;
        if !walk.is_last_page {
            return self.walk(walk);
        }
        self.retention.is_walking = false;
        self.unsave(Write::Put {
            table: &RETENTION,
            key: key_of(&walk.host),
            value: walk.before.to_be_bytes()[..].into(),
        });
        log::info!("archives_expired host={}", walk.host);
    }
}

impl Walk {
    fn read_names(&mut self, rows: &[Row]) {
        for row in rows {
            let Some(localpart) = localpart_of(&self.host, &row.key) else {
                continue;
            };
            if let Ok(row) = AccountRow::decode(&row.value) {
                self.accounts.push_back(row.account.id);
            }
            self.last = Some(localpart);
        }
    }
}

/// Under which [`RETENTION`] says before which month nothing of a host's is left.
pub(super) fn key_of(host: &str) -> RowKey {
    RowKey::new(b"host ").then(host.as_bytes())
}

/// Names read at a time.
const PAGE_COUNT: usize = 250;
