//! What all threads of a run say in the end, added up, and whether that is a success. It knows nothing of how they were led.

use std::collections::HashMap;

use super::counts::{Latencies, Outcome};
use super::result::RunResult;
use super::shed::Shed;

/// Adds it to a result, which knows the rest already. Each outcome has the number of its part.
pub(super) fn sum_up(
    outcomes: &[(usize, Outcome)],
    latencies: &Latencies,
    is_load: bool,
    result: &mut RunResult,
) {
    let mut by_part: HashMap<usize, (f64, f64)> = HashMap::new();
    for (part, outcome) in outcomes {
        result.faults.add(&outcome.faults);
        result.counts = result.counts.plus(&outcome.counts);
        result.superseded += outcome.superseded;
        result.of_other_runs += outcome.of_other_runs;
        for (text, times) in &outcome.complaints.0 {
            result.complaints.add_many(text, *times);
        }
        let seconds = outcome.window as f64 / 1e6;
        result.seconds = result.seconds.max(seconds);
        // Each thread tells of its whole process.
        let cpu = outcome.driver_cpu as f64 / 1e6;
        let entry = by_part.entry(*part).or_default();
        *entry = (entry.0.max(cpu), entry.1 + seconds);
    }
    for (cpu, thread_seconds) in by_part.values() {
        result.driver_cpu += cpu;
        let busy = 100.0 * cpu / thread_seconds.max(1e-3);
        result.driver_busy = result.driver_busy.max(busy);
    }
    // A load that nobody was there to carry must not pass for one that was carried.
    let nothing_done = is_load && result.operations().1 == 0;
    if nothing_done && result.faults.is_clean() {
        result.complaints.add("nothing was done at all");
    }
    result.passed = match &mut result.surge {
        None => result.faults.is_clean() && !nothing_done,
        Some(surge) => {
            (surge.shed, surge.driver_busy) = shed(outcomes);
            let failures = surge.failures();
            for failure in &failures {
                result.complaints.add(failure);
            }
            result.faults.is_shedding() && !nothing_done && failures.is_empty()
        }
    };
    result.latency.messages = latencies.messages.summary();
    result.latency.presence = latencies.presence.summary();
    result.latency.logins = latencies.logins.summary();
    result.latency.archive = latencies.archive.summary();
    result.recorded = latencies.recorded();
}

/// What all threads say of a surge, and how busy the busiest part was within it, in percent.
fn shed(outcomes: &[(usize, Outcome)]) -> (Shed, f64) {
    let mut by_part: HashMap<usize, Shed> = HashMap::new();
    for (part, outcome) in outcomes {
        let sum = by_part.entry(*part).or_default();
        sum.add(&outcome.shed.unwrap_or_default());
    }
    let (mut all, mut busiest) = (Shed::default(), 0.0);
    for shed in by_part.values() {
        all.add(shed);
        let busy = 100.0 * shed.driver_cpu as f64 / shed.driver_time.max(1) as f64;
        busiest = f64::max(busiest, busy);
    }
    (all, busiest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::ledger::Faults;
    use crate::load::report::tests::result;
    use crate::load::surge::Surge;

    /// Whether a run passes that went well but for this.
    fn passes(faults: Faults, shed: Shed) -> bool {
        let mut result = result();
        result.faults = Faults::default();
        let mut surge = Surge::read(3.0, 1.0, 2.0, &result.timeline);
        surge.recovered_after = Some(1.0);
        result.surge = Some(surge);
        let outcome = Outcome {
            counts: result.counts,
            faults,
            shed: Some(shed),
            ..Outcome::default()
        };
        sum_up(&[(0, outcome)], &Latencies::new(), true, &mut result);
        result.passed
    }

    #[test]
    fn a_surge_may_have_people_turned_away_but_takes_no_session() {
        let (clean, shed) = (Faults::default(), Shed::default());
        assert!(passes(clean, shed));
        let turned_away = Faults {
            refused: 100,
            logins_failed: 100,
            ..clean
        };
        assert!(passes(turned_away, shed));
        assert!(!passes(Faults { closed: 1, ..clean }, shed));
        assert!(!passes(Faults { lost: 1, ..clean }, shed));
        let refused_before = Shed {
            refused_before: 1,
            ..shed
        };
        assert!(!passes(turned_away, refused_before));
    }
}
