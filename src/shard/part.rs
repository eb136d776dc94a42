//! A user changed the password or removed the account (XEP-0077): what becomes of the sessions, and of what the
//! account had. Refuses to know how that was asked for.

use std::sync::Arc;

use crate::actor::audit::{AuditEvent, By};
use crate::actor::auth::{AccountAnswer, AccountAsk, AccountRef, AuthAnswer, AuthAsk, Clients};
use crate::actor::{Answer, Loaded};
use crate::base::{AccountId, ActorKey, Now, SessionId, Uuid, limits};
use crate::im::{Account, Change};
use crate::stanza::{StreamCondition, StreamError};

use super::Shard;
use super::cell::Mail;
use super::output::{Ask, Output};
use super::seats::Seat;

impl Shard {
    /// The keeper of the credentials answered what the head of the mailbox asked for. What was done stays done, whatever
    /// becomes of the turn: its session may be gone by now, its resource another's, and its handler switched off. So what
    /// follows from it is not left to the turn.
    pub(super) fn own_answered(
        &mut self,
        now: Now,
        actor: ActorKey,
        mut ask: Box<AccountAsk>,
        answer: AccountAnswer,
    ) {
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        let asker = cell.mailbox.front().and_then(Mail::sender);
        let account: Arc<str> = cell.account.jid.as_str().into();
        let by = By::User(Arc::clone(&account));
        let removed = match (&answer, &*ask) {
            (AccountAnswer::Done(identity), AccountAsk::SetPassword { .. }) => {
                let is_last = is_last_word(&cell.account, asker, *identity);
                if is_last {
                    cell.account.apply(Change::Identified(*identity));
                }
                let event = AuditEvent::PasswordChanged { account, by };
                self.outputs.push_back(Output::Audit(event));
                if is_last {
                    self.part_from_others(now, actor, asker, *identity);
                }
                None
            }
            (AccountAnswer::Done(_), AccountAsk::Remove { account: was, .. }) => {
                let event = AuditEvent::AccountRemoved { account, by };
                self.outputs.push_back(Output::Audit(event));
                Some(was.id)
            }
            (AccountAnswer::Done(_), AccountAsk::Revoke { clients, .. }) => {
                let clients = match clients {
                    Clients::These(these) => Some(these.iter().map(Uuid::to_string).collect()),
                    Clients::AllBut(_) => None,
                };
                let event = AuditEvent::ClientsRevoked {
                    account,
                    clients,
                    by,
                };
                self.outputs.push_back(Output::Audit(event));
                // Whoever has logged in by a token, and bound nothing, has no session that could be ended.
                let jid = cell.account.jid.clone();
                self.end_logins((now, now.mono_ms), &jid, None, &begin_anew());
                None
            }
            _ => None,
        };
        if let AccountAnswer::Done(identity) = answer {
            ask.renew(identity);
        }
        if let Some(cell) = self.cells.get_mut(actor) {
            cell.loaded.push(Loaded::Account { ask, answer });
        }
        if let Some(account) = removed {
            // Whoever asked has the answer first.
            self.run(now, actor);
            self.part_from_removed(now, actor, account);
        }
    }

    /// The account has another password, and is this from now on: logins by the one before are void, and where the
    /// configuration says so all sessions that began with it end but the one that changed it. The others are as good as one
    /// that begins now.
    fn part_from_others(
        &mut self,
        now: Now,
        actor: ActorKey,
        stays: Option<SessionId>,
        account: AccountRef,
    ) {
        let Some(cell) = self.cells.get(actor) else {
            return;
        };
        let jid = cell.account.jid.clone();
        if self.config.auth.password_change_ends_sessions {
            let others = self.outdated_sessions(actor, account).into_iter();
            for id in others.filter(|id| Some(*id) != stays) {
                self.revoke(now, actor, id, other_password());
            }
        }
        if let Some(cell) = self.cells.get_mut(actor) {
            let staying = cell.account.sessions.iter_mut();
            for session in staying.filter(|session| !session.revoked) {
                session.generation = account.generation;
            }
        }
        self.end_logins((now, now.mono_ms), &jid, Some(account), &other_password());
    }

