//! One shard with everything around it in memory: a store, the keeper of accounts, connections that are byte strings.
//! It turns as a worker's loop turns, and knows nothing of sockets, nor of other shards: whoever drives several of them
//! exchanges their batches. What is asked of a service is answered at once, by the thread that asks.

#[path = "../../../tests/common/account_rows.rs"]
mod account_rows;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use anyhow::{Result, anyhow, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use parking_lot::Mutex;

use stonechat::actor::directory::DirectoryAnswer;
use stonechat::actor::{Answer, Ticket};
use stonechat::auth::{Accounts, AuthSettings};
use stonechat::base::{AccountId, AddressPrefix, HashSeed, Now, Rng, Secret, StreamKey, WorkerId};
use stonechat::config::{Config, Outside, load};
use stonechat::server::rows::TABLES;
use stonechat::shard::{
    AHEAD, Ask, Batch, CloseReason, Input, Opened, Output, Place, Rendered, Routes, Seeds, Shard,
};
use stonechat::store::Request;
use stonechat::store::memory::MemoryStore;
use stonechat::stream::{StreamState, TlsFacts, TlsVersion};

use crate::rosters::{Who, contacts, rows, user_name};
use account_rows::account_rows;

/// What the shards of one process have in common.
#[derive(Clone)]
pub struct Process {
    config: Arc<Config>,
    routes: Routes,
    worker_count: u8,
}

impl Process {
    /// `more` is configuration beyond what all measures share.
    pub fn new(worker_count: u8, more: &str) -> Result<Process> {
        let outside = Outside {
            features: &stonechat::features::ALL
                .iter()
                .map(|f| f.name)
                .collect::<Vec<_>>(),
            address: |_| Ok(()),
            log_filter: |_| Ok(()),
            cores: 1,
        };
        let config = load("core", &format!("{CONFIGURATION}{more}"), &outside);
        let config = config.map_err(|errors| anyhow!("{errors:?}"))?;
        Ok(Process {
            config: Arc::new(config),
            routes: Routes::new(HashSeed(7, 7), worker_count),
            worker_count,
        })
    }
}

/// A stream whose account lives with another worker.
pub struct Leaving {
    pub to: WorkerId,
    /// What it was here.
    pub key: StreamKey,
    pub state: Box<StreamState>,
}

pub struct World {
    pub shard: Shard,
    pub store: Arc<Mutex<MemoryStore>>,
    accounts: Accounts,
    answers: VecDeque<(Ticket, Answer)>,
    dirty: VecDeque<StreamKey>,
    /// To be closed when all is written.
    closing: BTreeSet<StreamKey>,
    /// Streams that take bytes again; taken out by whoever gave them more than they took.
    pub resumed: Vec<StreamKey>,
    /// Streams to be brought to other workers; taken out by whoever knows these.
    pub leaving: Vec<Leaving>,
    pub now: Now,
    scratch: Vec<u8>,
    pub reads_per_turn: usize,
}

impl World {
    /// The only worker of a process; `more` as in [`Process::new`].
    pub fn new(reads_per_turn: usize, more: &str) -> Result<World> {
        Ok(World::of(
            &Process::new(1, more)?,
            WorkerId(0),
            reads_per_turn,
        ))
    }

    /// One worker of a process, with a store of its own.
    pub fn of(process: &Process, worker: WorkerId, reads_per_turn: usize) -> World {
        let store = Arc::new(Mutex::new(MemoryStore::new(TABLES)));
        let mut settings = AuthSettings::default();
        settings.iterations.insert("localhost".into(), 1);
        let accounts = Accounts::new(
            account_rows(&store),
            settings,
            Secret::new(vec![3; 32]),
            HashSeed(1, 2),
            Rng::from_seed([5; 32]),
        );
        let place = Place {
            worker,
            worker_count: process.worker_count,
        };
        let seeds = Seeds {
            maps: HashSeed(11, 12),
            rng: [7 + worker.0; 32],
            ids: [0; 16],
        };
        let (config, routes) = (Arc::clone(&process.config), process.routes.clone());
        World {
            shard: Shard::new(place, config, routes, seeds, 0),
            store,
            accounts,
            answers: VecDeque::new(),
            dirty: VecDeque::new(),
            closing: BTreeSet::new(),
            resumed: Vec::new(),
            leaving: Vec::new(),
            now: Now {
                mono_ms: 1_000_000,
                wall_ms: 1_795_392_000_000,
            },
            scratch: Vec::with_capacity(64 * 1024),
            reads_per_turn,
        }
    }

