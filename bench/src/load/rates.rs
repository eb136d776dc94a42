//! How much happens in a second, by what threads tell now and then: each by its own clock, because what it tells comes when it comes.
//! It knows nothing of what is done with it.

use std::collections::HashMap;

use super::counts::Counts;

/// The threads of a run, each by its part and its number there.
#[derive(Default)]
pub(super) struct Rates(HashMap<(usize, usize), Told>);

#[derive(Default)]
struct Told {
    /// At the last point of the timeline, and now: microseconds of the thread's clock, and counts since its start.
    before: (u64, Counts),
    now: (u64, Counts),
    lately: Rate,
}

/// A second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rate {
    pub sent: f64,
    pub received: f64,
    pub presence: f64,
    pub logins: f64,
}

impl Rates {
    pub fn told(&mut self, thread: (usize, usize), at: u64, counts: Counts) {
        self.0.entry(thread).or_default().now = (at, counts);
    }

    /// Of all threads since the last point; of who has told nothing since then, what it was up to there.
    pub fn point(&mut self) -> Rate {
        let mut sum = Rate::default();
        for told in self.0.values_mut() {
            let (before, now) = (&told.before, &told.now);
            let seconds = now.0.saturating_sub(before.0) as f64 / 1e6;
            if seconds > 0.0 {
                let new = now.1.since(&before.1);
                told.lately = Rate {
                    sent: new.messages_sent as f64 / seconds,
                    received: new.messages_received as f64 / seconds,
                    presence: new.presence_received as f64 / seconds,
                    logins: new.logins as f64 / seconds,
                };
                told.before = told.now;
            }
            sum.sent += told.lately.sent;
            sum.received += told.lately.received;
            sum.presence += told.lately.presence;
            sum.logins += told.lately.logins;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two threads at 160 messages a second each, telling every 200 ms at different moments, and points of 250 ms.
    #[test]
    fn what_goes_on_evenly_has_neither_peaks_nor_dips() {
        let mut rates = Rates::default();
        let tell = |rates: &mut Rates, thread: usize, at: u64| {
            let messages_received = at * 160 / 1_000;
            let counts = Counts {
                messages_received,
                ..Counts::default()
            };
            rates.told((0, thread), at * 1_000, counts);
        };
        for millisecond in 1..10_000_u64 {
            if millisecond.is_multiple_of(200) {
                tell(&mut rates, 0, millisecond);
            }
            if millisecond.is_multiple_of(200) && millisecond > 200 {
                tell(&mut rates, 1, millisecond - 75);
            }
            if millisecond.is_multiple_of(250) && millisecond > 500 {
                let received = rates.point().received;
                assert!(
                    (315.0..325.0).contains(&received),
                    "{received} at {millisecond} ms"
                );
            }
        }
    }
}
