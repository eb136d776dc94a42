//! The simulated world: shards, mesh, store, accounts, clock and connections in one thread. A seed decides the
//! order of everything that threads and networks leave open; nothing else does, so a seed is a repeatable run.

#![allow(dead_code)] // Each test crate uses its part of the world.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use stonechat::actor::audit::AuditEvent;
use stonechat::actor::directory::DirectoryAnswer;
use stonechat::actor::rows::{Fence, Row, RowKey, RowRange, StoreError, Table, Write};
use stonechat::actor::{Answer, Ticket};
use stonechat::auth::{AccountRows, Accounts, AuthSettings};
use stonechat::base::{AccountId, AddressPrefix, HashSeed, Now, Rng, Secret, StreamKey, WorkerId};
use stonechat::config::{Config, Outside, load};
use stonechat::engine::archive::{self, ARCHIVE};
use stonechat::im::credentials::{ACCOUNT, AccountRow, name_key};
use stonechat::im::subscription::REQUEST;
use stonechat::jid::Jid;
use stonechat::server::accounts::AccountDesk;
use stonechat::server::command::Command;
use stonechat::shard::{
    Ask, Batch, CloseReason, Control, Input, NUMBERS, Opened, Output, Place, Rendered, Routes,
    Seeds, Shard, numbers_floor, numbers_range, numbers_wait_ms,
};
use stonechat::store::Request;
use stonechat::store::memory::MemoryStore;
use stonechat::stream::{TlsFacts, TlsVersion};

/// Every table of the server.
pub use stonechat::server::rows::TABLES;

/// A connection of the world, as its client holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub usize);

/// Everything there is.
pub struct World {
    pub now: Now,
    pub accounts: Arc<Accounts>,
    pub store: Arc<Mutex<MemoryStore>>,
    config: Arc<Config>,
    chance: Rng,
    workers: Vec<Worker>,
    /// `mesh[from][to]`
    mesh: Vec<Vec<VecDeque<Batch>>>,
    conns: Vec<Conn>,
    /// Failures that the auth thread holds back.
    held_back: Vec<(u64, WorkerId, Ticket, Answer)>,
    habits: Habits,
    /// No service answers while this is set.
    pub services_are_mute: bool,
    /// The disk does not sync while this is set.
    pub disk_is_asleep: bool,
    /// The shell hears late that what it wrote is in a socket, or never, if the connection breaks before.
    pub sockets_are_slow: bool,
    /// A hash of everything that left the shards, by which two runs of one seed can be compared.
    pub trace: u64,
    /// Records of who did what.
    pub audit: Vec<AuditEvent>,
    /// Questions to the store, and rows that it answered.
    pub reads: Reads,
}

/// What was asked of the store.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reads {
    pub questions: usize,
    pub rows: usize,
}

/// How much the world likes to be difficult.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Bytes arrive and leave in pieces.
    pub tears: bool,
    /// Batches that a mesh channel holds.
    pub channel_batches: usize,
    /// Everything that may happen in another order does.
    pub shuffles: bool,
}

impl Habits {
    pub const KIND: Habits = Habits {
        tears: false,
        channel_batches: 64,
        shuffles: false,
    };
    pub const ROUGH: Habits = Habits {
        tears: true,
        channel_batches: 2,
        shuffles: true,
    };
}

struct Worker {
    shard: Shard,
    answers: Vec<(Ticket, Answer)>,
    /// Saves that are visible and not synced; answered in order.
    unsynced: VecDeque<(Ticket, Answer)>,
    arrivals: VecDeque<(ConnId, Box<stonechat::stream::StreamState>)>,
}

struct Conn {
    worker: usize,
    key: Option<StreamKey>,
    /// On its way to the server.
    upstream: VecDeque<u8>,
    /// Read by the shell, not taken by the core.
    unread: Vec<u8>,
    /// The core refused bytes and has not asked for more.
    waits: bool,
    /// What the client can read.
    downstream: Vec<u8>,
    dirty: bool,
    /// What was rendered last is not in the socket yet.
    unwritten: bool,
    securing: bool,
    /// The client stopped reading: nothing leaves the server.
    pub stalled: bool,
    /// Rendered bytes that a stalled reader has not taken.
    stuck: Vec<u8>,
    /// The server closes when all is written.
    closing: bool,
    closed: bool,
}

