//! Requests that only read, beside the mailbox (DESIGN section 6): each runs in steps, and a step begins only when
//! the stream of who asked has room for what it delivers. So a long answer is a cursor and not a queue.

use crate::actor::rows::StoreError;
use crate::actor::{Answer, Envelope, Loaded, Need, Stop, Ticket};
use crate::base::{ActorKey, Now, SessionId, limits};
use crate::im::{Account, Progress};
use crate::stanza::{Condition, StanzaError};

use super::Shard;
use super::cell::{Cell, Mail};
use super::load::Pressure;
use super::output::Output;
use super::turns::{Seat, Which, asked, internal_error, loaded, store_error};

/// A request that left the mailbox.
pub(super) struct Aside {
    /// Tells it from the others of its account.
    pub number: u64,
    pub session: SessionId,
    /// What was in the mailbox, its settlement done.
    pub mail: Mail,
    pub progress: Progress,
    /// Rows fetched for the step at hand, and how often that ran.
    pub loaded: Vec<Loaded>,
    pub runs: u8,
    pub parked: Option<Ticket>,
}

impl Shard {
    /// The head of the mailbox asked to leave it.
    pub(super) fn detach(&mut self, now: Now, actor: ActorKey, mail: Option<Mail>) {
        let Some(Mail::Outbound {
            session,
            stanza,
            origin,
        }) = mail
        else {
            // Only an account's own clients are answered in steps.
            return self.reject(now, actor, mail, &crate::im::account::unavailable());
        };
        // Nothing of a read can be lost that its client would not ask for again.
        if let Some(origin) = origin {
            self.route(now, Envelope::Settled(origin));
        }
        let is_crowded = |cell: &Cell| {
            let own = cell.asides.iter().filter(|aside| aside.session == session);
            own.count() >= limits::ASIDES_WAITING_MAX
        };
        if self.pressure() >= Pressure::Floods
            || self.cells.get(actor).is_none_or(|cell| is_crowded(cell))
        {
            return self.tell_session(now, actor, session, &stanza, &busy());
        }
        self.next_aside += 1;
        let aside = Aside {
            number: self.next_aside,
            session,
            mail: Mail::Outbound {
                session,
                stanza,
                origin: None,
            },
            progress: Progress::default(),
            loaded: Vec::new(),
            runs: 0,
            parked: None,
        };
        if let Some(cell) = self.cells.get_mut(actor) {
            cell.asides.push(aside);
        }
        self.run_asides(now, actor);
    }

    /// Lets the first of the account's requests go on, as far as they can.
    pub(super) fn run_asides(&mut self, now: Now, actor: ActorKey) {
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        if cell.asides.is_empty() {
            return;
        }
        let Cell {
            account, asides, ..
        } = &mut **cell;
        // Nobody waits for the answer any more.
        asides.retain(|aside| is_there(account, aside.session));
        let mut tried = 0;
        // One that is done gives its place to the next.
        while let Some(number) = self.next_to_run(actor, &mut tried) {
            while self.step(now, actor, number) {}
        }
    }

    /// The next request that can go on, unless enough of them wait for the store. Those whose client reads nothing keep
    /// nobody else waiting, least of all the account's other devices.
    fn next_to_run(&self, actor: ActorKey, tried: &mut u64) -> Option<u64> {
        let asides = &self.cells.get(actor)?.asides;
        let running = asides.iter().filter(|aside| aside.parked.is_some());
        if running.count() >= limits::ASIDES_MAX {
            return None;
        }
        let mut ready = asides
            .iter()
            .filter(|aside| aside.parked.is_none() && aside.number > *tried);
        let can_go_on = |aside: &&Aside| self.room_for(actor, aside.session) > 0;
        let number = ready.find(can_go_on)?.number;
        *tried = number;
        Some(number)
    }

