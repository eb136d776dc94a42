//! Rows: what the core knows of a store. A table is a name and a durability; a key is bytes that sort.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

/// A kind of row, declared once as a constant beside the code that owns it.
#[derive(Debug)]
pub struct Table {
    /// The keyspace's name on disk; never changed without a migration.
    pub name: &'static str,
    /// When effects may go out, relative to the commit.
    pub durability: Durability,
    /// How an account's rows leave with it (XEP-0227).
    pub export: Export,
    /// Whether rows of different times are kept apart.
    pub slices: Slices,
    /// One sentence for the operator's manual: what the rows are and how keys are built.
    pub about: &'static str,
}

/// When the effects of a turn may go out, relative to the commit of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Effects are held, and the mailbox is parked, until the rows are durable.
    BeforeReply,
    /// Effects go at once; the stanza's settlement follows the commit (DESIGN section 20).
    Soon,
}

/// Whether a table is kept in one piece on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slices {
    /// One piece.
    Whole,
    /// One piece for each month, so that old months are dropped whole ([`crate::base::Month`]). Eight
    /// bytes of a key, from this one on, are a number by time ([`crate::base::Sequence`]). A range within one prefix
    /// of that length is in key order; one over several prefixes comes month by month.
    Monthly { number_at: usize },
}

/// What an export (XEP-0227) makes of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// Leaves with the account to which the key's first eight bytes belong.
    WithAccount,
    /// Goes when the account goes, like [`Export::WithAccount`], but is made anew from its other rows.
    Derived,
    /// Leaves like [`Export::WithAccount`], but stays when the account is removed: what it still has to say is said
    /// without it.
    Outlives,
    /// Means nothing outside this server.
    Never,
}

/// A key: bytes whose order is the order of the rows. Numbers go in big-endian.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey(SmallVec<[u8; 24]>);

impl RowKey {
    /// A key of these bytes.
    pub fn new(bytes: &[u8]) -> RowKey {
        RowKey(SmallVec::from_slice(bytes))
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// This key with `bytes` appended.
    pub fn then(mut self, bytes: &[u8]) -> RowKey {
        self.0.extend_from_slice(bytes);
        self
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Rows with `from <= key < to`, in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowRange {
    /// First key that belongs.
    pub from: RowKey,
    /// First key that no longer belongs.
    pub to: RowKey,
    /// Most rows in one answer.
    pub count_max: usize,
    /// Most bytes of values in one answer; one row is returned even if it alone is larger.
    pub bytes_max: usize,
}

/// A choice of rows other than the first ones of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Rows of a range from its end: the last one first.
    Last(RowRange),
    /// The keys of a range from its beginning, with empty values: what counts rows reads none of their text.
    Keys(RowRange),
    /// The rows of these keys, in the order of the keys; those that do not exist are left out. Ends early, as a
    /// range does, when there are more bytes than [`crate::base::limits::RANGE_BYTES_MAX`].
    Rows(Vec<RowKey>),
}

/// Rows some of which stand for rows of another table: of one whose value begins with `mark`, the value of the row
/// under the same key in `with` is appended to the answer, if there is such a row.
#[derive(Clone, Copy, Debug)]
pub struct Join {
    pub with: &'static Table,
    pub mark: u8,
}

/// What a read must have seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// Whatever is committed.
    None,
    /// Every write that the same worker saved before it asked.
    AfterSaves,
}

/// One row as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub key: RowKey,
    pub value: Vec<u8>,
}

/// A change to one row. The writes of one `Save` are atomic.
#[derive(Clone, Debug)]
pub enum Write {
    /// Inserts or replaces.
    Put {
        table: &'static Table,
        key: RowKey,
        value: Arc<[u8]>,
    },
    /// Removes; removing what is not there is no error.
    Delete { table: &'static Table, key: RowKey },
    /// Replaces a row that is there; where there is none, or none any more, it does nothing. For who writes what another
    /// may remove meanwhile. Bytes of the row that stay as they are: `keeps`, if both rows are so long.
    Replace {
        table: &'static Table,
        key: RowKey,
        value: Arc<[u8]>,
        keeps: Range<usize>,
    },
}

impl Write {
    /// The table that it changes.
    pub fn table(&self) -> &'static Table {
        match self {
            Write::Put { table, .. }
            | Write::Delete { table, .. }
            | Write::Replace { table, .. } => table,
        }
    }
}

/// Why the store did not do what was asked. Users hear `resource-constraint` or
/// `internal-server-error`; the operator reads the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The disk failed to read or write.
    Broken,
    /// No space is left: writes are refused until there is some, reads go on.
    DiskFull,
    /// The worker's share of outstanding requests is used up.
    Overloaded,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StoreError::Broken => "the store could not read or write its files",
            StoreError::DiskFull => "the disk is full",
            StoreError::Overloaded => "too many requests to the store are outstanding",
        })
    }
}
