//! Kept messages on their way to a session: a cursor over rows, pulled whenever its stream has room, and a
//! backlog of what came meanwhile, so that the order stays. What was kept since the cursor began it reads when it is at
//! its end, and what waits goes out between the rows, as the numbers say.

use crate::actor::rows::{Fence, RowKey, Write};
use crate::actor::{Answer, Delivery, Kept};
use crate::base::{ActorKey, Now, SessionId, limits};
use crate::engine::archive::{WITH_MESSAGES, Waiting, waiting};
use crate::im::account::unavailable;
use crate::im::flood::Flood;
use crate::im::{blocking, pending};
use crate::jid::Jid;
use crate::stanza::{Kind, Stanza};

use super::Shard;
use super::load::Pressure;
use super::output::{Ask, Output};
use super::seats::Seat;

impl Shard {
    /// Everything kept under numbers from `first` is due to this session.
    pub(super) fn begin_flood(
        &mut self,
        now: Now,
        actor: ActorKey,
        session: SessionId,
        first: u64,
    ) {
        // Rows kept from here on are delivered live, behind the flood.
        let end = self.sequence.next(now);
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        if let Some(session) = cell.account.session_mut(session) {
            match &session.flood {
                // What its cursor has passed may have come back since, and what was kept since it began is behind it.
                Some(_) => session.owe(first),
                None => session.flood = Some(Box::new(Flood::new(first, end))),
            }
        }
        self.advance_flood(now, actor, session);
    }

    /// Asks for the next rows when the stream has room for them.
    pub(super) fn advance_flood(&mut self, now: Now, actor: ActorKey, id: SessionId) {
        // What makes room for kept messages makes room for long answers.
        self.run_asides(now, actor);
        let full = self.fullness() >= Pressure::Archive;
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        let identity = cell.account.identity;
        let Some(session) = cell.account.session_mut(id) else {
            return;
        };
        if session.flood.is_none() {
            return;
        }
        let (count, bytes) = session
            .acks
            .as_ref()
            .map_or((usize::MAX, usize::MAX), |acks| acks.cursor_room());
        let stream = session.stream.and_then(|key| self.streams.get(key));
        let room = count > 0 && bytes > 0;
        let room = room && stream.is_some_and(|s| s.outbound.bytes() < limits::CURSOR_REFILL_BYTES);
        let (Some(flood), Some(identity)) = (&mut session.flood, identity) else {
            return;
        };
        if flood.asked || !room || flood.retry_at_ms.is_some() {
            return;
        }
        if full {
            self.waiting_floods.insert((actor, id));
            return;
        }
        let mut range = pending::range(identity.id, flood.next, flood.end);
        range.count_max = count.min(FLOOD_COUNT);
        range.bytes_max = bytes.min(limits::RANGE_BYTES_MAX);
        let Ok(ticket) = self.seats.take(Seat::Flood(actor, id)) else {
            // The store is overloaded: the end of this turn of the loop tries again, and those that follow.
            self.waiting_floods.insert((actor, id));
            return;
        };
        flood.asked = true;
        self.flush_saves(now);
        let ask = Ask::Joined {
            table: &pending::PENDING,
            range,
            join: WITH_MESSAGES,
            fence: Fence::AfterSaves,
        };
        self.outputs.push_back(Output::Ask(ticket, ask));
    }

    /// Rows arrived: they go out, then the cursor moves on, or the backlog follows and it is over.
    pub(super) fn flooded(&mut self, now: Now, actor: ActorKey, id: SessionId, answer: Answer) {
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        let account = cell.account.jid.clone();
        let host = Jid::domain(account.domainpart());
        let Some(session) = cell.account.session_mut(id) else {
            return;
        };
        let Some(flood) = &mut session.flood else {
            return;
        };
        flood.asked = false;
        let gone = std::mem::take(&mut flood.gone);
        let (rows, more) = match answer {
            Answer::Range { rows, more } => {
                flood.failures = 0;
                (rows, more)
            }
            other if flood.failures < limits::FLOOD_RETRIES_MAX => {
                log::warn!("pending_unreadable account={account} answer={other:?}");
                flood.retry_at_ms = Some(now.mono_ms + (limits::FLOOD_RETRY_MS << flood.failures));
                flood.failures += 1;
                return self.arm_actor(now, actor);
            }
            other => {
                // What is stored stays for the next login; what came live goes out now.
                log::error!("pending_unreadable account={account} answer={other:?}");
                flood.failures = 0;
                (Vec::new(), false)
            }
        };
        let last = rows.last().and_then(|row| pending::number(&row.key));
        flood.next = last.map_or(flood.next, |last| last + 1);
        // What is on its way to this or another session is not sent again. Should that one end without its
        // acknowledgement, it comes back as a leftover.
        let mut has_holder = gone;
        has_holder.extend(self.in_flight_to(actor, id));
        for row in rows {
            if let Some(number) = pending::number(&row.key) {
                self.release_backlog(now, actor, id, number);
            }
            if self.flood_of(actor, id).is_none() {
                // The session ended with what was one too many.
                break;
            }
            let number = pending::number(&row.key).filter(|number| !has_holder.contains(number));
            let number = number.filter(|_| !self.is_delivered(&row.key));
            let found = match &host {
                Ok(host) => waiting(&row, host, &self.seal),
                Err(_) => Waiting::Damaged,
            };
            match (number, found) {
                (Some(number), Waiting::Message(stanza)) if self.is_unwanted(actor, &stanza) => {
                    let kept = Kept {
                        number,
                        is_stored: true,
                        is_shared: false,
                    };
                    self.arrived(now, actor, kept);
                }
                (Some(number), Waiting::Message(stanza)) => {
                    let kept = Kept {
                        number,
                        is_stored: true,
                        is_shared: self.share(actor, number),
                    };
                    let delivery = Delivery {
                        session: id,
                        stanza,
                        kept: Some(kept),
                    };
                    self.push(now, actor, delivery);
                }
                (Some(_), Waiting::Gone) => self.forget_row(actor, row.key),
                (Some(number), Waiting::Damaged) => {
                    log::error!("pending_row_damaged number={number}");
                }
                (None, _) => {}
            }
        }
        self.count_cell(actor);
        if more {
            return self.advance_flood(now, actor, id);
        }
        self.end_pass(now, actor, id);
        self.run_asides(now, actor);
    }

