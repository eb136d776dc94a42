//! Passwords that are changed: by the account's user, here; by others, in the directory, which is heard of or seen. Refuses
//! to know how.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::DirectoryError;
use super::host::{Question, Shared, Wish};
use super::person::{self, Found, Person};
use super::pool::{BindOutcome, Depth, Link, Query, Secrets};
use super::{Admission, keys, verdict};
use crate::actor::auth::{AccountAnswer, AccountRef, KeyShape, ScramHash};
use crate::actor::rows::StoreError;
use crate::base::{AddressPrefix, Secret, limits};
use crate::config::{DirectoryPasswordChange, DirectoryPreset};
use crate::im::seen::{Leaver, Met, Parting, PasswordStamp, Sight};

impl Shared {
    /// An entry was found for a name: sessions and tokens that were made under another password end.
    ///
    /// # Errors
    /// The store's, as one of the directory's.
    pub fn meet(&self, name: &str, sight: &Sight<'_>) -> Result<Met, DirectoryError> {
        let mut sight = *sight;
        let is_replaced = |stamp| self.own_changes.is_replaced(name, &stamp, Instant::now());
        // Whoever makes the change sees to what it ends. Who saw the entry before says nothing new.
        if self.own_changes.meets(name) || sight.stamp.is_some_and(is_replaced) {
            sight.stamp = None;
        }
        let met = (self.desk.meet)(&self.host, name, &sight).map_err(of_store)?;
        if let Met::Changed(account) = met {
            log::info!("directory_password_changed account={name}@{}", self.host);
            self.end_sessions(name, Some(account));
        }
        Ok(met)
    }

    /// What it would come to if somebody was let go.
    ///
    /// # Errors
    /// The store's, as one of the directory's.
    pub fn parting(&self, name: &str, leaver: &Leaver<'_>) -> Result<Parting, DirectoryError> {
        (self.desk.parting)(&self.host, name, leaver).map_err(of_store)
    }

    /// Somebody is gone; what that comes to.
    ///
    /// # Errors
    /// The store's, as one of the directory's.
    pub fn note_gone(&self, name: &str, leaver: &Leaver<'_>) -> Result<Parting, DirectoryError> {
        (self.desk.let_go)(&self.host, name, leaver).map_err(of_store)
    }

    /// Changes the password of the account's user.
    ///
    /// # Errors
    /// The directory's; the store's, as one of them.
    pub fn set_password(
        &self,
        link: &mut Link,
        question: &Question,
        (account, password, prefix): (AccountRef, &Secret, Option<AddressPrefix>),
        person: Option<&Person>,
    ) -> Result<AccountAnswer, DirectoryError> {
        let Some(person) = person.filter(|person| person.bar.is_none()) else {
            return Ok(AccountAnswer::Gone);
        };
        if self.config.options.password_change == DirectoryPasswordChange::Off {
            return Ok(AccountAnswer::Gone);
        }
        let Some(password) = (self.desk.prepare)(password) else {
            return Ok(AccountAnswer::PasswordUnfit);
        };
        // Whoever asks may have been thrown out by a word of the operator's, or by another change.
        let unique = person.unique.as_deref();
        let admitted = (self.desk.admit)(&self.host, &question.localpart, unique, person.stamp);
        match admitted.map_err(of_store)? {
            Admission::In(known) if known == account => {}
            _ => return Ok(AccountAnswer::Gone),
        }
        if !(self.desk.may_change)(account.id, prefix) {
            return Ok(AccountAnswer::TooMany);
        }
        let mut own = self.own_changes.begin(&question.localpart);
        let changed = self.change_password(link, question, account, (person, &password));
        // What was met meanwhile nobody else judges. It has its own time: the change may have had all that there was.
        let met = Question {
            asked: Instant::now(),
            localpart: Arc::clone(&question.localpart),
            wish: Wish::Admission,
            ..*question
        };
        if own.end()
            && let Err(error) = self.find(link, &met)
        {
            // The next look says more.
            log::warn!(
                "directory_unseen host={} account={} error=\"{error}\"",
                self.host,
                question.localpart
            );
        }
        changed
    }

    fn change_password(
        &self,
        link: &mut Link,
        question: &Question,
        account: AccountRef,
        (person, password): (&Person, &Secret),
    ) -> Result<AccountAnswer, DirectoryError> {
        let outcome = self.change_entry(link, question, person, password)?;
        if !outcome.is_success() {
            return verdict::of_change(outcome);
        }
        if self.config.options.preset == DirectoryPreset::Ds389
            && let Err(error) = no_reset(link, person, self.until(question))
        {
            log::error!(
                "directory_must_change account={}@{} error=\"{error}\" mend=\"let bind_dn write {EXPIRES}\"",
                question.localpart,
                self.host
            );
        }
        let stamp = self.stamp_of(link, question);
        if let Some(stamp) = &stamp {
            let (name, now) = (&question.localpart, Instant::now());
            self.own_changes.replace(name, person.stamp, stamp, now);
        }
        let renewed = (self.desk.renew)(&self.host, &question.localpart, account.id, stamp);
        // It is changed, whatever became of the tokens: the next look, or an operator, ends those.
        match renewed {
            Ok(Some(account)) => Ok(AccountAnswer::Done(account)),
            Ok(None) => Ok(AccountAnswer::Gone),
            Err(error) => Err(DirectoryError::Refused {
                code: 0,
                text: format!("the password is changed, but not the account's row: {error}"),
            }),
        }
    }

