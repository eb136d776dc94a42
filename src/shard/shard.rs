//! The shard: its parts, and the border between core and shell.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use slotmap::SlotMap;

use crate::actor::groups::Groups;
use crate::actor::rows::RowKey;
use crate::actor::{Catalog, Disk, Effects, Kept, Ticket};
use crate::base::{
    AccountId, ActorKey, HashSeed, KeyedMap, KeyedState, Now, Rng, Seal, Sequence, SessionId,
    Spares, StreamKey, TraceId, WorkerId, limits,
};
use crate::config::{Config, Dictionary};
use crate::features;
use crate::im::Account;
use crate::stanza::{StreamCondition, StreamError};
use crate::stream::{Item, StreamState};
use crate::xml::{Scopes, Scratch};

use super::capabilities::Known;
use super::cell::{Cell, Mail};
use super::control::Outdated;
use super::drain::Drain;
use super::ended::Ended;
use super::fresh::Fresh;
use super::groups::Regrouping;
use super::input::{Input, Opened, Place};
use super::load::{BUSY, Load};
use super::look::AHEAD;
use super::mesh::{Batch, Outboxes, charge};
use super::output::Output;
use super::pipelines::Pipelines;
use super::retention::Retention;
use super::route::Routes;
use super::save::Saves;
use super::seats::Seats;
use super::spreads::Spreads;
use super::sweep::SWEEPER;
use super::timers::Timers;
use super::unstored::Unstored;

/// Everything that one worker owns.
pub struct Shard {
    pub(super) place: Place,
    pub(super) config: Arc<Config>,
    pub(super) routes: Routes,
    pub(super) catalog: Catalog<Account>,
    /// What each host says of itself in stream features (XEP-0115), by its name.
    pub(super) caps: BTreeMap<Arc<str>, String>,
    /// What clients can do.
    pub(super) known: Known,
    pub(super) pipelines: Pipelines,
    pub(super) streams: SlotMap<StreamKey, Box<StreamState>>,
    pub(super) cells: SlotMap<ActorKey, Box<Cell>>,
    /// By bare JID, whose text is the account's own.
    pub(super) homes: KeyedMap<Arc<str>, ActorKey>,
    /// Whom what comes next is probably for: to see that it is costs less than to look for it among all.
    pub(super) likely: ActorKey,
    /// Accounts with mail to be read in this turn.
    pub(super) ready: VecDeque<ActorKey>,
    /// How many stanzas were taken in since accounts were run, and their bytes.
    undriven: (usize, usize),
    pub(super) outboxes: Outboxes,
    pub(super) outputs: VecDeque<Output>,
    pub(super) seats: Seats,
    pub(super) saves: Saves,
    pub(super) fresh: Fresh,
    pub(super) timers: Timers,
    /// Presence that some of its receivers have yet to get, and what waits behind it.
    pub(super) spreads: Spreads,
    /// The last tell that was told again, where more wait behind it.
    pub(super) replayed_to: Option<RowKey>,
    /// Streams that were not read further for a reason outside their account.
    pub(super) paused: BTreeSet<StreamKey>,
    /// Lent to each turn and empty between them.
    pub(super) effects: Effects<Account>,
    pub(super) spare_mail: Spares<Mail>,
    pub(super) spare_items: Spares<Item>,
    pub(super) spare_rendered: Spares<Option<Kept>>,
    pub(super) scratch: Scratch,
    pub(super) scopes: Scopes,
    pub(super) rng: Rng,
    pub(super) sequence: Sequence,
    pub(super) seal: Seal,
    /// No number above it is in the store.
    pub(super) marked: u64,
    pub(super) load: Load,
    pub(super) ended: Ended,
    /// Streams whose login waits for room, in the order in which they came, and since when on the monotonic clock.
    pub(super) waiting_logins: VecDeque<(StreamKey, u64)>,
    /// Sessions whose kept messages wait for room.
    pub(super) waiting_floods: BTreeSet<(ActorKey, SessionId)>,
    /// Accounts whose requests beside the mailbox wait until this worker has room or time.
    pub(super) waiting_asides: BTreeSet<ActorKey>,
    /// Streams were not read because there was no room at all.
    pub(super) sockets_wait: bool,
    pub(super) drain: Drain,
    pub(super) retention: Retention,
    pub(super) disk: Disk,
    /// Keys of what clients have, and that could not be removed from [`crate::im::pending::PENDING`] yet.
    pub(super) refused: BTreeSet<RowKey>,
    /// Keys of what was called off, and that may not be removed from [`crate::im::archive::EMPTYING`] yet.
    pub(super) called_off: BTreeSet<RowKey>,
    /// What is owed and has no row because the disk was full.
    pub(super) unstored: Unstored,
    /// Accounts that were removed by their users in this turn of the loop.
    pub(super) removed: Vec<AccountId>,
    /// The same, which could not be asked for when it was tried.
    pub(super) left: Vec<AccountId>,
    pub(super) next_session: u64,
    /// Number of the last request that left a mailbox.
    pub(super) next_aside: u64,
    /// What credentials of these accounts were changed lately, for logins under way.
    pub(super) outdated: BTreeMap<Box<str>, Outdated>,
    /// What the directories of hosts say of their people.
    pub(super) groups: BTreeMap<Arc<str>, Arc<Groups>>,
    /// Accounts that do not know yet what is new of that.
    pub(super) regrouping: Regrouping,
    next_trace: u64,
}

