//! The load tool against a real server: every scenario with two parts, and a wire that loses or doubles one message.

#[allow(dead_code)] // Each of the tests that share it uses a part.
mod common;

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use stonechat_bench::client::people::PASSWORD;
use stonechat_bench::load::result::RunResult;
use stonechat_bench::process::unused_address;

use common::{Server, load, pipe, told, with_users};

#[test]
fn every_scenario_runs_on_a_real_server_with_two_parts() {
    let server = Server::start("scenarios");
    let output = server.load(
        "register",
        server.starttls,
        &with_users("day", &["--parts", "2"]),
    );
    assert!(output.status.success(), "{}", told(&output));
    let again = server.load(
        "register",
        server.starttls,
        &with_users("idle", &["--set", "users.contacts=0"]),
    );
    assert!(
        again.status.success(),
        "accounts that are there: {}",
        told(&again)
    );

    let idle = server.run(&with_users("idle", &[]));
    assert_eq!((idle.sessions, idle.parts), (40, 2));
    assert!(idle.server[0].memory[1] > 0);

    // Deriving keys takes an unoptimised driver a tenth of a second, on a busy machine much more.
    let long = ["--set", "time.measure=6 s"];
    let few = ["--set", "login.in-flight=8", "--mechanism", "scram-sha-256"];
    let login = server.run(&with_users("login", &[&few[..], &long[..]].concat()));
    assert!(
        login.counts.logins > 0 && login.latency.logins.count > 0,
        "{login:?}"
    );
    let fast = ["--set", "login.rate=5", "--mechanism", "fast"];
    let fast = server.run(&with_users("login", &[&fast[..], &long[..]].concat()));
    assert!(
        fast.counts.logins > 0 && fast.latency.logins.count > 0,
        "{fast:?}"
    );

    let chat = server.run(&with_users("chat", &["--set", "chat.window=3"]));
    assert!(chat.counts.messages_received > 40 && chat.cpu_per_operation() > Some(0.0));
    let recorded: u64 = chat
        .recorded
        .messages
        .0
        .iter()
        .map(|(_, count)| count)
        .sum();
    assert_eq!(chat.latency.messages.count, recorded);
    let rate = ["--set", "chat.rate=200"];
    let rate = server.run(&with_users("chat-rate", &[&rate[..], &long[..]].concat()));
    let sent = rate.counts.messages_sent as f64 / rate.seconds;
    // What a closed loop sends is a multiple; what a busy machine does not come to may be much.
    assert!(
        (60.0..260.0).contains(&sent),
        "{sent} a second instead of 200"
    );

    let presence = server.run(&with_users("presence", &["--set", "presence.speakers=10"]));
    assert!(
        presence.counts.presence_received >= 4 * 10,
        "{:?}",
        presence.counts
    );

    let mix = [
        "messages=3600",
        "presence=720",
        "archive-reads=720",
        "leaves=720",
        "cuts=600",
    ];
    let mix = mix.map(|value| format!("day.{value}"));
    let mix: Vec<&str> = mix
        .iter()
        .flat_map(|value| ["--set", value.as_str()])
        .collect();
    let day = server.run(&with_users("day", &[&mix[..], &long[..]].concat()));
    let counts = day.counts;
    assert!(
        counts.messages_received > 10 && counts.archive_reads > 0,
        "{counts:?}"
    );
    assert!(counts.cuts > 0 && counts.leaves > 0, "{counts:?}");
}

#[test]
fn accounts_and_contacts_can_be_made_again_and_more_of_them() {
    let server = Server::start("again");
    for (count, contacts) in [(10, 2), (10, 2), (20, 4)] {
        let users = [
            format!("users.count={count}"),
            format!("users.contacts={contacts}"),
            "users.community=10".to_owned(),
        ];
        let users = users.each_ref().map(|text| ["--set", text.as_str()]);
        let arguments = [&["day", "--parts", "2"][..], &users.concat()].concat();
        let output = server.load("register", server.starttls, &arguments);
        let said = told(&output);
        assert!(output.status.success(), "{count}, {contacts}: {said}");
    }
}

#[test]
fn accounts_of_a_list_get_their_contacts_where_nobody_may_register() {
    let server = Server::start("closed");
    let users = with_users("day", &["--set", "users.password=of-none-but-us"]);
    let list = server.directory.join("users");
    let output = Command::new(env!("CARGO_BIN_EXE_stonechat-load"))
        .arg("accounts")
        .args(&users)
        .args(["--format", "lines", "--out"])
        .arg(&list)
        .output();
    assert!(output.expect("the tool was just built").status.success());
    // Nobody has an account.
    let output = server.load("register", server.starttls, &users);
    let said = told(&output);
    assert!(
        !output.status.success() && said.contains("the registration was refused"),
        "{said}"
    );
    server.tool(&["user", "add", "--from", &list.display().to_string()]);
    let output = server.load("register", server.starttls, &users);
    assert!(output.status.success(), "{}", told(&output));
    // A login with fewer contacts than the scenario has would fail.
    server.run(&[&users[..], &["--set", "day.messages=3600"]].concat());
}

