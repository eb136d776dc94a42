//! The threads around [`Accounts`] as their callers see them: which of them a question goes to, and how many may wait.
//! Refuses to know what is asked, and never waits for a worker.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Sender, bounded, unbounded};

use super::accounts::Accounts;
use super::threads::{
    answer_in_turns, answer_quickly, commit_tokens, derive_and_answer, purge_and_answer,
};
use crate::actor::auth::{AccountAsk, AuthAnswer, AuthAsk};
use crate::actor::{Answer, Ticket};
use crate::base::{AccountId, Now, WorkerId, limits};

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
pub(super) struct Seat {
    port: AnswerPort,
    outstanding: AtomicUsize,
}

pub(super) enum Message {
    Question(Question),
    Purge(PurgeOrder),
    Stop,
}

/// Rows of removed accounts that go, and who is told of each.
pub(super) struct PurgeOrder {
    pub accounts: Vec<AccountId>,
    pub what: What,
    pub then: Then,
}

/// Told that nothing of an account is left.
pub type Then = Box<dyn Fn(AccountId) + Send>;

#[derive(Clone, Copy)]
pub(super) enum What {
    /// They were removed just now.
    Purge,
    /// They were removed before the start.
    PurgeAgain,
}

pub(super) struct Question {
    pub worker: WorkerId,
    pub ticket: Ticket,
    pub ask: AuthAsk,
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

    pub fn leave(&self) {
        self.outstanding.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn deliver(&self, ticket: Ticket, answer: AuthAnswer) {
        (self.port)(ticket, Answer::Auth(answer));
    }
}

/// Two, so that one long row of passwords to be tried does not hold up the next: more would take the cores
/// from the workers.
const DERIVING_THREADS: usize = 2;
