//! Deadlines: each stream and each account is woken at its earliest one, and says then what is due.

use std::collections::BTreeSet;

use crate::actor::Envelope;
use crate::actor::Origin;
use crate::base::{ActorKey, Now, SessionId, StreamKey, limits};
use crate::jid::Jid;
use crate::stanza::{Condition, ErrorType, Stanza, StanzaError, StreamCondition, StreamError, ns};
use crate::stanza::{Header, Kind, Payload, Type, reply_error};
use crate::stream::Phase;

use super::Shard;
use super::session_end::{Loss, NOT_RESUMED};

/// The earliest deadline of each stream and account that has one.
#[derive(Default)]
pub(super) struct Timers {
    due: BTreeSet<(u64, Owner)>,
    replay_is_due: bool,
    spread_is_due: bool,
    disk_is_due: bool,
    purge_is_due: bool,
    groups_are_due: bool,
}

/// Who is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Stream(StreamKey),
    Actor(ActorKey),
    /// What has to be swept out of the store.
    Sweep,
    /// Tells that were turned away.
    Replay,
    /// Presence on its way to many.
    Spread,
    /// The farewell of a server that shuts down.
    Drain,
    /// Logins that wait for room.
    Logins,
    /// A disk that was full.
    Disk,
    /// Rows of removed accounts that could not go.
    Purge,
    /// Accounts that do not know of new groups yet.
    Groups,
}

impl Timers {
    /// The next deadline, on the monotonic clock.
    pub fn next(&self) -> Option<u64> {
        self.due.first().map(|(at_ms, _)| *at_ms)
    }

    /// The stream is gone, or will be woken at another time.
    pub fn disarm_stream(&mut self, armed_for_ms: u64, key: StreamKey) {
        self.due.remove(&(armed_for_ms, Owner::Stream(key)));
    }

    /// Somebody has to sweep then.
    pub fn arm_sweep(&mut self, at_ms: u64) {
        self.due.insert((at_ms, Owner::Sweep));
    }

    /// Tells are told again then, or earlier if that is arranged already.
    pub fn arm_replay(&mut self, at_ms: u64) {
        if !std::mem::replace(&mut self.replay_is_due, true) {
            self.due.insert((at_ms, Owner::Replay));
        }
    }

    /// More of those who get a presence get it then.
    pub fn arm_spread(&mut self, at_ms: u64) {
        if !std::mem::replace(&mut self.spread_is_due, true) {
            self.due.insert((at_ms, Owner::Spread));
        }
    }

    /// The farewell is said then at the latest.
    pub fn arm_drain(&mut self, at_ms: u64) {
        self.due.insert((at_ms, Owner::Drain));
    }

    /// Logins have waited long enough then.
    pub fn arm_logins(&mut self, at_ms: u64) {
        self.due.insert((at_ms, Owner::Logins));
    }

    /// Whether the disk has room again is asked then.
    pub fn arm_disk(&mut self, at_ms: u64) {
        if !std::mem::replace(&mut self.disk_is_due, true) {
            self.due.insert((at_ms, Owner::Disk));
        }
    }

    /// Rows of removed accounts go then, or earlier if that is arranged already.
    pub fn arm_purge(&mut self, at_ms: u64) {
        if !std::mem::replace(&mut self.purge_is_due, true) {
            self.due.insert((at_ms, Owner::Purge));
        }
    }

    /// More accounts learn of new groups then.
    pub fn arm_groups(&mut self, at_ms: u64) {
        if !std::mem::replace(&mut self.groups_are_due, true) {
            self.due.insert((at_ms, Owner::Groups));
        }
    }

    fn pop(&mut self, now: Now) -> Option<Owner> {
        let (at_ms, owner) = *self.due.first()?;
        if at_ms > now.mono_ms {
            return None;
        }
        self.due.pop_first();
        self.replay_is_due &= owner != Owner::Replay;
        self.spread_is_due &= owner != Owner::Spread;
        self.disk_is_due &= owner != Owner::Disk;
        self.purge_is_due &= owner != Owner::Purge;
        self.groups_are_due &= owner != Owner::Groups;
        Some(owner)
    }
}

