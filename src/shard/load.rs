//! The byte budget of one worker: everything that waits in its queues, and what is shed as it fills (DESIGN
//! section 7). The bounds of single queues do not bound their sum; this does. Want of time (`lag.rs`) sheds the same things
//! in the same order, as far as they take time.

use crate::base::{ActorKey, Now, SessionId, StreamKey, limits};
use crate::stanza::{StreamCondition, StreamError};
use crate::stream::{Phase, StreamState};

use super::Shard;
use super::lag::Lag;

/// What a worker sheds that is too full, or has too much to do. Each threshold has its own victim, the cheapest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pressure {
    #[default]
    None,
    /// New logins wait.
    Logins,
    /// What accounts say to many waits, the newest of each session.
    Presence,
    /// Archives are not read. Of a worker that is full, kept messages stay in the store, too.
    Archive,
    /// The slowest readers lose their connections.
    Readers,
    /// Sockets are not read.
    Sockets,
}

/// Bytes that wait, each reference charged its size once.
#[derive(Default)]
pub(super) struct Load {
    used: usize,
    /// Of that, what codecs take (XEP-0138).
    codecs: usize,
    /// Before this, on the monotonic clock, nobody is looked for again who could leave his codec to another.
    no_codec_until_ms: u64,
    /// Before this, on the monotonic clock, nobody is looked for again: there was nobody to shed.
    nobody_until_ms: u64,
    /// How many of those who waited for room were let in, and since when on the monotonic clock.
    let_in: (usize, u64),
    lag: Lag,
    pressed: Pressed,
}

/// A time in which something was shed, for the log.
#[derive(Default)]
struct Pressed {
    /// The most.
    worst: Pressure,
    since_ms: u64,
    /// When something was shed last.
    last_ms: u64,
}

impl Load {
    /// Replaces what one owner was last counted with.
    pub fn recount(&mut self, counted: &mut usize, bytes: usize) {
        self.used = self.used + bytes - *counted;
        *counted = bytes;
    }

    /// The same for a stream, whose codec counts among the codecs as well.
    pub fn recount_stream(&mut self, stream: &mut StreamState, bytes: usize, codec: usize) {
        self.recount(&mut stream.counted_bytes, bytes);
        self.codecs = self.codecs + codec - stream.counted_codec_bytes;
        stream.counted_codec_bytes = codec;
    }

    fn fullness(&self, budget: usize) -> Pressure {
        // A budget is below 2^57, so the percentage does not overflow.
        let percent = self.used * 100 / budget.max(1);
        let thresholds = [
            (limits::LOAD_SOCKETS_PERCENT, Pressure::Sockets),
            (limits::LOAD_READERS_PERCENT, Pressure::Readers),
            (limits::LOAD_ARCHIVE_PERCENT, Pressure::Archive),
            (limits::LOAD_PRESENCE_PERCENT, Pressure::Presence),
            (limits::LOAD_LOGINS_PERCENT, Pressure::Logins),
        ];
        let reached = thresholds.iter().find(|(from, _)| percent >= *from);
        reached.map_or(Pressure::None, |(_, pressure)| *pressure)
    }
}

/// Who gives memory back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    /// Loses its connection, and the session if that was not to be resumed.
    Reader(StreamKey),
    /// Ends: its messages have rows or get them, and wait in the store.
    Session(ActorKey, SessionId),
}

impl Shard {
    /// What this worker sheds.
    pub(super) fn pressure(&self) -> Pressure {
        let by_time = self.load.lag.level().max(self.backlog());
        self.fullness().max(by_time)
    }

    /// What of that because the store is behind: what it was asked beyond its bound would be refused to whoever asks next, and
    /// that is mostly somebody who is there already.
    fn backlog(&self) -> Pressure {
        let percent = self.seats.store_count() * 100 / limits::STORE_OUTSTANDING_MAX;
        let thresholds = [
            (limits::STORE_ARCHIVE_PERCENT, Pressure::Archive),
            (limits::STORE_PRESENCE_PERCENT, Pressure::Presence),
            (limits::STORE_LOGINS_PERCENT, Pressure::Logins),
        ];
        let reached = thresholds.iter().find(|(from, _)| percent >= *from);
        reached.map_or(Pressure::None, |(_, pressure)| *pressure)
    }