    /// Changes what the entry says of a password. Keys of SCRAM are another saying of it: if they stayed, the old password
    /// would go on to be right. They are changed first, and back if the directory does not want the new password; so what
    /// breaks in between leaves no more than the user has asked for.
    fn change_entry(
        &self,
        link: &mut Link,
        question: &Question,
        person: &Person,
        password: &Secret,
    ) -> Result<BindOutcome, DirectoryError> {
        let (options, until) = (&self.config.options, self.until(question));
        let keys = self.new_keys(&question.localpart, person, password)?;
        let of_entry = |values| Secrets {
            attribute: &options.scram,
            values,
        };
        if options.preset == DirectoryPreset::ActiveDirectory {
            return link.change_unicode_password(&person.dn, password, &of_entry(&keys), until);
        }
        if !keys.is_empty() {
            let outcome = link.replace_secrets(&person.dn, &of_entry(&keys), until)?;
            if !outcome.is_success() {
                // Not because of the password, whatever the code says.
                return Err(DirectoryError::Refused {
                    code: outcome.code,
                    text: format!("{} is not changed: {}", options.scram, outcome.text),
                });
            }
        }
        let outcome = link.change_password(&person.dn, password, until)?;
        if !keys.is_empty() && !outcome.is_success() {
            let keys = of_entry(&person.held_keys);
            let back = link.replace_secrets(&person.dn, &keys, self.soon());
            if !back.as_ref().is_ok_and(BindOutcome::is_success) {
                log::error!(
                    "directory_keys_lost account={}@{} attribute={} answer={back:?} mend=\"set the password again\"",
                    question.localpart,
                    self.host,
                    options.scram
                );
            }
        }
        Ok(outcome)
    }

    /// When something must be answered that is due however long the change has taken.
    fn soon(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.config.options.operation_timeout.as_ms())
    }

    /// The keys of a new password: of every digest that clients are offered, and of those that the entry has besides; none
    /// where it has none.
    fn new_keys(
        &self,
        localpart: &str,
        person: &Person,
        password: &Secret,
    ) -> Result<Vec<Secret>, DirectoryError> {
        if person.held_keys.is_empty() {
            return Ok(Vec::new());
        }
        let known = person.shapes();
        let offered = self.config.hashes.iter().copied();
        let mut hashes: Vec<ScramHash> = offered.chain(known.iter().map(|it| it.hash)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let keys = hashes.into_iter().map(|hash| {
            // As they were, so that a change of them tells nobody when it was; or as the directory's others are.
            let shape = match known.iter().find(|shape| shape.hash == hash) {
                Some(shape) => *shape,
                None => (self.desk.decoy)(&self.host, localpart, hash)
                    .map_err(of_store)?
                    .shape(),
            };
            let shape = KeyShape {
                iterations: shape.iterations.max(limits::SCRAM_ITERATIONS_MIN),
                ..shape
            };
            Ok(keys::written(&(self.desk.new_keys)(password, shape)))
        });
        keys.collect()
    }

    /// What the entry says of a password that was just changed. None if that cannot be read: then the next look takes
    /// the change for somebody else's, and ends the session of who made it. So it has its own time, too.
    fn stamp_of(&self, link: &mut Link, question: &Question) -> Option<PasswordStamp> {
        let query = person::query(&self.config, &question.localpart);
        let entries = link.search(&query, self.soon()).ok()?;
        match person::judge(&self.config, &question.localpart, &entries) {
            Found::One(person) => Some(person.stamp),
            Found::Elsewhere(_) | Found::Many(_) | Found::Nobody => None,
        }
    }
}

/// To 389 DS with passwordMustChange a password that somebody else has set is an administrator's, whoever chose it: the user
/// would have to change it first, which nobody can here. Without a date the next bind sets one.
fn no_reset(link: &mut Link, person: &Person, until: Instant) -> Result<(), DirectoryError> {
    let query = Query {
        base: person.dn.clone(),
        depth: Depth::Base,
        filter: "(objectClass=*)".to_owned(),
        attributes: vec![EXPIRES.to_owned()],
        count_max: 1,
    };
    let entries = link.search(&query, until)?;
    let mut said = entries.iter().flat_map(|entry| entry.texts(EXPIRES));
    // Where nothing is said it may as well be that we are not shown it. RFC 4511 section 4.6: "A replace with no value will
    // delete the entire attribute if it exists, and it is ignored if the attribute does not exist."
    match said.next().is_none_or(|time| time == BE_CHANGED) {
        true => link.replace(&person.dn, &[(EXPIRES.to_owned(), Vec::new())], until),
        false => Ok(()),
    }
}

/// Until when a password is good, in 389 DS; its beginning of time is what [`no_reset`] is about.
const EXPIRES: &str = "passwordExpirationTime";
const BE_CHANGED: &str = "19700101000000Z";

fn of_store(error: StoreError) -> DirectoryError {
    DirectoryError::Refused {
        code: 0,
        text: format!("the account's row cannot be read or written: {error}"),
    }
}
