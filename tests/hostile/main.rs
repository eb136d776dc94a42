//! Bad input against the real binary.

mod bystanders;
mod client;
mod crowd;
mod elements;
#[path = "../play/framer.rs"]
#[allow(dead_code)] // The theatre's self-tests run with the theatre.
mod framer;
mod lockout;
mod logins;
#[path = "../play/scram.rs"]
#[allow(dead_code)]
mod scram;
mod secrets;
mod server;
#[path = "../sim/mod.rs"]
mod sim;
mod tls;

/// What the borrowed files of the theatre know as a test of themselves.
type SelfTest = (&'static str, fn());
