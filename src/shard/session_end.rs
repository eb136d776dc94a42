//! The end of streams and of sessions. A session outlives its stream when its client can resume it; when it
//! ends, what it did not acknowledge finds another way.

use crate::actor::Kept;
use crate::actor::audit::AuditEvent;
use crate::actor::auth::AccountRef;
use crate::base::{ActorKey, Now, SessionId, StreamKey};
use crate::im::acks::Unacked;
use crate::stanza::{StreamCondition, StreamError};
use crate::stream::{Item, Phase, SessionRef};

use super::Shard;
use super::aside::Aside;
use super::cell::Mail;
use super::input::CloseReason;
use super::output::Output;
use super::streams::context;

/// How a session lost its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The client may come back for it.
    Resumable,
    /// The client said goodbye, or has nothing to come back to; the audit file says which.
    Final(&'static str),
}

/// The client closed its stream.
pub(super) const CLOSED: &str = "closed";
/// The connection was lost, and the client had not asked for more than one.
const CONNECTION_LOST: &str = "connection-lost";
/// A client that was away gave its place to a newcomer.
pub(super) const GAVE_WAY: &str = "gave-way";
/// More was held for a client that was away than is held for anybody.
pub(super) const OVERFULL: &str = "overfull";
/// The client did not come back in time.
pub(super) const NOT_RESUMED: &str = "not-resumed";

impl Shard {
    /// The connection is gone.
    pub(super) fn closed(&mut self, now: Now, key: StreamKey, reason: CloseReason) {
        self.lose_stream(now, key, Loss::Resumable);
        self.paused.remove(&key);
        self.outboxes.forget(key);
        if let Some(mut stream) = self.streams.remove(key) {
            self.load.recount_stream(&mut stream, 0, 0);
            self.timers.disarm_stream(stream.armed_for_ms, key);
            log::debug!(
                "stream_closed stream={} peer={} reason={reason:?}",
                stream.id,
                stream.peer
            );
        }
    }

    /// Says an error on a stream and closes it.
    pub(super) fn fail_stream(&mut self, now: Now, key: StreamKey, error: StreamError) {
        let trace = self.trace();
        if let Some(stream) = self.streams.get_mut(key) {
            if matches!(stream.phase, Phase::Closing) {
                return;
            }
            let mut cx = context(
                now,
                &self.config,
                &self.caps,
                &mut self.rng,
                &mut self.scratch,
                &mut self.scopes,
                trace,
            );
            stream.fail(&mut cx, error);
            self.close_stream(key);
        }
    }

    /// The stream said its last word: the shell writes it and closes.
    pub(super) fn close_stream(&mut self, key: StreamKey) {
        self.flush(key);
        self.outputs.push_back(Output::Close(key));
    }

