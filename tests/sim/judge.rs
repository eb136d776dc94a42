//! The judge of the simulation: hears what devices send and read, and knows what a server owes them (DESIGN
//! sections 13 and 20). It refuses to know how the server works: it judges what clients can see.

mod archives;
mod messages;
mod presence;

use std::collections::{BTreeMap, BTreeSet};

/// What the server has said about a message of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nothing.
    None,
    /// The living process has it: an answer to something behind it, or `<resumed h=''/>`. Ends with a crash.
    Held { life: u32 },
    /// `<a h=''/>` covers it.
    Acknowledged,
}

/// A message that some device sent.
#[derive(Debug)]
pub struct Message {
    pub sender: usize,
    /// Account; none if there is no such account.
    pub to: Option<usize>,
    /// It was addressed to the bare JID.
    pub to_bare: bool,
    pub claim: Claim,
    pub life: u32,
    pub bounced: bool,
    /// The server wrote it to a client that does not acknowledge, and the connection broke: nobody knows.
    pub written_off: bool,
    pub received: bool,
    /// The message that it retracts (XEP-0424): an earlier one of the same session.
    pub retracts: Option<usize>,
    /// One that retracts it was sent.
    pub is_retracted: bool,
    /// The session that sent it before, if its client sent it again, not having seen the acknowledgement.
    pub again_of: Option<usize>,
}

impl Message {
    pub fn new(sender: usize, to: Option<usize>, to_bare: bool, life: u32) -> Message {
        Message {
            sender,
            to,
            to_bare,
            claim: Claim::None,
            life,
            bounced: false,
            written_off: false,
            received: false,
            retracts: None,
            is_retracted: false,
            again_of: None,
        }
    }
}

/// What stands in an archive.
#[derive(Debug)]
pub struct Entry {
    pub number: usize,
    /// The message that retracted it, and took its place.
    pub retracted_by: Option<usize>,
}

/// A session, as its device knows it.
#[derive(Debug)]
pub struct SessionLog {
    pub account: usize,
    pub jid: String,
    pub managed: bool,
    /// Neither closed nor given up.
    pub is_alive: bool,
    /// Messages received in it.
    received: BTreeSet<usize>,
    carbons: BTreeSet<(usize, bool)>,
    /// The newest live message by sender's session.
    live: BTreeMap<usize, usize>,
    /// The newest message to the bare JID by sender's session, late or live.
    bare: BTreeMap<usize, usize>,
    /// Its account's other sessions as the server showed them: status by full JID.
    pub view: BTreeMap<String, String>,
    /// The status that it sent last; none when unavailable.
    pub status: Option<String>,
    /// Something that it sent never arrived, perhaps a presence.
    pub is_unsure: bool,
    /// The roster as the server showed it, kept up by its pushes: what is said of each contact.
    roster: Option<BTreeMap<String, String>>,
    /// Accounts that it knows to be blocked: from here on nothing of them comes (XEP-0191).
    walls: BTreeSet<usize>,
}

/// A request that awaits its answer.
#[derive(Debug)]
pub struct Question {
    pub session: usize,
    /// Another client must answer: it may be gone.
    pub to_device: bool,
    /// The account that it asks, if it is another's.
    pub to: Option<usize>,
    /// It asks who is nobody, but of the server all the same.
    pub to_nobody: bool,
    pub answers: u32,
    /// The server never got it.
    pub void: bool,
    /// Messages that the session sent before it.
    pub before: Vec<usize>,
}

