//! How the state of an account changes: what a turn says is so from now on, applied when it is complete. Refuses to know
//! why.

use std::sync::Arc;

use crate::actor::auth::AccountRef;
use crate::base::{SessionId, limits};
use crate::im::archive::{Archive, ArchiveTally, Entry, Preferences};
use crate::im::blocking::Blocklist;
use crate::im::capabilities::Claim;
use crate::im::commands::{CommandSession, CommandSessions};
use crate::im::origin::{Mark, Origins};
use crate::im::quota::{Sender, Tally};
use crate::im::roster::Roster;
use crate::im::roster::shared::NO_STATE;
use crate::jid::Jid;
use crate::stanza::{Header, Info, Stanza};

use super::{Account, Freshness};

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
    /// It asked for the roster (RFC 6121 section 2.1.3), and has seen this state of the directory's lists with it.
    Interested { session: SessionId, lists: u64 },
    /// Whoever had seen that state of the lists was told of all that is another in this one; who had seen neither, of a part.
    ListsTold { before: u64, now: u64 },
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
            | Change::ListsTold { .. }
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

impl Account {
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
            Change::Interested { session, lists } => {
                if let Some(session) = self.session_mut(session) {
                    session.interested = true;
                    session.lists_seen = lists;
                }
            }
            Change::ListsTold { before, now } => {
                for session in self.sessions.iter_mut().filter(|it| it.interested) {
                    let has_all = [before, now].contains(&session.lists_seen);
                    session.lists_seen = if has_all { now } else { NO_STATE };
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

    fn change_commands(&mut self, change: impl FnOnce(&mut CommandSessions)) {
        if let Some(commands) = &mut self.commands {
            change(commands);
            if commands.is_empty() {
                self.commands = None;
            }
        }
    }
}
