//! Too many, too fast, too slow: half-open connections, readers that stop, writers that do not, floods of
//! messages and of sessions.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::bystanders::House;
use crate::client::{Client, HEADER, auth, plain};
use crate::framer::Item;
use crate::server::{PASSWORD, PATIENCE, Server};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const HALF_OPEN: usize = 15_000;
/// Connections with TLS that have tried a password.
const PROVING: usize = 400;
/// A server that waits until a crowd is complete, however slow the machine is. Bystanders are pinged behind three minutes.
const PATIENT: &str = "c2s.negotiation_timeout = \"2 min\"\nc2s.handshake_timeout = \"2 min\"\n";
const PATIENT_MS: u64 = 120_000;

/// A connection from one of many addresses, so that neither ports nor prefixes run out.
fn from_address(number: usize, port: u16) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let source = Ipv4Addr::new(127, 0, 1, (number % 200 + 1) as u8);
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

#[test]
fn fifteen_thousand_half_open_connections_cost_what_they_sent_and_keep_nobody_out() {
    let house = House::open("crowd", PATIENT, &["tybalt"]);
    let resident = house.server.resident();
    // Never more than 8 KiB, never complete, and only few elements: nothing of it is refused yet.
    let piece = format!("{HEADER}<a>{}", "a".repeat(8 * KIB - 4));
    let crowd: Vec<TcpStream> = (0..HALF_OPEN)
        .map(|number| {
            let mut socket = from_address(number, house.server.port).expect("it is let in");
            socket.write_all(piece.as_bytes()).unwrap();
            socket
        })
        .collect();
    house.server.has_let_in(HALF_OPEN);
    drop(Client::session(&house.server, "tybalt", "late"));
    // peers.md row 3: at most 16 KiB of heap for each; and they are counted, not refused. What they sent is read by and by.
    let grown = || house.server.resident().saturating_sub(resident);
    let begun = Instant::now();
    while grown() < HALF_OPEN * 4 * KIB {
        let grown = grown();
        assert!(begun.elapsed() < PATIENCE, "they are not inside: {grown}");
        std::thread::yield_now();
    }
    house.chat_on();
    let grown = grown();
    println!("{} KiB for each", grown / KIB / HALF_OPEN);
    assert!(grown <= HALF_OPEN * 16 * KIB, "{} MiB", grown / MIB);
    house.advance(PATIENT_MS + 1_000);
    let mut buffer = [0; 4 * KIB];
    for mut socket in crowd {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // Until the end, which may be a reset, but not silence.
        loop {
            match socket.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    assert_ne!(error.kind(), ErrorKind::WouldBlock, "one is still inside");
                    break;
                }
            }
        }
    }
    house.close(HALF_OPEN * 16 * KIB);
}

#[test]
fn endless_elements_from_many_at_once_are_cut_off() {
    let house = House::open("endless", "", &[]);
    let piece = "<a>".repeat(8 * KIB);
    let mut crowd: Vec<TcpStream> = (0..2_000)
        .map(|number| {
            let mut socket = from_address(number, house.server.port).unwrap();
            // It is cut off in the middle.
            let _ = socket.write_all(HEADER.as_bytes());
            let _ = socket.write_all(piece.as_bytes());
            socket
        })
        .collect();
    for socket in &mut crowd {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut said = Vec::new();
        // The error may be followed by a reset.
        let _ = socket.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("<policy-violation "), "{said}");
    }
    house.close(2_000 * 16 * KIB);
}

#[test]
fn what_is_sent_behind_a_guess_is_left_in_the_socket() {
    let house = House::open("spaces", PATIENT, &["tybalt"]);
    let crowd = |behind: usize| {
        let resident = house.server.resident();
        let clients: Vec<Client> = (0..PROVING)
            .map(|_| {
                let mut client = Client::opened(&house.server);
                client.send(&auth(&plain("tybalt", "wrong")));
                client.send(&" ".repeat(behind));
                client
            })
            .collect();
        house.chat_on();
        let grown = house.server.resident().saturating_sub(resident);
        (clients, grown)
    };
    let (quiet, without) = crowd(1);
    let (loud, with) = crowd(66 * KIB);
    let more = with.saturating_sub(without) / PROVING;
    println!("{} KiB more for each", more / KIB);
    // One read and the TLS record that it completes (peers.md row 3).
    assert!(more <= 22 * KIB, "{more} bytes for each");
    drop((quiet, loud));
    house.advance(PATIENT_MS + 1_000);
    house.close(2 * PROVING * 64 * KIB);
}

