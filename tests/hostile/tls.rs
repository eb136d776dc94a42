//! Bytes that are no TLS, TLS that does not go on, and what is smuggled in before it (peers.md rows 7 and 20).

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::bystanders::House;
use crate::client::{Client, STARTTLS, auth, client_hello, plain};
use crate::server::PASSWORD;

/// More than the places for handshakes of both workers.
const STALLED: usize = 700;

/// A connection whose server awaits the handshake.
fn proceeding(house: &House) -> Client {
    let mut client = Client::plain(&house.server);
    client.open();
    client.send(STARTTLS);
    let proceed = client.element();
    assert!(proceed.starts_with("<proceed"), "{proceed}");
    client
}

fn direct(house: &House) -> Client {
    let socket = std::net::TcpStream::connect(("127.0.0.1", house.server.tls_port));
    Client::over(socket.unwrap())
}

#[test]
fn bytes_that_are_no_tls_end_the_connection_without_a_word_of_xml() {
    let house = House::open("garbage", "", &[]);
    let mut broken_hello = client_hello();
    let middle = broken_hello.len() / 2;
    broken_hello[middle..].fill(0xff);
    let mut cut_hello = client_hello();
    // The record is whole, the message in it says it is longer.
    cut_hello[7] = 0xff;
    let huge_record = [&[0x16, 3, 1, 0xff, 0xff][..], &[0; 70_000]].concat();
    let renegotiation = [
        client_hello(),
        vec![0x17, 3, 3, 0, 4, 1, 2, 3, 4],
        client_hello(),
    ]
    .concat();
    let garbage: [(&str, &[u8]); 9] = [
        ("text", b"GET / HTTP/1.1\r\n\r\n"),
        (
            "a stream",
            b"<?xml version='1.0'?><stream:stream to='localhost'>",
        ),
        ("zeros", &[0; 4096]),
        ("a broken hello", &broken_hello),
        (
            "a hello that lies about its length",
            &[&cut_hello[..], &cut_hello[..]].concat(),
        ),
        ("a record of 64 KiB", &huge_record),
        ("SSL 2", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10"),
        ("data before keys", b"\x17\x03\x03\x00\x05hello"),
        ("data in the handshake", &renegotiation),
    ];
    for (what, bytes) in garbage {
        for mut tybalt in [proceeding(&house), direct(&house)] {
            println!("{what}");
            tybalt.send_bytes(bytes);
            let rest = tybalt.rest();
            let has_xml = rest.windows(7).any(|window| window == b"stream:");
            assert!(!has_xml, "{}", String::from_utf8_lossy(&rest));
        }
    }
    house.close(8 * 1024 * 1024);
}

#[test]
fn stalled_handshakes_keep_nobody_out_and_end_by_the_deadline() {
    // A handshake that stalls has longer than a client of these tests waits for anything.
    let options = "c2s.negotiation_timeout = \"2 min\"\nc2s.handshake_timeout = \"2 min\"\n";
    let house = House::open("stalled", options, &["tybalt"]);
    let hello = client_hello();
    let stalled: Vec<Client> = (0..STALLED)
        .map(|number| {
            let mut client = direct(&house);
            // Some say one byte, some a record's beginning, some all they have to say.
            let length = [1, 100, hello.len()][number % 3];
            client.send_bytes(&hello[..length]);
            client
        })
        .collect();
    // In a crowd a handshake has two seconds: whom a busy machine lets miss them comes again.
    let comes = || drop(Client::session(&house.server, "tybalt", "late"));
    assert!((0..3).any(|_| catch_unwind(AssertUnwindSafe(comes)).is_ok()));
    // Those that wait for a place begin when the first have gone, and have their time then.
    for _ in 0..3 {
        house.advance(121_000);
    }
    for mut client in stalled {
        client.rest();
    }
    house.close(48 * 1024 * 1024);
}

#[test]
fn a_peer_that_never_begins_its_handshake_is_sent_away() {
    let house = House::open("hello", "", &[]);
    let mut silent = [direct(&house), proceeding(&house)];
    house.advance(11_000);
    for client in &mut silent {
        assert_eq!(client.rest(), b"");
    }
    house.close(0);
}

#[test]
fn records_of_one_byte_cost_time_and_nothing_else() {
    let house = House::open("records", "", &["tybalt"]);
    // The hello in handshake records of one byte each: legal, and answered or refused, not waited for.
    let hello = client_hello();
    let mut torn = direct(&house);
    for byte in &hello[5..] {
        torn.send_bytes(&[0x16, 3, 1, 0, 1, *byte]);
    }
    let mut answer = [0; 5];
    torn.socket.read_exact(&mut answer).expect("an answer");
    assert!(
        matches!(answer[0], 0x15 | 0x16),
        "an alert or a handshake: {answer:?}"
    );
    torn.close();
    // Application data of one byte each.
    let mut tybalt = Client::session(&house.server, "tybalt", "torn");
    let ping = "<iq type='get' id='torn' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";
    for byte in ping.as_bytes() {
        tybalt.send_bytes(&[*byte]);
    }
    let pong = tybalt.element();
    assert!(
        pong.contains("id='torn'") && pong.contains("result"),
        "{pong}"
    );
    // Empty records: rustls or we must not turn for ever.
    for _ in 0..10_000 {
        tybalt.send_bytes(b"");
    }
    house.close(8 * 1024 * 1024);
}

#[test]
fn what_was_pipelined_behind_starttls_is_not_processed() {
    let house = House::open("injection", "", &["tybalt"]);
    let login = auth(&plain("tybalt", PASSWORD));
    let stanza = "<message to='nurse@localhost/kitchen'><body>injected</body></message>";
    let stream = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
        xmlns:stream='http://etherx.jabber.org/streams'>";
    for injected in [login, stanza.to_owned(), format!("{stream}<presence/>")] {
        let mut tybalt = Client::plain(&house.server);
        tybalt.open();
        tybalt.send(&format!("{STARTTLS}{injected}"));
        let proceed = tybalt.element();
        assert!(proceed.starts_with("<proceed"), "{proceed}");
        tybalt.shake_hands();
        // The first thing is the answer to our header, the second belongs to what we do next.
        let features = tybalt.open();
        assert!(features.contains("<mechanisms"), "{features}");
        tybalt.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='NONE'/>");
        let failure = tybalt.element();
        assert!(failure.contains("invalid-mechanism"), "{failure}");
    }
    house.close(8 * 1024 * 1024);
}
