//! A bare JID: who it is, its sessions, and how its state changes.

use std::sync::Arc;

use crate::actor::auth::AccountRef;
use crate::actor::groups::{Membership, Relation, Right};
use crate::actor::{Actor, Stop, Turn};
use crate::base::{AccountId, SessionId, limits};
use crate::jid::Jid;
use crate::stanza::{Condition, Header, Info, Stanza, StanzaError};

use super::access::allows;
use super::archive::{Archive, ArchiveTally, Entry, Preferences, Search};
use super::blocking::Blocklist;
use super::capabilities::Claim;
use super::commands::{CommandSession, CommandSessions};
use super::credentials::{self, AccountRow};
use super::origin::{Mark, Origins};
use super::quota::{Sender, Tally};
use super::roster::shared::standing_of;
use super::roster::{Roster, Standing};
use super::session::Session;

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

/// A change of an account's state, applied when its turn is complete.
#[derive(Debug)]
pub enum Change {
    /// The account's row was read.
    Identified(AccountRef),
    /// A session said that it is available, or with `None` that it is not.
    Presence {
        session: SessionId,
        presence: Option<Stanza>,
        priority: i8,
    },
    /// Its presence says what its client can do (XEP-0115), and if `is_new` it has not said so before.
    Claimed {
        session: SessionId,
        claim: Box<Claim>,
        is_new: bool,
    },
    /// What this verification string stands for, as its client says and as was verified.
    Capable {
        session: SessionId,
        ver: Box<str>,
        info: Arc<Info>,
    },
    /// Directed presence went out: its receiver is owed the end of it, or no longer.
    Directed {
        session: SessionId,
        to: Jid,
        available: bool,
    },
    /// XEP-0280 section 4 and 5.
    Carbons { session: SessionId, enabled: bool },
    /// It asked for the roster (RFC 6121 section 2.1.3).
    Interested { session: SessionId },
    /// Messages kept while nobody could take them are due to this session.
    DeliverPending { session: SessionId },
    /// The message of this number is stored and due to this session as soon as it has room.
    Missed {
        session: SessionId,
        number: u64,
        from: Option<Jid>,
    },
    /// Messages kept were counted.
    Counted(Box<Tally>),
    /// A message was kept or is kept no longer; ignored until they have been counted.
    Kept { bytes: usize, sender: Sender },
    /// Something is kept no longer, and nobody knows how long it was: it is counted when that is asked.
    Uncounted,
    /// The marks of what it was sent lately were read.
    OriginsRead(Box<Origins>),
    /// A message was kept under this mark on this day.
    OriginKept { day: u32, mark: Mark },
    /// What is remembered of the archive was read.
    ArchiveRead(Box<Archive>),
    /// A message was archived, in a row of so many bytes.
    Archived { entry: Entry, bytes: u64 },
    /// The archive holds more than it may.
    TrimArchive,
    /// The owner of the archive has other wishes.
    Preferences(Box<Preferences>),
    /// The roster was read.
    RosterRead(Arc<Roster>),
    /// The roster was changed, or read again after a doubt of which clients hear the outcome.
    Roster(Arc<Roster>),
    /// A request for a subscription was sent, which counts until then.
    Acted { until_ms: u64 },
    /// Requests to other servers were sent again.
    AskedAgain { next_ms: u64 },
    /// So much of each month is in the archive.
    ArchiveTally(Box<ArchiveTally>),
    /// A command was begun, or goes on.
    CommandGoesOn(Box<CommandSession>),
    /// The command of this session id is over.
    CommandEnded(Box<str>),
    /// Their owner ends these sessions; of those that are over already, what they have sent is not done any more.
    EndSessions(Vec<SessionId>),
    /// There is no room for what these sessions are owed: they end.
    GiveUp(Vec<SessionId>),
    /// The blocklist was read.
    BlocklistRead(Arc<Blocklist>),
    /// The blocklist was changed.
    Blocklist(Arc<Blocklist>),
    /// A report (XEP-0377) was filed.
    Reported { mono_ms: u64 },
    /// It asked for the blocklist (XEP-0191 section 3.2), and hears of its changes.
    WatchesBlocklist { session: SessionId },
    /// It answered a request of somebody with an IQ of this header.
    Answered {
        session: SessionId,
        answer: Box<Header>,
    },
    /// The session is over.
    Ended(SessionId),
}

