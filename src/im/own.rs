//! What users do to their account as a whole, whatever they say it with: another password, or no account any more.
//! Refuses to know who keeps credentials, and how a client asks.

use std::sync::Arc;

use crate::actor::audit::{AuditEvent, By};
use crate::actor::auth::{AccountAnswer, AccountAsk};
use crate::actor::{Stop, Turn};
use crate::base::{Secret, SessionId};
use crate::jid::Jid;

use super::account::{self, Account, Change, Parting};

/// Gives the account another password, at the wish of this session. Once the turn is over, its other sessions end if the
/// configuration says so.
///
/// # Errors
/// Parks until it was done. To be called last: what was done stays done.
pub fn set_password(
    turn: &mut Turn<'_, Account>,
    session: SessionId,
    password: Secret,
) -> Result<AccountAnswer, Stop> {
    let ask = AccountAsk::SetPassword {
        host: turn.actor.jid.domainpart().into(),
        localpart: turn.actor.jid.localpart().unwrap_or_default().into(),
        id: account::identify(turn)?,
        password,
    };
    let answer = turn.ask_account(&ask)?;
    if let AccountAnswer::Done(identity) = answer {
        let (account, by) = by_user(&turn.actor.jid);
        let event = AuditEvent::PasswordChanged { account, by };
        turn.out.audit.push(event);
        let parting = match turn.config.auth.password_change_ends_sessions {
            true => Parting::FromOthers(session),
            false => Parting::FromNobody,
        };
        turn.out
            .change
            .extend([Change::Identified(identity), Change::Parts(parting)]);
    }
    Ok(answer)
}

/// Removes the account. Once the turn is over, so are its sessions.
///
/// # Errors
/// As [`set_password`].
pub fn remove(turn: &mut Turn<'_, Account>) -> Result<AccountAnswer, Stop> {
    let id = account::identify(turn)?;
    let ask = AccountAsk::Remove {
        host: turn.actor.jid.domainpart().into(),
        localpart: turn.actor.jid.localpart().unwrap_or_default().into(),
        id,
    };
    let answer = turn.ask_account(&ask)?;
    if let AccountAnswer::Done(_) = answer {
        let (account, by) = by_user(&turn.actor.jid);
        let event = AuditEvent::AccountRemoved { account, by };
        turn.out.audit.push(event);
        turn.out.change.push(Change::Parts(Parting::Removed(id)));
    }
    Ok(answer)
}

/// An invitation of the user's: see [`AccountAsk::Invite`].
///
/// # Errors
/// As [`set_password`].
pub fn invite(turn: &mut Turn<'_, Account>, name: Option<String>) -> Result<AccountAnswer, Stop> {
    let ask = AccountAsk::Invite {
        host: turn.actor.jid.domainpart().into(),
        localpart: turn.actor.jid.localpart().unwrap_or_default().into(),
        id: account::identify(turn)?,
        name,
    };
    let answer = turn.ask_account(&ask)?;
    if let AccountAnswer::Invited { .. } = answer {
        let (account, by) = by_user(&turn.actor.jid);
        turn.out.audit.push(AuditEvent::InvitationMade {
            host: turn.actor.jid.domainpart().into(),
            contact: Some(account),
            uses: 1,
            by,
        });
    }
    Ok(answer)
}

fn by_user(jid: &Jid) -> (Arc<str>, By) {
    let account: Arc<str> = jid.bare_str().into();
    (account.clone(), By::User(account))
}
