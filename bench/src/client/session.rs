//! One client from the first byte to the initial presence: the login as a small state machine over whole elements, without
//! an XML parser. It knows nothing of other sessions, and nothing of sockets' readiness.

use std::net::SocketAddr;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::ValueEnum;
use memchr::memmem;
use mio::{Registry, Token};
use serde::{Deserialize, Serialize};

use super::link::Link;
use super::management::Management;
use super::plan::LoginPlan;
use super::roster::contacts;
use super::sasl::{Exchange, Mechanism, base64, from_base64};
use super::sasl2;
use super::stanza::{Piece, Stanza, escaped, first_element, unescaped};

/// What carries the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    #[value(name = "plain")]
    Plain,
    #[value(name = "starttls")]
    #[serde(rename = "starttls")]
    StartTls,
    /// TLS from the first byte.
    #[value(name = "direct-tls")]
    DirectTls,
}

impl Transport {
    /// As tables name it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::StartTls => "STARTTLS",
            Self::DirectTls => "direct TLS",
        }
    }
}

/// What a session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connection,
    /// Features of the first stream: STARTTLS, registration or SASL follows.
    FirstFeatures,
    Proceed,
    Registered,
    Challenge,
    Success,
    /// Of SASL2, and of the resource with it.
    Success2,
    BindFeatures,
    Resumed,
    Bound,
    Enabled,
    Roster,
    Ready,
}

/// An idle one on a plain connection needs little more than its own size.
pub struct Session {
    pub link: Link,
    /// What has arrived and is not used up.
    pub input: Vec<u8>,
    pub user: u32,
    phase: Phase,
    login: Option<Box<Login>>,
    pub management: Option<Box<Management>>,
}

/// What is needed until the session is ready.
#[derive(Default)]
struct Login {
    exchange: Option<Exchange>,
    /// What a server answers that knows the token, too.
    expected: Vec<u8>,
    is_registered: bool,
    /// What the server said that registers nobody: whoever has an account gets in all the same.
    unregistered: Option<String>,
}

impl Session {
    pub fn connect(user: u32, to: SocketAddr, registry: &Registry, token: Token) -> Result<Self> {
        Ok(Self::over(user, Link::connect(to, registry, token)?))
    }

    /// A session on a connection that is being made.
    pub fn over(user: u32, link: Link) -> Self {
        Self {
            link,
            input: Vec::new(),
            user,
            phase: Phase::Connection,
            login: Some(Box::default()),
            management: None,
        }
    }

    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// The connection is there and nothing has to be negotiated on it: the null relay.
    pub fn skip_login(&mut self) {
        self.phase = Phase::Ready;
        self.login = None;
    }

    pub fn is_connecting(&self) -> bool {
        self.phase == Phase::Connection
    }

    /// Goes on as far as `input` allows. What stays there belongs to the session that is then ready.
    pub fn advance(&mut self, plan: &mut LoginPlan) -> Result<()> {
        if self.phase == Phase::Connection {
            self.begin(plan).with_context(|| self.describe(plan))?;
        }
        while self.phase != Phase::Ready {
            match first_element(&self.input) {
                Piece::Element { skip, length } => {
                    let element = self.input[skip..skip + length].to_vec();
                    self.input.drain(..skip + length);
                    let taken = self.take(Stanza { bytes: &element }, plan);
                    taken.with_context(|| self.describe(plan))?;
                }
                Piece::Unfinished { skip } => {
                    self.input.drain(..skip);
                    return Ok(());
                }
                Piece::End => bail!("the server ended the stream: {}", self.describe(plan)),
            }
        }
        Ok(())
    }

    /// For error reports: who, when, and what was there.
    pub fn describe(&self, plan: &LoginPlan) -> String {
        let shown = &self.input[..self.input.len().min(400)];
        let text = String::from_utf8_lossy(shown);
        let user = plan.people.name(self.user);
        format!("user {user} waiting for {:?}, input {text:?}", self.phase)
    }

