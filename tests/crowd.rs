//! Many contacts: one large roster, a crowd that sees each other, a reader that does not keep up.

#[path = "sim/mod.rs"]
mod sim;

use std::collections::BTreeMap;

use stonechat::actor::Answer;
use stonechat::actor::rows::Write;
use stonechat::base::AccountId;
use stonechat::im::roster::{ROSTER, RosterItem, Standing};
use stonechat::jid::Jid;
use stonechat::store::Request;

use sim::plainly::says;
use sim::{ConnId, Habits, World};

const OPTIONS: &str = "c2s.rate_stanzas_burst = 100000\nc2s.rate_bytes_burst = \"1 GiB\"\n";

fn world(seed: u64, workers: u8, habits: Habits) -> World {
    let config = sim::config(OPTIONS).expect("valid options");
    World::new(seed, workers, habits, config)
}

/// A session without presence.
fn connects(world: &mut World, name: &str) -> ConnId {
    sim::plainly::session(world, name, Some("r"), "")
}

/// The row of a contact who sees the account and is seen by it.
fn contact(account: u64, jid: &str, version: u64) -> Write {
    let mut item = RosterItem::unknown(Jid::parse(jid).expect("valid"));
    item.name = format!("Somebody of number {version}");
    item.groups = vec!["Friends".to_string()];
    item.version = version;
    item.standing = Standing {
        to: true,
        from: true,
        listed: true,
        ..Standing::default()
    };
    let row = item.row(AccountId(account));
    Write::Put {
        table: &ROSTER,
        key: row.key,
        value: row.value.into(),
    }
}

fn store(world: &mut World, writes: Vec<Write>) {
    let mut store = world.store.lock();
    assert!(matches!(store.apply(Request::Save(writes)), Answer::Saved));
    store.sync().expect("no fault is set");
}

#[test]
fn a_roster_of_ten_thousand_arrives_whole_and_a_change_of_one_is_one_row() {
    let mut world = world(1, 2, Habits::KIND);
    world.register("juliet", "secret");
    let items = (1..10_000).map(|n| contact(1, &format!("somebody-{n}@localhost"), n));
    store(&mut world, items.collect());
    let conn = connects(&mut world, "juliet");
    says(
        &mut world,
        conn,
        "<iq type='set' id='e'><enable xmlns='urn:xmpp:sm:3'/></iq>",
    );
    says(
        &mut world,
        conn,
        "<enable xmlns='urn:xmpp:sm:3' resume='true'/>",
    );
    let get = "<iq type='get' id='g'><query xmlns='jabber:iq:roster' ver=''/></iq>";
    let roster = says(&mut world, conn, get);
    assert_eq!(roster.matches("<item ").count(), 9_999);
    assert!(roster.len() > 1_000_000, "{}", roster.len());
    assert!(!world.is_closed(conn));

    let before = world.row_count(&ROSTER);
    let set = |jid: &str| {
        format!(
            "<iq type='set' id='s'><query xmlns='jabber:iq:roster'><item jid='{jid}'/></query></iq>"
        )
    };
    let answer = says(&mut world, conn, &set("somebody-new@localhost"));
    assert!(answer.contains("id='s' type='result'"), "{answer}");
    assert_eq!(answer.matches("<item ").count(), 1);
    // The new one, and the head that this roster did not have.
    assert_eq!(world.row_count(&ROSTER), before + 2);
    let answer = says(&mut world, conn, &set("somebody-more@localhost"));
    assert!(answer.contains("resource-constraint"), "{answer}");

    // Everybody is asked whether they are there, and nobody is made resident for it.
    says(&mut world, conn, "<presence/>");
    assert_eq!(world.resident_accounts(), 1);
    assert!(!world.is_closed(conn));
}

/// Everybody is everybody's contact.
fn crowd(world: &mut World, count: usize) -> Vec<ConnId> {
    for number in 0..count {
        world.register(&format!("u{number}"), "secret");
    }
    let mut rows = Vec::new();
    for (a, b) in (0..count).flat_map(|a| (0..count).map(move |b| (a, b))) {
        if a != b {
            rows.push(contact(
                a as u64 + 1,
                &format!("u{b}@localhost"),
                b as u64 + 1,
            ));
        }
    }
    store(world, rows);
    let names = (0..count).map(|number| format!("u{number}"));
    names.map(|name| connects(world, &name)).collect()
}