    /// Takes a stream's session from it: it waits to be resumed, or ends.
    pub(super) fn lose_stream(&mut self, now: Now, key: StreamKey, loss: Loss) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let Some(at) = stream.session.take() else {
            return;
        };
        let SessionRef { actor, session } = at;
        // What went ahead of <enabled/> is not in the ack queue, whose stanzas are the last of the stream's.
        let held_count = self.acks_of(at).map_or(0, |acks| acks.unacked().len());
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let unwritten_count = stream.outbound.stanza_count();
        let unwritten = stream.outbound.take_owed(held_count);
        let torn = stream.outbound.take_rendered();
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        let Some(session) = cell.account.session_mut(session) else {
            return;
        };
        session.stream = None;
        session.unsure.extend(torn);
        let id = session.id;
        let timeout_ms = session
            .acks
            .as_ref()
            .map_or(0, |acks| acks.resume_timeout_ms);
        // Whoever was not sent all that went ahead of <enabled/> has no id to resume by.
        let may_return = timeout_ms > 0 && unwritten_count <= held_count;
        if loss == Loss::Resumable && may_return {
            // What was not written is in the ack queue.
            if let Some(acks) = &mut session.acks {
                acks.detached(unwritten_count);
            }
            session.forget_state(now.wall_ms);
            session.ends_at_ms = Some(now.mono_ms + timeout_ms);
            if let Some(stream) = self.streams.get_mut(key) {
                stream.outbound.drop_stanzas();
            }
            self.arm_actor(now, actor);
            return;
        }
        let reason = match loss {
            Loss::Final(reason) => reason,
            Loss::Resumable => CONNECTION_LOST,
        };
        let leftovers = unwritten.into_iter();
        let leftovers = leftovers.filter_map(|item| unacked(now, item)).collect();
        self.end_session(now, actor, id, leftovers, reason);
    }

    /// A session is over: those who saw it hear so, what it did not acknowledge finds another way. The audit
    /// file learns the reason.
    pub(super) fn end_session(
        &mut self,
        now: Now,
        actor: ActorKey,
        id: SessionId,
        unwritten: Vec<Unacked>,
        reason: &'static str,
    ) {
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        let Some(session) = cell
            .account
            .session_mut(id)
            .filter(|session| !session.ended)
        else {
            return;
        };
        session.ended = true;
        session.ends_at_ms = None;
        // Who closed the stream has nothing to come back to.
        let resumable = session
            .acks
            .as_ref()
            .filter(|acks| acks.resume_timeout_ms > 0);
        if let Some(acks) = resumable.filter(|_| reason != CLOSED) {
            let jid = session.jid.clone();
            self.ended.remember(now, &acks.token, jid, acks.told());
        }
        self.outputs
            .push_back(Output::Audit(AuditEvent::SessionEnded {
                session: session.jid.as_str().into(),
                reason,
            }));
        let held = session
            .acks
            .as_mut()
            .map(|acks| acks.take_unacked())
            .unwrap_or_default();
        let unsure = std::mem::take(&mut session.unsure);
        let inactive = session.inactive.take().into_iter();
        let inactive = inactive.flat_map(|inactive| inactive.into_held());
        let flood = session.flood.take().into_iter();
        let waiting = inactive.chain(flood.flat_map(|flood| flood.into_backlog()));
        let waiting = waiting.map(|delivery| Unacked {
            stanza: delivery.stanza,
            kept: delivery.kept,
            wall_ms: now.wall_ms,
            is_answered: false,
        });
        cell.mailbox.push(Mail::Ended(id));
        for held in unwritten.into_iter().chain(held).chain(waiting) {
            cell.mailbox.push(Mail::Leftover(held));
        }
        self.wake(actor);
        // Nobody knows whether it arrived.
        for kept in unsure.iter().flatten() {
            self.forget_unstored(actor, *kept);
        }
        let unsure = unsure.into_iter().flatten().filter(|kept| kept.is_stored);
        if let Some(first) = unsure.map(|kept| kept.number).min() {
            self.offer_stored(now, actor, first);
        }
    }

    /// Ends a session whatever it is doing, with an error on its stream if it has one.
    pub(super) fn expel(&mut self, now: Now, actor: ActorKey, id: SessionId, error: StreamError) {
        let stream = self
            .cells
            .get(actor)
            .and_then(|cell| cell.account.session(id))
            .and_then(|session| session.stream);
        match stream {
            Some(key) => {
                self.lose_stream(now, key, Loss::Final(error.condition.name()));
                self.fail_stream(now, key, error);
            }
            None => self.end_session(now, actor, id, Vec::new(), error.condition.name()),
        }
    }

    /// Ends sessions for which there is no room any more: their clients log in anew, and then read the archive.
    pub(super) fn give_up(&mut self, now: Now, actor: ActorKey, ids: Vec<SessionId>) {
        for id in ids {
            log::info!("session_overfull session={}", id.0);
            let text = "too much waits for this session, log in again and ask the archive";
            let error = StreamError::new(StreamCondition::ResourceConstraint, text);
            self.expel(now, actor, id, error);
        }
    }

    /// The same for one whose client is to have no part in the account any more: what it has sent is not done if its turn
    /// has not come yet, even if it hung up before. Whoever sent it may be the reason why it is thrown out.
    pub(super) fn revoke(&mut self, now: Now, actor: ActorKey, id: SessionId, error: StreamError) {
        let cell = self.cells.get_mut(actor);
        if let Some(session) = cell.and_then(|cell| cell.account.session_mut(id)) {
            session.revoked = true;
        }
        self.call_off(now, actor, id);
        self.expel(now, actor, id, error);
    }

    /// Every session of an account, likewise.
    pub(super) fn revoke_all_sessions(&mut self, now: Now, actor: ActorKey, error: &StreamError) {
        for id in self.session_ids(actor) {
            self.revoke(now, actor, id, error.clone());
        }
    }

    /// All sessions of an account, those included whose last turn has not come.
    pub(super) fn session_ids(&self, actor: ActorKey) -> Vec<SessionId> {
        let cell = self.cells.get(actor);
        let sessions = cell.iter().flat_map(|cell| &cell.account.sessions);
        sessions.map(|session| session.id).collect()
    }

    /// Those that began before the account was this.
    pub(super) fn outdated_sessions(&self, actor: ActorKey, now: AccountRef) -> Vec<SessionId> {
        let account = self.cells.get(actor).map(|cell| &cell.account);
        let outdated = account.iter().flat_map(|account| {
            let sessions = account.sessions.iter();
            sessions.filter(|session| account.is_outdated(session, now))
        });
        outdated.map(|session| session.id).collect()
    }

    /// Ends every session of an account.
    pub(super) fn end_all_sessions(&mut self, now: Now, actor: ActorKey, error: StreamError) {
        for id in self.session_ids(actor) {
            self.expel(now, actor, id, error.clone());
        }
    }

    /// The last turn of a session is done.
    pub(super) fn forget_session(&mut self, actor: ActorKey, id: SessionId) {
        if let Some(cell) = self.cells.get_mut(actor) {
            cell.account.apply(crate::im::Change::Ended(id));
            Aside::forget_session(&mut cell.asides, id);
            cell.emptyings_failed.retain(|(by, _)| *by != id);
        }
    }

    /// The stream of a session that another connection took over. What was being written there without being counted.
    pub(super) fn supplant(&mut self, now: Now, key: StreamKey) -> Vec<Option<Kept>> {
        let mut uncounted = Vec::new();
        if let Some(stream) = self.streams.get_mut(key) {
            // What was not written is in the ack queue, which moved on.
            stream.outbound.clear();
            stream.session = None;
            uncounted = stream.outbound.take_rendered().into();
        }
        let error = StreamError::new(
            StreamCondition::Conflict,
            "The session was resumed elsewhere",
        );
        self.fail_stream(now, key, error);
        uncounted
    }
}

