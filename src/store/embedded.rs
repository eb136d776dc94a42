//! The engine on disk: fjall, opened, written to as far as the disk has room, and opened again. Refuses to know what rows
//! mean, and guards fjall against what it does not survive: a full disk, and a creation that was cut short. Where rows are
//! is the business of `slices`.
//!
//! fjall poisons itself when a journal write, a flush or a compaction fails: it refuses all writes until it is
//! opened again, and a commit that meets four sealed memtables after its worker thread has died waits for ever.
//! Hence (all seen on a small tmpfs): writes are refused while the disk has less room than the reserve; a commit
//! waits for flushes before fjall would; and a poisoned database is opened anew as soon as there is room.

mod commit;
mod reads;
mod rest;
mod slices;

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fjall::Readable;
use parking_lot::{Mutex, RwLock};

use crate::actor::rows::{RowKey, RowRange, StoreError, Table, Write};
use crate::base::Month;

use super::api::{OpenError, StoreOptions};
use super::engine::{Engine, Keys, Page, Visitor, number_in};
use super::files;
use super::room::{Level, makes_room};
use super::space::free_bytes;
use reads::{key_of, read, unreadable};
use slices::{Opened, Space};

/// Rows in `dir/rows`, for one process at a time.
pub(super) struct Embedded {
    /// None only after a reopening has failed.
    opened: RwLock<Option<Opened>>,
    /// All that were ever created, to create them again in a database that is opened anew.
    tables: Mutex<Vec<&'static Table>>,
    health: Mutex<Health>,
    options: StoreOptions,
    reserve_bytes: AtomicU64,
    /// What the last commit found.
    level: Mutex<Level>,
    /// Locked while we live: fjall's own lock is let go for a moment when it is opened anew.
    lock: File,
}

#[derive(Clone, Copy)]
enum Health {
    Well,
    /// fjall must be opened again before it writes; not before this moment.
    Poisoned(Instant),
    /// A sync failed, so what the kernel shows may not be on disk: only a restart, by somebody who has looked
    /// at the disk, goes on from there.
    Lost,
}

/// What a commit may use of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// What is beyond the reserve.
    Room,
    /// Nearly all.
    Reserve,
}

impl Embedded {
    /// Opens the database below `options.dir`, or creates it; without tables as yet.
    pub(super) fn open(options: &StoreOptions) -> Result<Embedded, OpenError> {
        let (lock, db) = files::open(options)?;
        Ok(Embedded {
            opened: RwLock::new(Some(Opened::new(db))),
            tables: Mutex::new(Vec::new()),
            health: Mutex::new(Health::Well),
            reserve_bytes: AtomicU64::new(options.reserve_bytes),
            level: Mutex::new(Level::default()),
            options: options.clone(),
            lock,
        })
    }

    /// Makes the places of months that begin with these writes.
    fn make_slices(&self, writes: &[Write]) -> Result<(), StoreError> {
        let opened = self.opened.read();
        let opened = opened.as_ref().ok_or(StoreError::Broken)?;
        let mut last: Option<Space> = None;
        for write in writes {
            let Write::Put { table, key, .. } = write else {
                continue;
            };
            // Mostly the one of the write before.
            if last.as_ref().is_some_and(|last| last.is_of(table, key)) {
                continue;
            }
            last = opened.space(table, key.as_bytes());
            if last.is_some() {
                continue;
            }
            self.must_know(table)?;
            // A key that is too short for its table is a bug, not a month.
            let number = number_in(table, key.as_bytes()).ok_or(StoreError::Broken)?;
            let made = opened.create_slice(table, Month::of(number), &self.options);
            made.map_err(|error| self.fell_ill(&error))?;
        }
        Ok(())
    }

    /// Whether the disk has as much room as this; if the system does not say, the write itself will.
    fn has_room(&self, bytes: u64) -> bool {
        bytes == 0 || free_bytes(&self.lock).map_or(true, |free| free >= bytes)
    }

    /// How full it is; if the system does not say, as it was.
    fn look_at_the_disk(&self) -> Level {
        let mut level = self.level.lock();
        if let Ok(free) = free_bytes(&self.lock) {
            let reserve = self.reserve();
            let next = level.next(free, reserve);
            if next != *level {
                next.say(free, reserve);
            }
            *level = next;
        }
        *level
    }

