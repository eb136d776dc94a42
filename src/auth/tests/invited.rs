//! What an invitation is good for, and what it is not.

use super::*;
use crate::actor::auth::{AccountAnswer, AccountAsk, Registration, RegistrationError};
use crate::auth::{AccountError, InviteWish};
use crate::config::RegistrationMode;
use crate::im::credentials::AccountState;

/// The host lets newcomers in by invitation, or one in an hour without, who then wait.
fn strict_house() -> House {
    house_with(HostRegistration {
        mode: RegistrationMode::Open,
        approval: true,
        per_host: 1,
        ..HostRegistration::default()
    })
}

fn invite(house: &House, uses: u32, localpart: Option<&str>) -> Secret {
    let wish = InviteWish {
        host: HOST.to_owned(),
        contact: None,
        localpart: localpart.map(str::to_owned),
        uses,
        expires_in_ms: 1_000_000,
        registers: true,
    };
    house.accounts.invite(&wish, Now::default()).unwrap().token
}

/// An invitation that juliet made.
fn invite_by_user(house: &House) -> Secret {
    let ask = AccountAsk::Invite {
        host: HOST.into(),
        localpart: "juliet".into(),
        account: house.row("juliet").account,
        name: None,
    };
    match house.ask(AuthAsk::Own(ask, None)) {
        AuthAnswer::Own(AccountAnswer::Invited { token, .. }) => token,
        other => panic!("an invitation was asked for, not {other:?}"),
    }
}

/// Somebody registers from the address of this number.
fn register(
    house: &House,
    address: u8,
    localpart: &str,
    token: Option<&Secret>,
) -> Result<(), RegistrationError> {
    let ask = AuthAsk::Register(Box::new(Registration {
        host: HOST.into(),
        localpart: localpart.into(),
        password: secret("pencil"),
        prefix: AddressPrefix::V4([192, 0, 2, address]),
        token: token.cloned(),
        fields: Vec::new(),
    }));
    match house.ask(ask) {
        AuthAnswer::Registered(outcome) => outcome.map(drop),
        other => panic!("an account was asked for, not {other:?}"),
    }
}

fn shown(house: &House, address: u8, token: &Secret) -> AuthAnswer {
    house.ask(AuthAsk::Invitation {
        host: HOST.into(),
        token: token.clone(),
        prefix: AddressPrefix::V4([192, 0, 2, address]),
    })
}

#[test]
fn one_invitation_is_no_way_to_find_out_who_is_here() {
    let house = strict_house();
    let token = invite(&house, 1, None);
    let mut address = 0;
    let mut tries = |house: &House, localpart: &str| {
        address += 1;
        register(house, address, localpart, Some(&token))
    };
    for _ in 0..limits::INVITATION_NAME_TRIES {
        assert_eq!(tries(&house, "juliet"), Err(RegistrationError::Conflict));
    }
    assert_eq!(tries(&house, "juliet"), Err(RegistrationError::TooMany));
    assert_eq!(tries(&house, "rosaline"), Err(RegistrationError::TooMany));
    // Other invitations are not its affair.
    let other = invite(&house, 1, None);
    assert_eq!(register(&house, 100, "rosaline", Some(&other)), Ok(()));
}

#[test]
fn who_is_invited_tries_no_more_names_from_one_address_than_others() {
    let house = strict_house();
    let mut tried = 0;
    loop {
        let token = invite(&house, 1, None);
        match register(&house, 1, "juliet", Some(&token)) {
            Err(RegistrationError::Conflict) => tried += 1,
            other => break assert_eq!(other, Err(RegistrationError::TooMany)),
        }
    }
    let option = HostRegistration::default();
    assert_eq!(
        tried,
        option.per_address * limits::REGISTRATION_ATTEMPTS_PER_ACCOUNT
    );
    let token = invite(&house, 1, None);
    assert_eq!(register(&house, 2, "rosaline", Some(&token)), Ok(()));
}

