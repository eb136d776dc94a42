//! The archive over time, over its bounds, beside what waits for clients, and before slow readers and disks. What a query answers is played in
//! `tests/scenarios/mam.xmpp` and judged in `src/engine/archive/tests.rs`.

#[path = "archive/full.rs"]
mod full;
#[path = "archive/owed.rs"]
mod owed;
#[path = "archive/retraction.rs"]
mod retraction;
#[path = "sim/mod.rs"]
mod sim;

#[path = "archive/full_disk.rs"]
mod full_disk;
#[path = "archive/unstored.rs"]
mod unstored;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use sim::{ConnId, Habits, World};
use stonechat::actor::rows::{Row, RowKey, StoreError, Write};
use stonechat::base::Rng;
use stonechat::config::HostConfig;
use stonechat::config::units::Duration;
use stonechat::engine::archive::{ARCHIVE, INDEX};
use stonechat::im::archive::{PREFERENCES, TALLY};
use stonechat::im::pending::PENDING;
use stonechat::stanza::{Rounding, parse_stamp};
use stonechat::store::Request;

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
    log_in(world, name, first)
}

fn log_in(world: &mut World, name: &str, first: &str) -> ConnId {
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
    // Lists of the contact, and of names by which they are retracted: for sixty-four messages nine.
    let (lists, words) = index(&world);
    assert!((1..=9 * (left.len() / 64 + 2)).contains(&lists), "{lists}");
    assert_eq!(words, 0);
    let heard = says(&mut world, romeo, &search("nobody"));
    assert!(heard.contains("complete='true'"), "{heard}");
    // "note" and the number.
    assert_eq!(index(&world).1, left.len() * 2);
    for part in 10..13 {
        says(&mut world, romeo, &notes(part * 50, part * 50 + 50, 0));
        world.end_turns();
    }
    // What was indexed is gone with its messages, and what came since is not yet.
    let still = archived(&world, "romeo");
    let indexed = still.iter().filter(|number| **number < 500).count();
    assert_eq!(index(&world).1, 2 * indexed);
    world.assert_rest();
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

#[test]
fn whatever_is_archived_is_found_by_its_contact_and_retracted_by_its_name() {
    for workers in [1, 4] {
        for seed in 0..4 {
            play_by_chance(workers, seed);
        }
    }
}

/// What was said to a contact, by its id, and whether it was retracted.
struct Said {
    id: String,
    to: &'static str,
    is_retracted: bool,
}

/// Messages to two contacts, searches, retractions, crashes and minutes in which nobody is in memory, by chance.
fn play_by_chance(workers: u8, seed: u8) {
    let mut rng = Rng::from_seed([seed; 32]);
    // The two are away and do not know romeo: what is beyond a stranger's share would be archived by nobody but him.
    let mut world = world_of(
        workers,
        "delivery.offline_count = 100000\ndelivery.offline_size = \"40 MiB\"\n",
    );
    for name in ["juliet", "nurse"] {
        world.register(name, "secret");
    }
    let mut romeo = user(&mut world, "romeo", "<presence/>");
    let mut said: Vec<Said> = Vec::new();
    let mut number = 0;
    for round in 0..80 {
        let to = ["juliet", "nurse"][rng.below(2) as usize];
        match rng.below(12) {
            0..=5 => {
                let count = [1, 3, 30][rng.below(3) as usize];
                says(&mut world, romeo, &chat(to, number, count));
                said.extend((number..number + count).map(|n| Said {
                    id: format!("m{n}"),
                    to,
                    is_retracted: false,
                }));
                number += count;
            }
            6 | 7 => {
                // Now and then one that nobody said.
                let of = rng.below(said.len() as u32 + 1) as usize;
                let (target, to) = match said.get_mut(of) {
                    Some(said) => {
                        said.is_retracted = true;
                        (said.id.clone(), said.to)
                    }
                    None => ("nothing".to_owned(), to),
                };
                let retraction = format!(
                    "<message to='{to}@localhost' type='chat' id='r{round}'>\
                     <retract xmlns='urn:xmpp:message-retract:1' id='{target}'/></message>"
                );
                says(&mut world, romeo, &retraction);
                world.end_turns();
                world.settle();
                said.push(Said {
                    id: format!("r{round}"),
                    to,
                    is_retracted: false,
                });
            }
            8 | 9 => {
                let expected: Vec<&str> = said
                    .iter()
                    .filter(|said| said.to == to)
                    .map(|said| &*said.id)
                    .collect();
                assert_eq!(found_with(&mut world, romeo, to), expected);
                let last = says(&mut world, romeo, &query_with(to, 7, "<before/>"));
                assert_eq!(
                    ids(&last),
                    expected[expected.len() - expected.len().min(7)..]
                );
            }
            10 => {
                world.end_turns();
                // Nobody is in the middle of anything for minutes.
                world.lose(romeo);
                world.advance(10 * 60_000);
                romeo = log_in(&mut world, "romeo", "<presence/>");
            }
            _ => {
                world.end_turns();
                world = world.crash(round);
                romeo = log_in(&mut world, "romeo", "<presence/>");
            }
        }
        for name in ["romeo", "juliet", "nurse"] {
            let archive = world.archive(name);
            let found = archive.iter().map(|xml| {
                let id = ids(xml).into_iter().next().expect("an id");
                (id, xml.contains("<retracted "))
            });
            let of_theirs = said
                .iter()
                .filter(|said| name == "romeo" || said.to == name);
            let expected = of_theirs.map(|said| (said.id.clone(), said.is_retracted));
            assert_eq!(
                found.collect::<Vec<_>>(),
                expected.collect::<Vec<_>>(),
                "{name} in round {round} of seed {seed}"
            );
        }
    }
    assert!(said.len() > 200, "{}", said.len());
    index(&world);
    world.assert_rest();
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

/// Of what was sent, in this order, the last ones are there, so many of them.
fn assert_newest(
    world: &World,
    name: &str,
    sent: usize,
    how_many: std::ops::RangeInclusive<usize>,
) {
    let left = archived(world, name);
    assert!(
        how_many.contains(&left.len()),
        "{name} has {} of {sent}",
        left.len()
    );
    let newest: Vec<usize> = (sent - left.len()..sent).collect();
    assert_eq!(left, newest, "{name}");
}

#[test]
fn who_is_not_in_memory_between_messages_has_no_larger_archive() {
    for workers in [1, 4] {
        let mut world = world_of(
            workers,
            "host.archive.messages = 10\ndelivery.offline_count = 5000\n",
        );
        for name in ["juliet", "nurse"] {
            world.register(name, "secret");
        }
        let mut romeo = user(&mut world, "romeo", "<presence/>");
        for round in 0..40 {
            for name in ["juliet", "nurse"] {
                says(&mut world, romeo, &chat(name, round * 6, 6));
            }
            world.end_turns();
            if round % 10 == 9 {
                world = world.crash(round as u64);
                romeo = log_in(&mut world, "romeo", "<presence/>");
            } else {
                // Nobody is in the middle of anything for minutes.
                world.advance(3 * 60_000);
                if world.is_closed(romeo) {
                    romeo = log_in(&mut world, "romeo", "<presence/>");
                }
            }
        }
        for name in ["juliet", "nurse"] {
            assert_newest(&world, name, 240, 10..=10 + 64);
        }
    }
}

#[test]
fn who_looks_into_a_conversation_now_and_then_has_no_larger_archive() {
    let mut world = world("host.archive.messages = 100\n");
    let romeo = user(&mut world, "romeo", "<presence/>");
    for part in 0..10 {
        says(&mut world, romeo, &notes(part * 50, part * 50 + 50, 0));
        world.end_turns();
        let heard = says(&mut world, romeo, &query_with("romeo", 1, "<before/>"));
        world.end_turns();
        let heard = heard + &hears(&mut world, romeo);
        assert!(heard.contains("<fin "), "{heard}");
    }
    assert_newest(&world, "romeo", 500, 100..=100 + 64);
    world.assert_rest();
}

#[test]
fn an_archive_that_was_forgotten_before_it_lost_its_oldest_loses_them_when_it_is_read_again() {
    let mut world = world("host.archive.messages = 10\ndelivery.offline_count = 5000\n");
    world.register("juliet", "secret");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &chat("juliet", 0, 60));
    world.end_turns();
    // The page with the oldest is on its way, and comes when nobody knows the account any more.
    world.services_are_mute = true;
    says(&mut world, romeo, &chat("juliet", 60, 10));
    world.end_turns();
    world.advance(130_000);
    world.services_are_mute = false;
    world.end_turns();
    assert_eq!(archived(&world, "juliet").len(), 70);
    assert_eq!(world.resident_accounts(), 1, "romeo alone");
    for part in 0..5 {
        says(&mut world, romeo, &chat("juliet", 70 + part * 10, 10));
        world.end_turns();
    }
    assert_newest(&world, "juliet", 120, 10..=10 + 64);
    world.assert_rest();
}

#[test]
fn a_disk_that_is_behind_makes_no_archive_larger_and_none_smaller_than_it_may_be() {
    for habits in [Habits::KIND, Habits::ROUGH] {
        let rates = "c2s.rate_stanzas_per_s = 100000\nc2s.rate_stanzas_burst = 100000\n\
            c2s.rate_bytes_per_s = \"1 GiB\"\nc2s.rate_bytes_burst = \"1 GiB\"\n";
        let options = format!("{rates}host.archive.messages = 100\n");
        let mut world = World::new(1, 1, habits, sim::config(&options).expect("valid options"));
        let romeo = user(&mut world, "romeo", "<presence/>");
        for round in 0..4 {
            // So much at once that one page is read while the next is due.
            world.disk_is_asleep = true;
            says(&mut world, romeo, &notes(round * 500, round * 500 + 500, 0));
            world.disk_is_asleep = false;
            world.end_turns();
            world.settle();
            assert_newest(&world, "romeo", (round + 1) * 500, 100..=100 + 64);
        }
        world.assert_rest();
    }
}

#[test]
fn long_messages_leave_an_archive_as_short_ones_do() {
    let mut world = world("host.archive.messages = 20\n");
    let romeo = user(&mut world, "romeo", "<presence/>");
    for part in 0..30 {
        says(&mut world, romeo, &notes(part * 10, part * 10 + 10, 50_000));
        world.end_turns();
    }
    // Of such messages a row of the count is written with every third.
    assert_newest(&world, "romeo", 300, 20..=20 + 8);
    world.assert_rest();
}

#[test]
fn an_archive_has_so_many_bytes_and_no_more() {
    let mut world = world("host.archive.messages = 0\nhost.archive.size = \"1 MiB\"\n");
    let romeo = user(&mut world, "romeo", "<presence/>");
    let bytes = |world: &World| {
        world
            .rows(&ARCHIVE)
            .iter()
            .map(|row| row.value.len())
            .sum::<usize>()
    };
    for part in 0..20 {
        let padding = if part < 10 { 20_000 } else { 200 };
        says(
            &mut world,
            romeo,
            &notes(part * 10, part * 10 + 10, padding),
        );
        world.end_turns();
        assert!(bytes(&world) <= (1 << 20) + 128 * 1024, "{}", bytes(&world));
    }
    // No more went than had to.
    assert!(bytes(&world) > (1 << 20) - 25_000, "{}", bytes(&world));
    assert_newest(&world, "romeo", 200, 100..=200);
    world.assert_rest();
}

#[test]
fn who_stays_while_months_go_has_as_many_messages_as_he_may() {
    let options = "host.archive.retention = \"30 d\"\nhost.archive.messages = 100\n\
        c2s.ping_after = \"1000 d\"\n";
    let mut world = world(options);
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &notes(0, 90, 0));
    world.end_turns();
    world.advance(40 * DAY_MS);
    assert_eq!(archived(&world, "romeo").len(), 0, "the month is over");
    assert!(!world.is_closed(romeo));
    says(&mut world, romeo, &notes(90, 180, 0));
    world.end_turns();
    assert_newest(&world, "romeo", 180, 90..=90);
    says(&mut world, romeo, &notes(180, 400, 0));
    world.end_turns();
    assert_newest(&world, "romeo", 400, 100..=100 + 64);
    world.assert_rest();
}

