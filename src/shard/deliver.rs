//! From an account to its sessions' streams: ack queue, outbound queue, bounds, and what was written or
//! acknowledged.

use crate::actor::{Delivery, Kept};
use crate::base::{ActorKey, Now, SessionId, StreamKey};
use crate::im::Account;
use crate::im::account::unavailable;
use crate::im::acks::{Acks, TooHigh, Unacked};
use crate::im::pending;
use crate::stanza::{Kind, Stanza, StreamCondition, StreamError, ns};
use crate::stream::{Item, SessionRef};

use super::Shard;
use super::cell::Mail;
use super::overfull::{self, Verdict};
use super::refuse::overloaded;
use super::session_end::{Loss, OVERFULL};

impl Shard {
    /// Delivers to a session, behind what it waits for.
    pub(super) fn deliver(&mut self, now: Now, actor: ActorKey, delivery: Delivery) {
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        let session = cell.account.session_mut(delivery.session);
        let Some(session) = session.filter(|session| !session.ended) else {
            // It ended between the choice and the delivery.
            return self.post_to(actor, Mail::Leftover(held(now, delivery)));
        };
        // RFC 6120 section 10.1: what the same sender says otherwise waits behind its messages.
        let header = &delivery.stanza.header;
        let waits = session.flood.is_some()
            && (header.kind == Kind::Message || session.holds_from(header.from.as_ref()));
        match waits {
            true => self.hold_back(now, actor, delivery),
            false => self.push(now, actor, delivery),
        }
    }

    /// Puts a delivery behind the session's flood.
    fn hold_back(&mut self, now: Now, actor: ActorKey, delivery: Delivery) {
        let number = self.sequence.next(now);
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        let is_promised = is_promised(&cell.account, &delivery);
        let Some((session, contacts)) = cell.account.session_and_contacts(delivery.session) else {
            return;
        };
        let verdict = match is_promised {
            true => Verdict::Take,
            false => overfull::judge_waiting(session, &self.config, &delivery.stanza, contacts),
        };
        if !matches!(verdict, Verdict::Take | Verdict::Last) {
            return self.refuse(now, &delivery.stanza, verdict);
        }
        let (id, stream) = (session.id, session.stream);
        if let Some(flood) = &mut session.flood {
            flood.wait(number, delivery);
        }
        if verdict == Verdict::Last {
            self.overflow(now, actor, id, stream);
        }
    }

    /// A session's queues take no more of this.
    fn refuse(&mut self, now: Now, stanza: &Stanza, verdict: Verdict) {
        log::debug!("delivery_refused trace={}", stanza.header.trace);
        match verdict {
            Verdict::Refuse if overfull::is_answered(stanza) => {
                self.bounce(now, stanza, &overloaded());
            }
            Verdict::Miss => self.bounce(now, stanza, &unavailable()),
            _ => {}
        }
    }

    /// DESIGN section 7: the connection is closed, and the session stays, detached; what a client that is away cannot take
    /// goes back to the account.
    fn overflow(&mut self, now: Now, actor: ActorKey, id: SessionId, stream: Option<StreamKey>) {
        match stream {
            Some(key) => self.drop_connection(now, key, "too many stanzas are unacknowledged"),
            None => {
                log::info!("session_overfull session={}", id.0);
                self.end_session(now, actor, id, Vec::new(), OVERFULL);
            }
        }
    }

    /// Puts a delivery into the session's queues.
    pub(super) fn push(&mut self, now: Now, actor: ActorKey, delivery: Delivery) {
        let again_after = self.config.sm.ack_request_after;
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        let is_promised = is_promised(&cell.account, &delivery);
        let Some((session, contacts)) = cell.account.session_and_contacts(delivery.session) else {
            return;
        };
        if session.inactive.is_some() {
            return self.push_inactive(now, actor, delivery);
        }
        let stream = session.stream;
        let state = stream.and_then(|key| self.streams.get_mut(key));
        let state = state.map(|state| &mut **state);
        let verdict = match is_promised {
            true => Verdict::Take,
            false => overfull::judge(session, state, &self.config, &delivery.stanza, contacts),
        };
        if !matches!(verdict, Verdict::Take | Verdict::Last) {
            return self.refuse(now, &delivery.stanza, verdict);
        }
        log::trace!(
            "stanza_delivered trace={} kind={} session={} connected={}",
            delivery.stanza.header.trace,
            delivery.stanza.header.kind.name(),
            session.id.0,
            stream.is_some()
        );
        let mut asks = false;
        let mut kept = delivery.kept;
        if let Some(acks) = &mut session.acks {
            // Its row goes when the client acknowledges, not when the socket takes it.
            kept = None;
            acks.sent(held(now, delivery.clone()));
            acks.watch(now.mono_ms);
            asks = stream.is_some() && acks.asks(again_after);
        }
        let Some(key) = stream else {
            if verdict == Verdict::Last {
                self.overflow(now, actor, delivery.session, None);
            }
            return;
        };
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let stanza = delivery.stanza;
        stream.outbound.borrow_queue(&mut self.spare_items);
        stream.outbound.push(Item::Stanza { stanza, kept });
        if asks {
            stream.outbound.push_xml(REQUEST);
        }
        self.flush(key);
        if verdict == Verdict::Last {
            self.overflow(now, actor, delivery.session, Some(key));
        } else {
            self.check_outbound(now, key);
        }
    }

