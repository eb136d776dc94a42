//! The archive of one owner (XEP-0313): rows by time, an index of what they are about, and the search for pages of
//! them in steps. Refuses to know which messages belong in it, and who may read it.
//!
//! - `row`: how one is stored. `term`: what it is found by. `list`: the index. `words`: the index of words, made on demand.
//! - `kept`: what waits for a client and is stored here.
//! - `first_form`: how one was stored before, for data that comes from there.
//! - `query`: what a client asks for. `scan`: how its page is found, a step at a time. `intersect`: what lists have in common.

mod first_form;
mod intersect;
mod kept;
mod list;
mod query;
mod row;
mod scan;
mod term;
#[cfg(test)]
mod tests;
mod words;

pub use crate::im::archive::{Query, Term};
pub use first_form::FirstForm;
pub use kept::{WITH_MESSAGES, Waiting, rescue, waiting};
pub use list::{INDEX, Posting, index, named, postings};
pub use query::{Fields, form};
pub use row::{
    ARCHIVE, Archived, Archiving, erase, key, name, number_of, put, range, stanza_id, tombstone,
};
pub use scan::{Found, Page, begin, step};
pub use words::{INDEXED, indexed_before};
