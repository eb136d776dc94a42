//! When things were said: what a process that was stopped or killed stamped, and what the next one stamps, in the order
//! in which it happened, and never ahead of the clock.

use std::time::{SystemTime, UNIX_EPOCH};

use stonechat::stanza::{Rounding, parse_stamp};

use crate::client::Client;
use crate::server::{House, Server};

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("it is later").as_millis() as u64
}

/// The stamp of the `<delay/>` in an element (XEP-0203), on the wall clock.
fn stamp(element: &str) -> u64 {
    let delay = element.split("<delay ").nth(1).expect("a delay");
    let stamp = delay
        .split("stamp='")
        .nth(1)
        .and_then(|rest| rest.split('\'').next());
    parse_stamp(stamp.expect("a stamp"), Rounding::Down).expect("a date")
}

fn number(element: &str) -> usize {
    let body = element
        .split("<body>")
        .nth(1)
        .and_then(|rest| rest.split('<').next());
    body.expect("a body").parse().expect("a number")
}

/// Messages of these numbers to somebody who is away; the server has acknowledged them all.
fn send(client: &mut Client, from: usize, to: usize) {
    for number in from..to {
        client.send(&format!(
            "<message to='romeo@localhost' type='chat' id='m{number}'><body>{number}</body></message>"
        ));
    }
    let wanted = format!("h='{}'", to - from);
    loop {
        client.send("<r xmlns='urn:xmpp:sm:3'/>");
        let answer = client.element();
        assert!(answer.starts_with("<a "), "{answer}");
        if answer.contains(&wanted) {
            return;
        }
    }
}

fn sender(server: &Server) -> Client {
    let mut juliet = Client::session(server, "juliet", "balcony");
    juliet.send("<enable xmlns='urn:xmpp:sm:3'/>");
    assert!(juliet.element().contains("<enabled"));
    juliet
}

#[test]
fn stamps_are_of_the_past_and_in_order_after_a_stop_and_after_a_kill() {
    let house = House::of_localhost("stamps", "");
    let begun = now_ms();
    // The machine's own clock.
    let mut server = house.serve_by(house.command(&["serve"]));
    house.add("romeo@localhost");
    house.add("juliet@localhost");
    let (mut sent, mut ends) = (0, Vec::new());
    for signal in ["TERM", "KILL", "KILL", "TERM"] {
        let mut juliet = sender(&server);
        // The first thing that this process stamps, and more than one save.
        send(&mut juliet, sent, sent + 4);
        sent += 4;
        ends.push((sent, now_ms()));
        server.signal(signal);
        server.end();
        server = house.serve_by(house.command(&["serve"]));
    }
    let mut romeo = Client::session(&server, "romeo", "orchard");
    let offline: Vec<String> = (0..sent).map(|_| romeo.element()).collect();
    let query = "<query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><max>100</max></set></query>";
    romeo.send(&format!("<iq type='set' id='q'>{query}</iq>"));
    let archive: Vec<String> = (0..sent).map(|_| romeo.element()).collect();
    assert!(romeo.element().contains("complete='true'"));
    for (what, elements) in [("offline", offline), ("archive", archive)] {
        let numbers: Vec<usize> = elements.iter().map(|element| number(element)).collect();
        assert_eq!(numbers, (0..sent).collect::<Vec<_>>(), "{what}");
        let stamps: Vec<u64> = elements.iter().map(|element| stamp(element)).collect();
        assert!(stamps.is_sorted(), "{what}: {stamps:?}");
        // A stamp may be rounded to a second (XEP-0082).
        assert!(stamps[0] + 1_000 >= begun, "{what}: {stamps:?}");
        for (number, stamp) in stamps.iter().enumerate() {
            let (_, end) = ends
                .iter()
                .find(|(to, _)| number < *to)
                .expect("one of them");
            assert!(stamp <= end, "{what}: {number} is {} ms ahead", stamp - end);
        }
    }
    server.stop();
}
