//! The directory of one host: its connections, each on a thread of its own, and what becomes of each question. Refuses to
//! let anybody wait for it: what cannot be answered in time is answered with that.

mod start;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::access::Access;
use super::cache::{Known, Standing};
use super::cards::CardCache;
use super::collisions::Collisions;
use super::desk::Desk;
use super::due::Due;
use super::error::DirectoryError;
use super::lists::Lists;
use super::own_changes::{OwnChanges, Postponed};
use super::person::{self, Found, Person};
use super::pool::Link;
use super::room_book::RoomBook;
use super::service::Answers;
use super::threads;
use super::verdict::{self, Verdict};
use crate::actor::auth::{AccountRef, AuthAnswer, AuthAsk, Bar, ScramHash};
use crate::actor::directory::DirectoryAnswer;
use crate::actor::rows::StoreError;
use crate::actor::{Answer, Ticket};
use crate::base::{AccountId, AddressPrefix, Generation, Secret, WorkerId};
use crate::config::DirectoryConfig;
use crate::im::credentials::{AccountRow, name_key};
use crate::im::seen::Met;

/// A directory that can be asked. Dropped, its threads end with what they are about.
pub struct HostDirectory {
    pub shared: Arc<Shared>,
    pub access: Arc<Access>,
    questions: Sender<Question>,
    /// Dropped, it ends those who follow what becomes of the directory.
    _follows: Sender<()>,
    /// Dropped, it lets those begin; behind the other: who is not wanted any more does not.
    holds: Option<Sender<()>>,
}

/// What all threads of a directory know.
pub struct Shared {
    pub host: Arc<str>,
    pub config: Arc<DirectoryConfig>,
    pub known: Known,
    pub cards: CardCache,
    pub lists: Lists,
    /// What of the groups is to be looked at; none where they mean nothing.
    pub due: Option<Due>,
    pub desk: Arc<Desk>,
    pub answers: Arc<Answers>,
    /// A reload ends none of them.
    pub own_changes: Arc<OwnChanges>,
    /// Of which names was told that several have them.
    pub collisions: Collisions,
    /// The permanent rooms.
    pub rooms: Arc<RoomBook>,
}

/// Something that is asked, and who hears the answer.
pub struct Question {
    pub asked: Instant,
    pub worker: WorkerId,
    pub ticket: Ticket,
    pub localpart: Arc<str>,
    pub wish: Wish,
}

/// What is asked about a name.
pub enum Wish {
    /// Whether somebody may come in who has proved the name otherwise.
    Admission,
    /// Who it is whose entry has this name; of the localpart that is asked about, if it is not empty.
    Certified(Arc<str>),
    /// What the entry says.
    Card,
    /// The entry shall say what this vCard says.
    Change(Arc<str>),
    /// Whether there is somebody, and the row of the account as it is stored.
    Exists(Option<Vec<u8>>),
    Keys(ScramHash),
    Password(Secret),
    SetPassword {
        account: AccountRef,
        password: Secret,
        prefix: Option<AddressPrefix>,
    },
    /// Whether there is somebody; the rest is not ours to judge.
    Standing(Box<AuthAsk>),
}

impl Question {
    /// What is answered if we fail, and not the directory.
    fn unserved(&self) -> (WorkerId, Ticket, Answer) {
        let answer = match &self.wish {
            Wish::Exists(_) => Answer::Failed(StoreError::Broken),
            Wish::Card | Wish::Change(_) => Answer::Directory(DirectoryAnswer::Unavailable),
            _ => Answer::Auth(AuthAnswer::Unavailable),
        };
        (self.worker, self.ticket, answer)
    }
}

/// A password that is to be tried.
struct Attempt {
    question: Question,
    password: Secret,
    /// None if there is nobody, which must not be seen.
    person: Option<Box<Person>>,
    /// The account before it is tried, if there was one.
    account: Option<AccountRef>,
    /// Since when it waits for a connection: what a search took before is not its fault.
    queued: Instant,
}

impl HostDirectory {
    /// Asks; never blocks. What does not fit is answered at once.
    pub fn ask(&self, question: Question) {
        if let Err(refused) = self.questions.try_send(question) {
            let question = refused.into_inner();
            self.shared
                .failed(&question, &DirectoryError::TooManyWaiting);
        }
    }
}

