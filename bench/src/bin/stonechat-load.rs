//! The load tool's command line. `bench/README.md` says how an operator loads a server with it.

use std::fs::File;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};

use stonechat_bench::client::sasl::Mechanism;
use stonechat_bench::client::session::Transport;
use stonechat_bench::compare::{self, Extent};
use stonechat_bench::figures::{Report as Figures, provenance};
use stonechat_bench::load::accounts::{Format, accounts};
use stonechat_bench::load::coordinator::{self, Host, Run};
use stonechat_bench::load::markdown::Before;
use stonechat_bench::load::part;
use stonechat_bench::load::report;
use stonechat_bench::load::result::RunResult;
use stonechat_bench::load::scenario::{BUILT_IN, Scenario};
use stonechat_bench::measure::Bench;
use stonechat_bench::process::pin;
use stonechat_bench::relay::RelayServer;
use stonechat_bench::section;
use stonechat_bench::target::{Accounts, Kind, Programs};

#[derive(Parser)]
#[command(
    version,
    about = "Puts load on an XMPP server, counts every message, and shows how the server does"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Load a server as a scenario says; exit status 1 when anything was lost, doubled, out of order or refused
    Run {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        server: Server,
        /// Write the result as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Write a report page with plots
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
    },
    /// Make the accounts of a scenario (XEP-0077), and its contacts; those that are there may stay
    Register {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        server: Server,
    },
    /// Write the accounts of a scenario as a file that a server imports
    Accounts {
        #[command(flatten)]
        what: What,
        /// The host of the accounts
        #[arg(long, default_value = "localhost")]
        domain: String,
        #[arg(long, value_enum, default_value = "xep0227")]
        format: Format,
        /// The file; standard output without it
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Measure Stonechat, Prosody and ejabberd in turn, and write bench/RESULTS.md; needs their packages and `taskset`
    Compare(Compare),
    /// The null relay's own process (started by this program)
    #[command(hide = true)]
    RelayServer(RelayServer),
    /// Write a result into a section of a document, as bench/scale does
    Section {
        json: PathBuf,
        /// Of the section
        #[arg(long)]
        name: String,
        #[arg(long, value_name = "FILE", default_value = "RESULTS.md")]
        out: PathBuf,
        /// A line below the result, in Markdown; may be repeated
        #[arg(long)]
        note: Vec<String>,
        /// The server's program, whose version is told
        #[arg(long, value_name = "FILE")]
        program: Option<PathBuf>,
        /// The server had worked before the run: what its memory grew by is not its sessions'
        #[arg(long)]
        warm: bool,
    },
    /// Make the report page of a result again
    Report {
        json: PathBuf,
        #[arg(long, value_name = "FILE", default_value = "report.html")]
        out: PathBuf,
    },
    /// Name the scenarios that come with the program
    Scenarios,
    /// Print a scenario, to begin one's own with
    Show { scenario: String },
    /// Drive some of the users of a run that is led elsewhere
    Part {
        /// The coordinator's --listen address; without it, standard input and output
        #[arg(long, value_name = "HOST:PORT")]
        join: Option<String>,
    },
}

#[derive(Args)]
struct What {
    /// A file, or the name of a scenario that comes with the program
    scenario: String,
    /// Change a value of it, as users.count=500 or chat.window=4; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl What {
    fn load(&self) -> Result<Scenario> {
        Scenario::load(&self.scenario, &self.set)
    }
}

#[derive(Args)]
struct Compare {
    /// Stonechat's program
    #[arg(long, default_value = "../target/release/stonechat")]
    binary: PathBuf,
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "stonechat,prosody,ejabberd"
    )]
    servers: Vec<Kind>,
    /// Rounds; the median of them is the figure
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The same of many pairs, of archives and of memory, which take long
    #[arg(long, default_value_t = 3)]
    long_rounds: usize,
    /// Pairs that chat, one message in flight in each; 0 to leave chat out
    #[arg(long, default_value_t = 1_000)]
    pairs: usize,
    /// The same with more pairs; 0 to leave it out
    #[arg(long, default_value_t = 5_000)]
    many_pairs: usize,
    /// Pairs that chat while everything goes into archives; 0 to leave it out
    #[arg(long, default_value_t = 1_000)]
    archive_pairs: usize,
    /// Seconds of chat
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Logins; 0 to leave them out
    #[arg(long, default_value_t = 4_000)]
    logins: usize,
    /// Idle sessions between which memory is compared
    #[arg(long, default_value_t = 2_000)]
    from: usize,
    /// 0 to leave it out
    #[arg(long, default_value_t = 15_000)]
    to: usize,
    /// Seconds of rest before memory is read
    #[arg(long, default_value_t = 12)]
    rest: u64,
    /// The core that each server has for itself
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    #[arg(long, default_value_t = 1)]
    driver_core: usize,
    /// The program of the package in core/, built from the same code, which makes Stonechat's accounts quickly
    #[arg(long)]
    core_program: Option<PathBuf>,
    /// Whose section `compare` is written
    #[arg(long, value_name = "FILE", default_value = "RESULTS.md")]
    out: PathBuf,
    /// Where is written down what has been measured: a run that breaks off goes on from there
    #[arg(long, value_name = "FILE", default_value = "results/compare.json")]
    progress: PathBuf,
}

