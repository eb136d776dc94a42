//! Where questions about users of directories come in, and by whom they are answered. Refuses to wait, and to answer what
//! is not a directory's: that is passed on.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use parking_lot::RwLock;

use super::cache::Standing;
use super::desk::Desk;
use super::host::{HostDirectory, Question, Wish};
use super::prepared::Prepared;
use super::refusals::{self, Waiting};
use super::resolver::Resolver;
use super::room_book::{PeopleOfRooms, Rooms};
use super::threads;
use crate::actor::auth::{AccountAnswer, AccountAsk, AuthAnswer, AuthAsk};
use crate::actor::directory::{DirectoryAnswer, DirectoryAsk};
use crate::actor::rows::{RowKey, StoreError};
use crate::actor::{Answer, Ticket};
use crate::base::{WorkerId, limits};
use crate::im::credentials::localpart_of;

/// How one worker hears its answers: puts it into the worker's inbox and wakes it. Must not block.
pub type AnswerPort = Arc<dyn Fn(Ticket, Answer) + Send + Sync>;

/// The directories of all hosts that have one.
pub struct DirectoryService {
    hosts: RwLock<Arc<Hosts>>,
    desk: Arc<Desk>,
    answers: Arc<Answers>,
    rows: Sender<RowQuestion>,
    /// What is known of the names of servers, for as long as there is a server of ours: a reload takes place just when the
    /// directory's hosts, of which one is mostly the nameserver, have failed.
    resolver: Arc<Resolver>,
}

type Hosts = BTreeMap<Arc<str>, Arc<HostDirectory>>;

/// Who hears answers, and when.
pub struct Answers {
    seats: Vec<Seat>,
    refusals: Sender<Waiting<(WorkerId, Ticket, Answer)>>,
}

/// One worker's side: its port, and how many of its questions about rows are open.
struct Seat {
    port: AnswerPort,
    outstanding: AtomicUsize,
}

struct RowQuestion {
    worker: WorkerId,
    ticket: Ticket,
    host: Arc<str>,
    key: RowKey,
}

