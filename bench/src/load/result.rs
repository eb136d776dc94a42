//! The result of a run: what JSON files hold and the report page shows.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::counts::{Complaints, Counts, RecordedLatencies};
use super::latency::Summary;
use super::ledger::Faults;
use super::pace::Pace;
use super::scenario::{Kind, Scenario};
use super::surge::Surge;

/// Everything that a run showed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunResult {
    pub program: String,
    /// The scenario's name or file.
    pub name: String,
    pub scenario: Scenario,
    /// Seconds since 1970.
    pub began: u64,
    /// Hosts, with the addresses that were connected to.
    pub hosts: Vec<(String, Vec<String>)>,
    pub parts: usize,
    pub threads: usize,
    /// Whether nothing went wrong.
    pub passed: bool,
    pub faults: Faults,
    pub complaints: Complaints,
    /// Presence that a later one overtook: allowed in an open loop.
    pub superseded: u64,
    /// Stanzas that another run had left at the server: passed over.
    #[serde(default)]
    pub of_other_runs: u64,
    /// Seconds that were measured.
    pub seconds: f64,
    /// Within them.
    pub counts: Counts,
    /// Of an open loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// Sessions at the beginning of the window.
    pub sessions: u64,
    /// Seconds that all logins before the load took.
    pub entering_seconds: f64,
    pub latency: Latencies,
    pub recorded: RecordedLatencies,
    pub server: Vec<ServerUse>,
    /// Of the parts, the processor seconds within the window.
    pub driver_cpu: f64,
    /// Of the busiest part and its threads, in percent: near 100 it was the bottleneck.
    pub driver_busy: f64,
    pub timeline: Vec<Moment>,
    /// When there was an overload on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surge: Option<Surge>,
}

/// In a few numbers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Latencies {
    pub messages: Summary,
    pub presence: Summary,
    pub logins: Summary,
    pub archive: Summary,
}

/// What one process of the server used.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerUse {
    pub pid: u32,
    pub name: String,
    /// Processor seconds within the window.
    pub cpu: f64,
    /// Private bytes before the first login, with all sessions at rest, and at the end of the window.
    pub memory: [u64; 3],
}

/// One point of the timeline.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Moment {
    /// Seconds since the first login.
    pub at: f64,
    /// What the run was doing.
    pub phase: String,
    pub sessions: u64,
    /// A second, since the last one.
    pub sent: f64,
    pub received: f64,
    pub presence: f64,
    pub logins: f64,
    /// Of what has come since the last one; nothing for nothing.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// Of each process, in percent of a core.
    pub cpu: Vec<f64>,
    pub memory: Vec<u64>,
}

impl RunResult {
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("no result: {}", path.display()))
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// What the scenario counts, its plural, and how many there were.
    pub fn operations(&self) -> (&'static str, u64) {
        match self.scenario.scenario {
            Kind::Idle => ("sessions", self.sessions),
            Kind::Login => ("logins", self.counts.logins),
            Kind::Chat | Kind::Muc | Kind::Day => ("messages", self.counts.messages_received),
            Kind::Presence => ("presence deliveries", self.counts.presence_received),
        }
    }

    pub fn per_second(&self) -> f64 {
        self.operations().1 as f64 / self.seconds.max(1e-9)
    }

    /// The latency that the scenario is about.
    pub fn main_latency(&self) -> &Summary {
        match self.scenario.scenario {
            Kind::Presence => &self.latency.presence,
            Kind::Login | Kind::Idle => &self.latency.logins,
            _ => &self.latency.messages,
        }
    }

    pub fn server_cpu(&self) -> f64 {
        self.server.iter().map(|server| server.cpu).sum()
    }

    /// Processor microseconds of all server processes per operation; None when none was watched or nothing done.
    pub fn cpu_per_operation(&self) -> Option<f64> {
        let (_, count) = self.operations();
        let is_idle = self.scenario.scenario == Kind::Idle;
        (!self.server.is_empty() && count > 0 && !is_idle)
            .then(|| self.server_cpu() * 1e6 / count as f64)
    }

    /// Private bytes of all server processes per session, above what they needed without any.
    pub fn memory_per_session(&self) -> Option<f64> {
        let grown: u64 = self
            .server
            .iter()
            .map(|s| s.memory[1].saturating_sub(s.memory[0]))
            .sum();
        (grown > 0 && self.sessions > 0).then(|| grown as f64 / self.sessions as f64)
    }

    /// For the terminal.
    pub fn text(&self) -> String {
        let (what, count) = self.operations();
        let mut lines = vec![format!(
            "{}: {} sessions, {count} {what} in {:.1} s ({:.0} a second)",
            self.name,
            self.sessions,
            self.seconds,
            self.per_second()
        )];
        lines.extend(self.pace.as_ref().map(Pace::text));
        let latency = self.main_latency();
        if latency.count > 0 {
            lines.push(format!(
                "latency: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, longest {:.1} ms",
                latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p999_ms, latency.max_ms
            ));
        }
        if let Some(each) = self.cpu_per_operation() {
            let what = match self.scenario.scenario {
                Kind::Day => "for each message, with presence, archive and logins",
                _ => "each",
            };
            lines.push(format!("server: {each:.1} us of processor time {what}"));
        }
        if let Some(each) = self.memory_per_session() {
            lines.push(format!(
                "server: {:.1} KiB of memory per session",
                each / 1024.0
            ));
        }
        let parts = if self.parts == 1 { "part" } else { "parts" };
        lines.push(format!(
            "driver: {} {parts}, the busiest {:.0} % busy",
            self.parts, self.driver_busy
        ));
        if self.driver_busy > 85.0 {
            lines.push(
                "note: the driver was the bottleneck: give it more --parts or --threads".to_owned(),
            );
        }
        if self.counts.left_out > 0 {
            lines.push(format!(
                "left out because nobody was there for it: {} of {} things that users were to do",
                self.counts.left_out, self.counts.asked
            ));
        }
        if self.superseded > 0 {
            lines.push(format!(
                "presence that a later one overtook, which is no fault: {}",
                self.superseded
            ));
        }
        lines.extend(self.surge.as_ref().map(Surge::text));
        if self.of_other_runs > 0 {
            lines.push(format!(
                "note: {} stanzas of another run came and were passed over",
                self.of_other_runs
            ));
        }
        let faults = self
            .faults
            .named()
            .into_iter()
            .filter(|(_, count)| *count > 0);
        let faults: Vec<String> = faults
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        match faults.is_empty() {
            true if !self.passed => lines.push("FAILED:".to_owned()),
            true => lines.push("passed: nothing lost, doubled, out of order or refused".to_owned()),
            false if self.passed => {
                lines.push(format!("passed; turned away: {}", faults.join(", ")))
            }
            false => lines.push(format!("FAILED: {}", faults.join(", "))),
        }
        for (complaint, times) in &self.complaints.0 {
            lines.push(format!("  {times} x {complaint}"));
        }
        lines.join("\n")
    }
}
