//! The judge of the simulation: hears what devices send and read, and knows what a server owes them (DESIGN
//! sections 13 and 20). It refuses to know how the server works: it judges what clients can see.

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

    /// A message came to a session.
    pub fn message(&mut self, session: usize, element: roxmltree::Node<'_, '_>) {
        let state = element
            .children()
            .any(|c| c.has_tag_name((STATES, "composing")));
        // Refused, or lost with whoever said it: nobody misses a chat state.
        if state || element.attribute("id").is_none() && element.attribute("type") == Some("error")
        {
            return;
        }
        if element.attribute("type") == Some("error") {
            return self.bounced(session, element);
        }
        for wrapper in ["sent", "received"] {
            let copy = element
                .children()
                .find(|c| c.has_tag_name((CARBONS, wrapper)));
            if let Some(copy) = copy {
                return self.copied(session, copy, wrapper == "sent");
            }
        }
        let result = element.children().find(|c| c.has_tag_name((MAM, "result")));
        if let Some(result) = result {
            return self.found(session, result);
        }
        let number = number(element);
        let body = element
            .children()
            .find(|c| c.has_tag_name((CLIENT, "body")));
        let body = body.and_then(|b| b.text());
        let receipt = element
            .children()
            .find(|c| c.has_tag_name((RECEIPTS, "received")));
        let receipt = receipt.and_then(|receipt| receipt.attribute("id"));
        let said = body.or(receipt).unwrap_or_default();
        assert_eq!(said, format!("m{number}"), "message {number} was changed");
        let sent = &mut self.messages[number];
        let senders = [Some(sent.sender), sent.again_of].into_iter().flatten();
        let mut senders = senders.map(|sender| self.sessions[sender].jid.as_str());
        assert!(
            senders.any(|sender| element.attribute("from") == Some(sender)),
            "message {number} has another sender: {element:?}"
        );
        assert_eq!(
            sent.to,
            Some(self.sessions[session].account),
            "message {number} went to somebody else"
        );
        let from_account = self.sessions[sent.sender].account;
        self.passes(session, Some(from_account), "a message");
        let sent = &mut self.messages[number];
        sent.received = true;
        let (from, to_bare, is_again) = (sent.sender, sent.to_bare, sent.again_of.is_some());
        let is_late = element.children().any(|c| c.has_tag_name((DELAY, "delay")));
        let at = &mut self.sessions[session];
        let is_new = at.received.insert(number);
        // A row that a failing disk could not remove is delivered again.
        assert!(
            is_new || (is_late && self.had_faults),
            "message {number} came twice to session {session} ({})",
            at.jid
        );
        // What was sent again came behind what was sent before.
        if !is_new || is_again {
            return;
        }
        if !is_late {
            in_order(&mut at.live, from, number, session);
        }
        if to_bare && self.single[at.account] {
            in_order(&mut at.bare, from, number, session);
        }
    }

    /// A message of an archive came in answer to a query: before the answer, in the order of the archive, and to nobody
    /// whom it does not concern.
    fn found(&mut self, session: usize, result: roxmltree::Node<'_, '_>) {
        let query = result.attribute("queryid").unwrap_or_default();
        let question = self.questions.get(query);
        let question =
            question.unwrap_or_else(|| panic!("a result of {query}, which nobody asked"));
        assert_eq!(question.session, session, "a result of {query} went astray");
        assert_eq!(
            question.answers, 0,
            "a result of {query} came behind its end"
        );
        let message = result
            .descendants()
            .find(|c| c.has_tag_name((CLIENT, "message")))
            .expect("a result has a message");
        let number = number(message);
        let (sent, account) = (&self.messages[number], self.sessions[session].account);
        assert!(
            sent.to == Some(account) || self.sessions[sent.sender].account == account,
            "message {number} was shown to u{account}"
        );
        if self.messages[number].again_of.is_some() {
            return;
        }
        let line = self.line(number);
        let newest = self.results.entry(query.to_string()).or_default();
        in_order(newest, line, number, session);
    }

    /// Messages of one line are archived in the order in which they were sent: those of one session, and apart from them
    /// those to its own account, which are archived when they come in.
    fn line(&self, number: usize) -> usize {
        let message = &self.messages[number];
        let is_own = message.to == Some(self.sessions[message.sender].account);
        message.sender * 2 + usize::from(is_own)
    }

    fn copied(&mut self, session: usize, copy: roxmltree::Node<'_, '_>, is_sent: bool) {
        let original = copy
            .descendants()
            .find(|c| c.has_tag_name((CLIENT, "message")))
            .expect("a carbon has a message");
        if original
            .children()
            .any(|c| c.has_tag_name((STATES, "composing")))
        {
            return;
        }
        let number = number(original);
        // What a client sends again is one message to its recipient; its own other devices see that it was sent again.
        let may_repeat = is_sent && self.messages[number].again_of.is_some();
        let at = &mut self.sessions[session];
        assert!(
            at.carbons.insert((number, is_sent)) || may_repeat,
            "message {number} was copied twice to session {session}"
        );
    }

    fn bounced(&mut self, session: usize, element: roxmltree::Node<'_, '_>) {
        let number = number(element);
        let account = self.sessions[session].account;
        let sent = &mut self.messages[number];
        assert_eq!(self.sessions[sent.sender].account, account);
        sent.bounced = true;
        let sent = &self.messages[number];
        let expected = sent.to.is_none() || self.had_faults || self.is_between_strangers(sent);
        assert!(expected, "message {number} bounced for no reason");
    }

    /// A presence came.
    pub fn presence(&mut self, session: usize, element: roxmltree::Node<'_, '_>) {
        let from = element.attribute("from").unwrap_or_default().to_string();
        let (of, own) = (account_of(&from), self.sessions[session].account);
        if element.attribute("type") != Some("error") {
            self.passes(session, of, "presence");
        }
        let is_apart = of.is_some_and(|of| self.are_apart(of, own));
        if element.attribute("type").is_none() && of != Some(own) {
            let granted = of.is_some_and(|of| self.grants.contains(&(of, own)));
            assert!(
                granted,
                "session {session} sees {from}, who never allowed it"
            );
            if let Some(of) = of {
                self.not_revoked(of, own, element);
            }
        }
        let status = element
            .children()
            .find(|c| c.has_tag_name((CLIENT, "status")));
        let status = status.and_then(|s| s.text()).unwrap_or_default();
        let at = &mut self.sessions[session];
        let view = &mut at.view;
        match element.attribute("type") {
            // An answer to a probe: who is not available is not told what comes of it.
            None if at.status.is_none() => {}
            None => {
                view.insert(from, status.to_string());
            }
            // Its own: from here on it saw nobody.
            Some("unavailable") if from == at.jid => view.clear(),
            Some("unavailable") => {
                view.remove(&from);
            }
            Some("subscribe" | "subscribed" | "unsubscribe" | "unsubscribed") => {
                assert!(!from.contains('/'), "{from} shows a resource");
            }
            // The store could not be read, or the roster not be written.
            Some("error") if self.had_faults || of.is_none() || is_apart => {}
            Some(other) => panic!("presence of type {other} came from {from}"),
        }
    }

    /// An account lets another see it.
    pub fn granted(&mut self, session: usize, to: usize) {
        let pair = (self.sessions[session].account, to);
        self.grants.insert(pair);
        self.granted_in.entry(pair).or_default().insert(session);
        self.revoked.remove(&pair);
    }

    /// It does so no longer. Nobody knows in which order two sessions are heard.
    pub fn revoked(&mut self, session: usize, to: usize, said: u32) {
        let pair = (self.sessions[session].account, to);
        let grants = self.granted_in.get(&pair);
        let others = grants.into_iter().flatten().filter(|at| **at != session);
        if !others.into_iter().any(|at| self.sessions[*at].is_alive) {
            self.revoked.insert(pair, (session, said));
        }
    }

    fn not_revoked(&self, of: usize, to: usize, element: roxmltree::Node<'_, '_>) {
        let status = element
            .children()
            .find(|c| c.has_tag_name((CLIENT, "status")));
        let status = status.and_then(|s| s.text()).unwrap_or_default();
        let said = self.said_in.get(status);
        let Some((&(by, before), &(session, number))) = self.revoked.get(&(of, to)).zip(said)
        else {
            return;
        };
        // What a session sent may have been lost before it was resumed, or refused by a disk.
        let is_sure = !self.sessions[session].is_unsure && !self.had_faults;
        assert!(
            session != by || number <= before || !is_sure,
            "u{to} sees {status} of session {session}, which took that back before"
        );
    }

    /// A push changed the roster.
    pub fn pushed(&mut self, session: usize, query: roxmltree::Node<'_, '_>) {
        let Some(roster) = &mut self.sessions[session].roster else {
            return;
        };
        for item in query.children().filter(|item| item.is_element()) {
            let jid = item.attribute("jid").unwrap_or_default().to_string();
            match item.attribute("subscription") {
                Some("remove") => drop(roster.remove(&jid)),
                _ => drop(roster.insert(jid, described(item))),
            }
        }
    }

    /// A roster came whole.
    pub fn roster(&mut self, session: usize, query: roxmltree::Node<'_, '_>, id: Option<&str>) {
        let items = query.children().filter(|item| item.is_element());
        let whole: BTreeMap<String, String> = items
            .clone()
            .map(|item| {
                (
                    item.attribute("jid").unwrap_or_default().to_string(),
                    described(item),
                )
            })
            .collect();
        let before = self.sessions[session].roster.replace(whole.clone());
        assert!(
            before.as_ref().is_none_or(|before| *before == whole),
            "pushes to session {session} left {before:?}, and {id:?} shows {whole:?}"
        );
        let account = self.sessions[session].account;
        self.asks.retain(|(asker, _)| *asker != account);
        let asked = items.filter(|item| item.attribute("ask") == Some("subscribe"));
        let asked = asked.filter_map(|item| account_of(item.attribute("jid")?));
        self.asks.extend(asked.map(|of| (account, of)));
        let items = query.children().filter(|item| item.is_element());
        let items = items.filter_map(|item| {
            let subscription = item.attribute("subscription").unwrap_or("none");
            Some((
                account_of(item.attribute("jid")?)?,
                subscription.to_string(),
            ))
        });
        let account = self.sessions[session].account;
        self.rosters.insert(account, items.collect());
    }

    fn subscription(&self, of: usize, to: usize) -> &str {
        let roster = self.rosters.get(&of);
        roster
            .and_then(|roster| roster.get(&to))
            .map_or("none", String::as_str)
    }

    /// Both halves of every subscription are there, or neither.
    fn halves_agree(&self) {
        // What somebody asks who is blocked is never heard (XEP-0191 section 3.3).
        let unheard = self.asks.difference(&self.pending);
        let unheard: Vec<_> = unheard.filter(|(a, b)| !self.are_apart(*a, *b)).collect();
        assert!(unheard.is_empty(), "{unheard:?} ask and are not heard");
        let unasked: Vec<_> = self.pending.difference(&self.asks).collect();
        assert!(
            unasked.is_empty(),
            "{unasked:?} are shown to ask, and do not"
        );
        let accounts = self.single.len();
        for (a, b) in (0..accounts).flat_map(|a| (0..accounts).map(move |b| (a, b))) {
            let (ours, theirs) = (self.subscription(a, b), self.subscription(b, a));
            let sees = matches!(ours, "to" | "both");
            let is_seen = matches!(theirs, "from" | "both");
            assert_eq!(
                sees, is_seen,
                "u{a} has {ours} to u{b}, u{b} has {theirs} to u{a}"
            );
        }
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

    /// Bytes that the server wrote to a client that does not acknowledge were never read.
    pub fn lost(&mut self, session: usize, bytes: &str) {
        if self.sessions[session].managed {
            return;
        }
        let words = bytes.split("<body>m").skip(1);
        for rest in words.chain(bytes.split(RECEIPT).skip(1)) {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            if let Ok(number) = digits.parse::<usize>() {
                self.messages[number].written_off = true;
            }
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

    /// What is in the archive of each account, oldest first, by number: every acknowledged message is in both archives,
    /// once, in the order in which its sender sent it, but for the oldest where there are more than may be; and of what was
    /// retracted nothing is left.
    pub fn archives(&self, archives: &[Vec<Entry>]) {
        let mut found: Vec<BTreeSet<usize>> = Vec::new();
        for (account, archive) in archives.iter().enumerate() {
            let mut seen = BTreeSet::new();
            let mut newest = BTreeMap::new();
            for entry in archive {
                let number = entry.number;
                let message = &self.messages[number];
                let sender = self.sessions[message.sender].account;
                assert!(
                    sender == account || message.to == Some(account),
                    "message {number} is in the archive of u{account}, whom it does not concern"
                );
                assert!(
                    seen.insert(number),
                    "message {number} is twice in the archive of u{account}"
                );
                if message.again_of.is_some() {
                    continue;
                }
                let before = newest.insert(self.line(number), number);
                assert!(
                    before.is_none_or(|before| before < number),
                    "message {number} is behind {before:?} of the same sender in the archive of u{account}"
                );
            }
            self.retractions(account, archive);
            found.push(seen);
        }
        if self.had_faults {
            return;
        }
        for (number, message) in self.messages.iter().enumerate() {
            let claimed = match message.claim {
                Claim::None => false,
                Claim::Held { life } => life == self.life,
                Claim::Acknowledged => true,
            };
            if self.is_between_strangers(message) {
                continue;
            }
            let sender = self.sessions[message.sender].account;
            let owners = [Some(sender), message.to.filter(|_| !message.bounced)];
            for account in owners.into_iter().flatten().filter(|_| claimed) {
                assert!(
                    found[account].contains(&number) || self.was_trimmed(&found[account], number),
                    "message {number} is not in the archive of u{account}: {message:?}"
                );
            }
        }
    }

    /// "Any such deleted messages MUST be the oldest in the archive" (XEP-0313 section 3.2): whether this one may have
    /// gone, in an archive that is as full as it may be and has nothing older of the same line.
    fn was_trimmed(&self, archive: &BTreeSet<usize>, number: usize) -> bool {
        let line = self.line(number);
        let mut older = archive.range(..number);
        let is_full = self.quota.is_some_and(|(most, _)| archive.len() >= most);
        is_full && older.all(|&other| self.line(other) != line)
    }

    /// What was retracted is a notice from the retraction on, which is there itself; and nothing else is.
    fn retractions(&self, account: usize, archive: &[Entry]) {
        for (at, entry) in archive.iter().enumerate() {
            let number = entry.number;
            if let Some(by) = entry.retracted_by {
                assert_eq!(
                    self.messages[by].retracts,
                    Some(number),
                    "message {number} was retracted by {by} in the archive of u{account}"
                );
                let mut behind = archive[at..].iter();
                assert!(
                    behind.any(|later| later.number == by),
                    "message {number} is retracted in the archive of u{account}, which does not have {by}"
                );
            }
            let mut behind = archive[at..].iter();
            let is_retracted =
                behind.any(|later| self.messages[later.number].retracts == Some(number));
            assert!(
                entry.retracted_by.is_some() || !is_retracted,
                "message {number} was retracted and stands in the archive of u{account}"
            );
        }
        if let Some((most, more)) = self.quota.filter(|_| !self.had_faults) {
            assert!(
                archive.len() <= most + more,
                "the archive of u{account} has {} messages",
                archive.len()
            );
        }
    }

    fn everybody_sees_everybody(&self) {
        for at in self
            .sessions
            .iter()
            .filter(|at| at.is_alive && !at.is_unsure)
        {
            let own = self
                .sessions
                .iter()
                .filter(|other| other.is_alive)
                .filter(|other| {
                    let subscription = self.subscription(at.account, other.account);
                    other.account == at.account || matches!(subscription, "to" | "both")
                });
            let said: BTreeMap<String, String> = own
                .filter_map(|other| Some((other.jid.clone(), other.status.clone()?)))
                .collect();
            // Whom it blocked, it did not see go. A block that a failing disk took back may have been in force.
            let may_be_stale = |jid: &str| {
                let of = account_of(jid).filter(|of| *of != at.account);
                of.is_some_and(|of| {
                    self.blocks.contains(&(at.account, of))
                        || (self.had_faults && self.are_apart(at.account, of))
                })
            };
            let mut view = at.view.clone();
            view.retain(|jid, _| said.contains_key(jid) || !may_be_stale(jid));
            assert_eq!(view, said, "what {} sees is not what was sent", at.jid);
        }
    }
}

fn in_order(newest: &mut BTreeMap<usize, usize>, from: usize, number: usize, session: usize) {
    let before = newest.insert(from, number);
    assert!(
        before.is_none_or(|before| before < number),
        "message {number} came to session {session} behind {before:?} of the same sender"
    );
}

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
