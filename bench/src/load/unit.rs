//! One thread of a part: its stage, its play, and the orders that it follows.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::counts::{Counts, Outcome};
use super::latency::{Pulse, Recorded};
use super::play;
use super::scenario::{Kind, Scenario};
use super::stage::{Place, Play, Stage};
use crate::process::own_cpu;

/// What a coordinator wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// All log in.
    Enter,
    /// Contacts are made over the wire.
    Befriend,
    /// The load begins.
    Play,
    /// From here on it counts.
    Measure,
    /// Up to here; what is under way may arrive.
    Stop,
    /// All log out.
    Leave,
}

/// What a thread says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum News {
    /// Everybody is there who could come.
    Entered,
    Befriended,
    /// How things stand.
    Tick(Tick),
    /// The end of the load.
    Rested(Box<Outcome>),
    /// With what went wrong since then, and nothing else.
    Left(Box<Outcome>),
    /// It cannot go on.
    Failed(String),
}

/// Since the last one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tick {
    /// Microseconds of the thread's clock.
    pub at: u64,
    /// Since the start.
    pub counts: Counts,
    pub here: u64,
    pub faults: u64,
    /// Of what the scenario is about.
    pub lately: Recorded,
}

/// How a thread works; the same for all of a run.
#[derive(Debug, Clone)]
pub struct Task {
    pub scenario: Scenario,
    /// Of a host's users.
    pub share: f64,
    pub tick: Duration,
}

pub struct Unit {
    task: Task,
    stage: Stage,
    play: Box<dyn Play>,
    orders: Receiver<Order>,
    news: Sender<News>,
    /// Of the window.
    before: (Counts, Duration),
    ticked: Instant,
    swept: Instant,
}

impl Unit {
    pub fn new(task: Task, stage: Stage, orders: Receiver<Order>, news: Sender<News>) -> Self {
        let play = play::of(&task.scenario, task.share);
        let (ticked, swept) = (Instant::now(), Instant::now());
        let before = (Counts::default(), Duration::ZERO);
        Self {
            task,
            stage,
            play,
            orders,
            news,
            before,
            ticked,
            swept,
        }
    }

    /// Follows orders until the last, or until nobody gives any.
    pub fn run(mut self) {
        if let Err(error) = self.follow() {
            let _ = self.news.send(News::Failed(format!("{error:#}")));
        }
    }

    fn follow(&mut self) -> Result<()> {
        loop {
            let order = match self.next_order()? {
                Some(order) => order,
                None => return Ok(()),
            };
            match order {
                Order::Enter => {
                    self.stage.window = match self.task.scenario.scenario {
                        // Its logins are measured while it plays.
                        Kind::Login => u64::MAX..u64::MAX,
                        _ => 0..u64::MAX,
                    };
                    self.enter()?;
                    // How many are there must be known when it is said that all are.
                    self.tick();
                    self.say(News::Entered);
                }
                Order::Befriend => {
                    self.befriend()?;
                    self.say(News::Befriended);
                }
                Order::Play => {
                    self.stage.window = u64::MAX..u64::MAX;
                    self.play.begin(&mut self.stage);
                }
                Order::Measure => {
                    self.stage.window = self.stage.now()..u64::MAX;
                    self.before = (self.stage.counts, own_cpu()?);
                }
                Order::Stop => {
                    let outcome = self.stop()?;
                    self.say(News::Rested(Box::new(outcome)));
                }
                Order::Leave => {
                    let before = (self.stage.faults, self.stage.complaints.clone());
                    self.leave()?;
                    let outcome = Outcome {
                        faults: self.stage.faults.since(&before.0),
                        complaints: self.stage.complaints.since(&before.1),
                        ..Outcome::default()
                    };
                    self.say(News::Left(Box::new(outcome)));
                    return Ok(());
                }
            }
        }
    }

    fn say(&self, news: News) {
        // Nobody listens any more: then the next order is the end, too.
        let _ = self.news.send(news);
    }

