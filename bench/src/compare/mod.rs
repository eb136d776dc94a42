//! Stonechat beside its rivals: the same measures on each, in turn, round after round, and a document with medians, spreads
//! and ratios. How each is measured is the business of `measure`. What has been measured is written down at once, so that a
//! run that breaks off goes on where it was.

mod document;
mod saved;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::client::sasl::Mechanism;
use crate::client::session::Transport;
use crate::figures::{Figure, Report};
use crate::measure::chat::Variant;
use crate::measure::login::Storm;
use crate::measure::memory::Slope;
use crate::measure::{self, Bench, Pace};
use crate::target::{Archive, CompactTls, Keep, Kind};

use saved::Saved;

/// How much of everything. Of what is 0, nothing is measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    pub kinds: Vec<Kind>,
    /// Of chat by few, and of logins; what takes long is measured once.
    pub rounds: usize,
    pub pairs: usize,
    /// Once.
    pub many_pairs: usize,
    pub seconds: u64,
    pub logins: usize,
    /// Between which numbers of idle sessions memory is compared, once.
    pub sessions: (usize, usize),
    pub rest: Duration,
}

/// Measures everything and gives the document. A server that is not installed, and a measure that fails on one, leave a
/// note, not an end. `progress` is the file that a run which broke off goes on from, if its wishes were the same.
pub fn compare(
    bench: &Bench,
    extent: &Extent,
    report: &mut Report,
    progress: &Path,
) -> Result<String> {
    let began = Instant::now();
    let mut saved = Saved::open(progress, extent, &report.commit)?;
    let mut versions = Vec::new();
    let mut kinds = Vec::new();
    for &kind in &extent.kinds {
        match kind.version(&bench.programs) {
            Some(version) => {
                versions.push(version);
                kinds.push(kind);
            }
            None => saved.note(&format!("{}: not installed, left out", kind.label())),
        }
    }
    for round in 1..=extent.rounds {
        for &kind in &kinds {
            for task in tasks(extent, round) {
                let name = format!("round {round}, {}, {}", kind.label(), task.name);
                if saved.has(&name) {
                    continue;
                }
                eprintln!("{name} ({} s)", began.elapsed().as_secs());
                let bench = Bench {
                    kind,
                    rounds: 1,
                    programs: bench.programs.clone(),
                    ..*bench
                };
                match (task.run)(&bench, extent) {
                    Ok(figures) => figures
                        .into_iter()
                        .for_each(|figure| merge(&mut saved.figures, figure)),
                    Err(error) => {
                        let note = format!("{name}: {error:#}");
                        eprintln!("  {note}");
                        saved.note(&note);
                    }
                }
                saved.done(name)?;
            }
        }
    }
    report.figures.clone_from(&saved.figures);
    report.finish();
    let text = document::document(report, extent, &versions, &saved.notes);
    saved.forget();
    Ok(text)
}

struct Task {
    name: &'static str,
    run: fn(&Bench, &Extent) -> Result<Vec<Figure>>,
}

/// What is measured in this round.
fn tasks(extent: &Extent, round: usize) -> Vec<Task> {
    let mut tasks = Vec::new();
    let mut push = |is_wanted, name, run| {
        if is_wanted {
            tasks.push(Task { name, run });
        }
    };
    let is_first = round == 1;
    push(extent.pairs > 0, "chat, plain", |bench, extent| {
        chat(bench, extent, extent.pairs, Transport::Plain)
    });
    push(extent.pairs > 0, "chat, STARTTLS", |bench, extent| {
        chat(bench, extent, extent.pairs, Transport::StartTls)
    });
    push(extent.logins > 0, "login, plain", |bench, extent| {
        login(bench, extent, Transport::Plain)
    });
    push(extent.logins > 0, "login, STARTTLS", |bench, extent| {
        login(bench, extent, Transport::StartTls)
    });
    let has_many = is_first && extent.many_pairs > 0;
    push(has_many, "chat of many, plain", |bench, extent| {
        chat(bench, extent, extent.many_pairs, Transport::Plain)
    });
    push(has_many, "chat of many, STARTTLS", |bench, extent| {
        chat(bench, extent, extent.many_pairs, Transport::StartTls)
    });
    let has_memory = is_first && extent.sessions.1 > 0;
    push(has_memory, "memory, plain", |bench, extent| {
        memory(bench, extent, Transport::Plain)
    });
    push(has_memory, "memory, STARTTLS", |bench, extent| {
        memory(bench, extent, Transport::StartTls)
    });
    tasks
}

fn chat(bench: &Bench, extent: &Extent, pairs: usize, transport: Transport) -> Result<Vec<Figure>> {
    let pace = Pace {
        in_flight: 1,
        warm_up: Duration::from_secs(1),
        window: Duration::from_secs(extent.seconds),
    };
    let variant = Variant {
        transport,
        keep: Keep::OfflineOnly,
        archive: Archive::Off,
        compact_tls: CompactTls::Off,
    };
    measure::chat::measure(bench, pairs, pace, &[variant])
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
        compact_tls: CompactTls::Off,
        rest: extent.rest,
        mechanism: Mechanism::ScramSha1,
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
            old.push_beside(beside.name.clone(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_put_together() {
        let mut all = Vec::new();
        for (program, value) in [
            ("stonechat", 10.0),
            ("prosody", 100.0),
            ("stonechat", 12.0),
            ("prosody", 90.0),
            ("stonechat", 11.0),
        ] {
            let mut figure = Figure::new("chat".to_owned(), program, "us");
            figure.values.push(value);
            figure.push_beside("p99 ms", value);
            merge(&mut all, figure);
        }
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].values, [10.0, 12.0, 11.0]);
        assert_eq!(all[0].beside[0].values, [10.0, 12.0, 11.0]);
    }

    #[test]
    fn what_takes_long_is_measured_once() {
        let mut extent = document::tests::extent();
        extent.many_pairs = 5;
        extent.sessions = (1, 2);
        let names = |round| -> Vec<_> { tasks(&extent, round).iter().map(|t| t.name).collect() };
        assert_eq!(names(1).len(), 6);
        assert_eq!(names(2), ["chat, plain", "chat, STARTTLS"]);
    }
}
