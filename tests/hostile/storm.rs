//! Every client of a lost node comes back within the same minute: each gets in, or is told to come later; those who were
//! inside notice nothing. It refuses to measure time.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use socket2::{Domain, Socket, Type};

use crate::bystanders::House;
use crate::client::{Client, auth, plain};
use crate::server::PASSWORD;

/// Clients that call at once.
const CLIENTS: usize = 600;
/// As many as drive their clients at a time; each does one after the other.
const DRIVERS: usize = 30;
const ACCOUNTS: [&str; 4] = ["abram", "gregory", "sampson", "tybalt"];
/// TLS, a session with its resource, an account's share.
const BYTES_EACH: usize = 48 * 1024;

/// What became of one client.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Inside,
    /// "temporary-auth-failure" or "resource-constraint".
    Later,
}

#[test]
fn a_login_storm_is_let_in_or_told_to_come_later_and_nothing_falls_over() {
    // How long the drivers of the test take is no business of the server's.
    let options = "c2s.sessions_per_account = 1000\nc2s.negotiation_timeout = \"10 min\"\n\
        c2s.handshake_timeout = \"10 min\"\n";
    let house = House::open("storm", options, &ACCOUNTS);
    // All of them stand before the door before the first one is served.
    let callers: Vec<TcpStream> = (0..CLIENTS)
        .map(|number| call(number, house.server.tls_port))
        .collect();
    let (inside, later) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut shares: Vec<Vec<(usize, TcpStream)>> = (0..DRIVERS).map(|_| Vec::new()).collect();
    for (number, socket) in callers.into_iter().enumerate() {
        shares[number % DRIVERS].push((number, socket));
    }
    let clients: Vec<Client> = thread::scope(|scope| {
        let drivers: Vec<_> = shares
            .into_iter()
            .map(|share| {
                scope.spawn(|| {
                    let mut kept = Vec::new();
                    for (number, socket) in share {
                        let mut client = Client::over(socket);
                        match log_in(&mut client, number) {
                            Fate::Inside => inside.fetch_add(1, Ordering::Relaxed),
                            Fate::Later => later.fetch_add(1, Ordering::Relaxed),
                        };
                        kept.push(client);
                    }
                    kept
                })
            })
            .collect();
        let done = drivers.into_iter();
        done.flat_map(|driver| driver.join().expect("every fate is one of the two"))
            .collect()
    });
    let (inside, later) = (inside.into_inner(), later.into_inner());
    println!("{inside} are inside, {later} come later");
    assert_eq!(inside + later, CLIENTS);
    // An idle server on loopback has room for all of them.
    assert_eq!(later, 0);
    drop(clients);
    // Who comes behind the storm finds an open door.
    drop(Client::session(&house.server, "tybalt", "late"));
    house.close(CLIENTS * BYTES_EACH);
}

/// A connection from one of many addresses; the system completes it, whoever accepts it when.
fn call(number: usize, port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor");
    let source = Ipv4Addr::new(127, 0, 2, (number % 200 + 1) as u8);
    socket
        .bind(&SocketAddr::from((source, 0)).into())
        .expect("an address of the loopback");
    socket
        .connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())
        .expect("the backlog takes it");
    socket.into()
}

fn log_in(client: &mut Client, number: usize) -> Fate {
    client.shake_hands();
    client.open();
    client.send(&auth(&plain(ACCOUNTS[number % ACCOUNTS.len()], PASSWORD)));
    let answer = client.element();
    if answer.starts_with("<failure") || answer.starts_with("<stream:error") {
        let is_kind =
            answer.contains("<temporary-auth-failure ") || answer.contains("<resource-constraint ");
        assert!(is_kind, "{answer}");
        return Fate::Later;
    }
    assert!(answer.starts_with("<success"), "{answer}");
    client.open();
    let bound = client.bind(&format!("r{number}"));
    assert!(bound.contains("type='result'"), "{bound}");
    Fate::Inside
}