    /// The user of an account ends these sessions.
    pub(super) fn expel_by_user(&mut self, now: Now, actor: ActorKey, ids: Vec<SessionId>) {
        let Some(cell) = self.cells.get(actor) else {
            return;
        };
        let account = &cell.account;
        let jid = account.jid.clone();
        let named = ids.iter().filter_map(|id| account.session(*id));
        let named = named.filter(|session| !session.ended);
        let sessions: Vec<String> = named.map(|session| session.jid.to_string()).collect();
        if !sessions.is_empty() {
            let by = By::User(jid.as_str().into());
            let event = AuditEvent::SessionsExpelled { sessions, by };
            self.outputs.push_back(Output::Audit(event));
        }
        for id in ids {
            self.revoke(now, actor, id, ended_by_user());
        }
        self.end_logins((now, now.mono_ms), &jid, None, &begin_anew());
    }

    /// The account is no more.
    fn part_from_removed(&mut self, now: Now, actor: ActorKey, account: AccountId) {
        let Some(jid) = self.cells.get(actor).map(|cell| cell.account.jid.clone()) else {
            return;
        };
        self.revoke_all_sessions(now, actor, &removed());
        self.forget_identity(actor);
        self.end_logins((now, now.mono_ms), &jid, None, &removed());
        self.removed.push(account);
    }

    /// The rows of removed accounts go, behind everything that this turn saves.
    pub(super) fn purge_parted(&mut self) {
        for account in std::mem::take(&mut self.removed) {
            // It always has a seat.
            if let Ok(ticket) = self.seats.take(Seat::Purge(account)) {
                let ask = Ask::Auth(AuthAsk::Purge(account));
                self.outputs.push_back(Output::Ask(ticket, ask));
            }
        }
    }

    /// The rows of a removed account are gone: its contacts are told. If they are not, because too much waits for that, or
    /// for want of the store, they go later; at the next start at the latest.
    pub(super) fn purged(&mut self, now: Now, account: AccountId, answer: Answer) {
        match answer {
            Answer::Auth(AuthAnswer::Purged(account)) => self.replay_of(account),
            other => {
                log::warn!(
                    "account_not_purged_yet account={} answer={other:?}",
                    account.0
                );
                self.left.push(account);
                self.timers.arm_purge(now.mono_ms + limits::PURGE_AGAIN_MS);
            }
        }
    }

    /// What could not be purged is purged with the next.
    pub(super) fn purge_due(&mut self) {
        self.removed.append(&mut self.left);
    }

    /// Whether rows of removed accounts are to be purged at the end of the turn.
    pub(super) fn has_parted(&self) -> bool {
        !self.removed.is_empty()
    }
}

/// Whether nobody had a word about the account behind what `asker` did to it, which is this `now`: the operator's may be known
/// here before the answer. So may be who has logged in since.
fn is_last_word(account: &Account, asker: Option<SessionId>, now: AccountRef) -> bool {
    let asker = asker.and_then(|id| account.session(id));
    let is_revoked = asker.is_some_and(|session| session.revoked);
    let is_behind =
        |known: AccountRef| known == now || (known.id == now.id && known.is_before(now));
    !is_revoked && account.identity.is_none_or(is_behind)
}

/// XEP-0077 section 3.2: "the server SHOULD then return a <not-authorized/> stream error and terminate all active
/// sessions for the entity".
fn removed() -> StreamError {
    StreamError::new(StreamCondition::NotAuthorized, "The account was removed")
}

/// Clients take a conflict for the end, and do not come back by themselves.
fn ended_by_user() -> StreamError {
    StreamError::new(
        StreamCondition::Conflict,
        "Another session of yours ended this one",
    )
}

/// Clients come back by themselves, if they still can. RFC 6120 section 4.9.3.16.
fn begin_anew() -> StreamError {
    StreamError::new(
        StreamCondition::Reset,
        "Sessions of the account were ended meanwhile, log in again",
    )
}

/// RFC 6120 section 4.9.3.16.
fn other_password() -> StreamError {
    StreamError::new(
        StreamCondition::Reset,
        "The password was changed by another client",
    )
}

#[cfg(test)]
#[path = "part_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "registration_tests.rs"]
mod registration_tests;
