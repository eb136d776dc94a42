//! Whole exchanges: every mechanism against every kind of authzid, downgrades, and talk out of order. Kept
//! apart from `exchange.rs` for its length; refuses to look inside.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::client::{Client, account, keys, secured};
use super::{ChannelFacts, Exchange, Mechanism, SaslFailure, SaslPolicy, Step, offered};
use crate::actor::auth::{AuthAnswer, AuthAsk, ScramHash};
use crate::base::Rng;

fn rng() -> Rng {
    Rng::from_seed([7; 32])
}

fn host() -> Arc<str> {
    Arc::from("example.com")
}

fn policy() -> SaslPolicy {
    SaslPolicy {
        scram: vec![ScramHash::Sha1, ScramHash::Sha256, ScramHash::Sha512],
        plain: true,
        external: true,
        subjects: true,
        anonymous: true,
    }
}

/// A secured channel whose client has a certificate for these addresses.
fn certified(addresses: &[&str]) -> ChannelFacts {
    ChannelFacts {
        certificate_addresses: addresses.iter().map(|a| (*a).to_owned()).collect(),
        ..secured()
    }
}

fn start_on(facts: &ChannelFacts, mechanism: Mechanism) -> Exchange {
    let offered = offered(&host(), &policy(), facts);
    Exchange::start(mechanism, &host(), facts, &offered, &mut rng())
        .unwrap_or_else(|failure| panic!("{} was not offered: {failure}", mechanism.name()))
}

fn start(mechanism: Mechanism) -> Exchange {
    start_on(&certified(&["juliet@example.com"]), mechanism)
}

/// Answers as an auth thread would that knows juliet, whose password is "pencil".
fn answer(ask: AuthAsk) -> AuthAnswer {
    match ask {
        AuthAsk::ScramKeys {
            host,
            localpart,
            hash,
        } => {
            assert_eq!((&*host, &*localpart), ("example.com", "juliet"));
            AuthAnswer::ScramKeys {
                keys: keys(hash, "pencil", b"sixteen bytes!!!", 2),
                account: Some(account(1)),
            }
        }
        AuthAsk::Password {
            host,
            localpart,
            password,
        } => {
            assert_eq!((&*host, &*localpart), ("example.com", "juliet"));
            if password.expose() == b"pencil" {
                AuthAnswer::Admitted(account(1))
            } else {
                AuthAnswer::Refused
            }
        }
        AuthAsk::Admission { localpart, .. } if &*localpart == "juliet" => {
            AuthAnswer::Admitted(account(1))
        }
        AuthAsk::Admission { .. } => AuthAnswer::Refused,
        AuthAsk::Failed { .. } => AuthAnswer::Released,
        other => panic!("no exchange asks {other:?}"),
    }
}

/// The header that a client with that mechanism and authzid (already escaped) sends.
fn header(mechanism: Mechanism, authzid: &str) -> String {
    let flag = if mechanism.binds_channel() {
        "p=tls-exporter"
    } else {
        "n"
    };
    match authzid {
        "" => format!("{flag},,"),
        _ => format!("{flag},a={authzid},"),
    }
}

/// juliet logs in, asking to act as `authzid`; what the exchange comes to.
fn log_in(mechanism: Mechanism, authzid: &str) -> Step {
    let mut exchange = start(mechanism);
    let Some(hash) = mechanism.scram_hash() else {
        let message = match mechanism {
            Mechanism::Plain => format!("{authzid}\0juliet\0pencil"),
            _ => authzid.to_owned(),
        };
        return match exchange.respond(Some(message.as_bytes())) {
            Step::Ask(ask) => exchange.answered(answer(ask)),
            over => over,
        };
    };
    let mut client = Client::new(hash, "", "juliet");
    client.header = header(mechanism, authzid).leak();
    if mechanism.binds_channel() {
        client.binding_data = b"exported key material";
    }
    let ask = match exchange.respond(Some(&client.first())) {
        Step::Ask(ask) => ask,
        over => return over,
    };
    let Step::Challenge(challenge) = exchange.answered(answer(ask)) else {
        panic!("keys make a challenge");
    };
    exchange.respond(Some(&client.last(&challenge).0))
}

const BY_NAME: [Mechanism; 8] = [
    Mechanism::External,
    Mechanism::ScramSha512Plus,
    Mechanism::ScramSha256Plus,
    Mechanism::ScramSha1Plus,
    Mechanism::ScramSha512,
    Mechanism::ScramSha256,
    Mechanism::ScramSha1,
    Mechanism::Plain,
];

