//! What an operator does to accounts, on the running server and on a stopped one. Refuses to know commands,
//! sockets and sessions: whoever calls ends the sessions of what was removed, disabled or changed.

use std::fmt;

use super::accounts::{Accounts, write_of};
use super::keys;
use super::looks::Looks;
use super::purge::mark;
use crate::actor::auth::AccountRef;
use crate::actor::rows::{RowKey, RowRange, StoreError, Write};
use crate::base::{AccountId, Generation, Now, Secret, limits};
use crate::im::credentials::{
    ACCOUNT, AccountRow, AccountState, REGISTRATION, TOMBSTONE, TombstoneRow, localpart_of,
    name_key, names_after, registration_key, registration_value,
};
use crate::im::invitation::{RESERVATION, is_reserved};
use crate::im::looks;
use crate::im::waiting;
use crate::jid::Jid;

/// Why a change to an account was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountError {
    /// The name is taken.
    Exists,
    /// The password is empty, too long, or holds characters that no password may.
    PasswordUnfit,
    /// The name is kept for somebody who was invited.
    Reserved,
    /// The store could not be asked.
    Store(StoreError),
    /// The name belonged to a removed account and is given again only later.
    Tombstoned { until_wall_ms: u64 },
    /// As many invitations are open as may be.
    TooManyInvitations,
    /// There is no such account.
    Unknown,
}

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccountError::Exists => f.write_str("the account exists already"),
            AccountError::PasswordUnfit => f.write_str(
                "the password is empty, too long, or holds characters that no password may hold",
            ),
            AccountError::Reserved => f.write_str("the name is kept for somebody who was invited"),
            AccountError::Store(error) => error.fmt(f),
            AccountError::Tombstoned { .. } => {
                f.write_str("the name belonged to a removed account and is not free yet")
            }
            AccountError::TooManyInvitations => {
                f.write_str("too many invitations of this account are open")
            }
            AccountError::Unknown => f.write_str("there is no such account"),
        }
    }
}

impl From<StoreError> for AccountError {
    fn from(error: StoreError) -> AccountError {
        AccountError::Store(error)
    }
}

/// One account in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSummary {
    pub localpart: String,
    pub account: AccountRef,
    pub state: AccountState,
}

/// How an account is made.
pub(super) struct Newcomer<'a> {
    pub state: AccountState,
    pub fields: &'a [(String, String)],
    /// The token by which they come.
    pub invitation: Option<&'a Secret>,
    /// Whether their name may look like another's.
    pub looks: Looks,
}

/// Names are prepared (RFC 7622 section 3.3) before they come here. Each of these blocks on the store, and
/// those with a password for some milliseconds of CPU.
impl Accounts {
    /// Makes an account; a tombstone whose time is over goes.
    ///
    /// # Errors
    /// `Exists`, `PasswordUnfit`, `Tombstoned`, `Store`.
    pub fn add(
        &self,
        host: &str,
        localpart: &str,
        password: &Secret,
        now: Now,
    ) -> Result<AccountRef, AccountError> {
        let newcomer = Newcomer {
            state: AccountState::Enabled,
            fields: &[],
            invitation: None,
            looks: Looks::Any,
        };
        self.make((host, localpart), password, newcomer, now)
    }

    /// The same in any state.
    pub(super) fn make(
        &self,
        (host, localpart): (&str, &str),
        password: &Secret,
        newcomer: Newcomer<'_>,
        now: Now,
    ) -> Result<AccountRef, AccountError> {
        let password = keys::prepare_password(password).ok_or(AccountError::PasswordUnfit)?;
        let fresh = self.fresh_keys(host, &password);
        let _writing = self.writing.lock();
        let found = match newcomer.invitation {
            None => None,
            // Used up meanwhile by somebody else.
            Some(token) => Some(
                self.find_invitation(host, token)?
                    .ok_or(AccountError::Unknown)?,
            ),
        };
        let invitation = found.as_ref().map(|found| &found.key);
        self.check_free(host, localpart, invitation, now)?;
        if newcomer.looks == Looks::Own {
            self.check_looks(host, localpart)?;
        }
        let key = name_key(host, localpart);
        let row = AccountRow {
            account: AccountRef {
                id: (self.rows.next_id)()?,
                generation: Generation::default(),
            },
            state: newcomer.state,
            keys: fresh,
            unverified: Vec::new(),
        };
        let mut writes = vec![
            Write::Put {
                table: &ACCOUNT,
                key: key.clone(),
                value: row.encode().into(),
            },
            Write::Delete {
                table: &TOMBSTONE,
                key,
            },
            looks::put(host, localpart),
        ];
        if let Some(found) = found {
            let jid = Jid::from_parts(Some(localpart), host, None);
            let jid = jid.map_err(|_| AccountError::Unknown)?;
            writes.extend(self.writes_of_newcomer(found, row.account.id, &jid, now));
        }
        if !newcomer.fields.is_empty() {
            writes.push(Write::Put {
                table: &REGISTRATION,
                key: registration_key(row.account.id),
                value: registration_value(newcomer.fields).into(),
            });
        }
        if row.state == AccountState::Waiting {
            writes.push(waiting::put(host, localpart, now.wall_ms));
        }
        (self.rows.save)(writes)?;
        Ok(row.account)
    }

