//! What people do with their clients. Refuses to know how often, and what comes of it.

use crate::judge::Message;

use super::Story;

impl Story {
    /// Somebody's client asks for somebody's presence.
    pub(super) fn probe(&mut self) {
        let at = self.probes.below(self.devices.len() as u32) as usize;
        let to = self.probes.below(self.accounts as u32);
        if self.devices[at].is_ready() {
            let device = &mut self.devices[at];
            device.send_probe(
                &mut self.world,
                &mut self.judge,
                &format!("u{to}@localhost"),
            );
        }
    }

    pub(super) fn chat(&mut self, at: usize) {
        let Some(log) = self.devices[at].log() else {
            return;
        };
        let own = self.devices[at].account;
        let other = self.below(self.devices.len());
        let (to, address) = match self.below(16) {
            0 => (None, "nobody@localhost".to_string()),
            1 => (None, "u0@elsewhere".to_string()),
            2 => (Some(own), format!("u{own}@localhost")),
            3..8 => {
                let to = self.devices[other].account;
                let session = self.devices[other].session.as_ref().map(|s| s.log);
                let full = session.map(|log| self.judge.sessions[log].jid.clone());
                (
                    Some(to),
                    full.unwrap_or_else(|| format!("u{to}@localhost/gone")),
                )
            }
            _ => {
                // Favourites, so that there are conversations.
                let to = (own + 1 + self.below(2)) % self.accounts;
                (Some(to), format!("u{to}@localhost"))
            }
        };
        for _ in 0..1 + self.below(4) {
            let number = self.judge.messages.len();
            self.judge.messages.push(Message::new(
                log,
                to,
                !address.contains('/'),
                self.judge.life,
            ));
            let device = &mut self.devices[at];
            device.send_message(&mut self.world, &mut self.judge, number, &address);
        }
    }

    /// Somebody takes back what he said a moment ago.
    pub(super) fn retract(&mut self) {
        let at = self.archives.below(self.devices.len() as u32) as usize;
        let Some(log) = self.devices[at].log() else {
            return;
        };
        let messages = &self.judge.messages;
        let is_own =
            |number: &usize| messages[*number].sender == log && messages[*number].to.is_some();
        let own: Vec<usize> = (0..messages.len()).rev().filter(is_own).take(8).collect();
        if own.is_empty() {
            return;
        }
        let of = own[self.archives.below(own.len() as u32) as usize];
        let to = self.judge.messages[of].to;
        let number = self.judge.messages.len();
        self.judge.messages[of].is_retracted = true;
        self.judge.messages.push(Message {
            retracts: Some(of),
            ..Message::new(log, to, true, self.judge.life)
        });
        let address = format!("u{}@localhost", to.unwrap_or_default());
        let device = &mut self.devices[at];
        device.send_retraction(&mut self.world, &mut self.judge, (number, of), &address);
    }

    /// Whether archives have a bound, and clients may send and hold enough to reach it.
    pub(super) fn can_hoard(&self) -> bool {
        self.judge.quota.is_some() && self.options.burst > 100 && self.options.unacked > 100
    }

    /// Somebody writes himself a lot of notes, which his archive is too small for.
    pub(super) fn hoard(&mut self) {
        // Few do, so that theirs fill up.
        let at = self.archives.below(2) as usize;
        let Some(log) = self.devices[at].log() else {
            return;
        };
        let own = self.devices[at].account;
        for _ in 0..8 + self.archives.below(16) {
            let number = self.judge.messages.len();
            self.judge
                .messages
                .push(Message::new(log, Some(own), true, self.judge.life));
            let device = &mut self.devices[at];
            let address = format!("u{own}@localhost");
            device.send_message(&mut self.world, &mut self.judge, number, &address);
        }
    }

    /// A device that is ready, and the account that its own is a couple with, if there are such.
    fn one_of_a_couple(&mut self) -> Option<(usize, usize)> {
        let first = self.friends.below(self.devices.len() as u32) as usize;
        let count = self.devices.len();
        let mut all = (first..first + count).map(|at| at % count);
        let at = all.find(|&at| self.devices[at].is_ready())?;
        let other = self.devices[at].account ^ 1;
        (other < self.accounts).then_some((at, other))
    }

    /// Two become each other's contacts, now and then no longer, and tell what they do.
    pub(super) fn meet(&mut self) {
        let Some((at, other)) = self.one_of_a_couple() else {
            return;
        };
        let which = self.friends.below(60);
        let device = &mut self.devices[at];
        let (world, judge) = (&mut self.world, &mut self.judge);
        let to = format!("u{other}@localhost");
        match which {
            0..12 => device.send_subscription(world, judge, "subscribe", &to),
            12..24 => {
                device.send_subscription(world, judge, "subscribed", &to);
                if let Some(log) = device.log() {
                    judge.granted(log, other);
                }
            }
            24 => device.send_subscription(world, judge, "unsubscribe", &to),
            25 => {
                device.send_subscription(world, judge, "unsubscribed", &to);
                device.revokes(judge, other);
            }
            _ => device.send_presence(world, judge, Some(which as i8 - 26)),
        }
    }

