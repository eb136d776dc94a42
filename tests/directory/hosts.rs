//! Hosts of one server whose directories have nothing to do with each other, and a host whose options become others while it
//! runs.

use std::fs;
use std::net::TcpStream;
use std::time::Instant;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::changes::{beside, until_said};
use crate::client::{Client, SASL, auth, plain};
use crate::groups::commands;
use crate::house::{Authority, Files};
use crate::keys::{self, decoded};
use crate::rosters::{listed, member, roster, serve, until_all};
use crate::scram::Scram;
use crate::served::{is_failure, options, try_password};
use crate::server::{House, Server};
use crate::slapd::{JULIET, PASSWORD, PATIENCE, SERVICE, SERVICE_PASSWORD, Slapd};
use crate::stand_in::{Entry, StandIn};

/// A connection to this host, and what it offers.
fn open(server: &Server, host: &str) -> (Client, String) {
    let socket = TcpStream::connect(("127.0.0.1", server.tls_port)).unwrap();
    let mut client = Client::over(socket).meaning(host);
    client.shake_hands();
    let features = client.open();
    (client, features)
}

/// What Juliet hears who logs in by SCRAM-SHA-256.
fn scram(server: &Server, host: &str, password: &str) -> String {
    let (mut client, _) = open(server, host);
    let mut scram = Scram::new("juliet", password, "nonce").with_header("n,,", b"");
    let first = BASE64_STANDARD.encode(scram.first());
    client.send(&format!(
        "<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{first}</auth>"
    ));
    let challenge = client.element();
    if !challenge.starts_with("<challenge") {
        return challenge;
    }
    let last = scram.last(&decoded(&challenge)).unwrap();
    let last = BASE64_STANDARD.encode(last);
    client.send(&format!("<response xmlns='{SASL}'>{last}</response>"));
    client.element()
}

#[test]
fn two_hosts_have_two_kinds_of_authentication() {
    let (verona, mantua) = (Slapd::start("binds"), keys::directory("has-keys"));
    verona.set_password(JULIET, "in fair verona");
    // Set by an administrator, so she would have to change it.
    verona.change(&format!(
        "dn: {JULIET}\nchangetype: modify\ndelete: pwdReset\n"
    ));
    let with_keys = options(&mantua, "authentication = \"scram\"\n");
    let hosts = options(&verona, "")
        + &with_keys.replace("name = \"localhost\"", "name = \"mantua.example\"");
    let house = House::new("directory-kinds", "", &hosts);
    let server = house.serve();
    for (host, offered, absent) in [
        ("localhost", ">PLAIN<", "SCRAM-"),
        ("mantua.example", ">SCRAM-SHA-256<", "PLAIN"),
    ] {
        let (_, features) = open(&server, host);
        assert!(features.contains(offered), "{host}: {features}");
        assert!(!features.contains(absent), "{host}: {features}");
    }
    let by_plain = |host: &str, password: &str| {
        let (mut client, _) = open(&server, host);
        client.send(&auth(&plain("juliet", password)));
        client.element()
    };
    assert!(by_plain("localhost", "in fair verona").starts_with("<success"));
    assert!(is_failure(
        &by_plain("localhost", PASSWORD),
        "not-authorized"
    ));
    let refused = by_plain("mantua.example", PASSWORD);
    assert!(is_failure(&refused, "invalid-mechanism"), "{refused}");
    assert!(scram(&server, "mantua.example", PASSWORD).starts_with("<success"));
    let wrong = scram(&server, "mantua.example", "in fair verona");
    assert!(is_failure(&wrong, "not-authorized"), "{wrong}");
    let refused = scram(&server, "localhost", "in fair verona");
    assert!(is_failure(&refused, "invalid-mechanism"), "{refused}");
}

/// Has what is in force read anew, with this in the place of that.
pub fn reload(house: &House, before: &str, now: &str) {
    let text = fs::read_to_string(house.path("stonechat.toml")).unwrap();
    assert!(text.contains(before), "{text}");
    house.write_config(&text.replace(before, now));
    let (fine, said) = house.tool(&["reload"], "");
    assert!(fine, "{said}");
}

