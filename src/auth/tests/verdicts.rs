//! The shape of answers: what nobody may learn from them.

use super::*;
use crate::auth::AccountError;

// peers.md row 12: equality of shape.
#[test]
fn unknown_and_disabled_accounts_cost_and_look_like_a_wrong_password() {
    let house = house();
    for hash in EVERY {
        let (real, account) = house.keys("juliet", hash);
        assert!(account.is_some());
        for stranger in ["nobody", "nurse"] {
            let (fake, account) = house.keys(stranger, hash);
            assert!(account.is_none());
            assert_eq!(fake.salt.len(), real.salt.len());
            assert_eq!(fake.iterations, real.iterations);
            assert_eq!(
                fake.stored_key.expose().len(),
                real.stored_key.expose().len()
            );
            assert_eq!(
                fake.server_key.expose().len(),
                real.server_key.expose().len()
            );
            assert!(!keys::matches(&fake, &secret("pencil")));
        }
        for name in ["juliet", "nobody", "nurse"] {
            assert_eq!(house.cost(keys_ask(name, hash)), (1, 0, 0), "{name}");
        }
    }
    for (name, password) in [
        ("juliet", "wrong"),
        ("nobody", "pencil"),
        ("nurse", "pencil"),
    ] {
        assert_eq!(
            house.cost(password_ask(name, password)),
            (1, 0, 1),
            "{name}"
        );
        let answer = house.ask(password_ask(name, password));
        assert!(matches!(answer, AuthAnswer::Refused), "{name}");
    }
}

#[test]
fn a_fake_salt_is_stable_over_restarts_and_differs_by_name_host_and_digest() {
    let house = house();
    let salt = |house: &House, name, hash| house.keys(name, hash).0.salt;
    let first = salt(&house, "nobody", ScramHash::Sha256);
    assert_eq!(first, salt(&house, "nobody", ScramHash::Sha256));
    let restarted = house_on(Arc::clone(&house.disk), 200);
    assert_eq!(first, salt(&restarted, "nobody", ScramHash::Sha256));
    assert_ne!(first, salt(&house, "somebody", ScramHash::Sha256));
    assert_ne!(first, salt(&house, "nobody", ScramHash::Sha512));
}

#[test]
fn disabling_an_account_does_not_show_in_its_salt() {
    let house = house();
    let before = house.keys("juliet", ScramHash::Sha256).0;
    house.accounts.disable(HOST, "juliet").unwrap();
    let (after, account) = house.keys("juliet", ScramHash::Sha256);
    assert_eq!(
        (before.salt, before.iterations),
        (after.salt, after.iterations)
    );
    assert_ne!(before.stored_key.expose(), after.stored_key.expose());
    assert!(account.is_none());
    assert!(!admitted(&house.ask(AuthAsk::Admission {
        host: Arc::from(HOST),
        localpart: Arc::from("juliet"),
    })));
    house.accounts.enable(HOST, "juliet").unwrap();
    assert!(admitted(&house.ask(password_ask("juliet", "pencil"))));
}

#[test]
fn a_digest_that_an_account_has_no_keys_for_looks_like_any_other() {
    let house = house();
    house.replace_row("juliet", |row| {
        row.keys.retain(|keys| keys.hash == ScramHash::Sha1)
    });
    assert!(house.keys("juliet", ScramHash::Sha1).1.is_some());
    assert!(house.keys("juliet", ScramHash::Sha512).1.is_none());
    assert_eq!(house.cost(password_ask("juliet", "wrong")), (1, 0, 1));
}

#[test]
fn the_right_password_admits_and_unfit_ones_are_refused_before_any_read() {
    let house = house();
    let answer = house.ask(password_ask("juliet", "pencil"));
    let AuthAnswer::Admitted(account) = answer else {
        panic!("the password is right: {answer:?}");
    };
    assert_eq!(account, house.row("juliet").account);
    assert!(!admitted(&house.ask(password_ask("juliet", "Pencil"))));
    for unfit in ["", "pen\0cil", &"x".repeat(limits::PASSWORD_BYTES_MAX + 1)] {
        assert_eq!(house.cost(password_ask("juliet", unfit)), (0, 0, 0));
        assert!(matches!(
            house.ask(password_ask("juliet", unfit)),
            AuthAnswer::Refused
        ));
    }
}

#[test]
fn a_plain_login_brings_old_keys_up_to_date_once() {
    let house = house();
    let old = house.row("juliet");
    house.accounts.configure(settings(3));
    // A wrong password changes nothing.
    assert_eq!(house.cost(password_ask("juliet", "wrong")), (1, 0, 1));
    // The row, and once for the host that its keys have this count too.
    assert_eq!(house.cost(password_ask("juliet", "pencil")), (2, 2, 4));
    let new = house.row("juliet");
    assert_eq!(new.account, old.account, "nobody's token ends by it");
    for hash in EVERY {
        let (old, new) = (old.keys_for(hash).unwrap(), new.keys_for(hash).unwrap());
        assert_eq!(new.iterations, 3);
        assert_ne!(new.salt, old.salt);
        assert!(keys::matches(new, &secret("pencil")));
    }
    assert_eq!(house.cost(password_ask("juliet", "pencil")), (1, 0, 1));

    // A count that was lowered weakens nobody.
    house.accounts.configure(settings(2));
    assert_eq!(house.cost(password_ask("juliet", "pencil")), (1, 0, 1));

    house.replace_row("juliet", |row| {
        row.keys.retain(|keys| keys.hash == ScramHash::Sha1)
    });
    house.ask(password_ask("juliet", "pencil"));
    assert_eq!(house.row("juliet").keys.len(), 3);
}

