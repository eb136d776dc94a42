//! A copy of all rows as of one moment, made while the store works, in a directory that can be opened like any
//! other. Knows no engine but the embedded one to write it with.

use std::cell::Cell;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::actor::rows::{RowKey, StoreError, Table, Write};

use super::api::{OpenError, Store, StoreOptions};
use super::embedded::Embedded;
use super::engine::Engine;
use super::files::{ROWS, sync_dir};

/// Why there is no backup; nothing is left at the target then.
#[derive(Debug)]
pub enum BackupError {
    /// The target's files could not be made.
    Io { dir: PathBuf, error: io::Error },
    /// The target holds something already.
    NotEmpty { dir: PathBuf },
    /// It was to end before it was done.
    Stopped,
    /// The copy could not be created.
    Open(OpenError),
    /// Rows could not be read here or written there.
    Store(StoreError),
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackupError::Io { dir, error } => {
                write!(f, "the backup to {} failed: {error}", dir.display())
            }
            BackupError::NotEmpty { dir } => write!(
                f,
                "{} is not empty; a backup goes into a directory of its own",
                dir.display()
            ),
            BackupError::Stopped => f.write_str("the server is stopping: there is no backup"),
            BackupError::Open(error) => write!(f, "the backup could not be created: {error}"),
            BackupError::Store(error) => write!(f, "the backup failed: {error}"),
        }
    }
}

impl std::error::Error for BackupError {}

impl Store {
    /// Copies all rows of the tables that this store was opened with, as of one moment, to the directory
    /// `target`, which must be empty or not exist. Memory stays bounded by a few megabytes, and saves go on. The
    /// copy is written under another name, synced, then renamed: where the target exists inside of it, for it may be
    /// where another disk is mounted, else beside it as `TARGET.part`. It ends early when `goes_on` says no. What is written
    /// `besides` is in the copy only.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub fn backup(
        &self,
        target: &Path,
        besides: Vec<Write>,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<(), BackupError> {
        let io = |error| BackupError::Io {
            dir: target.to_path_buf(),
            error,
        };
        let place = Place::of(target)
            .map_err(io)?
            .ok_or_else(|| BackupError::NotEmpty {
                dir: target.to_path_buf(),
            })?;
        let part = place.part(target);
        if part.try_exists().map_err(io)? {
            fs::remove_dir_all(&part).map_err(io)?;
        }
        // The copy holds keys of users; where it goes, unlike our data directory, others may look in.
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&part);
        made.map_err(io)?;
        let done = copy(self.engine(), self.tables(), &part, besides, goes_on)
            .and_then(|()| place.finish(&part, target).map_err(io));
        if done.is_err() {
            // Best effort: the error that counts is the one that is returned.
            let _ = fs::remove_dir_all(&part);
        }
        done
    }
}

/// Where a copy is written before it is whole.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The target is an empty directory.
    Inside,
    /// There is no target.
    Beside,
}

impl Place {
    /// None if the target holds anything but what an attempt before left behind.
    fn of(target: &Path) -> io::Result<Option<Place>> {
        let entries = match fs::read_dir(target) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(Place::Beside));
            }
            Err(error) => return Err(error),
        };
        for entry in entries {
            if entry?.file_name() != PART {
                return Ok(None);
            }
        }
        Ok(Some(Place::Inside))
    }

    fn part(self, target: &Path) -> PathBuf {
        match self {
            Place::Inside => target.join(PART),
            Place::Beside => {
                let mut part = target.as_os_str().to_owned();
                part.push(PART);
                PathBuf::from(part)
            }
        }
    }

    /// Gives the copy its name, in one step.
    fn finish(self, part: &Path, target: &Path) -> io::Result<()> {
        let changed = match self {
            Place::Inside => {
                // The rest of a store is made when it is opened.
                let rows = part.join(ROWS);
                fs::set_permissions(&rows, fs::Permissions::from_mode(0o700))?;
                fs::rename(&rows, target.join(ROWS))?;
                fs::remove_dir_all(part)?;
                target
            }
            Place::Beside => {
                fs::rename(part, target)?;
                let parent = target.parent().filter(|dir| !dir.as_os_str().is_empty());
                parent.unwrap_or(Path::new("."))
            }
        };
        sync_dir(changed)
    }
}

