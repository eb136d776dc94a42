//! The stage behind sockets: the real server over TCP with STARTTLS, or over direct TLS (XEP-0368).
//! It refuses to judge certificates: the server under test made its own.

#[path = "../common/trusting.rs"]
mod trusting;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::server::Server;
use super::stage::{Channel, Conn, Stage};

use trusting::trusting;

/// How long a server may keep silent before a play concludes that nothing comes. Only scenes that fail wait for it. More
/// than the eight seconds for which a verdict on a password is held back where many scenes guess at one name.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections of one scene to a server that scenes share.
pub struct Sockets {
    server: Arc<Server>,
    channel: Channel,
    links: Vec<Link>,
    tls: Arc<ClientConfig>,
}

struct Link {
    socket: TcpStream,
    tls: Option<ClientConnection>,
    is_closed: bool,
}

impl Sockets {
    /// A stage on a running server.
    pub fn new(server: Arc<Server>, channel: Channel) -> Result<Sockets, String> {
        Ok(Sockets {
            server,
            channel,
            links: Vec::new(),
            tls: trusting(rustls::ALL_VERSIONS, None, &[b"xmpp-client"]),
        })
    }

    fn handshake(&self, socket: &mut TcpStream) -> Result<ClientConnection, String> {
        let name = ServerName::try_from(self.server.host.clone()).map_err(|e| e.to_string())?;
        let mut tls = ClientConnection::new(self.tls.clone(), name).map_err(|e| e.to_string())?;
        while tls.is_handshaking() {
            tls.complete_io(socket).map_err(|e| format!("TLS: {e}"))?;
        }
        Ok(tls)
    }
}

impl Stage for Sockets {
    fn host(&self) -> &str {
        &self.server.host
    }

    fn channel(&self) -> Channel {
        self.channel
    }

    fn register(&mut self, localpart: &str, password: &str) -> Result<(), String> {
        self.server.register(localpart, password)
    }

    fn operate(&mut self, command: &str) -> Result<Vec<String>, String> {
        self.server.operate(command)
    }

    fn connect(&mut self) -> Result<Conn, String> {
        let port = match self.channel {
            Channel::StartTls => self.server.port,
            Channel::Secure => self.server.tls_port,
        };
        let open = || {
            let socket = TcpStream::connect(("127.0.0.1", port))?;
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.set_write_timeout(Some(PATIENCE))?;
            Ok(socket)
        };
        let mut socket: TcpStream = open().map_err(|e: io::Error| format!("port {port}: {e}"))?;
        self.server.connected.fetch_add(1, Ordering::Relaxed);
        let tls = match self.channel {
            Channel::StartTls => None,
            Channel::Secure => Some(self.handshake(&mut socket)?),
        };
        self.links.push(Link {
            socket,
            tls,
            is_closed: false,
        });
        Ok(self.links.len() - 1)
    }

    fn start_tls(&mut self, conn: Conn) -> Result<(), String> {
        let mut socket = self.links[conn]
            .socket
            .try_clone()
            .map_err(|e| e.to_string())?;
        self.links[conn].tls = Some(self.handshake(&mut socket)?);
        Ok(())
    }

    fn write(&mut self, conn: Conn, bytes: &[u8]) {
        let Link { socket, tls, .. } = &mut self.links[conn];
        // A connection that the server has closed takes no bytes; reading will tell.
        let _ = match tls {
            None => socket.write_all(bytes),
            Some(tls) => rustls::Stream::new(tls, socket).write_all(bytes),
        };
    }

    fn read(&mut self, conn: Conn) -> Vec<u8> {
        let link = &mut self.links[conn];
        let mut buffer = vec![0; 64 * 1024];
        let came = match &mut link.tls {
            None => link.socket.read(&mut buffer),
            Some(tls) => rustls::Stream::new(tls, &mut link.socket).read(&mut buffer),
        };
        let length = match came {
            Ok(0) => {
                link.is_closed = true;
                0
            }
            Ok(length) => length,
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                0
            }
            Err(_) => {
                link.is_closed = true;
                0
            }
        };
        buffer.truncate(length);
        buffer
    }

    fn is_closed(&self, conn: Conn) -> bool {
        self.links[conn].is_closed
    }

    fn lose(&mut self, conn: Conn) {
        // Without close_notify and without </stream:stream>; it may be closed already.
        let _ = self.links[conn].socket.shutdown(Shutdown::Both);
        self.links[conn].is_closed = true;
    }

    fn catch_up(&mut self) -> Result<(), String> {
        self.server.catch_up()
    }

    fn advance(&mut self, ms: u64) -> Result<(), String> {
        self.server.advance(ms)
    }
}
