//! The engine in maps: for tests, and for the simulator, which drives [`MemoryStore`] without threads. Its disk
//! forgets what was not synced when the power goes, and fails when it is told to.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::actor::Answer;
use crate::actor::rows::{Row, RowKey, RowRange, Slices, StoreError, Table, Write};
use crate::base::Month;

use super::api::Request;
use super::batch::Batch;
use super::engine::{Engine, Keys, Page, Visitor, number_in, read};
use super::room::makes_room;

/// Rows in maps, and the way back to what was last synced.
#[derive(Default)]
pub struct ForgetfulDisk {
    tables: BTreeMap<&'static str, Rows>,
    /// What each unsynced write replaced, oldest first.
    undo: Vec<Undo>,
    fault: Option<StoreError>,
    /// A disk without room lets through what makes some.
    has_reserve: bool,
}

struct Rows {
    table: &'static Table,
    rows: BTreeMap<RowKey, Arc<[u8]>>,
}

struct Undo {
    table: &'static str,
    key: RowKey,
    before: Option<Arc<[u8]>>,
}

impl ForgetfulDisk {
    fn rows(&self, table: &'static Table) -> Result<&Rows, StoreError> {
        if self.fault == Some(StoreError::Broken) {
            return Err(StoreError::Broken);
        }
        self.tables.get(table.name).ok_or(StoreError::Broken)
    }

    /// Does the writes, visible at once and durable with the next [`ForgetfulDisk::sync`].
    fn write(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        match self.fault {
            Some(StoreError::DiskFull) if self.has_reserve && makes_room(writes) => {}
            Some(fault) => return Err(fault),
            None => {}
        }
        // No more than the engine on disk takes: that has no empty keys.
        let known = |write: &Write| match write {
            Write::Put { table, key, .. } | Write::Delete { table, key } => {
                self.tables.contains_key(table.name) && !key.as_bytes().is_empty()
            }
            Write::Replace { .. } => false,
        };
        if !writes.iter().all(known) {
            return Err(StoreError::Broken);
        }
        for write in writes {
            let (key, value) = match write {
                Write::Put { key, value, .. } => (key, Some(value.clone())),
                Write::Delete { key, .. } => (key, None),
                // Refused above.
                Write::Replace { .. } => continue,
            };
            let table = write.table().name;
            let before = self.replace(table, key.clone(), value);
            self.undo.push(Undo {
                table,
                key: key.clone(),
                before,
            });
        }
        Ok(())
    }

    fn replace(
        &mut self,
        table: &'static str,
        key: RowKey,
        value: Option<Arc<[u8]>>,
    ) -> Option<Arc<[u8]>> {
        let rows = &mut self.tables.get_mut(table)?.rows;
        match value {
            Some(value) => rows.insert(key, value),
            None => rows.remove(&key),
        }
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        match self.fault {
            // What was let through has its place.
            Some(StoreError::DiskFull) if self.has_reserve => {}
            Some(fault) => return Err(fault),
            None => {}
        }
        self.undo.clear();
        Ok(())
    }

    fn crash(&mut self) {
        while let Some(undo) = self.undo.pop() {
            self.replace(undo.table, undo.key, undo.before);
        }
    }
}

/// The engine on a [`ForgetfulDisk`]; a commit syncs.
#[derive(Default)]
pub struct Memory(Mutex<ForgetfulDisk>);

