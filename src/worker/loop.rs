//! The loop of one worker: what is done in which order in every turn (DESIGN section 4). Refuses to know
//! XMPP; it carries values between a `Shard` and the operating system.

use std::collections::VecDeque;
use std::hint::black_box;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use mio::event::Event;
use mio::{Events, Poll};
use slotmap::{Key, KeyData, SecondaryMap, SlotMap};
use smallvec::SmallVec;

use crate::actor::Ticket;
use crate::base::{Now, WorkerId, limits};
use crate::shard::{AHEAD, Ask, Batch, CloseReason, Control, Input};
use crate::stream::StreamKey;

use super::Ports;
use super::admit::Newcomer;
use super::clock::Clock;
use super::connection::{Connection, ConnectionKey, Phase, Scratch};
use super::core::Core;
use super::deadlines::Deadlines;
use super::intake::Intake;
use super::mesh::{Address, Inbox, KNOCK};
use super::order::{Counters, Order, Settled};
use super::round::Round;
use super::tls::TlsContext;

/// Everything that one worker thread owns.
pub struct Worker<C> {
    pub(super) worker: WorkerId,
    pub(super) poll: Poll,
    pub(super) inbox: Inbox,
    pub(super) outboxes: Vec<Option<Sender<Batch>>>,
    pub(super) addresses: Vec<Address>,
    pub(super) shard: C,
    pub(super) connections: SlotMap<ConnectionKey, Connection>,
    pub(super) streams: SecondaryMap<StreamKey, ConnectionKey>,
    /// Connections to read; those that no event will announce among them.
    pub(super) ready: VecDeque<ConnectionKey>,
    /// Connections to write.
    pub(super) dirty: VecDeque<ConnectionKey>,
    /// Handshakes in progress, at most `limits::HANDSHAKES_MAX`.
    pub(super) handshake_count: usize,
    /// Those that would like to begin; some may be gone meanwhile.
    pub(super) waiting: VecDeque<ConnectionKey>,
    pub(super) deadlines: Deadlines,
    pub(super) scratch: Scratch,
    pub(super) now: Now,
    pub(super) clock: Clock,
    pub(super) tls: Arc<TlsContext>,
    pub(super) intake: Arc<Intake>,
    /// Who has come and waits because there is too much to do, and since when on the monotonic clock; at most
    /// [`limits::ANTEROOM_MAX`].
    pub(super) anteroom: VecDeque<(u64, Newcomer)>,
    pub(super) round: Round,
    pub(super) ports: Ports,
    /// What the shard has asked in this turn.
    pub(super) asked: Vec<(Ticket, Ask)>,
    /// Sent to other workers and received from them.
    pub(super) batches: u64,
    pub(super) counters: Counters,
    #[cfg(feature = "trunk")]
    pub(super) trunk: Option<super::trunk::Trunk>,
}

/// Whether the loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Next,
    Last,
}

