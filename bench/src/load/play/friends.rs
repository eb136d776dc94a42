//! Rosters over the wire (RFC 6121 section 3): everybody on the ring asks the neighbours ahead, who agree and ask back. What
//! is there already, or half of it, is left as it is: a server does not tell anybody of what changes nothing.

use std::collections::HashSet;

use super::super::scenario::Users;
use super::super::stage::{Play, Stage};
use super::ring::Ring;
use crate::client::stanza::{Stanza, escaped};

pub struct Friends {
    ring: Ring,
    /// Who asks whom, still to come; the last is the next.
    pending: Vec<(usize, usize)>,
    under_way: HashSet<(usize, usize)>,
    /// Who is told of whose presence.
    seen: HashSet<(usize, usize)>,
    /// Who has asked whom, in another run.
    asked: HashSet<(usize, usize)>,
}

impl Friends {
    pub fn new(users: &Users) -> Self {
        Self {
            ring: Ring::of(users),
            pending: Vec::new(),
            under_way: HashSet::new(),
            seen: HashSet::new(),
            asked: HashSet::new(),
        }
    }

    /// The next step of two who are to see each other, the one that asks first before the other; false when all is done.
    fn go_on(&self, stage: &mut Stage, (seat, other): (usize, usize)) -> bool {
        let ways = [(seat, other), (other, seat)];
        let Some((from, to)) = ways.into_iter().find(|way| !self.seen.contains(way)) else {
            return false;
        };
        self.ask(stage, from, to, "subscribe");
        // Whoever was asked before is not asked twice by every server.
        if self.asked.contains(&(from, to)) {
            self.ask(stage, to, from, "subscribed");
        }
        true
    }

    /// Those two, if they are under way, in the order in which they began.
    fn pair(&self, one: usize, other: usize) -> Option<(usize, usize)> {
        let pairs = [(one, other), (other, one)];
        pairs.into_iter().find(|pair| self.under_way.contains(pair))
    }

    fn remember(&mut self, stage: &mut Stage) {
        for (owner, contacts) in std::mem::take(&mut stage.plan.rosters) {
            for contact in contacts {
                if let (Some(owner), Some(seat)) =
                    (stage.seat_of(owner), stage.seat_of(contact.user))
                {
                    let ways = [
                        (contact.is_seen, &mut self.seen),
                        (contact.is_asked, &mut self.asked),
                    ];
                    for (_, set) in ways.into_iter().filter(|(holds, _)| *holds) {
                        set.insert((owner, seat));
                    }
                }
            }
        }
    }

    fn ask(&self, stage: &mut Stage, from: usize, to: usize, kind: &str) {
        let address = stage.plan.people.bare(stage.user(to));
        let (address, id) = (escaped(&address), id(stage));
        let text = format!("<presence to='{address}' type='{kind}' id='{id}'/>");
        stage.send(from, text.as_bytes());
    }

    fn other(&self, stage: &Stage, stanza: Stanza<'_>) -> Option<usize> {
        let from = stage.plan.people.number(stanza.attribute("from")?)?;
        stage.seat_of(from)
    }
}

