//! A client of the simulation: logs in by either profile of SASL, resumes, counts as XEP-0198 asks, and tells the
//! judge all it sends and reads. It refuses to know the server; it speaks bytes.

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

    /// Stanzas, which count.
    pub fn send_message(&mut self, world: &mut World, judge: &mut Judge, number: usize, to: &str) {
        judge.say(|| format!("{} sends m{number} to {to}", self.title()));
        self.write_message(world, judge, number, to);
        self.count(Stanza::Message(number));
        if let Some(session) = &mut self.session {
            session.unanswered.push(number);
        }
    }

    fn write_message(&mut self, world: &mut World, judge: &Judge, number: usize, to: &str) {
        // A receipt is kept as words are, and waits where nobody looks (XEP-0352).
        let inner = match judge.sends_receipts && number % 4 == 3 {
            true => format!("{RECEIPT}{number}'/>"),
            false => format!("<body>m{number}</body>"),
        };
        let origin = match judge.resends {
            true => format!("<origin-id xmlns='urn:xmpp:sid:0' id='o{number}'/>"),
            false => String::new(),
        };
        let xml =
            format!("<message type='chat' id='m{number}' to='{to}'>{inner}{origin}</message>");
        self.write(world, &xml);
    }

    /// DESIGN section 20: "A client that resends after a crash (it never saw the acknowledgement) is recognised by sender
    /// and origin-id": what was said to somebody's bare JID in a session that is over is said again.
    fn send_again(&mut self, world: &mut World, judge: &mut Judge) {
        let doubtful = std::mem::take(&mut self.doubtful);
        let can = judge.resends && judge.keeps_always && !judge.had_faults;
        let (Some(log), true) = (self.log(), can && self.can_resume()) else {
            return;
        };
        for number in doubtful {
            let message = &mut judge.messages[number];
            let (Some(to), true, None, None) = (
                message.to,
                message.to_bare,
                message.retracts,
                message.again_of,
            ) else {
                continue;
            };
            message.again_of = Some(message.sender);
            (message.sender, message.life) = (log, judge.life);
            judge.say(|| format!("{} sends m{number} again", self.title()));
            self.write_message(world, judge, number, &format!("u{to}@localhost"));
            self.count(Stanza::Message(number));
        }
    }

    /// Takes back an earlier message (XEP-0424), with words for whose client does not know that.
    pub fn send_retraction(
        &mut self,
        world: &mut World,
        judge: &mut Judge,
        (number, of): (usize, usize),
        to: &str,
    ) {
        judge.say(|| format!("{} retracts m{of} with m{number} to {to}", self.title()));
        let retract = format!("<retract xmlns='{RETRACT}' id='m{of}'/>");
        let xml = format!(
            "<message type='chat' id='m{number}' to='{to}'>{retract}<body>m{number}</body></message>"
        );
        self.write(world, &xml);
        self.count(Stanza::Message(number));
        if let Some(session) = &mut self.session {
            session.unanswered.push(number);
        }
    }

    pub fn ask(&mut self, world: &mut World, judge: &mut Judge, to: Option<&str>, to_device: bool) {
        let Some(log) = self.log() else { return };
        self.asked += 1;
        let id = format!("q{}.{}.{}", self.number, self.asked, judge.life);
        judge.say(|| format!("{} asks {id} of {to:?}", self.title()));
        let other = to.and_then(account_of).filter(|to| *to != self.account);
        let to = to.map_or_else(String::new, |to| format!(" to='{to}'"));
        let ping = "<ping xmlns='urn:xmpp:ping'/>";
        self.write(world, &format!("<iq type='get' id='{id}'{to}>{ping}</iq>"));
        self.question(judge, id.clone(), log, to_device);
        if let Some(question) = judge.questions.get_mut(&id) {
            question.to = other;
            question.to_nobody = to.contains("nobody@localhost");
        }
    }

    /// XEP-0352: says whether somebody looks, or XEP-0085: that somebody writes.
    pub fn send_state(&mut self, world: &mut World, judge: &mut Judge, name: &str, to: &str) {
        if !self.is_ready() {
            return;
        }
        judge.say(|| format!("{} says {name} to {to}", self.title()));
        if to.is_empty() {
            self.write(world, &format!("<{name} xmlns='urn:xmpp:csi:0'/>"));
            return;
        }
        let state = format!("<{name} xmlns='http://jabber.org/protocol/chatstates'/>");
        self.write(
            world,
            &format!("<message type='chat' to='{to}'>{state}</message>"),
        );
        self.count(Stanza::Other);
    }

    /// XEP-0191: keeps these accounts away, whose addresses match an item, or no longer.
    pub fn set_block(
        &mut self,
        world: &mut World,
        judge: &mut Judge,
        name: &str,
        item: &str,
        others: &[usize],
    ) {
        let Some(log) = self.log() else { return };
        self.asked += 1;
        let id = format!("b{}.{}.{}", self.number, self.asked, judge.life);
        judge.say(|| format!("{} {name}s {item} with {id}", self.title()));
        if name == "block" {
            let pairs = others.iter().map(|&other| (self.account, other));
            judge.blocks.extend(pairs);
            if others.len() > 1 {
                judge.shut.insert(self.account);
            }
            judge.wishes_to_block(self.account, others, &id);
        } else {
            judge.unblocks(self.account, others, &id);
        }
        let xml = format!("<{name} xmlns='urn:xmpp:blocking'>{item}</{name}>");
        self.write(world, &format!("<iq type='set' id='{id}'>{xml}</iq>"));
        self.question(judge, id, log, false);
    }

    /// Asks its archive for a page: the first, or the last.
    pub fn search(&mut self, world: &mut World, judge: &mut Judge, max: usize, is_last: bool) {
        let Some(log) = self.log() else { return };
        self.asked += 1;
        let id = format!("a{}.{}.{}", self.number, self.asked, judge.life);
        judge.say(|| format!("{} searches {id}", self.title()));
        let before = if is_last { "<before/>" } else { "" };
        let set =
            format!("<set xmlns='http://jabber.org/protocol/rsm'><max>{max}</max>{before}</set>");
        // Now and then only what it said to itself: by the index, and what that does not have yet.
        let form = match self.asked % 3 {
            0 => format!(
                "<x xmlns='jabber:x:data' type='submit'>\
                 <field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>\
                 <field var='with'><value>u{}@localhost</value></field></x>",
                self.account
            ),
            _ => String::new(),
        };
        let query = format!("<query xmlns='urn:xmpp:mam:2' queryid='{id}'>{form}{set}</query>");
        self.write(world, &format!("<iq type='set' id='{id}'>{query}</iq>"));
        self.question(judge, id, log, false);
    }

    fn question(&mut self, judge: &mut Judge, id: String, log: usize, to_device: bool) {
        // Another account may answer before this one's earlier messages are anywhere.
        let before = match &mut self.session {
            Some(session) if !to_device => std::mem::take(&mut session.unanswered),
            _ => Vec::new(),
        };
        let question = Question {
            session: log,
            to_device,
            to: None,
            to_nobody: false,
            answers: 0,
            void: false,
            before,
        };
        judge.questions.insert(id.clone(), question);
        self.count(Stanza::Request(id));
    }

    pub fn send_presence(&mut self, world: &mut World, judge: &mut Judge, priority: Option<i8>) {
        let Some(log) = self.log() else { return };
        judge.say(|| format!("{} is present at {priority:?}", self.title()));
        self.asked += 1;
        let (xml, status) = match priority {
            Some(priority) => {
                let status = format!("s{}.{}", self.number, self.asked);
                let xml = format!(
                    "<presence><priority>{priority}</priority><status>{status}</status></presence>"
                );
                (xml, Some(status))
            }
            None => ("<presence type='unavailable'/>".to_string(), None),
        };
        self.write(world, &xml);
        self.count(Stanza::Other);
        if let Some(status) = &status {
            judge.said_in.insert(status.clone(), (log, self.asked));
        }
        judge.sessions[log].status = status;
    }

    /// RFC 6121 section 4.3: "if a user's client generates an outbound presence probe".
    pub fn send_probe(&mut self, world: &mut World, judge: &mut Judge, to: &str) {
        judge.say(|| format!("{} probes {to}", self.title()));
        self.write(world, &format!("<presence type='probe' to='{to}'/>"));
        self.count(Stanza::Other);
    }

    /// Takes back what lets the other account see this one; what this session says from now on is not for it.
    pub fn revokes(&self, judge: &mut Judge, other: usize) {
        if let Some(log) = self.log() {
            judge.revoked(log, other, self.asked);
        }
    }

    /// RFC 6121 section 3: something about a subscription.
    pub fn send_subscription(&mut self, world: &mut World, judge: &mut Judge, act: &str, to: &str) {
        judge.say(|| format!("{} says {act} to {to}", self.title()));
        self.write(world, &format!("<presence type='{act}' to='{to}'/>"));
        self.count(Stanza::Other);
    }

    /// Adds, renames or removes a contact.
    pub fn set_item(&mut self, world: &mut World, judge: &mut Judge, item: &str) {
        let id = self.request(world, judge, "set", item);
        judge.say(|| format!("{} sets {item} with {id:?}", self.title()));
    }

    pub fn ask_roster(&mut self, world: &mut World, judge: &mut Judge) {
        let id = self.request(world, judge, "get", "");
        judge.say(|| format!("{} asks for the roster with {id:?}", self.title()));
    }

    fn request(
        &mut self,
        world: &mut World,
        judge: &mut Judge,
        verb: &str,
        items: &str,
    ) -> Option<String> {
        let log = self.log()?;
        self.asked += 1;
        let id = format!("r{}.{}.{}", self.number, self.asked, judge.life);
        let query = format!("<query xmlns='jabber:iq:roster'>{items}</query>");
        self.write(world, &format!("<iq type='{verb}' id='{id}'>{query}</iq>"));
        self.question(judge, id.clone(), log, false);
        Some(id)
    }

    pub fn request_ack(&mut self, world: &mut World) {
        if self.is_ready() && self.can_resume() {
            self.write(world, "<r xmlns='urn:xmpp:sm:3'/>");
        }
    }

    pub fn send_ack(&mut self, world: &mut World) {
        let h = self.session.as_ref().and_then(|s| s.management.as_ref());
        if let (true, Some(management)) = (self.is_ready(), h) {
            let ack = format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", management.received);
            self.write(world, &ack);
        }
    }

    /// Reads the first `count` of the bytes that came; whether there were any.
    pub fn read(&mut self, world: &mut World, judge: &mut Judge, count: usize) -> bool {
        let Some(link) = &mut self.link else {
            return false;
        };
        if link.is_stalled {
            return false;
        }
        link.unread.extend(world.read(link.conn));
        let count = count.min(link.unread.len());
        let bytes: Vec<u8> = link.unread.drain(..count).collect();
        link.framer.push(&bytes);
        while let Some(item) = self.link.as_mut().and_then(|link| link.framer.pop()) {
            match item {
                Item::Header(_) => {}
                Item::End => {
                    if let Some(link) = &mut self.link {
                        link.has_ended = true;
                    }
                }
                Item::Element(text) => self.element(world, judge, &text),
            }
        }
        let Some(link) = &self.link else {
            return true;
        };
        if link.unread.is_empty() && (link.has_ended || world.is_closed(link.conn)) {
            self.lose(world, judge);
        }
        count > 0
    }

    fn element(&mut self, world: &mut World, judge: &mut Judge, text: &str) {
        judge.say(|| format!("    {} <- {text}", self.title()));
        let whole = format!(
            "<x xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>{text}</x>"
        );
        let document = Document::parse(&whole).unwrap_or_else(|e| panic!("{e}: {text}"));
        let element = document
            .root_element()
            .first_element_child()
            .expect("an element");
        let phase = self.link.as_ref().map_or(Phase::Ready, |link| link.phase);
        if element.has_tag_name(("http://etherx.jabber.org/streams", "error")) {
            let known = [
                "conflict",
                "reset",
                "connection-timeout",
                "resource-constraint",
            ];
            let is_known = known.iter().any(|name| text.contains(&format!("<{name} ")));
            assert!(is_known, "{} got a stream error: {text}", self.title());
            return;
        }
        if phase == Phase::Ready {
            self.in_session(world, judge, element);
        } else {
            self.in_negotiation(world, judge, element, phase);
        }
    }

    fn in_negotiation(
        &mut self,
        world: &mut World,
        judge: &mut Judge,
        element: Node<'_, '_>,
        phase: Phase,
    ) {
        match (phase, element.tag_name().name()) {
            (Phase::Greeting, "features") => self.authenticate(world),
            (Phase::Authenticating, "success") if self.is_modern => {
                self.authenticated(world, judge, element);
            }
            (Phase::Authenticating, "success") => {
                if let Some(link) = &mut self.link {
                    link.framer.restart();
                }
                self.enter(Phase::Restarting);
                self.open(world);
            }
            (Phase::Restarting, "features") if self.wants_resume => {
                let resume = self.resume_wish();
                self.write(world, &resume);
                self.enter(Phase::Resuming);
            }
            (Phase::Restarting, "features") => self.bind(world),
            (Phase::Resuming, "resumed") => self.resumed(judge, element),
            (Phase::Resuming, "failed") => {
                self.give_up_session(judge);
                self.bind(world);
            }
            (Phase::Binding, "iq") => self.bound(world, judge, element),
            (Phase::Enabling, "enabled") => {
                let id = element.attribute("id").unwrap_or_default().to_string();
                self.enabled(id);
                self.greet(world, judge);
            }
            // A store that fails.
            (Phase::Authenticating, "failure") => {
                assert!(
                    judge.had_faults,
                    "{} cannot log in: {element:?}",
                    self.title()
                );
                self.lose(world, judge);
            }
            // Deliveries may come before the answer to <enable/>; they are not counted.
            (Phase::Enabling, "message" | "presence" | "iq") => {
                self.stanza(world, judge, element);
            }
            (phase, _) => panic!("{} in {phase:?} got {element:?}", self.title()),
        }
    }

    fn in_session(&mut self, world: &mut World, judge: &mut Judge, element: Node<'_, '_>) {
        let h = element.attribute("h").and_then(|h| h.parse::<u32>().ok());
        match element.tag_name().name() {
            "r" => self.send_ack(world),
            "a" => self.acknowledged(judge, h.expect("an answer has a number")),
            "features" => {}
            "message" | "presence" | "iq" => {
                if let Some(management) = self.session.as_mut().and_then(|s| s.management.as_mut())
                {
                    management.received += 1;
                }
                self.stanza(world, judge, element);
            }
            other => panic!("{} got <{other}/>", self.title()),
        }
    }

    fn stanza(&mut self, world: &mut World, judge: &mut Judge, element: Node<'_, '_>) {
        let Some(log) = self.session.as_ref().map(|session| session.log) else {
            return;
        };
        match (element.tag_name().name(), element.attribute("type")) {
            ("message", _) => judge.message(log, element),
            ("presence", _) => judge.presence(log, element),
            (_, Some("result" | "error")) => {
                let roster = element.children();
                let mut roster = roster.filter(|c| c.has_tag_name(("jabber:iq:roster", "query")));
                if let (Some("result"), Some(query)) = (element.attribute("type"), roster.next()) {
                    judge.roster(log, query, element.attribute("id"));
                }
                let id = element.attribute("id").unwrap_or_default();
                if element.attribute("type") == Some("result") {
                    judge.is_done(log, id);
                }
                judge.answered(log, id);
            }
            _ => {
                let id = element.attribute("id").unwrap_or_default();
                let from = element.attribute("from").unwrap_or_default();
                let query = element.children();
                let mut query = query.filter(|c| c.has_tag_name(("jabber:iq:roster", "query")));
                if let Some(query) = query.next() {
                    judge.pushed(log, query);
                }
                if self.is_ready() {
                    let answer = format!("<iq type='result' id='{id}' to='{from}'/>");
                    self.write(world, &answer);
                    self.count(Stanza::Other);
                }
            }
        }
    }

    fn open(&mut self, world: &mut World) {
        let header = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
                      xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
        self.write(world, header);
    }

    fn authenticate(&mut self, world: &mut World) {
        let plain = BASE64_STANDARD.encode(format!("\0u{}\0secret", self.account));
        let xml = if self.is_modern {
            let resume = if self.wants_resume {
                self.resume_wish()
            } else {
                String::new()
            };
            let enable = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
            let enable = if self.manages { enable } else { "" };
            let carbons = "<enable xmlns='urn:xmpp:carbons:2'/>";
            let carbons = if self.wants_carbons { carbons } else { "" };
            format!(
                "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>\
                 <initial-response>{plain}</initial-response>{resume}\
                 <bind xmlns='urn:xmpp:bind:0'><tag>{}</tag>{carbons}{enable}</bind></authenticate>",
                self.name
            )
        } else {
            let sasl = "urn:ietf:params:xml:ns:xmpp-sasl";
            format!("<auth xmlns='{sasl}' mechanism='PLAIN'>{plain}</auth>")
        };
        self.write(world, &xml);
        self.enter(Phase::Authenticating);
    }

    /// SASL2: everything at once.
    fn authenticated(&mut self, world: &mut World, judge: &mut Judge, success: Node<'_, '_>) {
        let find = |name: &str| success.descendants().find(|n| n.tag_name().name() == name);
        if let Some(resumed) = find("resumed") {
            return self.resumed(judge, resumed);
        }
        self.give_up_session(judge);
        let jid = find("authorization-identifier")
            .and_then(|n| n.text())
            .unwrap_or_default();
        assert!(find("bound").is_some(), "neither resumed nor bound");
        self.begin(judge, jid.to_string());
        self.enter(Phase::Ready);
        if let Some(enabled) = find("enabled") {
            let id = enabled.attribute("id").unwrap_or_default().to_string();
            self.enabled(id);
        }
        self.say_hello(world, judge);
    }

    fn resume_wish(&self) -> String {
        let held = self.session.as_ref().and_then(|s| s.management.as_ref());
        let held = held.expect("only who can resume wishes to");
        let (id, h) = (&held.id, held.received);
        format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='{h}'/>")
    }

    fn bind(&mut self, world: &mut World) {
        let xml = format!(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>{}</resource></bind></iq>",
            self.name
        );
        self.write(world, &xml);
        self.enter(Phase::Binding);
    }

    fn bound(&mut self, world: &mut World, judge: &mut Judge, iq: Node<'_, '_>) {
        let jid = iq.descendants().find(|n| n.tag_name().name() == "jid");
        let jid = jid.and_then(|n| n.text()).expect("a resource is bound");
        self.begin(judge, jid.to_string());
        if self.manages {
            self.write(world, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
            self.enter(Phase::Enabling);
        } else {
            self.greet(world, judge);
        }
    }

    fn begin(&mut self, judge: &mut Judge, jid: String) {
        self.give_up_session(judge);
        judge.say(|| format!("{} is {jid}", self.title()));
        let log = judge.bound(self.account, jid, self.manages);
        self.session = Some(Held {
            log,
            management: None,
            unanswered: Vec::new(),
        });
    }

    fn enabled(&mut self, id: String) {
        assert!(!id.is_empty(), "{} cannot resume", self.title());
        if let Some(session) = &mut self.session {
            session.management = Some(Management {
                id,
                received: 0,
                sent: 0,
                acked: 0,
                unacked: VecDeque::new(),
            });
        }
    }

    fn greet(&mut self, world: &mut World, judge: &mut Judge) {
        self.enter(Phase::Ready);
        if self.wants_carbons {
            let id = format!("c{}.{}", self.number, judge.sessions.len());
            let enable = "<enable xmlns='urn:xmpp:carbons:2'/>";
            self.write(world, &format!("<iq type='set' id='{id}'>{enable}</iq>"));
            if let Some(log) = self.log() {
                self.question(judge, id, log, false);
            }
        }
        self.say_hello(world, judge);
    }

    fn say_hello(&mut self, world: &mut World, judge: &mut Judge) {
        self.send_again(world, judge);
        // Some stay silent for a while.
        let hello = [Some(0), Some(1), Some(5), Some(0), None, Some(-1), Some(2)];
        if let Some(priority) = hello[(judge.sessions.len() + self.number) % hello.len()] {
            self.send_presence(world, judge, Some(priority));
        }
    }

    fn resumed(&mut self, judge: &mut Judge, resumed: Node<'_, '_>) {
        self.enter(Phase::Ready);
        let h = resumed.attribute("h").and_then(|h| h.parse::<u32>().ok());
        let h = h.expect("a resumption says what was handled");
        let life = judge.life;
        let Some(held) = self.session.as_mut().and_then(|s| s.management.as_mut()) else {
            panic!("resumed what was never held");
        };
        assert!(
            held.acked <= h && h <= held.sent,
            "resumed at {h} of {} sent, {} acknowledged",
            held.sent,
            held.acked
        );
        for (number, stanza) in &held.unacked {
            match stanza {
                Stanza::Message(message) if *number <= h => {
                    judge.messages[*message].claim = Claim::Held { life };
                }
                Stanza::Request(id) if *number > h => {
                    if let Some(question) = judge.questions.get_mut(id) {
                        question.void = true;
                    }
                }
                _ => {}
            }
        }
        held.unacked.retain(|(number, _)| *number <= h);
        let dropped = held.sent > h;
        held.sent = h;
        if dropped && let Some(log) = self.session.as_ref().map(|s| s.log) {
            // Perhaps a presence was among it: what is true is what comes next.
            judge.sessions[log].is_unsure = true;
        }
    }

    fn acknowledged(&mut self, judge: &mut Judge, h: u32) {
        let held = self.session.as_mut().and_then(|s| s.management.as_mut());
        let held = held.expect("only who counts is told");
        assert!(
            held.acked <= h && h <= held.sent,
            "acknowledged {h} of {} sent, {} before",
            held.sent,
            held.acked
        );
        held.acked = h;
        while held.unacked.front().is_some_and(|(number, _)| *number <= h) {
            if let Some((_, Stanza::Message(message))) = held.unacked.pop_front() {
                judge.messages[message].claim = Claim::Acknowledged;
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
