//! What a second worker costs: processor time of chat, presence and logins with one worker, with several between which
//! messages cross, and with as many that have nothing to do with each other, which is what the machine alone makes of more
//! than one. Each is a shard on a thread and a core of its own, with a store of its own that has all accounts, so that
//! workers share what they share in the server and no lock besides.

mod board;
mod clients;
mod station;

use std::fmt::{self, Display};
use std::sync::Arc;
use std::thread;

use anyhow::{Result, anyhow, ensure};
use clap::{Args, ValueEnum};
use core_affinity::CoreId;
use crossbeam_channel::unbounded;

use stonechat::worker::{Address, Clock, seats};

use crate::rosters::Who;
use crate::world::{Process, World};

use board::Board;
use clients::{Act, Then, What};
use station::{Post, Spent, Station};

/// How many, and how often.
#[derive(Args, Clone, Debug)]
pub struct Load {
    /// What is measured
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Measure::Chat, Measure::Presence, Measure::Login])]
    measures: Vec<Measure>,
    /// The larger number of workers; a core for each
    #[arg(long, default_value_t = 2)]
    workers: u8,
    /// Rounds, each with every number of workers in turn
    #[arg(long, default_value_t = 4)]
    rounds: usize,
    /// How many streams are read in a turn of the loop
    #[arg(long, default_value_t = 256)]
    reads_per_turn: usize,
    /// Of chat
    #[arg(long, default_value_t = 1_000)]
    pairs: u32,
    /// Of each session in a round
    #[arg(long, default_value_t = 100)]
    messages: u64,
    /// Of presence
    #[arg(long, default_value_t = 1_000)]
    users: u32,
    /// Contacts of each user, an even number; they hear its presence
    #[arg(long, default_value_t = 50)]
    contacts: u32,
    /// How often each user says something else in a round
    #[arg(long, default_value_t = 20)]
    flips: u64,
    /// In a round
    #[arg(long, default_value_t = 4_000)]
    logins: u32,
    /// Contacts of each user who logs in; none of them is there
    #[arg(long, default_value_t = 50)]
    offline_contacts: u32,
    /// Logins under way
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
}

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Measure {
    Chat,
    Presence,
    Login,
}

/// Who works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// One worker, on the core with this number.
    One(usize),
    /// So many workers of one process.
    Several(u8),
    /// As many processes of one worker, each with its part of the users.
    Apart(u8),
}

/// Prints each round, the medians and their ratios. Gives for each measure the medians, in microseconds, of
/// one worker, of several, and of as many apart.
pub fn measure(load: &Load) -> Result<Vec<[f64; 3]>> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    ensure!(load.rounds > 0 && load.workers > 1, "nothing to compare");
    if cores.len() < usize::from(load.workers) {
        println!("fewer cores than workers: their times say nothing");
    }
    let mut figures = Vec::new();
    for &measure in &load.measures {
        let mut values = [const { Vec::new() }; 3];
        for round in 0..load.rounds {
            // The cores of a machine are not alike for long; one worker has them in turn.
            let shapes = [
                Shape::One(round % cores.len().max(1)),
                Shape::Several(load.workers),
                Shape::Apart(load.workers),
            ];
            for (shape, values) in shapes.into_iter().zip(&mut values) {
                let spent = run(measure, load, shape, &cores)?;
                let each = each(&spent);
                println!("{measure} round {round}, {shape}: {}", told(&spent));
                values.push(each);
            }
        }
        let [one, several, apart] = values.each_mut().map(|values| median(values));
        println!(
            "{measure}: {one:.3} us with one worker, {several:.3} with {}, {apart:.3} with as many apart; \
             {:.3} x one, {:.3} x apart\n",
            load.workers,
            several / one,
            several / apart
        );
        figures.push([one, several, apart]);
    }
    Ok(figures)
}

