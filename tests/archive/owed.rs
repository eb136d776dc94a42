//! What no client has yet is owed, whatever its owner does with the archive meanwhile.

use super::full_disk::{confirmation, sees};
use super::*;

const MANAGED: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";

/// Empties the archive of whoever has this connection.
fn empty(world: &mut World, conn: ConnId) {
    let confirm = confirmation(world, conn);
    let heard = says(world, conn, &confirm);
    world.end_turns();
    world.settle();
    let heard = heard + &hears(world, conn);
    assert!(heard.contains("removed"), "{heard}");
}

/// A client that has enabled stream management, and what it has heard since.
struct Managed {
    conn: ConnId,
    count: usize,
    numbers: Vec<usize>,
}

impl Managed {
    fn log_in(world: &mut World, name: &str) -> Managed {
        let conn = log_in(world, name, MANAGED);
        let mut managed = Managed {
            conn,
            count: 0,
            numbers: Vec::new(),
        };
        let heard = says(world, conn, "<presence/>");
        managed.hears(&heard);
        managed
    }

    fn hears(&mut self, heard: &str) {
        let stanzas = ["<message ", "<presence ", "<iq "];
        self.count += stanzas
            .iter()
            .map(|begin| heard.matches(begin).count())
            .sum::<usize>();
        self.numbers.extend(numbers(heard));
    }

    /// Acknowledges all that came; whether more has come then.
    fn acknowledges(&mut self, world: &mut World) -> bool {
        let waiting = hears(world, self.conn);
        self.hears(&waiting);
        let before = self.count;
        let ack = format!("<a xmlns='urn:xmpp:sm:3' h='{before}'/>");
        let heard = says(world, self.conn, &ack);
        world.end_turns();
        let heard = heard + &hears(world, self.conn);
        self.hears(&heard);
        self.count > before
    }
}

#[test]
fn what_waits_for_a_client_is_delivered_though_its_owner_empties_the_archive() {
    for is_crash in [false, true] {
        let mut world = world("delivery.offline_count = 20000\n");
        world.register("juliet", "secret");
        let romeo = user(&mut world, "romeo", "<presence/>");
        says(&mut world, romeo, &chat("juliet", 0, 1_000));
        world.end_turns();
        let all: Vec<usize> = (0..1_000).collect();
        // The cursor brings as much as may be unacknowledged, and waits.
        let mut phone = Managed::log_in(&mut world, "juliet");
        let count = phone.numbers.len();
        assert!((1..1_000).contains(&count), "{count}");
        let laptop = log_in(
            &mut world,
            "juliet",
            "<presence><priority>-1</priority></presence>",
        );
        empty(&mut world, laptop);
        assert_eq!(archived(&world, "juliet"), [0; 0]);
        if is_crash {
            // Nothing was acknowledged.
            world = world.crash(7);
            phone = Managed::log_in(&mut world, "juliet");
        }
        while phone.acknowledges(&mut world) {}
        assert_eq!(phone.numbers, all);
        assert_eq!(world.row_count(&PENDING), 0);
        world.assert_rest();
    }
}

#[test]
fn what_an_unfinished_session_holds_is_delivered_though_another_empties_the_archive() {
    let mut world = world("");
    let romeo = user(&mut world, "romeo", "<presence/>");
    world.register("juliet", "secret");
    let phone = Managed::log_in(&mut world, "juliet");
    world.lose(phone.conn);
    world.settle();
    says(&mut world, romeo, &chat("juliet", 0, 3));
    world.end_turns();
    let laptop = log_in(
        &mut world,
        "juliet",
        "<presence><priority>-1</priority></presence>",
    );
    empty(&mut world, laptop);
    says(&mut world, laptop, "</stream:stream>");
    // The phone does not come back for its session.
    world.advance(3_600_000);
    world.end_turns();
    let mut window = Managed::log_in(&mut world, "juliet");
    while window.acknowledges(&mut world) {}
    assert_eq!(window.numbers, [0, 1, 2]);
    assert_eq!(world.row_count(&PENDING), 0);
    world.assert_rest();
}

#[test]
fn who_has_too_much_for_what_another_left_behind_and_is_not_full_gets_it_where_nothing_else_holds_it()
 {
    let mut world = world(
        "delivery.keep = \"offline-only\"\ndelivery.offline_count = 1\nsm.unacked_count = 8\n",
    );
    let romeo = user(&mut world, "romeo", "<presence/>");
    let juliet = user(&mut world, "juliet", "<presence/>");
    sees(&mut world, (romeo, juliet), ("romeo", "juliet"));
    sees(&mut world, (juliet, romeo), ("juliet", "romeo"));
    says(&mut world, juliet, "</stream:stream>");
    says(&mut world, romeo, &chat("juliet", 0, 1));
    world.end_turns();
    assert_eq!(world.row_count(&PENDING), 1, "all that may be");
    let laptop = Managed::log_in(&mut world, "juliet");
    assert_eq!(laptop.numbers, [0]);
    let phone = log_in(&mut world, "juliet", MANAGED);
    says(
        &mut world,
        phone,
        "<presence><priority>5</priority></presence>",
    );
    says(&mut world, romeo, &chat("juliet", 1, 1));
    world.end_turns();
    assert_eq!(numbers(&hears(&mut world, phone)), [1]);
    hears(&mut world, laptop.conn);
    says(&mut world, phone, "</stream:stream>");
    world.end_turns();
    // XEP-0198 section 4: "delivery to an alternate resource".
    assert_eq!(numbers(&hears(&mut world, laptop.conn)), [1]);
    assert!(!world.is_closed(laptop.conn));
    assert_eq!(archived(&world, "juliet"), [0, 1]);
}
