//! More load than a server has time for: what the tool asks, counts and does not forgive while it sheds.

#[allow(dead_code)] // Each of the tests that share it uses a part.
mod common;

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use stonechat_bench::load::ledger::Faults;
use stonechat_bench::load::result::{Moment, RunResult};

use common::{Server, pipe, told, with_users};

#[test]
fn a_surge_takes_no_session_and_no_message() {
    let server = Server::start("surge");
    let output = server.load("register", server.starttls, &with_users("overload", &[]));
    assert!(output.status.success(), "{}", told(&output));
    let json = server.directory.join("surge.json");
    let json_text = json.display().to_string();
    let more = [
        "--set",
        "day.surge=30",
        "--set",
        "day.reserve=50",
        "--set",
        "day.surge-after=1 s",
        "--set",
        "day.surge-for=2 s",
        "--set",
        "time.measure=6 s",
        "--json",
        &json_text,
    ];
    let output = server.load("run", server.starttls, &with_users("overload", &more));
    let result = RunResult::read(&json).expect("a result");
    assert!(result.faults.is_shedding(), "{}", told(&output));
    let surge = result.surge.as_ref().expect("there was one");
    assert!(
        surge.worst_p99_ms > 0.0 && surge.to - surge.from > 1.9,
        "{surge:?}"
    );
    // On the average of the time in which there was any: a slow machine does not come to all of it, and of few a moment has
    // many more by chance.
    let mean = |from: f64, to: f64| {
        let within = result.timeline.iter().filter(|m| m.at > from && m.at < to);
        let sent = within.map(|moment| moment.sent);
        let sent: Vec<f64> = sent.filter(|sent| *sent > 0.0).collect();
        sent.iter().sum::<f64>() / sent.len().max(1) as f64
    };
    assert!(
        mean(surge.from, surge.to) > 3.0 * mean(0.0, surge.from),
        "{:?}",
        result.timeline
    );
    // Everything was asked, and done by somebody who was there, whatever the server made of it.
    let (of_each, seconds) = (20.0 * 0.9 / 3_600.0, 2.0);
    for (offered, hourly) in [
        (surge.shed.messages, 30.0 * 1_800.0),
        (surge.shed.presence, 30.0 * 720.0),
        (surge.shed.archive_reads, 30.0 * 360.0),
        (surge.shed.logins, 30.0 * 12.0),
    ] {
        let wanted: f64 = hourly * of_each * seconds;
        let is_near = (offered.asked as f64 - wanted).abs() <= wanted / 10.0 + 4.0;
        assert!(is_near, "{offered:?} instead of {wanted}");
    }
    // How soon all is as before is this machine's business as well; but it is told.
    let has_failed = !surge.failures().is_empty();
    assert_eq!(output.status.success(), !has_failed, "{}", told(&output));
    for part in [
        "surge of 30.0 times",
        "offered, of what was asked: messages",
    ] {
        assert!(told(&output).contains(part), "{}", told(&output));
    }
}

/// Forwards connections to a server; those beyond so many wait for a while before anybody hears of them, as at a server that lets
/// nobody in.
fn hold_newcomers(server: SocketAddr, beyond: u32, time: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for (number, client) in (0_u32..).zip(listener.incoming()) {
            let client = client.expect("a client");
            thread::spawn(move || {
                if number >= beyond {
                    thread::sleep(time);
                }
                let server = TcpStream::connect(server).expect("the server");
                let mut to_client = client.try_clone().expect("a socket");
                let from_server = server.try_clone().expect("a socket");
                let mut to_server = server;
                thread::spawn(move || {
                    pipe(from_server, |bytes| to_client.write_all(bytes));
                    let _ = to_client.shutdown(Shutdown::Both);
                });
                pipe(client, |bytes| to_server.write_all(bytes));
                let _ = to_server.shutdown(Shutdown::Both);
            });
        }
    });
    address
}

