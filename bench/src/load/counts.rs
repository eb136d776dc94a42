//! What happened, in numbers: of one thread, of a process, of a run.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::latency::{Latency, Recorded};
use super::ledger::Faults;
use super::shed::Shed;

/// Sums since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub logins: u64,
    pub resumed: u64,
    pub leaves: u64,
    pub cuts: u64,
    pub messages_sent: u64,
    pub messages_received: u64,
    pub presence_sent: u64,
    /// By contacts: each presence sent is received by each of them.
    pub presence_received: u64,
    pub archive_reads: u64,
    /// In a mix: what its users were to do, and what was left out because nobody was there who could.
    #[serde(default)]
    pub asked: u64,
    #[serde(default)]
    pub left_out: u64,
}

impl Counts {
    fn zip(&self, other: &Self, with: fn(u64, u64) -> u64) -> Self {
        Self {
            logins: with(self.logins, other.logins),
            resumed: with(self.resumed, other.resumed),
            leaves: with(self.leaves, other.leaves),
            cuts: with(self.cuts, other.cuts),
            messages_sent: with(self.messages_sent, other.messages_sent),
            messages_received: with(self.messages_received, other.messages_received),
            presence_sent: with(self.presence_sent, other.presence_sent),
            presence_received: with(self.presence_received, other.presence_received),
            archive_reads: with(self.archive_reads, other.archive_reads),
            asked: with(self.asked, other.asked),
            left_out: with(self.left_out, other.left_out),
        }
    }

    pub fn plus(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    pub fn since(&self, earlier: &Self) -> Self {
        self.zip(earlier, u64::saturating_sub)
    }
}

/// Of the window: what was late, and by how much.
#[derive(Debug, Clone)]
pub struct Latencies {
    pub messages: Latency,
    pub presence: Latency,
    pub logins: Latency,
    pub archive: Latency,
}

impl Latencies {
    pub fn new() -> Self {
        let new = Latency::new;
        Self {
            messages: new(),
            presence: new(),
            logins: new(),
            archive: new(),
        }
    }

    pub fn recorded(&self) -> RecordedLatencies {
        RecordedLatencies {
            messages: self.messages.recorded(),
            presence: self.presence.recorded(),
            logins: self.logins.recorded(),
            archive: self.archive.recorded(),
        }
    }

    pub fn add(&mut self, other: &RecordedLatencies) -> Result<()> {
        self.messages.add(&other.messages)?;
        self.presence.add(&other.presence)?;
        self.logins.add(&other.logins)?;
        self.archive.add(&other.archive)
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

/// `Latencies` between processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedLatencies {
    pub messages: Recorded,
    pub presence: Recorded,
    pub logins: Recorded,
    pub archive: Recorded,
}

/// What went wrong in words, each once with how often; the first few kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complaints(pub BTreeMap<String, u64>);

impl Complaints {
    pub fn add(&mut self, text: &str) {
        self.add_many(text, 1);
    }

    pub fn add_many(&mut self, text: &str, times: u64) {
        let is_known = self.0.contains_key(text);
        let text = if is_known || self.0.len() < MOST_KINDS {
            text
        } else {
            "others"
        };
        *self.0.entry(text.to_owned()).or_default() += times;
    }

    pub fn since(&self, earlier: &Self) -> Self {
        let new = |(text, times): (&String, &u64)| {
            let before = earlier.0.get(text).copied().unwrap_or_default();
            (*times > before).then(|| (text.clone(), times - before))
        };
        Self(self.0.iter().filter_map(new).collect())
    }
}

/// Enough to see what is wrong; thousands of sessions say the same with their own names.
const MOST_KINDS: usize = 20;

/// What a thread has to say in the end.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Within the window.
    pub counts: Counts,
    /// From the first login to the end.
    pub faults: Faults,
    pub complaints: Complaints,
    pub latencies: RecordedLatencies,
    /// Length of the window in microseconds.
    pub window: u64,
    /// Of it, what this process ran, all its threads together.
    pub driver_cpu: u64,
    /// Not faults: presence of which a later one arrived first, as a server may do.
    pub superseded: u64,
    /// Not faults either: what another run had left at the server.
    #[serde(default)]
    pub of_other_runs: u64,
    pub shed: Option<Shed>,
}
