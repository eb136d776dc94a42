//! The store's files: who holds them, how they come to be, how fjall is opened on them. Knows no rows.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::api::{OpenError, StoreOptions};

/// Opens the database in `options.dir`, or creates it, for this process alone as long as the file lives that is
/// returned with it.
///
/// # Errors
/// See [`OpenError`].
pub(super) fn open(options: &StoreOptions) -> Result<(File, Database), OpenError> {
    let dir = &options.dir;
    let io = |error| OpenError::Io {
        dir: dir.clone(),
        error,
    };
    fs::create_dir_all(dir).map_err(io)?;
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join("lock"))
        .map_err(io)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { dir: dir.clone() }),
        Err(TryLockError::Error(error)) => return Err(io(error)),
    }
    let failed = |error| open_error(dir, error);
    let rows = dir.join(ROWS);
    if !rows.try_exists().map_err(io)? {
        // fjall cannot open what a crash left of a creation, so that is done under another name.
        let fresh = dir.join("rows.new");
        if fresh.try_exists().map_err(io)? {
            fs::remove_dir_all(&fresh).map_err(io)?;
        }
        drop(database(options, &fresh).map_err(failed)?);
        fs::rename(&fresh, &rows).map_err(io)?;
        sync_dir(dir).map_err(io)?;
    }
    let db = existing(options, &rows).map_err(failed)?;
    Ok((lock, db))
}

/// Opens the database again for one who holds the lock.
///
/// # Errors
/// fjall's.
pub(super) fn open_again(options: &StoreOptions) -> Result<Database, fjall::Error> {
    existing(options, &options.dir.join(ROWS))
}

fn database(options: &StoreOptions, dir: &Path) -> Result<Database, fjall::Error> {
    Database::builder(dir)
        .cache_size(options.cache_bytes)
        // One thread flushes and compacts: more of them take cores from the workers and gain nothing.
        .worker_threads(1)
        .max_journaling_size(JOURNALS_BYTES_MAX)
        .open()
}

/// Opens what must be there: fjall would quietly begin anew where a disk is not mounted.
fn existing(options: &StoreOptions, dir: &Path) -> Result<Database, fjall::Error> {
    if !dir.join("version").try_exists()? {
        return Err(fjall::Error::Unrecoverable);
    }
    let db = database(options, dir)?;
    if db.journal_disk_space()? > JOURNALS_BYTES_MAX
        && let Err(error) = flush_replayed(&db)
    {
        // It is all in the journal still; what writing means now, the first commit will say.
        log::warn!("what was replayed could not be put into tables: {error}");
    }
    Ok(db)
}

/// Puts what was replayed into tables, so that its journal can go. fjall does the same when there is time; a server that is
/// killed again before there was would have more to replay at each start, and more to hold in memory.
fn flush_replayed(db: &Database) -> Result<(), fjall::Error> {
    let spaces = db.list_keyspace_names();
    let spaces = spaces
        .iter()
        .map(|name| db.keyspace(name, KeyspaceCreateOptions::default))
        .collect::<Result<Vec<Keyspace>, _>>()?;
    // fjall begins a new journal when it flushes and the old one is long, which it knows only after a write.
    for space in &spaces {
        if let Some(row) = space.first_key_value() {
            let (key, value) = row.into_inner()?;
            space.insert(key, value)?;
            break;
        }
    }
    for space in &spaces {
        space.rotate_memtable()?;
    }
    while spaces.iter().any(|s| s.sealed_memtable_count() > 0) {
        // Fails when the thread that flushes is dead, as fjall's own waiting does not.
        db.persist(PersistMode::Buffer)?;
        thread::sleep(FLUSH_POLL);
    }
    // It goes a moment later, and need not.
    for _ in 0..JOURNAL_POLLS {
        if db.journal_disk_space()? <= JOURNALS_BYTES_MAX {
            break;
        }
        thread::sleep(FLUSH_POLL);
    }
    Ok(())
}

/// Two seconds.
const JOURNAL_POLLS: u32 = 200;

const FLUSH_POLL: Duration = Duration::from_millis(10);

fn open_error(dir: &Path, error: fjall::Error) -> OpenError {
    match error {
        fjall::Error::Locked => OpenError::InUse {
            dir: dir.to_path_buf(),
        },
        fjall::Error::Io(error) => OpenError::Io {
            dir: dir.to_path_buf(),
            error,
        },
        error => OpenError::Damaged {
            dir: dir.to_path_buf(),
            reason: error.to_string(),
        },
    }
}

/// Makes durable that files of `dir` came, went or were renamed.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// What of a store's directory holds the rows; the rest is made when it is opened.
pub(super) const ROWS: &str = "rows";
/// Journals are replayed at start, at some 100 MB/s: this bounds the time it takes.
const JOURNALS_BYTES_MAX: u64 = 128 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::super::testing::TempDir;
    use super::*;
    use crate::base::Rng;

    const ROW_BYTES: usize = 4 * 1024 * 1024;

    #[test]
    fn what_was_never_flushed_is_replayed_once_and_no_more() {
        let dir = TempDir::new();
        let options = StoreOptions::at(dir.path());
        let (_lock, db) = open(&options).unwrap();
        let rows = JOURNALS_BYTES_MAX / ROW_BYTES as u64 + 1;
        // So large a memtable that no flush begins, as none is finished where a server is killed soon after its start.
        let never = || KeyspaceCreateOptions::default().max_memtable_size(u64::MAX);
        let space = db.keyspace("letters", never).unwrap();
        let mut rng = Rng::from_seed([1; 32]);
        for number in 0..rows {
            // The journal is compressed, and chance is not compressible.
            let mut row = vec![0; ROW_BYTES];
            rng.fill(&mut row);
            space.insert(number.to_be_bytes(), &row).unwrap();
        }
        db.persist(PersistMode::SyncData).unwrap();
        assert!(db.journal_disk_space().unwrap() > JOURNALS_BYTES_MAX);
        drop((space, db));
        let db = open_again(&options).unwrap();
        assert!(db.journal_disk_space().unwrap() <= JOURNALS_BYTES_MAX);
        let space = db.keyspace("letters", never).unwrap();
        assert_eq!(space.len().unwrap() as u64, rows);
        assert!(space.table_count() > 0);
    }
}
