//! The threads around [`Accounts`]: one that answers what a read answers and lets failures wait, a few that
//! derive keys. Refuses to know what is asked, and never waits for a worker.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use super::accounts::Accounts;
use super::purge::Purged;
use super::turns::Turns;
use crate::actor::auth::{AccountAsk, AuthAnswer, AuthAsk};
use crate::actor::{Answer, Ticket};
use crate::base::{AccountId, AddressPrefix, Now, WorkerId, limits};

/// How one worker hears its answers: puts it into the worker's inbox and wakes it. Must not block.
pub type AnswerPort = Arc<dyn Fn(Ticket, Answer) + Send + Sync>;

/// Tells the time of the workers' loops, to whichever thread asks.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// Told that a thread panicked.
pub type OnPanic = Arc<dyn Fn() + Send + Sync>;

/// The running threads; shared by all workers. Dropping it ends them.
pub struct AuthService {
    accounts: Arc<Accounts>,
    seats: Arc<[Seat]>,
    quick: Sender<Message>,
    slow: Sender<Message>,
    own: Sender<Message>,
    purges: Sender<Message>,
    tokens: Sender<Message>,
    threads: Vec<JoinHandle<()>>,
}

/// One worker's side: its port, and how many questions of it the quick thread has not answered.
struct Seat {
    port: AnswerPort,
    outstanding: AtomicUsize,
}

enum Message {
    Question(Question),
    Purge(PurgeOrder),
    Stop,
}

/// Rows of removed accounts that go, and who is told of each.
struct PurgeOrder {
    accounts: Vec<AccountId>,
    what: What,
    then: Then,
}

/// Told that nothing of an account is left.
pub type Then = Box<dyn Fn(AccountId) + Send>;

#[derive(Clone, Copy)]
enum What {
    /// They were removed just now.
    Purge,
    /// They were removed before the start.
    PurgeAgain,
}

struct Question {
    worker: WorkerId,
    ticket: Ticket,
    ask: AuthAsk,
}

