//! TLS: both ways in, both versions, certificates, and what is not TLS.

use std::io::{Read, Write};

use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::HandshakeKind;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use stonechat::worker::{Authorities, HostCertificate};

use crate::client::{Client, TlsWishes, config, plain, secure, secure_by, socket, start_tls};
use crate::house::{Directory, HANDSHAKE_TIMEOUT_MS, Server, Wishes};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn both_versions_echo_over_both_ways_in_and_agree_on_the_channel_binding() {
    let server = Server::start();
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        for direct in [true, false] {
            let wishes = TlsWishes {
                version,
                ..TlsWishes::default()
            };
            let mut client = if direct {
                secure(socket(server.direct), wishes)
            } else {
                start_tls(plain(server.plain), wishes)
            };
            let secured = client.greet();
            let session = &client.stream().conn;
            let exporter = session
                .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""))
                .unwrap();
            let shown = session.peer_certificates().unwrap()[0].clone();
            let words: Vec<_> = secured.split(' ').collect();
            assert_eq!(words[2], hex(&exporter));
            assert_eq!(words[3], hex(&Sha256::digest(&shown)));
            assert_eq!(words[4], "Some(\"juliet.example\")");
            let alpn = if direct {
                "Some(\"xmpp-client\")"
            } else {
                "None"
            };
            assert_eq!(words[5], alpn);
        }
    }
    server.until(|counters| counters.secured == 4);
}

#[test]
fn records_may_come_byte_by_byte() {
    let server = Server::start();
    let mut client = secure(socket(server.direct), TlsWishes::default());
    client.greet();
    let mut record = Vec::new();
    let stream = client.stream();
    stream.conn.writer().write_all(b"byte by byte\n").unwrap();
    stream.conn.write_tls(&mut record).unwrap();
    for byte in record {
        stream.sock.write_all(&[byte]).unwrap();
    }
    client.expect("byte by byte");
}

/// A record of its own for each of them would cost an encryption each.
#[test]
fn what_is_said_in_one_turn_leaves_in_one_record() {
    let server = Server::start();
    let mut client = secure(socket(server.direct), TlsWishes::default());
    client.greet();
    let lines = "one\ntwo\nthree\n";
    client.send(lines);
    let mut header = [0; 5];
    client.stream().sock.read_exact(&mut header).unwrap();
    // RFC 8446 section 5.2: the content, one byte for its type, and 16 that prove it.
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    assert_eq!(length, lines.len() + 1 + 16);
}

#[test]
fn large_amounts_go_both_ways() {
    let server = Server::start();
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let wishes = TlsWishes {
            version,
            ..TlsWishes::default()
        };
        let mut client = secure(socket(server.direct), wishes);
        let line = "y".repeat(1_000_000);
        client.send(&format!("{line}\nBIG 8388608\nend\n"));
        client.line();
        client.expect(&line);
        assert!(client.bytes(8_388_608).iter().all(|byte| *byte == b'x'));
        client.expect("end");
    }
}

#[test]
fn what_was_sent_right_behind_the_handshake_is_heard() {
    let server = Server::start();
    for _ in 0..50 {
        let mut session = crate::client::session(TlsWishes::default());
        let mut socket = socket(server.direct);
        session.writer().write_all(b"early bird\n").unwrap();
        while session.is_handshaking() || session.wants_write() {
            while session.wants_write() {
                session.write_tls(&mut socket).unwrap();
            }
            if session.is_handshaking() {
                session.read_tls(&mut socket).unwrap();
                session.process_new_packets().unwrap();
            }
        }
        let mut client = Client::over(rustls::StreamOwned::new(session, socket));
        client.line();
        client.expect("early bird");
    }
}

#[test]
fn plaintext_behind_the_starttls_request_is_dropped() {
    let server = Server::start();
    let mut client = plain(server.plain);
    client.send("STARTTLS\nCLOSE\ninjected\n");
    client.expect("proceed");
    let socket = client.stream().try_clone().unwrap();
    let mut client = secure(socket, TlsWishes::default());
    client.greet();
    assert_eq!(
        server.counters().injected_bytes,
        "CLOSE\ninjected\n".len() as u64
    );
}

