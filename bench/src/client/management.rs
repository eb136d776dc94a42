//! The client's side of stream management (XEP-0198 version 1.6): what was counted in either direction, and what is sent
//! again when a session is resumed. It knows nothing of connections.

use std::collections::VecDeque;

use anyhow::{Result, ensure};

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

    /// Takes the `h` of `<a/>`, `<resumed/>` or `<failed/>`. XEP-0198 section 6: more than was sent is an error; less than
    /// before says nothing new.
    pub fn acknowledged(&mut self, element: &Stanza<'_>) -> Result<()> {
        let digits = element
            .attribute("h")
            .and_then(|h| std::str::from_utf8(h).ok());
        let Some(count) = digits.and_then(|h| h.parse::<u32>().ok()) else {
            return Ok(());
        };
        // Counts begin again behind the greatest, so what is far ahead is behind.
        let new = count.wrapping_sub(self.acknowledged);
        if new > u32::MAX / 2 {
            return Ok(());
        }
        let (new, waiting) = (new as usize, self.unacknowledged.len());
        ensure!(
            new <= waiting,
            "the server acknowledged {} stanzas more than it was sent",
            new - waiting
        );
        self.unacknowledged.drain(..new);
        self.acknowledged = count;
        if self.unacknowledged.is_empty() {
            self.unacknowledged = VecDeque::new();
        }
        Ok(())
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
        let mut acknowledged = |text| management.acknowledged(&element(text));
        acknowledged("<resumed previd='7' h='2'/>").expect("two of three");
        assert_eq!(management.unacknowledged(), b"<message>2</message>");
        management
            .acknowledged(&element("<a h='3'/>"))
            .expect("all of them");
        assert!(management.unacknowledged().is_empty());
    }

    /// XEP-0198 section 6: "higher than the amount of stanzas that it was sent (by sending an 'h' value that is too high)"
    #[test]
    fn nothing_is_acknowledged_that_was_not_sent_nor_taken_back() {
        let mut management = Management {
            acknowledged: u32::MAX,
            ..Management::default()
        };
        for text in ["<message>1</message>", "<message>2</message>"] {
            management.sent(text.as_bytes());
        }
        let mut acknowledged = |h: u32| {
            let text = format!("<a h='{h}'/>");
            let outcome = management.acknowledged(&element(&text));
            (outcome.is_ok(), management.unacknowledged().len())
        };
        // Behind the greatest number comes 0.
        assert_eq!(acknowledged(0), (true, 20));
        assert_eq!(acknowledged(u32::MAX), (true, 20));
        assert_eq!(acknowledged(2), (false, 20));
        assert_eq!(acknowledged(1), (true, 0));
    }
}
