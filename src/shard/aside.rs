//! Requests that read much, beside the mailbox (DESIGN section 6): each runs in steps, and a step begins only when
//! the stream of who asked has room for what it delivers. So a long answer is a cursor and not a queue. What a step writes
//! is durable before the next begins, or the request is refused.

use smallvec::SmallVec;

use crate::actor::rows::{StoreError, Write};
use crate::actor::{Answer, Envelope, Loaded, Need, Stop, Ticket};
use crate::base::{ActorKey, Now, SessionId, limits};
use crate::im::archive::Emptying;
use crate::im::{Account, Progress};
use crate::stanza::{Condition, StanzaError};

use super::Shard;
use super::answers::{asked, loaded};
use super::cell::{Cell, Mail};
use super::emptying::is_over;
use super::load::{BUSY, Pressure};
use super::output::Output;
use super::refuse::{internal_error, store_error};
use super::save::Waiter;
use super::seats::Seat;
use super::turns::Which;

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
    /// Where its last step began, while what that wrote is on its way to the disk.
    pub saving: Option<Progress>,
    /// That step was refused for another's sake, and is made once more.
    pub is_again: bool,
}

impl Aside {
    /// A request of this number that no step was made of.
    pub fn new(number: u64, session: SessionId, mail: Mail, progress: Progress) -> Aside {
        Aside {
            number,
            session,
            mail,
            progress,
            loaded: Vec::new(),
            runs: 0,
            parked: None,
            saving: None,
            is_again: false,
        }
    }

    fn is_running(&self) -> bool {
        self.parked.is_some() || self.saving.is_some()
    }

    /// It removes what its user wants removed, and needs nobody who listens for that.
    fn is_emptying(&self) -> bool {
        matches!(self.progress, Progress::Erasing { .. })
    }

    /// Nobody waits for what this session asked any more. What it wanted to be removed is.
    pub fn forget_session(asides: &mut Vec<Aside>, session: SessionId) {
        asides.retain_mut(|aside| {
            if aside.session != session {
                return true;
            }
            if aside.is_emptying() {
                aside.mail = Mail::Emptying;
            }
            matches!(aside.mail, Mail::Emptying)
        });
    }
}

impl Shard {
    /// What this session asked for is done no further, in the next process neither. What is gone is gone.
    pub(super) fn call_off(&mut self, now: Now, actor: ActorKey, session: SessionId) {
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        let failed = cell
            .emptyings_failed
            .iter()
            .filter(|(by, _)| *by == session);
        let asides = cell.asides.iter().filter(|aside| aside.session == session);
        let all = failed
            .map(|(_, at)| at)
            .chain(asides.map(|aside| &aside.progress));
        let mut emptied = Vec::new();
        for progress in all {
            if let Progress::Erasing {
                of, until, count, ..
            } = *progress
            {
                log::warn!(
                    "emptying_called_off account={} removed={count}",
                    cell.account.jid
                );
                emptied.push(Emptying::key(of, until));
            }
        }
        cell.emptyings_failed.retain(|(by, _)| *by != session);
        // One that failed may have been gone on with since, and is nobody's then.
        let is_called_off = |aside: &Aside| match aside.progress {
            Progress::Erasing { of, until, .. } => emptied.contains(&Emptying::key(of, until)),
            _ => false,
        };
        cell.asides
            .retain(|aside| aside.session != session && !is_called_off(aside));
        if !emptied.is_empty() {
            self.empty_no_further(now, emptied);
        }
    }

    /// The head of the mailbox asked to leave it. `progress` is where it begins.
    pub(super) fn detach(
        &mut self,
        now: Now,
        actor: ActorKey,
        mail: Option<Mail>,
        progress: Progress,
    ) {
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
        let refusal = if self.pressure() >= Pressure::Archive {
            BUSY
        } else if self.cells.get(actor).is_none_or(|cell| is_crowded(cell)) {
            CROWDED
        } else {
            ""
        };
        if !refusal.is_empty() {
            let error = StanzaError::new(Condition::ResourceConstraint, refusal);
            return self.tell_session(now, actor, session, &stanza, &error);
        }
        self.next_aside += 1;
        let mail = Mail::Outbound {
            session,
            stanza,
            origin: None,
        };
        let aside = Aside::new(self.next_aside, session, mail, progress);
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
        let is_over = |aside: &Aside| {
            !matches!(aside.mail, Mail::Emptying) && !is_there(account, aside.session)
        };
        let over: SmallVec<[SessionId; 2]> = asides
            .iter()
            .filter(|aside| is_over(aside))
            .map(|aside| aside.session)
            .collect();
        for session in over {
            Aside::forget_session(asides, session);
        }
        // Whoever made a step is the last to make the next.
        while let Some((number, room)) = self.next_to_run(actor) {
            self.step(now, actor, number, room);
        }
    }

