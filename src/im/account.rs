//! A bare JID: who it is, its sessions, and what of it is in memory.

mod change;
mod contacts;

use std::sync::Arc;

use crate::actor::auth::AccountRef;
use crate::actor::groups::{Membership, Relation, Right};
use crate::actor::{Actor, Stop, Turn};
use crate::base::{AccountId, SessionId, limits};
use crate::jid::Jid;
use crate::stanza::{Condition, StanzaError};

use super::access::allows;
use super::archive::{Archive, Search};
use super::blocking::Blocklist;
use super::commands::CommandSessions;
use super::credentials::{self, AccountRow};
use super::origin::Origins;
use super::quota::Tally;
use super::roster::shared::standing_of;
use super::roster::{Roster, Standing};
use super::session::Session;

pub use change::Change;
pub use contacts::Contacts;

/// An account while it is resident: online, or in the middle of something.
pub struct Account {
    /// The bare JID.
    pub jid: Jid,
    /// None until somebody logged in or the row was read.
    pub identity: Option<AccountRef>,
    /// SASL ANONYMOUS: exists while it is online, nothing of it is stored.
    pub anonymous: bool,
    /// In the order in which they were bound.
    pub sessions: Vec<Session>,
    /// Messages kept for it in the store; none until they were counted.
    pub tally: Option<Box<Tally>>,
    /// What it was sent lately, by the names that the senders' clients gave it; none until somebody asked.
    pub origins: Option<Box<Origins>>,
    /// What is remembered of its archive; none until somebody asked.
    pub archive: Option<Box<Archive>>,
    /// Commands that were begun; none while nobody is in the middle of any.
    pub commands: Option<Box<CommandSessions>>,
    /// Where it is in the groups of its host's directory.
    pub membership: Membership,
    /// None also if it is empty: most robots and newcomers have nobody.
    roster: Option<Arc<Roster>>,
    freshness: Freshness,
    /// Until when the requests for subscriptions that were sent use up what may be sent, on the monotonic clock.
    pub acts_until_ms: u64,
    /// From when on requests to other servers may be sent again, on the monotonic clock.
    pub asks_again_at_ms: u64,
    /// None also if it is empty, which it mostly is.
    blocklist: Option<Arc<Blocklist>>,
    blocklist_freshness: Freshness,
    /// How many reports (XEP-0377) it has filed since when, on the monotonic clock.
    reports: (u16, u64),
}

/// How what is held of the roster or the blocklist relates to what the store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freshness {
    /// Nobody asked yet.
    Unread,
    Current,
    /// A commit was refused, or the account may be another.
    Doubtful,
}

/// How far a request came that is answered in steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is done yet.
    #[default]
    Begun,
    /// A search in the archive (XEP-0313).
    Archive(Box<Search>),
    /// Messages below number `until` are being removed from the archive of this account; so many are, and none is left below
    /// `from`.
    Erasing {
        of: AccountId,
        from: u64,
        until: u64,
        count: u64,
    },
}

impl Actor for Account {
    type Change = Change;
    type Progress = Progress;
}

impl Account {
    /// An account without sessions, not yet identified.
    pub fn new(jid: Jid) -> Account {
        Account {
            jid,
            identity: None,
            anonymous: false,
            sessions: Vec::new(),
            tally: None,
            origins: None,
            archive: None,
            commands: None,
            membership: Membership::default(),
            roster: None,
            freshness: Freshness::Unread,
            acts_until_ms: 0,
            asks_again_at_ms: 0,
            blocklist: None,
            blocklist_freshness: Freshness::Unread,
            reports: (0, 0),
        }
    }

    /// Somebody has logged in and proved to be this account, as it was then; nobody if anonymous. What is known of it since
    /// stays.
    pub fn meet(&mut self, proved: Option<AccountRef>) {
        let is_older = |proved: AccountRef| {
            let known = self.identity.filter(|known| known.id == proved.id);
            known.is_some_and(|known| proved.is_before(known))
        };
        if !proved.is_some_and(is_older) {
            self.identity = proved;
        }
    }

    /// Whether a session began, or was resumed, before the account was this.
    pub fn is_outdated(&self, session: &Session, now: AccountRef) -> bool {
        self.identity.is_none_or(|known| known.id != now.id)
            || session.generation.is_before(now.generation)
    }