impl Shared {
    fn search_all(
        &self,
        mut link: Link,
        questions: &Receiver<Question>,
        attempts: &Sender<Attempt>,
    ) {
        while let Ok(question) = questions.recv() {
            if self.is_late(question.asked) {
                self.failed(&question, &DirectoryError::Late);
                continue;
            }
            self.serve(&mut link, question, attempts);
            // Whoever has changed a password has kept others waiting.
            for question in self.own_changes.released() {
                self.serve(&mut link, question, attempts);
            }
            if questions.is_empty() {
                link.go_back();
            }
        }
    }

    fn serve(&self, link: &mut Link, question: Question, attempts: &Sender<Attempt>) {
        let unserved = question.unserved();
        let serve = || match &question.wish {
            Wish::Card | Wish::Change(_) => self.answer_profile(link, &question),
            Wish::Certified(subject) => self.answer_certified(link, &question, subject),
            _ => self.answer_login(link, question, attempts),
        };
        threads::or_else(serve, || self.panicked(unserved));
    }

    fn answer_profile(&self, link: &mut Link, question: &Question) {
        let answer = match &question.wish {
            Wish::Change(card) => self.write_card(link, question, card),
            _ => self.read_card(link, question),
        };
        match answer {
            Ok(answer) => self
                .answers
                .profile(question.worker, question.ticket, answer),
            Err(error) => self.failed(question, &error),
        }
    }

    fn answer_login(&self, link: &mut Link, question: Question, attempts: &Sender<Attempt>) {
        let mut next = Some(question);
        // Again only if the account was changed meanwhile, and not longer than any answer may take.
        while let Some(question) = next.take() {
            let before = match question.wish {
                Wish::Keys(_) => self.account_of(&question.localpart),
                _ => None,
            };
            match self.find(link, &question) {
                Ok(found) => next = self.found(link, (question, before), found, attempts),
                Err(error) => self.failed(&question, &error),
            }
        }
    }

    /// The account of a name, if there is one.
    fn account_of(&self, localpart: &str) -> Option<AccountRef> {
        let row = (self.desk.row)(&name_key(&self.host, localpart));
        // Who cannot be read is not admitted either.
        let row = AccountRow::decode(&row.ok()??).ok()?;
        Some(row.account)
    }

    fn bind_all(&self, mut link: Link, attempts: &Receiver<Attempt>) {
        while let Ok(attempt) = attempts.recv() {
            match self.is_late(attempt.queued) {
                true => self.failed(&attempt.question, &DirectoryError::Late),
                false => {
                    let unserved = attempt.question.unserved();
                    let serve = || self.try_password(&mut link, attempt);
                    threads::or_else(serve, || self.panicked(unserved));
                }
            }
            if attempts.is_empty() {
                link.go_back();
            }
        }
    }

    /// What somebody asked has met a bug of ours.
    fn panicked(&self, unserved: (WorkerId, Ticket, Answer)) {
        log::error!("directory_question_panicked host={}", self.host);
        self.answers.any(unserved);
    }

    /// Whether something has waited too long for a connection.
    fn is_late(&self, since: Instant) -> bool {
        since.elapsed() >= Duration::from_millis(self.config.options.queue_timeout.as_ms())
    }

    /// When a question must be answered.
    pub fn until(&self, question: &Question) -> Instant {
        question.asked + self.patience()
    }

    /// How long an answer may take altogether.
    pub fn patience(&self) -> Duration {
        let options = &self.config.options;
        Duration::from_millis(options.queue_timeout.as_ms() + options.operation_timeout.as_ms())
    }

    /// Accounts of this host with their names, those behind one, in order and not all at once.
    ///
    /// # Errors
    /// The store's, as one of the directory's.
    pub fn accounts_after(
        &self,
        after: Option<&str>,
    ) -> Result<Vec<(String, AccountId)>, DirectoryError> {
        (self.desk.accounts)(&self.host, after).map_err(|error| DirectoryError::Refused {
            code: 0,
            text: error.to_string(),
        })
    }

    /// Ends the sessions of somebody who is not in the directory any more, or has another password there: then those of
    /// before the account was this.
    pub fn end_sessions(&self, name: &str, account: Option<AccountRef>) {
        (self.desk.end)(&self.host, name, account);
    }

