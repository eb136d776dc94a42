//! How a client gets a session, or its old one back.

use super::*;

impl Device {
    pub(super) fn in_negotiation(
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

    pub(super) fn open(&mut self, world: &mut World) {
        let header = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
                      xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
        self.write(world, header);
    }

    pub(super) fn authenticate(&mut self, world: &mut World) {
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
    pub(super) fn authenticated(
        &mut self,
        world: &mut World,
        judge: &mut Judge,
        success: Node<'_, '_>,
    ) {
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

    pub(super) fn resume_wish(&self) -> String {
        let held = self.session.as_ref().and_then(|s| s.management.as_ref());
        let held = held.expect("only who can resume wishes to");
        let (id, h) = (&held.id, held.received);
        format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='{h}'/>")
    }

    pub(super) fn bind(&mut self, world: &mut World) {
        let xml = format!(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>{}</resource></bind></iq>",
            self.name
        );
        self.write(world, &xml);
        self.enter(Phase::Binding);
    }

    pub(super) fn bound(&mut self, world: &mut World, judge: &mut Judge, iq: Node<'_, '_>) {
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

    pub(super) fn begin(&mut self, judge: &mut Judge, jid: String) {
        self.give_up_session(judge);
        judge.say(|| format!("{} is {jid}", self.title()));
        let log = judge.bound(self.account, jid, self.manages);
        self.session = Some(Held {
            log,
            management: None,
            unanswered: Vec::new(),
        });
    }

    pub(super) fn enabled(&mut self, id: String) {
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

    pub(super) fn greet(&mut self, world: &mut World, judge: &mut Judge) {
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

    pub(super) fn say_hello(&mut self, world: &mut World, judge: &mut Judge) {
        self.send_again(world, judge);
        // Some stay silent for a while.
        let hello = [Some(0), Some(1), Some(5), Some(0), None, Some(-1), Some(2)];
        if let Some(priority) = hello[(judge.sessions.len() + self.number) % hello.len()] {
            self.send_presence(world, judge, Some(priority));
        }
    }

    pub(super) fn resumed(&mut self, judge: &mut Judge, resumed: Node<'_, '_>) {
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
}
