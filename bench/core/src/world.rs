//! One shard with everything around it in memory: a store, the keeper of accounts, connections that are byte strings.
//! It turns as a worker's loop turns, and knows nothing of sockets. What is asked of a service is answered at once.

#[path = "../../../tests/common/account_rows.rs"]
mod account_rows;

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use parking_lot::Mutex;

use stonechat::actor::directory::DirectoryAnswer;
use stonechat::actor::{Answer, Ticket};
use stonechat::auth::{Accounts, AuthSettings};
use stonechat::base::{AddressPrefix, HashSeed, Now, Rng, Secret, StreamKey, WorkerId};
use stonechat::config::{Outside, load};
use stonechat::server::rows::TABLES;
use stonechat::shard::{Ask, Input, Opened, Output, Place, Rendered, Routes, Seeds, Shard};
use stonechat::store::Request;
use stonechat::store::memory::MemoryStore;
use stonechat::stream::{TlsFacts, TlsVersion};

use account_rows::account_rows;

pub struct World {
    shard: Shard,
    pub store: Arc<Mutex<MemoryStore>>,
    accounts: Accounts,
    answers: VecDeque<(Ticket, Answer)>,
    dirty: VecDeque<StreamKey>,
    now: Now,
    scratch: Vec<u8>,
    reads_per_turn: usize,
}

impl World {
    /// `more` is configuration beyond what all measures share.
    pub fn new(reads_per_turn: usize, more: &str) -> Result<World> {
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
        let place = Place {
            worker: WorkerId(0),
            worker_count: 1,
        };
        let seeds = Seeds {
            maps: HashSeed(11, 12),
            rng: [7; 32],
            ids: [0; 16],
        };
        let routes = Routes::new(HashSeed(7, 7), 1);
        Ok(World {
            shard: Shard::new(place, Arc::new(config), routes, seeds, 0),
            store,
            accounts,
            answers: VecDeque::new(),
            dirty: VecDeque::new(),
            now: Now {
                mono_ms: 1_000_000,
                wall_ms: 1_795_392_000_000,
            },
            scratch: Vec::with_capacity(64 * 1024),
            reads_per_turn,
        })
    }

    pub fn register(&mut self, name: &str) -> Result<()> {
        let secret = Secret::new(b"secret".to_vec());
        let added = self.accounts.add("localhost", name, &secret, self.now);
        added.map(drop).map_err(|error| anyhow!("{error:?}"))
    }

    /// A session with its roster, available.
    pub fn log_in(&mut self, name: &str) -> Result<StreamKey> {
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
        let plain = STANDARD.encode(format!("\0{name}\0secret"));
        let auth = format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>"
        );
        let bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                    <resource>b</resource></bind></iq>\
                    <iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq><presence/>";
        let mut heard = Vec::new();
        for said in [HEADER, &auth, HEADER, bind] {
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
            for &(key, bytes) in part {
                let taken = self.shard.handle(self.now, Input::Bytes(key, bytes));
                ensure!(taken == bytes.len(), "a stream is paused");
                self.drain();
            }
            self.flush(&mut hear);
            self.end_turn();
        }
        while !self.answers.is_empty() || !self.dirty.is_empty() || self.is_due() {
            if self.is_due() {
                self.shard.handle(self.now, Input::Tick);
                self.drain();
            }
            while let Some((ticket, answer)) = self.answers.pop_front() {
                self.shard.handle(self.now, Input::Answer(ticket, answer));
                self.drain();
            }
            self.flush(&mut hear);
            self.end_turn();
        }
        self.now = self.now.plus_ms(1);
        if self.shard.queued_bytes() > QUEUED_BYTES_MAX {
            bail!("queues grow");
        }
        Ok(())
    }

    fn is_due(&self) -> bool {
        let due_ms = self.shard.next_deadline();
        due_ms.is_some_and(|due_ms| due_ms <= self.now.mono_ms)
    }

    fn end_turn(&mut self) {
        self.shard.end_turn(self.now);
        self.drain();
    }

    /// Each stream once in a turn; so many in a turn as a worker does.
    fn flush(&mut self, hear: &mut impl FnMut(StreamKey, &[u8])) {
        for _ in 0..FLUSHES_PER_TURN {
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
            }
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.shard.poll_output() {
            match output {
                Output::Flush(key) => self.dirty.push_back(key),
                Output::Ask(ticket, ask) => {
                    let answer = self.answer(ask);
                    self.answers.push_back((ticket, answer));
                }
                _ => {}
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

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
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
