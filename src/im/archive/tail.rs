//! What was archived last: messages are indexed many at a time (`engine/archive/list.rs`), and until then the account
//! remembers what they will be found by. What is lost with the account's place in memory stands in the messages' rows.
//! Refuses to know what the index looks like.

use crate::actor::rows::Row;

use super::Term;

/// What an archived message is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub number: u64,
    /// The bare JID with which it was exchanged.
    pub contact: Term,
    /// The JID itself.
    pub full_jid: Term,
    /// By which a retraction finds it; [`Term::NONE`] where its sender gave it no name.
    pub name: Term,
}

impl Entry {
    /// Of a message's row; none if that is damaged.
    pub fn read(row: &Row) -> Option<Entry> {
        let number = row.key.as_bytes().get(8..)?.try_into().ok()?;
        let bytes = row.value.get(ENTRY_AT..ENTRY_AT + ENTRY_BYTES)?;
        let (terms, _) = bytes.as_chunks::<8>();
        let &[contact, full_jid, name] = terms else {
            return None;
        };
        Some(Entry {
            number: u64::from_be_bytes(number),
            contact: Term(contact),
            full_jid: Term(full_jid),
            name: Term(name),
        })
    }

    /// What stands of it in the message's row.
    pub fn to_bytes(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&self.contact.0);
        bytes[8..16].copy_from_slice(&self.full_jid.0);
        bytes[16..].copy_from_slice(&self.name.0);
        bytes
    }
}

/// Messages that are archived and not indexed, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail(Vec<Entry>);

impl Tail {
    /// One more was archived.
    pub fn push(&mut self, entry: Entry) {
        self.0.push(entry);
    }

    /// All of them are indexed. Their memory goes, too: most accounts archive little.
    pub fn clear(&mut self) {
        self.0 = Vec::new();
    }

    /// The newest message of this name.
    pub fn named(&self, name: Term) -> Option<u64> {
        let found = self.0.iter().rev().find(|entry| entry.name == name)?;
        Some(found.number)
    }

    /// Those from this number on.
    pub fn from(&self, number: u64) -> impl Iterator<Item = Entry> + '_ {
        let entries = self.0.iter().copied();
        entries.filter(move |entry| entry.number >= number)
    }

    /// Whether everything is indexed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where an entry begins in a message's row: behind its version and its tag.
pub const ENTRY_AT: usize = 9;
/// Bytes of an entry in a message's row, whose key is the number.
pub const ENTRY_BYTES: usize = 24;