#[derive(Args)]
struct Server {
    /// Where to connect; several addresses are taken in turn
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:5222"
    )]
    server: Vec<String>,
    /// The host of the accounts
    #[arg(long, default_value = "localhost")]
    domain: String,
    /// Several hosts at once, each with all users of the scenario, as DOMAIN=HOST:PORT or DOMAIN=HOST:PORT/PID; instead of
    /// --server, --domain and --watch
    #[arg(long, value_name = "DOMAIN=HOST:PORT[/PID]", conflicts_with_all = ["server", "domain", "watch"])]
    host: Vec<String>,
    /// Instead of the scenario's
    #[arg(long, value_enum)]
    transport: Option<Transport>,
    /// Instead of the scenario's
    #[arg(long, value_enum)]
    mechanism: Option<Mechanism>,
    /// Authenticate and bind in one (XEP-0388, XEP-0386), whatever the scenario says
    #[arg(long)]
    sasl2: bool,
    /// With stream management (XEP-0198), whatever the scenario says
    #[arg(long)]
    stream_management: bool,
    /// A process of the server on this machine, whose processor time and memory are reported; may be repeated
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    watch: Vec<u32>,
    /// Driver processes, at least; each has at most 19,000 sessions
    #[arg(long, default_value_t = 1)]
    parts: usize,
    /// Threads of each part: one for each core that it may use
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Processors of the threads, in turn
    #[arg(long, value_name = "CORE", value_delimiter = ',')]
    cores: Vec<usize>,
    /// Addresses of this machine to connect from, as 10.0.0.1 or 127.0.0.1-127.0.0.16. On loopback they are found when
    /// ports would run out
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    source: Vec<String>,
    /// Where parts join that run on other machines. Whoever can connect takes part: only in a trusted network
    #[arg(long, value_name = "ADDRESS:PORT", requires = "joined")]
    listen: Option<SocketAddr>,
    /// How many join; the others are started here
    #[arg(long, value_name = "PARTS", requires = "listen")]
    joined: Option<usize>,
    /// Makes who talks to whom the same in two runs
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether all went well.
fn run(command: Command) -> Result<bool> {
    match command {
        Command::Run {
            what,
            server,
            json,
            report,
        } => {
            // What cannot be written is not found out after an hour; and no result of a former run passes for one of this.
            for path in [&json, &report].into_iter().flatten() {
                File::create(path).with_context(|| format!("writing {}", path.display()))?;
            }
            let result = lead(&what, &server, Purpose::Load)?;
            println!("{}", result.text());
            if let Some(path) = json {
                result.write(&path)?;
            }
            if let Some(path) = report {
                write_report(&result, &path)?;
            }
            return Ok(result.passed);
        }
        Command::Register { what, server } => {
            let result = lead(&what, &server, Purpose::Accounts)?;
            let count = u64::from(result.scenario.users.count) * result.hosts.len() as u64;
            let contacts = result.scenario.users.contacts;
            match result.passed {
                true => println!("{count} accounts are there, with {contacts} contacts each"),
                false => println!("{}", result.text()),
            }
            return Ok(result.passed);
        }
        Command::Accounts {
            what,
            domain,
            format,
            out,
        } => {
            let text = accounts(&what.load()?, &domain, format);
            match out {
                None => print!("{text}"),
                Some(path) => std::fs::write(&path, text)
                    .with_context(|| format!("writing {}", path.display()))?,
            }
        }
        Command::Compare(what) => compare(&what)?,
        Command::RelayServer(server) => server.run()?,
        Command::Section {
            json,
            name,
            out,
            note,
            program,
            warm,
        } => {
            let server = program.as_deref().map_or_else(
                || "the server's version is not known".to_owned(),
                provenance,
            );
            let before = if warm { Before::Work } else { Before::Nothing };
            let text = RunResult::read(&json)?.markdown(&server, before, &note);
            section::put(&out, &name, &text)?;
            print!("{text}");
        }
        Command::Report { json, out } => write_report(&RunResult::read(&json)?, &out)?,
        Command::Scenarios => {
            for (name, text) in BUILT_IN {
                println!("{name:10} {}", Scenario::parse(text, &[])?.about);
            }
        }
        Command::Show { scenario } => {
            let text = BUILT_IN.iter().find(|(name, _)| *name == scenario);
            let (_, text) = text.with_context(|| {
                format!("no scenario {scenario}; see `stonechat-load scenarios`")
            })?;
            print!("{text}");
        }
        Command::Part { join } => match join {
            None => part::over_standard_streams()?,
            Some(address) => part::join(&address)?,
        },
    }
    Ok(true)
}