// peers.md row 10: mechanism x {none, own, other local, other domain, malformed}.
#[test]
fn whatever_the_mechanism_one_acts_as_oneself_only() {
    for mechanism in BY_NAME {
        for own in ["", "juliet@example.com", "JULIET@Example.Com"] {
            let step = log_in(mechanism, own);
            let Step::Success {
                localpart, account, ..
            } = step
            else {
                panic!("{} as {own:?}: {step:?}", mechanism.name());
            };
            assert_eq!(&*localpart, "juliet");
            assert!(account.is_some());
        }
        for foreign in [
            "romeo@example.com",
            "juliet@example.org",
            "juliet@example.com/balcony",
            "juliet",
            "@",
            "admin@",
        ] {
            let step = log_in(mechanism, foreign);
            assert!(
                matches!(step, Step::Failure(SaslFailure::InvalidAuthzid)),
                "{} as {foreign:?}: {step:?}",
                mechanism.name()
            );
        }
    }
}

#[test]
fn a_client_without_initial_response_gets_an_empty_challenge() {
    let mut exchange = start(Mechanism::Plain);
    assert!(matches!(exchange.respond(None), Step::Challenge(data) if data.is_empty()));
    let step = exchange.respond(Some(b"\0juliet\0pencil"));
    assert!(matches!(step, Step::Ask(AuthAsk::Password { .. })));
    assert_eq!(exchange.localpart().map(|l| &**l), Some("juliet"));
}

#[test]
fn plain_wants_two_nuls_a_name_and_a_password() {
    for message in [
        &b""[..],
        b"\0",
        b"\0\0",
        b"juliet\0pencil",
        b"\0\0pencil",
        b"\0juliet\0",
        b"\0juliet\0pen\0cil",
        b"\0juliet\0pencil\0",
        b"\0jul\xffiet\0pencil",
    ] {
        let step = start(Mechanism::Plain).respond(Some(message));
        assert!(
            matches!(step, Step::Failure(SaslFailure::MalformedRequest)),
            "{message:?}"
        );
    }
    let step = start(Mechanism::Plain).respond(Some(b"\0jul iet\0pencil"));
    assert!(matches!(step, Step::Failure(SaslFailure::NotAuthorized)));
}

#[test]
fn plain_never_runs_on_an_open_channel_even_if_it_was_offered() {
    let open = ChannelFacts::default();
    let all = Mechanism::ALL;
    let started = Exchange::start(Mechanism::Plain, &host(), &open, &all, &mut rng());
    assert_eq!(started.err(), Some(SaslFailure::EncryptionRequired));
}

#[test]
fn what_was_not_offered_is_not_run() {
    let facts = secured();
    for mechanism in Mechanism::ALL {
        let others: Vec<_> = Mechanism::ALL
            .into_iter()
            .filter(|m| *m != mechanism)
            .collect();
        let started = Exchange::start(mechanism, &host(), &facts, &others, &mut rng());
        assert_eq!(started.err(), Some(SaslFailure::InvalidMechanism));
    }
}

#[test]
fn a_certificate_with_two_accounts_here_needs_an_authzid() {
    let facts = certified(&[
        "juliet@example.com",
        "nurse@example.com",
        "JULIET@example.com",
        "juliet@example.org",
    ]);
    let ask = |authzid: &[u8]| start_on(&facts, Mechanism::External).respond(Some(authzid));
    assert!(matches!(
        ask(b""),
        Step::Failure(SaslFailure::InvalidAuthzid)
    ));
    assert!(matches!(
        ask(b"juliet@example.com"),
        Step::Ask(AuthAsk::Admission { localpart, .. }) if &*localpart == "juliet"
    ));
    assert!(matches!(
        ask(b"nurse@example.com"),
        Step::Ask(AuthAsk::Admission { localpart, .. }) if &*localpart == "nurse"
    ));
    let elsewhere = ask(b"juliet@example.org");
    assert!(matches!(
        elsewhere,
        Step::Failure(SaslFailure::InvalidAuthzid)
    ));
    assert!(matches!(
        ask(b"\xff"),
        Step::Failure(SaslFailure::MalformedRequest)
    ));
}

// peers.md row 18: an address is a string to compare, never a pattern.
#[test]
fn crafted_certificate_addresses_stand_for_nobody() {
    for crafted in [
        "juliet@example.com\0.evil.example",
        "juliet@example.com,romeo@example.com",
        "juliet\\,@example.com",
        "*@example.com",
        "juliet@*",
    ] {
        let facts = certified(&[crafted, "nurse@example.com"]);
        let step = start_on(&facts, Mechanism::External).respond(Some(b"juliet@example.com"));
        assert!(
            matches!(step, Step::Failure(SaslFailure::InvalidAuthzid)),
            "{crafted:?}"
        );
    }
}

