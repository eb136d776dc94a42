//! The real binary in its operator's hands: stops, reloads, checks, copies, disks that are full, hosts and proxies.
//! It refuses to know why the server does what it does; `tests/hostile` lends its client.

#[path = "../hostile/client.rs"]
#[allow(dead_code)] // The hostile do more with it.
mod client;
mod copies;
#[path = "../play/framer.rs"]
#[allow(dead_code)] // The theatre's self-tests run with the theatre.
mod framer;
mod hosts;
#[path = "../common/ports.rs"]
mod ports;
mod reload;
mod run;
mod server;
mod stamps;
mod stop;
mod trace;
mod workers;

/// What the borrowed files of the theatre know as a test of themselves.
type SelfTest = (&'static str, fn());
