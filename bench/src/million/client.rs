//! One client on a lane: brings its session up and then keeps nothing but keys. It knows nothing of loads.

use std::io::{Read, Write};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::trunk::Trunk;
use crate::client::message::{RESOURCE, user_name};
use crate::client::people::PASSWORD;
use crate::client::record::Keys;
use crate::client::sasl::{Exchange, KeyCache, Mechanism, base64, from_base64};

/// What all clients share.
pub struct Plan {
    /// Absent on plain lanes.
    pub tls: Option<Arc<ClientConfig>>,
    pub keys: KeyCache,
    /// In each roster.
    pub contacts: usize,
}

pub enum Client {
    Absent,
    LoggingIn(Box<Login>),
    Online(Option<Box<Keys>>),
}

/// A session that is coming up.
pub struct Login {
    tls: Option<ClientConnection>,
    input: Vec<u8>,
    phase: Phase,
    exchange: Option<Exchange>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Mechanisms,
    Challenge,
    Success,
    Features,
    Bound,
    Roster,
    Online,
}

impl Client {
    /// Opens the lane and says the first words.
    pub fn enter(number: u32, plan: &Plan, trunk: &mut Trunk) -> Result<Self> {
        trunk.open(number);
        let tls = match &plan.tls {
            Some(config) => {
                let name = ServerName::try_from("localhost")?;
                Some(ClientConnection::new(Arc::clone(config), name)?)
            }
            None => None,
        };
        let mut login = Box::new(Login {
            tls,
            input: Vec::new(),
            phase: Phase::Mechanisms,
            exchange: None,
        });
        login.say(STREAM);
        if login.tls.is_none() {
            trunk.send(number, STREAM.as_bytes());
        }
        login.flush(number, trunk)?;
        Ok(Self::LoggingIn(login))
    }

    /// Goes on with a login; whether it is over.
    pub fn take(
        &mut self,
        number: u32,
        bytes: &[u8],
        plan: &mut Plan,
        trunk: &mut Trunk,
    ) -> Result<bool> {
        let Self::LoggingIn(login) = self else {
            bail!("no login is under way");
        };
        login.receive(bytes)?;
        loop {
            let answer = login.step(number, plan);
            let answer = answer.with_context(|| login.describe(number))?;
            match answer {
                Some(answer) if login.tls.is_none() => trunk.send(number, answer.as_bytes()),
                Some(answer) => login.say(&answer),
                None => break,
            }
        }
        login.flush(number, trunk)?;
        if login.phase != Phase::Online {
            return Ok(false);
        }
        let tls = login.tls.take();
        let keys = tls.map(|tls| Keys::of(tls.dangerous_extract_secrets()?));
        *self = Self::Online(keys.transpose()?.map(Box::new));
        Ok(true)
    }

    /// Says something on a session that is up.
    pub fn say(&mut self, number: u32, text: &[u8], trunk: &mut Trunk) -> Result<()> {
        match self {
            Self::Online(Some(keys)) => {
                let mut record = Vec::with_capacity(text.len() + 32);
                keys.seal(text, &mut record)?;
                trunk.send(number, &record);
                Ok(())
            }
            Self::Online(None) => {
                trunk.send(number, text);
                Ok(())
            }
            _ => bail!("{} is not online", user_name(number)),
        }
    }

    /// Appends to `text` what these bytes say.
    pub fn hear(&mut self, bytes: &[u8], text: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Online(Some(keys)) => keys.open(&mut bytes.to_vec(), text),
            _ => {
                text.extend_from_slice(bytes);
                Ok(())
            }
        }
    }
}

impl Login {
    fn say(&mut self, text: &str) {
        if let Some(tls) = &mut self.tls {
            // Its buffer is bounded by 64 KiB, and nothing here is as long.
            tls.writer().write_all(text.as_bytes()).expect("short");
        }
    }

