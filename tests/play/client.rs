//! One actor's connection: cuts what comes into stanzas, keeps them until the play asks, hides
//! what is not the play's. It refuses to know sockets and time; the stage carries its bytes.
//!
//! On a bound session these are hidden: the answers to its own probes always; `<r/>` and `<a/>` of
//! XEP-0198, the actor's own presence coming back, and pings of the server (answered here) unless
//! the play asks for them next.

use std::collections::VecDeque;

use roxmltree::{Document, Node};

use super::direction::Scope;
use super::framer::{Framer, Item};
use super::pattern::{self, Bindings, STREAM_OPEN};
use super::stage::{Conn, Stage};

const SM: &str = "urn:xmpp:sm:3";
const PROBE: &str = "probe-";

/// Something that came, with the header whose namespaces hold for it.
#[derive(Debug, Clone)]
pub struct Incoming {
    pub header: String,
    pub text: String,
    /// Skipped when it is not what the play asks for.
    is_hidden: bool,
}

impl Incoming {
    /// Looks at the element.
    pub fn look<R>(&self, at: impl FnOnce(Node) -> R) -> Result<R, String> {
        let whole = pattern::below(&self.header, &self.text);
        let doc =
            Document::parse(&whole).map_err(|e| format!("not well-formed: {e}: {}", self.text))?;
        let element = doc.root_element().first_element_child();
        Ok(at(
            element.ok_or_else(|| format!("not an element: {}", self.text))?
        ))
    }

    /// Whether it is, or holds anywhere, an element of that name and namespace.
    pub fn holds(&self, namespace: &str, name: &str) -> bool {
        self.look(|e| e.descendants().any(|n| n.has_tag_name((namespace, name))))
            .unwrap_or(false)
    }

    /// An attribute of the element.
    pub fn attribute(&self, name: &str) -> Option<String> {
        self.look(|e| e.attribute(name).map(str::to_string))
            .unwrap_or(None)
    }
}

/// The client's side of XEP-0198.
#[derive(Debug, Clone)]
pub struct Management {
    pub id: String,
    /// Stanzas read since `<enabled/>`, in this session's whole life.
    pub received: u32,
}

/// An actor's connection and, once bound, session.
#[derive(Debug)]
pub struct Client {
    pub conn: Conn,
    /// The full JID, once bound: from then on the client hides what is not the play's.
    pub jid: Option<String>,
    pub management: Option<Management>,
    /// Something was sent that the server may not have processed yet.
    pub is_unsettled: bool,
    framer: Framer,
    header: String,
    inbox: VecDeque<Incoming>,
    has_ended: bool,
    probes: u32,
    answered: u32,
    acks_due: u32,
    acks: u32,
    /// What the last `<a/>` said.
    acknowledged: u32,
}

impl Client {
    /// Opens a connection on which nothing is said yet.
    pub fn connect(stage: &mut dyn Stage) -> Result<Client, String> {
        Ok(Client {
            conn: stage.connect()?,
            jid: None,
            management: None,
            is_unsettled: false,
            framer: Framer::default(),
            header: STREAM_OPEN.to_string(),
            inbox: VecDeque::new(),
            has_ended: false,
            probes: 0,
            answered: 0,
            acks_due: 0,
            acks: 0,
            acknowledged: 0,
        })
    }

    /// Takes the session of an older connection over: what comes from now on is counted and hidden
    /// as the session's.
    pub fn inherit(&mut self, older: &Client) {
        self.jid = older.jid.clone();
        self.management = older.management.clone();
        self.probes = older.probes;
        self.answered = older.probes;
    }

    /// Puts what the older connection had read and not shown before what this one has read.
    pub fn continue_from(&mut self, mut older: Client) {
        older.inbox.append(&mut self.inbox);
        self.inbox = older.inbox;
    }

    /// Hands text to the server.
    pub fn send(&mut self, stage: &mut dyn Stage, text: &str) {
        self.acks_due += u32::try_from(text.matches("<r xmlns").count()).unwrap_or(u32::MAX);
        self.send_bytes(stage, text.as_bytes());
    }

