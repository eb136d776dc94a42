//! What administration changes, and what it leaves behind.

use super::*;
use crate::auth::AccountError;
use crate::im::credentials::AccountState;

#[test]
fn an_upgrade_never_overwrites_a_password_that_was_changed_meanwhile() {
    let house = house();
    house.accounts.configure(settings(3));
    let (answer, upgrade) = house
        .accounts
        .check_password(HOST, "juliet", &secret("pencil"));
    assert!(admitted(&answer));
    house
        .accounts
        .set_password(HOST, "juliet", &secret("crayon"))
        .unwrap();
    house.accounts.upgrade(&upgrade.expect("the keys were old"));
    assert!(admitted(&house.ask(password_ask("juliet", "crayon"))));
    assert!(!admitted(&house.ask(password_ask("juliet", "pencil"))));
}

// peers.md row 16: what ends the tokens.
#[test]
fn every_change_of_password_or_rights_is_a_new_generation() {
    let house = house();
    let generation = || house.row("juliet").account.generation;
    assert_eq!(generation(), Generation(0));
    house
        .accounts
        .set_password(HOST, "juliet", &secret("crayon"))
        .unwrap();
    assert_eq!(generation(), Generation(1));
    house.accounts.disable(HOST, "juliet").unwrap();
    assert_eq!(generation(), Generation(2));
    house.accounts.enable(HOST, "juliet").unwrap();
    assert_eq!(generation(), Generation(3));
    // What changes nothing ends nothing: sessions go on, and may change their password.
    let account = house.row("juliet").account;
    assert_eq!(house.accounts.enable(HOST, "juliet"), Ok(account));
    let disabled = house.accounts.disable(HOST, "nurse");
    assert_eq!(disabled, Ok(house.row("nurse").account));
    assert_eq!(house.accounts.disable(HOST, "nurse"), disabled);
    assert_eq!(generation(), Generation(3));
    assert!(!admitted(&house.ask(password_ask("juliet", "pencil"))));
    assert!(admitted(&house.ask(password_ask("juliet", "crayon"))));
}

// peers.md row 17: delete, register again, inherit nothing.
#[test]
fn a_removed_name_rests_and_never_gives_its_number_to_who_comes_after() {
    let house = house();
    let now = Now {
        mono_ms: 5,
        wall_ms: 1_000,
    };
    let old = house.row("juliet").account.id;
    assert_eq!(house.accounts.remove(HOST, "juliet", now), Ok(old));
    assert!(!admitted(&house.ask(password_ask("juliet", "pencil"))));
    assert_eq!(
        house.accounts.remove(HOST, "juliet", now),
        Err(AccountError::Unknown)
    );

    let add = |now| house.accounts.add(HOST, "juliet", &secret("pencil"), now);
    let until_wall_ms = 1_000 + limits::TOMBSTONE_MS;
    assert_eq!(add(now), Err(AccountError::Tombstoned { until_wall_ms }));
    let almost = now.plus_ms(limits::TOMBSTONE_MS - 1);
    assert_eq!(add(almost), Err(AccountError::Tombstoned { until_wall_ms }));
    let new = add(now.plus_ms(limits::TOMBSTONE_MS)).unwrap();
    assert_ne!(new.id, old);

    house.accounts.remove(HOST, "juliet", now).unwrap();
    house.accounts.release_name(HOST, "juliet").unwrap();
    assert!(add(now).is_ok(), "the operator freed it");
}

#[test]
fn administration_refuses_what_makes_no_sense() {
    let house = house();
    let accounts = &house.accounts;
    let add = |name, password| accounts.add(HOST, name, &secret(password), Now::default());
    assert_eq!(add("juliet", "pencil"), Err(AccountError::Exists));
    assert_eq!(add("romeo", ""), Err(AccountError::PasswordUnfit));
    assert_eq!(add("romeo", "a\u{7}b"), Err(AccountError::PasswordUnfit));
    let unfit = accounts.set_password(HOST, "juliet", &secret(""));
    assert_eq!(unfit, Err(AccountError::PasswordUnfit));
    let unknown = Err(AccountError::Unknown);
    assert_eq!(
        accounts.set_password(HOST, "romeo", &secret("pencil")),
        unknown
    );
    assert_eq!(accounts.enable(HOST, "romeo"), unknown);
    assert_eq!(accounts.disable("example.org", "juliet"), unknown);
}

#[test]
fn a_list_goes_through_one_host_page_by_page() {
    let house = house();
    house
        .accounts
        .add(HOST, "romeo", &secret("pencil"), Now::default())
        .unwrap();
    house
        .accounts
        .add("example.org", "paris", &secret("pencil"), Now::default())
        .unwrap();
    let (page, more) = house.accounts.list(HOST, None, 2).unwrap();
    let seen: Vec<_> = page
        .iter()
        .map(|a| (a.localpart.as_str(), a.state))
        .collect();
    assert_eq!(
        seen,
        [
            ("juliet", AccountState::Enabled),
            ("nurse", AccountState::Disabled)
        ]
    );
    assert!(more);
    let (page, more) = house.accounts.list(HOST, Some("nurse"), 2).unwrap();
    assert_eq!(page.len(), 1);
    assert_eq!(page[0].localpart, "romeo");
    assert!(!more);
}
