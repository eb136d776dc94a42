//! What is counted on a real server: what connections leave behind, and system calls. The server is the program that
//! `STONECHAT` names, or else `../target/debug/stonechat`. All on core 0, so that it runs on any machine.

use std::io::Write;
use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    let program =
        std::env::var_os("STONECHAT").unwrap_or_else(|| "../target/debug/stonechat".into());
    Command::new(env!("CARGO_BIN_EXE_stonechat-bench"))
        .args([
            "--server-core",
            "0",
            "--driver-core",
            "0",
            "--rounds",
            "1",
            "--binary",
        ])
        .arg(program)
        .args(arguments)
        .output()
        .expect("the driver was just built")
}

/// The median in the table's row that begins so.
fn median(output: &Output, measure: &str) -> f64 {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complained}");
    let row = said
        .lines()
        .find(|line| line.starts_with(&format!("| {measure}")));
    let row = row.unwrap_or_else(|| panic!("no {measure} in {said}"));
    let median = row.split('|').nth(4).expect("a median").trim();
    median.parse().expect("a number")
}

#[test]
fn connections_that_come_and_go_leave_no_descriptor_and_no_memory() {
    // The allocator gives back what nobody uses after ten seconds. Of fewer, five hundred bytes each would not be seen.
    let output = bench(&["connections", "--count", "4096", "--rest", "12"]);
    assert!(median(&output, "open descriptors after 4096 connections") > 3.0);
    median(&output, "memory after 4096 connections");
}

#[test]
fn system_calls_are_counted_per_message() {
    let counters = ["perf", "strace"];
    let is_there = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    if !counters.iter().any(is_there) {
        // Past what the harness keeps to itself of a test that passes.
        let text = "\n!!! SKIP: NEITHER perf NOR strace: no system calls were counted (apt-get install linux-perf)\n\n";
        let _ = std::io::stderr().write_all(text.as_bytes());
        return;
    }
    let output = bench(&["calls", "--pairs", "4", "--seconds", "1", "--warm-up", "0"]);
    let calls = median(&output, "system calls, 4 pairs, 8 in flight");
    // One read and one write for each message would be two.
    assert!((0.05..1.5).contains(&calls), "{calls}");
}
