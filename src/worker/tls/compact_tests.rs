//! Connections that leave rustls, against a client that stays with it, in memory.

use rustls::{AlertDescription, CipherSuite, ClientConfig, ClientConnection, HandshakeKind};

use super::context::testing::context;
use super::*;

const SUITES: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
];
const ALL: fn(CipherSuite) -> bool = |_| true;
const OF_TLS_1_2: fn(CipherSuite) -> bool = |suite| !SUITES.contains(&suite);

/// A client that knows the context's certificate, and only these suites.
fn config(context: &TlsContext, takes: impl Fn(CipherSuite) -> bool) -> Arc<ClientConfig> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.retain(|suite| takes(suite.suite()));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(context.hosts()[0].key.cert[0].clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// Both ends of one connection.
struct Ends {
    session: Box<Session>,
    client: ClientConnection,
}

impl Ends {
    fn new(context: &Arc<TlsContext>, config: &Arc<ClientConfig>) -> Ends {
        let name = rustls::pki_types::ServerName::try_from("a.example").unwrap();
        Ends {
            session: Session::new(context, Security::Direct, ClientCertificate::Unasked).unwrap(),
            client: ClientConnection::new(Arc::clone(config), name).unwrap(),
        }
    }

    /// As the worker does it: what is to be said goes out before it is asked what was proved.
    fn shaken(context: &Arc<TlsContext>, config: &Arc<ClientConfig>) -> (Ends, TlsFacts) {
        let mut ends = Ends::new(context, config);
        while ends.client.is_handshaking() || ends.session.is_handshaking() {
            ends.turn();
        }
        let facts = ends.session.facts().unwrap();
        ends.settle();
        (ends, facts)
    }

    /// One flight of each.
    fn turn(&mut self) {
        let said = said(&mut self.client);
        assert_eq!(self.session.shake_hands(&said), Opened::More);
        self.settle();
    }

    /// The client takes what the server has said.
    fn settle(&mut self) {
        let pushed = self.pushed();
        take(&mut self.client, &pushed).unwrap();
    }

    fn pushed(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while self.session.wants_push() {
            self.session.push(&mut out).unwrap();
        }
        out
    }

    /// The client says this, and it arrives in pieces of `step` bytes.
    fn client_says(&mut self, text: &[u8], step: usize) {
        self.client.set_buffer_limit(None);
        self.client.writer().write_all(text).unwrap();
        let said = said(&mut self.client);
        let (heard, opened) = self.arrive(&said, step);
        assert_eq!(opened, Opened::More);
        assert!(heard == text, "{} of {} bytes", heard.len(), text.len());
    }

    fn arrive(&mut self, bytes: &[u8], step: usize) -> (Vec<u8>, Opened) {
        let mut text = Vec::new();
        for piece in bytes.chunks(step) {
            // As `Connection::read_through` does it.
            let mut ciphertext = vec![0; PARTIAL_BYTES_MAX + piece.len()];
            let kept = self.session.prepend_partial(&mut ciphertext);
            ciphertext[kept..kept + piece.len()].copy_from_slice(piece);
            ciphertext.truncate(kept + piece.len());
            let (mut plaintext, mut filled) = (vec![0; ciphertext.len()], 0);
            let opened = self.session.open(&ciphertext, &mut plaintext, &mut filled);
            text.extend_from_slice(&plaintext[..filled]);
            if opened != Opened::More {
                return (text, opened);
            }
        }
        (text, Opened::More)
    }

    fn server_says(&mut self, text: &[u8]) {
        self.session.seal(text).unwrap();
        let pushed = self.pushed();
        let heard = take(&mut self.client, &pushed).unwrap();
        assert!(heard == text, "{} of {} bytes", heard.len(), text.len());
    }
}

fn said(client: &mut ClientConnection) -> Vec<u8> {
    let mut said = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut said).unwrap();
    }
    said
}

fn take(client: &mut ClientConnection, mut bytes: &[u8]) -> Result<Vec<u8>, rustls::Error> {
    let mut text = Vec::new();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        let count = client.process_new_packets()?.plaintext_bytes_to_read();
        let start = text.len();
        text.resize(start + count, 0);
        client.reader().read_exact(&mut text[start..]).unwrap();
    }
    Ok(text)
}

