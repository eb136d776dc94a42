//! Where rows are: one keyspace for each table, or for each month of it ([`Slices`]). Refuses to know when they are written.

use std::ops::Bound;

use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use parking_lot::RwLock;

use crate::actor::rows::{RowKey, RowRange, Slices, Table};
use crate::base::Month;

use super::super::api::StoreOptions;
use super::super::engine::number_in;

pub(super) struct Opened {
    // Fields are dropped in this order, and the keyspaces hold on to the lock file too.
    /// By table, and within a table by number. Months are added while somebody reads.
    pub(super) spaces: RwLock<Vec<Space>>,
    pub(super) db: Database,
}

/// Where rows of a table are: all, or those of one month.
#[derive(Clone)]
pub(super) struct Space {
    pub(super) table: &'static Table,
    /// The numbers in it, the second excluded.
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) keyspace: Keyspace,
}

impl Opened {
    pub(super) fn new(db: Database) -> Opened {
        Opened {
            spaces: RwLock::new(Vec::new()),
            db,
        }
    }

    pub(super) fn space(&self, table: &'static Table, key: &[u8]) -> Option<Space> {
        let number = number_in(table, key)?;
        let spaces = self.spaces.read();
        let mut of_table = spaces.iter().filter(|space| space.table.is(table));
        of_table.find(|space| space.holds(number)).cloned()
    }

    pub(super) fn create(
        &self,
        tables: &[&'static Table],
        options: &StoreOptions,
    ) -> Result<(), fjall::Error> {
        for &table in tables {
            match table.slices {
                Slices::Whole => self.create_space(table, table.name, (0, u64::MAX), options)?,
                Slices::Monthly { .. } => {
                    for name in self.db.list_keyspace_names() {
                        if let Some(month) = month_named(table, &name) {
                            self.create_slice(table, month, options)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn create_slice(
        &self,
        table: &'static Table,
        month: Month,
        options: &StoreOptions,
    ) -> Result<(), fjall::Error> {
        let name = format!("{}-{:04}-{:02}", table.name, month.year, month.month);
        let numbers = (month.first_number(), month.next().first_number());
        self.create_space(table, &name, numbers, options)
    }

    pub(super) fn create_space(
        &self,
        table: &'static Table,
        name: &str,
        (from, to): (u64, u64),
        options: &StoreOptions,
    ) -> Result<(), fjall::Error> {
        let mut spaces = self.spaces.write();
        let place = spaces.binary_search_by_key(&(table.name, from), |s| (s.table.name, s.from));
        let Err(at) = place else {
            return Ok(());
        };
        let create =
            || KeyspaceCreateOptions::default().max_memtable_size(options.write_buffer_bytes);
        let keyspace = self.db.keyspace(name, create)?;
        spaces.insert(
            at,
            Space {
                table,
                from,
                to,
                keyspace,
            },
        );
        Ok(())
    }

    /// Removes the months of a table that end before `before`.
    pub(super) fn drop_before(
        &self,
        table: &'static Table,
        before: u64,
    ) -> Result<(), fjall::Error> {
        if table.slices == Slices::Whole {
            return Ok(());
        }
        let is_over = |space: &&Space| space.table.name == table.name && space.to <= before;
        let over: Vec<Space> = self.spaces.read().iter().filter(is_over).cloned().collect();
        for space in over {
            self.db.delete_keyspace(space.keyspace.clone())?;
            let is_same = |of: &mut Space| (of.table.name, of.from) == (table.name, space.from);
            self.spaces.write().extract_if(.., is_same).for_each(drop);
            log::info!("slice_dropped name={}", &**space.keyspace.name());
        }
        Ok(())
    }
}

impl Space {
    pub(super) fn rows(&self, range: &RowRange) -> fjall::Iter {
        self.keyspace
            .range(range.from.as_bytes()..range.to.as_bytes())
    }

    /// Rows of a range behind `behind`; all of them if there is none.
    pub(super) fn keys_behind(&self, behind: Option<&RowKey>, range: &RowRange) -> fjall::Iter {
        let from = match behind {
            Some(key) => Bound::Excluded(key.as_bytes()),
            None => Bound::Included(range.from.as_bytes()),
        };
        let to = Bound::Excluded(range.to.as_bytes());
        self.keyspace.range::<&[u8], _>((from, to))
    }

    pub(super) fn holds(&self, number: u64) -> bool {
        self.from <= number && number < self.to
    }

    /// Whether the row of this key is here, if it is anywhere.
    pub(super) fn is_of(&self, table: &Table, key: &RowKey) -> bool {
        let number = number_in(table, key.as_bytes());
        self.table.is(table) && number.is_some_and(|number| self.holds(number))
    }
}

/// The month of a table whose keyspace has this name.
fn month_named(table: &Table, name: &str) -> Option<Month> {
    let date = name.strip_prefix(table.name)?.strip_prefix('-')?;
    let (year, month) = date.split_once('-')?;
    Some(Month {
        year: year.parse().ok()?,
        month: month
            .parse()
            .ok()
            .filter(|month| (1..=12).contains(month))?,
    })
}

/// The least and the greatest number in the keys of a range.
pub(super) fn numbers_in(table: &Table, range: &RowRange) -> (u64, u64) {
    let Slices::Monthly { number_at } = table.slices else {
        return (0, u64::MAX);
    };
    let (from, to) = (range.from.as_bytes(), range.to.as_bytes());
    let is_one_prefix =
        from.get(..number_at).is_some() && from.get(..number_at) == to.get(..number_at);
    match (number_in(table, from), number_in(table, to)) {
        (Some(first), Some(last)) if is_one_prefix => (first, last),
        _ => (0, u64::MAX),
    }
}
