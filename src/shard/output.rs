//! Everything that a shard can want, on one screen. The shell drains it to `None` after every input.

use crate::actor::Ticket;
use crate::actor::audit::AuditEvent;
use crate::actor::auth::AuthAsk;
use crate::actor::directory::DirectoryAsk;
use crate::actor::rows::{Fence, Join, Pick, RowKey, RowRange, Table, Write};
use crate::base::WorkerId;
use crate::config::Dictionary;
use crate::stream::{StreamKey, StreamState};

/// What the shell shall do. Envelopes for other workers are not listed: they collect in an outbox per
/// worker, which the shell empties once per turn of its loop.
#[derive(Debug)]
pub enum Output {
    /// The stream has something to render: call `Shard::render` before the loop sleeps.
    Flush(StreamKey),
    /// Render and write what is left in plaintext, drop every byte read but not taken (STARTTLS
    /// injection), then begin the handshake.
    StartTls(StreamKey),
    /// Render and write what is left as it is, drop every byte read but not taken, then compress in both directions and say
    /// `Input::Compressed`.
    Compress(StreamKey, Codec),
    /// The stream takes bytes again: offer what was not taken.
    Resume(StreamKey),
    /// Render and write what is left, close the connection, then say `Input::Closed`. Nothing more is
    /// read from it.
    Close(StreamKey),
    /// What was offered last held a password: zero it where it was read, and on its way there.
    Wipe,
    /// The client has logged in: its address may send another stranger.
    Proved(StreamKey),
    /// The account's home is another worker: move the connection there, with its unread bytes. The key is
    /// dead here; `Shard::arrive` gives a new one there.
    HandOver(WorkerId, StreamKey, Box<StreamState>),
    /// A question to a service thread; the answer comes back under the ticket.
    Ask(Ticket, Ask),
    /// A record for the audit file.
    Audit(AuditEvent),
}

/// How a stream is compressed (XEP-0138).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codec {
    pub dictionary: Dictionary,
    /// The largest element that the client may send: so much may come out of few bytes.
    pub element_bytes: u32,
}

/// A question to a service thread.
#[derive(Debug)]
pub enum Ask {
    /// One row.
    Row {
        table: &'static Table,
        key: RowKey,
        fence: Fence,
    },
    /// Some rows in key order.
    Range {
        table: &'static Table,
        range: RowRange,
        fence: Fence,
    },
    /// Some rows in key order, with what some of them stand for.
    Joined {
        table: &'static Table,
        range: RowRange,
        join: Join,
        fence: Fence,
    },
    /// A choice of rows.
    Pick {
        table: &'static Table,
        pick: Pick,
        fence: Fence,
    },
    /// Whatever was numbered before this goes, a month at a time ([`crate::actor::rows::Slices`]).
    Drop { table: &'static Table, before: u64 },
    /// Writes, atomically; answered when they are durable. Behind one of its chain that was refused, it is refused, too.
    Save {
        writes: Vec<Write>,
        chain: Option<u64>,
    },
    /// A credential to be verified.
    Auth(AuthAsk),
    /// What a directory says, or shall say.
    Directory(Box<DirectoryAsk>),
}
