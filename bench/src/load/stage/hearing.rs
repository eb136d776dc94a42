//! What clients hear, and what becomes of their connections: logins that are done, answers to what servers ask, ends and what
//! takes too long. It refuses to know what was said, and why.

use std::mem;

use anyhow::Result;

use super::{Place, Play, Stage};
use crate::client::management::REQUEST;
use crate::client::session::Session;
use crate::client::stanza::{Piece, Stanza, first_element};
use crate::load::words::Id;

impl Stage {
    /// What cannot be sent to ends; but what the server has said last is the better reason.
    pub(super) fn give_up_failing(&mut self, play: &mut dyn Play) {
        for (seat, error) in mem::take(&mut self.failing) {
            // The bytes, and the end behind them.
            self.serve(play, seat);
            self.serve(play, seat);
            if let Some(mut session) = self.seats[seat].session.take() {
                self.seats[seat].management = session.management.take();
                drop(session);
                self.gone(play, seat, &format!("sending: {error:#}"));
            }
        }
    }

    pub(super) fn serve(&mut self, play: &mut dyn Play, seat: usize) {
        let Some(mut session) = self.seats[seat].session.take() else {
            return;
        };
        // An event of the seat's former connection may come late.
        if session.is_connecting() && !session.link.has_peer() && session.link.connected().is_ok() {
            self.seats[seat].session = Some(session);
            return;
        }
        self.current = Some(seat);
        let outcome = self.read(play, seat, &mut session);
        self.current = None;
        let outcome = outcome.and(self.flush(&mut session));
        match outcome {
            Ok(()) => self.seats[seat].session = Some(session),
            Err(error) => {
                self.seats[seat].management = session.management.take();
                drop(session);
                self.gone(play, seat, &format!("{error:#}"));
            }
        }
    }

    fn read(&mut self, play: &mut dyn Play, seat: usize, session: &mut Session) -> Result<()> {
        if session.is_connecting() {
            session.advance(&mut self.plan)?;
        }
        if session.input.is_empty() {
            mem::swap(&mut session.input, &mut self.spare);
        }
        let received = session.link.flush();
        let received =
            received.and_then(|()| session.link.receive(&mut self.scratch, &mut session.input));
        if !session.is_ready() {
            session.advance(&mut self.plan)?;
            if session.is_ready() {
                self.enter_done(seat);
                play.entered(self, seat);
            }
        }
        let taken = match session.is_ready() {
            true => self.take_all(play, seat, session),
            false => Ok(()),
        };
        // The memory goes back; a stanza that is not whole yet moves into its own.
        if session.input.is_empty() {
            mem::swap(&mut session.input, &mut self.spare);
            session.input = Vec::new();
        } else if session.input.capacity() > 2 * session.input.len() + 512 {
            session.input.shrink_to_fit();
        }
        taken.and(received)
    }

    fn enter_done(&mut self, seat: usize) {
        let meant = self.seats[seat].meant;
        self.seats[seat].place = Place::Here;
        self.entering -= 1;
        self.here += 1;
        self.counts.logins += 1;
        self.counts.resumed = self.plan.resumptions;
        let took = self.now().saturating_sub(meant);
        if self.counts_at(meant) {
            self.latencies.logins.record(took);
        }
    }

    fn take_all(&mut self, play: &mut dyn Play, seat: usize, session: &mut Session) -> Result<()> {
        let mut input = mem::take(&mut session.input);
        let mut used = 0;
        let outcome = loop {
            match first_element(&input[used..]) {
                Piece::Element { skip, length } => {
                    let from = used + skip;
                    used = from + length;
                    let stanza = Stanza {
                        bytes: &input[from..used],
                    };
                    if let Err(error) = self.take(play, seat, session, stanza) {
                        break Err(error);
                    }
                }
                Piece::Unfinished { skip } => {
                    used += skip;
                    break Ok(());
                }
                Piece::End => break Err(anyhow::anyhow!("the server ended the stream")),
            }
        };
        if used == input.len() {
            input.clear();
        } else {
            input.drain(..used);
        }
        session.input = input;
        outcome
    }

    fn take(
        &mut self,
        play: &mut dyn Play,
        seat: usize,
        session: &mut Session,
        stanza: Stanza<'_>,
    ) -> Result<()> {
        if let Some(management) = &mut session.management {
            management.received(&stanza);
        }
        let id = stanza.attribute("id").and_then(Id::read);
        // What a run that was broken off left under way waits at the server for the next.
        if id.is_some_and(|id| id.run != self.run) {
            self.of_other_runs += 1;
            return Ok(());
        }
        match stanza.name() {
            b"message" if stanza.kind() == b"error" => {
                self.faults.bounced += 1;
                self.complaints
                    .add(&format!("a message bounced: {}", condition(stanza)));
            }
            b"message" => {
                // Anything else comes from archives, rooms or the server itself.
                if let Some(id) = id {
                    play.message(self, seat, id);
                }
            }
            b"presence" => {
                play.presence(self, seat, id, stanza);
            }
            b"iq" => match stanza.kind() {
                b"get" | b"set" => self.answer(seat, stanza),
                _ => play.answer(self, seat, stanza),
            },
            b"r" => {
                if let Some(management) = &session.management {
                    session.link.send(management.acknowledgement().as_bytes())?;
                }
            }
            b"a" => {
                if let Some(management) = &mut session.management {
                    management.acknowledged(&stanza)?;
                }
            }
            b"stream:error" => {
                anyhow::bail!("the server ended the stream: {}", condition(stanza))
            }
            _ => {}
        }
        Ok(())
    }

