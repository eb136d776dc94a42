//! The PROXY protocol: required where it is asked for, garbage elsewhere.

use crate::client::{Client, TlsWishes, plain, secure, socket};
use crate::house::{Server, Wishes};
use std::io::Write;
use stonechat::worker::DoorLimits;

const HEADER: &str = "PROXY TCP4 192.0.2.7 192.0.2.1 40000 5222\r\n";

fn v2_header() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend([192, 0, 2, 8, 192, 0, 2, 1, 0x9c, 0x40, 0x14, 0x66]);
    header
}

#[test]
fn the_stream_sees_the_address_that_the_proxy_tells() {
    let server = Server::start();
    let mut client = plain(server.proxied);
    client.send(&format!("{HEADER}WHO\n"));
    client.expect("who 2 192.0.2.7:40000 V4([192, 0, 2, 7])");
    let mut client = plain(server.proxied);
    client.try_send(&v2_header()).unwrap();
    client.send("WHO\n");
    client.expect("who 2 192.0.2.8:40000 V4([192, 0, 2, 8])");
}

#[test]
fn a_header_may_come_byte_by_byte() {
    let server = Server::start();
    for header in [HEADER.as_bytes().to_vec(), v2_header()] {
        let mut client = plain(server.proxied);
        for byte in header {
            client.try_send(&[byte]).unwrap();
        }
        client.send("WHO\n");
        assert!(client.line().starts_with("who 2 192.0.2."));
    }
}

#[test]
fn direct_tls_begins_behind_the_header() {
    let server = Server::start();
    let mut socket = socket(server.proxied_direct);
    socket.write_all(&v2_header()).unwrap();
    let mut client = secure(socket, TlsWishes::default());
    client.send("WHO\n");
    assert!(client.line().starts_with("secured V1_3"));
    client.expect("who 3 192.0.2.8:40000 V4([192, 0, 2, 8])");
}

#[test]
fn without_the_required_header_the_connection_is_closed() {
    let server = Server::start();
    let mut client = plain(server.proxied);
    client.send("hello without a header\n");
    assert_eq!(client.rest(), b"");
    let mut client = plain(server.proxied);
    client.send("PROXY TCP4 192.0");
    client.stream().shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"");
    server.until(|counters| (counters.proxy_refused, counters.connections) == (2, 0));
}

#[test]
fn a_proxy_that_says_nothing_is_not_waited_for() {
    let server = Server::start();
    let mut client = plain(server.proxied);
    client.send("PROXY ");
    server.until(|counters| counters.connections == 1);
    server.pass_ms(5_001);
    assert_eq!(client.rest(), b"");
    assert_eq!(server.counters().handshakes_late, 1);
}

#[test]
fn elsewhere_a_header_is_garbage() {
    let server = Server::start();
    let mut client = Client::over(socket(server.direct));
    client.send(HEADER);
    client.rest();
    server.until(|counters| counters.handshakes_failed == 1);
    let mut client = plain(server.plain);
    client.send(&format!("{HEADER}WHO\n"));
    client.line();
    assert!(client.line().starts_with("who 0 127.0.0.1:"));
}

/// One connection of its address may be unproved at a time.
fn narrow(negotiation_timeout_ms: u64) -> Server {
    Server::with(Wishes {
        limits: DoorLimits {
            total_max: 100,
            unproved_max: 1,
        },
        negotiation_timeout_ms,
        ..Wishes::default()
    })
}

/// Whether another connection of the same address is let in.
fn lets_another_in(server: &Server) -> bool {
    let refused = server.counters().proxy_refused;
    let mut client = plain(server.proxied);
    client.send(&format!("{HEADER}hello\n"));
    if client.try_line().as_deref() == Some("hello") {
        return true;
    }
    server.until(|counters| counters.proxy_refused > refused);
    false
}

#[test]
fn who_has_not_logged_in_counts_under_its_address_until_it_is_gone() {
    let server = narrow(30_000);
    let mut first = plain(server.proxied);
    first.send(&format!("{HEADER}hello\n"));
    first.expect("hello");
    // The core that echoes has no deadline for logins.
    server.pass_ms(61_000);
    first.send("hello\n");
    first.expect("hello");
    assert!(!lets_another_in(&server));
    drop(first);
    server.until(|counters| counters.connections == 0);
    assert!(lets_another_in(&server));
}

#[test]
fn who_hangs_up_before_the_verdict_keeps_its_place_until_then() {
    let server = narrow(30_000);
    for shutdown in [std::net::Shutdown::Write, std::net::Shutdown::Both] {
        let mut guess = plain(server.proxied);
        guess.send(&format!("{HEADER}GUESS\nhello\n"));
        guess.expect("hello");
        guess.stream().shutdown(shutdown).unwrap();
        if shutdown == std::net::Shutdown::Both {
            drop(guess);
        }
        let mut other = plain(server.plain);
        // The server has seen the end by then: events come in the order in which they happened.
        for _ in 0..3 {
            other.send("hello\n");
            other.expect("hello");
        }
        assert!(!lets_another_in(&server));
        other.send("VERDICT\n");
        drop(other);
        server.until(|counters| counters.connections == 0);
        assert!(lets_another_in(&server));
        server.until(|counters| counters.connections == 0);
    }
}
