//! A roster (RFC 6121 section 2) as a server sends it: which of our users are on it, and how far that is. It knows nothing of
//! how they get there.

use std::collections::HashMap;

use memchr::memmem;

use super::people::People;
use super::stanza::Stanza;

/// One of our users on another's roster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contact {
    pub user: u32,
    /// Whether the roster's owner is told of its presence.
    pub is_seen: bool,
    /// Whether the owner has asked for that, and waits.
    pub is_asked: bool,
}

/// Rosters by the numbers of their owners.
pub type Rosters = HashMap<u32, Vec<Contact>>;

/// Reads what answers a request for a roster.
pub fn contacts(people: &People, roster: &[u8]) -> Vec<Contact> {
    let items = memmem::find_iter(roster, b"<item ").map(|at| Stanza {
        bytes: &roster[at..],
    });
    let contact = |item: Stanza<'_>| {
        Some(Contact {
            user: people.number(item.attribute("jid")?)?,
            // Section 2.1.2.5.
            is_seen: matches!(item.attribute("subscription"), Some(b"to" | b"both")),
            is_asked: item.attribute("ask") == Some(b"subscribe"),
        })
    };
    items.filter_map(contact).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roster_says_who_is_seen_and_who_is_asked() {
        let roster = b"<iq type='result'><query xmlns='jabber:iq:roster'>\
            <item jid='u00001@localhost' subscription='both'><group>A</group></item>\
            <item subscription=\"from\" ask=\"subscribe\" jid=\"u00002@localhost\"/>\
            <item jid='u00003@localhost' subscription='to'/>\
            <item jid='romeo@localhost' subscription='both'/></query></iq>";
        let contact = |user, is_seen, is_asked| Contact {
            user,
            is_seen,
            is_asked,
        };
        assert_eq!(
            contacts(&People::of_bench(), roster),
            [
                contact(1, true, false),
                contact(2, false, true),
                contact(3, true, false)
            ]
        );
    }
}