    /// What of that because it is full: all that gives no time back, but memory.
    pub(super) fn fullness(&self) -> Pressure {
        self.load.fullness(self.budget())
    }

    /// Whether new connections shall be opened. Those that wait are opened in the end, and hear how it is ([`Opened`]).
    ///
    /// [`Opened`]: super::Opened
    pub fn admits(&self) -> bool {
        self.pressure() < Pressure::Logins
    }

    /// The shell says how long something waits until it is read.
    pub(super) fn waited(&mut self, now: Now, ms: u64) {
        let after_ms = self.config.server.overload_after.as_ms();
        self.load.lag.note(now, ms, after_ms);
    }

    fn budget(&self) -> usize {
        let shared = self.config.server.queue_memory.as_bytes() as usize;
        shared / usize::from(self.place.worker_count)
    }

    /// The slowest readers lose their connections; should that not be enough, the sessions whose clients acknowledge
    /// least end. Nobody else could free that memory: from a little more on nobody is read, and no acknowledgement
    /// would be heard. Where nobody is found, as while what fills the worker are mailboxes and outboxes, all of them are
    /// not looked at again in every turn.
    fn shed(&mut self, now: Now) {
        if now.mono_ms < self.load.nobody_until_ms {
            return;
        }
        let mut found = false;
        let enough = self.budget() / 100 * limits::LOAD_READERS_PERCENT;
        let mut excess = (self.load.used + 1).saturating_sub(enough);
        let mut readers = self.readers();
        let mut holders = self.holders();
        // Whoever holds less than half of his share is not the cause. Codecs of sessions are nobody's to give.
        let floor = self.load.used.saturating_sub(self.load.codecs)
            / (readers.len() + holders.len()).max(1)
            / 2;
        readers.sort_unstable_by(|a, b| b.cmp(a));
        holders.sort_unstable_by(|a, b| b.cmp(a));
        for (bytes, victim) in readers.into_iter().chain(holders) {
            if excess == 0 {
                break;
            }
            if bytes <= floor {
                continue;
            }
            excess = excess.saturating_sub(bytes);
            found = true;
            match victim {
                Victim::Reader(key) => self.drop_connection(now, key, SHORT),
                Victim::Session(actor, id) => {
                    let error = StreamError::new(StreamCondition::ResourceConstraint, SHORT);
                    self.expel(now, actor, id, error);
                }
            }
        }
        if !found {
            self.load.nobody_until_ms = now.mono_ms + limits::LOAD_NOBODY_MS;
        }
    }

    /// By what they do not read, and by a codec that they have got and do nothing with; what they sent and nobody took is not
    /// their slowness.
    fn readers(&self) -> Vec<(usize, Victim)> {
        let open = self.streams.iter();
        let open = open.filter(|(_, stream)| !matches!(stream.phase, Phase::Closing));
        open.map(|(key, stream)| {
            let codec = match stream.has_idle_codec() {
                true => stream.codec_bytes(),
                false => 0,
            };
            (stream.outbound.bytes() + codec, Victim::Reader(key))
        })
        .collect()
    }

    fn holders(&self) -> Vec<(usize, Victim)> {
        let mut holders = Vec::new();
        for (actor, cell) in &self.cells {
            let living = cell.account.sessions.iter().filter(|s| !s.ended);
            holders.extend(living.map(|s| (s.queued_bytes(), Victim::Session(actor, s.id))));
        }
        holders
    }

    /// Bytes that wait in this worker's queues, for the judge and metrics.
    pub fn queued_bytes(&self) -> usize {
        self.load.used
    }

    /// Whether anything is shed because there is no room.
    pub(super) fn is_pressed(&self) -> bool {
        self.fullness() > Pressure::None
    }

    /// A stream's queues grew or shrank.
    pub(super) fn count_stream(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(key) {
            let (bytes, codec) = (stream.queued_bytes(), stream.codec_bytes());
            self.load.recount_stream(stream, bytes, codec);
        }
    }