    /// Whether a name can be given to somebody, who comes by this invitation if by any.
    ///
    /// # Errors
    /// `Exists`, `Tombstoned`, `Store`.
    pub(super) fn check_free(
        &self,
        host: &str,
        localpart: &str,
        invitation: Option<&RowKey>,
        now: Now,
    ) -> Result<(), AccountError> {
        let key = name_key(host, localpart);
        if (self.rows.row)(&ACCOUNT, &key)?.is_some() {
            return Err(AccountError::Exists);
        }
        if let Some(value) = (self.rows.row)(&RESERVATION, &key)?
            && is_reserved(&value, invitation, now)
        {
            return Err(AccountError::Reserved);
        }
        let Some(bytes) = (self.rows.row)(&TOMBSTONE, &key)? else {
            return Ok(());
        };
        let tombstone = TombstoneRow::decode(&bytes).map_err(|error| {
            log::error!("tombstone_unreadable account={localpart}@{host} error=\"{error}\"");
            StoreError::Broken
        })?;
        match tombstone.until_wall_ms {
            until_wall_ms if now.wall_ms < until_wall_ms => {
                Err(AccountError::Tombstoned { until_wall_ms })
            }
            _ => Ok(()),
        }
    }

    /// Removes an account and keeps its name from being taken for [`AuthSettings::tombstone_ms`](super::AuthSettings::tombstone_ms).
    /// Answers the number whose other rows are now nobody's; they are the caller's to purge. Until then the number
    /// stands in [`PURGE`].
    ///
    /// # Errors
    /// `Unknown`, `Store`.
    pub fn remove(&self, host: &str, localpart: &str, now: Now) -> Result<AccountId, AccountError> {
        let _writing = self.writing.lock();
        let row = self.load(host, localpart)?.ok_or(AccountError::Unknown)?;
        match row.state {
            // Nobody was ever there: who is refused must not be able to use names up.
            AccountState::Waiting => self.erase_for(host, localpart, row.account.id, 0, now)?,
            _ => self.erase(host, localpart, row.account.id, now)?,
        }
        Ok(row.account.id)
    }

    /// The same for who waits for an operator, and waits still: who was let in meanwhile stays.
    ///
    /// # Errors
    /// As [`Accounts::remove`]; `Unknown`, too, where it does not wait.
    pub(super) fn remove_waiting(
        &self,
        host: &str,
        localpart: &str,
        now: Now,
    ) -> Result<AccountId, AccountError> {
        let _writing = self.writing.lock();
        let row = self.load(host, localpart)?;
        let row = row.filter(|row| row.state == AccountState::Waiting);
        let id = row.ok_or(AccountError::Unknown)?.account.id;
        self.erase_for(host, localpart, id, 0, now)?;
        Ok(id)
    }

    /// The same for an account that was read under the lock.
    pub(super) fn erase(
        &self,
        host: &str,
        localpart: &str,
        id: AccountId,
        now: Now,
    ) -> Result<(), StoreError> {
        let tombstone_ms = self.settings.lock().tombstone_ms;
        self.erase_for(host, localpart, id, tombstone_ms, now)
    }

    fn erase_for(
        &self,
        host: &str,
        localpart: &str,
        id: AccountId,
        tombstone_ms: u64,
        now: Now,
    ) -> Result<(), StoreError> {
        let tombstone = TombstoneRow {
            until_wall_ms: now.wall_ms.saturating_add(tombstone_ms),
            id,
        };
        let key = name_key(host, localpart);
        (self.rows.save_in_reserve)(vec![
            Write::Delete {
                table: &ACCOUNT,
                key: key.clone(),
            },
            Write::Put {
                table: &TOMBSTONE,
                key,
                value: tombstone.encode().into(),
            },
            looks::delete(host, localpart),
            waiting::delete(host, localpart),
            // Whatever comes of the purge, the next start knows of it.
            mark(
                id,
                Jid::from_parts(Some(localpart), host, None).ok().as_ref(),
            ),
        ])
    }

