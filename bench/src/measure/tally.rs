//! What the rounds of a game between clients add up to, whatever it is that they throw: processor time of both sides, what
//! was delivered in which time, and how late it was. It knows nothing of the game's rules.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;

use crate::figures::Figure;
use crate::process::{Server, own_cpu};

/// What one round showed.
#[derive(Debug)]
pub struct Outcome {
    /// Processor microseconds of the server per delivery.
    pub server_us: f64,
    pub driver_us: f64,
    pub per_second: f64,
    /// Of its core, in percent: well below 100 means that the driver was the bottleneck.
    pub server_busy: f64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl Outcome {
    /// How long so many deliveries take, which are always under way.
    pub fn rotation(&self, under_way: usize) -> Duration {
        Duration::from_secs_f64(under_way as f64 / self.per_second)
    }

    /// Adds it to a figure of processor time per delivery; `rate` is what deliveries a second are called there.
    pub fn push_to(&self, figure: &mut Figure, rate: &'static str) {
        figure.values.push(self.server_us);
        figure.push_beside(rate, self.per_second);
        figure.push_beside("p50 ms", self.p50_ms);
        figure.push_beside("p99 ms", self.p99_ms);
        figure.push_beside("server busy %", self.server_busy);
        figure.push_beside("driver us", self.driver_us);
    }
}

/// Sums over all slices of a round.
pub struct Tally {
    /// Of all deliveries, those outside the slices included.
    pub delivered: u64,
    counted: u64,
    server_cpu: Duration,
    driver_cpu: Duration,
    wall: Duration,
    latency: Histogram<u64>,
    open: Option<Open>,
}

/// A slice that is under way.
struct Open {
    delivered: u64,
    began: Instant,
    server_cpu: Duration,
    driver_cpu: Duration,
}

impl Tally {
    pub fn new() -> Result<Self> {
        Ok(Self {
            delivered: 0,
            counted: 0,
            server_cpu: Duration::ZERO,
            driver_cpu: Duration::ZERO,
            wall: Duration::ZERO,
            latency: Histogram::new_with_bounds(1, LONGEST_MICROSECONDS, 3)?,
            open: None,
        })
    }

    /// From here on it counts.
    pub fn begin(&mut self, server: &Server) -> Result<()> {
        self.open = Some(Open {
            delivered: self.delivered,
            began: Instant::now(),
            server_cpu: server.cpu()?,
            driver_cpu: own_cpu()?,
        });
        Ok(())
    }

    /// Up to here.
    pub fn end(&mut self, server: &Server) -> Result<()> {
        if let Some(open) = self.open.take() {
            self.server_cpu += server.cpu()? - open.server_cpu;
            self.driver_cpu += own_cpu()? - open.driver_cpu;
            self.wall += open.began.elapsed();
            self.counted += self.delivered - open.delivered;
        }
        Ok(())
    }

    /// One delivery, so many microseconds after it left.
    pub fn arrived(&mut self, microseconds: u64) {
        self.delivered += 1;
        if self.open.is_some() {
            self.latency.saturating_record(microseconds.max(1));
        }
    }

    /// What all slices together showed.
    pub fn outcome(&self) -> Result<Outcome> {
        if self.counted == 0 {
            bail!("nothing was delivered");
        }
        let each = |time: Duration| time.as_secs_f64() * 1e6 / self.counted as f64;
        let wall = self.wall.as_secs_f64();
        Ok(Outcome {
            server_us: each(self.server_cpu),
            driver_us: each(self.driver_cpu),
            per_second: self.counted as f64 / wall,
            server_busy: 100.0 * self.server_cpu.as_secs_f64() / wall,
            mean_ms: self.latency.mean() / 1e3,
            p50_ms: self.latency.value_at_quantile(0.5) as f64 / 1e3,
            p99_ms: self.latency.value_at_quantile(0.99) as f64 / 1e3,
        })
    }
}

/// The longest latency told apart from longer ones: a minute.
const LONGEST_MICROSECONDS: u64 = 60_000_000;
