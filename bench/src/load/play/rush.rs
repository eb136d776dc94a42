//! The surge of a day: when it is, who of the reserve tries to log in then, and how what was meant within it has fared. It knows
//! nothing of what else is said.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use super::super::latency::Pulse;
use super::super::shed::Shed;
use crate::process::own_cpu;

#[derive(Default)]
pub struct Rush {
    /// Empty when there is none.
    when: Range<u64>,
    phase: Phase,
    /// Attempts to log in beyond those of ordinary times.
    pub storm: Option<Pulse>,
    /// Who is away and comes in a storm only.
    pub reserve: VecDeque<usize>,
    pub shed: Shed,
    cpu_before: Duration,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Before,
    Within,
    After,
}

impl Rush {
    pub fn is_due(&mut self, when: Range<u64>) {
        self.when = when;
    }

    pub fn is_on(&self) -> bool {
        self.phase == Phase::Within
    }

    /// When the pace changes next.
    pub fn next_turn(&self) -> Option<u64> {
        match self.phase {
            _ if self.when.is_empty() => None,
            Phase::Before => Some(self.when.start),
            Phase::Within => Some(self.when.end),
            Phase::After => None,
        }
    }

    /// It begins, with so many attempts to log in a second beyond the ordinary, and so much refused before it; or it ends.
    pub fn turn(&mut self, storm: f64, refused: u64) {
        // Without /proc the driver's share is not known; the run has failed before.
        let cpu = own_cpu().unwrap_or_default();
        if self.phase == Phase::Before {
            self.phase = Phase::Within;
            self.storm = Pulse::new(storm, self.when.start);
            self.shed.refused_before = refused;
            self.cpu_before = cpu;
        } else {
            self.phase = Phase::After;
            self.storm = None;
            self.shed.driver_cpu = cpu.saturating_sub(self.cpu_before).as_micros() as u64;
            self.shed.driver_time = self.when.end - self.when.start;
        }
    }

    /// How long after its beginning that was meant; None for what was not meant within it.
    pub fn since(&self, at: u64) -> Option<u64> {
        self.when.contains(&at).then(|| at - self.when.start)
    }

    /// An act was done, so late; what was meant before the surge is none of its business.
    pub fn done(&mut self, at: u64, now: u64) {
        if self.since(at).is_some() {
            self.shed.late = self.shed.late.max(now.saturating_sub(at));
        }
    }

    pub fn login(&mut self, at: u64, now: u64, is_refused: bool) {
        if let Some(meant) = self.since(at) {
            let took = now.saturating_sub(at);
            self.shed.withheld_logins.note(meant, took, is_refused);
        }
    }

    pub fn read(&mut self, at: u64, now: u64, is_refused: bool) {
        if let Some(meant) = self.since(at) {
            let took = now.saturating_sub(at);
            self.shed.withheld_reads.note(meant, took, is_refused);
        }
    }

    /// A presence has come to somebody who looks.
    pub fn heard(&mut self, at: u64, now: u64) {
        if let Some(meant) = self.since(at) {
            self.shed.deliveries.sent += 1;
            let took = now.saturating_sub(at);
            self.shed.withheld_presence.note(meant, took, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surge_begins_and_ends_once_and_knows_what_was_meant_within_it() {
        let mut rush = Rush::default();
        assert_eq!(rush.next_turn(), None, "no surge");
        rush.is_due(1_000..3_000);
        assert_eq!(rush.next_turn(), Some(1_000));
        rush.turn(10.0, 7);
        assert!(rush.is_on() && rush.storm.is_some());
        assert_eq!(rush.next_turn(), Some(3_000));
        rush.login(999, 5_000_000, true);
        rush.login(1_500, 5_000_000, false);
        rush.done(2_999, 3_100);
        rush.turn(0.0, 9);
        assert!(!rush.is_on() && rush.storm.is_none());
        assert_eq!(rush.next_turn(), None);
        let shed = &rush.shed;
        assert_eq!((shed.refused_before, shed.late), (7, 101));
        assert_eq!(
            (shed.withheld_logins.put_off, shed.withheld_logins.refused),
            (1, 0)
        );
        assert_eq!(shed.withheld_logins.first, Some(500));
    }
}
