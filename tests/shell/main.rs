//! The shell over real sockets on the loopback: workers, doorman, TLS, hand-over, PROXY headers. What is
//! behind the border is a shard that echoes lines.

mod client;
mod echo;
mod house;

mod crowded;
mod hand_over;
mod plain;
mod proxy;
mod tls;

/// `tests/shell_compact.rs` has the other.
const KEEPER: stonechat::worker::Keeper = stonechat::worker::Keeper::Rustls;
