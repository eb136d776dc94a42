//! The seeded simulation: clients, accidents and a judge in virtual time.
//!
//! `cargo test --test sim` plays 200 seeds; `SIM_SEEDS=5000` more, `SIM_FROM=1000` others, `SIM_SEED=0x2a` one, aloud.

mod device;
mod judge;
#[allow(dead_code)] // The simulation speaks with the theatre's framer, not with its plays.
#[path = "../play/mod.rs"]
mod play;
#[path = "mod.rs"]
mod sim;
mod story;

use std::panic::catch_unwind;

/// Seeds that are played when nobody asks for more.
const SEEDS: u64 = 200;
/// Seeds that showed a fault once. The faults are mended; a change of the story gives a seed another story, so where
/// one could be told as a play, that is in `tests/scenarios/offline.xmpp` or `management.xmpp`, too.
const MENDED: [u64; 9] = [
    0x1a,   // order: what a lost session held got a row behind what was kept meanwhile
    0x368,  // twice: held by a lost session, and in a newcomer's flood
    0x4ca,  // the same
    0x4f5,  // numbers of rows came again when a process started with its clock set back
    0x5b7,  // lost: held by two lost sessions while a third was there
    0x5cc,  // twice, as 0x368
    0xa7f,  // half a subscription: an answer to a request that was withdrawn, an hour late
    0x11a2, // a burst of leftovers cost a session its connection
    0x130f, // the same
];
/// Every so many seeds one is played twice.
const TWICE: u64 = 8;

#[test]
fn every_seed_satisfies_the_judge() {
    if let Ok(seed) = std::env::var("SIM_SEED") {
        let seed = parse(&seed);
        println!("trace {:#x}", story::play(seed, true));
        return;
    }
    let from = std::env::var("SIM_FROM").map_or(0, |from| parse(&from));
    let count = std::env::var("SIM_SEEDS").map_or(SEEDS, |count| parse(&count));
    let mut failed = Vec::new();
    let mended = MENDED.into_iter().filter(|_| from == 0);
    for seed in (from..from + count).chain(mended) {
        let outcome = catch_unwind(|| {
            let trace = story::play(seed, false);
            if seed % TWICE == 0 {
                assert_eq!(
                    story::play(seed, false),
                    trace,
                    "the run cannot be repeated"
                );
            }
        });
        if let Err(panic) = outcome {
            let why = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
            failed.push(format!("SIM_SEED={seed:#x}: {}", why.unwrap_or_default()));
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {count} seeds fail:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

fn parse(number: &str) -> u64 {
    let parsed = match number.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => number.parse(),
    };
    parsed.expect("a number, or 0x and a hexadecimal one")
}