impl DirectoryService {
    /// Starts with these directories; `ports` in the order of the workers.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        prepared: Vec<Prepared>,
        ports: Vec<AnswerPort>,
        desk: Desk,
    ) -> io::Result<Arc<DirectoryService>> {
        let (refusals, refused) = unbounded();
        let seats = ports.into_iter().map(|port| Seat {
            port,
            outstanding: AtomicUsize::new(0),
        });
        let answers = Arc::new(Answers {
            seats: seats.collect(),
            refusals,
        });
        let ports: Vec<AnswerPort> = answers
            .seats
            .iter()
            .map(|seat| Arc::clone(&seat.port))
            .collect();
        thread::Builder::new()
            .name("ldap-refuse".to_owned())
            .spawn(move || {
                refusals::run(&refused, |(worker, ticket, answer): (WorkerId, _, _)| {
                    ports[worker.index()](ticket, answer);
                });
            })?;
        let (rows, asked) = bounded(ports_bound(answers.seats.len()));
        let service = Arc::new(DirectoryService {
            hosts: RwLock::new(Arc::new(Hosts::new())),
            desk: Arc::new(desk),
            answers,
            rows,
            resolver: Arc::new(Resolver::new()),
        });
        service.adopt(prepared)?;
        let weak = Arc::downgrade(&service);
        thread::Builder::new()
            .name("ldap-rows".to_owned())
            .spawn(move || {
                let service = || weak.upgrade();
                let answer = |question| {
                    if let Some(service) = service() {
                        service.answer_row(question);
                    }
                };
                answer_rows(&asked, answer, |worker, ticket| {
                    log::error!("directory_question_panicked of=rows");
                    if let Some(service) = service() {
                        let answer = Answer::Failed(StoreError::Broken);
                        service.answers.row(worker, ticket, answer);
                    }
                });
            })?;
        Ok(service)
    }

    /// Puts these directories in the place of those that it has, of which those stay whose options and files are the same: that
    /// a certificate of ours is another is no reason to read everybody anew. What was asked of those that go is answered by
    /// them, but for groups that they have not read yet: those who wait for them wait for these.
    ///
    /// # Errors
    /// The system has no thread left; then everything stays as it was.
    pub fn adopt(&self, prepared: Vec<Prepared>) -> io::Result<()> {
        let before = Arc::clone(&self.hosts.read());
        let (mut hosts, mut started) = (Hosts::new(), Vec::new());
        for prepared in prepared {
            let is_same = |it: &&Arc<HostDirectory>| prepared.is_as(&it.shared.config, &it.access);
            match before.get(&prepared.host).filter(is_same) {
                Some(same) => {
                    hosts.insert(Arc::clone(&prepared.host), Arc::clone(same));
                }
                None => started.push(self.start_one(prepared, &before)?),
            }
        }
        // There is none of which the threads could not be started.
        for mut directory in started {
            directory.begin();
            hosts.insert(Arc::clone(&directory.shared.host), Arc::new(directory));
        }
        *self.hosts.write() = Arc::new(hosts);
        let now = Arc::clone(&self.hosts.read());
        let is_kept = |(host, directory): &(&Arc<str>, &Arc<HostDirectory>)| {
            now.get(*host).is_some_and(|it| Arc::ptr_eq(it, directory))
        };
        for (host, directory) in before.iter().filter(|it| !is_kept(it)) {
            for waiting in directory.shared.lists.end() {
                let known = match now.get(host) {
                    Some(directory) => directory.shared.lists.wait(waiting),
                    None => Some(DirectoryAnswer::Unavailable),
                };
                known
                    .into_iter()
                    .for_each(|answer| waiting.hear(&self.answers, answer));
            }
            let means_groups = |it: &&Arc<HostDirectory>| it.shared.config.groups.is_some();
            let is_meant = means_groups(&directory);
            match now.get(host).filter(means_groups) {
                Some(directory) => {
                    let lists = &directory.shared.lists;
                    lists.put_in_force_again(|groups| (self.desk.publish)(host, Some(groups)));
                }
                None if is_meant => (self.desk.publish)(host, None),
                None => {}
            }
        }
        Ok(())
    }

    fn start_one(&self, prepared: Prepared, before: &Hosts) -> io::Result<HostDirectory> {
        let access = prepared.access.by(&self.resolver);
        let before = before.get(&prepared.host).map(Arc::as_ref);
        let prepared = Prepared { access, ..prepared };
        HostDirectory::start(prepared, before, &self.desk, &self.answers)
    }

    /// The permanent rooms that the directory of a host has; none if it has no directory, or was not heard of yet.
    pub fn rooms(&self, host: &str) -> Arc<Rooms> {
        let hosts = Arc::clone(&self.hosts.read());
        let directory = hosts.get(host);
        directory.map_or_else(Arc::default, |directory| directory.shared.rooms.all())
    }

    /// Who has which affiliation to them, of those whose entries they name.
    pub fn people_of_rooms(&self, host: &str) -> Arc<PeopleOfRooms> {
        let hosts = Arc::clone(&self.hosts.read());
        let directory = hosts.get(host);
        directory.map_or_else(Arc::default, |directory| directory.shared.rooms.people())
    }

    /// Asks for a worker; never blocks. The answer comes through its port exactly once.
    pub fn ask(&self, worker: WorkerId, ticket: Ticket, ask: AuthAsk) {
        let hosts = Arc::clone(&self.hosts.read());
        let found = host_of(&ask).and_then(|host| hosts.get(host));
        let Some(directory) = found else {
            return (self.desk.pass_on)(worker, ticket, ask);
        };
        let question = |localpart: Arc<str>, wish| Question {
            asked: Instant::now(),
            worker,
            ticket,
            localpart,
            wish,
        };
        let question = match ask {
            AuthAsk::Admission { localpart, .. } => question(localpart, Wish::Admission),
            AuthAsk::Certified {
                subject, localpart, ..
            } => question(localpart.unwrap_or_default(), Wish::Certified(subject)),
            AuthAsk::ScramKeys {
                localpart, hash, ..
            } => question(localpart, Wish::Keys(hash)),
            AuthAsk::Password {
                localpart,
                password,
                ..
            } => match (self.desk.prepare)(&password) {
                Some(password) => question(localpart, Wish::Password(password)),
                // As with any other wrong one.
                None => {
                    let refused = AuthAnswer::Refused;
                    return self.answers.refuse(Instant::now(), worker, ticket, refused);
                }
            },
            AuthAsk::Token(proof) => {
                let localpart = Arc::clone(&proof.localpart);
                let ask = AuthAsk::Token(proof);
                if directory.shared.known.standing(&localpart, Instant::now())
                    == Some(Standing::Member)
                {
                    return (self.desk.pass_on)(worker, ticket, ask);
                }
                question(localpart, Wish::Standing(Box::new(ask)))
            }
            AuthAsk::Own(
                AccountAsk::SetPassword {
                    localpart,
                    account,
                    password,
                    ..
                },
                prefix,
            ) => question(
                localpart,
                Wish::SetPassword {
                    account,
                    password,
                    prefix,
                },
            ),
            // Who leaves the organisation leaves the directory.
            AuthAsk::Own(AccountAsk::Remove { .. }, _) => {
                let gone = AuthAnswer::Own(AccountAnswer::Gone);
                return self.answers.auth(worker, ticket, gone);
            }
            ask => return (self.desk.pass_on)(worker, ticket, ask),
        };
        directory.ask(question);
    }

    /// The same about what a directory says of somebody.
    pub fn ask_about(&self, worker: WorkerId, ticket: Ticket, ask: DirectoryAsk) {
        let hosts = Arc::clone(&self.hosts.read());
        match hosts.get(&ask.host) {
            Some(directory) => directory.ask_about(worker, ticket, ask),
            // A reload took the directory away.
            None => {
                let answer = DirectoryAnswer::Unavailable;
                self.answers.profile(worker, ticket, answer);
            }
        }
    }

    /// Whether this is the row of an account that a directory knows better; then the question is taken over. Never
    /// blocks.
    pub fn takes_row(&self, worker: WorkerId, ticket: Ticket, key: &RowKey) -> bool {
        let hosts = Arc::clone(&self.hosts.read());
        let Some(host) = hosts.keys().find(|host| localpart_of(host, key).is_some()) else {
            return false;
        };
        let seat = &self.answers.seats[worker.index()];
        let question = RowQuestion {
            worker,
            ticket,
            host: Arc::clone(host),
            key: key.clone(),
        };
        if !seat.take() {
            (seat.port)(ticket, Answer::Failed(StoreError::Overloaded));
        } else if self.rows.try_send(question).is_err() {
            let answer = Answer::Failed(StoreError::Overloaded);
            self.answers.row(worker, ticket, answer);
        }
        true
    }

    /// Answers by what is stored and remembered, or asks the directory.
    fn answer_row(&self, question: RowQuestion) {
        let RowQuestion {
            worker,
            ticket,
            host,
            key,
        } = question;
        let hosts = Arc::clone(&self.hosts.read());
        let row = match (self.desk.row)(&key) {
            Ok(row) => row,
            Err(error) => return self.answers.row(worker, ticket, Answer::Failed(error)),
        };
        // A reload may have taken the directory away meanwhile.
        let (Some(directory), Some(localpart)) = (hosts.get(&host), localpart_of(&host, &key))
        else {
            return self.answers.row(worker, ticket, Answer::Row(row));
        };
        let localpart: Arc<str> = Arc::from(localpart);
        let asked = Instant::now();
        match (directory.shared.known.standing(&localpart, asked), &row) {
            (Some(Standing::Unknown), _) => self.answers.row(worker, ticket, Answer::Row(None)),
            (Some(Standing::Barred | Standing::Member), Some(_)) => {
                self.answers.row(worker, ticket, Answer::Row(row))
            }
            _ => directory.ask(Question {
                asked,
                worker,
                ticket,
                localpart,
                wish: Wish::Exists(row),
            }),
        }
    }
}