    /// RFC 6120 section 8.2.3: whoever is asked must answer. Pings and roster pushes have a result.
    fn answer(&mut self, seat: usize, stanza: Stanza<'_>) {
        let text =
            |name| String::from_utf8_lossy(stanza.attribute(name).unwrap_or_default()).into_owned();
        let id = text("id");
        let to = match stanza.attribute("from") {
            Some(_) => format!(" to='{}'", text("from").replace('\'', "&apos;")),
            None => String::new(),
        };
        let is_known = stanza.contains("urn:xmpp:ping") || stanza.contains("jabber:iq:roster");
        let answer = match is_known {
            true => format!("<iq type='result' id='{id}'{to}/>"),
            false => format!(
                "<iq type='error' id='{id}'{to}><error type='cancel'>\
                 <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
            ),
        };
        self.send(seat, answer.as_bytes());
    }

    fn flush(&mut self, session: &mut Session) -> Result<()> {
        if self.said.is_empty() {
            return Ok(());
        }
        let mut wants_answer = false;
        if let Some(management) = &mut session.management {
            for stanza in &self.said_stanzas {
                wants_answer |= management.sent(&self.said[stanza.clone()]);
            }
        }
        if wants_answer {
            self.said.extend_from_slice(REQUEST);
        }
        let sent = session.link.send(&self.said);
        self.said.clear();
        self.said_stanzas.clear();
        sent
    }

    /// A connection has ended.
    fn gone(&mut self, play: &mut dyn Play, seat: usize, why: &str) {
        let place = mem::replace(&mut self.seats[seat].place, Place::Away);
        match place {
            Place::Entering => {
                self.entering -= 1;
                self.faults.logins_failed += 1;
                self.complaints.add(&without_names(why));
            }
            Place::Here => {
                self.here -= 1;
                self.faults.closed += 1;
                self.complaints.add(&format!("a session ended: {why}"));
            }
            Place::Leaving => {
                self.leaving -= 1;
                self.counts.leaves += 1;
                self.seats[seat].management = None;
            }
            Place::Away => {}
        }
        play.left(self, seat);
    }

    /// So many times.
    pub fn farewell_unanswered(&mut self, times: u64) {
        if times > 0 {
            self.faults.refused += times;
            let said = "no answer to a farewell for a minute";
            self.complaints.add_many(said, times);
        }
    }

    /// Gives up logins and farewells that take too long. To be called now and then.
    pub fn sweep(&mut self, play: &mut dyn Play) {
        let now = self.now();
        for seat in 0..self.seats.len() {
            let is_late = now.saturating_sub(self.seats[seat].began) > LONGEST_STEP;
            if is_late && matches!(self.seats[seat].place, Place::Entering | Place::Leaving) {
                let is_farewell = self.seats[seat].place == Place::Leaving;
                self.farewell_unanswered(u64::from(is_farewell));
                let mut why = String::new();
                if let Some(mut session) = self.seats[seat].session.take() {
                    why = session.describe(&self.plan);
                    // It still has to be sent, when the user comes again.
                    self.seats[seat].management = session.management.take();
                }
                self.gone(play, seat, &format!("no answer for a minute: {why}"));
            }
        }
    }
}

/// What names the error of a stanza: the first child of `<error/>` or of `<stream:error/>`, and its text.
pub fn condition(stanza: Stanza<'_>) -> String {
    let text = String::from_utf8_lossy(stanza.bytes);
    let inner = text.find("<error").or_else(|| text.find("<stream:error"));
    let shown: String = text[inner.unwrap_or(0)..].chars().take(300).collect();
    shown
}

/// So that a thousand users who fail in one way make one complaint.
fn without_names(why: &str) -> String {
    match (why.strip_prefix("user "), why.find(" waiting for ")) {
        // What it waited for, and why it was in vain; what has come is everybody's own.
        (Some(_), Some(at)) => {
            let step = &why[at..why.find(", input ").unwrap_or(why.len())];
            let reason = why.rfind("\": ").map_or("", |reason| &why[reason + 1..]);
            format!("login{step}{reason}")
        }
        _ => format!("login: {why}"),
    }
}

/// Of a login or a farewell, in microseconds.
pub(super) const LONGEST_STEP: u64 = 60_000_000;
