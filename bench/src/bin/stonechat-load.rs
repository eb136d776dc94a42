//! The load tool's command line. `bench/README.md` says how an operator loads a server with it.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};

use stonechat_bench::client::sasl::Mechanism;
use stonechat_bench::client::session::Transport;
use stonechat_bench::load::accounts::{Format, accounts};
use stonechat_bench::load::coordinator::{self, Host, Run};
use stonechat_bench::load::part;
use stonechat_bench::load::result::RunResult;
use stonechat_bench::load::scenario::{BUILT_IN, Scenario};

#[derive(Parser)]
#[command(version, about = "Puts load on an XMPP server, counts every message, and shows how the server does")]
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
struct Server {
    /// Where to connect; several addresses are taken in turn
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', default_value = "127.0.0.1:5222")]
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
        Command::Run { what, server, json, report } => {
            let result = lead(&what, &server, Purpose::Load)?;
            if let Some(path) = json {
                result.write(&path)?;
            }
            if report.is_some() {
                anyhow::bail!("no report yet");
            }
            println!("{}", result.text());
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
        Command::Accounts { what, domain, format, out } => {
            let text = accounts(&what.load()?, &domain, format);
            match out {
                None => print!("{text}"),
                Some(path) => std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?,
            }
        }
        Command::Scenarios => {
            for (name, text) in BUILT_IN {
                println!("{name:10} {}", Scenario::parse(text, &[])?.about);
            }
        }
        Command::Show { scenario } => {
            let text = BUILT_IN.iter().find(|(name, _)| *name == scenario);
            let (_, text) = text.with_context(|| format!("no scenario {scenario}; see `stonechat-load scenarios`"))?;
            print!("{text}");
        }
        Command::Part { join } => match join {
            None => part::over_standard_streams()?,
            Some(address) => part::join(&address)?,
        },
    }
    Ok(true)
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
        let (domain, rest) = text.split_once('=').with_context(|| format!("{text}: not DOMAIN=HOST:PORT"))?;
        let (address, pid) = match rest.split_once('/') {
            Some((address, pid)) => (address, vec![pid.parse().with_context(|| format!("{text}: no PID"))?]),
            None => (rest, Vec::new()),
        };
        Ok(Host { domain: domain.to_owned(), servers: vec![resolve(address)?], watch: pid })
    });
    each.collect()
}

fn resolve(address: &str) -> Result<SocketAddr> {
    let found = address.to_socket_addrs().with_context(|| format!("{address}: not HOST:PORT"))?;
    found.into_iter().next().with_context(|| format!("{address} has no address"))
}

fn sources(texts: &[String]) -> Result<Vec<IpAddr>> {
    let mut all = Vec::new();
    for text in texts {
        let Some((first, last)) = text.split_once('-') else {
            all.push(text.parse().with_context(|| format!("{text} is no address"))?);
            continue;
        };
        let number = |text: &str| -> Result<u32> {
            let address: std::net::Ipv4Addr = text.parse().with_context(|| format!("{text} is no IPv4 address"))?;
            Ok(address.into())
        };
        let (first, last) = (number(first)?, number(last)?);
        ensure!((first..first.saturating_add(4_096)).contains(&last), "{text}: not a range of up to 4,096 addresses");
        all.extend((first..=last).map(|address| IpAddr::V4(address.into())));
    }
    Ok(all)
}
