//! Tokens (XEP-0484): who asks about nobody costs as much, and what lies in the store is no token.

use super::*;
use crate::actor::auth::{
    AccountAnswer, AccountAsk, Clients, FreshToken, TokenMechanism, TokenProof, TokenWish,
};
use crate::auth::TokenSettings;
use crate::base::Uuid;
use crate::stream::sasl::token;

fn client(digit: char) -> Uuid {
    let text = "d4565fa7-4d72-4749-b3d3-740edbf8777x".replace('x', &digit.to_string());
    Uuid::parse_v4(&text).unwrap()
}

fn answer(house: &House, ask: AuthAsk) -> AuthAnswer {
    house.accounts.answer(ask, Now::default()).0
}

fn issue(house: &House, client: Uuid) -> FreshToken {
    let AuthAnswer::Admitted(account) = answer(house, password_ask("juliet", "pencil")) else {
        panic!("juliet lives here");
    };
    let wish = TokenWish {
        host: HOST.into(),
        localpart: "juliet".into(),
        account,
        client,
        mechanism: TokenMechanism::Unbound,
    };
    match answer(house, AuthAsk::IssueToken(Box::new(wish))) {
        AuthAnswer::Issued(token) => token,
        other => panic!("{other:?}"),
    }
}

fn proof(localpart: &str, client: Uuid, text: &Secret) -> TokenProof {
    let binding = Secret::new(Vec::new());
    TokenProof {
        host: HOST.into(),
        localpart: localpart.into(),
        client,
        mechanism: TokenMechanism::Unbound,
        proof: token::initiator(text, &binding),
        binding,
        count: None,
        invalidates: false,
        request: None,
    }
}

fn prove(house: &House, proof: TokenProof) -> AuthAnswer {
    answer(house, AuthAsk::Token(Box::new(proof)))
}

#[test]
fn asking_costs_the_same_whether_there_is_an_account_a_client_or_neither() {
    let house = house();
    let fresh = issue(&house, client('0'));
    let reads = |name: &str, client| {
        let before = house.disk.reads.load(Ordering::Relaxed);
        let wrong = Secret::new(b"made up".to_vec());
        let refused = prove(&house, proof(name, client, &wrong));
        assert!(matches!(refused, AuthAnswer::Refused), "{name}");
        house.disk.reads.load(Ordering::Relaxed) - before
    };
    let known = reads("juliet", client('0'));
    assert_eq!(reads("juliet", client('1')), known);
    assert_eq!(reads("nurse", client('0')), known);
    assert_eq!(reads("nobody", client('0')), known);
    let right = prove(&house, proof("juliet", client('0'), &fresh.token));
    assert!(matches!(right, AuthAnswer::Proved { .. }));
}

#[test]
fn the_store_holds_no_token_and_nothing_is_written_for_one_in_use() {
    let house = house();
    let fresh = issue(&house, client('0'));
    let text = fresh.token.expose();
    for value in house.disk.rows.lock().values() {
        assert!(!value.windows(text.len()).any(|part| part == text));
    }
    // The first use makes the new token the current one.
    prove(&house, proof("juliet", client('0'), &fresh.token));
    let before = house.disk.saves.load(Ordering::Relaxed);
    for _ in 0..3 {
        let right = prove(&house, proof("juliet", client('0'), &fresh.token));
        assert!(matches!(right, AuthAnswer::Proved { token: None, .. }));
    }
    assert_eq!(house.disk.saves.load(Ordering::Relaxed), before);
}

