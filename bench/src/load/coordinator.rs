//! A run: leads its parts through the phases, watches the server meanwhile, and sums up. It drives no user itself, and refuses
//! to know who drives whom (`division.rs`), and where (`reach.rs`).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail, ensure};

use super::counts::{Counts, Latencies, Outcome};
use super::division::{Share, cores_of, divide, sources_of};
use super::latency::Latency;
use super::pace::Pace;
use super::part::{Assignment, Line};
use super::progress::Progress;
use super::rates::Rates;
use super::reach::{Part, accept, joined, spawn};
use super::result::{Moment, RunResult, ServerUse};
use super::scenario::{Kind, Scenario};
use super::sum::sum_up;
use super::surge::Surge;
use super::unit::{News, Order, Tick};
use super::watch::{Usage, Watched};
use super::words::Tag;

/// A host that is loaded.
#[derive(Debug, Clone)]
pub struct Host {
    pub domain: String,
    pub servers: Vec<SocketAddr>,
    /// Its processes, if they run on this machine.
    pub watch: Vec<u32>,
}

/// What an operator asks for.
#[derive(Debug, Clone)]
pub struct Run {
    /// The scenario's name or file.
    pub name: String,
    pub scenario: Scenario,
    pub hosts: Vec<Host>,
    /// Processes at least; more when one would have too many sessions.
    pub parts: usize,
    /// Of each part.
    pub threads: usize,
    /// Processors of the threads, in turn.
    pub cores: Vec<usize>,
    pub sources: Vec<IpAddr>,
    /// Where parts on other machines join, and how many of them are waited for.
    pub joining: Option<(SocketAddr, usize)>,
    pub seed: u64,
    /// Makes accounts and contacts, and nothing else.
    pub prepares: bool,
}

/// Does it all.
pub fn run(run: &Run) -> Result<RunResult> {
    // Who joins has something to do.
    let joined = run.joining.map_or(0, |(_, count)| count);
    let parts = run.parts.max(joined);
    let shares = divide(&run.scenario, run.hosts.len(), parts, run.threads)?;
    let watched = run.hosts.iter().flat_map(|host| &host.watch);
    let watched: Vec<Watched> = watched
        .map(|pid| Watched::new(*pid))
        .collect::<Result<_>>()?;
    let progress = Progress::new();
    let mut lead = Lead::start(run, &shares, watched, progress)?;
    let result = lead.through(run);
    lead.progress.done();
    result
}

/// A run under way.
struct Lead {
    parts: Vec<Part>,
    lines: Receiver<(usize, Result<Line, String>)>,
    progress: Progress,
    watched: Vec<Watched>,
    /// The last of each thread.
    ticks: HashMap<(usize, usize), Tick>,
    rates: Rates,
    began: Instant,
    timeline: Vec<Moment>,
    lately: Latency,
    sampled: Sample,
    tick: Duration,
    phase: &'static str,
    latencies: Latencies,
    outcomes: Vec<(usize, Outcome)>,
    failures: Vec<String>,
}

/// What the last point of the timeline was made of.
struct Sample {
    at: Instant,
    usage: Vec<Option<Usage>>,
}

impl Lead {
    fn start(
        run: &Run,
        shares: &[Share],
        watched: Vec<Watched>,
        progress: Progress,
    ) -> Result<Self> {
        let (sender, lines) = channel();
        let mut parts = Vec::new();
        let joining = match run.joining {
            Some((address, count)) => {
                ensure!(
                    count <= shares.len(),
                    "--joined: there is work for {} parts only",
                    shares.len()
                );
                accept(address, count)?
            }
            None => Vec::new(),
        };
        let mut joining = joining.into_iter();
        let measure = run.scenario.time.measure.0;
        let tick = (measure / 60).clamp(Duration::from_millis(200), Duration::from_secs(10));
        let tag = Tag::random();
        for (number, share) in shares.iter().enumerate() {
            let assignment = Assignment {
                scenario: run.scenario.clone(),
                domain: run.hosts[share.host].domain.clone(),
                servers: run.hosts[share.host].servers.clone(),
                sources: sources_of(run, number, shares.len()),
                threads: share.threads.clone(),
                cores: cores_of(run, number),
                seed: run.seed,
                run: tag,
                tick_ms: tick.as_millis() as u64,
                prepares: run.prepares,
            };
            let mut part = match joining.next() {
                Some(stream) => joined(number, share, stream, &sender)?,
                None => spawn(number, share, &sender)?,
            };
            part.say(&assignment)?;
            parts.push(part);
        }
        let sampled = Sample {
            at: Instant::now(),
            usage: watched.iter().map(Watched::usage).collect(),
        };
        Ok(Self {
            parts,
            lines,
            progress,
            watched,
            ticks: HashMap::new(),
            rates: Rates::default(),
            began: Instant::now(),
            timeline: Vec::new(),
            lately: Latency::new(),
            sampled,
            tick,
            phase: "login",
            latencies: Latencies::new(),
            outcomes: Vec::new(),
            failures: Vec::new(),
        })
    }

