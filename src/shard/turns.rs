//! Turns: the head of a mailbox is run from its start until it has all it needs, then its effects go out. A
//! panic in a turn costs the stanza, not the worker.

use std::panic::{AssertUnwindSafe, catch_unwind};

use slotmap::SlotMap;
use smallvec::SmallVec;

use crate::actor::auth::{AccountAsk, AuthAnswer, AuthAsk};
use crate::actor::directory::DirectoryAsk;
use crate::actor::rows::{Fence, RowKey, StoreError};
use crate::actor::{
    Answer, Aside, Draft, Envelope, Loaded, Need, Origin, Outcome, Stop, Tell, Ticket, Turn,
};
use crate::base::{AccountId, ActorKey, AddressPrefix, Now, SessionId, StreamKey, limits};
use crate::config::Config;
use crate::features::mam;
use crate::im::account::Change;
use crate::im::{iq, message, presence, roster, subscription};
use crate::jid::Jid;
use crate::stanza::{
    Condition, ErrorType, Kind, Newcomer, Sender, Stanza, StanzaError, Type, reply_error,
};

use super::Shard;
use super::cell::{Cell, Mail};
use super::expiry::Walk;
use super::output::{Ask, Output};
use super::pipelines::{self, Pipelines};
use super::retention::Months;
use super::save::SaveRecord;

slotmap::new_key_type! {
    pub(super) struct SeatKey;
}

/// Seats kept for answers, and how many of each service are taken.
#[derive(Default)]
pub(super) struct Seats {
    seats: SlotMap<SeatKey, Seat>,
    store: usize,
    auth: usize,
    directory: usize,
}

/// Who asked.
pub(super) enum Seat {
    Need(ActorKey, Need),
    /// A request that left the mailbox.
    Aside(ActorKey, u64, Need),
    Flood(ActorKey, SessionId),
    /// The oldest of an archive that holds too much.
    Trim(ActorKey),
    Sweep,
    /// The moment up to which the clock is believed.
    Clock,
    /// Archives that are being emptied.
    Emptying,
    /// What waits for clients, before months leave the archives.
    Waiting(Months),
    /// What a host that keeps archives shorter than another has to remove.
    Expire(Box<Walk>),
    /// The messages that it stands for.
    Rescue(Months, Option<RowKey>),
    /// Tells of this account, or of all.
    Replay(Option<AccountId>),
    /// A removed account's rows.
    Purge(AccountId),
    Save(SaveRecord),
    /// What left a mailbox until a directory has answered.
    Outside(ActorKey, Box<(Mail, DirectoryAsk)>),
    Auth(StreamKey),
    /// A guess at a password, or the leave to say that one was wrong.
    Guess(StreamKey),
}

impl Seats {
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Questions to the store, saves included.
    pub fn store_count(&self) -> usize {
        self.store
    }

    /// Keeps a seat, or none when the service's share is used up. A save always gets one: refusing it would
    /// break a promise, and its number is bounded by the turns of the loop.
    pub fn take(&mut self, seat: Seat) -> Result<Ticket, Seat> {
        let (used, bound) = match &seat {
            Seat::Auth(_) | Seat::Need(_, Need::Account(_)) => {
                (&mut self.auth, limits::AUTH_OUTSTANDING_MAX)
            }
            // Both wait long, one of them by design: if they took from what others need, guessing would keep
            // out who knows the password. There is at most one for each stream in negotiation.
            // A purge has no one who would hear that there was no seat.
            Seat::Guess(_) | Seat::Purge(_) => {
                return Ok(super::shard::ticket(self.seats.insert(seat)));
            }
            Seat::Save(_) => (&mut self.store, usize::MAX),
            Seat::Outside(..) => (&mut self.directory, limits::DIRECTORY_OUTSTANDING_MAX),
            Seat::Need(..)
            | Seat::Aside(..)
            | Seat::Flood(..)
            | Seat::Trim(_)
            | Seat::Sweep
            | Seat::Clock
            | Seat::Emptying
            | Seat::Waiting(_)
            | Seat::Expire(_)
            | Seat::Rescue(..)
            | Seat::Replay(_) => (&mut self.store, limits::STORE_OUTSTANDING_MAX),
        };
        if *used >= bound {
            return Err(seat);
        }
        *used += 1;
        Ok(super::shard::ticket(self.seats.insert(seat)))
    }

