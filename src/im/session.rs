//! A bound resource. It outlives its stream when the client enabled resumption (XEP-0198).

use std::collections::BTreeSet;
use std::sync::Weak;

use crate::actor::Kept;
use crate::base::{Generation, SessionId, StreamKey, Uuid, limits};
use crate::config::Config;
use crate::jid::Jid;
use crate::stanza::{Info, Sender, Stanza};

use super::acks::{Acks, Bounds, Fill, Unacked};
use super::flood::{Flood, Senders};
use super::inactive::Inactive;

/// A bound resource of an account.
pub struct Session {
    pub id: SessionId,
    /// The full JID.
    pub jid: Jid,
    /// The stream that carries it; none while it waits to be resumed.
    pub stream: Option<StreamKey>,
    /// The client installation that it belongs to, if its login said so (XEP-0388 section 2.2). Nobody else is told.
    pub user_agent: Option<Uuid>,
    /// Of which generation the account was when its client proved who it is, the last time.
    pub generation: Generation,
    /// The last available presence; none before the first and after `unavailable`.
    pub presence: Option<Stanza>,
    /// What its client can do (XEP-0115), as its presence says and as far as this worker knows it.
    pub capabilities: Weak<Info>,
    /// RFC 6121 section 4.7.2.3; 0 unless the presence says otherwise.
    pub priority: i8,
    /// Its stream is encrypted.
    pub secured: bool,
    /// XEP-0280: copies are wanted.
    pub carbons: bool,
    /// It asked for the roster and wants roster pushes (RFC 6121 section 2.2).
    pub interested: bool,
    /// The digest of what its client has seen of the lists of the directory: not every change is told.
    pub lists_seen: u64,
    /// It asked for the blocklist and wants pushes of its changes (XEP-0191).
    pub watches_blocklist: bool,
    /// Bare and full JIDs that got directed presence (RFC 6121 section 4.6) and are owed `unavailable`.
    pub directed: BTreeSet<Jid>,
    /// XEP-0198, once enabled.
    pub acks: Option<Box<Acks>>,
    /// Its client said that nobody looks at it (XEP-0352).
    pub inactive: Option<Box<Inactive>>,
    /// Kept messages on their way to it.
    pub flood: Option<Box<Flood>>,
    /// Number of the first message that was kept, while it could not be taken, behind what the flood reads now: from there
    /// it is owed. Whoever sets it begins a flood if there is none.
    pub missed: Option<u64>,
    /// Who sent what is kept for it and has yet to be read.
    pub kept_from: Option<Box<Senders>>,
    /// What was being written without being counted (XEP-0198) when the connection was lost: who resumes has it, for it
    /// went ahead of `<enabled/>`.
    pub unsure: Vec<Option<Kept>>,
    /// When a detached session ends, on the monotonic clock.
    pub ends_at_ms: Option<u64>,
    /// It is over: nothing is delivered to it any more, its last turn is waiting in the mailbox.
    pub ended: bool,
    /// Its owner, or the operator, has thrown it out: of what it sent and nobody has read yet nothing is done.
    pub revoked: bool,
}

impl Session {
    /// As [`StreamState::glance`](crate::stream::StreamState::glance).
    pub fn glance(&self) -> usize {
        let has = self.acks.is_some()
            ^ self.inactive.is_some()
            ^ self.flood.is_some()
            ^ self.presence.is_some();
        let flags = self.ended
            ^ self.revoked
            ^ self.carbons
            ^ self.missed.is_some()
            ^ self.ends_at_ms.is_some();
        let text = self.jid.as_str().as_bytes().first().copied();
        let sizes = self.unsure.len() ^ self.directed.len() ^ self.priority as usize;
        sizes ^ usize::from(has ^ flags) ^ usize::from(text.unwrap_or_default())
    }

    /// A session on `stream`, with no presence yet.
    pub fn new(id: SessionId, jid: Jid, stream: StreamKey) -> Session {
        Session {
            id,
            jid,
            stream: Some(stream),
            user_agent: None,
            generation: Generation::default(),
            presence: None,
            capabilities: Weak::new(),
            priority: 0,
            secured: false,
            carbons: false,
            interested: false,
            lists_seen: 0,
            watches_blocklist: false,
            directed: BTreeSet::new(),
            acks: None,
            inactive: None,
            flood: None,
            missed: None,
            kept_from: None,
            unsure: Vec::new(),
            ends_at_ms: None,
            ended: false,
            revoked: false,
        }
    }

    /// It has sent initial presence and is not over.
    pub fn is_available(&self) -> bool {
        self.presence.is_some() && !self.ended
    }

    /// RFC 6121 section 8.5.2.1.1: "the server MUST NOT deliver the stanza to any available resource
    /// with a negative priority". A session whose client has not acknowledged for so long that its queue
    /// is full takes nothing more either of what can be kept for its return.
    pub fn takes_messages(&self) -> bool {
        self.is_willing() && !self.is_full()
    }

    /// It takes messages whenever it has room for them.
    pub fn is_willing(&self) -> bool {
        self.is_available() && self.priority >= 0
    }

    /// The name of its client's software, if its capabilities are known and say so.
    pub fn software(&self) -> Option<String> {
        let info = self.capabilities.upgrade()?;
        let client = info.identities.iter().find(|it| it.category == "client")?;
        Some(client.name.to_string()).filter(|name| !name.is_empty())
    }

