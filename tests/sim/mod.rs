//! The simulated world: shards, mesh, store, accounts, clock and connections in one thread. A seed decides the
//! order of everything that threads and networks leave open; nothing else does, so a seed is a repeatable run.

#![allow(dead_code)] // Each test crate uses its part of the world.

#[path = "../common/account_rows.rs"]
mod account_rows;
mod connections;
mod events;
mod house;
mod outputs;
pub mod plainly;
mod sight;

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use stonechat::actor::audit::AuditEvent;
use stonechat::actor::{Answer, Ticket};
use stonechat::auth::{Accounts, AuthSettings};
use stonechat::base::{HashSeed, Now, Rng, StreamKey, WorkerId};
use stonechat::config::{Config, Outside, load};
use stonechat::shard::{
    Batch, Control, Input, NUMBERS, Place, Routes, Seeds, Shard, numbers_floor, numbers_range,
    numbers_wait_ms,
};
use stonechat::store::memory::MemoryStore;
use stonechat::store::{Chains, Request};

use house::{accounts, cheap};

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
    /// Which of them are refused because one before them was.
    chains: Chains,
    arrivals: VecDeque<(ConnId, Box<stonechat::stream::StreamState>)>,
    /// Something was read, and whom it is for may not have been run.
    is_undriven: bool,
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
                chains: Chains::default(),
                arrivals: VecDeque::new(),
                is_undriven: false,
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

    /// What clients send waits so long until any worker reads it, as all of them learn at the end of a turn of the loop.
    pub fn waited(&mut self, ms: u64) {
        for worker in 0..self.workers.len() {
            self.waited_at(worker, ms);
        }
    }

    /// The same of one worker, of which there may be fewer.
    pub fn waited_at(&mut self, worker: usize, ms: u64) {
        let worker = worker % self.workers.len();
        let shard = &mut self.workers[worker].shard;
        shard.handle(self.now, Input::Waited(ms));
        shard.end_turn(self.now);
        self.outputs(worker);
    }

    pub fn control(&mut self, control: &Control) {
        for worker in 0..self.workers.len() {
            self.workers[worker]
                .shard
                .handle(self.now, Input::Control(control.clone()));
            self.outputs(worker);
        }
    }

    /// So many batches fit into each channel from now on.
    pub fn widen_channels(&mut self, batches: usize) {
        self.habits.channel_batches = batches;
    }

    fn below(&mut self, bound: usize) -> usize {
        self.chance.below(bound as u32) as usize
    }
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
