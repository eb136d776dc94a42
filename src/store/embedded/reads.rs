//! Reading: the places of a range's rows, and rows out of what fjall shows.

use fjall::Keyspace;

use crate::actor::rows::{Row, RowKey, RowRange, StoreError, Table};

use super::Embedded;
use super::slices::{Opened, Space, numbers_in};

impl Embedded {
    /// Reads where the key's row would be; none where there is no such place yet.
    pub(super) fn with<T>(
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

    pub(super) fn must_know(&self, table: &'static Table) -> Result<(), StoreError> {
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
    pub(super) fn places(
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
}

pub(super) fn read(guard: fjall::Guard) -> Result<Row, StoreError> {
    let (key, value) = guard.into_inner().map_err(unreadable)?;
    Ok(Row {
        key: RowKey::new(&key),
        value: value.to_vec(),
    })
}

pub(super) fn key_of(guard: fjall::Guard) -> Result<RowKey, StoreError> {
    Ok(RowKey::new(&guard.key().map_err(unreadable)?))
}

pub(super) fn unreadable(error: fjall::Error) -> StoreError {
    log::error!("the store cannot read: {error}");
    StoreError::Broken
}
