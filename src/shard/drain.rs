//! The end of a worker: nothing more is read, what clients were promised becomes durable, then each hears how much
//! that was, and the farewell. Refuses to wait longer than half of `server.drain_timeout`: the other half is for
//! clients that are slow to hear it.

use crate::base::{ActorKey, Now, StreamKey};
use crate::im::acks::Acks;
use crate::stanza::{StreamCondition, StreamError};
use crate::stream::Phase;

use super::Shard;
use super::session_end::Loss;
use super::streams::ack;

/// How far the end has come.
#[derive(Debug, Default)]
pub(super) enum Drain {
    /// The server runs.
    #[default]
    None,
    /// Streams are not read any more, and not told yet.
    Settling {
        /// Those not known to be settled. As nothing is read, what has settled stays so.
        unsettled: Vec<StreamKey>,
        /// From when on nobody waits, on the monotonic clock.
        until_ms: u64,
    },
    /// Everybody was told; a stream that arrives now hears so.
    Done,
}

impl Shard {
    /// The server shuts down.
    pub(super) fn begin_drain(&mut self, now: Now) {
        if !matches!(self.drain, Drain::None) {
            return;
        }
        let until_ms = now.mono_ms + self.config.server.drain_timeout.as_ms() / 2;
        let keys = self.streams.keys();
        let (sessions, others): (Vec<StreamKey>, Vec<StreamKey>) =
            keys.partition(|key| self.session_of(*key).is_some());
        self.drain = Drain::Settling {
            unsettled: sessions,
            until_ms,
        };
        for key in others {
            self.fail_stream(now, key, self.farewell());
        }
        self.timers.arm_drain(until_ms);
        self.advance_drain(now);
    }

    /// Whether the server shuts down.
    pub(super) fn is_draining(&self) -> bool {
        !matches!(self.drain, Drain::None)
    }

    /// Whether a stream is not read because its last `<a/>` is being worked on.
    pub(super) fn awaits_farewell(&self, key: StreamKey) -> bool {
        let is_open = |key| {
            let stream = self.streams.get(key);
            stream.is_some_and(|stream| !matches!(stream.phase, Phase::Closing))
        };
        matches!(self.drain, Drain::Settling { .. }) && is_open(key)
    }

    /// Whether clients wait for their farewell.
    pub(super) fn is_settling(&self) -> bool {
        matches!(self.drain, Drain::Settling { .. })
    }

    /// Says the farewell when all is settled, or when it is too late to wait.
    pub(super) fn advance_drain(&mut self, now: Now) {
        let Drain::Settling {
            unsettled,
            until_ms,
        } = &mut self.drain
        else {
            return;
        };
        let until_ms = *until_ms;
        let mut unsettled = std::mem::take(unsettled);
        while unsettled
            .pop_if(|key| self.is_stream_settled(*key))
            .is_some()
        {}
        if unsettled.is_empty() || until_ms <= now.mono_ms {
            self.drain = Drain::Done;
            return self.say_farewell(now);
        }
        self.drain = Drain::Settling {
            unsettled,
            until_ms,
        };
    }

    fn is_stream_settled(&self, key: StreamKey) -> bool {
        let acks = self.acks_on(key);
        acks.is_none_or(|acks| acks.unsettled_count() == 0)
    }

    fn acks_on(&self, key: StreamKey) -> Option<&Acks> {
        let at = self.session_of(key)?;
        let cell = self.cells.get(at.actor)?;
        cell.account.session(at.session)?.acks.as_deref()
    }

    fn say_farewell(&mut self, now: Now) {
        let keys: Vec<StreamKey> = self.streams.keys().collect();
        for key in keys {
            // What is not told as handled here is sent again after the restart.
            if let Some(h) = self.acks_on(key).map(Acks::told) {
                self.say(key, ack(h));
            }
            let farewell = self.farewell();
            self.lose_stream(now, key, Loss::Final(farewell.condition.name()));
            self.fail_stream(now, key, farewell);
        }
        // Those that wait for their clients, too: what they hold has no other place.
        let actors: Vec<ActorKey> = self.cells.keys().collect();
        for actor in actors {
            self.end_all_sessions(now, actor, self.farewell());
        }
    }

