//! Copies of a store that come to life. Whoever puts one in the place of the store that it was made of takes back what
//! users have seen meanwhile: what names a state of it by counting has to count anew. Refuses to know how copies are
//! made.

use crate::actor::rows::{Durability, Export, RowKey, Slices, StoreError, Table, Write};
use crate::base::{AccountId, Rng};
use crate::im::roster::{self, ROSTER};
use crate::store::Store;

/// One row, which only a copy has, until a server was started with it.
pub static COPIED: Table = Table {
    name: "copied",
    durability: Durability::BeforeReply,
    export: Export::Never,
    slices: Slices::Whole,
    about: "Says in a copy of a store that it is one; key: nothing",
};

/// What a copy has besides.
pub fn mark() -> Vec<Write> {
    vec![Write::Put {
        table: &COPIED,
        key: key(),
        value: [VERSION][..].into(),
    }]
}

/// The first start with a copy, or the next after a crash in the middle of it: versions of rosters that clients know may
/// be of what was lost, and mean nothing any more (RFC 6121 section 2.6: a client that sends one hears only what changed
/// since). Waits for the disk.
///
/// # Errors
/// The store's.
pub fn begin_anew(store: &Store, rng: &mut Rng) -> Result<(), StoreError> {
    if store.row_now(&COPIED, &key())?.is_none() {
        return Ok(());
    }
    let by = 1 + rng.below(u32::MAX);
    let (mut renewed, mut count) = (Vec::new(), 0);
    let mut next = Some(AccountId(0));
    while let Some(from) = next {
        // Nobody comes before this is done: of each roster one row is read, and of archives none.
        let page = store.range_now(&ROSTER, &roster::first_from(from))?;
        let first = page.rows.first();
        next = first.and_then(|row| roster::next_account(&row.key));
        renewed.extend(first.and_then(|row| roster::renewed(row, by)));
        if next.is_none() || renewed.len() >= ROWS_AT_ONCE {
            count += renewed.len();
            store.save_now(std::mem::take(&mut renewed))?;
        }
    }
    log::info!("copy_comes_to_life rosters={count}");
    store.save_now(vec![Write::Delete {
        table: &COPIED,
        key: key(),
    }])
}

fn key() -> RowKey {
    RowKey::new(&[0])
}

const VERSION: u8 = 1;
const ROWS_AT_ONCE: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::actor::rows::{Row, RowRange};
    use crate::im::roster::{Head, RosterItem, head_key};
    use crate::jid::Jid;
    use crate::server::rows::TABLES;
    use crate::store::memory::Memory;
    use crate::store::{Engine, Keys, Page};

    /// An engine that shows nothing but rosters, and that this is a copy.
    struct Narrow(Memory);

    impl Narrow {
        fn judge(table: &Table) -> Result<(), StoreError> {
            let is_shown = [ROSTER.name, COPIED.name].contains(&table.name);
            is_shown.then_some(()).ok_or(StoreError::Broken)
        }
    }

    impl Engine for Narrow {
        fn create(&self, tables: &[&'static Table]) -> Result<(), StoreError> {
            self.0.create(tables)
        }
        fn row(&self, table: &'static Table, key: &RowKey) -> Result<Option<Vec<u8>>, StoreError> {
            Narrow::judge(table)?;
            self.0.row(table, key)
        }
        fn has(&self, table: &'static Table, key: &RowKey) -> Result<bool, StoreError> {
            self.0.has(table, key)
        }
        fn range(&self, table: &'static Table, range: &RowRange) -> Result<Page, StoreError> {
            Narrow::judge(table)?;
            self.0.range(table, range)
        }
        fn range_back(&self, table: &'static Table, range: &RowRange) -> Result<Page, StoreError> {
            Narrow::judge(table)?;
            self.0.range_back(table, range)
        }
        fn walk(
            &self,
            table: &'static Table,
            range: &RowRange,
            behind: Option<&RowKey>,
        ) -> Result<Keys, StoreError> {
            Narrow::judge(table)?;
            self.0.walk(table, range, behind)
        }
        fn drop_before(&self, table: &'static Table, before: u64) -> Result<(), StoreError> {
            self.0.drop_before(table, before)
        }
        fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
            self.0.commit(writes)
        }
        fn visit(&self, _: &mut crate::store::Visitor<'_>) -> Result<(), StoreError> {
            Err(StoreError::Broken)
        }
        fn set_reserve(&self, _: u64) {}
    }

    #[test]
    fn a_copy_comes_to_life_without_a_look_at_anything_but_rosters() {
        let store = Store::on(Arc::new(Narrow(Memory::new(TABLES))), TABLES, Vec::new());
        let head = Head {
            epoch: 77,
            floor: 5,
        };
        let mut writes = mark();
        for account in 0..250 {
            let item = RosterItem::unknown(Jid::parse("romeo@localhost").expect("valid"));
            let Row { key, value } = item.row(AccountId(account));
            writes.push(Write::Put {
                table: &ROSTER,
                key,
                value: value.into(),
            });
            // Whose roster was never seen has none.
            if account % 3 > 0 {
                writes.push(Write::Put {
                    table: &ROSTER,
                    key: head_key(AccountId(account)),
                    value: head.encode(),
                });
            }
        }
        store.save_now(writes).expect("memory");
        begin_anew(&store, &mut Rng::from_seed([0; 32])).expect("nothing else is read");
        for account in 0..250 {
            let row = store.row_now(&ROSTER, &head_key(AccountId(account)));
            let epoch = row.expect("memory").and_then(|row| Head::decode(&row));
            let epoch = epoch.map(|head| head.epoch);
            assert_eq!(epoch.is_some(), account % 3 > 0);
            assert_ne!(epoch, Some(77));
        }
    }

    fn epoch(store: &Store) -> u32 {
        let value = store.row_now(&ROSTER, &head_key(AccountId(7)));
        let value = value.expect("memory").expect("set by the test");
        Head::decode(&value).expect("not damaged").epoch
    }

    #[test]
    fn rosters_of_a_copy_are_of_another_epoch_each_time_it_comes_to_life() {
        let store = Store::in_memory(TABLES, Vec::new());
        let mut rng = Rng::from_seed([0; 32]);
        let head = Head {
            epoch: 77,
            floor: 5,
        };
        let put = Write::Put {
            table: &ROSTER,
            key: head_key(AccountId(7)),
            value: head.encode(),
        };
        store.save_now(vec![put.clone()]).expect("memory");
        begin_anew(&store, &mut rng).expect("memory");
        assert_eq!(epoch(&store), 77, "it is no copy");
        let mut seen = vec![77];
        for _ in 0..3 {
            store.save_now(mark()).expect("memory");
            store.save_now(vec![put.clone()]).expect("memory");
            begin_anew(&store, &mut rng).expect("memory");
            let epoch = epoch(&store);
            assert!(epoch != 0 && !seen.contains(&epoch), "{seen:?} {epoch}");
            seen.push(epoch);
            begin_anew(&store, &mut rng).expect("memory");
            assert_eq!(seen.last(), Some(&self::epoch(&store)), "once is enough");
        }
    }
}