    /// Nobody will ever get what is kept in this row.
    fn forget_row(&mut self, actor: ActorKey, key: RowKey) {
        log::warn!("pending_message_gone key={key:?}");
        if let Some(cell) = self.cells.get_mut(actor) {
            cell.account.tally = None;
        }
        let table = &pending::PENDING;
        self.unsave(Write::Delete { table, key });
    }

    /// It came before its sender was blocked (XEP-0191): nobody wants it any more.
    fn is_unwanted(&self, actor: ActorKey, stanza: &Stanza) -> bool {
        let account = self.cells.get(actor).map(|cell| &cell.account);
        let from = stanza.header.from.as_ref();
        account
            .zip(from)
            .is_some_and(|(account, from)| blocking::was_blocked(account, from))
    }

    /// What waited while its sender was blocked is owed to nobody; a request is answered.
    fn unless_unwanted(
        &mut self,
        now: Now,
        actor: ActorKey,
        delivery: Delivery,
    ) -> Option<Delivery> {
        if !self.is_unwanted(actor, &delivery.stanza) {
            return Some(delivery);
        }
        match delivery.kept {
            Some(kept) => self.arrived(now, actor, kept),
            None if delivery.stanza.header.kind == Kind::Iq => {
                self.bounce(now, &delivery.stanza, &unavailable());
            }
            None => {}
        }
        None
    }

    /// The cursor is at its end. If more was kept meanwhile it goes on there, else the flood is over.
    fn end_pass(&mut self, now: Now, actor: ActorKey, id: SessionId) {
        let session = self.cells.get_mut(actor);
        let session = session.and_then(|cell| cell.account.session_mut(id));
        let Some(session) = session.filter(|session| session.flood.is_some()) else {
            return;
        };
        let Some(first) = session.missed.take() else {
            session.kept_from = None;
            let flood = session.flood.take();
            for delivery in flood.into_iter().flat_map(|flood| flood.into_backlog()) {
                if let Some(delivery) = self.unless_unwanted(now, actor, delivery) {
                    self.deliver(now, actor, delivery);
                }
            }
            return;
        };
        self.release_backlog(now, actor, id, first);
        let end = self.sequence.next(now);
        if let Some(flood) = self.flood_of(actor, id) {
            (flood.next, flood.end) = (first, end);
        }
        self.advance_flood(now, actor, id);
    }

    /// What waits and came before what has this number goes out.
    fn release_backlog(&mut self, now: Now, actor: ActorKey, id: SessionId, number: u64) {
        while let Some(flood) = self.flood_of(actor, id)
            && let Some(delivery) = flood.take_before(number)
        {
            if let Some(delivery) = self.unless_unwanted(now, actor, delivery) {
                self.push(now, actor, delivery);
            }
        }
    }

    fn flood_of(&mut self, actor: ActorKey, id: SessionId) -> Option<&mut Flood> {
        let cell = self.cells.get_mut(actor)?;
        cell.account.session_mut(id)?.flood.as_deref_mut()
    }

    /// The time has come to read again what could not be read.
    pub(super) fn retry_floods(&mut self, now: Now, actor: ActorKey) {
        let sessions = self.cells.get_mut(actor).into_iter();
        let sessions = sessions.flat_map(|cell| &mut cell.account.sessions);
        let due = sessions.filter_map(|session| {
            let flood = session.flood.as_mut()?;
            flood.retry_at_ms.take_if(|at_ms| *at_ms <= now.mono_ms)?;
            Some(session.id)
        });
        let due: Vec<SessionId> = due.collect();
        for id in due {
            self.advance_flood(now, actor, id);
        }
    }
}

/// Rows asked for at a time.
const FLOOD_COUNT: usize = 100;

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, connect, stage};
    use super::*;
    use crate::actor::auth::AccountRef;
    use crate::base::AccountId;

    fn asks(shard: &mut Shard) -> usize {
        let outputs = std::iter::from_fn(|| shard.poll_output());
        let is_range = |output: &Output| matches!(output, Output::Ask(_, Ask::Joined { .. }));
        outputs.filter(is_range).count()
    }

    #[test]
    fn a_cursor_that_finds_no_seat_asks_when_one_is_free() {
        let (mut shard, actor) = stage();
        connect(&mut shard, actor);
        shard.cells[actor].account.identity = Some(AccountRef {
            id: AccountId(1),
            generation: Default::default(),
        });
        let mut tickets = Vec::new();
        while let Ok(ticket) = shard.seats.take(Seat::Sweep) {
            tickets.push(ticket);
        }
        shard.begin_flood(NOW, actor, SessionId(1), 0);
        shard.end_turn(NOW);
        assert_eq!(asks(&mut shard), 0);
        shard.seats.free(tickets[0]);
        shard.end_turn(NOW);
        assert_eq!(asks(&mut shard), 1);
        shard.end_turn(NOW);
        assert_eq!(asks(&mut shard), 0, "once");
    }
}