    /// Hands bytes to the server.
    pub fn send_bytes(&mut self, stage: &mut dyn Stage, bytes: &[u8]) {
        self.is_unsettled = true;
        stage.write(self.conn, bytes);
    }

    /// The next thing that came and is not hidden.
    ///
    /// # Errors
    /// Nothing came.
    pub fn next(&mut self, stage: &mut dyn Stage) -> Result<Incoming, String> {
        loop {
            match self.next_or_hidden(stage)? {
                incoming if incoming.is_hidden => {}
                incoming => return Ok(incoming),
            }
        }
    }

    fn next_or_hidden(&mut self, stage: &mut dyn Stage) -> Result<Incoming, String> {
        while self.inbox.is_empty() {
            if !self.pull(stage) {
                let rest = self.framer.rest();
                let state = match (stage.is_closed(self.conn), self.has_ended) {
                    (true, _) => "nothing came, the connection is closed",
                    (_, true) => "nothing came, the stream is closed",
                    _ => "nothing came",
                };
                return Err(if rest.is_empty() {
                    state.to_string()
                } else {
                    format!("{state} after: {rest}")
                });
            }
        }
        self.inbox
            .pop_front()
            .ok_or_else(|| "nothing came".to_string())
    }

    /// The next stanza must be one of the patterns; says which.
    ///
    /// # Errors
    /// What came, and why it is none of them.
    pub fn receive(
        &mut self,
        stage: &mut dyn Stage,
        patterns: &[String],
        scope: Scope,
        bindings: &mut Bindings,
    ) -> Result<usize, String> {
        loop {
            let incoming = self.next_or_hidden(stage)?;
            let mut reasons = Vec::new();
            for (i, wanted) in patterns.iter().enumerate() {
                match pattern::compare(wanted, scope, &incoming.header, &incoming.text, bindings) {
                    Ok(()) => return Ok(i),
                    Err(why) => reasons.push(why),
                }
            }
            if !incoming.is_hidden {
                return Err(format!(
                    "came\n    {}\n  {}",
                    incoming.text,
                    reasons.join("\n  ")
                ));
            }
        }
    }

    /// Waits until the server has processed what was sent, and other workers have what it causes. Each question is
    /// answered behind that; but an answer leaves a worker just before what that worker has for another one, so that
    /// there are two.
    ///
    /// # Errors
    /// The server does not answer. A stream that has ended has nothing to answer.
    pub fn settle(&mut self, stage: &mut dyn Stage) -> Result<(), String> {
        self.is_answered(stage)?;
        self.is_answered(stage)
    }

    /// Asks what the server answers in order (`<r/>` where streams are managed: it is not counted; a ping elsewhere)
    /// and waits for the answer.
    fn is_answered(&mut self, stage: &mut dyn Stage) -> Result<(), String> {
        self.is_unsettled = false;
        if self.jid.is_none() || self.has_ended || stage.is_closed(self.conn) {
            return Ok(());
        }
        if self.management.is_some() {
            self.send(stage, &format!("<r xmlns='{SM}'/>"));
        } else {
            self.probes += 1;
            let ping = "<ping xmlns='urn:xmpp:ping'/>";
            let probe = format!(
                "<iq type='get' id='{PROBE}{}' to='{}'>{ping}</iq>",
                self.probes,
                stage.host()
            );
            self.send(stage, &probe);
        }
        self.is_unsettled = false;
        while self.answered < self.probes || self.acks < self.acks_due {
            if !self.pull(stage) {
                let is_over = self.has_ended || stage.is_closed(self.conn);
                return if is_over {
                    Ok(())
                } else {
                    Err("the server answers no ping".to_string())
                };
            }
        }
        Ok(())
    }

    /// Asks how many stanzas the server has handled (XEP-0198 section 4).
    ///
    /// # Errors
    /// The stream is not managed, or the server does not answer.
    pub fn acknowledged(&mut self, stage: &mut dyn Stage) -> Result<u32, String> {
        if self.management.is_none() {
            return Err("the stream is not managed".to_string());
        }
        self.settle(stage)?;
        Ok(self.acknowledged)
    }

