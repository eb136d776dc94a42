//! A result as a section of a document.

use std::fmt::Write as _;

use super::result::RunResult;
use crate::figures::{median, number, spread};

impl RunResult {
    /// Tables of what was reached and what it cost; `notes` are lines below them.
    pub fn markdown(&self, notes: &[String]) -> String {
        let (what, count) = self.operations();
        let verdict = match self.passed {
            true => "Nothing was lost, doubled, out of order or refused.".to_owned(),
            false => {
                let faults = self
                    .faults
                    .named()
                    .into_iter()
                    .filter(|(_, count)| *count > 0);
                let faults: Vec<String> = faults.map(|(n, count)| format!("{count} {n}")).collect();
                format!("**Failed**: {}", faults.join(", "))
            }
        };
        let mut text = format!(
            "## {}\n\n{}: {} sessions on {} server processes, {} driver processes, {:?}. {verdict}\n\n\
             | figure | value |\n|---|--:|\n",
            self.name,
            self.scenario.about,
            self.sessions,
            self.server.len(),
            self.parts,
            self.scenario.connection.transport,
        );
        let mut row = |name: &str, value: String| {
            writeln!(text, "| {name} | {value} |").expect("a String takes everything");
        };
        row(
            "all logged in after",
            format!("{:.0} s", self.entering_seconds),
        );
        row(
            "logins a second",
            number(self.sessions as f64 / self.entering_seconds.max(1e-9)),
        );
        if let Some(each) = self.memory_per_session() {
            let of = |place: usize| -> Vec<f64> {
                let each = self.server.iter().map(|server| server.memory[place] as f64);
                each.collect()
            };
            let (before, settled) = (of(0), of(1));
            let sessions = self.sessions as f64 / self.server.len() as f64;
            let slopes = settled.iter().zip(&before).map(|(s, b)| (s - b) / sessions);
            let slopes: Vec<f64> = slopes.collect();
            row(
                "servers' private memory per session, above what they had without (by process)",
                format!("{} bytes ({})", number(each), spread(&slopes)),
            );
            let mib = f64::from(1 << 20);
            row(
                "a server process without sessions, with all",
                format!(
                    "{} MiB, {} MiB",
                    number(median(&before) / mib),
                    number(median(&settled) / mib)
                ),
            );
            row(
                "all server processes at rest, under load",
                format!(
                    "{:.2} GiB, {:.2} GiB",
                    settled.iter().sum::<f64>() / mib / 1024.0,
                    of(2).iter().sum::<f64>() / mib / 1024.0
                ),
            );
        }
        row(
            "measured",
            format!(
                "{:.0} s: {count} {what}, {} a second",
                self.seconds,
                number(self.per_second())
            ),
        );
        if self.counts.presence_received > 0 {
            let each = self.counts.presence_received as f64 / self.seconds.max(1e-9);
            row("presence delivered a second", number(each));
        }
        for (name, latency) in [
            ("messages", &self.latency.messages),
            ("presence", &self.latency.presence),
        ] {
            if latency.count > 0 {
                row(
                    &format!("latency of {name}: p50, p99, p99.9"),
                    format!(
                        "{:.1}, {:.1}, {:.1} ms",
                        latency.p50_ms, latency.p99_ms, latency.p999_ms
                    ),
                );
            }
        }
        if !self.server.is_empty() {
            let cores = self.server_cpu() / self.seconds.max(1e-9);
            row(
                "processor of all servers under load",
                format!("{:.0} % of a core", 100.0 * cores),
            );
        }
        let cores = self.driver_cpu / self.seconds.max(1e-9);
        row(
            "processor of the drivers under load",
            format!("{:.0} % of a core", 100.0 * cores),
        );
        for note in notes {
            writeln!(text, "\n{note}").expect("a String takes everything");
        }
        text
    }
}