#[test]
fn each_host_shows_its_own_certificate_and_strangers_see_the_first() {
    let server = Server::start();
    for (server_name, host) in [
        ("romeo.example", 1),
        ("juliet.example", 0),
        ("tybalt.example", 0),
    ] {
        let wishes = TlsWishes {
            server_name,
            ..TlsWishes::default()
        };
        let mut client = secure(socket(server.direct), wishes);
        let secured = client.greet();
        let end_point = server.hosts[host].end_point.as_ref().unwrap();
        assert!(secured.contains(&hex(end_point)));
        let shown = client.stream().conn.peer_certificates().unwrap();
        assert_eq!(shown, server.hosts[host].key.cert);
    }
}

#[test]
fn new_certificates_are_for_new_sessions_only() {
    let server = Server::start();
    let mut old = secure(socket(server.direct), TlsWishes::default());
    old.send("before\n");
    old.line();
    old.expect("before");
    let directory = Directory::new();
    let fresh = HostCertificate::load_or_make("juliet.example", &directory.0).unwrap();
    assert!(fresh.made);
    let again = HostCertificate::load_or_make("juliet.example", &directory.0).unwrap();
    assert!(!again.made && again.key.cert == fresh.key.cert);
    server.reload(vec![fresh.clone()]);
    old.send("after\n");
    old.expect("after");
    let mut new = secure(socket(server.direct), TlsWishes::default());
    new.greet();
    assert_eq!(
        new.stream().conn.peer_certificates().unwrap(),
        fresh.key.cert
    );
}

/// peers.md row 20: what comes before the handshake is complete could be sent again by anybody who has seen it.
#[test]
fn nothing_is_taken_before_the_handshake_is_complete() {
    let server = Server::start();
    let mut wishes = rustls::ClientConfig::clone(&config(TlsWishes::default()));
    wishes.enable_early_data = true;
    let wishes = std::sync::Arc::new(wishes);
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut client = secure_by(&wishes, socket(server.direct), "juliet.example");
        let early = client.stream().conn.early_data().is_some();
        assert!(!early, "the ticket allows none");
        client.greet();
        assert_eq!(client.stream().conn.handshake_kind(), Some(kind));
    }
}

/// RFC 5929 section 4.1: a client binds to the certificate that it was shown, which for a resumed session was in the
/// handshake before.
#[test]
fn a_session_is_resumed_until_another_certificate_is_shown_and_binds_to_the_one_that_it_saw() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let server = Server::start();
        let config = config(TlsWishes {
            version,
            ..TlsWishes::default()
        });
        let hello = || {
            let mut client = secure_by(&config, socket(server.direct), "juliet.example");
            let secured = client.greet();
            let session = &client.stream().conn;
            let saw = session.peer_certificates().unwrap()[0].clone();
            let bound_to = secured.split(' ').nth(3).unwrap().to_owned();
            assert_eq!(bound_to, hex(&Sha256::digest(&saw)), "{version:?}");
            session.handshake_kind().unwrap()
        };
        assert_eq!(hello(), HandshakeKind::Full);
        assert_eq!(hello(), HandshakeKind::Resumed);
        server.reload(server.hosts.clone());
        assert_eq!(hello(), HandshakeKind::Resumed, "nothing was changed");
        let directory = Directory::new();
        let fresh = HostCertificate::load_or_make("juliet.example", &directory.0).unwrap();
        server.reload(vec![fresh, server.hosts[1].clone()]);
        assert_eq!(hello(), HandshakeKind::Full);
        assert_eq!(hello(), HandshakeKind::Resumed);
    }
}

#[test]
fn a_key_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Directory::new();
    HostCertificate::load_or_make("juliet.example", &directory.0).unwrap();
    let file = std::fs::metadata(directory.0.join("juliet.example.pem")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}

/// XEP-0368 section 4: a client may offer `xmpp-client`, or nothing.
#[test]
fn a_client_that_speaks_another_protocol_is_refused() {
    let server = Server::start();
    let mut without = secure(
        socket(server.direct),
        TlsWishes {
            alpn: &[],
            ..TlsWishes::default()
        },
    );
    assert!(without.greet().contains(" None []"));
    let wishes = TlsWishes {
        alpn: &[b"h2"],
        ..TlsWishes::default()
    };
    let mut other = secure(socket(server.direct), wishes);
    let error = other.try_send(b"hello\n").unwrap_err();
    assert!(
        error.to_string().contains("NoApplicationProtocol"),
        "{error}"
    );
    server.until(|counters| counters.handshakes_failed == 1);
}