/// One thing that may happen next.
#[derive(Clone, Copy, Debug)]
enum Event {
    Answer(usize, usize),
    Sync(usize),
    Batch(usize, usize),
    Arrive(usize),
    Read(usize),
    Flush(usize),
    Written(usize),
    EndTurn(usize),
    Send(usize, usize),
}

impl World {
    pub fn new(seed: u64, workers: u8, habits: Habits, config: Config) -> World {
        let mut rng = Rng::from_seed(seed_bytes(seed));
        let store = Arc::new(Mutex::new(MemoryStore::new(TABLES)));
        let accounts = Arc::new(accounts(&store, &mut rng));
        accounts.configure(AuthSettings {
            iterations: cheap(),
            ..AuthSettings::from(&config)
        });
        World::with(
            seed,
            workers,
            habits,
            config,
            store,
            accounts,
            Now {
                mono_ms: 1_000_000,
                wall_ms: 1_795_392_000_000,
            },
        )
    }

    fn with(
        seed: u64,
        workers: u8,
        habits: Habits,
        config: Config,
        store: Arc<Mutex<MemoryStore>>,
        accounts: Arc<Accounts>,
        now: Now,
    ) -> World {
        let mut chance = Rng::from_seed(seed_bytes(seed ^ 0x5eed));
        let config = Arc::new(config);
        let routes = Routes::new(HashSeed(7, 7), workers);
        let numbers = Request::Range {
            table: &NUMBERS,
            range: numbers_range(),
        };
        let floor = match store.lock().apply(numbers) {
            Answer::Range { rows, .. } => numbers_floor(&rows).expect("nothing is damaged"),
            other => panic!("a process starts with a store that reads: {other:?}"),
        };
        let wait_ms = numbers_wait_ms(floor, now.wall_ms);
        let now = Now {
            mono_ms: now.mono_ms + wait_ms,
            wall_ms: now.wall_ms + wait_ms,
        };
        let shards = (0..workers).map(|worker| {
            let mut rng = [0; 32];
            chance.fill(&mut rng);
            let seeds = Seeds {
                maps: HashSeed(chance.next_u64(), chance.next_u64()),
                rng,
                ids: [9; 16],
            };
            let place = Place {
                worker: WorkerId(worker),
                worker_count: workers,
            };
            Worker {
                shard: Shard::new(place, Arc::clone(&config), routes.clone(), seeds, floor),
                answers: Vec::new(),
                unsynced: VecDeque::new(),
                arrivals: VecDeque::new(),
            }
        });
        let shards: Vec<Worker> = shards.collect();
        let mesh = (0..workers)
            .map(|_| (0..workers).map(|_| VecDeque::new()).collect())
            .collect();
        World {
            now,
            accounts,
            store,
            config,
            chance,
            workers: shards,
            mesh,
            conns: Vec::new(),
            held_back: Vec::new(),
            habits,
            services_are_mute: false,
            disk_is_asleep: false,
            sockets_are_slow: false,
            trace: 0,
            audit: Vec::new(),
            reads: Reads::default(),
        }
    }

    /// The power goes and comes back: what the disk had not synced is gone, and so is every connection.
    pub fn crash(self, seed: u64) -> World {
        self.store.lock().crash();
        let config = Config::clone(&self.config);
        let workers = self.workers.len() as u8;
        let (trace, sockets_are_slow) = (self.trace, self.sockets_are_slow);
        let mut world = World::with(
            seed,
            workers,
            self.habits,
            config,
            self.store,
            self.accounts,
            self.now,
        );
        world.trace = trace;
        world.sockets_are_slow = sockets_are_slow;
        world
    }

    /// Somebody sets the wall clock.
    pub fn set_wall_clock(&mut self, wall_ms: u64) {
        self.now.wall_ms = wall_ms;
    }

    pub fn register(&mut self, localpart: &str, password: &str) {
        let secret = Secret::new(password.as_bytes().to_vec());
        self.accounts
            .add("localhost", localpart, &secret, self.now)
            .expect("a fresh name");
        self.store.lock().sync().expect("no fault is set");
    }

    /// The store fails from now on, whatever it is asked.
    pub fn break_store(&mut self) {
        self.store.lock().set_fault(Some(StoreError::Broken));
    }

