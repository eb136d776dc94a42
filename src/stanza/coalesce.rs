//! Presence that waits is worth only as much as the newest of each sender (DESIGN section 11): which earlier one a
//! newcomer makes void. Refuses to know what queue they wait in, and when it is time to coalesce.

use super::{Kind, Stanza, Type, ns};

/// Who sent a presence, as its receiver sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// An entity of a domain that has no users here, which the receiver told of its own presence, as one does to enter
    /// a room: what it marks as a room's presence (`muc#user`: status codes, kicks, nick changes) is never touched.
    Joined,
    /// An entity to whose presence the receiver is subscribed.
    Contact,
    /// Anybody else, who might mark whatever it sends only to have it spared.
    Other,
}

/// A presence that makes earlier ones void.
#[derive(Clone, Copy)]
pub struct Newcomer<'a> {
    stanza: &'a Stanza,
    sender: Sender,
}

impl<'a> Newcomer<'a> {
    /// None if `stanza` is not of the kind that coalesces: subscriptions, probes and errors do not come again.
    pub fn new(stanza: &'a Stanza, sender: Sender) -> Option<Newcomer<'a>> {
        let newcomer = Newcomer { stanza, sender };
        newcomer.may_coalesce(stanza).then_some(newcomer)
    }

    /// Whether `earlier`, which waits for the same receiver, says nothing any more. An `unavailable` followed by an
    /// available stays: between them the receiver forgets what it knew.
    pub fn replaces(&self, earlier: &Stanza) -> bool {
        let (new, old) = (&self.stanza.header, &earlier.header);
        new.from == old.from
            && new.to == old.to
            && self.may_coalesce(earlier)
            && (new.type_ == Type::Unavailable || old.type_ == Type::Available)
    }

    fn may_coalesce(&self, stanza: &Stanza) -> bool {
        stanza.header.kind == Kind::Presence
            && matches!(stanza.header.type_, Type::Available | Type::Unavailable)
            && (self.sender != Sender::Joined || !stanza.payload.has(ns::MUC_USER, "x"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jid::Jid;
    use crate::stanza::{Header, Payload};

    fn presence(type_: Type, from: &str, inner: &str) -> Stanza {
        let mut header = Header::new(Kind::Presence, type_);
        header.from = Jid::parse(from).ok();
        Stanza {
            header,
            payload: Payload::from_normal(inner),
        }
    }

    fn replaces(new: &Stanza, sender: Sender, old: &Stanza) -> bool {
        Newcomer::new(new, sender).is_some_and(|newcomer| newcomer.replaces(old))
    }

    #[test]
    fn the_newest_of_each_full_jid_replaces_the_others() {
        let available = presence(Type::Available, "r@h/a", "");
        let gone = presence(Type::Unavailable, "r@h/a", "");
        let other = presence(Type::Available, "r@h/b", "");
        assert!(replaces(&available, Sender::Other, &available));
        assert!(replaces(&gone, Sender::Other, &available));
        assert!(replaces(&gone, Sender::Other, &gone));
        assert!(!replaces(&available, Sender::Other, &other));
        assert!(
            !replaces(&available, Sender::Other, &gone),
            "an unavailable followed by an available keeps both"
        );
    }

    #[test]
    fn subscriptions_errors_and_the_presence_of_joined_rooms_are_never_touched() {
        for type_ in [
            Type::Subscribe,
            Type::Unsubscribed,
            Type::Probe,
            Type::Error,
        ] {
            let stanza = presence(type_, "r@h", "");
            assert!(!replaces(&stanza, Sender::Other, &stanza), "{type_:?}");
            let gone = presence(Type::Unavailable, "r@h", "");
            assert!(!replaces(&gone, Sender::Other, &stanza), "{type_:?}");
        }
        let room = "<x xmlns='http://jabber.org/protocol/muc#user'/>";
        let room = presence(Type::Available, "room@h/nick", room);
        let plain = presence(Type::Unavailable, "room@h/nick", "");
        assert!(!replaces(&room, Sender::Joined, &room));
        assert!(!replaces(&plain, Sender::Joined, &room));
        assert!(
            replaces(&room, Sender::Other, &room),
            "else whoever writes muc#user would fill any queue"
        );
    }
}
