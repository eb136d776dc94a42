//! Pairs of clients that throw messages to and fro: whoever catches one throws one back. It counts
//! what arrived, how late, and what did not, and knows nothing of which server lies between.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::Pace;
use super::tally::{Outcome, Tally};
use crate::client::message::{Found, Id, Scanner, compose};
use crate::client::swarm::Swarm;
use crate::process::Server;

/// One client's share of a pair.
struct Lane {
    sent: u64,
    expected: u64,
    /// When the last `in_flight` messages left, in microseconds since the start, by number.
    left_at: Vec<u64>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Faults {
    lost: u64,
    /// A number that had been seen: a duplicate, or one overtaken by a later one.
    repeated_or_late: u64,
    /// Numbers passed over.
    skipped: u64,
    misrouted: u64,
    bounced: u64,
}

/// Pairs on one server. They play in turns with those on another, so that both are measured on the same machine: how fast
/// a processor is changes here within seconds, as the host's other guests come and go.
pub struct Game<'a> {
    server: &'a Server,
    swarm: &'a mut Swarm,
    lanes: Vec<Lane>,
    in_flight: usize,
    scanner: Scanner,
    start: Instant,
    tally: Tally,
    faults: Faults,
    phase: Phase,
    outgoing: Vec<u8>,
    /// Empty between two calls; its memory is used again.
    found: Vec<Found>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Playing,
    /// A caught message is not thrown back.
    Ending,
}

impl<'a> Game<'a> {
    /// All sessions of `swarm`, in pairs, with nothing under way.
    pub fn new(server: &'a Server, swarm: &'a mut Swarm, pace: Pace) -> Result<Self> {
        let lane = || Lane {
            sent: 0,
            expected: 0,
            left_at: vec![0; pace.in_flight],
        };
        let lanes = swarm.sessions.iter().map(|_| lane()).collect();
        Ok(Self {
            server,
            swarm,
            lanes,
            in_flight: pace.in_flight,
            scanner: Scanner::of_messages(),
            start: Instant::now(),
            tally: Tally::new()?,
            faults: Faults::default(),
            phase: Phase::Ending,
            outgoing: Vec::new(),
            found: Vec::new(),
        })
    }

    /// Plays for a while, then lets every message come to rest. Any loss, duplicate, disorder, or message for somebody
    /// else is an error.
    pub fn slice(&mut self, warm_up: Duration, window: Duration) -> Result<()> {
        self.phase = Phase::Playing;
        let first = self.serve_all()?;
        self.run_for(warm_up)?;
        self.until_caught(&first)?;
        self.tally.begin(self.server)?;
        self.run_for(window)?;
        self.tally.end(self.server)?;
        self.finish()
    }

    /// A slice that does not count: how long it takes until everything under way has come round once.
    pub fn rehearse(&mut self, warm_up: Duration) -> Result<Duration> {
        self.slice(warm_up, super::SLICE)?;
        let outcome = self.tally.outcome()?;
        self.tally = Tally::new()?;
        Ok(outcome.rotation(self.lanes.len() / 2 * self.in_flight))
    }

    /// Has so many messages a second leave, each at its time whatever has come back, for a while; none is thrown back. It is
    /// late by what it is behind the time at which it was to leave.
    pub fn paced_slice(&mut self, rate: f64, warm_up: Duration, window: Duration) -> Result<()> {
        self.phase = Phase::Ending;
        let (began, every_us) = (self.microseconds(), 1e6 / rate);
        let (warm_up_us, window_us) = (warm_up.as_micros() as u64, window.as_micros() as u64);
        let mut count = 0_u64;
        let mut is_counting = false;
        loop {
            let now = self.microseconds() - began;
            if now >= warm_up_us && !is_counting {
                is_counting = true;
                self.tally.begin(self.server)?;
            }
            if now >= warm_up_us + window_us {
                break;
            }
            while count as f64 * every_us <= now as f64 {
                let due_us = began + (count as f64 * every_us) as u64;
                // Steps that visit all, far from each other.
                let index = (count as usize).wrapping_mul(STRIDE) % self.lanes.len();
                ensure!(self.has_room(index), "far behind at {rate:.0} messages/s");
                self.compose_at(index, due_us);
                self.send_from(index)?;
                count += 1;
            }
            // Without sleep: a timer's millisecond would be most of what is measured.
            self.turn(Duration::ZERO)?;
        }
        self.tally.end(self.server)?;
        self.finish()
    }

    fn finish(&mut self) -> Result<()> {
        self.come_to_rest()?;
        if self.faults != Faults::default() {
            bail!("messages went wrong: {:?}", self.faults);
        }
        Ok(())
    }

    /// Messages that have arrived so far, in all slices and between them.
    pub fn delivered(&self) -> u64 {
        self.tally.delivered
    }

    /// What all slices together showed.
    pub fn outcome(&self) -> Result<Outcome> {
        let outcome = self.tally.outcome()?;
        let under_way = self.lanes.len() / 2 * self.in_flight;
        check_little(under_way, outcome.per_second, outcome.mean_ms / 1e3)?;
        Ok(outcome)
    }

    /// The same of slices whose messages left at their times: how many were under way is what it was.
    pub fn paced_outcome(&self) -> Result<Outcome> {
        self.tally.outcome()
    }
}

