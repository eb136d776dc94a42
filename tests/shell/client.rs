//! Clients that speak lines: over TCP, and over TLS as a rustls client does.

#[path = "../common/trusting.rs"]
mod trusting;

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned, SupportedProtocolVersion};

use crate::house::PATIENCE;

use trusting::trusting;

/// A client that sends and expects lines.
pub struct Client<S: Read + Write>(BufReader<S>);

pub type Plain = Client<TcpStream>;
pub type Secure = Client<StreamOwned<ClientConnection, TcpStream>>;

impl<S: Read + Write> Client<S> {
    pub fn over(stream: S) -> Client<S> {
        Client(BufReader::new(stream))
    }

    pub fn send(&mut self, text: &str) {
        self.try_send(text.as_bytes()).unwrap();
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let stream = self.0.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    /// The next line; none if the server closed the connection before it.
    pub fn try_line(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.0.read_line(&mut line).ok()?;
        (count > 0).then(|| line.trim_end_matches('\n').to_owned())
    }

    pub fn expect(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// Moves to the other of two workers for the `n`th time, with `count` lines behind it in one piece, which come back there.
    pub fn move_with(&mut self, n: usize, count: usize) {
        let lines: Vec<String> = (0..count)
            .map(|line| format!("{n} {line} parting is such sweet sorrow"))
            .collect();
        self.send(&format!("MOVE {}\n{}\n", n % 2, lines.join("\n")));
        self.expect("arrived");
        for line in &lines {
            self.expect(line);
        }
    }

    /// Reads exactly `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// The rest until the end, which may be a reset.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_ne!(error.kind(), ErrorKind::WouldBlock, "the end never came"),
        }
        rest
    }

    pub fn stream(&mut self) -> &mut S {
        self.0.get_mut()
    }
}

impl Secure {
    /// Says the first thing, and with it shakes hands; what the server says of the handshake.
    pub fn greet(&mut self) -> String {
        self.send("hello\n");
        let secured = self.line();
        assert!(secured.starts_with("secured"), "{secured}");
        self.expect("hello");
        secured
    }
}

pub fn socket(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

pub fn plain(address: SocketAddr) -> Plain {
    Client::over(socket(address))
}

/// What a TLS client asks for.
pub struct TlsWishes {
    pub version: &'static SupportedProtocolVersion,
    pub server_name: &'static str,
    pub alpn: &'static [&'static [u8]],
    pub certificate: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
}

impl Default for TlsWishes {
    fn default() -> TlsWishes {
        TlsWishes {
            version: &rustls::version::TLS13,
            server_name: "juliet.example",
            alpn: &[b"xmpp-client"],
            certificate: None,
        }
    }
}

pub fn session(wishes: TlsWishes) -> ClientConnection {
    let name = ServerName::try_from(wishes.server_name).unwrap();
    ClientConnection::new(config(wishes), name).unwrap()
}

/// What handshakes of one client have in common; it remembers sessions.
pub fn config(wishes: TlsWishes) -> Arc<ClientConfig> {
    trusting(&[wishes.version], wishes.certificate, wishes.alpn)
}

/// Begins TLS as a client of this configuration.
pub fn secure_by(
    config: &Arc<ClientConfig>,
    socket: TcpStream,
    server_name: &'static str,
) -> Secure {
    let name = ServerName::try_from(server_name).unwrap();
    let session = ClientConnection::new(Arc::clone(config), name).unwrap();
    Client::over(StreamOwned::new(session, socket))
}

/// Begins TLS on a socket; the handshake happens with the first bytes.
pub fn secure(socket: TcpStream, wishes: TlsWishes) -> Secure {
    Client::over(StreamOwned::new(session(wishes), socket))
}

/// STARTTLS as the echo shard speaks it.
pub fn start_tls(mut client: Plain, wishes: TlsWishes) -> Secure {
    client.send("STARTTLS\n");
    client.expect("proceed");
    secure(client.0.into_inner(), wishes)
}

/// A socket, or TLS over one, whose bytes are compressed in both directions.
pub struct Deflated<S> {
    pub socket: S,
    deflate: Compress,
    inflate: Decompress,
    /// Came right behind the last plain line.
    ahead: Vec<u8>,
    plain: VecDeque<u8>,
}

/// Compression as the echo shard speaks it.
pub fn compress<S: Read + Write>(mut client: Client<S>) -> Client<Deflated<S>> {
    client.send("COMPRESS\n");
    client.expect("compressing");
    let ahead = client.0.buffer().to_vec();
    let mut client = Client::over(Deflated {
        socket: client.0.into_inner(),
        ahead,
        deflate: Compress::new(Compression::default(), true),
        inflate: Decompress::new(true),
        plain: VecDeque::new(),
    });
    client.expect("compressed");
    client
}

impl<S: Read> Read for Deflated<S> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.plain.is_empty() {
            let mut came = std::mem::take(&mut self.ahead);
            if came.is_empty() {
                came.resize(4_096, 0);
                let count = self.socket.read(&mut came)?;
                came.truncate(count);
            }
            if came.is_empty() {
                return Ok(0);
            }
            let mut compressed = &came[..];
            let mut plain = Vec::new();
            while !compressed.is_empty() || plain.len() == plain.capacity() {
                plain.reserve(64 * 1024);
                let read = self.inflate.total_in();
                self.inflate
                    .decompress_vec(compressed, &mut plain, FlushDecompress::Sync)?;
                compressed = &compressed[(self.inflate.total_in() - read) as usize..];
            }
            self.plain.extend(plain);
        }
        self.plain.read(out)
    }
}

impl<S: Write> Write for Deflated<S> {
    fn write(&mut self, plain: &[u8]) -> std::io::Result<usize> {
        let mut compressed = Vec::with_capacity(plain.len() + 1_024);
        self.deflate
            .compress_vec(plain, &mut compressed, FlushCompress::Sync)?;
        self.socket.write_all(&compressed)?;
        Ok(plain.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.socket.flush()
    }
}
