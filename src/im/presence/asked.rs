//! Whether somebody is there: what those hear who ask, and who may know (RFC 6121 sections 4.3.2 and 11).

use crate::actor::{Outcome, Stop, Turn};
use crate::base::SessionId;
use crate::im::account::{self, Account};
use crate::im::roster;
use crate::im::session::Session;
use crate::jid::Jid;
use crate::stanza::{Stanza, Type};

use super::{addressed, from_to};

/// Section 4.3.2: somebody asks who is there. A stranger hears the same whether there is such a user or not
/// (peers.md 7.5 row 39).
pub(super) fn probed(turn: &mut Turn<'_, Account>, stanza: &Stanza) -> Outcome {
    let Some(prober) = &stanza.header.from else {
        return Ok(());
    };
    let resource = stanza.header.to.as_ref().and_then(|to| to.resourcepart());
    let may_see = may_see(turn, prober)?;
    // Section 4.6.6: directed presence lets its receiver see "only for that full JID".
    let shows = |session: &&Session| {
        (may_see && session.is_available()) || (!session.ended && session.has_told(prober))
    };
    let mut is_answered = false;
    for session in turn.actor.sessions.iter().filter(shows) {
        let is_meant = resource.is_none_or(|it| session.jid.resourcepart() == Some(it));
        if !is_meant {
            continue;
        }
        is_answered = true;
        let whole = session
            .presence
            .as_ref()
            .filter(|_| may_see && resource.is_none());
        let answer = match whole {
            // Rule 4: "the full XML of the last presence stanza", with its 'id' (section 4.3.2.1).
            Some(presence) => addressed(presence, prober),
            // "which SHOULD communicate only the fact that the resource is available".
            None => from_to(Type::Available, &session.jid, prober),
        };
        turn.out.send(answer);
    }
    if is_answered {
        return Ok(());
    }
    let answer = match &stanza.header.to {
        Some(to) if may_see => {
            let mut answer = from_to(Type::Unavailable, to, prober);
            // "the contact's server SHOULD mirror the 'id' of the user's presence probe".
            answer.header.id = stanza.header.id.clone();
            answer
        }
        _ => denial(turn.actor, stanza, prober),
    };
    turn.out.send(answer);
    Ok(())
}

/// What a probe hears of who may not see the account. Rule 1: "Here the 'from' address MUST be the bare JID of the
/// contact".
fn denial(account: &Account, probe: &Stanza, prober: &Jid) -> Stanza {
    let mut answer = from_to(Type::Unsubscribed, &account.jid, &prober.to_bare());
    answer.header.id = probe.header.id.clone();
    answer
}

/// The answer to a stranger's probe, where what is in memory suffices to know one.
pub fn turned_away(account: &Account, probe: &Stanza) -> Option<Stanza> {
    let prober = probe.header.from.as_ref()?;
    account.roster()?;
    (!is_known(account, Some(prober))).then(|| denial(account, probe, prober))
}

/// Whether it is in memory that somebody may know whether the account is there (section 11).
pub fn is_known(account: &Account, asker: Option<&Jid>) -> bool {
    let Some(asker) = asker else {
        return false;
    };
    is_own(account, Some(asker))
        || account.last_standing(asker).from
        || account.sessions.iter().any(|at| at.has_told(asker))
}

/// Whether an answer may show `asker` who is there (section 11).
///
/// # Errors
/// Parks until the roster was read.
pub fn may_know(turn: &mut Turn<'_, Account>, asker: Option<&Jid>) -> Result<bool, Stop> {
    let Some(asker) = asker else {
        return Ok(false);
    };
    let has_directed = |session: &Session| !session.ended && session.has_told(asker);
    Ok(turn.actor.sessions.iter().any(has_directed) || may_see(turn, asker)?)
}

/// Whether somebody is subscribed to the account's presence, or is one of its own. Nobody sees an account that does
/// not exist.
///
/// # Errors
/// Parks until the roster was read.
pub fn may_see(turn: &mut Turn<'_, Account>, prober: &Jid) -> Result<bool, Stop> {
    if is_own(turn.actor, Some(prober)) {
        return Ok(true);
    }
    if turn.actor.anonymous {
        return Ok(false);
    }
    match account::identify(turn) {
        Ok(_) => {}
        Err(Stop::Reject(_)) => return Ok(false),
        Err(stop) => return Err(stop),
    }
    let roster = roster::load(turn)?;
    Ok(turn.actor.standing(&roster, prober).from)
}

/// Whether `asker` may know that `session` is there: it is of the same account, is subscribed to its presence, or
/// has its directed presence.
pub fn shares_presence(account: &Account, session: SessionId, asker: Option<&Jid>) -> bool {
    let (Some(asker), Some(session)) = (asker, account.session(session)) else {
        return false;
    };
    is_own(account, Some(asker))
        || session.has_told(asker)
        || (session.is_available() && account.last_standing(asker).from)
}

/// Whether `asker` is one of the account's own.
pub fn is_own(account: &Account, asker: Option<&Jid>) -> bool {
    asker.is_some_and(|asker| asker.bare_str() == account.jid.as_str())
}