/// Randomness of one shard.
pub struct Seeds {
    /// Of its hash maps.
    pub maps: HashSeed,
    /// Of its generator.
    pub rng: [u8; 32],
    /// Of the ids of archived messages: one for all workers, and for good.
    pub ids: [u8; 16],
}

/// Whether a stream has more to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rendered {
    /// Write this, say `Input::Written`, render again.
    More,
    /// That was all.
    Done,
}

impl Shard {
    /// A shard without streams, whose rows get numbers above `floor` ([`super::numbers_floor`]).
    pub fn new(
        place: Place,
        config: Arc<Config>,
        routes: Routes,
        seeds: Seeds,
        floor: u64,
    ) -> Shard {
        let catalog = Catalog::new(features::ALL, |name| config.has_feature(name));
        let mut timers = Timers::default();
        if place.worker == SWEEPER {
            // At once: what a stopped server should have swept is waiting.
            timers.arm_sweep(0);
        }
        Shard {
            place,
            pipelines: Pipelines::new(&catalog),
            caps: caps(&catalog, &config),
            known: Known::new(seeds.maps),
            catalog,
            routes,
            config,
            streams: SlotMap::with_key(),
            cells: SlotMap::with_key(),
            homes: KeyedMap::with_hasher(KeyedState::new(seeds.maps)),
            likely: ActorKey::default(),
            ready: VecDeque::new(),
            undriven: (0, 0),
            outboxes: Outboxes::new(place.worker, place.worker_count),
            outputs: VecDeque::new(),
            seats: Seats::default(),
            saves: Saves::new(KeyedState::new(seeds.maps)),
            fresh: Fresh::new(KeyedState::new(seeds.maps)),
            timers,
            spreads: Spreads::default(),
            replayed_to: None,
            paused: BTreeSet::new(),
            effects: Effects::new(),
            spare_mail: Spares::default(),
            spare_items: Spares::default(),
            spare_rendered: Spares::default(),
            scratch: Scratch::new(),
            scopes: Scopes::default(),
            rng: Rng::from_seed(seeds.rng),
            sequence: Sequence::above(floor),
            seal: Seal::new(&seeds.ids),
            // The next save says so under its own name.
            marked: 0,
            load: Load::default(),
            ended: Ended::default(),
            waiting_logins: VecDeque::new(),
            waiting_floods: BTreeSet::new(),
            waiting_asides: BTreeSet::new(),
            sockets_wait: false,
            drain: Drain::None,
            retention: Retention::default(),
            disk: Disk::default(),
            refused: BTreeSet::new(),
            called_off: BTreeSet::new(),
            unstored: Unstored::new(),
            removed: Vec::new(),
            left: Vec::new(),
            next_session: 0,
            next_aside: 0,
            outdated: BTreeMap::new(),
            groups: BTreeMap::new(),
            regrouping: Regrouping::default(),
            next_trace: 0,
        }
    }

    /// The features that are switched on, from now on.
    pub(super) fn switch(&mut self, catalog: Catalog<Account>) {
        self.pipelines = Pipelines::new(&catalog);
        self.caps = caps(&catalog, &self.config);
        self.catalog = catalog;
    }