#[test]
fn a_store_that_cannot_be_asked_is_no_verdict() {
    let house = house();
    *house.disk.fault.lock() = Some(StoreError::Broken);
    for ask in [
        keys_ask("juliet", ScramHash::Sha1),
        password_ask("juliet", "pencil"),
        AuthAsk::Admission {
            host: Arc::from(HOST),
            localpart: Arc::from("juliet"),
        },
    ] {
        assert!(matches!(house.ask(ask), AuthAnswer::Unavailable));
    }
    let add = house
        .accounts
        .add(HOST, "romeo", &secret("pencil"), Now::default());
    assert_eq!(add, Err(AccountError::Store(StoreError::Broken)));

    *house.disk.fault.lock() = None;
    let key = (ACCOUNT.name, name_key(HOST, "juliet"));
    house.disk.rows.lock().insert(key, vec![1, 2, 3]);
    assert!(matches!(
        house.ask(password_ask("juliet", "pencil")),
        AuthAnswer::Unavailable
    ));
}

#[test]
fn a_full_disk_keeps_nobody_from_logging_in() {
    let house = house();
    house.accounts.configure(settings(3));
    let (answer, upgrade) = house
        .accounts
        .check_password(HOST, "juliet", &secret("pencil"));
    *house.disk.fault.lock() = Some(StoreError::DiskFull);
    house.accounts.upgrade(&upgrade.expect("the keys were old"));
    assert!(admitted(&answer));
}

// peers.md row 21: failures wait, the right password never does.
#[test]
fn others_failures_never_delay_who_knows_the_password() {
    let house = house();
    let now = Now::default().plus_ms(1_000);
    let mut released = 0;
    for _ in 0..50 {
        released = house.accounts.answer(failed_ask("juliet"), now).1;
    }
    assert_eq!(released, 1_000 + limits::PENALTY_MAX_MS);
    let (answer, at_ms) = house.accounts.answer(password_ask("juliet", "pencil"), now);
    assert!(admitted(&answer));
    assert_eq!(at_ms, now.mono_ms);
    let (_, at_ms) = house
        .accounts
        .answer(keys_ask("juliet", ScramHash::Sha256), now);
    assert_eq!(at_ms, now.mono_ms);
    // A name without an account is delayed like any other.
    let (_, nobody) = house.accounts.answer(failed_ask("nobody"), now);
    assert_eq!(nobody, 1_000 + limits::PENALTY_MAX_MS);
}

// A count of today shown by names without an account would tell all accounts that are older than it.
#[test]
fn after_a_change_of_the_iteration_count_both_are_shown_by_accounts_and_by_others() {
    let house = house_on(Arc::default(), 1);
    let now = Now::default();
    for index in 0..12 {
        if index == 6 {
            house.accounts.configure(settings(3));
        }
        let name = format!("user{index}");
        let added = house.accounts.add(HOST, &name, &secret("pencil"), now);
        added.unwrap();
    }
    let shown = |house: &House, kind: &str| -> Vec<u32> {
        let names = (0..12).map(|index| format!("{kind}{index}"));
        names
            .map(|name| house.keys(&name, ScramHash::Sha256).0.iterations)
            .collect()
    };
    let has_both = |counts: &[u32]| {
        counts.contains(&2) && counts.contains(&3) && counts.iter().all(|count| *count < 4)
    };
    assert!(has_both(&shown(&house, "user")));
    let strangers = shown(&house, "stranger");
    assert!(has_both(&strangers), "{strangers:?}");
    // The same for every digest, and after a restart with yet another option.
    assert_eq!(
        house.keys("stranger1", ScramHash::Sha512).0.iterations,
        strangers[1]
    );
    let restarted = house_on(Arc::clone(&house.disk), 200);
    restarted.accounts.configure(settings(5));
    assert_eq!(strangers, shown(&restarted, "stranger"));
    // A further count takes names from both and moves none between them.
    let added = restarted.accounts.add(HOST, "late", &secret("pencil"), now);
    added.unwrap();
    let moved = shown(&restarted, "stranger");
    let stay = |(after, before): (&u32, &u32)| after == before || *after == 5;
    assert!(moved.iter().zip(&strangers).all(stay), "{moved:?}");
}

#[test]
fn counts_of_keys_from_before_they_were_noted_are_learnt_from_the_accounts() {
    let house = house();
    house.replace_row("juliet", |row| {
        for keys in &mut row.keys {
            keys.iterations = 7;
        }
    });
    house.keys("juliet", ScramHash::Sha256);
    let strangers = (0..20).map(|index| format!("stranger{index}"));
    let mut counts = strangers.map(|name| house.keys(&name, ScramHash::Sha256).0.iterations);
    assert!(counts.any(|count| count == 7));
}
