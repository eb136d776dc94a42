//! The archive of one owner (XEP-0313): rows by time, an index of what they are about, and the search for pages of
//! them in steps. Refuses to know which messages belong in it, and who may read it.
//!
//! - `row`: how one is stored. `term`: what it is found by. `words`: the index of its words, made on demand.
//! - `kept`: what waits for a client and is stored here.
//! - `query`: what a client asks for. `scan`: how its page is found, a step at a time.

mod kept;
mod query;
mod row;
mod scan;
mod term;
#[cfg(test)]
mod tests;
mod words;

pub use crate::im::archive::{Query, Term};
pub use kept::{WITH_MESSAGES, Waiting, rescue, waiting};
pub use query::{Fields, form};
pub use row::{
    ARCHIVE, Archived, INDEX, Posting, erase, key, named, number_of, postings, put, range,
    stanza_id, tombstone,
};
pub use scan::{Found, Page, begin, step};
pub use words::INDEXED;
