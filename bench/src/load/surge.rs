//! What a surge of load did: how late messages were before and in it, and how soon all was well again.

use serde::{Deserialize, Serialize};

use super::result::Moment;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Surge {
    pub factor: f64,
    /// Seconds since the first login.
    pub from: f64,
    pub to: f64,
    /// Of the points of the timeline before it, the median of their 99th percentiles.
    pub before_p99_ms: f64,
    pub worst_p99_ms: f64,
    /// Seconds from its end until latencies were as before, or nearly; None if they were not within the time measured.
    pub recovered_after: Option<f64>,
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
        let before_p99_ms = crate::figures::median(&before.collect::<Vec<_>>());
        let since = late.iter().filter(|(at, _)| *at >= from);
        let worst_p99_ms = since.map(|(_, p99)| *p99).fold(0.0, f64::max);
        let enough = (TOLERANCE * before_p99_ms).max(GOOD_ENOUGH_MS);
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
            recovered_after: well.map(|points| points[0].0 - to),
        }
    }

    /// For the terminal.
    pub fn text(&self) -> String {
        let recovered = match self.recovered_after {
            Some(after) => format!("as before {after:.1} s after its end"),
            None => "not as before within the time measured".to_owned(),
        };
        format!(
            "surge of {:.1} times: p99 {:.1} ms before, {:.0} ms at worst, {recovered}",
            self.factor, self.before_p99_ms, self.worst_p99_ms
        )
    }
}

/// Times the latency before: nearly as good.
const TOLERANCE: f64 = 3.0;
/// What nobody minds, whatever was before.
const GOOD_ENOUGH_MS: f64 = 50.0;
const POINTS_THAT_PROVE: usize = 3;

#[cfg(test)]
mod tests {
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
        assert_eq!((surge.before_p99_ms, surge.worst_p99_ms), (20.0, 5_000.0));
        assert_eq!(surge.recovered_after, Some(3.0));
        let surge = Surge::read(9.0, 3.0, 5.0, &timeline(&late[..9]));
        assert_eq!(surge.recovered_after, None);
    }
}
