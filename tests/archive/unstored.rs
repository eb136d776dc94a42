//! What is said while the disk has no room, and neither side archives: only the clients that are there have it, and its
//! sender's client counts on nothing that a crash would take.

use super::full_disk::{cast, make_room};
use super::*;

const MANAGED: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";

/// Romeo, whose client counts what is acknowledged, and juliet, who see each other; the disk is full.
fn pair(world: &mut World) -> [ConnId; 2] {
    let [romeo, juliet, _] = cast(world, "never");
    // Her worker has to learn of it, too.
    let item = "<query xmlns='jabber:iq:roster'><item jid='peter@localhost'/></query>";
    says(world, juliet, &format!("<iq type='set' id='i'>{item}</iq>"));
    world.end_turns();
    // What she has of her roster was in doubt.
    says(
        world,
        juliet,
        "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>",
    );
    world.end_turns();
    hears(world, juliet);
    says(world, romeo, MANAGED);
    [romeo, juliet]
}

/// A second client of juliet's; both count what they have from now on.
fn counting_laptop(world: &mut World, juliet: ConnId) -> ConnId {
    says(world, juliet, MANAGED);
    let laptop = log_in(world, "juliet", "<presence/>");
    says(world, laptop, MANAGED);
    hears(world, juliet);
    laptop
}

/// What romeo hears when he has said something to juliet, and asks whether it is certain.
fn tells(world: &mut World, romeo: ConnId, number: usize) -> String {
    let heard = says(world, romeo, &(chat("juliet", number, 1) + REQUEST));
    world.end_turns();
    heard + &hears(world, romeo)
}

fn count(h: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")
}

#[test]
fn for_a_client_that_is_away_nothing_is_taken_while_the_disk_is_full() {
    for workers in [1, 4] {
        let mut world = world_of(workers, "");
        let [romeo, juliet] = pair(&mut world);
        says(&mut world, juliet, MANAGED);
        world.lose(juliet);
        world.settle();
        let heard = tells(&mut world, romeo, 0);
        assert!(heard.contains("<resource-constraint "), "{heard}");
        assert!(heard.contains(&count(1)), "he was told: {heard}");
        make_room(&mut world);
        let heard = tells(&mut world, romeo, 1);
        assert!(!heard.contains("error"), "{heard}");
        world.end_turns();
        assert_eq!(world.row_count(&PENDING), 1);
        world.assert_rest();
    }
}

#[test]
fn what_only_a_client_has_is_certain_when_that_acknowledges_it() {
    for workers in [1, 4] {
        let mut world = world_of(workers, "");
        let [romeo, juliet] = pair(&mut world);
        let laptop = counting_laptop(&mut world, juliet);
        let heard = tells(&mut world, romeo, 0);
        assert!(heard.contains(&count(0)), "{heard}");
        // Nobody who is there waits.
        for conn in [juliet, laptop] {
            assert_eq!(numbers(&hears(&mut world, conn)), [0]);
        }
        // Either of them will do.
        says(&mut world, laptop, &count(1));
        world.end_turns();
        let heard = hears(&mut world, romeo);
        assert!(heard.contains(&count(1)), "{heard}");
        world.advance(60_000);
        let heard = hears(&mut world, romeo);
        assert!(!heard.contains("error"), "{heard}");
        make_room(&mut world);
        assert_eq!(world.row_count(&PENDING), 0);
        world.assert_rest();
    }
}

#[test]
fn what_a_client_has_in_its_socket_is_certain_if_it_counts_nothing() {
    let mut world = world("");
    let [romeo, juliet] = pair(&mut world);
    let heard = tells(&mut world, romeo, 0);
    assert!(heard.contains(&count(1)), "{heard}");
    assert_eq!(numbers(&hears(&mut world, juliet)), [0]);
    world.assert_rest();
}

