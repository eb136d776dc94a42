//! TLS sessions as rustls keeps them, fed record by record so that its buffers stay small (CRATES.md
//! section 2). Refuses to know sockets' readiness and what the plaintext means.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ProtocolVersion, RootCertStore, ServerConfig, ServerConnection};

use crate::stream::{TlsFacts, TlsVersion};

use super::certificate::{Certificates, HostCertificate, xmpp_addresses};
use super::client_certificate::AnyCertificate;

/// What handshakes are made with; replaced as a whole when certificates are loaded again. Sessions that
/// stand keep the one they began with.
#[derive(Debug)]
pub struct TlsContext {
    starttls: Arc<ServerConfig>,
    direct: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    client_verifier: Option<Arc<dyn ClientCertVerifier>>,
}

/// How a connection comes to its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Plaintext first; TLS when the stream asks for it (RFC 6120 section 5).
    StartTls,
    /// TLS from the first byte (XEP-0368).
    Direct,
}

impl TlsContext {
    /// A context for these certificates, of which the first is shown to clients that name no host of
    /// ours. With `client_roots` a certificate is asked of clients; one that does not chain to a root is
    /// no error, it merely proves nothing.
    ///
    /// `tickets` must be the same over all contexts of a process, or a reload costs every client its
    /// resumption.
    pub fn new(
        hosts: Vec<HostCertificate>,
        client_roots: Option<RootCertStore>,
        tickets: Arc<dyn rustls::server::ProducesTickets>,
    ) -> Result<TlsContext, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificates = Arc::new(Certificates::new(hosts)?);
        let client_verifier = match client_roots {
            Some(roots) if !roots.is_empty() => {
                let roots = Arc::new(roots);
                let builder =
                    WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
                Some(
                    builder
                        .build()
                        .map_err(|error| rustls::Error::General(error.to_string()))?,
                )
            }
            _ => None,
        };
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        let builder =
            ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions)?;
        let builder = match &client_verifier {
            Some(strict) => {
                builder.with_client_cert_verifier(Arc::new(AnyCertificate::new(Arc::clone(strict))))
            }
            None => builder.with_no_client_auth(),
        };
        let resolver: Arc<Certificates> = Arc::clone(&certificates);
        let mut config = builder.with_cert_resolver(resolver);
        config.ticketer = tickets;
        config.send_tls13_tickets = 1;
        // RFC 9266 section 2: before TLS 1.3 the exporter binds a channel only with the extended master
        // secret. rustls does not tell whether it was agreed on, so it is required; every maintained
        // library has had it since 2016.
        config.require_ems = true;
        let mut direct = config.clone();
        // XEP-0368 section 4: "clients and servers [...] SHOULD use ALPN with the protocol name
        // `xmpp-client`". rustls refuses a client that offers only others and takes one that offers none.
        direct.alpn_protocols = vec![ALPN_CLIENT.to_vec()];
        Ok(TlsContext {
            starttls: Arc::new(config),
            direct: Arc::new(direct),
            certificates,
            client_verifier,
        })
    }
}

const ALPN_CLIENT: &[u8] = b"xmpp-client";
/// RFC 9266 section 2.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// One TLS connection without its socket.
#[derive(Debug)]
pub struct Session {
    rustls: ServerConnection,
    /// The beginning of a record whose end has not come; empty and without memory when idle.
    partial: Vec<u8>,
    /// Until the handshake is complete.
    context: Option<Arc<TlsContext>>,
}

/// What became of some ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// All whole records are taken.
    More,
    /// The peer has said close_notify: whatever follows does not count.
    Ended,
    /// Not TLS, or forged. An alert waits to be sent.
    Broken,
}

impl Session {
    /// A session before its first byte.
    pub fn new(
        context: &Arc<TlsContext>,
        security: Security,
    ) -> Result<Box<Session>, rustls::Error> {
        let config = match security {
            Security::StartTls => &context.starttls,
            Security::Direct => &context.direct,
        };
        let mut rustls = ServerConnection::new(Arc::clone(config))?;
        // What is written was bounded by whoever rendered it, and is rendered only when all before it
        // is gone.
        rustls.set_buffer_limit(None);
        Ok(Box::new(Session {
            rustls,
            partial: Vec::new(),
            context: Some(Arc::clone(context)),
        }))
    }

    /// Whether the handshake is still going on.
    pub fn is_handshaking(&self) -> bool {
        self.rustls.is_handshaking()
    }

    /// Puts the unfinished record before what is about to be read, and says how long it is.
    pub fn prepend_partial(&mut self, buffer: &mut [u8]) -> usize {
        let partial = std::mem::take(&mut self.partial);
        buffer[..partial.len()].copy_from_slice(&partial);
        partial.len()
    }

