//! Passwords, and the keys by which one is known: compared, made, brought up to date, and made up for who has none. Refuses to
//! tell an unknown account from a wrong password: both cost the same reads and derivations and look the same (peers.md
//! row 12).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::accounts::Accounts;
use super::keys::{self, HASHES};
use crate::actor::auth::{AccountRef, AuthAnswer, ScramHash, ScramKeys, UpgradeTerms};
use crate::actor::rows::StoreError;
use crate::base::{Secret, limits};
use crate::im::credentials::{AccountRow, AccountState};
use crate::stream::sasl::digest::hmac;

impl Accounts {
    pub(super) fn scram_keys(&self, host: &str, localpart: &str, hash: ScramHash) -> AuthAnswer {
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
    pub(super) fn upgrades(
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
    pub(super) fn take_keys(
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
            hmac(hash, self.secret(), text.as_bytes())
        };
        let today = self.settings.lock().iterations_of(host);
        let name = (host, localpart);
        Ok(ScramKeys {
            hash,
            iterations: self
                .counts
                .pick(&self.rows, self.secret_key(), name, today)?,
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