impl AuthService {
    /// Starts the threads; `ports` in the order of the workers, `clock` the one that their loops read. `on_panic`
    /// is called on a thread that panicked: without it nobody can log in.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        accounts: &Arc<Accounts>,
        ports: Vec<AnswerPort>,
        clock: Clock,
        on_panic: OnPanic,
    ) -> io::Result<AuthService> {
        let seats: Arc<[Seat]> = ports
            .into_iter()
            .map(|port| Seat {
                port,
                outstanding: AtomicUsize::new(0),
            })
            .collect();
        let (quick, quick_questions) = unbounded();
        let (slow, slow_questions) = bounded(limits::DERIVATIONS_WAITING_MAX);
        let (own, own_questions) = bounded(limits::OWN_WAITING_MAX);
        let (purges, purge_questions) = bounded(limits::PURGES_WAITING_MAX);
        let (tokens, token_questions) = bounded(limits::TOKENS_WAITING_MAX);
        let mut service = AuthService {
            accounts: Arc::clone(accounts),
            seats,
            quick,
            slow,
            own,
            purges,
            tokens,
            threads: Vec::new(),
        };
        let thread = |name: &str| thread::Builder::new().name(name.to_owned());
        let (known, seats) = (Arc::clone(accounts), Arc::clone(&service.seats));
        let quick_clock = Arc::clone(&clock);
        let writers = service.tokens.clone();
        let quick_loop =
            move || answer_quickly(&known, &seats, &quick_questions, &writers, &quick_clock);
        let quick_loop = guarded(quick_loop, Arc::clone(&on_panic));
        service.threads.push(thread("auth").spawn(quick_loop)?);
        for _ in 0..DERIVING_THREADS {
            let (known, seats) = (Arc::clone(accounts), Arc::clone(&service.seats));
            let (questions, clock) = (slow_questions.clone(), Arc::clone(&clock));
            let slow_loop = move || derive_and_answer(&known, &seats, &questions, &clock);
            let slow_loop = guarded(slow_loop, Arc::clone(&on_panic));
            service
                .threads
                .push(thread("auth-derive").spawn(slow_loop)?);
        }
        // Who changes a password or makes an account derives for every digest: on a thread of its own, behind which no
        // login waits.
        let (known, seats) = (Arc::clone(accounts), Arc::clone(&service.seats));
        let own_clock = Arc::clone(&clock);
        let own_loop = move || answer_in_turns(&known, &seats, &own_questions, &own_clock);
        let own_loop = guarded(own_loop, Arc::clone(&on_panic));
        service.threads.push(thread("auth-own").spawn(own_loop)?);
        // Tokens that are made, and moved, wait for the disk: many of them for one commit.
        let (known, seats) = (Arc::clone(accounts), Arc::clone(&service.seats));
        let token_clock = Arc::clone(&clock);
        let token_loop = move || commit_tokens(&known, &seats, &token_questions, &token_clock);
        let token_loop = guarded(token_loop, Arc::clone(&on_panic));
        service
            .threads
            .push(thread("auth-token").spawn(token_loop)?);
        // Removing a large archive takes seconds, in which others want to log in.
        let (known, seats) = (Arc::clone(accounts), Arc::clone(&service.seats));
        let purge_loop = move || purge_and_answer(&known, &seats, &purge_questions, &clock);
        let purge_loop = guarded(purge_loop, on_panic);
        service
            .threads
            .push(thread("auth-purge").spawn(purge_loop)?);
        Ok(service)
    }

    /// Removes the rows of an account that was removed; whether there was room for that among what waits for it. If not,
    /// the next start does it. Never blocks.
    pub fn purge(&self, account: AccountId, then: Then) -> bool {
        let order = PurgeOrder {
            accounts: vec![account],
            what: What::Purge,
            then,
        };
        self.purges.try_send(Message::Purge(order)).is_ok()
    }

    /// The same, again, for those that were removed before the start, before anybody else's. Never blocks.
    pub fn purge_again(&self, accounts: Vec<AccountId>, then: Then) {
        let order = PurgeOrder {
            accounts,
            what: What::PurgeAgain,
            then,
        };
        if self.purges.try_send(Message::Purge(order)).is_err() {
            log::error!("accounts_not_purged reason=\"too many wait for it\"");
        }
    }

    /// Asks for a worker; never blocks. The answer comes through its port exactly once; at once, on this
    /// thread, with `Unavailable`, if too many questions are open.
    pub fn ask(&self, worker: WorkerId, ticket: Ticket, ask: AuthAsk) {
        let seat = &self.seats[worker.index()];
        let question = Question {
            worker,
            ticket,
            ask,
        };
        match question.ask {
            // Neither passwords, which wait for a derivation, nor failures, which wait by design, take seats:
            // if they did, guessing would keep out who knows the password. The first are bounded by their
            // channel; of the second there is at most one for each stream in negotiation.
            AuthAsk::Password { .. } => {
                if self.slow.try_send(Message::Question(question)).is_err() {
                    seat.deliver(ticket, AuthAnswer::Unavailable);
                }
            }
            AuthAsk::IssueToken(_) | AuthAsk::Own(AccountAsk::Revoke { .. }, _) => {
                if self.tokens.try_send(Message::Question(question)).is_err() {
                    seat.deliver(ticket, AuthAnswer::Unavailable);
                }
            }
            AuthAsk::TakeKeys { .. } | AuthAsk::Own(..) | AuthAsk::Register(_) => {
                if self.own.try_send(Message::Question(question)).is_err() {
                    seat.deliver(ticket, AuthAnswer::Unavailable);
                }
            }
            // What does not fit is asked again; the next start purges what never did.
            AuthAsk::Purge(_) => {
                if self.purges.try_send(Message::Question(question)).is_err() {
                    seat.deliver(ticket, AuthAnswer::Unavailable);
                }
            }
            AuthAsk::Failed { .. } => {
                if self.quick.send(Message::Question(question)).is_err() {
                    seat.deliver(ticket, AuthAnswer::Released);
                }
            }
            AuthAsk::ScramKeys { .. }
            | AuthAsk::Admission { .. }
            | AuthAsk::Certified { .. }
            | AuthAsk::Upgrades { .. }
            | AuthAsk::Token(_)
            | AuthAsk::Invitation { .. } => {
                if !seat.take() {
                    seat.deliver(ticket, AuthAnswer::Unavailable);
                } else if self.quick.send(Message::Question(question)).is_err() {
                    seat.leave();
                    seat.deliver(ticket, AuthAnswer::Unavailable);
                }
            }
        }
    }
}

/// What a thread runs, and whoever is told if it panics: nothing of it is used afterwards.
fn guarded(work: impl FnOnce(), on_panic: OnPanic) -> impl FnOnce() {
    move || {
        if panic::catch_unwind(AssertUnwindSafe(work)).is_err() {
            log::error!("auth_thread_panicked");
            on_panic();
        }
    }
}

impl Drop for AuthService {
    /// Answers what was asked before, then ends the threads. What still waits for its penalty is dropped, and rows of
    /// removed accounts are left to the next start.
    fn drop(&mut self) {
        self.accounts.stop_purging();
        // Refused only if the threads are gone already.
        let _ = self.quick.send(Message::Stop);
        for _ in 0..DERIVING_THREADS {
            let _ = self.slow.send(Message::Stop);
        }
        let _ = self.own.send(Message::Stop);
        let _ = self.purges.send(Message::Stop);
        let _ = self.tokens.send(Message::Stop);
        for thread in self.threads.drain(..) {
            // Whoever panicked has told.
            let _ = thread.join();
        }
    }
}

