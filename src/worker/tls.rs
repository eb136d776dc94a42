//! TLS sessions as rustls keeps them, fed record by record so that its buffers stay small (CRATES.md
//! section 2), or as we do with `tls.compact` once the handshake is over. Refuses to know sockets' readiness and what the
//! plaintext means.

mod compact;
mod record;
mod traffic;

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ProducesTickets, WebPkiClientVerifier};
use rustls::{
    CipherSuite, ProtocolVersion, ServerConfig, ServerConnection, SupportedProtocolVersion,
};

use crate::stream::{TlsFacts, TlsVersion};

use super::certificate::{Certificates, HostCertificate, subject, xmpp_addresses};
use super::client_certificate::{AnyCertificate, Authorities};

use compact::{Compact, Overhearing, TrafficSecrets};

pub use record::{RECORDS_PER_KEY_MAX, Records, Sequence, Silent};
pub use traffic::Suite;

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
    starttls: Ordered,
    direct: Ordered,
}

/// By whose order the cipher suite is chosen. Most libraries name AES-256 with SHA-384 first because it looks stronger; a
/// handshake hashes so much that this costs 20 microseconds more than AES-128 with SHA-256, which processors have
/// instructions for. Who names ChaCha20 first has none for AES, and gets what it wants.
#[derive(Clone, Debug)]
struct Ordered {
    by_us: Arc<ServerConfig>,
    by_client: Arc<ServerConfig>,
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
    /// Who keeps the keys of what comes behind the handshake.
    pub keeper: Keeper,
}

/// Who keeps the keys of a TLS 1.3 connection behind its handshake. Those of TLS 1.2 are always rustls'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// rustls, as ever: 7.3 KB.
    Rustls,
    /// We: a third of a kilobyte.
    Compact,
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
        let mut light = rustls::crypto::CryptoProvider::clone(&provider);
        // Stable: the rest keeps its order.
        light
            .cipher_suites
            .sort_by_key(|suite| !is_light(suite.suite()));
        let light = Arc::new(light);
        let configs = |verifier: Arc<dyn ClientCertVerifier>| -> Result<Configs, rustls::Error> {
            let config = |provider: &Arc<rustls::crypto::CryptoProvider>| {
                let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
                    .with_protocol_versions(&versions)?
                    .with_client_cert_verifier(Arc::clone(&verifier));
                let resolver: Arc<Certificates> = Arc::clone(&certificates);
                Ok::<_, rustls::Error>(builder.with_cert_resolver(resolver))
            };
            let mut by_us = config(&light)?;
            by_us.ignore_client_order = true;
            let by_client = config(&provider)?;
            Ok(Configs::of(by_us, by_client, &tickets, wishes.keeper))
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
    fn of(
        mut by_us: ServerConfig,
        mut by_client: ServerConfig,
        tickets: &Arc<dyn ProducesTickets>,
        keeper: Keeper,
    ) -> Configs {
        for config in [&mut by_us, &mut by_client] {
            if keeper == Keeper::Compact {
                config.enable_secret_extraction = true;
                config.key_log = Arc::new(Overhearing);
            }
            config.ticketer = Arc::clone(tickets);
            config.send_tls13_tickets = 1;
            // RFC 9266 section 3: before TLS 1.3 the exporter binds a channel only with the extended master
            // secret. rustls does not tell whether it was agreed on, so it is required; every maintained
            // library has had it since 2016.
            config.require_ems = true;
        }
        // XEP-0368: clients and servers use ALPN with the protocol name `xmpp-client`. rustls refuses a
        // client that offers only others and takes one that offers none.
        let direct = |config: &ServerConfig| {
            let mut config = config.clone();
            config.alpn_protocols = vec![ALPN_CLIENT.to_vec()];
            Arc::new(config)
        };
        Configs {
            direct: Ordered {
                by_us: direct(&by_us),
                by_client: direct(&by_client),
            },
            starttls: Ordered {
                by_us: Arc::new(by_us),
                by_client: Arc::new(by_client),
            },
        }
    }
}

/// What a processor with instructions for AES and SHA-256 does at least cost.
fn is_light(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
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
    /// The beginning of a record whose end has not come; empty and without memory when idle.
    partial: Vec<u8>,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// All handshakes, all of TLS 1.2, and the rest unless `tls.compact` is set.
    Rustls(Box<Whole>),
    Compact(Box<Compact>),
}