    pub fn register(&mut self, name: &str) -> Result<()> {
        let secret = Secret::new(b"secret".to_vec());
        let added = self.accounts.add("localhost", name, &secret, self.now);
        added.map(drop).map_err(|error| anyhow!("{error:?}"))
    }

    /// Accounts of so many users, with so many contacts in the roster of each.
    pub fn people(&mut self, users: u32, who: Who, count: u32) -> Result<()> {
        for user in 0..users {
            self.register(&user_name(user))?;
            let contacts = contacts(who, user, users, count);
            let rows = rows(AccountId(u64::from(user) + 1), "localhost", &contacts)?;
            let saved = self.store.lock().apply(Request::Save(rows));
            ensure!(matches!(saved, Answer::Saved), "the rosters are not saved");
        }
        Ok(())
    }

    /// A connection was accepted, as if its handshake were done.
    pub fn open(&mut self) -> StreamKey {
        let opened = Opened {
            listener: 0,
            prefix: AddressPrefix::Local,
            peer: "memory".into(),
            address: None,
            secured: Some(Box::new(TlsFacts {
                version: TlsVersion::V1_3,
                exporter: Some([7; 32]),
                end_point: Some(vec![9; 32]),
                server_name: Some("localhost".into()),
                alpn: None,
                certificate_addresses: Vec::new(),
                certificate_subject: None,
            })),
            waited_ms: 0,
        };
        let key = self.shard.open(self.now, opened);
        self.drain();
        key
    }

    /// A session with its roster, available.
    pub fn log_in(&mut self, name: &str) -> Result<StreamKey> {
        let key = self.open();
        let auth = auth(name);
        let bind = format!("{BIND}<presence/>");
        let mut heard = Vec::new();
        for said in [HEADER, &auth, HEADER, &bind] {
            let input = [(key, said.as_bytes())];
            self.say(&input, |from, bytes| {
                if from == key {
                    heard.extend_from_slice(bytes);
                }
            })?;
        }
        ensure!(
            memmem::find(&heard, b"id='r'").is_some(),
            "no login: {}",
            String::from_utf8_lossy(&heard)
        );
        Ok(key)
    }

    /// Streams say these, as many in a turn as a worker reads; `hear` gets whatever is written, until all is quiet.
    ///
    /// # Errors
    /// If a stream does not take what it is given.
    pub fn say(
        &mut self,
        said: &[(StreamKey, &[u8])],
        mut hear: impl FnMut(StreamKey, &[u8]),
    ) -> Result<()> {
        for part in said.chunks(self.reads_per_turn) {
            // What follows is said after the flushes of these, as a loop that is busy does it.
            for some in part.chunks(AHEAD) {
                // The last one twice costs nothing, and a list would be an allocation of ours.
                let keys: [StreamKey; AHEAD] =
                    std::array::from_fn(|at| some[at.min(some.len() - 1)].0);
                self.shard.look_ahead(&keys[..some.len()]);
                for &(key, bytes) in some {
                    let taken = self.read(key, bytes);
                    ensure!(taken == bytes.len(), "a stream is paused");
                }
            }
            self.hand_out();
            self.flush(&mut hear);
            self.end_turn();
        }
        while self.has_work() {
            self.run_timers();
            self.take_answers();
            self.flush(&mut hear);
            self.end_turn();
        }
        self.now = self.now.plus_ms(1);
        if self.shard.queued_bytes() > QUEUED_BYTES_MAX {
            bail!("queues grow");
        }
        Ok(())
    }

    /// Whether a turn would find something to do that is inside already.
    pub fn has_work(&self) -> bool {
        !self.answers.is_empty() || !self.dirty.is_empty() || self.is_due()
    }

    fn is_due(&self) -> bool {
        let due_ms = self.shard.next_deadline();
        due_ms.is_some_and(|due_ms| due_ms <= self.now.mono_ms)
    }

    pub fn take_answers(&mut self) {
        while let Some((ticket, answer)) = self.answers.pop_front() {
            self.shard.handle(self.now, Input::Answer(ticket, answer));
            self.drain();
        }
    }

    /// A batch came from another worker.
    pub fn take_batch(&mut self, batch: Batch) {
        self.shard.handle(self.now, Input::Mesh(batch));
        self.drain();
    }

    /// A stream came from another worker.
    pub fn arrive(&mut self, state: Box<StreamState>) -> StreamKey {
        let key = self.shard.arrive(self.now, state);
        self.drain();
        key
    }

