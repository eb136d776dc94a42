//! One connection of a client: login, letters, acknowledgements in both directions (XEP-0198). It refuses to
//! judge what comes.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::framer::{Framer, Item};
use crate::scram::Scram;

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const SM: &str = "urn:xmpp:sm:3";
/// How long a living server may take to answer on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long one look for news takes at most.
const GLANCE: Duration = Duration::from_millis(2);

static NOTES: AtomicU32 = AtomicU32::new(1);

/// A chat message of the test: sender and recipient by number, and a number of its own that grows for each
/// pair of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Letter {
    pub from: usize,
    pub to: usize,
    pub number: u32,
}

impl Letter {
    /// Bytes that fill its text: of all lengths, and the same when it is sent again, as whoever sends a message again
    /// says the same.
    fn filling(self) -> usize {
        (self.from * 131 + self.to * 977 + self.number as usize * 7_919) % FILLING_MAX
    }
}

/// Longest filling of a letter.
const FILLING_MAX: usize = 1_500;

/// Whether a session uses XEP-0198.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    Managed,
    Plain,
}

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Letter(Letter),
    /// What the client wrote to itself.
    Note(u32),
    /// `<a/>` and its `h`.
    Acknowledged(u32),
    /// A stanza of type error.
    Refused(String),
    /// Another stanza.
    Stanza,
    /// What is no stanza.
    Other,
}

/// The connection is over.
#[derive(Debug)]
pub struct Gone(pub String);

impl From<Gone> for String {
    fn from(gone: Gone) -> String {
        gone.0
    }
}

/// A bound session.
pub struct Client {
    name: String,
    socket: TcpStream,
    framer: Framer,
    care: Care,
    /// Stanzas read since stream management is on.
    received: u32,
    /// Stanzas sent since.
    sent: u32,
}

impl Client {
    /// Logs in with SCRAM and binds; the password is the name.
    ///
    /// # Errors
    /// What came instead.
    pub fn login(port: u16, name: &str, care: Care) -> Result<Client, String> {
        let socket = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
        let prepared = socket
            .set_nodelay(true)
            .and_then(|()| socket.set_read_timeout(Some(GLANCE)))
            .and_then(|()| socket.set_write_timeout(Some(PATIENCE)));
        prepared.map_err(|e| e.to_string())?;
        let mut client = Client {
            name: name.to_owned(),
            socket,
            framer: Framer::default(),
            care,
            received: 0,
            sent: 0,
        };
        client.open_stream()?;
        let mut scram = Scram::new(name, name, &format!("crash{name}"));
        let first = BASE64_STANDARD.encode(scram.first());
        client.write(&format!(
            "<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{first}</auth>"
        ))?;
        let challenge = client.expect("<challenge")?;
        let last = BASE64_STANDARD.encode(scram.last(&decoded(&challenge)?)?);
        client.write(&format!("<response xmlns='{SASL}'>{last}</response>"))?;
        client.expect("<success")?;
        client.open_stream()?;
        client.write(
            "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>desk</resource></bind></iq>",
        )?;
        client.expect("<iq")?;
        if care == Care::Managed {
            client.write(&format!("<enable xmlns='{SM}' resume='true'/>"))?;
            client.expect("<enabled")?;
        }
        Ok(client)
    }

    /// Becomes available: what waits comes.
    pub fn appear(&mut self) -> Result<(), Gone> {
        self.sent += 1;
        self.write("<presence/>")
    }

    /// Sends a letter with its origin-id (XEP-0359), filled up to about `bytes`; its number among the stanzas
    /// of this session.
    pub fn send(&mut self, letter: Letter, to: &str) -> Result<u32, Gone> {
        let Letter { from, number, .. } = letter;
        self.sent += 1;
        let filling = "x".repeat(letter.filling());
        let text = format!(
            "<message to='{to}@localhost' type='chat' id='m{}'>\
             <body>letter {from} {} {number} {filling}</body>\
             <origin-id xmlns='urn:xmpp:sid:0' id='o-{from}-{}-{number}'/></message>",
            self.sent, letter.to, letter.to
        );
        self.write(&text)?;
        Ok(self.sent)
    }

