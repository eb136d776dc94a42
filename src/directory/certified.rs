//! Whom a client's certificate stands for by its subject, which is the name of an entry. Refuses to know how the certificate was
//! proved.

use std::sync::Arc;

use super::dn;
use super::error::DirectoryError;
use super::host::{Question, Shared, Wish};
use super::person::{self, Found};
use super::pool::{Depth, Link, Query};
use crate::actor::auth::AuthAnswer;

impl Shared {
    pub(super) fn answer_certified(&self, link: &mut Link, question: &Question, subject: &str) {
        match self.certified(link, question, subject) {
            Ok(answer) => self.answers.auth(question.worker, question.ticket, answer),
            Err(error) => self.failed(question, &error),
        }
    }

    /// Whom a certificate of this subject stands for.
    fn certified(
        &self,
        link: &mut Link,
        question: &Question,
        subject: &str,
    ) -> Result<AuthAnswer, DirectoryError> {
        let names = self.names_of(link, question, subject)?;
        let wanted =
            |name: &&Arc<str>| question.localpart.is_empty() || **name == question.localpart;
        let mut wanted = names.iter().filter(wanted);
        let (Some(localpart), None) = (wanted.next(), wanted.next()) else {
            return Ok(AuthAnswer::Refused);
        };
        // By its name, as everybody: others may have it, too.
        let named = Question {
            localpart: Arc::clone(localpart),
            wish: Wish::Admission,
            ..*question
        };
        let answer = match self.find(link, &named)? {
            Found::One(person) if dn::is_same(&person.dn, subject) => {
                self.admission(localpart, Some(&person))
            }
            _ => AuthAnswer::Refused,
        };
        Ok(match answer {
            AuthAnswer::Admitted(account) => AuthAnswer::Certified {
                localpart: Arc::clone(localpart),
                account,
            },
            answer => answer,
        })
    }

    /// The names of the entry that is called so, if it is one of the people.
    fn names_of(
        &self,
        link: &mut Link,
        question: &Question,
        subject: &str,
    ) -> Result<Vec<Arc<str>>, DirectoryError> {
        if !dn::is_within(subject, &self.config.options.base) {
            return Ok(Vec::new());
        }
        let query = Query {
            base: subject.to_owned(),
            depth: Depth::Base,
            count_max: 1,
            ..person::query_for_all(&self.config)
        };
        match link.search(&query, self.until(question)) {
            Ok(entries) => Ok(entries
                .iter()
                .flat_map(|entry| person::names(&self.config, entry))
                .collect()),
            // RFC 4511 appendix A: invalidDNSyntax. Authorities call people by what no directory knows.
            Err(DirectoryError::Refused { code: 34, .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}
