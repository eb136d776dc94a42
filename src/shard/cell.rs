//! An account with what the engine keeps beside it: its mailbox, and why it waits.

use std::collections::VecDeque;

use smallvec::SmallVec;

use crate::actor::groups::Membership;
use crate::actor::{Kept, Loaded, Origin, Tell, Ticket};
use crate::base::{ActorKey, Now, SessionId, Spares, StreamKey, limits};
use crate::im::acks::Unacked;
use crate::im::{Account, Progress};
use crate::jid::Jid;
use crate::stanza::{Kind, Newcomer, Stanza};

use super::aside::Aside;
use super::held::Held;
use super::outside::Outside;
use super::trim::Trim;

/// A resident account.
pub(super) struct Cell {
    pub account: Account,
    pub mailbox: Mailbox,
    /// Requests that left the mailbox, in the order in which they did.
    pub asides: Vec<Aside>,
    /// Emptyings of its archive that failed, how far they had come, and the sessions that may call them off.
    pub emptyings_failed: Vec<(SessionId, Progress)>,
    /// What left the mailbox until a directory has answered; none if nothing did.
    pub outside: Option<Box<Outside>>,
    /// The head of the mailbox waits for this.
    pub parked: Option<Ticket>,
    /// The head of the mailbox was run and waits to be durable.
    pub held: Option<Box<Held>>,
    /// The oldest messages of its archive are read, to be removed.
    pub trim: Option<Trim>,
    /// Rows fetched for the turn of the mailbox's head, and how often it ran.
    pub loaded: Vec<Loaded>,
    pub runs: u8,
    /// Streams of its own that were not read further because the mailbox was full.
    pub paused: SmallVec<[StreamKey; 2]>,
    /// When it last had anything to do, on the monotonic clock.
    pub used_at_ms: u64,
    /// Its earliest deadline for which the shard will wake.
    pub armed_for_ms: u64,
    /// Panics of its turns: how many, and since when on the monotonic clock.
    pub panics: u8,
    pub panicked_at_ms: u64,
    /// Bytes of its queues that the worker's load was last told of.
    pub counted_bytes: usize,
    /// To whom on this worker it sent last: to whom one has just written, one mostly writes again.
    pub wrote_to: ActorKey,
    /// It stands in the queue of accounts with work.
    pub is_ready: bool,
}

/// What the allocator gives for a little less; the next size is 64 bytes more for each account.
const _: () = assert!(size_of::<Cell>() <= 448);

/// Strictly first in, first out.
#[derive(Default)]
pub(super) struct Mailbox {
    queue: VecDeque<Mail>,
    own: u32,
    foreign: usize,
    foreign_bytes: usize,
    /// Of them IQ requests.
    requests: usize,
    bytes: usize,
    leftovers: u32,
}

/// What an account is told.
pub(super) enum Mail {
    /// A session's client sent it. `origin` is there when the client counts (XEP-0198).
    Outbound {
        session: SessionId,
        stanza: Stanza,
        origin: Option<Origin>,
    },
    /// It came for this account.
    Inbound {
        stanza: Stanza,
        settle: Option<Origin>,
        /// The row in which its sender keeps it until this account has done with it.
        tell: Option<Tell>,
    },
    /// A tell of this account that was not confirmed.
    Retell { stanza: Stanza, tell: Tell },
    /// A session is over.
    Ended(SessionId),
    /// A session that is over did not acknowledge it.
    Leftover(Unacked),
    /// The account was there in the groups of its host, and is elsewhere now.
    Regrouped(Box<Membership>),
    /// Beside the mailbox only: whoever asked for the archive to be emptied is gone, and it is emptied all the same.
    Emptying,
}

impl Cell {
    pub fn new(now: Now, account: Account) -> Cell {
        Cell {
            account,
            mailbox: Mailbox::default(),
            asides: Vec::new(),
            emptyings_failed: Vec::new(),
            outside: None,
            parked: None,
            held: None,
            trim: None,
            loaded: Vec::new(),
            runs: 0,
            paused: SmallVec::new(),
            used_at_ms: now.mono_ms,
            armed_for_ms: u64::MAX,
            panics: 0,
            panicked_at_ms: 0,
            counted_bytes: 0,
            wrote_to: ActorKey::default(),
            is_ready: false,
        }
    }

