//! The shell's TLS once more, with connections that leave rustls behind their handshake (`tls.compact`): the same tests, and those
//! that are about nothing else, against rustls' client and OpenSSL's.

#[path = "../shell/client.rs"]
#[allow(dead_code)] // The shell's tests do more with it.
mod client;
#[path = "../shell/echo.rs"]
mod echo;
#[path = "../shell/house.rs"]
#[allow(dead_code)]
mod house;

#[path = "../shell/hand_over.rs"]
mod hand_over;
#[path = "../shell/tls.rs"]
mod tls;

mod openssl;
mod records;

/// `tests/shell` has the other.
const KEEPER: stonechat::worker::Keeper = stonechat::worker::Keeper::Compact;