    /// Something other than a stanza.
    pub(super) fn say(&mut self, key: StreamKey, xml: String) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.outbound.push_xml(xml);
            self.flush(key);
        }
    }

    /// A client that reads or acknowledges nothing for too long loses its connection, not its session.
    pub(super) fn check_outbound(&mut self, now: Now, key: StreamKey) {
        let c2s = &self.config.c2s;
        let (soft, hard) = (
            c2s.outbound_soft.as_bytes() as usize,
            c2s.outbound_hard.as_bytes() as usize,
        );
        let soft_ms = c2s.outbound_soft_for.as_ms();
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let is_stuck = stream.outbound.is_stuck(now.mono_ms, soft, soft_ms, hard);
        let is_slow = stream.outbound.above_soft_since_ms().is_some();
        let full_since_ms = self.full_since_ms(key);
        if is_stuck {
            self.drop_connection(now, key, "the client does not read");
        } else if full_since_ms.is_some_and(|since_ms| since_ms + soft_ms <= now.mono_ms) {
            self.drop_connection(now, key, "too many stanzas are unacknowledged");
        } else if is_slow || full_since_ms.is_some() {
            self.arm_stream(key);
        }
    }

    /// Since when a stream's client has acknowledged nothing of a full queue.
    pub(super) fn full_since_ms(&self, key: StreamKey) -> Option<u64> {
        let at = self.session_of(key)?;
        let session = self.cells.get(at.actor)?.account.session(at.session)?;
        session.acks.as_ref()?.full_since_ms()
    }

    /// Everything rendered is in the socket: what needs no other acknowledgement is delivered.
    pub(super) fn written(&mut self, now: Now, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let Some(SessionRef { actor, session }) = stream.session else {
            return;
        };
        let mut rendered = stream.outbound.take_rendered();
        for kept in rendered.drain(..).flatten() {
            self.arrived(now, actor, kept);
        }
        self.spare_rendered.take_back(&mut rendered);
        self.advance_flood(now, actor, session);
    }

    /// XEP-0198 section 4: the client has everything up to `h`.
    pub(super) fn acknowledged(&mut self, now: Now, key: StreamKey, at: SessionRef, h: u32) {
        let Some(cell) = self.cells.get_mut(at.actor) else {
            return;
        };
        let Some(session) = cell.account.session_mut(at.session) else {
            return;
        };
        let Some(acks) = &mut session.acks else {
            return;
        };
        if let Some(too_high) = acks.is_too_high(h) {
            let error = handled_count_too_high(too_high);
            // What comes from here on is for whoever resumes it, not for a stream that is closed.
            self.lose_stream(now, key, Loss::Resumable);
            return self.fail_stream(now, key, error);
        }
        self.forget_acknowledged(now, at, h);
        if let Some(acks) = self.acks_of(at) {
            acks.watch(now.mono_ms);
        }
        if self.acks_of(at).is_some_and(|acks| acks.asks(u32::MAX)) {
            self.say(key, REQUEST.to_owned());
        }
        self.count_cell(at.actor);
        self.advance_flood(now, at.actor, at.session);
    }

    /// What the client has by its count `h`, which was checked, leaves the queue and the store.
    pub(super) fn forget_acknowledged(&mut self, now: Now, at: SessionRef, h: u32) {
        let Some(acks) = self.acks_of(at) else {
            return;
        };
        let gone: Vec<Kept> = acks.acknowledge(h).filter_map(|held| held.kept).collect();
        for kept in gone {
            self.arrived(now, at.actor, kept);
        }
    }

    /// The counters of a session, if it has any.
    pub(super) fn acks_of(&mut self, at: SessionRef) -> Option<&mut Acks> {
        let cell = self.cells.get_mut(at.actor)?;
        cell.account.session_mut(at.session)?.acks.as_deref_mut()
    }

    /// Messages that were kept because the session could not take them are due to it. However full it is, the flood
    /// begins now: what their senders say next waits behind it.
    pub(super) fn deliver_missed(&mut self, now: Now, actor: ActorKey, session: SessionId) {
        let missed = self
            .cells
            .get_mut(actor)
            .and_then(|cell| cell.account.session_mut(session))
            .filter(|session| session.flood.is_none())
            .and_then(|session| session.missed.take());
        if let Some(first) = missed {
            self.begin_flood(now, actor, session, first);
        }
    }

    /// What is stored from this number on is due to whoever takes messages.
    pub(super) fn offer_stored(&mut self, now: Now, actor: ActorKey, first: u64) {
        let sessions = self.cells.get_mut(actor).into_iter();
        let sessions = sessions.flat_map(|cell| &mut cell.account.sessions);
        let takers = sessions.filter(|session| session.is_willing());
        let takers: Vec<SessionId> = takers
            .map(|session| {
                session.owe(first);
                session.id
            })
            .collect();
        for session in takers {
            self.deliver_missed(now, actor, session);
        }
    }

    /// A client has the message: its row goes.
    pub(super) fn arrived(&mut self, now: Now, actor: ActorKey, kept: Kept) {
        self.release(actor, kept);
        if !kept.is_stored {
            let origin = self.take_unstored(actor, kept);
            return self.settle(now, origin);
        }
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        // Two clients may have the same message, and how long its row is nobody remembers: what is kept is
        // counted again when the next message finds nobody.
        cell.account.tally = None;
        if let Some(identity) = cell.account.identity {
            self.unsave(pending::delete(identity.id, kept.number));
        }
    }

    /// Ends a connection whose client does not keep up with what it is sent.
    pub(super) fn drop_connection(&mut self, now: Now, key: StreamKey, reason: &'static str) {
        if let Some(stream) = self.streams.get(key) {
            log::info!(
                "connection_dropped stream={} reason=\"{reason}\"",
                stream.id
            );
        }
        self.lose_stream(now, key, Loss::Resumable);
        self.fail_stream(
            now,
            key,
            StreamError::new(StreamCondition::ResourceConstraint, reason),
        );
    }
}

