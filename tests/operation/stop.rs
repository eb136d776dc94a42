//! Every way to the end: in time, with everything kept, and with the right status.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use crate::client::{Client, client_hello};
use crate::server::{House, PASSWORD, make_full};

#[test]
fn a_stop_ends_though_the_audit_file_takes_nothing_more() {
    let house = House::of_localhost("audit-full", "");
    house.make_data();
    make_full(&house.data.join("audit.jsonl"));
    let server = house.serve();
    house.add("romeo@localhost");
    server.signal("TERM");
    let (code, log) = server.end();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("audit_write_failed"), "{log}");
    assert!(log.contains("audit_records_lost"), "{log}");
    assert!(log.contains(" stopped"), "{log}");
}

#[test]
fn a_command_on_a_stopped_server_ends_and_says_that_it_was_not_recorded() {
    let house = House::of_localhost("audit-full-tool", "");
    house.make_data();
    make_full(&house.data.join("audit.jsonl"));
    let (fine, said) = house.tool(&["user", "add", "romeo@localhost"], PASSWORD);
    assert!(!fine);
    assert!(said.contains("romeo@localhost is added"), "{said}");
    assert!(said.contains("could not be written"), "{said}");
    std::fs::write(house.data.join("audit.jsonl"), "").unwrap();
    let (fine, said) = house.tool(&["user", "list"], "");
    assert!(fine && said == "romeo@localhost\n", "{said}");
}

/// Moves the clock to the end of time, where no deadline can be computed: a bug that a test can reach in any server
/// built with overflow checks, as all that are tested are.
fn break_a_worker(house: &House, port: u16) {
    let mut socket =
        std::os::unix::net::UnixStream::connect(house.data.join("control.sock")).unwrap();
    let request = format!("time advance {}\n", u64::MAX);
    // It may be gone before it has answered.
    let _ = socket.write_all(request.as_bytes());
    let _ = socket.shutdown(Shutdown::Write);
    let _ = TcpStream::connect(("127.0.0.1", port));
}

#[test]
fn a_panic_of_a_worker_ends_the_process_with_status_70_and_what_was_acknowledged_is_kept() {
    let house = House::of_localhost("panic", "");
    let server = house.serve();
    house.add("romeo@localhost");
    house.add("juliet@localhost");
    let mut juliet = Client::session(&server, "juliet", "balcony");
    send_acknowledged(&mut juliet, "romeo@localhost", 5);
    break_a_worker(&house, server.port);
    let (code, log) = server.end();
    assert_eq!(code, Some(70), "{log}");
    assert!(log.contains("worker_panicked"), "{log}");
    let server = house.serve();
    let mut romeo = Client::session(&server, "romeo", "orchard");
    expect_messages(&mut romeo, 5);
}

#[test]
fn a_panic_ends_the_process_though_the_audit_file_takes_nothing_more() {
    let house = House::of_localhost("panic-audit", "");
    house.make_data();
    make_full(&house.data.join("audit.jsonl"));
    let server = house.serve();
    house.add("romeo@localhost");
    break_a_worker(&house, server.port);
    let (code, log) = server.end();
    assert_eq!(code, Some(70), "{log}");
    assert!(log.contains("audit_write_failed"), "{log}");
    assert!(log.contains("audit_records_lost"), "{log}");
}

#[test]
fn what_a_detached_session_holds_is_there_after_a_stop_without_connections() {
    for keep in ["always", "offline-only"] {
        let options = format!("delivery.keep = \"{keep}\"");
        let house = House::of_localhost(&format!("detached-{keep}"), &options);
        let server = house.serve();
        house.add("romeo@localhost");
        house.add("juliet@localhost");
        let mut romeo = Client::session(&server, "romeo", "orchard");
        romeo.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
        let enabled = romeo.element();
        assert!(enabled.contains("<enabled"), "{enabled}");
        romeo.close();
        house.until_connected(0);
        let mut juliet = Client::session(&server, "juliet", "balcony");
        send_acknowledged(&mut juliet, "romeo@localhost/orchard", 5);
        juliet.send("</stream:stream>");
        juliet.close();
        house.until_connected(0);
        server.stop();
        let server = house.serve();
        let mut romeo = Client::session(&server, "romeo", "orchard");
        expect_messages(&mut romeo, 5);
        server.stop();
    }
}

/// Sends messages, and waits until the server has taken them on (XEP-0198).
fn send_acknowledged(client: &mut Client, to: &str, count: usize) {
    client.send("<enable xmlns='urn:xmpp:sm:3'/>");
    let enabled = client.element();
    assert!(enabled.contains("<enabled"), "{enabled}");
    for number in 1..=count {
        client.send(&format!(
            "<message to='{to}' type='chat' id='m{number}'><body>{number}</body></message>"
        ));
    }
    await_handled(client, count);
}

fn expect_messages(client: &mut Client, count: usize) {
    for number in 1..=count {
        let message = client.element();
        let body = format!("<body>{number}</body>");
        assert!(message.contains(&body), "not {number}: {message}");
    }
}

