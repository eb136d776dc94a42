//! Any bytes as initial response and response of every mechanism: no panic, and nobody gets in but strangers.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use stonechat::actor::auth::{AuthAnswer, AuthAsk, ScramKeys};
use stonechat::base::{Rng, Secret};
use stonechat::stream::sasl::{
    ChannelFacts, Exchange, Mechanism, Step, decode_response, digest::digest_bytes,
};

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let mechanism = Mechanism::ALL[usize::from(*choice) % Mechanism::ALL.len()];
    let cut = data
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(data.len());
    let (first, last) = data.split_at(cut);
    let _ = std::str::from_utf8(data).map(decode_response);
    let facts = ChannelFacts {
        secured: true,
        tls_exporter: Some(Secret::new(vec![1; 32])),
        tls_server_end_point: Some(vec![2; 32]),
        certificate_addresses: vec![String::from_utf8_lossy(last).into_owned()],
        certificate_subject: None,
    };
    let host: Arc<str> = Arc::from("example.com");
    let mut rng = Rng::from_seed([3; 32]);
    let Ok(mut exchange) = Exchange::start(mechanism, &host, &facts, &Mechanism::ALL, &mut rng)
    else {
        return;
    };
    let mut step = exchange.respond(Some(first));
    step = match step {
        Step::Ask(AuthAsk::ScramKeys { hash, .. }) => exchange.answered(AuthAnswer::ScramKeys {
            keys: ScramKeys {
                hash,
                iterations: 10_000,
                salt: vec![4; 16],
                stored_key: Secret::new(vec![5; digest_bytes(hash)]),
                server_key: Secret::new(vec![6; digest_bytes(hash)]),
            },
            account: None,
        }),
        Step::Ask(_) => exchange.answered(AuthAnswer::Refused),
        other => other,
    };
    if matches!(step, Step::Challenge(_)) {
        step = exchange.respond(Some(last.get(1..).unwrap_or_default()));
    }
    assert!(matches!(step, Step::Failure(_)) || mechanism == Mechanism::Anonymous);
});
