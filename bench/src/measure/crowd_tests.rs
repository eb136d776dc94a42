//! How long a crowd's rotation takes, on a ring that takes its time.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use super::*;
use crate::client::message::PRESENCE_LENGTH;
use crate::client::sasl::Mechanism;
use crate::client::session::Transport;
use crate::process::{Ready, unused_address};

/// Connections on a ring: what comes from one goes to the neighbours on either side, not sooner than this afterwards, and
/// nothing else meanwhile.
fn slow_ring(count: usize, time: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let mut all: Vec<_> = (0..count)
            .map(|_| listener.accept().expect("a client").0)
            .collect();
        let mut block = [0; PRESENCE_LENGTH];
        // With one speaker they speak in their order.
        for from in (0..count).cycle() {
            if all[from].read_exact(&mut block).is_err() {
                return;
            }
            thread::sleep(time);
            for to in [(from + 1) % count, (from + count - 1) % count] {
                if all[to].write_all(&block).is_err() {
                    return;
                }
            }
        }
    });
    address
}

#[test]
fn a_rehearsal_says_how_long_what_is_under_way_takes_to_be_heard() {
    let (count, time) = (4, Duration::from_millis(100));
    let mut swarm = Swarm::new(slow_ring(count, time), Transport::Plain, Mechanism::Plain)
        .expect("a descriptor");
    swarm.connect(count).expect("the ring accepts");
    let log = std::env::temp_dir().join(format!("stonechat-ring-{}", std::process::id()));
    let command = ["sh", "-c", "echo listening; exec sleep 600"].map(str::to_owned);
    let says = Ready::Says("listening");
    let server = Server::start(&command, "0", unused_address(), &log, says).expect("a shell");
    fs::remove_file(&log).expect("it was written");
    let audience = Audience {
        users: count,
        contacts: 2,
        speakers: 1,
    };
    let mut crowd = Crowd::new(&server, &mut swarm, audience, Hears::Contacts).expect("a crowd");
    let rotation = crowd.rehearse(Duration::ZERO).expect("all is heard");
    // In half a second at most six are heard, one of which had been on its way.
    assert!(rotation >= time * 5 / 6, "{rotation:?}");
    assert!(
        crowd.outcome().is_err(),
        "what was rehearsed does not count"
    );
}
