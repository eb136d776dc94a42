//! Names that look like names that are there.

use super::*;
use crate::actor::auth::{Registration, RegistrationError};
use crate::auth::InviteWish;
use crate::config::RegistrationMode;

fn house_that_looks(lookalikes: Option<()>) -> House {
    house_with(HostRegistration {
        mode: RegistrationMode::Open,
        lookalikes: lookalikes.is_some(),
        per_address: 100,
        per_host: 100,
        ..HostRegistration::default()
    })
}

fn register(house: &House, localpart: &str, token: Option<Secret>) -> Option<RegistrationError> {
    let ask = AuthAsk::Register(Box::new(Registration {
        host: HOST.into(),
        localpart: localpart.into(),
        password: secret("pencil"),
        prefix: AddressPrefix::Local,
        token,
        fields: Vec::new(),
    }));
    match house.ask(ask) {
        AuthAnswer::Registered(outcome) => outcome.err(),
        other => panic!("an account was asked for, not {other:?}"),
    }
}

fn looks(house: &House) -> usize {
    let rows = house.disk.rows.lock();
    rows.keys().filter(|(table, _)| *table == "looks").count()
}

#[test]
fn a_newcomer_takes_no_name_that_looks_like_anothers_until_that_is_gone() {
    let house = house_that_looks(None);
    // Whoever made the other: an operator, or its owner.
    house
        .accounts
        .add(HOST, "mercutio", &secret("pencil"), Now::default())
        .unwrap();
    assert_eq!(register(&house, "paypal", None), None);
    for name in ["rnercutio", "mercuti0", "paypa1", "mercutio"] {
        let refused = Some(RegistrationError::Conflict);
        assert_eq!(register(&house, name, None), refused, "{name}");
    }
    for name in ["mercurio", "paypam", "rn"] {
        assert_eq!(register(&house, name, None), None, "{name}");
    }
    house
        .accounts
        .remove(HOST, "mercutio", Now::default())
        .unwrap();
    assert_eq!(register(&house, "rnercutio", None), None);
    // One for each account: juliet, who was there, was made by hand.
    let count = looks(&house);
    for name in ["paypal", "mercurio", "paypam", "rn", "rnercutio"] {
        house.accounts.remove(HOST, name, Now::default()).unwrap();
    }
    assert_eq!(count - looks(&house), 5);
}

#[test]
fn an_operator_gives_any_name_and_so_does_an_invitation_that_says_it() {
    let house = house_that_looks(None);
    let add = |name: &str| {
        house
            .accounts
            .add(HOST, name, &secret("pencil"), Now::default())
    };
    add("paypal").unwrap();
    add("paypa1").unwrap();
    // Two that are there look alike: a third does not come.
    let refused = Some(RegistrationError::Conflict);
    assert_eq!(register(&house, "раураl", None), refused);
    let invite = |localpart: Option<&str>| {
        let wish = InviteWish {
            host: HOST.to_owned(),
            contact: None,
            localpart: localpart.map(str::to_owned),
            uses: 1,
            expires_in_ms: 1_000_000,
            registers: true,
        };
        house.accounts.invite(&wish, Now::default()).unwrap().token
    };
    assert_eq!(register(&house, "paypai", Some(invite(None))), None);
    assert_eq!(register(&house, "paypaI", Some(invite(None))), refused);
    let named = invite(Some("paypaI"));
    assert_eq!(register(&house, "paypaI", Some(named)), None);
}

#[test]
fn where_look_alikes_are_allowed_only_the_same_name_is_taken() {
    let house = house_that_looks(Some(()));
    assert_eq!(register(&house, "paypal", None), None);
    assert_eq!(register(&house, "paypa1", None), None);
    let refused = Some(RegistrationError::Conflict);
    assert_eq!(register(&house, "paypa1", None), refused);
}