    /// What its client has yet to get and this session holds; more of it may be in its stream.
    pub fn kept(&self) -> impl Iterator<Item = &Kept> {
        let unacked = self.acks.iter().flat_map(|acks| acks.unacked());
        let backlog = self.flood.iter().flat_map(|flood| flood.backlog());
        let waiting = self.inactive.iter().flat_map(|inactive| inactive.held());
        let unacked = unacked.filter_map(|held| held.kept.as_ref());
        let backlog = backlog.chain(waiting);
        let backlog = backlog.filter_map(|delivery| delivery.kept.as_ref());
        unacked.chain(backlog).chain(self.unsure.iter().flatten())
    }

    /// What it holds whole, and what of it is owed; more of it may be in its stream.
    pub fn held(&self) -> impl Iterator<Item = (Option<Kept>, &Stanza)> {
        let unacked = self.acks.iter().flat_map(|acks| acks.unacked());
        let unacked = unacked.map(|held| (held.kept, &held.stanza));
        let backlog = self.flood.iter().flat_map(|flood| flood.backlog());
        let waiting = self.inactive.iter().flat_map(|inactive| inactive.held());
        let deliveries = backlog.chain(waiting);
        unacked.chain(deliveries.map(|delivery| (delivery.kept, &delivery.stanza)))
    }

    /// What it is owed, for changes that another holder causes.
    pub fn kept_mut(&mut self) -> impl Iterator<Item = &mut Option<Kept>> {
        let unacked = self.acks.iter_mut().flat_map(|acks| acks.kept_mut());
        let backlog = self.flood.iter_mut().flat_map(|flood| flood.kept_mut());
        let waiting = self.inactive.iter_mut();
        let waiting = waiting.flat_map(|inactive| inactive.kept_mut());
        unacked
            .chain(backlog)
            .chain(waiting)
            .chain(&mut self.unsure)
    }

    /// Whether a cursor over what is stored brings it this message, or will.
    pub fn will_read(&self, kept: Kept) -> bool {
        let flood = self.flood.as_ref();
        let is_ahead = flood.is_some_and(|flood| (flood.next..flood.end).contains(&kept.number));
        let is_missed = self.missed.is_some_and(|first| first <= kept.number);
        kept.is_stored && (is_ahead || is_missed)
    }

    /// What is stored from this number on is due to it, once it has room.
    pub fn owe(&mut self, first: u64) {
        self.missed = Some(self.missed.map_or(first, |missed| missed.min(first)));
    }

    /// Whether what was meant for another fits in besides what this session gets itself: as much as a cursor puts in.
    pub fn has_room(&self) -> bool {
        let room = self.acks.as_ref().map(|acks| acks.cursor_room());
        self.takes_messages() && room.is_none_or(|(count, bytes)| count > 0 && bytes > 0)
    }

    /// What this sender is to it, for presence that waits. Rooms are of other domains than users: who marks his own
    /// presence as a room's is none.
    pub fn sender(&self, config: &Config, from: Option<&Jid>) -> Sender {
        let is_room = |from: &Jid| {
            let bare = from.bare_str();
            config.host(from.domainpart()).is_none()
                && self.directed.iter().any(|to| to.bare_str() == bare)
        };
        match !self.directed.is_empty() && from.is_some_and(is_room) {
            true => Sender::Joined,
            false => Sender::Other,
        }
    }

    /// Whether this address has its directed presence.
    pub fn has_told(&self, asker: &Jid) -> bool {
        !self.directed.is_empty()
            && (self.directed.contains(asker) || self.directed.contains(asker.bare_str()))
    }

    /// Bytes that wait for its client's acknowledgement, or behind its flood.
    pub fn queued_bytes(&self) -> usize {
        let unacked = self.acks.as_ref().map_or(0, |acks| acks.unacked_bytes());
        let waiting = self
            .inactive
            .as_ref()
            .map_or(0, |inactive| inactive.bytes());
        unacked + waiting + self.flood.as_ref().map_or(0, |flood| flood.backlog_bytes())
    }

    /// XEP-0352 section 5.2: the state "always defaults to 'active' for new and resumed streams". What waited is held for
    /// whoever resumes the session, like everything else that it has not acknowledged.
    pub fn forget_state(&mut self, wall_ms: u64) {
        let Some(acks) = &mut self.acks else {
            return;
        };
        let inactive = self.inactive.take().into_iter();
        for delivery in inactive.flat_map(|inactive| inactive.into_held()) {
            acks.sent(Unacked {
                stanza: delivery.stanza,
                kept: delivery.kept,
                wall_ms,
                is_answered: false,
            });
        }
    }

    /// The queue of unacknowledged stanzas, or that behind the cursor, has reached its bound.
    pub fn is_full(&self) -> bool {
        let flood = self.flood.as_ref();
        self.acks.as_deref().is_some_and(Acks::is_full)
            || flood.is_some_and(|flood| flood.fill(self.backlog_bounds()) > Fill::Room)
    }

    /// How much may wait behind a cursor.
    pub fn backlog_bounds(&self) -> Bounds {
        let acks = self.acks.as_deref();
        acks.map_or(BACKLOG_BOUNDS, Acks::backlog_bounds)
    }

    /// Whether something of this sender waits behind a cursor or is kept for it, so that what it says next has to wait.
    pub fn holds_from(&self, sender: Option<&Jid>) -> bool {
        let flood = self.flood.as_ref();
        flood.is_some_and(|flood| flood.holds_from(sender))
            || self.kept_from.as_deref().is_some_and(|kept_from| {
                sender.is_some_and(|sender| kept_from.has(sender, &self.jid))
            })
    }
}

/// What may wait behind a cursor for a client that acknowledges nothing.
const BACKLOG_BOUNDS: Bounds = Bounds {
    count_max: usize::MAX,
    bytes_max: limits::OUTBOUND_SOFT_BYTES,
};
