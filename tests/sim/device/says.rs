//! What a client says.

use super::*;

impl Device {
    /// Stanzas, which count.
    pub fn send_message(&mut self, world: &mut World, judge: &mut Judge, number: usize, to: &str) {
        judge.say(|| format!("{} sends m{number} to {to}", self.title()));
        self.write_message(world, judge, number, to);
        self.count(Stanza::Message(number));
        if let Some(session) = &mut self.session {
            session.unanswered.push(number);
        }
    }

    pub(super) fn write_message(
        &mut self,
        world: &mut World,
        judge: &Judge,
        number: usize,
        to: &str,
    ) {
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
    pub(super) fn send_again(&mut self, world: &mut World, judge: &mut Judge) {
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

    pub(super) fn question(&mut self, judge: &mut Judge, id: String, log: usize, to_device: bool) {
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

    pub(super) fn request(
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
}
