//! TLS sessions as rustls keeps them, fed record by record so that its buffers stay small (CRATES.md
//! section 2), or as we do with `tls.compact` once the handshake is over. Refuses to know sockets' readiness, what the
//! plaintext means, and what handshakes are made with (`tls/context.rs`).

mod compact;
mod context;
mod form;
mod header;
mod record;
mod traffic;

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;
use rustls::{ProtocolVersion, ServerConfig, ServerConnection};

use crate::stream::{TlsFacts, TlsVersion};

use super::certificate::{subject, xmpp_addresses};

use compact::{Compact, TrafficSecrets};
use header::{prefers_chacha, record_bytes};

pub use context::{ClientCertificate, Keeper, Security, TlsContext, TlsWishes};
pub use header::PARTIAL_BYTES_MAX;
pub use record::{RECORDS_PER_KEY_MAX, Records, Sequence, Silent};
pub use traffic::Suite;

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
        let configs = context.configs(security, client_certificate);
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

    /// Reads a little of all that records need and that can be seen from here, so that it is at hand when they come; the value
    /// has no meaning.
    pub fn glance(&self) -> usize {
        let form = match &self.form {
            Form::Rustls(whole) => whole.glance(),
            Form::Compact(compact) => compact.glance(),
        };
        self.partial.len() ^ form
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
    fn glance(&self) -> usize {
        let rustls = &self.rustls;
        let has = self.context.is_some() ^ self.by_client.is_some() ^ self.secrets.is_some();
        let flags = rustls.is_handshaking() ^ rustls.wants_read() ^ rustls.wants_write();
        let facts = rustls.protocol_version().is_some() ^ rustls.alpn_protocol().is_some();
        usize::from(has ^ flags ^ facts)
    }

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
        let end_point = context
            .as_ref()
            .and_then(|context| context.end_point(server_name.as_deref()));
        let (certificate_addresses, certificate_subject) = context
            .as_ref()
            .and_then(|context| context.client_verifier())
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

#[cfg(test)]
mod compact_tests;

#[cfg(test)]
mod tests {
    use rustls::CipherSuite;

    use super::context::testing::context;
    use super::*;

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
}
