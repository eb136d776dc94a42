//! What turns ask of services, and to whom an answer goes. Refuses to know what is made of it.

use crate::actor::auth::{AccountAsk, AuthAnswer, AuthAsk};
use crate::actor::rows::{Fence, StoreError};
use crate::actor::{Answer, Loaded, Need, Ticket};
use crate::base::{ActorKey, AddressPrefix, Now};

use super::Shard;
use super::output::{Ask, Output};
use super::seats::Seat;

impl Shard {
    /// The address from which the head of the mailbox came.
    fn prefix_of_head(&self, actor: ActorKey) -> Option<AddressPrefix> {
        let cell = self.cells.get(actor)?;
        let session = cell.account.session(cell.mailbox.front()?.sender()?)?;
        Some(self.streams.get(session.stream?)?.prefix)
    }

    /// The head of the mailbox waits for a row.
    pub(super) fn park(&mut self, now: Now, actor: ActorKey, need: Need) {
        let ask = asked(&need, self.fresh.fence(&need), self.prefix_of_head(actor));
        match self.seats.take(Seat::Need(actor, need)) {
            Ok(ticket) => {
                self.cells[actor].parked = Some(ticket);
                self.flush_saves(now);
                self.outputs.push_back(Output::Ask(ticket, ask));
            }
            Err(_) => self.store_failed(now, actor, StoreError::Overloaded),
        }
    }

    /// A service thread answered.
    pub(super) fn answered(&mut self, now: Now, ticket: Ticket, answer: Answer) {
        match self.seats.free(ticket) {
            None => log::debug!("answer_for_nobody ticket={}", ticket.0),
            Some(Seat::Need(actor, need)) => self.fetched(now, actor, ticket, need, answer),
            Some(Seat::Aside(actor, number, need)) => {
                self.fetched_aside(now, actor, number, need, answer);
            }
            Some(Seat::Flood(actor, session)) => self.flooded(now, actor, session, answer),
            Some(Seat::Trim(actor)) => self.trimmed(now, actor, ticket, answer),
            Some(Seat::Sweep) => self.swept(now, answer),
            Some(Seat::Clock) => self.clock_known(now, answer),
            Some(Seat::Emptying) => self.found_emptying(now, answer),
            Some(Seat::Expire(walk)) => self.walked(now, *walk, answer),
            Some(Seat::Waiting(months)) => self.found_waiting(now, months, answer),
            Some(Seat::Rescue(months, next)) => self.rescued(now, months, next, answer),
            Some(Seat::Replay(account)) => self.replayed(now, account, answer),
            Some(Seat::Purge(account)) => self.purged(now, account, answer),
            Some(Seat::Outside(actor, waiting)) => self.directory_answered(actor, *waiting, answer),
            Some(Seat::Save(record)) => {
                self.fresh.answered();
                self.watch_disk(now, &record, &answer);
                self.saved(now, record, answer);
            }
            Some(Seat::Auth(stream) | Seat::Guess(stream)) => {
                let answer = match answer {
                    Answer::Auth(answer) => answer,
                    _ => AuthAnswer::Unavailable,
                };
                self.authenticated(now, stream, ticket, answer);
            }
        }
    }

    fn fetched(&mut self, now: Now, actor: ActorKey, ticket: Ticket, need: Need, answer: Answer) {
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        if cell.parked != Some(ticket) {
            return;
        }
        cell.parked = None;
        match loaded(need, answer) {
            Ok(Loaded::Account { ask, answer }) => self.own_answered(now, actor, ask, answer),
            Ok(loaded) => cell.loaded.push(loaded),
            Err(error) => self.store_failed(now, actor, error),
        }
        self.wake(actor);
    }
}

/// The question that answers a need.
pub(super) fn asked(need: &Need, fence: Fence, prefix: Option<AddressPrefix>) -> Ask {
    match need {
        Need::Row(table, key) => Ask::Row {
            table,
            key: key.clone(),
            fence,
        },
        Need::Range(table, range) => Ask::Range {
            table,
            range: range.clone(),
            fence,
        },
        Need::Pick(table, pick) => Ask::Pick {
            table,
            pick: pick.clone(),
            fence,
        },
        Need::Account(ask) => Ask::Auth(AuthAsk::Own(AccountAsk::clone(ask), prefix)),
        Need::Directory(ask) => Ask::Directory(ask.clone()),
    }
}

/// What a run finds of an answer.
pub(super) fn loaded(need: Need, answer: Answer) -> Result<Loaded, StoreError> {
    match (need, answer) {
        (Need::Row(table, key), Answer::Row(value)) => Ok(Loaded::Row { table, key, value }),
        (Need::Range(table, range), Answer::Range { rows, more }) => Ok(Loaded::Range {
            table,
            range,
            rows,
            more,
        }),
        (Need::Pick(table, pick), Answer::Range { rows, more }) => Ok(Loaded::Pick {
            table,
            pick,
            rows,
            more,
        }),
        (Need::Account(ask), Answer::Auth(AuthAnswer::Own(answer))) => {
            Ok(Loaded::Account { ask, answer })
        }
        (Need::Directory(ask), Answer::Directory(answer)) => Ok(Loaded::Directory { ask, answer }),
        (Need::Account(_), Answer::Auth(AuthAnswer::Unavailable)) => Err(StoreError::Overloaded),
        (_, Answer::Failed(error)) => Err(error),
        _ => Err(StoreError::Broken),
    }
}
