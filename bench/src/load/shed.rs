//! What a surge asked of a server, and what the server put off or refused meanwhile, as far as its clients can see. It knows nothing of
//! who acts, nor of what was measured outside the surge.

use serde::{Deserialize, Serialize};

/// Acts of one kind: how many there were to be, and how many of them were done. For the others nobody was there who could.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    pub asked: u64,
    pub sent: u64,
}

impl Offered {
    pub fn count(&mut self, is_done: bool) {
        self.asked += 1;
        self.sent += u64::from(is_done);
    }

    fn add(&mut self, other: &Self) {
        self.asked += other.asked;
        self.sent += other.sent;
    }

    /// Of what was asked, 0 to 1; None when nothing was.
    pub fn share(&self) -> Option<f64> {
        (self.asked > 0).then(|| self.sent as f64 / self.asked as f64)
    }
}

/// Of one kind of service: what was meant within the surge and put off, what was refused, and what was meant first of these, in
/// microseconds since the surge began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    pub put_off: u64,
    pub refused: u64,
    pub first: Option<u64>,
}

impl Withheld {
    /// What was meant so long after the surge began took so long, or was refused.
    pub fn note(&mut self, meant: u64, took: u64, is_refused: bool) {
        if is_refused {
            self.refused += 1;
        } else if took > PUT_OFF {
            self.put_off += 1;
        } else {
            return;
        }
        self.first = Some(self.first.map_or(meant, |first| first.min(meant)));
    }

    fn add(&mut self, other: &Self) {
        self.put_off += other.put_off;
        self.refused += other.refused;
        self.first = self.first.into_iter().chain(other.first).min();
    }
}

/// Everything of one surge: of a thread, or of all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shed {
    pub messages: Offered,
    pub presence: Offered,
    pub archive_reads: Offered,
    pub logins: Offered,
    pub withheld_logins: Withheld,
    pub withheld_presence: Withheld,
    pub withheld_reads: Withheld,
    /// Presence on its way to contacts who looked, and how much of it came: of the rest a newer one has taken the place.
    pub deliveries: Offered,
    /// Logins and requests refused before the surge, when there was nothing to shed.
    pub refused_before: u64,
    /// By how many microseconds an act was done later than it was meant, at the most: the driver's own fault.
    pub late: u64,
    /// Of the surge, in microseconds: what the driver's process ran, and how long the surge was for its threads together.
    pub driver_cpu: u64,
    pub driver_time: u64,
}

impl Shed {
    pub fn offered(&self) -> [(&'static str, &Offered); 4] {
        [
            ("messages", &self.messages),
            ("presence", &self.presence),
            ("archive reads", &self.archive_reads),
            ("logins", &self.logins),
        ]
    }

    pub fn withheld(&self) -> [(&'static str, &Withheld); 3] {
        [
            ("logins", &self.withheld_logins),
            ("presence", &self.withheld_presence),
            ("archive reads", &self.withheld_reads),
        ]
    }

    /// What was withheld, the first of all first, with seconds since the surge began.
    pub fn order(&self) -> String {
        let withheld = self.withheld();
        let mut firsts: Vec<(u64, &str)> = withheld
            .into_iter()
            .filter_map(|(name, withheld)| Some((withheld.first?, name)))
            .collect();
        firsts.sort_unstable();
        let firsts = firsts.iter();
        let firsts = firsts.map(|(at, name)| format!("{name} ({:.2} s)", *at as f64 / 1e6));
        match firsts.collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => "nothing was put off or refused".to_owned(),
            all => all,
        }
    }

    /// Of what was asked, the share that was offered: of the kind of which the least was.
    pub fn least_share(&self) -> f64 {
        let shares = self.offered().map(|(_, offered)| offered.share());
        shares.into_iter().flatten().fold(1.0, f64::min)
    }

    pub fn add(&mut self, other: &Self) {
        self.messages.add(&other.messages);
        self.presence.add(&other.presence);
        self.archive_reads.add(&other.archive_reads);
        self.logins.add(&other.logins);
        self.withheld_logins.add(&other.withheld_logins);
        self.withheld_presence.add(&other.withheld_presence);
        self.withheld_reads.add(&other.withheld_reads);
        self.deliveries.add(&other.deliveries);
        self.refused_before += other.refused_before;
        self.late = self.late.max(other.late);
        // Each thread tells of its whole process.
        self.driver_cpu = self.driver_cpu.max(other.driver_cpu);
        self.driver_time += other.driver_time;
    }
}

/// In microseconds. What takes longer was put off; below that it may have waited for its turn only, as at any time.
pub const PUT_OFF: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_withheld_the_first_is_known_whichever_thread_had_it() {
        let (mut one, mut other) = (Withheld::default(), Withheld::default());
        one.note(10, PUT_OFF, false);
        assert_eq!(one, Withheld::default(), "it waited for its turn");
        one.note(700, PUT_OFF + 1, false);
        other.note(800, 0, true);
        other.note(300, 2 * PUT_OFF, false);
        one.add(&other);
        let sum = Withheld {
            put_off: 2,
            refused: 1,
            first: Some(300),
        };
        assert_eq!(one, sum);
    }

    #[test]
    fn the_order_is_that_in_which_things_were_meant() {
        let mut shed = Shed::default();
        assert_eq!(shed.order(), "nothing was put off or refused");
        shed.withheld_reads.note(2_500_000, 0, true);
        shed.withheld_logins.note(400_000, 2 * PUT_OFF, false);
        assert_eq!(shed.order(), "logins (0.40 s), archive reads (2.50 s)");
    }

    #[test]
    fn what_was_offered_is_the_kind_of_which_the_least_was() {
        let mut shed = Shed::default();
        assert_eq!(shed.least_share(), 1.0);
        shed.messages = Offered {
            asked: 1_000,
            sent: 1_000,
        };
        shed.logins.count(true);
        shed.logins.count(false);
        assert_eq!(shed.least_share(), 0.5);
    }
}
