//! The load driver: one program that starts a server on one core, drives it from another, and says
//! what each operation cost. `bench/README.md` has the method; it knows nothing of the server's code.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};

use stonechat_bench::client::sasl::Mechanism;
use stonechat_bench::client::session::Transport;
use stonechat_bench::figures::Report;
use stonechat_bench::measure::chat::Variant;
use stonechat_bench::measure::connections::Turnover;
use stonechat_bench::measure::login::Storm;
use stonechat_bench::measure::memory::Slope;
use stonechat_bench::measure::presence::Audience;
use stonechat_bench::measure::{self, Bench, Pace};
use stonechat_bench::million;
use stonechat_bench::process::pin;
use stonechat_bench::relay::RelayServer;
use stonechat_bench::target::{Accounts, Archive, CompactTls, Keep, Kind, Programs, SlowDisk};

#[derive(Parser)]
#[command(
    about = "Load driver: processor time per operation and bytes per session, beside a bare relay"
)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Common {
    /// The server to measure
    #[arg(long, global = true, value_enum, default_value = "stonechat")]
    server: Kind,
    /// Stonechat's executable
    #[arg(long, global = true, default_value = "../target/release/stonechat")]
    binary: PathBuf,
    /// The program of the package in core/, which puts rosters into Stonechat's store
    #[arg(
        long,
        global = true,
        default_value = "core/target/release/stonechat-core-bench"
    )]
    core_program: PathBuf,
    /// Stonechat's worker threads; with more than one they have the cores from 0 on, the driver's perhaps among them
    #[arg(long, global = true, default_value_t = 1)]
    workers: u8,
    /// Milliseconds by which every sync of Stonechat's disk lasts longer
    #[arg(long, global = true)]
    slow_disk: Option<u64>,
    /// The library of the package in slow-disk/, which does it
    #[arg(
        long,
        global = true,
        default_value = "slow-disk/target/release/libslow_disk.so"
    )]
    slow_disk_library: PathBuf,
    /// File with what Stonechat's section of the host says besides, as that its users live in a directory; then nobody is
    /// added to its store
    #[arg(long, global = true)]
    host_section: Option<PathBuf>,
    /// The process in which they live: what a login costs it is shown, too
    #[arg(long, global = true)]
    beside: Option<u32>,
    /// Rounds; the median of them is the figure
    #[arg(long, global = true, default_value_t = 3)]
    rounds: usize,
    /// The core that the server has for itself
    #[arg(long, global = true, default_value_t = 0)]
    server_core: usize,
    /// The core of this driver
    #[arg(long, global = true, default_value_t = 1)]
    driver_core: usize,
    /// Write the figures to results/DATE-COMMIT.json too
    #[arg(long, global = true)]
    save: bool,
    /// Leave configuration, data and output of the servers behind
    #[arg(long, global = true)]
    keep_files: bool,
}

