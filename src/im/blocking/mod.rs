//! Communications blocking (XEP-0191) as it shapes what others do: the list of an account, what it keeps away in
//! both directions, and who sees the account when it changes. Refuses to know how clients ask for that
//! (`features/blocking`).
//!
//! | section | item |
//! |---|---|
//! | 3.3 outbound stanzas | [`outbound`] |
//! | 3.3 inbound stanzas | [`inbound`] |
//! | 3.3, 3.4 presence when the list changes | [`change`], `presence::hide`, `presence::show` |
//! | 5 JID matching | [`Blocklist::matches`] |
//!
//! Never blocked are the account's own resources ("MUST NOT block communications from one of a user's resources to
//! another") and the server itself, by its bare domain: it does the blocking.
//!
//! Subscriptions stay as they are ("polite blocking", section 4). What a blocked contact takes back or grants changes
//! the roster without a word, so that both sides agree later; what it asks for is dropped.

mod list;

use std::sync::Arc;

use crate::actor::rows::Write;
use crate::actor::{Draft, Outcome, Stop, Turn};
use crate::jid::Jid;
use crate::stanza::{Condition, ErrorType, Header, Kind, Stanza, StanzaError, Type, reply_error};

use super::account::{self, Account, Change};
use super::presence;
use super::roster;
use super::subscription::Act;

pub use list::{BLOCKLIST, Blocklist};

/// Whom the account blocks; nobody if it cannot, being anonymous or none at all.
///
/// # Errors
/// Parks until the list was read.
pub fn load(turn: &mut Turn<'_, Account>) -> Result<Arc<Blocklist>, Stop> {
    if let Some(list) = turn.actor.blocklist() {
        return Ok(list);
    }
    let mut list = Arc::default();
    if !turn.actor.anonymous && turn.catalog.has(FEATURE) {
        let account = match account::identify(turn) {
            Ok(account) => account,
            // There is nobody: whoever goes on with the stanza finds that out.
            Err(Stop::Reject(_)) => return Ok(list),
            Err(stop) => return Err(stop),
        };
        if let Some(row) = turn.load(&BLOCKLIST, &list::key(account))? {
            list = match Blocklist::decode(row) {
                Some(read) => Arc::new(read),
                None => {
                    log::error!("blocklist_damaged account={}", turn.actor.jid);
                    list
                }
            };
        }
    }
    let read = Change::BlocklistRead(Arc::clone(&list));
    turn.out.change.push(read);
    Ok(list)
}

/// Whether the account blocks this address.
///
/// # Errors
/// Parks until the list was read.
pub fn is_blocked(turn: &mut Turn<'_, Account>, jid: &Jid) -> Result<bool, Stop> {
    if turn.actor.blocks_nobody() || is_never_blocked(turn.actor, jid) {
        return Ok(false);
    }
    Ok(load(turn)?.matches(jid))
}

/// Whether the account blocked this address when its list was last known: for those who cannot wait.
pub fn was_blocked(account: &Account, jid: &Jid) -> bool {
    let list = account.last_blocklist();
    list.is_some_and(|list| list.matches(jid) && !is_never_blocked(account, jid))
}

fn is_never_blocked(account: &Account, jid: &Jid) -> bool {
    jid.bare_str() == account.jid.as_str() || jid.as_str() == account.jid.domainpart()
}

/// Outbound, first: "If the user attempts to send an outbound stanza to the JID, the user's server MUST NOT route the
/// stanza to the JID".
pub fn outbound(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    if turn.actor.blocks_nobody() {
        return Ok(());
    }
    let Some(to) = &draft.stanza.header.to else {
        return Ok(());
    };
    match is_blocked(turn, to)? {
        true => Err(Stop::Reject(blocked())),
        false => Ok(()),
    }
}

/// Inbound, first: "Once the user has blocked communications with a JID, the user's server MUST NOT deliver any XML
/// stanzas from the JID to the user."
pub fn inbound(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    if turn.actor.blocks_nobody() {
        return Ok(());
    }
    let header = &draft.stanza.header;
    let Some(from) = &header.from else {
        return Ok(());
    };
    if meets_nobody(turn.actor, header) || !is_blocked(turn, from)? {
        return Ok(());
    }
    let is_answered = match header.kind {
        // "For message stanzas, the server SHOULD return an error, which SHOULD be <service-unavailable/>."
        Kind::Message => true,
        // "For IQ stanzas of type "get" or "set", the server MUST return an error, which SHOULD be
        // <service-unavailable/>. IQ stanzas of other types MUST be silently dropped by the server."
        Kind::Iq => true,
        // "For presence stanzas (including notifications, subscriptions, and probes), the server MUST NOT respond and
        // MUST NOT return an error."
        Kind::Presence => match Act::of(header.type_) {
            Some(Act::Subscribe) | None => false,
            // Happens without a word (`subscription::inbound`).
            Some(_) => return Ok(()),
        },
    };
    // In the words in which who does not exist is missed, though what strangers may not ask refuses them in others: that
    // is what the clause above wants. Errors and results are never answered.
    let reply = reply_error(&draft.stanza, &account::unavailable());
    if let Some(reply) = reply.filter(|reply| is_answered && reply.header.to.is_some()) {
        turn.out.send(reply);
    }
    Err(Stop::Done)
}

/// Whether the stanza comes to nothing whoever sent it, so that there is no need to know the list.
fn meets_nobody(account: &Account, header: &Header) -> bool {
    let resource = header.to.as_ref().and_then(Jid::resourcepart);
    match (header.kind, resource) {
        (Kind::Message, _) => false,
        (Kind::Iq, Some(resource)) => account.resource(resource).is_none(),
        (Kind::Iq, None) => false,
        (Kind::Presence, _) => {
            let tells = [Type::Available, Type::Unavailable, Type::Error];
            account.sessions.is_empty() && tells.contains(&header.type_)
        }
    }
}

/// The list is another: it is kept, and whoever may see the account sees it go, or come back.
///
/// # Errors
/// Parks until the roster was read.
pub fn change(turn: &mut Turn<'_, Account>, old: &Blocklist, new: Blocklist) -> Outcome {
    if *old == new {
        return Ok(());
    }
    let account = account::identify(turn)?;
    let roster = roster::load(turn)?;
    presence::hide(turn, &roster, old, &new);
    presence::show(turn, &roster, old, &new);
    let key = list::key(account);
    turn.out.write.push(match new.is_empty() {
        true => Write::Delete {
            table: &BLOCKLIST,
            key,
        },
        false => Write::Put {
            table: &BLOCKLIST,
            key,
            value: new.encode(),
        },
    });
    turn.out.change.push(Change::Blocklist(Arc::new(new)));
    Ok(())
}

/// A message that was kept for somebody is from one whom they blocked since.
///
/// # Errors
/// Parks until the list was read.
pub fn is_unwanted(turn: &mut Turn<'_, Account>, stanza: &Stanza) -> Result<bool, Stop> {
    match &stanza.header.from {
        Some(from) if stanza.header.kind == Kind::Message => is_blocked(turn, from),
        _ => Ok(false),
    }
}

/// "MUST return a <not-acceptable/> error containing an application-specific error condition of <blocked/>", in the
/// example of type "cancel".
fn blocked() -> StanzaError {
    StanzaError::new(Condition::NotAcceptable, "You have blocked this address")
        .of_type(ErrorType::Cancel)
        .with_application(BLOCKED)
}

const BLOCKED: &str = "<blocked xmlns='urn:xmpp:blocking:errors'/>";

/// The name of the switch in `[features]`.
pub const FEATURE: &str = "blocking";
