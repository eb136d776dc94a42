//! Pairs who exchange messages: in a closed loop whoever receives one sends one back, in an open one they leave at a rate,
//! whatever has arrived.

use super::super::latency::Pulse;
use super::super::ledger::Ledger;
use super::super::scenario::Chat;
use super::super::stage::{Play, Stage};
use super::super::words::{Id, message};
use super::next_seat;

pub struct Pairs {
    chat: Chat,
    share: f64,
    ledger: Ledger,
    /// Of an open loop, while it plays.
    pulse: Option<Pulse>,
    is_playing: bool,
    last: usize,
}

impl Pairs {
    pub fn new(chat: Chat, share: f64) -> Self {
        let ledger = Ledger::default();
        Self {
            chat,
            share,
            ledger,
            pulse: None,
            is_playing: false,
            last: usize::MAX - 1,
        }
    }

    fn say(&mut self, stage: &mut Stage, seat: usize, at: u64) {
        let (sender, receiver) = (stage.user(seat), stage.user(seat ^ 1));
        let number = self.ledger.send(sender, receiver);
        let to = stage.plan.people.full(receiver);
        let id = stage.id(sender, number, at);
        let text = message(&to, "chat", id, self.chat.size);
        stage.send(seat, text.as_bytes());
        stage.counts.messages_sent += 1;
    }
}

impl Play for Pairs {
    fn begin(&mut self, stage: &mut Stage) {
        self.is_playing = true;
        let now = stage.now();
        self.pulse = Pulse::new(self.chat.rate * self.share, now);
        self.last = stage.seats.len() - 1;
        if self.pulse.is_some() {
            return;
        }
        for seat in (0..stage.seats.len()).step_by(2) {
            for _ in 0..self.chat.window {
                if stage.is_here(seat) && stage.is_here(seat ^ 1) {
                    self.say(stage, seat, now);
                }
            }
        }
    }

    fn message(&mut self, stage: &mut Stage, seat: usize, id: Id) {
        let receiver = stage.user(seat);
        let is_due = self
            .ledger
            .receive(id.sender, receiver, id.number, &mut stage.faults);
        if !is_due {
            return;
        }
        let now = stage.now();
        stage.counts.messages_received += 1;
        let took = now.saturating_sub(id.at);
        stage.lately.record(took);
        if stage.counts_at(id.at) {
            stage.latencies.messages.record(took);
        }
        if self.is_playing && self.pulse.is_none() {
            self.say(stage, seat, now);
        }
    }

    fn due(&mut self, stage: &mut Stage, now: u64) -> Option<u64> {
        if !self.is_playing {
            return None;
        }
        while let Some(at) = self.pulse.as_mut()?.due(now) {
            let both = |stage: &Stage, seat: usize| stage.is_here(seat) && stage.is_here(seat ^ 1);
            if let Some(seat) = next_seat(stage, &mut self.last, both) {
                self.say(stage, seat, at);
            }
        }
        self.pulse.as_ref().map(Pulse::next)
    }

    fn stop(&mut self, _: &mut Stage) {
        self.is_playing = false;
    }

    fn is_at_rest(&self, _: &Stage) -> bool {
        self.ledger.under_way() == 0
    }

    fn close(&mut self, stage: &mut Stage) {
        self.ledger.close(&mut stage.faults);
    }
}