#[derive(Subcommand)]
enum Command {
    /// The bare relay alone: the floor of this machine
    NullRelay(Load),
    /// Pairs exchanging messages through the server, the null relay in turn with it
    Chat {
        #[command(flatten)]
        load: Load,
        /// Only over STARTTLS; the same as --transport starttls
        #[arg(long)]
        tls: bool,
        #[arg(long, value_enum, value_delimiter = ',', default_value = "plain")]
        transport: Vec<Transport>,
        /// Stonechat's delivery.keep
        #[arg(
            long,
            value_enum,
            value_delimiter = ',',
            default_value = "offline-only"
        )]
        keep: Vec<Keep>,
        /// Whether Stonechat archives every message, for both who exchange it
        #[arg(long, value_enum, value_delimiter = ',', default_value = "off")]
        archive: Vec<Archive>,
        /// Stonechat's tls.compact
        #[arg(long, value_enum, value_delimiter = ',', default_value = "off")]
        compact_tls: Vec<CompactTls>,
    },
    /// Users who see each other's presence change, a null fan-out in turn with the server
    Presence {
        #[arg(long, default_value_t = 1_000)]
        users: usize,
        /// Contacts of each, all online
        #[arg(long, default_value_t = 50)]
        contacts: u32,
        /// Users whose presence is under way at a time
        #[arg(long, default_value_t = 1_000)]
        speakers: usize,
        #[arg(long, value_enum, value_delimiter = ',', default_value = "plain")]
        transport: Vec<Transport>,
        #[command(flatten)]
        time: Time,
    },
    /// Resident bytes per idle session
    Memory {
        #[arg(
            long,
            value_enum,
            value_delimiter = ',',
            default_value = "plain,starttls"
        )]
        transport: Vec<Transport>,
        /// Contacts in each roster
        #[arg(long, default_value_t = 0)]
        contacts: u32,
        #[arg(long, default_value_t = 2_000)]
        from: usize,
        #[arg(long, default_value_t = 15_000)]
        to: usize,
        /// MiB of Stonechat's store.cache, so few that it is full before the first reading; 0 for its default
        #[arg(long, default_value_t = 4)]
        store_cache: u32,
        /// Seconds of rest before each reading
        #[arg(long, default_value_t = 12)]
        rest: u64,
        /// Stonechat's tls.compact
        #[arg(long, value_enum, value_delimiter = ',', default_value = "off")]
        compact_tls: Vec<CompactTls>,
        /// By which they log in
        #[arg(long, value_enum, default_value = "scram-sha-1")]
        mechanism: Mechanism,
    },
    /// Processor time per login
    Login {
        #[arg(
            long,
            value_enum,
            value_delimiter = ',',
            default_value = "plain,starttls"
        )]
        transport: Vec<Transport>,
        #[arg(
            long,
            value_enum,
            value_delimiter = ',',
            default_value = "scram-sha-1,scram-sha-256,plain"
        )]
        mechanism: Vec<Mechanism>,
        /// Contacts of each user, all offline
        #[arg(long, default_value_t = 0)]
        contacts: u32,
        /// Logins per round
        #[arg(long, default_value_t = 2_000)]
        logins: usize,
    },
    /// Sessions by the hundred thousand in one process, through one descriptor
    Million {
        /// Numbers of sessions at which everything is measured
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "1000,10000,100000,1000000"
        )]
        sessions: Vec<usize>,
        /// In each roster, all online
        #[arg(long, default_value_t = 10)]
        contacts: u32,
        /// Without TLS
        #[arg(long)]
        plain: bool,
        /// Stonechat's tls.compact
        #[arg(long, value_enum, default_value = "off")]
        compact_tls: CompactTls,
        /// Whether every message is archived for both, as it is by default, and stored before it is delivered
        #[arg(long, value_enum, default_value = "off")]
        archive: Archive,
        /// Seconds of chat, and of presence, at each number
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Where the server's data goes
        #[arg(long, default_value = "/tmp")]
        directory: PathBuf,
    },
    /// How late messages are at a share of the server's own saturation, the null relay in turn with it at the same rate
    Latency {
        #[command(flatten)]
        load: Load,
        /// Of its saturation, in percent
        #[arg(long, default_value_t = 25)]
        share: u32,
        #[arg(long, value_enum, value_delimiter = ',', default_value = "plain")]
        transport: Vec<Transport>,
    },
    /// System calls of the server per message delivered
    Calls {
        #[arg(long, default_value_t = 100)]
        pairs: usize,
        /// Messages under way per pair
        #[arg(long, default_value_t = 8)]
        in_flight: usize,
        #[arg(long, value_enum, value_delimiter = ',', default_value = "plain")]
        transport: Vec<Transport>,
        #[command(flatten)]
        time: Time,
    },
    /// Connections that come and go: what stays behind in memory, and of descriptors
    Connections {
        #[arg(long, default_value_t = 100_000)]
        count: usize,
        #[arg(long, value_enum, value_delimiter = ',', default_value = "starttls")]
        transport: Vec<Transport>,
        /// Seconds of rest before each reading
        #[arg(long, default_value_t = 12)]
        rest: u64,
        /// Write down when a session ended, too: it fills two buffers of 16 MiB first, of some 800,000 connections
        #[arg(long)]
        last_activity: bool,
    },
    /// Chat, login, presence and memory, with the settings that figures are quoted for
    All,
    /// The null relay's own process (started by this program)
    #[command(hide = true)]
    RelayServer(RelayServer),
}

