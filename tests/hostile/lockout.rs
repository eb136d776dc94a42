//! Guesses in such numbers that the server's seats for questions would run out, in the simulated world.

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::client::{HEADER, auth, plain};
use crate::sim::{ConnId, Habits, World, config};

fn said(world: &mut World, conn: ConnId) -> String {
    world.settle();
    String::from_utf8_lossy(&world.read(conn)).into_owned()
}

fn stream(world: &mut World) -> ConnId {
    let conn = world.connect_secure(1);
    world.write(conn, HEADER.as_bytes());
    conn
}

#[test]
fn any_number_of_guesses_waiting_for_their_verdict_keeps_nobody_out() {
    let mut world = World::new(1, 1, Habits::KIND, config("").unwrap());
    world.register("juliet", "pencil");
    let guesses = stonechat::base::limits::AUTH_OUTSTANDING_MAX + 10;
    for number in 0..guesses {
        let conn = stream(&mut world);
        let name = ["juliet", "nobody"][number % 2];
        world.write(conn, auth(&plain(name, "wrong")).as_bytes());
        world.settle();
    }
    let by_scram = stream(&mut world);
    let first = BASE64_STANDARD.encode("n,,n=juliet,r=abcdefgh");
    let scram = format!(
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>{first}</auth>"
    );
    world.write(by_scram, scram.as_bytes());
    let answer = said(&mut world, by_scram);
    assert!(answer.contains("<challenge"), "{answer}");
    let by_plain = stream(&mut world);
    world.write(by_plain, auth(&plain("juliet", "pencil")).as_bytes());
    let answer = said(&mut world, by_plain);
    assert!(answer.contains("<success"), "{answer}");
}
