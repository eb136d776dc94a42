//! What is in memory only to be written in larger pieces is written when there is nothing else to do, and its memory given
//! back. Refuses to know when that is.

use super::slices::Opened;

impl Opened {
    /// Has all rows that are in the journal and in memory alone put into tables, and waits for none of it. fjall lets go of that
    /// memory when it next begins such a table and not before: called once more, when there was time for it, this sees to
    /// that with a row of its own.
    ///
    /// # Errors
    /// What fjall says.
    pub(super) fn rest(&self) -> Result<(), fjall::Error> {
        let spaces = self.spaces.read();
        let mut has_begun = false;
        for space in spaces.iter() {
            has_begun |= space.keyspace.rotate_memtable()?;
        }
        if has_begun {
            return Ok(());
        }
        for space in spaces.iter() {
            if let Some(row) = space.keyspace.first_key_value() {
                let (key, value) = row.into_inner()?;
                space.keyspace.insert(key, value)?;
                space.keyspace.rotate_memtable()?;
                break;
            }
        }
        Ok(())
    }
}
