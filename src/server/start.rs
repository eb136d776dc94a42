//! The beginning: everything is built from the configuration, in the order in which it depends on each
//! other, and ended in the opposite one. Refuses to start half.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::audit::Audit;
use crate::auth::service::OnPanic;
use crate::auth::{Accounts, AuthService, AuthSettings};
use crate::base::{AccountId, HashSeed, WorkerId};
use crate::config::{ClientCertificates, Config, TlsMode};
use crate::directory::DirectoryService;
use crate::shard::{Place, Routes, Seeds, Shard, numbers_wait_ms};
use crate::store::{Port, Store, StoreOptions};
use crate::worker::{
    self, Address, ClientCertificate, Clock, Door, DoorLimits, Intake, Listener, Pinning, Post,
    ProxyHeader, Seat, Security, TlsContext,
};

use super::admin::Admin;
use super::certificates::CertificateSource;
use super::data::{self, Secrets};
use super::directory::{prepare_directories, start_directories};
use super::doorman::{self, Doorman};
use super::ports::ports;
use super::rows::{TABLES, account_rows, first_numbers, store_directory};
use super::running::{Running, tell_of};
use super::settings::{cores, read_config};
use super::shutdown::{House, end_by_panic};
use super::{descriptors, log, restored};

/// How the server is started.
#[derive(Clone, Debug)]
pub struct Start {
    /// The configuration file; none serves `localhost` with all defaults.
    pub config: Option<PathBuf>,
    pub data: PathBuf,
    pub clock: ClockChoice,
}

/// Whose time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockChoice {
    System,
    /// The system's, and a test may add to it over the control socket.
    Test,
}

/// Runs the server until SIGTERM or SIGINT: status 0 after a drain, 1 if it could not start, 70 after a
/// panic.
pub fn run(start: &Start) -> ExitCode {
    let config = match read_config(start.config.as_deref()) {
        Ok(config) => config,
        Err(errors) => {
            for error in errors {
                eprintln!("stonechat: {error}");
            }
            return ExitCode::FAILURE;
        }
    };
    log::start(&config.log.filter);
    // Before anything runs, so that no signal finds the default action.
    let mut signals = match Signals::new([SIGHUP, SIGINT, SIGTERM]) {
        Ok(signals) => signals,
        Err(error) => return failed(&format!("signals: {error}")),
    };
    let house = match build(start, config) {
        Ok(house) => house,
        Err(error) => return failed(&error),
    };
    for signal in signals.forever() {
        if signal != SIGHUP {
            // A second one ends the process at once.
            end_on_next_signal();
            return house.drain();
        }
        // What came of it is in the log.
        let _ = house.running.reload();
    }
    ExitCode::FAILURE
}

fn failed(error: &str) -> ExitCode {
    eprintln!("stonechat: {error}");
    ExitCode::FAILURE
}

fn end_on_next_signal() {
    for signal in [SIGINT, SIGTERM] {
        let armed = Arc::new(std::sync::atomic::AtomicBool::new(true));
        if let Err(error) = signal_hook::flag::register_conditional_shutdown(signal, 1, armed) {
            ::log::warn!("signal_unarmed signal={signal} error={error}");
        }
    }
}

