//! Copies of a running server's store, and disks without room.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::client::Client;
use crate::server::{House, LOCALHOST, PASSWORD};
use crate::stop::await_handled;

#[test]
fn a_copy_of_a_running_server_is_restored_with_its_accounts_and_messages() {
    let house = House::of_localhost("backup", "");
    let server = house.serve();
    house.add("romeo@localhost");
    house.add("juliet@localhost");
    let mut juliet = Client::session(&server, "juliet", "balcony");
    juliet.send("<enable xmlns='urn:xmpp:sm:3'/>");
    assert!(juliet.element().contains("<enabled"));
    say(&mut juliet, 1, "before");
    let copy = house.path("copy");
    let (fine, said) = house.tool(&["backup", copy.to_str().unwrap()], "");
    assert!(fine, "{said}");
    // A second copy to the same place is refused, and recorded as that.
    assert!(!house.tool(&["backup", copy.to_str().unwrap()], "").0);
    say(&mut juliet, 2, "after");
    house.add("nurse@localhost");
    drop(juliet);
    server.stop();
    let outcomes: Vec<String> = house
        .records()
        .iter()
        .filter(|record| {
            record["event"] == "backup" && record["directory"] == copy.to_str().unwrap()
        })
        .map(|record| record["outcome"].to_string())
        .collect();
    assert_eq!(outcomes, ["\"done\"", "\"failed\""]);
    // As conf/README.md says.
    let store = house.data.join("store");
    fs::rename(&store, house.path("store.broken")).unwrap();
    let copied = Command::new("cp").arg("-a").arg(&copy).arg(&store).status();
    assert!(copied.unwrap().success());
    let server = house.serve();
    let (fine, said) = house.tool(&["user", "list"], "");
    assert!(
        fine && said == "juliet@localhost\nromeo@localhost\n",
        "{said}"
    );
    let mut romeo = Client::session(&server, "romeo", "orchard");
    let message = romeo.element();
    assert!(message.contains("<body>before</body>"), "{message}");
    romeo.send("<iq type='get' id='end'><ping xmlns='urn:xmpp:ping'/></iq>");
    let end = romeo.element();
    assert!(end.contains("id='end'"), "only what was there then: {end}");
    drop(romeo);
    server.stop();
}

#[test]
fn a_client_that_knows_what_a_restored_store_has_lost_gets_the_whole_roster() {
    let house = House::of_localhost("versions", "");
    let server = house.serve();
    house.add("romeo@localhost");
    let mut romeo = Client::session(&server, "romeo", "orchard");
    add_contacts(&mut romeo, "old");
    let copy = house.path("copy");
    assert!(house.tool(&["backup", copy.to_str().unwrap()], "").0);
    add_contacts(&mut romeo, "lost");
    let known = roster(&mut romeo, "");
    let (_, version) = known.split_once("ver='").expect("a version");
    let (version, _) = version.split_once('\'').expect("its end");
    assert!(
        !roster(&mut romeo, version).contains("<query"),
        "it is known"
    );
    drop(romeo);
    server.stop();
    let store = house.data.join("store");
    fs::rename(&store, house.path("store.broken")).unwrap();
    let copied = Command::new("cp").arg("-a").arg(&copy).arg(&store).status();
    assert!(copied.unwrap().success());
    let server = house.serve();
    let mut romeo = Client::session(&server, "romeo", "orchard");
    // As many changes as were lost.
    add_contacts(&mut romeo, "new");
    let whole = roster(&mut romeo, version);
    assert!(
        whole.contains("old-0@") && whole.contains("new-0@"),
        "{whole}"
    );
    drop(romeo);
    server.stop();
}

fn add_contacts(client: &mut Client, name: &str) {
    for number in 0..3 {
        let item = format!("<item jid='{name}-{number}@localhost'/>");
        client.send(&format!(
            "<iq type='set' id='s'><query xmlns='jabber:iq:roster'>{item}</query></iq>"
        ));
        let answer = client.element();
        assert!(answer.contains("type='result'"), "{answer}");
    }
}

/// The answer to a request for the roster by a client that knows this version of it.
fn roster(client: &mut Client, version: &str) -> String {
    client.send(&format!(
        "<iq type='get' id='r'><query xmlns='jabber:iq:roster' ver='{version}'/></iq>"
    ));
    client.element()
}

/// Sends Romeo a message, the client's `number`th stanza, and waits until the server has it: it is kept before its sender
/// hears that it is handled.
fn say(client: &mut Client, number: usize, text: &str) {
    client.send(&format!(
        "<message to='romeo@localhost' type='chat'><body>{text}</body></message>"
    ));
    await_handled(client, number);
}