#[test]
fn tokens_that_are_none_are_counted_by_address() {
    let house = strict_house();
    let wrong = secret(&"0".repeat(48));
    let option = HostRegistration::default();
    for _ in 0..option.per_address * limits::REGISTRATION_ATTEMPTS_PER_ACCOUNT {
        assert!(matches!(
            shown(&house, 1, &wrong),
            AuthAnswer::Invited(false)
        ));
    }
    let token = invite(&house, 1, None);
    let refused = shown(&house, 1, &token);
    assert!(matches!(
        refused,
        AuthAnswer::Registered(Err(RegistrationError::TooMany))
    ));
    assert!(matches!(
        shown(&house, 2, &token),
        AuthAnswer::Invited(true)
    ));
}

#[test]
fn an_operators_invitation_needs_no_approval_and_no_room_on_the_host_but_a_users_does() {
    let house = strict_house();
    for (address, name) in [(1, "rosaline"), (2, "tybalt")] {
        let token = invite(&house, 1, None);
        assert_eq!(register(&house, address, name, Some(&token)), Ok(()));
        assert_eq!(house.row(name).state, AccountState::Enabled);
    }
    assert_eq!(register(&house, 4, "mercutio", None), Ok(()));
    let by_user = invite_by_user(&house);
    let crowded = register(&house, 3, "paris", Some(&by_user));
    assert_eq!(crowded, Err(RegistrationError::TooMany));
    let house = strict_house();
    let by_user = invite_by_user(&house);
    assert_eq!(register(&house, 3, "paris", Some(&by_user)), Ok(()));
    assert_eq!(house.row("paris").state, AccountState::Waiting);
}

#[test]
fn an_invitation_is_listed_without_its_token_and_taken_back_by_its_id_or_its_token() {
    let house = strict_house();
    let open = |house: &House| -> Vec<String> {
        let (page, more) = house.accounts.invitations(None).unwrap();
        assert!(!more);
        page.iter().map(|known| known.id()).collect()
    };
    let (first, second) = (invite(&house, 3, Some("rosaline")), invite(&house, 1, None));
    let ids = open(&house);
    assert_eq!(ids.len(), 2);
    let text = |token: &Secret| String::from_utf8(token.expose().to_vec()).unwrap();
    assert!(
        ids.iter()
            .all(|id| id.len() == 12 && !text(&first).contains(id))
    );
    let address = format!(
        "xmpp:rosaline@{HOST}?register;preauth={};ibr=y",
        text(&first)
    );
    let withdrawn = house.accounts.withdraw(&address).unwrap();
    assert_eq!(withdrawn.invitation.uses, 3);
    assert!(matches!(
        shown(&house, 1, &first),
        AuthAnswer::Invited(false)
    ));
    // The name is kept for nobody any more.
    assert_eq!(register(&house, 1, "rosaline", None), Ok(()));
    let left = open(&house);
    assert_eq!(house.accounts.withdraw(&left[0]).unwrap().id(), left[0]);
    assert!(matches!(
        shown(&house, 1, &second),
        AuthAnswer::Invited(false)
    ));
    for unknown in [left[0].as_str(), "", "preauth=", "0"] {
        let error = house.accounts.withdraw(unknown).expect_err("there is none");
        assert!(matches!(error, AccountError::Unknown), "{unknown}");
    }
}

#[test]
fn whom_the_operator_invites_takes_no_room_of_others() {
    let house = strict_house();
    for (address, name) in [(1, "rosaline"), (2, "tybalt"), (3, "paris")] {
        let token = invite(&house, 1, None);
        assert_eq!(register(&house, address, name, Some(&token)), Ok(()));
    }
    assert_eq!(register(&house, 4, "mercutio", None), Ok(()));
    let second = register(&house, 5, "benvolio", None);
    assert_eq!(second, Err(RegistrationError::TooMany));
}

#[test]
fn who_is_disabled_invites_nobody() {
    let house = strict_house();
    let token = invite_by_user(&house);
    house.accounts.disable(HOST, "juliet").unwrap();
    assert!(matches!(
        shown(&house, 1, &token),
        AuthAnswer::Invited(false)
    ));
    let refused = register(&house, 1, "paris", Some(&token));
    assert_eq!(refused, Err(RegistrationError::NotInvited));
    house.accounts.enable(HOST, "juliet").unwrap();
    assert_eq!(register(&house, 1, "paris", Some(&token)), Ok(()));
}
