//! From version 1 of the data to 2: a row of the archive says itself what its message is found by, the index has lists, and
//! names of accounts are found by what they look like.
//! Rows of the archive get their present form where they have not; the index and the counts, which say nothing that is not
//! in them, are made anew. Runs again from the start if it was cut short, and loses no message: each is in one row, before
//! and after.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::actor::rows::{Row, RowKey, RowRange, StoreError, Table, Write};
use crate::base::{AccountId, Month, limits};
use crate::engine::archive::{self, ARCHIVE, FirstForm, INDEX, INDEXED};
use crate::im::archive::{Entry, Holding, TALLY, counted};
use crate::im::credentials::{ACCOUNT, AccountRow, AccountState};
use crate::im::looks::{self, LOOKS};
use crate::im::waiting::{self, WAITING};

use super::engine::Engine;

/// The whole way.
///
/// # Errors
/// The engine's; what was done so far stays done.
pub(super) fn run(engine: &dyn Engine) -> Result<(), StoreError> {
    engine.create(&[
        &ARCHIVE, &INDEX, &INDEXED, &TALLY, &ACCOUNT, &LOOKS, &WAITING,
    ])?;
    let now_ms = wall_ms();
    each_page(engine, &ACCOUNT, |rows| {
        let writes: Vec<Write> = rows.iter().flat_map(|row| found_by(row, now_ms)).collect();
        commit(engine, &writes)
    })?;
    // The old index says with whom messages were exchanged: it is there until the last row of the archive has been renewed.
    let mut renewed = 0;
    each_page(engine, &ARCHIVE, |rows| {
        let writes = rows
            .iter()
            .filter_map(|row| renew(engine, row).transpose())
            .collect::<Result<Vec<Write>, StoreError>>()?;
        renewed += writes.len();
        commit(engine, &writes)
    })?;
    log::info!("archive_renewed messages={renewed}");
    for table in [&INDEX, &INDEXED, &TALLY] {
        engine.drop_before(table, u64::MAX)?;
        empty(engine, table)?;
    }
    let mut count = Count::default();
    each_page(engine, &ARCHIVE, |rows| {
        let writes: Vec<Write> = rows.iter().flat_map(|row| count.add(row)).collect();
        commit(engine, &writes)
    })?;
    commit(engine, &count.end())
}

/// What an account is found by: its looks, and where it waits for an operator, that it does. Since when, nobody wrote down.
fn found_by(row: &Row, now_ms: u64) -> impl Iterator<Item = Write> + use<> {
    let name = name_in(&row.key);
    let looks = name.map(|(host, name)| looks::put(host, name));
    let account = AccountRow::decode(&row.value);
    let is_waiting = account.is_ok_and(|account| account.state == AccountState::Waiting);
    let waits = name.filter(|_| is_waiting);
    let waits = waits.map(|(host, name)| waiting::put(host, name, now_ms));
    looks.into_iter().chain(waits)
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// The host and the localpart in the key of an account.
fn name_in(key: &RowKey) -> Option<(&str, &str)> {
    let bytes = key.as_bytes();
    let (host, localpart) = bytes.split_at_checked(bytes.iter().position(|byte| *byte == 0)?)?;
    let localpart = std::str::from_utf8(localpart.get(1..)?).ok()?;
    Some((std::str::from_utf8(host).ok()?, localpart))
}

/// The write that renews a row; none if that is not to be done.
fn renew(engine: &dyn Engine, row: &Row) -> Result<Option<Write>, StoreError> {
    let Some(old) = FirstForm::read(row) else {
        return Ok(None);
    };
    for (jid, key) in old.contacts() {
        if engine.has(&INDEX, &key)? {
            return Ok(Some(old.renewed(Some(jid))));
        }
    }
    // Every message was indexed in one commit with its row: this one is damaged, or its index is.
    let first = old.contacts().next();
    Ok(Some(old.renewed(first.map(|(jid, _)| jid))))
}

/// What is counted and not written yet: of one account, and of one month.
#[derive(Default)]
struct Count {
    of: Option<(AccountId, Month)>,
    held: Holding,
    last: u64,
    /// To be indexed.
    entries: Vec<Entry>,
}

impl Count {
    /// One more message, behind all others of its account and month: what is to be written now.
    fn add(&mut self, row: &Row) -> Vec<Write> {
        let bytes = row.key.as_bytes();
        let (Some(account), Some(number)) = (bytes.first_chunk(), archive::number_of(&row.key))
        else {
            return Vec::new();
        };
        let of = (AccountId(u64::from_be_bytes(*account)), Month::of(number));
        let mut writes = match self.of == Some(of) {
            true => Vec::new(),
            false => std::mem::take(self).end(),
        };
        self.of = Some(of);
        self.last = number;
        self.held.count += 1;
        self.held.bytes += row.value.len() as u64;
        self.entries.extend(Entry::read(row));
        if self.entries.len() as u64 >= limits::ARCHIVE_TALLY_EVERY {
            writes.extend(archive::index(of.0, self.entries.drain(..)));
        }
        writes
    }

    /// There are no more of this account and month.
    fn end(self) -> Vec<Write> {
        let Some((account, _)) = self.of else {
            return Vec::new();
        };
        let mut writes = archive::index(account, self.entries.into_iter());
        writes.push(counted(account, self.held, self.last));
        writes
    }
}

/// All rows of a table, some at a time; those of one account and month are one behind the other.
fn each_page(
    engine: &dyn Engine,
    table: &'static Table,
    mut each: impl FnMut(&[Row]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut behind: Option<RowKey> = None;
    loop {
        let found = engine.walk(table, &everything(), behind.as_ref())?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for key in &found.keys {
            if let Some(value) = engine.row(table, key)? {
                bytes += value.len();
                let key = key.clone();
                rows.push(Row { key, value });
            }
            if bytes >= PAGE_BYTES {
                each(&rows)?;
                rows.clear();
                bytes = 0;
            }
        }
        each(&rows)?;
        behind = found.keys.into_iter().next_back();
        if !found.more || behind.is_none() {
            return Ok(());
        }
    }
}

/// What could not be dropped at once.
fn empty(engine: &dyn Engine, table: &'static Table) -> Result<(), StoreError> {
    loop {
        let found = engine.walk(table, &everything(), None)?;
        let keys = found.keys.into_iter();
        let writes: Vec<Write> = keys.map(|key| Write::Delete { table, key }).collect();
        commit(engine, &writes)?;
        if !found.more {
            return Ok(());
        }
    }
}

fn commit(engine: &dyn Engine, writes: &[Write]) -> Result<(), StoreError> {
    match writes.is_empty() {
        true => Ok(()),
        false => engine.commit(writes),
    }
}

fn everything() -> RowRange {
    RowRange {
        from: RowKey::new(&[]),
        to: RowKey::new(&[u8::MAX; 33]),
        count_max: PAGE_COUNT,
        bytes_max: usize::MAX,
    }
}

/// Rows of a commit, and their bytes with one row more.
const PAGE_COUNT: usize = 1_000;
const PAGE_BYTES: usize = 1 << 20;

#[cfg(test)]
#[path = "from_1_tests.rs"]
mod tests;
