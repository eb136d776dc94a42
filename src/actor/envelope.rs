//! What travels between homes, on one worker or over the mesh.

use crate::base::{AccountId, ActorKey, SessionId, WorkerId};
use crate::jid::{Jid, JidList};
use crate::stanza::Stanza;

/// One thing for one home.
#[derive(Clone, Debug)]
pub enum Envelope {
    /// A stanza for the home of its `to` address. `settle` is set when its sender's client counts on an
    /// acknowledgement (XEP-0198): whoever makes the promise durable sends [`Envelope::Settled`] back.
    Stanza {
        stanza: Stanza,
        settle: Option<Origin>,
    },
    /// The same presence for each of these, whose homes are anywhere. Accounts on this server that nobody uses do
    /// not get it.
    Group { stanza: Stanza, to: JidList },
    /// What this stanza promised is durable, or its sender was told otherwise (DESIGN section 20).
    Settled(Origin),
    /// A stanza that changes state at the home of its `to` address. It has a row in the table of outgoing tells
    /// until [`Envelope::Told`] comes back.
    Tell { stanza: Stanza, tell: Tell },
    /// A tell that was not confirmed, for the home of its `from` address, which knows whether it still stands.
    Retell { stanza: Stanza, tell: Tell },
    /// An owner has begun to empty the archive of this account, and it is not done: for the owner's home. What is numbered
    /// before `until` goes.
    Empty {
        owner: Jid,
        account: AccountId,
        until: u64,
    },
    /// What the tell changes is durable there, or it changes nothing: the row may go.
    Told { home: WorkerId, tell: Tell },
}

/// Where a stanza entered: the session of its sender and the stanza's number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub worker: WorkerId,
    pub actor: ActorKey,
    pub session: SessionId,
    /// Counts the session's inbound stanzas as XEP-0198 does, modulo 2^32; the first is 1.
    pub sequence: u32,
}

/// The row of an outgoing tell: whose it is, and its number by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tell {
    pub account: AccountId,
    pub number: u64,
    /// The number of the tell that it answers; 0 if it answers none that is known.
    pub answers: u64,
}
