//! The report page: one file of HTML that shows a result, without anything fetched from anywhere.

mod chart;

use std::fmt::Write as _;

use chart::{Chart, Scale, Series, escaped};

use super::latency::{Recorded, Summary};
use super::result::RunResult;
use super::scenario::Kind;

/// The whole page.
pub fn page(result: &RunResult) -> String {
    let charts = [
        percentiles(result),
        throughput(result),
        latency_over_time(result),
        processor(result),
        memory(result),
        memory_by_sessions(result),
        sessions(result),
    ];
    let charts: String = charts
        .iter()
        .filter(|chart| chart.is_worth_it())
        .map(Chart::html)
        .collect();
    let title = format!("{} on {}", result.name, domains(result));
    let (verdict, class) = if result.passed {
        ("passed", "good")
    } else {
        ("failed", "bad")
    };
    format!(
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>\
         <meta name='viewport' content='width=device-width, initial-scale=1'>\
         <title>{title}</title><style>{STYLE}</style></head><body><main>\n\
         <header><div><h1>{title}</h1><p>{about}</p></div><strong class='verdict {class}'>{verdict}</strong></header>\n\
         <section class='tiles'>{tiles}</section>\n{complaints}\
         <section class='charts'>{charts}</section>\n\
         <section class='tables'>{tables}</section>\n\
         <footer>{program}, {when}; {parts} with {threads}</footer>\
         </main><script>{SCRIPT}</script></body></html>\n",
        title = escaped(&title),
        about = escaped(&result.scenario.about),
        tiles = tiles(result),
        complaints = complaints(result),
        tables = tables(result),
        program = escaped(&result.program),
        when = date(result.began),
        parts = counted(result.parts, "driver process", "driver processes"),
        threads = counted(result.threads, "thread", "threads"),
    )
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn domains(result: &RunResult) -> String {
    match &result.hosts[..] {
        [(domain, _)] => domain.clone(),
        hosts => format!("{} hosts", hosts.len()),
    }
}

/// The figures that one looks for first.
fn tiles(result: &RunResult) -> String {
    let (what, count) = result.operations();
    let mut tiles = vec![(
        "sessions".to_owned(),
        grouped(result.sessions as f64),
        String::new(),
    )];
    if what != "sessions" {
        let beside = format!("{} in {:.0} s", grouped(count as f64), result.seconds);
        tiles.push((
            format!("{what} a second"),
            grouped(result.per_second()),
            beside,
        ));
    }
    let latency = result.main_latency();
    if latency.count > 0 {
        let beside = format!("median {}", milliseconds(latency.p50_ms));
        tiles.push((
            "latency, 99 % below".to_owned(),
            milliseconds(latency.p99_ms),
            beside,
        ));
    }
    if let Some(each) = result.cpu_per_operation() {
        let busy = 100.0 * result.server_cpu() / result.seconds.max(1e-9);
        tiles.push((
            match result.scenario.scenario {
                Kind::Day => "server's CPU, all of it, a message",
                _ => "server's CPU each",
            }
            .to_owned(),
            format!("{each:.1} µs"),
            format!("{busy:.0} % of a core"),
        ));
    }
    if let Some(each) = result.memory_per_session() {
        let total: u64 = result.server.iter().map(|server| server.memory[1]).sum();
        let beside = format!("{} in all", bytes(total as f64));
        tiles.push(("memory per session".to_owned(), bytes(each), beside));
    }
    if let Some(surge) = &result.surge {
        let value = surge
            .recovered_after
            .map_or_else(|| "never".to_owned(), |after| format!("{after:.1} s"));
        let beside = format!("from {:.1} times the load", surge.factor);
        tiles.push(("recovered after".to_owned(), value, beside));
    }
    let faults: u64 = result.faults.named().iter().map(|(_, count)| count).sum();
    tiles.push((
        "faults".to_owned(),
        grouped(faults as f64),
        "lost, doubled, disordered, refused".to_owned(),
    ));
    let tile = |(name, value, beside): &(String, String, String)| {
        format!("<div class='tile'><span>{name}</span><b>{value}</b><small>{beside}</small></div>")
    };
    tiles.iter().map(tile).collect()
}

fn complaints(result: &RunResult) -> String {
    let mut notes: Vec<String> = result
        .complaints
        .0
        .iter()
        .map(|(text, times)| format!("<li>{times} × {}</li>", escaped(text)))
        .collect();
    if result.driver_busy > 85.0 {
        let text =
            "the driver was the bottleneck: more parts or threads would say more about the server";
        notes.push(format!(
            "<li>{text} ({:.0} % busy)</li>",
            result.driver_busy
        ));
    }
    match notes.is_empty() {
        true => String::new(),
        false => format!(
            "<section class='notes'><ul>{}</ul></section>\n",
            notes.concat()
        ),
    }
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

fn over_time(
    result: &RunResult,
    name: &str,
    value: impl Fn(&super::result::Moment) -> Option<f64>,
) -> Series {
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
fn by_process(
    result: &RunResult,
    value: impl Fn(&super::result::Moment, usize) -> f64,
) -> Vec<Series> {
    let count = result.server.len();
    if count > MOST_LINES {
        let sum = |moment: &super::result::Moment| {
            Some((0..count).map(|place| value(moment, place)).sum())
        };
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
    let mebibytes = |moment: &super::result::Moment, place: usize| {
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
    let all = |moment: &super::result::Moment| moment.memory.iter().sum::<u64>();
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

fn tables(result: &RunResult) -> String {
    let mut text = String::new();
    let mut push =
        |line: std::fmt::Arguments<'_>| text.write_fmt(line).expect("a String takes everything");
    let latency = &result.latency;
    let all = [
        ("messages", &latency.messages),
        ("presence", &latency.presence),
        ("logins", &latency.logins),
        ("archive pages", &latency.archive),
    ];
    push(format_args!(
        "<div><h3>Latency in milliseconds</h3><table><tr><th></th><th>count</th><th>mean</th><th>50 %</th>\
         <th>90 %</th><th>99 %</th><th>99.9 %</th><th>longest</th></tr>"
    ));
    for (
        name,
        Summary {
            count,
            mean_ms,
            p50_ms,
            p90_ms,
            p99_ms,
            p999_ms,
            max_ms,
        },
    ) in all
    {
        if *count > 0 {
            push(format_args!(
                "<tr><th>{name}</th><td>{}</td>",
                grouped(*count as f64)
            ));
            for value in [mean_ms, p50_ms, p90_ms, p99_ms, p999_ms, max_ms] {
                push(format_args!("<td>{value:.1}</td>"));
            }
            push(format_args!("</tr>"));
        }
    }
    push(format_args!(
        "</table></div><div><h3>Counted by id</h3><table>"
    ));
    let counts = &result.counts;
    for (name, count) in [
        ("messages sent", counts.messages_sent),
        ("messages received", counts.messages_received),
        ("presence sent", counts.presence_sent),
        ("presence received", counts.presence_received),
        ("archive pages read", counts.archive_reads),
        ("logins", counts.logins),
        ("farewells", counts.leaves),
        ("connections cut", counts.cuts),
        ("presence that a later one overtook", result.superseded),
        ("left out: nobody was there for it", counts.left_out),
    ] {
        if count > 0 {
            push(format_args!(
                "<tr><th>{name}</th><td>{}</td></tr>",
                grouped(count as f64)
            ));
        }
    }
    if let Some(surge) = &result.surge {
        push(format_args!(
            "</table></div><div class='wide'><h3>Surge</h3><table>"
        ));
        for (name, value) in surge.rows() {
            push(format_args!(
                "<tr><th>{}</th><td>{}</td></tr>",
                escaped(&name),
                escaped(&value)
            ));
        }
    }
    push(format_args!("</table></div><div><h3>Faults</h3><table>"));
    for (name, count) in result.faults.named() {
        let class = if count > 0 { " class='bad'" } else { "" };
        push(format_args!(
            "<tr{class}><th>{name}</th><td>{}</td></tr>",
            grouped(count as f64)
        ));
    }
    push(format_args!("</table></div>"));
    if !result.server.is_empty() {
        push(format_args!(
            "<div class='wide'><h3>Processes of the server</h3><table><tr><th></th><th>CPU s</th><th>memory before</th>\
             <th>all at rest</th><th>under load</th></tr>"
        ));
        for server in &result.server {
            push(format_args!(
                "<tr><th>{} {}</th><td>{:.2}</td>",
                escaped(&server.name),
                server.pid,
                server.cpu
            ));
            for memory in server.memory {
                push(format_args!("<td>{}</td>", bytes(memory as f64)));
            }
            push(format_args!("</tr>"));
        }
        push(format_args!("</table></div>"));
    }
    let scenario = toml::to_string(&result.scenario).unwrap_or_default();
    push(format_args!(
        "<details><summary>Scenario</summary><pre>{}</pre></details>",
        escaped(&scenario)
    ));
    text
}

fn milliseconds(value: f64) -> String {
    match value {
        v if v >= 10_000.0 => format!("{:.1} s", v / 1e3),
        v if v >= 100.0 => format!("{v:.0} ms"),
        v => format!("{v:.1} ms"),
    }
}

fn bytes(value: f64) -> String {
    match value {
        v if v >= f64::from(1 << 30) => format!("{:.2} GiB", v / f64::from(1 << 30)),
        v if v >= f64::from(1 << 20) => format!("{:.1} MiB", v / f64::from(1 << 20)),
        v => format!("{:.1} KiB", v / 1024.0),
    }
}

/// A whole number, its thousands apart.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// The day and the time of day, UTC (Howard Hinnant's days-to-civil).
pub fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year}-{month:02}-{day:02} {:02}:{:02} UTC",
        rest / 3_600,
        rest / 60 % 60
    )
}

const MOST_LINES: usize = 6;
const FEWEST_POINTS: usize = 4;
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::load::result::Moment;
    use crate::load::scenario::Scenario;

    pub fn result() -> RunResult {
        let scenario = Scenario::parse("scenario = 'chat'", &[]).expect("a good scenario");
        let scenario = serde_json::to_value(scenario).expect("plain");
        let summary = r#"{"count":3,"mean_ms":1,"p50_ms":1,"p90_ms":2,"p99_ms":12.34,"p999_ms":3,"max_ms":3}"#;
        let none = summary.replace(":3,", ":0,");
        let json = format!(
            r#"{{"program":"p","name":"<b>","scenario":{scenario},"began":1795694400,"hosts":[["x.example",["1.2.3.4:5222"]]],
            "parts":1,"threads":1,"passed":false,"faults":{},"complaints":{{"<i>":2}},"superseded":0,"seconds":2.0,
            "counts":{},"sessions":1234567,"entering_seconds":1,
            "latency":{{"messages":{summary},"presence":{none},"logins":{none},"archive":{none}}},
            "recorded":{{"messages":[[1000,2],[3000,1]],"presence":[],"logins":[],"archive":[]}},
            "server":[{{"pid":7,"name":"beam.smp","cpu":1.5,"memory":[1048576,3145728,4194304]}}],
            "driver_cpu":1,"driver_busy":99,"timeline":[]}}"#,
            serde_json::to_string(&crate::load::ledger::Faults {
                lost: 5,
                ..Default::default()
            })
            .expect("plain"),
            serde_json::to_string(&crate::load::counts::Counts {
                messages_received: 3,
                ..Default::default()
            })
            .expect("plain"),
        );
        let mut result: RunResult = serde_json::from_str(&json).expect("a result");
        for second in 0..9_u32 {
            result.timeline.push(Moment {
                at: f64::from(second),
                phase: if second < 5 { "login" } else { "measure" }.to_owned(),
                sessions: second as u64 * 10,
                received: 100.0,
                p99_ms: Some(2.0),
                cpu: vec![50.0],
                memory: vec![1 << 20],
                ..Moment::default()
            });
        }
        result
    }

    #[test]
    fn a_page_shows_figures_plots_and_faults_and_fetches_nothing() {
        let page = page(&result());
        for part in [
            "1\u{202f}234\u{202f}567",
            "12.3 ms",
            "500000.0 µs",
            "failed",
            "&lt;b&gt; on x.example",
            "2 × &lt;i&gt;",
            "Latency by percentile",
            "Throughput over time",
            "Processor of the server",
            "Memory of the server",
            "Memory by sessions",
            "beam.smp 7",
            "2026-11-26",
            "the driver was the bottleneck",
            "prefers-color-scheme: dark",
        ] {
            assert!(page.contains(part), "no {part:?} in\n{page}");
        }
        assert!(
            !page.contains("<b> on") && !page.contains("<i>"),
            "names are escaped"
        );
        for fetch in ["http://", "https://", "<link", "@import", "url("] {
            assert!(!page.contains(fetch), "{fetch}");
        }
        assert_eq!(
            page.matches("<figure").count(),
            page.matches("</figure>").count()
        );
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_795_694_400 + 3_660), "2026-11-26 13:01 UTC");
    }
}
