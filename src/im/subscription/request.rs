//! Subscription requests that the user has not answered (RFC 6121 section 3.1.3): kept whole, shown to each resource
//! that becomes available, forgotten when they are answered or withdrawn.

use crate::actor::rows::{Durability, Export, RowKey, RowRange, Slices, Table, Write};
use crate::actor::{Outcome, Stop, Turn};
use crate::base::{AccountId, SessionId, limits};
use crate::im::account::{self, Account};
use crate::im::blocking;
use crate::im::roster::{Roster, RosterItem};
use crate::jid::Jid;
use crate::stanza::{Stanza, read_stored};

/// Requests that wait for the user's answer, whole.
pub static REQUEST: Table = Table {
    name: "request",
    durability: Durability::BeforeReply,
    export: Export::WithAccount,
    slices: Slices::Whole,
    about: "Subscription requests that the user has not answered; key: account id, the requester's bare JID",
};

/// Requests that wait for an answer, to a session that becomes available: "The contact's server MUST continue to
/// deliver the subscription request whenever the contact creates an available resource".
///
/// # Errors
/// Parks until they were read.
pub fn show(turn: &mut Turn<'_, Account>, roster: &Roster, session: SessionId) -> Outcome {
    if roster.counts.pending_in == 0 {
        return Ok(());
    }
    let account = account::identify(turn)?;
    let (rows, _) = turn.load_range(&REQUEST, &range(account))?;
    let requests: Vec<Option<Stanza>> = rows.iter().map(|r| decode(&r.value)).collect();
    for request in requests {
        match request {
            // It came before its sender was blocked (XEP-0191); it waits for the user to think better of it.
            Some(stanza) if is_hidden(turn, &stanza)? => {}
            Some(stanza) => turn.out.deliver(session, stanza),
            None => log::error!("request_row_damaged account={}", turn.actor.jid),
        }
    }
    Ok(())
}

/// The requests as they leave with their owner, those of blocked addresses too.
///
/// # Errors
/// Parks until they were read.
pub fn portable(turn: &mut Turn<'_, Account>) -> Result<String, Stop> {
    let account = account::identify(turn)?;
    let (rows, _) = turn.load_range(&REQUEST, &range(account))?;
    let mut xml = Vec::new();
    for request in rows.iter().filter_map(|row| decode(&row.value)) {
        request.write_standalone(&mut xml);
    }
    Ok(String::from_utf8(xml).expect("written from strings and ASCII only"))
}

fn is_hidden(turn: &mut Turn<'_, Account>, request: &Stanza) -> Result<bool, Stop> {
    match &request.header.from {
        Some(from) => blocking::is_blocked(turn, from),
        None => Ok(false),
    }
}

/// What was asked is answered or withdrawn: it is not shown again.
pub(super) fn answer(
    turn: &mut Turn<'_, Account>,
    old: Option<&RosterItem>,
    new: &RosterItem,
) -> Outcome {
    let was_pending = old.is_some_and(|item| item.standing.pending_in);
    if was_pending && !new.standing.pending_in {
        let account = account::identify(turn)?;
        turn.out.write.push(Write::Delete {
            table: &REQUEST,
            key: key(account, &new.jid),
        });
    }
    Ok(())
}

pub(super) fn put(account: AccountId, contact: &Jid, stanza: &Stanza) -> Write {
    let mut value = vec![ROW_VERSION];
    stanza.write_standalone(&mut value);
    Write::Put {
        table: &REQUEST,
        key: key(account, contact),
        value: value.into(),
    }
}

/// A stored request; none if the row is damaged.
pub fn decode(value: &[u8]) -> Option<Stanza> {
    let (&version, xml) = value.split_first()?;
    (version == ROW_VERSION).then_some(())?;
    read_stored(std::str::from_utf8(xml).ok()?)
}

fn key(account: AccountId, contact: &Jid) -> RowKey {
    RowKey::new(&account.0.to_be_bytes()).then(contact.bare_str().as_bytes())
}

fn range(account: AccountId) -> RowRange {
    RowRange {
        from: RowKey::new(&account.0.to_be_bytes()),
        to: RowKey::new(&account.0.saturating_add(1).to_be_bytes()),
        count_max: usize::MAX,
        bytes_max: limits::ROSTER_READ_BYTES_MAX,
    }
}

const ROW_VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::{Header, Kind, Payload, Type};

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let mut header = Header::new(Kind::Presence, Type::Subscribe);
        header.from = Jid::parse("romeo@example.net").ok();
        header.to = Jid::parse("juliet@example.com").ok();
        let payload =
            Payload::from_normal("<status>Hi &amp; hello</status><x xmlns='urn:example:x'/>");
        let stanza = Stanza { header, payload };
        let contact = Jid::parse("romeo@example.net").expect("valid");
        let Write::Put { key, value, .. } = put(AccountId(3), &contact, &stanza) else {
            panic!("a request is put");
        };
        assert_eq!(decode(&value), Some(stanza));
        let range = range(AccountId(3));
        assert!(range.from < key && key < range.to);
        assert_eq!(decode(b""), None);
        assert_eq!(decode(b"\x02<presence/>"), None);
    }
}
