//! What users do to their own accounts, and what becomes of a wish for one (XEP-0077). Refuses to know elements,
//! streams and sessions.

use std::sync::Arc;

use super::accounts::Accounts;
use super::admin::{AccountError, Newcomer};
use super::invitations::InviteWish;
use super::keys;
use super::looks::Looks;
use super::registrations::Guest;
use crate::actor::auth::{
    AccountAnswer, AccountAsk, AccountRef, AuthAnswer, AuthAsk, Registered, Registration,
    RegistrationError,
};
use crate::actor::rows::RowKey;
use crate::base::{AccountId, AddressPrefix, Now, Secret, limits};
use crate::config::RegistrationMode;
use crate::im::credentials::{AccountRow, AccountState};
use crate::jid::Jid;

/// Each of these blocks on the store, and those with a password for some milliseconds of CPU.
impl Accounts {
    /// Does what a user asks for the own account.
    pub(super) fn change_own(
        &self,
        ask: &AccountAsk,
        prefix: Option<AddressPrefix>,
        now: Now,
    ) -> AuthAnswer {
        let done = match ask {
            AccountAsk::SetPassword {
                host,
                localpart,
                account,
                password,
            } => self.change_own_password((host, localpart), *account, password, prefix, now),
            AccountAsk::Remove {
                host,
                localpart,
                account,
            } => self
                .remove_own(host, localpart, *account, now)
                .map(AccountAnswer::Done),
            AccountAsk::Invite {
                host,
                localpart,
                account,
                name,
            } => self.invite_own((host, localpart), *account, name.clone(), prefix, now),
            AccountAsk::Redeem {
                invitation,
                contact,
            } => self.redeem(invitation, contact, now),
            AccountAsk::Clients { id, .. } => {
                let clients = self.clients(*id, now).map_err(AccountError::Store);
                clients.map(AccountAnswer::Clients)
            }
            AccountAsk::Revoke { .. } => {
                return self.answer(AuthAsk::Own(ask.clone(), prefix), now).0;
            }
        };
        match done {
            Ok(answer) => AuthAnswer::Own(answer),
            Err(AccountError::TooManyInvitations) => AuthAnswer::Own(AccountAnswer::TooMany),
            Err(
                AccountError::Exists | AccountError::Reserved | AccountError::Tombstoned { .. },
            ) => AuthAnswer::Own(AccountAnswer::NameTaken),
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
        (host, localpart): (&str, &str),
        account: AccountRef,
        password: &Secret,
        prefix: Option<AddressPrefix>,
        now: Now,
    ) -> Result<AccountAnswer, AccountError> {
        let password = keys::prepare_password(password).ok_or(AccountError::PasswordUnfit)?;
        self.load_own(host, localpart, account)?;
        // Only what costs something counts: each as much as many logins.
        if !self.password_changes.lock().may(account.id, prefix, now) {
            return Ok(AccountAnswer::TooMany);
        }
        let fresh = self.fresh_keys(host, &password);
        let _writing = self.writing.lock();
        let mut row = self.load_own(host, localpart, account)?;
        (row.keys, row.unverified) = (fresh, Vec::new());
        row.account.generation = row.account.generation.next();
        self.store(host, localpart, &row)?;
        Ok(AccountAnswer::Done(row.account))
    }

    /// The row of who asks. Another account of the name is not theirs to change, nor one whose operator has closed it
    /// meanwhile: it may be evidence. And of another generation it is if somebody else has changed the password, or thrown
    /// out who asks: theirs is the last word.
    fn load_own(
        &self,
        host: &str,
        localpart: &str,
        account: AccountRef,
    ) -> Result<AccountRow, AccountError> {
        let row = self.load(host, localpart)?;
        let is_own =
            |row: &AccountRow| row.account == account && row.state == AccountState::Enabled;
        row.filter(is_own).ok_or(AccountError::Unknown)
    }

    fn remove_own(
        &self,
        host: &str,
        localpart: &str,
        account: AccountRef,
        now: Now,
    ) -> Result<AccountRef, AccountError> {
        let _writing = self.writing.lock();
        let row = self.load_own(host, localpart, account)?;
        self.erase(host, localpart, account.id, now)?;
        Ok(row.account)
    }

    /// A user invites somebody to be a contact.
    fn invite_own(
        &self,
        (host, localpart): (&Arc<str>, &str),
        account: AccountRef,
        name: Option<String>,
        prefix: Option<AddressPrefix>,
        now: Now,
    ) -> Result<AccountAnswer, AccountError> {
        self.load_own(host, localpart, account)?;
        let names_one = name.is_some();
        if names_one && let Some(refused) = self.refuse_name(host, account.id, prefix, now)? {
            return Ok(refused);
        }
        let settings = Arc::clone(&*self.settings.lock());
        let option = settings.registration.get(host);
        let registers = option.is_some_and(|option| option.mode != RegistrationMode::Off);
        let expires_in_ms = option.map_or(limits::INVITATION_EXPIRY_MS, |option| {
            option.invitation_expiry.as_ms()
        });
        let contact = Jid::from_parts(Some(localpart), host, None);
        let wish = InviteWish {
            host: host.to_string(),
            contact: Some(contact.map_err(|_| AccountError::Unknown)?),
            localpart: name,
            uses: 1,
            expires_in_ms,
            registers,
        };
        let invited = self.invite(&wish, now);
        let is_taken = matches!(
            invited,
            Err(AccountError::Exists | AccountError::Reserved | AccountError::Tombstoned { .. })
        );
        if names_one && is_taken {
            self.own_tries.lock().add(account.id, now);
        }
        let invited = invited?;
        Ok(AccountAnswer::Invited {
            token: invited.token,
            expires_wall_ms: invited.expires_wall_ms,
            registers,
        })
    }

    /// Why a user may not ask for a name for somebody now: it is not for finding out who is here, and so it is bounded as
    /// registrations are; nor for keeping names from others.
    fn refuse_name(
        &self,
        host: &Arc<str>,
        account: AccountId,
        prefix: Option<AddressPrefix>,
        now: Now,
    ) -> Result<Option<AccountAnswer>, AccountError> {
        if self.own_tries.lock().count(&account, now) >= limits::INVITATION_NAME_TRIES {
            return Ok(Some(AccountAnswer::TooManyNames));
        }
        let settings = Arc::clone(&*self.settings.lock());
        let option = settings.registration.get(host);
        if let (Some(option), Some(prefix)) = (option, prefix)
            && !self.registrations.lock().may_try(host, prefix, option, now)
        {
            return Ok(Some(AccountAnswer::TooManyNames));
        }
        let kept = self.names_kept_by(account, now)?;
        Ok((kept >= limits::INVITATION_NAMES_MAX).then_some(AccountAnswer::TooMany))
    }

    /// Makes an account for somebody who has none, if the host allows it now. Nothing is derived before that is
    /// known.
    pub(super) fn register(
        &self,
        wish: &Registration,
        now: Now,
    ) -> Result<Registered, RegistrationError> {
        let settings = Arc::clone(&*self.settings.lock());
        let option = settings.registration.get(&wish.host);
        // A reload may have closed the door meanwhile.
        let Some(option) = option.filter(|option| option.mode != RegistrationMode::Off) else {
            return Err(RegistrationError::Unavailable);
        };
        if wish.token.is_none() && option.mode == RegistrationMode::Invited {
            return Err(RegistrationError::NotInvited);
        }
        // An invitation is no leave to ask for one name after the other.
        let mut counted = self.registrations.lock();
        if !counted.may_try(&wish.host, wish.prefix, option, now) {
            return Err(RegistrationError::TooMany);
        }
        drop(counted);
        if keys::prepare_password(&wish.password).is_none() {
            return Err(RegistrationError::PasswordUnfit);
        }
        let mut key = None;
        let mut tells = false;
        let mut inviter = None;
        let mut is_named = false;
        if let Some(token) = &wish.token {
            let found = self.find_invitation(&wish.host, token);
            let found = found.map_err(|error| refused(AccountError::Store(error)))?;
            let found = found.ok_or(RegistrationError::NotInvited)?;
            let name = found.invitation.localpart.as_deref();
            if name.is_some_and(|name| name != &*wish.localpart) {
                return Err(RegistrationError::OtherName);
            }
            is_named = name.is_some();
            tells = found.invitation.contact.is_some();
            inviter = Some(found.inviter);
            key = Some(found.key);
        }
        // Whom the operator invites, the operator has let in, and wants on the host. Users invite without end.
        let is_operators = inviter == Some(None);
        let guest = match is_operators {
            true => Guest::OfOperator,
            false => Guest::OfHost,
        };
        let mut counted = self.registrations.lock();
        let has_room = counted.reserve(&wish.host, wish.prefix, option, guest, now);
        drop(counted);
        if !has_room {
            return Err(RegistrationError::TooMany);
        }
        // An operator who names somebody knows whom.
        let looks = match option.lookalikes || is_operators && is_named {
            true => Looks::Any,
            false => Looks::Own,
        };
        let newcomer = Newcomer {
            state: match option.approval && !is_operators {
                true => AccountState::Waiting,
                false => AccountState::Enabled,
            },
            fields: &wish.fields,
            invitation: wish.token.as_ref(),
            looks,
        };
        let name = (&*wish.host, &*wish.localpart);
        let free = self.check_name(wish, key.as_ref(), looks, now);
        let made = free.and_then(|()| {
            let has_to_wait = newcomer.state == AccountState::Waiting;
            let may_wait = !has_to_wait
                || self
                    .may_wait(&wish.host, now)
                    .map_err(|error| refused(error.into()))?;
            if !may_wait {
                return Err(RegistrationError::TooMany);
            }
            let made = self.make(name, &wish.password, newcomer, now);
            made.map_err(refused)
        });
        if made.is_err() {
            let mut counted = self.registrations.lock();
            counted.give_back(&wish.host, wish.prefix, option, guest, now);
        }
        let id = made?.id;
        Ok(Registered { id, tells })
    }
}

/// What a token is not good for.
impl Accounts {
    /// Whether the name can be given. By one invitation so many are asked for that cannot: it is not for finding out who is
    /// here.
    fn check_name(
        &self,
        wish: &Registration,
        invitation: Option<&RowKey>,
        looks: Looks,
        now: Now,
    ) -> Result<(), RegistrationError> {
        if let Some(key) = invitation
            && self.token_tries.lock().count(key, now) >= limits::INVITATION_NAME_TRIES
        {
            return Err(RegistrationError::TooMany);
        }
        let free = self.check_free(&wish.host, &wish.localpart, invitation, now);
        let free = match looks {
            Looks::Any => free,
            // XEP-0077 section 3.1: "the desired username is already in use by another entity", as people read it.
            Looks::Own => free.and_then(|()| self.check_looks(&wish.host, &wish.localpart)),
        };
        let free = free.map_err(refused);
        if let (Err(RegistrationError::Conflict), Some(key)) = (&free, invitation) {
            self.token_tries.lock().add(key.clone(), now);
        }
        free
    }