    /// The next request that can go on, and how many stanzas it may deliver, unless enough of them wait for the store.
    /// Those whose client reads nothing keep nobody else waiting, nor do the others of one session: least of all the
    /// account's other devices.
    fn next_to_run(&mut self, actor: ActorKey) -> Option<(u64, usize)> {
        let asides = &self.cells.get(actor)?.asides;
        let running = || asides.iter().filter(|aside| aside.is_running());
        if running().count() >= limits::ASIDES_MAX {
            return None;
        }
        let is_free = |aside: &&Aside| {
            !aside.is_running() && running().all(|other| other.session != aside.session)
        };
        let mut ready = asides.iter().filter(is_free);
        // Whatever makes room comes by here again.
        let found = ready.find_map(|aside| match self.room_for(actor, aside) {
            0 => None,
            room => Some((aside.number, room)),
        });
        let found = found?;
        if self.pressure() >= Pressure::Archive {
            self.waiting_asides.insert(actor);
            return None;
        }
        Some(found)
    }

    /// One step of a request.
    fn step(&mut self, now: Now, actor: ActorKey, number: u64, room: usize) {
        match self.attempt(now, actor, Which::Aside(number, room)) {
            Ok(()) | Err(Stop::Done) => self.stepped(now, actor, number),
            Err(Stop::Need(need)) => {
                self.effects.clear();
                self.park_aside(now, actor, number, need);
            }
            Err(Stop::Reject(error)) => {
                self.effects.clear();
                self.fail_aside(now, actor, number, &error);
            }
            Err(Stop::Aside) => {
                debug_assert!(false, "it has left the mailbox");
                self.effects.clear();
                self.fail_aside(now, actor, number, &internal_error());
            }
        }
    }

    /// A step is done: what it caused happens, and the next is made when it is this request's turn again.
    fn stepped(&mut self, now: Now, actor: ActorKey, number: u64) {
        let more = self.effects.more.take();
        let Some((progress, mut aside)) = more.zip(self.forget_aside(actor, number)) else {
            self.forget_aside(actor, number);
            return self.apply(now, actor, None);
        };
        let writes: Vec<Write> = self.effects.write.drain(..).collect();
        let began = std::mem::replace(&mut aside.progress, progress);
        aside.loaded = Vec::new();
        aside.runs = 0;
        aside.saving = (!writes.is_empty()).then_some(began);
        let makes_room = aside.is_emptying();
        if let Some(cell) = self.cells.get_mut(actor) {
            cell.asides.push(aside);
        }
        self.apply(now, actor, None);
        if writes.is_empty() {
            return;
        }
        if makes_room {
            // Apart from what a disk without room refuses.
            self.flush_saves(now);
        }
        self.save_awaited(writes.into_iter(), Waiter::Step(actor, number));
        if makes_room {
            self.flush_saves(now);
        }
    }

    /// What a step wrote was refused because a save before it or beside it was, and maybe nobody looked at it by itself. If it
    /// removes what its owner wants removed, it is made once more, of what is there now: on a disk without room, and maybe only
    /// there, that goes. Whether it is.
    pub(super) fn step_again(&mut self, now: Now, actor: ActorKey, number: u64) -> bool {
        let Some(aside) = self.aside(actor, number) else {
            return false;
        };
        if !aside.is_emptying() || std::mem::replace(&mut aside.is_again, true) {
            return false;
        }
        if let Some(began) = aside.saving.take() {
            aside.progress = began;
        }
        self.run_asides(now, actor);
        self.wake(actor);
        true
    }

    /// What a step wrote is durable, or never will be.
    pub(super) fn step_committed(
        &mut self,
        now: Now,
        actor: ActorKey,
        number: u64,
        error: Option<StoreError>,
    ) {
        match error {
            None => {
                if let Some(aside) = self.aside(actor, number) {
                    (aside.saving, aside.is_again) = (None, false);
                }
            }
            Some(error) => {
                if let Some(cell) = self.cells.get_mut(actor) {
                    // What was counted may not be so.
                    cell.account.archive = None;
                }
                self.fail_aside(now, actor, number, &store_error(error));
            }
        }
        self.run_asides(now, actor);
        self.wake(actor);
    }

    pub(super) fn park_aside(&mut self, now: Now, actor: ActorKey, number: u64, need: Need) {
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
            Ok(loaded) if is_over(&loaded) => drop(self.forget_aside(actor, number)),
            Ok(loaded) => aside.loaded.push(loaded),
            Err(error) => self.fail_aside(now, actor, number, &store_error(error)),
        }
        self.run_asides(now, actor);
        // It may have been all that kept the account here.
        self.wake(actor);
    }

    /// How many stanzas a step may deliver now.
    fn room_for(&self, actor: ActorKey, aside: &Aside) -> usize {
        if aside.is_emptying() {
            return 1;
        }
        let session = self
            .cells
            .get(actor)
            .and_then(|cell| cell.account.session(aside.session));
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
        let Some(failed) = self.forget_aside(actor, number) else {
            return;
        };
        match failed.mail {
            Mail::Outbound {
                session, stanza, ..
            } => {
                self.emptying_failed(now, actor, session, failed.progress);
                self.tell_session(now, actor, session, &stanza, error);
            }
            // Nobody hears of it: it is tried again (`emptying.rs`).
            _ => self.keep_emptying(actor, &failed),
        }
    }
}

fn is_there(account: &Account, session: SessionId) -> bool {
    let session = account.session(session);
    session.is_some_and(|session| !session.ended)
}

const CROWDED: &str = "Too much is being read for you already, try again later";

#[cfg(test)]
#[path = "aside_tests.rs"]
mod tests;