    /// Does what an operator asks over the control socket; its lines.
    ///
    /// # Errors
    /// What the operator reads instead.
    pub fn operate(&mut self, command: &str) -> Result<Vec<String>, String> {
        let Command::User(command) = Command::parse(format!("{command}\n").as_bytes())? else {
            return Err("a world has accounts only".to_owned());
        };
        let orders = Mutex::new(Vec::new());
        let order = |control| orders.lock().push(control);
        let desk = AccountDesk {
            accounts: &self.accounts,
            config: &self.config,
            now: self.now,
            disconnect: &|jid| {
                order(Control::Disconnect(
                    Jid::parse(jid).expect("a prepared name"),
                ));
            },
            purge: &|account| {
                self.accounts.purge(account)?;
                order(Control::TellOf(account));
                Ok(())
            },
            audit: &|_| {},
            goes_on: &|| true,
        };
        let outcome = desk.run(command);
        self.store.lock().sync().expect("no fault is set");
        for control in orders.into_inner() {
            self.control(&control);
        }
        outcome
    }

    /// Opens a connection through a listener of direct TLS, its handshake done.
    pub fn connect_secure(&mut self, listener: usize) -> ConnId {
        self.open(listener, Some(facts()))
    }

    /// Opens a connection through this listener of the configuration.
    pub fn connect(&mut self, listener: usize) -> ConnId {
        self.open(listener, None)
    }

    fn open(&mut self, listener: usize, secured: Option<Box<TlsFacts>>) -> ConnId {
        let worker = self.below(self.workers.len());
        let id = self.conns.len();
        let opened = Opened {
            listener,
            prefix: AddressPrefix::Local,
            address: None,
            peer: "simulated".into(),
            secured,
        };
        let key = self.workers[worker].shard.open(self.now, opened);
        self.conns.push(Conn {
            worker,
            key: Some(key),
            upstream: VecDeque::new(),
            unread: Vec::new(),
            waits: false,
            downstream: Vec::new(),
            dirty: false,
            unwritten: false,
            securing: false,
            stalled: false,
            stuck: Vec::new(),
            closing: false,
            closed: false,
        });
        self.outputs(worker);
        ConnId(id)
    }

    pub fn write(&mut self, conn: ConnId, bytes: &[u8]) {
        let conn = &mut self.conns[conn.0];
        if conn.key.is_some() || !conn.closed {
            conn.upstream.extend(bytes);
        }
    }

    /// What the client can read now.
    pub fn read(&mut self, conn: ConnId) -> Vec<u8> {
        std::mem::take(&mut self.conns[conn.0].downstream)
    }

    /// The simulated connection gives back what it needed for reading and writing.
    pub fn forget_buffers(&mut self, conn: ConnId) {
        let conn = &mut self.conns[conn.0];
        conn.upstream.shrink_to_fit();
        conn.unread.shrink_to_fit();
    }

    pub fn is_closed(&self, conn: ConnId) -> bool {
        self.conns[conn.0].closed
    }

    /// The client finishes the handshake that the server awaits.
    pub fn start_tls(&mut self, conn: ConnId) -> Result<(), String> {
        let at = &mut self.conns[conn.0];
        if !std::mem::take(&mut at.securing) {
            return Err("the server does not await a handshake".into());
        }
        let (worker, Some(key)) = (at.worker, at.key) else {
            return Err("the connection is gone".into());
        };
        self.workers[worker]
            .shard
            .handle(self.now, Input::Secured(key, facts()));
        self.outputs(worker);
        Ok(())
    }

    /// The connection breaks without a word. Returns what the server had written and the client had not read.
    pub fn lose(&mut self, conn: ConnId) -> Vec<u8> {
        let at = &mut self.conns[conn.0];
        at.closed = true;
        at.upstream.clear();
        let lost = std::mem::take(&mut at.downstream);
        self.gone(conn.0, CloseReason::Failed);
        lost
    }

    /// The client stops reading, or reads again.
    pub fn stall(&mut self, conn: ConnId, stalled: bool) {
        let at = &mut self.conns[conn.0];
        at.stalled = stalled;
        if !stalled {
            let stuck = std::mem::take(&mut at.stuck);
            at.downstream.extend(stuck);
            at.dirty = true;
        }
    }

    pub fn control(&mut self, control: &Control) {
        for worker in 0..self.workers.len() {
            self.workers[worker]
                .shard
                .handle(self.now, Input::Control(control.clone()));
            self.outputs(worker);
        }
    }

    /// Every worker's loop turns once more, though nothing happened.
    pub fn end_turns(&mut self) {
        for worker in 0..self.workers.len() {
            self.workers[worker].shard.end_turn(self.now);
            self.outputs(worker);
        }
        self.settle();
    }

