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
    for seed in from..from + count {
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