    /// Who has the name that is asked about; what follows from it for the account is done.
    ///
    /// # Errors
    /// The directory's; the store's, as one of them.
    pub fn find(&self, link: &mut Link, question: &Question) -> Result<Found, DirectoryError> {
        let query = person::query(&self.config, &question.localpart);
        let entries = link.search(&query, self.until(question))?;
        let found = person::judge(&self.config, &question.localpart, &entries);
        self.report(&question.localpart, &found);
        let standing = match &found {
            Found::One(person) => match self.meet(&question.localpart, &person.sight())? {
                Met::AnotherEntry => Standing::Unknown,
                _ if person.bar.is_some() => Standing::Barred,
                Met::Changed(_) | Met::Nobody | Met::Same => Standing::Member,
            },
            Found::Elsewhere(_) | Found::Many(_) | Found::Nobody => Standing::Unknown,
        };
        self.known
            .learn(&question.localpart, standing, Instant::now());
        Ok(found)
    }

    /// Of this host.
    pub fn jid(&self, localpart: &str) -> Arc<str> {
        Arc::from(format!("{localpart}@{}", self.host))
    }

    /// Does what is wished of who was found. What is to be asked again, because the account is not any more what it was `before`.
    fn found(
        &self,
        link: &mut Link,
        (question, before): (Question, Option<AccountRef>),
        found: Found,
        attempts: &Sender<Attempt>,
    ) -> Option<Question> {
        let person = match found {
            Found::One(person) => Some(person),
            Found::Elsewhere(_) | Found::Many(_) | Found::Nobody => None,
        };
        let Question {
            asked,
            worker,
            ticket,
            localpart,
            wish,
        } = question;
        let rest = |wish| Question {
            asked,
            worker,
            ticket,
            localpart: Arc::clone(&localpart),
            wish,
        };
        match wish {
            // Answered before (`answer_certified`).
            Wish::Certified(_) => {}
            Wish::Card | Wish::Change(_) => {}
            Wish::Admission => {
                let answer = self.admission(&localpart, person.as_deref());
                self.answers.auth(worker, ticket, answer);
            }
            Wish::Exists(row) => {
                let answer = self.existence(&localpart, row, person.as_deref());
                self.answers.row(worker, ticket, answer);
            }
            Wish::Keys(hash) => {
                let question = self.unless_changing(rest(Wish::Keys(hash)))?;
                let answer = self.keys(&localpart, hash, person.as_deref());
                if let AuthAnswer::ScramKeys {
                    account: Some(account),
                    ..
                } = answer
                    && is_changed(before, account)
                {
                    return Some(question);
                }
                self.answers.auth(worker, ticket, answer);
            }
            Wish::Password(password) => {
                let attempt = Attempt {
                    account: self.account_of(&localpart),
                    question: rest(Wish::Admission),
                    password,
                    person,
                    queued: Instant::now(),
                };
                if let Err(refused) = attempts.try_send(attempt) {
                    let attempt = refused.into_inner();
                    self.failed(&attempt.question, &DirectoryError::TooManyWaiting);
                }
            }
            Wish::SetPassword {
                account,
                password,
                prefix,
            } => {
                let question = rest(Wish::Admission);
                let change = (account, &password, prefix);
                match self.set_password(link, &question, change, person.as_deref()) {
                    Ok(answer) => self.answers.auth(worker, ticket, AuthAnswer::Own(answer)),
                    Err(error) => self.failed(&question, &error),
                }
            }
            Wish::Standing(ask) => match self.is_theirs(&localpart, person.as_deref()) {
                Ok(true) => (self.desk.pass_on)(worker, ticket, *ask),
                Ok(false) => self.answers.auth(worker, ticket, AuthAnswer::Refused),
                Err(_) => self.answers.auth(worker, ticket, AuthAnswer::Unavailable),
            },
        }
        None
    }

    /// A login goes on, unless its account's password is just being changed: then it begins anew when that is over.
    fn unless_changing(&self, question: Question) -> Option<Question> {
        match self.own_changes.postpone(question) {
            Postponed::Yes => None,
            Postponed::No(question) => Some(question),
            Postponed::Full(question) => {
                self.failed(&question, &DirectoryError::TooManyWaiting);
                None
            }
        }
    }

