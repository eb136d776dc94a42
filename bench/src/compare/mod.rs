//! Stonechat beside its rivals: the same measures on each, in turn, round after round, and a document with medians, spreads
//! and ratios. How each is measured is the business of `measure`. What has been measured is written down at once, so that a
//! run that breaks off goes on where it was.

mod document;
mod saved;

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::client::sasl::Mechanism;
use crate::client::session::Transport;
use crate::figures::{Figure, Report, provenance};
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
    pub rounds: usize,
    /// Of many pairs, of archives and of memory, which take long.
    pub long_rounds: usize,
    pub pairs: usize,
    pub many_pairs: usize,
    /// Pairs whose messages go into archives.
    pub archive_pairs: usize,
    pub seconds: u64,
    pub logins: usize,
    /// Between which numbers of idle sessions memory is compared.
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
    let mut saved = Saved::open(progress, extent, &identity(bench, &report.commit)?)?;
    let mut versions = Vec::new();
    let mut kinds = Vec::new();
    for &kind in &extent.kinds {
        match kind.version(&bench.programs) {
            Some(version) => {
                versions.push(match kind {
                    Kind::Stonechat => provenance(&bench.programs.server),
                    _ => version,
                });
                kinds.push(kind);
            }
            None => saved.note(&format!("{}: not installed, left out", kind.label())),
        }
    }
    for round in 1..=extent.rounds.max(extent.long_rounds) {
        for &kind in &kinds {
            for task in tasks(extent, round) {
                let name = format!("round {round}, {}, {}", kind.label(), task.name);
                if saved.has(&name) {
                    continue;
                }
                eprintln!(
                    "{name} (after {} s), one round of it:",
                    began.elapsed().as_secs()
                );
                let bench = Bench {
                    kind,
                    rounds: 1,
                    programs: bench.programs.clone(),
                    ..*bench
                };
                match (task.run)(&bench, extent) {
                    Ok(figures) => figures
                        .into_iter()
                        .for_each(|figure| merge(&mut saved.figures, figure, round)),
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

/// Of which driver and of which program of Stonechat's the figures are: another one under the same name is another.
fn identity(bench: &Bench, commit: &str) -> Result<String> {
    let program = &bench.programs.server;
    let bytes = fs::read(program).with_context(|| format!("reading {}", program.display()))?;
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes);
    Ok(format!("{commit} {:016x}", hasher.finish()))
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
    let (is_short, is_long) = (round <= extent.rounds, round <= extent.long_rounds);
    let has_chat = is_short && extent.pairs > 0;
    push(has_chat, "chat, plain", |bench, extent| {
        let pairs = extent.pairs;
        chat(bench, extent, pairs, Transport::Plain, Archive::Off)
    });
    push(has_chat, "chat, STARTTLS", |bench, extent| {
        let pairs = extent.pairs;
        chat(bench, extent, pairs, Transport::StartTls, Archive::Off)
    });
    let has_logins = is_short && extent.logins > 0;
    push(has_logins, "login, plain", |bench, extent| {
        login(bench, extent, Transport::Plain)
    });
    push(has_logins, "login, STARTTLS", |bench, extent| {
        login(bench, extent, Transport::StartTls)
    });
    let has_many = is_long && extent.many_pairs > 0;
    push(has_many, "chat of many, plain", |bench, extent| {
        let pairs = extent.many_pairs;
        chat(bench, extent, pairs, Transport::Plain, Archive::Off)
    });
    push(has_many, "chat of many, STARTTLS", |bench, extent| {
        let pairs = extent.many_pairs;
        chat(bench, extent, pairs, Transport::StartTls, Archive::Off)
    });
    let has_archive = is_long && extent.archive_pairs > 0;
    push(has_archive, "chat with archives, plain", |bench, extent| {
        let pairs = extent.archive_pairs;
        chat(bench, extent, pairs, Transport::Plain, Archive::On)
    });
    push(
        has_archive,
        "chat with archives, STARTTLS",
        |bench, extent| {
            let pairs = extent.archive_pairs;
            chat(bench, extent, pairs, Transport::StartTls, Archive::On)
        },
    );
    let has_memory = is_long && extent.sessions.1 > 0;
    push(has_memory, "memory, plain", |bench, extent| {
        memory(bench, extent, Transport::Plain)
    });
    push(has_memory, "memory, STARTTLS", |bench, extent| {
        memory(bench, extent, Transport::StartTls)
    });
    tasks
}

fn chat(
    bench: &Bench,
    extent: &Extent,
    pairs: usize,
    transport: Transport,
    archive: Archive,
) -> Result<Vec<Figure>> {
    let pace = Pace {
        in_flight: 1,
        warm_up: Duration::from_secs(1),
        window: Duration::from_secs(extent.seconds),
    };
    // With archives also as Stonechat comes: what is on its way is on disk before the recipient has it.
    let keeps = match (archive, bench.kind) {
        (Archive::On, Kind::Stonechat) => &[Keep::OfflineOnly, Keep::Always][..],
        _ => &[Keep::OfflineOnly],
    };
    let variants = keeps.iter().map(|keep| Variant {
        transport,
        keep: *keep,
        archive,
        compact_tls: CompactTls::Off,
    });
    let variants: Vec<Variant> = variants.collect();
    measure::chat::measure(bench, pairs, pace, &variants)
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
fn merge(all: &mut Vec<Figure>, mut new: Figure, round: usize) {
    new.rounds = vec![round; new.values.len()];
    let same = all
        .iter_mut()
        .find(|old| old.measure == new.measure && old.program == new.program);
    let Some(old) = same else {
        all.push(new);
        return;
    };
    old.values.extend(new.values);
    old.rounds.extend(new.rounds);
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
    use crate::target::{Accounts, Programs};

    #[test]
    fn another_program_under_the_same_name_is_another() {
        let file = std::env::temp_dir().join(format!("stonechat-identity-{}", std::process::id()));
        let bench = Bench {
            kind: Kind::Stonechat,
            programs: Programs {
                server: file.clone(),
                core: Default::default(),
                accounts: Accounts::Derived,
                workers: 1,
                slow_disk: None,
                host_section: None,
                beside: None,
            },
            server_core: 0,
            rounds: 1,
            keep_files: false,
        };
        fs::write(&file, "one").expect("a file");
        let one = identity(&bench, "c0ffee").expect("it is there");
        assert_eq!(identity(&bench, "c0ffee").expect("it is there"), one);
        fs::write(&file, "two").expect("a file");
        assert_ne!(identity(&bench, "c0ffee").expect("it is there"), one);
        fs::remove_file(&file).expect("it was there");
        assert!(identity(&bench, "c0ffee").is_err());
    }

    #[test]
    fn rounds_are_put_together() {
        let mut all = Vec::new();
        for (place, (program, value)) in (0..).zip([
            ("stonechat", 10.0),
            ("prosody", 100.0),
            ("stonechat", 12.0),
            ("prosody", 90.0),
            ("stonechat", 11.0),
        ]) {
            let mut figure = Figure::new("chat".to_owned(), program, "us");
            figure.values.push(value);
            figure.push_beside("p99 ms", value);
            merge(&mut all, figure, 1 + place / 2);
        }
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].values, [10.0, 12.0, 11.0]);
        assert_eq!(all[0].rounds, [1, 2, 3]);
        assert_eq!(all[0].beside[0].values, [10.0, 12.0, 11.0]);
    }

    #[test]
    fn what_takes_long_has_rounds_of_its_own() {
        let mut extent = document::tests::extent();
        extent.many_pairs = 5;
        extent.archive_pairs = 5;
        extent.sessions = (1, 2);
        extent.long_rounds = 1;
        let names = |extent: &Extent, round| -> Vec<_> {
            tasks(extent, round).iter().map(|t| t.name).collect()
        };
        assert_eq!(names(&extent, 1).len(), 8);
        assert_eq!(names(&extent, 3), ["chat, plain", "chat, STARTTLS"]);
        extent.long_rounds = 5;
        assert_eq!(names(&extent, 4).len(), 6);
    }
}