    /// Somebody shows a token. Wrong ones count as attempts of their address.
    pub(super) fn show_invitation(
        &self,
        host: &Arc<str>,
        token: &Secret,
        prefix: AddressPrefix,
        now: Now,
    ) -> AuthAnswer {
        let settings = Arc::clone(&*self.settings.lock());
        let Some(option) = settings.registration.get(host) else {
            return AuthAnswer::Invited(false);
        };
        let may_try = self.registrations.lock().may_try(host, prefix, option, now);
        if !may_try {
            return AuthAnswer::Registered(Err(RegistrationError::TooMany));
        }
        match self.admits(host, token, now) {
            Ok(admits) => AuthAnswer::Invited(admits),
            Err(_) => AuthAnswer::Unavailable,
        }
    }
}

fn refused(error: AccountError) -> RegistrationError {
    match error {
        AccountError::Exists | AccountError::Reserved | AccountError::Tombstoned { .. } => {
            RegistrationError::Conflict
        }
        AccountError::PasswordUnfit => RegistrationError::PasswordUnfit,
        AccountError::Unknown => RegistrationError::NotInvited,
        AccountError::TooManyInvitations => RegistrationError::TooMany,
        AccountError::Store(error) => {
            log::error!("registration_failed error=\"{error}\"");
            RegistrationError::Unavailable
        }
    }
}