#[test]
fn a_stranger_gets_a_random_name_and_no_account() {
    let mut names = Vec::new();
    let mut rng = rng();
    let facts = secured();
    for _ in 0..2 {
        let mut exchange = Exchange::start(
            Mechanism::Anonymous,
            &host(),
            &facts,
            &Mechanism::ALL,
            &mut rng,
        )
        .unwrap_or_else(|failure| panic!("{failure}"));
        let Step::Success {
            localpart,
            account,
            additional,
            token: None,
        } = exchange.respond(Some(b""))
        else {
            panic!("ANONYMOUS admits anybody");
        };
        assert!(account.is_none() && additional.is_none());
        assert_eq!(
            super::identity::prepared_localpart(&localpart),
            Some(Arc::clone(&localpart))
        );
        names.push(localpart);
    }
    assert_ne!(names[0], names[1]);
    let step = start(Mechanism::Anonymous).respond(Some(&[b'x'; 256]));
    assert!(matches!(step, Step::Failure(SaslFailure::MalformedRequest)));
}

// peers.md row 13: somebody in the middle strips -PLUS; the client would have used it and says so.
#[test]
fn a_client_that_was_shown_no_plus_is_not_let_in_by_a_server_that_offers_it() {
    let mut exchange = start(Mechanism::ScramSha256);
    let step = exchange.respond(Some(b"y,,n=juliet,r=abc"));
    assert!(matches!(step, Step::Failure(SaslFailure::NotAuthorized)));
}

// peers.md row 13: he strips the better mechanisms from a client without channel binding; XEP-0474's hash
// then differs from what the client computes, and cannot be replaced without the password.
#[test]
fn a_shortened_list_of_mechanisms_shows_in_the_challenge() {
    let facts = secured();
    let full = offered(&host(), &policy(), &facts);
    let challenge = |offered: &[Mechanism]| {
        let mut exchange =
            Exchange::start(Mechanism::ScramSha1, &host(), &facts, offered, &mut rng())
                .unwrap_or_else(|failure| panic!("{failure}"));
        let Step::Ask(ask) = exchange.respond(Some(b"n,,n=juliet,r=abc")) else {
            panic!("the server asks for keys");
        };
        let Step::Challenge(challenge) = exchange.answered(answer(ask)) else {
            panic!("keys make a challenge");
        };
        (exchange, String::from_utf8_lossy(&challenge).into_owned())
    };
    let hash_of = |text: &str| text.rsplit_once(",h=").map(|(_, hash)| hash.to_owned());
    let (mut server, sent) = challenge(&full);
    let (_, stripped) = challenge(&[Mechanism::ScramSha1]);
    let (sent_hash, stripped_hash) = (hash_of(&sent), hash_of(&stripped));
    assert!(sent_hash.is_some() && stripped_hash.is_some() && sent_hash != stripped_hash);

    // He replaces the hash by the one that the client expects: the proof no longer fits what we sent.
    let forged = sent.replace(
        &sent_hash.unwrap_or_default(),
        &stripped_hash.unwrap_or_default(),
    );
    let mut client = Client::new(ScramHash::Sha1, "n,,", "juliet");
    client.bare = "n=juliet,r=abc".to_owned();
    let step = server.respond(Some(&client.last(forged.as_bytes()).0));
    assert!(matches!(step, Step::Failure(SaslFailure::NotAuthorized)));
}

/// The server's part of so many nonces.
fn nonces(seed: u8, count: usize) -> Vec<String> {
    let mut rng = Rng::from_seed([seed; 32]);
    let facts = secured();
    let mut nonce = || {
        let all = Mechanism::ALL;
        let started = Exchange::start(Mechanism::ScramSha1, &host(), &facts, &all, &mut rng);
        let mut exchange = started.unwrap_or_else(|failure| panic!("{failure}"));
        let Step::Ask(ask) = exchange.respond(Some(b"n,,n=juliet,r=abc")) else {
            panic!("the server asks for keys");
        };
        match exchange.answered(answer(ask)) {
            Step::Challenge(challenge) => {
                let challenge = String::from_utf8(challenge).unwrap();
                let nonce = challenge
                    .strip_prefix("r=abc")
                    .expect("ours follows theirs");
                nonce.split(',').next().unwrap().to_owned()
            }
            other => panic!("keys make a challenge, not {other:?}"),
        }
    };
    (0..count).map(|_| nonce()).collect()
}

