//! A search in an archive as it stands between two of its steps: what is searched for, read once, and how far it came.
//! Refuses to know how a query is read and how its page is found (`engine/archive`).

use std::sync::Arc;

use super::{ArchiveId, Entry};

/// A search under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    pub query: Arc<Query>,
    pub reach: Reach,
}

/// What a message is found by without reading it: the first 64 bits of SHA-256 over what it stands for, so that nobody
/// can make a contact or a word that is taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term(pub [u8; 8]);

impl Term {
    /// Stands for nothing.
    pub const NONE: Term = Term([0; 8]);
}

/// A query, its form and page read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// What the client calls it, for the results.
    pub query_id: Option<String>,
    /// Numbers of the messages that may match, the second excluded.
    pub from: u64,
    pub to: u64,
    /// Messages that must be in the archive: those that bound the query or its page.
    pub references: Vec<ArchiveId>,
    /// Only these messages, in the order of the archive.
    pub ids: Option<Vec<ArchiveId>>,
    /// Only messages exchanged with this contact.
    pub with: Option<With>,
    /// Of the messages exchanged with it those that the index did not have when the search began, in their order: fewer
    /// than are indexed at a time. It may have them by now.
    pub unindexed: Vec<u64>,
    /// Only messages with each of these words, whose index is made on demand.
    pub words: Vec<Term>,
    /// Only messages with each of these in their text, which the words of scripts without spaces do not prove.
    pub phrases: Vec<Box<str>>,
    pub page: Page,
    /// The results of the page come in reverse order.
    pub flip: Flip,
}

/// A contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct With {
    /// The bare JID.
    pub contact: Term,
    /// Only this one of its full JIDs.
    pub full_jid: Option<Term>,
}

impl With {
    /// Whether this message was exchanged with it.
    pub fn is_of(self, entry: &Entry) -> bool {
        let is_resource = |full_jid| entry.full_jid == full_jid;
        entry.contact == self.contact && self.full_jid.is_none_or(is_resource)
    }
}

/// Which matches make up the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// The first ones, so many.
    First(u32),
    /// The last ones, so many.
    Last(u32),
    /// None: how many there are.
    #[default]
    Count,
}

/// In which order the results of a page are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flip {
    #[default]
    OldestFirst,
    NewestFirst,
}

/// How far a search came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    pub stage: Stage,
    /// All numbers that may match, the second excluded.
    pub whole: (u64, u64),
    /// Those that were not looked at.
    pub rest: (u64, u64),
    /// Matches found in this stage.
    pub count: u32,
    /// The match found last.
    pub edge: u64,
    /// The match found first.
    pub first: Option<u64>,
    /// The oldest and the newest message that were sent.
    pub sent: Option<(ArchiveId, ArchiveId)>,
    /// Whether there is nothing behind the page; none until that is known.
    pub complete: Option<bool>,
}

/// What a step of a search is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Whether the index of words is as far as the archive: from this number on it is not, or from where its mark is.
    Index(Option<u64>),
    /// Whether the messages exist that the query names; so many do.
    Check(usize),
    /// Where the page begins, found from its end.
    Measure,
    /// The messages of the page, in the order in which they are sent.
    Send,
}