    /// Whether a codec more has room among the codecs; if not, whoever has had one for longest without binding a resource
    /// loses his connection for it. Those who have a session keep theirs.
    pub(super) fn has_room_for_codec(&mut self, now: Now) -> bool {
        let share = self.budget() / 100 * limits::LOAD_CODECS_PERCENT;
        let is_full = |shard: &Shard| shard.load.codecs + limits::COMPRESSED_STREAM_BYTES > share;
        if !is_full(self) {
            return true;
        }
        if now.mono_ms < self.load.no_codec_until_ms {
            return false;
        }
        let idle = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.has_idle_codec());
        let oldest = idle.min_by_key(|(_, stream)| stream.opened_at_ms);
        match oldest.map(|(key, _)| key) {
            Some(key) => {
                self.drop_connection(now, key, SHORT);
                self.count_stream(key);
            }
            None => self.load.no_codec_until_ms = now.mono_ms + limits::LOAD_NOBODY_MS,
        }
        !is_full(self)
    }

    /// What waits for other workers grew or shrank.
    pub(super) fn count_outboxes(&mut self) {
        let bytes = self.outboxes.bytes();
        self.load.recount(&mut self.outboxes.counted_bytes, bytes);
    }

    /// What accounts say to many grew or shrank.
    pub(super) fn count_spreads(&mut self) {
        let bytes = self.spreads.bytes();
        self.load.recount(&mut self.spreads.counted_bytes, bytes);
    }

    /// An account's queues grew or shrank.
    pub(super) fn count_cell(&mut self, actor: ActorKey) {
        if let Some(cell) = self.cells.get_mut(actor) {
            let bytes = cell.queued_bytes();
            self.load.recount(&mut cell.counted_bytes, bytes);
        }
    }

    /// Once per turn of the loop: sheds while there is too much, lets waiting logins in and sockets be read again
    /// when there is room.
    pub(super) fn relieve(&mut self, now: Now) {
        self.report_pressure(now);
        if self.fullness() >= Pressure::Readers {
            self.shed(now);
        }
        if self.fullness() < Pressure::Sockets && self.sockets_wait {
            self.sockets_wait = false;
            self.resume_paused();
        }
        if self.fullness() < Pressure::Archive {
            for (actor, session) in std::mem::take(&mut self.waiting_floods) {
                self.advance_flood(now, actor, session);
            }
        }
        if self.pressure() < Pressure::Archive {
            for actor in std::mem::take(&mut self.waiting_asides) {
                self.run_asides(now, actor);
            }
        }
        self.let_in(now);
    }

    /// Those who have waited for room, in their order and some at a time.
    fn let_in(&mut self, now: Now) {
        let (_, since_ms) = self.load.let_in;
        let next_ms = since_ms + limits::LOGINS_LET_IN_MS;
        if now.mono_ms >= next_ms {
            self.load.let_in = (0, now.mono_ms);
        }
        while self.pressure() < Pressure::Logins && !self.waiting_logins.is_empty() {
            let (count, since_ms) = &mut self.load.let_in;
            if *count == limits::LOGINS_LET_IN_COUNT {
                let next_ms = *since_ms + limits::LOGINS_LET_IN_MS;
                return self.timers.arm_logins(next_ms);
            }
            let Some((key, _)) = self.waiting_logins.pop_front() else {
                return;
            };
            if self.awaits_room(key) {
                self.load.let_in.0 += 1;
                self.complete_login(now, key);
            }
        }
    }
}

impl Shard {
    /// Tells the operator when something begins to be shed, when more is than before, and when nothing has been for a while.
    fn report_pressure(&mut self, now: Now) {
        let pressure = self.pressure();
        let pressed = &self.load.pressed;
        if pressure == Pressure::None && pressed.worst == Pressure::None {
            return;
        }
        let worker = self.place.worker.0;
        if pressure > pressed.worst {
            let (lag_ms, queued) = (self.load.lag.ms(), self.load.used);
            log::warn!(
                "overloaded worker={worker} sheds={pressure:?} lag_ms={lag_ms} queued_bytes={queued}"
            );
        } else if pressure == Pressure::None && now.mono_ms >= pressed.last_ms + limits::LAG_CALM_MS
        {
            let lasted_ms = pressed.last_ms - pressed.since_ms;
            let worst = pressed.worst;
            log::warn!("overload_over worker={worker} shed={worst:?} lasted_ms={lasted_ms}");
            self.load.pressed = Pressed::default();
            return;
        }
        let pressed = &mut self.load.pressed;
        if pressed.worst == Pressure::None {
            pressed.since_ms = now.mono_ms;
        }
        pressed.worst = pressed.worst.max(pressure);
        if pressure > Pressure::None {
            pressed.last_ms = now.mono_ms;
        }
    }

