//! What a client asks of its roster: get and set (RFC 6121 sections 2.1.3 to 2.6), with every error of section
//! 2.3.3.

use std::collections::BTreeSet;

use crate::actor::rows::Row;
use crate::actor::{Outcome, Stop, Turn};
use crate::base::limits;
use crate::im::account::{self, Account, Change};
use crate::im::{iq, subscription};
use crate::jid::{Jid, prepare_resourcepart};
use crate::stanza::{Condition, Iq, Payload, StanzaError, ns};
use crate::xml::Element;

use super::item::{Record, RosterItem, Stored};
use super::{Roster, Sight, change, item, load, push, push_to, pushed, query_of, rows, shared};

/// Answers a roster get: with everything, or where the client has a version that is known, with nothing, and then
/// what changed since.
pub fn query(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    if iq.child().children().next().is_some() {
        // Section 2.1.3: "the <query/> element MUST NOT contain any <item/> child elements".
        return Err(bad_request("A roster get contains no items"));
    }
    shared::await_groups(turn)?;
    let roster = load(turn)?;
    // Section 2.2: "If a connected resource or available resource requests the roster, it is referred to as an
    // "interested resource"".
    let session = iq::requester(turn.actor, iq);
    if let Some(session) = session {
        let session = session.id;
        let lists = turn.actor.membership.digest();
        turn.out.change.push(Change::Interested { session, lists });
    }
    let since = iq.child().attribute("ver");
    let since = since.and_then(|ver| shared::known(turn.actor, &roster, &ver));
    if let (Some(since), Some(session)) = (since, session) {
        let count = roster.contacts().filter(|c| c.version > since).count();
        // Section 2.6.3: "unless returning the complete roster would ... use less bandwidth". And each push is a stanza
        // that the client has to acknowledge.
        if count <= (roster.counts.listed as usize / 2 + 1).min(limits::ROSTER_DELTA_MAX) {
            let changed = match count {
                0 => Vec::new(),
                _ => changed_since(turn, since)?,
            };
            // "the server SHOULD send an empty IQ-result and then send the modifications (if any) via roster
            // pushes": behind it, and "in order of modification".
            iq::answer(turn, iq, Payload::EMPTY);
            for item in &changed {
                let ver = shared::ver(turn.actor, &roster, item.version);
                let item = shared::merged(turn.actor, item);
                push_to(turn, session, pushed(&ver, &item));
            }
            return Ok(());
        }
    }
    let rows = match turn.actor.anonymous {
        true => &[],
        false => {
            let account = account::identify(turn)?;
            rows(turn, account)?
        }
    };
    let items = rows.iter().filter_map(Stored::of);
    let listed = items.filter(|item| item.standing.listed);
    // Section 2.1.4: "If the roster exists but there are no contacts in the roster, then the server MUST return an
    // IQ-result containing a child <query/> element that in turn contains no <item/> children".
    let ver = shared::ver(turn.actor, &roster, roster.version);
    let payload = match turn.actor.membership.member() {
        None => query_of(&ver, listed, |item, xml| item.write(xml)),
        Some(_) => {
            let all = with_lists(turn.actor, rows);
            query_of(&ver, all.iter(), |item, xml| item.write(xml))
        }
    };
    iq::answer(turn, iq, payload);
    Ok(())
}

/// What the user has and what lists show, each contact once.
fn with_lists(account: &Account, rows: &[Row]) -> Vec<RosterItem> {
    let domain = account.jid.domainpart();
    let mut shown = shared::shown(account);
    let records = rows.iter().filter_map(Record::decode);
    let own = records.filter_map(|record| match record {
        Record::Item(item) => Some(item),
        Record::Head(_) => None,
    });
    let mut all: Vec<RosterItem> = Vec::new();
    for mut item in own {
        let local = item
            .jid
            .localpart()
            .filter(|_| item.jid.domainpart() == domain);
        match local.and_then(|localpart| shown.remove(localpart)) {
            Some(colleague) => shared::merge(&mut item, &colleague),
            // Also who sees the user through a list is not in it.
            None => item = shared::merged(account, &item),
        }
        if item.standing.listed {
            all.push(item);
        }
    }
    for (localpart, colleague) in shown {
        if let Ok(jid) = Jid::from_parts(Some(localpart), domain, None) {
            let mut item = RosterItem::unknown(jid);
            shared::merge(&mut item, &colleague);
            all.push(item);
        }
    }
    all
}