#[test]
fn every_way_in_is_an_option() {
    let server = Server::start("ways");
    let users = ["chat", "--set", "users.count=10"];
    let output = server.load("register", server.starttls, &users);
    assert!(output.status.success(), "{}", told(&output));
    let (direct, starttls) = (server.direct, server.starttls);
    let direct_tls = ["--transport", "direct-tls"];
    let keys_only = ["--set", "connection.keys-only=true"];
    for (address, options) in [
        (
            direct,
            [&direct_tls[..], &["--mechanism", "scram-sha-256"]].concat(),
        ),
        (
            direct,
            [&direct_tls[..], &["--mechanism", "plain"]].concat(),
        ),
        (
            direct,
            [&direct_tls[..], &["--mechanism", "fast"], &keys_only].concat(),
        ),
        (starttls, vec!["--mechanism", "plain", "--sasl2"]),
        (
            starttls,
            [
                &["--mechanism", "scram-sha-1", "--stream-management"][..],
                &keys_only,
            ]
            .concat(),
        ),
        (
            starttls,
            vec![
                "--mechanism",
                "scram-sha-256",
                "--sasl2",
                "--stream-management",
            ],
        ),
        (
            server.plain,
            vec![
                "--transport",
                "plain",
                "--threads",
                "2",
                "--source",
                "127.0.0.2-127.0.0.4",
            ],
        ),
    ] {
        let result = server.run_on(address, &[&users[..], &options].concat());
        assert!(
            result.counts.messages_received > 10,
            "{options:?}: {result:?}"
        );
    }
    // What TLS is not expected on, or is expected on, is an error and no hanging.
    let output = server.load(
        "run",
        server.direct,
        &[&users[..], &["--transport", "starttls"]].concat(),
    );
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let said = told(&output);
    assert!(said.contains("the server closed the connection"), "{said}");
}

#[test]
fn names_resources_and_passwords_have_any_letter() {
    let server = Server::start("letters");
    let users = ["chat", "--set", "users.count=4", "--set"];
    let names = ["users.prefix=a,b=c", "--set", "users.password=p&<'\">,="];
    let resource = ["--set", "users.resource=it's <my> & \"own\""];
    let users = [&users[..], &names, &resource].concat();
    let output = server.load("register", server.starttls, &users);
    assert!(output.status.success(), "{}", told(&output));
    for mechanism in ["scram-sha-1", "plain"] {
        let more = ["--mechanism", mechanism, "--set", "time.measure=1 s"];
        let output = server.load("run", server.starttls, &[&users[..], &more].concat());
        assert!(output.status.success(), "{mechanism}: {}", told(&output));
    }
}

#[test]
fn streams_that_break_are_resumed_whichever_way_one_came_in() {
    let server = Server::start("resumed");
    let users = with_users("day", &[]);
    let output = server.load("register", server.starttls, &users);
    assert!(output.status.success(), "{}", told(&output));
    for mechanism in ["scram-sha-1", "fast"] {
        let more = [
            "--mechanism",
            mechanism,
            "--set",
            "day.messages=3600",
            "--set",
            "day.cuts=3000",
            "--set",
            "day.leaves=0",
            "--set",
            "connection.keys-only=true",
            // Those that break at its end are resumed behind it.
            "--set",
            "time.measure=8 s",
        ];
        let counts = server.run(&with_users("day", &more)).counts;
        assert!(
            counts.cuts > 10 && counts.resumed > counts.cuts / 2,
            "{mechanism}: {counts:?}"
        );
    }
}

#[test]
fn parts_join_from_elsewhere() {
    let server = Server::start("joined");
    let users = ["chat", "--set", "users.count=12"];
    let output = server.load("register", server.starttls, &users);
    assert!(output.status.success(), "{}", told(&output));
    let meeting = unused_address().to_string();
    // They are there before the coordinator is.
    let part = || {
        Command::new(env!("CARGO_BIN_EXE_stonechat-load"))
            .args(["part", "--join", &meeting])
            .spawn()
            .expect("the tool was just built")
    };
    let parts = [part(), part()];
    let options = [
        "--parts", "3", "--listen", &meeting, "--joined", "2", "--json",
    ];
    let json = server.directory.join("joined.json");
    let json_text = json.display().to_string();
    let arguments = [&users[..], &options, &[&json_text]].concat();
    let output = server.load("run", server.starttls, &arguments);
    assert!(output.status.success(), "{}", told(&output));
    let result = RunResult::read(&json).expect("a result");
    assert_eq!((result.parts, result.sessions), (3, 12));
    assert!(
        told(&output).matches("has joined").count() == 2,
        "{}",
        told(&output)
    );
    for mut part in parts {
        assert!(part.wait().expect("it ends").success());
    }
}