    fn through(&mut self, run: &Run) -> Result<RunResult> {
        let time = &run.scenario.time;
        let before = self.usage();
        let began = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        self.began = Instant::now();
        let users = u64::from(run.scenario.users.count) * run.hosts.len() as u64;
        self.order(Order::Enter, "login", users)?;
        self.wait(Until::All(|news| matches!(news, News::Entered)))?;
        let entering_seconds = self.began.elapsed().as_secs_f64();
        if run.prepares {
            self.order(Order::Befriend, "contacts", users)?;
            self.wait(Until::All(|news| matches!(news, News::Befriended)))?;
        }
        let settle = if run.prepares {
            Duration::ZERO
        } else {
            time.settle.0
        };
        self.pass("settle", settle)?;
        let settled = self.usage();
        let sessions = self.sessions();
        let mut play_began = 0.0;
        let is_worth_it = !run.prepares && (sessions > 0 || run.scenario.scenario == Kind::Login);
        if is_worth_it {
            self.order(Order::Play, "warm-up", 1)?;
            play_began = self.began.elapsed().as_secs_f64();
            self.pass("warm-up", time.warm_up.0)?;
        }
        self.order(Order::Measure, "measure", 1)?;
        let at_start = self.usage();
        if is_worth_it {
            self.pass("measure", time.measure.0)?;
        }
        let at_end = self.usage();
        for watched in self.watched.iter().filter(|w| w.usage().is_none()) {
            let (pid, name) = (watched.pid, &watched.name);
            let text = format!("process {pid} ({name}) of the server has ended");
            self.failures.push(text);
        }
        self.order(Order::Stop, "drain", 1)?;
        self.wait(Until::All(|news| matches!(news, News::Rested(_))))?;
        self.order(Order::Leave, "logout", 1)?;
        self.wait(Until::All(|news| matches!(news, News::Left(_))))?;
        let server = self
            .watched
            .iter()
            .enumerate()
            .map(|(place, watched)| ServerUse {
                pid: watched.pid,
                name: watched.name.clone(),
                // Of one that has ended, nothing is known any more.
                cpu: (at_end[place].cpu - at_start[place].cpu).max(0.0),
                memory: [
                    before[place].memory,
                    settled[place].memory,
                    at_end[place].memory,
                ],
            });
        let server = server.collect();
        let timeline = std::mem::take(&mut self.timeline);
        let day = run
            .scenario
            .day
            .as_ref()
            .filter(|day| !run.prepares && day.has_surge());
        let surge = day.map(|day| {
            let from = play_began + day.surge_after.0.as_secs_f64();
            let to = from + day.surge_for.0.as_secs_f64();
            Surge::read(day.surge, from, to, &timeline)
        });
        let mut result = RunResult {
            program: format!("stonechat-load {}", env!("CARGO_PKG_VERSION")),
            name: run.name.clone(),
            scenario: without_password(&run.scenario),
            began,
            hosts: run
                .hosts
                .iter()
                .map(|host| {
                    (
                        host.domain.clone(),
                        host.servers.iter().map(ToString::to_string).collect(),
                    )
                })
                .collect(),
            parts: self.parts.len(),
            threads: self.parts.iter().map(|part| part.threads).sum(),
            passed: false,
            faults: Default::default(),
            complaints: Default::default(),
            superseded: 0,
            of_other_runs: 0,
            seconds: 0.0,
            counts: Counts::default(),
            pace: None,
            sessions,
            entering_seconds,
            latency: Default::default(),
            recorded: Default::default(),
            server,
            driver_cpu: 0.0,
            driver_busy: 0.0,
            timeline,
            surge,
        };
        for failure in &self.failures {
            result.complaints.add(failure);
        }
        let is_load = !run.prepares;
        sum_up(&self.outcomes, &self.latencies, is_load, &mut result);
        let (hosts, seconds) = (run.hosts.len(), result.seconds);
        result.pace = Pace::of(&run.scenario, hosts, &result.counts, seconds).filter(|_| is_load);
        result.passed &= self.failures.is_empty();
        Ok(result)
    }

    fn order(&mut self, order: Order, phase: &'static str, steps: u64) -> Result<()> {
        self.phase = phase;
        self.progress.phase(phase, steps);
        for (number, part) in self.parts.iter_mut().enumerate() {
            if let Err(error) = part.say(&order) {
                bail!("part {number} does not listen: {error:#}");
            }
        }
        Ok(())
    }

    fn pass(&mut self, phase: &'static str, time: Duration) -> Result<()> {
        self.phase = phase;
        self.progress.phase(phase, time.as_millis() as u64);
        self.wait(Until::Time(Instant::now(), time))
    }

