//! Who comes in by an entry that was found for a name, and what others hear of it. Refuses to know how it was found.

use std::sync::Arc;
use std::time::Instant;

use super::desk::Admission;
use super::error::DirectoryError;
use super::host::Shared;
use super::person::{self, Found, Person};
use crate::actor::Answer;
use crate::actor::audit::AuditEvent;
use crate::actor::auth::{AuthAnswer, KeyShape, ScramHash};
use crate::actor::rows::StoreError;
use crate::im::credentials::name_key;
use crate::im::seen::Met;

impl Shared {
    /// The account of somebody whom the directory knows and this server does not keep out.
    pub(super) fn admission(&self, localpart: &Arc<str>, person: Option<&Person>) -> AuthAnswer {
        let Some(person) = person else {
            return AuthAnswer::Refused;
        };
        if let Some(bar) = person.bar {
            return AuthAnswer::Barred(bar);
        }
        let unique = person.unique.as_deref();
        match (self.desk.admit)(&self.host, localpart, unique, person.stamp) {
            Ok(Admission::In(account)) => AuthAnswer::Admitted(account),
            Ok(Admission::Closed) => AuthAnswer::Refused,
            Ok(Admission::AnotherEntry) => {
                self.report_taken_over(localpart, person);
                AuthAnswer::Refused
            }
            Err(_) => AuthAnswer::Unavailable,
        }
    }

    /// Whether a name that was proved by what is kept here is still of the entry that it was kept for.
    pub(super) fn is_theirs(
        &self,
        localpart: &Arc<str>,
        person: Option<&Person>,
    ) -> Result<bool, DirectoryError> {
        let Some(person) = person.filter(|person| person.bar.is_none()) else {
            return Ok(false);
        };
        let met = self.meet(localpart, &person.sight())?;
        if met == Met::AnotherEntry {
            self.report_taken_over(localpart, person);
        }
        Ok(met != Met::AnotherEntry)
    }

    /// An operator wants to know of names that several have, once in a while, and of entries whose address is not that of their
    /// name.
    pub fn report(&self, localpart: &str, found: &Found) {
        match found {
            Found::Elsewhere(name) => log::warn!(
                "directory_other_address account={localpart}@{} entry={name:?} attribute={}",
                self.host,
                person::ADDRESS
            ),
            Found::Many(names) if self.collisions.is_news(localpart, Instant::now()) => {
                self.report_collision(localpart, names);
            }
            Found::Nobody | Found::One(_) | Found::Many(_) => {}
        }
    }

    /// Each time.
    pub fn report_collision(&self, localpart: &str, entries: &[String]) {
        log::error!(
            "directory_collision account={localpart}@{} entries={entries:?}",
            self.host
        );
        (self.desk.audit)(AuditEvent::DirectoryCollision {
            account: self.jid(localpart),
            entries: entries.to_vec(),
        });
    }

    fn report_taken_over(&self, localpart: &str, person: &Person) {
        if person.unique.as_ref().is_some_and(Vec::is_empty) {
            log::error!(
                "directory_entry_unknown account={localpart}@{} entry={:?} mend=\"let bind_dn read {}\"",
                self.host,
                person.dn,
                self.config.options.unique
            );
            return;
        }
        log::error!(
            "directory_name_taken_over account={localpart}@{} entry={:?} mend=\"user remove\"",
            self.host,
            person.dn
        );
    }

    /// The row by which others find an account: of an entry that nobody logged in by, too.
    pub(super) fn existence(
        &self,
        localpart: &Arc<str>,
        row: Option<Vec<u8>>,
        person: Option<&Person>,
    ) -> Answer {
        let Some(person) = person else {
            return Answer::Row(None);
        };
        let key = name_key(&self.host, localpart);
        if row.is_some() {
            // Read again: another password has made it another row.
            return match self.meet(localpart, &person.sight()) {
                Ok(Met::AnotherEntry) => Answer::Row(None),
                Ok(Met::Changed(_) | Met::Nobody | Met::Same) => {
                    (self.desk.row)(&key).map_or_else(Answer::Failed, Answer::Row)
                }
                Err(_) => Answer::Failed(StoreError::Broken),
            };
        }
        let unique = person.unique.as_deref();
        let admitted = (self.desk.admit)(&self.host, localpart, unique, person.stamp);
        match admitted.and_then(|_| (self.desk.row)(&key)) {
            Ok(row) => Answer::Row(row),
            Err(error) => Answer::Failed(error),
        }
    }

    /// Keys of the directory look like these.
    pub fn note_shapes(&self, shapes: Vec<KeyShape>) {
        for shape in shapes {
            // Whoever asks for keys tries again.
            if let Err(error) = (self.desk.note_shape)(&self.host, shape) {
                log::warn!("shape_not_noted host={} error=\"{error}\"", self.host);
            }
        }
    }

    /// The keys of an account, or some that look as if they were.
    pub(super) fn keys(
        &self,
        localpart: &Arc<str>,
        hash: ScramHash,
        person: Option<&Person>,
    ) -> AuthAnswer {
        let Ok(mut keys) = (self.desk.decoy)(&self.host, localpart, hash) else {
            return AuthAnswer::Unavailable;
        };
        let mut account = None;
        person
            .iter()
            .for_each(|person| self.note_shapes(person.shapes()));
        if let Some(real) = person.and_then(|person| person.keys_for(hash)) {
            match self.admission(localpart, person) {
                AuthAnswer::Admitted(admitted) => {
                    keys = real.clone();
                    account = Some(admitted);
                }
                // As the store does: salt and count stay as they were.
                AuthAnswer::Unavailable => return AuthAnswer::Unavailable,
                _ => {
                    keys.salt.clone_from(&real.salt);
                    keys.iterations = real.iterations;
                }
            }
        }
        AuthAnswer::ScramKeys { keys, account }
    }
}
