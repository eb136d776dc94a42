//! The archive over time, over its bounds and before slow readers and disks. What a query answers is played in
//! `tests/scenarios/mam.xmpp` and judged in `src/engine/archive/tests.rs`.

#[path = "sim/mod.rs"]
mod sim;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use sim::{ConnId, Habits, World};
use stonechat::actor::rows::StoreError;
use stonechat::engine::archive::INDEX;

const DAY_MS: u64 = 24 * 3_600_000;
const LOGIN: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";

fn world(options: &str) -> World {
    let rates = "c2s.rate_stanzas_per_s = 100000\nc2s.rate_stanzas_burst = 100000\n\
        c2s.rate_bytes_per_s = \"1 GiB\"\nc2s.rate_bytes_burst = \"1 GiB\"\n";
    let config = sim::config(&format!("{rates}{options}"));
    World::new(1, 1, Habits::KIND, config.expect("valid options"))
}

fn says(world: &mut World, conn: ConnId, xml: &str) -> String {
    world.write(conn, xml.as_bytes());
    world.settle();
    hears(world, conn)
}

fn hears(world: &mut World, conn: ConnId) -> String {
    String::from_utf8(world.read(conn)).expect("the server writes UTF-8")
}

/// A new account with one available resource.
fn user(world: &mut World, name: &str, first: &str) -> ConnId {
    world.register(name, "secret");
    let conn = world.connect_secure(1);
    let plain = STANDARD.encode(format!("\0{name}\0secret"));
    says(world, conn, LOGIN);
    let sasl = "urn:ietf:params:xml:ns:xmpp-sasl";
    let auth = format!("<auth xmlns='{sasl}' mechanism='PLAIN'>{plain}</auth>");
    assert!(says(world, conn, &auth).contains("<success"));
    says(world, conn, LOGIN);
    let bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
    let xml = format!("<iq type='set' id='b'>{bind}</iq>{first}");
    assert!(says(world, conn, &xml).contains("<jid>"));
    conn
}

/// Messages to oneself: each goes into the archive once.
fn notes(from: usize, to: usize, padding: usize) -> String {
    let text = "y".repeat(padding);
    (from..to)
        .map(|n| format!("<message type='chat' id='m{n}'><body>note {n} {text}</body></message>"))
        .collect()
}

/// Numbers of the messages in the archive.
fn archived(world: &World, name: &str) -> Vec<usize> {
    let number = |xml: &String| {
        let digits = xml.split("id='m").nth(1)?.split('\'').next()?;
        digits.parse().ok()
    };
    let archive = world.archive(name);
    archive
        .iter()
        .map(|xml| number(xml).expect("one of ours"))
        .collect()
}

fn query(max: usize) -> String {
    format!(
        "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'>\
         <set xmlns='http://jabber.org/protocol/rsm'><max>{max}</max></set></query></iq>"
    )
}

fn search(words: &str) -> String {
    format!(
        "<iq type='set' id='s'><query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>\
         <field var='{{urn:xmpp:fulltext:0}}fulltext'><value>{words}</value></field></x></query></iq>"
    )
}

#[test]
fn an_archive_that_holds_too_much_loses_its_oldest_messages_and_what_they_are_found_by() {
    let mut world = world("host.archive.messages = 100\n");
    let romeo = user(&mut world, "romeo", "<presence/>");
    for part in 0..10 {
        says(&mut world, romeo, &notes(part * 50, part * 50 + 50, 0));
        world.end_turns();
    }
    let left = archived(&world, "romeo");
    assert!(
        (100..=100 + 64).contains(&left.len()),
        "{} are left",
        left.len()
    );
    // "it is not permitted to create gaps or "holes" in the archive" (XEP-0313 section 3.2).
    let expected: Vec<usize> = (500 - left.len()..500).collect();
    assert_eq!(left, expected);
    // The contact.
    assert_eq!(world.row_count(&INDEX), left.len());
    let heard = says(&mut world, romeo, &search("nobody"));
    assert!(heard.contains("complete='true'"), "{heard}");
    // The contact, "note" and the number.
    assert_eq!(world.row_count(&INDEX), left.len() * 3);
    for part in 10..13 {
        says(&mut world, romeo, &notes(part * 50, part * 50 + 50, 0));
        world.end_turns();
    }
    // What was indexed is gone with its messages, and what came since is not yet.
    let still = archived(&world, "romeo");
    let indexed = still.iter().filter(|number| **number < 500).count();
    assert_eq!(world.row_count(&INDEX), still.len() + 2 * indexed);
    world.assert_rest();
}