    fn refused(&mut self, failure: &str) -> anyhow::Error {
        match self.login().unregistered.take() {
            Some(refusal) => {
                anyhow!("the registration was refused: {refusal}, and then the login: {failure}")
            }
            None => anyhow!("the login was refused: {failure}"),
        }
    }

    fn begin(&mut self, plan: &LoginPlan) -> Result<()> {
        self.link.connected()?;
        if plan.transport == Transport::DirectTls {
            let config = &plan.tls_direct;
            self.link.start_tls(config, &plan.people.domain)?;
            return self.enter(plan);
        }
        self.open_stream(Phase::FirstFeatures, plan)
    }

    /// One element of the login; what is not waited for is passed over.
    fn take(&mut self, element: Stanza<'_>, plan: &mut LoginPlan) -> Result<()> {
        let name = element.name();
        let text = || String::from_utf8_lossy(element.bytes).into_owned();
        ensure!(
            name != b"stream:error",
            "the server ended the stream: {}",
            text()
        );
        if name == b"failure" {
            return Err(self.refused(&text()));
        }
        // Wherever they stand: with SASL2 behind the success (XEP-0388 section 2.6), if not before.
        if name == b"stream:features" {
            plan.offers_client_state |= element.contains("urn:xmpp:csi:0");
        }
        let is_answer = |id: &str| name == b"iq" && element.attribute("id") == Some(id.as_bytes());
        match self.phase {
            Phase::FirstFeatures if name == b"stream:features" => self.choose(plan),
            Phase::Proceed if name == b"proceed" => {
                // RFC 6120 section 5.4.3.3: the handshake follows at once.
                ensure!(
                    self.input.is_empty(),
                    "bytes between <proceed/> and the handshake"
                );
                self.link.start_tls(&plan.tls, &plan.people.domain)?;
                self.enter(plan)
            }
            Phase::Registered if is_answer("bench-register") => {
                // XEP-0077 section 3.1: `conflict` says that the account is there.
                let is_there = element.kind() == b"result" || element.contains("<conflict");
                let refusal = text();
                let login = self.login();
                login.is_registered = true;
                login.unregistered = (!is_there).then_some(refusal);
                self.authenticate(plan)
            }
            Phase::Challenge if name == b"challenge" => self.respond(&text(), plan),
            Phase::Success if name == b"success" => {
                let exchange = self.login().exchange.take();
                let exchange = exchange.context("no exchange under way")?;
                exchange.verify(&decoded_content(&text())?)?;
                self.open_stream(Phase::BindFeatures, plan)
            }
            Phase::Success2 if name == b"success" => self.enter_by_sasl2(&text(), plan),
            Phase::BindFeatures if name == b"stream:features" => self.bind_or_resume(plan),
            Phase::Resumed if name == b"resumed" => self.resumed(&element, plan),
            Phase::Resumed if name == b"failed" => {
                self.not_resumed(&element)?;
                self.bind(plan)
            }
            Phase::Bound if is_answer("bench-bind") => {
                let full = plan.people.full(self.user);
                let is_it = unescaped(&text()).contains(&full);
                ensure!(is_it, "not bound to {full}: {}", text());
                self.bound(plan)
            }
            Phase::Enabled if name == b"enabled" => {
                let management = self.management.get_or_insert_default();
                management.enabled(&element);
                // In the order in which acknowledgements count them: these are in the queue already.
                let again = management.unacknowledged();
                self.link.send(&again)?;
                self.ask_for_roster()
            }
            Phase::Enabled if name == b"failed" => bail!("no stream management: {}", text()),
            Phase::Roster => {
                if let Some(management) = &mut self.management {
                    management.received(&element);
                }
                if is_answer("bench-roster") {
                    ensure!(element.kind() != b"error", "no roster: {}", text());
                    let found = memmem::find_iter(element.bytes, b"<item ").count();
                    ensure!(
                        found >= plan.contacts,
                        "fewer than {} contacts in the roster",
                        plan.contacts
                    );
                    plan.has_more_contacts |= found > plan.contacts;
                    if plan.registers {
                        let contacts = contacts(&plan.people, element.bytes);
                        plan.rosters.insert(self.user, contacts);
                    }
                    return self.ready(plan);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What follows the first features.
    fn choose(&mut self, plan: &LoginPlan) -> Result<()> {
        if plan.transport == Transport::StartTls && !self.link.is_encrypted() {
            self.phase = Phase::Proceed;
            return self.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        }
        if plan.registers && !self.login().is_registered {
            self.phase = Phase::Registered;
            let name = plan.people.name(self.user);
            let (name, password) = (escaped(&name), escaped(&plan.people.password));
            return self.send(&format!(
                "<iq type='set' id='bench-register'><query xmlns='jabber:iq:register'>\
                 <username>{name}</username><password>{password}</password></query></iq>"
            ));
        }
        self.authenticate(plan)
    }

    fn respond(&mut self, challenge: &str, plan: &mut LoginPlan) -> Result<()> {
        let challenge = decoded_content(challenge)?;
        let login = self.login.get_or_insert_default();
        let exchange = login.exchange.as_mut().context("no exchange under way")?;
        let response = exchange.respond(&challenge, &plan.people.password, &mut plan.keys)?;
        let response = base64(response.as_bytes());
        let (namespace, next) = match plan.is_sasl2() {
            true => (sasl2::NAMESPACE, Phase::Success2),
            false => (SASL, Phase::Success),
        };
        self.phase = next;
        self.send(&format!(
            "<response xmlns='{namespace}'>{response}</response>"
        ))
    }

    fn enter_by_sasl2(&mut self, element: &str, plan: &mut LoginPlan) -> Result<()> {
        let success = sasl2::Success::read(element)?;
        match self.login().exchange.take() {
            Some(exchange) => exchange.verify(&String::from_utf8(success.data)?)?,
            None => ensure!(
                success.data == self.login().expected,
                "the server has no token"
            ),
        }
        if let Some(token) = success.token {
            plan.tokens.insert(self.user, token);
        }
        if let Some(said) = &success.resumption {
            let said = Stanza {
                bytes: said.as_bytes(),
            };
            if said.name() == b"resumed" {
                return self.resumed(&said, plan);
            }
            self.not_resumed(&said)?;
        }
        ensure!(success.is_bound, "not bound: {element}");
        self.bound(plan)
    }

    fn resumed(&mut self, element: &Stanza<'_>, plan: &mut LoginPlan) -> Result<()> {
        plan.resumptions += 1;
        let management = self.management.as_mut().context("nothing to resume")?;
        management.acknowledged(element)?;
        let again = management.unacknowledged();
        self.link.send(&again)?;
        self.ready(plan)
    }

    fn not_resumed(&mut self, element: &Stanza<'_>) -> Result<()> {
        if let Some(management) = &mut self.management {
            management.acknowledged(element)?;
            management.resumption_failed();
        }
        Ok(())
    }

    fn ready(&mut self, plan: &LoginPlan) -> Result<()> {
        self.phase = Phase::Ready;
        self.login = None;
        match plan.keys_only {
            true => self.link.keep_keys_only(),
            false => Ok(()),
        }
    }

    fn bind_or_resume(&mut self, plan: &LoginPlan) -> Result<()> {
        let resume = self.management.as_ref().and_then(|m| m.resume_element());
        if let Some(element) = resume {
            self.phase = Phase::Resumed;
            return self.send(&element);
        }
        self.bind(plan)
    }

    fn bind(&mut self, plan: &LoginPlan) -> Result<()> {
        self.phase = Phase::Bound;
        let resource = escaped(&plan.people.resource);
        self.send(&format!(
            "<iq type='set' id='bench-bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>{resource}</resource></bind></iq>"
        ))
    }

    fn bound(&mut self, plan: &LoginPlan) -> Result<()> {
        if plan.manages {
            self.phase = Phase::Enabled;
            return self.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
        }
        self.ask_for_roster()
    }

    /// The first thing that is said under TLS. Who has a token knows what the server offers, and does not wait for it.
    fn enter(&mut self, plan: &LoginPlan) -> Result<()> {
        self.open_stream(Phase::FirstFeatures, plan)?;
        if plan.mechanism == Mechanism::Fast && plan.tokens.contains_key(&self.user) {
            self.authenticate(plan)?;
        }
        Ok(())
    }

    fn open_stream(&mut self, next: Phase, plan: &LoginPlan) -> Result<()> {
        self.phase = next;
        let domain = escaped(&plan.people.domain);
        self.send(&format!(
            "<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' \
             xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        ))
    }

    fn ask_for_roster(&mut self) -> Result<()> {
        self.phase = Phase::Roster;
        let roster = "<iq type='get' id='bench-roster'><query xmlns='jabber:iq:roster'/></iq>";
        if let Some(management) = &mut self.management {
            management.sent(roster.as_bytes());
            management.sent(b"<presence/>");
        }
        self.send(&format!("{roster}<presence/>"))
    }

    fn authenticate(&mut self, plan: &LoginPlan) -> Result<()> {
        let mechanism = plan.mechanism;
        // Unpredictable nonces would protect nothing here; different ones exercise the server.
        let nonce = format!("bench{:08}{:p}", self.user, self);
        let (user, password) = (plan.people.name(self.user), &plan.people.password);
        if plan.is_sasl2() {
            return self.authenticate_by_sasl2(plan, &user, &nonce);
        }
        let (exchange, initial) = Exchange::begin(mechanism, &user, password, &nonce);
        self.login().exchange = Some(exchange);
        self.phase = match mechanism {
            Mechanism::Plain => Phase::Success,
            _ => Phase::Challenge,
        };
        let (name, initial) = (mechanism.name(), base64(&initial));
        self.send(&format!(
            "<auth xmlns='{SASL}' mechanism='{name}'>{initial}</auth>"
        ))
    }

    /// XEP-0198 section 9.2: a stream is resumed within the authentication; the binding beside it is for when that fails.
    fn authenticate_by_sasl2(&mut self, plan: &LoginPlan, user: &str, nonce: &str) -> Result<()> {
        let resume = self.management.as_ref().and_then(|m| m.resume_element());
        let mut more = resume.unwrap_or_default();
        if plan.mechanism == Mechanism::Fast
            && let Some(token) = plan.tokens.get(&self.user)
        {
            let element;
            (element, self.login().expected) = sasl2::with_token(self.user, user, token, &more);
            self.phase = Phase::Success2;
            return self.send(&element);
        }
        let mechanism = match plan.mechanism {
            Mechanism::Fast => {
                more.insert_str(0, &sasl2::token_request());
                Mechanism::ScramSha256
            }
            other => other,
        };
        let (exchange, initial) = Exchange::begin(mechanism, user, &plan.people.password, nonce);
        self.login().exchange = Some(exchange);
        self.phase = match mechanism {
            Mechanism::Plain => Phase::Success2,
            _ => Phase::Challenge,
        };
        self.send(&sasl2::authenticate(self.user, mechanism, &initial, &more))
    }

    fn login(&mut self) -> &mut Login {
        self.login.get_or_insert_default()
    }

    fn send(&mut self, text: &str) -> Result<()> {
        self.link.send(text.as_bytes())
    }
}

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

/// The text of `<challenge>` or `<success>`, out of base64. Empty for an element without content.
fn decoded_content(element: &str) -> Result<String> {
    let Some(end) = element.rfind("</") else {
        return Ok(String::new());
    };
    let start = element[..end].rfind('>').context("no start tag")? + 1;
    Ok(String::from_utf8(from_base64(&element[start..end])?)?)
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
