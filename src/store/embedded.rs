//! The engine on disk: fjall, one keyspace for each table. Refuses to know what rows mean, and guards fjall
//! against what it does not survive: a full disk, and a creation that was cut short.
//!
//! fjall poisons itself when a journal write, a flush or a compaction fails: it refuses all writes until it is
//! opened again, and a commit that meets four sealed memtables after its worker thread has died waits for ever.
//! Hence (all seen on a small tmpfs): writes are refused while the disk has less room than the reserve; a commit
//! waits for flushes before fjall would; and a poisoned database is opened anew as soon as there is room.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use parking_lot::{Mutex, RwLock};

use crate::actor::rows::{Row, RowKey, RowRange, StoreError, Table, Write};

use super::api::{OpenError, StoreOptions};
use super::engine::{Engine, Page, Visitor};
use super::files;
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
    /// Locked while we live: fjall's own lock is let go for a moment when it is opened anew.
    lock: File,
}

struct Opened {
    // Fields are dropped in this order, and the keyspaces hold on to the lock file too.
    spaces: Vec<(&'static Table, Keyspace)>,
    db: Database,
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

impl Embedded {
    /// Opens the database below `options.dir`, or creates it; without tables as yet.
    pub(super) fn open(options: &StoreOptions) -> Result<Embedded, OpenError> {
        let (lock, db) = files::open(options)?;
        Ok(Embedded {
            opened: RwLock::new(Some(Opened {
                spaces: Vec::new(),
                db,
            })),
            tables: Mutex::new(Vec::new()),
            health: Mutex::new(Health::Well),
            reserve_bytes: AtomicU64::new(options.reserve_bytes),
            options: options.clone(),
            lock,
        })
    }

    fn with<T>(
        &self,
        table: &'static Table,
        read: impl FnOnce(&Keyspace) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let opened = self.opened.read();
        let opened = opened.as_ref().ok_or(StoreError::Broken)?;
        read(opened.space(table)?)
    }

    /// Whether the disk has as much room as this; if the system does not say, the write itself will.
    fn has_room(&self, bytes: u64) -> bool {
        bytes == 0 || free_bytes(&self.lock).map_or(true, |free| free >= bytes)
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
            let mut opened = Opened {
                spaces: Vec::new(),
                db,
            };
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

    fn ready_to_write(&self) -> Result<(), StoreError> {
        let health = *self.health.lock();
        let needed = match health {
            Health::Well => self.reserve(),
            Health::Poisoned(_) | Health::Lost => self.reserve().max(FULL_BYTES),
        };
        if !self.has_room(needed) {
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
    fn space(&self, table: &'static Table) -> Result<&Keyspace, StoreError> {
        let space = self
            .spaces
            .iter()
            .find(|(known, _)| known.name == table.name);
        debug_assert!(
            space.is_some(),
            "the table {} was given to open()",
            table.name
        );
        space.map(|(_, space)| space).ok_or(StoreError::Broken)
    }

    fn create(
        &mut self,
        tables: &[&'static Table],
        options: &StoreOptions,
    ) -> Result<(), fjall::Error> {
        for &table in tables {
            if self
                .spaces
                .iter()
                .any(|(known, _)| known.name == table.name)
            {
                continue;
            }
            let create =
                || KeyspaceCreateOptions::default().max_memtable_size(options.write_buffer_bytes);
            let space = self.db.keyspace(table.name, create)?;
            self.spaces.push((table, space));
        }
        Ok(())
    }

    fn commit(&self, writes: &[Write]) -> Result<Result<(), fjall::Error>, StoreError> {
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncData));
        for write in writes {
            let space = self.space(write.table())?;
            match write {
                Write::Put { key, value, .. } => batch.insert(space, key.as_bytes(), &**value),
                Write::Delete { key, .. } => batch.remove(space, key.as_bytes()),
            }
        }
        for (table, space) in &self.spaces {
            let touched = writes.iter().any(|write| write.table().name == table.name);
            if touched && let Err(error) = self.wait_for_flushes(space) {
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

impl Engine for Embedded {
    fn create(&self, tables: &[&'static Table]) -> Result<(), StoreError> {
        let mut opened = self.opened.write();
        let opened = opened.as_mut().ok_or(StoreError::Broken)?;
        opened.create(tables, &self.options).map_err(|error| {
            log::error!("the store could not create its tables: {error}");
            StoreError::Broken
        })?;
        let all = opened.spaces.iter().map(|(table, _)| *table);
        *self.tables.lock() = all.collect();
        Ok(())
    }

    fn row(&self, table: &'static Table, key: &RowKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(table, |space| {
            let value = space.get(key.as_bytes()).map_err(unreadable)?;
            Ok(value.map(|value| value.to_vec()))
        })
    }

    fn has(&self, table: &'static Table, key: &RowKey) -> Result<bool, StoreError> {
        self.with(table, |space| {
            space.contains_key(key.as_bytes()).map_err(unreadable)
        })
    }

    fn range(&self, table: &'static Table, range: &RowRange) -> Result<Page, StoreError> {
        if range.from >= range.to {
            return Page::fill(range, std::iter::empty());
        }
        self.with(table, |space| {
            let found = space.range(range.from.as_bytes()..range.to.as_bytes());
            let rows = found.map(|guard| {
                let (key, value) = guard.into_inner().map_err(unreadable)?;
                Ok(Row {
                    key: RowKey::new(&key),
                    value: value.to_vec(),
                })
            });
            Page::fill(range, rows)
        })
    }

    fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.ready_to_write()?;
        let done = {
            let opened = self.opened.read();
            let opened = opened.as_ref().ok_or(StoreError::Broken)?;
            opened.commit(writes)?
        };
        done.map_err(|error| self.fell_ill(&error))
    }

    fn visit(&self, each: &mut Visitor<'_>) -> Result<(), StoreError> {
        let opened = self.opened.read();
        let opened = opened.as_ref().ok_or(StoreError::Broken)?;
        let snapshot = opened.db.snapshot();
        for (table, space) in &opened.spaces {
            for guard in snapshot.iter(space) {
                let (key, value) = guard.into_inner().map_err(unreadable)?;
                each(table, &key, &value)?;
            }
        }
        Ok(())
    }

    fn set_reserve(&self, bytes: u64) {
        self.reserve_bytes.store(bytes, Ordering::Relaxed);
    }
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
    use super::super::testing::{LETTERS, ROSTERS, TempDir, delete, key, put, range};
    use super::*;
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
    fn data_of_a_newer_version_is_left_as_it_is() {
        const NEWER: &[Migration] = &[Migration {
            from: 1,
            about: "changes nothing",
            run: |_| Ok(()),
        }];
        let dir = TempDir::new();
        let mut options = StoreOptions::at(dir.join("store"));
        options.migrations = NEWER;
        drop(Store::open(options, &[&LETTERS], Vec::new()).unwrap());
        let Err(error) = open(&dir) else {
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
