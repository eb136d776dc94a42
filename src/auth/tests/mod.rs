//! The auth thread's promises, kept over a store in memory that counts. Refuses to sleep.

mod admin;
mod client_keys;
mod invited;
mod inviting;
mod leavers;
mod looks;
mod newcomers;
mod own;
mod purge;
mod service;
mod tokens;
mod verdicts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::{AccountRows, Accounts, AuthSettings, LOOKS, TOKEN, keys};
use crate::actor::auth::{AccountRef, AuthAnswer, AuthAsk, ScramHash, ScramKeys};
use crate::actor::rows::{Row, RowKey, StoreError, Table, Write};
use crate::base::{AccountId, AddressPrefix, Generation, HashSeed, Now, Rng, Secret, limits};
use crate::config::HostRegistration;
use crate::im::credentials::{ACCOUNT, AccountRow, PURGE, REGISTRATION, name_key};
use crate::im::invitation::INVITATION;
use crate::im::outgoing::OUTGOING;
use crate::im::roster::ROSTER;

const HOST: &str = "example.com";
const TABLES: &[&Table] = &[
    &ACCOUNT,
    &INVITATION,
    &LOOKS,
    &PURGE,
    &REGISTRATION,
    &ROSTER,
    &OUTGOING,
    &TOKEN,
];
const EVERY: [ScramHash; 3] = [ScramHash::Sha1, ScramHash::Sha256, ScramHash::Sha512];

/// A store in memory that counts what is asked of it.
#[derive(Default)]
struct Disk {
    rows: Mutex<BTreeMap<(&'static str, RowKey), Vec<u8>>>,
    reads: AtomicUsize,
    /// How often keys were read from the first on.
    begun: AtomicUsize,
    saves: AtomicUsize,
    next_id: AtomicU64,
    fault: Mutex<Option<StoreError>>,
}

impl Disk {
    fn check(&self) -> Result<(), StoreError> {
        self.fault.lock().map_or(Ok(()), Err)
    }