#[test]
fn who_empties_a_full_archive_while_it_loses_its_oldest_has_what_comes_then() {
    let mut world = world("host.archive.messages = 100\n");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &notes(0, 150, 0));
    world.end_turns();
    for round in 1..4 {
        let run = "<iq type='set' id='d' to='localhost'><command xmlns='http://jabber.org/protocol/commands' \
            node='delete-archive' action='execute'/></iq>";
        let heard = says(&mut world, romeo, run);
        let session = heard.split("sessionid='").nth(1).expect("a form");
        let session = session.split('\'').next().expect("a form");
        let confirm = format!(
            "<iq type='set' id='d' to='localhost'><command xmlns='http://jabber.org/protocol/commands' \
             node='delete-archive' sessionid='{session}' action='complete'><x xmlns='jabber:x:data' type='submit'>\
             <field var='confirm'><value>1</value></field></x></command></iq>"
        );
        world.disk_is_asleep = true;
        // Twice at once, and more messages than may be.
        let more = notes(round * 1_000, round * 1_000 + 250, 0);
        world.write(romeo, format!("{more}{confirm}").as_bytes());
        world.settle();
        world.disk_is_asleep = false;
        world.end_turns();
        world.settle();
        hears(&mut world, romeo);
        says(
            &mut world,
            romeo,
            &notes(round * 1_000 + 500, round * 1_000 + 600, 0),
        );
        world.end_turns();
        let left = archived(&world, "romeo");
        let newest: Vec<usize> = (round * 1_000 + 500..round * 1_000 + 600).collect();
        assert!(left.ends_with(&newest), "round {round}: {left:?}");
        assert!(left.len() <= 100 + 64, "{}", left.len());
    }
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
fn a_host_that_keeps_for_ever_keeps_nothing_of_another() {
    let rates = "c2s.rate_stanzas_per_s = 100000\nc2s.rate_stanzas_burst = 100000\n";
    let options = format!("{rates}host.archive.retention = \"30 d\"\n");
    let mut config = sim::config(&options).expect("valid options");
    let mut other = HostConfig::clone(&config.hosts[0]);
    other.name = "example.org".into();
    other.archive.retention = Duration::from_ms(0);
    config.hosts.push(other.into());
    let mut world = World::new(2, 2, Habits::KIND, config);
    for name in ["juliet", "nurse"] {
        world.register(name, "secret");
    }
    let romeo = user(&mut world, "romeo", "<presence/>");
    // More than a step removes, and one for which somebody waits.
    says(&mut world, romeo, &notes(0, 600, 0));
    says(&mut world, romeo, &chat("nurse", 0, 2));
    world.end_turns();
    says(&mut world, romeo, &search("nobody"));
    world.end_turns();
    world.advance(20 * DAY_MS);
    let romeo = log_in(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &chat("juliet", 1_000, 1));
    world.end_turns();
    assert_eq!(archived(&world, "romeo").len(), 603);
    world.advance(20 * DAY_MS);
    assert_eq!(archived(&world, "romeo"), [1_000]);
    assert_eq!(archived(&world, "juliet"), [1_000]);
    assert!(archived(&world, "nurse").is_empty());
    assert_eq!(world.row_count(&ARCHIVE), 2);
    // With whom, and by which name.
    assert_eq!(world.row_count(&INDEX), 4);
    assert_eq!(world.row_count(&TALLY), 2);
    let nurse = log_in(&mut world, "nurse", "");
    assert_eq!(numbers(&says(&mut world, nurse, "<presence/>")), [0, 1]);
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
fn a_page_is_closed_even_when_its_account_has_a_full_mailbox() {
    let mut world = world("");
    let juliet = user(&mut world, "juliet", "<presence/>");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &notes(0, 50, 8_000));
    world.end_turns();
    world.stall(romeo, true);
    world.write(romeo, query(50).as_bytes());
    world.settle();
    // The mailbox waits for the disk, and fills with what is let into a full one longest.
    world.disk_is_asleep = true;
    let item = "<query xmlns='jabber:iq:roster'><item jid='nurse@localhost'/></query>";
    world.write(
        romeo,
        format!("<iq type='set' id='r'>{item}</iq>").as_bytes(),
    );
    world.settle();
    let answer = format!(
        "<iq type='result' id='x' to='romeo@localhost/nowhere'><x xmlns='urn:x'>{}</x></iq>",
        "y".repeat(200_000)
    );
    for _ in 0..20 {
        says(&mut world, juliet, &answer);
    }
    let ping = "<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";
    world.write(romeo, ping.as_bytes());
    world.stall(romeo, false);
    world.settle();
    let heard = hears(&mut world, romeo);
    assert_eq!(heard.matches("<result ").count(), 50);
    assert!(
        heard.contains("<fin ") && !heard.contains("id='p'"),
        "the mailbox waits"
    );
    world.disk_is_asleep = false;
    world.end_turns();
    assert!(hears(&mut world, romeo).contains("id='p'"));
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

/// Bytes in the rows of what waits for clients.
fn waiting_bytes(world: &World) -> usize {
    world.rows(&PENDING).iter().map(|row| row.value.len()).sum()
}

#[test]
fn what_waits_for_who_is_away_is_stored_once() {
    let mut world = world("delivery.offline_count = 2000\n");
    world.register("juliet", "secret");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &chat("juliet", 0, 150));
    world.end_turns();
    assert_eq!(world.row_count(&PENDING), 150);
    assert!(
        waiting_bytes(&world) <= 150 * 16,
        "{}",
        waiting_bytes(&world)
    );
    let juliet = log_in(&mut world, "juliet", "");
    let heard = says(&mut world, juliet, "<presence/>");
    assert_eq!(numbers(&heard), (0..150).collect::<Vec<usize>>());
    for (what, times) in [("<delay ", 150), ("<stanza-id ", 150), ("<body>note ", 150)] {
        assert_eq!(heard.matches(what).count(), times, "{what}");
    }
    // The id by which the archive knows it.
    let id = heard.split("<stanza-id ").nth(1).expect("counted above");
    let id = id.split("id='").nth(1).and_then(|id| id.split('\'').next());
    let page = says(&mut world, juliet, &query(1));
    assert!(
        page.contains(&format!("id='{}'", id.expect("an id"))),
        "{page}"
    );
    world.end_turns();
    assert_eq!(world.row_count(&PENDING), 0);
    assert_eq!(archived(&world, "juliet").len(), 150);
    world.assert_rest();
}

