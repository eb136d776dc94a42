//! Contacts that lists of the host's directory put into rosters ([`crate::actor::groups`]), beside those that users have
//! themselves: how both become one item, how a version tells what was seen of both, and what follows when lists change.
//! Nothing of a list is stored with an account.
//!
//! The rules of the merge: while a list shows a contact, the subscription is at least what the list says; a name that the
//! user gave stays, else it is the directory's; the contact is in the user's own groups and in those of the lists; the item
//! cannot be removed. What is the user's own stays when the list shows the contact no more.

use std::collections::{BTreeMap, BTreeSet};

use crate::actor::groups::{Colleague, Membership};
use crate::actor::{Outcome, Stop, Turn};
use crate::base::limits;
use crate::im::account::{self, Account, Change};
use crate::im::presence;
use crate::im::session::Session;
use crate::jid::Jid;

use super::item::RosterItem;
use super::{Roster, items, load, push_as, standing::Standing};

/// The contacts that the lists show an account, by their localparts.
pub fn shown(account: &Account) -> BTreeMap<&str, Colleague<'_>> {
    view(&account.membership)
        .into_iter()
        .filter(|(_, colleague)| colleague.relation.to)
        .collect()
}

fn view(place: &Membership) -> BTreeMap<&str, Colleague<'_>> {
    let found = place.member().map(|(groups, me)| groups.colleagues(me));
    let found = found.into_iter().flatten();
    found
        .map(|colleague| (colleague.localpart, colleague))
        .collect()
}

/// An item as clients see it; the lists may have nothing to say of it.
pub fn merged(account: &Account, item: &RosterItem) -> RosterItem {
    let mut item = item.clone();
    if account.relation(&item.jid) == Default::default() {
        return item;
    }
    let localpart = item.jid.localpart().unwrap_or_default().to_owned();
    let colleague = account
        .membership
        .member()
        .and_then(|(groups, me)| groups.colleague(me, &localpart));
    if let Some(colleague) = colleague {
        merge(&mut item, &colleague);
    }
    item
}

/// What a list says added to what the user says.
pub fn merge(item: &mut RosterItem, colleague: &Colleague<'_>) {
    let relation = colleague.relation;
    // Who sees the user through a list is in the roster only if the user wants that.
    item.standing.to |= relation.to;
    item.standing.from |= relation.from;
    if !relation.to {
        return;
    }
    if !item.standing.listed {
        item.name.clear();
        item.groups.clear();
    }
    item.standing.listed = true;
    item.standing.ask = false;
    if item.name.is_empty() {
        colleague.name.clone_into(&mut item.name);
    }
    for name in &colleague.lists {
        let is_there = item.groups.iter().any(|group| group == name);
        if !name.is_empty() && !is_there {
            item.groups.push((*name).to_owned());
        }
    }
}

/// What of a roster set is the user's own: what a list says anyway is the list's.
pub fn strip(item: &mut RosterItem, colleague: &Colleague<'_>) {
    if item.name == colleague.name {
        item.name.clear();
    }
    item.groups
        .retain(|group| !colleague.lists.contains(&group.as_str()));
    let standing = item.standing;
    let has_own = standing.to || standing.from || standing.ask || standing.approved;
    item.standing.listed = has_own || !item.name.is_empty() || !item.groups.is_empty();
}

/// The version of a whole roster (RFC 6121 section 2.6): of the user's own items, and a digest of what the lists show, so
/// that a client that has seen another state of them gets everything. Only of those that are here it is remembered which
/// state that is ([`Session::lists_seen`]).
pub fn ver(account: &Account, roster: &Roster, version: u64) -> String {
    with_digest(&roster.ver(version), account.membership.digest())
}

/// A version of the user's own items, with this digest of what is seen of the lists.
pub fn with_digest(own: &str, digest: u64) -> String {
    match digest {
        0 => own.to_owned(),
        digest => format!("{own}.{digest:016x}"),
    }
}