impl<C: Core> Worker<C> {
    /// Works until it is told to stop.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        while self.turn() == Turn::Next {
            self.sleep(&mut events);
            self.round.heard(events.iter().count(), EVENTS_PER_TURN);
            for event in &events {
                self.note(event);
            }
        }
        #[cfg(feature = "trunk")]
        self.end_trunk();
    }

    /// Finish what is inside before admitting more: this order is the back-pressure policy.
    fn turn(&mut self) -> Turn {
        self.now = self.clock.now();
        self.inbox.begin_turn();
        if self.take_orders() == Turn::Last {
            return Turn::Last;
        }
        self.take_answers();
        self.take_batches();
        self.take_connections();
        self.run_timers();
        #[cfg(feature = "trunk")]
        self.read_trunk();
        self.begin_round();
        self.read_sockets();
        self.flush_streams();
        self.end_round();
        // May make more streams dirty; they have the next turn, which then comes at once.
        self.shard.end_turn(self.now);
        self.drain();
        self.flush_asks();
        self.flush_mesh();
        #[cfg(feature = "trunk")]
        self.flush_trunk();
        Turn::Next
    }

    fn take_orders(&mut self) -> Turn {
        while let Ok(order) = self.inbox.orders.try_recv() {
            match order {
                Order::Control(control) => {
                    let is_drain = matches!(control, Control::Drain);
                    self.tell(Input::Control(control));
                    if is_drain {
                        self.anteroom.clear();
                        self.drop_streamless();
                    }
                }
                Order::Tls(context) => self.tls = context,
                Order::Report(answer) => {
                    self.counters.connections = self.connections.len();
                    self.counters.waiting = self.anteroom.len();
                    // Whoever asked may have lost patience.
                    let _ = answer.send(self.counters);
                }
                Order::LookAtClock => self.now = self.clock.now(),
                Order::AreYouSettled(answer) => {
                    // Whoever asked may have lost patience.
                    let _ = answer.send((self.worker, self.settled()));
                }
                #[cfg(feature = "trunk")]
                Order::Trunk(trunk) => self.take_trunk(*trunk),
                Order::Stop => return Turn::Last,
            }
        }
        Turn::Next
    }

    fn settled(&self) -> Settled {
        let mut outboxes = (0..self.outboxes.len()).map(worker_at);
        let is_idle = self.shard.is_settled()
            && self.inbox.answers.is_empty()
            && self.inbox.carried.is_empty()
            && self.inbox.batches.iter().all(Receiver::is_empty)
            && outboxes.all(|to| self.shard.outbox_is_empty(to));
        match is_idle {
            true => Settled::Idle {
                batches: self.batches,
            },
            false => Settled::Busy,
        }
    }

    /// Connections that have no stream yet hear nothing of a drain: there is nothing to say to them.
    fn drop_streamless(&mut self) {
        let connections = self.connections.iter();
        let streamless = connections.filter(|(_, connection)| match connection.phase {
            Phase::Proxy | Phase::Hello | Phase::Waiting | Phase::Handshake => true,
            Phase::Open
            | Phase::StartingTls
            | Phase::Compressing(_)
            | Phase::Closing
            | Phase::Lingering => false,
        });
        let keys: Vec<ConnectionKey> = streamless.map(|(key, _)| key).collect();
        for key in keys {
            self.lose(key, CloseReason::Asked);
        }
    }

    fn take_answers(&mut self) {
        for _ in 0..ANSWERS_PER_TURN {
            let Ok((ticket, answer)) = self.inbox.answers.try_recv() else {
                return;
            };
            self.tell(Input::Answer(ticket, answer));
        }
    }

    /// Inboxes are always emptied: the channels' bound is the bound.
    fn take_batches(&mut self) {
        while let Some(batch) = self.inbox.next_batch() {
            self.batches += 1;
            self.tell(Input::Mesh(batch));
        }
    }

    fn take_connections(&mut self) {
        for _ in 0..CONNECTIONS_PER_TURN {
            let Ok(carried) = self.inbox.carried.try_recv() else {
                break;
            };
            self.receive(*carried);
        }
        while self.anteroom.len() < limits::ANTEROOM_MAX
            && let Ok(newcomer) = self.inbox.newcomers.try_recv()
        {
            self.anteroom.push_back((self.now.mono_ms, newcomer));
        }
        for _ in 0..CONNECTIONS_PER_TURN {
            let admits = self.shard.admits();
            let next = self.anteroom.pop_front_if(|(since_ms, _)| {
                admits || *since_ms + limits::LOGIN_PATIENCE_MS <= self.now.mono_ms
            });
            let Some((since_ms, newcomer)) = next else {
                break;
            };
            self.counters.late += u64::from(!admits);
            self.welcome(newcomer, self.now.mono_ms - since_ms);
        }
    }

    fn begin_round(&mut self) {
        let (unread, unwritten) = (self.ready.len(), self.dirty.len());
        let connections = self.connections.len();
        self.round
            .begin(self.now.mono_ms, unread, unwritten, connections);
    }

    fn end_round(&mut self) {
        let waited_ms = self.round.waited_ms(self.clock.mono_ms());
        self.counters.lag_ms = waited_ms;
        self.shard.handle(self.now, Input::Waited(waited_ms));
    }

    fn run_timers(&mut self) {
        if self
            .shard
            .next_deadline()
            .is_some_and(|due_ms| due_ms <= self.now.mono_ms)
        {
            self.tell(Input::Tick);
        }
        while let Some((due_ms, key)) = self.deadlines.take_due(self.now.mono_ms) {
            self.expire(due_ms, key);
        }
    }

    fn read_sockets(&mut self) {
        for at in 0..self.ready.len().min(READS_PER_TURN) {
            if at % AHEAD == 0 {
                self.look_ahead(&self.ready);
            }
            let Some(key) = self.ready.pop_front() else {
                break;
            };
            self.round.read(1);
            if let Some(connection) = self.connections.get_mut(key) {
                connection.is_ready = false;
                self.serve(key);
            }
        }
        self.hand_out();
    }

    fn hand_out(&mut self) {
        self.shard.hand_out(self.now);
        self.drain();
    }

    fn flush_streams(&mut self) {
        for at in 0..FLUSHES_PER_TURN {
            if at % AHEAD == 0 {
                self.look_ahead(&self.dirty);
            }
            let Some(key) = self.dirty.pop_front() else {
                return;
            };
            self.round.written(1);
            if let Some(connection) = self.connections.get_mut(key) {
                connection.is_dirty = false;
                self.flush(key);
            }
        }
    }

    /// The next streams of a list have their turn now.
    fn look_ahead(&self, list: &VecDeque<ConnectionKey>) {
        let keys = list.iter().take(AHEAD);
        let connections: SmallVec<[&Connection; AHEAD]> =
            keys.filter_map(|&key| self.connections.get(key)).collect();
        if connections.len() < 2 {
            return;
        }
        let streams: SmallVec<[StreamKey; AHEAD]> =
            connections.iter().filter_map(|at| at.stream).collect();
        let mut seen = 0;
        for tls in connections.iter().filter_map(|at| at.tls.as_ref()) {
            seen ^= tls.glance();
        }
        // Without a use of them the reads would be no reads.
        black_box(seen);
        self.shard.look_ahead(&streams);
    }

    /// Once per turn, so that a service is woken once for all of them.
    fn flush_asks(&mut self) {
        if !self.asked.is_empty() {
            (self.ports.ask)(&mut self.asked);
        }
    }

    /// What does not fit into a channel stays in the shard, behind which its streams pause.
    fn flush_mesh(&mut self) {
        for (index, sender) in self.outboxes.iter().enumerate() {
            let Some(sender) = sender else { continue };
            let to = worker_at(index);
            let mut sent = false;
            self.shard.channel_holds(to, sender.len());
            while !self.shard.outbox_is_empty(to) && !sender.is_full() {
                let Some(batch) = self.shard.take_batch(to) else {
                    break;
                };
                // We are the only sender, so there is room; an error means that the process ends.
                sent |= sender.try_send(batch).is_ok();
                self.batches += 1;
            }
            if sent {
                self.addresses[index].knock();
            }
        }
        // Streams that waited for room take bytes again.
        self.drain();
    }

    /// Waits for events, answers, batches, or the next deadline.
    fn sleep(&mut self, events: &mut Events) {
        let mut patience = self.patience();
        if patience != Some(Duration::ZERO) {
            self.inbox.knocker.fall_asleep();
            // For whom there is no place yet nobody need get up.
            let is_quiet = match self.anteroom.len() < limits::ANTEROOM_MAX {
                true => self.inbox.is_empty(),
                false => self.inbox.is_empty_but_for_newcomers(),
            };
            if !is_quiet {
                patience = Some(Duration::ZERO);
            }
        }
        match self.poll.poll(events, patience) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("epoll does not work: {error}"),
        }
        self.inbox.knocker.wake_up();
    }

    fn patience(&self) -> Option<Duration> {
        let is_idle = self.dirty.is_empty() && self.ready.is_empty();
        // The system may have nobody left to announce, and then sleep is no part of the round.
        if !is_idle || self.round.is_at_hand() {
            return Some(Duration::ZERO);
        }
        #[cfg(feature = "trunk")]
        if self.trunk.as_ref().is_some_and(|trunk| trunk.is_readable) {
            return Some(Duration::ZERO);
        }
        let mut patience_ms = u64::MAX;
        if !self.shard.admits() {
            // It may have nothing to do any more, and nobody would tell it so.
            patience_ms = limits::PRESSED_LOOK_MS;
        } else if !self.anteroom.is_empty() {
            return Some(Duration::ZERO);
        }
        let mesh_waits =
            (0..self.outboxes.len()).any(|index| self.shard.waits_for(worker_at(index)));
        if mesh_waits {
            patience_ms = patience_ms.min(MESH_RETRY_MS);
        }
        for due_ms in [self.shard.next_deadline(), self.deadlines.next_ms()]
            .into_iter()
            .flatten()
        {
            patience_ms = patience_ms.min(due_ms.saturating_sub(self.now.mono_ms));
        }
        (patience_ms != u64::MAX).then(|| Duration::from_millis(patience_ms))
    }

    fn note(&mut self, event: &Event) {
        if event.token() == KNOCK {
            return;
        }
        #[cfg(feature = "trunk")]
        if event.token() == super::trunk::TRUNK {
            if let Some(trunk) = &mut self.trunk {
                trunk.is_readable |= event.is_readable() || event.is_read_closed();
            }
            return;
        }
        let key = ConnectionKey::from(KeyData::from_ffi(event.token().0 as u64));
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        connection.hung_up |= event.is_read_closed();
        let is_readable = event.is_readable() || event.is_read_closed() || event.is_error();
        connection.readable |= is_readable;
        let is_blocked = event.is_writable() && connection.is_blocked();
        if is_readable {
            self.mark_ready(key);
        }
        if is_blocked {
            self.mark_dirty(key);
        }
    }

    pub(super) fn mark_ready(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.connections.get_mut(key)
            && !std::mem::replace(&mut connection.is_ready, true)
        {
            self.ready.push_back(key);
        }
    }

    pub(super) fn mark_dirty(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.connections.get_mut(key)
            && !std::mem::replace(&mut connection.is_dirty, true)
        {
            self.dirty.push_back(key);
        }
    }

    /// Replaces the connection's deadline.
    pub(super) fn set_deadline(&mut self, key: ConnectionKey, after_ms: u64) {
        let at_ms = self.now.mono_ms + after_ms;
        if let Some(connection) = self.connections.get_mut(key) {
            connection.deadline_ms = at_ms;
            self.deadlines.set(at_ms, key);
        }
    }

    /// An input of which nothing comes back but outputs.
    pub(super) fn tell(&mut self, input: Input<'_>) {
        self.shard.handle(self.now, input);
        self.drain();
    }

    /// Carries out what the shard wants, to the last.
    pub(super) fn drain(&mut self) {
        while let Some(output) = self.shard.poll_output() {
            self.carry_out(output);
        }
    }

    /// Removes a connection and tells its stream; the caller drains.
    pub(super) fn remove(&mut self, key: ConnectionKey, reason: CloseReason) {
        let Some(connection) = self.connections.remove(key) else {
            return;
        };
        if connection.phase == Phase::Handshake {
            self.end_handshake();
        }
        if let Some(stream) = connection.stream {
            self.streams.remove(stream);
            self.shard.handle(self.now, Input::Closed(stream, reason));
        }
    }

    /// Removes a connection, tells its stream, and does what that causes.
    pub(super) fn lose(&mut self, key: ConnectionKey, reason: CloseReason) {
        self.remove(key, reason);
        self.drain();
    }
}

/// The mio token of a connection.
pub(super) fn token(key: ConnectionKey) -> mio::Token {
    // This server is built for 64 bits only (checked below), so the number fits.
    mio::Token(key.data().as_ffi() as usize)
}

fn worker_at(index: usize) -> WorkerId {
    WorkerId(u8::try_from(index).expect("workers are counted in a u8"))
}

const _: () = assert!(size_of::<usize>() == size_of::<u64>());

/// Events of one `poll`; what is left comes with the next one.
const EVENTS_PER_TURN: usize = 256;
/// Bounds of one turn, which together keep it below 5 ms (DESIGN section 4): what is left is done in the
/// next turn, after the answers and batches that came meanwhile.
const ANSWERS_PER_TURN: usize = 1_024;
const CONNECTIONS_PER_TURN: usize = 64;
const READS_PER_TURN: usize = 256;
const FLUSHES_PER_TURN: usize = 256;
/// How soon a batch that found its channel full is tried again: the receiver empties it every turn.
const MESH_RETRY_MS: u64 = 1;