#[derive(Debug)]
struct Whole {
    rustls: ServerConnection,
    /// Until the handshake is complete.
    context: Option<Arc<TlsContext>>,
    /// Until the first record has come: what the connection is made anew with if its client has no instructions for AES.
    by_client: Option<Arc<ServerConfig>>,
    /// What a compact form needs, as long as it can be had: from the handshake to the first record behind it.
    secrets: Option<TrafficSecrets>,
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
        let configs = match security {
            Security::StartTls => &configs.starttls,
            Security::Direct => &configs.direct,
        };
        Ok(Box::new(Session {
            partial: Vec::new(),
            form: Form::Rustls(Box::new(Whole {
                rustls: connection(&configs.by_us)?,
                context: Some(Arc::clone(context)),
                by_client: Some(Arc::clone(&configs.by_client)),
                secrets: None,
            })),
        }))
    }

    /// Whether the handshake is still going on.
    pub fn is_handshaking(&self) -> bool {
        match &self.form {
            Form::Rustls(whole) => whole.rustls.is_handshaking(),
            Form::Compact(_) => false,
        }
    }

    /// Whether it has left rustls.
    pub fn is_compact(&self) -> bool {
        matches!(self.form, Form::Compact(_))
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
        if let Form::Rustls(whole) = &mut self.form {
            while whole.rustls.is_handshaking() && opened == Opened::More {
                let Some(length) = record_bytes(rest) else {
                    break;
                };
                opened = whole.take_handshake(&rest[..length]);
                rest = &rest[length..];
            }
        }
        self.partial = rest.to_vec();
        opened
    }

    /// Decrypts whole records into `plaintext`, which must be as long as the ciphertext, and counts the
    /// bytes in `filled`.
    pub fn open(&mut self, ciphertext: &[u8], plaintext: &mut [u8], filled: &mut usize) -> Opened {
        let (taken, opened) = match &mut self.form {
            Form::Rustls(whole) => whole.open(ciphertext, plaintext, filled),
            Form::Compact(compact) => compact.open(ciphertext, plaintext, filled),
        };
        if opened == Opened::More {
            self.partial = ciphertext[taken..].to_vec();
        }
        opened
    }

    /// Encrypts; nothing leaves before [`Session::push`].
    pub fn seal(&mut self, plaintext: &[u8]) -> io::Result<()> {
        match &mut self.form {
            Form::Rustls(whole) => whole.rustls.writer().write_all(plaintext),
            Form::Compact(compact) => compact.seal(plaintext),
        }
    }

    /// Whether ciphertext waits for the socket.
    pub fn wants_push(&self) -> bool {
        match &self.form {
            Form::Rustls(whole) => whole.rustls.wants_write(),
            Form::Compact(compact) => compact.wants_push(),
        }
    }

    /// Writes ciphertext once.
    pub fn push(&mut self, socket: &mut dyn Write) -> io::Result<usize> {
        match &mut self.form {
            Form::Rustls(whole) => {
                let pushed = whole.rustls.write_tls(&mut Plainly(socket));
                self.leave_rustls();
                pushed
            }
            Form::Compact(compact) => compact.push(socket),
        }
    }

    /// Says goodbye: with it the peer knows that nothing was cut off.
    pub fn say_close_notify(&mut self) {
        match &mut self.form {
            Form::Rustls(whole) => {
                whole.rustls.send_close_notify();
                // It would not know that nothing may be said any more.
                whole.secrets = None;
            }
            Form::Compact(compact) => compact.close(),
        }
    }

    /// What the completed handshake proved; to be called once. None behind that.
    pub fn facts(&mut self) -> Option<TlsFacts> {
        let Form::Rustls(whole) = &mut self.form else {
            return None;
        };
        let facts = whole.facts();
        self.leave_rustls();
        Some(facts)
    }

    /// Takes the connection out of rustls, if that is wished for and nothing would be lost: the handshake is complete and has told
    /// what it proved, all that rustls had to say (a ticket, last) is with the socket, and it has opened no record since.
    fn leave_rustls(&mut self) {
        let Form::Rustls(whole) = &mut self.form else {
            return;
        };
        let is_over = !whole.rustls.is_handshaking() && whole.context.is_none();
        if !is_over || whole.rustls.wants_write() {
            return;
        }
        // Of TLS 1.2 there are no such secrets.
        let Some(secrets) = whole.secrets.take() else {
            return;
        };
        let suite = whole.rustls.negotiated_cipher_suite();
        let Some(suite) = suite.and_then(|suite| Suite::of(suite.suite())) else {
            return;
        };
        let blank = Form::Compact(Compact::blank(suite));
        if let Form::Rustls(whole) = std::mem::replace(&mut self.form, blank)
            && let Form::Compact(compact) = &mut self.form
        {
            compact.take_over(whole.rustls, &secrets);
        }
    }
}

