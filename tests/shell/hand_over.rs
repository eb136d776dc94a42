//! Connections that move between workers, with everything that is on its way.

use crate::client::{TlsWishes, compress, plain, secure, socket, start_tls};
use crate::house::Server;

#[test]
fn bytes_carried_and_bytes_in_the_kernel_stay_in_order() {
    let server = Server::of(2);
    let mut client = plain(server.plain);
    let mut writer = client.stream().try_clone().unwrap();
    let thread = std::thread::spawn(move || {
        for n in 0..2_000 {
            let text = format!("{n} a\n{n} b\nMOVE {}\n{n} c\n", (n + 1) % 2);
            std::io::Write::write_all(&mut writer, text.as_bytes()).unwrap();
        }
    });
    for n in 0..2_000 {
        for line in ["a", "b"] {
            client.expect(&format!("{n} {line}"));
        }
        client.expect("arrived");
        client.expect(&format!("{n} c"));
    }
    thread.join().unwrap();
    let counters = server.counters();
    assert_eq!((counters.arrived, counters.handed_over), (2_000, 2_000));
}

#[test]
fn a_tls_session_moves_with_records_and_halves_of_records() {
    let server = Server::of(2);
    let mut client = secure(socket(server.direct), TlsWishes::default());
    client.greet();
    for n in 0..200 {
        // Several records in one segment, the last one cut in two.
        let mut records = Vec::new();
        for text in [
            format!("MOVE {}\n", n % 2),
            "between\n".into(),
            "behind\n".into(),
        ] {
            let session = &mut client.stream().conn;
            std::io::Write::write_all(&mut session.writer(), text.as_bytes()).unwrap();
            session.write_tls(&mut records).unwrap();
        }
        let (now, later) = records.split_at(records.len() - 7);
        let socket = &mut client.stream().sock;
        std::io::Write::write_all(socket, now).unwrap();
        for line in ["arrived", "between"] {
            client.expect(line);
        }
        std::io::Write::write_all(&mut client.stream().sock, later).unwrap();
        client.expect("behind");
    }
}

#[test]
fn a_compressed_connection_moves_with_what_is_not_decompressed_yet() {
    let server = Server::of(2);
    let mut client = compress(plain(server.plain));
    for n in 0..50 {
        // Far more than is decompressed at once.
        client.move_with(n, 2_000);
    }
    let counters = server.counters();
    assert_eq!((counters.compressed, counters.garbled), (1, 0));
    std::io::Write::write_all(&mut client.stream().socket, b"no zlib").unwrap();
    client.expect("garbled");
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_connection_moves_after_starttls_and_serves_on() {
    let server = Server::of(2);
    let mut client = start_tls(plain(server.plain), TlsWishes::default());
    client.send("MOVE 1\nhello\n");
    assert!(client.line().starts_with("secured"));
    client.expect("arrived");
    client.expect("hello");
}

#[test]
fn a_client_that_left_behind_its_bytes_is_heard_and_forgotten_by_the_new_worker() {
    let server = Server::of(2);
    let mut client = plain(server.plain);
    client.send("MOVE 1\nfarewell\nCLOSE\n");
    client.stream().shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"arrived\nfarewell\nbye\n");
    server.until(|counters| counters.connections == 0);
    assert_eq!(server.door.total(), 0);
}
