//! What every engine does: rows by table and key, and atomic durable commits. Refuses to know threads, tickets
//! and how saves are collected.

use crate::actor::Answer;
use crate::actor::rows::{Join, Pick, Row, RowKey, RowRange, Slices, StoreError, Table, Write};
use crate::base::limits::RANGE_BYTES_MAX;

use super::api::Request;

/// Keeps rows. Reads see whole commits only, and only such as are durable.
pub trait Engine: Send + Sync {
    /// Makes sure that these tables exist; none of them twice.
    ///
    /// # Errors
    /// [`StoreError`] if the disk refuses.
    fn create(&self, tables: &[&'static Table]) -> Result<(), StoreError>;

    /// One value.
    ///
    /// # Errors
    /// `Broken` if the disk cannot be read or the table was never created.
    fn row(&self, table: &'static Table, key: &RowKey) -> Result<Option<Vec<u8>>, StoreError>;

    /// Whether there is such a row, for less than reading it costs.
    ///
    /// # Errors
    /// As [`Engine::row`].
    fn has(&self, table: &'static Table, key: &RowKey) -> Result<bool, StoreError>;

    /// The rows of a range in key order, as far as its bounds let them.
    ///
    /// # Errors
    /// As [`Engine::row`].
    fn range(&self, table: &'static Table, range: &RowRange) -> Result<Page, StoreError>;

    /// The rows of a range from its end on, as far as its bounds let them.
    ///
    /// # Errors
    /// As [`Engine::row`].
    fn range_back(&self, table: &'static Table, range: &RowRange) -> Result<Page, StoreError>;

    /// Keys of a range without their rows, those behind `behind` if that is given: the last of an answer before. They come in
    /// an order of the engine's own, in which the months of a table may be one behind the other, so that whoever goes on
    /// from there has seen all in the end, and meets nothing twice.
    ///
    /// # Errors
    /// As [`Engine::row`].
    fn walk(
        &self,
        table: &'static Table,
        range: &RowRange,
        behind: Option<&RowKey>,
    ) -> Result<Keys, StoreError>;

    /// Removes the slices of a table whose rows were all numbered before `before`; a table in one piece stays.
    ///
    /// # Errors
    /// As [`Engine::commit`].
    fn drop_before(&self, table: &'static Table, before: u64) -> Result<(), StoreError>;

    /// Does all these puts and deletes, in order, or none; they are durable on return.
    ///
    /// # Errors
    /// `DiskFull` while there is no room, `Broken` otherwise, and for a [`Write::Replace`], which [`super::batch`] resolves; whether a later start finds the writes is then
    /// not known, but it finds all or none.
    fn commit(&self, writes: &[Write]) -> Result<(), StoreError>;

    /// The same for what may use the room that is left alone for such: see [`super::Store::save_in_reserve_now`].
    ///
    /// # Errors
    /// As [`Engine::commit`].
    fn commit_in_reserve(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.commit(writes)
    }

    /// Nothing has been written for a while: gives back memory that writes to come would have used. Called twice, with as much time
    /// between, before the next write. Waits for nothing.
    ///
    /// # Errors
    /// As [`Engine::commit`].
    fn rest(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Shows every row as of one moment, table by table in key order, while commits go on.
    ///
    /// # Errors
    /// As [`Engine::row`], and whatever `each` returns.
    fn visit(&self, each: &mut Visitor<'_>) -> Result<(), StoreError>;

    /// Refuses writes while the disk has less room than this; engines without a disk have no such bound.
    fn set_reserve(&self, bytes: u64);
}

/// Sees one row: its table, key and value.
pub type Visitor<'a> = dyn FnMut(&'static Table, &[u8], &[u8]) -> Result<(), StoreError> + 'a;

/// A part of a range.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// In key order.
    pub rows: Vec<Row>,
    /// Whether the range holds more behind the last of them.
    pub more: bool,
}

/// Keys of a part of a range.
#[derive(Debug, PartialEq, Eq)]
pub struct Keys {
    /// In the engine's order.
    pub keys: Vec<RowKey>,
    /// Whether the range holds more behind the last of them.
    pub more: bool,
}

impl Keys {
    /// Takes as many as `count_max`.
    pub(super) fn fill(
        count_max: usize,
        mut found: impl Iterator<Item = Result<RowKey, StoreError>>,
    ) -> Result<Keys, StoreError> {
        let keys = found.by_ref().take(count_max);
        let keys = keys.collect::<Result<Vec<RowKey>, StoreError>>()?;
        let more = found.next().transpose()?.is_some();
        Ok(Keys { keys, more })
    }
}

impl Page {
    /// Takes rows while `range` lets it: never more than `count_max`, and one at least even if it is larger
    /// than `bytes_max`.
    pub(super) fn fill(
        range: &RowRange,
        rows: impl Iterator<Item = Result<Row, StoreError>>,
    ) -> Result<Page, StoreError> {
        let mut page = Page {
            rows: Vec::new(),
            more: false,
        };
        let mut bytes = 0;
        for row in rows {
            let row = row?;
            bytes += row.value.len();
            let fits = bytes <= range.bytes_max || page.rows.is_empty();
            if page.rows.len() >= range.count_max || !fits {
                page.more = true;
                break;
            }
            page.rows.push(row);
        }
        Ok(page)
    }
}

/// Answers a request that only reads; a save is no such request and is refused.
pub(super) fn read(engine: &dyn Engine, request: &Request) -> Answer {
    let answer = match request {
        Request::Row { table, key } => engine.row(table, key).map(Answer::Row),
        Request::Range { table, range } => engine.range(table, range).map(|page| Answer::Range {
            rows: page.rows,
            more: page.more,
        }),
        Request::Joined { table, range, join } => joined(engine, table, range, *join),
        Request::Pick { table, pick } => picked(engine, table, pick),
        Request::Drop { .. }
        | Request::Save(_)
        | Request::SaveOfChain(..)
        | Request::SaveInReserve(_) => Err(StoreError::Broken),
    };
    answer.unwrap_or_else(Answer::Failed)
}

fn joined(
    engine: &dyn Engine,
    table: &'static Table,
    range: &RowRange,
    join: Join,
) -> Result<Answer, StoreError> {
    let page = engine.range(table, range)?;
    let whole = |mut row: Row| {
        if row.value.first() != Some(&join.mark) {
            return Ok(Some(row));
        }
        if let Some(value) = engine.row(join.with, &row.key)? {
            row.value.extend(value);
            return Ok(Some(row));
        }
        // Whoever removed it has changed this one, too: it is read again.
        let value = engine.row(table, &row.key)?;
        Ok(value.map(|value| Row { value, ..row }))
    };
    let rows = page.rows.into_iter();
    let joined = Page::fill(range, rows.filter_map(|row| whole(row).transpose()))?;
    Ok(Answer::Range {
        rows: joined.rows,
        more: page.more || joined.more,
    })
}

fn picked(engine: &dyn Engine, table: &'static Table, pick: &Pick) -> Result<Answer, StoreError> {
    let page = match pick {
        Pick::Last(range) => engine.range_back(table, range)?,
        Pick::Keys(range) => keys(engine, table, range)?,
        Pick::Rows(keys) => rows(engine, table, keys)?,
    };
    Ok(Answer::Range {
        rows: page.rows,
        more: page.more,
    })
}

/// In the order of the keys where the months of the range are (`Slices`), which they are for one owner's rows.
fn keys(engine: &dyn Engine, table: &'static Table, range: &RowRange) -> Result<Page, StoreError> {
    let found = engine.walk(table, range, None)?;
    let bare = |key| Row {
        key,
        value: Vec::new(),
    };
    Ok(Page {
        rows: found.keys.into_iter().map(bare).collect(),
        more: found.more,
    })
}

fn rows(engine: &dyn Engine, table: &'static Table, keys: &[RowKey]) -> Result<Page, StoreError> {
    let found = keys.iter().filter_map(|key| {
        let row = engine.row(table, key).transpose()?;
        Some(row.map(|value| Row {
            key: key.clone(),
            value,
        }))
    });
    let bounds = RowRange {
        from: RowKey::new(&[]),
        to: RowKey::new(&[]),
        count_max: usize::MAX,
        bytes_max: RANGE_BYTES_MAX,
    };
    Page::fill(&bounds, found)
}

/// The number in a key of a monthly table, 0 for a table in one piece; none if the key is too short to hold one.
pub(super) fn number_in(table: &Table, key: &[u8]) -> Option<u64> {
    let Slices::Monthly { number_at } = table.slices else {
        return Some(0);
    };
    Some(u64::from_be_bytes(*key.get(number_at..)?.first_chunk()?))
}
