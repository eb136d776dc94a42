//! What users do to their account as a whole, whatever they say it with: another password, or no account any more.
//! Refuses to know who keeps credentials, how a client asks, and what becomes of sessions (`shard/part.rs`).

use std::sync::Arc;

use crate::actor::audit::{AuditEvent, By};
use crate::actor::auth::{AccountAnswer, AccountAsk, AccountRef};
use crate::actor::groups::Right;
use crate::actor::{Stop, Turn};
use crate::base::Secret;
use crate::config::DirectoryPasswordChange;
use crate::stanza::{Condition, StanzaError};

use super::account::{self, Account, is_user, may};

/// Whether whoever is served may change the password here: where it is a directory's, that has to be allowed, and so have they.
pub fn may_set_password(turn: &Turn<'_, Account>) -> bool {
    let is_changed = match &turn.host.directory {
        Some(directory) => directory.options.password_change != DirectoryPasswordChange::Off,
        None => true,
    };
    is_changed && may(turn, Right::Register)
}

/// Whether whoever is served may remove the account: who leaves an organisation leaves its directory.
pub fn may_remove(turn: &Turn<'_, Account>) -> bool {
    is_user(turn) && turn.host.directory.is_none()
}

/// Gives the account another password, at the wish of the session that asks. As soon as it is done, the other sessions
/// end if the configuration says so. None if the stream of who asks is not encrypted: XEP-0077 section 3.3, "The server or
/// service does not consider the channel safe enough".
///
/// # Errors
/// Parks until it was done. To be called last: what was done stays done. Rejects with `not-allowed` who may not: section 3.3,
/// "The server or service does not allow password changes".
pub fn set_password(
    turn: &mut Turn<'_, Account>,
    password: Secret,
) -> Result<Option<AccountAnswer>, Stop> {
    let ask = AccountAsk::SetPassword {
        host: turn.actor.jid.domainpart().into(),
        localpart: turn.actor.jid.localpart().unwrap_or_default().into(),
        account: as_asker(turn)?,
        password,
    };
    match turn.ask_account(&ask) {
        // Asked before it is done, and not behind it: the groups may be others by then.
        Err(Stop::Need(_)) if !may_set_password(turn) => Err(not_allowed(
            "The password of this account is not changed here",
        )),
        // The same: the session may be gone by then, or on another stream.
        Err(Stop::Need(_)) if !is_secured(turn) => Ok(None),
        answer => answer.map(Some),
    }
}

/// What is wrong with a password that was not taken, for who wants it.
pub fn unfit(turn: &Turn<'_, Account>) -> &'static str {
    match turn.host.directory {
        Some(_) => {
            "The password is not taken: it is too short, too simple or an old one for the directory, or it is too long, or holds \
             characters that no password may hold"
        }
        None => "The password is too long, or holds characters that no password may hold",
    }
}

/// The account as it was when the session that asks proved who it is: another that is here may have proved more.
fn as_asker(turn: &mut Turn<'_, Account>) -> Result<AccountRef, Stop> {
    let account = account::refer(turn)?;
    let asker = turn.asker.and_then(|id| turn.actor.session(id));
    let generation = asker.map_or(account.generation, |session| session.generation);
    Ok(AccountRef {
        generation,
        ..account
    })
}

/// By its number: another session may have its resource by now.
fn is_secured(turn: &Turn<'_, Account>) -> bool {
    let asker = turn.asker.and_then(|id| turn.actor.session(id));
    asker.is_some_and(|session| session.secured)
}

/// Removes the account. Once who asked has the answer, its sessions end.
///
/// # Errors
/// As [`set_password`]. Section 3.2: "No sender is allowed to cancel registrations in-band."
pub fn remove(turn: &mut Turn<'_, Account>) -> Result<AccountAnswer, Stop> {
    let account = as_asker(turn)?;
    let ask = AccountAsk::Remove {
        host: turn.actor.jid.domainpart().into(),
        localpart: turn.actor.jid.localpart().unwrap_or_default().into(),
        account,
    };
    match turn.ask_account(&ask) {
        Err(Stop::Need(_)) if !may_remove(turn) => Err(not_allowed(
            "The account is removed in the directory of its host",
        )),
        answer => answer,
    }
}

fn not_allowed(text: &'static str) -> Stop {
    Stop::Reject(StanzaError::new(Condition::NotAllowed, text))
}

/// An invitation of the user's: see [`AccountAsk::Invite`].
///
/// # Errors
/// As [`set_password`].
pub fn invite(turn: &mut Turn<'_, Account>, name: Option<String>) -> Result<AccountAnswer, Stop> {
    let ask = AccountAsk::Invite {
        host: turn.actor.jid.domainpart().into(),
        localpart: turn.actor.jid.localpart().unwrap_or_default().into(),
        account: as_asker(turn)?,
        name,
    };
    let answer = turn.ask_account(&ask)?;
    if let AccountAnswer::Invited { .. } = answer {
        let account: Arc<str> = turn.actor.jid.bare_str().into();
        turn.out.audit.push(AuditEvent::InvitationMade {
            host: turn.actor.jid.domainpart().into(),
            contact: Some(account.clone()),
            uses: 1,
            by: By::User(account),
        });
    }
    Ok(answer)
}
