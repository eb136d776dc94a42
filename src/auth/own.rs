//! What users do to their own accounts, and what becomes of a wish for one (XEP-0077). Refuses to know elements,
//! streams and sessions.

use std::sync::Arc;

use super::accounts::Accounts;
use super::admin::{AccountError, Newcomer};
use super::keys;
use crate::actor::auth::{
    AccountAnswer, AccountAsk, AccountRef, AuthAnswer, Registration, RegistrationError,
};
use crate::base::{AccountId, Generation, Now, Secret};
use crate::config::RegistrationMode;
use crate::im::credentials::AccountState;

/// Each of these blocks on the store, and those with a password for some milliseconds of CPU.
impl Accounts {
    /// Does what a user asks for the own account.
    pub(super) fn change_own(&self, ask: &AccountAsk, now: Now) -> AuthAnswer {
        let done = match ask {
            AccountAsk::SetPassword {
                host,
                localpart,
                id,
                password,
            } => self.change_own_password(host, localpart, *id, password),
            AccountAsk::Remove {
                host,
                localpart,
                id,
            } => self.remove_own(host, localpart, *id, now),
        };
        match done {
            Ok(account) => AuthAnswer::Own(AccountAnswer::Done(account)),
            Err(AccountError::Unknown) => AuthAnswer::Own(AccountAnswer::Gone),
            Err(AccountError::PasswordUnfit) => AuthAnswer::Own(AccountAnswer::PasswordUnfit),
            Err(error) => {
                log::error!("own_account_unchanged error=\"{error}\"");
                AuthAnswer::Unavailable
            }
        }
    }

    fn change_own_password(
        &self,
        host: &str,
        localpart: &str,
        id: AccountId,
        password: &Secret,
    ) -> Result<AccountRef, AccountError> {
        let password = keys::prepare_password(password).ok_or(AccountError::PasswordUnfit)?;
        let fresh = self.fresh_keys(host, &password);
        let _writing = self.writing.lock();
        let row = self.load(host, localpart)?;
        // Another account of the name, or one whose operator has closed it meanwhile, is not theirs to change.
        let mut row = row
            .filter(|row| row.account.id == id && row.state == AccountState::Enabled)
            .ok_or(AccountError::Unknown)?;
        row.keys = fresh;
        row.account.generation = Generation(row.account.generation.0.wrapping_add(1));
        self.store(host, localpart, &row)?;
        Ok(row.account)
    }

    fn remove_own(
        &self,
        host: &str,
        localpart: &str,
        id: AccountId,
        now: Now,
    ) -> Result<AccountRef, AccountError> {
        let _writing = self.writing.lock();
        let row = self.load(host, localpart)?;
        let row = row
            .filter(|row| row.account.id == id)
            .ok_or(AccountError::Unknown)?;
        self.erase(host, localpart, id, now)?;
        Ok(row.account)
    }

    /// Makes an account for somebody who has none, if the host allows it now. Nothing is derived before that is
    /// known.
    pub(super) fn register(
        &self,
        wish: &Registration,
        now: Now,
    ) -> Result<AccountId, RegistrationError> {
        let settings = Arc::clone(&*self.settings.lock());
        let option = settings.registration.get(&wish.host);
        // A reload may have closed the door meanwhile.
        let Some(option) = option.filter(|option| option.mode != RegistrationMode::Off) else {
            return Err(RegistrationError::Unavailable);
        };
        if !self
            .registrations
            .lock()
            .may_try(&wish.host, wish.prefix, option, now)
        {
            return Err(RegistrationError::TooMany);
        }
        if keys::prepare_password(&wish.password).is_none() {
            return Err(RegistrationError::PasswordUnfit);
        }
        self.check_free(&wish.host, &wish.localpart, now)
            .map_err(refused)?;
        self.registrations
            .lock()
            .made(&wish.host, wish.prefix, option, now);
        let newcomer = Newcomer {
            state: match option.approval {
                true => AccountState::Waiting,
                false => AccountState::Enabled,
            },
            fields: &wish.fields,
        };
        let name = (&*wish.host, &*wish.localpart);
        let made = self.make(name, &wish.password, newcomer, now);
        made.map(|account| account.id).map_err(refused)
    }
}

fn refused(error: AccountError) -> RegistrationError {
    match error {
        AccountError::Exists | AccountError::Tombstoned { .. } => RegistrationError::Conflict,
        AccountError::PasswordUnfit => RegistrationError::PasswordUnfit,
        AccountError::Unknown => RegistrationError::Unavailable,
        AccountError::Store(error) => {
            log::error!("registration_failed error=\"{error}\"");
            RegistrationError::Unavailable
        }
    }
}
