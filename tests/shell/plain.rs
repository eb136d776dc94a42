//! Plain TCP: bytes in any portions, slow readers, closing, time, orders.

use std::net::Shutdown;

use stonechat::base::WorkerId;

use crate::client::{plain, socket};
use crate::house::{Server, Wishes};
use stonechat::worker::DoorLimits;

#[test]
fn bytes_written_one_by_one_are_the_same_stream() {
    let server = Server::start();
    let mut client = plain(server.plain);
    for byte in "wherefore art thou\n".chars() {
        client.send(&byte.to_string());
    }
    client.expect("wherefore art thou");
}

#[test]
fn more_than_one_turn_reads_comes_back_whole_and_in_order() {
    let server = Server::start();
    let mut client = plain(server.plain);
    let mut writer = client.stream().try_clone().unwrap();
    let lines: Vec<String> = (0..40_000).map(|n| format!("line {n} of many")).collect();
    let text = lines.join("\n") + "\n";
    let thread =
        std::thread::spawn(move || std::io::Write::write_all(&mut writer, text.as_bytes()));
    for line in &lines {
        client.expect(line);
    }
    thread.join().unwrap().unwrap();
}

#[test]
fn streams_that_are_written_next_are_named_some_at_a_time() {
    let server = Server::start();
    let mut clients: Vec<_> = (0..20).map(|_| plain(server.plain)).collect();
    for client in &mut clients {
        client.send("hello\n");
        client.expect("hello");
    }
    clients[0].send("LOOKED\nTICK 1000\nready\n");
    assert!(clients[0].line().starts_with("looked "));
    clients[0].expect("ready");
    // They are told at once, and one stream at a time is no reason to look.
    server.pass_ms(1_000);
    for client in &mut clients {
        client.expect("tick");
    }
    clients[0].send("LOOKED\n");
    clients[0].expect("looked [8, 8, 4]");
}

#[test]
fn ipv6_callers_are_let_in_too() {
    let server = Server::start();
    let mut client = plain(server.v6);
    client.send("WHO\n");
    let who = client.line();
    assert!(
        who.starts_with("who 4 [::1]:") && who.ends_with(" Local"),
        "{who}"
    );
}

#[test]
fn a_slow_reader_leaves_others_alone_and_loses_nothing() {
    let server = Server::start();
    let mut slow = plain(server.plain);
    let size = 32 * 1024 * 1024;
    slow.send(&format!("BIG {size}\nthe end\n"));
    let mut other = plain(server.plain);
    for n in 0..100 {
        other.send(&format!("{n}\n"));
        other.expect(&n.to_string());
    }
    assert!(slow.bytes(size).iter().all(|byte| *byte == b'x'));
    slow.expect("the end");
}

#[test]
fn what_a_waiting_stream_has_not_taken_is_offered_again_in_order() {
    let server = Server::start();
    let mut client = plain(server.plain);
    client.send("one\nWAIT\ntwo\nWAIT\nthree\n");
    for line in ["one", "two", "three"] {
        client.expect(line);
    }
}

#[test]
fn a_stream_may_say_its_last_words_to_a_client_that_still_sends() {
    let server = Server::start();
    let mut client = plain(server.plain);
    let mut writer = client.stream().try_clone().unwrap();
    client.send("CLOSE\n");
    // Unread bytes in the server's socket would make a reset of its close.
    let _ = std::io::Write::write_all(&mut writer, &[b'x'; 100_000]);
    assert_eq!(client.rest(), b"bye\n");
    drop((client, writer));
    server.until(|counters| counters.connections == 0);
    assert_eq!(server.door.total(), 0);
}

#[test]
fn a_client_that_leaves_is_forgotten() {
    let server = Server::start();
    let mut client = plain(server.plain);
    client.send("hello\n");
    client.expect("hello");
    client.send("last words without an end");
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"");
    server.until(|counters| counters.connections == 0);
    assert_eq!(server.door.total(), 0);
}

#[test]
fn the_tests_clock_wakes_sleeping_workers() {
    let server = Server::start();
    let mut client = plain(server.plain);
    client.send("TICK 3600000\nset\n");
    client.expect("set");
    server.pass_ms(3_600_000);
    client.expect("tick");
}

#[test]
fn workers_reach_each_other() {
    let server = Server::with(Wishes {
        workers: 3,
        ..Wishes::default()
    });
    // The doorman deals one to each, because none has shaken hands.
    let mut clients: Vec<_> = (0..3).map(|_| plain(server.plain)).collect();
    for client in &mut clients {
        client.send("here\n");
        client.expect("here");
    }
    let dealt = |worker| server.counters_of(WorkerId(worker)).accepted;
    assert_eq!([dealt(0), dealt(1), dealt(2)], [1, 1, 1]);
    for n in 0..200 {
        clients[0].send(&format!("TELL 1 {n}\nTELL 2 {n}\n"));
    }
    for client in &mut clients[1..] {
        for n in 0..200 {
            client.expect(&format!("told {n}"));
        }
    }
}

#[test]
fn a_full_house_turns_callers_away_and_has_room_again() {
    let server = Server::with(Wishes {
        limits: DoorLimits {
            total_max: 2,
            unproved_max: 10,
        },
        ..Wishes::default()
    });
    let mut inside: Vec<_> = (0..2).map(|_| plain(server.plain)).collect();
    for client in &mut inside {
        client.send("here\n");
        client.expect("here");
    }
    assert_eq!(plain(server.plain).rest(), b"");
    drop(inside.pop());
    server.until(|counters| counters.connections == 1);
    let mut next = plain(server.plain);
    next.send("here\n");
    next.expect("here");
}

#[test]
fn a_drain_says_goodbye_to_everybody_and_lets_nobody_in() {
    let mut server = Server::of(2);
    let mut clients: Vec<_> = (0..4).map(|_| plain(server.plain)).collect();
    for client in &mut clients {
        client.send("here\n");
        client.expect("here");
    }
    server.drain();
    for client in &mut clients {
        assert_eq!(client.rest(), b"shutdown\n");
    }
    assert!(std::net::TcpStream::connect(server.plain).is_err());
    drop(clients);
    server.until(|counters| counters.connections == 0);
}

#[test]
fn a_panic_outside_a_turn_is_told_to_the_process() {
    let server = Server::start();
    plain(server.plain).send("PANIC\n");
    assert_eq!(
        server.panics.recv_timeout(crate::house::PATIENCE).unwrap(),
        "asked to"
    );
}

#[test]
fn many_half_open_connections_keep_nobody_else_waiting() {
    let server = Server::of(2);
    let idle: Vec<_> = (0..400)
        .map(|n| {
            socket(if n % 2 == 0 {
                server.plain
            } else {
                server.direct
            })
        })
        .collect();
    let mut client = plain(server.plain);
    client.send("hello\n");
    client.expect("hello");
    drop(idle);
    server.until(|counters| counters.connections == 1);
}
