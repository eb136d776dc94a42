//! The servers that can be measured: for each a directory with its configuration and its accounts,
//! and the command that starts it. It knows nothing of what is measured.

mod ejabberd;
mod prosody;
mod stonechat;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde::{Deserialize, Serialize};

use crate::client::message;
use crate::client::sasl::Mechanism;
use crate::client::session::Transport;
use crate::process::{Ready, Server, unused_address};
use crate::relay::{Pattern, RelayServer};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Kind {
    Stonechat,
    Prosody,
    Ejabberd,
}

impl Kind {
    /// As tables and JSON name it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Stonechat => "stonechat",
            Self::Prosody => "prosody",
            Self::Ejabberd => "ejabberd",
        }
    }

    /// The version that would be measured; None when it is not there.
    pub fn version(self, programs: &Programs) -> Option<String> {
        let mut command = match self {
            Self::Stonechat => Command::new(&programs.server),
            _ => Command::new("dpkg-query"),
        };
        match self {
            Self::Stonechat => command.arg("--version"),
            Self::Prosody => command.args(["-W", "-f", "Prosody ${Version} (Debian)", "prosody"]),
            Self::Ejabberd => {
                ejabberd::beams().ok()?;
                command.args(["-W", "-f", "ejabberd ${Version} (Debian)", "ejabberd"])
            }
        };
        let output = command.output().ok().filter(|o| o.status.success())?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (!said.is_empty()).then_some(said)
    }
}

/// Stonechat's `delivery.keep`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Keep {
    #[value(name = "offline-only")]
    OfflineOnly,
    #[value(name = "always")]
    Always,
}

impl Keep {
    pub fn label(self) -> &'static str {
        match self {
            Self::OfflineOnly => "offline-only",
            Self::Always => "always",
        }
    }
}

/// Stonechat's `features.mam`, with `features.fulltext` as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Archive {
    #[value(name = "off")]
    Off,
    #[value(name = "on")]
    On,
}

/// Stonechat's `tls.compact`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompactTls {
    #[value(name = "off")]
    Off,
    #[value(name = "on")]
    On,
}

impl CompactTls {
    /// Behind the name of a transport.
    pub fn label(self) -> &'static str {
        match self {
            Self::Off => "",
            Self::On => ", compact TLS",
        }
    }
}

/// What a measure asks of its server. Each field is for the servers that know the like.
#[derive(Debug, Clone, Copy)]
pub struct Wishes {
    /// Accounts `u00000` and up.
    pub users: u32,
    pub transport: Transport,
    pub keep: Keep,
    pub archive: Archive,
    pub compact_tls: CompactTls,
    /// Prosody stores the keys of one hash only.
    pub mechanism: Mechanism,
    pub collector: Collector,
    pub contacts: Contacts,
    /// MiB for what was read from Stonechat's store; none for its default.
    pub store_cache: Option<u32>,
    /// Whether the end of an account's last session is written down (XEP-0012).
    pub last_activity: bool,
}

impl Wishes {
    /// What most measures ask: messages that are stored for nobody who is there and archived by nobody, rustls, accounts without
    /// rosters, and of Prosody the collector that makes a message cheapest.
    pub fn plain(users: u32, transport: Transport) -> Self {
        Self {
            users,
            transport,
            keep: Keep::OfflineOnly,
            archive: Archive::Off,
            compact_tls: CompactTls::Off,
            mechanism: Mechanism::ScramSha1,
            collector: Collector::Generational,
            contacts: Contacts::None,
            store_cache: None,
            last_activity: true,
        }
    }
}

/// Whom users have in their rosters; all of them mutual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contacts {
    None,
    /// So many who never log in.
    Offline(u32),
    /// So many whose numbers are next to the own, on a ring.
    Neighbours(u32),
}

impl Contacts {
    pub fn count(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Offline(count) | Self::Neighbours(count) => count,
        }
    }
}

/// Prosody's garbage collector: either is the better one of some figure, and a rival is measured at
/// its best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collector {
    /// A quarter of the processor time per message.
    Generational,
    /// Two thirds of the memory per session; the default.
    Incremental,
}

/// Executables that are not looked for in the path.
#[derive(Debug, Clone)]
pub struct Programs {
    /// Stonechat's.
    pub server: PathBuf,
    /// Of the package in `core/`, which writes rosters into Stonechat's store.
    pub core: PathBuf,
    /// How Stonechat's accounts are made.
    pub accounts: Accounts,
    /// Stonechat's worker threads.
    pub workers: u8,
    pub slow_disk: Option<SlowDisk>,
    /// What Stonechat's section of the host says besides: its users live elsewhere then.
    pub host_section: Option<PathBuf>,
    /// The process in which they live.
    pub beside: Option<u32>,
}

/// How Stonechat gets its accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accounts {
    /// Keys are derived for each, as a server does.
    Derived,
    /// One is added, the others are its copies, by the program in `core/`: fifteen thousand derivations take minutes. It must be
    /// built from the same code as the server.
    Copied,
}