/// Carries out a roster set: a new item, a changed one, or the removal of one.
pub fn set(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let wish = Wish::read(iq)?;
    if turn.actor.anonymous {
        return Err(Stop::Reject(StanzaError::new(
            Condition::NotAllowed,
            "An anonymous account has no roster",
        )));
    }
    if wish.jid.as_str() == turn.actor.jid.as_str() {
        return Err(Stop::Reject(StanzaError::new(
            Condition::NotAllowed,
            "You see your own resources without an item",
        )));
    }
    let roster = load(turn)?;
    let old = item(turn, &roster, &wish.jid)?;
    let account = turn.actor;
    let local = wish
        .jid
        .localpart()
        .filter(|_| wish.jid.domainpart() == account.jid.domainpart());
    let colleague = account.membership.member().zip(local);
    let colleague = colleague
        .and_then(|((groups, me), localpart)| groups.colleague(me, localpart))
        .filter(|colleague| colleague.relation.to);
    if wish.remove && colleague.is_some() {
        return Err(Stop::Reject(StanzaError::new(
            Condition::NotAllowed,
            "This contact comes from a list of the organisation and cannot be removed",
        )));
    }
    if wish.remove {
        let Some(old) = old.filter(|item| item.standing.listed) else {
            // Section 2.5.3.
            return Err(Stop::Reject(StanzaError::new(
                Condition::ItemNotFound,
                "This address is not in the roster",
            )));
        };
        iq::answer(turn, iq, Payload::EMPTY);
        return subscription::remove(turn, &roster, &old);
    }
    let mut new = old
        .clone()
        .unwrap_or_else(|| RosterItem::unknown(wish.jid.clone()));
    new.standing.listed = true;
    // Section 2.4.1: "the item MUST be updated exactly as provided in the roster set".
    (new.name, new.groups) = (wish.name, wish.groups);
    if let Some(colleague) = &colleague {
        shared::strip(&mut new, colleague);
        if old.is_none() && !new.standing.listed {
            // It says what the list says: there is nothing to keep, and the clients are told what they see.
            iq::answer(turn, iq, Payload::EMPTY);
            new.version = roster.version;
            push(turn, &roster, &new);
            return Ok(());
        }
    }
    check_quota(turn, &roster, old.as_ref(), &new)?;
    let (roster, new) = change(turn, &roster, old.as_ref(), new, Sight::Shown)?;
    iq::answer(turn, iq, Payload::EMPTY);
    push(turn, &roster, &new);
    Ok(())
}

/// The roster as it leaves with its owner (XEP-0227 section 4.4).
///
/// # Errors
/// Parks until it was read.
pub fn portable(turn: &mut Turn<'_, Account>) -> Result<String, Stop> {
    let mut xml = format!("<query xmlns='{}'>", ns::ROSTER).into_bytes();
    for item in items(turn)?.iter().filter(|item| item.standing.listed) {
        item.write(&mut xml);
    }
    xml.extend_from_slice(b"</query>");
    Ok(String::from_utf8(xml).expect("written from strings and ASCII only"))
}

/// Refuses an item that would make the roster too large.
///
/// # Errors
/// `resource-constraint`.
pub fn check_quota(
    turn: &Turn<'_, Account>,
    roster: &Roster,
    old: Option<&RosterItem>,
    new: &RosterItem,
) -> Outcome {
    let quota = &turn.config.roster;
    let is_new = !old.is_some_and(|item| item.standing.listed);
    let bytes = roster.counts.bytes + new.charge() - old.map_or(0, RosterItem::charge);
    let too_many = is_new && roster.counts.listed >= quota.items;
    // What shrinks is always welcome.
    let too_large = bytes as u64 > quota.size.as_bytes() && bytes > roster.counts.bytes;
    match too_many || too_large {
        true => Err(Stop::Reject(
            StanzaError::new(Condition::ResourceConstraint, "The roster is full")
                .of_type(crate::stanza::ErrorType::Cancel),
        )),
        false => Ok(()),
    }
}