    /// Nothing else has become of a login meanwhile.
    fn awaits_room(&self, key: StreamKey) -> bool {
        let phase = self.streams.get(key).map(|stream| &stream.phase);
        matches!(phase, Some(Phase::Verified))
    }

    /// A login is right, and this worker, at which it is at home, has no room for a session more.
    pub(super) fn wait_for_room(&mut self, now: Now, key: StreamKey) {
        if self.waiting_logins.is_empty() {
            self.timers
                .arm_logins(now.mono_ms + limits::LOGIN_PATIENCE_MS);
        }
        self.waiting_logins.push_back((key, now.mono_ms));
    }

    /// Those who have waited long enough come back later, when there is room, or to another server. RFC 6120 section
    /// 4.9.3.17: "The server lacks the system resources necessary to service the stream."
    pub(super) fn logins_due(&mut self, now: Now) {
        while let Some(&(key, since_ms)) = self.waiting_logins.front() {
            let until_ms = since_ms + limits::LOGIN_PATIENCE_MS;
            if until_ms > now.mono_ms {
                self.timers.arm_logins(until_ms);
                return;
            }
            self.waiting_logins.pop_front();
            if self.awaits_room(key) {
                let error = StreamError::new(StreamCondition::ResourceConstraint, BUSY);
                self.fail_stream(now, key, error);
            }
        }
    }
}

pub(super) const BUSY: &str = "The server is busy, try again later";
const SHORT: &str = "the server is short of memory";

#[cfg(test)]
mod tests {
    use super::super::input::Input;
    use std::sync::Arc;

    use super::super::output::Output;
    use super::super::seats::Seat;
    use super::super::testing::{NOW, open, rendered, stage, stage_of};
    use super::*;
    use crate::actor::Kept;
    use crate::im::acks::Unacked;
    use crate::jid::Jid;
    use crate::stanza::{Header, Kind, Payload, Stanza, Type};
    use crate::stream::{Event, Login, Profile};

    /// All of the worker's budget is used.
    fn overfull(shard: &mut Shard) {
        let mut counted = 0;
        let budget = shard.budget();
        shard.load.recount(&mut counted, budget);
    }

    /// The account's session holds more than its share.
    fn hold_much(shard: &mut Shard, actor: ActorKey) {
        let mut header = Header::new(Kind::Message, Type::Chat);
        header.id = Some("x".repeat(shard.budget()).into());
        let held = Unacked {
            stanza: Stanza {
                header,
                payload: Payload::EMPTY,
            },
            kept: None::<Kept>,
            wall_ms: 0,
            is_answered: false,
        };
        let session = shard.cells[actor].account.sessions.first_mut();
        let acks = session.and_then(|session| session.acks.as_mut());
        acks.expect("set by the stage").sent(held);
    }

    #[test]
    fn where_nobody_was_to_be_shed_nobody_is_looked_for_again_at_once() {
        let (mut shard, actor) = stage();
        shard.place.worker_count = u8::MAX;
        let is_there = |shard: &Shard| !shard.cells[actor].account.sessions[0].ended;
        let at = |after_ms| Now {
            mono_ms: NOW.mono_ms + after_ms,
            ..NOW
        };
        overfull(&mut shard);
        shard.relieve(NOW);
        hold_much(&mut shard, actor);
        shard.relieve(at(limits::LOAD_NOBODY_MS - 1));
        assert!(is_there(&shard));
        shard.relieve(at(limits::LOAD_NOBODY_MS));
        assert!(!is_there(&shard));
    }