/// What a wire does to one message.
#[derive(Clone, Copy, PartialEq)]
enum Wire {
    Keeps,
    Loses,
    Doubles,
}

/// Bytes of each message of the scenario `chat`.
const MESSAGE_BYTES: usize = 200;

/// Forwards connections to a server, and spoils the twentieth message that a client sends.
fn spoil(server: SocketAddr, wire: Wire) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let count = Arc::new(AtomicU32::new(0));
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (
                client.expect("a client"),
                TcpStream::connect(server).expect("the server"),
            );
            let (mut to_client, from_server) = (
                client.try_clone().expect("a socket"),
                server.try_clone().expect("a socket"),
            );
            thread::spawn(move || pipe(from_server, |bytes| to_client.write_all(bytes)));
            let (mut to_server, count) = (server, count.clone());
            thread::spawn(move || {
                pipe(client, |bytes| {
                    // Others may have come behind it in one piece.
                    let first = bytes.get(..MESSAGE_BYTES).filter(|first| {
                        first.starts_with(b"<message") && first.ends_with(b"</message>")
                    });
                    let is_it = first.is_some() && count.fetch_add(1, Ordering::Relaxed) == 20;
                    match (first.filter(|_| is_it), wire) {
                        (Some(_), Wire::Loses) => to_server.write_all(&bytes[MESSAGE_BYTES..]),
                        (Some(first), Wire::Doubles) => {
                            to_server.write_all(&[first, bytes].concat())
                        }
                        _ => to_server.write_all(bytes),
                    }
                });
            });
        }
    });
    address
}

#[test]
fn one_message_lost_or_doubled_on_the_way_fails_the_run() {
    let server = Server::start("wire");
    let users = ["chat", "--set", "users.count=4"];
    let output = server.load("register", server.starttls, &users);
    assert!(output.status.success(), "{}", told(&output));
    for (wire, word) in [
        (Wire::Keeps, "passed"),
        (Wire::Loses, "1 lost"),
        (Wire::Doubles, "1 duplicated"),
    ] {
        let address = spoil(server.plain, wire);
        let mut arguments = users.to_vec();
        arguments.extend(["--transport", "plain", "--set", "time.patience=10 s"]);
        let output = server.load("run", address, &arguments);
        let said = told(&output);
        assert!(said.contains(word), "{word}: {said}");
        let wanted = i32::from(wire != Wire::Keeps);
        assert_eq!(output.status.code(), Some(wanted), "{said}");
    }
}

#[test]
fn where_a_result_cannot_be_written_nothing_is_run() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let output = load("run", address, &["chat", "--json", "/nowhere/result.json"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(
        told(&output).contains("/nowhere/result.json"),
        "{}",
        told(&output)
    );
    listener.set_nonblocking(true).expect("a socket");
    assert!(listener.accept().is_err(), "it was run all the same");
}

#[test]
fn a_result_and_its_page_do_not_hold_the_accounts_password() {
    let server = Server::start("written");
    let users = ["chat", "--set", "users.count=4"];
    let output = server.load("register", server.starttls, &users);
    assert!(output.status.success(), "{}", told(&output));
    let (json, page) = (
        server.directory.join("r.json"),
        server.directory.join("r.html"),
    );
    let (json_text, page_text) = (json.display().to_string(), page.display().to_string());
    let more = ["--json", &json_text, "--report", &page_text];
    let output = server.load("run", server.starttls, &[&users[..], &more].concat());
    assert!(output.status.success(), "{}", told(&output));
    for file in [json, page] {
        let text = fs::read_to_string(&file).expect("it was written");
        assert!(!text.contains(PASSWORD), "{}", file.display());
    }
}

#[test]
fn a_bad_scenario_is_an_error_with_its_line() {
    let file = std::env::temp_dir().join(format!("stonechat-load-bad-{}.toml", std::process::id()));
    fs::write(&file, "scenario = 'chat'\n[chat]\nwindows = 2\n").expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_stonechat-load"))
        .arg("run")
        .arg(&file)
        .output()
        .expect("the tool was just built");
    fs::remove_file(&file).expect("it was there");
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("line 3"), "{}", told(&output));
}