/// The version of the user's own items that `ver` names, if nothing else has changed since.
pub fn known(account: &Account, roster: &Roster, ver: &str) -> Option<u64> {
    match (ver.split_once('.'), account.membership.digest()) {
        (None, 0) => roster.known(ver),
        (Some((own, seen)), digest) => {
            let seen = u64::from_str_radix(seen, 16).ok()?;
            (seen == digest && digest != 0).then(|| roster.known(own))?
        }
        (None, _) => None,
    }
}

/// Whether an account has anything to tell or to do because its place is another than before. Of a list with many members
/// its members are not told one by one.
pub fn is_touched(before: &Membership, now: &Membership, pushes_max: usize) -> bool {
    let keys = |place: &Membership| {
        let keys = place.member().map(|(groups, me)| groups.keys(me));
        let (on, sees) = keys.unwrap_or_default();
        let owned = |keys: Vec<&str>| keys.into_iter().map(str::to_owned).collect::<Vec<_>>();
        (owned(on), owned(sees))
    };
    let has_moved = keys(before) != keys(now);
    let largest = now.member().map_or(0, |(groups, me)| groups.largest(me));
    has_moved || (before.digest() != now.digest() && largest <= pushes_max)
}

/// The lists are others than before: clients are told what they see of it, and who came to a list sees and is seen.
///
/// # Errors
/// Parks until roster and blocklist were read.
pub fn regrouped(turn: &mut Turn<'_, Account>, before: &Membership) -> Outcome {
    if turn.actor.anonymous || turn.actor.sessions.iter().all(|session| session.ended) {
        return Ok(());
    }
    let roster = load(turn)?;
    let account = turn.actor;
    let (old, new) = (view(before), view(&account.membership));
    let everybody: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    let mut told = Vec::new();
    let (mut gone, mut seers, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for localpart in everybody {
        let (was, is) = (old.get(localpart), new.get(localpart));
        let Ok(jid) = Jid::from_parts(Some(localpart), account.jid.domainpart(), None) else {
            continue;
        };
        if was.and_then(shape) != is.and_then(shape) {
            told.push(jid.clone());
        }
        let own = roster.standing(&jid, account.jid.domainpart());
        let relation = |at: Option<&Colleague<'_>>| at.map(|it| it.relation).unwrap_or_default();
        let (was, is) = (relation(was), relation(is));
        match (was.from || own.from, is.from || own.from) {
            (true, false) => gone.push(jid.clone()),
            (false, true) => seers.push(jid.clone()),
            _ => {}
        }
        if is.to && !was.to && !own.to {
            seen.push(jid);
        }
    }
    tell(turn, &roster, before, &told)?;
    // Whoever came introduces himself, and asks: the others have nothing to do.
    let keys = |place: &Membership| {
        let keys = place.member().map(|(groups, me)| groups.keys(me));
        let (on, sees) = keys.unwrap_or_default();
        let owned = on.into_iter().chain(sees).map(str::to_owned);
        owned.collect::<BTreeSet<_>>()
    };
    let has_come = !keys(&account.membership).is_subset(&keys(before));
    if !has_come {
        (seers, seen) = (Vec::new(), Vec::new());
    }
    presence::regrouped(turn, &gone, &seers, &seen)
}

/// What a roster shows of somebody because of lists; none if nothing.
fn shape<'a>(colleague: &'a Colleague<'_>) -> Option<(bool, &'a str, &'a [&'a str])> {
    let relation = colleague.relation;
    relation
        .to
        .then_some((relation.from, colleague.name, &colleague.lists[..]))
}

/// Roster pushes for these, unless they are so many that a client does better to ask for the roster again.
fn tell(
    turn: &mut Turn<'_, Account>,
    roster: &Roster,
    before: &Membership,
    told: &[Jid],
) -> Outcome {
    let is_interested = turn
        .actor
        .sessions
        .iter()
        .any(|it| it.interested && !it.ended);
    if told.len() > limits::ROSTER_DELTA_MAX || !is_interested {
        return Ok(());
    }
    let (was, is) = (before.digest(), turn.actor.membership.digest());
    let domain = turn.actor.jid.domainpart();
    let own = match told.iter().any(|jid| roster.find(jid, domain).is_some()) {
        true => items(turn)?,
        false => Vec::new(),
    };
    for (at, jid) in told.iter().enumerate() {
        let own = own.iter().find(|item| item.jid == *jid).cloned();
        let item = own.unwrap_or_else(|| RosterItem::unknown(jid.clone()));
        let item = merged(turn.actor, &item);
        // Whoever goes in between has seen neither state, and gets everything when he comes back; so does who was not told
        // of a change before this one. Who has asked since has seen it all.
        let is_last = at + 1 == told.len();
        let seen = |session: &Session| {
            let has_all = session.lists_seen == is || is_last && session.lists_seen == was;
            if has_all { is } else { NO_STATE }
        };
        push_as(turn, &roster.ver(roster.version), &item, seen);
    }
    turn.out.change.push(Change::ListsTold {
        before: was,
        now: is,
    });
    Ok(())
}