    /// Frees the name of a removed account before its time: the operator knows that it is the same person.
    ///
    /// # Errors
    /// `Store`. A name that was free is no error.
    pub fn release_name(&self, host: &str, localpart: &str) -> Result<(), AccountError> {
        let _writing = self.writing.lock();
        (self.rows.save)(vec![Write::Delete {
            table: &TOMBSTONE,
            key: name_key(host, localpart),
        }])?;
        Ok(())
    }

    /// Changes the password, and with the generation ends every token made under the old one.
    ///
    /// # Errors
    /// `PasswordUnfit`, `Unknown`, `Store`.
    pub fn set_password(
        &self,
        host: &str,
        localpart: &str,
        password: &Secret,
    ) -> Result<AccountRef, AccountError> {
        let password = keys::prepare_password(password).ok_or(AccountError::PasswordUnfit)?;
        let fresh = self.fresh_keys(host, &password);
        self.change(host, localpart, |row| {
            (row.keys, row.unverified) = (fresh, Vec::new());
        })
    }

    /// Ends every token of an account (XEP-0484) by a new generation; the password stays.
    ///
    /// # Errors
    /// `Unknown`, `Store`.
    pub fn revoke(&self, host: &str, localpart: &str) -> Result<AccountRef, AccountError> {
        self.change(host, localpart, |_| {})
    }

    /// Lets an account log in again.
    ///
    /// # Errors
    /// `Unknown`, `Store`.
    pub fn enable(&self, host: &str, localpart: &str) -> Result<AccountRef, AccountError> {
        self.set_state(host, localpart, AccountState::Enabled)
    }

    /// Keeps an account from logging in; everything that it has stays.
    ///
    /// # Errors
    /// `Unknown`, `Store`.
    pub fn disable(&self, host: &str, localpart: &str) -> Result<AccountRef, AccountError> {
        self.set_state(host, localpart, AccountState::Disabled)
    }

    /// What somebody said of themselves when they registered, as lines.
    ///
    /// # Errors
    /// `Store`.
    pub fn registration(&self, account: AccountId) -> Result<Vec<String>, AccountError> {
        let value = (self.rows.row)(&REGISTRATION, &registration_key(account))?;
        let text = String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned();
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The accounts of a host by name, those behind `after`, and whether more follow. Rows that cannot be
    /// read are logged and left out.
    ///
    /// # Errors
    /// `Store`.
    pub fn list(
        &self,
        host: &str,
        after: Option<&str>,
        count_max: usize,
    ) -> Result<(Vec<AccountSummary>, bool), AccountError> {
        let range: RowRange = names_after(host, after, count_max, limits::RANGE_BYTES_MAX);
        let (rows, more) = (self.rows.range)(&ACCOUNT, &range)?;
        let mut accounts = Vec::with_capacity(rows.len());
        for row in rows {
            match (localpart_of(host, &row.key), AccountRow::decode(&row.value)) {
                (Some(localpart), Ok(account)) => accounts.push(AccountSummary {
                    localpart,
                    account: account.account,
                    state: account.state,
                }),
                _ => log::error!("account_unreadable host={host} key={:?}", row.key),
            }
        }
        Ok((accounts, more))
    }

    /// Whoever is in this state stays as they are: of another generation their sessions, which go on, could not change their
    /// password any more.
    fn set_state(
        &self,
        host: &str,
        localpart: &str,
        state: AccountState,
    ) -> Result<AccountRef, AccountError> {
        let _writing = self.writing.lock();
        let mut row = self.load(host, localpart)?.ok_or(AccountError::Unknown)?;
        if row.state == state {
            return Ok(row.account);
        }
        let before = std::mem::replace(&mut row.state, state);
        row.account.generation = row.account.generation.next();
        let mut writes = vec![write_of(host, localpart, &row)];
        if before == AccountState::Waiting {
            writes.push(waiting::delete(host, localpart));
        }
        (self.rows.save_in_reserve)(writes)?;
        Ok(row.account)
    }

    /// Reads, edits and writes one row, with a new generation.
    fn change(
        &self,
        host: &str,
        localpart: &str,
        edit: impl FnOnce(&mut AccountRow),
    ) -> Result<AccountRef, AccountError> {
        let _writing = self.writing.lock();
        let mut row = self.load(host, localpart)?.ok_or(AccountError::Unknown)?;
        edit(&mut row);
        row.account.generation = row.account.generation.next();
        (self.rows.save_in_reserve)(vec![write_of(host, localpart, &row)])?;
        Ok(row.account)
    }
}