#[test]
fn what_is_not_tls_gets_an_alert_and_is_closed() {
    let server = Server::start();
    let garbage: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: juliet.example\r\n\r\n",
        &[0; 600],
        &[22, 3, 1, 0xff, 0xff, 1, 2, 3],
        &[22, 3, 1, 0, 5, 1, 0, 0, 1, 0],
    ];
    for bytes in garbage {
        let mut client = Client::over(socket(server.direct));
        client.try_send(bytes).unwrap();
        let answer = client.rest();
        // RFC 8446 section 5.1: content type 21 is an alert; its first byte 2 means fatal.
        assert_eq!((answer[0], answer[5]), (21, 2), "{bytes:?} got {answer:?}");
    }
    let mut client = plain(server.plain);
    client.send("STARTTLS\n");
    client.expect("proceed");
    client.send("<stream:stream>");
    client.rest();
    server.until(|counters| (counters.handshakes_failed, counters.connections) == (5, 0));
}

#[test]
fn a_forged_record_ends_the_connection() {
    let server = Server::start();
    let mut client = secure(socket(server.direct), TlsWishes::default());
    client.greet();
    client.stream().sock.write_all(&[23, 3, 3, 0, 20]).unwrap();
    client.stream().sock.write_all(&[0; 20]).unwrap();
    // An alert: what rustls makes of it is an error that says so.
    let mut rest = Vec::new();
    let error = std::io::Read::read_to_end(client.stream(), &mut rest).unwrap_err();
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
    server.until(|counters| counters.connections == 0 && counters.records_broken == 1);
}

#[test]
fn a_client_that_says_close_notify_is_heard_to_the_end() {
    let server = Server::start();
    let mut client = secure(socket(server.direct), TlsWishes::default());
    client.greet();
    client.send("CLOSE\n");
    assert_eq!(client.rest(), b"bye\n");
    let mut client = secure(socket(server.direct), TlsWishes::default());
    client.greet();
    client.stream().conn.send_close_notify();
    client.stream().flush().unwrap();
    client.rest();
    server.until(|counters| counters.connections <= 1);
}

#[test]
fn a_stalled_handshake_ends_after_its_time_and_holds_up_nobody() {
    let server = Server::start();
    let mut record = Vec::new();
    crate::client::session(TlsWishes::default())
        .write_tls(&mut record)
        .unwrap();
    // More than may shake hands at once: half a ClientHello each.
    let stalled: Vec<_> = (0..300)
        .map(|_| {
            let mut socket = socket(server.direct);
            socket.write_all(&record[..record.len() / 2]).unwrap();
            socket
        })
        .collect();
    server.until(|counters| counters.accepted == 300);
    let mut client = plain(server.plain);
    client.send("hello\n");
    client.expect("hello");
    server.pass_ms(HANDSHAKE_TIMEOUT_MS + 1);
    server.until(|counters| counters.handshakes_late >= 256);
    let mut secured = secure(socket(server.direct), TlsWishes::default());
    secured.greet();
    for socket in stalled {
        drop(socket);
    }
    server.until(|counters| counters.connections == 2);
}

#[test]
fn a_client_certificate_proves_addresses_if_its_authority_is_known() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = vec![SanType::OtherName((
        vec![1, 3, 6, 1, 5, 5, 7, 8, 5],
        "juliet@example.com".into(),
    ))];
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let known = params.signed_by(&key, &issuer).unwrap();
    let unknown = params.self_signed(&key).unwrap();
    let mut client_authorities = Authorities::default();
    client_authorities.add(root.der().clone()).unwrap();
    let server = Server::with(Wishes {
        client_authorities,
        ..Wishes::default()
    });
    let secured_with = |certificate: &CertificateDer<'static>, version| {
        let wishes = TlsWishes {
            version,
            certificate: Some((
                certificate.clone(),
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )),
            ..TlsWishes::default()
        };
        let mut client = secure(socket(server.direct), wishes);
        client.greet()
    };
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        assert!(secured_with(known.der(), version).ends_with(" [\"juliet@example.com\"]"));
        assert!(secured_with(unknown.der(), version).ends_with(" []"));
    }
    let mut without = secure(socket(server.direct), TlsWishes::default());
    assert!(without.greet().ends_with(" []"));
}
