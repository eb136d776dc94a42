//! What a surge of load did: how late messages were before and in it, and how soon all was well again.

use serde::{Deserialize, Serialize};

use super::result::Moment;
use super::shed::{PUT_OFF, Shed};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Surge {
    pub factor: f64,
    /// Seconds since the first login.
    pub from: f64,
    pub to: f64,
    /// Of the points of the timeline before it, the median of their 99th percentiles; None if no message came before.
    pub before_p99_ms: Option<f64>,
    pub worst_p99_ms: f64,
    /// Up to here latencies are nearly as before.
    #[serde(default)]
    pub enough_ms: f64,
    /// Seconds from its end until latencies were as before, or nearly; None if they were not within the time measured.
    pub recovered_after: Option<f64>,
    #[serde(default)]
    pub shed: Shed,
    /// Within it, of the busiest part and its threads, in percent.
    #[serde(default)]
    pub driver_busy: f64,
}

impl Surge {
    /// Reads it out of a timeline; what has come is as late as it was meant to leave long ago.
    pub fn read(factor: f64, from: f64, to: f64, timeline: &[Moment]) -> Self {
        let playing = timeline
            .iter()
            .filter(|moment| matches!(&*moment.phase, "warm-up" | "measure"));
        let late: Vec<(f64, f64)> = playing
            .filter_map(|moment| Some((moment.at, moment.p99_ms?)))
            .collect();
        let before = late
            .iter()
            .filter(|(at, _)| *at < from)
            .map(|(_, p99)| *p99);
        let before: Vec<f64> = before.collect();
        let before_p99_ms = (!before.is_empty()).then(|| crate::figures::median(&before));
        let since = late.iter().filter(|(at, _)| *at >= from);
        let worst_p99_ms = since.map(|(_, p99)| *p99).fold(0.0, f64::max);
        let enough = (TOLERANCE * before_p99_ms.unwrap_or(0.0)).max(GOOD_ENOUGH_MS);
        let behind: Vec<&(f64, f64)> = late.iter().filter(|(at, _)| *at > to).collect();
        let well = behind
            .windows(POINTS_THAT_PROVE)
            .find(|points| points.iter().all(|(_, p99)| *p99 <= enough));
        Self {
            factor,
            from,
            to,
            before_p99_ms,
            worst_p99_ms,
            enough_ms: enough,
            recovered_after: well.map(|points| points[0].0 - to),
            shed: Shed::default(),
            driver_busy: 0.0,
        }
    }

    /// Why a run with it fails, whatever else went well.
    pub fn failures(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.recovered_after.is_none() {
            all.push("latencies were not as before within the time measured".to_owned());
        }
        let share = self.shed.least_share();
        if share < ENOUGH_OFFERED {
            all.push(format!(
                "the surge offered {:.0} % of what was asked: this was a smaller one",
                100.0 * share
            ));
        }
        if self.shed.refused_before > 0 {
            all.push(format!(
                "{} logins or requests were refused before the surge",
                self.shed.refused_before
            ));
        }
        all
    }

    /// Whether what it showed was the driver's weakness.
    pub fn is_drivers(&self) -> bool {
        let late_ms = self.shed.late as f64 / 1e3;
        self.driver_busy > FULL_DRIVER || late_ms > DRIVERS_LATE_MS.max(self.worst_p99_ms / 10.0)
    }

    /// For the terminal.
    pub fn text(&self) -> String {
        let mut text = format!("surge of {:.1} times:", self.factor);
        for (name, value) in self.rows() {
            text.push_str(&format!("\n  {name}: {value}"));
        }
        if self.is_drivers() {
            text.push_str(
                "\n  note: in the surge the driver was the bottleneck: latencies are its own, too",
            );
        }
        text
    }