    /// Lets everything happen that can happen now.
    pub fn settle(&mut self) {
        let mut steps = 0u32;
        while self.step() {
            steps += 1;
            assert!(steps < 3_000_000, "the world does not come to rest");
        }
    }

    /// One thing happens; false when there is nothing left to happen at this moment.
    pub fn step(&mut self) -> bool {
        let events = self.possible();
        let Some(&event) = (if self.habits.shuffles {
            let at = self.below(events.len().max(1));
            events.get(at)
        } else {
            events.first()
        }) else {
            return false;
        };
        self.perform(event);
        self.assert_bounds();
        true
    }

    /// Every queue is below its bound.
    pub fn assert_bounds(&self) {
        for (at, worker) in self.workers.iter().enumerate() {
            let overflows = worker.shard.overflows();
            assert!(overflows.is_empty(), "worker {at}: {overflows:?}");
        }
    }

    /// So many batches fit into each channel from now on.
    pub fn widen_channels(&mut self, batches: usize) {
        self.habits.channel_batches = batches;
    }

    /// On which worker an account lives.
    pub fn home(&self, localpart: &str) -> WorkerId {
        let jid = Jid::parse(&format!("{localpart}@localhost")).expect("a prepared name");
        Routes::new(HashSeed(7, 7), self.workers.len() as u8).home(&jid)
    }

