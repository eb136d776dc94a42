//! What the bytes of a connection go through: a TCP socket, or, in a program built with the feature `trunk`, perhaps a
//! lane of a trunk. Refuses to know what is around it.

use mio::net::TcpStream;

#[cfg(not(feature = "trunk"))]
pub type Socket = TcpStream;
#[cfg(feature = "trunk")]
pub use super::trunk::Socket;

/// A socket that was accepted.
#[cfg(not(feature = "trunk"))]
pub fn of_tcp(socket: TcpStream) -> Socket {
    socket
}

/// A socket that was accepted.
#[cfg(feature = "trunk")]
pub fn of_tcp(socket: TcpStream) -> Socket {
    Socket::Tcp(socket)
}
