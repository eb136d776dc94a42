//! What the load driver cannot do from outside: the core under load without sockets, and rosters put into the store of a
//! server that does not run. Unlike the driver, it is linked with the server's own code.

mod counting;
mod presence;
mod relay;
mod rosters;
mod workers;
mod world;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use rustix::time::{ClockId, clock_gettime};

#[derive(Parser)]
#[command(about = "Stonechat's core under load, without sockets")]
enum Cli {
    /// Processor time of the core for each presence that reaches a contact
    Presence {
        #[arg(long, default_value_t = 1_000)]
        users: u32,
        /// Contacts of each user, an even number
        #[arg(long, default_value_t = 50)]
        contacts: u32,
        /// How often each user says something else in a round
        #[arg(long, default_value_t = 20)]
        flips: u32,
        /// How many streams are read in a turn of the loop
        #[arg(long, default_value_t = 256)]
        reads_per_turn: usize,
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// Accounts u00000 and up of a server that does not run get as many contacts each, all mutual
    Rosters {
        /// The server's data directory
        #[arg(long)]
        data: PathBuf,
        #[arg(long)]
        users: u32,
        #[arg(long)]
        contacts: u32,
        #[arg(long, value_enum)]
        who: rosters::Who,
    },
    /// Accounts u00001 and up become copies of u00000, password and all, with rosters of their neighbours
    Copies {
        /// The server's data directory
        #[arg(long)]
        data: PathBuf,
        #[arg(long)]
        users: u32,
        #[arg(long)]
        contacts: u32,
        /// Users of one ring, within which contacts are; all without it
        #[arg(long)]
        community: Option<u32>,
        /// The host of the accounts
        #[arg(long, default_value = "localhost")]
        host: String,
    },
    /// What a message between two sessions allocates on its way
    Relay {
        #[arg(long, default_value_t = 100)]
        pairs: u32,
        /// Messages of each session in a round
        #[arg(long, default_value_t = 20)]
        messages: u32,
        /// How many streams are read in a turn of the loop
        #[arg(long, default_value_t = 256)]
        reads_per_turn: usize,
        /// Name where they come from
        #[arg(long)]
        places: bool,
    },
    /// Processor time of an operation with one worker, with two, and with two that have nothing to do with each other
    Workers(workers::Load),
}

fn main() -> Result<()> {
    match Cli::parse() {
        Cli::Presence {
            users,
            contacts,
            flips,
            reads_per_turn,
            rounds,
        } => presence::measure(
            presence::Load {
                users,
                contacts,
                flips,
                reads_per_turn,
            },
            rounds,
        ),
        Cli::Rosters {
            data,
            users,
            contacts,
            who,
        } => rosters::fill(&data, users, contacts, who),
        Cli::Copies {
            data,
            users,
            contacts,
            community,
            host,
        } => rosters::copy(
            &data,
            &rosters::Copies {
                host: &host,
                users,
                contacts,
                community: community.unwrap_or(users),
            },
        ),
        Cli::Relay {
            pairs,
            messages,
            reads_per_turn,
            places,
        } => relay::measure(
            relay::Load {
                pairs,
                messages,
                reads_per_turn,
            },
            match places {
                true => relay::Detail::Places,
                false => relay::Detail::Counts,
            },
        )
        .map(drop),
        Cli::Workers(load) => workers::measure(&load).map(drop),
    }
}

/// Processor time of this thread so far.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // Neither is negative, and there are fewer than a billion nanoseconds in a second.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
