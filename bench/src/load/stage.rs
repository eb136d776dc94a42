//! The clients of one thread: an epoll loop over their connections, logins, farewells, and what was counted. What they hear is in
//! `hearing.rs`; what they say to each other is the business of a `Play`.

mod hearing;

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
use super::words::{Id, Tag};
use crate::client::link::Link;
use crate::client::management::{Management, REQUEST};
use crate::client::plan::LoginPlan;
use crate::client::session::Session;
use crate::client::stanza::Stanza;

pub use hearing::condition;

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
    /// A message with an id of this run has come.
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
    /// When it was meant to enter.
    meant: u64,
    /// When it began to, or to leave; with more to do than is done, much later.
    began: u64,
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
    /// Whose connection did not take what was to be sent, and why.
    failing: Vec<(usize, anyhow::Error)>,
    pub plan: LoginPlan,
    ends: Ends,
    pub run: Tag,
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
    /// Stanzas that another run sent.
    pub of_other_runs: u64,
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
    /// Nobody is there yet: `users` are the number of the first, and how many. `seed` makes runs differ, or not.
    pub fn new(
        plan: LoginPlan,
        ends: Ends,
        run: Tag,
        (first, users): (u32, u32),
        seed: u64,
    ) -> Result<Self> {
        let seat = |_| Seat {
            session: None,
            place: Place::Away,
            meant: 0,
            began: 0,
            management: None,
        };
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            scratch: vec![0; 64 * 1024],
            spare: Vec::new(),
            ready: Vec::new(),
            failing: Vec::new(),
            plan,
            ends,
            run,
            first,
            seats: (0..users).map(seat).collect(),
            start: Instant::now(),
            window: u64::MAX..u64::MAX,
            counts: Counts::default(),
            latencies: Latencies::new(),
            lately: Latency::new(),
            faults: Faults::default(),
            superseded: 0,
            of_other_runs: 0,
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

    /// For what a play does by itself: its users have no connections.
    #[cfg(test)]
    pub fn of_nobody(users: u32) -> Self {
        use crate::client::people::People;
        use crate::client::sasl::Mechanism;
        use crate::client::session::Transport;
        let tls = crate::client::tls::trusting_config().expect("a configuration");
        let people = People::of_bench();
        let plan = LoginPlan::new(people, Transport::Plain, Mechanism::Plain, tls);
        let stage = Self::new(plan, Ends::default(), Tag::random(), (0, users), 1);
        stage.expect("epoll")
    }

    /// Microseconds since the start.
    pub fn now(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    pub fn user(&self, seat: usize) -> u32 {
        self.first + seat as u32
    }

    /// Of what a user of this run sends.
    pub fn id(&self, sender: u32, number: u32, at: u64) -> Id {
        Id {
            run: self.run,
            sender,
            number,
            at,
        }
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
                let began = self.now();
                let place = &mut self.seats[seat];
                session.management = place.management.take();
                place.session = Some(session);
                place.place = Place::Entering;
                (place.meant, place.began) = (at, began);
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
        self.seats[seat].began = self.now();
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

    /// Sends what is no stanza.
    pub fn write(&mut self, seat: usize, bytes: &[u8]) {
        if self.current == Some(seat) {
            self.said.extend_from_slice(bytes);
        } else if let Some(session) = &mut self.seats[seat].session
            && let Err(error) = session.link.send(bytes)
        {
            self.failing.push((seat, error));
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
        self.give_up_failing(play);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::hearing::LONGEST_STEP;
    use super::*;

    struct Nothing;

    impl Play for Nothing {}

    #[test]
    fn a_login_has_its_minute_from_when_it_begins_not_from_when_it_was_meant() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut stage = Stage::of_nobody(1);
        stage.ends.servers = vec![listener.local_addr().expect("an address")];
        let late = Duration::from_micros(LONGEST_STEP + 1_000_000);
        let pass = |stage: &mut Stage| {
            stage.start = stage
                .start
                .checked_sub(late)
                .expect("it runs since a while");
            stage.sweep(&mut Nothing);
        };
        pass(&mut stage);
        stage.enter(0, 0);
        stage.sweep(&mut Nothing);
        assert_eq!(stage.seats[0].place, Place::Entering);
        let session = stage.seats[0].session.as_mut().expect("it enters");
        let management = session.management.get_or_insert_default();
        management.sent(b"<message/>");
        pass(&mut stage);
        assert_eq!(stage.seats[0].place, Place::Away);
        assert_eq!(stage.faults.logins_failed, 1);
        let kept = stage.seats[0].management.as_ref().expect("for the next");
        assert_eq!(kept.unacknowledged(), b"<message/>");
    }
}
