//! Entries that we make, change and remove (RFC 4511 sections 4.6 to 4.8). Refuses to know of what.

use std::collections::HashSet;
use std::time::Instant;

use ldap3::controls::{ProxyAuth, RawControl};
use ldap3::{LdapResult, Mod};
use zeroize::Zeroizing;

use super::{BindOutcome, Failure, Link, failure, outcome, remaining};
use crate::config::DirectoryWriter;
use crate::directory::error::DirectoryError;

/// An attribute and its values, which may be secrets: the encoder zeroes what it copies (`src/vendor/lber`).
type Attribute = (String, Vec<Zeroizing<Vec<u8>>>);

/// What breaks in the middle is tried again on another connection, as with every operation; then the answer may be that an entry
/// is there already (result 68) or not any more (32), though it was we who did it.
impl Link {
    /// Gives attributes of an entry other values; those without any go.
    ///
    /// # Errors
    /// As [`Link::search`]; what the directory refuses is none.
    pub fn modify(
        &mut self,
        dn: &str,
        changes: &[(String, Vec<Vec<u8>>)],
        writer: DirectoryWriter,
        until: Instant,
    ) -> Result<BindOutcome, DirectoryError> {
        self.call(until, |connection, until| {
            connection.with_timeout(remaining(until)?);
            if let Some(authzid) = writer.identity(dn) {
                connection.with_controls(RawControl::from(ProxyAuth { authzid }));
            }
            let changes = changes.iter().map(|(name, values)| {
                let values = values.iter().cloned().collect();
                Mod::Replace(name.clone().into_bytes(), values)
            });
            let result = connection.modify(dn, changes.collect());
            outcome(result.map_err(failure)?)
        })
    }

    /// Makes an entry.
    ///
    /// # Errors
    /// As [`Link::search`].
    pub fn add(
        &mut self,
        dn: &str,
        attributes: &[Attribute],
        until: Instant,
    ) -> Result<(), DirectoryError> {
        self.call(until, |connection, until| {
            let attributes = attributes.iter().map(as_set).collect();
            let connection = connection.with_timeout(remaining(until)?);
            done(connection.add(dn, attributes).map_err(failure)?)
        })
    }

    /// Gives attributes these values instead of those that they have; with none they go.
    ///
    /// # Errors
    /// As [`Link::search`].
    pub fn replace(
        &mut self,
        dn: &str,
        attributes: &[Attribute],
        until: Instant,
    ) -> Result<(), DirectoryError> {
        self.call(until, |connection, until| {
            let changes = attributes.iter().map(as_set);
            let changes = changes.map(|(name, values)| Mod::Replace(name, values));
            let connection = connection.with_timeout(remaining(until)?);
            done(connection.modify(dn, changes.collect()).map_err(failure)?)
        })
    }

    /// Removes an entry.
    ///
    /// # Errors
    /// As [`Link::search`].
    pub fn delete(&mut self, dn: &str, until: Instant) -> Result<(), DirectoryError> {
        self.call(until, |connection, until| {
            let connection = connection.with_timeout(remaining(until)?);
            done(connection.delete(dn).map_err(failure)?)
        })
    }
}

fn as_set((name, values): &Attribute) -> (&[u8], HashSet<&[u8]>) {
    let values = values.iter().map(|value| value.as_slice());
    (name.as_bytes(), values.collect())
}

fn done(result: LdapResult) -> Result<(), Failure> {
    let outcome = outcome(result)?;
    match outcome.is_success() {
        true => Ok(()),
        false => Err(Failure::Answer(DirectoryError::Refused {
            code: outcome.code,
            text: outcome.text,
        })),
    }
}
