//! What users do at a rate, each act by somebody who can, and what a surge makes of the rates. It knows nothing of what
//! comes of it.

use super::{ABSENCE, Day, READ};
use crate::load::latency::Pulse;
use crate::load::shed::{Offered, Shed};
use crate::load::stage::{Place, Stage};
use crate::load::words::{message, presence};

/// What happens at a rate.
#[derive(Clone, Copy)]
pub(super) enum Act {
    Write,
    Flip,
    Read,
    Leave,
    Cut,
}

pub(super) const ACTS: [Act; 5] = [Act::Write, Act::Flip, Act::Read, Act::Leave, Act::Cut];

impl Day {
    /// Of one user, in a second.
    pub(super) fn rate(&self, act: Act) -> f64 {
        match act {
            Act::Write => self.mix.messages / 3_600.0,
            Act::Flip => self.mix.presence / 3_600.0,
            Act::Read => self.mix.archive_reads / 3_600.0,
            Act::Leave => self.mix.leaves / 3_600.0,
            Act::Cut => self.mix.cuts / 100.0 / 60.0,
        }
    }

    /// A surge begins or ends.
    pub(super) fn change_pace(&mut self, stage: &Stage, turn: u64) {
        let storm = self.rate(Act::Leave) * self.crowd * (self.mix.surge - 1.0);
        let refused = stage.faults.logins_failed + stage.faults.refused;
        self.rush.turn(storm, refused);
        let factor = if self.rush.is_on() {
            self.mix.surge
        } else {
            1.0
        };
        for (place, act) in ACTS.into_iter().enumerate() {
            // Who leaves, leaves as at any time: a crowd that empties because nobody is let in would ask for less and less.
            if matches!(act, Act::Write | Act::Flip | Act::Read) {
                self.pulses[place] = Pulse::new(self.rate(act) * self.crowd * factor, turn);
            }
        }
    }

    /// Does everything that was meant until then.
    pub(super) fn act_until(&mut self, stage: &mut Stage, until: u64) {
        for (place, act) in ACTS.into_iter().enumerate() {
            while let Some(at) = self.pulses[place].as_mut().and_then(|p| p.due(until)) {
                self.act(stage, act, at);
                self.rush.done(at, stage.now());
            }
        }
        while let Some(at) = self.rush.storm.as_mut().and_then(|p| p.due(until)) {
            let newcomer = self.rush.reserve.pop_front();
            let is_done = newcomer.is_some_and(|seat| self.come(stage, seat, at));
            self.count(stage, |shed| &mut shed.logins, at, is_done);
            self.rush.done(at, stage.now());
        }
    }

    /// One act of those that were asked for; in a surge also of its kind.
    fn count(
        &mut self,
        stage: &mut Stage,
        kind: fn(&mut Shed) -> &mut Offered,
        at: u64,
        is_done: bool,
    ) {
        stage.counts.asked += 1;
        stage.counts.left_out += u64::from(!is_done);
        if self.rush.since(at).is_some() {
            kind(&mut self.rush.shed).count(is_done);
        }
    }

    /// Somebody who is away tries to log in; false when there was not even a connection.
    fn come(&mut self, stage: &mut Stage, seat: usize, at: u64) -> bool {
        stage.enter(seat, at);
        let is_coming = stage.seats[seat].place == Place::Entering;
        match is_coming {
            true => self.people[seat].coming = Some(at),
            false if seat >= self.ordinary(stage) => self.rush.reserve.push_back(seat),
            false => {}
        }
        is_coming
    }

    fn act(&mut self, stage: &mut Stage, act: Act, at: u64) {
        match act {
            Act::Write => {
                let is_done = self.write(stage, at);
                self.count(stage, |shed| &mut shed.messages, at, is_done);
            }
            Act::Flip => {
                let found = self.somebody(stage, Self::looks);
                self.count(stage, |shed| &mut shed.presence, at, found.is_some());
                if let Some(seat) = found {
                    if self.rush.since(at).is_some() {
                        let contacts = self.contacts(seat);
                        let hearers = contacts.filter(|contact| self.looks(stage, *contact));
                        self.rush.shed.deliveries.asked += hearers.count() as u64;
                    }
                    let number = self.seen.say(seat, at);
                    let id = stage.id(stage.user(seat), number, at);
                    stage.send(seat, presence(id).as_bytes());
                    stage.counts.presence_sent += 1;
                }
            }
            Act::Read => {
                let found = self.somebody(stage, Self::stays);
                self.count(stage, |shed| &mut shed.archive_reads, at, found.is_some());
                if let Some(seat) = found {
                    self.people[seat].under_way += 1;
                    self.archive_reads += 1;
                    let run = stage.run;
                    let text = format!(
                        "<iq type='set' id='{READ}{run}.{at}'><query xmlns='urn:xmpp:mam:2'>\
                         <set xmlns='http://jabber.org/protocol/rsm'><max>20</max><before/></set></query></iq>"
                    );
                    stage.send(seat, text.as_bytes());
                }
            }
            Act::Leave => {
                if let Some(seat) = self.somebody(stage, Self::stays) {
                    self.people[seat].is_fading = true;
                    self.fading.push(seat);
                }
                let is_away = |day: &Self, stage: &Stage, seat: usize| {
                    stage.seats[seat].place == Place::Away && !day.people[seat].is_returning
                };
                let is_done = match self.somebody(stage, is_away) {
                    Some(seat) => self.come(stage, seat, at),
                    None => false,
                };
                self.count(stage, |shed| &mut shed.logins, at, is_done);
            }
            Act::Cut => {
                if let Some(seat) = self.somebody(stage, Self::stays) {
                    stage.cut(seat);
                    self.people[seat].is_returning = true;
                    self.returning.push_back((stage.now() + ABSENCE, seat));
                }
            }
        }
    }

    /// Whether there was somebody who looks and has a contact who is there.
    fn write(&mut self, stage: &mut Stage, at: u64) -> bool {
        let has_company = |day: &Self, stage: &Stage, seat: usize| {
            let mut contacts = day.contacts(seat);
            day.looks(stage, seat) && contacts.any(|contact| day.stays(stage, contact))
        };
        let Some(seat) = self.somebody(stage, has_company) else {
            return false;
        };
        let ring = self.ring;
        let lot = stage.random(ring.contacts());
        let mut contacts =
            (0..ring.contacts()).map(|step| ring.contact(seat, (lot + step) % ring.contacts()));
        let Some(contact) = contacts.find(|contact| self.stays(stage, *contact)) else {
            return false;
        };
        let (sender, receiver) = (stage.user(seat), stage.user(contact));
        let number = self.ledger.send(sender, receiver);
        self.people[contact].under_way += 1;
        let to = stage.plan.people.full(receiver);
        let id = stage.id(sender, number, at);
        let text = message(&to, "chat", id, self.mix.size);
        stage.send(seat, text.as_bytes());
        stage.counts.messages_sent += 1;
        true
    }

    /// Somebody for whom this holds, by lot.
    fn somebody(
        &self,
        stage: &mut Stage,
        is_fit: impl Fn(&Self, &Stage, usize) -> bool,
    ) -> Option<usize> {
        let count = self.ordinary(stage);
        let start = stage.random(count);
        (0..count.min(MOST_TRIES))
            .map(|step| (start + step) % count)
            .find(|seat| is_fit(self, stage, *seat))
    }
}

/// Seats that are looked at before an act is left out.
const MOST_TRIES: usize = 1_000;
