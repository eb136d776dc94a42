//! One connection of a client: bytes out, bytes in, with TLS from the moment it is asked for.
//! It knows nothing of what the bytes mean.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Socket, Type};

use super::record::{self, Keys};

pub struct Link {
    socket: TcpStream,
    cipher: Cipher,
    /// The beginning of a record whose rest is still to come.
    partial: Vec<u8>,
    /// What the socket did not take yet. Empty nearly always: nothing here sends much at once.
    unsent: Vec<u8>,
}

enum Cipher {
    None,
    Library(Box<ClientConnection>),
    Keys(Box<Keys>),
}

impl Link {
    /// Begins to connect; the first writable event says that it is done.
    pub fn connect(address: SocketAddr, registry: &Registry, token: Token) -> Result<Self> {
        Self::over(TcpStream::connect(address)?, registry, token)
    }

    /// The same from one of several addresses of this machine, each of which has ports of its own.
    pub fn connect_from(
        source: IpAddr,
        address: SocketAddr,
        registry: &Registry,
        token: Token,
    ) -> Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket
            .bind(&SocketAddr::new(source, 0).into())
            .with_context(|| format!("no port of {source}"))?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(EINPROGRESS) => return Err(error.into()),
            _ => {}
        }
        Self::over(TcpStream::from_std(socket.into()), registry, token)
    }

    fn over(mut socket: TcpStream, registry: &Registry, token: Token) -> Result<Self> {
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            socket,
            cipher: Cipher::None,
            partial: Vec::new(),
            unsent: Vec::new(),
        })
    }

    /// Whether the connection is there; to be asked when an event may be an older one's.
    pub fn has_peer(&self) -> bool {
        self.socket.peer_addr().is_ok()
    }

    /// The outcome of connecting, to be asked once writable.
    pub fn connected(&self) -> Result<()> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error.into());
        }
        Ok(self.socket.set_nodelay(true)?)
    }

    /// Begins a TLS handshake; what is sent from here on follows it, encrypted.
    pub fn start_tls(&mut self, config: &Arc<ClientConfig>, domain: &str) -> Result<()> {
        let name = ServerName::try_from(domain.to_owned())?;
        let mut tls = ClientConnection::new(config.clone(), name)?;
        // What does not go yet waits here, as without TLS: 64 KiB are less than a stanza may have.
        tls.set_buffer_limit(None);
        self.cipher = Cipher::Library(Box::new(tls));
        self.flush()
    }

    pub fn is_encrypted(&self) -> bool {
        !matches!(self.cipher, Cipher::None)
    }

    /// Forgets of a TLS session everything but its keys, which needs a configuration that gives them away. What waits for
    /// the socket just now is a reason to leave things as they are.
    pub fn keep_keys_only(&mut self) -> Result<()> {
        match mem::replace(&mut self.cipher, Cipher::None) {
            Cipher::Library(tls) if !tls.wants_write() && !tls.is_handshaking() => {
                let keys = Keys::of(tls.dangerous_extract_secrets()?)?;
                self.cipher = Cipher::Keys(Box::new(keys));
            }
            other => self.cipher = other,
        }
        Ok(())
    }

    /// Sends `bytes`, or keeps what the socket does not take for the next writable event.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.cipher {
            Cipher::Library(tls) => tls.writer().write_all(bytes)?,
            Cipher::Keys(keys) => {
                for piece in bytes.chunks(record::PLAINTEXT_MAX) {
                    keys.seal(piece, &mut self.unsent)?;
                }
            }
            Cipher::None if self.unsent.is_empty() => {
                let sent = write_some(&mut self.socket, bytes)?;
                self.unsent.extend_from_slice(&bytes[sent..]);
                return Ok(());
            }
            Cipher::None => self.unsent.extend_from_slice(bytes),
        }
        self.flush()
    }

    /// Sends what is waiting, as far as the socket takes it.
    pub fn flush(&mut self) -> Result<()> {
        if let Cipher::Library(tls) = &mut self.cipher {
            while tls.wants_write() {
                match tls.write_tls(&mut self.socket) {
                    Ok(_) => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) => return Err(e.into()),
                }
            }
        } else if !self.unsent.is_empty() {
            let sent = write_some(&mut self.socket, &self.unsent)?;
            match sent == self.unsent.len() {
                true => self.unsent = Vec::new(),
                false => drop(self.unsent.drain(..sent)),
            }
        }
        Ok(())
    }

    /// Appends to `input` what has arrived, until the socket has no more (its events are
    /// edge-triggered). An end of the connection is an error: no server here has a reason to close.
    pub fn receive(&mut self, scratch: &mut [u8], input: &mut Vec<u8>) -> Result<()> {
        loop {
            let count = match self.socket.read(scratch) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(count) => count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e.into()),
            };
            match self.cipher {
                Cipher::None => input.extend_from_slice(&scratch[..count]),
                _ => self.decrypt(&mut scratch[..count], input)?,
            }
            // epoll(7): on a stream, a short read says that all of it has been read, which saves
            // one call per message.
            if count < scratch.len() {
                break;
            }
        }
        // The handshake has answers of its own.
        if matches!(&self.cipher, Cipher::Library(tls) if tls.wants_write()) {
            self.flush()?;
        }
        Ok(())
    }

    /// Whole records only, so that between two calls a library holds nothing of one.
    fn decrypt(&mut self, bytes: &mut [u8], input: &mut Vec<u8>) -> Result<()> {
        let mut joined = mem::take(&mut self.partial);
        let records = match joined.is_empty() {
            true => bytes,
            false => {
                joined.extend_from_slice(bytes);
                &mut joined[..]
            }
        };
        let whole = record::whole(records);
        let (records, partial) = records.split_at_mut(whole);
        self.partial.extend_from_slice(partial);
        match &mut self.cipher {
            Cipher::Library(tls) => decrypt(tls, records, input),
            Cipher::Keys(keys) => keys.open(records, input),
            Cipher::None => bail!("nothing to decrypt with"),
        }
    }
}

