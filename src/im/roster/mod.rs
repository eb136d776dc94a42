//! The roster (RFC 6121 section 2) of an account: how it is read, kept and changed. While the account is resident
//! so is its packed form ([`Roster`]); names and groups are read from the store when a client shall see them.
//!
//! | section | item |
//! |---|---|
//! | 2.1.2 items | [`RosterItem`], [`Standing`] |
//! | 2.1.3 get, 2.1.5 set, 2.3.3 errors | `request.rs` |
//! | 2.1.6 push | [`push`] |
//! | 2.5 removal, its subscription stanzas | [`super::subscription::remove`] |
//! | contacts that a directory has | `shared.rs`: merged into what clients see, never stored |
//! | 2.6 versions | [`change`], [`Roster::known`]; what changed since is told item by item |

mod item;
mod packed;
mod request;
pub mod shared;
mod standing;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::actor::rows::{Row, Write};
use crate::actor::{Stop, Turn};
use crate::base::{AccountId, limits};
use crate::jid::Jid;
use crate::stanza::{Header, Kind, Payload, Stanza, Type, ns};

use super::account::{self, Account, Change};
use super::session::Session;

pub use item::{
    Head, Numbers, ROSTER, Record, RosterItem, first_from, head_key, next_account, renewed,
};
pub use packed::{Contact, Counts, Roster};
pub use request::{check_quota, portable, query, set};
pub use standing::Standing;

/// The account's roster; empty for an anonymous one.
///
/// # Errors
/// Parks until it was read; rejects when there is no such account.
pub fn load(turn: &mut Turn<'_, Account>) -> Result<Arc<Roster>, Stop> {
    if let Some(roster) = turn.actor.roster() {
        return Ok(roster);
    }
    if turn.actor.anonymous {
        return Ok(Arc::default());
    }
    let account = account::identify(turn)?;
    let rows = rows(turn, account)?;
    let roster = Arc::new(Roster::read(rows, turn.actor.jid.domainpart()));
    let read = Arc::clone(&roster);
    turn.out.change.push(match turn.actor.doubted_version() {
        None => Change::RosterRead(read),
        Some(_) => Change::Roster(read),
    });
    if let Some(version) = turn.actor.doubted_version() {
        push_missed(turn, &roster, rows, version);
    }
    Ok(roster)
}

/// A commit was refused and is visible all the same: clients hear what they have not heard.
fn push_missed(turn: &mut Turn<'_, Account>, roster: &Roster, rows: &[Row], version: u64) {
    let mut missed: Vec<RosterItem> = Vec::new();
    for row in rows {
        if let Some(Record::Item(item)) = Record::decode(row)
            && item.version > version
        {
            missed.push(item);
        }
    }
    missed.sort_by_key(|item| item.version);
    for item in &missed {
        push(turn, roster, item);
    }
}

/// The item of a contact with name and groups, if anything is known of the contact.
///
/// # Errors
/// Parks until it was read.
pub fn item(
    turn: &mut Turn<'_, Account>,
    roster: &Roster,
    jid: &Jid,
) -> Result<Option<RosterItem>, Stop> {
    if roster.find(jid, turn.actor.jid.domainpart()).is_none() {
        return Ok(None);
    }
    let account = account::identify(turn)?;
    let value = turn.load(&ROSTER, &item::key(account, jid))?;
    Ok(value.and_then(|value| item::decode_value(jid.to_bare(), value)))
}

/// All items with names and groups.
///
/// # Errors
/// Parks until they were read.
pub fn items(turn: &mut Turn<'_, Account>) -> Result<Vec<RosterItem>, Stop> {
    let account = account::identify(turn)?;
    let rows = rows(turn, account)?.iter();
    let items = rows.filter_map(|row| match Record::decode(row) {
        Some(Record::Item(item)) => Some(item),
        _ => None,
    });
    Ok(items.collect())
}

/// What stands between the account and an address, by what is in memory or by one row: for who asks little of an account
/// that may have ten thousand contacts.
///
/// # Errors
/// Parks until it was read; rejects when there is no such account.
pub fn standing(turn: &mut Turn<'_, Account>, jid: &Jid) -> Result<Standing, Stop> {
    if let Some(roster) = turn.actor.roster() {
        return Ok(turn.actor.standing(&roster, jid));
    }
    let account = account::identify(turn)?;
    let value = turn.load(&ROSTER, &item::key(account, jid))?;
    let item = value.and_then(|value| item::decode_value(jid.to_bare(), value));
    let own = item.map(|item| item.standing).unwrap_or_default();
    Ok(own.or(shared::standing_of(turn.actor.relation(jid))))
}

/// Whether clients see a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It is the server's own affair.
    Hidden,
    /// The roster has a new version.
    Shown,
}