    fn reserve(&self) -> u64 {
        self.reserve_bytes.load(Ordering::Relaxed)
    }

    /// What a failed write means from now on.
    fn fell_ill(&self, error: &fjall::Error) -> StoreError {
        log::error!("the store cannot write: {error}");
        let full = io_kind(error) == Some(io::ErrorKind::StorageFull);
        let short = !self.has_room(self.reserve().max(FULL_BYTES));
        *self.health.lock() = match error {
            // The background worker failed. All that was acknowledged is in the synced journal.
            fjall::Error::Poisoned => Health::Poisoned(Instant::now() + HEAL_PAUSE),
            _ if full && short => Health::Poisoned(Instant::now()),
            _ => Health::Lost,
        };
        if full || short {
            StoreError::DiskFull
        } else {
            StoreError::Broken
        }
    }

    /// Opens the database again after it was poisoned: the journal is replayed up to the last whole commit.
    fn heal(&self) -> Result<(), StoreError> {
        // A backup or a long range may hold on to the database: next time, then.
        let Some(mut place) = self.opened.try_write_for(HEAL_WAIT) else {
            return Err(StoreError::Broken);
        };
        // The old one first: fjall locks its directory.
        *place = None;
        let tables = self.tables.lock().clone();
        let opened = files::open_again(&self.options).and_then(|db| {
            let opened = Opened::new(db);
            opened.create(&tables, &self.options)?;
            Ok(opened)
        });
        match opened {
            Ok(opened) => {
                *place = Some(opened);
                *self.health.lock() = Health::Well;
                log::warn!("the store writes again");
                Ok(())
            }
            Err(error) => {
                *self.health.lock() = Health::Poisoned(Instant::now() + HEAL_PAUSE);
                log::error!("the store could not be opened again: {error}");
                Err(StoreError::Broken)
            }
        }
    }

    fn write(&self, writes: &[Write], claim: Claim) -> Result<(), StoreError> {
        self.ready_to_write(claim)?;
        self.make_slices(writes)?;
        let done = {
            let opened = self.opened.read();
            let opened = opened.as_ref().ok_or(StoreError::Broken)?;
            opened.commit(writes)?
        };
        done.map_err(|error| self.fell_ill(&error))
    }

    fn ready_to_write(&self, claim: Claim) -> Result<(), StoreError> {
        let health = *self.health.lock();
        let level = self.look_at_the_disk();
        let has_room = match health {
            // The reserve is there for this: who removes nothing never has room again.
            Health::Well if claim == Claim::Reserve => {
                self.has_room(self.reserve().min(FULL_BYTES))
            }
            Health::Well => level != Level::Full,
            Health::Poisoned(_) | Health::Lost => self.has_room(self.reserve().max(FULL_BYTES)),
        };
        if !has_room {
            return Err(StoreError::DiskFull);
        }
        match health {
            Health::Well => Ok(()),
            Health::Poisoned(until) if Instant::now() >= until => self.heal(),
            Health::Poisoned(_) | Health::Lost => Err(StoreError::Broken),
        }
    }
}