    fn save(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.check()?;
        self.saves.fetch_add(1, Ordering::Relaxed);
        let mut rows = self.rows.lock();
        for write in writes {
            match write {
                Write::Put { table, key, value } => {
                    rows.insert((table.name, key), value.to_vec());
                }
                Write::Delete { table, key } => {
                    rows.remove(&(table.name, key));
                }
                Write::Replace { .. } => panic!("accounts know what is there"),
            }
        }
        Ok(())
    }
}

struct House {
    disk: Arc<Disk>,
    accounts: Arc<Accounts>,
}

fn settings(iterations: u32) -> AuthSettings {
    AuthSettings {
        iterations: BTreeMap::from([(Arc::from(HOST), iterations)]),
        ..AuthSettings::default()
    }
}

fn house_on(disk: Arc<Disk>, seed: u8) -> House {
    let (row, range, save, id) = (disk.clone(), disk.clone(), disk.clone(), disk.clone());
    let (keys_of, spare) = (disk.clone(), disk.clone());
    let rows = AccountRows {
        row: Box::new(move |table, key| {
            row.check()?;
            row.reads.fetch_add(1, Ordering::Relaxed);
            Ok(row.rows.lock().get(&(table.name, key.clone())).cloned())
        }),
        range: Box::new(move |table, wanted| {
            range.check()?;
            let rows = range.rows.lock();
            let mut found = rows
                .range((table.name, wanted.from.clone())..(table.name, wanted.to.clone()))
                .map(|((_, key), value)| Row {
                    key: key.clone(),
                    value: value.clone(),
                });
            let page = found.by_ref().take(wanted.count_max).collect();
            Ok((page, found.next().is_some()))
        }),
        keys: Box::new(move |table, wanted, behind| {
            keys_of.check()?;
            if behind.is_none() {
                keys_of.begun.fetch_add(1, Ordering::Relaxed);
            }
            let rows = keys_of.rows.lock();
            let from = match behind {
                Some(behind) => behind.clone().then(&[0]),
                None => wanted.from.clone(),
            };
            let found = rows.range((table.name, from)..(table.name, wanted.to.clone()));
            let mut keys = found.map(|((_, key), _)| key.clone());
            let page = keys.by_ref().take(wanted.count_max).collect();
            Ok((page, keys.next().is_some()))
        }),
        tables: TABLES,
        save: Box::new(move |writes| save.save(writes)),
        save_in_reserve: Box::new(move |writes| spare.save(writes)),
        next_id: Box::new(move || Ok(AccountId(id.next_id.fetch_add(1, Ordering::Relaxed) + 1))),
    };
    let accounts = Accounts::new(
        rows,
        settings(2),
        Secret::new(vec![9; 32]),
        HashSeed(1, 2),
        Rng::from_seed([seed; 32]),
    );
    House {
        disk,
        accounts: Arc::new(accounts),
    }
}

/// A house where juliet lives, and nurse, who is disabled; their password is "pencil".
fn house() -> House {
    let house = house_on(Arc::default(), 1);
    for name in ["juliet", "nurse"] {
        house
            .accounts
            .add(HOST, name, &secret("pencil"), Now::default())
            .unwrap();
    }
    house.accounts.disable(HOST, "nurse").unwrap();
    house
}

/// The same, which newcomers enter so.
fn house_with(registration: HostRegistration) -> House {
    let house = house();
    house.accounts.configure(AuthSettings {
        registration: BTreeMap::from([(Arc::from(HOST), registration)]),
        ..settings(1)
    });
    house
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

fn keys_ask(localpart: &str, hash: ScramHash) -> AuthAsk {
    AuthAsk::ScramKeys {
        host: Arc::from(HOST),
        localpart: Arc::from(localpart),
        hash,
    }
}

fn password_ask(localpart: &str, password: &str) -> AuthAsk {
    AuthAsk::Password {
        host: Arc::from(HOST),
        localpart: Arc::from(localpart),
        password: secret(password),
    }
}

fn failed_ask(localpart: &str) -> AuthAsk {
    AuthAsk::Failed {
        host: Arc::from(HOST),
        localpart: Some(Arc::from(localpart)),
        prefix: AddressPrefix::V4([192, 0, 2, 1]),
    }
}

impl House {
    fn ask(&self, ask: AuthAsk) -> AuthAnswer {
        self.accounts.answer(ask, Now::default()).0
    }

    fn keys(&self, localpart: &str, hash: ScramHash) -> (ScramKeys, Option<AccountRef>) {
        match self.ask(keys_ask(localpart, hash)) {
            AuthAnswer::ScramKeys { keys, account } => (keys, account),
            other => panic!("keys were asked for, not {other:?}"),
        }
    }

    /// What `ask` costs: reads, saves, derivations.
    fn cost(&self, ask: AuthAsk) -> (usize, usize, u64) {
        let costs = || {
            (
                self.disk.reads.load(Ordering::Relaxed),
                self.disk.saves.load(Ordering::Relaxed),
                self.accounts.derivation_count(),
            )
        };
        let before = costs();
        self.ask(ask);
        let after = costs();
        (after.0 - before.0, after.1 - before.1, after.2 - before.2)
    }

    fn row(&self, localpart: &str) -> AccountRow {
        let rows = self.disk.rows.lock();
        let bytes = rows.get(&(ACCOUNT.name, name_key(HOST, localpart)));
        AccountRow::decode(bytes.expect("the account is stored")).unwrap()
    }

    fn replace_row(&self, localpart: &str, edit: impl FnOnce(&mut AccountRow)) {
        let mut row = self.row(localpart);
        edit(&mut row);
        let key = (ACCOUNT.name, name_key(HOST, localpart));
        self.disk.rows.lock().insert(key, row.encode());
    }
}

fn admitted(answer: &AuthAnswer) -> bool {
    matches!(answer, AuthAnswer::Admitted(_))
}
