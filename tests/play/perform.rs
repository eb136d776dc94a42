//! Performs a scene: each direction in turn, on a stage that is its own. It refuses to know which
//! stage it is; order between streams is kept by questions, never by waiting.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::account::{self, Cast};
use super::client::Client;
use super::direction::{Direction, Order, Scope};
use super::pattern::{self, Bindings};
use super::script::Scene;
use super::stage::Stage;

/// Long times pass in pieces, so that clients answer the pings of the server on the way.
const SLICE_MS: u64 = 30_000;
/// Ways between two accounts until a subscription is complete and seen.
const HOPS: u32 = 4;
/// How often a server is asked for an acknowledgement that waits for a disk, at least, and how long: a simulated disk
/// needs some of the questions, a real one some of the time.
const ACKNOWLEDGEMENT_TRIES: u32 = 2_000;
const ACKNOWLEDGEMENT_PATIENCE: Duration = Duration::from_secs(60);

/// Where and why a scene failed.
#[derive(Debug)]
pub struct Failure {
    pub line: usize,
    pub why: String,
}

struct Performance<'a> {
    stage: &'a mut dyn Stage,
    cast: Cast,
    clients: BTreeMap<String, Client>,
    /// Connections that were lost and whose sessions may be resumed.
    lost: BTreeMap<String, Client>,
    bindings: Bindings,
    /// The cast is still coming in; what they tell each other then is no part of the scene.
    is_gathering: bool,
}

/// Plays the scene; `mark` makes its accounts unlike those of any other run on that server.
///
/// # Errors
/// The first direction that does not hold.
pub fn perform(scene: &Scene, stage: &mut dyn Stage, mark: &str) -> Result<(), Failure> {
    let mut performance = Performance {
        cast: Cast::new(stage.host(), mark),
        stage,
        clients: BTreeMap::new(),
        lost: BTreeMap::new(),
        bindings: Bindings::new(),
        is_gathering: true,
    };
    for step in &scene.steps {
        performance.step(&step.direction).map_err(|why| Failure {
            line: step.line,
            why,
        })?;
    }
    Ok(())
}

