//! Newcomers of a worker that has too much to do: they wait, those beyond its anteroom outside, and who has waited too long is let
//! in to hear so.

use stonechat::base::limits;

use crate::client::{plain, socket};
use crate::house::Server;

/// Behind this nobody new is let in.
fn fill(server: &Server) -> crate::client::Plain {
    let mut inside = plain(server.plain);
    inside.send("FULL\nfull\n");
    inside.expect("full");
    inside
}

#[test]
fn newcomers_wait_while_there_is_too_much_to_do_and_come_in_when_there_is_not() {
    let server = Server::start();
    let mut inside = fill(&server);
    let mut newcomer = plain(server.plain);
    newcomer.send("hello\n");
    server.until(|counters| counters.waiting == 1);
    // Who is inside notices nothing.
    inside.send("still here\n");
    inside.expect("still here");
    // The machine's own time passes as well.
    server.pass_ms(limits::LOGIN_PATIENCE_MS / 4);
    inside.send("FREE\n");
    newcomer.expect("hello");
    let counters = server.counters();
    assert_eq!((counters.waiting, counters.late), (0, 0));
}

#[test]
fn who_has_waited_too_long_hears_so_and_the_others_go_on_waiting() {
    let server = Server::start();
    let mut inside = fill(&server);
    let mut first = plain(server.plain);
    server.until(|counters| counters.waiting == 1);
    server.pass_ms(limits::LOGIN_PATIENCE_MS);
    let said = first.line();
    let waited_ms = said.strip_prefix("waited ").expect("it is told");
    assert!(waited_ms.parse::<u64>().unwrap() >= limits::LOGIN_PATIENCE_MS);
    assert_eq!(first.rest(), b"");
    let mut second = plain(server.plain);
    second.send("hello\n");
    server.until(|counters| (counters.waiting, counters.late) == (1, 1));
    inside.send("FREE\n");
    second.expect("hello");
}

#[test]
fn beyond_the_anteroom_they_wait_outside_and_all_come_in_in_the_end() {
    let server = Server::start();
    let mut inside = fill(&server);
    let callers: Vec<_> = (0..300).map(|_| socket(server.plain)).collect();
    server.until(|counters| counters.waiting == limits::ANTEROOM_MAX);
    let counters = server.counters();
    assert_eq!((counters.connections, counters.accepted), (1, 1));
    inside.send("FREE\n");
    server.until(|counters| counters.connections == 301);
    drop(callers);
}
