//! Users who come and go: connect, authenticate, bind, fetch the roster, announce themselves, and leave. As many at a time
//! as are asked for, or so many a second, whatever has come of the others.

use std::collections::VecDeque;

use super::super::latency::Pulse;
use super::super::scenario::Login;
use super::super::stage::{Place, Play, Stage};

pub struct Churn {
    login: Login,
    share: f64,
    pulse: Option<Pulse>,
    is_playing: bool,
    last: usize,
    /// Who is there, with the time to leave; ascending, because all stay equally long.
    staying: VecDeque<(u64, usize)>,
    /// Times at which somebody was meant to come while nobody was away.
    waiting: VecDeque<u64>,
}

impl Churn {
    pub fn new(login: Login, share: f64) -> Self {
        let (staying, waiting) = (VecDeque::new(), VecDeque::new());
        Self {
            login,
            share,
            pulse: None,
            is_playing: false,
            last: 0,
            staying,
            waiting,
        }
    }

    /// Lets the next user come who is away.
    fn come(&mut self, stage: &mut Stage, at: u64) -> bool {
        let is_away = |stage: &Stage, seat: usize| stage.seats[seat].place == Place::Away;
        // In turn, hence nearly always the first that is looked at.
        let is_full = stage.entering + stage.here + stage.leaving == stage.seats.len();
        let seat = match is_full {
            true => None,
            false => super::next_seat(stage, &mut self.last, is_away),
        };
        seat.inspect(|seat| stage.enter(*seat, at)).is_some()
    }
}

impl Play for Churn {
    fn is_early(&self, _: &Stage, _: usize) -> bool {
        false
    }

    fn begin(&mut self, stage: &mut Stage) {
        self.is_playing = true;
        self.pulse = Pulse::new(self.login.rate * self.share, stage.now());
        self.last = stage.seats.len() - 1;
    }

    fn entered(&mut self, stage: &mut Stage, seat: usize) {
        let stay = self.login.stay.0.as_micros() as u64;
        self.staying.push_back((stage.now() + stay, seat));
    }

    fn due(&mut self, stage: &mut Stage, now: u64) -> Option<u64> {
        while self.staying.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, seat)) = self.staying.pop_front() {
                stage.leave(seat);
            }
        }
        if self.is_playing {
            match &mut self.pulse {
                Some(pulse) => self.waiting.extend(std::iter::from_fn(|| pulse.due(now))),
                None => {
                    let most = (f64::from(self.login.in_flight) * self.share).ceil() as usize;
                    let free = most.saturating_sub(stage.entering);
                    self.waiting.extend(std::iter::repeat_n(now, free));
                }
            }
            while let Some(&at) = self.waiting.front() {
                if !self.come(stage, at) {
                    break;
                }
                self.waiting.pop_front();
            }
            if self.pulse.is_none() {
                self.waiting.clear();
            }
        }
        let leaving = self.staying.front().map(|(at, _)| *at);
        let coming = self.pulse.as_ref().map(Pulse::next);
        [leaving, coming].into_iter().flatten().min()
    }

    fn stop(&mut self, stage: &mut Stage) {
        self.is_playing = false;
        let waiting = std::mem::take(&mut self.waiting).len() as u64;
        if waiting > 0 {
            let said = "a login was due, and nobody was away who could come";
            stage.complaints.add_many(said, waiting);
        }
    }

    fn is_at_rest(&self, stage: &Stage) -> bool {
        stage.entering == 0 && stage.here == 0 && stage.leaving == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_that_nobody_could_make_are_told() {
        let mut stage = Stage::of_nobody(1);
        let login = Login {
            rate: 1_000.0,
            ..Login::default()
        };
        let mut churn = Churn::new(login, 1.0);
        churn.begin(&mut stage);
        stage.seats[0].place = Place::Here;
        stage.here = 1;
        let later = stage.now() + 10_000;
        churn.due(&mut stage, later);
        churn.stop(&mut stage);
        assert!(stage.faults.is_clean());
        let told: Vec<u64> = stage.complaints.0.into_values().collect();
        // Ten milliseconds, and what this machine took meanwhile.
        assert!(matches!(told[..], [10..=u64::MAX]), "{told:?}");
    }
}
