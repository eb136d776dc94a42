//! A client that says what it is told to, byte for byte, over TCP or TLS. It refuses to be clever: what the
//! server says is handed to the test in pieces (header, element, end).

#[path = "../common/trusting.rs"]
mod trusting;

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, SupportedProtocolVersion};
use sha2::{Digest, Sha256};

use crate::framer::{Framer, Item};
use crate::server::{PASSWORD, PATIENCE, Server};

use trusting::trusting;

pub const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
pub const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/// How a client shakes hands.
pub struct TlsWishes {
    pub version: &'static SupportedProtocolVersion,
    /// What it shows if it is asked.
    pub certificate: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
}

impl Default for TlsWishes {
    fn default() -> TlsWishes {
        TlsWishes {
            version: &rustls::version::TLS13,
            certificate: None,
        }
    }
}

impl TlsWishes {
    /// Whatever certificate it is shown, it takes.
    fn config(self) -> Arc<ClientConfig> {
        trusting(&[self.version], self.certificate, &[b"xmpp-client"])
    }
}

/// One connection.
pub struct Client {
    pub socket: TcpStream,
    /// The host that its headers and its handshake name.
    host: String,
    tls: Option<ClientConnection>,
    /// XEP-0138.
    zlib: Option<(Compress, Decompress)>,
    framer: Framer,
    /// What came over the socket, as TLS records.
    pub records: Records,
    /// What came out of them, before it was decompressed.
    pub compressed: Vec<u8>,
}

/// Counts TLS records.
#[derive(Debug, Default)]
pub struct Records {
    pub count: usize,
    pub bytes: usize,
    /// The beginning of one whose length is not known yet.
    header: Vec<u8>,
    /// How much of one is still to come.
    left: usize,
}

impl Records {
    fn saw(&mut self, mut bytes: &[u8]) {
        self.bytes += bytes.len();
        while !bytes.is_empty() {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            bytes = &bytes[skipped..];
            // RFC 8446 section 5.1: type, version, length.
            let missing = (5 - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if let [_, _, _, high, low] = self.header[..] {
                self.header.clear();
                self.left = usize::from(u16::from_be_bytes([high, low]));
                self.count += 1;
            }
        }
    }
}

/// A socket whose records are counted.
struct Tap<'a> {
    socket: &'a mut TcpStream,
    records: &'a mut Records,
}

impl Read for Tap<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.socket.read(buffer)?;
        self.records.saw(&buffer[..count]);
        Ok(count)
    }
}

impl Write for Tap<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.socket.flush()
    }
}

impl Client {
    /// A connection to the port of STARTTLS; nothing is said.
    pub fn plain(server: &Server) -> Client {
        Client::over(TcpStream::connect(("127.0.0.1", server.port)).unwrap())
    }

    /// A connection to the port of direct TLS, the handshake done; nothing is said.
    pub fn secure(server: &Server) -> Client {
        let mut client = Client::over(TcpStream::connect(("127.0.0.1", server.tls_port)).unwrap());
        client.shake_hands();
        client
    }

    /// The same on another port, as TLS is wished for.
    pub fn wishing(port: u16, wishes: TlsWishes) -> Client {
        let mut client = Client::over(TcpStream::connect(("127.0.0.1", port)).unwrap());
        client.shake_hands_with(wishes.config());
        client
    }

