//! The rows of accounts in a store in memory, as the keeper of accounts asks for them: for the simulation, and for what
//! `bench/core` measures.

use std::sync::Arc;

use parking_lot::Mutex;

use stonechat::actor::Answer;
use stonechat::actor::rows::{RowKey, RowRange, StoreError, Table, Write};
use stonechat::auth::AccountRows;
use stonechat::base::AccountId;
use stonechat::server::rows::TABLES;
use stonechat::store::Request;
use stonechat::store::memory::MemoryStore;

pub fn account_rows(store: &Arc<Mutex<MemoryStore>>) -> AccountRows {
    let (reader, ranger, writer) = (Arc::clone(store), Arc::clone(store), Arc::clone(store));
    let (keys, spare) = (Arc::clone(store), Arc::clone(store));
    let ids = Mutex::new(0);
    AccountRows {
        row: Box::new(move |table: &'static Table, key: &RowKey| {
            let key = key.clone();
            match reader.lock().apply(Request::Row { table, key }) {
                Answer::Row(value) => Ok(value),
                _ => Err(StoreError::Broken),
            }
        }),
        range: Box::new(move |table: &'static Table, range: &RowRange| {
            let range = range.clone();
            match ranger.lock().apply(Request::Range { table, range }) {
                Answer::Range { rows, more } => Ok((rows, more)),
                _ => Err(StoreError::Broken),
            }
        }),
        keys: Box::new(
            move |table: &'static Table, range: &RowRange, behind: Option<&RowKey>| {
                let page = keys.lock().walk(table, range, behind)?;
                Ok((page.keys, page.more))
            },
        ),
        save: Box::new(move |writes| saved(&writer, writes)),
        save_in_reserve: Box::new(move |writes| saved(&spare, writes)),
        tables: TABLES,
        next_id: Box::new(move || {
            *ids.lock() += 1;
            Ok(AccountId(*ids.lock()))
        }),
    }
}

fn saved(store: &Mutex<MemoryStore>, writes: Vec<Write>) -> Result<(), StoreError> {
    match store.lock().apply(Request::Save(writes)) {
        Answer::Saved => Ok(()),
        _ => Err(StoreError::Broken),
    }
}
