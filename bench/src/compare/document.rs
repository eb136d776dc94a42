//! The comparison as Markdown: what was asked and what was reached, all figures, and under which circumstances. It measures
//! nothing.

use std::fmt::Write as _;

use super::Extent;
use crate::figures::{Figure, Report, median, number, spread};

/// The text of the section `compare` of RESULTS.md.
pub fn document(report: &Report, extent: &Extent, versions: &[String], notes: &[String]) -> String {
    let mut text = format!(
        "## Beside other servers\n\nWritten by `bench/compare`; how it measures: [README.md](README.md#method). Each server alone on \
         core {}, the driver on core {}, in turn, {} rounds (many pairs, and memory: one); the null relay only forwards bytes. CPU is \
         of the whole server process. On a busy machine (load {} before, {} after) only ratios are worth anything.\n\n",
        report.server_core,
        report.driver_core,
        extent.rounds,
        report.load_before,
        report.load_after,
    );
    text.push_str(&ratios(report));
    let mut push =
        |line: std::fmt::Arguments<'_>| text.write_fmt(line).expect("a String takes everything");
    push(format_args!("\n### All figures\n\n{}", report.markdown()));
    push(format_args!("\n### Programs and settings\n\n"));
    for version in versions {
        push(format_args!("- {version}\n"));
    }
    push(format_args!("{SETTINGS}"));
    if !notes.is_empty() {
        push(format_args!("\n### What is missing, and why\n\n"));
        for note in notes {
            push(format_args!("- {}\n", note.replace('\n', " ")));
        }
    }
    text
}

/// Each rival's median divided by Stonechat's, and the better one's beside what was asked.
fn ratios(report: &Report) -> String {
    let mut text = String::from(
        "| measure | Stonechat (spread) | Prosody | ejabberd | the better one needs | asked |\n\
         |---|--:|--:|--:|--:|--:|\n",
    );
    let of = |measure: &str, program: &str| {
        let figure = report
            .figures
            .iter()
            .find(|figure| figure.measure == measure && figure.program == program);
        figure.map(|figure| median(&figure.values))
    };
    let ours = report
        .figures
        .iter()
        .filter(|figure| figure.program == OURS);
    for Figure {
        measure,
        values,
        unit,
        ..
    } in ours
    {
        let own = median(values);
        let theirs = RIVALS.map(|rival| of(measure, rival));
        let shown = theirs.map(|value| value.map_or_else(|| "-".to_owned(), number));
        let least = theirs.into_iter().flatten().min_by(f64::total_cmp);
        let ratio = least.map(|least| least / own);
        let asked = asked(measure);
        let verdict = match (ratio, asked) {
            (Some(ratio), Some(asked)) if ratio >= asked => "**reached**",
            (Some(_), Some(_)) => "missed",
            _ => "",
        };
        writeln!(
            text,
            "| {measure}, {unit} | {} ({}) | {} | {} | {} | {} {verdict} |",
            number(own),
            spread(values),
            shown[0],
            shown[1],
            ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.1} x")),
            asked.map_or_else(String::new, |asked| format!("{asked:.1} x")),
        )
        .expect("a String takes everything");
    }
    text
}

/// By how much issue 4 wants the better rival to need more.
fn asked(measure: &str) -> Option<f64> {
    let is = |parts: &[&str]| parts.iter().all(|part| measure.contains(part));
    let all = [
        (&["chat, 1000 pairs", "plain"][..], 12.0),
        (&["chat, 1000 pairs", "STARTTLS"], 10.0),
        (&["chat, 5000 pairs", "plain"], 9.0),
        (&["chat, 5000 pairs", "STARTTLS"], 7.5),
        (&["memory", "plain"], 12.0),
        (&["memory", "STARTTLS"], 5.0),
        (&["login"], 5.0),
    ];
    let found = all.into_iter().find(|(parts, _)| is(parts));
    found.map(|(_, asked)| asked)
}

const OURS: &str = "stonechat";
const RIVALS: [&str; 2] = ["prosody", "ejabberd"];

/// What `target` does to each server, in words.
const SETTINGS: &str = "\
- All: TLS 1.3 with a P-256 certificate, SCRAM-SHA-1 without channel binding, empty rosters, no archive, no federation, no limits of rates.
- Stonechat: one worker, `delivery.keep = \"offline-only\"`, `features.mam = false`, nobody is pinged.
- Prosody: epoll, internal storage; generational collector for chat and logins, its default (incremental) for memory: the better of both.
- ejabberd: Mnesia, no shapers, one scheduler (`+S 1:1`), kernel polling, without `ejabberdctl` and distribution.
";

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::target::Kind;
    use std::time::Duration;

    pub fn extent() -> Extent {
        Extent {
            kinds: vec![Kind::Stonechat, Kind::Prosody, Kind::Ejabberd],
            rounds: 3,
            pairs: 1,
            many_pairs: 0,
            seconds: 1,
            logins: 0,
            sessions: (0, 0),
            rest: Duration::ZERO,
        }
    }

    #[test]
    fn ratios_are_of_medians_and_of_the_better_rival() {
        let mut report = Report::begin(0, 1);
        let title = "chat, 1000 pairs, 1 in flight, plain, offline-only";
        for (program, values) in [
            (OURS, [10.0, 12.0, 11.0]),
            ("prosody", [190.0, 187.0, 1.0]),
            ("ejabberd", [130.0, 132.0, 134.0]),
        ] {
            let mut figure = Figure::new(title.to_owned(), program, "us");
            figure.values.extend(values);
            report.figures.push(figure);
        }
        report.figures.push(report.figures[0].clone());
        report.figures[3].measure = "login".to_owned();
        let text = document(
            &report,
            &extent(),
            &["P 1".to_owned()],
            &["round 1: x".to_owned()],
        );
        let row =
            format!("| {title}, us | 11.0 (10.0-12.0) | 187 | 132 | 12.0 x | 12.0 x **reached** |");
        for part in [
            &row[..],
            "| login, us | 11.0 (10.0-12.0) | - | - | - | 5.0 x  |",
            "- P 1",
            "round 1: x",
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }
}
