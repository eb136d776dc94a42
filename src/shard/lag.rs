//! The time of one worker: how long what clients send waits until it is read, and what is shed while that is too long. Memory
//! says nothing of it: what waits in sockets is nobody's queue. Refuses to know how the loop finds out.

use crate::base::{Now, limits};

use super::load::Pressure;

/// What the shell has said, smoothed.
#[derive(Default)]
pub(super) struct Lag {
    ms: u64,
    /// When it was said last, on the monotonic clock.
    said_at_ms: u64,
    level: Pressure,
}

impl Lag {
    /// Something has waited for so long. A longer lag counts at once, for the shell knows a stall from a lack of time; a shorter
    /// one by and by, or what waits would be let go all at once and be too much again. `after_ms` is from when on new logins
    /// wait; 0 if none ever shall.
    pub fn note(&mut self, now: Now, waited_ms: u64, after_ms: u64) {
        let passed_ms = now.mono_ms.saturating_sub(self.said_at_ms);
        self.said_at_ms = now.mono_ms;
        let waited_ms = waited_ms.min(after_ms.saturating_mul(limits::LAG_MOST));
        self.ms = match waited_ms >= self.ms {
            true => waited_ms,
            false => {
                let weight = passed_ms.min(limits::LAG_CALM_MS);
                let sum = self.ms * limits::LAG_FALL_MS + waited_ms * weight;
                sum / (limits::LAG_FALL_MS + weight)
            }
        };
        self.level = self.next_level(after_ms);
    }

    /// What is reached counts at once. What was reached is over when the lag is half of what it takes.
    fn next_level(&self, after_ms: u64) -> Pressure {
        if after_ms == 0 {
            return Pressure::None;
        }
        let held = LEVELS.into_iter().rev().find(|(times, level)| {
            let from_ms = after_ms.saturating_mul(*times);
            match *level <= self.level {
                true => self.ms >= from_ms / 2,
                false => self.ms >= from_ms,
            }
        });
        held.map_or(Pressure::None, |(_, level)| level)
    }

    /// What is shed because of it.
    pub fn level(&self) -> Pressure {
        self.level
    }

    /// Milliseconds.
    pub fn ms(&self) -> u64 {
        self.ms
    }
}

/// From how many times the operator's measure on what is shed. Nobody loses a connection because time is short: it would cost
/// more to come back.
const LEVELS: [(u64, Pressure); 3] = [
    (limits::LAG_LOGINS, Pressure::Logins),
    (limits::LAG_PRESENCE, Pressure::Presence),
    (limits::LAG_ARCHIVE, Pressure::Archive),
];

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, rendered, stage};
    use super::super::{Input, Opened, Shard};
    use super::*;
    use crate::base::AddressPrefix;

    const AFTER_MS: u64 = 200;

    /// Says it every `every_ms` for so many times; what is shed then.
    fn say(lag: &mut Lag, waited_ms: u64, every_ms: u64, times: u64) -> Pressure {
        for _ in 0..times {
            let now = Now {
                mono_ms: lag.said_at_ms + every_ms,
                wall_ms: 0,
            };
            lag.note(now, waited_ms, AFTER_MS);
        }
        lag.level()
    }

    #[test]
    fn the_longer_it_waits_the_more_is_shed_logins_first_then_presence_then_archives() {
        let mut lag = Lag::default();
        let seen = [0, 199, 200, 399, 400, 799, 800, 100_000].map(|ms| say(&mut lag, ms, 1, 1));
        assert_eq!(
            seen,
            [
                Pressure::None,
                Pressure::None,
                Pressure::Logins,
                Pressure::Logins,
                Pressure::Presence,
                Pressure::Presence,
                Pressure::Archive,
                Pressure::Archive,
            ]
        );
    }

    #[test]
    fn what_was_shed_last_is_taken_up_first_and_not_before_the_lag_is_half_as_long() {
        let mut lag = Lag::default();
        say(&mut lag, 800, 1, 1);
        let mut seen = vec![lag.level()];
        for ms in [401, 399, 201, 199, 101, 99] {
            // For so long that nothing of what was before counts.
            let level = say(&mut lag, ms, 1_000, 20);
            seen.push(level);
        }
        use Pressure::{Archive, Logins, None, Presence};
        let expected = [Archive, Archive, Presence, Presence, Logins, Logins, None];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_worker_that_keeps_up_again_sheds_nothing_after_a_second_however_far_behind_it_was() {
        let mut lag = Lag::default();
        say(&mut lag, 3_600_000, 1, 1);
        assert_eq!(say(&mut lag, 0, 1, 1_000), Pressure::None);
    }

    #[test]
    fn one_quick_round_of_the_loop_does_not_end_it() {
        let mut lag = Lag::default();
        say(&mut lag, 1_000, 1, 1);
        assert_eq!(say(&mut lag, 0, 1, 1), Pressure::Archive);
        assert!(say(&mut lag, 0, 1, 1_000) < Pressure::Archive);
    }

    #[test]
    fn who_waited_at_the_door_for_too_long_hears_at_once_that_there_is_no_time_unless_there_is() {
        let (mut shard, _) = stage();
        let late = |shard: &mut Shard, waited_ms: u64| {
            let opened = Opened {
                listener: 0,
                prefix: AddressPrefix::Local,
                address: None,
                peer: "192.0.2.1:50123".into(),
                secured: None,
                waited_ms,
            };
            let key = shard.open(NOW, opened);
            rendered(shard, key)
        };
        assert_eq!(late(&mut shard, limits::LOGIN_PATIENCE_MS), "");
        shard.handle(NOW, Input::Waited(limits::OVERLOAD_AFTER_MS));
        assert!(!shard.admits());
        assert_eq!(late(&mut shard, limits::LOGIN_PATIENCE_MS - 1), "");
        let said = late(&mut shard, limits::LOGIN_PATIENCE_MS);
        // RFC 6120 section 4.9.1.2: "the receiving entity MUST still send the opening <stream> tag".
        let (header, error) = (
            said.find("<stream:stream "),
            said.find("<resource-constraint "),
        );
        assert!(header.is_some() && header < error, "{said}");
        assert!(said.ends_with("</stream:stream>"), "{said}");
    }

    #[test]
    fn an_operator_who_wants_nothing_shed_for_want_of_time_gets_that() {
        let mut lag = Lag::default();
        lag.note(Now::default(), 100_000, 0);
        assert_eq!(lag.level(), Pressure::None);
    }
}
