//! A worker whose queues fill, or that has no time, sheds in the order of DESIGN section 7, and recovers.

#[path = "sim/mod.rs"]
mod sim;

#[path = "load/time.rs"]
mod time;

use sim::plainly::{proves, says};
use sim::{ConnId, Habits, World};

/// One worker with so little queue memory that one stalled reader fills most of it.
fn world() -> World {
    let options = "server.queue_memory = \"2 MiB\"\nc2s.outbound_soft = \"1 MiB\"\n\
        c2s.outbound_hard = \"2 MiB\"\ndelivery.keep = \"offline-only\"\n\
        c2s.rate_stanzas_burst = 100000\nc2s.rate_bytes_burst = \"1 GiB\"\n";
    World::new(
        1,
        1,
        Habits::KIND,
        sim::config(options).expect("valid options"),
    )
}

fn session(world: &mut World, name: &str) -> ConnId {
    world.register(name, "secret");
    sim::plainly::session(world, name, Some("r"), "<presence/>")
}

#[test]
fn new_logins_wait_while_the_queues_are_full_and_come_in_when_they_are_not() {
    let mut world = world();
    let (romeo, juliet) = (session(&mut world, "romeo"), session(&mut world, "juliet"));
    world.stall(juliet, true);
    let body = "x".repeat(200_000);
    for _ in 0..8 {
        let message =
            format!("<message to='juliet@localhost/r' type='chat'><body>{body}</body></message>");
        says(&mut world, romeo, &message);
    }
    assert!(world.queued_bytes() > 1_400_000, "{}", world.queued_bytes());

    world.register("late", "secret");
    let late = world.connect_secure(1);
    assert_eq!(proves(&mut world, late, "late"), "", "the login waits");

    world.stall(juliet, false);
    world.settle();
    assert_eq!(world.queued_bytes(), 0);
    world.end_turns();
    assert!(says(&mut world, late, " ").contains("<success"));
}

#[test]
fn the_slowest_reader_is_detached_before_anybody_else_suffers() {
    let mut world = world();
    let (romeo, juliet) = (session(&mut world, "romeo"), session(&mut world, "juliet"));
    world.stall(juliet, true);
    let body = "x".repeat(200_000);
    for _ in 0..10 {
        let message =
            format!("<message to='juliet@localhost/r' type='chat'><body>{body}</body></message>");
        says(&mut world, romeo, &message);
    }
    world.end_turns();
    assert!(world.is_closed(juliet), "{}", world.queued_bytes());
    assert!(!world.is_closed(romeo));
    let pong = says(
        &mut world,
        romeo,
        "<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>",
    );
    assert!(pong.contains("id='p'"), "{pong}");
}