    /// Whether this is waited for by whoever has something done to an account.
    pub fn is_about_account(&self, ticket: Ticket) -> bool {
        let seat = self.seats.get(slotmap::KeyData::from_ffi(ticket.0).into());
        matches!(seat, Some(Seat::Need(_, Need::Account(_))))
    }

    /// The answer is here; none for a seat that was given up.
    pub fn free(&mut self, ticket: Ticket) -> Option<Seat> {
        let seat = self
            .seats
            .remove(slotmap::KeyData::from_ffi(ticket.0).into())?;
        match &seat {
            Seat::Auth(_) | Seat::Need(_, Need::Account(_)) => self.auth -= 1,
            Seat::Guess(_) | Seat::Purge(_) => {}
            Seat::Outside(..) => self.directory -= 1,
            _ => self.store -= 1,
        }
        Some(seat)
    }
}

impl Shard {
    /// The account at this address, made resident if it is not.
    pub(super) fn cell_at(&mut self, now: Now, jid: &Jid) -> ActorKey {
        if let Some(&actor) = self.homes.get(jid.bare_str()) {
            return actor;
        }
        let mut account = crate::im::Account::new(jid.to_bare());
        account.membership = self.membership_of(jid);
        let actor = self.cells.insert(Box::new(Cell::new(now, account)));
        self.homes.insert(jid.bare_str().into(), actor);
        actor
    }

    /// Puts mail into the box of the account at this address.
    pub(super) fn post(&mut self, now: Now, to: &Jid, mail: Mail) {
        let actor = self.cell_at(now, to);
        self.post_in(now, actor, mail);
    }

    /// The same where the account is known to be resident.
    pub(super) fn post_in(&mut self, now: Now, actor: ActorKey, mail: Mail) {
        let Mail::Inbound {
            stanza,
            settle,
            tell,
        } = &mail
        else {
            return self.post_to(actor, mail);
        };
        if stanza.header.type_ == Type::Probe
            && self.cells[actor].mailbox.counts().1 >= limits::PROBES_WAIT_MAX
            && let Some(answer) = presence::turned_away(&self.cells[actor].account, stanza)
        {
            // It says nothing that what waits could change.
            let answer = Envelope::Stanza {
                stanza: answer,
                settle: None,
            };
            return self.route(now, answer);
        }
        if self.cells[actor].mailbox.requests() >= limits::REQUESTS_WAIT_MAX
            && let Some(error) = iq::turned_away(&self.catalog, &self.cells[actor].account, stanza)
        {
            let (stanza, settle) = (stanza.clone(), *settle);
            self.bounce(now, &stanza, &error);
            return self.settle(now, settle);
        }
        if !self.cells[actor].mailbox.is_full_for(stanza.header.kind) {
            return self.post_to(actor, mail);
        }
        // DESIGN section 7: messages and IQs bounce; presence coalesces.
        let (stanza, settle, tell) = (stanza.clone(), *settle, *tell);
        if stanza.header.kind == Kind::Presence {
            self.coalesce_mail(now, actor, &stanza);
        }
        if self.has_room_for(actor, &stanza, tell) {
            return self.post_to(actor, mail);
        }
        match (stanza.header.kind, tell) {
            (_, Some(_)) => self.retell_soon(now),
            (Kind::Presence, None) => {}
            _ => self.bounce(now, &stanza, &overloaded()),
        }
        self.settle(now, settle);
    }

    /// Whoever waits for the fate of something that comes to nothing is told.
    pub(super) fn settle(&mut self, now: Now, origin: Option<Origin>) {
        if let Some(origin) = origin {
            self.route(now, Envelope::Settled(origin));
        }
    }

    /// Whether a stanza gets into a mailbox that is full: what nobody says again, and what strangers cannot send.
    fn has_room_for(&self, actor: ActorKey, stanza: &Stanza, tell: Option<Tell>) -> bool {
        let Cell {
            mailbox, account, ..
        } = &*self.cells[actor];
        let header = &stanza.header;
        let is_answer = matches!(header.type_, Type::Result | Type::Error);
        if !mailbox.is_full_for(header.kind) {
            return true;
        }
        if tell.is_some() || is_answer {
            return !mailbox.holds_times(header.kind, 3);
        }
        // RFC 6121 section 4.5.3: what a contact says of itself "MUST" be delivered.
        let is_known = || {
            let from = header.from.as_ref();
            // Who its contacts are may not have been read yet.
            let is_unread = account.last_roster().is_none() && account.roster().is_none();
            let is_contact = |from: &Jid| account.last_standing(from).to || is_unread;
            presence::is_own(account, from)
                || from.is_some_and(is_contact)
                || is_joined(account, &self.config, from)
        };
        header.kind == Kind::Presence && !mailbox.holds_times(Kind::Presence, 2) && is_known()
    }

