//! How much an archive holds: messages and bytes, whatever its owner and the disk do meanwhile.

use super::*;

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
