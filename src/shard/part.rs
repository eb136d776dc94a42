//! A user changed the password or removed the account (XEP-0077): what becomes of the sessions, and of what the
//! account had. Refuses to know how that was asked for.

use crate::actor::Answer;
use crate::actor::auth::{AuthAnswer, AuthAsk};
use crate::base::{ActorKey, Now, SessionId};
use crate::im::account::Parting;
use crate::stanza::{StreamCondition, StreamError};

use super::Shard;
use super::output::{Ask, Output};
use super::turns::Seat;

impl Shard {
    /// The account is another than its sessions and logins think.
    pub(super) fn part(&mut self, now: Now, actor: ActorKey, parting: Parting) {
        let Some(cell) = self.cells.get(actor) else {
            return;
        };
        let jid = cell.account.jid.clone();
        match parting {
            Parting::FromNobody => self.end_logins(now, &jid, &other_password()),
            Parting::FromOthers(stays) => {
                let sessions = cell.account.sessions.iter();
                let others = sessions.map(|session| session.id).filter(|id| *id != stays);
                let others: Vec<SessionId> = others.collect();
                for id in others {
                    self.expel(now, actor, id, other_password());
                }
                self.end_logins(now, &jid, &other_password());
            }
            Parting::Removed(account) => {
                self.end_all_sessions(now, actor, removed());
                self.forget_identity(actor);
                self.end_logins(now, &jid, &removed());
                self.removed.push(account);
            }
        }
    }

    /// The rows of removed accounts go, behind everything that this turn saves.
    pub(super) fn purge_parted(&mut self) {
        for account in std::mem::take(&mut self.removed) {
            // It always has a seat.
            if let Ok(ticket) = self.seats.take(Seat::Purge) {
                let ask = Ask::Auth(AuthAsk::Purge(account));
                self.outputs.push_back(Output::Ask(ticket, ask));
            }
        }
    }

    /// The rows of a removed account are gone: its contacts are told.
    pub(super) fn purged(&mut self, answer: Answer) {
        match answer {
            Answer::Auth(AuthAnswer::Purged(account)) => self.replay_of(account),
            // The next start purges again.
            other => log::error!("account_not_purged answer={other:?}"),
        }
    }

    /// Whether rows of removed accounts are to be purged at the end of the turn.
    pub(super) fn has_parted(&self) -> bool {
        !self.removed.is_empty()
    }
}

/// XEP-0077 section 3.2: "the server SHOULD then return a <not-authorized/> stream error and terminate all active
/// sessions for the entity".
fn removed() -> StreamError {
    StreamError::new(StreamCondition::NotAuthorized, "The account was removed")
}

/// RFC 6120 section 4.9.3.16.
fn other_password() -> StreamError {
    StreamError::new(
        StreamCondition::Reset,
        "The password was changed by another client",
    )
}
