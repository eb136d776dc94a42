//! What a turn causes, as values: carried out by the engine after the last stage, in the order in which
//! they were written; dropped when the run stops short.

use super::audit::AuditEvent;
use super::envelope::{Envelope, Origin, Tell};
use super::rows::Write;
use super::turn::Actor;
use crate::base::SessionId;
use crate::stanza::Stanza;

/// The effects of one turn.
pub struct Effects<A: Actor> {
    pub change: Vec<A::Change>,
    /// To the homes of their `to` addresses.
    pub send: Vec<Envelope>,
    /// To sessions of this account.
    pub deliver: Vec<Delivery>,
    pub write: Vec<Write>,
    pub audit: Vec<AuditEvent>,
    /// A request that left the mailbox is not answered yet: its next step begins here.
    pub more: Option<A::Progress>,
    /// No effect: memory in which a row is written before it is known how long it is.
    pub scratch: Vec<u8>,
}

/// A stanza on its way to one session.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub session: SessionId,
    pub stanza: Stanza,
    /// What it is owed; none when nobody misses it should it be lost with its session.
    pub kept: Option<Kept>,
}

/// A message that some client of the account must get. Whoever holds it for a client carries this along; the
/// last holder that ends without that client's acknowledgement finds it another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Given when the message came: its name and its place in the order of its account's messages.
    pub number: u64,
    /// It has a row under this number, which goes when a client has the message (DESIGN section 20).
    pub is_stored: bool,
    /// Others may hold it, too: they are told when a client has it.
    pub is_shared: bool,
}

impl<A: Actor> Effects<A> {
    /// No effects.
    pub fn new() -> Effects<A> {
        Effects {
            change: Vec::new(),
            send: Vec::new(),
            deliver: Vec::new(),
            write: Vec::new(),
            scratch: Vec::new(),
            audit: Vec::new(),
            more: None,
        }
    }

    /// Forgets what an unfinished run wrote.
    pub fn clear(&mut self) {
        self.change.clear();
        self.send.clear();
        self.deliver.clear();
        self.write.clear();
        self.audit.clear();
        self.more = None;
    }

    /// Routes a stanza that answers, or is caused by, the one in hand; nobody waits for its fate.
    pub fn send(&mut self, stanza: Stanza) {
        self.send.push(Envelope::Stanza {
            stanza,
            settle: None,
        });
    }

    /// Routes the client's own stanza: whoever takes it settles it.
    pub fn route(&mut self, stanza: Stanza, settle: Option<Origin>) {
        self.send.push(Envelope::Stanza { stanza, settle });
    }

    /// Ends a step of a request that left the mailbox: the next one begins at `progress`, when the stream of who
    /// asked has room.
    pub fn go_on(&mut self, progress: A::Progress) {
        self.more = Some(progress);
    }

    /// Routes a stanza that changes state where it goes; its row is among this turn's writes.
    pub fn tell(&mut self, stanza: Stanza, tell: Tell) {
        self.send.push(Envelope::Tell { stanza, tell });
    }

    /// Delivers to one session of this account, without keeping it for its return.
    pub fn deliver(&mut self, session: SessionId, stanza: Stanza) {
        self.deliver.push(Delivery {
            session,
            stanza,
            kept: None,
        });
    }
}

impl<A: Actor> Default for Effects<A> {
    fn default() -> Effects<A> {
        Effects::new()
    }
}