/// A disk that takes its time, for the server.
#[derive(Debug, Clone)]
pub struct SlowDisk {
    /// Of the package in `slow-disk/`.
    pub library: PathBuf,
    /// By which every sync lasts longer.
    pub milliseconds: u64,
}

/// A server's directory, ready to be started from, any number of times. Dropping it removes it.
pub struct Site {
    kind: Kind,
    programs: Programs,
    core: usize,
    wishes: Wishes,
    directory: PathBuf,
    keep_files: bool,
}

impl Site {
    /// Writes configuration and accounts into a new directory under the temporary one.
    pub fn prepare(
        kind: Kind,
        programs: &Programs,
        core: usize,
        wishes: Wishes,
        keep_files: bool,
    ) -> Result<Self> {
        if kind != Kind::Stonechat && wishes.keep == Keep::Always {
            bail!("only Stonechat knows delivery.keep = \"always\"");
        }
        if kind != Kind::Stonechat && programs.workers > 1 {
            bail!("rivals are measured on one core");
        }
        if kind != Kind::Stonechat && wishes.mechanism == Mechanism::Fast {
            bail!("rivals here know no tokens");
        }
        let directory = scratch_directory()?;
        let site = Self {
            kind,
            programs: programs.clone(),
            core,
            wishes,
            directory,
            keep_files,
        };
        match kind {
            Kind::Stonechat => {
                stonechat::create_accounts(&site)?;
                stonechat::fill_rosters(&site)?;
            }
            Kind::Prosody => prosody::create_accounts(&site)?,
            Kind::Ejabberd => ejabberd::create_accounts(&site)?,
        }
        Ok(site)
    }

    /// Starts the server on a port of its own and waits until it listens.
    pub fn start(&self) -> Result<Server> {
        let address = unused_address();
        let (command, ready) = match self.kind {
            Kind::Stonechat => (stonechat::command(self, address)?, stonechat::ready(self)?),
            Kind::Prosody => (prosody::command(self, address)?, Ready::PortOpens),
            Kind::Ejabberd => (ejabberd::command(self, address)?, Ready::PortOpens),
        };
        let cores = match self.programs.workers {
            0 | 1 => self.core.to_string(),
            workers => format!("0-{}", workers - 1),
        };
        Server::start(
            &command,
            &cores,
            address,
            &self.directory.join("output"),
            ready,
        )
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.directory.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.keep_files {
            eprintln!("  kept: {}", self.directory.display());
        } else if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!("  note: {} stays behind: {error}", self.directory.display());
        }
    }
}

/// Starts the null relay: this very program in its other role.
pub fn start_relay(core: usize) -> Result<(Server, RelayFiles)> {
    start_floor(core, message::LENGTH, Pattern::Pairs)
}

/// Starts the null fan-out for so many users, who hear of so many contacts each.
pub fn start_fan_out(core: usize, users: usize, contacts: u32) -> Result<(Server, RelayFiles)> {
    let pattern = Pattern::Ring {
        connections: users,
        reach: contacts as usize / 2,
    };
    start_floor(core, message::PRESENCE_LENGTH, pattern)
}

fn start_floor(core: usize, length: usize, pattern: Pattern) -> Result<(Server, RelayFiles)> {
    let files = RelayFiles {
        directory: scratch_directory()?,
    };
    let address: SocketAddr = unused_address();
    let mut command = vec![std::env::current_exe()?.display().to_string()];
    command.extend(RelayServer::arguments(address, length, pattern));
    let log = files.directory.join("output");
    let server = Server::start(
        &command,
        &core.to_string(),
        address,
        &log,
        Ready::Says("listening"),
    )?;
    Ok((server, files))
}

/// Where the null relay's output goes. Dropping it removes it.
pub struct RelayFiles {
    directory: PathBuf,
}

impl Drop for RelayFiles {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A certificate for `localhost` and its key, as PEM, good until the end of next year: ejabberd's keeper of certificates sets a
/// timer for when one ends, and falls over when that is two thousand years away, as rcgen has it unless told.
pub fn certificate() -> Result<(String, String)> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let year = i32::try_from(1970 + since / SECONDS_OF_A_YEAR)?;
    let mut wishes = CertificateParams::new(vec!["localhost".to_owned()])?;
    wishes.not_before = date_time_ymd(year - 1, 1, 1);
    wishes.not_after = date_time_ymd(year + 2, 1, 1);
    let key = KeyPair::generate().context("making a key")?;
    let certificate = wishes.self_signed(&key).context("making a certificate")?;
    Ok((certificate.pem(), key.serialize_pem()))
}

const SECONDS_OF_A_YEAR: u64 = 31_556_952;

fn scratch_directory() -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("stonechat-bench-{}-{number}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    fs::create_dir(&directory).with_context(|| format!("creating {}", directory.display()))?;
    Ok(directory)
}