/// Whether there was room for it when it was chosen to come this way (`im/message.rs`). What nobody could keep for an
/// anonymous account was not asked.
fn is_promised(account: &Account, delivery: &Delivery) -> bool {
    delivery.kept.is_some() && !account.anonymous
}

/// What a session holds, or leaves behind.
pub(super) fn held(now: Now, delivery: Delivery) -> Unacked {
    Unacked {
        stanza: delivery.stanza,
        kept: delivery.kept,
        wall_ms: now.wall_ms,
        is_answered: false,
    }
}

/// XEP-0198 section 4, example 7: "the server MUST ... `undefined-condition`" with this.
pub(super) fn handled_count_too_high(TooHigh { h, sent }: TooHigh) -> StreamError {
    let mut error = StreamError::new(
        StreamCondition::UndefinedCondition,
        "You acknowledged more stanzas than you were sent",
    );
    error.application = format!(
        "<handled-count-too-high xmlns='{}' h='{h}' send-count='{sent}'/>",
        ns::SM
    );
    error
}

/// XEP-0198 section 4: the question.
pub(super) const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, ask, connect, held, rendered, stage};
    use super::*;

    #[test]
    fn who_acknowledges_too_much_loses_the_stream_and_not_the_session() {
        let (mut shard, actor) = stage();
        let key = connect(&mut shard, actor);
        let session = SessionId(1);
        let at = SessionRef { actor, session };
        shard.acknowledged(NOW, key, at, 7);
        let said = rendered(&mut shard, key);
        assert!(said.contains("<handled-count-too-high"), "{said}");
        // What comes before the socket is closed is for whoever resumes.
        ask(&mut shard, actor, "safe");
        assert_eq!(rendered(&mut shard, key), "");
        assert_eq!(held(&shard, actor).count(), 1);
        let session = &shard.cells[actor].account.sessions[0];
        assert!(session.stream.is_none() && session.ends_at_ms.is_some());
    }
}
