//! TLS sessions as rustls keeps them, fed record by record so that its buffers stay small (CRATES.md
//! section 2). Refuses to know sockets' readiness and what the plaintext means.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ProducesTickets, WebPkiClientVerifier};
use rustls::{ProtocolVersion, ServerConfig, ServerConnection, SupportedProtocolVersion};

use crate::stream::{TlsFacts, TlsVersion};

use super::certificate::{Certificates, HostCertificate, xmpp_addresses};
use super::client_certificate::{AnyCertificate, Authorities};

/// What handshakes are made with; replaced as a whole when certificates are loaded again. Sessions that
/// stand keep the one they began with.
#[derive(Debug)]
pub struct TlsContext {
    silent: Configs,
    /// The same, but a certificate is asked of the client.
    asking: Configs,
    certificates: Arc<Certificates>,
    client_authorities: Authorities,
    client_verifier: Option<Arc<dyn ClientCertVerifier>>,
    tickets: Arc<dyn ProducesTickets>,
    handshake_timeout_ms: u64,
    negotiation_timeout_ms: u64,
}

#[derive(Debug)]
struct Configs {
    starttls: Arc<ServerConfig>,
    direct: Arc<ServerConfig>,
}

/// What a context is made of.
#[derive(Debug)]
pub struct TlsWishes {
    /// The first host's certificate is shown to clients that name no host of ours.
    pub hosts: Vec<HostCertificate>,
    /// Versions that are accepted.
    pub versions: Vec<TlsVersion>,
    /// Authorities whose certificates prove addresses of clients. Without any, no client is asked.
    pub client_authorities: Authorities,
    /// How long a client may take.
    pub handshake_timeout_ms: u64,
    /// How long it may take to prove who it is.
    pub negotiation_timeout_ms: u64,
}

/// Whether clients of a listener are asked for a certificate. One that does not chain to a known authority
/// is no error, it merely proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// They are.
    Asked,
    /// They are not: some clients trouble their user with a dialogue when they are.
    Unasked,
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
    /// A context of `wishes` that replaces `before`, if there was one.
    ///
    /// # Errors
    /// No host, no version, or authorities that cannot be used.
    pub fn new(
        wishes: TlsWishes,
        before: Option<&TlsContext>,
    ) -> Result<TlsContext, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificates = Arc::new(Certificates::new(wishes.hosts)?);
        let client_verifier = if wishes.client_authorities.is_empty() {
            None
        } else {
            let roots = wishes.client_authorities.roots();
            let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
            let verifier = builder.build();
            Some(verifier.map_err(|error| rustls::Error::General(error.to_string()))?)
        };
        let tickets = match before {
            // Or every reload would cost all clients their resumption.
            Some(before) if before.proved_the_same(&certificates, &wishes.client_authorities) => {
                Arc::clone(&before.tickets)
            }
            _ => rustls::crypto::ring::Ticketer::new()?,
        };
        let versions: Vec<_> = wishes.versions.iter().map(of_rustls).collect();
        let configs = |verifier: Arc<dyn ClientCertVerifier>| -> Result<Configs, rustls::Error> {
            let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(&versions)?
                .with_client_cert_verifier(verifier);
            let resolver: Arc<Certificates> = Arc::clone(&certificates);
            let config = builder.with_cert_resolver(resolver);
            Ok(Configs::of(config, &tickets))
        };
        let silent = configs(WebPkiClientVerifier::no_client_auth())?;
        let asking = match &client_verifier {
            Some(strict) => configs(Arc::new(AnyCertificate::new(Arc::clone(strict))))?,
            None => configs(WebPkiClientVerifier::no_client_auth())?,
        };
        Ok(TlsContext {
            silent,
            asking,
            certificates,
            client_authorities: wishes.client_authorities,
            client_verifier,
            tickets,
            handshake_timeout_ms: wishes.handshake_timeout_ms,
            negotiation_timeout_ms: wishes.negotiation_timeout_ms,
        })
    }

    /// What each host shows, in the order of the configuration.
    pub fn hosts(&self) -> &[HostCertificate] {
        self.certificates.all()
    }

    /// The authorities whose certificates log clients in.
    pub fn client_authorities(&self) -> &Authorities {
        &self.client_authorities
    }

    /// Whether a session that began under this context may be resumed under one of these: then both sides know the
    /// same of each other. A client that resumes is not shown the host's certificate again and binds its login to the
    /// one that it saw (RFC 5929 section 4.1, tls-server-end-point), it is not asked for its own again, and a
    /// certificate that was replaced because somebody else has its key shall vouch for nothing any more.
    fn proved_the_same(&self, certificates: &Certificates, authorities: &Authorities) -> bool {
        let shown = |certificates: &Certificates| -> Vec<(String, String)> {
            let hosts = certificates.all().iter();
            hosts
                .map(|host| (host.host.clone(), host.fingerprint()))
                .collect()
        };
        shown(&self.certificates) == shown(certificates) && self.client_authorities == *authorities
    }

    /// How long a client may take.
    pub fn handshake_timeout_ms(&self) -> u64 {
        self.handshake_timeout_ms
    }

    /// How long it may take to prove who it is, from the opening of its stream.
    pub fn negotiation_timeout_ms(&self) -> u64 {
        self.negotiation_timeout_ms
    }
}

