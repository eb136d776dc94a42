//! The archive over time, over its bounds, beside what waits for clients, and before slow readers and disks. What a query
//! answers is played in `tests/scenarios/mam.xmpp` and judged in `src/engine/archive/tests`.

#[path = "archive/behind.rs"]
mod behind;
#[path = "archive/expiry.rs"]
mod expiry;
#[path = "archive/full.rs"]
mod full;
#[path = "archive/full_disk.rs"]
mod full_disk;
#[path = "archive/owed.rs"]
mod owed;
#[path = "archive/quota.rs"]
mod quota;
#[path = "archive/retraction.rs"]
mod retraction;
#[path = "archive/search.rs"]
mod search;
#[path = "sim/mod.rs"]
mod sim;
#[path = "archive/unstored.rs"]
mod unstored;
#[path = "archive/waiting.rs"]
mod waiting;

use sim::plainly::{hears, says};
use sim::{ConnId, Habits, World};
use stonechat::actor::rows::{Row, RowKey, StoreError, Write};
use stonechat::base::Rng;
use stonechat::config::HostConfig;
use stonechat::config::units::Duration;
use stonechat::engine::archive::{ARCHIVE, INDEX};
use stonechat::im::archive::{EMPTYING, PREFERENCES, TALLY};
use stonechat::im::origin::ORIGIN;
use stonechat::im::pending::PENDING;
use stonechat::stanza::{Rounding, parse_stamp};
use stonechat::store::Request;

const DAY_MS: u64 = 24 * 3_600_000;

fn world(options: &str) -> World {
    let rates = "c2s.rate_stanzas_per_s = 100000\nc2s.rate_stanzas_burst = 100000\n\
        c2s.rate_bytes_per_s = \"1 GiB\"\nc2s.rate_bytes_burst = \"1 GiB\"\n";
    let config = sim::config(&format!("{rates}{options}"));
    World::new(1, 1, Habits::KIND, config.expect("valid options"))
}

/// A new account with one available resource.
fn user(world: &mut World, name: &str, first: &str) -> ConnId {
    world.register(name, "secret");
    log_in(world, name, first)
}

