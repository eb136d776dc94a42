//! The clients of one thread: an epoll loop over their connections, logins, farewells, answers to what servers ask, and
//! what was counted. What they say to each other is the business of a `Play`.

use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Result;
use mio::{Events, Poll, Token};

use super::counts::{Complaints, Counts, Latencies};
use super::latency::Latency;
use super::ledger::Faults;
use super::shed::Shed;
use super::words::Id;
use crate::client::link::Link;
use crate::client::management::{Management, REQUEST};
use crate::client::session::{LoginPlan, Session};
use crate::client::stanza::{Piece, Stanza, first_element};

/// What clients do on a stage. `now` and all times are microseconds of the stage's clock.
pub trait Play {
    /// Whether the user on this seat is there from the beginning.
    fn is_early(&self, _stage: &Stage, _seat: usize) -> bool {
        true
    }
    /// Everybody who could come is there.
    fn begin(&mut self, _stage: &mut Stage) {}
    /// A session is ready; before `begin` this happens to all of them.
    fn entered(&mut self, _stage: &mut Stage, _seat: usize) {}
    /// A session is gone, by its own wish or not.
    fn left(&mut self, _stage: &mut Stage, _seat: usize) {}
    /// A message with an id of ours has come.
    fn message(&mut self, _stage: &mut Stage, _seat: usize, _id: Id) {}
    /// So has presence; without an id when it is nothing that was counted.
    fn presence(&mut self, _stage: &mut Stage, _seat: usize, _id: Option<Id>, _stanza: Stanza<'_>) {
    }
    /// An answer to a request.
    fn answer(&mut self, _stage: &mut Stage, _seat: usize, _stanza: Stanza<'_>) {}
    /// Does what is due, and says when it wants to be asked again at the latest.
    fn due(&mut self, _stage: &mut Stage, _now: u64) -> Option<u64> {
        None
    }
    /// Nothing new from here on.
    fn stop(&mut self, _stage: &mut Stage) {}
    /// Whether everything has arrived.
    fn is_at_rest(&self, _stage: &Stage) -> bool {
        true
    }
    /// Nobody waits any longer.
    fn close(&mut self, _stage: &mut Stage) {}
    /// What became of a surge, if there was one.
    fn shed(&self) -> Option<Shed> {
        None
    }
}

/// Where a user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Away,
    Entering,
    Here,
    Leaving,
}

/// One user.
pub struct Seat {
    session: Option<Session>,
    pub place: Place,
    /// When it was meant to enter or to leave.
    since: u64,
    /// Of a connection that broke.
    management: Option<Box<Management>>,
}

/// Where clients connect to, and from where.
#[derive(Debug, Clone, Default)]
pub struct Ends {
    pub servers: Vec<SocketAddr>,
    /// Addresses of this machine; none for whatever the kernel chooses.
    pub sources: Vec<IpAddr>,
}

pub struct Stage {
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    /// Memory that sessions read into, lent to each in turn: idle ones keep none.
    spare: Vec<u8>,
    ready: Vec<usize>,
    pub plan: LoginPlan,
    ends: Ends,
    /// The number of the user on seat 0.
    pub first: u32,
    pub seats: Vec<Seat>,
    start: Instant,
    /// What was meant to happen in here counts for latencies.
    pub window: Range<u64>,
    pub counts: Counts,
    pub latencies: Latencies,
    /// Of what the scenario is about, since the last report.
    pub lately: Latency,
    pub faults: Faults,
    pub superseded: u64,
    pub complaints: Complaints,
    /// Whose input is being read, and what was said to it meanwhile: it leaves in one write.
    current: Option<usize>,
    said: Vec<u8>,
    said_stanzas: Vec<Range<usize>>,
    pub entering: usize,
    pub here: usize,
    pub leaving: usize,
    random: u64,
}

