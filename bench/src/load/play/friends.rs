//! Rosters over the wire (RFC 6121 section 3): everybody on the ring asks the neighbours ahead, who agree and ask back.

use std::collections::HashSet;

use super::super::scenario::Users;
use super::super::stage::{Play, Stage};
use super::ring::Ring;
use crate::client::stanza::Stanza;

pub struct Friends {
    ring: Ring,
    /// Who asks whom, still to come; the last is the next.
    pending: Vec<(usize, usize)>,
    under_way: HashSet<(usize, usize)>,
}

impl Friends {
    pub fn new(users: &Users) -> Self {
        Self {
            ring: Ring::of(users),
            pending: Vec::new(),
            under_way: HashSet::new(),
        }
    }

    fn ask(&self, stage: &mut Stage, from: usize, to: usize, kind: &str) {
        let address = stage.plan.people.bare(stage.user(to));
        stage.send(
            from,
            format!("<presence to='{address}' type='{kind}'/>").as_bytes(),
        );
    }

    fn other(&self, stage: &Stage, stanza: Stanza<'_>) -> Option<usize> {
        let from = stage.plan.people.number(stanza.attribute("from")?)?;
        stage.seat_of(from)
    }
}

impl Play for Friends {
    fn begin(&mut self, stage: &mut Stage) {
        for seat in (0..stage.seats.len()).rev() {
            // Even places are ahead.
            for place in (0..self.ring.contacts()).step_by(2) {
                self.pending.push((seat, self.ring.contact(seat, place)));
            }
        }
    }

    fn presence(
        &mut self,
        stage: &mut Stage,
        seat: usize,
        _: Option<super::super::words::Id>,
        stanza: Stanza<'_>,
    ) {
        let Some(other) = self.other(stage, stanza) else {
            return;
        };
        match stanza.kind() {
            b"subscribe" => {
                self.ask(stage, seat, other, "subscribed");
                if self.under_way.contains(&(other, seat)) {
                    self.ask(stage, seat, other, "subscribe");
                }
            }

            // The second half is done when the neighbour ahead hears that it may see us, too.
            b"subscribed" if self.under_way.remove(&(other, seat)) => {
                stage.counts.presence_received += 1;
            }
            b"error" => {
                stage.faults.refused += 1;
                stage.complaints.add(&format!(
                    "a subscription: {}",
                    super::super::stage::condition(stanza)
                ));
                self.under_way.remove(&(seat, other));
            }
            _ => {}
        }
    }

    fn due(&mut self, stage: &mut Stage, _: u64) -> Option<u64> {
        while self.under_way.len() < AT_A_TIME {
            let (seat, other) = self.pending.pop()?;
            self.under_way.insert((seat, other));
            self.ask(stage, seat, other, "subscribe");
            stage.counts.presence_sent += 1;
        }
        None
    }

    fn is_at_rest(&self, _: &Stage) -> bool {
        self.pending.is_empty() && self.under_way.is_empty()
    }

    fn close(&mut self, stage: &mut Stage) {
        stage.faults.refused += (self.pending.len() + self.under_way.len()) as u64;
    }
}

/// Subscriptions under way at a time: enough to keep the server busy.
const AT_A_TIME: usize = 64;
