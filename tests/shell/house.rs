//! A server without a configuration: workers, a doorman, certificates made for the test.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::echo::Echo;

use crossbeam_channel::{Receiver, unbounded};
use stonechat::actor::Answer;
use stonechat::base::WorkerId;
use stonechat::config::Outside;
use stonechat::server::doorman::{Doorman, Employed, House};
use stonechat::shard::{Control, Place};
use stonechat::stream::TlsVersion;
use stonechat::worker::{
    self, Address, Authorities, ClientCertificate, Clock, Counters, Door, DoorLimits,
    HostCertificate, Intake, Keeper, Listener, Order, Pinning, Ports, Post, ProxyHeader, Security,
    TlsContext, TlsWishes,
};

/// What a test's server is made of.
pub struct Wishes {
    pub workers: u8,
    pub limits: DoorLimits,
    pub client_authorities: Authorities,
    pub negotiation_timeout_ms: u64,
    /// The test's file says which it is about.
    pub keeper: Keeper,
}

impl Default for Wishes {
    fn default() -> Wishes {
        Wishes {
            workers: 1,
            limits: DoorLimits {
                total_max: 1_000,
                unproved_max: 1_000,
            },
            client_authorities: Authorities::default(),
            negotiation_timeout_ms: 2 * HANDSHAKE_TIMEOUT_MS,
            keeper: crate::KEEPER,
        }
    }
}

/// A running server; it ends with the test.
pub struct Server {
    pub plain: SocketAddr,
    pub direct: SocketAddr,
    pub proxied: SocketAddr,
    pub proxied_direct: SocketAddr,
    pub v6: SocketAddr,
    pub addresses: Vec<Address>,
    pub door: Arc<Door>,
    pub panics: Receiver<String>,
    /// The certificates of `juliet.example` (the default) and `romeo.example`.
    pub hosts: Vec<HostCertificate>,
    tls: Mutex<Arc<TlsContext>>,
    negotiation_timeout_ms: u64,
    keeper: Keeper,
    time: Arc<AtomicU64>,
    doorman: Option<Employed>,
    _directory: Directory,
}

impl Server {
    pub fn start() -> Server {
        Server::with(Wishes::default())
    }

    /// One with so many workers.
    pub fn of(workers: u8) -> Server {
        Server::with(Wishes {
            workers,
            ..Wishes::default()
        })
    }

    pub fn with(wishes: Wishes) -> Server {
        let directory = Directory::new();
        let hosts: Vec<_> = ["juliet.example", "romeo.example"]
            .iter()
            .map(|host| HostCertificate::load_or_make(host, &directory.0).unwrap())
            .collect();
        let patience_ms = wishes.negotiation_timeout_ms;
        let (authorities, keeper) = (wishes.client_authorities, wishes.keeper);
        let tls = context(hosts.clone(), authorities, None, patience_ms, keeper);
        let (intake, time) = (Arc::new(Intake::default()), Arc::default());
        let (panicked, panics) = unbounded();
        let outside = Outside {
            features: &[],
            address: |_| Ok(()),
            log_filter: |_| Ok(()),
            cores: 1,
        };
        let config = Arc::new(stonechat::config::load("test", "", &outside).unwrap());
        let luggage = Arc::default();
        let seats = worker::seats(wishes.workers).unwrap();
        let addresses: Vec<_> = seats.iter().map(|seat| seat.address.clone()).collect();
        for seat in seats {
            let (own, panicked) = (seat.address.clone(), panicked.clone());
            let place = Place {
                worker: seat.worker,
                worker_count: wishes.workers,
            };
            let post = Post {
                shard: Echo::new(place, Arc::clone(&config), Arc::clone(&luggage)),
                addresses: addresses.clone(),
                ports: Ports {
                    ask: Box::new(move |asked| {
                        let answers = asked.drain(..).map(|(ticket, _)| (ticket, Answer::Saved));
                        own.answer_all(answers.collect());
                    }),
                    audit: Box::new(|_, _| {}),
                },
                clock: Clock::for_test(Arc::clone(&time)),
                tls: Arc::clone(&tls),
                intake: Arc::clone(&intake),
                pinning: Pinning::Free,
                on_panic: Arc::new(move |said| panicked.send(said.to_owned()).unwrap()),
            };
            worker::start(seat, post).unwrap();
        }
        let door = Door::new(wishes.limits, usize::from(wishes.workers));
        let house = House {
            door: Arc::clone(&door),
            intake: Arc::clone(&intake),
            admits: Box::new(|| true),
            addresses: addresses.clone(),
            on_end: Arc::new(|| panic!("the doorman goes before he is told to")),
        };
        let wish = |index, security, proxy| {
            let listener = Listener {
                index,
                security,
                client_certificate: ClientCertificate::Asked,
                proxy,
            };
            (listener, "127.0.0.1:0".parse().unwrap())
        };
        let mut listeners = vec![
            wish(0, Security::StartTls, ProxyHeader::Refused),
            wish(1, Security::Direct, ProxyHeader::Refused),
            wish(2, Security::StartTls, ProxyHeader::Required),
            wish(3, Security::Direct, ProxyHeader::Required),
            wish(4, Security::StartTls, ProxyHeader::Refused),
        ];
        listeners[4].1 = "[::1]:0".parse().unwrap();
        let doorman = Doorman::bind(&listeners, house).unwrap();
        let bound: Vec<_> = doorman.listeners().map(|(_, address)| address).collect();
        Server {
            plain: bound[0],
            direct: bound[1],
            proxied: bound[2],
            proxied_direct: bound[3],
            v6: bound[4],
            addresses,
            door,
            panics,
            hosts,
            tls: Mutex::new(tls),
            negotiation_timeout_ms: patience_ms,
            keeper,
            time,
            doorman: Some(doorman.start().unwrap()),
            _directory: directory,
        }
    }