/// connect(2): the connection cannot be made at once, which is what was asked for.
const EINPROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();

fn decrypt(tls: &mut ClientConnection, mut records: &[u8], input: &mut Vec<u8>) -> Result<()> {
    while !records.is_empty() {
        tls.read_tls(&mut records)?;
        let available = tls.process_new_packets()?.plaintext_bytes_to_read();
        let start = input.len();
        input.resize(start + available, 0);
        tls.reader().read_exact(&mut input[start..])?;
    }
    Ok(())
}

/// Writes as much as the socket takes; how much that was.
pub fn write_some(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match socket.write(&bytes[sent..]) {
            Ok(count) => sent += count,
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use mio::Poll;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ServerConfig, ServerConnection, Stream};

    use super::super::tls::trusting_config;
    use super::*;

    fn server() -> ServerConnection {
        let (certificate, key) = crate::target::certificate().expect("a certificate");
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .and_then(|config| {
                let config = config.with_no_client_auth();
                config.with_single_cert(vec![certificate], key)
            });
        let config = config.expect("a good configuration");
        ServerConnection::new(Arc::new(config)).expect("a connection")
    }

    #[test]
    fn more_than_a_tls_library_keeps_arrives_whole() {
        let sent: Vec<u8> = (0..500_000_u32).map(|n| n as u8).collect();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let length = sent.len();
        let reading = thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a client");
            let mut received = vec![0; length];
            let mut tls = server();
            let mut stream = Stream::new(&mut tls, &mut socket);
            stream.read_exact(&mut received).expect("all of it");
            received
        });
        let poll = Poll::new().expect("epoll");
        let link = Link::connect(address, poll.registry(), Token(0));
        let mut link = link.expect("a connection");
        let config = trusting_config().expect("a configuration");
        while !link.has_peer() {
            thread::yield_now();
        }
        link.start_tls(&config, "localhost").expect("a handshake");
        link.send(&sent).expect("room for it");
        let (mut scratch, mut input) = (vec![0; 4096], Vec::new());
        // The end of the connection is an error, too: then all has been read.
        while link.receive(&mut scratch, &mut input).is_ok() && link.flush().is_ok() {
            thread::yield_now();
        }
        assert!(reading.join().expect("it read") == sent);
    }
}
