//! The page's tables: every figure of a result, as it was counted.

use std::fmt::Write as _;

use super::chart::escaped;
use super::written::{bytes, grouped};
use crate::load::latency::Summary;
use crate::load::result::RunResult;

/// All of them, and the scenario at their end.
pub fn tables(result: &RunResult) -> String {
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
