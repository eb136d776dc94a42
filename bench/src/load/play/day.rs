//! A mix shaped like a public service: people write to contacts who are online, their presence changes, they read their
//! archive, log out and in; phones lie idle (XEP-0352), and connections break (XEP-0198 brings them back).

use std::collections::VecDeque;
use std::ops::Range;

use super::super::latency::Pulse;
use super::super::ledger::Ledger;
use super::super::scenario::{Day as Mix, Users};
use super::super::stage::{Place, Play, Stage, condition};
use super::super::words::{Id, message, presence};
use super::ring::Ring;
use super::seen::Seen;
use crate::client::stanza::Stanza;

pub struct Day {
    mix: Mix,
    ring: Ring,
    ledger: Ledger,
    seen: Seen,
    pulses: [Option<Pulse>; ACTS.len()],
    is_playing: bool,
    /// How many are online, as rates are of each of them.
    crowd: f64,
    /// When there is much more to do than otherwise.
    surge: Range<u64>,
    is_surging: bool,
    people: Vec<Person>,
    /// Who is about to leave, once nothing is under way to them.
    fading: Vec<usize>,
    /// Whose connection broke, with the time to come back.
    returning: VecDeque<(u64, usize)>,
    archive_reads: u64,
}

/// What is known of each user.
#[derive(Default, Clone)]
struct Person {
    /// Messages and answers under way to them.
    under_way: u32,
    is_fading: bool,
    is_returning: bool,
    entered_at: u64,
}

/// What happens at a rate.
#[derive(Clone, Copy)]
enum Act {
    Write,
    Flip,
    Read,
    Leave,
    Cut,
}

const ACTS: [Act; 5] = [Act::Write, Act::Flip, Act::Read, Act::Leave, Act::Cut];

impl Day {
    pub fn new(mix: Mix, users: &Users) -> Self {
        Self {
            mix,
            ring: Ring::of(users),
            ledger: Ledger::default(),
            seen: Seen::new(Ring::of(users).contacts()),
            pulses: [const { None }; ACTS.len()],
            is_playing: false,
            crowd: 0.0,
            surge: 0..0,
            is_surging: false,
            people: Vec::new(),
            fading: Vec::new(),
            returning: VecDeque::new(),
            archive_reads: 0,
        }
    }

    /// Of one user, in a second.
    fn rate(&self, act: Act) -> f64 {
        match act {
            Act::Write => self.mix.messages / 3_600.0,
            Act::Flip => self.mix.presence / 3_600.0,
            Act::Read => self.mix.archive_reads / 3_600.0,
            Act::Leave => self.mix.leaves / 3_600.0,
            Act::Cut => self.mix.cuts / 100.0 / 60.0,
        }
    }

    /// A surge begins or ends.
    fn keep_pace(&mut self, now: u64) {
        let is_surging = self.surge.contains(&now);
        if is_surging == self.is_surging {
            return;
        }
        self.is_surging = is_surging;
        let factor = if is_surging { self.mix.surge } else { 1.0 };
        for (place, act) in ACTS.into_iter().enumerate() {
            let rate = self.rate(act) * self.crowd * factor;
            if let Some(pulse) = &mut self.pulses[place] {
                pulse.set_rate(rate);
            }
        }
    }

    fn is_phone(&self, seat: usize) -> bool {
        // 61 and 100 have no common divisor, so that each hundred users have as many.
        ((seat * 61 % 100) as f64) < self.mix.idle
    }

    /// XEP-0352 section 4: to who is not looking, presence may come whenever the server likes.
    fn is_waiting(&self, stage: &Stage, seat: usize) -> bool {
        stage.plan.offers_client_state && self.is_phone(seat)
    }

    /// How many times somebody who is there, and looks, has not been told how a contact is now, who is there as well. Who came
    /// or came back since was told of that, whatever was said before.
    fn not_told(&self, stage: &Stage) -> u64 {
        let mut count = 0;
        for seat in (0..stage.seats.len())
            .filter(|seat| self.stays(stage, *seat) && !self.is_waiting(stage, *seat))
        {
            let since = self.people[seat].entered_at;
            let contacts = (0..self.ring.contacts()).filter(|place| {
                let contact = self.ring.contact(seat, *place);
                let since = since.max(self.people[contact].entered_at);
                self.stays(stage, contact) && self.seen.is_behind(seat, *place, contact, since)
            });
            count += contacts.count() as u64;
        }
        count
    }

