//! The engine on disk: fjall, one keyspace for each table, or for each month of it ([`Slices`]). Refuses to know what rows mean, and guards fjall
//! against what it does not survive: a full disk, and a creation that was cut short.
//!
//! fjall poisons itself when a journal write, a flush or a compaction fails: it refuses all writes until it is
//! opened again, and a commit that meets four sealed memtables after its worker thread has died waits for ever.
//! Hence (all seen on a small tmpfs): writes are refused while the disk has less room than the reserve; a commit
//! waits for flushes before fjall would; and a poisoned database is opened anew as soon as there is room.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use parking_lot::{Mutex, RwLock};

use crate::actor::rows::{Row, RowKey, RowRange, Slices, StoreError, Table, Write};
use crate::base::Month;

use super::api::{OpenError, StoreOptions};
use super::engine::{Engine, Keys, Page, Visitor, number_in};
use super::files;
use super::room::{Level, makes_room};
use super::space::free_bytes;

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

struct Opened {
    // Fields are dropped in this order, and the keyspaces hold on to the lock file too.
    /// By table, and within a table by number. Months are added while somebody reads.
    spaces: RwLock<Vec<Space>>,
    db: Database,
}

/// Where rows of a table are: all, or those of one month.
#[derive(Clone)]
struct Space {
    table: &'static Table,
    /// The numbers in it, the second excluded.
    from: u64,
    to: u64,
    keyspace: Keyspace,
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

    /// Reads where the key's row would be; none where there is no such place yet.
    fn with<T>(
        &self,
        table: &'static Table,
        key: &RowKey,
        read: impl FnOnce(&Keyspace) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let opened = self.opened.read();
        let opened = opened.as_ref().ok_or(StoreError::Broken)?;
        self.must_know(table)?;
        let space = opened.space(table, key.as_bytes());
        space.map(|space| read(&space.keyspace)).transpose()
    }

    fn must_know(&self, table: &'static Table) -> Result<(), StoreError> {
        let known = self
            .tables
            .lock()
            .iter()
            .any(|known| known.name == table.name);
        debug_assert!(known, "the table {} was given to open()", table.name);
        if known {
            Ok(())
        } else {
            Err(StoreError::Broken)
        }
    }