    pub fn run_timers(&mut self) {
        if self.is_due() {
            self.shard.handle(self.now, Input::Tick);
            self.drain();
        }
    }

    /// The next streams of a list have their turn now; to be said before every [`AHEAD`] of them.
    pub fn look_ahead(&self, list: &VecDeque<StreamKey>) {
        // As good as always in one piece.
        let (next, _) = list.as_slices();
        if next.len() > 1 {
            self.shard.look_ahead(&next[..next.len().min(AHEAD)]);
        }
    }

    /// How many of these bytes the stream took.
    pub fn read(&mut self, key: StreamKey, bytes: &[u8]) -> usize {
        let taken = self.shard.take_in(self.now, key, bytes);
        self.drain();
        taken
    }

    /// All that are read in this turn have been.
    pub fn hand_out(&mut self) {
        self.shard.hand_out(self.now);
        self.drain();
    }

    pub fn end_turn(&mut self) {
        self.shard.end_turn(self.now);
        self.drain();
    }

    /// Each stream once in a turn; so many in a turn as a worker does.
    pub fn flush(&mut self, hear: &mut impl FnMut(StreamKey, &[u8])) {
        for at in 0..FLUSHES_PER_TURN {
            if at % AHEAD == 0 {
                self.look_ahead(&self.dirty);
            }
            let Some(key) = self.dirty.pop_front() else {
                return;
            };
            self.scratch.clear();
            let rendered = self.shard.render(self.now, key, &mut self.scratch);
            hear(key, &self.scratch);
            self.shard.handle(self.now, Input::Written(key));
            self.drain();
            if rendered == Rendered::More {
                self.dirty.push_back(key);
            } else if !self.closing.is_empty() && self.closing.remove(&key) {
                let reason = CloseReason::Asked;
                self.shard.handle(self.now, Input::Closed(key, reason));
                self.drain();
            }
        }
    }

    /// Carries out what the shard wants.
    pub fn drain(&mut self) {
        while let Some(output) = self.shard.poll_output() {
            match output {
                Output::Flush(key) => self.dirty.push_back(key),
                Output::Resume(key) => self.resumed.push(key),
                Output::Close(key) => {
                    self.closing.insert(key);
                    self.dirty.push_back(key);
                }
                Output::HandOver(to, key, state) => self.leaving.push(Leaving { to, key, state }),
                Output::Ask(ticket, ask) => {
                    let answer = self.answer(ask);
                    self.answers.push_back((ticket, answer));
                }
                // Nobody here secures or compresses, and nobody counts strangers or keeps records.
                Output::StartTls(_)
                | Output::Compress(..)
                | Output::Proved(_)
                | Output::Wipe
                | Output::Audit(_) => {}
            }
        }
    }

    fn answer(&mut self, ask: Ask) -> Answer {
        let request = match ask {
            Ask::Row { table, key, .. } => Request::Row { table, key },
            Ask::Range { table, range, .. } => Request::Range { table, range },
            Ask::Joined {
                table, range, join, ..
            } => Request::Joined { table, range, join },
            Ask::Pick { table, pick, .. } => Request::Pick { table, pick },
            Ask::Drop { table, before } => Request::Drop { table, before },
            Ask::Save { writes, .. } => Request::Save(writes),
            // The host here has none.
            Ask::Directory(_) => return Answer::Directory(DirectoryAnswer::Unavailable),
            Ask::Auth(ask) => return Answer::Auth(self.accounts.answer(ask, self.now).0),
        };
        self.store.lock().apply(request)
    }
}

/// Credentials of a user whom [`World::register`] has made.
pub fn auth(name: &str) -> String {
    let plain = STANDARD.encode(format!("\0{name}\0secret"));
    format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>")
}

/// Binds the resource `b` and asks for the roster, whose result has the id `r`.
pub const BIND: &str = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
    <resource>b</resource></bind></iq>\
    <iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>";

pub const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// Rates are lifted, as the load driver lifts them, and nobody is pinged.
const CONFIGURATION: &str = r#"
[[listener]]
address = "127.0.0.1:5223"
tls = "direct"

[[host]]
name = "localhost"

[c2s]
rate_stanzas_per_s = 1_000_000
rate_stanzas_burst = 1_000_000
rate_bytes_per_s = "1 GiB"
rate_bytes_burst = "1 GiB"
ping_after = "1 h"
"#;

/// As the worker's loop has it.
const FLUSHES_PER_TURN: usize = 256;

/// When all is quiet, nothing waits but what sessions remember.
const QUEUED_BYTES_MAX: usize = 64 * 1024 * 1024;
