//! What each thread of the [service](super::service) does with its questions: one answers what a read answers and lets failures
//! wait, one commits many tokens at once, one takes what is long in turns, two derive keys, one removes rows. Refuses to know
//! who asks, and which questions come here.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::accounts::Accounts;
use super::purge::Purged;
use super::service::{Clock, Message, PurgeOrder, Question, Seat, What};
use super::turns::Turns;
use crate::actor::Ticket;
use crate::actor::auth::{AccountAsk, AuthAnswer, AuthAsk};
use crate::base::{AddressPrefix, WorkerId, limits};

/// A failure whose peer may be told at `at_ms`; ordered by that, then by arrival.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    at_ms: u64,
    order: u64,
    worker: WorkerId,
    ticket: Ticket,
}

pub(super) fn answer_quickly(
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
pub(super) fn commit_tokens(
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

pub(super) fn purge_and_answer(
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
pub(super) fn answer_in_turns(
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

pub(super) fn derive_and_answer(
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