#[test]
fn what_its_recipient_does_not_archive_waits_in_a_row_of_its_own() {
    let mut world = world("");
    let prefs = "<iq type='set' id='p'><prefs xmlns='urn:xmpp:mam:2' default='never'/></iq>";
    let juliet = user(&mut world, "juliet", "");
    assert!(says(&mut world, juliet, prefs).contains("default='never'"));
    says(&mut world, juliet, "</stream:stream>");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &chat("juliet", 0, 3));
    world.end_turns();
    assert!(waiting_bytes(&world) > 3 * 60, "{}", waiting_bytes(&world));
    // What is wanted from now on has no effect on what waits.
    let juliet = log_in(&mut world, "juliet", "");
    says(&mut world, juliet, &prefs.replace("never", "always"));
    says(&mut world, romeo, &chat("juliet", 3, 2));
    let heard = says(&mut world, juliet, "<presence/>");
    assert_eq!(numbers(&heard), [0, 1, 2, 3, 4]);
    assert_eq!(archived(&world, "juliet"), [3, 4]);
    world.end_turns();
    assert_eq!(world.row_count(&PENDING), 0);
}

#[test]
fn what_nobody_has_yet_outlives_its_month_and_its_place_in_the_archive() {
    let options = "delivery.offline_count = 2000\nhost.archive.retention = \"30 d\"\n";
    let mut world = world(&format!("{options}host.archive.messages = 10\n"));
    world.register("juliet", "secret");
    world.register("nurse", "secret");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &chat("juliet", 0, 150));
    says(&mut world, romeo, &chat("nurse", 0, 2));
    world.end_turns();
    // More than ten: all but the newest lost their places.
    let left = archived(&world, "juliet").len();
    assert!((10..=10 + 64).contains(&left), "{left} are left");
    assert_eq!(world.row_count(&PENDING), 152);
    world.advance(40 * DAY_MS);
    assert_eq!(world.row_count(&ARCHIVE), 0, "the month is over");
    assert_eq!(world.row_count(&PENDING), 152);
    let world = &mut world.crash(7);
    for (name, count) in [("juliet", 150), ("nurse", 2)] {
        let conn = log_in(world, name, "");
        let heard = says(world, conn, "<presence/>");
        assert_eq!(numbers(&heard), (0..count).collect::<Vec<usize>>());
        assert_eq!(heard.matches("<stanza-id ").count(), count);
        // The day on which it came.
        assert_eq!(heard.matches("<delay ").count(), count);
        assert_eq!(heard.matches("stamp='2026-11-").count(), count, "{heard}");
    }
    world.end_turns();
    assert_eq!(world.row_count(&PENDING), 0);
}

