//! What users do to their own accounts: exactly that, and nothing is left of who goes.

use super::*;
use crate::actor::auth::{AccountAnswer, AccountAsk, Clients, Registration, RegistrationError};
use crate::config::{HostRegistration, RegistrationMode};

pub(super) fn open_house() -> House {
    house_with(HostRegistration {
        mode: RegistrationMode::Open,
        ..HostRegistration::default()
    })
}

pub(super) fn wish(localpart: &str, password: &str) -> Registration {
    Registration {
        host: HOST.into(),
        localpart: localpart.into(),
        password: Secret::new(password.as_bytes().to_vec()),
        prefix: AddressPrefix::Local,
        token: None,
        fields: vec![("email".to_owned(), "x@example.net\nstate 9".to_owned())],
    }
}

pub(super) fn answer(house: &House, ask: AuthAsk) -> AuthAnswer {
    house.accounts.answer(ask, Now::default()).0
}

pub(super) fn register(house: &House, wish: Registration) -> Result<AccountId, RegistrationError> {
    match answer(house, AuthAsk::Register(Box::new(wish))) {
        AuthAnswer::Registered(outcome) => outcome.map(|made| made.id),
        other => panic!("{other:?}"),
    }
}

pub(super) fn own(house: &House, ask: AccountAsk) -> AccountAnswer {
    match answer(house, AuthAsk::Own(ask, None)) {
        AuthAnswer::Own(answer) => answer,
        other => panic!("{other:?}"),
    }
}

/// The account of this number before anything was changed of it.
pub(super) fn first(id: AccountId) -> AccountRef {
    AccountRef {
        id,
        generation: Generation(0),
    }
}

pub(super) fn rows(house: &House) -> Vec<(&'static str, RowKey)> {
    house.disk.rows.lock().keys().cloned().collect()
}

#[test]
fn a_password_changes_for_the_account_that_asks_and_no_other_of_its_name() {
    let house = open_house();
    let id = register(&house, wish("rosaline", "pencil")).expect("it is open");
    let set = |id| AccountAsk::SetPassword {
        host: HOST.into(),
        localpart: "rosaline".into(),
        account: first(id),
        password: Secret::new(b"crayon".to_vec()),
    };
    assert_eq!(own(&house, set(AccountId(id.0 + 1))), AccountAnswer::Gone);
    let AccountAnswer::Done(account) = own(&house, set(id)) else {
        panic!("it is the right one");
    };
    assert_eq!((account.id, account.generation), (id, Generation(1)));
    let asked = |password| answer(&house, password_ask("rosaline", password));
    assert!(matches!(asked("crayon"), AuthAnswer::Admitted(_)));
    assert!(matches!(asked("pencil"), AuthAnswer::Refused));
    house.accounts.disable(HOST, "rosaline").expect("it exists");
    assert_eq!(own(&house, set(id)), AccountAnswer::Gone);
}

#[test]
fn nothing_is_derived_for_who_is_refused() {
    let house = open_house();
    register(&house, wish("rosaline", "pencil")).expect("it is open");
    let before = house.accounts.derivation_count();
    let taken = register(&house, wish("rosaline", "crayon"));
    assert_eq!(taken, Err(RegistrationError::Conflict));
    let unfit = register(&house, wish("romeo", "tab\t"));
    assert_eq!(unfit, Err(RegistrationError::PasswordUnfit));
    let closed = Registration {
        host: "example.net".into(),
        ..wish("romeo", "pencil")
    };
    assert!(register(&house, closed).is_err());
    for name in ["a", "b"] {
        register(&house, wish(name, "pencil")).expect("three may come");
    }
    let before_limit = house.accounts.derivation_count();
    let fourth = register(&house, wish("c", "pencil"));
    assert_eq!(fourth, Err(RegistrationError::TooMany));
    assert_eq!(house.accounts.derivation_count(), before_limit);
    assert!(before_limit > before);
}

#[test]
fn an_account_that_its_operator_has_closed_is_not_its_users_to_remove() {
    let house = open_house();
    let id = register(&house, wish("rosaline", "pencil")).expect("it is open");
    let remove = || AccountAsk::Remove {
        host: HOST.into(),
        localpart: "rosaline".into(),
        account: AccountRef {
            id,
            // As who logged in after the operator's word knows it.
            generation: Generation(2),
        },
    };
    house.accounts.disable(HOST, "rosaline").expect("it exists");
    assert_eq!(own(&house, remove()), AccountAnswer::Gone);
    house.accounts.enable(HOST, "rosaline").expect("it exists");
    assert!(matches!(own(&house, remove()), AccountAnswer::Done(_)));
}