/// Whether Romeo's account has no room for a message: it answers a question behind it. Whatever else comes is of the
/// client's other resource.
fn is_refused(client: &mut Client, message: &str, turn: usize) -> bool {
    let id = format!("id='then-{turn}'");
    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    client.send(message);
    client.send(&format!(
        "<iq type='get' {id} to='romeo@localhost'>{ping}</iq>"
    ));
    let mut is_refused = false;
    loop {
        let element = client.element();
        if element.contains(&id) {
            return is_refused;
        }
        is_refused |= element.contains("<resource-constraint");
    }
}

/// A filesystem of its own over a directory; gone with the test.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    /// None where one may not mount.
    fn mount(at: &'a Path, size: &str) -> Option<Disk<'a>> {
        let options = format!("size={size},mode=700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(at)
            .output();
        mounted
            .is_ok_and(|mounted| mounted.status.success())
            .then_some(Disk(at))
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

/// What the next test proves on a disk of its own, for those who may not mount one.
#[test]
fn with_less_room_than_the_reserve_a_message_is_refused_once_and_the_server_stays_up() {
    let house = House::of_localhost("reserve", "");
    let server = house.serve();
    house.add("romeo@localhost");
    house.add("juliet@localhost");
    server.stop();
    // As full as a disk can be.
    house.configure("store.reserve_free = \"1000000000 GiB\"", LOCALHOST);
    let server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    for id in ["one", "two"] {
        let message = "<message to='romeo@localhost' type='chat'";
        juliet.send(&format!("{message} id='{id}'><body>hello</body></message>"));
        let error = juliet.element();
        assert!(error.contains("<resource-constraint"), "{error}");
        assert!(error.contains(&format!("id='{id}'")), "{error}");
        juliet.send("<iq type='get' id='only'><ping xmlns='urn:xmpp:ping'/></iq>");
        let behind = juliet.element();
        assert!(behind.contains("id='only'"), "a second answer: {behind}");
    }
    let (fine, said) = house.tool(&["user", "add", "nurse@localhost"], PASSWORD);
    assert!(!fine && said.contains("the disk is full"), "{said}");
    drop(juliet);
    server.stop();
    house.configure("", LOCALHOST);
    let server = house.serve();
    let mut romeo = Client::session(&server, "romeo", "orchard");
    romeo.send("<iq type='get' id='end'><ping xmlns='urn:xmpp:ping'/></iq>");
    let end = romeo.element();
    assert!(end.contains("id='end'"), "what was refused was kept: {end}");
    server.stop();
}

#[test]
fn a_full_disk_refuses_what_must_be_kept_and_recovers_by_itself() {
    let house = House::of_localhost("disk", "store.reserve_free = \"64 MiB\"");
    house.make_data();
    let Some(_disk) = Disk::mount(&house.data, "256m") else {
        // `scripts/test` and CI run as root, so that this is proved there.
        eprintln!("skipped: only root may mount a small filesystem");
        return;
    };
    let server = house.serve();
    house.add("romeo@localhost");
    house.add("juliet@localhost");
    let mut juliet = Client::session(&server, "juliet", "balcony");
    let filler = house.data.join("filler");
    let filled = Command::new("fallocate")
        .args(["-l", "200M"])
        .arg(&filler)
        .status();
    assert!(filled.unwrap().success());
    let message = "<message to='romeo@localhost' type='chat' id='m'><body>hello</body></message>";
    juliet.send(message);
    let error = juliet.element();
    assert!(error.contains("<resource-constraint"), "{error}");
    assert!(error.contains("id='m'"), "{error}");
    juliet.send("<iq type='get' id='only'><ping xmlns='urn:xmpp:ping'/></iq>");
    let behind = juliet.element();
    assert!(behind.contains("id='only'"), "a second answer: {behind}");
    let (fine, said) = house.tool(&["user", "add", "nurse@localhost"], PASSWORD);
    assert!(!fine && said.contains("the disk is full"), "{said}");
    // Logins and reads go on.
    let mut again = Client::session(&server, "juliet", "chamber");
    again.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
    // Behind the presence of her other resource.
    while !again.element().contains("id='p'") {}
    fs::remove_file(&filler).unwrap();
    house.add("nurse@localhost");
    drop(again);
    // Each worker looks once a second whether there is room again.
    let again = message.replace("hello", "again");
    let mut turn = 0;
    while is_refused(&mut juliet, &again, turn) {
        turn += 1;
    }
    let mut romeo = Client::session(&server, "romeo", "orchard");
    let message = romeo.element();
    assert!(message.contains("<body>again</body>"), "{message}");
    drop((romeo, juliet));
    server.stop();
}