    /// Something left a shard.
    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        let mut hash = Trace(self.trace ^ self.now.mono_ms);
        std::fmt::Write::write_fmt(&mut hash, what).expect("hashing does not fail");
        self.trace = hash.0;
    }

    /// Lets time pass, with everything that is due on the way.
    pub fn advance(&mut self, ms: u64) {
        let end_ms = self.now.mono_ms + ms;
        self.settle();
        while let Some(at_ms) = self.next_due().filter(|&at_ms| at_ms <= end_ms) {
            self.move_to(at_ms);
            self.settle();
        }
        self.move_to(end_ms);
        self.settle();
    }

    /// When the auth thread lets go of the next failure, if it holds one back.
    pub fn next_release(&self) -> Option<u64> {
        self.held_back.iter().map(|held| held.0).min()
    }

    fn next_due(&self) -> Option<u64> {
        let shards = self
            .workers
            .iter()
            .filter_map(|worker| worker.shard.next_deadline());
        shards.chain(self.next_release()).min()
    }

    fn move_to(&mut self, at_ms: u64) {
        let ms = at_ms.saturating_sub(self.now.mono_ms);
        self.now = self.now.plus_ms(ms);
        let now = self.now.mono_ms;
        let mut index = 0;
        while index < self.held_back.len() {
            if self.held_back[index].0 <= now {
                let (_, worker, ticket, answer) = self.held_back.remove(index);
                self.workers[worker.index()].answers.push((ticket, answer));
            } else {
                index += 1;
            }
        }
        for worker in 0..self.workers.len() {
            self.workers[worker].shard.handle(self.now, Input::Tick);
            let next = self.workers[worker].shard.next_deadline();
            assert!(
                next.is_none_or(|at| at > now),
                "the next deadline is later: {next:?} {now}"
            );
            self.outputs(worker);
        }
    }

    /// At rest nothing is left over: no question, no envelope, no byte.
    pub fn assert_rest(&self) {
        for (at, worker) in self.workers.iter().enumerate() {
            assert_eq!(
                worker.shard.open_questions(),
                0,
                "worker {at} has open questions"
            );
            for to in 0..self.workers.len() {
                assert!(
                    worker.shard.outbox_is_empty(WorkerId(to as u8)),
                    "worker {at} kept mail"
                );
            }
        }
        for (at, conn) in self.conns.iter().enumerate() {
            assert!(
                !(conn.dirty || conn.unwritten) || conn.stalled,
                "connection {at} has queued bytes"
            );
        }
    }

    /// Bytes that wait in the queues of all workers.
    pub fn queued_bytes(&self) -> usize {
        self.workers
            .iter()
            .map(|worker| worker.shard.queued_bytes())
            .sum()
    }

    /// How many rows a table has.
    pub fn row_count(&self, table: &'static Table) -> usize {
        self.rows(table).len()
    }

    /// Rows of a table.
    pub fn rows(&self, table: &'static Table) -> Vec<Row> {
        let range = RowRange {
            from: RowKey::new(&[]),
            to: RowKey::new(&[0xff; 16]),
            count_max: usize::MAX,
            bytes_max: usize::MAX,
        };
        match self.store.lock().apply(Request::Range { table, range }) {
            Answer::Range { rows, .. } => rows,
            other => panic!("the rows cannot be read: {other:?}"),
        }
    }

    /// Who asked an account for a subscription and was not answered.
    pub fn requests(&self, localpart: &str) -> Vec<String> {
        let account = self.account_id(localpart);
        let range = RowRange {
            from: RowKey::new(&account.0.to_be_bytes()),
            to: RowKey::new(&(account.0 + 1).to_be_bytes()),
            count_max: usize::MAX,
            bytes_max: usize::MAX,
        };
        let table = &REQUEST;
        match self.store.lock().apply(Request::Range { table, range }) {
            Answer::Range { rows, .. } => rows
                .iter()
                .map(|row| String::from_utf8_lossy(&row.key.as_bytes()[8..]).into_owned())
                .collect(),
            other => panic!("the requests cannot be read: {other:?}"),
        }
    }

    /// The number of an account.
    pub fn account_id(&self, localpart: &str) -> AccountId {
        let key = name_key("localhost", localpart);
        let row = self.store.lock().apply(Request::Row {
            table: &ACCOUNT,
            key,
        });
        let Answer::Row(Some(row)) = row else {
            panic!("there is no account {localpart}: {row:?}");
        };
        let row = AccountRow::decode(&row).expect("an account's row");
        row.account.id
    }

    /// The messages in the archive of an account, oldest first, in XML.
    pub fn archive(&self, localpart: &str) -> Vec<String> {
        let range = RowRange {
            bytes_max: usize::MAX,
            ..archive::range(self.account_id(localpart), 0, u64::MAX)
        };
        let table = &ARCHIVE;
        match self.store.lock().apply(Request::Range { table, range }) {
            Answer::Range { rows, .. } => rows
                .iter()
                .map(|row| archive::Archived::read(row).expect("an archived message"))
                .map(|found| found.xml.to_string())
                .collect(),
            other => panic!("the archive cannot be read: {other:?}"),
        }
    }

    pub fn stream_count(&self) -> usize {
        self.workers
            .iter()
            .map(|worker| worker.shard.stream_count())
            .sum()
    }

    pub fn resident_accounts(&self) -> usize {
        self.workers
            .iter()
            .map(|worker| worker.shard.resident_accounts())
            .sum()
    }

    fn possible(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for (at, worker) in self.workers.iter().enumerate() {
            let answers = match self.services_are_mute {
                true => 0,
                false => worker.answers.len(),
            };
            events.extend((0..answers).map(|answer| Event::Answer(at, answer)));
            for from in 0..self.workers.len() {
                if !self.mesh[from][at].is_empty() {
                    events.push(Event::Batch(from, at));
                }
            }
            if !worker.arrivals.is_empty() {
                events.push(Event::Arrive(at));
            }
        }
        for (at, conn) in self.conns.iter().enumerate() {
            let feed = !conn.upstream.is_empty() && conn.unread.is_empty() && !conn.securing;
            if conn.key.is_some() && feed {
                events.push(Event::Read(at));
            }
            if conn.key.is_some() && conn.dirty && !conn.stalled && !conn.unwritten {
                events.push(Event::Flush(at));
            }
            if conn.key.is_some() && conn.unwritten && !conn.stalled {
                events.push(Event::Written(at));
            }
        }
        for (at, worker) in self.workers.iter().enumerate() {
            for to in 0..self.workers.len() {
                let room = self.mesh[at][to].len() < self.habits.channel_batches;
                if room && !worker.shard.outbox_is_empty(WorkerId(to as u8)) {
                    events.push(Event::Send(at, to));
                }
            }
            if worker.shard.has_unsaved() {
                events.push(Event::EndTurn(at));
            }
            if !worker.unsynced.is_empty() && !self.disk_is_asleep {
                events.push(Event::Sync(at));
            }
        }
        events
    }

    fn perform(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Answer(at, answer) => {
                let (ticket, answer) = self.workers[at].answers.remove(answer);
                self.workers[at]
                    .shard
                    .handle(now, Input::Answer(ticket, answer));
                self.outputs(at);
            }
            Event::Sync(at) => {
                // The disk syncs as a whole; the one whose turn it is hears first.
                let synced = self.store.lock().sync();
                let answers: Vec<_> = self.workers[at].unsynced.drain(..).collect();
                for (ticket, answer) in answers {
                    let answer = match (synced, answer) {
                        (Err(error), Answer::Saved) => Answer::Failed(error),
                        (_, answer) => answer,
                    };
                    self.workers[at].answers.push((ticket, answer));
                }
            }
            Event::Batch(from, to) => {
                if let Some(batch) = self.mesh[from][to].pop_front() {
                    self.workers[to].shard.handle(now, Input::Mesh(batch));
                    let left = self.mesh[from][to].len();
                    self.workers[from]
                        .shard
                        .channel_holds(WorkerId(to as u8), left);
                    self.outputs(to);
                }
            }
            Event::Arrive(at) => {
                if let Some((conn, state)) = self.workers[at].arrivals.pop_front() {
                    let key = self.workers[at].shard.arrive(now, state);
                    let moved = &mut self.conns[conn.0];
                    (moved.worker, moved.key, moved.waits) = (at, Some(key), false);
                    self.outputs(at);
                    if self.conns[conn.0].closed {
                        // It broke on its way.
                        self.gone(conn.0, CloseReason::Failed);
                    }
                    self.offer(conn.0);
                }
            }
            Event::Read(at) => self.read_some(at),
            Event::Flush(at) if self.sockets_are_slow => {
                self.conns[at].unwritten = true;
                self.render(at);
            }
            Event::Flush(at) => self.flush(at),
            Event::Written(at) => self.written(at),
            Event::EndTurn(at) => {
                self.workers[at].shard.end_turn(now);
                self.outputs(at);
            }
            Event::Send(from, to) => {
                if let Some(batch) = self.workers[from].shard.take_batch(WorkerId(to as u8)) {
                    self.note(format_args!("{from} {to} {batch:?}"));
                    self.mesh[from][to].push_back(batch);
                }
                self.outputs(from);
            }
        }
    }

    fn read_some(&mut self, at: usize) {
        let available = self.conns[at].upstream.len();
        let count = if self.habits.tears {
            1 + self.below(available)
        } else {
            available
        };
        let conn = &mut self.conns[at];
        let bytes: Vec<u8> = conn.upstream.drain(..count.min(available)).collect();
        conn.unread.extend(bytes);
        self.offer(at);
    }

    /// Offers what is unread to the core.
    fn offer(&mut self, at: usize) {
        let conn = &mut self.conns[at];
        let (worker, Some(key)) = (conn.worker, conn.key) else {
            return;
        };
        if conn.unread.is_empty() || conn.waits || conn.closing {
            return;
        }
        let bytes = std::mem::take(&mut conn.unread);
        let taken = self.workers[worker]
            .shard
            .handle(self.now, Input::Bytes(key, &bytes));
        let conn = &mut self.conns[at];
        conn.unread = bytes[taken..].to_vec();
        conn.waits = !conn.unread.is_empty();
        self.outputs(worker);
    }

    fn flush(&mut self, at: usize) {
        self.written(at);
        self.render(at);
        self.conns[at].unwritten = true;
        self.written(at);
    }

    /// What was rendered last is in the socket.
    fn written(&mut self, at: usize) {
        let conn = &mut self.conns[at];
        let (worker, was_unwritten) = (conn.worker, std::mem::take(&mut conn.unwritten));
        if let (Some(key), true) = (conn.key, was_unwritten) {
            self.workers[worker]
                .shard
                .handle(self.now, Input::Written(key));
            self.outputs(worker);
        }
    }

    fn render(&mut self, at: usize) {
        let conn = &mut self.conns[at];
        conn.dirty = false;
        let (worker, Some(key)) = (conn.worker, conn.key) else {
            return;
        };
        let mut bytes = Vec::new();
        let rendered = self.workers[worker].shard.render(self.now, key, &mut bytes);
        self.note(format_args!("{at} {}", String::from_utf8_lossy(&bytes)));
        let conn = &mut self.conns[at];
        conn.downstream.extend(&bytes);
        if rendered == Rendered::More {
            conn.dirty = true;
        }
    }

    /// Carries out what a shard wants.
    fn outputs(&mut self, worker: usize) {
        while let Some(output) = self.workers[worker].shard.poll_output() {
            match &output {
                Output::HandOver(to, key, _) => {
                    self.note(format_args!("{worker} {to:?} {key:?}"));
                }
                output => self.note(format_args!("{worker} {output:?}")),
            }
            match output {
                Output::Flush(key) => {
                    if let Some(at) = self.conn_at(worker, key) {
                        self.conns[at].dirty = true;
                    }
                }
                Output::StartTls(key) => {
                    if let Some(at) = self.conn_at(worker, key) {
                        self.flush(at);
                        let conn = &mut self.conns[at];
                        conn.unread.clear();
                        conn.upstream.clear();
                        conn.securing = true;
                        conn.waits = false;
                    }
                }
                // The world's bytes go as they are: codecs are the shell's.
                Output::Compress(key, _) => {
                    if let Some(at) = self.conn_at(worker, key) {
                        self.flush(at);
                        let conn = &mut self.conns[at];
                        conn.unread.clear();
                        conn.upstream.clear();
                        conn.waits = false;
                        let input = Input::Compressed(key);
                        self.workers[worker].shard.handle(self.now, input);
                    }
                }
                Output::Resume(key) => {
                    if let Some(at) = self.conn_at(worker, key) {
                        self.conns[at].waits = false;
                        self.offer(at);
                    }
                }
                Output::Close(key) => {
                    if let Some(at) = self.conn_at(worker, key) {
                        self.close(at);
                    }
                }
                Output::HandOver(to, key, state) => {
                    if let Some(at) = self.conn_at(worker, key) {
                        self.conns[at].key = None;
                        self.workers[to.index()]
                            .arrivals
                            .push_back((ConnId(at), state));
                    }
                }
                Output::Ask(ticket, ask) => self.ask(worker, ticket, ask),
                Output::Audit(event) => self.audit.push(event),
                Output::Proved(_) => {}
            }
        }
    }

    fn ask(&mut self, worker: usize, ticket: Ticket, ask: Ask) {
        // Answered behind the commit of what this worker saved before.
        let is_fenced = matches!(
            ask,
            Ask::Row {
                fence: Fence::AfterSaves,
                ..
            } | Ask::Range {
                fence: Fence::AfterSaves,
                ..
            } | Ask::Joined {
                fence: Fence::AfterSaves,
                ..
            } | Ask::Pick {
                fence: Fence::AfterSaves,
                ..
            }
        );
        let request = match ask {
            Ask::Row { table, key, .. } => Request::Row { table, key },
            Ask::Range { table, range, .. } => Request::Range { table, range },
            Ask::Joined {
                table, range, join, ..
            } => Request::Joined { table, range, join },
            Ask::Pick { table, pick, .. } => Request::Pick { table, pick },
            Ask::Drop { table, before } => Request::Drop { table, before },
            Ask::Save(writes) => {
                let answer = self.store.lock().apply(Request::Save(writes));
                return self.workers[worker].unsynced.push_back((ticket, answer));
            }
            // No host of the simulator has one.
            Ask::Directory(_) => {
                let answer = Answer::Directory(DirectoryAnswer::Unavailable);
                return self.workers[worker].answers.push((ticket, answer));
            }
            Ask::Auth(ask) => {
                let (answer, at_ms) = self.accounts.answer(ask, self.now);
                let answer = Answer::Auth(answer);
                if at_ms > self.now.mono_ms {
                    self.held_back
                        .push((at_ms, WorkerId(worker as u8), ticket, answer));
                } else {
                    self.workers[worker].answers.push((ticket, answer));
                }
                return;
            }
        };
        let answer = self.store.lock().apply(request);
        self.reads.questions += 1;
        self.reads.rows += match &answer {
            Answer::Row(row) => usize::from(row.is_some()),
            Answer::Range { rows, .. } => rows.len(),
            _ => 0,
        };
        let worker = &mut self.workers[worker];
        if is_fenced && !worker.unsynced.is_empty() {
            worker.unsynced.push_back((ticket, answer));
        } else {
            worker.answers.push((ticket, answer));
        }
    }

    fn close(&mut self, at: usize) {
        while self.conns[at].key.is_some() {
            self.flush(at);
            if !self.conns[at].dirty {
                break;
            }
        }
        self.conns[at].closing = true;
        self.conns[at].closed = true;
        self.gone(at, CloseReason::Asked);
    }

    fn gone(&mut self, at: usize, reason: CloseReason) {
        let conn = &mut self.conns[at];
        conn.dirty = false;
        conn.unwritten = false;
        let worker = conn.worker;
        if let Some(key) = conn.key.take() {
            self.workers[worker]
                .shard
                .handle(self.now, Input::Closed(key, reason));
            self.outputs(worker);
        }
    }

    fn conn_at(&self, worker: usize, key: StreamKey) -> Option<usize> {
        self.conns
            .iter()
            .position(|conn| conn.worker == worker && conn.key == Some(key))
    }

    fn below(&mut self, bound: usize) -> usize {
        self.chance.below(bound as u32) as usize
    }
}

