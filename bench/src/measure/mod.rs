//! The measures: each starts the servers it needs, drives them, and gives figures.

pub mod chat;
pub mod login;
pub mod memory;
mod pairs;

pub use pairs::Pace;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::client::swarm::Swarm;
use crate::process::Server;
use crate::target::{Kind, Site, Wishes};

/// What all measures of an invocation share.
pub struct Bench {
    pub kind: Kind,
    /// Stonechat's executable.
    pub binary: PathBuf,
    pub server_core: usize,
    pub rounds: usize,
    pub keep_files: bool,
}

impl Bench {
    fn prepare(&self, wishes: Wishes) -> Result<Site> {
        Site::prepare(
            self.kind,
            &self.binary,
            self.server_core,
            wishes,
            self.keep_files,
        )
    }
}

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