impl Engine for Embedded {
    fn create(&self, tables: &[&'static Table]) -> Result<(), StoreError> {
        let opened = self.opened.write();
        let opened = opened.as_ref().ok_or(StoreError::Broken)?;
        opened.create(tables, &self.options).map_err(|error| {
            log::error!("the store could not create its tables: {error}");
            StoreError::Broken
        })?;
        let mut known = self.tables.lock();
        for &table in tables {
            if !known.iter().any(|known| known.name == table.name) {
                known.push(table);
            }
        }
        Ok(())
    }

    fn row(&self, table: &'static Table, key: &RowKey) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.with(table, key, |space| {
            let value = space.get(key.as_bytes()).map_err(unreadable)?;
            Ok(value.map(|value| value.to_vec()))
        })?;
        Ok(found.flatten())
    }

    fn has(&self, table: &'static Table, key: &RowKey) -> Result<bool, StoreError> {
        let found = self.with(table, key, |space| {
            space.contains_key(key.as_bytes()).map_err(unreadable)
        })?;
        Ok(found.unwrap_or(false))
    }

    fn range(&self, table: &'static Table, range: &RowRange) -> Result<Page, StoreError> {
        let opened = self.opened.read();
        let opened = opened.as_ref().ok_or(StoreError::Broken)?;
        let places = self.places(opened, table, range)?;
        let found = places.iter().flat_map(|place| place.rows(range));
        Page::fill(range, found.map(read))
    }

    fn range_back(&self, table: &'static Table, range: &RowRange) -> Result<Page, StoreError> {
        let opened = self.opened.read();
        let opened = opened.as_ref().ok_or(StoreError::Broken)?;
        let places = self.places(opened, table, range)?;
        let found = places
            .iter()
            .rev()
            .flat_map(|place| place.rows(range).rev());
        Page::fill(range, found.map(read))
    }

    fn walk(
        &self,
        table: &'static Table,
        range: &RowRange,
        behind: Option<&RowKey>,
    ) -> Result<Keys, StoreError> {
        let opened = self.opened.read();
        let opened = opened.as_ref().ok_or(StoreError::Broken)?;
        let places = self.places(opened, table, range)?;
        let number = behind.map(|key| number_in(table, key.as_bytes()).unwrap_or(0));
        let left = places
            .iter()
            .filter(|place| number.is_none_or(|n| n < place.to));
        let found = left.flat_map(|place| {
            // Behind it in its own month, and all of those that follow.
            let from = behind.filter(|_| number.is_some_and(|n| place.holds(n)));
            place.keys_behind(from, range)
        });
        Keys::fill(range.count_max, found.map(key_of))
    }

    fn drop_before(&self, table: &'static Table, before: u64) -> Result<(), StoreError> {
        let opened = self.opened.read();
        let opened = opened.as_ref().ok_or(StoreError::Broken)?;
        opened.drop_before(table, before).map_err(|error| {
            log::error!("slices_not_dropped table={} error={error}", table.name);
            // What could not go stays, and nothing else is the worse for it: no row was written, none is in doubt. If
            // the database cannot write any more, the next write finds that out.
            StoreError::Broken
        })
    }

    fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.write(writes, claim_of(writes))
    }

    fn commit_in_reserve(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.write(writes, Claim::Reserve)
    }

    fn rest(&self) -> Result<(), StoreError> {
        self.ready_to_write(Claim::Room)?;
        let opened = self.opened.read();
        let opened = opened.as_ref().ok_or(StoreError::Broken)?;
        opened.rest().map_err(|error| {
            // What is in memory is in the journal, too. If the database cannot write any more, the next write finds that out.
            log::error!("store_not_at_rest error={error}");
            StoreError::Broken
        })
    }

    fn visit(&self, each: &mut Visitor<'_>) -> Result<(), StoreError> {
        let opened = self.opened.read();
        let opened = opened.as_ref().ok_or(StoreError::Broken)?;
        let snapshot = opened.db.snapshot();
        let spaces = opened.spaces.read().clone();
        for space in spaces {
            for guard in snapshot.iter(&space.keyspace) {
                let (key, value) = guard.into_inner().map_err(unreadable)?;
                each(space.table, &key, &value)?;
            }
        }
        Ok(())
    }

    fn set_reserve(&self, bytes: u64) {
        self.reserve_bytes.store(bytes, Ordering::Relaxed);
    }
}

/// What may be used by these writes.
fn claim_of(writes: &[Write]) -> Claim {
    match makes_room(writes) {
        true => Claim::Reserve,
        false => Claim::Room,
    }
}

fn io_kind(error: &fjall::Error) -> Option<io::ErrorKind> {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            Some(error.kind())
        }
        _ => None,
    }
}

/// A disk with less room than this is why a write failed for want of it, and opening again waits for as much.
const FULL_BYTES: u64 = 16 * 1024 * 1024;
/// Between attempts to go on after the worker thread died: each replays the journals.
const HEAL_PAUSE: Duration = Duration::from_secs(1);
/// How long an attempt waits for readers to let go.
const HEAL_WAIT: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
