//! The embedded store as a back end of authentication: every [`AuthAsk`] answered on the caller's thread.
//! Refuses to know threads and tickets (`service.rs` does), and to tell an unknown account from a wrong
//! password: both cost the same reads and derivations and look the same (peers.md row 12).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::counts::Counts;
use super::keys::{self, HASHES};
use super::penalty::Penalties;
use super::purge::Purged;
use super::registrations::Registrations;
use super::shapes::Shapes;
use super::tokens::{Judged, TokenCounts, TokenSettings};
use super::windows::{PasswordChanges, Windows};
use crate::actor::auth::{
    AccountAsk, AccountRef, AuthAnswer, AuthAsk, ScramHash, ScramKeys, UpgradeTerms,
};
use crate::actor::rows::{Row, RowKey, RowRange, StoreError, Table, Write};
use crate::base::{AccountId, HashSeed, KeyedState, Now, Rng, Secret, limits};
use crate::config::{Config, HostRegistration};
use crate::im::credentials::{ACCOUNT, AccountRow, AccountState, name_key};
use crate::stream::sasl::digest::hmac;

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
    fn iterations_of(&self, host: &str) -> u32 {
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
    rng: Mutex<Rng>,
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
    derivations: AtomicU64,
    counts: Counts,
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

    fn scram_keys(&self, host: &str, localpart: &str, hash: ScramHash) -> AuthAnswer {
        let Ok(row) = self.load(host, localpart) else {
            return AuthAnswer::Unavailable;
        };
        // Made in every case: what it costs must not tell either.
        let Ok(mut keys) = self.fake_keys(host, localpart, hash) else {
            return AuthAnswer::Unavailable;
        };
        let mut account = None;
        if let Some((row, real)) = row
            .as_ref()
            .and_then(|row| Some((row, row.keys_for(hash)?)))
        {
            self.note_count(host, real.iterations);
            match row.state {
                AccountState::Enabled => {
                    keys = real.clone();
                    account = Some(row.account);
                }
                // Salt and iterations stay as they were, or a change of salt would tell the day on which an
                // account was disabled.
                AccountState::Disabled | AccountState::Waiting => {
                    keys.salt.clone_from(&real.salt);
                    keys.iterations = real.iterations;
                }
            }
        }
        AuthAnswer::ScramKeys { keys, account }
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

    /// One read and one derivation for any account and none; then, if the password is right and its keys are
    /// not what they should be, the work that is left. Keys that a client has made judge nobody while there are others:
    /// if they are of another password, whoever knows the right one heals them here.
    pub(super) fn check_password(
        &self,
        host: &str,
        localpart: &str,
        password: &Secret,
    ) -> (AuthAnswer, Option<Upgrade>) {
        // No account can have such a password, so nothing is told about this one.
        let Some(password) = keys::prepare_password(password) else {
            return (AuthAnswer::Refused, None);
        };
        let Ok(row) = self.load(host, localpart) else {
            return (AuthAnswer::Unavailable, None);
        };
        let Ok(fake) = self.fake_keys(host, localpart, HASHES[0]) else {
            return (AuthAnswer::Unavailable, None);
        };
        let real = row.as_ref().and_then(judging_keys);
        self.derivations.fetch_add(1, Ordering::Relaxed);
        let right = keys::matches(real.unwrap_or(&fake), &password);
        match row {
            Some(row) if right && row.state == AccountState::Enabled => {
                let upgrade = self.is_behind(host, &row).then(|| Upgrade {
                    host: Arc::from(host),
                    localpart: Arc::from(localpart),
                    account: row.account,
                    password,
                });
                (AuthAnswer::Admitted(row.account), upgrade)
            }
            _ => (AuthAnswer::Refused, None),
        }
    }

    /// Brings an account's keys to today's settings. Best effort: the next login tries again.
    pub(super) fn upgrade(&self, upgrade: &Upgrade) {
        let fresh = self.fresh_keys(&upgrade.host, &upgrade.password);
        let _writing = self.writing.lock();
        let Ok(Some(mut row)) = self.load(&upgrade.host, &upgrade.localpart) else {
            return;
        };
        // Another password, another account, another state meanwhile: theirs is the newer truth.
        if row.account != upgrade.account {
            return;
        }
        (row.keys, row.unverified) = (fresh, Vec::new());
        if let Err(error) = self.store(&upgrade.host, &upgrade.localpart, &row) {
            let Upgrade {
                host, localpart, ..
            } = upgrade;
            log::warn!("keys_not_upgraded account={localpart}@{host} error=\"{error}\"");
        }
    }

    /// What a client may derive for its account (XEP-0480).
    fn upgrades(
        &self,
        host: &str,
        localpart: &str,
        account: AccountRef,
        hashes: &[ScramHash],
    ) -> AuthAnswer {
        let row = match self.load(host, localpart) {
            Ok(Some(row)) if row.account == account => row,
            Ok(_) => return AuthAnswer::Refused,
            Err(_) => return AuthAnswer::Unavailable,
        };
        let iterations = self.settings.lock().iterations_of(host);
        let wanted = hashes.iter();
        let wanted = wanted.filter(|hash| may_take(&row, **hash, iterations));
        let terms = wanted.map(|hash| {
            let mut salt = vec![0; limits::SALT_BYTES];
            self.fill(&mut salt);
            UpgradeTerms {
                hash: *hash,
                iterations,
                salt,
            }
        });
        AuthAnswer::Upgrades(terms.collect())
    }

    /// Keeps keys that a client made, in place of those of the same digest. Not if they have become needless meanwhile,
    /// by another client or by a login with PLAIN: those are as good, or better.
    fn take_keys(
        &self,
        host: &str,
        localpart: &str,
        account: AccountRef,
        keys: ScramKeys,
    ) -> AuthAnswer {
        self.note_count(host, keys.iterations);
        let _writing = self.writing.lock();
        let mut row = match self.load(host, localpart) {
            Ok(Some(row)) if row.account == account => row,
            Ok(_) => return AuthAnswer::Refused,
            Err(_) => return AuthAnswer::Unavailable,
        };
        if !may_take(&row, keys.hash, keys.iterations) {
            return AuthAnswer::Upgrades(Vec::new());
        }
        row.keys.retain(|known| known.hash != keys.hash);
        row.unverified.retain(|known| *known != keys.hash);
        row.unverified.push(keys.hash);
        row.keys.push(keys);
        match self.store(host, localpart, &row) {
            Ok(()) => AuthAnswer::Taken,
            Err(_) => AuthAnswer::Unavailable,
        }
    }

    /// New keys for every digest, each with a salt of its own (XEP-0438 section 6.2), for a prepared
    /// password.
    pub(super) fn fresh_keys(&self, host: &str, password: &Secret) -> Vec<ScramKeys> {
        let iterations = self.settings.lock().iterations_of(host);
        self.note_count(host, iterations);
        HASHES
            .into_iter()
            .map(|hash| {
                let mut salt = [0; limits::SALT_BYTES];
                self.rng.lock().fill(&mut salt);
                self.derivations.fetch_add(1, Ordering::Relaxed);
                keys::derive(hash, password, &salt, iterations)
            })
            .collect()
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

    fn is_behind(&self, host: &str, row: &AccountRow) -> bool {
        let iterations = self.settings.lock().iterations_of(host);
        let lacks = |hash| lacks(row, hash, iterations);
        !row.unverified.is_empty() || HASHES.into_iter().any(lacks)
    }

    /// Names without an account will show this count too. Best effort: whoever asks for the keys tries again.
    fn note_count(&self, host: &str, count: u32) {
        if let Err(error) = self.counts.note(&self.rows, host, count) {
            log::warn!("count_not_noted host={host} error=\"{error}\"");
        }
    }

    /// Keys that no password matches, the same ones each time.
    pub(super) fn fake_keys(
        &self,
        host: &str,
        localpart: &str,
        hash: ScramHash,
    ) -> Result<ScramKeys, StoreError> {
        let made_from = |label: &str| {
            let text = format!("{host}\0{localpart}\0{hash:?}\0{label}");
            hmac(hash, self.secret.expose(), text.as_bytes())
        };
        let today = self.settings.lock().iterations_of(host);
        let name = (host, localpart);
        Ok(ScramKeys {
            hash,
            iterations: self.counts.pick(&self.rows, &self.secret, name, today)?,
            salt: made_from("salt").expose()[..limits::SALT_BYTES].to_vec(),
            stored_key: made_from("stored"),
            server_key: made_from("server"),
        })
    }
}

/// Keys to be made anew, the password being known to be right.
pub(super) struct Upgrade {
    host: Arc<str>,
    localpart: Arc<str>,
    account: AccountRef,
    password: Secret,
}

// A fake salt is a piece of the shortest digest.
const _: () = assert!(limits::SALT_BYTES <= 20);

/// The write that keeps this row.
pub(super) fn write_of(host: &str, localpart: &str, row: &AccountRow) -> Write {
    Write::Put {
        table: &ACCOUNT,
        key: name_key(host, localpart),
        value: row.encode().into(),
    }
}

/// Whether an account has no keys of a digest, or has them with fewer iterations.
fn lacks(row: &AccountRow, hash: ScramHash, iterations: u32) -> bool {
    let keys = row.keys_for(hash);
    keys.is_none_or(|keys| keys.iterations < iterations)
}

/// Whether a client may make keys of a digest: of the last that the server has made itself it may not, for what the client
/// makes nobody can verify.
fn may_take(row: &AccountRow, hash: ScramHash, iterations: u32) -> bool {
    let is_verified = |keys: &&ScramKeys| !row.unverified.contains(&keys.hash);
    let mut others = row.keys.iter().filter(|keys| keys.hash != hash);
    lacks(row, hash, iterations) && others.any(|keys| is_verified(&keys))
}

/// The keys that a password is compared with, the best that the server has made itself.
fn judging_keys(row: &AccountRow) -> Option<&ScramKeys> {
    let is_verified = |hash: &ScramHash| !row.unverified.contains(hash);
    let verified = HASHES.into_iter().filter(is_verified);
    let any = HASHES.into_iter();
    verified.chain(any).find_map(|hash| row.keys_for(hash))
}
