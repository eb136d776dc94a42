//! What those see of an account who are blocked (XEP-0191), and who are not any more.

use crate::actor::Turn;
use crate::im::account::{Account, Change};
use crate::im::blocking::Blocklist;
use crate::im::roster::Roster;
use crate::jid::Jid;

use super::{addressed, broadcast, contacts, gone, is_own, probe_of};

/// XEP-0191 section 3.3: "When the user blocks communications with a JID, the user's server MUST send unavailable
/// presence information to the JID (but only if the JID is allowed to receive presence notifications from the user".
/// That are contacts with a subscription and who has directed presence.
pub fn hide(turn: &mut Turn<'_, Account>, roster: &Roster, old: &Blocklist, new: &Blocklist) {
    let seers = seers(turn.actor, roster, new, old);
    for session in turn.actor.sessions.iter().filter(|session| !session.ended) {
        if session.is_available() {
            broadcast(turn, gone(session), seers.iter().collect());
        }
        let directed = session.directed.iter();
        let is_hit =
            |to: &&Jid| new.matches(to) && !old.matches(to) && !is_own(turn.actor, Some(to));
        for to in directed.filter(is_hit) {
            if !session.is_available() || !seers.contains(&to.to_bare()) {
                turn.out.send(addressed(&gone(session), to));
            }
            turn.out.change.push(Change::Directed {
                session: session.id,
                to: to.clone(),
                available: false,
            });
        }
    }
}

/// XEP-0191 section 3.4: "When the user unblocks communications with a JID, the user's server MUST send the user's
/// current presence information to the JID (but only if the JID is allowed to receive presence notifications from the
/// user". What they said meanwhile was not delivered, so they are asked.
pub fn show(turn: &mut Turn<'_, Account>, roster: &Roster, old: &Blocklist, new: &Blocklist) {
    let seers = seers(turn.actor, roster, old, new);
    let is_free = |jid: &Jid| old.matches(jid) && !new.matches(jid);
    let mut seen = contacts(turn.actor, roster, &Blocklist::default(), |s| s.to);
    seen.retain(is_free);
    for session in turn.actor.available() {
        if let Some(presence) = &session.presence {
            broadcast(turn, presence.clone(), seers.iter().collect());
        }
        broadcast(turn, probe_of(session), seen.iter().collect());
    }
}

/// Who has a subscription to the account's presence and is matched by one list and not by the other. A listed full
/// JID stands for itself.
fn seers(account: &Account, roster: &Roster, by: &Blocklist, not_by: &Blocklist) -> Vec<Jid> {
    let mut seers = contacts(account, roster, &Blocklist::default(), |s| s.from);
    seers.retain(|jid| by.matches(jid) && !not_by.matches(jid));
    let full = by
        .jids()
        .filter(|jid| jid.is_full() && !not_by.matches(jid));
    let full = full.filter(|jid| account.standing(roster, jid).from);
    seers.extend(full.filter(|jid| !by.matches(&jid.to_bare())).cloned());
    seers
}
