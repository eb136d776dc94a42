//! The accounts behind the world, and the operator's commands about them.

use std::sync::Arc;

use parking_lot::Mutex;

use stonechat::actor::rows::StoreError;
use stonechat::auth::{Accounts, AuthSettings};
use stonechat::base::{HashSeed, Rng, Secret};
use stonechat::jid::Jid;
use stonechat::server::accounts::AccountDesk;
use stonechat::server::command::Command;
use stonechat::shard::Control;
use stonechat::store::memory::MemoryStore;

use super::World;
use super::account_rows::account_rows;

pub(super) fn accounts(store: &Arc<Mutex<MemoryStore>>, rng: &mut Rng) -> Accounts {
    let settings = AuthSettings {
        iterations: cheap(),
        ..AuthSettings::default()
    };
    let mut seed = [0; 32];
    rng.fill(&mut seed);
    Accounts::new(
        account_rows(store),
        settings,
        Secret::new(vec![3; 32]),
        HashSeed(1, 2),
        Rng::from_seed(seed),
    )
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
            disconnect: &|jid, account| {
                let jid = Jid::parse(jid).expect("a prepared name");
                order(Control::Disconnect(jid, account, self.now.mono_ms));
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
