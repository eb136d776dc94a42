//! Presence that changes, and contacts who hear of it: in a closed loop who was heard by all of them says the next thing,
//! in an open one changes come at a rate, and then a server may pass over what is out of date.

use super::super::latency::Pulse;
use super::super::scenario::{Presence, Users};
use super::super::stage::{Play, Stage};
use super::super::words::{Id, presence};
use super::next_seat;
use super::ring::{Hearers, Ring};
use crate::client::stanza::Stanza;

pub struct Flips {
    presence: Presence,
    share: f64,
    ring: Ring,
    hearers: Hearers,
    pulse: Option<Pulse>,
    is_playing: bool,
    last: usize,
    /// By seat: contacts who have not heard its last change yet.
    waiting_for: Vec<u32>,
    /// By seat: when its last change was meant.
    last_said: Vec<u64>,
}

impl Flips {
    pub fn new(presence: Presence, users: &Users, share: f64) -> Self {
        let (ring, hearers) = (Ring::of(users), Hearers::new(0, 0));
        let (waiting_for, last_said) = (Vec::new(), Vec::new());
        Self {
            presence,
            share,
            ring,
            hearers,
            pulse: None,
            is_playing: false,
            last: 0,
            waiting_for,
            last_said,
        }
    }

    fn say(&mut self, stage: &mut Stage, seat: usize, at: u64) {
        let hearers = (0..self.ring.contacts())
            .filter(|p| stage.is_here(self.ring.contact(seat, *p)))
            .count();
        let number = self.hearers.say(seat, hearers);
        self.waiting_for[seat] = hearers as u32;
        self.last_said[seat] = at;
        let id = stage.id(stage.user(seat), number, at);
        stage.send(seat, presence(id).as_bytes());
        stage.counts.presence_sent += 1;
    }

    fn say_next(&mut self, stage: &mut Stage, at: u64) {
        let is_open = self.pulse.is_some();
        let waiting = std::mem::take(&mut self.waiting_for);
        let is_fit =
            |stage: &Stage, seat: usize| stage.is_here(seat) && (is_open || waiting[seat] == 0);
        let seat = next_seat(stage, &mut self.last, is_fit);
        self.waiting_for = waiting;
        if let Some(seat) = seat {
            self.say(stage, seat, at);
        }
    }
}

impl Play for Flips {
    fn begin(&mut self, stage: &mut Stage) {
        let seats = stage.seats.len();
        self.hearers = Hearers::new(seats, self.ring.contacts());
        self.waiting_for = vec![0; seats];
        self.last_said = vec![0; seats];
        self.last = seats - 1;
        self.is_playing = true;
        let now = stage.now();
        self.pulse = Pulse::new(self.presence.rate * self.share, now);
        if self.pulse.is_none() {
            let speakers = (f64::from(self.presence.speakers) * self.share).ceil() as usize;
            for _ in 0..speakers.clamp(1, seats) {
                self.say_next(stage, now);
            }
        }
    }

    fn presence(&mut self, stage: &mut Stage, seat: usize, id: Option<Id>, _: Stanza<'_>) {
        let Some(id) = id else {
            return;
        };
        // RFC 6121 section 4.4.2: one's own presence comes back, too.
        let Some(speaker) = stage.seat_of(id.sender).filter(|speaker| *speaker != seat) else {
            return;
        };
        let Some(place) = self.ring.place(seat, speaker) else {
            stage.faults.misrouted += 1;
            return;
        };
        let heard = self
            .hearers
            .hear(seat, place, speaker, id.number, &mut stage.faults);
        let Some(skipped) = heard else {
            return;
        };
        match self.pulse {
            Some(_) => stage.superseded += u64::from(skipped),
            None => stage.faults.lost += u64::from(skipped),
        }
        stage.counts.presence_received += 1;
        let now = stage.now();
        let took = now.saturating_sub(id.at);
        stage.lately.record(took);
        if stage.counts_at(id.at) {
            stage.latencies.presence.record(took);
        }
        if id.at == self.last_said[speaker] {
            let left = &mut self.waiting_for[speaker];
            *left = left.saturating_sub(1);
            if *left == 0 && self.is_playing && self.pulse.is_none() {
                self.say_next(stage, now);
            }
        }
    }

    fn due(&mut self, stage: &mut Stage, now: u64) -> Option<u64> {
        if !self.is_playing {
            return None;
        }
        while let Some(at) = self.pulse.as_mut()?.due(now) {
            self.say_next(stage, at);
        }
        self.pulse.as_ref().map(Pulse::next)
    }

    fn stop(&mut self, _: &mut Stage) {
        self.is_playing = false;
    }

    fn is_at_rest(&self, _: &Stage) -> bool {
        self.hearers.under_way() == 0
    }

    fn close(&mut self, stage: &mut Stage) {
        self.hearers.close(&mut stage.faults);
    }
}