    /// Takes in what parts say until all threads have said one thing, or a time is over.
    fn wait(&mut self, until: Until) -> Result<()> {
        let threads: usize = self.parts.iter().map(|part| part.threads).sum();
        let mut done = 0;
        loop {
            match &until {
                Until::All(_) if done == threads => return Ok(()),
                Until::Time(since, time) if since.elapsed() >= *time => return Ok(()),
                _ => {}
            }
            let left = match &until {
                Until::All(_) => Progress::INTERVAL,
                Until::Time(since, time) => {
                    time.saturating_sub(since.elapsed()).min(Progress::INTERVAL)
                }
            };
            match self.lines.recv_timeout(left) {
                Ok((part, Ok(line))) => {
                    if let Some(news) = self.take(part, line)? {
                        done += usize::from(matches!(&until, Until::All(wanted) if wanted(&news)));
                    }
                }
                // It goes when all its threads are done.
                Ok((part, Err(_))) if self.parts[part].left == self.parts[part].threads => {}
                Ok((part, Err(why))) => bail!("part {part} has ended: {why}"),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("all parts have ended"),
            }
            self.show(&until);
            if self.sampled.at.elapsed() >= self.tick {
                self.sample();
            }
        }
    }

    fn take(&mut self, part: usize, line: Line) -> Result<Option<News>> {
        let (thread, news) = match line {
            Line::Hello {
                version,
                descriptors,
                ..
            } => {
                ensure!(
                    version == env!("CARGO_PKG_VERSION"),
                    "part {part} is of version {version}, this is {}",
                    env!("CARGO_PKG_VERSION")
                );
                let wanted = self.parts[part].sessions + SPARE_DESCRIPTORS;
                ensure!(
                    descriptors >= wanted,
                    "part {part} may open {descriptors} files, and needs {wanted} for its sessions: raise its `ulimit -n`, or give it fewer \
                     with more --parts"
                );
                return Ok(None);
            }
            Line::News { thread, news } => (thread, news),
        };
        match news {
            News::Tick(tick) => {
                self.lately.add(&tick.lately)?;
                self.rates.told((part, thread), tick.at, tick.counts);
                self.ticks.insert((part, thread), tick);
                Ok(None)
            }
            News::Rested(outcome) => {
                self.latencies.add(&outcome.latencies)?;
                self.outcomes.push((part, (*outcome).clone()));
                Ok(Some(News::Rested(outcome)))
            }
            News::Left(outcome) => {
                self.parts[part].left += 1;
                self.outcomes.push((part, (*outcome).clone()));
                Ok(Some(News::Left(outcome)))
            }
            News::Failed(why) => bail!("part {part}: {why}"),
            other => Ok(Some(other)),
        }
    }

    fn show(&self, until: &Until) {
        let counts = self.counts();
        let message = format!(
            "{} sessions, {} logins, {} messages, {} presence",
            self.sessions(),
            counts.logins,
            counts.messages_received,
            counts.presence_received
        );
        let step = match until {
            Until::Time(since, _) => since.elapsed().as_millis() as u64,
            Until::All(_) => self.sessions(),
        };
        self.progress.at(step, message);
    }

    fn counts(&self) -> Counts {
        self.ticks
            .values()
            .fold(Counts::default(), |sum, tick| sum.plus(&tick.counts))
    }

    fn sessions(&self) -> u64 {
        self.ticks.values().map(|tick| tick.here).sum()
    }

    fn usage(&self) -> Vec<Usage> {
        self.watched
            .iter()
            .map(|watched| watched.usage().unwrap_or_default())
            .collect()
    }

    /// One point of the timeline.
    fn sample(&mut self) {
        let (now, rate) = (Instant::now(), self.rates.point());
        let usage: Vec<Option<Usage>> = self.watched.iter().map(Watched::usage).collect();
        let seconds = (now - self.sampled.at).as_secs_f64();
        let cpu = usage
            .iter()
            .zip(&self.sampled.usage)
            .map(|(now, before)| match (now, before) {
                (Some(now), Some(before)) => 100.0 * (now.cpu - before.cpu) / seconds,
                _ => 0.0,
            });
        let has_any = self.lately.count() > 0;
        self.timeline.push(Moment {
            at: (now - self.began).as_secs_f64(),
            phase: self.phase.to_owned(),
            sessions: self.sessions(),
            sent: rate.sent,
            received: rate.received,
            presence: rate.presence,
            logins: rate.logins,
            p50_ms: has_any.then(|| self.lately.at(0.5)),
            p99_ms: has_any.then(|| self.lately.at(0.99)),
            cpu: cpu.collect(),
            memory: usage
                .iter()
                .map(|usage| usage.unwrap_or_default().memory)
                .collect(),
        });
        self.lately.clear();
        self.sampled = Sample { at: now, usage };
    }
}

/// Results are shown around.
fn without_password(scenario: &Scenario) -> Scenario {
    let mut scenario = scenario.clone();
    scenario.users.password.clear();
    scenario
}

enum Until {
    All(fn(&News) -> bool),
    Time(Instant, Duration),
}

/// Of a part: what it has open besides its sessions.
const SPARE_DESCRIPTORS: u64 = 64;