/// Everything that was said.
#[derive(Default)]
pub struct Judge {
    pub messages: Vec<Message>,
    pub sessions: Vec<SessionLog>,
    pub questions: BTreeMap<String, Question>,
    /// The newest message of each line among the results of each query of an archive.
    pub results: BTreeMap<String, BTreeMap<usize, usize>>,
    /// Counts crashes.
    pub life: u32,
    /// Every message has a row from its arrival on, in the whole story.
    pub keeps_always: bool,
    /// The disk failed or slept at some time.
    pub had_faults: bool,
    /// Whom each account ever allowed to see it.
    pub grants: BTreeSet<(usize, usize)>,
    /// In which sessions it did.
    pub granted_in: BTreeMap<(usize, usize), BTreeSet<usize>>,
    /// Which session took it back last, and how much it had said then.
    pub revoked: BTreeMap<(usize, usize), (usize, u32)>,
    /// Where a status was said, and its number there.
    pub said_in: BTreeMap<String, (usize, u32)>,
    /// Who asks whom, as the rosters say.
    pub asks: BTreeSet<(usize, usize)>,
    /// Who is asked by whom, as the server remembers.
    pub pending: BTreeSet<(usize, usize)>,
    /// Clients send again what was not acknowledged in a session that they could not resume.
    pub resends: bool,
    /// Some messages are receipts.
    pub sends_receipts: bool,
    /// Who ever wished to block whom, and for how long nobody knows.
    pub blocks: BTreeSet<(usize, usize)>,
    /// Who ever wished to block the whole server.
    pub shut: BTreeSet<usize>,
    /// What each request to block is about: who asks, and whom it keeps away.
    pub wishes: BTreeMap<String, (usize, Vec<usize>)>,
    /// Requests to unblock somebody that were not answered, by account.
    pub unblocks: BTreeSet<(usize, String)>,
    /// What each account's roster says of each other: the subscription.
    pub rosters: BTreeMap<usize, BTreeMap<usize, String>>,
    /// Accounts whose messages can take only one way.
    pub single: Vec<bool>,
    /// Messages that an archive may hold, and how many more it may have until it is looked at.
    pub quota: Option<(usize, usize)>,
    pub is_loud: bool,
}

impl Judge {
    /// Prints what happens, when somebody replays a seed.
    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.is_loud {
            eprintln!("{}", what());
        }
    }

    pub fn bound(&mut self, account: usize, jid: String, managed: bool) -> usize {
        self.sessions.push(SessionLog {
            account,
            jid,
            managed,
            is_alive: true,
            received: BTreeSet::new(),
            carbons: BTreeSet::new(),
            live: BTreeMap::new(),
            bare: BTreeMap::new(),
            view: BTreeMap::new(),
            status: None,
            is_unsure: false,
            roster: None,
            walls: BTreeSet::new(),
        });
        self.sessions.len() - 1
    }

    /// A device wishes to block. While another wishes to unblock, nobody knows which of them comes first.
    pub fn wishes_to_block(&mut self, account: usize, others: &[usize], id: &str) {
        if !self.unblocks.iter().any(|(of, _)| *of == account) {
            self.wishes
                .insert(id.to_string(), (account, others.to_vec()));
        }
    }

    /// A device wishes to unblock: whom its account does not block any more can be seen from now on.
    pub fn unblocks(&mut self, account: usize, others: &[usize], id: &str) {
        self.unblocks.insert((account, id.to_string()));
        self.wishes.retain(|_, (of, _)| *of != account);
        let sessions = self.sessions.iter_mut();
        for at in sessions.filter(|at| at.account == account) {
            at.walls.retain(|other| !others.contains(other));
        }
    }

    /// The server says that what was wished for is done.
    pub fn is_done(&mut self, session: usize, id: &str) {
        let account = self.sessions[session].account;
        self.unblocks.remove(&(account, id.to_string()));
        let is_open = self.unblocks.iter().any(|(of, _)| *of == account);
        if let Some((_, others)) = self.wishes.remove(id)
            && !is_open
        {
            self.sessions[session].walls.extend(others);
        }
    }

    /// Nothing comes through a wall.
    fn passes(&self, session: usize, from: Option<usize>, what: &str) {
        let at = &self.sessions[session];
        assert!(
            from.is_none_or(|from| !at.walls.contains(&from)),
            "{what} of u{from:?}, who is blocked, came to {}",
            at.jid
        );
    }

    /// One of them blocked the other at some time.
    fn are_apart(&self, a: usize, b: usize) -> bool {
        self.blocks.contains(&(a, b)) || self.blocks.contains(&(b, a))
    }

    fn is_between_strangers(&self, message: &Message) -> bool {
        let sender = self.sessions[message.sender].account;
        match message.to {
            Some(to) => self.are_apart(sender, to),
            // Who is nobody is of the server all the same.
            None => self.shut.contains(&sender),
        }
    }

    /// The device does not come back for it.
    pub fn over(&mut self, session: usize) {
        self.sessions[session].is_alive = false;
    }

    /// An answer came.
    pub fn answered(&mut self, session: usize, id: &str) {
        let Some(question) = self.questions.get_mut(id) else {
            panic!("session {session} got an answer to {id}, which nobody asked");
        };
        // Another client may answer when the address has gone to a new session.
        let (asker, reader) = (&self.sessions[question.session], &self.sessions[session]);
        let is_heir = question.to_device && asker.jid == reader.jid;
        assert!(
            question.session == session || is_heir,
            "the answer to {id} went astray"
        );
        question.answers += 1;
        assert_eq!(question.answers, 1, "{id} was answered again");
        if self.sessions[session].managed {
            return;
        }
        // Stanzas of one stream are handled in order: what was sent before has been handled.
        let life = self.life;
        for number in std::mem::take(&mut question.before) {
            self.messages[number].claim = Claim::Held { life };
        }
    }

    /// Everybody is back and has read everything.
    pub fn verdict(&self) {
        for (number, message) in self.messages.iter().enumerate() {
            let claimed = match message.claim {
                Claim::None => false,
                Claim::Held { life } => life == self.life,
                Claim::Acknowledged => self.keeps_always || message.life == self.life,
            };
            let told = self.sessions[message.sender].is_alive || !self.had_faults;
            let excused = message.bounced
                || message.written_off
                || message.to.is_none()
                // "SHOULD prevent further distribution of the message" (XEP-0424 section 5).
                || message.is_retracted
                || !told
                || self.is_between_strangers(message);
            assert!(
                !claimed || message.received || excused,
                "message {number} is lost: {message:?}"
            );
            if claimed && message.to.is_none() && told && !self.is_between_strangers(message) {
                let sender = &self.sessions[message.sender];
                assert!(
                    message.bounced || !sender.is_alive,
                    "message {number} to nobody did not bounce"
                );
            }
        }
        for (id, question) in &self.questions {
            let asker = &self.sessions[question.session];
            let is_apart = question
                .to
                .is_some_and(|to| self.are_apart(asker.account, to))
                || question.to_nobody && self.shut.contains(&asker.account);
            let owed = asker.is_alive && !question.void && !question.to_device && !is_apart;
            assert!(
                !owed || question.answers == 1,
                "{id} of session {} was not answered",
                question.session
            );
        }
        self.halves_agree();
        self.everybody_sees_everybody();
    }
}