#[test]
fn whatever_changes_the_generation_ends_the_tokens() {
    let changes: [fn(&Accounts); 3] = [
        |accounts| {
            accounts
                .set_password(HOST, "juliet", &secret("pencil"))
                .unwrap();
        },
        |accounts| {
            accounts.revoke(HOST, "juliet").unwrap();
        },
        |accounts| {
            accounts.disable(HOST, "juliet").unwrap();
            accounts.enable(HOST, "juliet").unwrap();
        },
    ];
    for change in changes {
        let house = house();
        let fresh = issue(&house, client('0'));
        change(&house.accounts);
        // Whoever has it hears that it was one, and is no guesser.
        let ended = prove(&house, proof("juliet", client('0'), &fresh.token));
        assert!(matches!(ended, AuthAnswer::Expired));
        let guess = Secret::new(vec![b'x'; 43]);
        let refused = prove(&house, proof("juliet", client('0'), &guess));
        assert!(matches!(refused, AuthAnswer::Refused));
        house.accounts.disable(HOST, "juliet").unwrap();
        let refused = prove(&house, proof("juliet", client('0'), &fresh.token));
        assert!(matches!(refused, AuthAnswer::Refused));
    }
}

#[test]
fn a_user_sees_and_ends_the_tokens_of_single_clients() {
    let house = house();
    let first = issue(&house, client('0'));
    let second = issue(&house, client('1'));
    let id = house.row("juliet").account.id;
    let known = |house: &House| -> Vec<Uuid> {
        let ask = AccountAsk::Clients {
            host: HOST.into(),
            localpart: "juliet".into(),
            id,
        };
        match answer(house, AuthAsk::Own(ask, None)) {
            AuthAnswer::Own(AccountAnswer::Clients(known)) => {
                known.iter().map(|known| known.client).collect()
            }
            other => panic!("clients were asked for, not {other:?}"),
        }
    };
    let revoke = |house: &House, id, clients| {
        let account = AccountRef {
            id,
            ..house.row("juliet").account
        };
        let ask = AccountAsk::Revoke {
            host: HOST.into(),
            localpart: "juliet".into(),
            account,
            clients,
        };
        answer(house, AuthAsk::Own(ask, None))
    };
    let is_good = |house: &House, of: char, fresh: &FreshToken| {
        let verdict = prove(house, proof("juliet", client(of), &fresh.token));
        matches!(verdict, AuthAnswer::Proved { .. })
    };
    assert_eq!(known(&house).len(), 2);
    let gone = revoke(&house, AccountId(id.0 + 7), Clients::AllBut(None));
    assert!(matches!(gone, AuthAnswer::Own(AccountAnswer::Gone)));
    revoke(&house, id, Clients::These(vec![client('0')]));
    assert_eq!(known(&house), [client('1')]);
    assert!(!is_good(&house, '0', &first) && is_good(&house, '1', &second));
    let third = issue(&house, client('2'));
    revoke(&house, id, Clients::AllBut(Some(client('2'))));
    assert_eq!(known(&house), [client('2')]);
    assert!(!is_good(&house, '1', &second) && is_good(&house, '2', &third));
    revoke(&house, id, Clients::AllBut(None));
    assert!(known(&house).is_empty() && !is_good(&house, '2', &third));
}

#[test]
fn a_token_that_the_disk_did_not_take_is_not_told() {
    let house = house();
    let AuthAnswer::Admitted(account) = answer(&house, password_ask("juliet", "pencil")) else {
        panic!("juliet lives here");
    };
    let wish = TokenWish {
        host: HOST.into(),
        localpart: "juliet".into(),
        account,
        client: client('0'),
        mechanism: TokenMechanism::Unbound,
    };
    *house.disk.fault.lock() = Some(StoreError::DiskFull);
    let refused = answer(&house, AuthAsk::IssueToken(Box::new(wish)));
    assert!(matches!(refused, AuthAnswer::Unavailable));
}