    /// Takes out of a mailbox what this presence makes void; whoever waits for its fate is told.
    fn coalesce_mail(&mut self, now: Now, actor: ActorKey, stanza: &Stanza) {
        let cell = &mut self.cells[actor];
        let from = stanza.header.from.as_ref();
        let sender = match is_joined(&cell.account, &self.config, from) {
            true => Sender::Joined,
            false => Sender::Other,
        };
        let Some(newcomer) = Newcomer::new(stanza, sender) else {
            return;
        };
        for mail in cell.mailbox.coalesce(&newcomer) {
            if let Some(origin) = mail.settles() {
                self.route(now, Envelope::Settled(origin));
            }
        }
    }

    /// Puts mail into the box of a resident account.
    pub(super) fn post_to(&mut self, actor: ActorKey, mail: Mail) {
        if let Some(cell) = self.cells.get_mut(actor) {
            cell.mailbox.borrow_queue(&mut self.spare_mail);
            cell.mailbox.push(mail);
            self.wake(actor);
        }
    }

    /// The account shall be run before this turn of the loop ends.
    pub(super) fn wake(&mut self, actor: ActorKey) {
        if let Some(cell) = self.cells.get_mut(actor)
            && !cell.is_ready
        {
            cell.is_ready = true;
            self.ready.push_back(actor);
        }
    }

    /// Reads mail until the box is empty or the head has to wait.
    pub(super) fn run(&mut self, now: Now, actor: ActorKey) {
        if self.regrouping.is_under_way() {
            self.catch_up(actor);
        }
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        cell.is_ready = false;
        cell.used_at_ms = now.mono_ms;
        self.take_up(actor);
        while let Some(cell) = self.cells.get(actor) {
            if cell.waits() || cell.mailbox.front().is_none() {
                break;
            }
            if self.has_no_room_for(actor) {
                let mail = self.finish_mail(actor);
                self.reject(now, actor, mail, &store_error(StoreError::DiskFull));
                continue;
            }
            let outcome = self.attempt(now, actor, Which::Head);
            match outcome {
                Ok(()) | Err(Stop::Done) if self.waits_for_commit() => self.hold(actor),
                Ok(()) | Err(Stop::Done) => {
                    let mail = self.finish_mail(actor);
                    self.apply(now, actor, mail);
                }
                Err(Stop::Need(Need::Directory(ask))) => {
                    self.keep_what_was_read(now, actor);
                    self.ask_directory(now, actor, *ask);
                }
                Err(Stop::Need(need)) => {
                    self.effects.clear();
                    self.park(now, actor, need);
                }
                Err(Stop::Reject(error)) => {
                    self.keep_what_was_read(now, actor);
                    let mail = self.finish_mail(actor);
                    self.reject(now, actor, mail, &error);
                }
                Err(Stop::Aside) => {
                    let progress = self.effects.more.take().unwrap_or_default();
                    self.effects.clear();
                    let mail = self.finish_mail(actor);
                    self.detach(now, actor, mail, progress);
                }
            }
            self.take_up(actor);
        }
        self.count_cell(actor);
        self.resume_own(actor);
        self.arm_actor(now, actor);
    }

    /// A turn is refused: of what it caused only what it learnt of the store stays.
    fn keep_what_was_read(&mut self, now: Now, actor: ActorKey) {
        let mut has_archive = false;
        if let Some(cell) = self.cells.get_mut(actor) {
            for change in self.effects.change.drain(..).filter(Change::is_read) {
                has_archive |= matches!(change, Change::ArchiveRead(_));
                cell.account.apply(change);
            }
        }
        self.effects.clear();
        if has_archive {
            self.trim_archive(now, actor);
        }
    }