/// Writes `new` in place of `old`; the roster as it is then, and the item with its version. An item that is not
/// listed any more is remembered as removed for a while, so that clients with an older roster can be told.
///
/// # Errors
/// Parks until the account is identified.
pub fn change(
    turn: &mut Turn<'_, Account>,
    roster: &Roster,
    old: Option<&RosterItem>,
    mut new: RosterItem,
    sight: Sight,
) -> Result<(Arc<Roster>, RosterItem), Stop> {
    let account = account::identify(turn)?;
    let domain = turn.actor.jid.domainpart();
    if sight == Sight::Shown {
        new.version = roster.version + 1;
    }
    let mut after = roster.with(domain, old, &new);
    turn.out.write.push(write_of(account, &new));
    if sight == Sight::Shown && after.head.epoch == 0 {
        // A random number that is not 0, which says that there is none yet.
        after.head.epoch = 1 + turn.rng.below(u32::MAX - 1);
    }
    if after.counts.removed > limits::ROSTER_REMOVED_MAX {
        after = forget_oldest(turn, account, after, &new.jid);
    }
    if after.head != roster.head {
        turn.out.write.push(Write::Put {
            table: &ROSTER,
            key: item::head_key(account),
            value: after.head.encode(),
        });
    }
    let after = Arc::new(after);
    turn.out.change.push(Change::Roster(Arc::clone(&after)));
    Ok((after, new))
}

/// Section 2.1.6: tells all interested resources of a changed item, and nobody else.
pub fn push(turn: &mut Turn<'_, Account>, roster: &Roster, item: &RosterItem) {
    let item = shared::merged(turn.actor, item);
    let own = roster.ver(item.version);
    // What it has not been told of the lists it has not seen, whatever else it is told. Nor is what it had seen before what it
    // has then: the item is what the lists make of it now.
    let now = turn.actor.membership.digest();
    push_as(turn, &own, &item, |session| {
        match session.lists_seen == now {
            true => now,
            false => shared::NO_STATE,
        }
    });
    let mut sessions = turn.actor.sessions.iter();
    if sessions.any(|session| session.interested && session.lists_seen != now) {
        let before = now;
        turn.out.change.push(Change::ListsTold { before, now });
    }
}

/// The same with this version of what is the user's own, and with what each has `seen` of the lists once it has the item.
fn push_as(
    turn: &mut Turn<'_, Account>,
    own: &str,
    item: &RosterItem,
    seen: impl Fn(&Session) -> u64,
) {
    // Mostly all have seen the same.
    let mut payloads: BTreeMap<u64, Payload> = BTreeMap::new();
    let sessions = turn.actor.sessions.iter();
    for session in sessions.filter(|session| session.interested && !session.ended) {
        let seen = seen(session);
        let payload = payloads
            .entry(seen)
            .or_insert_with(|| pushed(&shared::with_digest(own, seen), item));
        push_to(turn, session, payload.clone());
    }
}

fn push_to(turn: &mut Turn<'_, Account>, session: &Session, payload: Payload) {
    // Without 'from': "implicitly from the bare JID of the user's account".
    let header = Header {
        to: Some(session.jid.clone()),
        id: Some(turn.rng.token().into()),
        ..Header::new(Kind::Iq, Type::Set)
    };
    turn.out.deliver(session.id, Stanza { header, payload });
}

/// "The <query/> element in a roster push MUST contain one and only one <item/> element", and section 2.6.3: "the
/// server MUST include the updated roster version with each roster push".
fn pushed(ver: &str, item: &RosterItem) -> Payload {
    query_of(ver, std::iter::once(item), |item, xml| item.write(xml))
}

fn query_of<T>(
    ver: &str,
    items: impl Iterator<Item = T>,
    write: impl Fn(&T, &mut Vec<u8>),
) -> Payload {
    let mut xml = format!("<query xmlns='{}' ver='{ver}'", ns::ROSTER).into_bytes();
    let mut is_open = false;
    for item in items {
        if !is_open {
            xml.push(b'>');
            is_open = true;
        }
        write(&item, &mut xml);
    }
    xml.extend_from_slice(match is_open {
        true => b"</query>",
        false => b"/>",
    });
    Payload::from_element(std::str::from_utf8(&xml).expect("written from strings and ASCII only"))
}

/// All rows of the roster.
fn rows<'a>(turn: &Turn<'a, Account>, account: AccountId) -> Result<&'a [Row], Stop> {
    let (rows, more) = turn.load_range(&ROSTER, &item::range(account))?;
    if more {
        log::error!("roster_too_large account={}", turn.actor.jid);
    }
    Ok(rows)
}

fn write_of(account: AccountId, item: &RosterItem) -> Write {
    let key = item::key(account, &item.jid);
    match item.is_kept() {
        true => Write::Put {
            table: &ROSTER,
            key,
            value: item.encode(),
        },
        false => Write::Delete {
            table: &ROSTER,
            key,
        },
    }
}

/// Forgets one removed item: who has a version from before hears everything anew.
fn forget_oldest(
    turn: &mut Turn<'_, Account>,
    account: AccountId,
    roster: Roster,
    besides: &Jid,
) -> Roster {
    let domain = turn.actor.jid.domainpart();
    let Some(oldest) = roster.oldest_removed(besides, domain) else {
        return roster;
    };
    let (floor, standing) = (oldest.version, oldest.standing);
    let Some(jid) = oldest.jid(domain) else {
        return roster;
    };
    // A removed item has neither name nor groups. What it had of numbers is forgotten with it, and at worst a stanza that
    // was said twice is heard twice.
    let removed = RosterItem {
        standing,
        version: floor,
        ..RosterItem::unknown(jid)
    };
    let forgotten = RosterItem {
        version: 0,
        ..removed.clone()
    };
    let mut after = roster.with(domain, Some(&removed), &forgotten);
    after.head.floor = after.head.floor.max(floor);
    turn.out.write.push(write_of(account, &forgotten));
    after
}
