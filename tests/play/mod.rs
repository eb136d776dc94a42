//! The theatre: reads plays (`tests/scenarios/*.xmpp`) and performs them on a stage, a server in
//! some form. It refuses to know how Stonechat works inside: it speaks bytes, and judges by the
//! specifications.

pub mod account;
pub mod client;
pub mod direction;
pub mod framer;
pub mod login;
pub mod pattern;
pub mod perform;
#[path = "../common/ports.rs"]
#[allow(dead_code)] // The server says where it listens; other programs cannot.
pub mod ports;
#[allow(dead_code)] // Binding to channels is what the hostile tests do.
pub mod scram;
pub mod script;
pub mod server;
pub mod socket;
pub mod stage;
pub mod vocabulary;
pub mod world;

/// The theatre's own tests, run by `tests/scenarios.rs` before any play: a name and what must not
/// panic.
pub type SelfTest = (&'static str, fn());

/// Every self-test, by module.
pub fn self_tests() -> Vec<SelfTest> {
    [
        account::TESTS,
        framer::TESTS,
        pattern::TESTS,
        scram::TESTS,
        script::TESTS,
        vocabulary::TESTS,
    ]
    .concat()
}