impl Answers {
    /// An answer about a login.
    pub fn auth(&self, worker: WorkerId, ticket: Ticket, answer: AuthAnswer) {
        (self.seats[worker.index()].port)(ticket, Answer::Auth(answer));
    }

    /// An answer about what an entry says.
    pub fn profile(&self, worker: WorkerId, ticket: Ticket, answer: DirectoryAnswer) {
        (self.seats[worker.index()].port)(ticket, Answer::Directory(answer));
    }

    /// An answer to a question about a row.
    pub fn row(&self, worker: WorkerId, ticket: Ticket, answer: Answer) {
        let seat = &self.seats[worker.index()];
        seat.leave();
        (seat.port)(ticket, answer);
    }

    /// An answer of any kind: those of rows have a seat.
    pub fn any(&self, (worker, ticket, answer): (WorkerId, Ticket, Answer)) {
        match answer {
            Answer::Auth(_) | Answer::Directory(_) => {
                (self.seats[worker.index()].port)(ticket, answer);
            }
            answer => self.row(worker, ticket, answer),
        }
    }

    /// An answer that waits, as all refusals do.
    pub fn refuse(&self, asked: Instant, worker: WorkerId, ticket: Ticket, answer: AuthAnswer) {
        let due = refusals::due(asked, Instant::now());
        let answer = (worker, ticket, Answer::Auth(answer));
        let waiting = Waiting { due, answer };
        if let Err(refused) = self.refusals.send(waiting) {
            let (worker, ticket, answer) = refused.into_inner().answer;
            (self.seats[worker.index()].port)(ticket, answer);
        }
    }
}