    /// Whoever is this has proved it here.
    fn login(shard: &mut Shard, jid: &Jid) -> StreamKey {
        let key = open(shard);
        let stream = &mut shard.streams[key];
        stream.jid = Some(jid.clone());
        stream.login = Some(Box::new(Login {
            localpart: Arc::from("somebody"),
            account: None,
            mechanism: "PLAIN",
            additional: None,
            profile: Profile::Sasl1,
            token: None,
            began_at_ms: NOW.mono_ms,
        }));
        stream.phase = Phase::Verified;
        key
    }

    fn proves(shard: &mut Shard, now: Now) -> StreamKey {
        let jid = Jid::parse("romeo@localhost").expect("valid");
        let key = login(shard, &jid);
        shard.on_event(now, key, Event::Verified);
        key
    }

    fn is_let_in(shard: &mut Shard, key: StreamKey) -> bool {
        let said = rendered(shard, key);
        assert!(!said.contains("<resource-constraint "), "{said}");
        said.contains("<success ")
    }

    fn at(after_ms: u64) -> Now {
        Now {
            mono_ms: NOW.mono_ms + after_ms,
            ..NOW
        }
    }

    #[test]
    fn while_the_store_is_behind_logins_wait_then_presence_then_archives_are_not_read() {
        let (mut shard, _) = stage();
        let mut open = Vec::new();
        for (percent, level) in [
            (limits::STORE_LOGINS_PERCENT, Pressure::Logins),
            (limits::STORE_PRESENCE_PERCENT, Pressure::Presence),
            (limits::STORE_ARCHIVE_PERCENT, Pressure::Archive),
        ] {
            let count = limits::STORE_OUTSTANDING_MAX * percent / 100;
            while open.len() < count {
                assert!(shard.pressure() < level, "{} open", open.len());
                let seat = shard.seats.take(Seat::Sweep);
                open.push(seat.unwrap_or_else(|_| panic!("there are more")));
            }
            assert_eq!(shard.pressure(), level);
        }
        let waiting = proves(&mut shard, NOW);
        shard.relieve(NOW);
        assert!(!is_let_in(&mut shard, waiting));
        for ticket in open {
            shard.seats.free(ticket);
        }
        shard.relieve(NOW);
        assert!(is_let_in(&mut shard, waiting));
    }

    #[test]
    fn a_login_that_finds_no_room_for_ten_seconds_is_told_so_and_one_that_finds_it_is_let_in() {
        let (mut shard, _) = stage();
        shard.place.worker_count = u8::MAX;
        overfull(&mut shard);
        let (first, second) = (proves(&mut shard, NOW), proves(&mut shard, at(1)));
        shard.handle(at(limits::LOGIN_PATIENCE_MS - 1), Input::Tick);
        assert_eq!(shard.waiting_logins.len(), 2);
        assert!(!is_let_in(&mut shard, first));
        shard.handle(at(limits::LOGIN_PATIENCE_MS), Input::Tick);
        let said = rendered(&mut shard, first);
        assert!(said.contains("<resource-constraint "), "{said}");
        assert_eq!(shard.waiting_logins.len(), 1);
        assert!(!is_let_in(&mut shard, second));
        // There is room again.
        let budget = shard.budget();
        shard.load.recount(&mut { budget }, 0);
        shard.relieve(at(limits::LOGIN_PATIENCE_MS));
        assert!(shard.waiting_logins.is_empty());
        assert!(is_let_in(&mut shard, second));
    }

    #[test]
    fn those_who_waited_are_let_in_some_at_a_time_in_their_order() {
        let (mut shard, _) = stage();
        shard.place.worker_count = u8::MAX;
        overfull(&mut shard);
        let some = limits::LOGINS_LET_IN_COUNT;
        let waiting: Vec<StreamKey> = (0..2 * some + 1).map(|_| proves(&mut shard, NOW)).collect();
        let budget = shard.budget();
        shard.load.recount(&mut { budget }, 0);
        for (round, inside) in [some, 2 * some].into_iter().enumerate() {
            let round_ms = limits::LOGINS_LET_IN_MS;
            let (now, next) = (
                at(round as u64 * round_ms),
                at((round as u64 + 1) * round_ms),
            );
            shard.handle(now, Input::Tick);
            shard.relieve(now);
            shard.relieve(now);
            assert_eq!(shard.waiting_logins.len(), waiting.len() - inside);
            assert!(is_let_in(&mut shard, waiting[inside - 1]));
            assert!(
                shard.next_deadline() <= Some(next.mono_ms),
                "nothing else wakes the worker"
            );
        }
        let late = proves(&mut shard, NOW);
        assert!(
            !is_let_in(&mut shard, late),
            "one who came before waits still"
        );
        shard.relieve(at(2 * limits::LOGINS_LET_IN_MS));
        assert!(is_let_in(&mut shard, waiting[2 * some]) && is_let_in(&mut shard, late));
    }

