//! What is said comes once, to whom it was said, in its order.

use super::*;

impl Judge {
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
    pub(super) fn found(&mut self, session: usize, result: roxmltree::Node<'_, '_>) {
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
    pub(super) fn line(&self, number: usize) -> usize {
        let message = &self.messages[number];
        let is_own = message.to == Some(self.sessions[message.sender].account);
        message.sender * 2 + usize::from(is_own)
    }

    pub(super) fn copied(&mut self, session: usize, copy: roxmltree::Node<'_, '_>, is_sent: bool) {
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

    pub(super) fn bounced(&mut self, session: usize, element: roxmltree::Node<'_, '_>) {
        let number = number(element);
        let account = self.sessions[session].account;
        let sent = &mut self.messages[number];
        assert_eq!(self.sessions[sent.sender].account, account);
        sent.bounced = true;
        let sent = &self.messages[number];
        let expected = sent.to.is_none() || self.had_faults || self.is_between_strangers(sent);
        assert!(expected, "message {number} bounced for no reason");
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
}

fn in_order(newest: &mut BTreeMap<usize, usize>, from: usize, number: usize, session: usize) {
    let before = newest.insert(from, number);
    assert!(
        before.is_none_or(|before| before < number),
        "message {number} came to session {session} behind {before:?} of the same sender"
    );
}
