//! XEP-0352: Client State Indication, version 1.0.0: what waits for a client that says nobody looks at it. Whatever may
//! wait is held, in order, until something comes that may not, the client itself has something to say, or it is active.
//!
//! | section | item |
//! |---|---|
//! | 4.1 discovery | `stream/features.rs` |
//! | 4.2 indication | `shard/client_state.rs` |
//! | 3.2 presence updates | [`may_wait`]: only the newest of each sender |
//! | 3.2 chat states | `im/classify.rs`: only the newest of each sender |
//! | 5 "the server MUST treat the two independently" | the state changes nothing else, and nobody else hears of it |
//! | 5.1 order | what waits goes before whatever follows it |
//! | 5.2 resumption | [`super::Session::forget_state`] |

use std::collections::VecDeque;

use crate::actor::{Delivery, Kept};
use crate::stanza::{Kind, Newcomer, Sender, Stanza, Type, ns};

use super::classify::{Patience, patience};
use super::session::Session;

/// What waits for an inactive client.
#[derive(Debug, Default)]
pub struct Inactive {
    held: VecDeque<Delivery>,
    bytes: usize,
}

impl Inactive {
    /// Puts a delivery behind what waits, in place of what it makes void.
    pub fn hold(&mut self, delivery: Delivery, sender: Sender) {
        let newest = &delivery.stanza;
        if let Some(newcomer) = Newcomer::new(newest, sender) {
            self.retain(|held| !newcomer.replaces(&held.stanza));
        } else if patience(newest) == Patience::Newest {
            // A state of which an older session's or client's keeper waits to hear is no state alone.
            let is_void = |held: &Delivery| {
                let (old, new) = (&held.stanza.header, &newest.header);
                (&old.from, &old.to) == (&new.from, &new.to)
                    && held.kept.is_none()
                    && patience(&held.stanza) == Patience::Newest
            };
            self.retain(|held| !is_void(held));
        }
        self.bytes += delivery.stanza.charge();
        self.held.push_back(delivery);
    }

    fn retain(&mut self, stays: impl Fn(&Delivery) -> bool) {
        let gone = &mut self.bytes;
        self.held.retain(|held| {
            let stays = stays(held);
            if !stays {
                *gone -= held.stanza.charge();
            }
            stays
        });
    }

    /// Whether so many stanzas wait, or so many bytes.
    pub fn holds(&self, count: usize, bytes: usize) -> bool {
        self.held.len() >= count || self.bytes >= bytes
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What waits, in its order.
    pub fn held(&self) -> impl Iterator<Item = &Delivery> {
        self.held.iter()
    }

    /// What is owed of it, for changes that another holder causes.
    pub fn kept_mut(&mut self) -> impl Iterator<Item = &mut Option<Kept>> {
        self.held.iter_mut().map(|held| &mut held.kept)
    }

    /// What waits, when it waits no longer.
    pub fn into_held(self) -> impl Iterator<Item = Delivery> {
        self.held.into_iter()
    }
}

/// Whether a stanza need not wake a client at which nobody looks.
pub fn may_wait(session: &Session, stanza: &Stanza) -> bool {
    let header = &stanza.header;
    match header.kind {
        Kind::Message => patience(stanza) != Patience::None,
        Kind::Presence => {
            let tells = matches!(header.type_, Type::Available | Type::Unavailable);
            // Its own is the answer to what it just said, and so is a room's that has a code (XEP-0045 section 15.6.2).
            tells && header.from.as_ref() != Some(&session.jid) && !has_code(stanza)
        }
        Kind::Iq => false,
    }
}

fn has_code(stanza: &Stanza) -> bool {
    let room = stanza.payload.child(ns::MUC_USER, "x");
    room.is_some_and(|x| x.child(ns::MUC_USER, "status").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{SessionId, StreamKey};
    use crate::jid::Jid;
    use crate::stanza::read_stored;

    fn session() -> Session {
        let jid = Jid::parse("juliet@h/phone").expect("valid");
        Session::new(SessionId(1), jid, StreamKey::default())
    }

    fn delivery(xml: &str) -> Delivery {
        let stanza = xml.replacen(' ', " xmlns='jabber:client' ", 1);
        Delivery {
            session: SessionId(1),
            stanza: read_stored(&stanza).expect("a stanza"),
            kept: None,
        }
    }

    fn held(inactive: &Inactive) -> Vec<String> {
        let ids = inactive.held().map(|held| held.stanza.header.id.as_deref());
        ids.map(|id| id.unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn presence_and_chat_states_wait_and_what_somebody_says_does_not() {
        let session = session();
        for (waits, xml) in [
            (true, "<presence from='r@h/a'/>"),
            (true, "<presence from='r@h/a' type='unavailable'/>"),
            (false, "<presence from='r@h' type='subscribe'/>"),
            (false, "<presence from='r@h' type='error'/>"),
            (false, "<presence from='juliet@h/phone'/>"),
            (true, "<presence from='juliet@h/desk'/>"),
            (
                true,
                "<presence from='room@h/n'><x xmlns='http://jabber.org/protocol/muc#user'/></presence>",
            ),
            (
                false,
                "<presence from='room@h/n'><x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/></x></presence>",
            ),
            (
                true,
                "<message from='r@h/a' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
            ),
            (
                false,
                "<message from='r@h/a' type='chat'><body>b</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
            ),
            (false, "<iq from='r@h/a' type='result' id='i'/>"),
        ] {
            assert_eq!(may_wait(&session, &delivery(xml).stanza), waits, "{xml}");
        }
    }

    #[test]
    fn of_each_sender_the_newest_presence_and_the_newest_chat_state_wait_in_order() {
        let mut inactive = Inactive::default();
        let state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
        for xml in [
            "<presence id='1' from='r@h/a'/>",
            &format!("<message id='2' from='r@h/a' type='chat'>{state}</message>"),
            "<presence id='3' from='n@h/a'/>",
            "<presence id='4' from='r@h/a'/>",
            &format!("<message id='5' from='n@h/a' type='chat'>{state}</message>"),
            &format!("<message id='6' from='r@h/a' type='chat'>{state}</message>"),
            "<message id='7' from='r@h/a'><received xmlns='urn:xmpp:receipts' id='x'/></message>",
            "<message id='8' from='r@h/a'><received xmlns='urn:xmpp:receipts' id='y'/></message>",
            "<presence id='9' from='n@h/a' type='unavailable'/>",
        ] {
            inactive.hold(delivery(xml), Sender::Other);
        }
        assert_eq!(held(&inactive), ["4", "5", "6", "7", "8", "9"]);
        let bytes: usize = inactive.held().map(|held| held.stanza.charge()).sum();
        assert_eq!(inactive.bytes(), bytes);
        assert!(inactive.holds(6, usize::MAX) && inactive.holds(7, bytes));
        assert!(!inactive.holds(7, bytes + 1));
    }
}