/// What a lost stream without stream management had not written.
fn unacked(now: Now, item: Item) -> Option<Unacked> {
    match item {
        Item::Stanza { stanza, kept } => Some(Unacked {
            stanza,
            kept,
            wall_ms: now.wall_ms,
            is_answered: false,
        }),
        Item::Xml(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, connect, open, rendered, saved, stage};
    use super::*;
    use crate::actor::rows::Write;
    use crate::base::AccountId;
    use crate::stanza::{Header, Kind, Payload, Stanza, Type};
    use crate::stream::ResumeWish;

    /// A session that resumes and whose connection breaks when a message that went ahead of `<enabled/>` is being
    /// written.
    fn torn() -> (Shard, ActorKey) {
        let (mut shard, actor) = stage();
        shard.cells[actor].account.identity = Some(AccountRef {
            id: AccountId(1),
            generation: Default::default(),
        });
        let key = connect(&mut shard, actor);
        let kept = Some(Kept {
            number: 7,
            is_stored: true,
            is_shared: false,
        });
        let stanza = Stanza {
            header: Header::new(Kind::Message, Type::Chat),
            payload: Payload::EMPTY,
        };
        let stream = &mut shard.streams[key];
        stream.outbound.push(Item::Stanza { stanza, kept });
        assert!(rendered(&mut shard, key).starts_with("<message"));
        shard.closed(NOW, key, CloseReason::Failed);
        assert!(shard.in_flight_to(actor, SessionId(1)).contains(&7));
        (shard, actor)
    }

    #[test]
    fn who_resumes_has_what_was_being_written_ahead_of_enabled() {
        let (mut shard, actor) = torn();
        let key = open(&mut shard);
        shard.streams[key].jid = Some(shard.cells[actor].account.jid.clone());
        let wish = ResumeWish {
            previd: String::new(),
            h: 0,
        };
        shard.resume_requested(NOW, key, &wish);
        assert!(rendered(&mut shard, key).starts_with("<resumed"));
        let (_, writes) = saved(&mut shard).expect("its row goes");
        let is_delete = |write: &Write| matches!(write, Write::Delete { .. });
        assert!(writes.iter().any(is_delete));
        assert!(shard.cells[actor].account.sessions[0].flood.is_none());
    }

    #[test]
    fn nobody_knows_whether_it_arrived_when_the_session_ends_with_it() {
        let (mut shard, actor) = torn();
        let other = shard.cells[actor].account.jid.with_resource("balcony");
        let mut other =
            crate::im::Session::new(SessionId(2), other.expect("valid"), StreamKey::default());
        other.presence = Some(Stanza {
            header: Header::new(Kind::Presence, Type::Available),
            payload: Payload::EMPTY,
        });
        shard.cells[actor].account.sessions.push(other);
        shard.end_session(NOW, actor, SessionId(1), Vec::new(), NOT_RESUMED);
        let other = &shard.cells[actor].account.sessions[1];
        let next = other.flood.as_ref().map(|flood| flood.next);
        assert_eq!(next, Some(7), "it is read for the other");
    }
}
