//! Directories that would end the server, fill its memory, or let in whom they should not know: whoever logs in hears in
//! time that it failed, who is here notices nothing, and all is well once the directory is.

use std::time::{Duration, Instant};

use crate::client::Client;
use crate::faults::until_let_in;
use crate::served::{is_failure, try_password};
use crate::server::{House, Server};
use crate::slapd::{BASE, PASSWORD, SERVICE, SERVICE_PASSWORD};
use crate::stand_in::{Entry, Mode, StandIn};

/// What a login may take at most with the timeouts of [`house`]: an answer cut short, another server's, air for a busy
/// machine; less than streams have to log in.
const DEADLINE: Duration = Duration::from_secs(25);
/// What an answer may cost: messages of the greatest length on every connection.
const MEMORY_MAX: usize = 64 * 1024 * 1024;

fn house(test: &str, stand_in: &StandIn) -> House {
    // Time enough for everything that it sends: what ends a connection is to be what it sent.
    let hosts = format!(
        "[[host]]\nname = \"localhost\"\n[host.directory]\nservers = [{:?}]\nstart_tls = false\nbase = \"ou=people,{BASE}\"\n\
         bind_dn = \"{SERVICE}\"\npassword_file = \"password\"\nunique = \"-\"\nconnect_timeout = \"5 s\"\noperation_timeout = \"5 s\"\n\
         queue_timeout = \"1 s\"\n",
        stand_in.url(),
    );
    let house = House::new(&format!("misbehaves-{test}"), "", &hosts);
    std::fs::write(house.path("password"), format!("{SERVICE_PASSWORD}\n")).unwrap();
    house
}

/// The most bytes of memory that the process ever had.
fn memory(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let mut lines = status.lines();
    let line = lines.find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// Logins meet this mode with this condition, in time and within [`MEMORY_MAX`].
fn meets(mode: Mode, condition: &str) {
    let stand_in = StandIn::start(vec![Entry::person("juliet"), Entry::person("romeo")]);
    let house = house(&format!("{mode:?}"), &stand_in);
    let server = house.serve();
    let mut romeo = Client::session(&server, "romeo", "orchard");
    let before = memory(&server);
    stand_in.set(mode);
    stand_in.cut();
    for _ in 0..2 {
        let begun = Instant::now();
        let heard = try_password(&server, "juliet", PASSWORD);
        let took = begun.elapsed();
        assert!(is_failure(&heard, condition), "{mode:?}: {heard}");
        assert!(took < DEADLINE, "{mode:?}: {took:?}");
    }
    let grown = memory(&server) - before;
    assert!(grown < MEMORY_MAX, "{mode:?}: {grown} bytes more");
    // Who is nobody there is let go when it is looked for him, which may be just now.
    if condition == "temporary-auth-failure" {
        romeo.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
        assert!(romeo.element().contains("type='result'"));
    }
    stand_in.set(Mode::Well);
    until_let_in(&server);
}

#[test]
fn a_message_of_two_gigabytes_is_refused_by_its_head() {
    meets(Mode::HugeLength, "temporary-auth-failure");
}

#[test]
fn a_message_that_is_deeper_than_any_stack_is_refused_by_its_depth() {
    meets(Mode::Nested, "temporary-auth-failure");
}

#[test]
fn somebody_of_another_part_of_the_tree_is_nobody_here() {
    meets(Mode::OtherBase, "not-authorized");
}

#[test]
fn a_server_that_does_not_answer_start_tls_is_a_matter_of_time() {
    let stand_in = StandIn::start(vec![Entry::person("juliet")]);
    let house = house("starttls", &stand_in);
    let text = std::fs::read_to_string(house.path("stonechat.toml")).unwrap();
    house.write_config(&text.replace("start_tls = false\n", ""));
    for mode in [Mode::Silent, Mode::Garbage] {
        stand_in.set(mode);
        let server = house.serve();
        let begun = Instant::now();
        let heard = try_password(&server, "juliet", PASSWORD);
        assert!(is_failure(&heard, "temporary-auth-failure"), "{heard}");
        assert!(begun.elapsed() < DEADLINE, "{mode:?} {:?}", begun.elapsed());
        assert_eq!(stand_in.binds(), [], "a password went out in the clear");
    }
}
