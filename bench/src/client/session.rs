//! One client from the first byte to the initial presence: the login as a small state machine that
//! looks for the few marks it needs. It knows nothing of other sessions, and nothing of sockets'
//! readiness.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use memchr::memmem;
use mio::{Registry, Token};
use rustls::ClientConfig;

use super::link::Link;
use super::message::{RESOURCE, user_name};
use super::sasl::{Exchange, KeyCache, Mechanism, base64, from_base64};
use super::sasl2::{self, Tokens};

/// The password of every user of a run.
pub const PASSWORD: &str = "pencil";

/// What carries the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    #[value(name = "plain")]
    Plain,
    #[value(name = "starttls")]
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

/// What all logins of a run share.
pub struct LoginPlan {
    pub transport: Transport,
    pub mechanism: Mechanism,
    /// Contacts of each user: the roster is there when so many are.
    pub contacts: usize,
    pub tls: Arc<ClientConfig>,
    pub tls_direct: Arc<ClientConfig>,
    pub keys: KeyCache,
    pub tokens: Tokens,
}

/// What a session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connection,
    /// Features of the first stream: STARTTLS or SASL follows.
    FirstFeatures,
    Proceed,
    Challenge,
    Success,
    /// Of SASL2, and of the resource with it.
    Success2,
    BindFeatures,
    Bound,
    Roster,
    Ready,
}

pub struct Session {
    pub link: Link,
    /// What has arrived and is not used up.
    pub input: Vec<u8>,
    pub user: u32,
    phase: Phase,
    exchange: Option<Exchange>,
    /// What a server answers that knows the token, too.
    expected: Vec<u8>,
}

impl Session {
    pub fn connect(user: u32, to: SocketAddr, registry: &Registry, token: Token) -> Result<Self> {
        let link = Link::connect(to, registry, token)?;
        Ok(Self {
            link,
            input: Vec::new(),
            user,
            phase: Phase::Connection,
            exchange: None,
            expected: Vec::new(),
        })
    }

    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// The connection is there and nothing has to be negotiated on it: the null relay.
    pub fn skip_login(&mut self) {
        self.phase = Phase::Ready;
    }

    pub fn is_connecting(&self) -> bool {
        self.phase == Phase::Connection
    }

    /// Goes on as far as `input` allows.
    pub fn advance(&mut self, plan: &mut LoginPlan) -> Result<()> {
        self.refuse_errors()?;
        while self.step(plan).with_context(|| self.describe())? {}
        Ok(())
    }

    /// For error reports: who, when, and what was there.
    pub fn describe(&self) -> String {
        let shown = &self.input[..self.input.len().min(400)];
        let text = String::from_utf8_lossy(shown);
        format!(
            "user {} waiting for {:?}, input {text:?}",
            user_name(self.user),
            self.phase
        )
    }