#[test]
fn when_a_whole_crowd_flips_at_once_everybody_sees_everybody_in_order() {
    const COUNT: usize = 24;
    const FLIPS: usize = 5;
    for seed in 0..3 {
        let mut world = world(seed, 4, Habits::ROUGH);
        let crowd = crowd(&mut world, COUNT);
        for flip in 0..FLIPS {
            for conn in &crowd {
                let presence = format!("<presence><status>{flip}</status></presence>");
                world.write(*conn, presence.as_bytes());
            }
        }
        world.settle();
        for (reader, conn) in crowd.iter().enumerate() {
            let text = String::from_utf8(world.read(*conn)).expect("the server writes UTF-8");
            let mut last: BTreeMap<&str, usize> = BTreeMap::new();
            for presence in text.split("<presence ").skip(1) {
                // What who comes hears of those who have not come yet.
                if presence.contains("type='unavailable'") {
                    continue;
                }
                let from = between(presence, "from='", "'");
                let flip: usize = between(presence, "<status>", "<")
                    .parse()
                    .expect("a number");
                let before = last.insert(from, flip);
                assert!(
                    before <= Some(flip),
                    "{from} went back at u{reader}, seed {seed}"
                );
            }
            let seen = last.values().filter(|flip| **flip == FLIPS - 1).count();
            assert_eq!(seen, COUNT, "u{reader} sees {last:?}, seed {seed}");
        }
    }
}

/// DESIGN sections 4 and 11: what is said to many is said a part at a time, and nobody else waits for it.
#[test]
fn who_tell_hundreds_are_heard_in_order_and_others_do_not_wait_for_it() {
    const TELLERS: usize = 10;
    const LISTENERS: usize = 600;
    const FLIPS: usize = 3;
    let mut world = world(1, 2, Habits::KIND);
    let names: Vec<String> = (0..TELLERS)
        .map(|n| format!("teller-{n}"))
        .chain((0..LISTENERS).map(|n| format!("listener-{n}")))
        .collect();
    let mut rows = Vec::new();
    for (number, name) in names.iter().enumerate() {
        world.register(name, "secret");
        let others = match number < TELLERS {
            true => TELLERS..names.len(),
            false => 0..TELLERS,
        };
        rows.extend(others.map(|other| {
            let jid = format!("{}@localhost", names[other]);
            contact(number as u64 + 1, &jid, other as u64 + 1)
        }));
    }
    store(&mut world, rows);
    world.register("nurse", "secret");
    let nurse = connects(&mut world, "nurse");
    let all: Vec<ConnId> = names
        .iter()
        .map(|name| connects(&mut world, name))
        .collect();
    let (tellers, listeners) = all.split_at(TELLERS);
    for conn in listeners {
        world.write(*conn, b"<presence/>");
    }
    world.settle();
    for conn in listeners {
        world.read(*conn);
    }
    let mut last: Vec<BTreeMap<String, usize>> = vec![BTreeMap::new(); LISTENERS];
    let mut late = 0;
    for flip in 0..FLIPS {
        for conn in tellers {
            let presence = format!("<presence><status>{flip}</status></presence>");
            world.write(*conn, presence.as_bytes());
        }
        // Somebody who has nothing to do with it: no time passes until the answer, while many have heard nothing yet.
        let ping = "<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";
        let before_ms = world.now.mono_ms;
        let pong = says(&mut world, nurse, ping);
        assert!(pong.contains("id='p' type='result'"), "{pong}");
        assert_eq!(world.now.mono_ms, before_ms);
        let hears = |world: &mut World, last: &mut Vec<BTreeMap<String, usize>>| {
            let mut heard = 0;
            for (conn, last) in listeners.iter().zip(last) {
                let text = String::from_utf8(world.read(*conn)).expect("the server writes UTF-8");
                for presence in text.split("<presence ").skip(1) {
                    let from = between(presence, "from='", "'").to_string();
                    let flip: usize = between(presence, "<status>", "<").parse().expect("one");
                    let before = last.insert(from, flip);
                    assert!(before < Some(flip), "{before:?} before {flip}");
                    heard += 1;
                }
            }
            heard
        };
        late += TELLERS * LISTENERS - hears(&mut world, &mut last);
        // Every other time they are interrupted by themselves.
        world.advance(if flip % 2 == 0 { 100 } else { 3 });
        hears(&mut world, &mut last);
        assert!(world.queued_bytes() < 16 * 1024 * 1024);
    }
    assert!(late > 0, "everybody was told in the first part");
    world.advance(1_000);
    for (conn, last) in listeners.iter().zip(&mut last) {
        let text = String::from_utf8(world.read(*conn)).expect("the server writes UTF-8");
        for presence in text.split("<presence ").skip(1) {
            let flip = between(presence, "<status>", "<").parse().expect("one");
            last.insert(between(presence, "from='", "'").to_string(), flip);
        }
        let newest = last.values().filter(|flip| **flip == FLIPS - 1).count();
        assert_eq!(newest, TELLERS, "{last:?}");
    }
}

