//! The comparison as Markdown: what was asked and what was reached, all figures, and under which circumstances. It measures
//! nothing.

use std::fmt::Write as _;

use super::Extent;
use crate::figures::{Figure, Report, median, number, spread};

/// The text of the section `compare` of RESULTS.md.
pub fn document(report: &Report, extent: &Extent, versions: &[String], notes: &[String]) -> String {
    let mut text = format!(
        "## Beside other servers\n\nWritten by `bench/compare`; how it measures: [README.md](README.md#method). Each server alone on \
         core {}, the driver on core {}, in turn, {} rounds (of many pairs, archives and memory {}); the null relay only forwards bytes. CPU is \
         of the whole server process. On a busy machine (load {} before, {} after) only ratios are worth anything.\n\n",
        report.server_core,
        report.driver_core,
        extent.rounds,
        extent.long_rounds,
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

/// What each rival needs of what Stonechat does, round by round, and the better one's median beside what was asked.
fn ratios(report: &Report) -> String {
    let mut text = String::from(
        "| measure | Stonechat (spread) | Prosody | ejabberd | the better one needs (spread) | asked |\n\
         |---|--:|--:|--:|--:|--:|\n",
    );
    let of = |measure: &str, program: &str| {
        let mut all = report.figures.iter();
        all.find(|figure| figure.measure == measure && figure.program == program)
    };
    let ours = report
        .figures
        .iter()
        .filter(|figure| figure.program == OURS);
    for own in ours {
        let Figure {
            measure,
            values,
            unit,
            ..
        } = own;
        let theirs = RIVALS.map(|rival| of(measure, rival));
        let shown = theirs.map(|rival| match rival {
            Some(rival) => number(median(&rival.values)),
            None => "-".to_owned(),
        });
        let ratios = theirs
            .into_iter()
            .flatten()
            .map(|rival| by_round(rival, own));
        let ratios = ratios.filter(|ratios| !ratios.is_empty());
        let least = ratios.min_by(|a, b| median(a).total_cmp(&median(b)));
        let asked = asked(measure);
        let verdict = match (least.as_ref().map(|least| median(least)), asked) {
            (Some(ratio), Some(asked)) if ratio >= asked => "**reached**",
            (Some(_), Some(_)) => "missed",
            _ => "",
        };
        writeln!(
            text,
            "| {measure}, {unit} | {} ({}) | {} | {} | {} | {} {verdict} |",
            number(median(values)),
            spread(values),
            shown[0],
            shown[1],
            least.map_or_else(
                || "-".to_owned(),
                |least| format!("{:.1} x ({})", median(&least), spread(&least))
            ),
            asked.map_or_else(String::new, |asked| format!("{asked:.1} x")),
        )
        .expect("a String takes everything");
    }
    text
}

/// What one needs for each thing that another needs, in each round that both have: above the floor's of its own round, if there is
/// one, because a machine is not the same from one minute to the next.
fn by_round(theirs: &Figure, ours: &Figure) -> Vec<f64> {
    let at = |figure: &Figure, round: usize| {
        let place = figure.rounds.iter().position(|r| *r == round)?;
        let value = figure.ratios.get(place).or(figure.values.get(place));
        value.copied()
    };
    let both = ours.rounds.iter();
    both.filter_map(|round| Some(at(theirs, *round)? / at(ours, *round)?))
        .collect()
}

/// By how much issue 4 wants the better rival to need more.
fn asked(measure: &str) -> Option<f64> {
    let is = |parts: &[&str]| parts.iter().all(|part| measure.contains(part));
    // Of archives only that rivals are measured with theirs, too.
    if is(&["archive"]) {
        return None;
    }
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
- All: TLS 1.3 with a P-256 certificate, SCRAM-SHA-1 without channel binding, empty rosters, no federation, no limits of rates; no archive, except where `archive` is said.
- Stonechat: one worker, `delivery.keep = \"offline-only\"`, `features.mam = false` (with archives `true`, and as it comes `always` besides), `auth.scram_iterations = 4096`, \
`store.cache` as it comes (256 MiB), for memory 4 MiB, so that it is full before the first reading, `c2s.ping_after = \"1 h\"`, bounds of stanzas and bytes a second that nobody reaches.
- Prosody: epoll, internal storage, 10,000 iterations; generational collector for chat and logins, its default (incremental) for memory: the better of both. Archive: mod_mam as it comes, in the internal storage.
- ejabberd: Mnesia, 4,096 iterations, no shapers, one scheduler (`+S 1:1`), kernel polling, without `ejabberdctl` and distribution. Archive: mod_mam for everybody, in SQLite.
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
            long_rounds: 3,
            pairs: 1,
            many_pairs: 0,
            archive_pairs: 0,
            seconds: 1,
            logins: 0,
            sessions: (0, 0),
            rest: Duration::ZERO,
        }
    }

    #[test]
    fn ratios_are_of_one_round_above_its_floor_and_of_the_better_rival() {
        let mut report = Report::begin(0, 1);
        let title = "chat, 1000 pairs, 1 in flight, plain, offline-only";
        // Each with the floor beside it: the machine was not the same from one minute to the next. Above it ejabberd is the
        // better rival; by values alone, or by the best round, it would be Prosody.
        for (program, values, floors) in [
            (OURS, [10.0, 12.0, 11.0], [5.0, 10.0, 5.0]),
            ("prosody", [90.0, 88.0, 1.0], [3.0; 3]),
            ("ejabberd", [130.0, 132.0, 134.0], [10.0, 20.0, 10.0]),
        ] {
            let mut figure = Figure::new(title.to_owned(), program, "us");
            figure.values.extend(values);
            figure.rounds.extend([1, 2, 3]);
            let ratios = values
                .iter()
                .zip(floors)
                .map(|(value, floor)| value / floor);
            figure.ratios.extend(ratios);
            report.figures.push(figure);
        }
        // Of ejabberd the first round broke off.
        let ejabberd = &mut report.figures[2];
        ejabberd.values.remove(0);
        ejabberd.ratios.remove(0);
        ejabberd.rounds.remove(0);
        for place in [0, 1] {
            let mut login = report.figures[place].clone();
            login.measure = "login".to_owned();
            login.ratios.clear();
            report.figures.push(login);
        }
        // The better one is not better by its place.
        for (place, program) in [(0, OURS), (1, "ejabberd"), (2, "prosody")] {
            let mut other = report.figures[place].clone();
            other.measure = title.replace("plain", "STARTTLS");
            other.program = program.to_owned();
            report.figures.push(other);
        }
        let text = document(
            &report,
            &extent(),
            &["P 1".to_owned()],
            &["round 1: x".to_owned()],
        );
        let row = |transport: &str, rest: &str| {
            let title = title.replace("plain", transport);
            format!("| {title}, us | 11.0 (10.0-12.0) | {rest} |")
        };
        let better = "5.8 x (5.50-6.09)";
        for part in [
            &row("plain", &format!("88.0 | 133 | {better} | 12.0 x missed"))[..],
            &row(
                "STARTTLS",
                &format!("133 | 88.0 | {better} | 10.0 x missed"),
            ),
            "| login, us | 11.0 (10.0-12.0) | 88.0 | - | 7.3 x (0.09-9.00) | 5.0 x **reached** |",
            "- P 1",
            "round 1: x",
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }
}