#[test]
fn who_shows_a_token_that_was_taken_back_is_no_guesser() {
    let house = house();
    let is_over = |fresh: &FreshToken, of: char| {
        let verdict = prove(&house, proof("juliet", client(of), &fresh.token));
        matches!(verdict, AuthAnswer::Expired)
    };
    // Replaced by a newer one: XEP-0484 section 3.5.
    let first = issue(&house, client('0'));
    prove(&house, proof("juliet", client('0'), &first.token));
    let second = issue(&house, client('0'));
    prove(&house, proof("juliet", client('0'), &second.token));
    assert!(is_over(&first, '0'));
    // Ended by the user: section 4.2.
    let other = issue(&house, client('1'));
    let ask = AccountAsk::Revoke {
        host: HOST.into(),
        localpart: "juliet".into(),
        account: house.row("juliet").account,
        clients: Clients::AllBut(Some(client('0'))),
    };
    answer(&house, AuthAsk::Own(ask, None));
    assert!(is_over(&other, '1'));
    // Given back by the client: section 3.6.
    let back = TokenProof {
        invalidates: true,
        ..proof("juliet", client('0'), &second.token)
    };
    assert!(matches!(prove(&house, back), AuthAnswer::Proved { .. }));
    assert!(is_over(&first, '0') && is_over(&second, '0'));
    let guess = Secret::new(vec![b'x'; 43]);
    let refused = prove(&house, proof("juliet", client('0'), &guess));
    assert!(matches!(refused, AuthAnswer::Refused));
    let third = issue(&house, client('0'));
    let right = prove(&house, proof("juliet", client('0'), &third.token));
    assert!(matches!(right, AuthAnswer::Proved { .. }));
}

#[test]
fn what_was_taken_back_takes_nobodys_place_and_is_forgotten_when_its_time_is_over() {
    let house = house();
    let mut settings = settings(2);
    settings.tokens.clients_max = 2;
    house.accounts.configure(settings);
    let revoke = |of: char| {
        let ask = AccountAsk::Revoke {
            host: HOST.into(),
            localpart: "juliet".into(),
            account: house.row("juliet").account,
            clients: Clients::These(vec![client(of)]),
        };
        answer(&house, AuthAsk::Own(ask, None));
    };
    let first = issue(&house, client('0'));
    issue(&house, client('1'));
    revoke('1');
    issue(&house, client('2'));
    // Not the first, though its time is over as soon.
    let right = prove(&house, proof("juliet", client('0'), &first.token));
    assert!(matches!(right, AuthAnswer::Proved { .. }));
    let kept = || {
        let rows = house.disk.rows.lock();
        rows.keys()
            .filter(|(table, _)| *table == TOKEN.name)
            .count()
    };
    assert_eq!(kept(), 2);
    revoke('0');
    revoke('2');
    assert_eq!(kept(), 2);
    let later = Now::default().plus_ms(limits::TOKEN_EXPIRY_MS);
    let AuthAnswer::Admitted(account) = answer(&house, password_ask("juliet", "pencil")) else {
        panic!("juliet lives here");
    };
    let wish = TokenWish {
        host: HOST.into(),
        localpart: "juliet".into(),
        account,
        client: client('3'),
        mechanism: TokenMechanism::Unbound,
    };
    house
        .accounts
        .answer(AuthAsk::IssueToken(Box::new(wish)), later);
    assert_eq!(kept(), 1);
}

/// Section 3.5: "Upon successful use of any token, the server MUST invalidate all tokens issued to the same client with an
/// earlier expiry than the current token".
#[test]
fn a_token_in_use_ends_another_that_would_have_ended_earlier() {
    let house = house();
    let configure = |expiry_ms: u64| {
        house.accounts.configure(AuthSettings {
            tokens: TokenSettings {
                expiry_ms,
                ..TokenSettings::default()
            },
            ..settings(1)
        });
    };
    let client = client('a');
    for (then_ms, is_good) in [(8_000_000, true), (3_600_000, false)] {
        configure(7_200_000);
        let first = issue(&house, client);
        assert!(matches!(
            prove(&house, proof("juliet", client, &first.token)),
            AuthAnswer::Proved { .. }
        ));
        // An operator changes how long tokens are good; the client gets another, and goes on with the one that it has.
        configure(then_ms);
        let second = issue(&house, client);
        assert!(matches!(
            prove(&house, proof("juliet", client, &first.token)),
            AuthAnswer::Proved { .. }
        ));
        let proved = prove(&house, proof("juliet", client, &second.token));
        let was_proved = matches!(proved, AuthAnswer::Proved { .. });
        assert_eq!(was_proved, is_good, "{proved:?}");
    }
}
