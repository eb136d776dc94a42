//! Presence for many (DESIGN section 11): one envelope for each worker that is a home of some of them. Who is on
//! this server and not using it is not made resident for it. So many are visited at a time, the rest when others had
//! their turn (DESIGN section 4); what the same account says meanwhile waits behind (`spreads.rs`). Where a worker has too much
//! to do or is too full (`load.rs`) everybody waits for a turn, and turns come seldom; then what is no presence goes ahead,
//! behind that of its account for whom it is for.

use memchr::memchr;

use crate::actor::Envelope;
use crate::base::{Now, WorkerId, limits};
use crate::jid::{Jid, JidList};
use crate::stanza::{Stanza, Type};

use super::Shard;
use super::cell::Mail;
use super::load::Pressure;

impl Shard {
    /// Brings a presence to all of these: to the first now, to the rest when others had their turn.
    pub(super) fn spread(&mut self, now: Now, stanza: Stanza, to: JidList) {
        if self.is_farewell(&stanza) {
            // Hardly anybody hears it.
            return self.spread_now(now, stanza, &to);
        }
        if self.puts_presence_off() {
            self.spreads.begin(Envelope::Group { stanza, to });
            self.count_spreads();
            return self
                .timers
                .arm_spread(now.mono_ms + limits::SPREAD_PRESSED_MS);
        }
        if to.len() <= limits::SPREAD_COUNT {
            return self.spread_now(now, stanza, &to);
        }
        self.spreads.begin(Envelope::Group { stanza, to });
        self.spread_turn(now, limits::SPREAD_COUNT);
        self.timers.arm_spread(now.mono_ms + 1);
    }

    /// Whether it says that a session of a server that stops is over. All whom that serves hear its farewell themselves: to tell
    /// each of them of all the others would take longer than the stop may, with a million sessions.
    fn is_farewell(&self, stanza: &Stanza) -> bool {
        stanza.header.type_ == Type::Unavailable && self.is_draining()
    }

    fn puts_presence_off(&self) -> bool {
        self.pressure() >= Pressure::Presence
    }

    /// What has to wait behind presence of the same account that is still on its way to some, does; else it is given
    /// back.
    pub(super) fn behind_spread(&mut self, now: Now, envelope: Envelope) -> Option<Envelope> {
        if self.spreads.is_empty() {
            return Some(envelope);
        }
        if self.puts_presence_off()
            && let Some(ahead) = self.spreads.overtaken_by(&envelope)
        {
            self.count_spreads();
            self.spread_part(now, ahead);
            return Some(envelope);
        }
        let passes = self.spreads.put_behind(envelope);
        if passes.is_none() {
            self.count_spreads();
        }
        passes
    }

    /// The next of them.
    pub(super) fn spread_due(&mut self, now: Now) {
        let mut room = limits::SPREAD_COUNT;
        for _ in 0..self.spreads.turn_count() {
            room -= self.spread_turn(now, room);
            if room == 0 {
                break;
            }
        }
        if !self.spreads.is_empty() {
            let after_ms = match self.puts_presence_off() {
                true => limits::SPREAD_PRESSED_MS,
                false => 1,
            };
            self.timers.arm_spread(now.mono_ms + after_ms);
        }
    }

    /// One account's part of what it says to many, to at most so many; to how many it was.
    fn spread_turn(&mut self, now: Now, room: usize) -> usize {
        let turn = self.spreads.next_turn(room);
        self.count_spreads();
        let Some((account, part)) = turn else {
            return 0;
        };
        let count = |envelope: &Envelope| match envelope {
            Envelope::Group { to, .. } => to.len().max(1),
            _ => 1,
        };
        let told: usize = part.iter().map(count).sum();
        self.spread_part(now, part);
        if let Some(&actor) = self.homes.get(&*account) {
            self.resume_own(actor);
        }
        told.min(room)
    }

    fn spread_part(&mut self, now: Now, part: Vec<Envelope>) {
        for envelope in part {
            match envelope {
                Envelope::Group { stanza, to } => self.spread_now(now, stanza, &to),
                envelope => self.carry(now, envelope),
            }
        }
    }

    fn spread_now(&mut self, now: Now, stanza: Stanza, to: &JidList) {
        let mut elsewhere: Vec<JidList> = Vec::new();
        let is_farewell = self.is_farewell(&stanza);
        // Most contacts are of one domain.
        let mut served = "";
        for text in to.iter() {
            let bare = memchr(b'/', text.as_bytes()).map_or(text, |slash| &text[..slash]);
            let domain = memchr(b'@', bare.as_bytes()).map(|at| &bare[at + 1..]);
            let is_served = |domain: &&str| *domain == served || self.config.host(domain).is_some();
            let Some(domain) = domain.filter(is_served) else {
                if let Some(jid) = Jid::from_prepared(text) {
                    self.send_abroad(now, &stanza, jid);
                }
                continue;
            };
            served = domain;
            if is_farewell {
                continue;
            }
            let home = self.routes.home_of(bare);
            if home == self.place.worker {
                self.visit(now, &stanza, bare, text);
                continue;
            }
            elsewhere.resize_with(usize::from(self.place.worker_count), JidList::default);
            elsewhere[home.index()].push_prepared(text);
        }
        for (worker, to) in (0..).map(WorkerId).zip(elsewhere) {
            if !to.is_empty() {
                let stanza = stanza.clone();
                self.send(worker, Envelope::Group { stanza, to });
            }
        }
    }

    /// To an account of this worker that somebody uses.
    fn visit(&mut self, now: Now, stanza: &Stanza, bare: &str, text: &str) {
        let Some(&actor) = self.homes.get(bare) else {
            return;
        };
        let Some(cell) = self.cells.get(actor) else {
            return;
        };
        if cell.account.sessions.iter().all(|session| session.ended) {
            return;
        }
        let mut stanza = stanza.clone();
        stanza.header.to = match bare == text {
            true => Some(cell.account.jid.clone()),
            false => Jid::from_prepared(text),
        };
        let mail = Mail::Inbound {
            stanza,
            settle: None,
            tell: None,
        };
        self.post_in(now, actor, mail);
    }

    /// To a contact elsewhere, each by itself.
    fn send_abroad(&mut self, now: Now, stanza: &Stanza, to: Jid) {
        let mut stanza = stanza.clone();
        if stanza.header.type_ == Type::Probe {
            // RFC 6121 section 4.3: "the value of the 'from' address MUST be the bare JID of the subscribed user".
            stanza.header.from = stanza.header.from.map(|from| from.to_bare());
        }
        stanza.header.to = Some(to);
        self.route(
            now,
            Envelope::Stanza {
                stanza,
                settle: None,
            },
        );
    }
}

#[cfg(test)]
#[path = "spread_tests.rs"]
mod tests;
