//! Kept messages on their way to a session: a cursor over rows, pulled whenever its stream has room, and a
//! backlog of what came meanwhile, so that the order stays.

use crate::actor::rows::Fence;
use crate::actor::{Answer, Delivery, Kept};
use crate::base::{ActorKey, Now, SessionId, limits};
use crate::im::pending;
use crate::im::session::Flood;
use crate::jid::Jid;

use super::Shard;
use super::load::Pressure;
use super::output::{Ask, Output};
use super::turns::Seat;

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
                None => {
                    session.flood = Some(Box::new(Flood {
                        next: first,
                        end,
                        ..Flood::default()
                    }));
                }
            }
        }
        self.advance_flood(now, actor, session);
    }

    /// Asks for the next rows when the stream has room for them.
    pub(super) fn advance_flood(&mut self, now: Now, actor: ActorKey, id: SessionId) {
        // What makes room for kept messages makes room for long answers.
        self.run_asides(now, actor);
        let full = self.pressure() >= Pressure::Floods;
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
        if flood.asked || !room {
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
            // The store is overloaded: the next write or acknowledgement tries again.
            return;
        };
        flood.asked = true;
        self.flush_saves(now);
        let ask = Ask::Range {
            table: &pending::PENDING,
            range,
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
        let (rows, more) = match answer {
            Answer::Range { rows, more } => (rows, more),
            other => {
                // What is stored stays for the next login; what came live goes out now.
                log::error!("pending_unreadable account={account} answer={other:?}");
                (Vec::new(), false)
            }
        };
        let last = rows.last().and_then(|row| pending::number(&row.key));
        flood.next = last.map_or(flood.next, |last| last + 1);
        // What is on its way to this or another session is not sent again. Should that one end without its
        // acknowledgement, it comes back as a leftover.
        let mut has_holder = std::mem::take(&mut flood.gone);
        has_holder.extend(self.in_flight_to(actor, id));
        for row in rows {
            let number = pending::number(&row.key).filter(|number| !has_holder.contains(number));
            let stanza = host
                .as_ref()
                .ok()
                .and_then(|host| pending::decode(&row.value, host));
            match (number, stanza) {
                (Some(number), Some(stanza)) => {
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
                (Some(number), None) => log::error!("pending_row_damaged number={number}"),
                (None, _) => {}
            }
        }
        self.count_cell(actor);
        if more {
            return self.advance_flood(now, actor, id);
        }
        let flood = self
            .cells
            .get_mut(actor)
            .and_then(|cell| cell.account.session_mut(id))
            .and_then(|session| session.flood.take());
        for delivery in flood.into_iter().flat_map(|flood| flood.backlog) {
            self.deliver(now, actor, delivery);
        }
        // What did not fit into the backlog was kept and comes next.
        self.deliver_missed(now, actor, id);
        self.run_asides(now, actor);
    }
}

/// Rows asked for at a time.
const FLOOD_COUNT: usize = 100;