    /// Replaces the certificates of all workers by those of these hosts.
    pub fn reload(&self, hosts: Vec<HostCertificate>) {
        let mut tls = self.tls.lock().unwrap();
        let authorities = Authorities::default();
        let patience_ms = self.negotiation_timeout_ms;
        let context = context(hosts, authorities, Some(&tls), patience_ms, self.keeper);
        *tls = Arc::clone(&context);
        for address in &self.addresses {
            address.order(Order::Tls(Arc::clone(&context)));
        }
        // A report is answered behind what was ordered before.
        self.counters();
    }

    /// What all workers together have counted.
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for worker in 0..self.addresses.len() {
            let of_one = self.counters_of(WorkerId(worker as u8));
            sum.connections += of_one.connections;
            sum.waiting += of_one.waiting;
            sum.accepted += of_one.accepted;
            sum.late += of_one.late;
            sum.arrived += of_one.arrived;
            sum.handed_over += of_one.handed_over;
            sum.secured += of_one.secured;
            sum.compact += of_one.compact;
            sum.handshakes_failed += of_one.handshakes_failed;
            sum.handshakes_late += of_one.handshakes_late;
            sum.injected_bytes += of_one.injected_bytes;
            sum.proxy_refused += of_one.proxy_refused;
            sum.records_broken += of_one.records_broken;
            sum.compressed += of_one.compressed;
            sum.garbled += of_one.garbled;
        }
        sum
    }

    pub fn counters_of(&self, worker: WorkerId) -> Counters {
        let (answer, reports) = unbounded();
        self.addresses[worker.index()].order(Order::Report(answer));
        reports.recv_timeout(PATIENCE).unwrap()
    }

    /// Waits until the workers have counted what `is_so` asks for.
    pub fn until(&self, is_so: impl Fn(&Counters) -> bool) -> Counters {
        let begun = Instant::now();
        loop {
            let counters = self.counters();
            if is_so(&counters) {
                return counters;
            }
            assert!(begun.elapsed() < PATIENCE, "it never came: {counters:?}");
            std::thread::yield_now();
        }
    }

    /// Lets this much time pass at once.
    pub fn pass_ms(&self, ms: u64) {
        self.time.fetch_add(ms, Ordering::Relaxed);
        for address in &self.addresses {
            address.order(Order::LookAtClock);
        }
    }

    pub fn drain(&mut self) {
        self.doorman.take().unwrap().dismiss();
        for address in &self.addresses {
            address.order(Order::Control(Control::Drain));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(doorman) = self.doorman.take() {
            doorman.dismiss();
        }
        for address in &self.addresses {
            address.order(Order::Stop);
        }
    }
}

fn context(
    hosts: Vec<HostCertificate>,
    client_authorities: Authorities,
    before: Option<&TlsContext>,
    negotiation_timeout_ms: u64,
    keeper: Keeper,
) -> Arc<TlsContext> {
    let wishes = TlsWishes {
        hosts,
        versions: vec![TlsVersion::V1_2, TlsVersion::V1_3],
        client_authorities,
        handshake_timeout_ms: HANDSHAKE_TIMEOUT_MS,
        negotiation_timeout_ms,
        keeper,
    };
    Arc::new(TlsContext::new(wishes, before).unwrap())
}

/// A directory that is removed with the test.
pub struct Directory(pub std::path::PathBuf);

impl Directory {
    pub fn new() -> Directory {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "stonechat-shell-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Longer than a busy machine keeps a handshake of a test waiting.
pub const HANDSHAKE_TIMEOUT_MS: u64 = 60_000;

/// After this a test has failed: nothing here needs more than milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(60);