    /// Whether bytes are kept that no event will announce.
    pub fn holds_bytes(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Takes handshake records; what came behind the handshake's last one is kept.
    pub fn shake_hands(&mut self, ciphertext: &[u8]) -> Opened {
        let mut rest = ciphertext;
        let mut opened = Opened::More;
        while self.rustls.is_handshaking() && opened == Opened::More {
            let Some(length) = record_bytes(rest) else {
                break;
            };
            opened = self.take_record(&rest[..length]);
            rest = &rest[length..];
        }
        self.partial = rest.to_vec();
        opened
    }

    /// Decrypts whole records into `plaintext`, which must be as long as the ciphertext, and counts the
    /// bytes in `filled`.
    pub fn open(&mut self, ciphertext: &[u8], plaintext: &mut [u8], filled: &mut usize) -> Opened {
        let mut rest = ciphertext;
        while let Some(length) = record_bytes(rest) {
            let opened = self.take_record(&rest[..length]);
            rest = &rest[length..];
            // Also behind close_notify: what came before it counts.
            while let Ok(count) = self.rustls.reader().read(&mut plaintext[*filled..]) {
                if count == 0 {
                    break;
                }
                *filled += count;
            }
            if opened != Opened::More {
                return opened;
            }
        }
        self.partial = rest.to_vec();
        Opened::More
    }

    fn take_record(&mut self, mut record: &[u8]) -> Opened {
        while !record.is_empty() {
            match self.rustls.read_tls(&mut record) {
                // rustls takes nothing more after close_notify.
                Ok(0) => return Opened::Ended,
                Ok(_) => {}
                Err(_) => return Opened::Broken,
            }
            match self.rustls.process_new_packets() {
                Ok(state) if state.peer_has_closed() => return Opened::Ended,
                Ok(_) => {}
                Err(error) => {
                    log::debug!("tls_broken error={error:?}");
                    return Opened::Broken;
                }
            }
        }
        Opened::More
    }

    /// Encrypts; nothing leaves before [`Session::push`].
    pub fn seal(&mut self, plaintext: &[u8]) -> io::Result<()> {
        self.rustls.writer().write_all(plaintext)
    }

    /// Whether ciphertext waits for the socket.
    pub fn wants_push(&self) -> bool {
        self.rustls.wants_write()
    }

    /// Writes ciphertext once.
    pub fn push(&mut self, socket: &mut dyn Write) -> io::Result<usize> {
        self.rustls.write_tls(socket)
    }

    /// Says goodbye: with it the peer knows that nothing was cut off.
    pub fn say_close_notify(&mut self) {
        self.rustls.send_close_notify();
    }

    /// What the completed handshake proved; to be called once.
    pub fn facts(&mut self) -> TlsFacts {
        let context = self.context.take();
        let server_name = self.rustls.server_name().map(str::to_owned);
        let exporter = self
            .rustls
            .export_keying_material([0; 32], EXPORTER_LABEL, Some(b""));
        let end_point = context.as_ref().and_then(|context| {
            context
                .certificates
                .of(server_name.as_deref())
                .end_point
                .clone()
        });
        let certificate_addresses = context
            .as_ref()
            .and_then(|context| context.client_verifier.as_ref())
            .map(|verifier| self.certificate_addresses(verifier))
            .unwrap_or_default();
        TlsFacts {
            version: match self.rustls.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => TlsVersion::V1_3,
                _ => TlsVersion::V1_2,
            },
            exporter: exporter.ok(),
            end_point,
            server_name,
            alpn: self.rustls.alpn_protocol().map(<[u8]>::to_vec),
            certificate_addresses,
        }
    }

    fn certificate_addresses(&self, verifier: &Arc<dyn ClientCertVerifier>) -> Vec<String> {
        let Some([leaf, chain @ ..]) = self.rustls.peer_certificates() else {
            return Vec::new();
        };
        let now = rustls::pki_types::UnixTime::now();
        match verifier.verify_client_cert(leaf, chain, now) {
            Ok(_) => xmpp_addresses(leaf),
            Err(error) => {
                log::debug!("client_certificate_unverified error={error}");
                Vec::new()
            }
        }
    }
}

/// The length of the first record in `bytes` with its header, once it is whole. What cannot be a record
/// is handed over as it is, so that rustls makes the alert.
fn record_bytes(bytes: &[u8]) -> Option<usize> {
    let header = bytes.get(..RECORD_HEADER_BYTES)?;
    let body_bytes = usize::from(u16::from_be_bytes([header[3], header[4]]));
    // RFC 8446 section 5.1: content types 20 to 23, and "legacy_record_version" 3.x on the wire.
    let plausible =
        matches!(header[0], 20..=23) && header[1] == 3 && body_bytes <= RECORD_BODY_BYTES_MAX;
    if !plausible {
        return Some(bytes.len());
    }
    let length = RECORD_HEADER_BYTES + body_bytes;
    (bytes.len() >= length).then_some(length)
}

const RECORD_HEADER_BYTES: usize = 5;
/// RFC 5246 section 6.2.3: "The length MUST NOT exceed 2^14 + 2048"; TLS 1.3 allows less.
const RECORD_BODY_BYTES_MAX: usize = 16_384 + 2_048;
/// Longest record that may wait unfinished.
pub const PARTIAL_BYTES_MAX: usize = RECORD_HEADER_BYTES + RECORD_BODY_BYTES_MAX;
