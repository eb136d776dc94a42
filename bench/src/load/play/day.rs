//! A mix shaped like a public service: people write to contacts who are online, their presence changes, they read their
//! archive, log out and in; phones lie idle (XEP-0352), and connections break (XEP-0198 brings them back).

mod acts;

use std::collections::VecDeque;

use super::super::latency::Pulse;
use super::super::ledger::Ledger;
use super::super::scenario::{Day as Mix, Users};
use super::super::shed::Shed;
use super::super::stage::{Place, Play, Stage, condition};
use super::super::words::Id;
use super::ring::Ring;
use super::rush::Rush;
use super::seen::Seen;
use crate::client::stanza::Stanza;

use acts::ACTS;

pub struct Day {
    mix: Mix,
    ring: Ring,
    community: usize,
    ledger: Ledger,
    seen: Seen,
    pulses: [Option<Pulse>; ACTS.len()],
    is_playing: bool,
    /// How many are online, as rates are of each of them.
    crowd: f64,
    /// When there is much more to do than otherwise.
    rush: Rush,
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
    /// For when the login under way was meant.
    coming: Option<u64>,
    entered_at: u64,
}

impl Day {
    pub fn new(mix: Mix, users: &Users) -> Self {
        Self {
            mix,
            ring: Ring::of(users),
            community: users.community as usize,
            ledger: Ledger::default(),
            seen: Seen::new(Ring::of(users).contacts()),
            pulses: [const { None }; ACTS.len()],
            is_playing: false,
            crowd: 0.0,
            rush: Rush::default(),
            people: Vec::new(),
            fading: Vec::new(),
            returning: VecDeque::new(),
            archive_reads: 0,
        }
    }

    /// The seats of the crowd; behind them are those of the reserve.
    fn ordinary(&self, stage: &Stage) -> usize {
        let communities = stage.seats.len() / self.community;
        let share = 1.0 - self.mix.reserve / 100.0;
        let staying = (communities as f64 * share).round().max(1.0) as usize;
        staying.min(communities) * self.community
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

    fn stays(&self, stage: &Stage, seat: usize) -> bool {
        stage.is_here(seat) && !self.people[seat].is_fading
    }

    fn looks(&self, stage: &Stage, seat: usize) -> bool {
        self.stays(stage, seat) && !self.is_phone(seat)
    }

    fn contacts(&self, seat: usize) -> impl Iterator<Item = usize> + use<> {
        let ring = self.ring;
        (0..ring.contacts()).map(move |place| ring.contact(seat, place))
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
    /// Who is of the reserve comes once, so that the driver has derived his keys before it has other things to do.
    fn is_early(&self, stage: &Stage, seat: usize) -> bool {
        if seat >= self.ordinary(stage) {
            return self.mix.has_surge();
        }
        let share = |seats: usize| (seats as f64 * self.mix.online / 100.0).floor();
        share(seat + 1) > share(seat)
    }

    fn begin(&mut self, stage: &mut Stage) {
        self.people.resize(stage.seats.len(), Person::default());
        self.is_playing = true;
        let now = stage.now();
        let crowd = (0..self.ordinary(stage)).filter(|seat| stage.is_here(*seat));
        self.crowd = crowd.count() as f64;
        self.pulses = ACTS.map(|act| Pulse::new(self.rate(act) * self.crowd, now));
        if self.mix.has_surge() {
            let from = now + self.mix.surge_after.0.as_micros() as u64;
            self.rush
                .is_due(from..from + self.mix.surge_for.0.as_micros() as u64);
        }
    }

    fn entered(&mut self, stage: &mut Stage, seat: usize) {
        self.people.resize(stage.seats.len(), Person::default());
        self.seen.entered(seat, stage.seats.len());
        let person = &mut self.people[seat];
        let now = stage.now();
        person.entered_at = now;
        (person.is_fading, person.is_returning) = (false, false);
        if let Some(at) = person.coming.take() {
            self.rush.login(at, now, false);
        }
        if seat >= self.ordinary(stage) && !stage.plan.registers {
            self.people[seat].is_fading = true;
            self.fading.push(seat);
        }
        if stage.plan.offers_client_state && self.is_phone(seat) {
            stage.write(seat, b"<inactive xmlns='urn:xmpp:csi:0'/>");
        }
    }

    fn left(&mut self, stage: &mut Stage, seat: usize) {
        self.people.resize(stage.seats.len(), Person::default());
        if let Some(at) = self.people[seat].coming.take() {
            self.rush.login(at, stage.now(), true);
        }
        if seat >= self.ordinary(stage) {
            self.rush.reserve.push_back(seat);
        }
        // Who was meant to come back tries again.
        if self.people[seat].is_returning {
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
        let now = stage.now();
        if !self.is_phone(seat) {
            self.rush.heard(id.at, now);
        }
        if stage.counts_at(id.at) && !self.is_waiting(stage, seat) {
            stage.latencies.presence.record(now.saturating_sub(id.at));
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
        let is_refused = stanza.kind() == b"error";
        self.rush.read(at, stage.now(), is_refused);
        if is_refused {
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
            while let Some(turn) = self.rush.next_turn().filter(|turn| *turn <= now) {
                self.act_until(stage, turn);
                self.change_pace(stage, turn);
            }
            self.act_until(stage, now);
        }
        let acts = self.pulses.iter().chain([&self.rush.storm]);
        let acts = acts.flatten().map(Pulse::next);
        let returning = self.returning.front().map(|(at, _)| *at);
        let turn = self.rush.next_turn().filter(|_| self.is_playing);
        acts.chain(returning).chain(turn).min()
    }

    fn stop(&mut self, _: &mut Stage) {
        self.is_playing = false;
        self.pulses = [const { None }; ACTS.len()];
        self.rush.storm = None;
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

    fn shed(&self) -> Option<Shed> {
        self.mix.has_surge().then_some(self.rush.shed)
    }
}

/// How long a broken connection is away, in microseconds.
const ABSENCE: u64 = 200_000;
const READ: &str = "lc-read.";
