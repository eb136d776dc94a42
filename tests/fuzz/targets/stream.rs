//! Any bytes on a shard with one connection, before login and after it: no panic, no more said than is decent, and
//! nothing left when the connection is gone. The first byte of the input says how far the client is and how its
//! bytes are torn.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use stonechat::config::Config;

#[path = "../../sim/mod.rs"]
mod sim;

use sim::{ConnId, Habits, World};

static CONFIG: LazyLock<Config> =
    LazyLock::new(|| sim::config("").expect("the defaults are valid"));

const HEADER: &str = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";
/// PLAIN, fuzz and pencil.
const AUTH: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>\
    AGZ1enoAcGVuY2ls</auth>";
const BIND: &str = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
    <resource>r</resource></bind></iq><presence/>";

/// What the server may say to each byte, and to none: answers repeat what they answer and add errors, whose
/// shortest question has some ten bytes.
const SAID_PER_BYTE: usize = 128;
const SAID_ALWAYS: usize = 16 * 1024;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else {
        return;
    };
    let mut world = World::new(u64::from(choice), 1, Habits::KIND, CONFIG.clone());
    world.register("fuzz", "pencil");
    let conn = match choice & 7 {
        0 => world.connect(0),
        1 => world.connect(2),
        _ => world.connect_secure(1),
    };
    // How far it comes by itself.
    let steps = [HEADER, AUTH, HEADER, BIND];
    let count = [0, 0, 0, 1, 2, 3, 4, 4][usize::from(choice & 7)];
    for step in &steps[..count] {
        world.write(conn, step.as_bytes());
        world.settle();
    }
    world.read(conn);
    let mut said = 0;
    for chunk in bytes.chunks(1 + usize::from(choice >> 3) * 8) {
        world.write(conn, chunk);
        world.settle();
        said += world.read(conn).len();
    }
    world.advance(60_000);
    said += world.read(conn).len();
    assert!(
        said <= SAID_ALWAYS + SAID_PER_BYTE * bytes.len(),
        "{said} bytes to {}",
        bytes.len()
    );
    end(&mut world, conn);
});

/// The connection breaks; sessions and accounts are gone when their time is over.
fn end(world: &mut World, conn: ConnId) {
    if !world.is_closed(conn) {
        world.lose(conn);
    }
    world.advance(600_000);
    world.assert_rest();
    assert_eq!(world.stream_count(), 0);
    assert_eq!(world.resident_accounts(), 0);
}
