//! What users do to their own accounts: exactly that, and nothing is left of who goes.

use super::*;
use crate::actor::auth::{AccountAnswer, AccountAsk, Clients, Registration, RegistrationError};
use crate::actor::rows::RowRange;
use crate::auth::{AccountError, Purged};
use crate::config::{HostRegistration, RegistrationMode};
use crate::im::credentials::{AccountState, REGISTRATION, TOMBSTONE};
use crate::im::roster::{RosterItem, Standing};
use crate::im::{invitation, outgoing};
use crate::jid::Jid;
use crate::stanza::Type;

fn open_house() -> House {
    let house = house();
    house.accounts.configure(AuthSettings {
        registration: BTreeMap::from([(
            Arc::from(HOST),
            HostRegistration {
                mode: RegistrationMode::Open,
                ..HostRegistration::default()
            },
        )]),
        ..settings(1)
    });
    house
}

fn wish(localpart: &str, password: &str) -> Registration {
    Registration {
        host: HOST.into(),
        localpart: localpart.into(),
        password: Secret::new(password.as_bytes().to_vec()),
        prefix: AddressPrefix::Local,
        token: None,
        fields: vec![("email".to_owned(), "x@example.net\nstate 9".to_owned())],
    }
}

fn answer(house: &House, ask: AuthAsk) -> AuthAnswer {
    house.accounts.answer(ask, Now::default()).0
}

fn register(house: &House, wish: Registration) -> Result<AccountId, RegistrationError> {
    match answer(house, AuthAsk::Register(Box::new(wish))) {
        AuthAnswer::Registered(outcome) => outcome.map(|made| made.id),
        other => panic!("{other:?}"),
    }
}

fn own(house: &House, ask: AccountAsk) -> AccountAnswer {
    match answer(house, AuthAsk::Own(ask, None)) {
        AuthAnswer::Own(answer) => answer,
        other => panic!("{other:?}"),
    }
}

/// The account of this number before anything was changed of it.
fn first(id: AccountId) -> AccountRef {
    AccountRef {
        id,
        generation: Generation(0),
    }
}

fn rows(house: &House) -> Vec<(&'static str, RowKey)> {
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
fn what_a_newcomer_says_is_one_line_a_field_whatever_is_in_it() {
    let house = open_house();
    let id = register(&house, wish("rosaline", "pencil")).expect("it is open");
    let said = house.accounts.registration(id).expect("memory");
    assert_eq!(said, ["email x@example.netstate 9"]);
}

#[test]
fn where_an_operator_lets_newcomers_in_nobody_gets_in_before() {
    let house = house();
    house.accounts.configure(AuthSettings {
        registration: BTreeMap::from([(
            Arc::from(HOST),
            HostRegistration {
                mode: RegistrationMode::Open,
                approval: true,
                ..HostRegistration::default()
            },
        )]),
        ..settings(1)
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
    let house = house();
    house.accounts.configure(AuthSettings {
        registration: BTreeMap::from([(
            Arc::from(HOST),
            HostRegistration {
                mode: RegistrationMode::Open,
                approval: true,
                per_address: 100_000,
                per_host: 100_000,
                lookalikes: true,
                ..HostRegistration::default()
            },
        )]),
        ..settings(1)
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
    let remove = || AccountAsk::Remove {
        host: HOST.into(),
        localpart: "rosaline".into(),
        account: first(id),
    };
    assert!(matches!(own(&house, remove()), AccountAnswer::Done(_)));
    assert_eq!(own(&house, remove()), AccountAnswer::Gone);
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
    let remove = AccountAsk::Remove {
        host: HOST.into(),
        localpart: "rosaline".into(),
        account: first(id),
    };
    own(&house, remove);
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
    let remove = AccountAsk::Remove {
        host: HOST.into(),
        localpart: "rosaline".into(),
        account: first(id),
    };
    own(&house, remove);
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
    let remove = AccountAsk::Remove {
        host: HOST.into(),
        localpart: "rosaline".into(),
        account: first(id),
    };
    own(&house, remove);
    house.accounts.stop_purging();
    assert_eq!(house.accounts.purge_again(id), Ok(Purged::Stopped));
    assert_eq!(house.accounts.removed(), Ok(vec![id]));
}

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
fn who_waits_and_is_refused_does_not_use_the_name_up() {
    let house = house();
    house.accounts.configure(AuthSettings {
        registration: BTreeMap::from([(
            Arc::from(HOST),
            HostRegistration {
                mode: RegistrationMode::Open,
                approval: true,
                ..HostRegistration::default()
            },
        )]),
        ..settings(1)
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