/// What a roster set wishes for.
struct Wish {
    jid: Jid,
    remove: bool,
    name: String,
    groups: Vec<String>,
}

impl Wish {
    fn read(iq: Iq<'_>) -> Result<Wish, Stop> {
        let query = iq.child();
        let mut children = query.children();
        // Section 2.1.5: "MUST contain one and only one <item/> element".
        let (Some(item), None) = (children.next(), children.next()) else {
            return Err(bad_request("A roster set contains exactly one item"));
        };
        if !item.is(ns::ROSTER, "item") {
            return Err(bad_request("A roster set contains an <item/>"));
        }
        let Some(jid) = item.attribute("jid") else {
            // Section 2.1.2.3: "The 'jid' attribute is REQUIRED".
            return Err(bad_request("The item has no 'jid'"));
        };
        let jid = Jid::parse(&jid).map_err(|_| {
            Stop::Reject(StanzaError::new(
                Condition::JidMalformed,
                "The item's 'jid' is not a valid address",
            ))
        })?;
        // Section 2.1.2.5: "MUST ignore all values of the 'subscription' attribute other than "remove"".
        let remove = item.attribute("subscription").as_deref() == Some("remove");
        let name = item.attribute("name").unwrap_or_default().into_owned();
        let groups = if remove { Vec::new() } else { groups(&item)? };
        if name.len() > limits::ROSTER_NAME_BYTES_MAX {
            return Err(not_acceptable("The name is too long"));
        }
        Ok(Wish {
            jid: jid.to_bare(),
            remove,
            name,
            groups,
        })
    }
}

fn groups(item: &Element<'_>) -> Result<Vec<String>, Stop> {
    let mut groups = Vec::new();
    let mut seen = BTreeSet::new();
    for group in item.children().filter(|c| c.is(ns::ROSTER, "group")) {
        let group = group.text();
        if group.is_empty() {
            return Err(not_acceptable("A group has no name"));
        }
        if group.len() > limits::ROSTER_NAME_BYTES_MAX {
            return Err(not_acceptable("The name of a group is too long"));
        }
        if groups.len() >= limits::ROSTER_GROUPS_MAX {
            return Err(not_acceptable("The item is in too many groups"));
        }
        // "one possible comparison method ... is that described for XMPP resourceparts".
        let compared = prepare_resourcepart(&group).unwrap_or(group.clone());
        if !seen.insert(compared.into_owned()) {
            return Err(bad_request("A group is named twice"));
        }
        groups.push(group.into_owned());
    }
    Ok(groups)
}

/// All items with their names, also those that were removed.
fn items(turn: &mut Turn<'_, Account>) -> Result<Vec<RosterItem>, Stop> {
    if turn.actor.anonymous {
        return Ok(Vec::new());
    }
    let account = account::identify(turn)?;
    let records = rows(turn, account)?.iter().filter_map(Record::decode);
    let items = records.filter_map(|record| match record {
        Record::Item(item) => Some(item),
        Record::Head(_) => None,
    });
    Ok(items.collect())
}

/// What clients saw change since this version, in the order in which it did.
fn changed_since(turn: &mut Turn<'_, Account>, since: u64) -> Result<Vec<RosterItem>, Stop> {
    let mut changed = items(turn)?;
    changed.retain(|item| item.version > since);
    changed.sort_by_key(|item| item.version);
    Ok(changed)
}

fn bad_request(text: &'static str) -> Stop {
    Stop::Reject(StanzaError::new(Condition::BadRequest, text))
}

fn not_acceptable(text: &'static str) -> Stop {
    Stop::Reject(StanzaError::new(Condition::NotAcceptable, text))
}
