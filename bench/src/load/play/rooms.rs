//! Rooms (XEP-0045), one for each community: everybody joins, and what each in turn says is heard by all, who says it
//! included. A server without rooms is asked, and refused with a word.

use super::super::latency::Pulse;
use super::super::scenario::{Muc, Users};
use super::super::stage::{Play, Stage};
use super::super::words::{Id, message};
use super::next_seat;
use super::ring::Hearers;
use crate::client::stanza::{Stanza, escaped};

pub struct Rooms {
    muc: Muc,
    share: f64,
    community: usize,
    hearers: Hearers,
    pulse: Option<Pulse>,
    is_playing: bool,
    last: usize,
    /// Services that disco named and that have not answered what they are.
    candidates: usize,
    joined: Vec<bool>,
}

impl Rooms {
    pub fn new(muc: Muc, users: &Users, share: f64) -> Self {
        let (hearers, joined) = (Hearers::new(0, 0), Vec::new());
        let community = users.community as usize;
        Self {
            muc,
            share,
            community,
            hearers,
            pulse: None,
            is_playing: false,
            last: 0,
            candidates: 0,
            joined,
        }
    }

    fn room(&self, stage: &Stage, seat: usize) -> String {
        // Named by the first who is in it: seats are whole communities, wherever their numbers begin.
        let number = stage.user(seat - seat % self.community);
        format!(
            "{}-room{number}@{}",
            stage.plan.people.prefix, self.muc.service
        )
    }

    /// The first of each room makes it; the others follow when it is there.
    fn join(&self, stage: &mut Stage, seat: usize) {
        let (room, nick) = (
            self.room(stage, seat),
            stage.plan.people.name(stage.user(seat)),
        );
        let text = format!(
            "<presence to='{room}/{nick}'><x xmlns='{MUC}'>\
             <history maxstanzas='0'/></x></presence>"
        );
        stage.send(seat, text.as_bytes());
    }

    fn found(&mut self, stage: &mut Stage) {
        self.last = stage.seats.len() - 1;
        for seat in (0..stage.seats.len()).step_by(self.community) {
            self.join(stage, seat);
        }
    }

    fn none(&self, stage: &mut Stage) {
        stage.faults.refused += 1;
        stage.complaints.add("the server offers no rooms");
    }

    fn start_when_all_are_in(&mut self, stage: &mut Stage) {
        if self.pulse.is_none() && self.joined.iter().all(|joined| *joined) {
            self.pulse = Pulse::new(self.muc.rate * self.share, stage.now());
        }
    }
}

impl Play for Rooms {
    fn begin(&mut self, stage: &mut Stage) {
        let seats = stage.seats.len();
        self.joined = vec![false; seats];
        self.hearers = Hearers::new(seats, self.community);
        self.is_playing = true;
        if !self.muc.service.is_empty() {
            return self.found(stage);
        }
        let domain = escaped(&stage.plan.people.domain).into_owned();
        let query = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
        let text = format!("<iq type='get' id='lc-items' to='{domain}'>{query}</iq>");
        if let Some(seat) = next_seat(stage, &mut self.last, Stage::is_here) {
            stage.send(seat, text.as_bytes());
        }
    }

    fn answer(&mut self, stage: &mut Stage, seat: usize, stanza: Stanza<'_>) {
        let id = stanza.attribute("id").unwrap_or_default();
        if id == b"lc-items" {
            let text = String::from_utf8_lossy(stanza.bytes).into_owned();
            for item in text.split("<item ").skip(1) {
                let bytes = format!("<item {item}");
                let item = Stanza {
                    bytes: bytes.as_bytes(),
                };
                let Some(jid) = item.attribute("jid") else {
                    continue;
                };
                let query = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
                let jid = String::from_utf8_lossy(jid);
                let text = format!("<iq type='get' id='lc-info' to='{jid}'>{query}</iq>");
                stage.send(seat, text.as_bytes());
                self.candidates += 1;
            }
            if self.candidates == 0 {
                self.none(stage);
            }
        } else if id == b"lc-info" && self.muc.service.is_empty() {
            self.candidates = self.candidates.saturating_sub(1);
            // XEP-0045 section 6.1: a service of rooms has this feature.
            let named = ["'", "\""].map(|quote| format!("{MUC}{quote}"));
            let is_named = named.iter().any(|feature| stanza.contains(feature));
            if stanza.kind() == b"result" && is_named {
                let from = stanza.attribute("from").unwrap_or_default();
                self.muc.service = String::from_utf8_lossy(from).into_owned();
                self.found(stage);
            } else if self.candidates == 0 {
                self.none(stage);
            }
        } else if id == b"lc-room" && stanza.kind() == b"error" {
            stage.faults.refused += 1;
            stage.complaints.add(&format!(
                "a room: {}",
                super::super::stage::condition(stanza)
            ));
        } else if id == b"lc-room" {
            for other in seat + 1..seat + self.community {
                self.join(stage, other);
            }
        }
    }

