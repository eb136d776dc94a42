//! Stonechat beside its rivals: the same measures on each, in turn, round after round, and a document with medians, spreads
//! and ratios. How each is measured is the business of `measure`.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;

use crate::client::sasl::Mechanism;
use crate::client::session::Transport;
use crate::figures::{Figure, Report, median, number};
use crate::measure::chat::Variant;
use crate::measure::login::Storm;
use crate::measure::memory::Slope;
use crate::measure::{self, Bench, Pace};
use crate::target::{Archive, Keep, Kind};

/// How much of everything.
#[derive(Debug, Clone)]
pub struct Extent {
    pub kinds: Vec<Kind>,
    pub rounds: usize,
    pub pairs: usize,
    pub seconds: u64,
    pub logins: usize,
    /// Between which numbers of idle sessions memory is compared.
    pub sessions: (usize, usize),
    pub rest: Duration,
}

/// Measures everything and gives the document. A measure that fails on one server leaves a note, not an end.
pub fn compare(bench: &Bench, extent: &Extent, report: &mut Report) -> Result<String> {
    let mut notes = Vec::new();
    for round in 1..=extent.rounds {
        for &kind in &extent.kinds {
            eprintln!("round {round}: {}", kind.label());
            let bench = Bench {
                kind,
                rounds: 1,
                programs: bench.programs.clone(),
                ..*bench
            };
            for task in tasks(extent) {
                match task(&bench, extent) {
                    Ok(figures) => figures
                        .into_iter()
                        .for_each(|figure| merge(&mut report.figures, figure)),
                    Err(error) => {
                        let note = format!("round {round}, {}: {error:#}", kind.label());
                        eprintln!("  {note}");
                        notes.push(note);
                    }
                }
            }
        }
    }
    report.finish();
    Ok(document(report, extent, &notes))
}

type Task = fn(&Bench, &Extent) -> Result<Vec<Figure>>;

fn tasks(extent: &Extent) -> Vec<Task> {
    let mut tasks: Vec<Task> = Vec::new();
    if extent.pairs > 0 {
        tasks.push(|bench, extent| chat(bench, extent, Transport::Plain));
        tasks.push(|bench, extent| chat(bench, extent, Transport::StartTls));
    }
    if extent.logins > 0 {
        tasks.push(|bench, extent| login(bench, extent, Transport::Plain));
        tasks.push(|bench, extent| login(bench, extent, Transport::StartTls));
    }
    if extent.sessions.1 > 0 {
        tasks.push(|bench, extent| memory(bench, extent, Transport::Plain));
        tasks.push(|bench, extent| memory(bench, extent, Transport::StartTls));
    }
    tasks
}

fn chat(bench: &Bench, extent: &Extent, transport: Transport) -> Result<Vec<Figure>> {
    let pace = Pace {
        in_flight: 1,
        warm_up: Duration::from_secs(1),
        window: Duration::from_secs(extent.seconds),
    };
    let variant = Variant {
        transport,
        keep: Keep::OfflineOnly,
        archive: Archive::Off,
    };
    measure::chat::measure(bench, extent.pairs, pace, &[variant])
}

fn login(bench: &Bench, extent: &Extent, transport: Transport) -> Result<Vec<Figure>> {
    let storm = Storm {
        count: extent.logins,
        contacts: 0,
    };
    Ok(vec![measure::login::measure(
        bench,
        storm,
        Mechanism::ScramSha1,
        transport,
    )?])
}

fn memory(bench: &Bench, extent: &Extent, transport: Transport) -> Result<Vec<Figure>> {
    let slope = Slope {
        contacts: 0,
        from: extent.sessions.0,
        to: extent.sessions.1,
        // As `stonechat-bench memory` has it: full before the first reading.
        store_cache: Some(4),
        rest: extent.rest,
    };
    Ok(vec![measure::memory::measure(bench, slope, transport)?])
}

/// A round's values behind those of the rounds before.
fn merge(all: &mut Vec<Figure>, new: Figure) {
    let same = all
        .iter_mut()
        .find(|old| old.measure == new.measure && old.program == new.program);
    let Some(old) = same else {
        all.push(new);
        return;
    };
    old.values.extend(new.values);
    old.ratios.extend(new.ratios);
    for beside in new.beside {
        for value in beside.values {
            old.push_beside(beside.name, value);
        }
    }
}

fn document(report: &Report, extent: &Extent, notes: &[String]) -> String {
    let mut text = String::new();
    let mut push =
        |line: std::fmt::Arguments<'_>| text.write_fmt(line).expect("a String takes everything");
    push(format_args!(
        "# Stonechat beside other servers\n\nWritten by `stonechat-load compare`; how it measures: [README.md](README.md). Each \
         server alone on one core, the driver on the other, in turn, {} rounds; the null relay only forwards bytes. CPU is of \
         the whole server process. The machine's load averages are in the first line below: on a busy machine only ratios \
         are worth anything.\n\n## Ratios\n\nEach server's median divided by Stonechat's; above 1 it needs more.\n\n\
         | measure | Stonechat |",
        extent.rounds
    ));
    let others: Vec<&str> = extent
        .kinds
        .iter()
        .map(|kind| kind.label())
        .filter(|name| *name != OURS)
        .collect();
    for other in &others {
        push(format_args!(" {other} |"));
    }
    push(format_args!("\n|---|--:|{}\n", "--:|".repeat(others.len())));
    for ours in report
        .figures
        .iter()
        .filter(|figure| figure.program == OURS)
    {
        push(format_args!(
            "| {} | {} {} |",
            ours.measure,
            number(median(&ours.values)),
            ours.unit
        ));
        for other in &others {
            let theirs = report
                .figures
                .iter()
                .find(|f| f.measure == ours.measure && f.program == *other);
            match theirs {
                Some(theirs) => push(format_args!(
                    " {:.1} x |",
                    median(&theirs.values) / median(&ours.values)
                )),
                None => push(format_args!(" - |")),
            }
        }
        push(format_args!("\n"));
    }
    push(format_args!("\n## All figures\n\n{}", report.markdown()));
    if !notes.is_empty() {
        push(format_args!("\n## What failed\n\n"));
        for note in notes {
            push(format_args!("- {}\n", note.replace('\n', " ")));
        }
    }
    text
}

const OURS: &str = "stonechat";

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(program: &str, values: &[f64]) -> Figure {
        let mut figure = Figure::new("chat".to_owned(), program, "us");
        figure.values.extend(values);
        figure
    }

    #[test]
    fn rounds_are_put_together_and_ratios_are_of_medians() {
        let mut report = Report::begin(0, 1);
        for (program, value) in [
            (OURS, 10.0),
            ("prosody", 100.0),
            (OURS, 12.0),
            ("prosody", 90.0),
            (OURS, 11.0),
        ] {
            merge(&mut report.figures, figure(program, &[value]));
        }
        assert_eq!(report.figures.len(), 2);
        assert_eq!(report.figures[0].values, [10.0, 12.0, 11.0]);
        report.finish();
        let extent = Extent {
            kinds: vec![Kind::Stonechat, Kind::Prosody, Kind::Ejabberd],
            rounds: 3,
            pairs: 1,
            seconds: 1,
            logins: 0,
            sessions: (0, 0),
            rest: Duration::ZERO,
        };
        let text = document(&report, &extent, &["round 1: x".to_owned()]);
        assert!(text.contains("| chat | 11.0 us | 8.6 x | - |"), "{text}");
        assert!(text.contains("round 1: x"));
    }
}
