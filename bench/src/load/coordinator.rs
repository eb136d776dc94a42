//! A run: divides the users among parts, starts these or waits for them to join, leads them through the phases, watches
//! the server meanwhile, and sums up. It drives no user itself.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

use super::counts::{Counts, Latencies, Outcome};
use super::latency::Latency;
use super::part::{Assignment, Line};
use super::progress::Progress;
use super::result::{Moment, RunResult, ServerUse};
use super::scenario::{Kind, Scenario};
use super::surge::Surge;
use super::unit::{News, Order, Tick};
use super::watch::{Usage, Watched};

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

/// Users of one thread, of one part, of one host.
#[derive(Debug, PartialEq, Eq)]
struct Share {
    host: usize,
    threads: Vec<(u32, u32)>,
}

/// A part, wherever it runs.
struct Part {
    orders: Box<dyn Write + Send>,
    child: Option<Child>,
    threads: usize,
    /// Threads that are done.
    left: usize,
}

impl Drop for Part {
    fn drop(&mut self) {
        // It ends by itself when nobody gives orders any longer; who does not listen is ended.
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Does it all.
pub fn run(run: &Run) -> Result<RunResult> {
    let shares = divide(&run.scenario, run.hosts.len(), run.parts, run.threads)?;
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

/// Who drives whom. Communities stay whole.
fn divide(scenario: &Scenario, hosts: usize, parts: usize, threads: usize) -> Result<Vec<Share>> {
    ensure!(
        hosts > 0 && threads > 0,
        "nothing to load, or nobody to do it"
    );
    let community = scenario.community();
    let communities = scenario.users.count / community;
    let needed = scenario.users.count.div_ceil(MOST_SESSIONS);
    let parts = (parts.div_ceil(hosts) as u32).max(needed).min(communities);
    let threads = (threads as u32).min(communities.div_ceil(parts));
    let slices = parts * threads;
    let first = |slice: u32| {
        (u64::from(communities) * u64::from(slice) / u64::from(slices)) as u32 * community
    };
    let mut shares = Vec::new();
    for host in 0..hosts {
        for part in 0..parts {
            let threads = (part * threads..(part + 1) * threads)
                .map(|slice| {
                    (
                        scenario.users.first + first(slice),
                        first(slice + 1) - first(slice),
                    )
                })
                .filter(|(_, count)| *count > 0);
            shares.push(Share {
                host,
                threads: threads.collect(),
            });
        }
    }
    for share in &shares {
        let sessions: u32 = share.threads.iter().map(|(_, count)| count).sum();
        ensure!(
            sessions <= MOST_SESSIONS,
            "a community is too large for one part"
        );
    }
    Ok(shares)
}

/// A run under way.
struct Lead {
    parts: Vec<Part>,
    lines: Receiver<(usize, Result<Line, String>)>,
    progress: Progress,
    watched: Vec<Watched>,
    /// The last of each thread.
    ticks: HashMap<(usize, usize), Tick>,
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
    counts: Counts,
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
            Some((address, count)) => accept(address, count.min(shares.len()))?,
            None => Vec::new(),
        };
        let mut joining = joining.into_iter();
        let measure = run.scenario.time.measure.0;
        let tick = (measure / 60).clamp(Duration::from_millis(200), Duration::from_secs(10));
        for (number, share) in shares.iter().enumerate() {
            let assignment = Assignment {
                scenario: run.scenario.clone(),
                domain: run.hosts[share.host].domain.clone(),
                servers: run.hosts[share.host].servers.clone(),
                sources: sources_of(run, number, shares.len()),
                threads: share.threads.clone(),
                cores: cores_of(run, number),
                seed: run.seed,
                tick_ms: tick.as_millis() as u64,
                prepares: run.prepares,
            };
            let mut part = match joining.next() {
                Some(stream) => {
                    let reader = BufReader::new(stream.try_clone()?);
                    listen(number, reader, sender.clone());
                    Part {
                        orders: Box::new(stream),
                        child: None,
                        threads: share.threads.len(),
                        left: 0,
                    }
                }
                None => spawn(number, share.threads.len(), &sender)?,
            };
            part.say(&assignment)?;
            parts.push(part);
        }
        let sampled = Sample {
            at: Instant::now(),
            counts: Counts::default(),
            usage: watched.iter().map(Watched::usage).collect(),
        };
        Ok(Self {
            parts,
            lines,
            progress,
            watched,
            ticks: HashMap::new(),
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
        self.order(Order::Stop, "drain", 1)?;
        self.wait(Until::All(|news| matches!(news, News::Rested(_))))?;
        self.order(Order::Leave, "logout", 1)?;
        self.wait(Until::All(|news| matches!(news, News::Left)))?;
        let server = self
            .watched
            .iter()
            .enumerate()
            .map(|(place, watched)| ServerUse {
                pid: watched.pid,
                name: watched.name.clone(),
                cpu: at_end[place].cpu - at_start[place].cpu,
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
        self.sum_up(
            run,
            RunResult {
                program: format!("stonechat-load {}", env!("CARGO_PKG_VERSION")),
                name: run.name.clone(),
                scenario: run.scenario.clone(),
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
                seconds: 0.0,
                counts: Counts::default(),
                sessions,
                entering_seconds,
                latency: Default::default(),
                recorded: Default::default(),
                server,
                driver_cpu: 0.0,
                driver_busy: 0.0,
                timeline,
                surge,
            },
        )
    }

    fn sum_up(&mut self, run: &Run, mut result: RunResult) -> Result<RunResult> {
        let mut by_part: HashMap<usize, (f64, f64)> = HashMap::new();
        for (part, outcome) in &self.outcomes {
            result.faults.add(&outcome.faults);
            result.counts = result.counts.plus(&outcome.counts);
            result.superseded += outcome.superseded;
            for (text, times) in &outcome.complaints.0 {
                result.complaints.add_many(text, *times);
            }
            let seconds = outcome.window as f64 / 1e6;
            result.seconds = result.seconds.max(seconds);
            // Each thread tells of its whole process.
            let cpu = outcome.driver_cpu as f64 / 1e6;
            let entry = by_part.entry(*part).or_default();
            *entry = (entry.0.max(cpu), entry.1 + seconds);
        }
        for (cpu, thread_seconds) in by_part.values() {
            result.driver_cpu += cpu;
            let busy = 100.0 * cpu / thread_seconds.max(1e-3);
            result.driver_busy = result.driver_busy.max(busy);
        }
        for failure in &self.failures {
            result.complaints.add(failure);
        }
        // A load that nobody was there to carry must not pass for one that was carried.
        let nothing_done = !run.prepares && result.operations().1 == 0;
        if nothing_done && result.faults.is_clean() {
            result.complaints.add("nothing was done at all");
        }
        let is_whole = self.failures.is_empty() && !nothing_done;
        result.passed = match &result.surge {
            None => result.faults.is_clean() && is_whole,
            Some(surge) => {
                result.faults.is_shedding() && is_whole && surge.recovered_after.is_some()
            }
        };
        result.latency.messages = self.latencies.messages.summary();
        result.latency.presence = self.latencies.presence.summary();
        result.latency.logins = self.latencies.logins.summary();
        result.latency.archive = self.latencies.archive.summary();
        result.recorded = self.latencies.recorded();
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
            Line::Hello { descriptors, .. } => {
                ensure!(
                    descriptors > 64,
                    "part {part} may open {descriptors} files only"
                );
                return Ok(None);
            }
            Line::News { thread, news } => (thread, news),
        };
        match news {
            News::Tick(tick) => {
                self.lately.add(&tick.lately)?;
                self.ticks.insert((part, thread), tick);
                Ok(None)
            }
            News::Rested(outcome) => {
                self.latencies.add(&outcome.latencies)?;
                self.outcomes.push((part, (*outcome).clone()));
                Ok(Some(News::Rested(outcome)))
            }
            News::Left => {
                self.parts[part].left += 1;
                Ok(Some(News::Left))
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
        let (now, counts) = (Instant::now(), self.counts());
        let usage: Vec<Option<Usage>> = self.watched.iter().map(Watched::usage).collect();
        let seconds = (now - self.sampled.at).as_secs_f64();
        let new = counts.since(&self.sampled.counts);
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
            sent: new.messages_sent as f64 / seconds,
            received: new.messages_received as f64 / seconds,
            presence: new.presence_received as f64 / seconds,
            logins: new.logins as f64 / seconds,
            p50_ms: has_any.then(|| self.lately.at(0.5)),
            p99_ms: has_any.then(|| self.lately.at(0.99)),
            cpu: cpu.collect(),
            memory: usage
                .iter()
                .map(|usage| usage.unwrap_or_default().memory)
                .collect(),
        });
        self.lately.clear();
        self.sampled = Sample {
            at: now,
            counts,
            usage,
        };
    }
}

enum Until {
    All(fn(&News) -> bool),
    Time(Instant, Duration),
}

impl Part {
    fn say(&mut self, what: &impl serde::Serialize) -> Result<()> {
        let mut text = serde_json::to_string(what)?;
        text.push('\n');
        self.orders.write_all(text.as_bytes())?;
        Ok(self.orders.flush()?)
    }
}

fn spawn(
    number: usize,
    threads: usize,
    sender: &Sender<(usize, Result<Line, String>)>,
) -> Result<Part> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("part")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting a part")?;
    let orders = child.stdin.take().context("a pipe to the part")?;
    let out = child.stdout.take().context("a pipe from the part")?;
    listen(number, BufReader::new(out), sender.clone());
    Ok(Part {
        orders: Box::new(orders),
        child: Some(child),
        threads,
        left: 0,
    })
}

fn accept(address: SocketAddr, count: usize) -> Result<Vec<std::net::TcpStream>> {
    let listener = TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
    let address = listener.local_addr()?;
    eprintln!("waiting for {count} parts: stonechat-load part --join {address}");
    let mut all = Vec::new();
    while all.len() < count {
        let (stream, from) = listener.accept()?;
        stream.set_nodelay(true)?;
        eprintln!("{from} has joined");
        all.push(stream);
    }
    Ok(all)
}

fn listen(
    number: usize,
    mut reader: impl BufRead + Send + 'static,
    sender: Sender<(usize, Result<Line, String>)>,
) {
    thread::spawn(move || {
        loop {
            let mut text = String::new();
            let line = match reader.read_line(&mut text) {
                Ok(0) => Err("it closed its side".to_owned()),
                Ok(_) => serde_json::from_str(&text).map_err(|error| format!("{error}: {text}")),
                Err(error) => Err(error.to_string()),
            };
            let is_last = line.is_err();
            if sender.send((number, line)).is_err() || is_last {
                return;
            }
        }
    });
}

/// Addresses that part `number` connects from: each part has some for itself, if there are enough.
fn sources_of(run: &Run, number: usize, parts: usize) -> Vec<IpAddr> {
    let servers = run.hosts.iter().flat_map(|host| &host.servers);
    let is_loopback = servers
        .clone()
        .all(|server| server.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST));
    let sessions = u64::from(run.scenario.users.count) * run.hosts.len() as u64;
    if run.sources.is_empty() {
        // Ephemeral ports are 28,000 by default: on the loopback network there are addresses for all.
        if !is_loopback || sessions <= 25_000 {
            return Vec::new();
        }
        let [high, low] = (number as u16 + 1).to_be_bytes();
        return vec![IpAddr::V4(Ipv4Addr::new(127, 0, high, low))];
    }
    if run.sources.len() < parts {
        return run.sources.clone();
    }
    run.sources
        .iter()
        .copied()
        .skip(number)
        .step_by(parts)
        .collect()
}

fn cores_of(run: &Run, number: usize) -> Vec<usize> {
    let count = run.cores.len();
    (0..run.threads.min(count))
        .map(|thread| run.cores[(number * run.threads + thread) % count])
        .collect()
}

/// Of one part: a process usually may have 20,000 descriptors.
pub const MOST_SESSIONS: u32 = 19_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(text: &str) -> Scenario {
        Scenario::parse(text, &[]).expect("a good scenario")
    }

    #[test]
    fn every_user_is_driven_once_and_communities_stay_whole() {
        for (count, community, contacts) in
            [(1_000, 50, 10), (40_000, 100, 2), (150, 50, 2), (50, 50, 4)]
        {
            let scenario = scenario(&format!(
                "scenario = 'day'\n[users]\ncount = {count}\ncommunity = {community}\ncontacts = {contacts}\nfirst = 7"
            ));
            for (parts, threads) in [(1, 1), (2, 1), (3, 2), (8, 4)] {
                let shares = divide(&scenario, 2, parts, threads).expect("possible");
                for host in 0..2 {
                    let mut next = 7;
                    for (first, users) in shares
                        .iter()
                        .filter(|s| s.host == host)
                        .flat_map(|s| &s.threads)
                    {
                        assert_eq!(*first, next);
                        assert!(users.is_multiple_of(community));
                        next += users;
                    }
                    assert_eq!(
                        next,
                        7 + count,
                        "{count} users, {parts} parts, {threads} threads"
                    );
                }
            }
        }
    }

    #[test]
    fn no_part_has_more_sessions_than_descriptors() {
        let scenario = scenario("scenario = 'idle'\n[users]\ncount = 300_000");
        let shares = divide(&scenario, 1, 1, 2).expect("possible");
        assert_eq!(shares.len(), 16);
    }
}