    /// For tables.
    pub fn rows(&self) -> Vec<(String, String)> {
        let shed = &self.shed;
        let recovered = match self.recovered_after {
            Some(after) => format!("{after:.1} s"),
            None => "not within the time measured".to_owned(),
        };
        let before = self
            .before_p99_ms
            .map_or_else(|| "none".to_owned(), |ms| format!("{ms:.1} ms"));
        let offered = shed.offered().map(|(name, offered)| {
            let (asked, sent) = (offered.asked, offered.sent);
            format!("{name} {sent} of {asked}")
        });
        let mut rows = vec![
            (
                "p99 before, at worst".to_owned(),
                format!("{before}, {:.0} ms", self.worst_p99_ms),
            ),
            (
                format!(
                    "as before (at most {:.0} ms: three times that, or 50) after its end",
                    self.enough_ms
                ),
                recovered,
            ),
            ("offered, of what was asked".to_owned(), offered.join(", ")),
        ];
        for (name, withheld) in shed.withheld() {
            rows.push((
                format!(
                    "{name} put off for more than {} s, refused",
                    PUT_OFF / 1_000_000
                ),
                format!("{}, {}", withheld.put_off, withheld.refused),
            ));
        }
        let deliveries = &shed.deliveries;
        rows.push((
            "presence in whose place a newer one came, of what contacts were to hear".to_owned(),
            format!(
                "{} of {}",
                deliveries.asked.saturating_sub(deliveries.sent),
                deliveries.asked
            ),
        ));
        rows.push((
            "put off for more than 1 s or refused: when the first of each was meant, after its beginning".to_owned(),
            shed.order(),
        ));
        rows.push((
            "the driver within it".to_owned(),
            format!(
                "{:.0} % busy, at most {:.0} ms late",
                self.driver_busy,
                shed.late as f64 / 1e3
            ),
        ));
        rows
    }
}

/// Times the latency before: nearly as good.
const TOLERANCE: f64 = 3.0;
/// What nobody minds, whatever was before.
const GOOD_ENOUGH_MS: f64 = 50.0;
const POINTS_THAT_PROVE: usize = 3;
/// Of what was asked; what a moment's bad luck leaves out is less.
const ENOUGH_OFFERED: f64 = 0.95;
/// In percent, as for a whole run.
const FULL_DRIVER: f64 = 85.0;
/// What nobody minds. Beyond it a tenth of what is told of the server.
const DRIVERS_LATE_MS: f64 = 50.0;

#[cfg(test)]
mod tests {
    use super::super::shed::Offered;
    use super::*;

    fn timeline(p99: &[f64]) -> Vec<Moment> {
        let moment = |(at, p99): (usize, &f64)| Moment {
            at: at as f64,
            phase: "measure".to_owned(),
            p99_ms: Some(*p99),
            ..Moment::default()
        };
        p99.iter().enumerate().map(moment).collect()
    }

    #[test]
    fn recovered_is_who_stays_well() {
        let late = [
            20.0, 30.0, 20.0, 900.0, 5_000.0, 4_000.0, 30.0, 700.0, 60.0, 40.0, 20.0, 20.0,
        ];
        let surge = Surge::read(9.0, 3.0, 5.0, &timeline(&late));
        assert_eq!(surge.before_p99_ms, Some(20.0));
        assert_eq!(surge.worst_p99_ms, 5_000.0);
        assert_eq!(surge.recovered_after, Some(3.0));
        let surge = Surge::read(9.0, 3.0, 5.0, &timeline(&late[..9]));
        assert_eq!(surge.recovered_after, None);
        assert_eq!(surge.failures().len(), 1);
    }

    #[test]
    fn a_surge_before_which_nothing_came_can_be_read_back() {
        let surge = Surge::read(9.0, 0.0, 2.0, &timeline(&[20.0; 12]));
        assert_eq!(surge.before_p99_ms, None);
        let json = serde_json::to_string(&surge).expect("plain data");
        assert_eq!(
            serde_json::from_str::<Surge>(&json).expect("its own"),
            surge
        );
        assert!(!surge.text().contains("NaN"), "{}", surge.text());
    }

    #[test]
    fn a_surge_that_offered_less_than_was_asked_fails_and_says_how_much() {
        let mut surge = Surge::read(9.0, 3.0, 5.0, &timeline(&[20.0; 12]));
        assert_eq!(surge.failures(), [""; 0]);
        surge.shed.messages = Offered {
            asked: 100,
            sent: 95,
        };
        assert_eq!(surge.failures(), [""; 0]);
        surge.shed.messages.sent = 94;
        surge.shed.refused_before = 3;
        let said = surge.failures().join("\n");
        assert!(
            said.contains("94 %") && said.contains("3 logins or requests"),
            "{said}"
        );
        let text = surge.text();
        assert!(
            text.contains("messages 94 of 100") && !text.contains("bottleneck"),
            "{text}"
        );
        surge.shed.late = 51_000;
        assert!(surge.text().contains("bottleneck"));
        surge.worst_p99_ms = 5_935.0;
        assert!(!surge.text().contains("bottleneck"));
        surge.driver_busy = 86.0;
        assert!(surge.text().contains("bottleneck"));
    }
}
