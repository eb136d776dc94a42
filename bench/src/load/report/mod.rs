//! The report page: one file of HTML that shows a result, without anything fetched from anywhere.

mod chart;
mod plots;
mod tables;
mod written;

use chart::{Chart, escaped};
use tables::tables;
use written::{bytes, grouped, milliseconds};

use super::result::RunResult;
use super::scenario::Kind;

pub use written::date;

/// The whole page.
pub fn page(result: &RunResult) -> String {
    let charts: String = plots::all(result)
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
}
