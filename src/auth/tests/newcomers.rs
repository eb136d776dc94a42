//! Who registers an account, at once or when an operator lets them in.

use super::own::*;
use super::*;
use crate::actor::auth::RegistrationError;
use crate::auth::AccountError;
use crate::config::RegistrationMode;
use crate::im::credentials::AccountState;

#[test]
fn what_a_newcomer_says_is_one_line_a_field_whatever_is_in_it() {
    let house = open_house();
    let id = register(&house, wish("rosaline", "pencil")).expect("it is open");
    let said = house.accounts.registration(id).expect("memory");
    assert_eq!(said, ["email x@example.netstate 9"]);
}

#[test]
fn where_an_operator_lets_newcomers_in_nobody_gets_in_before() {
    let house = house_with(HostRegistration {
        mode: RegistrationMode::Open,
        approval: true,
        ..HostRegistration::default()
    });
    register(&house, wish("rosaline", "pencil")).expect("it is open");
    let asked = || answer(&house, password_ask("rosaline", "pencil"));
    assert!(matches!(asked(), AuthAnswer::Refused));
    let (list, _) = house.accounts.list(HOST, None, 10).expect("memory");
    let found = list.iter().find(|account| account.localpart == "rosaline");
    assert_eq!(
        found.map(|account| account.state),
        Some(AccountState::Waiting)
    );
    house.accounts.enable(HOST, "rosaline").expect("it waits");
    assert!(matches!(asked(), AuthAnswer::Admitted(_)));
}

#[test]
fn so_many_wait_for_an_operator_and_who_waited_long_gives_way() {
    let house = house_with(HostRegistration {
        mode: RegistrationMode::Open,
        approval: true,
        per_address: 100_000,
        per_host: 100_000,
        lookalikes: true,
        ..HostRegistration::default()
    });
    let asks = |name: &str, days: u64| {
        let now = Now::default().plus_ms(days * 24 * 3_600_000);
        let ask = AuthAsk::Register(Box::new(wish(name, "pencil")));
        match house.accounts.answer(ask, now).0 {
            AuthAnswer::Registered(outcome) => outcome.map(|_| ()),
            other => panic!("{other:?}"),
        }
    };
    let count = |table: &str| {
        let rows = rows(&house);
        rows.iter().filter(|(name, _)| *name == table).count()
    };
    let inhabitants = count(ACCOUNT.name);
    let full = Err(RegistrationError::TooMany);
    for n in 0..1_000 {
        assert_eq!(asks(&format!("newcomer-{n:04}"), 0), Ok(()));
    }
    assert_eq!(asks("mercutio", 1), full);
    // Who is let in, or turned away, waits no more.
    house
        .accounts
        .enable(HOST, "newcomer-0500")
        .expect("it waits");
    let removed = house
        .accounts
        .remove(HOST, "newcomer-0501", Now::default())
        .expect("it waits");
    house.accounts.purge(removed).expect("memory");
    assert_eq!(asks("mercutio", 2), Ok(()));
    assert_eq!(asks("benvolio", 2), Ok(()));
    assert_eq!(asks("tybalt", 3), full);
    let is_there = |name: &str| house.accounts.load(HOST, name).expect("memory").is_some();
    assert!(is_there("newcomer-0000"));
    assert_eq!(asks("tybalt", 31), Ok(()));
    assert_eq!(asks("paris", 31), Ok(()));
    let gone = (0..1_000)
        .filter(|n| !is_there(&format!("newcomer-{n:04}")))
        .count();
    assert_eq!(gone, 3, "two gave way");
    assert!(is_there("newcomer-0500") && is_there("mercutio"));
    // Their names are free, and nothing of them is left.
    assert_eq!(count(ACCOUNT.name) - inhabitants, 1_001);
    assert_eq!(count(REGISTRATION.name), 1_001);
}

#[test]
fn who_was_let_in_while_a_newcomer_asks_for_his_place_stays() {
    let house = house();
    // That she waited was read before an operator let her in.
    let now = Now::default();
    let removed = house.accounts.remove_waiting(HOST, "juliet", now);
    assert_eq!(removed, Err(AccountError::Unknown));
    let juliet = house.accounts.load(HOST, "juliet").expect("memory");
    assert_eq!(juliet.map(|row| row.state), Some(AccountState::Enabled));
}

#[test]
fn who_waits_and_is_refused_does_not_use_the_name_up() {
    let house = house_with(HostRegistration {
        mode: RegistrationMode::Open,
        approval: true,
        ..HostRegistration::default()
    });
    register(&house, wish("rosaline", "pencil")).expect("it is open");
    let now = Now::default();
    house
        .accounts
        .remove(HOST, "rosaline", now)
        .expect("it waits");
    register(&house, wish("rosaline", "pencil")).expect("nobody had the name");
    // Who was let in had it.
    house.accounts.enable(HOST, "rosaline").expect("it waits");
    house
        .accounts
        .remove(HOST, "rosaline", now)
        .expect("it is there");
    let again = register(&house, wish("rosaline", "pencil"));
    assert_eq!(again.err(), Some(RegistrationError::Conflict));
}
