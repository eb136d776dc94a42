//! Questions about what entries say of people, and changes of that: from a worker to a thread that may wait, and back.
//! Refuses to know what a vCard is made of.

use std::sync::Arc;
use std::time::Instant;

use super::ber::Entry;
use super::error::DirectoryError;
use super::host::{HostDirectory, Question, Shared, Wish};
use super::mapping::{self, Changes, Misfit};
use super::person::{self, Found};
use super::pool::{BindOutcome, Link, Query};
use crate::actor::Ticket;
use crate::actor::audit::{AuditEvent, By};
use crate::actor::directory::{DirectoryAnswer, DirectoryAsk, DirectoryWish};
use crate::base::WorkerId;
use crate::config::DirectoryWriter;
use crate::stanza::ns;
use crate::xml::Element;

impl HostDirectory {
    /// Asks for a worker; never blocks. What is known is answered at once.
    pub fn ask_about(&self, worker: WorkerId, ticket: Ticket, ask: DirectoryAsk) {
        let now = Instant::now();
        let wish = match ask.wish {
            DirectoryWish::Card => match self.shared.cards.find(&ask.localpart, now) {
                Some(card) => {
                    let answer = DirectoryAnswer::Card(card);
                    return self.shared.answers.profile(worker, ticket, answer);
                }
                None => Wish::Card,
            },
            DirectoryWish::Change(card) => Wish::Change(card),
            DirectoryWish::Groups => {
                let known = self.shared.lists.ask(worker, ticket);
                return known.into_iter().for_each(|answer| {
                    self.shared.answers.profile(worker, ticket, answer);
                });
            }
        };
        self.ask(Question {
            asked: now,
            worker,
            ticket,
            localpart: ask.localpart,
            wish,
        });
    }
}

impl Shared {
    /// What the entry of somebody says.
    pub(super) fn read_card(
        &self,
        link: &mut Link,
        question: &Question,
    ) -> Result<DirectoryAnswer, DirectoryError> {
        let entry = self.entry(link, question)?;
        let card = entry.and_then(|entry| mapping::card(&self.config.cards, &entry));
        let card = card.map(Arc::from);
        self.cards
            .learn(&question.localpart, Option::clone(&card), Instant::now());
        Ok(DirectoryAnswer::Card(card))
    }

    /// Has the entry of somebody say what the vCard says.
    pub(super) fn write_card(
        &self,
        link: &mut Link,
        question: &Question,
        card: &str,
    ) -> Result<DirectoryAnswer, DirectoryError> {
        let Some(entry) = self.entry(link, question)? else {
            return Ok(DirectoryAnswer::Denied);
        };
        let cards = &self.config.cards;
        let Some(card) = Element::parse(card, ns::VCARD) else {
            return Ok(DirectoryAnswer::Unfit);
        };
        let changes = match mapping::changes(cards, &entry, &card) {
            Ok(Changes(changes)) => changes,
            Err(Misfit::Fixed) => return Ok(DirectoryAnswer::Fixed),
            Err(Misfit::NoPicture | Misfit::TooMuch) => return Ok(DirectoryAnswer::Unfit),
        };
        if changes.is_empty() {
            return Ok(DirectoryAnswer::Changed);
        }
        let names: Vec<&str> = changes.iter().map(|(name, _)| name.as_str()).collect();
        let account = format_args!("{}@{}", question.localpart, self.host);
        let outcome = link.modify(&entry.dn, &changes, cards.writer, self.until(question))?;
        // Whatever came of it: somebody looked at it anew.
        self.cards.forget(&question.localpart);
        match judge(&outcome) {
            Some(DirectoryAnswer::Changed) => {
                log::info!("directory_entry_changed account={account} attributes={names:?}");
                let account = self.jid(&question.localpart);
                (self.desk.audit)(AuditEvent::DirectoryEntryChanged {
                    account: Arc::clone(&account),
                    attributes: names.iter().map(|name| (*name).to_owned()).collect(),
                    by: By::User(account),
                });
                Ok(DirectoryAnswer::Changed)
            }
            Some(answer) => {
                log::warn!(
                    "directory_change_refused account={account} attributes={names:?} result={} text={:?}",
                    outcome.code,
                    outcome.text
                );
                Ok(answer)
            }
            None => Err(DirectoryError::Refused {
                code: outcome.code,
                text: outcome.text,
            }),
        }
    }

    /// The one entry of a name, if there is one.
    fn entry(&self, link: &mut Link, question: &Question) -> Result<Option<Entry>, DirectoryError> {
        let plain = person::query(&self.config, &question.localpart);
        let more = mapping::attributes(&self.config.cards);
        let query = Query {
            attributes: plain.attributes.into_iter().chain(more).collect(),
            ..plain
        };
        let entries = link.search(&query, self.until(question))?;
        let found = person::judge(&self.config, &question.localpart, &entries);
        self.report(&question.localpart, &found);
        let Found::One(person) = found else {
            return Ok(None);
        };
        Ok(entries.into_iter().find(|entry| entry.dn == person.dn))
    }
}

/// What a user hears of a change's result (RFC 4511 appendix A.2); none where the directory did not work.
fn judge(outcome: &BindOutcome) -> Option<DirectoryAnswer> {
    match outcome.code {
        0 => Some(DirectoryAnswer::Changed),
        UNAVAILABLE_CRITICAL_EXTENSION | INSUFFICIENT_ACCESS | AUTHORIZATION_DENIED => {
            Some(DirectoryAnswer::Denied)
        }
        UNDEFINED_TYPE
        | CONSTRAINT_VIOLATION
        | VALUE_EXISTS
        | INVALID_SYNTAX
        | OBJECT_CLASS_VIOLATION
        | NOT_ALLOWED_ON_RDN
        | UNWILLING => Some(DirectoryAnswer::Unfit),
        _ => None,
    }
}

impl DirectoryWriter {
    /// The identity of RFC 4513 section 5.2.1.8 under which a change of `dn` is made; none as who we are.
    pub(super) fn identity(self, dn: &str) -> Option<String> {
        match self {
            DirectoryWriter::Service => None,
            DirectoryWriter::User => Some(format!("dn:{dn}")),
        }
    }
}

const UNAVAILABLE_CRITICAL_EXTENSION: u32 = 12;
const UNDEFINED_TYPE: u32 = 17;
const CONSTRAINT_VIOLATION: u32 = 19;
const VALUE_EXISTS: u32 = 20;
const INVALID_SYNTAX: u32 = 21;
const INSUFFICIENT_ACCESS: u32 = 50;
const UNWILLING: u32 = 53;
const OBJECT_CLASS_VIOLATION: u32 = 65;
const NOT_ALLOWED_ON_RDN: u32 = 67;
/// RFC 4370 section 5.
const AUTHORIZATION_DENIED: u32 = 123;
