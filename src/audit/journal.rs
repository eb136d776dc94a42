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
}

impl Journal {
    pub fn new(medium: impl Medium + 'static) -> Journal {
        Journal {
            medium: Box::new(medium),
            buffer: Vec::new(),
            begun: 0,
        }
    }

    /// Where the next record is appended, with its line feed.
    pub fn end(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Records that are not in the file.
    pub fn missing(&self) -> u64 {
        self.buffer.iter().filter(|byte| **byte == b'\n').count() as u64
    }

    /// Goes on in another file. The old one keeps its part of a record; this one gets the whole.
    pub fn go_on_in(&mut self, medium: impl Medium + 'static) {
        self.medium = Box::new(medium);
        self.begun = 0;
    }

    /// Writes and syncs what was appended.
    ///
    /// # Errors
    /// What the disk says; what is not written stays.
    pub fn write(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        while self.begun < self.buffer.len() {
            // A full disk may take a part: the rest follows when there is room again.
            match self.medium.write(&self.buffer[self.begun..])? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => self.begun += written,
            }
            let written = &self.buffer[..self.begun];
            let line_feed = written.iter().rposition(|byte| *byte == b'\n');
            let complete = line_feed.map_or(0, |at| at + 1);
            self.buffer.drain(..complete);
            self.begun -= complete;
        }
        self.medium.sync()
    }
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
    use super::super::testing::directory;
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
}