/// FNV-1a over what is written into it.
struct Trace(u64);

impl std::fmt::Write for Trace {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

fn accounts(store: &Arc<Mutex<MemoryStore>>, rng: &mut Rng) -> Accounts {
    let (reader, ranger, writer) = (Arc::clone(store), Arc::clone(store), Arc::clone(store));
    let keys = Arc::clone(store);
    let ids = Mutex::new(0);
    let rows = AccountRows {
        row: Box::new(move |table: &'static Table, key: &RowKey| {
            match reader.lock().apply(Request::Row {
                table,
                key: key.clone(),
            }) {
                Answer::Row(value) => Ok(value),
                _ => Err(StoreError::Broken),
            }
        }),
        range: Box::new(move |table: &'static Table, range: &RowRange| {
            match ranger.lock().apply(Request::Range {
                table,
                range: range.clone(),
            }) {
                Answer::Range { rows, more } => Ok((rows, more)),
                _ => Err(StoreError::Broken),
            }
        }),
        keys: Box::new(
            move |table: &'static Table, range: &RowRange, behind: Option<&RowKey>| {
                let page = keys.lock().walk(table, range, behind)?;
                Ok((page.keys, page.more))
            },
        ),
        save: Box::new(move |writes: Vec<Write>| {
            match writer.lock().apply(Request::Save(writes)) {
                Answer::Saved => Ok(()),
                _ => Err(StoreError::Broken),
            }
        }),
        tables: TABLES,
        next_id: Box::new(move || {
            *ids.lock() += 1;
            Ok(AccountId(*ids.lock()))
        }),
    };
    let settings = AuthSettings {
        iterations: cheap(),
        ..AuthSettings::default()
    };
    let mut seed = [0; 32];
    rng.fill(&mut seed);
    Accounts::new(
        rows,
        settings,
        Secret::new(vec![3; 32]),
        HashSeed(1, 2),
        Rng::from_seed(seed),
    )
}