    /// One run of the head of the mailbox, or of a step of a request that left it.
    pub(super) fn attempt(&mut self, now: Now, actor: ActorKey, which: Which) -> Outcome {
        if matches!(which, Which::Head)
            && (self.is_held_elsewhere(actor) || self.is_of_revoked(actor))
        {
            return Ok(());
        }
        let cell = &mut self.cells[actor];
        let runs = match which {
            Which::Head => &mut cell.runs,
            Which::Aside(number, _) => match cell.asides.iter_mut().find(|a| a.number == number) {
                Some(aside) => &mut aside.runs,
                None => return Ok(()),
            },
        };
        *runs += 1;
        let runs_max = match which {
            Which::Head => limits::TURN_RUNS_MAX,
            Which::Aside(..) => limits::ASIDE_RUNS_MAX,
        };
        if *runs > runs_max {
            log::error!("turn_restarts_forever account={}", cell.account.jid);
            return Err(Stop::Reject(internal_error()));
        }
        let cell = &self.cells[actor];
        let (mail, loaded, aside) = match which {
            Which::Head => (cell.mailbox.front(), &cell.loaded, None),
            Which::Aside(number, room) => {
                let Some(at) = cell.asides.iter().find(|a| a.number == number) else {
                    return Ok(());
                };
                let progress = &at.progress;
                (Some(&at.mail), &at.loaded, Some(Aside { progress, room }))
            }
        };
        let Some(host) = self.config.host(cell.account.jid.domainpart()) else {
            // A reload took the domain away.
            return Err(Stop::Reject(StanzaError::new(
                Condition::ServiceUnavailable,
                "",
            )));
        };
        let mut turn = Turn {
            now,
            config: &self.config,
            host,
            catalog: &self.catalog,
            actor: &cell.account,
            rng: &mut self.rng,
            sequence: &mut self.sequence,
            seal: &self.seal,
            out: &mut self.effects,
            loaded,
            asker: mail.and_then(Mail::sender),
            disk: self.disk,
            aside,
        };
        let Some(mail) = mail else {
            return Ok(());
        };
        // The actor is lent immutably and the effects of a broken run are dropped: nothing that a panic could
        // leave half-done is seen again.
        match catch_unwind(AssertUnwindSafe(|| {
            read_mail(&mut turn, mail, &self.pipelines)
        })) {
            Ok(outcome) => outcome,
            Err(_) => {
                log::error!("turn_panicked account={}", cell.account.jid);
                self.effects.clear();
                self.count_panic(now, actor);
                Err(Stop::Reject(internal_error()))
            }
        }
    }

    /// Whether the head of the mailbox was sent by a session that has been thrown out since.
    fn is_of_revoked(&self, actor: ActorKey) -> bool {
        let cell = &self.cells[actor];
        let sender = cell.mailbox.front().and_then(Mail::sender);
        let session = sender.and_then(|sender| cell.account.session(sender));
        session.is_some_and(|session| session.revoked)
    }

    /// Takes the head off the mailbox: its turn is over.
    pub(super) fn finish_mail(&mut self, actor: ActorKey) -> Option<Mail> {
        let cell = self.cells.get_mut(actor)?;
        cell.runs = 0;
        cell.loaded = Vec::new();
        cell.mailbox.pop(&mut self.spare_mail)
    }

