//! What the page plots of a result.

use super::chart::{Chart, Scale, Series};
use crate::load::latency::Recorded;
use crate::load::result::{Moment, RunResult};

/// In the order in which they stand there.
pub fn all(result: &RunResult) -> [Chart; 7] {
    [
        percentiles(result),
        throughput(result),
        latency_over_time(result),
        processor(result),
        memory(result),
        memory_by_sessions(result),
        sessions(result),
    ]
}

fn percentiles(result: &RunResult) -> Chart {
    let line = |name: &str, recorded: &Recorded| {
        let total: u64 = recorded.0.iter().map(|(_, count)| count).sum();
        let mut below = 0;
        let points = recorded.0.iter().map(|(value, count)| {
            below += count;
            // The last one of n is known to be as late as it was; of the share above nothing is known.
            let share = (below as f64 / total as f64).min(1.0 - 0.5 / total as f64);
            (share, *value as f64 / 1e3)
        });
        Series {
            name: name.to_owned(),
            points: points.filter(|(share, _)| *share >= 0.5).collect(),
        }
    };
    let recorded = &result.recorded;
    let lines = [
        line("messages", &recorded.messages),
        line("presence", &recorded.presence),
        line("logins", &recorded.logins),
        line("archive pages", &recorded.archive),
    ];
    Chart {
        title: "Latency by percentile",
        explanation: "How late the given share of all was at most, from when it was meant to leave.",
        x: Scale::Nines,
        x_unit: "share of all",
        y: Scale::Logarithmic,
        y_unit: "milliseconds",
        series: lines
            .into_iter()
            .filter(|line| !line.points.is_empty())
            .collect(),
        window: None,
    }
}

fn over_time(result: &RunResult, name: &str, value: impl Fn(&Moment) -> Option<f64>) -> Series {
    let points = result
        .timeline
        .iter()
        .filter_map(|moment| Some((moment.at, value(moment)?)));
    Series {
        name: name.to_owned(),
        points: points.collect(),
    }
}

/// When the load was measured.
fn window(result: &RunResult) -> Option<(f64, f64)> {
    let mut moments = result
        .timeline
        .iter()
        .filter(|moment| moment.phase == "measure")
        .map(|moment| moment.at);
    let first = moments.next()?;
    Some((first, moments.next_back().unwrap_or(first)))
}

fn throughput(result: &RunResult) -> Chart {
    let lines = [
        over_time(result, "messages received", |moment| Some(moment.received)),
        over_time(result, "presence delivered", |moment| Some(moment.presence)),
        over_time(result, "logins", |moment| Some(moment.logins)),
    ];
    let is_there = |line: &Series| line.points.iter().any(|(_, value)| *value > 0.0);
    Chart {
        title: "Throughput over time",
        explanation: "What reached the clients each second. Shaded: what was measured.",
        x: Scale::Exact,
        x_unit: "seconds",
        y: Scale::Linear,
        y_unit: "a second",
        series: lines.into_iter().filter(is_there).collect(),
        window: window(result),
    }
}

fn latency_over_time(result: &RunResult) -> Chart {
    Chart {
        title: "Latency over time",
        explanation: "Of what arrived since the point before.",
        x: Scale::Exact,
        x_unit: "seconds",
        y: Scale::Logarithmic,
        y_unit: "milliseconds",
        series: vec![
            over_time(result, "median", |moment| moment.p50_ms),
            over_time(result, "99 % below", |moment| moment.p99_ms),
        ],
        window: window(result),
    }
}

/// One line for each process of the server, or their sum where that would be too many.
fn by_process(result: &RunResult, value: impl Fn(&Moment, usize) -> f64) -> Vec<Series> {
    let count = result.server.len();
    if count > MOST_LINES {
        let sum = |moment: &Moment| Some((0..count).map(|place| value(moment, place)).sum());
        return vec![over_time(result, &format!("all {count} processes"), sum)];
    }
    let lines = result.server.iter().enumerate().map(|(place, server)| {
        let name = format!("{} {}", server.name, server.pid);
        over_time(result, &name, |moment| Some(value(moment, place)))
    });
    lines.collect()
}

fn processor(result: &RunResult) -> Chart {
    Chart {
        title: "Processor of the server",
        explanation: "Of one core; a server with several threads may use more than 100 %.",
        x: Scale::Exact,
        x_unit: "seconds",
        y: Scale::Linear,
        y_unit: "percent of a core",
        series: by_process(result, |moment, place| {
            moment.cpu.get(place).copied().unwrap_or_default()
        }),
        window: window(result),
    }
}

fn memory(result: &RunResult) -> Chart {
    let mebibytes = |moment: &Moment, place: usize| {
        moment.memory.get(place).copied().unwrap_or_default() as f64 / f64::from(1 << 20)
    };
    Chart {
        title: "Memory of the server",
        explanation: "Resident pages that are its own.",
        x: Scale::Exact,
        x_unit: "seconds",
        y: Scale::Linear,
        y_unit: "MiB",
        series: by_process(result, mebibytes),
        window: window(result),
    }
}

/// While they come in: its slope is what one needs.
fn memory_by_sessions(result: &RunResult) -> Chart {
    let all = |moment: &Moment| moment.memory.iter().sum::<u64>();
    let coming = result
        .timeline
        .iter()
        .filter(|moment| moment.phase == "login" && !moment.memory.is_empty());
    let mut points: Vec<(f64, f64)> = coming
        .map(|moment| {
            (
                moment.sessions as f64,
                all(moment) as f64 / f64::from(1 << 20),
            )
        })
        .collect();
    points.dedup_by_key(|(sessions, _)| *sessions as u64);
    // Two points make no slope that says anything.
    if points.len() < FEWEST_POINTS {
        points.clear();
    }
    Chart {
        title: "Memory by sessions",
        explanation: "Of the server, while they log in: the slope is what each of them needs.",
        x: Scale::Exact,
        x_unit: "sessions",
        y: Scale::Linear,
        y_unit: "MiB",
        series: vec![Series {
            name: "all processes".to_owned(),
            points,
        }],
        window: None,
    }
}

fn sessions(result: &RunResult) -> Chart {
    Chart {
        title: "Sessions",
        explanation: "Bound, with the roster fetched, and available.",
        x: Scale::Exact,
        x_unit: "seconds",
        y: Scale::Linear,
        y_unit: "sessions",
        series: vec![over_time(result, "sessions", |moment| {
            Some(moment.sessions as f64)
        })],
        window: window(result),
    }
}

const MOST_LINES: usize = 6;
const FEWEST_POINTS: usize = 4;