impl Play for Friends {
    fn begin(&mut self, stage: &mut Stage) {
        self.remember(stage);
        for seat in (0..stage.seats.len()).rev() {
            // Even places are ahead.
            for place in (0..self.ring.contacts()).step_by(2) {
                let other = self.ring.contact(seat, place);
                let is_there = |way| self.seen.contains(&way);
                if !is_there((seat, other)) || !is_there((other, seat)) {
                    self.pending.push((seat, other));
                }
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
            b"subscribe" => self.ask(stage, seat, other, "subscribed"),
            b"subscribed" => {
                let is_new = self.seen.insert((seat, other));
                if let Some(pair) = self.pair(seat, other).filter(|_| is_new)
                    && !self.go_on(stage, pair)
                {
                    self.under_way.remove(&pair);
                    stage.counts.presence_received += 1;
                }
            }
            // What another run asked for may bounce when its sessions are given up, and be told now.
            b"error" if is_of_another_run(stage, stanza) => stage.of_other_runs += 1,
            b"error" => {
                stage.faults.refused += 1;
                stage.complaints.add(&format!(
                    "a subscription: {}",
                    super::super::stage::condition(stanza)
                ));
                if let Some(pair) = self.pair(seat, other) {
                    self.under_way.remove(&pair);
                }
            }
            _ => {}
        }
    }

    fn due(&mut self, stage: &mut Stage, _: u64) -> Option<u64> {
        while self.under_way.len() < AT_A_TIME {
            let (seat, other) = self.pending.pop()?;
            self.under_way.insert((seat, other));
            self.go_on(stage, (seat, other));
            stage.counts.presence_sent += 1;
        }
        None
    }

    fn is_at_rest(&self, _: &Stage) -> bool {
        self.pending.is_empty() && self.under_way.is_empty()
    }

    fn close(&mut self, stage: &mut Stage) {
        let left = (self.pending.len() + self.under_way.len()) as u64;
        stage.faults.refused += left;
        if left > 0 {
            let said = "two who have not become contacts";
            stage.complaints.add_many(said, left);
        }
    }
}

/// Not read by the stage as ids of messages are: a request of another run is as good as one of this.
fn id(stage: &Stage) -> String {
    format!("{ASK}{}", stage.run)
}

fn is_of_another_run(stage: &Stage, stanza: Stanza<'_>) -> bool {
    let answered = stanza.attribute("id").unwrap_or_default();
    answered.starts_with(ASK.as_bytes()) && answered != id(stage).as_bytes()
}

const ASK: &str = "lc-ask.";
/// Subscriptions under way at a time: enough to keep the server busy.
const AT_A_TIME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::roster::Contact;

    /// A ring of four: what is between 0 and 1 is done, 1 has asked 2, 2 sees 3 alone, and 3 and 0 have nothing.
    #[test]
    fn what_is_missing_is_asked_for_and_nothing_else() {
        let mut stage = Stage::of_nobody(4);
        let contact = |user, is_asked: bool| Contact {
            user,
            is_seen: !is_asked,
            is_asked,
        };
        let rosters = [
            (0, vec![contact(1, false)]),
            (1, vec![contact(0, false), contact(2, true)]),
            (2, vec![contact(3, false)]),
        ];
        stage.plan.rosters = rosters.into();
        let users = Users {
            contacts: 2,
            community: 4,
            ..Users::default()
        };
        let mut friends = Friends::new(&users);
        friends.begin(&mut stage);
        friends.due(&mut stage, 0);
        // What comes back of another run's requests ends nothing.
        let from = stage.plan.people.bare(2);
        let text = format!("<presence from='{from}' type='error' id='{ASK}0'/>");
        let bytes = text.as_bytes();
        friends.presence(&mut stage, 1, None, Stanza { bytes });
        let mut under_way: Vec<_> = friends.under_way.iter().copied().collect();
        under_way.sort_unstable();
        assert_eq!(under_way, [(1, 2), (2, 3), (3, 0)]);
        let name = |stage: &Stage, seat| stage.plan.people.bare(stage.user(seat));
        for (seat, other) in [(1, 2), (2, 1), (3, 2), (3, 0)] {
            assert!(!friends.is_at_rest(&stage));
            let from = name(&stage, other);
            let text = format!("<presence from='{from}' type='subscribed'/>");
            // Twice is as good as once.
            for _ in 0..2 {
                let bytes = text.as_bytes();
                friends.presence(&mut stage, seat, None, Stanza { bytes });
            }
        }
        assert_eq!(friends.under_way.len(), 1, "0 does not see 3 yet");
        let text = format!("<presence from='{}' type='subscribed'/>", name(&stage, 3));
        let bytes = text.as_bytes();
        friends.presence(&mut stage, 0, None, Stanza { bytes });
        assert!(friends.is_at_rest(&stage));
        friends.close(&mut stage);
        assert!(stage.faults.is_clean());
    }
}
