//! The processes of the server, as /proc shows them while a run lasts. It knows nothing of what they do.

use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::process::{cpu_of, private_bytes_of};

/// One process of a server on this machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Watched {
    pub pid: u32,
    pub name: String,
}

/// How much it has used, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor seconds since it started.
    pub cpu: f64,
    /// Resident bytes that are its own.
    pub memory: u64,
}

impl Watched {
    pub fn new(pid: u32) -> Result<Self> {
        let name = fs::read_to_string(format!("/proc/{pid}/comm"));
        let name = name.with_context(|| format!("no process {pid} to watch"))?;
        let name = name.trim().to_owned();
        if let Err(why) = private_bytes_of(pid) {
            eprintln!(
                "note: the memory of {name} ({pid}) is left out: {why:#} (another user's process?)"
            );
        }
        Ok(Self { pid, name })
    }

    /// None once it has ended. Another user's process shows its processor time, but not its memory.
    pub fn usage(&self) -> Option<Usage> {
        let cpu = cpu_of(&self.pid.to_string()).ok()?.as_secs_f64();
        let memory = private_bytes_of(self.pid).unwrap_or_default();
        Some(Usage { cpu, memory })
    }
}