impl Stage {
    /// Nobody is there yet. `seed` makes runs differ, or not.
    pub fn new(plan: LoginPlan, ends: Ends, first: u32, users: u32, seed: u64) -> Result<Self> {
        let seat = |_| Seat {
            session: None,
            place: Place::Away,
            since: 0,
            management: None,
        };
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            scratch: vec![0; 64 * 1024],
            spare: Vec::new(),
            ready: Vec::new(),
            plan,
            ends,
            first,
            seats: (0..users).map(seat).collect(),
            start: Instant::now(),
            window: u64::MAX..u64::MAX,
            counts: Counts::default(),
            latencies: Latencies::new(),
            lately: Latency::new(),
            faults: Faults::default(),
            superseded: 0,
            complaints: Complaints::default(),
            current: None,
            said: Vec::new(),
            said_stanzas: Vec::new(),
            entering: 0,
            here: 0,
            leaving: 0,
            random: seed | 1,
        })
    }

    /// Microseconds since the start.
    pub fn now(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    pub fn user(&self, seat: usize) -> u32 {
        self.first + seat as u32
    }

    /// The seat of a user, if it is one of this stage.
    pub fn seat_of(&self, user: u32) -> Option<usize> {
        let seat = user.checked_sub(self.first)? as usize;
        (seat < self.seats.len()).then_some(seat)
    }

    pub fn is_here(&self, seat: usize) -> bool {
        self.seats[seat].place == Place::Here
    }

    /// A number below `bound` (xorshift64*): who is next need not be unpredictable.
    pub fn random(&mut self, bound: usize) -> usize {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let mixed = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        mixed as usize % bound.max(1)
    }

    /// Whether a latency that began then belongs to the window.
    pub fn counts_at(&self, at: u64) -> bool {
        self.window.contains(&at)
    }

    /// Begins a login that was meant for `at`.
    pub fn enter(&mut self, seat: usize, at: u64) {
        debug_assert!(self.seats[seat].place == Place::Away, "one session a user");
        let user = self.user(seat);
        let server = self.ends.servers[user as usize % self.ends.servers.len()];
        let (registry, token) = (self.poll.registry(), Token(seat));
        let link = match self.ends.sources.len() {
            0 => Link::connect(server, registry, token),
            count => {
                let source = self.ends.sources[user as usize % count];
                Link::connect_from(source, server, registry, token)
            }
        };
        match link {
            Ok(link) => {
                let mut session = Session::over(user, link);
                let place = &mut self.seats[seat];
                session.management = place.management.take();
                place.session = Some(session);
                place.place = Place::Entering;
                place.since = at;
                self.entering += 1;
            }
            Err(error) => {
                self.faults.logins_failed += 1;
                self.complaints
                    .add(&format!("connecting to {server}: {error:#}"));
            }
        }
    }

    /// Begins a farewell.
    pub fn leave(&mut self, seat: usize) {
        if self.seats[seat].place != Place::Here {
            return;
        }
        self.seats[seat].place = Place::Leaving;
        self.seats[seat].since = self.now();
        self.here -= 1;
        self.leaving += 1;
        // XEP-0198 section 4: what has come is acknowledged before the stream ends, else it may come again.
        let session = self.seats[seat].session.as_ref();
        let management = session.and_then(|session| session.management.as_ref());
        let mut last_words = management.map_or_else(String::new, |m| m.acknowledgement());
        last_words.push_str("<presence type='unavailable'/></stream:stream>");
        self.write(seat, last_words.as_bytes());
    }

    /// Breaks a connection without a word.
    pub fn cut(&mut self, seat: usize) {
        if self.seats[seat].place != Place::Here || self.current == Some(seat) {
            return;
        }
        let session = self.seats[seat].session.take();
        self.seats[seat].management = session.and_then(|session| session.management);
        self.seats[seat].place = Place::Away;
        self.here -= 1;
        self.counts.cuts += 1;
    }

    /// Sends one stanza.
    pub fn send(&mut self, seat: usize, stanza: &[u8]) {
        if self.current == Some(seat) {
            let start = self.said.len();
            self.said.extend_from_slice(stanza);
            self.said_stanzas.push(start..self.said.len());
            return;
        }
        let Some(session) = &mut self.seats[seat].session else {
            return;
        };
        let wants_answer = session.management.as_mut().is_some_and(|m| m.sent(stanza));
        self.write(seat, stanza);
        if wants_answer {
            self.write(seat, REQUEST);
        }
    }

    /// Sends what is no stanza. A connection that fails shows when it is read.
    pub fn write(&mut self, seat: usize, bytes: &[u8]) {
        if self.current == Some(seat) {
            self.said.extend_from_slice(bytes);
        } else if let Some(session) = &mut self.seats[seat].session {
            let _ = session.link.send(bytes);
        }
    }

    /// Waits for what happens, at most so long, and lets the play know.
    pub fn turn(&mut self, play: &mut dyn Play, timeout: Duration) -> Result<()> {
        if let Err(error) = self.poll.poll(&mut self.events, Some(timeout))
            && error.kind() != std::io::ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        let mut ready = mem::take(&mut self.ready);
        for event in &self.events {
            // Of bytes and the end behind them the kernel tells once, and a short read is the last: so the end is read apart.
            let times = if event.is_read_closed() { 2 } else { 1 };
            ready.extend(std::iter::repeat_n(event.token().0, times));
        }
        for &seat in &ready {
            self.serve(play, seat);
        }
        ready.clear();
        self.ready = ready;
        Ok(())
    }

    fn serve(&mut self, play: &mut dyn Play, seat: usize) {
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
        self.flush(&mut session);
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
        let since = self.seats[seat].since;
        self.seats[seat].place = Place::Here;
        self.entering -= 1;
        self.here += 1;
        self.counts.logins += 1;
        self.counts.resumed = self.plan.resumptions;
        let took = self.now().saturating_sub(since);
        if self.counts_at(since) {
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
        match stanza.name() {
            b"message" if stanza.kind() == b"error" => {
                self.faults.bounced += 1;
                self.complaints
                    .add(&format!("a message bounced: {}", condition(stanza)));
            }
            b"message" => {
                // Anything else comes from archives, rooms or the server itself.
                if let Some(id) = stanza.attribute("id").and_then(Id::read) {
                    play.message(self, seat, id);
                }
            }
            b"presence" => {
                let id = stanza.attribute("id").and_then(Id::read);
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
                    management.acknowledged(&stanza);
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

    fn flush(&mut self, session: &mut Session) {
        if self.said.is_empty() {
            return;
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
        let _ = session.link.send(&self.said);
        self.said.clear();
        self.said_stanzas.clear();
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

    /// Gives up logins and farewells that take too long. To be called now and then.
    pub fn sweep(&mut self, play: &mut dyn Play) {
        let now = self.now();
        for seat in 0..self.seats.len() {
            let is_late = now.saturating_sub(self.seats[seat].since) > LONGEST_STEP;
            if is_late && matches!(self.seats[seat].place, Place::Entering | Place::Leaving) {
                let session = self.seats[seat].session.take();
                let why = session.map_or_else(String::new, |s| s.describe(&self.plan));
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
const LONGEST_STEP: u64 = 60_000_000;
