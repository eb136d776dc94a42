//! What becomes of an entry is heard late, or seen by a look that took long: whoever has the name by then stays.

use std::time::Instant;

use crate::changes::{beside, beside_with, is_here, until_said};
use crate::client::Client;
use crate::house::Files;
use crate::server::House;
use crate::slapd::PATIENCE;
use crate::stand_in::{Entry, Mode, StandIn};

/// Somebody else of this name.
fn another(name: &str) -> Entry {
    let mut entry = Entry::person(name);
    for (attribute, value) in &mut entry.attributes {
        if attribute == "entryUUID" {
            *value = format!("ffffffff-0000-0000-0000-{name:0>12}");
        }
    }
    entry
}

/// The operator sees to it that nothing of the first is left.
fn remove(house: &House, name: &str) {
    let (fine, said) = house.tool(&["user", "remove", &format!("{name}@localhost")], "");
    assert!(fine, "{said}");
}

#[test]
fn who_has_the_name_since_stays_when_a_deletion_is_told_late() {
    let (first, second) = (Entry::person("juliet"), another("juliet"));
    let romeos = Entry::person("romeo");
    let directory = StandIn::start(vec![first.clone(), romeos.clone()]);
    directory.offer_to_tell();
    directory.set(Mode::TellsOfNoChange);
    let files = Files::new("late-told");
    let house = beside("late-told", &directory, &files, "");
    let mut server = house.serve();
    until_said(&mut server, "directory_followed host=localhost people=2");
    drop(Client::session(&server, "juliet", "balcony"));
    let mut romeo = Client::session(&server, "romeo", "orchard");
    directory.have(vec![second.clone(), romeos.clone()]);
    remove(&house, "juliet");
    let mut juliet = Client::session(&server, "juliet", "balcony");
    directory.tell_gone(0, &first);
    // It is heard when what is told behind it is.
    directory.tell_gone(1, &romeos);
    romeo.fails_with("reset");
    until_said(
        &mut server,
        "directory_let_go account=romeo@localhost standing=Unknown",
    );
    is_here(&mut juliet);
    let printed = server.printed();
    assert!(!printed.contains("directory_let_go account=juliet"));
    // Her own is heard, too.
    directory.tell_of(2, &second);
    directory.tell_gone(2, &second);
    juliet.fails_with("reset");
}

#[test]
fn who_has_the_name_since_a_look_began_is_not_judged_by_it() {
    let romeos = Entry::person("romeo");
    let directory = StandIn::start(vec![Entry::person("juliet"), romeos.clone()]);
    let files = Files::new("late-look");
    let times = "operation_timeout = \"60 s\"\nqueue_timeout = \"60 s\"\n";
    let more = format!("listen = false\npoll = \"1 s\"\n{times}");
    let house = beside_with("late-look", &directory, &files, &more);
    let mut server = house.serve();
    drop(Client::session(&server, "juliet", "balcony"));
    let mut romeo = Client::session(&server, "romeo", "orchard");
    directory.have(vec![romeos.clone()]);
    directory.set(Mode::HoldsLooks);
    let begun = Instant::now();
    while directory.held() == 0 {
        assert!(begun.elapsed() < PATIENCE, "nobody looks");
        std::thread::yield_now();
    }
    directory.have(vec![another("juliet"), romeos]);
    remove(&house, "juliet");
    let mut juliet = Client::session(&server, "juliet", "balcony");
    directory.set(Mode::Well);
    // The look is over when the next one has found somebody else gone.
    directory.have(vec![another("juliet")]);
    romeo.fails_with("reset");
    until_said(
        &mut server,
        "directory_let_go account=romeo@localhost standing=Unknown",
    );
    is_here(&mut juliet);
    // The next one judges her.
    directory.have(Vec::new());
    juliet.fails_with("reset");
}
