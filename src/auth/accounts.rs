//! The embedded store as a back end of authentication: every [`AuthAsk`] answered on the caller's thread.
//! Refuses to know threads and tickets (`service.rs` does), and how a password is known (`passwords.rs` does).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::counts::Counts;
use super::penalty::Penalties;
use super::purge::Purged;
use super::registrations::Registrations;
use super::shapes::Shapes;
use super::tokens::{Judged, TokenCounts, TokenSettings};
use super::windows::{PasswordChanges, Windows};
use crate::actor::auth::{AccountAsk, AuthAnswer, AuthAsk};
use crate::actor::rows::{Row, RowKey, RowRange, StoreError, Table, Write};
use crate::base::{AccountId, HashSeed, KeyedState, Now, Rng, Secret, limits};
use crate::config::{Config, HostRegistration};
use crate::im::credentials::{ACCOUNT, AccountRow, AccountState, name_key};

/// The store as this module uses it. Every call blocks until the store has answered.
pub struct AccountRows {
    /// One row's value.
    pub row: RowReader,
    /// Rows in key order, and whether more follow.
    pub range: RangeReader,
    /// Keys of a range in the store's own order, behind the last that it gave before; and whether more follow.
    pub keys: KeyReader,
    /// Writes all of them or none; they are durable when it returns.
    pub save: RowWriter,
    /// The same for what an operator decides, and what makes room: it is done on a disk that takes nothing else any more.
    pub save_in_reserve: RowWriter,
    /// Every table of the store: a removed account's rows are looked for in all.
    pub tables: &'static [&'static Table],
    /// A number that no account ever had.
    pub next_id: Box<dyn Fn() -> Result<AccountId, StoreError> + Send + Sync>,
}

