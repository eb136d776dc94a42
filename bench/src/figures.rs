//! What was measured: values of several rounds, their median and spread, and the table and JSON made
//! of them. It knows nothing of how they came about.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::load::report::date;

/// One measured quantity over all rounds of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    pub measure: String,
    pub program: String,
    pub unit: Cow<'static, str>,
    /// One value a round, in the order of the rounds.
    pub values: Vec<f64>,
    /// Of several that are measured in turn, the rounds of these values: one may be missing.
    #[serde(default)]
    pub rounds: Vec<usize>,
    /// Each value divided by that of the null relay or fan-out in the same round.
    pub ratios: Vec<f64>,
    /// Secondary quantities, one value a round.
    pub beside: Vec<Beside>,
}

/// A secondary quantity.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Beside {
    pub name: Cow<'static, str>,
    pub values: Vec<f64>,
}

impl Figure {
    pub fn new(measure: String, program: &str, unit: &'static str) -> Self {
        let (values, ratios, beside) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            measure,
            program: program.to_owned(),
            unit: Cow::Borrowed(unit),
            values,
            rounds: Vec::new(),
            ratios,
            beside,
        }
    }

    /// Adds a secondary value of the round under way.
    pub fn push_beside(&mut self, name: impl Into<Cow<'static, str>>, value: f64) {
        let name = name.into();
        match self.beside.iter_mut().find(|b| b.name == name) {
            Some(beside) => beside.values.push(value),
            None => self.beside.push(Beside {
                name,
                values: vec![value],
            }),
        }
    }
}

/// Everything of one invocation, as it is saved.
#[derive(Debug, Serialize)]
pub struct Report {
    pub commit: String,
    pub date: String,
    pub command: Vec<String>,
    pub machine: String,
    /// Where everything ran: the figures depend on it.
    pub server_core: usize,
    pub driver_core: usize,
    /// Load averages: other work on the machine makes figures worse.
    pub load_before: String,
    pub load_after: String,
    pub figures: Vec<Figure>,
}

impl Report {
    /// Begins a report with what is known before anything is measured.
    pub fn begin(server_core: usize, driver_core: usize) -> Self {
        Self {
            commit: commit(),
            date: said_by("date", &["-u", "+%Y-%m-%d"]),
            command: std::env::args().skip(1).collect(),
            machine: machine(),
            server_core,
            driver_core,
            load_before: load(),
            load_after: String::new(),
            figures: Vec::new(),
        }
    }

    /// Ends it, after the last measure.
    pub fn finish(&mut self) {
        self.load_after = load();
    }

    /// A table in Markdown under a line on the command and its circumstances, as `FIGURES.md` quotes it.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "`cargo run --release -- {}`, {}, driver of {}; {}; server on core {}, driver on core {}; load {} \
             before, {} after\n\n\
             | measure | program | unit | median | spread | x the floor | beside (medians) |\n\
             |---|---|---|--:|--:|--:|---|\n",
            self.command.join(" "),
            self.date,
            self.commit,
            self.machine,
            self.server_core,
            self.driver_core,
            self.load_before,
            self.load_after,
        );
        for figure in &self.figures {
            let ratio = match figure.ratios.as_slice() {
                [] => "-".to_owned(),
                ratios => format!("{} ({})", number(median(ratios)), spread(ratios)),
            };
            let beside: Vec<String> = figure
                .beside
                .iter()
                .map(|b| format!("{} {}", b.name, number(median(&b.values))))
                .collect();
            writeln!(
                text,
                "| {} | {} | {} | {} | {} | {ratio} | {} |",
                figure.measure,
                figure.program,
                figure.unit,
                number(median(&figure.values)),
                spread(&figure.values),
                beside.join(", "),
            )
            .expect("a String takes everything");
        }
        text
    }

    /// Writes `DATE-COMMIT.json` into `directory`, and gives its path.
    pub fn save(&self, directory: &Path) -> Result<String> {
        fs::create_dir_all(directory)?;
        let path = directory.join(format!("{}-{}.json", self.date, self.commit));
        fs::write(&path, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path.display().to_string())
    }
}

/// The middle value, or the mean of the two in the middle; not a number when there is none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

pub fn spread(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{}-{}", number(least), number(greatest))
}

/// Three digits that mean something, and no more decimals than two.
pub fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("");
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let cores = cpu
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores of {model}, Linux {}", kernel.trim())
}

fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}

/// Which program was measured: what it says of itself, when its file was written, and of which commit the checkout is, because it
/// may have been built from another.
pub fn provenance(program: &Path) -> String {
    let version = said_by(&program.display().to_string(), &["--version"]);
    let written = fs::metadata(program).and_then(|file| file.modified()).ok();
    let written = written.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let written = written.map_or_else(|| "unknown".to_owned(), |time| date(time.as_secs()));
    format!(
        "{version} (its file is of {written}), checkout at {}",
        commit()
    )
}

fn commit() -> String {
    said_by("git", &["describe", "--always", "--dirty"])
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let said = output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
    said.ok()
        .filter(|s| !s.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(median(&[9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), 3.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_program_is_known_by_its_version_and_its_file() {
        let said = provenance(Path::new("/bin/sh"));
        assert!(
            said.contains("(its file is of 2") && said.contains("checkout at "),
            "{said}"
        );
        let said = provenance(Path::new("/nowhere"));
        assert!(
            said.starts_with("unknown (its file is of unknown)"),
            "{said}"
        );
    }

    #[test]
    fn a_table_row_shows_median_spread_and_ratio() {
        let mut report = Report::begin(0, 1);
        let mut figure = Figure::new("chat".into(), "x", "us");
        figure.values = vec![14.0, 12.0, 130.0];
        figure.ratios = vec![1.5, 1.25, 9.0];
        figure.push_beside("p99 ms", 7.0);
        report.figures.push(figure);
        let expected = "| chat | x | us | 14.0 | 12.0-130 | 1.50 (1.25-9.00) | p99 ms 7.00 |";
        assert!(
            report.markdown().contains(expected),
            "{}",
            report.markdown()
        );
    }
}