impl Whole {
    fn take_handshake(&mut self, record: &[u8]) -> Opened {
        if let Some(config) = self.by_client.take()
            && prefers_chacha(record)
            // Nothing was taken, so nothing is lost; if it fails, the suite is not the client's favourite.
            && let Ok(rustls) = connection(&config)
        {
            self.rustls = rustls;
        }
        let opened = self.take_record(record);
        // With the server's Finished, one flight before the handshake is over.
        if let Some(secrets) = compact::overheard() {
            self.secrets = Some(secrets);
        }
        opened
    }

    /// As [`Session::open`]; says how many bytes were whole records, too.
    fn open(
        &mut self,
        ciphertext: &[u8],
        plaintext: &mut [u8],
        filled: &mut usize,
    ) -> (usize, Opened) {
        let mut taken = 0;
        while let Some(length) = record_bytes(&ciphertext[taken..]) {
            // What rustls does with the record may change the keys.
            self.secrets = None;
            let opened = self.take_record(&ciphertext[taken..taken + length]);
            taken += length;
            // Also behind close_notify: what came before it counts.
            while let Ok(count) = self.rustls.reader().read(&mut plaintext[*filled..]) {
                if count == 0 {
                    break;
                }
                *filled += count;
            }
            if opened != Opened::More {
                return (taken, opened);
            }
        }
        (taken, Opened::More)
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

    fn facts(&mut self) -> TlsFacts {
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
        let (certificate_addresses, certificate_subject) = context
            .as_ref()
            .and_then(|context| context.client_verifier.as_ref())
            .and_then(|verifier| self.verified(verifier))
            .map(|leaf| (xmpp_addresses(leaf), subject(leaf).map(Arc::from)))
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
            certificate_subject,
        }
    }

    /// The client's certificate, if its chain is what we ask for.
    fn verified(&self, verifier: &Arc<dyn ClientCertVerifier>) -> Option<&[u8]> {
        let [leaf, chain @ ..] = self.rustls.peer_certificates()? else {
            return None;
        };
        let now = rustls::pki_types::UnixTime::now();
        match verifier.verify_client_cert(leaf, chain, now) {
            Ok(_) => Some(leaf),
            Err(error) => {
                log::debug!("client_certificate_unverified error={error}");
                None
            }
        }
    }
}

fn connection(config: &Arc<ServerConfig>) -> Result<ServerConnection, rustls::Error> {
    let mut rustls = ServerConnection::new(Arc::clone(config))?;
    // What is written was bounded by whoever rendered it, and is rendered only when all before it
    // is gone.
    rustls.set_buffer_limit(None);
    Ok(rustls)
}