    /// Writes to itself: what the server stored for this account before comes before it, and once it is
    /// acknowledged to this client, everything is durable that this client acknowledged before. The note's
    /// number, and its place among the stanzas of this session.
    pub fn note(&mut self) -> Result<(u32, u32), Gone> {
        // One row of numbers for all: a note of an earlier session may still come.
        let note = NOTES.fetch_add(1, Ordering::Relaxed);
        self.sent += 1;
        let text = format!(
            "<message to='{}@localhost' type='chat'><body>note {note}</body></message>",
            self.name
        );
        self.write(&text)?;
        Ok((note, self.sent))
    }

    /// Asks how much the server has settled.
    pub fn ask(&mut self) -> Result<(), Gone> {
        self.write(&format!("<r xmlns='{SM}'/>"))
    }

    /// Acknowledges everything that was read.
    pub fn acknowledge(&mut self) -> Result<(), Gone> {
        self.write(&format!("<a xmlns='{SM}' h='{}'/>", self.received))
    }

    /// Says goodbye; what comes is to be read until the end.
    pub fn close(&mut self) -> Result<(), Gone> {
        self.write("</stream:stream>")
    }

    /// Drops the connection without a word.
    pub fn vanish(self) {
        // A connection that is closed already is gone, too.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    /// What has come, waiting a moment for it.
    pub fn news(&mut self) -> Result<Vec<News>, Gone> {
        let mut news = Vec::new();
        for text in self.items()? {
            let what = read(&text);
            if !matches!(what, News::Acknowledged(_) | News::Other) {
                self.received += 1;
            }
            news.push(what);
        }
        Ok(news)
    }

    fn items(&mut self) -> Result<Vec<String>, Gone> {
        let mut bytes = [0; 16 * 1024];
        match self.socket.read(&mut bytes) {
            Ok(0) => return Err(Gone("the connection is closed".to_owned())),
            Ok(count) => self.framer.push(&bytes[..count]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(Gone(e.to_string())),
        }
        let mut items = Vec::new();
        while let Some(item) = self.framer.pop() {
            items.push(match item {
                Item::Element(text) => text,
                Item::Header(_) => "<stream:header/>".to_owned(),
                Item::End => "</stream:stream>".to_owned(),
            });
        }
        Ok(items)
    }

    fn open_stream(&mut self) -> Result<(), String> {
        self.framer.restart();
        self.write(
            "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
             xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
        )?;
        self.expect("<stream:features").map(drop)
    }

    /// Reads up to the element that begins so. Only before anything is sent of which more than one answer
    /// comes.
    fn expect(&mut self, start: &str) -> Result<String, String> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            for text in self.items()? {
                if text.starts_with(start) {
                    return Ok(text);
                }
                if text != "<stream:header/>" {
                    return Err(format!("{}: not {start} but {text}", self.name));
                }
            }
        }
        Err(format!("{}: {start} does not come", self.name))
    }

    fn write(&mut self, text: &str) -> Result<(), Gone> {
        let written = self.socket.write_all(text.as_bytes());
        written.map_err(|e| Gone(e.to_string()))
    }

    /// Whether this session uses XEP-0198.
    pub fn is_managed(&self) -> bool {
        self.care == Care::Managed
    }
}

fn read(text: &str) -> News {
    if text.starts_with("<a ") {
        let h = between(text, " h='", "'").and_then(|h| h.parse().ok());
        return h.map_or(News::Other, News::Acknowledged);
    }
    if !["<message", "<presence", "<iq"]
        .iter()
        .any(|name| text.starts_with(name))
    {
        return News::Other;
    }
    let tag = text.split('>').next().unwrap_or_default();
    if tag.contains("type='error'") {
        return News::Refused(text.chars().take(300).collect());
    }
    let body = between(text, "<body>", "</body>").unwrap_or_default();
    let mut words = body.split(' ');
    let kind = words.next();
    let mut number = || words.next()?.parse::<u32>().ok();
    match kind {
        Some("note") => number().map_or(News::Stanza, News::Note),
        Some("letter") => match (number(), number(), number()) {
            (Some(from), Some(to), Some(number)) => News::Letter(Letter {
                from: from as usize,
                to: to as usize,
                number,
            }),
            _ => News::Stanza,
        },
        _ => News::Stanza,
    }
}

fn between<'a>(text: &'a str, before: &str, behind: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(behind)?.0)
}

fn decoded(element: &str) -> Result<String, String> {
    let text = between(element, ">", "<").unwrap_or_default();
    let bytes = BASE64_STANDARD
        .decode(text.trim())
        .map_err(|e| format!("{e}: {element}"))?;
    String::from_utf8(bytes).map_err(|e| format!("{e}: {element}"))
}
