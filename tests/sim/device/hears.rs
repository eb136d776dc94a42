//! What a client reads, once it has a session.

use super::*;

impl Device {
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

    pub(super) fn element(&mut self, world: &mut World, judge: &mut Judge, text: &str) {
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

    pub(super) fn in_session(
        &mut self,
        world: &mut World,
        judge: &mut Judge,
        element: Node<'_, '_>,
    ) {
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

    pub(super) fn stanza(&mut self, world: &mut World, judge: &mut Judge, element: Node<'_, '_>) {
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

    pub(super) fn acknowledged(&mut self, judge: &mut Judge, h: u32) {
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
}