impl Shard {
    /// Wakes everybody whose deadline has passed.
    pub(super) fn tick(&mut self, now: Now) {
        while let Some(owner) = self.timers.pop(now) {
            match owner {
                Owner::Stream(key) => self.stream_due(now, key),
                Owner::Actor(actor) => self.actor_due(now, actor),
                Owner::Sweep => self.sweep_due(now),
                Owner::Replay => self.replay_due(),
                Owner::Spread => self.spread_due(now),
                Owner::Drain => self.advance_drain(now),
                Owner::Logins => self.logins_due(now),
                Owner::Disk => self.probe_disk(now),
                Owner::Purge => self.purge_due(),
                Owner::Groups => self.groups_due(now),
            }
        }
    }

    /// Arranges that the stream is woken at its earliest deadline. A deadline that moves away is left to
    /// fire early: that costs less than moving it with every byte.
    pub(super) fn arm_stream(&mut self, key: StreamKey) {
        let full_since_ms = self.full_since_ms(key);
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let c2s = &self.config.c2s;
        let liveness_ms = match (&stream.phase, stream.pinged_at_ms) {
            (Phase::Closing, _) => u64::MAX,
            (Phase::Bound, Some(at_ms)) => at_ms + c2s.ping_timeout.as_ms(),
            (Phase::Bound, None) => stream.read_at_ms + c2s.ping_after.as_ms(),
            _ => stream.opened_at_ms + c2s.negotiation_timeout.as_ms(),
        };
        // A reader that takes nothing, a client that acknowledges nothing: nobody else would notice in time.
        let stuck_since_ms = stream.outbound.above_soft_since_ms();
        let stuck_since_ms = stuck_since_ms.into_iter().chain(full_since_ms).min();
        let stuck_ms = match stream.phase {
            Phase::Closing => None,
            _ => stuck_since_ms.map(|since_ms| since_ms + c2s.outbound_soft_for.as_ms()),
        };
        let due_ms = liveness_ms
            .min(stream.throttled_until_ms.unwrap_or(u64::MAX))
            .min(stuck_ms.unwrap_or(u64::MAX));
        if due_ms < stream.armed_for_ms {
            self.timers
                .due
                .remove(&(stream.armed_for_ms, Owner::Stream(key)));
            self.timers.due.insert((due_ms, Owner::Stream(key)));
            stream.armed_for_ms = due_ms;
        }
    }

    /// Arranges that the account is woken at its earliest deadline.
    pub(super) fn arm_actor(&mut self, now: Now, actor: ActorKey) {
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        let waits = cell.waits();
        let session_due = |session: &crate::im::Session| {
            let acks = session.acks.as_ref().filter(|_| !waits);
            let unsettled = acks.and_then(|acks| acks.unsettled_since_ms());
            let bounce = unsettled.map(|since_ms| since_ms + limits::SETTLE_TIMEOUT_MS);
            let retry = session.flood.as_ref().and_then(|flood| flood.retry_at_ms);
            let due = session.ends_at_ms.into_iter().chain(bounce);
            due.chain(retry).min()
        };
        let mut due_ms = cell.account.sessions.iter().filter_map(session_due).min();
        if cell.is_idle() {
            let exists = cell.account.identity.is_some();
            let idle_ms = if exists { limits::ACCOUNT_IDLE_MS } else { 0 };
            due_ms = Some(cell.used_at_ms + idle_ms);
        }
        let Some(due_ms) = due_ms else {
            return;
        };
        // Strictly later than now, or the loop would not sleep.
        let due_ms = due_ms.max(now.mono_ms + 1);
        if due_ms < cell.armed_for_ms {
            self.timers
                .due
                .remove(&(cell.armed_for_ms, Owner::Actor(actor)));
            self.timers.due.insert((due_ms, Owner::Actor(actor)));
            cell.armed_for_ms = due_ms;
        }
    }

    fn stream_due(&mut self, now: Now, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        stream.armed_for_ms = u64::MAX;
        if stream
            .throttled_until_ms
            .is_some_and(|at_ms| at_ms <= now.mono_ms)
        {
            stream.throttled_until_ms = None;
            self.resume_stream(key);
        }
        self.check_outbound(now, key);
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let c2s = &self.config.c2s;
        match (&stream.phase, stream.pinged_at_ms) {
            (Phase::Closing, _) => return,
            (Phase::Bound, None) => {
                if stream.read_at_ms + c2s.ping_after.as_ms() <= now.mono_ms {
                    stream.pinged_at_ms = Some(now.mono_ms);
                    self.ping(now, key);
                }
            }
            (Phase::Bound, Some(at_ms)) => {
                if at_ms + c2s.ping_timeout.as_ms() <= now.mono_ms {
                    self.lose_stream(now, key, Loss::Resumable);
                    return self.fail_stream(now, key, silent("No answer to a ping"));
                }
            }
            _ => {
                if stream.opened_at_ms + c2s.negotiation_timeout.as_ms() <= now.mono_ms {
                    return self.fail_stream(now, key, silent("The negotiation took too long"));
                }
            }
        }
        self.arm_stream(key);
    }