/// She wishes for another password, from an address.
fn set_password(house: &House, password: &str, address: u8) -> AccountAnswer {
    let ask = AccountAsk::SetPassword {
        host: HOST.into(),
        localpart: "rosaline".into(),
        account: house.row("rosaline").account,
        password: secret(password),
    };
    let prefix = Some(AddressPrefix::V4([192, 0, 2, address]));
    match answer(house, AuthAsk::Own(ask, prefix)) {
        AuthAnswer::Own(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn is_done(answer: &AccountAnswer) -> bool {
    matches!(answer, AccountAnswer::Done(_))
}

#[test]
fn nobody_keeps_the_owner_from_another_password() {
    let house = open_house();
    register(&house, wish("rosaline", "pencil")).expect("it is open");
    // What costs nothing does not count.
    let before = house.accounts.derivation_count();
    for _ in 0..100 {
        assert_eq!(
            set_password(&house, "tab\t", 1),
            AccountAnswer::PasswordUnfit
        );
    }
    assert_eq!(house.accounts.derivation_count(), before);
    for _ in 0..limits::PASSWORD_CHANGES_MAX {
        assert!(is_done(&set_password(&house, "crayon", 1)));
    }
    assert_eq!(set_password(&house, "chalk", 1), AccountAnswer::TooMany);
    // A thief is somewhere else.
    assert!(is_done(&set_password(&house, "chalk", 2)));
}

#[test]
fn neighbours_behind_one_address_do_not_keep_each_other_from_another_password() {
    let house = open_house();
    register(&house, wish("rosaline", "pencil")).expect("it is open");
    let prefix = Some(AddressPrefix::V4([192, 0, 2, 1]));
    for number in 0..30 {
        let name = format!("neighbour{number}");
        let account = house
            .accounts
            .add(HOST, &name, &secret("pencil"), Now::default());
        let ask = AccountAsk::SetPassword {
            host: HOST.into(),
            localpart: name.as_str().into(),
            account: account.expect("the name is free"),
            password: secret("crayon"),
        };
        answer(&house, AuthAsk::Own(ask, prefix));
    }
    assert!(is_done(&set_password(&house, "crayon", 1)));
}

#[test]
fn who_knows_the_account_as_it_was_before_somebody_elses_word_changes_nothing() {
    let words: [fn(&House); 3] = [
        |house| {
            let changed = house
                .accounts
                .set_password(HOST, "rosaline", &secret("theirs"));
            changed.expect("it is there");
        },
        |house| {
            house
                .accounts
                .revoke(HOST, "rosaline")
                .expect("it is there");
        },
        |house| assert!(is_done(&set_password(house, "other", 9))),
    ];
    for word in words {
        let house = open_house();
        let id = register(&house, wish("rosaline", "pencil")).expect("it is open");
        word(&house);
        let row = house.row("rosaline");
        let (host, localpart): (Arc<str>, Arc<str>) = (HOST.into(), "rosaline".into());
        let asks = [
            AccountAsk::SetPassword {
                host: host.clone(),
                localpart: localpart.clone(),
                account: first(id),
                password: secret("stolen"),
            },
            AccountAsk::Remove {
                host: host.clone(),
                localpart: localpart.clone(),
                account: first(id),
            },
            AccountAsk::Invite {
                host: host.clone(),
                localpart: localpart.clone(),
                account: first(id),
                name: None,
            },
            AccountAsk::Revoke {
                host,
                localpart,
                account: first(id),
                clients: Clients::AllBut(None),
            },
        ];
        let before = house.accounts.derivation_count();
        for ask in asks {
            assert_eq!(own(&house, ask), AccountAnswer::Gone);
        }
        assert_eq!(house.accounts.derivation_count(), before);
        assert_eq!(house.row("rosaline").account, row.account);
        let stolen = answer(&house, password_ask("rosaline", "stolen"));
        assert!(matches!(stolen, AuthAnswer::Refused));
    }
}