#[test]
fn a_compact_connection_talks_with_rustls_by_every_suite() {
    let context = Arc::new(context(Keeper::Compact));
    for suite in SUITES {
        let config = config(&context, |it| it == suite);
        let (mut ends, facts) = Ends::shaken(&context, &config);
        assert!(ends.session.is_compact(), "{suite:?}");
        assert_eq!(facts.version, TlsVersion::V1_3);
        let binding = ends
            .client
            .export_keying_material([0; 32], EXPORTER_LABEL, Some(b""));
        assert_eq!(facts.exporter, binding.ok());
        assert_eq!(facts.server_name.as_deref(), Some("a.example"));
        for length in [1, 10, 16_384, 16_385, 100_000] {
            let text: Vec<u8> = (0..length).map(|at| at as u8).collect();
            ends.client_says(&text, usize::MAX);
            ends.client_says(&text, 1_000);
            ends.server_says(&text);
        }
        ends.client_says(b"byte by byte", 1);
    }
}

#[test]
fn keys_change_from_both_sides() {
    let context = Arc::new(context(Keeper::Compact));
    for suite in SUITES {
        let config = config(&context, |it| it == suite);
        let (mut ends, _) = Ends::shaken(&context, &config);
        // rustls takes no more than 32 key updates in a connection's life.
        for round in 0..10 {
            // rustls always asks for ours, too.
            ends.client.refresh_traffic_keys().unwrap();
            ends.client_says(b"under the next key", 1 + round);
            // The answer is there before anything is said.
            assert!(ends.session.wants_push(), "{suite:?}");
            ends.settle();
            ends.server_says(b"so am I");
            let Form::Compact(compact) = &mut ends.session.form else {
                panic!("not compact");
            };
            compact.renew();
            ends.server_says(b"under one of my own");
            ends.client_says(b"still under mine", 100);
        }
    }
}

#[test]
fn only_tls_1_3_leaves_rustls_and_only_when_that_is_wished_for() {
    for (keeper, takes, is_compact) in [
        (Keeper::Compact, ALL, true),
        (Keeper::Rustls, ALL, false),
        (Keeper::Compact, OF_TLS_1_2, false),
    ] {
        let context = Arc::new(context(keeper));
        let (mut ends, facts) = Ends::shaken(&context, &config(&context, takes));
        assert_eq!(ends.session.is_compact(), is_compact, "{keeper:?}");
        assert!(facts.exporter.is_some());
        ends.client_says(b"hello", 3);
        ends.server_says(b"hello");
    }
}

#[test]
fn what_came_behind_the_handshake_is_heard_by_who_comes_next() {
    let context = Arc::new(context(Keeper::Compact));
    let config = config(&context, ALL);
    let mut ends = Ends::new(&context, &config);
    ends.client.writer().write_all(b"early bird").unwrap();
    ends.turn();
    let mut flight = said(&mut ends.client);
    ends.client.writer().write_all(b", and half").unwrap();
    let more = said(&mut ends.client);
    let (half, rest) = more.split_at(more.len() / 2);
    flight.extend_from_slice(half);
    assert_eq!(ends.session.shake_hands(&flight), Opened::More);
    ends.settle();
    ends.session.facts().unwrap();
    assert!(ends.session.is_compact());
    let (text, opened) = ends.arrive(rest, usize::MAX);
    assert_eq!(
        (&text[..], opened),
        (&b"early bird, and half"[..], Opened::More)
    );
}

#[test]
fn a_ticket_is_sent_by_rustls_and_is_good() {
    let context = Arc::new(context(Keeper::Compact));
    let config = config(&context, ALL);
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut ends = Ends::new(&context, &config);
        while ends.session.is_handshaking() {
            let said = said(&mut ends.client);
            assert_eq!(ends.session.shake_hands(&said), Opened::More);
            if ends.session.is_handshaking() {
                ends.settle();
            }
        }
        // The socket was full.
        assert!(ends.session.wants_push());
        ends.session.facts().unwrap();
        assert!(!ends.session.is_compact());
        ends.settle();
        assert!(ends.session.is_compact());
        assert_eq!(ends.client.handshake_kind(), Some(kind));
        ends.server_says(b"hello");
        ends.client_says(b"hello", 4);
    }
}

#[test]
fn a_connection_that_has_read_before_it_could_leave_stays() {
    let context = Arc::new(context(Keeper::Compact));
    let config = config(&context, ALL);
    let mut ends = Ends::new(&context, &config);
    ends.turn();
    let last = said(&mut ends.client);
    assert_eq!(ends.session.shake_hands(&last), Opened::More);
    ends.session.facts().unwrap();
    ends.client.refresh_traffic_keys().unwrap();
    ends.client_says(b"while the ticket waits", 9);
    ends.settle();
    assert!(!ends.session.is_compact());
    ends.server_says(b"hello");
    ends.client_says(b"hello", 4);
}

