//! The shell's half of a hand-over (DESIGN section 5): everything that belongs to one connection, on its
//! way to another worker. Refuses to know why it moves.

use crate::stream::StreamState;

use super::deflate::Zlib;
use super::door::Permit;
use super::socket::Socket;
use super::tls::Session;

/// A connection between two workers. The old one keeps nothing, so bytes stay in order.
#[derive(Debug)]
pub struct Carried {
    pub socket: Socket,
    pub tls: Option<Box<Session>>,
    pub zlib: Option<Box<Zlib>>,
    /// Read, but not yet taken by the core.
    pub unread: Vec<u8>,
    /// Rendered, but not yet taken by the socket.
    pub unsent: Vec<u8>,
    pub permit: Permit,
    /// The core's half.
    pub state: Box<StreamState>,
    /// The peer has closed its half, or the connection broke, behind `unread`.
    pub ended: bool,
}