    #[test]
    fn who_is_at_home_elsewhere_does_not_wait_for_room_here() {
        let (mut shard, _) = stage_of(2);
        overfull(&mut shard);
        let elsewhere = (0..).find_map(|n| {
            let jid = Jid::parse(&format!("user{n}@localhost")).expect("valid");
            (shard.routes.home(&jid) != shard.place.worker).then_some(jid)
        });
        let key = login(&mut shard, &elsewhere.expect("half of them are"));
        shard.on_event(NOW, key, Event::Verified);
        let outputs: Vec<Output> = std::iter::from_fn(|| shard.poll_output()).collect();
        let goes = |output: &Output| matches!(output, Output::HandOver(..));
        assert!(outputs.iter().any(goes), "{outputs:?}");
    }

    #[test]
    fn who_comes_home_from_another_worker_waits_for_room_like_everybody() {
        let (mut shard, _) = stage_of(2);
        let jid = Jid::parse("romeo@localhost").expect("valid");
        let key = login(&mut shard, &jid);
        let stream = shard.streams.remove(key).expect("it was opened");
        overfull(&mut shard);
        let key = shard.arrive(NOW, stream);
        assert!(!is_let_in(&mut shard, key));
        let budget = shard.budget();
        shard.load.recount(&mut { budget }, 0);
        shard.relieve(NOW);
        assert!(is_let_in(&mut shard, key));
    }

    #[test]
    fn who_is_thrown_out_while_waiting_for_room_is_not_let_in_by_it() {
        let (mut shard, _) = stage();
        shard.place.worker_count = u8::MAX;
        overfull(&mut shard);
        let key = proves(&mut shard, NOW);
        let jid = Jid::parse("romeo@localhost").expect("valid");
        let error = StreamError::new(StreamCondition::Reset, "");
        shard.end_logins((NOW, NOW.mono_ms), &jid, None, &error);
        let budget = shard.budget();
        shard.load.recount(&mut { budget }, 0);
        shard.relieve(NOW);
        assert!(!is_let_in(&mut shard, key));
    }

    #[test]
    fn a_stream_that_sent_much_and_reads_all_is_no_slow_reader() {
        let (mut shard, _) = stage();
        shard.place.worker_count = u8::MAX;
        let local = crate::base::AddressPrefix::Local;
        let peer = std::sync::Arc::from("192.0.2.1:50123");
        let state = crate::stream::StreamState::new(NOW, &shard.config, 0, local, peer, None);
        let key = shard.streams.insert(Box::new(state));
        shard.streams[key].unread_bytes = shard.budget();
        overfull(&mut shard);
        shard.relieve(NOW);
        assert!(!matches!(shard.streams[key].phase, Phase::Closing));
        let closed = std::iter::from_fn(|| shard.poll_output());
        assert_eq!(closed.count(), 0);
    }

    #[test]
    fn pressure_grows_in_the_order_in_which_things_are_shed() {
        let mut load = Load::default();
        let mut counted = 0;
        let mut seen = Vec::new();
        for used in [0, 699, 700, 800, 850, 900, 970, 2_000] {
            load.recount(&mut counted, used);
            seen.push(load.fullness(1_000));
        }
        assert_eq!(
            seen,
            [
                Pressure::None,
                Pressure::None,
                Pressure::Logins,
                Pressure::Presence,
                Pressure::Archive,
                Pressure::Readers,
                Pressure::Sockets,
                Pressure::Sockets
            ]
        );
        load.recount(&mut counted, 0);
        assert_eq!(load.fullness(1_000), Pressure::None);
    }
}
