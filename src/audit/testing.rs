//! What the tests of the audit share.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::journal::Medium;

/// A fresh directory of this name below the system's temporary one.
pub(super) fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("stonechat-audit-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir(&path).expect("a temporary directory");
    path
}

/// What became of what was written into a [`WatchedMedium`].
#[derive(Default)]
pub(super) struct Watched {
    written: Vec<u8>,
    /// What was written before the last sync.
    pub synced: Vec<u8>,
    pub syncs: usize,
    pub refuses_to_sync: bool,
    /// How many bytes the disk takes in all; none: any number.
    pub room: Option<usize>,
}

pub(super) struct WatchedMedium(Arc<Mutex<Watched>>);

impl Watched {
    pub(super) fn new() -> (Arc<Mutex<Watched>>, WatchedMedium) {
        let watched: Arc<Mutex<Watched>> = Arc::default();
        (Arc::clone(&watched), WatchedMedium(watched))
    }

    /// So many records are synced.
    pub(super) fn records(&self) -> usize {
        self.synced.iter().filter(|byte| **byte == b'\n').count()
    }
}

impl Write for WatchedMedium {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut watched = self.0.lock();
        let room = watched.room.unwrap_or(usize::MAX) - watched.written.len();
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let count = bytes.len().min(room);
        watched.written.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Medium for WatchedMedium {
    fn sync(&mut self) -> io::Result<()> {
        let mut watched = self.0.lock();
        if watched.refuses_to_sync {
            return Err(io::ErrorKind::StorageFull.into());
        }
        watched.syncs += 1;
        watched.synced = watched.written.clone();
        Ok(())
    }
}