    /// What names this channel: RFC 9266 section 2.
    pub fn exporter(&self) -> [u8; 32] {
        let tls = self.tls.as_ref().expect("a secure connection");
        tls.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""))
            .unwrap()
    }

    /// RFC 5929 section 4: the hash of the server's certificate, which is signed with SHA-256.
    pub fn end_point(&self) -> Vec<u8> {
        let tls = self.tls.as_ref().expect("a secure connection");
        let certificate = &tls.peer_certificates().unwrap()[0];
        Sha256::digest(certificate).to_vec()
    }

    /// A connection that exists.
    pub fn over(socket: TcpStream) -> Client {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Client {
            socket,
            host: "localhost".to_owned(),
            tls: None,
            zlib: None,
            framer: Framer::default(),
            records: Records::default(),
            compressed: Vec::new(),
        }
    }

    /// This host is meant from now on.
    pub fn meaning(mut self, host: &str) -> Client {
        host.clone_into(&mut self.host);
        self
    }

    /// The certificate that the server has shown.
    pub fn certificate(&self) -> Vec<u8> {
        let tls = self.tls.as_ref().expect("a handshake is done");
        let shown = tls.peer_certificates().and_then(|chain| chain.first());
        shown.expect("the server has shown one").to_vec()
    }

    /// A stream on a connection secured by direct TLS; features are read.
    pub fn opened(server: &Server) -> Client {
        let mut client = Client::secure(server);
        client.open();
        client
    }

    /// A bound session, available: `name/resource`.
    pub fn session(server: &Server, name: &str, resource: &str) -> Client {
        let mut client = Client::opened(server);
        client.begin_session(name, resource);
        client
    }

    /// On an open stream: log in, bind, be available.
    pub fn begin_session(&mut self, name: &str, resource: &str) {
        self.log_in(name, PASSWORD);
        let bound = self.bind(resource);
        assert!(bound.contains("type='result'"), "{bound}");
        self.send("<presence/>");
        // Its own presence comes back when it counts.
        let presence = self.element();
        assert!(presence.starts_with("<presence"), "{presence}");
    }

    /// The TLS handshake.
    pub fn shake_hands(&mut self) {
        self.shake_hands_with(TlsWishes::default().config());
    }

    fn shake_hands_with(&mut self, config: Arc<ClientConfig>) {
        let name = ServerName::try_from(self.host.clone()).unwrap();
        let mut tls = ClientConnection::new(config, name).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut self.socket)
                .expect("the server shakes hands");
        }
        self.tls = Some(tls);
        self.framer.restart();
    }

    /// A new stream begins with what comes next.
    pub fn restarted(&mut self) {
        self.framer.restart();
    }

    /// Opens a stream; the features.
    pub fn open(&mut self) -> String {
        self.send(&HEADER.replace("localhost", &self.host));
        self.framer.restart();
        match self.next() {
            Some(Item::Header(_)) => self.element(),
            other => panic!("no header but {other:?}"),
        }
    }

    /// From here on both directions are compressed, and a new stream begins; its features.
    pub fn compress(&mut self) -> String {
        self.zlib = Some((
            Compress::new(flate2::Compression::default(), true),
            Decompress::new(true),
        ));
        self.open()
    }

    /// What the server sends is compressed from here on; what is sent is not compressed here.
    pub fn reads_compressed(&mut self) {
        self.zlib = Some((
            Compress::new(flate2::Compression::default(), true),
            Decompress::new(true),
        ));
        self.framer.restart();
    }

    /// SASL PLAIN, then the new stream's features.
    pub fn log_in(&mut self, name: &str, password: &str) -> String {
        self.send(&auth(&plain(name, password)));
        let success = self.element();
        assert!(success.starts_with("<success"), "{success}");
        self.open()
    }

    /// Asks for a resource; the answer.
    pub fn bind(&mut self, resource: &str) -> String {
        self.send(&format!(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>{resource}</resource></bind></iq>"
        ));
        self.element()
    }

    pub fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes());
    }

    /// Sends; a connection that the server has closed takes no bytes, and reading will tell.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let Some((deflate, _)) = &mut self.zlib else {
            return self.send_as_is(bytes);
        };
        let mut compressed = Vec::with_capacity(bytes.len() + 1_024);
        deflate
            .compress_vec(bytes, &mut compressed, FlushCompress::Sync)
            .unwrap();
        self.send_as_is(&compressed);
    }

    /// Sends what is compressed already, or should have been.
    pub fn send_as_is(&mut self, bytes: &[u8]) {
        let _ = match &mut self.tls {
            None => self.socket.write_all(bytes),
            Some(tls) => rustls::Stream::new(tls, &mut self.socket).write_all(bytes),
        };
    }

    /// The next thing that the server says; none at the end of the connection. Nothing at all fails.
    pub fn next(&mut self) -> Option<Item> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(item) = self.framer.pop() {
                return Some(item);
            }
            let came = match &mut self.tls {
                None => self.socket.read(&mut buffer),
                Some(tls) => {
                    let mut tap = Tap {
                        socket: &mut self.socket,
                        records: &mut self.records,
                    };
                    rustls::Stream::new(tls, &mut tap).read(&mut buffer)
                }
            };
            match came {
                Ok(0) => return None,
                Ok(count) => match &mut self.zlib {
                    None => self.framer.push(&buffer[..count]),
                    Some((_, inflate)) => {
                        self.compressed.extend_from_slice(&buffer[..count]);
                        self.framer.push(&inflated(inflate, &buffer[..count]));
                    }
                },
                Err(error) if is_silence(&error) => panic!("nothing came, nor did the end"),
                Err(_) => return None,
            }
        }
    }

    /// The next element; anything else fails.
    pub fn element(&mut self) -> String {
        match self.next() {
            Some(Item::Element(text)) => text,
            other => panic!("no element but {other:?}; {:?}", self.framer.rest()),
        }
    }

    /// A stream error with this condition must come next (behind a header if there was none), then the end.
    pub fn fails_with(&mut self, condition: &str) {
        let mut item = self.next();
        if let Some(Item::Header(_)) = item {
            item = self.next();
            // A header that was good brings features along.
            if matches!(&item, Some(Item::Element(text)) if text.contains(":features")) {
                item = self.next();
            }
        }
        match item {
            Some(Item::Element(text)) => {
                assert!(text.starts_with("<stream:error"), "no stream error: {text}");
                assert!(
                    text.contains(&format!("<{condition} ")),
                    "not {condition}: {text}"
                );
            }
            other => panic!("not {condition} but {other:?}"),
        }
        assert_eq!(self.next(), Some(Item::End), "behind {condition}");
        assert_eq!(self.next(), None, "behind {condition}");
    }

    /// Everything up to the end of the connection, as it comes.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = self.framer.rest().into_bytes();
        let mut buffer = [0; 4096];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return rest,
                Ok(count) => rest.extend_from_slice(&buffer[..count]),
                Err(error) if is_silence(&error) => panic!("the end never came"),
                Err(_) => return rest,
            }
        }
    }

    /// The client says nothing more, and the server sees it.
    pub fn close(self) {
        // It may be closed already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

fn inflated(inflate: &mut Decompress, mut compressed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    loop {
        plain.reserve(64 * 1024);
        let (read, made) = (inflate.total_in(), plain.len());
        inflate
            .decompress_vec(compressed, &mut plain, FlushDecompress::Sync)
            .expect("the server compresses well");
        compressed = &compressed[(inflate.total_in() - read) as usize..];
        if compressed.is_empty() && plain.len() < plain.capacity() || plain.len() == made {
            return plain;
        }
    }
}

fn is_silence(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// A SASL PLAIN message.
pub fn plain(name: &str, password: &str) -> Vec<u8> {
    format!("\0{name}\0{password}").into_bytes()
}

/// `<auth/>` for PLAIN with this message.
pub fn auth(message: &[u8]) -> String {
    let message = BASE64_STANDARD.encode(message);
    format!("<auth xmlns='{SASL}' mechanism='PLAIN'>{message}</auth>")
}

/// The first flight of a TLS client.
pub fn client_hello() -> Vec<u8> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = ClientConnection::new(TlsWishes::default().config(), name).unwrap();
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).unwrap();
    hello
}