/// `count` messages with numbers and bodies of `bytes` bytes.
fn numbered(to: &str, count: usize, bytes: usize) -> impl Iterator<Item = String> {
    let body = "x".repeat(bytes);
    (0..count).map(move |number| {
        format!("<message to='{to}' type='chat' id='n{number}'><body>{body}</body></message>")
    })
}

/// The number in a message of [`numbered`].
fn number_of(element: &str) -> Option<usize> {
    let at = element.find("id='n")? + 5;
    let digits = element[at..].split('\'').next()?;
    digits.parse().ok()
}

/// Reads until the answer to a ping: what came before it.
fn until_pong(client: &mut Client) -> Vec<String> {
    client.send("<iq type='get' id='pong' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    let mut before = Vec::new();
    loop {
        let element = client.element();
        if element.starts_with("<iq") && element.contains("id='pong'") {
            return before;
        }
        before.push(element);
    }
}

#[test]
fn a_reader_that_stops_is_cut_off_and_no_message_is_lost_unsaid() {
    // With an archive, what is too much to be kept besides would be found there.
    let house = House::open(
        "slow",
        "c2s.rate_stanzas_burst = 10000\nc2s.rate_bytes_burst = \"64 MiB\"\nfeatures.mam = false",
        &["tybalt", "mercutio"],
    );
    let mut reader = Client::session(&house.server, "mercutio", "square");
    let mut writer = Client::session(&house.server, "tybalt", "square");
    let (count, bytes) = (2_000, 8 * KIB);
    for message in numbered("mercutio@localhost/square", count, bytes) {
        writer.send(&message);
    }
    let mut heard: BTreeSet<usize> = until_pong(&mut writer)
        .iter()
        .inspect(|bounce| assert!(bounce.contains("type='error'"), "{bounce}"))
        .filter_map(|bounce| number_of(bounce))
        .collect();
    println!("{} bounced", heard.len());
    assert!(heard.len() < count, "all bounced");
    // It reads again: what is in its socket, then the end.
    let mut read = 0;
    let mut is_cut_off = false;
    while let Some(item) = reader.next() {
        match item {
            Item::Element(text) if text.starts_with("<message") => {
                heard.extend(number_of(&text));
                read += 1;
            }
            Item::Element(text) if text.starts_with("<stream:error") => {
                assert!(text.contains("<resource-constraint "), "{text}");
                is_cut_off = true;
            }
            _ => {}
        }
    }
    println!("{read} read, cut off with a word: {is_cut_off}");
    assert!(read < count, "nobody stopped reading");
    // The rest waits for its return.
    let mut reader = Client::session(&house.server, "mercutio", "again");
    let offline = until_pong(&mut reader);
    println!("{} waited", offline.len());
    heard.extend(offline.iter().filter_map(|message| number_of(message)));
    // The flood is pulled as the stream has room, behind the ping's answer perhaps.
    let deadline = Instant::now() + PATIENCE;
    while heard.len() < count && Instant::now() < deadline {
        let late = [until_pong(&mut reader), until_pong(&mut writer)].concat();
        heard.extend(late.iter().filter_map(|message| number_of(message)));
    }
    let lost: Vec<usize> = (0..count).filter(|n| !heard.contains(n)).collect();
    assert!(lost.is_empty(), "{} lost: {lost:?}", lost.len());
    // Queue, mailbox, offline quota, and what the store has in its caches for 16 MiB.
    house.close(64 * MIB);
}

#[test]
fn a_writer_that_is_too_fast_is_slowed_at_its_socket() {
    let house = House::open("fast", "", &["tybalt"]);
    let mut writer = Client::session(&house.server, "tybalt", "fast");
    // Plain bytes of one and the same TLS connection cannot be sent from two places, so it is filled first.
    let ping = "<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";
    let chunk = ping.repeat(100);
    writer
        .socket
        .set_write_timeout(Some(Duration::from_millis(1_500)))
        .unwrap();
    let mut sent = 0;
    let begun = Instant::now();
    while sent < 64 * MIB && begun.elapsed() < Duration::from_millis(1_500) {
        let before = Instant::now();
        writer.send(&chunk);
        if before.elapsed() >= Duration::from_millis(1_400) {
            break;
        }
        sent += chunk.len();
    }
    // Burst, the kernel's buffers on both sides, and what the server had read: never all of it.
    println!("{} KiB were taken", sent / KIB);
    assert!(sent < 32 * MIB, "{} MiB were taken", sent / MIB);
    house.close(8 * MIB);
}

#[test]
fn a_full_mailbox_bounces_and_its_owner_finds_what_was_accepted() {
    let house = House::open(
        "mailbox",
        // With an archive, what is too much would be found there. Each of two strangers may take a tenth.
        "delivery.offline_count = 500\nfeatures.mam = false",
        &["tybalt", "mercutio", "benvolio"],
    );
    let mut writers = ["tybalt", "benvolio"].map(|name| {
        let mut writer = Client::session(&house.server, name, "flood");
        for message in numbered("mercutio@localhost", 500, 200) {
            writer.send(&message);
        }
        writer
    });
    // A bounce takes a longer way than the answer to a ping.
    let mut bounced = 0;
    let deadline = Instant::now() + PATIENCE;
    while bounced < 900 && Instant::now() < deadline {
        for bounce in writers.iter_mut().flat_map(until_pong) {
            assert!(bounce.contains("type='error'"), "{bounce}");
            assert!(
                bounce.contains("<resource-constraint ")
                    || bounce.contains("<service-unavailable "),
                "{bounce}"
            );
            bounced += 1;
        }
    }
    assert_eq!(bounced, 900);
    let mut mercutio = Client::session(&house.server, "mercutio", "late");
    for _ in 0..100 {
        let message = mercutio.element();
        assert!(number_of(&message).is_some(), "{message}");
    }
    assert!(until_pong(&mut mercutio).is_empty());
    house.close(8 * MIB);
}

#[test]
fn more_sessions_than_an_account_may_have_are_refused() {
    let house = House::open("sessions", "", &["tybalt"]);
    let mut sessions: Vec<Client> = Vec::new();
    for number in 0..20 {
        let mut client = Client::opened(&house.server);
        client.log_in("tybalt", PASSWORD);
        let answer = client.bind(&format!("r{number}"));
        match number {
            0..10 => assert!(answer.contains("type='result'"), "{answer}"),
            _ => {
                assert!(answer.contains("<resource-constraint "), "{answer}");
                // Asking on and on changes nothing.
                for _ in 0..50 {
                    let again = client.bind("again");
                    assert!(again.contains("<resource-constraint "), "{again}");
                }
            }
        }
        sessions.push(client);
    }
    for client in &mut sessions[..10] {
        assert!(until_pong(client).is_empty());
    }
    // A resource taken over and over ends the older one each time.
    let mut first = sessions.remove(0);
    for _ in 0..20 {
        let mut client = Client::opened(&house.server);
        client.log_in("tybalt", PASSWORD);
        let answer = client.bind("r0");
        assert!(answer.contains("type='result'"), "{answer}");
        first.fails_with("conflict");
        first = client;
    }
    house.close(8 * MIB);
}

/// A connection that a proxy brings from this address.
fn proxied(port: u16, address: &str) -> TcpStream {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let header = format!("PROXY TCP4 {address} 127.0.0.1 40000 5223\r\n");
    socket.write_all(header.as_bytes()).unwrap();
    socket
}

#[test]
fn strangers_of_one_address_are_few_and_who_has_logged_in_is_none() {
    let options = "c2s.unproved_per_address = 1\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
         tls = \"direct\"\nproxy_protocol = true\n";
    let names: Vec<String> = (0..8).map(|number| format!("guest{number}")).collect();
    let accounts: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut server = Server::start("strangers", options, &accounts);
    let port = server.ports[0];
    // Those whose home is the worker that accepted them, and those who are handed over: all of them stay.
    let guests: Vec<Client> = accounts
        .iter()
        .map(|name| {
            let mut client = Client::over(proxied(port, "192.0.2.7"));
            client.shake_hands();
            client.open();
            client.log_in(name, PASSWORD);
            client
        })
        .collect();
    let mut stranger = Client::over(proxied(port, "192.0.2.7"));
    stranger.shake_hands();
    stranger.open();
    let mut second = Client::over(proxied(port, "192.0.2.7"));
    assert_eq!(second.rest(), b"", "it is sent away without a word");
    let mut elsewhere = Client::over(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap());
    // Version 2 of the header: TCP over IPv4, from 192.0.2.8.
    elsewhere.send_bytes(
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x08\x7f\0\0\x01\x9c\x40\x14\x67",
    );
    elsewhere.shake_hands();
    elsewhere.open();
    drop(guests);
    server.stop();
}