    /// One step; false when it must wait for more input.
    fn step(&mut self, plan: &mut LoginPlan) -> Result<bool> {
        match self.phase {
            Phase::Connection => {
                self.link.connected()?;
                if plan.transport == Transport::DirectTls {
                    self.link.start_tls(&plan.tls_direct)?;
                    return self.enter(plan);
                }
                self.open_stream(Phase::FirstFeatures)?;
            }
            Phase::FirstFeatures => {
                if self.take_through(b"</stream:features>").is_none() {
                    return Ok(false);
                }
                if plan.transport == Transport::StartTls && !self.link.is_encrypted() {
                    self.link
                        .send(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")?;
                    self.phase = Phase::Proceed;
                } else {
                    self.authenticate(plan)?;
                }
            }
            Phase::Proceed => {
                if !self.take_element("proceed") {
                    return Ok(false);
                }
                ensure!(
                    self.input.is_empty(),
                    "bytes between <proceed/> and the handshake"
                );
                self.link.start_tls(&plan.tls)?;
                return self.enter(plan);
            }
            Phase::Challenge => {
                let Some(element) = self.take_through(b"</challenge>") else {
                    return Ok(false);
                };
                let challenge = decoded_content(&element)?;
                let exchange = self.exchange.as_mut().context("no exchange under way")?;
                let response = exchange.respond(&challenge, PASSWORD, &mut plan.keys)?;
                let response = base64(response.as_bytes());
                let (namespace, next) = match plan.mechanism {
                    Mechanism::Fast => (sasl2::NAMESPACE, Phase::Success2),
                    _ => (SASL, Phase::Success),
                };
                self.send(&format!(
                    "<response xmlns='{namespace}'>{response}</response>"
                ))?;
                self.phase = next;
            }
            Phase::Success2 => {
                let Some(element) = self.take_through(b"</success>") else {
                    return Ok(false);
                };
                let success = sasl2::Success::read(&element)?;
                ensure!(success.is_bound, "not bound: {element}");
                match self.exchange.take() {
                    Some(exchange) => exchange.verify(&String::from_utf8(success.data)?)?,
                    None => ensure!(success.data == self.expected, "the server has no token"),
                }
                if let Some(token) = success.token {
                    plan.tokens.insert(self.user, token);
                }
                self.ask_for_roster()?;
            }
            Phase::Success => {
                if plan.mechanism == Mechanism::Plain {
                    if !self.take_element("success") {
                        return Ok(false);
                    }
                } else {
                    let Some(element) = self.take_through(b"</success>") else {
                        return Ok(false);
                    };
                    let exchange = self.exchange.take().context("no exchange under way")?;
                    exchange.verify(&decoded_content(&element)?)?;
                }
                self.open_stream(Phase::BindFeatures)?;
            }
            Phase::BindFeatures => {
                if self.take_through(b"</stream:features>").is_none() {
                    return Ok(false);
                }
                self.send(&format!(
                    "<iq type='set' id='bench-bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                     <resource>{RESOURCE}</resource></bind></iq>"
                ))?;
                self.phase = Phase::Bound;
            }
            Phase::Bound => {
                let Some(element) = self.take_through(b"</iq>") else {
                    return Ok(false);
                };
                let full = format!("{}@localhost/{RESOURCE}", user_name(self.user));
                ensure!(element.contains(&full), "not bound to {full}: {element}");
                self.ask_for_roster()?;
            }
            Phase::Roster => {
                let Some(answer) = memmem::find(&self.input, b"bench-roster") else {
                    return Ok(false);
                };
                // Empty or not, with the presence that came meanwhile before or behind it.
                let found = memmem::find_iter(&self.input[answer..], b"<item ").count();
                if found < plan.contacts {
                    return Ok(false);
                }
                self.input.clear();
                self.phase = Phase::Ready;
            }
            Phase::Ready => return Ok(false),
        }
        Ok(true)
    }

    /// The first thing that is said under TLS. Who has a token knows what the server offers, and does not wait for it.
    fn enter(&mut self, plan: &LoginPlan) -> Result<bool> {
        self.open_stream(Phase::FirstFeatures)?;
        if plan.mechanism == Mechanism::Fast && plan.tokens.contains_key(&self.user) {
            self.authenticate(plan)?;
        }
        Ok(true)
    }

    fn open_stream(&mut self, next: Phase) -> Result<()> {
        self.phase = next;
        self.send(
            "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
             xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
        )
    }

    fn ask_for_roster(&mut self) -> Result<()> {
        self.phase = Phase::Roster;
        self.send(
            "<iq type='get' id='bench-roster'><query xmlns='jabber:iq:roster'/></iq><presence/>",
        )
    }

    fn authenticate(&mut self, plan: &LoginPlan) -> Result<()> {
        let mechanism = plan.mechanism;
        // Unpredictable nonces would protect nothing here; different ones exercise the server.
        let nonce = format!("bench{:08}{:p}", self.user, self);
        if mechanism == Mechanism::Fast {
            let user = user_name(self.user);
            if let Some(token) = plan.tokens.get(&self.user) {
                let element;
                (element, self.expected) = sasl2::with_token(self.user, &user, token);
                self.phase = Phase::Success2;
                return self.send(&element);
            }
            let scram = Mechanism::ScramSha256;
            let (exchange, initial) = Exchange::begin(scram, &user, PASSWORD, &nonce);
            self.exchange = Some(exchange);
            self.phase = Phase::Challenge;
            return self.send(&sasl2::for_token(self.user, scram, &initial));
        }
        let (exchange, initial) =
            Exchange::begin(mechanism, &user_name(self.user), PASSWORD, &nonce);
        self.exchange = Some(exchange);
        self.phase = match mechanism {
            Mechanism::Plain => Phase::Success,
            _ => Phase::Challenge,
        };
        let (name, initial) = (mechanism.name(), base64(&initial));
        self.send(&format!(
            "<auth xmlns='{SASL}' mechanism='{name}'>{initial}</auth>"
        ))
    }

    fn send(&mut self, text: &str) -> Result<()> {
        self.link.send(text.as_bytes())
    }

    /// Takes the input up to the end of `mark`, once it is there.
    fn take_through(&mut self, mark: &[u8]) -> Option<String> {
        let end = memmem::find(&self.input, mark)? + mark.len();
        let taken = String::from_utf8_lossy(&self.input[..end]).into_owned();
        self.input.drain(..end);
        Some(taken)
    }

    /// Takes the element `name`, empty or closed, once all of it is there.
    fn take_element(&mut self, name: &str) -> bool {
        let Some(start) = memmem::find(&self.input, format!("<{name}").as_bytes()) else {
            return false;
        };
        let Some(tag) = memchr::memchr(b'>', &self.input[start..]) else {
            return false;
        };
        if self.input[start + tag - 1] == b'/' {
            self.input.drain(..=start + tag);
            return true;
        }
        self.take_through(format!("</{name}>").as_bytes()).is_some()
    }

    fn refuse_errors(&self) -> Result<()> {
        let marks: [&[u8]; 4] = [
            b"<stream:error",
            b"<failure",
            b"type='error'",
            b"type=\"error\"",
        ];
        if marks
            .iter()
            .any(|mark| memmem::find(&self.input, mark).is_some())
        {
            bail!("the login was refused: {}", self.describe());
        }
        Ok(())
    }
}

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

/// The text of `<challenge>` or `<success>`, out of base64.
fn decoded_content(element: &str) -> Result<String> {
    let end = element.rfind("</").context("no end tag")?;
    let start = element[..end].rfind('>').context("no start tag")? + 1;
    Ok(String::from_utf8(from_base64(&element[start..end])?)?)
}