#[test]
fn groups_go_on_over_a_reload_and_mean_what_the_options_say_from_then_on() {
    let directory = Slapd::start("reloaded");
    let section = "lists = [\"montagues\"]\nmanagers = [\"rulers\"]\n";
    let house = listed("reloaded", &directory, section);
    let server = serve(&house);
    let mut romeo = Client::session(&server, "romeo", "orchard");
    assert_eq!(roster(&mut romeo, "").matches("<item ").count(), 2);
    let mut escalus = Client::session(&server, "escalus", "palace");
    assert!(commands(&mut escalus).contains("node='groups'"));
    // With options that are the same nobody hears of it, and of what comes behind it everybody does.
    reload(&house, section, section);
    member(&directory, "add", "mercutio", "montagues");
    let heard = until_all(&mut romeo, &["<item jid='mercutio@localhost'"]);
    assert_eq!(heard.matches("<item ").count(), 1, "{heard}");
    let names = ["benvolio", "mercutio", "montague"];
    let gone = names.map(|name| format!("<item jid='{name}@localhost' subscription='remove'/>"));
    let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
    let there = names.map(|name| format!("<item jid='{name}@localhost' name="));
    let there: Vec<&str> = there.iter().map(String::as_str).collect();
    let other = "lists = [\"capulets\"]\n";
    reload(&house, section, other);
    until_all(&mut romeo, &gone);
    let begun = Instant::now();
    while commands(&mut escalus).contains("node='groups'") {
        assert!(begun.elapsed() < PATIENCE);
    }
    reload(&house, other, section);
    until_all(&mut romeo, &there);
    let begun = Instant::now();
    while !commands(&mut escalus).contains("node='groups'") {
        assert!(begun.elapsed() < PATIENCE);
    }
    // Without the section they mean nothing.
    let text = fs::read_to_string(house.path("stonechat.toml")).unwrap();
    let (_, behind) = text.split_once("[host.directory_groups]").unwrap();
    reload(&house, &format!("[host.directory_groups]{behind}"), "");
    until_all(&mut romeo, &gone);
    let seen = roster(&mut romeo, "");
    assert!(!seen.contains("<item "), "{seen}");
    assert!(!commands(&mut escalus).contains("node='groups'"));
}

#[test]
fn a_reload_leaves_a_directory_alone_whose_options_and_files_are_the_same() {
    let directory = StandIn::start(vec![Entry::person("juliet")]);
    let files = Files::new("kept");
    let authority = Authority::new(&files);
    let ca = files.write(
        "ca.pem",
        &fs::read_to_string(&authority.certificate).unwrap(),
    );
    let more =
        format!("ca = {ca:?}\nsearch_connections = 1\nbind_connections = 1\npoll = \"1 h\"\n");
    let house = beside("kept", &directory, &files, &more);
    let mut server = house.serve();
    // Who follows people has a connection, too.
    until_said(&mut server, "directory_looked host=localhost");
    let connections_of_a_login = || {
        let before = directory.connections();
        drop(Client::session(&server, "juliet", "balcony"));
        directory.connections() - before
    };
    assert!(connections_of_a_login() >= 2);
    for _ in 0..2 {
        reload(&house, &more, &more);
        assert_eq!(connections_of_a_login(), 0);
    }
    // What is in a file counts, and not what the file is called.
    let other = Authority::new(&files);
    fs::copy(&other.certificate, &ca).unwrap();
    reload(&house, &more, &more);
    assert!(connections_of_a_login() >= 2);
    files.write("password", "another one");
    reload(&house, &more, &more);
    let heard = try_password(&server, "juliet", PASSWORD);
    assert!(is_failure(&heard, "temporary-auth-failure"), "{heard}");
    let bind = (SERVICE.to_owned(), "another one".to_owned());
    assert!(directory.binds().contains(&bind));
    files.write("password", SERVICE_PASSWORD);
    reload(&house, &more, &more);
    assert!(connections_of_a_login() >= 2);
    // An option.
    reload(&house, "poll = \"1 h\"", "poll = \"2 h\"");
    assert!(connections_of_a_login() >= 2);
}
