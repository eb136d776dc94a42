//! The client's side of stream management (XEP-0198 version 1.6): what was counted in either direction, and what is sent
//! again when a session is resumed. It knows nothing of connections.

use std::collections::VecDeque;

use super::stanza::Stanza;

/// The counts of one stream.
#[derive(Debug, Default)]
pub struct Management {
    /// By which the session is resumed; None when the server does not offer it.
    id: Option<String>,
    /// Stanzas that have come since `<enabled/>`.
    received: u32,
    /// Stanzas that the server has acknowledged.
    acknowledged: u32,
    /// What it has not.
    unacknowledged: VecDeque<Box<[u8]>>,
}

impl Management {
    /// Begins to count; what a stream before this one left unacknowledged is to be sent again.
    pub fn enabled(&mut self, element: &Stanza<'_>) {
        let id = element.attribute("id");
        self.id = id.map(|id| String::from_utf8_lossy(id).into_owned());
        (self.received, self.acknowledged) = (0, 0);
    }

    /// Counts one element if it is a stanza.
    pub fn received(&mut self, element: &Stanza<'_>) {
        let is_stanza = matches!(element.name(), b"message" | b"presence" | b"iq");
        self.received = self.received.wrapping_add(u32::from(is_stanza));
    }

    /// Keeps one stanza until it is acknowledged; true when it is time to ask for that.
    pub fn sent(&mut self, stanza: &[u8]) -> bool {
        self.unacknowledged.push_back(stanza.into());
        self.unacknowledged.len().is_multiple_of(ASK_AFTER)
    }

    /// Takes the `h` of `<a/>`, `<resumed/>` or `<failed/>`.
    pub fn acknowledged(&mut self, element: &Stanza<'_>) {
        let digits = element
            .attribute("h")
            .and_then(|h| std::str::from_utf8(h).ok());
        let Some(count) = digits.and_then(|h| h.parse::<u32>().ok()) else {
            return;
        };
        let new = count.wrapping_sub(self.acknowledged) as usize;
        self.unacknowledged
            .drain(..new.min(self.unacknowledged.len()));
        self.acknowledged = count;
        if self.unacknowledged.is_empty() {
            self.unacknowledged = VecDeque::new();
        }
    }

    pub fn acknowledgement(&self) -> String {
        format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", self.received)
    }

    pub fn resume_element(&self) -> Option<String> {
        let (id, h) = (self.id.as_ref()?, self.received);
        Some(format!(
            "<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='{h}'/>"
        ))
    }

    /// A new session follows; only messages are worth sending again there.
    pub fn resumption_failed(&mut self) {
        self.id = None;
        self.unacknowledged
            .retain(|stanza| stanza.starts_with(b"<message"));
    }

    pub fn unacknowledged(&self) -> Vec<u8> {
        self.unacknowledged
            .iter()
            .flat_map(|stanza| stanza.iter().copied())
            .collect()
    }
}

/// Stanzas between two requests for an acknowledgement.
const ASK_AFTER: usize = 10;

pub const REQUEST: &[u8] = b"<r xmlns='urn:xmpp:sm:3'/>";

#[cfg(test)]
mod tests {
    use super::*;

    fn element(text: &str) -> Stanza<'_> {
        Stanza {
            bytes: text.as_bytes(),
        }
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again() {
        let mut management = Management::default();
        management.enabled(&element(
            "<enabled xmlns='urn:xmpp:sm:3' id='7' resume='true'/>",
        ));
        for text in [
            "<presence/>",
            "<message>1</message>",
            "<message>2</message>",
        ] {
            assert!(!management.sent(text.as_bytes()));
        }
        for text in ["<r/>", "<message/>", "<iq type='get'/>"] {
            management.received(&element(text));
        }
        let resume = management.resume_element();
        assert_eq!(
            resume.as_deref(),
            Some("<resume xmlns='urn:xmpp:sm:3' previd='7' h='2'/>")
        );
        management.acknowledged(&element("<resumed previd='7' h='2'/>"));
        assert_eq!(management.unacknowledged(), b"<message>2</message>");
        management.acknowledged(&element("<a h='3'/>"));
        assert!(management.unacknowledged().is_empty());
    }
}