fn build(start: &Start, config: Config) -> Result<House, String> {
    data::make_directory(&start.data)?;
    let secrets = data::secrets(&start.data)?;
    let test_offset_ms = (start.clock == ClockChoice::Test).then(|| Arc::new(AtomicU64::new(0)));
    let clock = match &test_offset_ms {
        Some(offset) => Clock::for_test(Arc::clone(offset)),
        None => Clock::new(),
    };
    let certificates = CertificateSource {
        config: start.config.clone(),
        data: start.data.clone(),
    };
    let tls = Arc::new(certificates.context(&config, None).map_err(joined)?);
    let directories = prepare_directories(&config, start.config.as_deref()).map_err(joined)?;
    let count = worker_count(&config);
    let seats = worker::seats(count).map_err(|error| format!("workers: {error}"))?;
    let addresses: Vec<Address> = seats.iter().map(|seat| seat.address.clone()).collect();

    let (audit, audit_sink) = open_audit(&start.data, &config)?;
    let store = open_store(&start.data, &config, &addresses)?;
    restored::begin_anew(&store, &mut data::fresh_rng()?)
        .map_err(|error| format!("a copy that comes to life: {error}"))?;
    let accounts = open_accounts(&config, &store, &secrets)?;
    // Before anybody else can be removed.
    let removed = accounts.removed().unwrap_or_else(|error| {
        // No reason not to start.
        ::log::error!("accounts_purge_failed error=\"{error}\"");
        Vec::new()
    });
    let (flushed, told) = (store.clone(), audit.clone());
    let on_panic: OnPanic = Arc::new(move || end_by_panic(&flushed, &told));
    let auth = start_auth(&accounts, &addresses, &clock, &on_panic)?;
    let directory = start_directories(directories, &addresses, &accounts, &auth, &clock, &audit)?;

    let descriptors =
        descriptors::raise_limit().map_err(|error| format!("descriptors: {error}"))?;
    let limits = DoorLimits {
        total_max: descriptors::connections_within(descriptors),
        unproved_max: config.c2s.unproved_per_address as usize,
    };
    let door = Door::new(limits, usize::from(count));
    let intake = Arc::new(Intake::default());
    let admits = audit.clone();
    let hall = doorman::House {
        door: Arc::clone(&door),
        intake: Arc::clone(&intake),
        admits: Box::new(move || admits.admits()),
        addresses: addresses.clone(),
        on_end: Arc::clone(&on_panic),
    };
    // Bound before the workers start: a port that is taken ends the attempt with nothing to clean up.
    let doorman =
        Doorman::bind(&listeners(&config)?, hall).map_err(|error| format!("listener {error}"))?;

    #[cfg(feature = "trunk")]
    if let Some((listener, _)) = listeners(&config)?.first() {
        super::trunk::open(*listener, &addresses)?;
    }

    let current = Arc::new(config.clone());
    let mut workers = Vec::with_capacity(seats.len());
    let numbers_floor =
        first_numbers(&store).map_err(|error| format!("numbers of rows: {error}"))?;
    let wait_ms = numbers_wait_ms(numbers_floor, clock.now().wall_ms);
    thread::sleep(Duration::from_millis(wait_ms));
    let crew = Crew {
        config: &current,
        partitions: secrets.partitions,
        ids: secrets.ids,
        addresses: &addresses,
        clock: &clock,
        tls: &tls,
        intake: &intake,
        store: &store,
        directory: &directory,
        audit: &audit,
        numbers_floor,
        on_panic: &on_panic,
    };
    for seat in seats {
        workers.push(crew.start_worker(seat)?);
    }
    let running = Arc::new(Running {
        started: config,
        current: Mutex::new(current),
        certificates,
        tls: Mutex::new(Arc::clone(&tls)),
        addresses,
        listeners: doorman.listeners().map(|(_, address)| address).collect(),
        door,
        store,
        accounts,
        auth,
        directory,
        audit,
        clock,
        test_offset_ms,
        stopping: AtomicBool::new(false),
        copying: Mutex::new(()),
    });
    purge_left(&running, removed);
    // What was made just now nobody has seen; what was there before the start is no change.
    running.record_certificates(None, &tls);
    let admin = Admin::start(&start.data, running.actions());
    let admin = admin.map_err(|error| format!("control socket: {error}"))?;
    announce(start, &running, &doorman);
    Ok(House {
        doorman: doorman
            .start()
            .map_err(|error| format!("doorman: {error}"))?,
        workers,
        admin,
        audit_sink,
        intake,
        running,
    })
}

fn joined(errors: Vec<crate::config::ConfigError>) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn worker_count(config: &Config) -> u8 {
    let wished = match config.server.workers {
        0 => cores(),
        count => usize::try_from(count).unwrap_or(usize::MAX),
    };
    // The id of a worker is a byte; no machine that we know has more cores.
    u8::try_from(wished).unwrap_or(u8::MAX)
}

fn open_audit(data: &Path, config: &Config) -> Result<(Audit, Option<JoinHandle<()>>), String> {
    if config.audit.file.is_empty() {
        return Ok((Audit::none(), None));
    }
    let path = data.join(&config.audit.file);
    let opened = Audit::open(&path, config.audit.when_full);
    let (audit, sink) =
        opened.map_err(|error| format!("audit file {}: {error}", path.display()))?;
    Ok((audit, Some(sink)))
}

fn open_store(data: &Path, config: &Config, addresses: &[Address]) -> Result<Store, String> {
    let mut options = StoreOptions::at(store_directory(data));
    options.cache_bytes = config.store.cache.as_bytes();
    options.reserve_bytes = config.store.reserve_free.as_bytes();
    let ports = addresses.iter().cloned();
    let ports = ports.map(|address| Port::new(move |answers| address.answer_all(answers)));
    Store::open(options, TABLES, ports.collect()).map_err(|error| error.to_string())
}

/// What could not be removed with its account is no reason not to start, nor to start late.
fn purge_left(running: &Running, removed: Vec<AccountId>) {
    if !removed.is_empty() {
        let then = tell_of(running.addresses.clone());
        running.auth.purge_again(removed, then);
    }
}

fn open_accounts(
    config: &Config,
    store: &Store,
    secrets: &Secrets,
) -> Result<Arc<Accounts>, String> {
    let mut rng = data::fresh_rng()?;
    let seed = HashSeed(rng.next_u64(), rng.next_u64());
    let settings = AuthSettings::from(config);
    let fakes = secrets.fakes.clone();
    Ok(Arc::new(Accounts::new(
        account_rows(store),
        settings,
        fakes,
        seed,
        rng,
    )))
}