/// Starts the threads of one run, and gives what each of them took.
fn run(measure: Measure, load: &Load, shape: Shape, cores: &[CoreId]) -> Result<Vec<Spent>> {
    let (processes, workers) = match shape {
        Shape::One(_) => (1, 1),
        Shape::Several(workers) => (1, workers),
        Shape::Apart(processes) => (processes, 1),
    };
    let plan = Plan::new(measure, load, processes, workers)?;
    let first_core = match shape {
        Shape::One(core) => core,
        Shape::Several(_) | Shape::Apart(_) => 0,
    };
    let core = |place: usize| {
        let wrapped = (first_core + place).checked_rem(cores.len())?;
        cores.get(wrapped).copied()
    };
    let mut posts = posts(processes, workers)?;
    for (place, (post, _)) in posts.iter_mut().enumerate() {
        post.core = core(place);
    }
    let mut process_of = Vec::new();
    for _ in 0..processes {
        process_of.push(Process::new(workers, plan.configuration())?);
    }
    thread::scope(|scope| {
        let threads: Vec<_> = posts
            .into_iter()
            .map(|(post, process)| {
                let (plan, process) = (&plan, &process_of[process]);
                scope.spawn(move || work(plan, process, post))
            })
            .collect();
        let mut spent = Vec::new();
        for thread in threads {
            let of_one = thread.join().map_err(|_| anyhow!("a thread panicked"))?;
            spent.push(of_one?);
        }
        let operations: u64 = spent.iter().map(|spent| spent.operations).sum();
        let expected = plan.operations() * u64::from(processes);
        ensure!(
            operations == expected,
            "{operations} operations instead of {expected}"
        );
        Ok(spent)
    })
}

/// What the threads are started with, and the number of the process of each.
fn posts(processes: u8, workers: u8) -> Result<Vec<(Post, usize)>> {
    let threads = usize::from(processes) * usize::from(workers);
    let board = Arc::new(Board::new(threads));
    let clock = Clock::new();
    let mut meshes = Vec::new();
    for _ in 0..processes {
        meshes.push(seats(workers)?);
    }
    let everybody: Vec<Address> = meshes
        .iter()
        .flatten()
        .map(|seat| seat.address.clone())
        .collect();
    let mut posts = Vec::new();
    for (process, mesh) in meshes.into_iter().enumerate() {
        let addresses: Vec<Address> = mesh.iter().map(|seat| seat.address.clone()).collect();
        let (notes_to, notes): (Vec<_>, Vec<_>) = mesh.iter().map(|_| unbounded()).unzip();
        for (seat, notes) in mesh.into_iter().zip(notes) {
            let post = Post {
                place: posts.len(),
                core: None,
                seat,
                addresses: addresses.clone(),
                everybody: everybody.clone(),
                notes,
                notes_to: notes_to.clone(),
                board: Arc::clone(&board),
                clock: clock.clone(),
            };
            posts.push((post, process));
        }
    }
    Ok(posts)
}

/// One thread's life.
fn work(plan: &Plan, process: &Process, post: Post) -> Result<Spent> {
    let is_pinned = post.core.is_some_and(core_affinity::set_for_current);
    if !is_pinned {
        println!("a thread is not on a core of its own");
    }
    let mut world = World::of(process, post.seat.worker, plan.reads_per_turn);
    world.now = post.clock.now();
    let registered = plan.register(&mut world);
    let mut station = Station::new(post, world);
    let spent = registered.and_then(|()| {
        let mut spent = Spent::default();
        for act in plan.windows() {
            spent = station.window(act)?;
        }
        Ok(spent)
    });
    if spent.is_err() {
        station.give_up();
    }
    spent
}

/// What the workers of one process do, together.
struct Plan {
    measure: Measure,
    reads_per_turn: usize,
    users: u32,
    /// Users who log in before it counts.
    first: u32,
    contacts: u32,
    /// Of each user.
    times: u64,
    /// At each worker.
    window: usize,
}

impl Plan {
    fn new(measure: Measure, load: &Load, processes: u8, workers: u8) -> Result<Plan> {
        let part = |count: u32| {
            let processes = u32::from(processes);
            ensure!(
                count.is_multiple_of(processes),
                "the users cannot be parted"
            );
            Ok(count / processes)
        };
        let window = (load.in_flight / (usize::from(processes) * usize::from(workers))).max(1);
        let (users, first, contacts, times) = match measure {
            Measure::Chat => (2 * part(load.pairs)?, 0, 0, load.messages),
            Measure::Presence => (part(load.users)?, 0, load.contacts, load.flips),
            Measure::Login => {
                let first = (load.logins / 8).clamp(1, LOGINS_BEFORE_MAX);
                (part(load.logins)? + first, first, load.offline_contacts, 1)
            }
        };
        ensure!(
            measure != Measure::Presence || (contacts < users && contacts.is_multiple_of(2)),
            "an even number of contacts, fewer than there are users"
        );
        Ok(Plan {
            measure,
            reads_per_turn: load.reads_per_turn,
            users,
            first,
            contacts,
            times,
            window,
        })
    }