/// See [`AccountRows::row`]; a name of its own because clippy finds the type too complex for a field.
pub type RowReader =
    Box<dyn Fn(&'static Table, &RowKey) -> Result<Option<Vec<u8>>, StoreError> + Send + Sync>;
/// See [`AccountRows::range`].
pub type RangeReader =
    Box<dyn Fn(&'static Table, &RowRange) -> Result<(Vec<Row>, bool), StoreError> + Send + Sync>;
/// See [`AccountRows::keys`].
pub type KeyReader = Box<
    dyn Fn(&'static Table, &RowRange, Option<&RowKey>) -> Result<(Vec<RowKey>, bool), StoreError>
        + Send
        + Sync,
>;
/// See [`AccountRows::save`].
pub type RowWriter = Box<dyn Fn(Vec<Write>) -> Result<(), StoreError> + Send + Sync>;

/// What an operator chooses.
#[derive(Clone, Debug)]
pub struct AuthSettings {
    /// PBKDF2 iterations of new keys by host; [`limits::SCRAM_ITERATIONS`] where nothing is said.
    pub iterations: BTreeMap<Arc<str>, u32>,
    /// How long the name of a removed account is not given to anybody else.
    pub tombstone_ms: u64,
    /// Who may register, by host.
    pub registration: BTreeMap<Arc<str>, HostRegistration>,
    /// Invitations of one account that may be open at a time.
    pub invitations_per_account: u32,
    pub tokens: TokenSettings,
}

impl From<&Config> for AuthSettings {
    fn from(config: &Config) -> AuthSettings {
        let hosts = || config.hosts.iter();
        AuthSettings {
            iterations: hosts()
                .map(|host| (host.name.clone(), host.scram_iterations))
                .collect(),
            tombstone_ms: config.auth.tombstone.as_ms(),
            registration: hosts()
                .map(|host| (host.name.clone(), host.registration.clone()))
                .collect(),
            invitations_per_account: config.auth.invitations_per_account,
            tokens: TokenSettings {
                expiry_ms: config.auth.token_expiry.as_ms(),
                clients_max: config.auth.token_clients as usize,
            },
        }
    }
}

impl Default for AuthSettings {
    fn default() -> AuthSettings {
        AuthSettings {
            iterations: BTreeMap::new(),
            tombstone_ms: limits::TOMBSTONE_MS,
            registration: BTreeMap::new(),
            invitations_per_account: limits::INVITATIONS_PER_ACCOUNT_MAX,
            tokens: TokenSettings::default(),
        }
    }
}

impl AuthSettings {
    pub(super) fn iterations_of(&self, host: &str) -> u32 {
        let chosen = self.iterations.get(host).copied();
        chosen.unwrap_or(limits::SCRAM_ITERATIONS).max(1)
    }
}

/// The accounts of all hosts: answers for the auth thread, administration for the operator.
pub struct Accounts {
    pub(super) rows: AccountRows,
    /// Makes the fakes stable: kept beside the store, the same after every restart.
    secret: Secret,
    pub(super) settings: Mutex<Arc<AuthSettings>>,
    pub(super) rng: Mutex<Rng>,
    penalties: Mutex<Penalties>,
    pub(super) registrations: Mutex<Registrations>,
    pub(super) password_changes: Mutex<PasswordChanges>,
    /// Names that were asked for with an invitation and could not be given.
    pub(super) token_tries: Mutex<Windows<RowKey>>,
    /// The same without one, by whose session it was that asked.
    pub(super) own_tries: Mutex<Windows<AccountId>>,
    pub(super) token_counts: Mutex<TokenCounts>,
    /// Held from reading a row to writing it back, so that no change is lost between the threads.
    pub(super) writing: Mutex<()>,
    pub(super) derivations: AtomicU64,
    pub(super) counts: Counts,
    pub(super) shapes: Shapes,
    /// What removes rows shall end: the server stops.
    pub(super) purging_is_over: AtomicBool,
}

impl Accounts {
    /// `secret` is at least 32 random bytes that outlive restarts; `seed` and `rng` are fresh.
    pub fn new(
        rows: AccountRows,
        settings: AuthSettings,
        secret: Secret,
        seed: HashSeed,
        rng: Rng,
    ) -> Accounts {
        Accounts {
            rows,
            secret,
            settings: Mutex::new(Arc::new(settings)),
            rng: Mutex::new(rng),
            penalties: Mutex::new(Penalties::new(seed)),
            registrations: Mutex::new(Registrations::new(seed)),
            password_changes: Mutex::new(PasswordChanges::new(seed)),
            token_tries: Mutex::new(Windows::new(seed, limits::REGISTRATION_WINDOW_MS)),
            own_tries: Mutex::new(Windows::new(seed, limits::REGISTRATION_WINDOW_MS)),
            token_counts: Mutex::new(TokenCounts::with_hasher(KeyedState::new(seed))),
            writing: Mutex::new(()),
            derivations: AtomicU64::new(0),
            purging_is_over: AtomicBool::new(false),
            counts: Counts::default(),
            shapes: Shapes::default(),
        }
    }

    /// Takes the options over after a reload.
    pub fn configure(&self, settings: AuthSettings) {
        *self.settings.lock() = Arc::new(settings);
    }

    /// The verdict, and when on `mono_ms` the asker may have it: `now`, except for failures. Takes
    /// milliseconds for a password.
    pub fn answer(&self, ask: AuthAsk, now: Now) -> (AuthAnswer, u64) {
        let answer = match ask {
            AuthAsk::ScramKeys {
                host,
                localpart,
                hash,
            } => self.scram_keys(&host, &localpart, hash),
            AuthAsk::Password {
                host,
                localpart,
                password,
            } => {
                let (answer, upgrade) = self.check_password(&host, &localpart, &password);
                if let Some(upgrade) = upgrade {
                    self.upgrade(&upgrade);
                }
                answer
            }
            AuthAsk::Admission { host, localpart } => self.admission(&host, &localpart),
            // Where no directory is, no entry has a name.
            AuthAsk::Certified { .. } => AuthAnswer::Refused,
            AuthAsk::Failed {
                host,
                localpart,
                prefix,
            } => {
                let delay_ms = self
                    .penalties
                    .lock()
                    .fail(&host, localpart.as_deref(), prefix, now);
                return (AuthAnswer::Released, now.mono_ms.saturating_add(delay_ms));
            }
            AuthAsk::Upgrades {
                host,
                localpart,
                account,
                hashes,
            } => self.upgrades(&host, &localpart, account, &hashes),
            AuthAsk::TakeKeys {
                host,
                localpart,
                account,
                keys,
                prefix: _,
            } => self.take_keys(&host, &localpart, account, *keys),
            AuthAsk::Token(proof) => self.conclude(self.prove_token(&proof, now)),
            AuthAsk::IssueToken(wish) => self.conclude(self.issue_token(&wish, now)),
            AuthAsk::Own(ask @ AccountAsk::Revoke { .. }, _) => {
                self.conclude(self.revoke_clients(&ask, now))
            }
            AuthAsk::Own(ask, prefix) => self.change_own(&ask, prefix, now),
            AuthAsk::Register(wish) => AuthAnswer::Registered(self.register(&wish, now)),
            AuthAsk::Invitation {
                host,
                token,
                prefix,
            } => self.show_invitation(&host, &token, prefix, now),
            AuthAsk::Purge(account) => match self.purge(account) {
                Ok(Purged::All) => AuthAnswer::Purged(account),
                // The next start goes on with it.
                Ok(Purged::Stopped) => AuthAnswer::Unavailable,
                Err(error) => {
                    log::error!(
                        "account_purge_failed account={} error=\"{error}\"",
                        account.0
                    );
                    AuthAnswer::Unavailable
                }
            },
        };
        (answer, now.mono_ms)
    }

    /// What tokens are known by, durably.
    pub(super) fn save_tokens(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        (self.rows.save)(writes)
    }

    /// An answer about a token, once what it says is durable.
    fn conclude(&self, judged: Judged) -> AuthAnswer {
        match judged.writes.is_empty() || (self.rows.save)(judged.writes).is_ok() {
            true => judged.answer,
            false => AuthAnswer::Unavailable,
        }
    }

    /// Key derivations so far: for metrics.
    pub fn derivation_count(&self) -> u64 {
        self.derivations.load(Ordering::Relaxed)
    }

    /// Random bytes.
    pub(super) fn fill(&self, bytes: &mut [u8]) {
        self.rng.lock().fill(bytes);
    }

    /// What is kept beside the store, and never in it.
    pub(super) fn secret(&self) -> &[u8] {
        self.secret.expose()
    }

    /// The same, to make digests with.
    pub(super) fn secret_key(&self) -> &Secret {
        &self.secret
    }

    fn admission(&self, host: &str, localpart: &str) -> AuthAnswer {
        match self.load(host, localpart) {
            Ok(Some(row)) if row.state == AccountState::Enabled => {
                AuthAnswer::Admitted(row.account)
            }
            Ok(_) => AuthAnswer::Refused,
            Err(_) => AuthAnswer::Unavailable,
        }
    }

    /// The account's row, read once. A row that cannot be read is the operator's matter.
    pub(super) fn load(
        &self,
        host: &str,
        localpart: &str,
    ) -> Result<Option<AccountRow>, StoreError> {
        let Some(bytes) = (self.rows.row)(&ACCOUNT, &name_key(host, localpart))? else {
            return Ok(None);
        };
        AccountRow::decode(&bytes).map(Some).map_err(|error| {
            log::error!("account_unreadable account={localpart}@{host} error=\"{error}\"");
            StoreError::Broken
        })
    }

    pub(super) fn store(
        &self,
        host: &str,
        localpart: &str,
        row: &AccountRow,
    ) -> Result<(), StoreError> {
        (self.rows.save)(vec![write_of(host, localpart, row)])
    }
}

/// The write that keeps this row.
pub(super) fn write_of(host: &str, localpart: &str, row: &AccountRow) -> Write {
    Write::Put {
        table: &ACCOUNT,
        key: name_key(host, localpart),
        value: row.encode().into(),
    }
}