    /// Bytes that wait in its mailbox, beside it, and in its sessions' own queues.
    pub fn queued_bytes(&self) -> usize {
        let sessions = self.account.sessions.iter();
        let held = sessions
            .map(|session| session.queued_bytes())
            .sum::<usize>();
        let beside = self.asides.iter().map(|aside| aside.mail.charge());
        let outside = self.outside.as_ref().map_or(0, |outside| outside.charge());
        self.mailbox.bytes + beside.sum::<usize>() + outside + held
    }

    /// As [`StreamState::glance`](crate::stream::StreamState::glance).
    pub fn glance(&self) -> usize {
        let waits = self.waits() ^ self.outside.is_some() ^ self.trim.is_some() ^ self.is_ready;
        let lists =
            self.asides.len() ^ self.loaded.len() ^ self.paused.len() ^ usize::from(self.runs);
        let times = self.used_at_ms ^ self.armed_for_ms ^ self.panicked_at_ms;
        let mailbox = self.mailbox.bytes ^ self.mailbox.foreign_bytes ^ self.mailbox.queue.len();
        lists
            ^ mailbox
            ^ self.counted_bytes
            ^ times as usize
            ^ self.account.glance()
            ^ usize::from(waits)
    }

    /// Nothing keeps it resident but the hope that it is needed again.
    pub fn is_idle(&self) -> bool {
        self.account.sessions.is_empty()
            && self.mailbox.is_empty()
            && self.asides.is_empty()
            && self.outside.is_none()
            && !self.waits()
    }

    /// The head of the mailbox waits for the store.
    pub fn waits(&self) -> bool {
        self.parked.is_some() || self.held.is_some()
    }
}

impl Mailbox {
    pub fn push(&mut self, mail: Mail) {
        self.count(&mail);
        self.queue.push_back(mail);
    }

    /// Before everything else: what was there already, and left for a while.
    pub fn push_front(&mut self, mail: Mail) {
        self.count(&mail);
        self.queue.push_front(mail);
    }

    fn count(&mut self, mail: &Mail) {
        self.bytes += mail.charge();
        match mail {
            Mail::Outbound { .. } => self.own += 1,
            Mail::Inbound { stanza, .. } => {
                self.foreign += 1;
                self.foreign_bytes += stanza.charge();
                self.requests += usize::from(stanza.is_request());
            }
            Mail::Leftover(_) => self.leftovers += 1,
            Mail::Ended(_) | Mail::Regrouped(_) | Mail::Retell { .. } | Mail::Emptying => {}
        }
    }

    pub fn front(&self) -> Option<&Mail> {
        self.queue.front()
    }

    pub fn pop(&mut self, spares: &mut Spares<Mail>) -> Option<Mail> {
        let mail = self.queue.pop_front()?;
        self.forget(&mail);
        spares.take_back(&mut self.queue);
        Some(mail)
    }

    /// Before [`Mailbox::push`]: with memory that another has left, if there is any.
    pub fn borrow_queue(&mut self, spares: &mut Spares<Mail>) {
        spares.lend(&mut self.queue);
    }

    /// What leftovers are owed.
    pub fn leftovers(&self) -> impl Iterator<Item = &Kept> {
        self.leftovers_whole().filter_map(|held| held.kept.as_ref())
    }

    /// Leftovers, with what is owed and what not.
    pub fn leftovers_whole(&self) -> impl Iterator<Item = &Unacked> {
        // Most boxes hold none, and need no look.
        let queue = (self.leftovers > 0).then_some(&self.queue);
        queue.into_iter().flatten().filter_map(|mail| match mail {
            Mail::Leftover(held) => Some(held),
            _ => None,
        })
    }