    /// Carries out what the turn wrote.
    pub(super) fn apply(&mut self, now: Now, actor: ActorKey, mail: Option<Mail>) {
        // Lent out and put back, so that its memory is used again.
        let mut effects = std::mem::take(&mut self.effects);
        let mut owed: SmallVec<[SessionId; 4]> = SmallVec::new();
        let mut is_over = false;
        let mut own = mail.as_ref().and_then(|mail| self.origin_of(actor, mail));
        self.leave_unstored(actor, &effects.deliver, &mut own);
        for change in effects.change.drain(..) {
            match change {
                Change::DeliverPending { session } => self.begin_flood(now, actor, session, 0),
                Change::Ended(session) => {
                    self.forget_session(actor, session);
                    is_over = true;
                }
                Change::TrimArchive => self.trim_archive(now, actor),
                Change::ArchiveRead(archive) => {
                    if let Some(cell) = self.cells.get_mut(actor) {
                        cell.account.apply(Change::ArchiveRead(archive));
                    }
                    // It may have left memory before it lost its oldest messages.
                    self.trim_archive(now, actor);
                }
                Change::EndSessions(ids) => self.expel_by_user(now, actor, ids),
                Change::GiveUp(ids) => self.give_up(now, actor, ids),
                Change::Claimed {
                    session,
                    claim,
                    is_new,
                } => effects.deliver.extend(
                    self.look_up_capabilities(actor, session, &claim)
                        .filter(|_| is_new),
                ),
                Change::Capable { session, ver, info } => {
                    self.learn_capabilities(actor, session, ver, info);
                }
                change => {
                    if let Change::Missed { session, .. } = &change {
                        owed.push(*session);
                    }
                    if let Some(cell) = self.cells.get_mut(actor) {
                        cell.account.apply(change);
                    }
                }
            }
        }
        for delivery in effects.deliver.drain(..) {
            self.deliver(now, actor, delivery);
        }
        let is_taken = |envelope: &Envelope| {
            matches!(
                envelope,
                Envelope::Stanza {
                    settle: Some(_),
                    ..
                }
            )
        };
        let is_sent = |envelope: &Envelope| matches!(envelope, Envelope::Stanza { .. });
        let goes_on = effects.send.iter().any(is_sent);
        let mut settle = own;
        if !effects.write.is_empty() && effects.send.iter().any(is_taken) {
            // Whoever takes it settles one half, these rows the other.
            self.await_one_more(own);
        }
        let tell = mail.as_ref().and_then(Mail::tells);
        for envelope in effects.send.drain(..) {
            if let Envelope::Stanza {
                settle: taken @ Some(_),
                ..
            } = &envelope
            {
                // Whoever takes the stanza settles it.
                debug_assert_eq!(*taken, settle);
                settle = None;
            }
            self.route(now, envelope);
        }
        if !effects.write.is_empty() {
            settle = own;
        }
        if effects.write.is_empty() {
            if let Some(origin) = settle {
                self.route(now, Envelope::Settled(origin));
            }
        } else {
            let bounce = match mail {
                Some(Mail::Inbound { stanza, .. }) => Some(stanza),
                Some(Mail::Leftover(held)) => Some(held.stanza),
                // Where it goes, it is kept or bounced: that the sender's own copy could not be kept says nothing of it.
                Some(Mail::Outbound { stanza, .. })
                    if stanza.header.kind == Kind::Message && !goes_on =>
                {
                    Some(stanza)
                }
                _ => None,
            };
            if let Some(stanza) = &bounce {
                log::trace!(
                    "stanza_kept trace={} rows={}",
                    stanza.header.trace,
                    effects.write.len()
                );
            }
            self.save(effects.write.drain(..), settle, bounce);
        }
        if let Some(told) = tell {
            self.confirm(now, told);
        }
        self.outputs
            .extend(effects.audit.drain(..).map(Output::Audit));
        self.effects = effects;
        if is_over {
            // What waited behind its requests.
            self.run_asides(now, actor);
        }
        // Now that what it is owed is among the saves.
        for session in owed {
            self.deliver_missed(now, actor, session);
        }
    }

    /// The address from which the head of the mailbox came.
    fn prefix_of_head(&self, actor: ActorKey) -> Option<AddressPrefix> {
        let cell = self.cells.get(actor)?;
        let session = cell.account.session(cell.mailbox.front()?.sender()?)?;
        Some(self.streams.get(session.stream?)?.prefix)
    }

