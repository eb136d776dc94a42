//! The accounts behind the world, and the operator's commands about them.

use std::sync::Arc;

use parking_lot::Mutex;

use stonechat::actor::Answer;
use stonechat::actor::rows::{RowKey, RowRange, StoreError, Table, Write};
use stonechat::auth::{AccountRows, Accounts, AuthSettings};
use stonechat::base::{AccountId, HashSeed, Rng, Secret};
use stonechat::jid::Jid;
use stonechat::server::accounts::AccountDesk;
use stonechat::server::command::Command;
use stonechat::shard::Control;
use stonechat::store::Request;
use stonechat::store::memory::MemoryStore;

use super::{TABLES, World};

pub(super) fn accounts(store: &Arc<Mutex<MemoryStore>>, rng: &mut Rng) -> Accounts {
    let (reader, ranger, writer) = (Arc::clone(store), Arc::clone(store), Arc::clone(store));
    let (keys, spare) = (Arc::clone(store), Arc::clone(store));
    let ids = Mutex::new(0);
    let rows = AccountRows {
        row: Box::new(move |table: &'static Table, key: &RowKey| {
            match reader.lock().apply(Request::Row {
                table,
                key: key.clone(),
            }) {
                Answer::Row(value) => Ok(value),
                _ => Err(StoreError::Broken),
            }
        }),
        range: Box::new(move |table: &'static Table, range: &RowRange| {
            match ranger.lock().apply(Request::Range {
                table,
                range: range.clone(),
            }) {
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
    };
    let settings = AuthSettings {
        iterations: cheap(),
        ..AuthSettings::default()
    };
    let mut seed = [0; 32];
    rng.fill(&mut seed);
    Accounts::new(
        rows,
        settings,
        Secret::new(vec![3; 32]),
        HashSeed(1, 2),
        Rng::from_seed(seed),
    )
}

fn saved(store: &Mutex<MemoryStore>, writes: Vec<Write>) -> Result<(), StoreError> {
    match store.lock().apply(Request::Save(writes)) {
        Answer::Saved => Ok(()),
        _ => Err(StoreError::Broken),
    }
}

/// No test is about the price of a password.
pub(super) fn cheap() -> std::collections::BTreeMap<Arc<str>, u32> {
    [("localhost".into(), 1)].into_iter().collect()
}

impl World {
    pub fn register(&mut self, localpart: &str, password: &str) {
        let secret = Secret::new(password.as_bytes().to_vec());
        self.accounts
            .add("localhost", localpart, &secret, self.now)
            .expect("a fresh name");
        self.store.lock().sync().expect("no fault is set");
    }

    /// The store fails from now on, whatever it is asked.
    pub fn break_store(&mut self) {
        self.store.lock().set_fault(Some(StoreError::Broken));
    }

    /// Does what an operator asks over the control socket; its lines.
    ///
    /// # Errors
    /// What the operator reads instead.
    pub fn operate(&mut self, command: &str) -> Result<Vec<String>, String> {
        let Command::User(command) = Command::parse(format!("{command}\n").as_bytes())? else {
            return Err("a world has accounts only".to_owned());
        };
        let orders = Mutex::new(Vec::new());
        let order = |control| orders.lock().push(control);
        let desk = AccountDesk {
            accounts: &self.accounts,
            config: &self.config,
            now: self.now,
            disconnect: &|jid| {
                order(Control::Disconnect(
                    Jid::parse(jid).expect("a prepared name"),
                ));
            },
            purge: &|account| {
                self.accounts.purge(account)?;
                order(Control::TellOf(account));
                Ok(())
            },
            audit: &|_| {},
            goes_on: &|| true,
        };
        let outcome = desk.run(command);
        self.store.lock().sync().expect("no fault is set");
        for control in orders.into_inner() {
            self.control(&control);
        }
        outcome
    }
}