fn between<'a>(text: &'a str, before: &str, behind: &str) -> &'a str {
    let rest = text.split_once(before).expect("it is there").1;
    rest.split_once(behind).expect("it ends").0
}

#[test]
fn a_reader_who_does_not_keep_up_is_told_how_it_is_not_how_it_was() {
    let mut world = world(1, 2, Habits::KIND);
    let crowd = crowd(&mut world, 3);
    for conn in &crowd {
        says(&mut world, *conn, "<presence/>");
    }
    let (reader, busy, calm) = (crowd[0], crowd[1], crowd[2]);
    world.settle();
    world.read(reader);
    world.stall(reader, true);
    let status = "x".repeat(2_000);
    for number in 0..2_000 {
        let presence = format!("<presence><status>{status} {number}</status></presence>");
        says(&mut world, busy, &presence);
    }
    says(&mut world, calm, "<presence type='unavailable'/>");
    says(
        &mut world,
        calm,
        "<presence><status>back</status></presence>",
    );
    assert!(
        !world.is_closed(reader),
        "{} bytes wait",
        world.queued_bytes()
    );
    world.stall(reader, false);
    world.settle();
    let text = String::from_utf8(world.read(reader)).expect("the server writes UTF-8");
    let count = text.matches("from='u1@localhost/r'").count();
    assert!(
        (1..300).contains(&count),
        "{count} of 2000 presences were written"
    );
    assert!(text.contains(" 1999</status>"), "the newest is missing");
    let calm: Vec<&str> = text
        .split("<presence ")
        .filter(|p| p.contains("u2@localhost/r"))
        .collect();
    assert_eq!(calm.len(), 2, "{calm:?}");
    assert!(calm[0].contains("unavailable") && calm[1].contains("back"));
}

#[test]
fn requests_of_a_multitude_stay_bounded_and_nobody_pays_but_those_who_ask() {
    let mut world = world(1, 2, Habits::KIND);
    world.register("juliet", "secret");
    // Who asked before, as far as the quota allows.
    let writes = (0..150).map(|n| {
        let jid = format!("stranger-{n}@localhost");
        let mut item = RosterItem::unknown(Jid::parse(&jid).expect("valid"));
        item.standing.pending_in = true;
        let row = item.row(AccountId(1));
        Write::Put {
            table: &ROSTER,
            key: row.key,
            value: row.value.into(),
        }
    });
    store(&mut world, writes.take(99).collect());
    let before = world.row_count(&ROSTER);
    for number in 0..40 {
        let name = format!("asker-{number}");
        world.register(&name, "secret");
        let conn = connects(&mut world, &name);
        let ask = "<presence type='subscribe' to='juliet@localhost'/>";
        assert!(!says(&mut world, conn, ask).contains("error"));
    }
    // One found room, and is not seen in the roster; each of those who asked has an item, and the head of the roster that it begins.
    assert_eq!(world.row_count(&ROSTER), before + 1 + 2 * 40);
}