    /// The places of a range's rows, in the order of the range.
    fn places(
        &self,
        opened: &Opened,
        table: &'static Table,
        range: &RowRange,
    ) -> Result<Vec<Space>, StoreError> {
        self.must_know(table)?;
        if range.from >= range.to {
            return Ok(Vec::new());
        }
        let (first, last) = numbers_in(table, range);
        let spaces = opened.spaces.read();
        let places = spaces.iter().filter(|space| {
            space.table.name == table.name && space.from <= last && first < space.to
        });
        Ok(places.cloned().collect())
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

impl Opened {
    fn new(db: Database) -> Opened {
        Opened {
            spaces: RwLock::new(Vec::new()),
            db,
        }
    }

    fn space(&self, table: &'static Table, key: &[u8]) -> Option<Space> {
        let number = number_in(table, key)?;
        let spaces = self.spaces.read();
        let mut of_table = spaces.iter().filter(|space| space.table.name == table.name);
        of_table.find(|space| space.holds(number)).cloned()
    }

    fn create(
        &self,
        tables: &[&'static Table],
        options: &StoreOptions,
    ) -> Result<(), fjall::Error> {
        for &table in tables {
            match table.slices {
                Slices::Whole => self.create_space(table, table.name, (0, u64::MAX), options)?,
                Slices::Monthly { .. } => {
                    for name in self.db.list_keyspace_names() {
                        if let Some(month) = month_named(table, &name) {
                            self.create_slice(table, month, options)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn create_slice(
        &self,
        table: &'static Table,
        month: Month,
        options: &StoreOptions,
    ) -> Result<(), fjall::Error> {
        let name = format!("{}-{:04}-{:02}", table.name, month.year, month.month);
        let numbers = (month.first_number(), month.next().first_number());
        self.create_space(table, &name, numbers, options)
    }

    fn create_space(
        &self,
        table: &'static Table,
        name: &str,
        (from, to): (u64, u64),
        options: &StoreOptions,
    ) -> Result<(), fjall::Error> {
        let mut spaces = self.spaces.write();
        let place = spaces.binary_search_by_key(&(table.name, from), |s| (s.table.name, s.from));
        let Err(at) = place else {
            return Ok(());
        };
        let create =
            || KeyspaceCreateOptions::default().max_memtable_size(options.write_buffer_bytes);
        let keyspace = self.db.keyspace(name, create)?;
        spaces.insert(
            at,
            Space {
                table,
                from,
                to,
                keyspace,
            },
        );
        Ok(())
    }

    /// Removes the months of a table that end before `before`.
    fn drop_before(&self, table: &'static Table, before: u64) -> Result<(), fjall::Error> {
        if table.slices == Slices::Whole {
            return Ok(());
        }
        let is_over = |space: &&Space| space.table.name == table.name && space.to <= before;
        let over: Vec<Space> = self.spaces.read().iter().filter(is_over).cloned().collect();
        for space in over {
            self.db.delete_keyspace(space.keyspace.clone())?;
            let is_same = |of: &mut Space| (of.table.name, of.from) == (table.name, space.from);
            self.spaces.write().extract_if(.., is_same).for_each(drop);
            log::info!("slice_dropped name={}", &**space.keyspace.name());
        }
        Ok(())
    }

    fn commit(&self, writes: &[Write]) -> Result<Result<(), fjall::Error>, StoreError> {
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncData));
        let spaces = self.spaces.read();
        let mut touched = vec![false; spaces.len()];
        let mut last = 0;
        for write in writes {
            let (table, key) = match write {
                Write::Put { table, key, .. } | Write::Delete { table, key } => (table, key),
                Write::Replace { .. } => return Err(StoreError::Broken),
            };
            // Mostly the one of the write before.
            let is_last = spaces.get(last).is_some_and(|last| last.is_of(table, key));
            let at = match is_last {
                true => Some(last),
                false => spaces.iter().position(|space| space.is_of(table, key)),
            };
            last = at.unwrap_or(last);
            match (write, at) {
                // fjall panics at an empty key.
                (Write::Put { .. } | Write::Delete { .. }, Some(_))
                    if key.as_bytes().is_empty() =>
                {
                    return Err(StoreError::Broken);
                }
                (Write::Put { value, .. }, Some(at)) => {
                    batch.insert(&spaces[at].keyspace, key.as_bytes(), &**value);
                    touched[at] = true;
                }
                (Write::Delete { .. }, Some(at)) => {
                    batch.remove(&spaces[at].keyspace, key.as_bytes());
                    touched[at] = true;
                }
                // The months of what is put were made before.
                (Write::Put { .. }, None) => return Err(StoreError::Broken),
                // A month that is gone has no rows to remove.
                (Write::Delete { .. }, None) if table.slices != Slices::Whole => {}
                (Write::Delete { .. }, None) | (Write::Replace { .. }, _) => {
                    return Err(StoreError::Broken);
                }
            }
        }
        for (space, _) in spaces.iter().zip(touched).filter(|(_, touched)| *touched) {
            if let Err(error) = self.wait_for_flushes(&space.keyspace) {
                return Ok(Err(error));
            }
        }
        Ok(batch.commit())
    }

    /// Waits while the worker thread is behind, and notices if it is dead, as fjall's own wait does not. One
    /// sealed memtable, one about to be and one that this commit fills make three; fjall would wait at four.
    fn wait_for_flushes(&self, space: &Keyspace) -> Result<(), fjall::Error> {
        while space.sealed_memtable_count() >= 2 || space.l0_table_count() >= 24 {
            self.db.persist(PersistMode::Buffer)?;
            thread::sleep(FLUSH_POLL);
        }
        Ok(())
    }
}

impl Space {
    fn rows(&self, range: &RowRange) -> fjall::Iter {
        self.keyspace
            .range(range.from.as_bytes()..range.to.as_bytes())
    }

    /// Rows of a range behind `behind`; all of them if there is none.
    fn keys_behind(&self, behind: Option<&RowKey>, range: &RowRange) -> fjall::Iter {
        let from = match behind {
            Some(key) => Bound::Excluded(key.as_bytes()),
            None => Bound::Included(range.from.as_bytes()),
        };
        let to = Bound::Excluded(range.to.as_bytes());
        self.keyspace.range::<&[u8], _>((from, to))
    }

    fn holds(&self, number: u64) -> bool {
        self.from <= number && number < self.to
    }

    /// Whether the row of this key is here, if it is anywhere.
    fn is_of(&self, table: &Table, key: &RowKey) -> bool {
        let number = number_in(table, key.as_bytes());
        self.table.name == table.name && number.is_some_and(|number| self.holds(number))
    }
}

/// The month of a table whose keyspace has this name.
fn month_named(table: &Table, name: &str) -> Option<Month> {
    let date = name.strip_prefix(table.name)?.strip_prefix('-')?;
    let (year, month) = date.split_once('-')?;
    Some(Month {
        year: year.parse().ok()?,
        month: month
            .parse()
            .ok()
            .filter(|month| (1..=12).contains(month))?,
    })
}

/// The least and the greatest number in the keys of a range.
fn numbers_in(table: &Table, range: &RowRange) -> (u64, u64) {
    let Slices::Monthly { number_at } = table.slices else {
        return (0, u64::MAX);
    };
    let (from, to) = (range.from.as_bytes(), range.to.as_bytes());
    let is_one_prefix =
        from.get(..number_at).is_some() && from.get(..number_at) == to.get(..number_at);
    match (number_in(table, from), number_in(table, to)) {
        (Some(first), Some(last)) if is_one_prefix => (first, last),
        _ => (0, u64::MAX),
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

fn read(guard: fjall::Guard) -> Result<Row, StoreError> {
    let (key, value) = guard.into_inner().map_err(unreadable)?;
    Ok(Row {
        key: RowKey::new(&key),
        value: value.to_vec(),
    })
}

fn key_of(guard: fjall::Guard) -> Result<RowKey, StoreError> {
    Ok(RowKey::new(&guard.key().map_err(unreadable)?))
}

fn unreadable(error: fjall::Error) -> StoreError {
    log::error!("the store cannot read: {error}");
    StoreError::Broken
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
/// Between looks at a flush that is behind.
const FLUSH_POLL: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::super::api::{Store, StoreOptions};
    use super::super::schema::Migration;
    use super::super::testing::{LETTERS, MONTHS, ROSTERS, TempDir, delete, key, put, range};
    use super::*;
    use crate::base::Sequence;
    use std::fs;

    fn open(dir: &TempDir) -> Result<Store, OpenError> {
        let options = StoreOptions::at(dir.join("store"));
        Store::open(options, &[&LETTERS, &ROSTERS], Vec::new())
    }

    #[test]
    fn rows_are_there_after_the_store_was_closed_and_opened() {
        let dir = TempDir::new();
        let store = open(&dir).unwrap();
        store
            .save_now(vec![put(&LETTERS, b"a", b"1"), put(&ROSTERS, b"b", b"2")])
            .unwrap();
        store
            .save_now(vec![delete(&LETTERS, b"a"), delete(&LETTERS, b"never")])
            .unwrap();
        drop(store);
        let store = open(&dir).unwrap();
        assert_eq!(store.row_now(&LETTERS, &key(b"a")), Ok(None));
        assert_eq!(store.row_now(&ROSTERS, &key(b"b")), Ok(Some(b"2".to_vec())));
    }

    #[test]
    fn a_range_stops_at_its_bounds_and_says_whether_more_follow() {
        let dir = TempDir::new();
        let store = open(&dir).unwrap();
        let writes = [b"a", b"b", b"c", b"d"].map(|name| put(&LETTERS, name, &[0; 10]));
        store.save_now(writes.into()).unwrap();
        let found = |count_max, bytes_max, to: &[u8]| {
            let range = RowRange {
                count_max,
                bytes_max,
                ..range(b"a", to)
            };
            let page = store.range_now(&LETTERS, &range).unwrap();
            let keys: Vec<u8> = page.rows.iter().map(|row| row.key.as_bytes()[0]).collect();
            (String::from_utf8(keys).unwrap(), page.more)
        };
        assert_eq!(found(9, 999, b"d"), ("abc".into(), false));
        assert_eq!(found(2, 999, b"d"), ("ab".into(), true));
        assert_eq!(found(3, 999, b"d"), ("abc".into(), false));
        assert_eq!(found(9, 25, b"z"), ("ab".into(), true));
        assert_eq!(found(9, 1, b"z"), ("a".into(), true));
        assert_eq!(found(9, 999, b"a"), (String::new(), false));
        assert_eq!(found(9, 999, b""), (String::new(), false));
    }

    /// A key of the monthly table: one account, and a moment of the wall clock.
    fn month_key(account: u8, wall_ms: u64) -> Vec<u8> {
        [&[account][..], &Sequence::first_at(wall_ms).to_be_bytes()].concat()
    }

    #[test]
    fn months_are_read_as_one_table_in_both_directions_and_dropped_whole() {
        let dir = TempDir::new();
        let open = || {
            Store::open(
                StoreOptions::at(dir.join("store")),
                &[&MONTHS, &LETTERS],
                Vec::new(),
            )
        };
        let store = open().unwrap();
        // The middle of each month of 2026, and of the January after.
        let day = 24 * 3_600_000;
        let moments: Vec<u64> = (0..13)
            .map(|n| 1_768_435_200_000 + n * 30 * day + n * day / 2)
            .collect();
        for (n, moment) in moments.iter().enumerate().rev() {
            let value = [n as u8];
            let writes = vec![
                put(&MONTHS, &month_key(7, *moment), &value),
                put(&MONTHS, &month_key(9, *moment), b"other"),
            ];
            store.save_now(writes).unwrap();
        }
        let values = |store: &Store, range: &RowRange| -> Vec<u8> {
            let page = store.range_now(&MONTHS, range).unwrap();
            page.rows.iter().map(|row| row.value[0]).collect()
        };
        let all = range(&month_key(7, 0), &month_key(7, u64::MAX));
        assert_eq!(values(&store, &all), (0..13).collect::<Vec<u8>>());
        let some = range(&month_key(7, moments[3]), &month_key(7, moments[6]));
        assert_eq!(values(&store, &some), [3, 4, 5]);
        let mut last = all.clone();
        last.count_max = 3;
        let back = store.engine().range_back(&MONTHS, &last).unwrap();
        let back_values: Vec<u8> = back.rows.iter().map(|row| row.value[0]).collect();
        assert_eq!((back_values, back.more), (vec![12, 11, 10], true));

        // Whoever owns several prefixes finds all rows of them.
        let both = range(&[7], &[10]);
        assert_eq!(values(&store, &both).len(), 26);

        // The first three months are over before the middle of April.
        store
            .engine()
            .drop_before(&MONTHS, Sequence::first_at(moments[3]))
            .unwrap();
        assert_eq!(values(&store, &all), (3..13).collect::<Vec<u8>>());
        let gone = key(&month_key(7, moments[0]));
        assert_eq!(store.row_now(&MONTHS, &gone), Ok(None));
        store
            .save_now(vec![delete(&MONTHS, gone.as_bytes())])
            .unwrap();
        drop(store);

        let store = open().unwrap();
        assert_eq!(values(&store, &all), (3..13).collect::<Vec<u8>>());
        let kept = key(&month_key(9, moments[12]));
        assert_eq!(store.row_now(&MONTHS, &kept), Ok(Some(b"other".to_vec())));
        let target = dir.join("copy");
        store.backup(&target, Vec::new(), &|| true).unwrap();
        let copy =
            Store::open(StoreOptions::at(&target), &[&MONTHS, &LETTERS], Vec::new()).unwrap();
        assert_eq!(values(&copy, &all), (3..13).collect::<Vec<u8>>());
    }

    #[test]
    fn keys_are_met_once_each_however_they_are_divided_and_whatever_goes_meanwhile() {
        let dir = TempDir::new();
        let engine = Embedded::open(&StoreOptions::at(dir.path())).unwrap();
        engine.create(&[&MONTHS]).unwrap();
        let month = 31 * 24 * 3_600_000;
        // Of each month all accounts, so that the order of keys is not that of months.
        let mut all = Vec::new();
        for n in 0..4 {
            for account in 1..=5 {
                all.push(month_key(account, 1_768_435_200_000 + n * month));
            }
        }
        let writes: Vec<Write> = all.iter().map(|key| put(&MONTHS, key, b"x")).collect();
        engine.commit(&writes).unwrap();
        let mut wanted = range(&[1], &[5]);
        wanted.count_max = 3;
        let (mut found, mut behind) = (Vec::new(), None);
        loop {
            let page = engine.walk(&MONTHS, &wanted, behind.as_ref()).unwrap();
            assert!(page.keys.len() <= 3);
            let gone = page.keys.iter().map(|key| delete(&MONTHS, key.as_bytes()));
            engine.commit(&gone.collect::<Vec<Write>>()).unwrap();
            behind = page.keys.last().cloned();
            found.extend(page.keys);
            if !page.more {
                break;
            }
        }
        let mut expected: Vec<RowKey> = all.iter().map(|bytes| key(bytes)).collect();
        expected.retain(|key| key.as_bytes()[0] < 5);
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        assert_eq!(engine.range(&MONTHS, &wanted).unwrap().rows, []);
    }

    #[test]
    fn a_month_that_cannot_be_dropped_takes_nothing_else_with_it() {
        let dir = TempDir::new();
        let engine = Embedded::open(&StoreOptions::at(dir.path())).unwrap();
        engine.create(&[&MONTHS, &LETTERS]).unwrap();
        let old = month_key(1, 1_768_435_200_000);
        engine.commit(&[put(&MONTHS, &old, b"x")]).unwrap();
        fs::rename(dir.join("rows"), dir.join("elsewhere")).unwrap();
        assert!(engine.drop_before(&MONTHS, u64::MAX).is_err());
        fs::rename(dir.join("elsewhere"), dir.join("rows")).unwrap();
        engine.commit(&[put(&LETTERS, b"a", b"1")]).unwrap();
        // The next hour.
        engine.drop_before(&MONTHS, u64::MAX).unwrap();
        assert_eq!(engine.row(&MONTHS, &key(&old)), Ok(None));
    }

    #[test]
    fn a_key_without_a_number_is_refused_by_a_monthly_table() {
        let dir = TempDir::new();
        let engine = Embedded::open(&StoreOptions::at(dir.path())).unwrap();
        engine.create(&[&MONTHS]).unwrap();
        let write = [put(&MONTHS, b"short", b"x")];
        assert_eq!(engine.commit(&write), Err(StoreError::Broken));
        assert_eq!(engine.row(&MONTHS, &key(b"short")), Ok(None));
    }

    #[test]
    fn a_row_without_a_key_is_refused() {
        let dir = TempDir::new();
        let engine = Embedded::open(&StoreOptions::at(dir.path())).unwrap();
        engine.create(&[&LETTERS]).unwrap();
        let refused = engine.commit(&[put(&LETTERS, b"", b"x")]);
        assert_eq!(refused, Err(StoreError::Broken));
    }

    #[test]
    fn a_second_stonechat_is_told_that_the_store_is_in_use() {
        let dir = TempDir::new();
        let _first = open(&dir).unwrap();
        let Err(error) = open(&dir) else {
            panic!("two have it open");
        };
        assert!(
            error
                .to_string()
                .starts_with("another stonechat has the store"),
            "{error}"
        );
    }

    #[test]
    fn a_creation_that_was_cut_short_is_begun_again() {
        let dir = TempDir::new();
        let fresh = dir.join("store/rows.new");
        fs::create_dir_all(&fresh).unwrap();
        // What fjall leaves when it is killed before its marker: it would not open that.
        fs::write(fresh.join("0.jnl"), b"").unwrap();
        let store = open(&dir).unwrap();
        store.save_now(vec![put(&LETTERS, b"a", b"1")]).unwrap();
    }

    #[test]
    fn below_the_reserve_writes_are_refused_and_reads_go_on() {
        let dir = TempDir::new();
        let store = open(&dir).unwrap();
        store.save_now(vec![put(&LETTERS, b"a", b"1")]).unwrap();
        store.set_reserve(u64::MAX);
        let refused = store.save_now(vec![put(&LETTERS, b"a", b"2")]);
        assert_eq!(refused, Err(StoreError::DiskFull));
        assert_eq!(store.row_now(&LETTERS, &key(b"a")), Ok(Some(b"1".to_vec())));
        store.set_reserve(0);
        store.save_now(vec![put(&LETTERS, b"a", b"2")]).unwrap();
        assert_eq!(store.row_now(&LETTERS, &key(b"a")), Ok(Some(b"2".to_vec())));
    }

    #[test]
    fn what_removes_more_than_it_adds_may_use_the_reserve() {
        let dir = TempDir::new();
        let engine = Embedded::open(&StoreOptions::at(dir.path())).unwrap();
        engine.create(&[&LETTERS]).unwrap();
        let rows = [b"a", b"b", b"c"].map(|key| put(&LETTERS, key, b"1"));
        engine.commit(&rows).unwrap();
        engine.set_reserve(u64::MAX);
        assert_eq!(
            engine.commit(&[put(&LETTERS, b"d", b"1")]),
            Err(StoreError::DiskFull)
        );
        engine.commit(&[delete(&LETTERS, b"a")]).unwrap();
        assert_eq!(engine.row(&LETTERS, &key(b"a")), Ok(None));
        // The count that goes with it.
        let both = [delete(&LETTERS, b"b"), put(&LETTERS, b"n", b"1")];
        engine.commit(&both).unwrap();
        assert_eq!(engine.row(&LETTERS, &key(b"b")), Ok(None));
        let more = [delete(&LETTERS, b"c"), put(&LETTERS, b"m", &[0; 500])];
        assert_eq!(engine.commit(&more), Err(StoreError::DiskFull));
    }

    #[test]
    fn data_of_a_newer_version_is_left_as_it_is() {
        const NEWER: &[Migration] = &[Migration {
            from: 1,
            about: "changes nothing",
            run: |_| Ok(()),
        }];
        let dir = TempDir::new();
        let mut options = StoreOptions::at(dir.join("store"));
        options.migrations = NEWER;
        drop(Store::open(options.clone(), &[&LETTERS], Vec::new()).unwrap());
        options.migrations = &[];
        let Err(error) = Store::open(options, &[&LETTERS], Vec::new()) else {
            panic!("it opened newer data");
        };
        assert!(
            matches!(error, OpenError::Newer { found: 2, known: 1 }),
            "{error}"
        );
    }

    #[test]
    fn a_poisoned_database_is_opened_again_and_keeps_its_rows() {
        let dir = TempDir::new();
        let engine = Embedded::open(&StoreOptions::at(dir.path())).unwrap();
        engine.create(&[&LETTERS]).unwrap();
        engine.commit(&[put(&LETTERS, b"a", b"1")]).unwrap();
        *engine.health.lock() = Health::Poisoned(Instant::now());
        engine.commit(&[put(&LETTERS, b"b", b"2")]).unwrap();
        assert_eq!(engine.row(&LETTERS, &key(b"a")), Ok(Some(b"1".to_vec())));
        assert_eq!(engine.row(&LETTERS, &key(b"b")), Ok(Some(b"2".to_vec())));
    }

    #[test]
    fn a_store_whose_files_are_away_fails_until_they_are_back() {
        let dir = TempDir::new();
        let engine = Embedded::open(&StoreOptions::at(dir.path())).unwrap();
        engine.create(&[&LETTERS]).unwrap();
        engine.commit(&[put(&LETTERS, b"a", b"1")]).unwrap();
        *engine.health.lock() = Health::Poisoned(Instant::now());
        fs::rename(dir.join("rows"), dir.join("elsewhere")).unwrap();
        let write = [put(&LETTERS, b"b", b"2")];
        assert_eq!(engine.commit(&write), Err(StoreError::Broken));
        assert_eq!(engine.row(&LETTERS, &key(b"a")), Err(StoreError::Broken));

        fs::rename(dir.join("elsewhere"), dir.join("rows")).unwrap();
        *engine.health.lock() = Health::Poisoned(Instant::now());
        engine.commit(&write).unwrap();
        assert_eq!(engine.row(&LETTERS, &key(b"a")), Ok(Some(b"1".to_vec())));
    }
}