fn start_auth(
    accounts: &Arc<Accounts>,
    addresses: &[Address],
    clock: &Clock,
    on_panic: &OnPanic,
) -> Result<Arc<AuthService>, String> {
    let mut ports: Vec<crate::auth::service::AnswerPort> = Vec::with_capacity(addresses.len());
    for address in addresses {
        let address = address.clone();
        ports.push(Arc::new(move |ticket, answer| {
            address.answer(ticket, answer)
        }));
    }
    let clock = clock.clone();
    let service = AuthService::start(
        accounts,
        ports,
        Arc::new(move || clock.now()),
        Arc::clone(on_panic),
    );
    Ok(Arc::new(
        service.map_err(|error| format!("auth thread: {error}"))?,
    ))
}

/// What all workers are started with.
struct Crew<'a> {
    config: &'a Arc<Config>,
    partitions: HashSeed,
    ids: [u8; 16],
    addresses: &'a [Address],
    clock: &'a Clock,
    tls: &'a Arc<TlsContext>,
    intake: &'a Arc<Intake>,
    store: &'a Store,
    directory: &'a Arc<DirectoryService>,
    audit: &'a Audit,
    numbers_floor: u64,
    on_panic: &'a OnPanic,
}

impl Crew<'_> {
    fn start_worker(&self, seat: Seat) -> Result<JoinHandle<()>, String> {
        let worker = seat.worker;
        let (store, audit) = (self.store.clone(), self.audit.clone());
        let on_panic = Arc::clone(self.on_panic);
        let post = Post {
            shard: self.shard(worker)?,
            addresses: self.addresses.to_vec(),
            ports: ports(worker, store, Arc::clone(self.directory), audit),
            clock: self.clock.clone(),
            tls: Arc::clone(self.tls),
            intake: Arc::clone(self.intake),
            pinning: match self.config.server.pin {
                true => Pinning::Pinned,
                false => Pinning::Free,
            },
            on_panic: Arc::new(move |_| on_panic()),
        };
        worker::start(seat, post).map_err(|error| format!("worker {}: {error}", worker.0))
    }

    /// The only place where the shell makes a core.
    fn shard(&self, worker: WorkerId) -> Result<Shard, String> {
        let place = Place {
            worker,
            worker_count: u8::try_from(self.addresses.len()).unwrap_or(u8::MAX),
        };
        let mut rng = data::fresh_rng()?;
        let mut seeds = Seeds {
            maps: HashSeed(rng.next_u64(), rng.next_u64()),
            rng: [0; 32],
            ids: self.ids,
        };
        rng.fill(&mut seeds.rng);
        let routes = Routes::new(self.partitions, place.worker_count);
        let config = Arc::clone(self.config);
        Ok(Shard::new(place, config, routes, seeds, self.numbers_floor))
    }
}

fn listeners(config: &Config) -> Result<Vec<(Listener, SocketAddr)>, String> {
    let mut listeners = Vec::with_capacity(config.listeners.len());
    for (index, option) in config.listeners.iter().enumerate() {
        let address = option.address.parse();
        let address: SocketAddr =
            address.map_err(|_| format!("{} is no address", option.address))?;
        let listener = Listener {
            index,
            security: match option.tls {
                TlsMode::Direct => Security::Direct,
                // Without TLS the core never asks for it.
                TlsMode::Starttls | TlsMode::None => Security::StartTls,
            },
            client_certificate: match option.client_certificates {
                ClientCertificates::Request => ClientCertificate::Asked,
                ClientCertificates::None => ClientCertificate::Unasked,
            },
            proxy: match option.proxy_protocol {
                true => ProxyHeader::Required,
                false => ProxyHeader::Refused,
            },
        };
        listeners.push((listener, address));
    }
    Ok(listeners)
}

/// What the operator reads on standard output: where clients connect, where the data is, what to do next.
fn announce(start: &Start, running: &Running, doorman: &Doorman) {
    for (listener, address) in doorman.listeners() {
        let option = &running.started.listeners[listener.index];
        let tls = match option.tls {
            TlsMode::Direct => "direct TLS",
            TlsMode::Starttls => "STARTTLS",
            TlsMode::None => "no TLS",
        };
        let proxy = if option.proxy_protocol {
            ", behind a proxy"
        } else {
            ""
        };
        println!("listening on {address} ({tls}{proxy})");
    }
    let data = std::path::absolute(&start.data).unwrap_or_else(|_| start.data.clone());
    println!("data in {}", data.display());
    // As it was called, so that the line can be copied to the same shell.
    let program = std::env::args()
        .next()
        .unwrap_or_else(|| "stonechat".to_owned());
    let mut command = format!("{program} user add NAME@{}", running.started.hosts[0].name);
    if let Some(config) = &start.config {
        command.push_str(&format!(" --config {}", config.display()));
    }
    println!("add a user with: {command} --data {}", start.data.display());
}
