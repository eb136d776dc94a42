//! A crowd on a ring of which everybody hears the neighbours on either side. Who has been heard by all says the next thing,
//! so that nothing is ever replaced by something newer on its way, and everything that is missing is a loss. It knows
//! nothing of which server lies between.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::presence::Audience;
use super::tally::{Outcome, Tally};
use crate::client::message::{Found, Id, Scanner, compose_presence};
use crate::client::swarm::Swarm;
use crate::process::Server;

/// Who hears what somebody says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hears {
    Contacts,
    /// As RFC 6121 section 4.4.2 has it.
    ContactsAndItself,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Faults {
    lost: u64,
    /// A number that was not the one to come from this sender at this reader.
    disorder: u64,
    misrouted: u64,
    bounced: u64,
}

/// What one of them has said.
#[derive(Clone, Copy, Default)]
struct Voice {
    said: u64,
    /// Who has not heard the last of it.
    missing: u32,
    left_at: u64,
}

pub struct Crowd<'a> {
    server: &'a Server,
    swarm: &'a mut Swarm,
    voices: Vec<Voice>,
    /// How often each reader has heard each neighbour: `heard[reader * (2 * reach + 1) + place]`.
    heard: Vec<u64>,
    reach: usize,
    speakers: usize,
    /// How many hear a thing.
    listeners: u32,
    /// Whose turn it is when somebody has been heard.
    next: usize,
    goes_on: bool,
    scanner: Scanner,
    start: Instant,
    tally: Tally,
    faults: Faults,
    outgoing: Vec<u8>,
    /// Empty between two calls; its memory is used again.
    found: Vec<Found>,
}

impl<'a> Crowd<'a> {
    /// All sessions of `swarm`, with nothing under way.
    pub fn new(
        server: &'a Server,
        swarm: &'a mut Swarm,
        audience: Audience,
        hears: Hears,
    ) -> Result<Self> {
        let count = swarm.sessions.len();
        let reach = audience.contacts as usize / 2;
        Ok(Self {
            server,
            swarm,
            voices: vec![Voice::default(); count],
            heard: vec![0; count * (2 * reach + 1)],
            reach,
            speakers: audience.speakers,
            listeners: match hears {
                Hears::Contacts => audience.contacts,
                Hears::ContactsAndItself => audience.contacts + 1,
            },
            next: 0,
            goes_on: false,
            scanner: Scanner::of_presence(),
            start: Instant::now(),
            tally: Tally::new()?,
            faults: Faults::default(),
            outgoing: Vec::new(),
            found: Vec::new(),
        })
    }

    /// Goes on for a while, then lets everything come to rest. Any loss, duplicate or disorder is an error.
    pub fn slice(&mut self, warm_up: Duration, window: Duration) -> Result<()> {
        self.goes_on = true;
        for _ in 0..self.speakers {
            self.say_next()?;
        }
        let first: Vec<u64> = self.voices.iter().map(|voice| voice.said).collect();
        self.run_for(warm_up)?;
        self.until_heard(&first)?;
        self.tally.begin(self.server)?;
        self.run_for(window)?;
        self.tally.end(self.server)?;
        self.come_to_rest()?;
        if self.faults != Faults::default() {
            bail!("presence went wrong: {:?}", self.faults);
        }
        Ok(())
    }

    /// A slice that does not count: how long it takes until everything under way has been heard once.
    pub fn rehearse(&mut self, warm_up: Duration) -> Result<Duration> {
        self.slice(warm_up, super::SLICE)?;
        let outcome = self.outcome()?;
        self.tally = Tally::new()?;
        Ok(outcome.rotation(self.speakers * self.listeners as usize))
    }

    /// What all slices together showed.
    pub fn outcome(&self) -> Result<Outcome> {
        self.tally.outcome()
    }