    /// What they are owed, for changes that another holder causes.
    pub fn leftovers_mut(&mut self) -> impl Iterator<Item = &mut Option<Kept>> {
        let queue = (self.leftovers > 0).then_some(&mut self.queue);
        queue.into_iter().flatten().filter_map(|mail| match mail {
            Mail::Leftover(held) => Some(&mut held.kept),
            _ => None,
        })
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes out the presence that `newcomer` makes void. The head stays: its turn may be under way.
    pub fn coalesce(&mut self, newcomer: &Newcomer<'_>) -> Vec<Mail> {
        let is_void =
            |mail: &Mail| matches!(mail, Mail::Inbound { stanza, .. } if newcomer.replaces(stanza));
        let at = (1..self.queue.len()).filter(|&at| is_void(&self.queue[at]));
        let at: Vec<usize> = at.collect();
        let gone = at.into_iter().rev().filter_map(|at| self.queue.remove(at));
        let gone: Vec<Mail> = gone.collect();
        for mail in &gone {
            self.forget(mail);
        }
        gone
    }

    fn forget(&mut self, mail: &Mail) {
        self.bytes -= mail.charge();
        match mail {
            Mail::Outbound { .. } => self.own -= 1,
            Mail::Inbound { stanza, .. } => {
                self.foreign -= 1;
                self.foreign_bytes -= stanza.charge();
                self.requests -= usize::from(stanza.is_request());
            }
            Mail::Leftover(_) => self.leftovers -= 1,
            Mail::Ended(_) | Mail::Regrouped(_) | Mail::Retell { .. } | Mail::Emptying => {}
        }
    }

    /// How many stanzas of the account's own clients, and how many of others, wait.
    pub fn counts(&self) -> (usize, usize) {
        (self.own as usize, self.foreign)
    }

    /// How many requests of others wait.
    pub fn requests(&self) -> usize {
        self.requests
    }

    /// Bytes of what came from elsewhere.
    pub fn foreign_bytes(&self) -> usize {
        self.foreign_bytes
    }

    /// The account's own clients shall not be read further.
    pub fn is_full_of_own(&self) -> bool {
        self.own as usize >= limits::MAILBOX_OWN_COUNT_MAX
    }

    /// Presence from elsewhere coalesces, the rest of it bounces. An account waits for its rows for milliseconds, and
    /// in that time more may be said to it than a thousand messages: they are as many as their bytes allow.
    pub fn is_full_for(&self, kind: Kind) -> bool {
        self.holds_times(kind, 1)
    }

    /// It holds so many times the bound for what comes from elsewhere. Up to twice contacts' presence gets in, up to
    /// three times what is told and what answers.
    pub fn holds_times(&self, kind: Kind, times: usize) -> bool {
        let is_crowded =
            kind == Kind::Presence && self.foreign >= limits::MAILBOX_COUNT_MAX * times;
        is_crowded || self.foreign_bytes >= limits::MAILBOX_BYTES_MAX * times
    }
}

impl Mail {
    /// Bytes that it holds while it waits.
    pub fn charge(&self) -> usize {
        match self {
            Mail::Outbound { stanza, .. }
            | Mail::Inbound { stanza, .. }
            | Mail::Retell { stanza, .. } => stanza.charge(),
            Mail::Leftover(held) => held.stanza.charge(),
            Mail::Ended(_) | Mail::Regrouped(_) | Mail::Emptying => 0,
        }
    }

    /// The account's own session that sent it.
    pub(super) fn sender(&self) -> Option<SessionId> {
        match self {
            Mail::Outbound { session, .. } => Some(*session),
            Mail::Inbound { .. }
            | Mail::Retell { .. }
            | Mail::Ended(_)
            | Mail::Leftover(_)
            | Mail::Regrouped(_)
            | Mail::Emptying => None,
        }
    }

    /// Who waits for the fate of what this mail carries.
    pub(super) fn settles(&self) -> Option<Origin> {
        match self {
            Mail::Outbound { origin, .. } => *origin,
            Mail::Inbound { settle, .. } => *settle,
            Mail::Retell { .. }
            | Mail::Ended(_)
            | Mail::Leftover(_)
            | Mail::Regrouped(_)
            | Mail::Emptying => None,
        }
    }

    /// Whom to tell that this mail is done with, and under which number they know it.
    pub(super) fn tells(&self) -> Option<(Jid, Tell)> {
        match self {
            Mail::Inbound { stanza, tell, .. } => stanza.header.from.clone().zip(*tell),
            _ => None,
        }
    }
}