fn copy(
    source: &dyn Engine,
    tables: &[&'static Table],
    part: &Path,
    besides: Vec<Write>,
    goes_on: &dyn Fn() -> bool,
) -> Result<(), BackupError> {
    let copy = Embedded::open(&StoreOptions::at(part)).map_err(BackupError::Open)?;
    copy.create(tables).map_err(BackupError::Store)?;
    let mut writes = besides;
    let mut bytes = 0;
    let stopped = Cell::new(false);
    let visited = source.visit(&mut |table, key, value| {
        bytes += key.len() + value.len();
        writes.push(Write::Put {
            table,
            key: RowKey::new(key),
            value: Arc::from(value),
        });
        if bytes >= CHUNK_BYTES {
            if !goes_on() {
                stopped.set(true);
                // Whatever ends the visit.
                return Err(StoreError::Overloaded);
            }
            copy.commit(&writes)?;
            writes.clear();
            bytes = 0;
        }
        Ok(())
    });
    if stopped.get() {
        return Err(BackupError::Stopped);
    }
    visited
        .and_then(|()| copy.commit(&writes))
        .map_err(BackupError::Store)
}

const PART: &str = ".part";
/// Rows' bytes in one commit of the copy.
const CHUNK_BYTES: usize = 2 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::super::testing::{LETTERS, ROSTERS, TempDir, key, put, range};
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn open(dir: &Path) -> Store {
        Store::open(StoreOptions::at(dir), &[&LETTERS, &ROSTERS], Vec::new()).unwrap()
    }

    #[test]
    fn a_backup_opens_and_holds_the_same_rows_and_numbers() {
        let dir = TempDir::new();
        let store = open(&dir.join("live"));
        for n in 0..3_000_u32 {
            let value = vec![7; 1_000];
            let writes = vec![put(&LETTERS, &n.to_be_bytes(), &value)];
            store.save_now(writes).unwrap();
        }
        store
            .save_now(vec![put(&ROSTERS, b"juliet", b"romeo")])
            .unwrap();
        store.next_number("account").unwrap();
        let target = dir.join("copy");
        store.backup(&target, Vec::new(), &|| true).unwrap();

        let copy = open(&target);
        let mut all = range(b"", b"\xff");
        all.count_max = 5_000;
        all.bytes_max = usize::MAX;
        assert_eq!(
            copy.range_now(&LETTERS, &all).unwrap(),
            store.range_now(&LETTERS, &all).unwrap()
        );
        assert_eq!(
            copy.row_now(&ROSTERS, &key(b"juliet")).unwrap(),
            Some(b"romeo".to_vec())
        );
        assert_eq!(copy.next_number("account").unwrap(), 65);
    }

    #[test]
    fn a_backup_shows_one_moment_while_writes_go_on() {
        let dir = TempDir::new();
        let store = open(&dir.join("live"));
        let both = |n: u32| {
            let value = n.to_be_bytes();
            vec![put(&LETTERS, b"n", &value), put(&ROSTERS, b"n", &value)]
        };
        store.save_now(both(0)).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    n += 1;
                    store.save_now(both(n)).unwrap();
                }
            });
            for round in 0..3 {
                let target = dir.join(&format!("copy{round}"));
                store.backup(&target, Vec::new(), &|| true).unwrap();
                let copy = open(&target);
                let letter = copy.row_now(&LETTERS, &key(b"n")).unwrap();
                assert_eq!(letter, copy.row_now(&ROSTERS, &key(b"n")).unwrap());
            }
            stop.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn a_backup_fills_an_empty_directory_and_leaves_what_is_around_it_alone() {
        use std::os::unix::fs::MetadataExt;
        let dir = TempDir::new();
        let store = open(&dir.join("live"));
        store
            .save_now(vec![put(&ROSTERS, b"juliet", b"romeo")])
            .unwrap();
        // Where a disk may be mounted: it cannot be replaced, and what lies beside it is on another one.
        let target = dir.join("disk");
        fs::create_dir(&target).unwrap();
        // A crash left this.
        fs::create_dir_all(target.join(".part/rows")).unwrap();
        let inode = fs::metadata(&target).unwrap().ino();
        store.backup(&target, Vec::new(), &|| true).unwrap();
        assert_eq!(fs::metadata(&target).unwrap().ino(), inode);
        let names = |dir: &Path| -> Vec<String> {
            let entries = fs::read_dir(dir).unwrap();
            let mut names: Vec<String> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(&target), ["rows"]);
        assert_eq!(names(dir.path()), ["disk", "live"]);
        let mode = fs::metadata(target.join("rows")).unwrap().mode();
        assert_eq!(mode & 0o077, 0, "it holds keys");
        assert_eq!(
            open(&target).row_now(&ROSTERS, &key(b"juliet")).unwrap(),
            Some(b"romeo".to_vec())
        );
    }

    #[test]
    fn a_backup_that_is_told_to_stop_leaves_nothing() {
        let dir = TempDir::new();
        let store = open(&dir.join("live"));
        for n in 0..4_u8 {
            let value = vec![7; CHUNK_BYTES / 2];
            store.save_now(vec![put(&LETTERS, &[n], &value)]).unwrap();
        }
        let target = dir.join("copy");
        let asked = Cell::new(0);
        let goes_on = || asked.replace(asked.get() + 1) == 0;
        let error = store.backup(&target, Vec::new(), &goes_on).unwrap_err();
        assert!(matches!(error, BackupError::Stopped), "{error}");
        assert_eq!(asked.get(), 2, "the first chunk was copied");
        assert!(!target.exists() && !dir.join("copy.part").exists());
    }

    #[test]
    fn a_backup_never_goes_where_something_is() {
        let dir = TempDir::new();
        let store = open(&dir.join("live"));
        let error = store.backup(dir.path(), Vec::new(), &|| true).unwrap_err();
        assert!(matches!(error, BackupError::NotEmpty { .. }));
        assert!(error.to_string().contains("is not empty"));
    }
}
