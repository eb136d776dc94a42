//! Copies of a store that come to life. Whoever puts one in the place of the store that it was made of takes back what
//! users have seen meanwhile: what names a state of it by counting has to count anew. Refuses to know how copies are
//! made.

use crate::actor::rows::{Durability, Export, RowKey, Slices, StoreError, Table, Write};
use crate::base::Rng;
use crate::im::roster;
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
    let mut renewed = Vec::new();
    store.visit_now(|table, key, value| {
        renewed.extend(roster::renewed(table, key, value, by));
        Ok(())
    })?;
    log::info!("copy_comes_to_life rosters={}", renewed.len());
    for writes in renewed.chunks(ROWS_AT_ONCE) {
        store.save_now(writes.to_vec())?;
    }
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
    use super::*;
    use crate::base::AccountId;
    use crate::im::roster::{Head, ROSTER, head_key};
    use crate::server::rows::TABLES;

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