impl Performance<'_> {
    fn invite(&mut self, contact: Option<&str>, name: Option<&str>) -> Result<(), String> {
        let mut command = "user invite".to_string();
        if let Some(contact) = contact {
            let localpart = &self.cast.account(contact)?.localpart;
            command.push_str(&format!("\ncontact {localpart}@{}", self.stage.host()));
        }
        if let Some(name) = name {
            let localpart = &self.cast.account(name)?.localpart;
            command.push_str(&format!("\nname {localpart}"));
        }
        let lines = self.stage.operate(&command)?;
        let token = lines.first().and_then(|line| line.split("preauth=").nth(1));
        let token = token.and_then(|rest| rest.split(';').next());
        let token = token.ok_or_else(|| format!("no token in {lines:?}"))?;
        self.cast.tell("invitation", token);
        Ok(())
    }

    fn step(&mut self, direction: &Direction) -> Result<(), String> {
        match direction {
            Direction::OnlyOn(_) | Direction::Option(_) => Ok(()),
            Direction::HasAccount(who) => self.register(who),
            Direction::HasName(who) => self.cast.add(who).map(|_| ()),
            Direction::Operates { command, who } => {
                self.gathered()?;
                let localpart = self.cast.account(who)?.localpart.clone();
                let jid = format!("{localpart}@{}", self.stage.host());
                self.stage.operate(&format!("user {command} {jid}"))?;
                Ok(())
            }
            Direction::Invites { contact, name } => {
                self.gathered()?;
                self.invite(contact.as_deref(), name.as_deref())
            }
            Direction::HasResources { who, resources } => {
                self.register(who)?;
                resources
                    .iter()
                    .try_for_each(|resource| self.log_in(&format!("{who}/{resource}")))
            }
            Direction::IsSubscribed { who, to } => self.subscribe(who, to),
            Direction::AreContacts { who, other } => {
                self.subscribe(who, other)?;
                self.subscribe(other, who)
            }
            Direction::TimePasses { ms } => {
                self.gathered()?;
                self.pass(*ms)
            }
            Direction::OpensConnection(who) => {
                self.gathered()?;
                self.settle_others(who)?;
                let client = Client::connect(self.stage)?;
                self.clients.insert(who.clone(), client);
                Ok(())
            }
            Direction::OpensSecureStream(who) => {
                self.gathered()?;
                self.settle_others(who)?;
                let client = Client::open_secure(self.stage)?;
                self.clients.insert(who.clone(), client);
                Ok(())
            }
            Direction::OpensStream(who) => {
                self.gathered()?;
                self.settle_others(who)?;
                if !self.clients.contains_key(who) {
                    let client = Client::connect(self.stage)?;
                    self.clients.insert(who.clone(), client);
                }
                self.with(who, |client, stage| client.open_stream(stage))
            }
            Direction::Connects(who) => {
                self.gathered()?;
                self.settle_others(who)?;
                self.connect(who)
            }
            Direction::LogsIn(who) => {
                self.gathered()?;
                self.settle_others(who)?;
                self.log_in(who)
            }
            Direction::Resumes(who) => {
                self.gathered()?;
                self.resume(who)
            }
            Direction::ReceivesNothing(who) => {
                self.gathered()?;
                self.receives_nothing(who)
            }
            other => {
                self.gathered()?;
                self.on_a_stream(other)
            }
        }
    }

    /// The directions to somebody who is connected.
    fn on_a_stream(&mut self, direction: &Direction) -> Result<(), String> {
        match direction {
            Direction::LogsOut(who) => self.log_out(who),
            Direction::LosesConnection(who) => {
                let key = self.key(who)?;
                self.settle_others(&key)?;
                let client = self.clients.remove(&key).ok_or("not connected")?;
                self.stage.lose(client.conn);
                self.lost.insert(key, client);
                self.stage.catch_up()
            }
            Direction::BecomesAvailable { who, priority: 0 } => self.send(who, "<presence/>"),
            Direction::BecomesAvailable { who, priority } => self.send(
                who,
                &format!("<presence><priority>{priority}</priority></presence>"),
            ),
            Direction::BecomesUnavailable(who) => self.send(who, "<presence type='unavailable'/>"),
            Direction::EnablesCarbons(who) => {
                let enable =
                    "<iq type='set' id='carbons'><enable xmlns='urn:xmpp:carbons:2'/></iq>";
                let answer = self.with(who, |c, stage| {
                    c.ask(stage, enable, ("jabber:client", "iq"))
                })?;
                match answer.attribute("type").as_deref() {
                    Some("result") => Ok(()),
                    _ => Err(format!("carbons were not enabled: {}", answer.text)),
                }
            }
            Direction::EnablesStreamManagement(who) => self.manage(who),
            Direction::Acknowledges { who, h } => {
                self.send(who, &format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"))
            }
            Direction::IsAcknowledged { who, count } => self.is_acknowledged(who, *count),
            Direction::Sends { who, text } => self.send(who, text.trim()),
            Direction::SendsBytes { who, text } => {
                let text = self.cast.fill(text, &self.bindings)?;
                let bytes = account::unescape(&text)?;
                self.with(who, |client, stage| {
                    client.send_bytes(stage, &bytes);
                    Ok(())
                })
            }
            Direction::Receives {
                who,
                pattern,
                order,
                scope,
            } => self.receive(who, pattern, *order, *scope),
            Direction::SecuresConnection(who) => self.with(who, |client, stage| {
                stage.start_tls(client.conn)?;
                client.restart();
                Ok(())
            }),
            Direction::Authenticates { who, account } => {
                let account = self.cast.account(account)?.clone();
                self.with(who, |client, stage| client.authenticate(stage, &account))
            }
            Direction::ClosesStream(who) => self.send(who, "</stream:stream>"),
            Direction::StreamIsClosed(who) => self.with(who, |client, stage| {
                if client.ends(stage) {
                    Ok(())
                } else {
                    Err(unexpected(client, "the stream was not closed"))
                }
            }),
            Direction::StreamFails { who, condition } => self.fails(who, condition),
            Direction::ConnectionIsClosed(who) => self.with(who, |client, stage| {
                if client.is_closed(stage) {
                    Ok(())
                } else {
                    Err("the connection is still open".to_string())
                }
            }),
            other => Err(format!("no actor does this: {other:?}")),
        }
    }

    fn register(&mut self, who: &str) -> Result<(), String> {
        let account = self.cast.add(who)?;
        self.stage.register(&account.localpart, &account.password)
    }

    /// Approved before it is asked for (RFC 6121 section 3.4), so that neither side has to wait for the other.
    fn subscribe(&mut self, who: &str, to: &str) -> Result<(), String> {
        for (who, whom, act) in [(to, who, "subscribed"), (who, to, "subscribe")] {
            let keys = self.clients.keys();
            let key = keys.filter(|key| is_called(key, who)).min().cloned();
            let key = key.ok_or_else(|| format!("{who} is not connected"))?;
            self.send(&key, &format!("<presence to='${{{whom}}}' type='{act}'/>"))?;
            // The request, its answer and the presence behind it: each has its way to go.
            for _ in 0..HOPS {
                self.settle_all()?;
            }
        }
        Ok(())
    }

    fn connect(&mut self, who: &str) -> Result<(), String> {
        let (name, resource) = who
            .split_once('/')
            .ok_or("who logs in names a resource: Juliet/balcony")?;
        let account = self.cast.account(name)?.clone();
        let mut client = Client::open_secure(self.stage)?;
        client.authenticate(self.stage, &account)?;
        client.bind(self.stage, resource)?;
        if let Some(jid) = &client.jid {
            self.cast.tell(who, jid);
        }
        match self.clients.insert(who.to_string(), client) {
            None => Ok(()),
            Some(_) => Err(format!("{who} is connected already")),
        }
    }

    fn log_in(&mut self, who: &str) -> Result<(), String> {
        self.connect(who)?;
        self.send(who, "<presence/>")
    }

    fn log_out(&mut self, who: &str) -> Result<(), String> {
        let key = self.key(who)?;
        self.send(&key, "<presence type='unavailable'/></stream:stream>")?;
        let closed = self.with(&key, |client, stage| Ok(client.is_closed(stage)))?;
        self.clients.remove(&key);
        if !closed {
            return Err("the server did not close the connection".to_string());
        }
        // It is closed a moment before others are told.
        self.stage.catch_up()
    }

    fn manage(&mut self, who: &str) -> Result<(), String> {
        let key = self.key(who)?;
        self.with(&key, |client, stage| client.manage(stage))?;
        let id = self
            .clients
            .get(&key)
            .and_then(|c| c.management.as_ref())
            .map(|m| m.id.clone());
        self.cast
            .tell(&format!("{key}:sm-id"), &id.unwrap_or_default());
        Ok(())
    }

    fn resume(&mut self, who: &str) -> Result<(), String> {
        self.settle_others(who)?;
        let key = self.lost.keys().find(|key| is_called(key, who)).cloned();
        let key = key.ok_or_else(|| format!("{who} has lost no connection"))?;
        let older = self.lost.remove(&key).ok_or("no lost connection")?;
        let account = self
            .cast
            .account(key.split('/').next().unwrap_or(&key))?
            .clone();
        let mut client = Client::open_secure(self.stage)?;
        client.authenticate(self.stage, &account)?;
        client.resume(self.stage, older)?;
        self.clients.insert(key, client);
        Ok(())
    }

    fn send(&mut self, who: &str, text: &str) -> Result<(), String> {
        let text = self.cast.fill(text, &self.bindings)?;
        self.with(who, |client, stage| {
            client.send(stage, &text);
            Ok(())
        })
    }

    fn receive(
        &mut self,
        who: &str,
        block: &str,
        order: Order,
        scope: Scope,
    ) -> Result<(), String> {
        let filled = self.cast.fill(block, &Bindings::new())?;
        let mut wanted = pattern::elements(&filled)?;
        let mut bindings = self.bindings.clone();
        while !wanted.is_empty() {
            let count = if order == Order::Any { wanted.len() } else { 1 };
            let choice = &wanted[..count];
            let found = self
                .with(who, |client, stage| {
                    client.receive(stage, choice, scope, &mut bindings)
                })
                .map_err(|why| {
                    format!(
                        "expected\n    {}\n  {why}",
                        choice.join("\n    ").replace("<?exactly?>", "")
                    )
                })?;
            wanted.remove(found);
        }
        self.bindings = bindings;
        Ok(())
    }

    fn receives_nothing(&mut self, who: &str) -> Result<(), String> {
        let key = self.key(who)?;
        if self.clients.get(&key).is_some_and(|c| c.jid.is_none()) {
            return Err(
                "of a raw connection absence cannot be proved: nobody answers there".to_string(),
            );
        }
        // Twice: an answer may leave a worker just before what that worker has for another one.
        self.settle_all()?;
        self.settle_all()?;
        self.with(&key, |client, _| match client.waiting().next() {
            None => Ok(()),
            Some(incoming) => Err(format!("expected nothing, came\n    {}", incoming.text)),
        })
    }

    fn is_acknowledged(&mut self, who: &str, count: u32) -> Result<(), String> {
        let begun = Instant::now();
        let mut tries = 0;
        while tries < ACKNOWLEDGEMENT_TRIES || begun.elapsed() < ACKNOWLEDGEMENT_PATIENCE {
            match self.with(who, |client, stage| client.acknowledged(stage))? {
                h if h == count => return Ok(()),
                h if h > count => return Err(format!("expected h='{count}', came h='{h}'")),
                _ => tries += 1,
            }
        }
        Err(format!("never acknowledged {count}"))
    }

    fn fails(&mut self, who: &str, condition: &str) -> Result<(), String> {
        let error = "stream:error";
        let condition = format!(
            "<{error}><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></{error}>"
        );
        self.receive(who, &condition, Order::Written, Scope::Listed)?;
        self.with(who, |client, stage| {
            if !client.ends(stage) {
                return Err(unexpected(
                    client,
                    "the stream was not closed behind its error",
                ));
            }
            stage.write(client.conn, b"</stream:stream>");
            if client.is_closed(stage) {
                Ok(())
            } else {
                Err("the connection is still open".to_string())
            }
        })
    }

    fn pass(&mut self, ms: u64) -> Result<(), String> {
        let mut left = ms;
        self.settle_all()?;
        // What was said or broken off before is no part of the time after.
        self.stage.catch_up()?;
        while left > 0 {
            let slice = left.min(SLICE_MS);
            self.stage.advance(slice)?;
            self.settle_all()?;
            left -= slice;
        }
        // Timers run behind the order that looks at the clock.
        self.stage.catch_up()
    }

    /// Acts on a stream after whatever was sent on the others has been processed.
    fn with<R>(
        &mut self,
        who: &str,
        act: impl FnOnce(&mut Client, &mut dyn Stage) -> Result<R, String>,
    ) -> Result<R, String> {
        let key = self.key(who)?;
        self.settle_others(&key)?;
        let client = self
            .clients
            .get_mut(&key)
            .ok_or_else(|| format!("{who} is not connected"))?;
        act(client, self.stage)
    }

    /// `Romeo` is enough for somebody with one connection.
    fn key(&self, who: &str) -> Result<String, String> {
        let keys: Vec<&String> = self
            .clients
            .keys()
            .filter(|key| is_called(key, who))
            .collect();
        match keys.as_slice() {
            [key] => Ok((*key).clone()),
            [] => Err(format!("{who} is not connected")),
            _ => Err(format!("{who} has several connections: name one")),
        }
    }

    fn settle_others(&mut self, who: &str) -> Result<(), String> {
        for (key, client) in &mut self.clients {
            if !is_called(key, who) && client.is_unsettled {
                client
                    .settle(self.stage)
                    .map_err(|why| format!("{key}: {why}"))?;
            }
        }
        Ok(())
    }

    fn settle_all(&mut self) -> Result<(), String> {
        for (key, client) in &mut self.clients {
            client
                .settle(self.stage)
                .map_err(|why| format!("{key}: {why}"))?;
        }
        Ok(())
    }

    /// The first direction that is not about the cast: what they heard of each other so far is
    /// forgotten.
    fn gathered(&mut self) -> Result<(), String> {
        if self.is_gathering {
            self.is_gathering = false;
            self.settle_all()?;
            self.settle_all()?;
            self.clients.values_mut().for_each(Client::forget);
        }
        Ok(())
    }
}

fn is_called(key: &str, who: &str) -> bool {
    key == who || key.split_once('/').is_some_and(|(name, _)| name == who)
}

fn unexpected(client: &Client, what: &str) -> String {
    match client.waiting().next() {
        Some(incoming) => format!("{what}, came\n    {}", incoming.text),
        None => what.to_string(),
    }
}