    fn try_password(&self, link: &mut Link, mut attempt: Attempt) {
        let answer = loop {
            let Some(answer) = self.judge_password(link, &attempt) else {
                return;
            };
            match answer {
                // Which password was right, the one before the change or the one behind it?
                AuthAnswer::Admitted(account) if is_changed(attempt.account, account) => {
                    attempt.account = Some(account);
                }
                answer => break answer,
            }
        };
        let Question {
            asked,
            worker,
            ticket,
            ..
        } = attempt.question;
        match answer {
            AuthAnswer::Refused | AuthAnswer::Barred(_) => {
                self.answers.refuse(asked, worker, ticket, answer);
            }
            answer => self.answers.auth(worker, ticket, answer),
        }
    }

    /// What a bind says. None if that is answered already, or later.
    fn judge_password(&self, link: &mut Link, attempt: &Attempt) -> Option<AuthAnswer> {
        let Attempt {
            question,
            password,
            person,
            ..
        } = attempt;
        // Whoever does not exist is tried, too, as somebody who does not.
        let decoy = format!("cn={NOBODY},{}", self.config.options.base);
        let dn = person.as_ref().map_or(&decoy, |person| &person.dn);
        let tried = link
            .bind(dn, password, self.until(question))
            .and_then(|outcome| verdict::of_bind(self.config.options.preset, outcome));
        Some(match (tried, person) {
            (Err(error), _) => {
                self.failed(question, &error);
                return None;
            }
            (Ok(Verdict::Right), Some(person)) => {
                let again = Question {
                    localpart: Arc::clone(&question.localpart),
                    wish: Wish::Password(password.clone()),
                    ..*question
                };
                self.unless_changing(again)?;
                self.admission(&question.localpart, Some(person))
            }
            (Ok(Verdict::Barred(bar)), Some(_)) => {
                self.note_barred(question, bar);
                AuthAnswer::Barred(bar)
            }
            (Ok(Verdict::Shut(bar)), Some(_)) => {
                self.note_barred(question, bar);
                match self.config.options.tell_locked {
                    true => AuthAnswer::Barred(bar),
                    false => AuthAnswer::Refused,
                }
            }
            (Ok(_), _) => AuthAnswer::Refused,
        })
    }

    fn note_barred(&self, question: &Question, bar: Bar) {
        log::info!(
            "directory_barred account={}@{} reason={bar:?}",
            question.localpart,
            self.host
        );
    }

    /// What is told when the directory did not answer.
    pub fn failed(&self, question: &Question, error: &DirectoryError) {
        let account = format_args!("{}@{}", question.localpart, self.host);
        match error {
            // The operator reads of these once, when a server fails (`pool.rs`), and not with each login.
            DirectoryError::Late | DirectoryError::NoServer(_) | DirectoryError::TooManyWaiting => {
                log::debug!("directory_unavailable account={account} error=\"{error}\"");
            }
            DirectoryError::Garbled
            | DirectoryError::Referred
            | DirectoryError::Refused { .. }
            | DirectoryError::TooMuch => {
                log::warn!("directory_unavailable account={account} error=\"{error}\"");
            }
        }
        let (worker, ticket) = (question.worker, question.ticket);
        match &question.wish {
            // Who is known from before stays known.
            Wish::Exists(Some(row)) => {
                self.answers
                    .row(worker, ticket, Answer::Row(Some(row.clone())));
            }
            Wish::Exists(None) => {
                self.answers
                    .row(worker, ticket, Answer::Failed(StoreError::Overloaded));
            }
            Wish::Card | Wish::Change(_) => {
                let answer = DirectoryAnswer::Unavailable;
                self.answers.profile(worker, ticket, answer);
            }
            _ => self.answers.auth(worker, ticket, AuthAnswer::Unavailable),
        }
    }
}

/// Whether an account was changed since it was `before`. Who had none then has one that nobody has changed.
fn is_changed(before: Option<AccountRef>, now: AccountRef) -> bool {
    match before {
        Some(before) => before != now,
        None => now.generation != Generation::default(),
    }
}

/// A name that nobody has.
const NOBODY: &str = "nobody-asked-for-by-stonechat";
