//! Latencies as histograms, and the times at which an open loop means to send. A message's latency runs from when it was
//! meant to leave, not from when a driver that was held up came to send it: otherwise a server that stalls would be
//! asked less just then, and the stall would hide (coordinated omission).

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Microseconds, up to an hour, to three digits.
#[derive(Debug, Clone)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

/// A histogram between processes and in results: values in microseconds with their counts, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded(pub Vec<(u64, u64)>);

impl Latency {
    pub fn new() -> Self {
        let bounds = Histogram::new_with_bounds(1, LONGEST_MICROSECONDS, 3);
        Self(bounds.expect("constant bounds, of which hdrhistogram accepts 1 and up"))
    }

    pub fn record(&mut self, microseconds: u64) {
        self.0.saturating_record(microseconds.max(1));
    }

    pub fn recorded(&self) -> Recorded {
        let values = self.0.iter_recorded();
        let pairs = values.map(|v| (v.value_iterated_to(), v.count_at_value()));
        Recorded(pairs.collect())
    }

    pub fn add(&mut self, other: &Recorded) -> Result<()> {
        for &(value, count) in &other.0 {
            self.0
                .record_n(value.clamp(1, LONGEST_MICROSECONDS), count)?;
        }
        Ok(())
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Milliseconds below which this share (0 to 1) of all is.
    pub fn at(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }

    pub fn mean(&self) -> f64 {
        self.0.mean() / 1e3
    }

    /// What tables show.
    pub fn summary(&self) -> Summary {
        Summary {
            count: self.count(),
            mean_ms: self.mean(),
            p50_ms: self.at(0.5),
            p90_ms: self.at(0.9),
            p99_ms: self.at(0.99),
            p999_ms: self.at(0.999),
            max_ms: self.0.max() as f64 / 1e3,
        }
    }
}

/// What a histogram says in a few numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub count: u64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

/// When an open loop means to act: at even intervals, whatever happens meanwhile.
#[derive(Debug, Clone)]
pub struct Pulse {
    interval: f64,
    next: f64,
}

impl Pulse {
    /// So many times a second from `now` on (microseconds); None for a rate of 0.
    pub fn new(rate: f64, now: u64) -> Option<Self> {
        let interval = 1e6 / rate;
        (rate > 0.0).then_some(Self {
            interval,
            next: now as f64 + interval,
        })
    }

    /// The next time that it meant to act and that has come. Who asks late gets all of them, one after the other.
    pub fn due(&mut self, now: u64) -> Option<u64> {
        let at = self.next;
        (at <= now as f64).then(|| {
            self.next += self.interval;
            at as u64
        })
    }

    /// When it means to act next, rounded up.
    pub fn next(&self) -> u64 {
        self.next.ceil() as u64
    }
}

const LONGEST_MICROSECONDS: u64 = 3_600_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers within a millisecond, but stands still for a second once: 1,000 requests a second for 10 s.
    #[test]
    fn a_stall_is_seen_by_all_who_meant_to_send_during_it() {
        let (mut corrected, mut naive) = (Latency::new(), Latency::new());
        let mut pulse = Pulse::new(1_000.0, 0).expect("a rate");
        let mut now = 0;
        while now < 10_000_000 {
            // The driver is held up together with the server.
            now = if now == 5_000_000 {
                6_000_000
            } else {
                now + 1_000
            };
            while let Some(meant) = pulse.due(now) {
                let arrived = now + 500;
                corrected.record(arrived - meant);
                naive.record(arrived - now);
            }
        }
        assert_eq!(corrected.count(), 10_000);
        // A tenth of all time was in the stall, so a tenth of all waited; half of these half a second and more.
        assert!(
            (400.0..600.0).contains(&corrected.at(0.95)),
            "{}",
            corrected.at(0.95)
        );
        assert!(corrected.at(0.999) > 950.0);
        assert!(corrected.at(0.5) < 1.0);
        assert!(naive.at(0.999) < 1.0, "the uncorrected one hides it");
    }

    #[test]
    fn histograms_survive_the_way_between_processes() {
        let mut one = Latency::new();
        for value in [0, 1, 17, 1_000, 123_456, u64::MAX] {
            one.record(value);
        }
        let mut both = Latency::new();
        both.add(&one.recorded()).expect("values within bounds");
        both.add(&one.recorded()).expect("values within bounds");
        assert_eq!(both.count(), 2 * one.count());
        for quantile in [0.1, 0.5, 0.9, 1.0] {
            assert!((both.at(quantile) - one.at(quantile)).abs() < 1e-9);
        }
    }

    #[test]
    fn a_pulse_keeps_its_rate_over_a_long_time() {
        let mut pulse = Pulse::new(3.0, 0).expect("a rate");
        let due = std::iter::from_fn(|| pulse.due(1_000_000_000)).count();
        assert!((2_999..=3_000).contains(&due), "{due}");
        assert!(Pulse::new(0.0, 0).is_none());
    }
}