    /// A connection was accepted on this worker; with direct TLS, after its handshake.
    pub fn open(&mut self, now: Now, opened: Opened) -> StreamKey {
        let state = StreamState::new(
            now,
            &self.config,
            opened.listener,
            opened.prefix,
            opened.peer,
            opened.secured,
        );
        let mut state = Box::new(state);
        state.comes_from(&self.config, opened.address);
        let key = self.streams.insert(state);
        self.arm_stream(key);
        if opened.waited_ms >= limits::LOGIN_PATIENCE_MS && !self.admits() {
            // Before anything was computed for it.
            let error = StreamError::new(StreamCondition::ResourceConstraint, BUSY);
            self.fail_stream(now, key, error);
        }
        key
    }

    /// The other half of a hand-over. The shell then offers the unread bytes.
    pub fn arrive(&mut self, now: Now, mut state: Box<StreamState>) -> StreamKey {
        state.armed_for_ms = u64::MAX;
        state.is_dirty = false;
        state.is_paused = false;
        let key = self.streams.insert(state);
        self.arm_stream(key);
        if self.is_draining() {
            self.fail_stream(now, key, self.farewell());
        } else {
            self.admit(now, key);
        }
        self.drive(now);
        key
    }

    /// As [`Shard::handle`] of [`Input::Bytes`], but whom the stanzas are for may have to wait until [`Shard::hand_out`], which is
    /// to be called before the worker does anything but read: together they are fetched from memory side by side.
    pub fn take_in(&mut self, now: Now, key: StreamKey, bytes: &[u8]) -> usize {
        self.read(now, key, bytes)
    }

    /// Whatever [`Shard::take_in`] has left.
    pub fn hand_out(&mut self, now: Now) {
        self.drive(now);
    }

    /// Something happened. Returns how many of `Input::Bytes` were taken, or of `Input::Spent` may be followed by more at
    /// once, else 0.
    pub fn handle(&mut self, now: Now, input: Input<'_>) -> usize {
        let mut taken = 0;
        self.drive(now);
        match input {
            Input::Bytes(key, bytes) => taken = self.read(now, key, bytes),
            Input::Secured(key, facts) => {
                if let Some(stream) = self.streams.get_mut(key) {
                    stream.secured(facts);
                }
            }
            Input::Compressed(key) => self.compressed(key),
            Input::Spent(key, count) => taken = self.spent(now, key, count),
            Input::Garbled(key) => self.garbled(now, key),
            Input::Written(key) => self.written(now, key),
            Input::Closed(key, reason) => self.closed(now, key, reason),
            Input::Mesh(batch) => {
                for envelope in batch.envelopes {
                    let bytes = charge(&envelope);
                    self.route(now, envelope);
                    self.drive_soon(now, bytes);
                }
            }
            Input::Answer(ticket, answer) => self.answered(now, ticket, answer),
            Input::Control(control) => self.controlled(now, control),
            Input::Waited(ms) => self.waited(now, ms),
            Input::Tick => self.tick(now),
        }
        self.drive(now);
        taken
    }

    /// What the shell shall do next; drain it to `None` after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Appends what the stream has to say, up to about 16 KiB; if its codec forgets everything between two senders, of one
    /// of them. To be called only when everything rendered before was written, or will be by the same write.
    pub fn render(&mut self, now: Now, key: StreamKey, out: &mut Vec<u8>) -> Rendered {
        let Some(stream) = self.streams.get_mut(key) else {
            return Rendered::Done;
        };
        stream.is_dirty = false;
        if stream.session.is_some() {
            stream.outbound.borrow_rendered(&mut self.spare_rendered);
        }
        let more = match stream.compression {
            Some(Dictionary::Sender) => {
                let own = stream.jid.as_ref();
                stream
                    .outbound
                    .render_one_sender(own, out, &mut self.spare_items)
            }
            _ => stream.outbound.render(out, &mut self.spare_items),
        };
        let rendered = match more {
            true => Rendered::More,
            false => Rendered::Done,
        };
        let soft = self.config.c2s.outbound_soft.as_bytes() as usize;
        stream.outbound.watch(now.mono_ms, soft);
        self.count_stream(key);
        rendered
    }

    /// The turn of the loop is over and its streams were flushed: what has to be stored goes to the store.
    pub fn end_turn(&mut self, now: Now) {
        self.advance_drain(now);
        self.drive(now);
        self.flush_saves(now);
        self.purge_parted();
        self.relieve(now);
        self.drive(now);
    }