    /// The head of the mailbox waits for a row.
    fn park(&mut self, now: Now, actor: ActorKey, need: Need) {
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

    /// The head of the mailbox could not be done: its sender is told.
    pub(super) fn reject(
        &mut self,
        now: Now,
        actor: ActorKey,
        mail: Option<Mail>,
        error: &StanzaError,
    ) {
        // There is no such account. What failed for want of something, or of a programmer's care, is told again.
        let is_final = !matches!(
            error.condition,
            Condition::InternalServerError | Condition::ResourceConstraint
        );
        if let Some(told) = mail.as_ref().and_then(Mail::tells).filter(|_| is_final) {
            self.confirm(now, told);
        }
        match mail {
            Some(Mail::Outbound {
                session,
                stanza,
                origin,
            }) => {
                self.tell_session(now, actor, session, &stanza, error);
                if let Some(origin) = origin {
                    self.route(now, Envelope::Settled(origin));
                }
            }
            Some(Mail::Inbound { stanza, settle, .. }) => {
                // RFC 6121 section 8.5.1: presence to nobody is ignored.
                if stanza.header.kind != Kind::Presence {
                    self.bounce(now, &stanza, error);
                }
                if let Some(origin) = settle {
                    self.route(now, Envelope::Settled(origin));
                }
            }
            Some(Mail::Leftover(held)) => {
                self.bounce(now, &held.stanza, error);
                let origin = held.kept.and_then(|kept| self.take_unstored(actor, kept));
                self.settle(now, origin);
            }
            // It is over all the same.
            Some(Mail::Ended(session)) => self.forget_session(actor, session),
            // Its row stays, and so do the messages.
            Some(Mail::Retell { .. } | Mail::Regrouped(_) | Mail::Emptying) | None => {}
        }
    }

    /// An error to one of this account's own sessions, about what it sent.
    pub(super) fn tell_session(
        &mut self,
        now: Now,
        actor: ActorKey,
        session: SessionId,
        stanza: &Stanza,
        error: &StanzaError,
    ) {
        log::trace!(
            "stanza_refused trace={} kind={} condition={}",
            stanza.header.trace,
            stanza.header.kind.name(),
            error.condition.name()
        );
        if let Some(mut reply) = reply_error(stanza, error) {
            // Section 8.1.1.1: what had no 'to' was for the account itself.
            let account = self.cells.get(actor).map(|cell| cell.account.jid.clone());
            reply.header.from = reply.header.from.or(account);
            let delivery = crate::actor::Delivery {
                session,
                stanza: reply,
                kept: None,
            };
            self.deliver(now, actor, delivery);
        }
    }

    /// An error to whoever sent the stanza, wherever that is.
    pub(super) fn bounce(&mut self, now: Now, stanza: &Stanza, error: &StanzaError) {
        log::trace!(
            "stanza_bounced trace={} kind={} condition={}",
            stanza.header.trace,
            stanza.header.kind.name(),
            error.condition.name()
        );
        if let Some(reply) = reply_error(stanza, error)
            && reply.header.to.is_some()
        {
            self.route(
                now,
                Envelope::Stanza {
                    stanza: reply,
                    settle: None,
                },
            );
        }
    }

    /// The third panic of an actor within a minute closes it.
    fn count_panic(&mut self, now: Now, actor: ActorKey) {
        let cell = &mut self.cells[actor];
        let (count, since) = &mut cell.panics;
        if now.mono_ms.saturating_sub(*since) > limits::PANIC_WINDOW_MS {
            (*count, *since) = (0, now.mono_ms);
        }
        *count += 1;
        if *count >= limits::PANIC_COUNT_MAX {
            *count = 0;
            self.end_all_sessions(now, actor, internal_server_error());
        }
    }
}

impl Mail {
    /// The account's own session that sent it.
    pub(super) fn sender(&self) -> Option<SessionId> {
        match self {
            Mail::Outbound { session, .. } => Some(*session),
            Mail::Inbound { .. }
            | Mail::Retell { .. }
            | Mail::Ended(_)
            | Mail::Leftover(_)
            | Mail::Regrouped(_)
            | Mail::Emptying => None,
        }
    }

    /// Who waits for the fate of what this mail carries.
    pub(super) fn settles(&self) -> Option<Origin> {
        match self {
            Mail::Outbound { origin, .. } => *origin,
            Mail::Inbound { settle, .. } => *settle,
            Mail::Retell { .. }
            | Mail::Ended(_)
            | Mail::Leftover(_)
            | Mail::Regrouped(_)
            | Mail::Emptying => None,
        }
    }

