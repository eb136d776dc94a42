//! What only a connection that has left rustls can get wrong, over sockets.

use std::io::Write;

use crate::client::{TlsWishes, compress, plain, secure, socket, start_tls};
use crate::house::Server;

#[test]
fn connections_of_tls_1_3_leave_rustls_and_others_do_not() {
    let server = Server::start();
    let hello = |version, is_direct| {
        let wishes = TlsWishes {
            version,
            ..TlsWishes::default()
        };
        let mut client = match is_direct {
            true => secure(socket(server.direct), wishes),
            false => start_tls(plain(server.plain), wishes),
        };
        client.greet();
    };
    for is_direct in [true, false] {
        hello(&rustls::version::TLS13, is_direct);
    }
    server.until(|counters| (counters.secured, counters.compact) == (2, 2));
    for is_direct in [true, false] {
        hello(&rustls::version::TLS12, is_direct);
    }
    server.until(|counters| (counters.secured, counters.compact) == (4, 2));
}

#[test]
fn key_updates_are_answered_and_survive_a_move() {
    let server = Server::of(2);
    let mut client = secure(socket(server.direct), TlsWishes::default());
    client.greet();
    // rustls asks for an answer each time, and takes no more than 32 in a connection's life.
    for n in 0..20 {
        client.stream().conn.refresh_traffic_keys().unwrap();
        client.send(&format!("MOVE {}\nmoved\n", n % 2));
        client.expect("arrived");
        client.expect("moved");
        client.send("BIG 65536\nend\n");
        assert!(client.bytes(65_536).iter().all(|byte| *byte == b'x'));
        client.expect("end");
    }
    let counters = server.counters();
    assert_eq!((counters.compact, counters.records_broken), (1, 0));
}

#[test]
fn a_compressed_stream_inside_goes_on_and_moves() {
    let server = Server::of(2);
    let mut client = start_tls(plain(server.plain), TlsWishes::default());
    client.greet();
    let mut client = compress(client);
    for n in 0..20 {
        client.move_with(n, 500);
    }
    let counters = server.counters();
    assert_eq!((counters.compact, counters.compressed), (1, 1));
}

#[test]
fn a_record_longer_than_any_may_be_is_refused_at_once() {
    let server = Server::start();
    let mut client = secure(socket(server.direct), TlsWishes::default());
    client.greet();
    // RFC 8446 section 5.2: 2^14 + 256 is the most. The rest of it never comes.
    client
        .stream()
        .sock
        .write_all(&[23, 3, 3, 0x41, 1])
        .unwrap();
    let mut rest = Vec::new();
    let error = std::io::Read::read_to_end(client.stream(), &mut rest).unwrap_err();
    assert!(error.to_string().contains("RecordOverflow"), "{error}");
    server.until(|counters| counters.connections == 0 && counters.records_broken == 1);
}

#[test]
fn a_slow_reader_gets_all_of_it_in_order() {
    let server = Server::start();
    let mut client = secure(socket(server.direct), TlsWishes::default());
    client.greet();
    // More than the sockets hold, so that records wait in parts; key updates come in between.
    client.send("BIG 16777216\nend\n");
    for _ in 0..16 {
        client.stream().conn.refresh_traffic_keys().unwrap();
        client.stream().flush().unwrap();
        assert!(client.bytes(1 << 20).iter().all(|byte| *byte == b'x'));
    }
    client.expect("end");
    client.send("CLOSE\n");
    assert_eq!(client.rest(), b"bye\n");
    drop(client);
    server.until(|counters| counters.connections == 0 && counters.records_broken == 0);
}