/// Little's law: what is under way is throughput times mean latency. Here all three are known, so a
/// mistake in taking time or counting shows; the tolerance is for what crosses the window's edges.
fn check_little(under_way: usize, per_second: f64, mean_seconds: f64) -> Result<()> {
    let ratio = per_second * mean_seconds / under_way as f64;
    if !(0.5..2.0).contains(&ratio) {
        bail!("{per_second} messages/s of {mean_seconds} s each are not {under_way} under way");
    }
    Ok(())
}

impl Game<'_> {
    /// The first client of each pair throws all the pair's messages; up to which number each has then.
    fn serve_all(&mut self) -> Result<Vec<u64>> {
        let mut thrown = Vec::with_capacity(self.lanes.len() / 2);
        for index in (0..self.lanes.len()).step_by(2) {
            for _ in 0..self.in_flight {
                self.compose_from(index);
            }
            thrown.push(self.lanes[index].sent);
            self.send_from(index)?;
        }
        Ok(thrown)
    }

    /// Plays until everything that was thrown first was caught: before that a server which takes longer for all of them than
    /// a slice lasts seems to be faster than it is.
    fn until_caught(&mut self, first: &[u64]) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let is_caught = |game: &Self| {
            let mut catchers = game.lanes.chunks_exact(2).zip(first);
            catchers.all(|(pair, thrown)| pair[1].expected >= *thrown)
        };
        while !is_caught(self) {
            ensure!(
                Instant::now() < deadline,
                "the first messages do not arrive"
            );
            self.run_for(Duration::from_millis(20))?;
        }
        Ok(())
    }

    /// Whether it is known of all that this client has under way when it left, one more included.
    fn has_room(&self, index: usize) -> bool {
        let under_way = self.lanes[index].sent - self.lanes[index ^ 1].expected;
        under_way < self.in_flight as u64
    }

    fn run_for(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.turn(left)?;
        }
        Ok(())
    }

    /// Catches what is under way and throws nothing back.
    fn come_to_rest(&mut self) -> Result<()> {
        self.phase = Phase::Ending;
        let deadline = Instant::now() + PATIENCE;
        while self.under_way() > 0 && Instant::now() < deadline {
            self.turn(Duration::from_millis(50))?;
        }
        // A duplicate of the last message would come after it.
        self.run_for(Duration::from_millis(50))?;
        self.faults.lost = self.under_way();
        Ok(())
    }

    fn under_way(&self) -> u64 {
        let pairs = self.lanes.chunks_exact(2);
        let missing = |from: &Lane, to: &Lane| from.sent.saturating_sub(to.expected);
        pairs
            .map(|pair| missing(&pair[0], &pair[1]) + missing(&pair[1], &pair[0]))
            .sum()
    }

    fn turn(&mut self, timeout: Duration) -> Result<()> {
        let ready = self.swarm.wait(timeout)?;
        for &index in &ready {
            self.swarm.receive(index)?;
            if !self.swarm.sessions[index].input.is_empty() {
                self.catch(index)?;
            }
        }
        self.swarm.done_with(ready);
        Ok(())
    }

    /// Takes every whole message that has arrived for one client.
    fn catch(&mut self, index: usize) -> Result<()> {
        let now = self.microseconds();
        let mut input = std::mem::take(&mut self.swarm.sessions[index].input);
        let mut caught = 0;
        let mut found = std::mem::take(&mut self.found);
        self.scanner.take(&mut input, |one| found.push(one));
        for one in found.drain(..) {
            match one {
                Found::Ours(id) => caught += usize::from(self.count(index, id, now)),
                Found::Foreign => self.faults.bounced += 1,
            }
        }
        self.found = found;
        self.swarm.sessions[index].input = input;
        if self.phase == Phase::Ending || caught == 0 {
            return Ok(());
        }
        for _ in 0..caught {
            self.compose_from(index);
        }
        self.send_from(index)
    }

    /// Counts one arrival; false when it was not the one to come, which ends its flight.
    fn count(&mut self, index: usize, id: Id, now: u64) -> bool {
        let partner = index ^ 1;
        if id.sender as usize != partner {
            self.faults.misrouted += 1;
            return false;
        }
        let expected = self.lanes[index].expected;
        if id.number < expected {
            self.faults.repeated_or_late += 1;
            return false;
        }
        self.faults.skipped += id.number - expected;
        self.lanes[index].expected = id.number + 1;
        let left_at = self.lanes[partner].left_at[id.number as usize % self.in_flight];
        self.tally.arrived(now.saturating_sub(left_at));
        true
    }

    fn compose_from(&mut self, index: usize) {
        let now = self.microseconds();
        self.compose_at(index, now);
    }

    fn compose_at(&mut self, index: usize, now: u64) {
        let lane = &mut self.lanes[index];
        let number = lane.sent;
        lane.left_at[number as usize % self.in_flight] = now;
        lane.sent += 1;
        compose(index as u32, index as u32 ^ 1, number, &mut self.outgoing);
    }

    fn send_from(&mut self, index: usize) -> Result<()> {
        self.swarm.sessions[index].link.send(&self.outgoing)?;
        self.outgoing.clear();
        Ok(())
    }

    fn microseconds(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }
}

/// How long messages may take to come to rest before they count as lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// A prime, so that it divides no number of clients that anybody asks for.
const STRIDE: usize = 7_919;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throughput_and_latency_that_contradict_each_other_are_refused() {
        assert!(check_little(1_000, 100_000.0, 0.010).is_ok());
        assert!(check_little(1_000, 100_000.0, 0.002).is_err());
        assert!(check_little(1_000, 100_000.0, 0.030).is_err());
    }
}