impl Memory {
    /// An engine with these empty tables.
    pub fn new(tables: &[&'static Table]) -> Memory {
        let memory = Memory::default();
        memory.add(tables);
        memory
    }

    fn add(&self, tables: &[&'static Table]) {
        let disk = &mut self.0.lock();
        for &table in tables {
            disk.tables.entry(table.name).or_insert_with(|| Rows {
                table,
                rows: BTreeMap::new(),
            });
        }
    }

    /// What every request answers from now on: nothing of the kind, writes failing with `DiskFull`, or all
    /// failing with `Broken`.
    pub fn set_fault(&self, fault: Option<StoreError>) {
        self.0.lock().fault = fault;
    }
}

impl Engine for Memory {
    fn create(&self, tables: &[&'static Table]) -> Result<(), StoreError> {
        self.add(tables);
        Ok(())
    }

    fn row(&self, table: &'static Table, key: &RowKey) -> Result<Option<Vec<u8>>, StoreError> {
        let disk = self.0.lock();
        Ok(disk.rows(table)?.rows.get(key).map(|value| value.to_vec()))
    }

    fn has(&self, table: &'static Table, key: &RowKey) -> Result<bool, StoreError> {
        Ok(self.0.lock().rows(table)?.rows.contains_key(key))
    }

    fn range(&self, table: &'static Table, range: &RowRange) -> Result<Page, StoreError> {
        let disk = self.0.lock();
        let rows = &disk.rows(table)?.rows;
        // A map panics on a range that ends before it begins; such a range is merely empty.
        if range.from >= range.to {
            return Page::fill(range, std::iter::empty());
        }
        let found = rows.range(&range.from..&range.to).map(|(key, value)| {
            Ok(Row {
                key: key.clone(),
                value: value.to_vec(),
            })
        });
        Page::fill(range, found)
    }

    fn range_back(&self, table: &'static Table, range: &RowRange) -> Result<Page, StoreError> {
        let disk = self.0.lock();
        let rows = &disk.rows(table)?.rows;
        if range.from >= range.to {
            return Page::fill(range, std::iter::empty());
        }
        let found = rows.range(&range.from..&range.to).rev();
        let found = found.map(|(key, value)| {
            Ok(Row {
                key: key.clone(),
                value: value.to_vec(),
            })
        });
        Page::fill(range, found)
    }

    fn walk(
        &self,
        table: &'static Table,
        range: &RowRange,
        behind: Option<&RowKey>,
    ) -> Result<Keys, StoreError> {
        let disk = self.0.lock();
        let rows = &disk.rows(table)?.rows;
        let first = behind.map_or(&range.from, |behind| behind.max(&range.from));
        if *first >= range.to {
            return Keys::fill(range.count_max, std::iter::empty());
        }
        let found = rows.range(first..&range.to).map(|(key, _)| key);
        let found = found.filter(|key| behind != Some(key));
        Keys::fill(range.count_max, found.map(|key| Ok(key.clone())))
    }

    fn drop_before(&self, table: &'static Table, before: u64) -> Result<(), StoreError> {
        let mut disk = self.0.lock();
        let rows = disk.rows(table)?.rows.keys();
        if table.slices == Slices::Whole {
            return Ok(());
        }
        let is_over = |key: &&RowKey| {
            let number = number_in(table, key.as_bytes());
            number.is_some_and(|number| Month::of(number).next().first_number() <= before)
        };
        let over: Vec<Write> = rows
            .filter(is_over)
            .map(|key| Write::Delete {
                table,
                key: key.clone(),
            })
            .collect();
        disk.write(&over)
    }

    fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        let mut disk = self.0.lock();
        disk.write(writes)?;
        disk.sync()
    }

    fn visit(&self, each: &mut Visitor<'_>) -> Result<(), StoreError> {
        let disk = self.0.lock();
        for rows in disk.tables.values() {
            for (key, value) in &disk.rows(rows.table)?.rows {
                each(rows.table, key.as_bytes(), value)?;
            }
        }
        Ok(())
    }

    /// Nothing is counted: with any reserve there is enough for what makes room.
    fn set_reserve(&self, bytes: u64) {
        self.0.lock().has_reserve = bytes > 0;
    }
}

/// The store without threads: a request is answered where it is made. Whoever drives it delivers the answers of
/// saves after the [`MemoryStore::sync`] that follows them, or never, if it crashes before.
pub struct MemoryStore(Memory);

impl MemoryStore {
    /// A store with these empty tables.
    pub fn new(tables: &[&'static Table]) -> MemoryStore {
        MemoryStore(Memory::new(tables))
    }

    /// Does what is asked. Writes are visible at once, durable after the next sync.
    pub fn apply(&mut self, request: Request) -> Answer {
        let writes = match request {
            Request::Save(writes)
            | Request::SaveOfChain(writes, _)
            | Request::SaveInReserve(writes) => writes,
            Request::Drop { table, before } => {
                let done = self.0.drop_before(table, before);
                return done.map_or_else(Answer::Failed, |()| Answer::Saved);
            }
            _ => return read(&self.0, &request),
        };
        let mut batch = Batch::default();
        batch.add(writes);
        let writes = batch.into_writes(&self.0);
        match self.0.0.lock().write(&writes) {
            Ok(()) => Answer::Saved,
            Err(error) => Answer::Failed(error),
        }
    }

    /// See [`Engine::walk`].
    ///
    /// # Errors
    /// As there.
    pub fn walk(
        &self,
        table: &'static Table,
        range: &RowRange,
        behind: Option<&RowKey>,
    ) -> Result<Keys, StoreError> {
        self.0.walk(table, range, behind)
    }

    /// Makes durable what was written.
    ///
    /// # Errors
    /// The fault, if one is set; nothing more is durable then.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.0.0.lock().sync()
    }

    /// The power goes: what was not synced is gone.
    pub fn crash(&mut self) {
        self.0.0.lock().crash();
    }

    /// See [`Engine::set_reserve`]: without one, which is how it begins, a full disk refuses removals, too.
    pub fn set_reserve(&mut self, bytes: u64) {
        self.0.set_reserve(bytes);
    }

    /// See [`Memory::set_fault`].
    pub fn set_fault(&mut self, fault: Option<StoreError>) {
        self.0.set_fault(fault);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{LETTERS, ROSTERS, delete, key, put, range};
    use super::*;

    fn store() -> MemoryStore {
        MemoryStore::new(&[&LETTERS, &ROSTERS])
    }

    fn value(store: &mut MemoryStore, name: &[u8]) -> Option<Vec<u8>> {
        let request = Request::Row {
            table: &LETTERS,
            key: key(name),
        };
        match store.apply(request) {
            Answer::Row(value) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_crash_takes_back_exactly_what_was_not_synced() {
        let mut store = store();
        store.apply(Request::Save(vec![
            put(&LETTERS, b"kept", b"1"),
            put(&LETTERS, b"doomed", b"1"),
        ]));
        store.sync().unwrap();
        store.apply(Request::Save(vec![
            put(&LETTERS, b"kept", b"2"),
            delete(&LETTERS, b"doomed"),
            put(&LETTERS, b"new", b"1"),
        ]));
        store.apply(Request::Save(vec![put(&LETTERS, b"kept", b"3")]));
        assert_eq!(value(&mut store, b"kept"), Some(b"3".to_vec()));
        assert_eq!(value(&mut store, b"doomed"), None);

        store.crash();
        assert_eq!(value(&mut store, b"kept"), Some(b"1".to_vec()));
        assert_eq!(value(&mut store, b"doomed"), Some(b"1".to_vec()));
        assert_eq!(value(&mut store, b"new"), None);
    }

    #[test]
    fn a_full_disk_refuses_writes_and_goes_on_reading() {
        let mut store = store();
        store.apply(Request::Save(vec![put(&LETTERS, b"a", b"1")]));
        store.set_fault(Some(StoreError::DiskFull));
        let refused = store.apply(Request::Save(vec![put(&LETTERS, b"a", b"2")]));
        assert!(matches!(refused, Answer::Failed(StoreError::DiskFull)));
        assert_eq!(store.sync(), Err(StoreError::DiskFull));
        assert_eq!(value(&mut store, b"a"), Some(b"1".to_vec()));

        store.set_fault(None);
        let saved = store.apply(Request::Save(vec![put(&LETTERS, b"a", b"2")]));
        assert!(matches!(saved, Answer::Saved));
    }

    #[test]
    fn a_full_disk_with_a_reserve_lets_through_what_makes_room() {
        let mut store = store();
        store.apply(Request::Save(vec![put(&LETTERS, b"a", b"1")]));
        store.sync().unwrap();
        store.set_reserve(1);
        store.set_fault(Some(StoreError::DiskFull));
        let refused = store.apply(Request::Save(vec![put(&LETTERS, b"b", b"1")]));
        assert!(matches!(refused, Answer::Failed(StoreError::DiskFull)));
        let removed = store.apply(Request::Save(vec![delete(&LETTERS, b"a")]));
        assert!(matches!(removed, Answer::Saved));
        store.sync().unwrap();
        store.crash();
        assert_eq!(value(&mut store, b"a"), None);
    }

    #[test]
    fn a_broken_disk_fails_reads_too() {
        let mut store = store();
        store.set_fault(Some(StoreError::Broken));
        let answer = store.apply(Request::Range {
            table: &LETTERS,
            range: range(b"a", b"z"),
        });
        assert!(matches!(answer, Answer::Failed(StoreError::Broken)));
    }

    #[test]
    fn a_row_without_a_key_is_refused() {
        let engine = Memory::new(&[&LETTERS]);
        let refused = engine.commit(&[put(&LETTERS, b"", b"1")]);
        assert_eq!(refused, Err(StoreError::Broken));
    }

    #[test]
    fn a_save_with_a_table_that_nobody_created_changes_nothing() {
        let engine = Memory::new(&[&LETTERS]);
        let writes = [put(&LETTERS, b"a", b"1"), put(&ROSTERS, b"a", b"1")];
        assert_eq!(engine.commit(&writes), Err(StoreError::Broken));
        assert_eq!(engine.has(&LETTERS, &key(b"a")), Ok(false));
    }
}