fn compare(what: &Compare) -> Result<()> {
    pin(what.driver_core)?;
    ensure!(what.rounds > 0, "at least one round");
    let bench = Bench {
        kind: Kind::Stonechat,
        programs: Programs {
            server: what.binary.clone(),
            core: what.core_program.clone().unwrap_or_default(),
            accounts: match what.core_program {
                Some(_) => Accounts::Copied,
                None => Accounts::Derived,
            },
            workers: 1,
            slow_disk: None,
            host_section: None,
            beside: None,
        },
        server_core: what.server_core,
        rounds: 1,
        keep_files: false,
    };
    let extent = Extent {
        kinds: what.servers.clone(),
        rounds: what.rounds,
        long_rounds: what.long_rounds,
        pairs: what.pairs,
        many_pairs: what.many_pairs,
        archive_pairs: what.archive_pairs,
        seconds: what.seconds,
        logins: what.logins,
        sessions: (what.from, what.to),
        rest: Duration::from_secs(what.rest),
    };
    let mut figures = Figures::begin(what.server_core, what.driver_core);
    let text = compare::compare(&bench, &extent, &mut figures, &what.progress)?;
    section::put(&what.out, "compare", &text)?;
    print!("{text}");
    Ok(())
}

fn write_report(result: &RunResult, path: &Path) -> Result<()> {
    let page = report::page(result);
    std::fs::write(path, page).with_context(|| format!("writing {}", path.display()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Load,
    Accounts,
}

fn lead(what: &What, server: &Server, purpose: Purpose) -> Result<RunResult> {
    let mut scenario = what.load()?;
    if let Some(transport) = server.transport {
        scenario.connection.transport = transport;
    }
    if let Some(mechanism) = server.mechanism {
        scenario.connection.mechanism = mechanism;
    }
    scenario.connection.sasl2 |= server.sasl2;
    scenario.connection.stream_management |= server.stream_management;
    coordinator::run(&Run {
        name: what.scenario.clone(),
        scenario,
        hosts: hosts(server)?,
        parts: server.parts,
        threads: server.threads,
        cores: server.cores.clone(),
        sources: sources(&server.source)?,
        joining: server.listen.zip(server.joined),
        seed: server.seed,
        prepares: purpose == Purpose::Accounts,
    })
}

fn hosts(server: &Server) -> Result<Vec<Host>> {
    if server.host.is_empty() {
        let servers = server.server.iter().map(|address| resolve(address));
        return Ok(vec![Host {
            domain: server.domain.clone(),
            servers: servers.collect::<Result<_>>()?,
            watch: server.watch.clone(),
        }]);
    }
    let each = server.host.iter().map(|text| {
        let (domain, rest) = text
            .split_once('=')
            .with_context(|| format!("{text}: not DOMAIN=HOST:PORT"))?;
        let (address, pid) = match rest.split_once('/') {
            Some((address, pid)) => (
                address,
                vec![pid.parse().with_context(|| format!("{text}: no PID"))?],
            ),
            None => (rest, Vec::new()),
        };
        Ok(Host {
            domain: domain.to_owned(),
            servers: vec![resolve(address)?],
            watch: pid,
        })
    });
    each.collect()
}

fn resolve(address: &str) -> Result<SocketAddr> {
    let found = address
        .to_socket_addrs()
        .with_context(|| format!("{address}: not HOST:PORT"))?;
    found
        .into_iter()
        .next()
        .with_context(|| format!("{address} has no address"))
}

fn sources(texts: &[String]) -> Result<Vec<IpAddr>> {
    let mut all = Vec::new();
    for text in texts {
        let Some((first, last)) = text.split_once('-') else {
            all.push(
                text.parse()
                    .with_context(|| format!("{text} is no address"))?,
            );
            continue;
        };
        let number = |text: &str| -> Result<u32> {
            let address: std::net::Ipv4Addr = text
                .parse()
                .with_context(|| format!("{text} is no IPv4 address"))?;
            Ok(address.into())
        };
        let (first, last) = (number(first)?, number(last)?);
        ensure!(
            (first..first.saturating_add(4_096)).contains(&last),
            "{text}: not a range of up to 4,096 addresses"
        );
        all.extend((first..=last).map(|address| IpAddr::V4(address.into())));
    }
    Ok(all)
}
