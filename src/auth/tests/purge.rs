//! What is left of an account that is removed.

use super::own::*;
use super::*;
use crate::actor::auth::{AccountAnswer, AccountAsk};
use crate::actor::rows::RowRange;
use crate::auth::Purged;
use crate::im::credentials::TOMBSTONE;
use crate::im::outgoing;
use crate::im::roster::{RosterItem, Standing};
use crate::jid::Jid;
use crate::stanza::Type;

/// Rosaline with a contact in each state that matters, a head row, and rows of her neighbours.
fn with_contacts(house: &House) -> AccountId {
    let id = register(house, wish("rosaline", "pencil")).expect("it is open");
    let item = |name: &str, standing| RosterItem {
        standing,
        ..RosterItem::unknown(Jid::parse(&format!("{name}@example.net")).unwrap())
    };
    let none = Standing::default();
    let (to, from) = (true, true);
    let items = [
        item("both", Standing { to, from, ..none }),
        item("asked", Standing { ask: true, ..none }),
        item(
            "asks",
            Standing {
                pending_in: true,
                ..none
            },
        ),
        item(
            "listed",
            Standing {
                listed: true,
                ..none
            },
        ),
    ];
    let mut rows = house.disk.rows.lock();
    for owner in [id, AccountId(id.0 + 1)] {
        for item in &items {
            let row = item.row(owner);
            rows.insert((ROSTER.name, row.key), row.value);
        }
    }
    let head = RowKey::new(&id.0.to_be_bytes()).then(&[0]);
    rows.insert((ROSTER.name, head), vec![1; 13]);
    id
}

/// Rosaline asks for it that she be removed.
fn remove(house: &House, id: AccountId) -> AccountAnswer {
    let ask = AccountAsk::Remove {
        host: HOST.into(),
        localpart: "rosaline".into(),
        account: first(id),
    };
    own(house, ask)
}

/// What contacts have still to be told.
fn told(house: &House) -> Vec<(String, Type, u64)> {
    let everything = outgoing::rows_after(None);
    let page = RowRange {
        count_max: 1_000,
        ..everything
    };
    let rows = house.disk.rows.lock();
    let found = rows.range((OUTGOING.name, page.from)..(OUTGOING.name, page.to));
    let found = found.map(|((_, key), value)| Row {
        key: key.clone(),
        value: value.clone(),
    });
    found
        .map(|row| {
            let (stanza, tell) = outgoing::decode(&row).expect("whole");
            assert_eq!(
                stanza.header.from.as_ref().map(Jid::as_str),
                Some("rosaline@example.com")
            );
            let to = stanza.header.to.expect("addressed").as_str().to_owned();
            (to, stanza.header.type_, tell.number)
        })
        .collect()
}

#[test]
fn nothing_is_left_of_who_removes_the_account_but_what_contacts_have_to_hear() {
    let house = open_house();
    let id = with_contacts(&house);
    assert!(matches!(remove(&house, id), AccountAnswer::Done(_)));
    assert_eq!(remove(&house, id), AccountAnswer::Gone);
    let purged = answer(&house, AuthAsk::Purge(id));
    assert!(matches!(purged, AuthAnswer::Purged(of) if of == id));
    let own_rows = |(table, key): &(&'static str, RowKey)| {
        key.as_bytes().starts_with(&id.0.to_be_bytes())
            && ![PURGE.name, OUTGOING.name].contains(table)
    };
    let left: Vec<_> = rows(&house).into_iter().filter(own_rows).collect();
    assert_eq!(left, []);
    let neighbours = AccountId(id.0 + 1).0.to_be_bytes();
    let rows = rows(&house);
    let kept = rows
        .iter()
        .filter(|(_, key)| key.as_bytes().starts_with(&neighbours));
    assert_eq!(kept.count(), 4);
    let tombstones = rows.iter().filter(|(table, _)| *table == TOMBSTONE.name);
    assert_eq!(tombstones.count(), 1);
    let told = told(&house);
    let told: Vec<(&str, Type)> = told
        .iter()
        .map(|(to, act, _)| (to.as_str(), *act))
        .collect();
    assert_eq!(
        told,
        [
            ("asked@example.net", Type::Unsubscribe),
            ("asks@example.net", Type::Unsubscribed),
            ("both@example.net", Type::Unsubscribe),
            ("both@example.net", Type::Unsubscribed),
        ]
    );
}

#[test]
fn a_purge_that_is_asked_again_says_nothing_twice_and_what_was_on_its_way_is_behind() {
    let house = open_house();
    let id = with_contacts(&house);
    remove(&house, id);
    house.accounts.purge(id).expect("memory");
    let before = told(&house);
    // A row that was on its way when the account went.
    let late = RowKey::new(&id.0.to_be_bytes()).then(b"late");
    let key = (REGISTRATION.name, late.clone());
    house.disk.rows.lock().insert(key.clone(), vec![1]);
    assert_eq!(house.accounts.removed(), Ok(vec![id]));
    assert_eq!(house.accounts.purge_again(id), Ok(Purged::All));
    assert!(!house.disk.rows.lock().contains_key(&key));
    assert_eq!(told(&house), before);
    assert_eq!(house.accounts.removed(), Ok(Vec::new()));
}

#[test]
fn of_many_rows_each_is_stepped_over_once() {
    let house = open_house();
    let id = with_contacts(&house);
    remove(&house, id);
    let row = |n: u32| RowKey::new(&id.0.to_be_bytes()).then(&n.to_be_bytes());
    let many = (0..5_000).map(|n| ((INVITATION.name, row(n)), vec![1]));
    house.disk.rows.lock().extend(many);
    let tables = TABLES.len();
    assert_eq!(house.accounts.purge(id), Ok(Purged::All));
    let begun = house.disk.begun.load(Ordering::Relaxed);
    assert!(begun <= tables, "{begun} times from the first row on");
    assert!(
        !house
            .disk
            .rows
            .lock()
            .contains_key(&(INVITATION.name, row(4_999)))
    );
}

#[test]
fn a_purge_ends_when_the_server_does_and_the_next_start_goes_on() {
    let house = open_house();
    let id = with_contacts(&house);
    remove(&house, id);
    house.accounts.stop_purging();
    assert_eq!(house.accounts.purge_again(id), Ok(Purged::Stopped));
    assert_eq!(house.accounts.removed(), Ok(vec![id]));
}
