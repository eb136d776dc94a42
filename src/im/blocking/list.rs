//! A blocklist: addresses in order, which of them another address matches, and the row in which they are kept.
//! Refuses to know what being blocked means.

use std::sync::Arc;

use crate::actor::rows::{Durability, Export, RowKey, Slices, Table};
use crate::base::AccountId;
use crate::jid::Jid;

/// The whole list in one row, because it is read as a whole before the first stanza.
pub static BLOCKLIST: Table = Table {
    name: "blocklist",
    durability: Durability::BeforeReply,
    export: Export::WithAccount,
    slices: Slices::Whole,
    about: "Blocked addresses (XEP-0191); key: account id",
};

/// Whom an account blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocklist {
    /// In the order of their text, each once.
    jids: Vec<Jid>,
}

impl Blocklist {
    /// Nobody is blocked.
    pub fn is_empty(&self) -> bool {
        self.jids.is_empty()
    }

    /// How many addresses are listed.
    pub fn len(&self) -> usize {
        self.jids.len()
    }

    /// Bytes of the addresses.
    pub fn bytes(&self) -> usize {
        self.jids.iter().map(|jid| jid.as_str().len()).sum()
    }

    /// The addresses as they are listed.
    pub fn jids(&self) -> impl Iterator<Item = &Jid> {
        self.jids.iter()
    }

    /// Whether this very address is listed.
    pub fn lists(&self, text: &str) -> bool {
        let by_text = |jid: &Jid| jid.as_str().cmp(text);
        self.jids.binary_search_by(by_text).is_ok()
    }

    /// Section 5: whether an item matches, "<user@domain/resource> (only that resource matches)", "<user@domain> (any
    /// resource matches)", "<domain/resource> (only that resource matches)", "<domain> (the domain itself matches, as
    /// does any user@domain or domain/resource)".
    pub fn matches(&self, jid: &Jid) -> bool {
        self.lists(jid.as_str())
            || (jid.is_full() && self.lists(jid.bare_str()))
            || (jid.localpart().is_some() && self.lists(jid.domainpart()))
    }

    /// This list with these addresses, too.
    pub fn with(&self, more: &[Jid]) -> Blocklist {
        let mut jids = self.jids.clone();
        jids.extend_from_slice(more);
        jids.sort();
        jids.dedup();
        Blocklist { jids }
    }

    /// This list without these addresses.
    pub fn without(&self, gone: &[Jid]) -> Blocklist {
        let stays = |jid: &&Jid| !gone.contains(jid);
        Blocklist {
            jids: self.jids.iter().filter(stays).cloned().collect(),
        }
    }

    /// A row's value: a version byte, then a line for each address.
    pub fn encode(&self) -> Arc<[u8]> {
        let mut value = vec![ROW_VERSION];
        for (at, jid) in self.jids.iter().enumerate() {
            if at > 0 {
                // No address has a line break in it (RFC 7622).
                value.push(b'\n');
            }
            value.extend_from_slice(jid.as_str().as_bytes());
        }
        value.into()
    }

    /// The list in a row; none if that is damaged.
    pub fn decode(value: &[u8]) -> Option<Blocklist> {
        let (&version, text) = value.split_first()?;
        if version != ROW_VERSION {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        let lines = text.split('\n').filter(|line| !line.is_empty());
        let jids: Option<Vec<Jid>> = lines.map(|line| Jid::parse(line).ok()).collect();
        Some(Blocklist::default().with(&jids?))
    }
}

/// The key of an account's row.
pub fn key(account: AccountId) -> RowKey {
    RowKey::new(&account.0.to_be_bytes())
}

const ROW_VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).expect("valid")
    }

    fn list(jids: &[&str]) -> Blocklist {
        let jids: Vec<Jid> = jids.iter().map(|text| jid(text)).collect();
        Blocklist::default().with(&jids)
    }

    #[test]
    fn an_item_matches_what_section_5_says_and_nothing_more() {
        for (item, matched, others) in [
            (
                "romeo@b.example/orchard",
                &["romeo@b.example/orchard"][..],
                &["romeo@b.example", "romeo@b.example/street", "b.example"][..],
            ),
            (
                "romeo@b.example",
                &["romeo@b.example", "romeo@b.example/orchard"],
                &["b.example", "romeo2@b.example", "romeo@a.b.example"],
            ),
            (
                "b.example/orchard",
                &["b.example/orchard"],
                &["b.example", "romeo@b.example/orchard", "b.example/street"],
            ),
            (
                "b.example",
                &[
                    "b.example",
                    "b.example/x",
                    "romeo@b.example",
                    "a@b.example/x",
                ],
                &["a.b.example", "a@a.b.example", "ab.example"],
            ),
        ] {
            let list = list(&["aaa@z", item, "zzz@z"]);
            assert!(
                matched.iter().all(|text| list.matches(&jid(text))),
                "{item}"
            );
            assert!(
                !others.iter().any(|text| list.matches(&jid(text))),
                "{item}"
            );
        }
        assert!(!Blocklist::default().matches(&jid("a@b")));
    }

    #[test]
    fn addresses_come_and_go_once() {
        let two = list(&["b@h", "a@h", "b@h"]);
        assert_eq!(two.len(), 2);
        assert_eq!(two.with(&[jid("a@h")]), two);
        let one = two.without(&[jid("a@h"), jid("c@h")]);
        assert_eq!(one, list(&["b@h"]));
        assert!(one.without(&[jid("b@h")]).is_empty());
        assert_eq!(two.bytes(), 6);
    }

    #[test]
    fn a_row_comes_back_as_it_went_and_a_damaged_one_does_not() {
        for list in [list(&["b.example", "a@b/c d", "a@b"]), list(&[])] {
            assert_eq!(Blocklist::decode(&list.encode()), Some(list));
        }
        for damaged in [&b""[..], b"\x02a@b", b"\x01@@", b"\x01\xff"] {
            assert_eq!(Blocklist::decode(damaged), None);
        }
    }
}
