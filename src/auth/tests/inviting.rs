//! Users who invite others, and whom that lets in.

use super::own::*;
use super::*;
use crate::actor::auth::{AccountAnswer, AccountAsk, Registration, RegistrationError};
use crate::im::invitation;
use crate::jid::Jid;

#[test]
fn a_user_invites_by_tokens_that_only_the_invited_know_and_not_without_end() {
    let house = open_house();
    let id = register(&house, wish("rosaline", "pencil")).expect("it is open");
    let invite = || AccountAsk::Invite {
        host: HOST.into(),
        localpart: "rosaline".into(),
        account: first(id),
        name: None,
    };
    let AccountAnswer::Invited {
        token, registers, ..
    } = own(&house, invite())
    else {
        panic!("she may");
    };
    assert!(registers);
    let text = token.expose();
    let stored = house.disk.rows.lock().clone();
    for ((_, key), value) in stored {
        for bytes in [key.as_bytes(), &value] {
            assert!(!bytes.windows(text.len()).any(|part| part == text));
        }
    }
    let mut address = 0;
    let mut shown = |token: &Secret| {
        // Nobody may try so many from one.
        address += 1;
        let ask = AuthAsk::Invitation {
            host: HOST.into(),
            token: token.clone(),
            prefix: AddressPrefix::V4([192, 0, 2, address]),
        };
        matches!(answer(&house, ask), AuthAnswer::Invited(true))
    };
    assert!(shown(&token));
    // Each character counts.
    for at in 0..text.len() {
        let mut other = text.to_vec();
        other[at] = if other[at] == b'0' { b'1' } else { b'0' };
        assert!(!shown(&Secret::new(other)), "{at}");
    }
    for _ in 1..limits::INVITATIONS_PER_ACCOUNT_MAX {
        assert!(matches!(
            own(&house, invite()),
            AccountAnswer::Invited { .. }
        ));
    }
    assert_eq!(own(&house, invite()), AccountAnswer::TooMany);
    // Those whose time is over make room.
    let later = Now::default().plus_ms(limits::INVITATION_EXPIRY_MS);
    let (made, _) = house.accounts.answer(AuthAsk::Own(invite(), None), later);
    let is_made = matches!(made, AuthAnswer::Own(AccountAnswer::Invited { .. }));
    assert!(is_made, "{made:?}");
}

#[test]
fn an_invitation_serves_whoever_comes_first_and_so_many() {
    let house = open_house();
    let id = register(&house, wish("rosaline", "pencil")).expect("it is open");
    let invite = || {
        let invite = AccountAsk::Invite {
            host: HOST.into(),
            localpart: "rosaline".into(),
            account: first(id),
            name: None,
        };
        let AccountAnswer::Invited { token, .. } = own(&house, invite) else {
            panic!("she may");
        };
        let text = String::from_utf8(token.expose().to_vec()).expect("hexadecimal digits");
        (token, invitation::key(id, &text))
    };
    let redeem = |key: &RowKey| {
        let ask = AccountAsk::Redeem {
            invitation: key.clone(),
            contact: Jid::from_parts(Some("juliet"), HOST, None).expect("valid"),
        };
        own(&house, ask)
    };
    let come = |localpart: &str, token: &Secret| {
        // From addresses of their own, for each makes a few accounts only.
        let last = localpart.bytes().fold(0, u8::wrapping_add);
        let wish = Registration {
            token: Some(token.clone()),
            prefix: AddressPrefix::V4([198, 51, 100, last]),
            ..wish(localpart, "pencil")
        };
        register(&house, wish)
    };
    let (token, key) = invite();
    assert_eq!(redeem(&key), AccountAnswer::Redeemed);
    assert_eq!(redeem(&key), AccountAnswer::Gone);
    assert_eq!(come("tybalt", &token), Err(RegistrationError::NotInvited));
    let (token, key) = invite();
    assert!(come("tybalt", &token).is_ok());
    assert_eq!(redeem(&key), AccountAnswer::Gone);
    for round in 0..20 {
        let (token, key) = invite();
        let (came, redeemed) = std::thread::scope(|scope| {
            let came = scope.spawn(|| come(&format!("t{round}"), &token).is_ok());
            let redeemed = redeem(&key) == AccountAnswer::Redeemed;
            (came.join().expect("it does not panic"), redeemed)
        });
        assert_ne!(came, redeemed, "round {round}");
    }
}

/// Rosaline invites somebody of this name, from an address.
fn invite_as(house: &House, name: Option<&str>, address: u8) -> AccountAnswer {
    let ask = AccountAsk::Invite {
        host: HOST.into(),
        localpart: "rosaline".into(),
        account: house.row("rosaline").account,
        name: name.map(str::to_owned),
    };
    let prefix = Some(AddressPrefix::V4([192, 0, 2, address]));
    match answer(house, AuthAsk::Own(ask, prefix)) {
        AuthAnswer::Own(answer) => answer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_invites_by_name_does_not_find_out_who_is_here() {
    let house = open_house();
    register(&house, wish("rosaline", "pencil")).expect("it is open");
    for _ in 0..limits::INVITATION_NAME_TRIES {
        assert_eq!(
            invite_as(&house, Some("juliet"), 1),
            AccountAnswer::NameTaken
        );
    }
    for name in ["juliet", "nobody"] {
        let refused = invite_as(&house, Some(name), 2);
        assert!(
            !matches!(
                refused,
                AccountAnswer::NameTaken | AccountAnswer::Invited { .. }
            ),
            "{refused:?}"
        );
    }
    // Who asks for no name learns nothing.
    let invited = invite_as(&house, None, 1);
    assert!(matches!(invited, AccountAnswer::Invited { .. }));
}

#[test]
fn a_user_keeps_a_few_names_for_others_and_not_as_many_as_there_are_invitations() {
    let house = open_house();
    register(&house, wish("rosaline", "pencil")).expect("it is open");
    let kept = (0..20).filter(|number| {
        let invited = invite_as(&house, Some(&format!("name{number}")), 1);
        matches!(invited, AccountAnswer::Invited { .. })
    });
    assert_eq!(kept.count(), limits::INVITATION_NAMES_MAX);
    let invited = invite_as(&house, None, 1);
    assert!(matches!(invited, AccountAnswer::Invited { .. }));
}