impl Seat {
    fn take(&self) -> bool {
        let before = self.outstanding.fetch_add(1, Ordering::Relaxed);
        if before >= limits::DIRECTORY_OUTSTANDING_MAX {
            self.leave();
            return false;
        }
        true
    }

    fn leave(&self) {
        self.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers one after the other; of what has met a bug of ours that is said (`unserved`), and the next is answered.
fn answer_rows(
    asked: &Receiver<RowQuestion>,
    answer: impl Fn(RowQuestion),
    unserved: impl Fn(WorkerId, Ticket),
) {
    while let Ok(question) = asked.recv() {
        let (worker, ticket) = (question.worker, question.ticket);
        threads::or_else(|| answer(question), || unserved(worker, ticket));
    }
}

/// Room for what all workers may ask.
fn ports_bound(workers: usize) -> usize {
    workers.max(1) * limits::DIRECTORY_OUTSTANDING_MAX
}

/// The host of a question that may be a directory's.
fn host_of(ask: &AuthAsk) -> Option<&Arc<str>> {
    match ask {
        AuthAsk::Admission { host, .. }
        | AuthAsk::Certified { host, .. }
        | AuthAsk::Own(AccountAsk::Remove { host, .. }, _)
        | AuthAsk::Own(AccountAsk::SetPassword { host, .. }, _)
        | AuthAsk::Password { host, .. }
        | AuthAsk::ScramKeys { host, .. } => Some(host),
        AuthAsk::Token(proof) => Some(&proof.host),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_row_that_meets_a_bug_is_answered_and_so_are_those_behind_it() {
        let (ask, asked) = unbounded();
        for number in 1..=3 {
            let question = RowQuestion {
                worker: WorkerId(0),
                ticket: Ticket(number),
                host: Arc::from("a"),
                key: RowKey::new(b"k"),
            };
            ask.send(question).expect("somebody listens");
        }
        drop(ask);
        let answered = RefCell::new(Vec::new());
        let answer = |question: RowQuestion| {
            assert_ne!(question.ticket, Ticket(2), "as a bug would have it");
            answered.borrow_mut().push((question.ticket, "a row"));
        };
        answer_rows(&asked, answer, |_, ticket| {
            answered.borrow_mut().push((ticket, "none"));
        });
        let expected = [
            (Ticket(1), "a row"),
            (Ticket(2), "none"),
            (Ticket(3), "a row"),
        ];
        assert_eq!(answered.into_inner(), expected);
    }
}