#[derive(Args)]
struct Load {
    #[arg(long, default_value_t = 1_000)]
    pairs: usize,
    /// Messages under way per pair
    #[arg(long, default_value_t = 1)]
    in_flight: usize,
    #[command(flatten)]
    time: Time,
}

#[derive(Args)]
struct Time {
    /// Seconds that count
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Seconds before counting begins
    #[arg(long, default_value_t = 2)]
    warm_up: u64,
}

impl Load {
    fn pace(&self) -> Result<Pace> {
        ensure!(self.pairs > 0 && self.in_flight > 0, "nothing to do");
        ensure!(
            self.pairs <= MOST_SESSIONS / 2,
            "at most {MOST_SESSIONS} sessions"
        );
        Ok(self.time.pace(self.in_flight))
    }
}

impl Time {
    fn pace(&self, in_flight: usize) -> Pace {
        Pace {
            in_flight,
            warm_up: Duration::from_secs(self.warm_up),
            window: Duration::from_secs(self.seconds),
        }
    }
}

/// Of the 20,000 descriptors that a process usually may have, with room for the server's files.
const MOST_SESSIONS: usize = 15_000;

fn main() -> Result<()> {
    let cli = Cli::parse();
    if let Command::RelayServer(server) = cli.command {
        return server.run();
    }
    let Common {
        server,
        binary,
        core_program,
        workers,
        slow_disk,
        slow_disk_library,
        host_section,
        beside,
        rounds,
        server_core,
        driver_core,
        save,
        keep_files,
    } = cli.common;
    ensure!(rounds > 0, "at least one round");
    ensure!(workers > 0, "at least one worker");
    if let Command::Million {
        sessions,
        contacts,
        plain,
        compact_tls,
        archive,
        seconds,
        directory,
    } = cli.command
    {
        pin(driver_core)?;
        let result = million::measure(&million::Million {
            server: binary,
            core_program,
            server_core,
            directory,
            levels: sessions,
            contacts,
            is_encrypted: !plain,
            compact_tls,
            archive,
            seconds,
        })?;
        println!("{result}");
        return Ok(());
    }
    pin(driver_core)?;
    let bench = Bench {
        kind: server,
        programs: Programs {
            server: binary,
            core: core_program,
            accounts: Accounts::Derived,
            workers,
            slow_disk: slow_disk.map(|milliseconds| SlowDisk {
                library: slow_disk_library,
                milliseconds,
            }),
            host_section,
            beside,
        },
        server_core,
        rounds,
        keep_files,
    };
    let mut report = Report::begin(server_core, driver_core);
    run(&bench, cli.command, &mut report)?;
    report.finish();
    print!("{}", report.markdown());
    if save {
        println!("\nsaved as {}", report.save("results".as_ref())?);
    }
    Ok(())
}