    /// Goes on until what was said first, up to which number each had come then, was heard by all: all of it is said at once,
    /// and before it has gone round nobody is waited for as long as later.
    fn until_heard(&mut self, first: &[u64]) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let is_heard = |crowd: &Self| {
            let mut voices = crowd.voices.iter().zip(first);
            voices.all(|(voice, first)| voice.missing == 0 || voice.said > *first)
        };
        while !is_heard(self) {
            ensure!(
                Instant::now() < deadline,
                "the first presence does not arrive"
            );
            self.run_for(Duration::from_millis(20))?;
        }
        Ok(())
    }

    fn run_for(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.turn(left)?;
        }
        Ok(())
    }

    fn come_to_rest(&mut self) -> Result<()> {
        self.goes_on = false;
        let deadline = Instant::now() + PATIENCE;
        while self.under_way() > 0 && Instant::now() < deadline {
            self.turn(Duration::from_millis(50))?;
        }
        // A duplicate of the last would come after it.
        self.run_for(Duration::from_millis(50))?;
        self.faults.lost = self.under_way();
        Ok(())
    }

    fn under_way(&self) -> u64 {
        self.voices.iter().map(|v| u64::from(v.missing)).sum()
    }

    fn turn(&mut self, timeout: Duration) -> Result<()> {
        let ready = self.swarm.wait(timeout)?;
        for &index in &ready {
            self.swarm.receive(index)?;
            if !self.swarm.sessions[index].input.is_empty() {
                self.listen(index)?;
            }
        }
        self.swarm.done_with(ready);
        Ok(())
    }

    /// Takes everything whole that has arrived for one of them.
    fn listen(&mut self, reader: usize) -> Result<()> {
        let now = self.microseconds();
        let mut found = std::mem::take(&mut self.found);
        let input = &mut self.swarm.sessions[reader].input;
        self.scanner.take(input, |one| found.push(one));
        for one in found.drain(..) {
            match one {
                Found::Foreign => self.faults.bounced += 1,
                Found::Ours(id) => {
                    if self.count(reader, id, now) && self.goes_on {
                        self.say_next()?;
                    }
                }
            }
        }
        self.found = found;
        Ok(())
    }

    /// Counts one arrival; true when it was the last of what its sender said.
    fn count(&mut self, reader: usize, id: Id, now: u64) -> bool {
        let sender = id.sender as usize;
        let Some(place) = self.place(reader, sender) else {
            self.faults.misrouted += 1;
            return false;
        };
        let heard = &mut self.heard[reader * (2 * self.reach + 1) + place];
        let voice = &mut self.voices[sender];
        // Whoever missed something before missed it while others were waited for, which is a loss.
        if id.number + 1 != voice.said || *heard == voice.said || voice.missing == 0 {
            self.faults.disorder += 1;
            return false;
        }
        *heard = voice.said;
        voice.missing -= 1;
        self.tally.arrived(now.saturating_sub(voice.left_at));
        voice.missing == 0
    }

    /// Where a neighbour stands, seen from a reader: itself in the middle.
    fn place(&self, reader: usize, sender: usize) -> Option<usize> {
        let count = self.voices.len();
        let place = (sender + count + self.reach).checked_sub(reader)? % count;
        (sender < count && place <= 2 * self.reach).then_some(place)
    }

    /// The next on the ring that is not being waited for says something.
    fn say_next(&mut self) -> Result<()> {
        let count = self.voices.len();
        for _ in 0..count {
            let index = self.next;
            self.next = (self.next + 1) % count;
            if self.voices[index].missing == 0 {
                return self.say(index);
            }
        }
        Ok(())
    }

    fn say(&mut self, index: usize) -> Result<()> {
        let now = self.microseconds();
        let voice = &mut self.voices[index];
        compose_presence(index as u32, voice.said, &mut self.outgoing);
        voice.said += 1;
        voice.missing = self.listeners;
        voice.left_at = now;
        self.swarm.sessions[index].link.send(&self.outgoing)?;
        self.outgoing.clear();
        Ok(())
    }

    fn microseconds(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }
}

/// How long presence may take to come to rest before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
#[path = "crowd_tests.rs"]
mod tests;