    /// RFC 6120 section 4.9.3.20, or 4.9.3.19 where the operator named another server.
    pub(super) fn farewell(&self) -> StreamError {
        let other = &self.config.server.see_other_host;
        let condition = if other.is_empty() {
            StreamCondition::SystemShutdown
        } else {
            StreamCondition::SeeOtherHost(other.clone())
        };
        StreamError::new(condition, "The server is shutting down")
    }
}

#[cfg(test)]
mod tests {
    use super::super::input::Control;
    use super::super::testing::{NOW, shard, stage};
    use super::super::{Input, Output};
    use super::*;
    use crate::actor::Origin;
    use crate::base::{AddressPrefix, SessionId, WorkerId};
    use crate::stanza::{Header, Kind, Type};
    use crate::stream::SessionRef;
    use crate::stream::StreamState;
    use std::sync::Arc;

    #[test]
    fn a_stream_that_was_on_its_way_from_another_worker_hears_of_the_drain_too() {
        let mut shard = shard(WorkerId(0), 2);
        let peer = Arc::from("192.0.2.1:50123");
        let local = AddressPrefix::Local;
        let state = StreamState::new(NOW, &shard.config, 0, local, peer, None);
        shard.handle(NOW, Input::Control(Control::Drain));
        let key = shard.arrive(NOW, Box::new(state));
        let outputs: Vec<Output> = std::iter::from_fn(|| shard.poll_output()).collect();
        let closed = outputs
            .iter()
            .any(|output| matches!(output, Output::Close(closed) if *closed == key));
        assert!(closed, "{outputs:?}");
        let mut said = Vec::new();
        shard.render(NOW, key, &mut said);
        let said = String::from_utf8(said).expect("XML is UTF-8");
        assert!(said.contains("<system-shutdown"), "{said}");
    }

    /// A drain that begins while the account's client has sent one message that is not settled.
    fn interrupted() -> (Shard, StreamKey, Origin) {
        let (mut shard, actor) = stage();
        let peer = Arc::from("192.0.2.1:50123");
        let local = AddressPrefix::Local;
        let mut state = StreamState::new(NOW, &shard.config, 0, local, peer, None);
        let session = SessionId(1);
        state.session = Some(SessionRef { actor, session });
        let key = shard.streams.insert(Box::new(state));
        let session_mut = shard.cells[actor].account.session_mut(session);
        let acks = session_mut.and_then(|session| session.acks.as_mut());
        let header = Header::new(Kind::Message, Type::Chat);
        let sequence = acks.expect("set by the stage").receive(NOW.mono_ms, header);
        let origin = Origin {
            worker: shard.place.worker,
            actor,
            session,
            sequence,
        };
        shard.handle(NOW, Input::Control(Control::Drain));
        shard.end_turn(NOW);
        (shard, key, origin)
    }

    fn said(shard: &mut Shard, key: StreamKey) -> String {
        let mut said = Vec::new();
        shard.render(NOW, key, &mut said);
        String::from_utf8(said).expect("XML is UTF-8")
    }

    #[test]
    fn a_client_hears_how_much_is_settled_before_the_farewell_and_is_not_read_meanwhile() {
        let (mut shard, key, origin) = interrupted();
        assert_eq!(said(&mut shard, key), "");
        assert_eq!(shard.handle(NOW, Input::Bytes(key, b"<presence/>")), 0);
        assert!(!shard.is_settled());
        shard.settled(NOW, origin);
        shard.end_turn(NOW);
        let said = said(&mut shard, key);
        assert!(
            said.starts_with("<a xmlns='urn:xmpp:sm:3' h='1'/>"),
            "{said}"
        );
        assert!(said.contains("<system-shutdown"), "{said}");
        assert!(said.ends_with("</stream:stream>"), "{said}");
    }

    #[test]
    fn a_store_that_does_not_answer_holds_the_farewell_up_for_half_of_the_drain_only() {
        let (mut shard, key, _) = interrupted();
        let half_ms = shard.config.server.drain_timeout.as_ms() / 2;
        let at = |mono_ms| Now { mono_ms, ..NOW };
        shard.handle(at(NOW.mono_ms + half_ms - 1), Input::Tick);
        assert_eq!(said(&mut shard, key), "");
        shard.handle(at(NOW.mono_ms + half_ms), Input::Tick);
        let said = said(&mut shard, key);
        assert!(
            said.starts_with("<a xmlns='urn:xmpp:sm:3' h='0'/>"),
            "{said}"
        );
        assert!(said.contains("<system-shutdown"), "{said}");
    }
}
