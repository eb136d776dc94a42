//! `kill -9` under load, many times: what the server acknowledged is there afterwards, and what is sent again
//! is there once (DESIGN section 20). Each round: clients write, read and acknowledge; the server is killed at
//! a random moment and started again on its data; in every second round senders send again what was not
//! acknowledged; every recipient collects what waits; `judge.rs` has the rules.
//!
//! `cargo test --test crash -- [ROUNDS]`; 3 when no number is given.

mod client;
#[allow(dead_code)] // The theatre's tests run in `scenarios`.
#[path = "../play/framer.rs"]
mod framer;
mod house;
mod judge;
mod load;
#[allow(dead_code)] // The server says where it listens; other programs cannot.
#[path = "../common/ports.rs"]
mod ports;
#[allow(dead_code)]
#[path = "../play/scram.rs"]
mod scram;

use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stonechat::base::Rng;

use client::{Care, Client};
use house::House;
use judge::{Aftermath, Round, Tally};
use load::{Habit, RecipientReport, SenderReport, Signals};

/// The borrowed modules of the theatre name their tests so.
type SelfTest = (&'static str, fn());

const SENDERS: usize = 8;
const HABITS: [Habit; 12] = [
    Habit::Diligent,
    Habit::Diligent,
    Habit::Diligent,
    Habit::Silent,
    Habit::Breaking,
    Habit::Plain,
    Habit::Plain,
    Habit::Leaving,
    Habit::Offline,
    Habit::Offline,
    Habit::Offline,
    Habit::Offline,
];
const ROUNDS: usize = 3;
/// The server is killed after between so many acknowledgements and this, or when time is up.
const ACKNOWLEDGED_MIN: u32 = 10;
const ACKNOWLEDGED_MAX: u32 = 1_500;
const LOAD_MAX: Duration = Duration::from_secs(5);

/// What goes on from round to round.
struct Town {
    house: House,
    senders: Vec<String>,
    recipients: Vec<String>,
    /// By sender and recipient: the number of the last letter.
    numbers: Vec<Vec<u32>>,
    rng: Rng,
}

fn main() -> ExitCode {
    let mut rounds = ROUNDS;
    for argument in std::env::args().skip(1) {
        if let Ok(number) = argument.parse() {
            rounds = number;
        } else if argument == "--list" {
            println!("kill_nine_under_load: test");
            return ExitCode::SUCCESS;
        } else if !argument.starts_with('-') && !"kill_nine_under_load".contains(&argument) {
            // A filter that means another test.
            println!("0 passed, 0 failed");
            return ExitCode::SUCCESS;
        }
    }
    judge::judge_itself();
    let begun = Instant::now();
    let (mut passed, mut failed) = (0, 0);
    let mut total = Tally::default();
    let mut town = None;
    for number in 1..=rounds {
        let aftermath = [Aftermath::Silence, Aftermath::Again][number % 2];
        match play(&mut town, number, aftermath) {
            Ok(tally) => {
                passed += 1;
                total.add(&tally);
            }
            Err(why) => {
                failed += 1;
                println!("round {number} ({aftermath:?}) FAILED\n{why}");
                if let Some(Town { house, .. }) = town.take() {
                    println!(
                        "  the server's log and data are in {}",
                        house.leave().display()
                    );
                }
            }
        }
    }
    println!(
        "{} letters, {} acknowledged before the crash; {} read before, {} after, {} of them twice; {:.1} s",
        total.sent,
        total.acknowledged,
        total.read_before,
        total.read_after,
        total.twice,
        begun.elapsed().as_secs_f64()
    );
    println!("{passed} passed, {failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// One round, in the town that stands or in a new one.
fn play(town: &mut Option<Town>, number: usize, aftermath: Aftermath) -> Result<Tally, String> {
    let town = match town {
        Some(town) => town,
        None => town.insert(Town::build(number)?),
    };
    let (senders, before) = town.load()?;
    town.house.start()?;
    let after = town.recover(aftermath, number, &senders)?;
    let round = Round {
        aftermath,
        senders,
        before,
        after,
    };
    let mut breaches = round.breaches();
    breaches.extend(town.house.troubles());
    if breaches.is_empty() {
        return Ok(round.tally());
    }
    let count = breaches.len();
    breaches.truncate(12);
    Err(format!("  {count} breaches\n  {}", breaches.join("\n  ")))
}

impl Town {
    fn build(number: usize) -> Result<Town, String> {
        let senders: Vec<String> = (0..SENDERS).map(|i| format!("sender{i}")).collect();
        let names = HABITS.iter().enumerate();
        let recipients = names.map(|(i, habit)| format!("{habit:?}{i}").to_lowercase());
        let recipients: Vec<String> = recipients.collect();
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|e| e.to_string())?;
        Ok(Town {
            house: House::build(number, &[&senders[..], &recipients[..]].concat())?,
            senders,
            recipients,
            numbers: vec![vec![0; HABITS.len()]; SENDERS],
            // Another moment of death in every run: the server must not care.
            rng: Rng::from_seed(seed),
        })
    }

    /// Everybody at work until the server is killed.
    fn load(&mut self) -> Result<(Vec<SenderReport>, Vec<RecipientReport>), String> {
        let port = self.house.port;
        let signals = Signals::new();
        let online = HABITS
            .iter()
            .filter(|habit| **habit != Habit::Offline)
            .count();
        let ready = &Barrier::new(SENDERS + online + 1);
        let target = self.rng.below(ACKNOWLEDGED_MAX - ACKNOWLEDGED_MIN) + ACKNOWLEDGED_MIN;
        let (senders, names) = (&self.senders, &self.recipients);
        let (house, rng, signals) = (&mut self.house, &mut self.rng, &signals);
        thread::scope(|scope| {
            let writing = self.numbers.iter_mut().enumerate().map(|(from, numbers)| {
                let mut rng = fork(rng);
                scope.spawn(move || {
                    let client = Client::login(port, &senders[from], Care::Managed);
                    ready.wait();
                    let mut client = client?;
                    let numbers = &mut numbers[..];
                    Ok(load::send_until_death(
                        &mut client,
                        from,
                        names,
                        numbers,
                        signals,
                        &mut rng,
                    ))
                })
            });
            let writing: Vec<_> = writing.collect();
            let reading = HABITS.iter().enumerate().map(|(at, &habit)| {
                let mut rng = fork(rng);
                scope.spawn(move || {
                    if habit == Habit::Offline {
                        return Ok(RecipientReport::default());
                    }
                    let client = Client::login(port, &names[at], habit.care());
                    let client = client.and_then(|mut client| {
                        client.appear()?;
                        Ok(client)
                    });
                    ready.wait();
                    Ok(load::read_until_death(client?, habit, &mut rng))
                })
            });
            let reading: Vec<_> = reading.collect();
            ready.wait();
            let begun = Instant::now();
            while (signals.acknowledged.load(Ordering::Relaxed) as u32) < target
                && begun.elapsed() < LOAD_MAX
            {
                thread::sleep(Duration::from_micros(200));
            }
            let killed = house.kill();
            let sent: Result<Vec<_>, String> = writing.into_iter().map(joined).collect();
            let read: Result<Vec<_>, String> = reading.into_iter().map(joined).collect();
            killed?;
            Ok((sent?, read?))
        })
    }

    /// Everybody comes back.
    fn recover(
        &self,
        aftermath: Aftermath,
        number: usize,
        senders: &[SenderReport],
    ) -> Result<Vec<RecipientReport>, String> {
        let port = self.house.port;
        let signals = &Signals::new();
        let names = &self.recipients;
        thread::scope(|scope| {
            let collecting = HABITS.iter().enumerate().map(|(at, &habit)| {
                // Those who were away come in turn with and without stream management.
                let care = match (habit, number / 2 % 2) {
                    (Habit::Offline, 0) => Care::Managed,
                    _ => habit.care(),
                };
                scope.spawn(move || load::collect(port, &names[at], care, signals))
            });
            let collecting: Vec<_> = collecting.collect();
            let mut sent: Result<Vec<()>, String> = Ok(Vec::new());
            if aftermath == Aftermath::Again {
                let again = self.senders.iter().zip(senders).map(|(name, report)| {
                    let letters = &report.sent[report.acknowledged.min(report.sent.len())..];
                    scope.spawn(move || load::send_again(port, name, names, letters, signals))
                });
                let again: Vec<_> = again.collect();
                sent = again.into_iter().map(joined).collect();
            }
            signals.is_sent.store(true, Ordering::Release);
            let read: Result<Vec<_>, String> = collecting.into_iter().map(joined).collect();
            sent?;
            read
        })
    }
}

impl Signals {
    fn new() -> Signals {
        Signals {
            acknowledged: AtomicUsize::new(0),
            is_sent: AtomicBool::new(false),
        }
    }
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.read_before += other.read_before;
        self.read_after += other.read_after;
        self.twice += other.twice;
    }
}

fn fork(rng: &mut Rng) -> Rng {
    let mut seed = [0; 32];
    rng.fill(&mut seed);
    Rng::from_seed(seed)
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T, String>>) -> Result<T, String> {
    thread
        .join()
        .unwrap_or_else(|_| Err("a client panicked, see above".to_owned()))
}
