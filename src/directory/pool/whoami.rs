//! As whom a server knows who is bound on a connection (RFC 4532). Refuses to judge whether that is right.

use std::time::Instant;

use ldap3::exop::Exop;

use super::{Failure, Link, failure, outcome, remaining};
use crate::directory::error::DirectoryError;

impl Link {
    /// The authorization identity (RFC 4513 section 5.2.1.8) of whoever is bound on it, empty for nobody; none if the server does
    /// not offer to say it.
    ///
    /// # Errors
    /// As [`Link::search`].
    pub fn whoami(&mut self, until: Instant) -> Result<Option<String>, DirectoryError> {
        // What a server can do it lists in its root (RFC 4512 section 5.1).
        if !self.offers("supportedExtension", WHO_AM_I, until)? {
            return Ok(None);
        }
        self.call(until, |connection, until| {
            let question = Exop {
                name: Some(WHO_AM_I.to_owned()),
                val: None,
            };
            let answer = connection
                .with_timeout(remaining(until)?)
                .extended(question);
            let answer = answer.map_err(failure)?;
            let outcome = outcome(answer.1)?;
            if !outcome.is_success() {
                return Err(Failure::Answer(DirectoryError::Refused {
                    code: outcome.code,
                    text: outcome.text,
                }));
            }
            // RFC 4532 section 2.2: "If the server is treating the client as an anonymous entity, the response field is present
            // but empty."
            String::from_utf8(answer.0.val.unwrap_or_default())
                .map(Some)
                .map_err(|_| Failure::Answer(DirectoryError::Garbled))
        })
    }
}

const WHO_AM_I: &str = "1.3.6.1.4.1.4203.1.11.3";
