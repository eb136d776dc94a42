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
    /// The turns of two that are driven in turn: how long each warms up, and how long it counts.
    fn slices(self) -> impl Iterator<Item = (Duration, Duration)> {
        let mut left = self.window;
        let mut warm_up = self.warm_up;
        std::iter::from_fn(move || {
            let slice = left.min(SLICE);
            left -= slice;
            let before = std::mem::replace(&mut warm_up, SLICE / 10);
            (!slice.is_zero()).then_some((before, slice))
        })
    }
}

/// How long one of the two is driven before it is the other's turn: shorter than the machine's moods, and long enough for
/// processor time that is counted in steps of 10 ms.
const SLICE: Duration = Duration::from_millis(500);

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