    /// The session of this number.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.iter().find(|session| session.id == id)
    }

    /// As [`StreamState::glance`](crate::stream::StreamState::glance).
    pub fn glance(&self) -> usize {
        let has = self.identity.is_some()
            ^ self.archive.is_some()
            ^ self.blocklist.is_some()
            ^ self.roster.is_some();
        let text = self.jid.as_str().as_bytes().first().copied();
        let times = self.acts_until_ms ^ self.asks_again_at_ms;
        self.sessions.len()
            ^ times as usize
            ^ usize::from(has)
            ^ usize::from(text.unwrap_or_default())
    }

    /// The session of this number.
    pub fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.id == id)
    }

    /// The session of this number, and who is what to its account.
    pub fn session_and_contacts(&mut self, id: SessionId) -> Option<(&mut Session, Contacts<'_>)> {
        let session = self.sessions.iter_mut().find(|session| session.id == id)?;
        let contacts = Contacts::new(&self.jid, self.roster.as_deref(), &self.membership);
        Some((session, contacts))
    }

    /// The session bound to this resource.
    pub fn resource(&self, resourcepart: &str) -> Option<&Session> {
        self.sessions
            .iter()
            .find(|session| !session.ended && session.jid.resourcepart() == Some(resourcepart))
    }

    /// Sessions that have sent initial presence (RFC 6121 section 4.2): "available resources".
    pub fn available(&self) -> impl Iterator<Item = &Session> {
        self.sessions
            .iter()
            .filter(|session| session.is_available())
    }

    /// A commit was refused, and may be visible in the store all the same: what is held of it is read again.
    pub fn distrust(&mut self) {
        self.tally = None;
        self.origins = None;
        self.archive = None;
        self.freshness = Freshness::Doubtful;
        self.blocklist_freshness = Freshness::Doubtful;
    }

    /// What the lists of the host's directory say between the account and an address.
    pub fn relation(&self, jid: &Jid) -> Relation {
        self.contacts().relation(jid)
    }

    /// All that stands between the account, whose roster this is, and an address.
    pub fn standing(&self, roster: &Roster, jid: &Jid) -> Standing {
        let own = roster.standing(&jid.to_bare(), self.jid.domainpart());
        own.or(standing_of(self.relation(jid)))
    }

    /// The same as far as it is in memory.
    pub fn last_standing(&self, jid: &Jid) -> Standing {
        self.contacts().standing(jid)
    }

    fn contacts(&self) -> Contacts<'_> {
        Contacts::new(&self.jid, self.roster.as_deref(), &self.membership)
    }

    /// The roster, if it was read and is what the store holds.
    pub fn roster(&self) -> Option<Arc<Roster>> {
        let is_current = self.freshness == Freshness::Current;
        is_current.then(|| self.roster.clone().unwrap_or_default())
    }

    /// The version of the roster that clients know while it is doubtful what the store holds.
    pub fn doubted_version(&self) -> Option<u64> {
        let is_doubtful = self.freshness == Freshness::Doubtful;
        is_doubtful.then(|| self.roster.as_ref().map_or(0, |roster| roster.version))
    }

    /// The roster as it was when it was last known, if there was anybody in it: who was told of something is told of
    /// its end.
    pub fn last_roster(&self) -> Option<&Roster> {
        self.roster.as_deref()
    }

    /// It is known to block nobody: all that most accounts' stanzas have to ask.
    pub fn blocks_nobody(&self) -> bool {
        self.blocklist_freshness == Freshness::Current && self.blocklist.is_none()
    }

    /// The blocklist, if it was read and is what the store holds.
    pub fn blocklist(&self) -> Option<Arc<Blocklist>> {
        let is_current = self.blocklist_freshness == Freshness::Current;
        is_current.then(|| self.blocklist.clone().unwrap_or_default())
    }

    /// The blocklist as it was when it was last known, if there was anybody on it.
    pub fn last_blocklist(&self) -> Option<&Blocklist> {
        self.blocklist.as_deref()
    }

    /// Reports that it may file now.
    pub fn reports_left(&self, mono_ms: u64) -> usize {
        let (count, since_ms) = self.reports;
        let is_over = mono_ms.saturating_sub(since_ms) > limits::REPORTS_WINDOW_MS;
        let used = if is_over { 0 } else { usize::from(count) };
        limits::REPORTS_MAX.saturating_sub(used)
    }
}

/// The account's immutable number.
///
/// # Errors
/// Parks until its row was read; rejects with `service-unavailable` when there is no such user, as RFC
/// 6121 section 8.5.1 asks, in the words that a stranger hears about an existing one.
pub fn identify(turn: &mut Turn<'_, Account>) -> Result<AccountId, Stop> {
    Ok(refer(turn)?.id)
}

/// The same, and of which generation the account is as far as this worker knows.
///
/// # Errors
/// As [`identify`].
pub fn refer(turn: &mut Turn<'_, Account>) -> Result<AccountRef, Stop> {
    if let Some(identity) = turn.actor.identity {
        return Ok(identity);
    }
    let localpart = turn.actor.jid.localpart().unwrap_or_default();
    let key = credentials::name_key(turn.actor.jid.domainpart(), localpart);
    let row = turn.load(&credentials::ACCOUNT, &key)?;
    let Some(row) = row.and_then(|row| AccountRow::decode(row).ok()) else {
        return Err(Stop::Reject(unavailable()));
    };
    let identity = row.account;
    turn.out.change.push(Change::Identified(identity));
    Ok(identity)
}

/// [`identify`] for what needs no number where the account is anonymous and has none.
///
/// # Errors
/// As [`identify`].
pub fn identify_unless_anonymous(turn: &mut Turn<'_, Account>) -> Result<(), Stop> {
    if !turn.actor.anonymous {
        identify(turn)?;
    }
    Ok(())
}

/// [`identify`] for what belongs to an account and stays when its sessions are over: who is nobody has nothing.
///
/// # Errors
/// As [`identify`], and `service-unavailable` where the account is anonymous.
pub fn owner(turn: &mut Turn<'_, Account>) -> Result<AccountId, Stop> {
    match turn.actor.anonymous {
        true => Err(Stop::Reject(unavailable())),
        false => identify(turn),
    }
}

/// Whether an account is served that stays: who is nobody has nothing to command.
pub fn is_user(turn: &Turn<'_, Account>) -> bool {
    !turn.actor.anonymous
}

/// Whether whoever is served in this turn may do something.
pub fn may(turn: &Turn<'_, Account>, right: Right) -> bool {
    is_user(turn) && allows(turn.host, &turn.actor.membership, right)
}

/// Whether whoever is served may run the commands of managers.
pub fn is_manager(turn: &Turn<'_, Account>) -> bool {
    may(turn, Right::Manage)
}

/// What everybody hears who may not know whether there is somebody.
pub fn unavailable() -> StanzaError {
    StanzaError::new(Condition::ServiceUnavailable, "")
}