    fn presence(&mut self, stage: &mut Stage, seat: usize, _: Option<Id>, stanza: Stanza<'_>) {
        let is_of_room = !self.muc.service.is_empty() && stanza.contains(&self.muc.service);
        if !is_of_room || self.joined.is_empty() || self.joined[seat] {
            return;
        }
        if stanza.kind() == b"error" {
            stage.faults.refused += 1;
            stage.complaints.add(&format!(
                "joining: {}",
                super::super::stage::condition(stanza)
            ));
        } else if stanza.contains("110") && stanza.contains("muc#user") {
            // XEP-0045 section 7.2.2: status 110 says that it is one's own.
            self.joined[seat] = true;
            if seat.is_multiple_of(self.community) {
                // Section 10.1.2: an instant room, unless it was there before.
                let room = self.room(stage, seat);
                let text = format!(
                    "<iq type='set' id='lc-room' to='{room}'><query xmlns='http://jabber.org/protocol/muc#owner'>\
                     <x xmlns='jabber:x:data' type='submit'/></query></iq>"
                );
                match stanza.contains("201") {
                    true => stage.send(seat, text.as_bytes()),
                    false => {
                        (seat + 1..seat + self.community).for_each(|other| self.join(stage, other))
                    }
                }
            }
            self.start_when_all_are_in(stage);
        }
    }

    fn message(&mut self, stage: &mut Stage, seat: usize, id: Id) {
        let speaker = stage
            .seat_of(id.sender)
            .filter(|s| s / self.community == seat / self.community);
        let Some(speaker) = speaker else {
            stage.faults.misrouted += 1;
            return;
        };
        let place = speaker % self.community;
        let heard = self
            .hearers
            .hear(seat, place, speaker, id.number, &mut stage.faults);
        let Some(skipped) = heard else {
            return;
        };
        stage.faults.lost += u64::from(skipped);
        stage.counts.messages_received += 1;
        let took = stage.now().saturating_sub(id.at);
        stage.lately.record(took);
        if stage.counts_at(id.at) {
            stage.latencies.messages.record(took);
        }
    }

    fn due(&mut self, stage: &mut Stage, now: u64) -> Option<u64> {
        if !self.is_playing {
            return None;
        }
        while let Some(at) = self.pulse.as_mut()?.due(now) {
            let Some(seat) = next_seat(stage, &mut self.last, Stage::is_here) else {
                break;
            };
            let first = seat - seat % self.community;
            let hearers = (first..first + self.community)
                .filter(|s| stage.is_here(*s))
                .count();
            let number = self.hearers.say(seat, hearers);
            let id = stage.id(stage.user(seat), number, at);
            let text = message(&self.room(stage, seat), "groupchat", id, self.muc.size);
            stage.send(seat, text.as_bytes());
            stage.counts.messages_sent += 1;
        }
        self.pulse.as_ref().map(Pulse::next)
    }

    fn stop(&mut self, stage: &mut Stage) {
        self.is_playing = false;
        if self.muc.service.is_empty() {
            return;
        }
        let missing = self.joined.iter().filter(|joined| !**joined).count() as u64;
        if missing > 0 {
            stage.faults.refused += missing;
            stage
                .complaints
                .add_many("not in its room when the time was up", missing);
        }
    }

    fn is_at_rest(&self, _: &Stage) -> bool {
        self.hearers.under_way() == 0
    }

    fn close(&mut self, stage: &mut Stage) {
        self.hearers.close(&mut stage.faults);
    }
}

const MUC: &str = "http://jabber.org/protocol/muc";

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(community: u32) -> Rooms {
        let users = Users {
            community,
            ..Users::default()
        };
        Rooms::new(Muc::default(), &users, 1.0)
    }

    #[test]
    fn a_room_is_of_one_community_wherever_numbers_begin() {
        let mut stage = Stage::of_nobody(8);
        stage.first = 6;
        let rooms = rooms(4);
        let of = |seat| rooms.room(&stage, seat);
        assert_eq!([of(0), of(4)], ["u-room6@", "u-room10@"]);
        assert!((0..8).all(|seat| of(seat) == of(seat - seat % 4)));
    }

    #[test]
    fn an_error_that_quotes_the_question_is_no_service() {
        let mut stage = Stage::of_nobody(4);
        let mut rooms = rooms(4);
        let mut answer = |rooms: &mut Rooms, kind: &str| {
            let text = format!(
                "<iq type='{kind}' id='lc-info' from='x'><query><feature var=\"{MUC}\"/></query></iq>"
            );
            let bytes = text.as_bytes();
            rooms.answer(&mut stage, 0, Stanza { bytes });
        };
        rooms.candidates = 2;
        answer(&mut rooms, "error");
        assert_eq!(rooms.muc.service, "");
        answer(&mut rooms, "result");
        assert_eq!(rooms.muc.service, "x");
    }
}