/// rustls tells its secrets to whoever listens on this thread.
#[test]
fn handshakes_in_turn_do_not_mix_up_their_secrets() {
    let context = Arc::new(context(Keeper::Compact));
    let config = config(&context, ALL);
    let mut all: Vec<Ends> = (0..8).map(|_| Ends::new(&context, &config)).collect();
    for _ in 0..3 {
        for ends in &mut all {
            if ends.session.is_handshaking() {
                ends.turn();
            }
        }
    }
    for ends in all.iter_mut().rev() {
        ends.session.facts().unwrap();
        ends.settle();
    }
    for ends in &mut all {
        assert!(ends.session.is_compact());
        ends.client_says(b"it is me", 5);
        ends.server_says(b"I know");
    }
    assert!(compact::overheard().is_none());
}

#[test]
fn secrets_that_are_not_those_of_the_connection_break_it() {
    let context = Arc::new(context(Keeper::Compact));
    let config = config(&context, ALL);
    let mut all = [Ends::new(&context, &config), Ends::new(&context, &config)];
    for ends in &mut all {
        while ends.session.is_handshaking() {
            ends.turn();
        }
    }
    let [one, other] = &mut all;
    let (Form::Rustls(mine), Form::Rustls(theirs)) =
        (&mut one.session.form, &mut other.session.form)
    else {
        panic!("both are with rustls");
    };
    std::mem::swap(&mut mine.secrets, &mut theirs.secrets);
    for ends in &mut all {
        ends.session.facts().unwrap();
        assert!(ends.session.seal(b"never said").is_err());
        assert!(!ends.session.wants_push());
        ends.client.writer().write_all(b"never heard").unwrap();
        let said = said(&mut ends.client);
        let (text, opened) = ends.arrive(&said, usize::MAX);
        assert_eq!((text, opened), (Vec::new(), Opened::Broken));
    }
}

#[test]
fn goodbyes_are_understood_both_ways() {
    let context = Arc::new(context(Keeper::Compact));
    let config = config(&context, ALL);
    let (mut ends, _) = Ends::shaken(&context, &config);
    ends.client.writer().write_all(b"last words").unwrap();
    ends.client.send_close_notify();
    let said = said(&mut ends.client);
    let (text, opened) = ends.arrive(&said, 7);
    assert_eq!((&text[..], opened), (&b"last words"[..], Opened::Ended));
    ends.server_says(b"mine");
    ends.session.say_close_notify();
    let pushed = ends.pushed();
    let mut pushed = &pushed[..];
    ends.client.read_tls(&mut pushed).unwrap();
    assert!(ends.client.process_new_packets().unwrap().peer_has_closed());
    assert!(ends.session.seal(b"more").is_err());
}

#[test]
fn rustls_understands_what_was_wrong() {
    let context = Arc::new(context(Keeper::Compact));
    let config = config(&context, ALL);
    let (mut ends, _) = Ends::shaken(&context, &config);
    ends.client.writer().write_all(b"text").unwrap();
    let mut said = said(&mut ends.client);
    *said.last_mut().unwrap() ^= 1;
    assert_eq!(ends.arrive(&said, usize::MAX).1, Opened::Broken);
    let pushed = ends.pushed();
    let heard = take(&mut ends.client, &pushed);
    let alert = rustls::Error::AlertReceived(AlertDescription::BadRecordMac);
    assert_eq!(heard, Err(alert));
}

#[test]
fn a_session_is_small_and_keeps_no_buffer() {
    let context = Arc::new(context(Keeper::Compact));
    let (mut ends, _) = Ends::shaken(&context, &config(&context, ALL));
    ends.client_says(&[b'x'; 50_000], 999);
    ends.server_says(&[b'x'; 50_000]);
    assert_eq!(ends.session.partial.capacity(), 0);
    assert!(size_of::<Session>() + size_of::<Compact>() <= 304);
    let Form::Compact(compact) = &ends.session.form else {
        panic!("not compact");
    };
    assert_eq!(compact.unsent_capacity(), 0);
}

/// A socket that takes a little at a time.
struct Narrow(Vec<u8>);

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(7);
        self.0.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_a_socket_takes_in_parts_arrives_whole() {
    let context = Arc::new(context(Keeper::Compact));
    let (mut ends, _) = Ends::shaken(&context, &config(&context, ALL));
    let mut socket = Narrow(Vec::new());
    ends.session.seal(&[b'a'; 1_000]).unwrap();
    for _ in 0..50 {
        ends.session.push(&mut socket).unwrap();
    }
    ends.session.seal(&[b'b'; 20_000]).unwrap();
    while ends.session.wants_push() {
        ends.session.push(&mut socket).unwrap();
    }
    let text = take(&mut ends.client, &socket.0).unwrap();
    assert!(text == [&[b'a'; 1_000][..], &[b'b'; 20_000]].concat());
}