/// XEP-0198 section 4: what a client was not told as handled it sends again, and its recipients get it twice.
#[test]
fn a_stop_tells_clients_of_stream_management_all_that_they_need_not_send_again() {
    let house = House::of_localhost("stop-acks", "");
    let server = house.serve();
    house.add("romeo@localhost");
    house.add("juliet@localhost");
    let mut juliet = Client::session(&server, "juliet", "balcony");
    juliet.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    let enabled = juliet.element();
    assert!(enabled.contains("<enabled"), "{enabled}");
    let mut sent = String::new();
    for number in 1..=20 {
        sent.push_str(&format!(
            "<message to='romeo@localhost' type='chat' id='m{number}'><body>{number}</body></message>"
        ));
    }
    // Answered when the server has read all of them; nothing asks for an acknowledgement.
    sent.push_str("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
    juliet.send(&sent);
    let mut answer = juliet.element();
    while answer.starts_with("<r ") {
        answer = juliet.element();
    }
    assert!(answer.contains("id='p'"), "{answer}");
    server.signal("TERM");
    let mut last = juliet.element();
    while last.starts_with("<r ") {
        last = juliet.element();
    }
    assert!(last.starts_with("<a ") && last.contains("h='21'"), "{last}");
    juliet.fails_with("system-shutdown");
    let (code, log) = server.end();
    assert_eq!(code, Some(0), "{log}");
    let server = house.serve();
    let mut romeo = Client::session(&server, "romeo", "orchard");
    expect_messages(&mut romeo, 20);
}

#[test]
fn a_long_request_keeps_neither_other_requests_nor_the_end_from_coming() {
    let host = "[[host]]\nname = \"localhost\"\nauth.scram_iterations = 20000\n";
    let house = House::new("long-request", "", host);
    let server = house.serve();
    let accounts: String = (0..20_000)
        .map(|number| format!("user{number}@localhost {PASSWORD}\n"))
        .collect();
    let adding = house.begin(&["user", "add", "--from", "-"], &accounts);
    // Answered while the other is worked on, which takes longer than any test.
    loop {
        let (fine, said) = house.tool(&["user", "list"], "");
        assert!(fine, "{said}");
        if !said.is_empty() {
            break;
        }
    }
    server.stop();
    let added = adding.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&added.stderr).into_owned();
    assert!(!added.status.success());
    assert!(said.contains("of 20000 accounts were not added"), "{said}");
    assert!(said.contains("the server is stopping"), "{said}");
    let (fine, said) = house.tool(&["user", "list"], "");
    assert!(fine && said.contains("user0@localhost"), "{said}");
}

#[test]
fn a_second_signal_ends_a_stop_at_once_and_says_that_it_was_not_whole() {
    let house = House::of_localhost("impatient", "");
    // On a machine that lets the second one come when all is over, the next server gets its two.
    for _ in 0..IMPATIENT_MAX {
        let server = house.serve();
        // Whoever says nothing at the control socket is waited for, for seconds.
        let socket = house.data.join("control.sock");
        let silent = std::os::unix::net::UnixStream::connect(socket).unwrap();
        server.signal("TERM");
        // It has closed its doors, so it is on its way.
        while TcpStream::connect(("127.0.0.1", server.port)).is_ok() {}
        server.signal("TERM");
        let (code, log) = server.end();
        drop(silent);
        if !log.contains(" stopped") {
            assert_eq!(code, Some(1), "{log}");
            return;
        }
        assert_eq!(code, Some(0), "{log}");
    }
    panic!("none of {IMPATIENT_MAX} was ended by its second signal");
}

/// Servers that may come to their end between two signals.
const IMPATIENT_MAX: usize = 5;

#[test]
fn nobody_is_let_in_while_logins_cannot_be_recorded_if_the_operator_wants_that() {
    let house = House::of_localhost("intake", "audit.when_full = \"stop-intake\"");
    house.make_data();
    let audit = house.data.join("audit.jsonl");
    make_full(&audit);
    let mut server = house.serve();
    house.add("romeo@localhost");
    if !server.printed().contains("audit_write_failed") {
        server.until_logged("audit_write_failed");
    }
    // The system takes the connection; the server does not.
    let waiting = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    for _ in 0..3 {
        let (fine, said) = house.tool(&["status"], "");
        assert!(fine && said.starts_with("connections: 0\n"), "{said}");
    }
    std::fs::OpenOptions::new()
        .write(true)
        .open(&audit)
        .unwrap()
        .set_len(0)
        .unwrap();
    house.until_connected(1);
    drop(waiting);
    house.until_connected(0);
    server.stop();
}

#[test]
fn connections_that_say_nothing_do_not_hold_a_stop_up() {
    let options = "server.drain_timeout = \"1 h\"\nc2s.handshake_timeout = \"1 h\"\nc2s.negotiation_timeout = \"1 h\"";
    let house = House::of_localhost("silent", options);
    let server = house.serve();
    let silent = TcpStream::connect(("127.0.0.1", server.tls_port)).unwrap();
    let mut half = TcpStream::connect(("127.0.0.1", server.tls_port)).unwrap();
    let hello = client_hello();
    half.write_all(&hello[..hello.len() / 2]).unwrap();
    // In a handshake behind STARTTLS, too.
    let mut upgrading = Client::plain(&server);
    upgrading.open();
    upgrading.send(crate::client::STARTTLS);
    assert!(upgrading.element().contains("<proceed"));
    upgrading.send_bytes(&hello[..hello.len() / 2]);
    house.until_connected(3);
    let log = server.stop();
    assert!(!log.contains("drain_incomplete"), "{log}");
    drop((silent, half, upgrading));
}

/// Waits until the server has taken on so many stanzas of the client's (XEP-0198).
pub fn await_handled(client: &mut Client, count: usize) {
    let wanted = format!("h='{count}'");
    loop {
        client.send("<r xmlns='urn:xmpp:sm:3'/>");
        let answer = client.element();
        assert!(answer.starts_with("<a "), "{answer}");
        if answer.contains(&wanted) {
            return;
        }
    }
}