#[test]
fn what_no_client_has_yet_gets_its_row_when_there_is_room_again() {
    for workers in [1, 4] {
        for is_crash in [false, true] {
            let mut world = world_of(workers, "");
            let [romeo, juliet] = pair(&mut world);
            let laptop = counting_laptop(&mut world, juliet);
            let heard = tells(&mut world, romeo, 0);
            assert!(heard.contains(&count(0)), "{heard}");
            assert_eq!(world.row_count(&PENDING), 0);
            make_room(&mut world);
            world.end_turns();
            assert_eq!(world.row_count(&PENDING), 1);
            let heard = hears(&mut world, romeo);
            assert!(heard.contains(&count(1)), "{heard}");
            assert!(!heard.contains("error"), "{heard}");
            if is_crash {
                let mut world = world.crash(7);
                let juliet = log_in(&mut world, "juliet", "");
                assert_eq!(numbers(&says(&mut world, juliet, "<presence/>")), [0]);
                continue;
            }
            says(&mut world, laptop, &count(1));
            world.end_turns();
            assert_eq!(world.row_count(&PENDING), 0);
            world.assert_rest();
        }
    }
}

#[test]
fn what_gets_its_row_when_there_is_room_again_is_recognised_when_it_is_sent_again() {
    for workers in [1, 4] {
        let mut world = world_of(workers, "");
        let [romeo, juliet] = pair(&mut world);
        says(&mut world, juliet, MANAGED);
        let origin = "<origin-id xmlns='urn:xmpp:sid:0' id='o1'/>";
        let message = chat("juliet", 0, 1).replace("</message>", &format!("{origin}</message>"));
        assert!(message.contains(origin));
        let heard = says(&mut world, romeo, &(message.clone() + REQUEST));
        assert!(heard.contains(&count(0)), "{heard}");
        make_room(&mut world);
        world.end_turns();
        let rows = (world.row_count(&PENDING), world.row_count(&ORIGIN));
        assert_eq!(rows, (1, 1));
        // Romeo's client never saw the acknowledgement.
        let mut world = world.crash(7);
        let romeo = log_in(&mut world, "romeo", &format!("<presence/>{MANAGED}"));
        let heard = says(&mut world, romeo, &(message + REQUEST));
        world.end_turns();
        let heard = heard + &hears(&mut world, romeo);
        assert!(heard.contains(&count(1)), "{heard}");
        let juliet = log_in(&mut world, "juliet", "");
        assert_eq!(numbers(&says(&mut world, juliet, "<presence/>")), [0]);
        world.assert_rest();
    }
}

#[test]
fn who_was_not_told_that_it_is_certain_hears_what_becomes_of_it() {
    for is_managed in [false, true] {
        let mut world = world("");
        let [romeo, juliet] = pair(&mut world);
        if is_managed {
            says(&mut world, juliet, MANAGED);
        }
        world.stall(juliet, true);
        let heard = tells(&mut world, romeo, 0);
        assert!(heard.contains(&count(0)), "{heard}");
        world.lose(juliet);
        world.settle();
        world.advance(11_000);
        let heard = hears(&mut world, romeo);
        assert!(heard.contains("<resource-constraint "), "{heard}");
        assert!(heard.contains(&count(1)), "{heard}");
        // The session is over in the end, and what it held has no other place.
        world.advance(3_600_000);
        make_room(&mut world);
        assert_eq!(world.row_count(&PENDING), 0);
        world.assert_rest();
    }
}

#[test]
fn a_server_that_stops_while_the_disk_is_full_says_nothing_of_what_it_loses() {
    let mut world = world("");
    let [romeo, juliet] = pair(&mut world);
    says(&mut world, juliet, MANAGED);
    let heard = tells(&mut world, romeo, 0);
    assert!(heard.contains(&count(0)), "{heard}");
    world.control(&stonechat::shard::Control::Drain);
    world.settle();
    world.advance(60_000);
    let heard = hears(&mut world, romeo);
    // So that his client sends it again, or he hears that it was not delivered.
    let is_told = heard.contains("<resource-constraint ");
    assert!(is_told || !heard.contains(&count(1)), "{heard}");
    assert!(heard.contains("<system-shutdown "), "{heard}");
}
