//! Keys that clients make (XEP-0480): what they may replace, and what a password still opens.

use super::*;
use crate::actor::auth::UpgradeTerms;
use crate::auth::threads::prefix_of;

fn account(house: &House) -> AccountRef {
    house.row("juliet").account
}

/// By what a client that proved the password by SCRAM-SHA-1 shall derive.
fn terms(house: &House, hashes: &[ScramHash]) -> Vec<UpgradeTerms> {
    let answer = house.ask(AuthAsk::Upgrades {
        host: Arc::from(HOST),
        localpart: Arc::from("juliet"),
        account: account(house),
        hashes: hashes.to_vec(),
    });
    match answer {
        AuthAnswer::Upgrades(terms) => terms,
        other => panic!("terms were asked for, not {other:?}"),
    }
}

fn take(house: &House, account: AccountRef, keys: ScramKeys) -> AuthAnswer {
    house.ask(AuthAsk::TakeKeys {
        host: Arc::from(HOST),
        localpart: Arc::from("juliet"),
        account,
        keys: Box::new(keys),
        prefix: AddressPrefix::Local,
    })
}

/// What a client makes of these terms with a password.
fn made(terms: &UpgradeTerms, password: &str) -> ScramKeys {
    keys::derive(terms.hash, &secret(password), &terms.salt, terms.iterations)
}

/// Juliet has keys for SHA-1 alone, as an import leaves them.
fn behind() -> House {
    let house = house();
    house.replace_row("juliet", |row| {
        row.keys.retain(|keys| keys.hash == ScramHash::Sha1);
    });
    house
}

const NEW: [ScramHash; 2] = [ScramHash::Sha256, ScramHash::Sha512];

#[test]
fn keys_that_a_client_makes_are_taken_and_open_the_account() {
    let house = behind();
    let terms = terms(&house, &NEW);
    assert_eq!(terms.len(), 2);
    assert_ne!(terms[0].salt, terms[1].salt);
    for terms in &terms {
        let keys = made(terms, "pencil");
        assert!(matches!(
            take(&house, account(&house), keys),
            AuthAnswer::Taken
        ));
        assert!(keys::matches(
            &house.keys("juliet", terms.hash).0,
            &secret("pencil")
        ));
    }
    assert!(house.row("juliet").keys_for(ScramHash::Sha1).is_some());
    assert!(admitted(&house.ask(password_ask("juliet", "pencil"))));
}

#[test]
fn junk_that_a_client_makes_locks_nobody_out_and_the_password_heals_it() {
    let house = behind();
    for terms in terms(&house, &NEW) {
        let answer = take(&house, account(&house), made(&terms, "junk"));
        assert!(matches!(answer, AuthAnswer::Taken));
    }
    // One derivation, whatever keys there are.
    assert_eq!(house.cost(password_ask("juliet", "junk")), (1, 0, 1));
    assert!(!admitted(&house.ask(password_ask("juliet", "junk"))));
    assert!(admitted(&house.ask(password_ask("juliet", "pencil"))));
    for hash in EVERY {
        assert!(keys::matches(
            &house.keys("juliet", hash).0,
            &secret("pencil")
        ));
    }
    assert_eq!(house.cost(password_ask("juliet", "pencil")), (1, 0, 1));
}

#[test]
fn not_all_keys_are_replaced_by_what_nobody_has_verified() {
    let house = house();
    house.accounts.configure(settings(3));
    for terms in terms(&house, &EVERY) {
        take(&house, account(&house), made(&terms, "junk"));
    }
    assert!(admitted(&house.ask(password_ask("juliet", "pencil"))));
}

#[test]
fn keys_of_an_earlier_password_or_of_terms_that_are_out_of_date_are_refused() {
    let house = behind();
    let stale = account(&house);
    let old = terms(&house, &NEW);
    // A login by PLAIN brings all up to date in between.
    house.accounts.configure(settings(4));
    assert!(admitted(&house.ask(password_ask("juliet", "pencil"))));
    // Those that the login left are better.
    let answer = take(&house, stale, made(&old[0], "junk"));
    assert!(matches!(answer, AuthAnswer::Upgrades(left) if left.is_empty()));
    let keys = house.keys("juliet", ScramHash::Sha256).0;
    assert_eq!(keys.iterations, 4);
    house
        .accounts
        .set_password(HOST, "juliet", &secret("crayon"))
        .unwrap();
    assert!(matches!(
        take(&house, stale, made(&old[0], "pencil")),
        AuthAnswer::Refused
    ));
}

#[test]
fn who_brings_keys_waits_behind_his_own_address_alone() {
    let house = behind();
    let terms = terms(&house, &NEW).remove(0);
    let ask = |prefix| AuthAsk::TakeKeys {
        host: Arc::from(HOST),
        localpart: Arc::from("juliet"),
        account: account(&house),
        keys: Box::new(made(&terms, "pencil")),
        prefix,
    };
    let of = |prefix| prefix_of(&ask(prefix));
    assert_eq!(of(AddressPrefix::Local), Some(AddressPrefix::Local));
}