/// What a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// What the store holds of the account, as it was found there.
    Found,
    /// What the store holds from now on.
    Rows,
    /// What its sessions are and what they do.
    Sessions,
}

impl Change {
    /// Whether it only says what the store holds, so that it stands whatever becomes of the turn that asked. Else
    /// whoever is refused has the same rows read with each thing that he tries.
    pub fn is_read(&self) -> bool {
        self.about() == About::Found
    }

    /// Whether it is what the store holds of the account, and not what its sessions are.
    pub fn is_of_rows(&self) -> bool {
        self.about() != About::Sessions
    }

    /// Every change by name: one that is forgotten here would bring back an account that was removed.
    fn about(&self) -> About {
        match self {
            Change::Identified(_)
            | Change::Counted(_)
            | Change::OriginsRead(_)
            | Change::ArchiveRead(_)
            | Change::RosterRead(_)
            | Change::BlocklistRead(_) => About::Found,
            Change::Kept { .. }
            | Change::Uncounted
            | Change::OriginKept { .. }
            | Change::ArchiveTally(_)
            | Change::Archived { .. }
            | Change::TrimArchive
            | Change::Preferences(_)
            | Change::Roster(_)
            | Change::Blocklist(_) => About::Rows,
            Change::Presence { .. }
            | Change::Claimed { .. }
            | Change::Capable { .. }
            | Change::Directed { .. }
            | Change::Carbons { .. }
            | Change::Interested { .. }
            | Change::DeliverPending { .. }
            | Change::Missed { .. }
            | Change::Acted { .. }
            | Change::AskedAgain { .. }
            | Change::CommandGoesOn(_)
            | Change::CommandEnded(_)
            | Change::EndSessions(_)
            | Change::GiveUp(_)
            | Change::Reported { .. }
            | Change::WatchesBlocklist { .. }
            | Change::Answered { .. }
            | Change::Ended(_) => About::Sessions,
        }
    }
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
        let contacts = Contacts {
            own: &self.jid,
            roster: self.roster.as_deref(),
            membership: &self.membership,
        };
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
        Contacts {
            own: &self.jid,
            roster: self.roster.as_deref(),
            membership: &self.membership,
        }
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