    /// One step of a request; whether the next may follow at once.
    fn step(&mut self, now: Now, actor: ActorKey, number: u64) -> bool {
        let Some(session) = self.aside(actor, number).map(|aside| aside.session) else {
            return false;
        };
        let room = self.room_for(actor, session);
        if room == 0 {
            // Whatever makes room comes by here again.
            return false;
        }
        if self.pressure() >= Pressure::Floods {
            self.waiting_floods.insert((actor, session));
            return false;
        }
        match self.attempt(now, actor, Which::Aside(number, room)) {
            Ok(()) | Err(Stop::Done) => {
                let more = self.effects.more.take();
                let goes_on = more.is_some();
                match (more, self.aside(actor, number)) {
                    (Some(progress), Some(aside)) => {
                        aside.progress = progress;
                        aside.loaded = Vec::new();
                        aside.runs = 0;
                    }
                    _ => drop(self.forget_aside(actor, number)),
                }
                self.apply(now, actor, None);
                goes_on
            }
            Err(Stop::Need(need)) => {
                self.effects.clear();
                self.park_aside(now, actor, number, need);
                false
            }
            Err(Stop::Reject(error)) => {
                self.effects.clear();
                self.fail_aside(now, actor, number, &error);
                false
            }
            Err(Stop::Aside) => {
                debug_assert!(false, "it has left the mailbox");
                self.effects.clear();
                self.fail_aside(now, actor, number, &internal_error());
                false
            }
        }
    }

    fn park_aside(&mut self, now: Now, actor: ActorKey, number: u64, need: Need) {
        let ask = asked(&need, self.fresh.fence(&need), None);
        match self.seats.take(Seat::Aside(actor, number, need)) {
            Ok(ticket) => {
                if let Some(aside) = self.aside(actor, number) {
                    aside.parked = Some(ticket);
                }
                self.flush_saves(now);
                self.outputs.push_back(Output::Ask(ticket, ask));
            }
            Err(_) => self.fail_aside(now, actor, number, &store_error(StoreError::Overloaded)),
        }
    }

    /// The store answered a request that left the mailbox.
    pub(super) fn fetched_aside(
        &mut self,
        now: Now,
        actor: ActorKey,
        number: u64,
        need: Need,
        answer: Answer,
    ) {
        let Some(aside) = self.aside(actor, number) else {
            return;
        };
        aside.parked = None;
        match loaded(need, answer) {
            Ok(loaded) => aside.loaded.push(loaded),
            Err(error) => self.fail_aside(now, actor, number, &store_error(error)),
        }
        self.run_asides(now, actor);
        // It may have been all that kept the account here.
        self.wake(actor);
    }

    /// How many stanzas the stream of a session takes now.
    fn room_for(&self, actor: ActorKey, session: SessionId) -> usize {
        let session = self
            .cells
            .get(actor)
            .and_then(|cell| cell.account.session(session));
        // What is behind kept messages waits until they are delivered.
        let Some(session) = session.filter(|session| session.flood.is_none()) else {
            return 0;
        };
        let stream = session.stream.and_then(|key| self.streams.get(key));
        if stream.is_none_or(|stream| stream.outbound.bytes() >= limits::CURSOR_REFILL_BYTES) {
            return 0;
        }
        let (count, bytes) = session
            .acks
            .as_ref()
            .map_or((usize::MAX, usize::MAX), |acks| acks.cursor_room());
        if bytes == 0 {
            0
        } else {
            count.min(limits::ASIDE_STEP_COUNT_MAX)
        }
    }

    fn aside(&mut self, actor: ActorKey, number: u64) -> Option<&mut Aside> {
        let asides = &mut self.cells.get_mut(actor)?.asides;
        asides.iter_mut().find(|aside| aside.number == number)
    }

    fn forget_aside(&mut self, actor: ActorKey, number: u64) -> Option<Aside> {
        let asides = &mut self.cells.get_mut(actor)?.asides;
        let at = asides.iter().position(|aside| aside.number == number)?;
        Some(asides.remove(at))
    }

    fn fail_aside(&mut self, now: Now, actor: ActorKey, number: u64, error: &StanzaError) {
        let failed = self.forget_aside(actor, number);
        if let Some(Mail::Outbound {
            session, stanza, ..
        }) = failed.map(|aside| aside.mail)
        {
            self.tell_session(now, actor, session, &stanza, error);
        }
    }
}

fn is_there(account: &Account, session: SessionId) -> bool {
    let session = account.session(session);
    session.is_some_and(|session| !session.ended)
}

fn busy() -> StanzaError {
    StanzaError::new(
        Condition::ResourceConstraint,
        "Too much is being read for you already, try again later",
    )
}

#[cfg(test)]
#[path = "aside_tests.rs"]
mod tests;