fn log_in(world: &mut World, name: &str, first: &str) -> ConnId {
    sim::plainly::session(world, name, None, first)
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

/// How many lists are in the index, and entries of words: each of them of a message that is there.
fn index(world: &World) -> (usize, usize) {
    let number = |row: &Row| row.key.as_bytes()[row.key.as_bytes().len() - 8..].to_vec();
    let there: Vec<Vec<u8>> = world.rows(&ARCHIVE).iter().map(number).collect();
    let rows = world.rows(&INDEX);
    let is_there = |row: &Row| there.contains(&number(row));
    assert!(rows.iter().all(is_there), "what is gone is indexed");
    let words = rows.iter().filter(|row| row.value.is_empty()).count();
    (rows.len() - words, words)
}

fn query_with(contact: &str, max: usize, place: &str) -> String {
    format!(
        "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>\
         <field var='with'><value>{contact}@localhost</value></field></x>\
         <set xmlns='http://jabber.org/protocol/rsm'><max>{max}</max>{place}</set></query></iq>"
    )
}

/// Ids of all messages exchanged with a contact, page by page.
fn found_with(world: &mut World, conn: ConnId, contact: &str) -> Vec<String> {
    let (mut found, mut place) = (Vec::new(), String::new());
    loop {
        let page = says(world, conn, &query_with(contact, 50, &place));
        found.extend(ids(&page));
        let last = page
            .split("<last>")
            .nth(1)
            .and_then(|rest| rest.split('<').next());
        match last.filter(|_| !page.contains("complete='true'")) {
            Some(last) => place = format!("<after>{last}</after>"),
            None => return found,
        }
    }
}

/// Ids of what clients said, in what is heard or archived.
fn ids(xml: &str) -> Vec<String> {
    let messages = xml.split("<message").skip(1);
    let id = |message: &str| {
        let (head, _) = message.split_once('>')?;
        let (id, _) = head.split_once(" id='")?.1.split_once('\'')?;
        Some(id.to_owned())
    };
    messages.filter_map(id).collect()
}

/// A world of so many workers, with the bounds of one's archive.
fn world_of(workers: u8, options: &str) -> World {
    let rates = "c2s.rate_stanzas_per_s = 100000\nc2s.rate_stanzas_burst = 100000\n\
        c2s.rate_bytes_per_s = \"1 GiB\"\nc2s.rate_bytes_burst = \"1 GiB\"\n";
    let config = sim::config(&format!("{rates}{options}"));
    World::new(
        workers.into(),
        workers,
        Habits::KIND,
        config.expect("valid options"),
    )
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

/// Stamps of the results in what was heard, in their order.
fn stamps(heard: &str) -> Vec<u64> {
    let stamps = heard.split(" stamp='").skip(1);
    let stamps = stamps.map(|rest| rest.split('\'').next().expect("a quote"));
    let stamps = stamps.map(|stamp| parse_stamp(stamp, Rounding::Down));
    stamps.map(|stamp| stamp.expect("a date")).collect()
}

#[test]
fn nothing_that_is_archived_after_a_crash_is_of_the_future() {
    let mut world = world("");
    let romeo = user(&mut world, "romeo", "<presence/>");
    for n in 0..20 {
        says(&mut world, romeo, &notes(n, n + 1, 0));
        world.end_turns();
        world.advance(100);
    }
    for round in 0..3 {
        world = world.crash(round);
        let romeo = log_in(&mut world, "romeo", "<presence/>");
        let before = world.now.wall_ms;
        says(&mut world, romeo, &notes(0, 3, 0));
        world.end_turns();
        let page = says(
            &mut world,
            romeo,
            &query(3).replace("<max>", "<before/><max>"),
        );
        let stamps = stamps(&page);
        assert_eq!(stamps.len(), 3, "{page}");
        for stamp in stamps {
            let range = before..=world.now.wall_ms;
            assert!(range.contains(&stamp), "{stamp} is not in {range:?}");
        }
    }
}

#[test]
fn who_cannot_be_asked_what_he_wants_archived_has_nothing_archived() {
    let mut world = world("");
    world.register("juliet", "secret");
    let juliet = world.account_id("juliet");
    let write = Write::Put {
        table: &PREFERENCES,
        key: RowKey::new(&juliet.0.to_be_bytes()),
        value: b"\x01always\n+@@"[..].into(),
    };
    world.store.lock().apply(Request::Save(vec![write]));
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &chat("juliet", 0, 2));
    world.end_turns();
    assert_eq!(archived(&world, "romeo"), [0, 1]);
    assert!(archived(&world, "juliet").is_empty());
    let juliet = log_in(&mut world, "juliet", "");
    let show = "<iq type='get' id='g'><prefs xmlns='urn:xmpp:mam:2'/></iq>";
    assert!(says(&mut world, juliet, show).contains("default='never'"));
    let prefs = "<iq type='set' id='p'><prefs xmlns='urn:xmpp:mam:2' default='always'/></iq>";
    assert!(says(&mut world, juliet, prefs).contains("default='always'"));
    says(&mut world, romeo, &chat("juliet", 2, 1));
    world.end_turns();
    assert_eq!(archived(&world, "juliet"), [2]);
}

#[test]
fn a_disk_without_room_refuses_in_the_same_words_whoever_a_message_is_for() {
    for workers in [1, 4] {
        let mut world = world_of(workers, "");
        let juliet = user(&mut world, "juliet", "<presence/>");
        world.register("nurse", "secret");
        let romeo = user(&mut world, "romeo", "<presence/>");
        let balcony = log_in(
            &mut world,
            "romeo",
            "<enable xmlns='urn:xmpp:carbons:2' id='c'/>",
        );
        says(&mut world, romeo, &chat("nurse", 0, 2));
        world.end_turns();
        hears(&mut world, romeo);
        hears(&mut world, balcony);
        world.store.lock().set_fault(Some(StoreError::DiskFull));
        // Every worker learns of it from the first that is refused.
        for name in ["nurse", "juliet"] {
            says(&mut world, romeo, &chat(name, 90, 1));
            world.end_turns();
        }
        for conn in [romeo, balcony, juliet] {
            hears(&mut world, conn);
        }
        let told: Vec<String> = ["juliet", "nurse", "ghost"]
            .iter()
            .map(|name| {
                let heard = says(&mut world, romeo, &chat(name, 1, 1));
                world.end_turns();
                let heard = heard + &hears(&mut world, romeo);
                let from = format!("from='{name}@localhost'");
                assert_eq!(heard.matches(&from).count(), 1, "{heard}");
                heard.replace(name, "NAME")
            })
            .collect();
        assert!(told[0].contains("<resource-constraint "), "{told:?}");
        assert_eq!(told[0].matches("<message ").count(), 1);
        assert_eq!(told[0], told[1]);
        assert_eq!(told[0], told[2]);
        // Nobody has an id of what is not archived.
        assert_eq!(hears(&mut world, juliet), "");
        assert_eq!(hears(&mut world, balcony), "");

        world.store.lock().set_fault(None);
        world.advance(2_000);
        says(&mut world, romeo, &chat("juliet", 5, 1));
        world.end_turns();
        let heard = hears(&mut world, juliet);
        assert_eq!(numbers(&heard), [5]);
        assert!(heard.contains("<stanza-id "), "{heard}");
        assert_eq!(archived(&world, "juliet"), [5]);
        assert_eq!(archived(&world, "romeo"), [0, 1, 5]);
        let ghost = says(&mut world, romeo, &chat("ghost", 6, 1));
        assert!(ghost.contains("<service-unavailable "), "{ghost}");
    }
}

/// Numbers of the messages in what was heard, in their order.
fn numbers(heard: &str) -> Vec<usize> {
    let ids = heard.split("<message ").skip(1);
    let number = |message: &str| {
        message
            .split("id='m")
            .nth(1)?
            .split('\'')
            .next()?
            .parse()
            .ok()
    };
    ids.filter_map(number).collect()
}

fn chat(to: &str, from: usize, count: usize) -> String {
    let message = |n| {
        format!(
            "<message to='{to}@localhost' type='chat' id='m{n}'><body>note {n}</body></message>"
        )
    };
    (from..from + count).map(message).collect()
}

#[test]
fn delivery_waits_for_no_disk() {
    for (workers, options) in [(1, ""), (4, ""), (4, "delivery.keep = \"offline-only\"\n")] {
        let config = sim::config(options).expect("valid options");
        let mut world = World::new(3, workers, Habits::KIND, config);
        let juliet = user(&mut world, "juliet", "<presence/>");
        let romeo = user(&mut world, "romeo", "");
        let nurse = user(&mut world, "nurse", "");
        says(&mut world, romeo, "<enable xmlns='urn:xmpp:sm:3'/>");
        says(&mut world, nurse, "<presence/>");
        world.end_turns();
        world.disk_is_asleep = true;
        // Others have said something already, while it is the first that these two say and hear.
        says(&mut world, nurse, &notes(0, 3, 0));
        world.end_turns();
        let before_ms = world.now.mono_ms;
        for n in 0..20 {
            says(&mut world, romeo, &chat("juliet", n, 1));
            let heard = hears(&mut world, juliet);
            assert_eq!(numbers(&heard), [n], "{workers} workers {options}");
        }
        assert_eq!(world.now.mono_ms, before_ms, "no time passed");
        let heard = says(&mut world, romeo, "<r xmlns='urn:xmpp:sm:3'/>");
        assert!(heard.contains("h='0'"), "nothing is durable: {heard}");
        world.disk_is_asleep = false;
        world.end_turns();
        assert!(hears(&mut world, romeo).contains("h='20'"));
        assert_eq!(archived(&world, "juliet").len(), 20);
        assert_eq!(archived(&world, "romeo").len(), 20);
    }
}

#[test]
fn what_a_client_sends_again_after_a_crash_is_in_both_archives_once() {
    let mut world = world("");
    world.register("juliet", "secret");
    world.register("nurse", "secret");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, "<enable xmlns='urn:xmpp:sm:3'/>");
    let vow = |to: &str| {
        format!(
            "<message to='{to}@localhost' type='chat' id='m7'><body>I swear</body>\
             <origin-id xmlns='urn:xmpp:sid:0' id='o7'/></message>"
        )
    };
    says(&mut world, romeo, &vow("juliet"));
    // Durable, but the power goes before it is acknowledged.
    world.end_turns();
    let mut world = world.crash(1);
    let romeo = log_in(&mut world, "romeo", "<presence/>");
    let street = log_in(&mut world, "romeo", "<presence/>");
    let carbons = "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>";
    says(&mut world, street, carbons);
    says(&mut world, romeo, "<enable xmlns='urn:xmpp:sm:3'/>");
    says(&mut world, romeo, &format!("{0}{0}", vow("juliet")));
    world.end_turns();
    assert_eq!(archived(&world, "romeo"), [7]);
    assert_eq!(archived(&world, "juliet"), [7]);
    // The copies for other devices name the row that is there.
    let page = says(&mut world, romeo, &query(10));
    let id = page
        .split("<result ")
        .nth(1)
        .and_then(|at| at.split("id='").nth(1));
    let id = id.and_then(|id| id.split('\'').next()).expect("a result");
    let copies = hears(&mut world, street);
    assert_eq!(
        copies
            .matches(&format!("<stanza-id xmlns='urn:xmpp:sid:0' id='{id}'"))
            .count(),
        2
    );
    // To somebody else it is something else.
    says(&mut world, romeo, &vow("nurse"));
    world.end_turns();
    assert_eq!(archived(&world, "romeo"), [7, 7]);
    let heard = says(&mut world, romeo, "<r xmlns='urn:xmpp:sm:3'/>");
    assert!(heard.contains("h='"), "{heard}");
    let juliet = log_in(&mut world, "juliet", "");
    assert_eq!(numbers(&says(&mut world, juliet, "<presence/>")), [7]);
}