/// What is seen of lists where that is none of their states: those that are now may come back.
pub const NO_STATE: u64 = u64::MAX;

/// Until the groups of the host are known for the first time, a roster without them would be wrong.
///
/// # Errors
/// Leaves the mailbox until the directory has answered, or failed to.
pub fn await_groups(turn: &mut Turn<'_, Account>) -> Result<(), Stop> {
    use crate::actor::directory::{DirectoryAsk, DirectoryWish};
    let directory = turn.host.directory.as_ref();
    let means_groups = directory.is_some_and(|directory| directory.groups.is_some());
    if !means_groups || turn.actor.membership.groups().is_some() || turn.actor.anonymous {
        return Ok(());
    }
    account::identify(turn)?;
    turn.ask_directory(&DirectoryAsk {
        host: turn.host.name.clone(),
        localpart: turn.actor.jid.localpart().unwrap_or_default().into(),
        wish: DirectoryWish::Groups,
    })?;
    Ok(())
}

/// A relation as a standing.
pub fn standing_of(relation: crate::actor::groups::Relation) -> Standing {
    Standing {
        to: relation.to,
        from: relation.from,
        listed: relation.to,
        ..Standing::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::groups::Relation;

    fn colleague(to: bool, from: bool) -> Colleague<'static> {
        Colleague {
            localpart: "nurse",
            name: "The Nurse",
            relation: Relation { to, from },
            lists: vec!["The Capulets"],
        }
    }

    fn own(name: &str, groups: &[&str]) -> RosterItem {
        let mut item = RosterItem::unknown(Jid::parse("nurse@a").expect("valid"));
        item.standing.listed = true;
        item.name = name.to_owned();
        item.groups = groups.iter().map(|group| (*group).to_owned()).collect();
        item
    }

    #[test]
    fn own_names_and_groups_stay_and_the_lists_are_added() {
        let mut item = own("Angelica", &["Friends"]);
        item.standing.ask = true;
        merge(&mut item, &colleague(true, true));
        assert_eq!(item.name, "Angelica");
        assert_eq!(item.groups, ["Friends", "The Capulets"]);
        assert_eq!(item.standing.subscription(), "both");
        assert!(!item.standing.ask);
        let mut item = RosterItem::unknown(item.jid);
        merge(&mut item, &colleague(true, false));
        assert_eq!(
            (item.name.as_str(), item.standing.subscription()),
            ("The Nurse", "to")
        );
        assert!(item.standing.listed);
        // Who sees one through a list is nobody whom one has in the roster.
        let mut item = RosterItem::unknown(item.jid);
        merge(&mut item, &colleague(false, true));
        assert!(!item.standing.listed && item.standing.from && item.name.is_empty());
    }

    #[test]
    fn what_a_list_says_anyway_is_not_the_users_own() {
        let nurse = colleague(true, true);
        let mut item = own("The Nurse", &["The Capulets"]);
        strip(&mut item, &nurse);
        assert!(!item.standing.listed && item.name.is_empty() && item.groups.is_empty());
        let mut item = own("Angelica", &["The Capulets", "Friends"]);
        strip(&mut item, &nurse);
        assert!(item.standing.listed);
        assert_eq!(
            (item.name.as_str(), &item.groups[..]),
            ("Angelica", &["Friends".to_owned()][..])
        );
        let mut item = own("", &[]);
        item.standing.to = true;
        strip(&mut item, &nurse);
        assert!(item.standing.listed, "the subscription is the user's");
    }
}