#[test]
fn a_clock_set_forward_by_years_takes_no_month_that_was_not_due() {
    let mut world = world("host.archive.retention = \"30 d\"\n");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &notes(0, 5, 0));
    world.end_turns();
    world.advance(3_600_000);
    let right_ms = world.now.wall_ms;
    world.set_wall_clock(right_ms + 5 * 365 * DAY_MS);
    // A restart is no proof of time.
    for life in 0..20 {
        world = world.crash(life);
        world.advance(2 * 3_600_000);
    }
    assert_eq!(archived(&world, "romeo").len(), 5);
    // Found and set right after days.
    let ran_ms = 40 * 3_600_000;
    world.set_wall_clock(right_ms + ran_ms);
    world.advance(DAY_MS);
    assert_eq!(archived(&world, "romeo").len(), 5);
    // Never found: the month goes when four times the time that ran makes it old enough. It is over within a week, and
    // 37 days are more than four times nine.
    world.set_wall_clock(right_ms + 5 * 365 * DAY_MS);
    world.advance(10 * DAY_MS);
    assert_eq!(archived(&world, "romeo").len(), 0);
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

#[test]
fn thousands_of_messages_for_an_account_that_is_not_in_memory_wait_for_its_rows_in_order() {
    let options = "delivery.offline_count = 25000\ndelivery.offline_size = \"40 MiB\"\n";
    let mut world = world(options);
    world.register("juliet", "secret");
    let romeo = user(&mut world, "romeo", "<presence/>");
    let heard = says(&mut world, romeo, &chat("juliet", 0, 2_500));
    assert_eq!(heard, "", "nothing bounced");
    world.assert_bounds();
    world.end_turns();
    let juliet = log_in(&mut world, "juliet", "");
    let heard = says(&mut world, juliet, "<presence/>");
    assert_eq!(numbers(&heard), (0..2_500).collect::<Vec<usize>>());
    world.assert_rest();
}