    /// What has been read and not been asked for, the hidden left out.
    pub fn waiting(&self) -> impl Iterator<Item = &Incoming> {
        self.inbox.iter().filter(|incoming| !incoming.is_hidden)
    }

    /// Forgets what has been read.
    pub fn forget(&mut self) {
        self.inbox.clear();
    }

    /// Whether `</stream:stream>` comes now.
    pub fn ends(&mut self, stage: &mut dyn Stage) -> bool {
        while !self.has_ended && self.waiting().next().is_none() && self.pull(stage) {}
        self.has_ended && self.waiting().next().is_none()
    }

    /// Reads until the server closes the connection.
    pub fn is_closed(&mut self, stage: &mut dyn Stage) -> bool {
        while self.pull(stage) {}
        stage.is_closed(self.conn)
    }

    /// Begins a new stream on the connection.
    pub fn restart(&mut self) {
        self.framer.restart();
        self.header = STREAM_OPEN.to_string();
    }

    /// Reads until there is at least one new item; false if none comes.
    fn pull(&mut self, stage: &mut dyn Stage) -> bool {
        let mut found = false;
        while !found {
            let bytes = stage.read(self.conn);
            if bytes.is_empty() {
                return false;
            }
            self.framer.push(&bytes);
            while let Some(item) = self.framer.pop() {
                found = true;
                self.take(stage, item);
            }
        }
        true
    }

    fn take(&mut self, stage: &mut dyn Stage, item: Item) {
        match item {
            Item::End => self.has_ended = true,
            Item::Header(header) => {
                let text = format!("{}/>", header.trim_end_matches(['>', '/']));
                self.header = header;
                self.inbox.push_back(Incoming {
                    header: STREAM_OPEN.to_string(),
                    text,
                    is_hidden: false,
                });
            }
            Item::Element(text) => {
                let mut incoming = Incoming {
                    header: self.header.clone(),
                    text,
                    is_hidden: false,
                };
                if self.jid.is_some() && self.is_ours(stage, &mut incoming) {
                    return;
                }
                self.inbox.push_back(incoming);
            }
        }
    }

    /// Counts, answers and marks what a session's client deals with by itself; true if the play
    /// never sees it.
    fn is_ours(&mut self, stage: &mut dyn Stage, incoming: &mut Incoming) -> bool {
        let seen = incoming.look(|e| {
            let namespace = e.tag_name().namespace().unwrap_or_default().to_string();
            let attribute = |name: &str| e.attribute(name).unwrap_or_default().to_string();
            let is_ping = e
                .children()
                .any(|c| c.has_tag_name(("urn:xmpp:ping", "ping")));
            (
                namespace,
                e.tag_name().name().to_string(),
                attribute("type"),
                attribute("id"),
                attribute("from"),
                is_ping,
            )
        });
        let Ok((namespace, name, kind, id, from, is_ping)) = seen else {
            return false;
        };
        if namespace == SM {
            if name == "a" {
                self.acks += 1;
                self.acknowledged = incoming
                    .attribute("h")
                    .and_then(|h| h.parse().ok())
                    .unwrap_or(0);
            }
            incoming.is_hidden = name == "a" || name == "r";
            return false;
        }
        if let (Some(management), "message" | "presence" | "iq") =
            (&mut self.management, name.as_str())
        {
            management.received += 1;
        }
        if let (true, Some(number)) = (kind == "result" || kind == "error", id.strip_prefix(PROBE))
        {
            self.answered = number.parse().unwrap_or(self.answered);
            return true;
        }
        if name == "iq" && kind == "get" && is_ping && !from.contains('/') {
            let to = if from.is_empty() {
                String::new()
            } else {
                format!(" to='{from}'")
            };
            stage.write(
                self.conn,
                format!("<iq type='result' id='{id}'{to}/>").as_bytes(),
            );
            incoming.is_hidden = true;
        }
        incoming.is_hidden |=
            name == "presence" && kind.is_empty() && self.jid.as_ref() == Some(&from);
        false
    }
}
