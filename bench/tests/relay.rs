//! The driver against its own relay: the whole way from two processes to a table, on core 0 alone so
//! that it runs on any machine.

use std::process::Command;

#[test]
fn messages_through_the_null_relay_all_arrive_and_are_reported() {
    let output = Command::new(env!("CARGO_BIN_EXE_stonechat-bench"))
        .args([
            "null-relay",
            "--pairs",
            "5",
            "--in-flight",
            "3",
            "--seconds",
            "1",
            "--warm-up",
            "0",
        ])
        .args(["--rounds", "1", "--server-core", "0", "--driver-core", "0"])
        .output()
        .expect("the driver was just built");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{complained}");
    let row = said
        .lines()
        .find(|line| line.contains("null relay | CPU us"))
        .expect("a row");
    let median: f64 = row
        .split('|')
        .nth(4)
        .expect("a median")
        .trim()
        .parse()
        .expect("a number");
    assert!(median > 0.0, "{row}");
}

#[test]
fn a_server_that_does_not_start_is_an_error_and_not_a_figure() {
    let output = Command::new(env!("CARGO_BIN_EXE_stonechat-bench"))
        .args(["chat", "--pairs", "1", "--binary", "/bin/false"])
        .args(["--server-core", "0", "--driver-core", "0"])
        .output()
        .expect("the driver was just built");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("adding users failed"));
}