/// Whether the first suite in a ClientHello is one of ChaCha20. Who sends anything else, or a part of one, has told no
/// preference.
fn prefers_chacha(record: &[u8]) -> bool {
    // RFC 8446 section 4.1.2, behind the headers of record and message: version and random, then the session's id.
    let suites = || -> Option<&[u8]> {
        let hello = record.get(RECORD_HEADER_BYTES + MESSAGE_HEADER_BYTES + 2 + 32..)?;
        let (&id_bytes, rest) = hello.split_first()?;
        let (length, rest) = rest.get(usize::from(id_bytes)..)?.split_first_chunk()?;
        rest.get(..usize::from(u16::from_be_bytes(*length)))
    };
    let is_hello = record.first() == Some(&22) && record.get(RECORD_HEADER_BYTES) == Some(&1);
    let suites = is_hello.then(suites).flatten().unwrap_or_default();
    let mut suites = suites.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
    // RFC 8701: 0x0A0A, 0x1A1A and so on stand for suites that nobody knows.
    let is_real = |suite: &[u8; 2]| suite[0] != suite[1] || suite[0] & 0x0f != 0x0a;
    matches!(
        suites.find(is_real),
        Some([0x13, 0x03] | [0xcc, 0xa8] | [0xcc, 0xa9])
    )
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
/// RFC 8446 section 4: of a handshake message.
const MESSAGE_HEADER_BYTES: usize = 4;
/// RFC 5246 section 6.2.3: "The length MUST NOT exceed 2^14 + 2048"; TLS 1.3 allows less.
const RECORD_BODY_BYTES_MAX: usize = 16_384 + 2_048;
/// Longest record that may wait unfinished.
pub const PARTIAL_BYTES_MAX: usize = RECORD_HEADER_BYTES + RECORD_BODY_BYTES_MAX;

#[cfg(test)]
mod compact_tests;

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn context(keeper: Keeper) -> TlsContext {
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
            keeper,
        };
        TlsContext::new(wishes, None).unwrap()
    }

    // peers.md row 20.
    #[test]
    fn no_configuration_takes_early_data_and_tickets_are_of_half_a_day() {
        let context = context(Keeper::Rustls);
        for configs in [&context.silent, &context.asking] {
            let ordered = [&configs.starttls, &configs.direct];
            for config in ordered.iter().flat_map(|it| [&it.by_us, &it.by_client]) {
                assert_eq!(config.max_early_data_size, 0);
                assert!(config.ticketer.enabled());
                // The ticketer changes its key after half of that.
                assert!(config.ticketer.lifetime() <= 12 * 60 * 60);
            }
        }
    }

    /// The suite on which a client agrees with us that names its suites in this order.
    fn agreed(context: &Arc<TlsContext>, order: impl Fn(CipherSuite) -> u8) -> CipherSuite {
        let mut provider = rustls::crypto::ring::default_provider();
        provider
            .cipher_suites
            .sort_by_key(|suite| order(suite.suite()));
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        let shown = context.hosts()[0].key.cert[0].clone();
        roots.add(shown).unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let name = rustls::pki_types::ServerName::try_from("a.example").unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let unasked = ClientCertificate::Unasked;
        let mut session = Session::new(context, Security::Direct, unasked).unwrap();
        while client.is_handshaking() || session.is_handshaking() {
            let mut said = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut said).unwrap();
            }
            assert_eq!(session.shake_hands(&said), Opened::More);
            let mut answer = Vec::new();
            while session.wants_push() {
                session.push(&mut answer).unwrap();
            }
            let mut answer = &answer[..];
            while !answer.is_empty() {
                client.read_tls(&mut answer).unwrap();
                client.process_new_packets().unwrap();
            }
        }
        client.negotiated_cipher_suite().unwrap().suite()
    }

    #[test]
    fn aes_128_is_chosen_unless_the_client_has_reason_to_want_chacha20() {
        let context = Arc::new(context(Keeper::Rustls));
        let is = |suite: CipherSuite, name: &str| suite.as_str().is_some_and(|s| s.contains(name));
        let strong_first = |suite| u8::from(!is(suite, "AES_256"));
        let chacha_first = |suite| u8::from(!is(suite, "CHACHA20"));
        let chacha_last = |suite| u8::from(is(suite, "CHACHA20"));
        assert_eq!(
            agreed(&context, strong_first),
            CipherSuite::TLS13_AES_128_GCM_SHA256
        );
        assert_eq!(
            agreed(&context, chacha_last),
            CipherSuite::TLS13_AES_128_GCM_SHA256
        );
        assert_eq!(
            agreed(&context, chacha_first),
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
        );
    }

    #[test]
    fn a_hello_that_is_cut_or_is_none_tells_no_preference() {
        let mut hello = vec![22, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3];
        hello.extend([7; 32]);
        hello.extend([2, 9, 9, 0, 6, 0x1a, 0x1a, 0x13, 0x03, 0x13, 0x01]);
        assert!(prefers_chacha(&hello));
        for length in 0..hello.len() {
            assert!(!prefers_chacha(&hello[..length]), "{length}");
        }
        let mut other = hello.clone();
        other[5] = 2;
        assert!(!prefers_chacha(&other));
        let end = hello.len();
        hello.swap(end - 3, end - 1);
        assert!(!prefers_chacha(&hello));
    }
}
