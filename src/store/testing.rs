//! What the store's tests share: two tables, short ways to say a write, a directory that goes away.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::actor::rows::{Durability, Export, RowKey, RowRange, Slices, StoreError, Table, Write};

use super::engine::{Engine, Keys, Page, Visitor};
use super::memory::Memory;

pub(super) static LETTERS: Table = Table {
    name: "letters",
    durability: Durability::Soon,
    export: Export::Never,
    slices: Slices::Whole,
    about: "Rows that come and go.",
};

pub(super) static ROSTERS: Table = Table {
    name: "rosters",
    durability: Durability::BeforeReply,
    export: Export::Never,
    slices: Slices::Whole,
    about: "Rows that somebody waits for.",
};

pub(super) static MONTHS: Table = Table {
    name: "months",
    durability: Durability::Soon,
    export: Export::Never,
    slices: Slices::Monthly { number_at: 1 },
    about: "Rows of one byte and a number by time.",
};

pub(super) fn key(bytes: &[u8]) -> RowKey {
    RowKey::new(bytes)
}

pub(super) fn put(table: &'static Table, key: &[u8], value: &[u8]) -> Write {
    Write::Put {
        table,
        key: RowKey::new(key),
        value: value.into(),
    }
}

pub(super) fn delete(table: &'static Table, key: &[u8]) -> Write {
    Write::Delete {
        table,
        key: RowKey::new(key),
    }
}

pub(super) fn range(from: &[u8], to: &[u8]) -> RowRange {
    RowRange {
        from: key(from),
        to: key(to),
        count_max: 1_000,
        bytes_max: 1_000_000,
    }
}

/// What decides before an engine in memory commits, or drops months where there are no writes.
pub(super) trait Guard: Send + Sync + 'static {
    fn may(&self, writes: Option<&[Write]>) -> Result<(), StoreError>;

    /// It is told to rest.
    fn rests(&self) {}
}

/// An engine in memory that asks its guard first.
#[derive(Default)]
pub(super) struct Guarded<G> {
    pub(super) memory: Memory,
    pub(super) guard: G,
}

impl<G: Guard> Engine for Guarded<G> {
    fn create(&self, tables: &[&'static Table]) -> Result<(), StoreError> {
        self.memory.create(tables)
    }
    fn row(&self, table: &'static Table, key: &RowKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.memory.row(table, key)
    }
    fn has(&self, table: &'static Table, key: &RowKey) -> Result<bool, StoreError> {
        self.memory.has(table, key)
    }
    fn range(&self, table: &'static Table, range: &RowRange) -> Result<Page, StoreError> {
        self.memory.range(table, range)
    }
    fn range_back(&self, table: &'static Table, range: &RowRange) -> Result<Page, StoreError> {
        self.memory.range_back(table, range)
    }
    fn walk(
        &self,
        table: &'static Table,
        range: &RowRange,
        behind: Option<&RowKey>,
    ) -> Result<Keys, StoreError> {
        self.memory.walk(table, range, behind)
    }
    fn drop_before(&self, table: &'static Table, before: u64) -> Result<(), StoreError> {
        self.guard.may(None)?;
        self.memory.drop_before(table, before)
    }
    fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.guard.may(Some(writes))?;
        self.memory.commit(writes)
    }
    fn rest(&self) -> Result<(), StoreError> {
        self.guard.rests();
        Ok(())
    }
    fn visit(&self, each: &mut Visitor<'_>) -> Result<(), StoreError> {
        self.memory.visit(each)
    }
    fn set_reserve(&self, bytes: u64) {
        self.memory.set_reserve(bytes);
    }
}

/// A fresh directory below the system's temporary one, removed when dropped.
pub(super) struct TempDir(PathBuf);

impl TempDir {
    pub(super) fn new() -> TempDir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "stonechat-store-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        TempDir(dir)
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