    /// Whom to tell that this mail is done with, and under which number they know it.
    fn tells(&self) -> Option<(Jid, Tell)> {
        match self {
            Mail::Inbound { stanza, tell, .. } => stanza.header.from.clone().zip(*tell),
            _ => None,
        }
    }
}

/// Whether a session of the account has joined this room.
fn is_joined(account: &crate::im::Account, config: &Config, from: Option<&Jid>) -> bool {
    let mut sessions = account.sessions.iter();
    sessions.any(|session| session.sender(config, from) == Sender::Joined)
}

/// What is run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    /// The head of the mailbox.
    Head,
    /// The request of this number that left it, with room for so many stanzas.
    Aside(u64, usize),
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

fn read_mail(turn: &mut Turn<'_, crate::im::Account>, mail: &Mail, on: &Pipelines) -> Outcome {
    match mail {
        Mail::Outbound {
            session,
            stanza,
            origin,
        } => {
            let mut draft = Draft::new(stanza.clone(), Some(*session), *origin);
            pipelines::run(on.outbound(stanza.header.kind), turn, &mut draft)
        }
        Mail::Retell { stanza, tell } => subscription::retell(turn, stanza, *tell),
        Mail::Inbound {
            stanza,
            settle,
            tell,
        } => {
            let mut draft = Draft::new(stanza.clone(), None, *settle);
            draft.tell = *tell;
            pipelines::run(on.inbound(stanza.header.kind), turn, &mut draft)
        }
        Mail::Ended(session) => {
            if let Some(session) = turn.actor.session(*session) {
                presence::ended(turn, session);
            }
            Ok(())
        }
        Mail::Leftover(held) => message::leftover(turn, held),
        Mail::Regrouped(before) => roster::shared::regrouped(turn, before),
        Mail::Emptying => mam::go_on_emptying(turn),
    }
}

pub(super) fn overloaded() -> StanzaError {
    StanzaError::new(
        Condition::ResourceConstraint,
        "The recipient is overloaded, try again later",
    )
}

pub(super) fn internal_error() -> StanzaError {
    StanzaError::new(
        Condition::InternalServerError,
        "The server failed to process this stanza",
    )
    .of_type(ErrorType::Wait)
}

pub(super) fn internal_server_error() -> crate::stanza::StreamError {
    crate::stanza::StreamError::new(
        crate::stanza::StreamCondition::InternalServerError,
        "The server failed repeatedly for this account",
    )
}

/// What a user hears of the store's troubles.
pub(super) fn store_error(error: StoreError) -> StanzaError {
    match error {
        StoreError::Broken => internal_error(),
        StoreError::DiskFull => message::no_room(),
        StoreError::Overloaded => {
            StanzaError::new(Condition::ResourceConstraint, "The server is overloaded")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answers, ask, connect, rendered, stage};
    use super::*;

    #[test]
    fn a_panic_in_a_turn_costs_the_stanza_and_nothing_else() {
        let (mut shard, actor) = stage();
        ask(&mut shard, actor, "trap");
        ask(&mut shard, actor, "safe");
        assert_eq!(answers(&shard, actor), [Type::Error, Type::Result]);
        assert!(shard.effects.send.is_empty());
    }

    #[test]
    fn beyond_its_bound_the_store_is_asked_no_more_but_saves_always_go() {
        let mut seats = Seats::default();
        let first = seats.take(Seat::Sweep).ok().expect("there is room");
        for _ in 1..limits::STORE_OUTSTANDING_MAX {
            assert!(seats.take(Seat::Sweep).is_ok());
        }
        assert!(seats.take(Seat::Sweep).is_err());
        let save = SaveRecord::default();
        assert!(seats.take(Seat::Save(save)).is_ok());
        seats.free(first);
        assert!(seats.take(Seat::Sweep).is_err(), "the save counts");
        assert_eq!(seats.store_count(), limits::STORE_OUTSTANDING_MAX);
    }

    #[test]
    fn the_third_panic_within_a_minute_closes_the_account() {
        let (mut shard, actor) = stage();
        for _ in 0..limits::PANIC_COUNT_MAX {
            assert!(!shard.cells[actor].account.sessions.is_empty());
            ask(&mut shard, actor, "trap");
        }
        assert!(shard.cells[actor].account.sessions.is_empty());
    }

    #[test]
    fn a_client_hears_why_the_third_panic_closed_its_stream() {
        let (mut shard, actor) = stage();
        let key = connect(&mut shard, actor);
        for _ in 1..limits::PANIC_COUNT_MAX {
            ask(&mut shard, actor, "trap");
        }
        assert!(!rendered(&mut shard, key).contains("<stream:error>"));
        ask(&mut shard, actor, "trap");
        let said = rendered(&mut shard, key);
        // RFC 6120 section 4.9.3.6. What stands before it are the answer to the trap.
        let (_, error) = said.split_once("<stream:error>").expect("a stream error");
        assert!(error.starts_with("<internal-server-error"), "{said}");
        assert!(said.ends_with("</stream:stream>"), "{said}");
        let outputs: Vec<Output> = std::iter::from_fn(|| shard.poll_output()).collect();
        let closes = |output: &Output| matches!(output, Output::Close(closed) if *closed == key);
        assert!(outputs.iter().any(closes), "{outputs:?}");
    }
}
