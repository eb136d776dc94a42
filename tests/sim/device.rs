//! A client of the simulation: logs in by either profile of SASL, resumes, counts as XEP-0198 asks, and tells the
//! judge all it sends and reads. It refuses to know the server; it speaks bytes.

mod hears;
mod login;
mod says;

use std::collections::VecDeque;

use base64::prelude::{BASE64_STANDARD, Engine};
use roxmltree::{Document, Node};

use crate::judge::{Claim, Judge, Question, RECEIPT, RETRACT, account_of};
use crate::play::framer::{Framer, Item};
use crate::sim::{ConnId, World};

/// A device of one account.
pub struct Device {
    pub number: usize,
    pub account: usize,
    pub name: String,
    pub manages: bool,
    pub wants_carbons: bool,
    /// SASL2 with Bind 2, or RFC 6120.
    pub is_modern: bool,
    pub link: Option<Link>,
    /// What it could resume, or is in.
    pub session: Option<Held>,
    pub wants_resume: bool,
    asked: u32,
    /// Messages that were not acknowledged when their session was over.
    doubtful: Vec<usize>,
}

/// A connection.
pub struct Link {
    pub conn: ConnId,
    framer: Framer,
    phase: Phase,
    /// Arrived, not looked at.
    pub unread: Vec<u8>,
    pub is_stalled: bool,
    /// The server ended the stream.
    has_ended: bool,
    /// The goodbye is said.
    is_leaving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Greeting,
    Authenticating,
    Restarting,
    Resuming,
    Binding,
    Enabling,
    Ready,
}

/// A session.
pub struct Held {
    pub log: usize,
    pub management: Option<Management>,
    /// Messages without stream management: what a later answer will cover.
    unanswered: Vec<usize>,
}

/// XEP-0198, the client's side.
pub struct Management {
    id: String,
    received: u32,
    sent: u32,
    acked: u32,
    /// Stanzas by number that `<a/>` has not covered, with the message or request that they are.
    unacked: VecDeque<(u32, Stanza)>,
}

enum Stanza {
    Message(usize),
    Request(String),
    Other,
}

impl Device {
    pub fn new(number: usize, account: usize, name: &str) -> Device {
        Device {
            number,
            account,
            name: name.to_string(),
            manages: false,
            wants_carbons: false,
            is_modern: false,
            link: None,
            session: None,
            wants_resume: false,
            asked: 0,
            doubtful: Vec::new(),
        }
    }

    pub fn is_ready(&self) -> bool {
        self.link
            .as_ref()
            .is_some_and(|l| l.phase == Phase::Ready && !l.has_ended && !l.is_leaving)
    }

    /// The log of the session that is online.
    pub fn log(&self) -> Option<usize> {
        self.session
            .as_ref()
            .filter(|_| self.is_ready())
            .map(|s| s.log)
    }

    /// Begins to log in. Who resumes leaves an older connection alone, as a phone that changes networks does.
    pub fn connect(&mut self, world: &mut World, judge: &mut Judge, wants_resume: bool) {
        self.wants_resume = wants_resume && self.can_resume();
        if self.wants_resume {
            self.link = None;
        } else {
            self.lose(world, judge);
            self.give_up_session(judge);
        }
        let conn = world.connect_secure(1);
        judge.say(|| format!("{} connects, {conn:?}", self.title()));
        self.link = Some(Link {
            conn,
            framer: Framer::default(),
            phase: Phase::Greeting,
            unread: Vec::new(),
            is_stalled: false,
            has_ended: false,
            is_leaving: false,
        });
        self.open(world);
    }

    pub fn can_resume(&self) -> bool {
        let is_leaving = self.link.as_ref().is_some_and(|link| link.is_leaving);
        !is_leaving
            && self
                .session
                .as_ref()
                .is_some_and(|s| s.management.is_some())
    }

    /// The connection breaks.
    pub fn lose(&mut self, world: &mut World, judge: &mut Judge) {
        let may_return = self.can_resume();
        if let Some(link) = self.link.take() {
            judge.say(|| format!("{} loses {:?}", self.title(), link.conn));
            let lost = world.lose(link.conn);
            self.written_off(judge, link, lost);
        }
        if !may_return {
            self.give_up_session(judge);
        }
    }

    /// The server is gone: nothing of the connection is left.
    pub fn crashed(&mut self, world: &mut World, judge: &mut Judge) {
        let may_return = self.can_resume();
        if let Some(link) = self.link.take() {
            let lost = world.read(link.conn);
            self.written_off(judge, link, lost);
        }
        if !may_return {
            self.give_up_session(judge);
        }
    }

    fn written_off(&self, judge: &mut Judge, link: Link, lost: Vec<u8>) {
        if let Some(session) = &self.session {
            let mut bytes = link.framer.rest().into_bytes();
            bytes.extend(link.unread);
            bytes.extend(lost);
            judge.lost(session.log, &String::from_utf8_lossy(&bytes));
        }
    }

    pub fn give_up_session(&mut self, judge: &mut Judge) {
        if let Some(session) = self.session.take() {
            judge.over(session.log);
            let held = session.management.into_iter();
            let held = held.flat_map(|management| management.unacked);
            self.doubtful
                .extend(held.filter_map(|(_, stanza)| match stanza {
                    Stanza::Message(number) => Some(number),
                    _ => None,
                }));
        }
    }

    /// Says goodbye.
    pub fn close(&mut self, world: &mut World, judge: &mut Judge) {
        judge.say(|| format!("{} closes", self.title()));
        if self.is_ready() {
            self.write(world, "</stream:stream>");
            if let (Some(session), Some(link)) = (&self.session, &mut self.link) {
                link.is_leaving = true;
                judge.over(session.log);
            }
        }
    }

    fn count(&mut self, stanza: Stanza) {
        if let Some(held) = self.session.as_mut().and_then(|s| s.management.as_mut()) {
            held.sent += 1;
            held.unacked.push_back((held.sent, stanza));
        }
    }

    fn enter(&mut self, phase: Phase) {
        if let Some(link) = &mut self.link {
            link.phase = phase;
        }
    }

    fn write(&mut self, world: &mut World, text: &str) {
        if let Some(link) = &self.link {
            world.write(link.conn, text.as_bytes());
        }
    }

    pub fn title(&self) -> String {
        format!("u{}/{}", self.account, self.name)
    }
}
