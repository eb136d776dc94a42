//! The archive of one owner (XEP-0313): rows by time, an index of what they are about, and the search for pages of
//! them in steps. Refuses to know which messages belong in it, and who may read it.
//!
//! - `row`: how one is stored. `term`: what it is found by.
//! - `query`: what a client asks for. `scan`: how its page is found, a step at a time.

mod query;
mod row;
mod scan;
mod term;
#[cfg(test)]
mod tests;

pub use query::{Fields, Query, form};
pub use row::{
    ARCHIVE, Archived, INDEX, Posting, Words, erase, key, postings, put, range, stanza_id,
    tombstone,
};
pub use scan::{Found, Page, begin, step};
pub use term::Term;
