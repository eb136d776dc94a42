//! Accounts whose users a directory knows: only number, generation and state are kept here. Refuses to know how a
//! directory is asked.

use super::accounts::{Accounts, write_of};
use super::keys;
use super::seen::seen_write;
use crate::actor::auth::{AccountRef, KeyShape, ScramHash, ScramKeys};
use crate::actor::rows::{Durability, Export, RowKey, Slices, StoreError, Table, Write};
use crate::base::{AccountId, AddressPrefix, Generation, Now, Secret};
use crate::im::credentials::{ACCOUNT, AccountRow, AccountState, name_key};
use crate::im::seen::{PasswordStamp, Seen};
use crate::stream::sasl::digest::hmac;

/// Which entry of a directory an account is of.
pub static ENTRY: Table = Table {
    name: "entry",
    durability: Durability::BeforeReply,
    // Says nothing where the directory is another.
    export: Export::Never,
    slices: Slices::Whole,
    about: "The entry of a directory that an account is of: what no other entry ever has. Key: account id.",
};

/// What becomes of somebody whom a directory knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The name was somebody else's, whose account is still here.
    AnotherEntry,
    /// The operator has closed the account.
    Closed,
    In(AccountRef),
}

/// Each of these blocks on the store.
impl Accounts {
    /// The account of this name, made if there is none. `unique` is what no other entry of the directory ever has: the
    /// account of one entry is never given to another, nor to one of which that cannot be read (empty); where nobody asks for it
    /// (none) everybody is taken for the same. `stamp` is what the entry says of its password.
    ///
    /// # Errors
    /// The store's.
    pub fn admit_known(
        &self,
        host: &str,
        localpart: &str,
        unique: Option<&[u8]>,
        stamp: PasswordStamp,
    ) -> Result<Known, StoreError> {
        if let Some(row) = self.load(host, localpart)? {
            return self.judge_known(&row, unique);
        }
        let _writing = self.writing.lock();
        // Another thread may have been faster.
        if let Some(row) = self.load(host, localpart)? {
            return self.judge_known(&row, unique);
        }
        let row = AccountRow {
            account: AccountRef {
                id: (self.rows.next_id)()?,
                generation: Generation::default(),
            },
            state: AccountState::Enabled,
            keys: Vec::new(),
            unverified: Vec::new(),
        };
        let mut writes = vec![Write::Put {
            table: &ACCOUNT,
            key: name_key(host, localpart),
            value: row.encode().into(),
        }];
        writes.push(seen_write(
            row.account.id,
            &Seen {
                is_gone: false,
                stamp: Some(stamp),
            },
        ));
        let readable = unique.filter(|unique| !unique.is_empty());
        writes.extend(readable.map(|unique| entry_write(row.account.id, unique)));
        (self.rows.save)(writes)?;
        Ok(Known::In(row.account))
    }

    fn judge_known(&self, row: &AccountRow, unique: Option<&[u8]>) -> Result<Known, StoreError> {
        if row.state != AccountState::Enabled {
            return Ok(Known::Closed);
        }
        let Some(unique) = unique else {
            return Ok(Known::In(row.account));
        };
        match (self.rows.row)(&ENTRY, &entry_key(row.account.id))? {
            Some(known) if known == unique => Ok(Known::In(row.account)),
            Some(_) => Ok(Known::AnotherEntry),
            None if unique.is_empty() => Ok(Known::In(row.account)),
            // It is from before the directory was, or from before it said so.
            None => {
                (self.rows.save)(vec![entry_write(row.account.id, unique)])?;
                Ok(Known::In(row.account))
            }
        }
    }

    /// The row of an account as it is stored.
    ///
    /// # Errors
    /// The store's.
    pub fn account_row(&self, key: &RowKey) -> Result<Option<Vec<u8>>, StoreError> {
        (self.rows.row)(&ACCOUNT, key)
    }

    /// Keys that no password matches, the same ones each time, which look like those of the host's directory.
    ///
    /// # Errors
    /// The store's.
    pub fn decoy_keys(
        &self,
        host: &str,
        localpart: &str,
        hash: ScramHash,
    ) -> Result<ScramKeys, StoreError> {
        let mut keys = self.fake_keys(host, localpart, hash)?;
        let name = (host, localpart);
        let shape = self
            .shapes
            .pick(&self.rows, self.secret_key(), name, hash)?;
        if let Some(shape) = shape {
            keys.iterations = shape.iterations;
            // The beginning stays as it was before anything was known of the directory's keys.
            let mut block = 0_u8;
            while keys.salt.len() < usize::from(shape.salt_bytes) {
                let text = format!("{host}\0{localpart}\0{hash:?}\0salt\0{block}");
                let more = hmac(hash, self.secret(), text.as_bytes());
                keys.salt.extend_from_slice(more.expose());
                block += 1;
            }
            keys.salt.truncate(usize::from(shape.salt_bytes));
        }
        Ok(keys)
    }

    /// Keys in the directory of a host look like this: from now on decoys do, too.
    ///
    /// # Errors
    /// The store's.
    pub fn note_shape(&self, host: &str, shape: KeyShape) -> Result<(), StoreError> {
        self.shapes.note(&self.rows, host, shape)
    }

    /// New keys of a prepared password for a directory, which look like this.
    pub fn keys_for_directory(&self, password: &Secret, shape: KeyShape) -> ScramKeys {
        let mut salt = vec![0; usize::from(shape.salt_bytes)];
        self.fill(&mut salt);
        keys::derive(shape.hash, password, &salt, shape.iterations)
    }

    /// Counts a change of a password; whether it may be made.
    pub fn may_change_password(
        &self,
        id: AccountId,
        prefix: Option<AddressPrefix>,
        now: Now,
    ) -> bool {
        self.password_changes.lock().may(id, prefix, now)
    }

    /// The account's password was changed elsewhere, at the wish of its user: what was made under the old one ends. None if
    /// there is no such account any more, or it is closed. `stamp` is what the entry says of the new password.
    ///
    /// # Errors
    /// The store's.
    pub fn renew_known(
        &self,
        host: &str,
        localpart: &str,
        id: AccountId,
        stamp: Option<PasswordStamp>,
    ) -> Result<Option<AccountRef>, StoreError> {
        let _writing = self.writing.lock();
        let row = self.load(host, localpart)?;
        let row = row.filter(|row| row.account.id == id && row.state == AccountState::Enabled);
        let Some(mut row) = row else {
            return Ok(None);
        };
        row.account.generation = row.account.generation.next();
        let mut writes = vec![write_of(host, localpart, &row)];
        writes.extend(stamp.map(|stamp| {
            let stamp = Some(stamp);
            seen_write(
                id,
                &Seen {
                    is_gone: false,
                    stamp,
                },
            )
        }));
        (self.rows.save)(writes)?;
        Ok(Some(row.account))
    }
}

/// A password as SASL means it; see [`keys::prepare_password`].
pub fn prepared(password: &Secret) -> Option<Secret> {
    keys::prepare_password(password)
}

pub(super) fn entry_key(account: AccountId) -> RowKey {
    RowKey::new(&account.0.to_be_bytes())
}

fn entry_write(account: AccountId, unique: &[u8]) -> Write {
    Write::Put {
        table: &ENTRY,
        key: entry_key(account),
        value: unique.into(),
    }
}