    /// Plays on until there is an order; None when there will be none.
    fn next_order(&mut self) -> Result<Option<Order>> {
        loop {
            match self.orders.try_recv() {
                Ok(order) => return Ok(Some(order)),
                Err(TryRecvError::Disconnected) => return Ok(None),
                Err(TryRecvError::Empty) => {}
            }
            if self.stage.here + self.stage.entering + self.stage.leaving > 0 {
                self.turn()?;
                continue;
            }
            // Nothing to poll for yet, or a scenario of logins between two of them.
            match self.orders.recv_timeout(Duration::from_millis(1)) {
                Ok(order) => return Ok(Some(order)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => self.turn_within(Duration::ZERO)?,
            }
        }
    }

    fn turn(&mut self) -> Result<()> {
        self.turn_within(LONGEST_WAIT)
    }

    fn turn_within(&mut self, most: Duration) -> Result<()> {
        let now = self.stage.now();
        let next = self.play.due(&mut self.stage, now);
        let wait = next.map_or(most, |next| {
            Duration::from_micros(next.saturating_sub(now)).min(most)
        });
        self.stage.turn(&mut *self.play, wait)?;
        if self.ticked.elapsed() >= self.task.tick {
            self.tick();
        }
        if self.swept.elapsed() >= Duration::from_secs(1) {
            self.swept = Instant::now();
            self.stage.sweep(&mut *self.play);
        }
        Ok(())
    }

    fn tick(&mut self) {
        self.ticked = Instant::now();
        let tick = Tick {
            at: self.stage.now(),
            counts: self.stage.counts,
            here: self.stage.here as u64,
            faults: self
                .stage
                .faults
                .named()
                .iter()
                .map(|(_, count)| count)
                .sum(),
            lately: self.stage.lately.recorded(),
        };
        self.stage.lately.clear();
        self.say(News::Tick(tick));
    }

    fn enter(&mut self) -> Result<()> {
        let login = self.task.scenario.login.clone();
        let most = (f64::from(login.in_flight) * self.task.share).ceil() as usize;
        // An account costs a server a hundred times a login's time: it derives keys.
        let most = match self.stage.plan.registers {
            true => most.min(REGISTRATIONS_AT_A_TIME),
            false => most,
        };
        let seats = 0..self.stage.seats.len();
        let mut early: Vec<usize> = seats
            .filter(|seat| self.stage.plan.registers || self.play.is_early(&self.stage, *seat))
            .rev()
            .collect();
        let rate = match self.stage.plan.registers {
            true => 0.0,
            false => login.rate * self.task.share,
        };
        let mut pulse = Pulse::new(rate, self.stage.now());
        while !early.is_empty() || self.stage.entering > 0 {
            let now = self.stage.now();
            while !early.is_empty() {
                let at = match &mut pulse {
                    Some(pulse) => pulse.due(now),
                    None => (self.stage.entering < most).then_some(now),
                };
                let Some(at) = at else {
                    break;
                };
                if let Some(seat) = early.pop() {
                    self.stage.enter(seat, at);
                }
            }
            let wait = pulse.as_ref().map_or(LONGEST_WAIT, |pulse| {
                Duration::from_micros(pulse.next().saturating_sub(now)).min(LONGEST_WAIT)
            });
            self.turn_within(wait)?;
        }
        Ok(())
    }

    fn befriend(&mut self) -> Result<()> {
        let friends: Box<dyn Play> = Box::new(play::Friends::new(&self.task.scenario.users));
        let play = std::mem::replace(&mut self.play, friends);
        self.play.begin(&mut self.stage);
        let (mut seen, mut progress) = (0, Instant::now());
        while !self.play.is_at_rest(&self.stage) && progress.elapsed() < BEFRIENDING_PATIENCE {
            self.turn()?;
            if self.stage.counts.presence_received != seen {
                seen = self.stage.counts.presence_received;
                progress = Instant::now();
            }
        }
        self.play.close(&mut self.stage);
        self.play = play;
        Ok(())
    }

    /// Lets come to rest what is under way; a duplicate of the last message would come after it.
    fn stop(&mut self) -> Result<Outcome> {
        let now = self.stage.now();
        let window = now.saturating_sub(self.stage.window.start);
        self.stage.window.end = now;
        let counts = self.stage.counts.since(&self.before.0);
        let driver_cpu = own_cpu()?.saturating_sub(self.before.1);
        self.play.stop(&mut self.stage);
        let deadline = Instant::now() + self.task.scenario.time.patience.0;
        while !self.play.is_at_rest(&self.stage) && Instant::now() < deadline {
            self.turn()?;
        }
        let rest = Instant::now() + REST;
        while Instant::now() < rest {
            self.turn_within(REST / 4)?;
        }
        self.play.close(&mut self.stage);
        Ok(Outcome {
            counts,
            faults: self.stage.faults,
            complaints: self.stage.complaints.clone(),
            latencies: self.stage.latencies.recorded(),
            window,
            driver_cpu: driver_cpu.as_micros() as u64,
            superseded: self.stage.superseded,
            of_other_runs: self.stage.of_other_runs,
            shed: self.play.shed(),
        })
    }

    fn leave(&mut self) -> Result<()> {
        let mut next = 0;
        let deadline = Instant::now() + FAREWELL_PATIENCE;
        while (self.stage.here > 0 || self.stage.leaving > 0) && Instant::now() < deadline {
            while next < self.stage.seats.len() && self.stage.leaving < FAREWELLS_AT_A_TIME {
                if self.stage.seats[next].place == Place::Here {
                    self.stage.leave(next);
                }
                next += 1;
            }
            self.turn()?;
        }
        let left = (self.stage.here + self.stage.leaving) as u64;
        self.stage.farewell_unanswered(left);
        Ok(())
    }
}

/// Between two looks at the orders.
const LONGEST_WAIT: Duration = Duration::from_millis(20);
const REST: Duration = Duration::from_millis(100);
const FAREWELLS_AT_A_TIME: usize = 256;
const REGISTRATIONS_AT_A_TIME: usize = 8;
const FAREWELL_PATIENCE: Duration = Duration::from_secs(60);
/// Without any subscription being done.
const BEFRIENDING_PATIENCE: Duration = Duration::from_secs(30);
