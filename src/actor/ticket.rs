//! Questions to the service threads and their answers: a seat kept, by number.

use super::auth::AuthAnswer;
use super::directory::DirectoryAnswer;
use super::rows::{Row, StoreError};

/// A seat kept for an answer. The number means something only to the shard that gave it, which drops
/// the answer when whoever asked is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What a service thread sends back.
#[derive(Debug)]
pub enum Answer {
    /// To a `Row` request: the value, if there is one.
    Row(Option<Vec<u8>>),
    /// To a `Range` or `Pick` request: rows in its order, and whether more follow behind the last of them.
    Range { rows: Vec<Row>, more: bool },
    /// To a `Save` request: all its writes are durable.
    Saved,
    /// The store did not do what was asked.
    Failed(StoreError),
    /// The auth thread's verdict.
    Auth(AuthAnswer),
    /// To a `Directory` request.
    Directory(DirectoryAnswer),
}