    fn configuration(&self) -> &'static str {
        match self.measure {
            Measure::Chat => "[delivery]\nkeep = \"offline-only\"\n[features]\nmam = false\n",
            Measure::Presence | Measure::Login => "",
        }
    }

    fn register(&self, world: &mut World) -> Result<()> {
        let who = match self.measure {
            Measure::Presence => Who::Neighbours,
            Measure::Chat | Measure::Login => Who::Offline,
        };
        world.people(self.users, who, self.contacts)
    }

    /// One behind the other; the last is what counts.
    fn windows(&self) -> [Act; 3] {
        let log_in = |users, then| Act::LogIn {
            users,
            window: self.window,
            then,
        };
        let what = match self.measure {
            Measure::Login => {
                return [
                    log_in(0..0, Then::Leave),
                    log_in(0..self.first, Then::Leave),
                    log_in(self.first..self.users, Then::Leave),
                ];
            }
            Measure::Chat => What::Chat,
            Measure::Presence => What::Presence {
                contacts: self.contacts,
            },
        };
        let say = |rounds| Act::Say { what, rounds };
        [
            log_in(0..self.users, Then::Stay),
            // Queues and tables grow, and have their size then.
            say(self.times.div_ceil(8)),
            say(self.times),
        ]
    }

    /// How many there must be.
    fn operations(&self) -> u64 {
        let each = match self.measure {
            Measure::Chat | Measure::Login => 1,
            Measure::Presence => u64::from(self.contacts) + 1,
        };
        u64::from(self.users - self.first) * self.times * each
    }
}

fn operations(spent: &[Spent]) -> u64 {
    spent.iter().map(|spent| spent.operations).sum()
}

/// Microseconds of all threads for an operation.
fn each(spent: &[Spent]) -> f64 {
    let cpu: f64 = spent.iter().map(|spent| spent.cpu.as_secs_f64()).sum();
    cpu * 1e6 / operations(spent) as f64
}

fn told(spent: &[Spent]) -> String {
    let mut text = format!("{:.3} us each, {} of them", each(spent), operations(spent));
    for of_one in spent {
        let Spent {
            cpu,
            wall,
            sent,
            sleeps,
            ..
        } = of_one;
        let busy = 100.0 * cpu.as_secs_f64() / wall.as_secs_f64();
        text += &format!("; {busy:.0} % busy, {sent} sent, {sleeps} sleeps");
    }
    text
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = ((values.len() - 1) / 2, values.len() / 2);
    f64::midpoint(values[low], values[high])
}

impl Display for Measure {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Measure::Chat => "chat",
            Measure::Presence => "presence",
            Measure::Login => "login",
        })
    }
}

impl Display for Shape {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::One(core) => write!(to, "one worker on core {core}"),
            Shape::Several(workers) => write!(to, "{workers} workers"),
            Shape::Apart(workers) => write!(to, "{workers} apart"),
        }
    }
}

/// Enough for tables to grow.
const LOGINS_BEFORE_MAX: u32 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_arrives_once_with_one_worker_and_with_two() {
        let load = Load {
            measures: vec![Measure::Chat, Measure::Presence, Measure::Login],
            workers: 2,
            rounds: 1,
            reads_per_turn: 4,
            pairs: 20,
            messages: 5,
            users: 24,
            contacts: 6,
            flips: 3,
            logins: 40,
            offline_contacts: 4,
            in_flight: 8,
        };
        let figures = measure(&load).expect("measured");
        assert_eq!(figures.len(), 3);
        let mut figures = figures.iter().flatten();
        assert!(figures.all(|&figure| figure > 0.0));
    }
}