    /// When something is due next, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<u64> {
        self.timers.next()
    }

    /// Whether no mail is to be read, no question to the store is open, nothing is to be stored and nobody waits for a
    /// farewell: what was promised is kept.
    pub fn is_settled(&self) -> bool {
        let is_idle = self.ready.is_empty() && self.seats.store_count() == 0;
        is_idle && !self.has_unsaved() && !self.is_settling()
    }

    /// Whether nothing waits for another worker.
    pub fn outbox_is_empty(&self, to: WorkerId) -> bool {
        self.outboxes.is_empty(to)
    }

    /// What waits for another worker. To be called only when the channel has room.
    pub fn take_batch(&mut self, to: WorkerId) -> Option<Batch> {
        let batch = self.outboxes.take(to);
        for key in self.outboxes.release(to) {
            self.resume_stream(key);
        }
        batch
    }

    /// Of the batches for another worker, so many are still in the channel: they count as waiting here. To be called
    /// once per turn of the loop.
    pub fn channel_holds(&mut self, to: WorkerId, batches: usize) {
        self.outboxes.channel_holds(to, batches);
        self.count_outboxes();
    }

    /// Whether the loop shall soon look again at what became of what is for another worker: something waits for room
    /// in the channel, or for the memory that what is in it takes.
    pub fn waits_for(&self, to: WorkerId) -> bool {
        !self.outboxes.is_empty(to) || (self.is_pressed() && self.outboxes.has_sent(to))
    }

    /// Number of streams, for drain and metrics.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Runs every account that has mail, until none has or all wait.
    pub(super) fn drive(&mut self, now: Now) {
        self.undriven = (0, 0);
        let mut fetched = 0;
        while !self.ready.is_empty() {
            if fetched == 0 {
                fetched = self.look_at_accounts();
            }
            fetched -= 1;
            if let Some(actor) = self.ready.pop_front() {
                self.run(now, actor);
            }
        }
    }

    /// Runs the account whose stream has just said something. Those for whom that is wait until there are some of them.
    pub(super) fn run_sender(&mut self, now: Now, key: StreamKey) {
        let Some(sender) = self.session_of(key).map(|at| at.actor) else {
            return self.drive(now);
        };
        if self.cells.get(sender).is_some_and(|cell| cell.is_ready)
            && let Some(at) = self.ready.iter().rposition(|&actor| actor == sender)
        {
            self.ready.remove(at);
            self.run(now, sender);
        }
    }

    /// Something of so many bytes may have got into mailboxes. What does waits until it is for as many accounts as are fetched
    /// together; but not for long, or a mailbox would be full because much is said at once, and not because its account waits.
    pub(super) fn drive_soon(&mut self, now: Now, bytes: usize) {
        let (count, sum) = &mut self.undriven;
        *count += 1;
        *sum += bytes;
        let is_enough = *count >= limits::UNDRIVEN_COUNT_MAX || *sum >= limits::UNDRIVEN_BYTES_MAX;
        if is_enough || self.ready.len() >= AHEAD {
            self.drive(now);
        }
    }

    /// A name for what enters now.
    pub(super) fn trace(&mut self) -> TraceId {
        self.next_trace += 1;
        TraceId(u64::from(self.place.worker.0) << 56 | self.next_trace)
    }

    /// Tells the shell, once per flush, that a stream has something to say.
    pub(super) fn flush(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if !stream.is_dirty && !stream.outbound.is_empty() {
            stream.is_dirty = true;
            self.outputs.push_back(Output::Flush(key));
        }
        self.count_stream(key);
    }

    /// The questions that are open, for the judge of the simulator.
    pub fn open_questions(&self) -> usize {
        self.seats.len()
    }

    /// Accounts that are resident, for the judge and metrics.
    pub fn resident_accounts(&self) -> usize {
        self.cells.len()
    }
}

/// The seat number that the shell sees.
pub(super) fn ticket(key: impl slotmap::Key) -> Ticket {
    Ticket(key.data().as_ffi())
}

/// What each host says of itself in stream features, by its name.
fn caps(catalog: &Catalog<Account>, config: &Config) -> BTreeMap<Arc<str>, String> {
    let hosts = config.hosts.iter();
    hosts
        .map(|host| {
            let feature = features::disco::stream_feature(catalog, host);
            (Arc::clone(&host.name), feature)
        })
        .collect()
}