/// What a roster says of a contact.
fn described(item: roxmltree::Node<'_, '_>) -> String {
    let attributes: Vec<String> = ["name", "subscription", "ask", "approved"]
        .iter()
        .map(|name| item.attribute(*name).unwrap_or_default().to_string())
        .collect();
    let groups = item.children().filter_map(|group| group.text());
    let groups: Vec<&str> = groups.collect();
    format!("{} {}", attributes.join(","), groups.join(","))
}

/// The account behind an address of the cast.
pub fn account_of(jid: &str) -> Option<usize> {
    let digits = jid.strip_prefix('u')?.split_once("@localhost")?.0;
    digits.parse().ok()
}

fn number(element: roxmltree::Node<'_, '_>) -> usize {
    let id = element.attribute("id").unwrap_or_default();
    let digits = id.strip_prefix('m').and_then(|digits| digits.parse().ok());
    digits.unwrap_or_else(|| panic!("a message without our id: {element:?}"))
}

pub const CLIENT: &str = "jabber:client";
const CARBONS: &str = "urn:xmpp:carbons:2";
const STATES: &str = "http://jabber.org/protocol/chatstates";
const RECEIPTS: &str = "urn:xmpp:receipts";
/// How a receipt begins, up to its number.
pub const RECEIPT: &str = "<received xmlns='urn:xmpp:receipts' id='m";
pub const RETRACT: &str = "urn:xmpp:message-retract:1";
const DELAY: &str = "urn:xmpp:delay";
const MAM: &str = "urn:xmpp:mam:2";

/// A message of an archive in XML.
pub fn entry_in(xml: &str) -> Entry {
    let document = roxmltree::Document::parse(xml).expect("an archived message is XML");
    let notice = document
        .descendants()
        .find(|child| child.has_tag_name((RETRACT, "retracted")));
    Entry {
        number: number(document.root_element()),
        retracted_by: notice.map(number),
    }
}
