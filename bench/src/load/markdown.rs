//! A result as a section of a document.

use std::fmt::Write as _;

use super::report::date;
use super::result::RunResult;
use super::scenario::Kind;
use crate::figures::{median, number, spread};

/// Whether a server was new when a run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// It had no sessions yet: what its memory grew by is theirs.
    Nothing,
    /// It had worked already, and its allocator kept some of that.
    Work,
}

impl RunResult {
    /// What went well, or what did not, in a sentence.
    fn verdict(&self) -> String {
        let faults = self
            .faults
            .named()
            .into_iter()
            .filter(|(_, count)| *count > 0);
        let mut faults: Vec<String> = faults.map(|(n, count)| format!("{count} {n}")).collect();
        // In a mix presence is counted, and what of it is missing is not looked for.
        let nothing = match self.scenario.scenario {
            Kind::Day => "No message was lost, doubled or out of order, no session ended",
            _ => "Nothing was lost, doubled or out of order",
        };
        match (self.passed, faults.is_empty()) {
            (true, true) => format!("{nothing}, nothing was refused."),
            (true, false) => format!("{nothing}; **turned away**: {}.", faults.join(", ")),
            (false, _) => {
                faults.extend(self.complaints.0.keys().cloned());
                format!("**Failed**: {}.", faults.join(", "))
            }
        }
    }

    /// Tables of what was reached and what it cost, of which program; `notes` are lines below them.
    pub fn markdown(&self, server: &str, before: Before, notes: &[String]) -> String {
        let (what, count) = self.operations();
        let verdict = self.verdict();
        let mut text = format!(
            "## {}\n\n{}, {server}.\n\n{}: {} sessions on {} server processes, {} driver processes, {:?}. {verdict}\n\n\
             | figure | value |\n|---|--:|\n",
            self.name,
            date(self.began),
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
        let memory = self.memory_per_session();
        if let Some(each) = memory.filter(|_| before == Before::Nothing) {
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
        if self.superseded > 0 {
            row(
                "presence that a later one overtook, which is no fault",
                self.superseded.to_string(),
            );
        }
        if self.counts.left_out > 0 {
            row(
                "left out because nobody was there for it",
                format!("{} of {}", self.counts.left_out, self.counts.asked),
            );
        }
        if let Some(surge) = &self.surge {
            row(
                "surge",
                format!(
                    "{:.1} times for {:.0} s",
                    surge.factor,
                    surge.to - surge.from
                ),
            );
            for (name, value) in surge.rows() {
                row(&format!("surge: {name}"), value);
            }
            row("sessions lost", self.faults.closed.to_string());
        }
        for note in notes {
            writeln!(text, "\n{note}").expect("a String takes everything");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::tests::result;
    use crate::load::surge::Surge;

    #[test]
    fn a_run_that_refused_somebody_does_not_say_that_nothing_was_refused() {
        let mut result = result();
        result.passed = true;
        result.faults = Default::default();
        let said = |result: &RunResult| result.markdown("stonechat 1", Before::Nothing, &[]);
        assert!(said(&result).contains("out of order, nothing was refused."));
        assert!(
            said(&result).contains("2026-11-26 12:00 UTC, stonechat 1.\n"),
            "{}",
            said(&result)
        );
        result.faults.refused = 115;
        let text = said(&result);
        assert!(
            text.contains("**turned away**: 115 requests refused."),
            "{text}"
        );
        assert!(!text.contains("nothing was refused"), "{text}");
        result.passed = false;
        result.faults.lost = 2;
        let text = said(&result);
        assert!(
            text.contains("**Failed**: 2 lost, 115 requests refused, <i>."),
            "{text}"
        );
    }

    #[test]
    fn memory_of_a_server_that_had_worked_before_is_no_sessions() {
        let result = result();
        let of = |before| result.markdown("s", before, &[]);
        assert!(of(Before::Nothing).contains("memory per session"));
        assert!(!of(Before::Work).contains("memory per session"));
    }

    #[test]
    fn a_surge_is_told_with_what_was_asked_and_shed() {
        let mut result = result();
        let mut surge = Surge::read(7.5, 2.0, 4.0, &result.timeline);
        surge.shed.messages.count(true);
        surge.shed.withheld_logins.note(400_000, 3_000_000, false);
        result.surge = Some(surge);
        let text = result.markdown("s", Before::Work, &[]);
        for part in [
            "| surge | 7.5 times for 2 s |",
            "messages 1 of 1",
            "| surge: logins put off for more than 1 s, refused | 1, 0 |",
            "| logins (0.40 s) |",
            "| sessions lost | 0 |",
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }
}