fn run(bench: &Bench, command: Command, report: &mut Report) -> Result<()> {
    match command {
        Command::RelayServer(_) | Command::Million { .. } => {}
        Command::NullRelay(load) => {
            report.figures.extend(measure::chat::measure(
                bench,
                load.pairs,
                load.pace()?,
                &[],
            )?);
        }
        Command::Chat {
            load,
            tls,
            transport,
            keep,
            archive,
            compact_tls,
        } => {
            let transport = if tls {
                vec![Transport::StartTls]
            } else {
                transport
            };
            let variants = combine(&transport, &keep, &archive, &compact_tls);
            let figures = measure::chat::measure(bench, load.pairs, load.pace()?, &variants)?;
            report.figures.extend(figures);
        }
        Command::Presence {
            users,
            contacts,
            speakers,
            transport,
            time,
        } => {
            ensure!(users <= MOST_SESSIONS, "at most {MOST_SESSIONS} sessions");
            let audience = Audience {
                users,
                contacts,
                speakers,
            };
            let figures = measure::presence::measure(bench, audience, time.pace(1), &transport)?;
            report.figures.extend(figures);
        }
        Command::Memory {
            transport,
            contacts,
            from,
            to,
            store_cache,
            rest,
            compact_tls,
            mechanism,
        } => {
            ensure!(to <= MOST_SESSIONS, "at most {MOST_SESSIONS} sessions");
            for (transport, compact_tls) in beside(&transport, &compact_tls) {
                let slope = Slope {
                    contacts,
                    from,
                    to,
                    store_cache: Some(store_cache).filter(|mib| *mib > 0),
                    compact_tls,
                    rest: Duration::from_secs(rest),
                    mechanism,
                };
                report
                    .figures
                    .push(measure::memory::measure(bench, slope, transport)?);
            }
        }
        Command::Latency {
            load,
            share,
            transport,
        } => {
            for transport in transport {
                let (pairs, pace) = (load.pairs, load.pace()?);
                ensure!(
                    4 * pairs <= MOST_SESSIONS,
                    "at most {MOST_SESSIONS} sessions on both"
                );
                let figures = measure::latency::measure(bench, pairs, pace, share, transport)?;
                report.figures.extend(figures);
            }
        }
        Command::Calls {
            pairs,
            in_flight,
            transport,
            time,
        } => {
            ensure!(pairs > 0 && in_flight > 0, "nothing to do");
            for transport in transport {
                let pace = time.pace(in_flight);
                let figure = measure::calls::measure(bench, pairs, pace, transport)?;
                report.figures.push(figure);
            }
        }
        Command::Connections {
            count,
            transport,
            rest,
            last_activity,
        } => {
            let turnover = Turnover {
                count,
                rest: Duration::from_secs(rest),
                last_activity,
            };
            for transport in transport {
                let figures = measure::connections::measure(bench, turnover, transport)?;
                report.figures.extend(figures);
            }
        }
        Command::Login {
            transport,
            mechanism,
            contacts,
            logins,
        } => {
            let storm = Storm {
                count: logins,
                contacts,
            };
            ensure!(
                (1..=MOST_SESSIONS).contains(&logins),
                "1 to {MOST_SESSIONS} logins"
            );
            for &mechanism in &mechanism {
                for &transport in &transport {
                    // A password or a token in the clear is refused by every server worth measuring.
                    let needs_tls = matches!(mechanism, Mechanism::Plain | Mechanism::Fast);
                    if !(needs_tls && transport == Transport::Plain) {
                        let figure = measure::login::measure(bench, storm, mechanism, transport)?;
                        report.figures.push(figure);
                    }
                }
            }
        }
        Command::All => all(bench, report)?,
    }
    Ok(())
}

/// Runs every measure as its own command line would, so that the defaults stand in one place.
fn all(bench: &Bench, report: &mut Report) -> Result<()> {
    let keep = if bench.kind == Kind::Stonechat {
        "offline-only,always"
    } else {
        "offline-only"
    };
    let commands: [&[&str]; 6] = [
        &[
            "bench",
            "chat",
            "--transport",
            "plain,starttls",
            "--keep",
            keep,
        ],
        &["bench", "chat", "--in-flight", "4"],
        &[
            "bench",
            "chat",
            "--transport",
            "plain,starttls",
            "--pairs",
            "5000",
        ],
        &["bench", "login"],
        &["bench", "presence"],
        &["bench", "memory"],
    ];
    for command in commands {
        eprintln!("{}", command[1..].join(" "));
        run(bench, Cli::try_parse_from(command)?.command, report)?;
    }
    Ok(())
}

fn combine(
    transports: &[Transport],
    keeps: &[Keep],
    archives: &[Archive],
    forms: &[CompactTls],
) -> Vec<Variant> {
    let mut all = Vec::new();
    for (transport, compact_tls) in beside(transports, forms) {
        for &keep in keeps {
            all.extend(archives.iter().map(|&archive| Variant {
                transport,
                keep,
                archive,
                compact_tls,
            }));
        }
    }
    all
}

/// Each transport in each form of TLS; plaintext has one.
fn beside(transports: &[Transport], forms: &[CompactTls]) -> Vec<(Transport, CompactTls)> {
    let mut all = Vec::new();
    for &transport in transports {
        match transport {
            Transport::Plain => all.push((transport, CompactTls::Off)),
            _ => all.extend(forms.iter().map(|&form| (transport, form))),
        }
    }
    all
}