    fn flush(&mut self, number: u32, trunk: &mut Trunk) -> Result<()> {
        let Some(tls) = &mut self.tls else {
            return Ok(());
        };
        let mut records = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut records)?;
        }
        if !records.is_empty() {
            trunk.send(number, &records);
        }
        Ok(())
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(tls) = &mut self.tls else {
            self.input.extend_from_slice(bytes);
            return Ok(());
        };
        let mut records = bytes;
        while !records.is_empty() {
            tls.read_tls(&mut records)?;
            let available = tls.process_new_packets()?.plaintext_bytes_to_read();
            let start = self.input.len();
            self.input.resize(start + available, 0);
            tls.reader().read_exact(&mut self.input[start..])?;
        }
        Ok(())
    }

    fn describe(&self, number: u32) -> String {
        let shown = String::from_utf8_lossy(&self.input[..self.input.len().min(400)]);
        let user = user_name(number);
        format!("{user} waits at {:?}, input {shown:?}", self.phase)
    }

    /// What to say to what has come, if all of it has.
    fn step(&mut self, number: u32, plan: &mut Plan) -> Result<Option<String>> {
        for mark in ["<stream:error", "<failure", "type='error'"] {
            ensure!(
                memmem::find(&self.input, mark.as_bytes()).is_none(),
                "the login was refused"
            );
        }
        let mark = match self.phase {
            Phase::Mechanisms | Phase::Features => "</stream:features>",
            Phase::Challenge => "</challenge>",
            Phase::Success => "</success>",
            Phase::Bound => "</iq>",
            Phase::Roster => return Ok(self.look_for_roster(plan.contacts)),
            Phase::Online => return Ok(None),
        };
        let Some(found) = memmem::find(&self.input, mark.as_bytes()) else {
            return Ok(None);
        };
        let element: Vec<u8> = self.input.drain(..found + mark.len()).collect();
        let element = String::from_utf8(element)?;
        let (answer, phase) = match self.phase {
            Phase::Mechanisms => (self.authenticate(number), Phase::Challenge),
            Phase::Challenge => {
                let exchange = self.exchange.as_mut().context("nothing is challenged")?;
                let challenge = content(&element)?;
                let response = exchange.respond(&challenge, PASSWORD, &mut plan.keys)?;
                let response = base64(response.as_bytes());
                (
                    format!("<response xmlns='{SASL}'>{response}</response>"),
                    Phase::Success,
                )
            }
            Phase::Success => {
                let exchange = self.exchange.take().context("nothing succeeds")?;
                exchange.verify(&content(&element)?)?;
                (STREAM.to_owned(), Phase::Features)
            }
            Phase::Features => (bind(), Phase::Bound),
            _ => (ROSTER.to_owned(), Phase::Roster),
        };
        self.phase = phase;
        Ok(Some(answer))
    }

    /// All of it may come in several pieces, with presence before and behind it.
    fn look_for_roster(&mut self, contacts: usize) -> Option<String> {
        let answer = memmem::find(&self.input, b"m-roster")?;
        let found = memmem::find_iter(&self.input[answer..], b"<item ").count();
        if found >= contacts {
            self.phase = Phase::Online;
        }
        None
    }

    fn authenticate(&mut self, number: u32) -> String {
        let nonce = format!("million{number:08}");
        let mechanism = Mechanism::ScramSha256;
        let (exchange, initial) = Exchange::begin(mechanism, &user_name(number), PASSWORD, &nonce);
        self.exchange = Some(exchange);
        let initial = base64(&initial);
        let name = mechanism.name();
        format!("<auth xmlns='{SASL}' mechanism='{name}'>{initial}</auth>")
    }
}

fn bind() -> String {
    format!(
        "<iq type='set' id='m-bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
         <resource>{RESOURCE}</resource></bind></iq>"
    )
}

/// The text of an element, out of base64.
fn content(element: &str) -> Result<String> {
    let end = element.rfind("</").context("no end tag")?;
    let start = element[..end].rfind('>').context("no start tag")? + 1;
    Ok(String::from_utf8(from_base64(&element[start..end])?)?)
}

const STREAM: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const ROSTER: &str =
    "<iq type='get' id='m-roster'><query xmlns='jabber:iq:roster'/></iq><presence/>";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
