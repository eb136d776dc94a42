//! The measures: each starts the servers it needs, drives them, and gives figures.

pub mod calls;
pub mod chat;
pub mod connections;
mod crowd;
pub mod latency;
pub mod login;
pub mod memory;
mod pairs;
pub mod presence;
mod tally;

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::client::swarm::Swarm;
use crate::process::Server;
use crate::target::{Kind, Programs, Site, Wishes};

/// What all measures of an invocation share.
pub struct Bench {
    pub kind: Kind,
    pub programs: Programs,
    pub server_core: usize,
    pub rounds: usize,
    pub keep_files: bool,
}

impl Bench {
    fn prepare(&self, wishes: Wishes) -> Result<Site> {
        Site::prepare(
            self.kind,
            &self.programs,
            self.server_core,
            wishes,
            self.keep_files,
        )
    }
}

/// How long and how hard.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Messages under way per pair.
    pub in_flight: usize,
    /// Time before counting begins, in the first slice; a tenth of a slice in those that follow.
    pub warm_up: Duration,
    /// Time that counts, for each server.
    pub window: Duration,
}

impl Pace {
    /// The turns of two that are driven in turn: how long each warms up, and how long it counts. They last a few rotations, in
    /// which everything that is under way has come round: of a shorter one only what is early would be seen.
    fn slices(self, rotation: Duration) -> impl Iterator<Item = (Duration, Duration)> {
        let slice = SLICE.max(ROTATIONS * rotation);
        let mut left = self.window;
        let mut warm_up = self.warm_up;
        std::iter::from_fn(move || {
            // The last one is as long as the others where these are long.
            let now = if rotation * ROTATIONS > SLICE {
                slice
            } else {
                left.min(slice)
            };
            let is_over = left.is_zero();
            left = left.saturating_sub(now);
            let before = std::mem::replace(&mut warm_up, SLICE / 10);
            (!is_over).then_some((before, now))
        })
    }
}

/// How long one of the two is driven before it is the other's turn: shorter than the machine's moods, and long enough for
/// processor time that is counted in steps of 10 ms.
const SLICE: Duration = Duration::from_millis(500);
const ROTATIONS: u32 = 4;

/// Lets the server finish what it still does after a storm of logins or farewells: until it uses
/// less than a tenth of its core, at most for `limit`.
fn until_quiet(server: &Server, swarm: &mut Swarm, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    let mut before = server.cpu()?;
    while Instant::now() < deadline {
        swarm.idle(Duration::from_millis(300))?;
        let now = server.cpu()?;
        if now - before <= Duration::from_millis(30) {
            break;
        }
        before = now;
    }
    Ok(())
}

/// Logins under way at a time: enough to keep the server busy, few enough not to fill its queues.
const LOGINS_IN_FLIGHT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_lasts_a_few_rotations() {
        let pace = Pace {
            in_flight: 1,
            warm_up: Duration::from_secs(1),
            window: Duration::from_millis(5_200),
        };
        let slices = |ms| pace.slices(Duration::from_millis(ms)).collect::<Vec<_>>();
        let short = slices(10);
        assert_eq!(short.len(), 11);
        assert_eq!(short[0], (pace.warm_up, SLICE));
        assert_eq!(short[10], (SLICE / 10, Duration::from_millis(200)));
        // Prosody with 5,000 pairs.
        let long = slices(940);
        assert_eq!(long.len(), 2);
        assert!(
            long.iter()
                .all(|(_, slice)| *slice == Duration::from_millis(3_760))
        );
    }
}
