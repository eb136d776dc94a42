//! Everything that can happen to a shard, on one screen. The shell says it in values; a shard never asks.

// The type of addresses alone: nothing here opens anything.
use core::net::IpAddr;
use std::sync::Arc;

use crate::actor::auth::AccountRef;
use crate::actor::groups::Groups;
use crate::actor::{Answer, Ticket};
use crate::base::{AccountId, AddressPrefix, WorkerId};
use crate::config::Config;
use crate::jid::Jid;
use crate::stream::{StreamKey, TlsFacts};

use super::mesh::Batch;

/// What happened. `Shard::handle` says how many bytes it took, which is 0 for all but `Bytes` and `Spent`.
#[derive(Debug)]
pub enum Input<'a> {
    /// Plaintext from the peer (after TLS and decompression). What is not taken is offered again, with
    /// whatever came behind it, after the shard has said [`super::Output::Resume`].
    Bytes(StreamKey, &'a [u8]),
    /// The TLS handshake that [`super::Output::StartTls`] asked for is complete.
    Secured(StreamKey, Box<TlsFacts>),
    /// The codec that [`super::Output::Compress`] asked for is ready: what comes from now on was compressed.
    Compressed(StreamKey),
    /// So many compressed bytes were read beyond those that they became: they count against the stream's rate. If they are
    /// not taken, nothing more is to be read before [`super::Output::Resume`].
    Spent(StreamKey, usize),
    /// What came cannot be decompressed, or swells too much; nothing more will be read.
    Garbled(StreamKey),
    /// Every byte rendered so far is in the socket: more may be rendered, and what needs no other
    /// acknowledgement counts as delivered.
    Written(StreamKey),
    /// The connection is gone, whoever closed it. The key is dead from here on.
    Closed(StreamKey, CloseReason),
    /// A batch from another worker; batches of one worker come in the order it made them.
    Mesh(Batch),
    /// A service thread answered.
    Answer(Ticket, Answer),
    /// An order from the administrator.
    Control(Control),
    /// What clients send waits so many milliseconds, or has waited for so long, until this worker reads it. To be said before
    /// the end of every turn of the loop. A stall of everything is none of it: only who comes to nothing for want of time says so.
    Waited(u64),
    /// A deadline has passed, or the loop merely turned.
    Tick,
}

/// A connection was accepted.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Index of the listener in the configuration under which it was accepted.
    pub listener: usize,
    /// What an attacker can hold cheaply counts as one address.
    pub prefix: AddressPrefix,
    /// The peer's address, or what a proxy says is; none where there are no addresses.
    pub address: Option<IpAddr>,
    /// The peer's address as text, for audit and log only.
    pub peer: Arc<str>,
    /// The listener speaks direct TLS: facts of the completed handshake.
    pub secured: Option<Box<TlsFacts>>,
    /// How long it has stood before the door, because the shard did not admit anybody ([`super::Shard::admits`]).
    pub waited_ms: u64,
}

/// Why a connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The shard asked for it.
    Asked,
    /// The peer closed its half.
    EndOfStream,
    /// The operating system reported an error, or the peer a reset.
    Failed,
    /// The TLS handshake failed or took too long.
    Handshake,
}

/// An order from the administrator, copied to every worker.
#[derive(Clone, Debug)]
pub enum Control {
    /// From now on this is the configuration.
    Reconfigure(Arc<Config>),
    /// Close every stream with `system-shutdown` (or `see-other-host` where configured); sessions end.
    Drain,
    /// The account was removed or disabled, and its sessions end (`reset`); or it has a new password, or has lost its tokens,
    /// and is this from now on: those end that have proved what it was before. With when that was, on the monotonic clock: a
    /// worker may hear of it late, and whoever began to log in behind it has proved what the account is now.
    Disconnect(Jid, Option<AccountRef>, u64),
    /// The directory of a host says this of its people from now on; nothing any more if it is none.
    Groups(Arc<str>, Option<Arc<Groups>>),
    /// All workers have been told that of this host: what follows may begin.
    GroupsTold(Arc<str>),
    /// An account was removed: its contacts are told what it left for them ([`crate::im::outgoing`]).
    TellOf(AccountId),
}

/// Which worker a shard is, and how many there are.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// This worker.
    pub worker: WorkerId,
    /// Number of workers of this node, at least 1.
    pub worker_count: u8,
}