#[test]
fn months_that_nobody_keeps_leave_the_store() {
    let mut world = world("host.archive.retention = \"30 d\"\n");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &notes(0, 5, 0));
    world.end_turns();
    assert_eq!(archived(&world, "romeo"), [0, 1, 2, 3, 4]);
    // The message is of late November: its month is over after a week, and too old a month later.
    world.advance(20 * DAY_MS);
    assert_eq!(archived(&world, "romeo").len(), 5);
    world.advance(20 * DAY_MS);
    assert_eq!(archived(&world, "romeo").len(), 0);
    assert_eq!(world.row_count(&INDEX), 0);
}

#[test]
fn a_page_for_a_client_that_does_not_read_stays_in_the_store() {
    let mut world = world("");
    let romeo = user(&mut world, "romeo", "<presence/>");
    for part in 0..5 {
        says(&mut world, romeo, &notes(part * 50, part * 50 + 50, 8_000));
    }
    world.stall(romeo, true);
    world.write(romeo, query(250).as_bytes());
    world.settle();
    assert!(
        world.queued_bytes() < 300_000,
        "{} bytes wait",
        world.queued_bytes()
    );
    // The mailbox goes on: whoever else asks is answered, and so is this client, behind what waits for it.
    world.write(
        romeo,
        b"<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>",
    );
    world.settle();
    world.stall(romeo, false);
    world.settle();
    let heard = hears(&mut world, romeo);
    let results: Vec<&str> = heard.split("<body>note ").skip(1).collect();
    let numbers: Vec<usize> = results
        .iter()
        .map(|rest| {
            rest.split(' ')
                .next()
                .expect("a number")
                .parse()
                .expect("a number")
        })
        .collect();
    assert_eq!(numbers, (0..250).collect::<Vec<usize>>());
    assert!(heard.ends_with("</iq>") && heard.contains("complete='true'"));
    assert!(heard.contains("id='p'"));
    world.assert_rest();
}

#[test]
fn a_disk_that_cannot_be_read_rejects_the_query_and_nothing_else() {
    let mut world = world("");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &notes(0, 3, 0));
    world.end_turns();
    world.store.lock().set_fault(Some(StoreError::Broken));
    let heard = says(&mut world, romeo, &query(10));
    assert!(
        heard.contains("type='error'") && heard.contains("internal-server-error"),
        "{heard}"
    );
    world.store.lock().set_fault(None);
    let heard = says(&mut world, romeo, &query(10));
    assert_eq!(heard.matches("<result ").count(), 3);
    assert!(heard.contains("complete='true'"));
    world.assert_rest();
}

#[test]
fn a_message_is_acknowledged_when_both_archives_have_it() {
    // No pending row: what holds the acknowledgement up is the archives alone.
    let mut world = world("delivery.keep = \"offline-only\"\n");
    let juliet = user(&mut world, "juliet", "<presence/>");
    let romeo = user(&mut world, "romeo", "");
    says(&mut world, romeo, "<enable xmlns='urn:xmpp:sm:3'/>");
    world.disk_is_asleep = true;
    let message = "<message to='juliet@localhost' type='chat' id='m0'><body>Hush</body></message>";
    let heard = says(
        &mut world,
        romeo,
        &format!("{message}<r xmlns='urn:xmpp:sm:3'/>"),
    );
    assert!(heard.contains("h='0'"), "{heard}");
    // Nobody who is there waits for a disk.
    assert!(hears(&mut world, juliet).contains("<body>Hush</body>"));
    world.disk_is_asleep = false;
    world.end_turns();
    let heard = hears(&mut world, romeo);
    assert!(heard.contains("h='1'"), "{heard}");
    assert_eq!(archived(&world, "romeo"), [0]);
    assert_eq!(archived(&world, "juliet"), [0]);
}