impl Seat {
    fn take(&self) -> bool {
        let before = self.outstanding.fetch_add(1, Ordering::Relaxed);
        if before >= limits::AUTH_OUTSTANDING_MAX {
            self.leave();
            return false;
        }
        true
    }

    fn leave(&self) {
        self.outstanding.fetch_sub(1, Ordering::Relaxed);
    }

    fn deliver(&self, ticket: Ticket, answer: AuthAnswer) {
        (self.port)(ticket, Answer::Auth(answer));
    }
}

/// A failure whose peer may be told at `at_ms`; ordered by that, then by arrival.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    at_ms: u64,
    order: u64,
    worker: WorkerId,
    ticket: Ticket,
}

fn answer_quickly(
    accounts: &Accounts,
    seats: &[Seat],
    questions: &Receiver<Message>,
    tokens: &Sender<Message>,
    clock: &Clock,
) {
    let mut waiting: BinaryHeap<Reverse<Waiting>> = BinaryHeap::new();
    let mut order = 0;
    loop {
        let now = clock();
        while waiting
            .peek()
            .is_some_and(|Reverse(first)| first.at_ms <= now.mono_ms)
        {
            let Some(Reverse(due)) = waiting.pop() else {
                break;
            };
            seats[due.worker.index()].deliver(due.ticket, AuthAnswer::Released);
        }
        let received = match waiting.peek() {
            Some(Reverse(first)) => {
                let wait = Duration::from_millis(first.at_ms.saturating_sub(now.mono_ms));
                questions.recv_timeout(wait)
            }
            None => questions.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let Question {
            worker,
            ticket,
            ask,
        } = match received {
            Ok(Message::Question(question)) => question,
            Err(RecvTimeoutError::Timeout) => continue,
            Ok(Message::Purge(_)) => continue,
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        };
        let seat = &seats[worker.index()];
        let (answer, at_ms) = match ask {
            AuthAsk::Token(proof) => match accounts.peek_token(&proof, clock()) {
                Some(answer) => (answer, 0),
                None => {
                    let question = Question {
                        worker,
                        ticket,
                        ask: AuthAsk::Token(proof),
                    };
                    if tokens.try_send(Message::Question(question)).is_ok() {
                        seat.leave();
                        continue;
                    }
                    (AuthAnswer::Unavailable, 0)
                }
            },
            ask => accounts.answer(ask, clock()),
        };
        match answer {
            AuthAnswer::Released if waiting.len() < limits::PENALTY_WAITING_MAX => {
                waiting.push(Reverse(Waiting {
                    at_ms,
                    order,
                    worker,
                    ticket,
                }));
                order += 1;
            }
            AuthAnswer::Released => seat.deliver(ticket, AuthAnswer::Released),
            other => {
                seat.leave();
                seat.deliver(ticket, other);
            }
        }
    }
}

/// Answers what waits for the disk, many for one commit; of one account one at a time, so that each sees what the one
/// before did.
fn commit_tokens(
    accounts: &Accounts,
    seats: &[Seat],
    questions: &Receiver<Message>,
    clock: &Clock,
) {
    let mut behind = None;
    loop {
        let first = match behind.take() {
            Some(question) => question,
            None => match questions.recv() {
                Ok(Message::Question(question)) => question,
                Ok(Message::Purge(_)) => continue,
                Ok(Message::Stop) | Err(_) => return,
            },
        };
        let mut asked = BTreeSet::new();
        let mut answers = Vec::new();
        let mut writes = Vec::new();
        let mut next = Some(first);
        let mut is_over = false;
        while let Some(question) = next.take() {
            if !asked.insert(account_of(&question.ask)) {
                behind = Some(question);
                break;
            }
            let judged = match &question.ask {
                AuthAsk::Token(proof) => accounts.prove_token(proof, clock()),
                AuthAsk::IssueToken(wish) => accounts.issue_token(wish, clock()),
                AuthAsk::Own(ask, _) => accounts.revoke_clients(ask, clock()),
                // Only tokens are sent here.
                _ => continue,
            };
            answers.push((question.worker, question.ticket, judged.answer));
            writes.extend(judged.writes);
            if answers.len() < limits::TOKEN_BATCH_COUNT {
                match questions.try_recv() {
                    Ok(Message::Question(question)) => next = Some(question),
                    Ok(Message::Stop) => is_over = true,
                    // Nobody sends it here.
                    Ok(Message::Purge(_)) | Err(_) => {}
                }
            }
        }
        let is_kept = writes.is_empty() || accounts.save_tokens(writes).is_ok();
        for (worker, ticket, answer) in answers {
            let answer = match is_kept {
                true => answer,
                false => AuthAnswer::Unavailable,
            };
            seats[worker.index()].deliver(ticket, answer);
        }
        if is_over {
            return;
        }
    }
}

/// Whose token is asked for.
fn account_of(ask: &AuthAsk) -> Option<(Arc<str>, Arc<str>)> {
    match ask {
        AuthAsk::Token(proof) => Some((Arc::clone(&proof.host), Arc::clone(&proof.localpart))),
        AuthAsk::IssueToken(wish) => Some((Arc::clone(&wish.host), Arc::clone(&wish.localpart))),
        AuthAsk::Own(
            AccountAsk::Revoke {
                host, localpart, ..
            },
            _,
        ) => Some((Arc::clone(host), Arc::clone(localpart))),
        _ => None,
    }
}

fn purge_and_answer(
    accounts: &Accounts,
    seats: &[Seat],
    questions: &Receiver<Message>,
    clock: &Clock,
) {
    while let Ok(message) = questions.recv() {
        match message {
            Message::Question(Question {
                worker,
                ticket,
                ask,
            }) => {
                let (answer, _) = accounts.answer(ask, clock());
                seats[worker.index()].deliver(ticket, answer);
            }
            Message::Purge(order) => carry_out(accounts, &order),
            Message::Stop => return,
        }
    }
}

fn carry_out(accounts: &Accounts, order: &PurgeOrder) {
    let mut count = 0;
    for account in &order.accounts {
        let purged = match order.what {
            What::Purge => accounts.purge(*account),
            What::PurgeAgain => accounts.purge_again(*account),
        };
        match purged {
            Ok(Purged::All) => (order.then)(*account),
            // The next start goes on from here.
            Ok(Purged::Stopped) => return,
            Err(error) => {
                return log::error!(
                    "account_purge_failed account={} error=\"{error}\"",
                    account.0
                );
            }
        }
        count += 1;
    }
    log::info!("accounts_purged count={count}");
}

/// Answers what takes long one address after the other, so that none keeps the others waiting.
fn answer_in_turns(
    accounts: &Accounts,
    seats: &[Seat],
    questions: &Receiver<Message>,
    clock: &Clock,
) {
    let mut waiting = Turns::new(limits::OWN_WAITING_OF_ADDRESS_MAX, limits::OWN_WAITING_MAX);
    let mut is_over = false;
    loop {
        let first = match waiting.is_empty() && !is_over {
            true => questions.recv().ok(),
            false => None,
        };
        is_over |= first.is_none() && waiting.is_empty();
        for message in first.into_iter().chain(questions.try_iter()) {
            let Message::Question(question) = message else {
                // Nobody sends orders of purges here.
                is_over = true;
                continue;
            };
            if let Err(refused) = waiting.push(prefix_of(&question.ask), question) {
                seats[refused.worker.index()].deliver(refused.ticket, AuthAnswer::Unavailable);
            }
        }
        match waiting.pop() {
            Some(next) => {
                let (answer, _) = accounts.answer(next.ask, clock());
                seats[next.worker.index()].deliver(next.ticket, answer);
            }
            None if is_over => return,
            None => {}
        }
    }
}

/// From where it is asked, if that is known.
pub(super) fn prefix_of(ask: &AuthAsk) -> Option<AddressPrefix> {
    match ask {
        AuthAsk::Own(_, prefix) => *prefix,
        AuthAsk::Register(registration) => Some(registration.prefix),
        AuthAsk::TakeKeys { prefix, .. } => Some(*prefix),
        _ => None,
    }
}

fn derive_and_answer(
    accounts: &Accounts,
    seats: &[Seat],
    questions: &Receiver<Message>,
    clock: &Clock,
) {
    while let Ok(Message::Question(Question {
        worker,
        ticket,
        ask,
    })) = questions.recv()
    {
        let seat = &seats[worker.index()];
        let (host, localpart, password) = match ask {
            AuthAsk::Password {
                host,
                localpart,
                password,
            } => (host, localpart, password),
            other => {
                let (answer, _) = accounts.answer(other, clock());
                seat.deliver(ticket, answer);
                continue;
            }
        };
        let (answer, upgrade) = accounts.check_password(&host, &localpart, &password);
        // The user first: an upgrade derives three times and waits for the disk.
        seat.deliver(ticket, answer);
        if let Some(upgrade) = upgrade {
            accounts.upgrade(&upgrade);
        }
    }
}

/// Two, so that one long row of passwords to be tried does not hold up the next: more would take the cores
/// from the workers.
const DERIVING_THREADS: usize = 2;
