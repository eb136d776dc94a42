//! A host that keeps archives shorter than another has its old messages removed account by account, since the months in
//! which they are stay (`retention.rs`). Once for each month that goes, one account at a time, and nobody waits for it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::actor::Answer;
use crate::actor::rows::{Fence, Row, RowKey, RowRange, Table, Write};
use crate::base::{AccountId, Now, limits};
use crate::engine::archive::{self, ARCHIVE, INDEXED};
use crate::im::archive::{TALLY, key, months_before};
use crate::im::credentials::{ACCOUNT, AccountRow, localpart_of, names_after};

use super::Shard;
use super::output::{Ask, Output};
use super::retention::RETENTION;
use super::save::SaveRecord;
use super::seats::Seat;

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
    /// How far its words are indexed; it has something in the months that these rows count.
    Words(Vec<RowKey>),
    /// What it has in them.
    Messages(Messages),
}

/// Messages of an account.
#[derive(Debug)]
struct Messages {
    /// Those of lower numbers are gone.
    from: u64,
    /// Words of those before it may be indexed.
    indexed_before: u64,
    /// The rows that count them.
    months: Vec<RowKey>,
}

impl Shard {
    /// Messages of the next host's accounts go that are in months before the one that is given with it.
    pub(super) fn expire_next(&mut self) {
        let next = self.retention.due.pop_front();
        self.retention.is_walking = next.is_some();
        let Some((host, before)) = next else {
            return;
        };
        self.retention.is_refused = false;
        self.walk(Walk {
            host,
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
            (Step::Words(_), Some(account)) => (&INDEXED, only(key(*account))),
            (Step::Messages(Messages { from, .. }), Some(account)) => (
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
            Err(_) => self.expire_next(),
        }
    }

    /// The store says what the step wanted to know.
    pub(super) fn walked(&mut self, now: Now, mut walk: Walk, answer: Answer) {
        // What was saved before this was asked was answered before.
        if self.retention.is_refused {
            log::error!("expiry_failed host={} reason=\"not removed\"", walk.host);
            return self.expire_next();
        }
        let (rows, more) = match answer {
            Answer::Range { rows, more } => (rows, more),
            other => {
                // The next hour begins again.
                log::error!("expiry_failed host={} answer={other:?}", walk.host);
                return self.expire_next();
            }
        };
        let mut gone = Vec::new();
        match std::mem::replace(&mut walk.step, Step::Months) {
            Step::Names => {
                walk.is_last_page = !more;
                walk.read_names(&rows);
            }
            Step::Months if rows.is_empty() => drop(walk.accounts.pop_front()),
            Step::Months => {
                walk.step = Step::Words(rows.into_iter().map(|row| row.key).collect());
            }
            Step::Words(months) => {
                let mark = rows.first().map(|row| &*row.value);
                walk.step = Step::Messages(Messages {
                    from: 0,
                    indexed_before: archive::indexed_before(mark),
                    months,
                });
            }
            Step::Messages(Messages { months, .. }) if rows.is_empty() => {
                let table = &TALLY;
                gone.extend(months.into_iter().map(|key| Write::Delete { table, key }));
                walk.accounts.pop_front();
            }
            Step::Messages(mut of) => {
                if let Some(account) = walk.accounts.front() {
                    for row in &rows {
                        if gone.len() >= limits::ARCHIVE_ERASE_WRITES {
                            break;
                        }
                        // As when an archive is trimmed.
                        gone.extend(archive::rescue(row, &self.seal));
                        gone.extend(archive::erase(*account, row, of.indexed_before));
                        let number = archive::number_of(&row.key);
                        of.from = number.map_or(of.from, |number| number.saturating_add(1));
                    }
                }
                walk.step = Step::Messages(of);
            }
        }
        self.remove_old(now, gone);
        if !walk.accounts.is_empty() {
            return self.walk(walk);
        }
        walk.step = Step::Names;
        if !walk.is_last_page {
            return self.walk(walk);
        }
        self.unsave(Write::Put {
            table: &RETENTION,
            key: key_of(&walk.host),
            value: walk.before.to_be_bytes()[..].into(),
        });
        log::info!("archives_expired host={}", walk.host);
        self.expire_next();
    }
}

impl Shard {
    /// Asks for old rows to be removed, apart from what the disk may refuse while it lets removals through.
    fn remove_old(&mut self, now: Now, gone: Vec<Write>) {
        self.flush_saves(now);
        if gone.is_empty() {
            return;
        }
        for write in &gone {
            self.fresh.wrote(write);
        }
        self.ask_save(SaveRecord::expiry(), gone);
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

/// A range of one row.
fn only(key: RowKey) -> RowRange {
    RowRange {
        to: key.clone().then(&[0]),
        from: key,
        count_max: 1,
        bytes_max: limits::RANGE_BYTES_MAX,
    }
}

/// Names read at a time.
const PAGE_COUNT: usize = 250;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::Ticket;
    use crate::actor::auth::AccountRef;
    use crate::actor::rows::StoreError;
    use crate::base::Generation;
    use crate::config::units::Duration;
    use crate::config::{Config, HostConfig};
    use crate::im::credentials::{AccountState, name_key};
    use crate::shard::input::Input;
    use crate::shard::testing::{NOW, stage};

    /// The hosts whose accounts are asked for, with the tickets of the questions.
    fn asked(shard: &mut Shard) -> Vec<(String, Ticket)> {
        let outputs = std::iter::from_fn(|| shard.poll_output());
        let asked = outputs.filter_map(|output| match output {
            Output::Ask(ticket, Ask::Range { table, range, .. }) if table.name == ACCOUNT.name => {
                let host = String::from_utf8_lossy(range.from.as_bytes()).into_owned();
                Some((host, ticket))
            }
            _ => None,
        });
        asked.collect()
    }

    #[test]
    fn a_host_whose_old_messages_cannot_go_keeps_no_other_waiting() {
        let (mut shard, _) = stage();
        let mut config = Config::clone(&shard.config);
        for (name, days) in [("a.example", 30), ("b.example", 30), ("c.example", 0)] {
            let mut host = HostConfig::clone(&config.hosts[0]);
            host.name = name.into();
            host.archive.retention = Duration::from_ms(days * 24 * 3_600_000);
            config.hosts.push(host.into());
        }
        config.hosts.remove(0);
        shard.config = config.into();
        let later = NOW.plus_ms(400 * 24 * 3_600_000);
        let mut hosts = Vec::new();
        for _ in 0..2 {
            let rows = Vec::new();
            shard.clock_known(later, Answer::Range { rows, more: false });
            while let Some((host, ticket)) = asked(&mut shard).pop() {
                hosts.push(host.chars().next());
                let failed = Answer::Failed(StoreError::Broken);
                shard.handle(later, Input::Answer(ticket, failed));
            }
        }
        assert!(
            hosts.contains(&Some('a')) && hosts.contains(&Some('b')),
            "{hosts:?}"
        );
        assert!(!hosts.contains(&Some('c')), "it keeps all");
        assert!(hosts.len() <= 4, "each is tried once in an hour: {hosts:?}");
    }

    /// A second host, without a retention, so that months are walked instead of dropped.
    fn keep_all_of_another_host(shard: &mut Shard) {
        let mut config = Config::clone(&shard.config);
        let mut host = HostConfig::clone(&config.hosts[0]);
        host.archive.retention = Duration::from_ms(0);
        host.name = "c.example".into();
        config.hosts.push(host.into());
        shard.config = config.into();
    }

    #[test]
    fn what_the_disk_refuses_to_others_stops_no_removal() {
        let (mut shard, _) = stage();
        keep_all_of_another_host(&mut shard);
        let later = NOW.plus_ms(400 * 24 * 3_600_000);
        let nothing = || Answer::Range {
            rows: Vec::new(),
            more: false,
        };
        shard.clock_known(later, nothing());
        let outputs: Vec<Output> = std::iter::from_fn(|| shard.poll_output()).collect();
        for output in outputs {
            let Output::Ask(ticket, ask) = output else {
                continue;
            };
            let answer = match ask {
                // Until when the clock is believed: nothing but a put.
                Ask::Save { .. } => Answer::Failed(StoreError::DiskFull),
                _ => nothing(),
            };
            shard.handle(later, Input::Answer(ticket, answer));
        }
        shard.end_turn(later);
        let is_done =
            |write: &Write| matches!(write, Write::Put { key, .. } if *key == key_of("localhost"));
        let done = std::iter::from_fn(|| shard.poll_output()).any(|output| match output {
            Output::Ask(_, Ask::Save { writes, .. }) => writes.iter().any(is_done),
            _ => false,
        });
        assert!(done, "all of it is gone");
    }

    #[test]
    fn what_was_removed_is_not_stepped_over_again() {
        let (mut shard, _) = stage();
        keep_all_of_another_host(&mut shard);
        let later = NOW.plus_ms(400 * 24 * 3_600_000);
        let account = AccountId(7);
        let owner = AccountRow {
            account: AccountRef {
                id: account,
                generation: Generation(0),
            },
            state: AccountState::Enabled,
            keys: Vec::new(),
            unverified: Vec::new(),
        };
        let row = |key, value: &[u8]| Row {
            key,
            value: value.to_vec(),
        };
        // Pages of two messages, as an archive answers that has many.
        let mut pages = vec![Vec::new(), vec![11, 12], vec![5, 9]];
        let mut asked_from = Vec::new();
        let rows = Vec::new();
        shard.clock_known(later, Answer::Range { rows, more: false });
        while let Some(output) = shard.poll_output() {
            let Output::Ask(ticket, ask) = output else {
                continue;
            };
            let rows = match ask {
                Ask::Range { table, .. } if table.name == ACCOUNT.name => {
                    vec![row(name_key("localhost", "romeo"), &owner.encode())]
                }
                Ask::Range { table, .. } if table.name == TALLY.name => {
                    // When all is gone, so are the counts.
                    let is_done = pages.is_empty();
                    let key = crate::im::archive::key(account).then(&[0; 8]);
                    if is_done {
                        Vec::new()
                    } else {
                        vec![row(key, b"x")]
                    }
                }
                Ask::Range { table, range, .. } if table.name == ARCHIVE.name => {
                    asked_from.push(archive::number_of(&range.from).expect("a message's"));
                    let page = pages.pop().unwrap_or_default();
                    let page = page.into_iter();
                    page.map(|n| row(archive::key(account, n), b"x")).collect()
                }
                Ask::Save { .. } => {
                    shard.handle(later, Input::Answer(ticket, Answer::Saved));
                    continue;
                }
                _ => Vec::new(),
            };
            shard.handle(
                later,
                Input::Answer(ticket, Answer::Range { rows, more: false }),
            );
        }
        assert_eq!(asked_from, [0, 10, 13]);
    }
}