    /// Somebody says something, and his client forgets its session before it knows what became of that.
    pub(super) fn forget(&mut self) {
        let Some((at, other)) = self.one_of_a_couple() else {
            return;
        };
        let Some(log) = self.devices[at]
            .log()
            .filter(|_| self.devices[at].can_resume())
        else {
            return;
        };
        let (world, judge) = (&mut self.world, &mut self.judge);
        for _ in 0..1 + self.friends.below(3) {
            let number = judge.messages.len();
            let message = Message::new(log, Some(other), true, judge.life);
            judge.messages.push(message);
            self.devices[at].send_message(world, judge, number, &format!("u{other}@localhost"));
        }
        for _ in 0..self.friends.below(60) {
            world.step();
        }
        self.devices[at].lose(world, judge);
        self.devices[at].connect(world, judge, false);
    }

    pub(super) fn befriend(&mut self, at: usize) {
        if !self.devices[at].is_ready() {
            return;
        }
        let own = self.devices[at].account;
        let other = self.below(self.accounts);
        let nobody = self.one_in(20);
        let to = match nobody {
            true => "nobody@localhost".to_string(),
            false => format!("u{other}@localhost"),
        };
        if other == own {
            return self.devices[at].ask_roster(&mut self.world, &mut self.judge);
        }
        let which = self.below(12);
        let device = &mut self.devices[at];
        let (world, judge) = (&mut self.world, &mut self.judge);
        let act = match which {
            0..4 => "subscribe",
            4..8 => "subscribed",
            8 => "unsubscribe",
            9 => "unsubscribed",
            10 => {
                let item = format!("<item jid='{to}' name='n'><group>g</group></item>");
                return device.set_item(world, judge, &item);
            }
            _ => {
                let item = format!("<item jid='{to}' subscription='remove'/>");
                device.set_item(world, judge, &item);
                if !nobody {
                    device.revokes(judge, other);
                }
                return;
            }
        };
        device.send_subscription(world, judge, act, &to);
        match (act, device.log()) {
            ("subscribed", Some(log)) if !nobody => judge.granted(log, other),
            ("unsubscribed", Some(_)) if !nobody => device.revokes(judge, other),
            _ => {}
        }
    }

    pub(super) fn ask(&mut self, at: usize) {
        if self.one_in(2) {
            let (max, is_last) = (1 + self.below(40), self.one_in(2));
            return self.devices[at].search(&mut self.world, &mut self.judge, max, is_last);
        }
        let own = self.devices[at].account;
        let other = self.below(self.devices.len());
        let session = self.devices[other].session.as_ref().map(|s| s.log);
        let full = session.map(|log| self.judge.sessions[log].jid.clone());
        let to_device = self.devices[other].account == own;
        let (to, to_device) = match self.below(4) {
            0 => (None, false),
            1 => (Some("localhost".to_string()), false),
            2 => (Some(format!("u{own}@localhost")), false),
            _ => match full {
                Some(full) => (Some(full), to_device),
                None => (Some("nobody@localhost".to_string()), false),
            },
        };
        let device = &mut self.devices[at];
        device.ask(&mut self.world, &mut self.judge, to.as_deref(), to_device);
    }

    /// Somebody looks away from a phone, or at it, or writes.
    pub(super) fn nap(&mut self) {
        let at = self.latest.below(self.devices.len() as u32) as usize;
        let to = self.latest.below(self.accounts as u32);
        let (name, to) = match self.latest.below(6) {
            0..3 => ("inactive", String::new()),
            3 => ("active", String::new()),
            _ => ("composing", format!("u{to}@localhost")),
        };
        let device = &mut self.devices[at];
        device.send_state(&mut self.world, &mut self.judge, name, &to);
    }

    /// Somebody keeps somebody else away, or no longer.
    pub(super) fn block(&mut self) {
        let at = self.latest.below(self.devices.len() as u32) as usize;
        let own = self.devices[at].account;
        let other = self.latest.below(self.accounts as u32) as usize;
        let everybody: Vec<usize> = (0..self.accounts).filter(|&other| other != own).collect();
        let (name, item, others) = match self.latest.below(10) {
            0..6 if other != own => ("block", format!("u{other}@localhost"), vec![other]),
            6 => ("block", "localhost".to_string(), everybody),
            7 => ("unblock", String::new(), everybody),
            // Whoever is blocked with everybody else stays so, but nobody here knows.
            _ if other != own => ("unblock", format!("u{other}@localhost"), vec![other]),
            _ => return,
        };
        let item = match item.is_empty() {
            true => item,
            false => format!("<item jid='{item}'/>"),
        };
        let device = &mut self.devices[at];
        device.set_block(&mut self.world, &mut self.judge, name, &item, &others);
    }
}