    /// XEP-0199 section 4.1, or an acknowledgement request where XEP-0198 is on: a ping would count as a
    /// stanza there.
    fn ping(&mut self, now: Now, key: StreamKey) {
        let Some(at) = self.session_of(key) else {
            return;
        };
        self.release_held(now, at);
        let session = self
            .cells
            .get(at.actor)
            .and_then(|cell| cell.account.session(at.session));
        let Some(session) = session else {
            return;
        };
        if session.acks.is_some() {
            return self.say(key, super::deliver::REQUEST.to_owned());
        }
        let domain = Jid::domain(session.jid.domainpart()).ok();
        let mut header = Header::new(Kind::Iq, Type::Get);
        header.from = domain;
        header.to = Some(session.jid.clone());
        header.id = Some(self.rng.token().into());
        let payload = Payload::from_normal(&format!("<ping xmlns='{}'/>", ns::PING));
        let mut xml = Vec::new();
        Stanza { header, payload }.write(&mut xml);
        self.say(
            key,
            String::from_utf8(xml).expect("written from strings and ASCII only"),
        );
    }

    fn actor_due(&mut self, now: Now, actor: ActorKey) {
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        cell.armed_for_ms = u64::MAX;
        let over = |session: &&crate::im::Session| {
            session.ends_at_ms.is_some_and(|at_ms| at_ms <= now.mono_ms)
        };
        let over: Vec<SessionId> = cell
            .account
            .sessions
            .iter()
            .filter(over)
            .map(|s| s.id)
            .collect();
        for id in over {
            self.end_session(now, actor, id, Vec::new(), NOT_RESUMED);
        }
        self.bounce_overdue(now, actor);
        self.retry_floods(now, actor);
        let Some(cell) = self.cells.get(actor) else {
            return;
        };
        let exists = cell.account.identity.is_some();
        let idle_ms = if exists { limits::ACCOUNT_IDLE_MS } else { 0 };
        if cell.is_idle() && cell.used_at_ms + idle_ms <= now.mono_ms {
            self.homes.remove(cell.account.jid.bare_str());
            if let Some(mut cell) = self.cells.remove(actor) {
                self.load.recount(&mut cell.counted_bytes, 0);
            }
            return;
        }
        self.arm_actor(now, actor);
    }

    /// DESIGN section 20: "Anything unsettled after 10 s is bounced, and so settled." What waits in this account's own
    /// mailbox will have its turn, and its answer; being told both would be one too many.
    fn bounce_overdue(&mut self, now: Now, actor: ActorKey) {
        if self.cells.get(actor).is_some_and(|cell| cell.waits()) {
            return;
        }
        let before_ms = now.mono_ms.saturating_sub(limits::SETTLE_TIMEOUT_MS);
        while let Some((session, sequence, header)) = self.take_overdue(actor, before_ms) {
            let stanza = Stanza {
                header: *header,
                payload: Payload::EMPTY,
            };
            let error = StanzaError::new(
                Condition::ResourceConstraint,
                "The server could not make sure in time that this is delivered",
            )
            .of_type(ErrorType::Wait);
            if reply_error(&stanza, &error).is_some() {
                self.tell_session(now, actor, session, &stanza, &error);
            }
            let worker = self.place.worker;
            self.route(
                now,
                Envelope::Settled(Origin {
                    worker,
                    actor,
                    session,
                    sequence,
                }),
            );
        }
    }

    fn take_overdue(
        &mut self,
        actor: ActorKey,
        before_ms: u64,
    ) -> Option<(SessionId, u32, Box<Header>)> {
        let cell = self.cells.get_mut(actor)?;
        cell.account.sessions.iter_mut().find_map(|session| {
            let (sequence, header) = session.acks.as_mut()?.take_overdue(before_ms)?;
            Some((session.id, sequence, header))
        })
    }
}

/// RFC 6120 section 4.6.1 and 4.9.3.4: "one party ... has reason to believe that the other ... has
/// permanently lost the ability to communicate".
fn silent(text: &'static str) -> StreamError {
    StreamError::new(StreamCondition::ConnectionTimeout, text)
}
