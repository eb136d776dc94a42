//! The audit's file: whole records behind each other, of which a full disk may have taken a part. Refuses to know what a
//! record says, and who waits.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::json;

/// What records are written to: a file, or what a test has in its place.
pub(super) trait Medium: Write + Send {
    /// Returns when what was written survives the loss of power.
    fn sync(&mut self) -> io::Result<()>;
}

impl Medium for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Records on their way into a file.
pub(super) struct Journal {
    medium: Box<dyn Medium>,
    /// Whole records that are not yet written, and the one of which the file has a part.
    buffer: Vec<u8>,
    /// So many bytes of the first are in the file.
    begun: usize,
    /// Records in the file behind the last sync that succeeded.
    unsynced: u64,
    /// A sync of them failed.
    is_doubtful: bool,
    /// Records of which nobody knows whether they are in the file.
    doubtful: u64,
}

impl Journal {
    pub fn new(medium: impl Medium + 'static) -> Journal {
        Journal {
            medium: Box::new(medium),
            buffer: Vec::new(),
            begun: 0,
            unsynced: 0,
            is_doubtful: false,
            doubtful: 0,
        }
    }

    /// Where the next record is appended, with its line feed.
    pub fn end(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Records that are not in the file, or may not be.
    pub fn missing(&self) -> u64 {
        count(&self.buffer) + self.unsynced + self.doubtful
    }

    /// Goes on in another file. The old one keeps its part of a record; this one gets the whole.
    pub fn go_on_in(&mut self, medium: impl Medium + 'static) {
        self.medium = Box::new(medium);
        self.begun = 0;
        // Nobody syncs the old one any more.
        self.doubtful += std::mem::take(&mut self.unsynced);
        self.is_doubtful = false;
    }

    /// Writes and syncs what was appended.
    ///
    /// # Errors
    /// What the disk says; what is not written stays, and what is not synced counts as [`Journal::missing`].
    pub fn write(&mut self) -> io::Result<()> {
        let written = self.write_out();
        // What is whole is synced although the rest cannot be written: a full disk may stay full.
        let synced = self.sync();
        written.and(synced)
    }

    fn write_out(&mut self) -> io::Result<()> {
        while self.begun < self.buffer.len() {
            // A full disk may take a part: the rest follows when there is room again.
            match self.medium.write(&self.buffer[self.begun..])? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => self.begun += written,
            }
            let written = &self.buffer[..self.begun];
            let line_feed = written.iter().rposition(|byte| *byte == b'\n');
            let complete = line_feed.map_or(0, |at| at + 1);
            self.unsynced += count(&self.buffer[..complete]);
            self.buffer.drain(..complete);
            self.begun -= complete;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.unsynced == 0 {
            return Ok(());
        }
        let result = self.medium.sync();
        self.is_doubtful |= result.is_err();
        result?;
        let synced = std::mem::take(&mut self.unsynced);
        if std::mem::take(&mut self.is_doubtful) {
            // Linux tells of an error once and forgets what it could not write: that this sync succeeded says nothing of what
            // was written before the one that failed.
            log::error!("audit_records_doubtful count={synced}");
            self.doubtful += synced;
        }
        Ok(())
    }
}

fn count(records: &[u8]) -> u64 {
    records.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// The file, ready to append a line, and the number of its last record.
///
/// # Errors
/// If it cannot be opened and read.
pub(super) fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    Read::by_ref(&mut file)
        .take(TAIL_BYTES)
        .read_to_end(&mut tail)?;
    if tail.last().is_some_and(|byte| *byte != b'\n') {
        // A crash cut the last record off.
        file.write_all(b"\n")?;
    }
    Ok((file, json::last_sequence(&tail).unwrap_or(0)))
}

/// Longer than any record: addresses are bounded.
const TAIL_BYTES: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::super::testing::{Watched, directory};
    use super::*;
    use std::fs;

    #[test]
    fn what_a_full_disk_took_of_a_record_is_not_written_again() {
        let path = directory("torn").join("audit.jsonl");
        let mut journal = Journal::new(File::create(&path).expect("makes"));
        journal.end().extend(b"one\ntwo\n");
        journal.begun = 2;
        journal.write().expect("writes");
        assert_eq!((journal.buffer.len(), journal.begun), (0, 0));
        assert_eq!(fs::read(&path).expect("readable"), b"e\ntwo\n");
    }

    #[test]
    fn a_new_file_gets_the_whole_of_what_the_old_one_has_a_part_of() {
        let directory = directory("torn-rotate");
        let file = |name: &str| File::create(directory.join(name)).expect("makes");
        let mut journal = Journal::new(file("old"));
        journal.end().extend(b"one\n");
        journal.begun = 2;
        journal.go_on_in(file("new"));
        journal.write().expect("writes");
        let text = fs::read(directory.join("new"));
        assert_eq!(text.expect("readable"), b"one\n");
    }

    #[test]
    fn what_is_written_is_synced_at_once_and_nothing_is_synced_twice() {
        let (watched, medium) = Watched::new();
        let mut journal = Journal::new(medium);
        journal.end().extend(b"one\ntwo\n");
        journal.write().expect("writes");
        journal.write().expect("nothing to write");
        let watched = watched.lock();
        assert_eq!(
            (watched.syncs, watched.synced.as_slice()),
            (1, &b"one\ntwo\n"[..])
        );
        assert_eq!(journal.missing(), 0);
    }

    #[test]
    fn what_a_disk_took_before_it_was_full_is_synced() {
        let (watched, medium) = Watched::new();
        watched.lock().room = Some(6);
        let mut journal = Journal::new(medium);
        journal.end().extend(b"one\ntwo\n");
        journal
            .write()
            .expect_err("there is no room for the second");
        assert_eq!(watched.lock().records(), 1);
        assert_eq!(journal.missing(), 1);
    }

    #[test]
    fn what_a_failed_sync_was_for_is_missing_though_a_later_one_succeeds() {
        let (watched, medium) = Watched::new();
        let mut journal = Journal::new(medium);
        journal.end().extend(b"one\ntwo\n");
        watched.lock().refuses_to_sync = true;
        for _ in 0..2 {
            journal.write().expect_err("it is not synced");
            assert_eq!(journal.missing(), 2);
        }
        watched.lock().refuses_to_sync = false;
        journal.write().expect("syncs");
        journal.end().extend(b"three\n");
        journal.write().expect("writes and syncs");
        assert_eq!(journal.missing(), 2);
    }

    #[test]
    fn what_was_not_synced_is_missing_when_another_file_takes_its_place() {
        let (watched, medium) = Watched::new();
        let mut journal = Journal::new(medium);
        journal.end().extend(b"one\n");
        watched.lock().refuses_to_sync = true;
        journal.write().expect_err("it is not synced");
        journal.go_on_in(Watched::new().1);
        journal.write().expect("nothing to write");
        assert_eq!(journal.missing(), 1);
    }
}