#[test]
fn nonces_are_random_in_every_place_and_depend_on_the_seed() {
    let (one, other) = (nonces(1, 64), nonces(2, 64));
    // 128 bits in characters of six.
    assert!(one.iter().all(|nonce| nonce.len() >= 22), "{one:?}");
    for place in 0..one[0].len() {
        let values: BTreeSet<u8> = one.iter().map(|nonce| nonce.as_bytes()[place]).collect();
        // Of 64 random ones some 40; a counter, a clock or a prefix has a few.
        assert!(values.len() > 16, "place {place} of {one:?}");
    }
    assert!(one.iter().all(|nonce| !other.contains(nonce)));
}

#[test]
fn talk_out_of_order_ends_the_exchange() {
    let mut exchange = start(Mechanism::Plain);
    assert!(matches!(
        exchange.respond(Some(b"\0juliet\0pencil")),
        Step::Ask(_)
    ));
    let impatient = exchange.respond(Some(b"\0juliet\0pencil"));
    assert!(matches!(
        impatient,
        Step::Failure(SaslFailure::MalformedRequest)
    ));
    // Not even the answer to the first question helps now.
    let late = exchange.answered(AuthAnswer::Admitted(account(1)));
    assert!(matches!(
        late,
        Step::Failure(SaslFailure::TemporaryAuthFailure)
    ));
}

#[test]
fn answers_that_do_not_fit_the_question_never_admit() {
    let mut exchange = start(Mechanism::ScramSha256);
    assert!(matches!(
        exchange.respond(Some(b"n,,n=juliet,r=abc")),
        Step::Ask(_)
    ));
    let step = exchange.answered(AuthAnswer::Admitted(account(1)));
    assert!(matches!(
        step,
        Step::Failure(SaslFailure::TemporaryAuthFailure)
    ));

    let mut exchange = start(Mechanism::ScramSha256);
    assert!(matches!(
        exchange.respond(Some(b"n,,n=juliet,r=abc")),
        Step::Ask(_)
    ));
    let step = exchange.answered(AuthAnswer::ScramKeys {
        keys: keys(ScramHash::Sha1, "pencil", b"salt", 2),
        account: Some(account(1)),
    });
    assert!(matches!(
        step,
        Step::Failure(SaslFailure::TemporaryAuthFailure)
    ));

    let mut exchange = start(Mechanism::Plain);
    assert!(matches!(
        exchange.respond(Some(b"\0juliet\0pencil")),
        Step::Ask(_)
    ));
    let step = exchange.answered(AuthAnswer::Unavailable);
    assert!(matches!(
        step,
        Step::Failure(SaslFailure::TemporaryAuthFailure)
    ));
}

#[test]
fn a_wrong_password_may_be_a_guess_and_a_slip_of_the_grammar_is_none() {
    let mut exchange = start(Mechanism::Plain);
    let Step::Ask(ask) = exchange.respond(Some(b"\0juliet\0pen")) else {
        panic!("the server asks");
    };
    let Step::Failure(failure) = exchange.answered(answer(ask)) else {
        panic!("the password is wrong");
    };
    assert_eq!(failure, SaslFailure::NotAuthorized);
    assert!(failure.may_be_a_guess());
    assert!(!SaslFailure::MalformedRequest.may_be_a_guess());
    assert!(!SaslFailure::TemporaryAuthFailure.may_be_a_guess());
}

proptest! {
    #[test]
    fn any_bytes_at_any_time_end_in_a_step(
        choice in 0..Mechanism::ALL.len(),
        first in proptest::collection::vec(any::<u8>(), 0..200),
        last in "(c=[a-zA-Z0-9=]{0,8},?)?(r=[a-z]{0,4},?)?(p=.{0,8})?",
    ) {
        let mut exchange = start(Mechanism::ALL[choice]);
        let mut step = exchange.respond(Some(&first));
        if let Step::Ask(AuthAsk::ScramKeys { hash, .. }) = step {
            let keys = keys(hash, "pencil", b"salt", 1);
            step = exchange.answered(AuthAnswer::ScramKeys { keys, account: None });
        }
        if matches!(step, Step::Challenge(_)) {
            let step = exchange.respond(Some(last.as_bytes()));
            prop_assert!(matches!(step, Step::Failure(_)));
        }
    }
}