impl Configs {
    fn of(mut config: ServerConfig, tickets: &Arc<dyn ProducesTickets>) -> Configs {
        config.ticketer = Arc::clone(tickets);
        config.send_tls13_tickets = 1;
        // RFC 9266 section 3: before TLS 1.3 the exporter binds a channel only with the extended master
        // secret. rustls does not tell whether it was agreed on, so it is required; every maintained
        // library has had it since 2016.
        config.require_ems = true;
        let mut direct = config.clone();
        // XEP-0368: clients and servers use ALPN with the protocol name `xmpp-client`. rustls refuses a
        // client that offers only others and takes one that offers none.
        direct.alpn_protocols = vec![ALPN_CLIENT.to_vec()];
        Configs {
            starttls: Arc::new(config),
            direct: Arc::new(direct),
        }
    }
}

fn of_rustls(version: &TlsVersion) -> &'static SupportedProtocolVersion {
    match version {
        TlsVersion::V1_2 => &rustls::version::TLS12,
        TlsVersion::V1_3 => &rustls::version::TLS13,
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
        client_certificate: ClientCertificate,
    ) -> Result<Box<Session>, rustls::Error> {
        let configs = match client_certificate {
            ClientCertificate::Asked => &context.asking,
            ClientCertificate::Unasked => &context.silent,
        };
        let config = match security {
            Security::StartTls => &configs.starttls,
            Security::Direct => &configs.direct,
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
        self.rustls.write_tls(&mut Plainly(socket))
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

/// A socket to which a single record is written without `writev`: rustls always writes vectors, but what one turn
/// says to one client is nearly always one record, and for that the kernel's way through `writev` is longer than
/// that through `send`.
struct Plainly<'a>(&'a mut dyn Write);

impl Write for Plainly<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, records: &[IoSlice<'_>]) -> io::Result<usize> {
        match records {
            [record] => self.0.write(record),
            _ => self.0.write_vectored(records),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> TlsContext {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
        let provider = rustls::crypto::ring::default_provider();
        let certificate = vec![made.cert.der().clone()];
        let key = rustls::sign::CertifiedKey::from_der(certificate, key.unwrap(), &provider);
        let wishes = TlsWishes {
            hosts: vec![HostCertificate::new("a.example", key.unwrap())],
            versions: vec![TlsVersion::V1_2, TlsVersion::V1_3],
            client_authorities: Authorities::default(),
            handshake_timeout_ms: 1,
            negotiation_timeout_ms: 1,
        };
        TlsContext::new(wishes, None).unwrap()
    }

    // peers.md row 20.
    #[test]
    fn no_configuration_takes_early_data_and_tickets_are_of_half_a_day() {
        let context = context();
        for configs in [&context.silent, &context.asking] {
            for config in [&configs.starttls, &configs.direct] {
                assert_eq!(config.max_early_data_size, 0);
                assert!(config.ticketer.enabled());
                // The ticketer changes its key after half of that.
                assert!(config.ticketer.lifetime() <= 12 * 60 * 60);
            }
        }
    }
}