    /// Somebody for whom this holds, by lot.
    fn somebody(
        &self,
        stage: &mut Stage,
        is_fit: impl Fn(&Self, &Stage, usize) -> bool,
    ) -> Option<usize> {
        let count = stage.seats.len();
        let start = stage.random(count);
        (0..count.min(MOST_TRIES))
            .map(|step| (start + step) % count)
            .find(|seat| is_fit(self, stage, *seat))
    }

    fn stays(&self, stage: &Stage, seat: usize) -> bool {
        stage.is_here(seat) && !self.people[seat].is_fading
    }

    fn act(&mut self, stage: &mut Stage, act: Act, at: u64) {
        match act {
            Act::Write => self.write(stage, at),
            Act::Flip => {
                let awake = |day: &Self, stage: &Stage, seat: usize| {
                    day.stays(stage, seat) && !day.is_phone(seat)
                };
                if let Some(seat) = self.somebody(stage, awake) {
                    let number = self.seen.say(seat, at);
                    let id = stage.id(stage.user(seat), number, at);
                    stage.send(seat, presence(id).as_bytes());
                    stage.counts.presence_sent += 1;
                }
            }
            Act::Read => {
                if let Some(seat) = self.somebody(stage, Self::stays) {
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
                if let Some(seat) = self.somebody(stage, is_away) {
                    stage.enter(seat, at);
                }
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

    fn write(&mut self, stage: &mut Stage, at: u64) {
        let ring = self.ring;
        let awake =
            |day: &Self, stage: &Stage, seat: usize| day.stays(stage, seat) && !day.is_phone(seat);
        let Some(seat) = self.somebody(stage, awake) else {
            return;
        };
        let lot = stage.random(ring.contacts());
        let mut contacts =
            (0..ring.contacts()).map(|step| ring.contact(seat, (lot + step) % ring.contacts()));
        let Some(contact) = contacts.find(|contact| self.stays(stage, *contact)) else {
            return;
        };
        let (sender, receiver) = (stage.user(seat), stage.user(contact));
        let number = self.ledger.send(sender, receiver);
        self.people[contact].under_way += 1;
        let to = stage.plan.people.full(receiver);
        let id = stage.id(sender, number, at);
        let text = message(&to, "chat", id, self.mix.size);
        stage.send(seat, text.as_bytes());
        stage.counts.messages_sent += 1;
    }

    fn say_farewells(&mut self, stage: &mut Stage) {
        let people = &mut self.people;
        self.fading.retain(|&seat| {
            if !stage.is_here(seat) {
                people[seat].is_fading = false;
                return false;
            }
            if people[seat].under_way > 0 {
                return true;
            }
            stage.leave(seat);
            false
        });
    }
}

impl Play for Day {
    fn is_early(&self, _: &Stage, seat: usize) -> bool {
        let share = |seats: usize| (seats as f64 * self.mix.online / 100.0).floor();
        share(seat + 1) > share(seat)
    }

    fn begin(&mut self, stage: &mut Stage) {
        self.people.resize(stage.seats.len(), Person::default());
        self.is_playing = true;
        let now = stage.now();
        self.crowd = stage.here as f64;
        self.pulses = ACTS.map(|act| Pulse::new(self.rate(act) * self.crowd, now));
        let from = now + self.mix.surge_after.0.as_micros() as u64;
        self.surge = from..from + self.mix.surge_for.0.as_micros() as u64;
    }

    fn entered(&mut self, stage: &mut Stage, seat: usize) {
        self.people.resize(stage.seats.len(), Person::default());
        self.seen.entered(seat, stage.seats.len());
        let person = &mut self.people[seat];
        person.entered_at = stage.now();
        (person.is_fading, person.is_returning) = (false, false);
        if stage.plan.offers_client_state && self.is_phone(seat) {
            stage.write(seat, b"<inactive xmlns='urn:xmpp:csi:0'/>");
        }
    }

    fn left(&mut self, stage: &mut Stage, seat: usize) {
        // Who was meant to come back tries again.
        if self
            .people
            .get(seat)
            .is_some_and(|person| person.is_returning)
        {
            self.returning.push_back((stage.now() + ABSENCE, seat));
        }
    }

    fn message(&mut self, stage: &mut Stage, seat: usize, id: Id) {
        let receiver = stage.user(seat);
        if !self
            .ledger
            .receive(id.sender, receiver, id.number, &mut stage.faults)
        {
            return;
        }
        self.people[seat].under_way = self.people[seat].under_way.saturating_sub(1);
        stage.counts.messages_received += 1;
        let took = stage.now().saturating_sub(id.at);
        stage.lately.record(took);
        if stage.counts_at(id.at) {
            stage.latencies.messages.record(took);
        }
    }

    fn presence(&mut self, stage: &mut Stage, seat: usize, id: Option<Id>, _: Stanza<'_>) {
        let Some(id) = id.filter(|id| id.sender != stage.user(seat)) else {
            return;
        };
        let speaker = stage.seat_of(id.sender);
        let place = speaker.and_then(|speaker| self.ring.place(seat, speaker));
        let (Some(speaker), Some(place)) = (speaker, place) else {
            stage.faults.misrouted += u64::from(!stage.plan.has_more_contacts);
            return;
        };
        // What is older is how things stood at the login.
        if id.at < self.people[seat].entered_at {
            self.seen.stood(seat, place, id.number);
            return;
        }
        let faults = &mut stage.faults;
        if !self.seen.hear(seat, place, speaker, id.number, faults) {
            return;
        }
        stage.counts.presence_received += 1;
        if stage.counts_at(id.at) && !self.is_waiting(stage, seat) {
            let took = stage.now().saturating_sub(id.at);
            stage.latencies.presence.record(took);
        }
    }

    fn answer(&mut self, stage: &mut Stage, seat: usize, stanza: Stanza<'_>) {
        let id = std::str::from_utf8(stanza.attribute("id").unwrap_or_default());
        let of_this_run = format!("{READ}{}.", stage.run);
        let at = id
            .ok()
            .and_then(|id| id.strip_prefix(&of_this_run)?.parse::<u64>().ok());
        let Some(at) = at else {
            return;
        };
        self.archive_reads = self.archive_reads.saturating_sub(1);
        self.people[seat].under_way = self.people[seat].under_way.saturating_sub(1);
        if stanza.kind() == b"error" {
            stage.faults.refused += 1;
            stage
                .complaints
                .add(&format!("reading the archive: {}", condition(stanza)));
            return;
        }
        stage.counts.archive_reads += 1;
        if stage.counts_at(at) {
            let took = stage.now().saturating_sub(at);
            stage.latencies.archive.record(took);
        }
    }

    fn due(&mut self, stage: &mut Stage, now: u64) -> Option<u64> {
        while self.returning.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((at, seat)) = self.returning.pop_front()
                && stage.seats[seat].place == Place::Away
            {
                stage.enter(seat, at);
            }
        }
        self.say_farewells(stage);
        if self.is_playing {
            self.keep_pace(now);
            for (place, act) in ACTS.into_iter().enumerate() {
                while let Some(at) = self.pulses[place].as_mut().and_then(|pulse| pulse.due(now)) {
                    self.act(stage, act, at);
                }
            }
        }
        let acts = self.pulses.iter().flatten().map(Pulse::next);
        let returning = self.returning.front().map(|(at, _)| *at);
        acts.chain(returning).min()
    }

    fn stop(&mut self, _: &mut Stage) {
        self.is_playing = false;
        self.pulses = [const { None }; ACTS.len()];
    }

    fn is_at_rest(&self, stage: &Stage) -> bool {
        let is_moving = stage.entering > 0 || stage.leaving > 0 || !self.returning.is_empty();
        let has_come = self.ledger.under_way() == 0 && self.archive_reads == 0;
        !is_moving && has_come && self.not_told(stage) == 0
    }

    fn close(&mut self, stage: &mut Stage) {
        self.ledger.close(&mut stage.faults);
        let not_told = self.not_told(stage);
        if not_told > 0 {
            stage.faults.lost += not_told;
            let said = "somebody was not told the last presence of a contact";
            stage.complaints.add_many(said, not_told);
        }
        if self.archive_reads > 0 {
            stage.faults.refused += self.archive_reads;
            stage
                .complaints
                .add_many("no answer from the archive", self.archive_reads);
        }
    }
}

/// How long a broken connection is away, in microseconds.
const ABSENCE: u64 = 200_000;
/// Seats that are looked at before an act is left out.
const MOST_TRIES: usize = 1_000;
const READ: &str = "lc-read.";