/// No test is about the price of a password.
fn cheap() -> std::collections::BTreeMap<Arc<str>, u32> {
    [("localhost".into(), 1)].into_iter().collect()
}

fn facts() -> Box<TlsFacts> {
    Box::new(TlsFacts {
        version: TlsVersion::V1_3,
        exporter: Some([7; 32]),
        end_point: Some(vec![9; 32]),
        server_name: Some("localhost".into()),
        alpn: None,
        certificate_addresses: Vec::new(),
    })
}

fn seed_bytes(seed: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}

/// The configuration of a world: the listeners of the real stages, and these options.
///
/// # Errors
/// What is wrong with them.
pub fn config(options: &str) -> Result<Config, String> {
    let (of_host, options): (Vec<&str>, Vec<&str>) =
        options.lines().partition(|line| line.starts_with("host."));
    let of_host: Vec<&str> = of_host.iter().map(|line| &line["host.".len()..]).collect();
    let (of_all, options): (Vec<&str>, Vec<&str>) = options
        .into_iter()
        .partition(|line| line.starts_with("listener."));
    let of_all: Vec<&str> = of_all
        .iter()
        .map(|line| &line["listener.".len()..])
        .collect();
    let (of_host, options) = (of_host.join("\n"), options.join("\n"));
    let of_all = of_all.join("\n");
    let text = format!(
        "{options}\n[[listener]]\naddress = \"127.0.0.1:5222\"\ntls = \"starttls\"\n{of_all}\n\
         [[listener]]\naddress = \"127.0.0.1:5223\"\ntls = \"direct\"\n{of_all}\n\
         [[listener]]\naddress = \"127.0.0.1:5224\"\ntls = \"none\"\n{of_all}\n[[host]]\nname = \"localhost\"\n{of_host}\n"
    );
    let names: Vec<&str> = stonechat::features::ALL
        .iter()
        .map(|feature| feature.name)
        .collect();
    let outside = Outside {
        features: &names,
        address: |_| Ok(()),
        log_filter: |_| Ok(()),
        cores: 1,
    };
    load("scene", &text, &outside).map_err(|errors| format!("{errors:?}"))
}
