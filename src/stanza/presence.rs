//! Which presence makes another void while both wait (DESIGN section 11).

use super::{Kind, Stanza, Type, ns};

/// Whether nobody misses `older` when `newer` follows: both are of one full JID, and tell how things are, not what
/// happened. A room's presence tells what happened, and an `unavailable` ends what an available one begins anew.
pub fn is_outdone(older: &Stanza, newer: &Stanza) -> bool {
    let is_state = |stanza: &Stanza| {
        stanza.header.kind == Kind::Presence
            && matches!(stanza.header.type_, Type::Available | Type::Unavailable)
            && !stanza.payload.has(ns::MUC_USER, "x")
    };
    is_state(older)
        && is_state(newer)
        && older.header.from == newer.header.from
        && (older.header.type_ == Type::Available || newer.header.type_ == Type::Unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jid::Jid;
    use crate::stanza::{Header, Payload};

    fn presence(from: &str, type_: Type, payload: &str) -> Stanza {
        let header = Header {
            from: Jid::parse(from).ok(),
            ..Header::new(Kind::Presence, type_)
        };
        let payload = Payload::from_normal(payload);
        Stanza { header, payload }
    }

    #[test]
    fn the_newest_presence_of_a_session_is_enough_but_its_end_and_new_beginning_are_two() {
        let from = "juliet@example.com/balcony";
        let here = presence(from, Type::Available, "");
        let away = presence(from, Type::Available, "<show>away</show>");
        let gone = presence(from, Type::Unavailable, "");
        assert!(is_outdone(&here, &away));
        assert!(is_outdone(&here, &gone));
        assert!(is_outdone(&gone, &gone));
        assert!(!is_outdone(&gone, &here));
        let other = presence("juliet@example.com/chamber", Type::Available, "");
        assert!(!is_outdone(&here, &other));
    }

    #[test]
    fn what_happened_is_never_left_out() {
        let from = "room@example.com/nick";
        let here = presence(from, Type::Available, "");
        let status = format!("<x xmlns='{}'><status code='303'/></x>", ns::MUC_USER);
        let renamed = presence(from, Type::Unavailable, &status);
        assert!(!is_outdone(&here, &renamed));
        assert!(!is_outdone(&renamed, &here));
        let request = presence(from, Type::Subscribe, "");
        assert!(!is_outdone(&request, &here));
        assert!(!is_outdone(&here, &request));
    }
}