#[test]
fn a_crowd_does_not_empty_while_nobody_is_let_in_and_who_waits_is_counted() {
    let server = Server::start("newcomers");
    let output = server.load("register", server.starttls, &with_users("overload", &[]));
    assert!(output.status.success(), "{}", told(&output));
    let json = server.directory.join("newcomers.json");
    let json_text = json.display().to_string();
    let more = [
        "--set",
        "day.surge=20",
        "--set",
        "day.reserve=50",
        "--set",
        "day.surge-after=1 s",
        "--set",
        "day.surge-for=4 s",
        // One in a second of the crowd of eighteen.
        "--set",
        "day.leaves=200",
        "--set",
        "time.measure=8 s",
        "--json",
        &json_text,
    ];
    // The crowd and the reserve come in at first.
    let address = hold_newcomers(server.starttls, 38, Duration::from_secs(6));
    let output = server.load("run", address, &with_users("overload", &more));
    let result = RunResult::read(&json).expect("a result");
    let surge = result.surge.as_ref().expect("there was one");
    let within = |moment: &&Moment| moment.at > surge.from && moment.at < surge.to;
    let fewest = result.timeline.iter().filter(within).map(|m| m.sessions);
    assert!(fewest.min() >= Some(9), "{}", told(&output));
    let logins = surge.shed.withheld_logins;
    assert!(logins.put_off > 10 && logins.first.is_some(), "{logins:?}");
    // Of the reserve twenty came and wait: there is nobody who could come besides.
    assert!(
        surge.shed.logins.sent < surge.shed.logins.asked,
        "{surge:?}"
    );
    let said = told(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("% of what was asked"), "{said}");
}

/// Forwards connections to a server; with the twentieth message that any client sends, the one that came first ends.
fn end_the_first(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (count, first) = (Arc::new(AtomicU32::new(0)), Arc::new(OnceLock::new()));
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.expect("a client");
            let server = TcpStream::connect(server).expect("the server");
            let same = |socket: &TcpStream| socket.try_clone().expect("a socket");
            first.get_or_init(|| [same(&client), same(&server)]);
            let (mut to_client, from_server) = (same(&client), same(&server));
            thread::spawn(move || pipe(from_server, |bytes| to_client.write_all(bytes)));
            let (mut to_server, count, first) = (server, count.clone(), first.clone());
            thread::spawn(move || {
                pipe(client, |bytes| {
                    to_server.write_all(bytes)?;
                    let is_message = bytes.starts_with(b"<message");
                    if is_message && count.fetch_add(1, Ordering::Relaxed) == 20 {
                        for end in first.get().into_iter().flatten() {
                            end.shutdown(Shutdown::Both)?;
                        }
                    }
                    Ok(())
                });
            });
        }
    });
    address
}

/// A session that ends while the server sheds is no shedding.
#[test]
fn one_session_lost_in_a_surge_fails_the_run() {
    let server = Server::start("victim");
    let output = server.load("register", server.starttls, &with_users("overload", &[]));
    assert!(output.status.success(), "{}", told(&output));
    let json = server.directory.join("victim.json");
    let json_text = json.display().to_string();
    let changes = [
        // Of each twenty seats seven are taken. Who comes first has no contact there: nothing is lost with him.
        "day.online=35",
        "day.reserve=0",
        "day.leaves=0",
        "day.archive-reads=0",
        // Seven messages before it, 140 a second within: the twentieth is one of the surge.
        "day.surge=20",
        "day.surge-after=1 s",
        "day.surge-for=1500 ms",
        "time.measure=6 s",
    ];
    let changes = changes.iter().flat_map(|change| ["--set", change]);
    let more: Vec<&str> = ["--transport", "plain", "--json", &json_text]
        .into_iter()
        .chain(changes)
        .collect();
    for (address, closed) in [(server.plain, 0), (end_the_first(server.plain), 1)] {
        let output = server.load("run", address, &with_users("overload", &more));
        let said = told(&output);
        let result = RunResult::read(&json).expect("a result");
        let faults = Faults {
            closed,
            ..Faults::default()
        };
        assert_eq!(result.faults, faults, "{said}");
        // How soon all is as before is this machine's business as well.
        let surge = result.surge.as_ref().expect("there was one");
        let passes = closed == 0 && surge.failures().is_empty();
        assert_eq!(output.status.code(), Some(i32::from(!passes)), "{said}");
    }
}