    fn change_commands(&mut self, change: impl FnOnce(&mut CommandSessions)) {
        if let Some(commands) = &mut self.commands {
            change(commands);
            if commands.is_empty() {
                self.commands = None;
            }
        }
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

    /// Applies one change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Identified(identity) => self.identity = Some(identity),
            Change::Presence {
                session,
                presence,
                priority,
            } => {
                if let Some(session) = self.session_mut(session) {
                    session.presence = presence;
                    session.priority = priority;
                }
            }
            Change::Directed {
                session,
                to,
                available,
            } => {
                if let Some(session) = self.session_mut(session) {
                    if available {
                        session.directed.insert(to);
                    } else {
                        session.directed.remove(&to);
                    }
                }
            }
            Change::Answered { session, answer } => {
                let session = self.session_mut(session);
                if let Some(acks) = session.and_then(|session| session.acks.as_mut()) {
                    acks.answered(&answer);
                }
            }
            Change::Carbons { session, enabled } => {
                if let Some(session) = self.session_mut(session) {
                    session.carbons = enabled;
                }
            }
            Change::Interested { session } => {
                if let Some(session) = self.session_mut(session) {
                    session.interested = true;
                }
            }
            Change::Missed {
                session,
                number,
                from,
            } => {
                if let Some(session) = self.session_mut(session) {
                    session.owe(number);
                    if let Some(from) = from {
                        session.kept_from.get_or_insert_default().add(from);
                    }
                }
            }
            Change::Counted(tally) => self.tally = Some(tally),
            Change::Kept { bytes, sender } => {
                if let Some(tally) = &mut self.tally {
                    tally.add(sender, bytes);
                }
            }
            Change::Uncounted => self.tally = None,
            Change::OriginsRead(origins) => self.origins = Some(origins),
            Change::OriginKept { day, mark } => {
                if let Some(origins) = &mut self.origins {
                    origins.add(day, mark);
                }
            }
            Change::ArchiveRead(archive) => self.archive = Some(archive),
            Change::Archived { entry, bytes } => {
                if let Some(archive) = &mut self.archive {
                    archive.add(entry, bytes);
                }
            }
            Change::Preferences(preferences) => {
                if let Some(archive) = &mut self.archive {
                    archive.preferences = *preferences;
                }
            }
            Change::RosterRead(roster) | Change::Roster(roster) => {
                self.roster = Some(roster).filter(|roster| **roster != Roster::default());
                self.freshness = Freshness::Current;
            }
            Change::Acted { until_ms } => self.acts_until_ms = until_ms,
            Change::AskedAgain { next_ms } => self.asks_again_at_ms = next_ms,
            Change::ArchiveTally(tally) => {
                if let Some(archive) = &mut self.archive {
                    archive.tally = *tally;
                }
            }
            Change::CommandGoesOn(session) => {
                self.commands.get_or_insert_default().keep(*session);
            }
            Change::CommandEnded(id) => self.change_commands(|commands| commands.end(&id)),
            Change::BlocklistRead(list) | Change::Blocklist(list) => {
                self.blocklist = Some(list).filter(|list| !list.is_empty());
                self.blocklist_freshness = Freshness::Current;
            }
            Change::Reported { mono_ms } => {
                let (count, since_ms) = &mut self.reports;
                if mono_ms.saturating_sub(*since_ms) > limits::REPORTS_WINDOW_MS {
                    (*count, *since_ms) = (0, mono_ms);
                }
                *count = count.saturating_add(1);
            }
            Change::WatchesBlocklist { session } => {
                if let Some(session) = self.session_mut(session) {
                    session.watches_blocklist = true;
                }
            }
            Change::Ended(id) => {
                self.sessions.retain(|session| session.id != id);
                self.change_commands(|commands| commands.forget(id));
            }
            // The engine's: it holds the cursor and the streams, reads what is trimmed, and knows clients.
            Change::DeliverPending { .. }
            | Change::Claimed { .. }
            | Change::Capable { .. }
            | Change::EndSessions(_)
            | Change::GiveUp(_)
            | Change::TrimArchive => {}
        }
    }
}

/// Who is what to an account, as far as it is in memory: by the roster as it was when it was last known, and by the lists of
/// the host's directory. For who changes a session of the account meanwhile.
#[derive(Clone, Copy)]
pub struct Contacts<'a> {
    own: &'a Jid,
    roster: Option<&'a Roster>,
    membership: &'a Membership,
}

impl Contacts<'_> {
    /// All that stands between the account and an address.
    pub fn standing(&self, jid: &Jid) -> Standing {
        let listed = standing_of(self.relation(jid));
        match self.roster {
            Some(roster) => {
                let own = roster.standing(&jid.to_bare(), self.own.domainpart());
                own.or(listed)
            }
            None => listed,
        }
    }

    fn relation(&self, jid: &Jid) -> Relation {
        let is_near =
            self.membership.member().is_some() && jid.domainpart() == self.own.domainpart();
        match jid.localpart().filter(|_| is_near) {
            Some(localpart) => self.membership.relation(localpart),
            None => Relation::default(),
        }
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
