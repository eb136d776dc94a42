//! What clients remember of rosters that lists put colleagues into: versions (XEP-0237), of which none says more than its
//! client was told.

use crate::client::Client;
use crate::rosters::{all, item, listed, many, member, roster, serve, set, until};
use crate::server::Server;
use crate::slapd::{BASE, Slapd};

/// The version that an answer or a push tells.
fn ver(heard: &str) -> String {
    let (_, rest) = heard.split_once(" ver='").unwrap();
    rest.split('\'').next().unwrap().to_owned()
}

#[test]
fn a_version_tells_what_was_seen_of_the_lists_too() {
    let directory = Slapd::start("versions");
    let house = listed("versions", &directory, "lists = [\"montagues\"]\n");
    let server = serve(&house);
    let mut romeo = Client::session(&server, "romeo", "orchard");
    // A roster of which nothing was ever the user's own has no name of its own yet.
    set(&mut romeo, "<item jid='nurse@localhost' name='Nurse'/>");
    let first = ver(&roster(&mut romeo, " ver=''"));
    let nothing = roster(&mut romeo, &format!(" ver='{first}'"));
    assert!(!nothing.contains("<query"), "{nothing}");
    set(&mut romeo, "<item jid='juliet@localhost' name='Love'/>");
    let pushed = ver(&until(&mut romeo, "type='set'"));
    assert_ne!(pushed, first);
    // What changed since is told item by item while only his own did.
    let nothing = roster(&mut romeo, &format!(" ver='{first}'"));
    assert!(!nothing.contains("<query"), "{nothing}");
    let again = until(&mut romeo, "juliet@localhost");
    assert_eq!(ver(&again), pushed);
    // It lasts over a restart, and ends with a change of the list.
    server.stop();
    member(&directory, "add", "mercutio", "montagues");
    member(&directory, "delete", "mercutio", "montagues");
    let server = serve(&house);
    let mut romeo = Client::session(&server, "romeo", "orchard");
    let nothing = roster(&mut romeo, &format!(" ver='{pushed}'"));
    assert!(!nothing.contains("<query"), "{nothing}");
    server.stop();
    member(&directory, "add", "mercutio", "montagues");
    let server = serve(&house);
    let mut romeo = Client::session(&server, "romeo", "orchard");
    let whole = roster(&mut romeo, &format!(" ver='{pushed}'"));
    for name in ["mercutio", "benvolio", "juliet"] {
        assert!(
            whole.contains(&format!("jid='{name}@localhost'")),
            "{whole}"
        );
    }
}

#[test]
fn members_of_a_large_list_hear_of_its_changes_with_their_next_roster() {
    let directory = Slapd::start("large");
    let house = listed("large", &directory, "lists = [\"montagues\"]\npushes = 3\n");
    let mut server = serve(&house);
    let mut romeo = Client::session(&server, "romeo", "orchard");
    let mut mercutio = Client::session(&server, "mercutio", "square");
    roster(&mut romeo, "");
    member(&directory, "add", "mercutio", "montagues");
    server.until_logged("directory_groups host=localhost people=4");
    // They see each other at once all the same.
    let seen = until(&mut romeo, "mercutio@localhost");
    assert!(seen.starts_with("<presence"), "{seen}");
    until(&mut mercutio, "from='romeo@localhost/orchard'");
    assert!(!all(&mut romeo).contains("<iq"));
    let seen = roster(&mut romeo, "");
    assert!(
        seen.contains(&item("mercutio", "Mercutio", "both", &["montagues"])),
        "{seen}"
    );
}

/// Romeo, who has asked for his roster as clients do that keep versions.
fn versioned(server: &Server) -> Client {
    let mut romeo = Client::session(server, "romeo", "orchard");
    let whole = roster(&mut romeo, " ver=''");
    assert!(whole.contains(" ver='"), "{whole}");
    romeo
}

/// He is told of something of his own, leaves, and comes back with the version that he was told: this colleague is there.
fn expect_at_return(server: &Server, mut romeo: Client, colleague: &str) {
    set(&mut romeo, "<item jid='nurse@localhost' name='Nurse'/>");
    let pushed = ver(&until(&mut romeo, "<item jid='nurse@localhost'"));
    drop(romeo);
    let mut romeo = Client::session(server, "romeo", "garden");
    let seen = roster(&mut romeo, &format!(" ver='{pushed}'"));
    let item = format!("<item jid='{colleague}@localhost'");
    assert!(seen.contains(&item), "{seen}");
}

#[test]
fn a_change_of_a_large_list_is_not_seen_with_a_push_of_something_else() {
    let directory = Slapd::start("unseen");
    let more = "lists = [\"montagues\"]\npushes = 3\n";
    let house = listed("unseen", &directory, more);
    let server = serve(&house);
    let mut romeo = versioned(&server);
    let _mercutio = Client::session(&server, "mercutio", "square");
    member(&directory, "add", "mercutio", "montagues");
    // He has heard of it when he sees him.
    until(&mut romeo, "from='mercutio@localhost/square'");
    expect_at_return(&server, romeo, "mercutio");
}

#[test]
fn more_colleagues_than_are_told_one_by_one_are_not_seen_with_a_push_of_something_else() {
    let directory = many("unseen-crowd", 70);
    let house = listed("unseen-crowd", &directory, "lists = [\"crowd\"]\n");
    let server = serve(&house);
    let mut romeo = versioned(&server);
    let _benvolio = Client::session(&server, "benvolio", "street");
    let members = directory.values(&format!("cn=everyone,ou=groups,{BASE}"), "member");
    let members = members.iter().map(|member| format!("member: {member}\n"));
    directory.change(&format!(
        "dn: cn=crowd,ou=groups,{BASE}\nobjectClass: groupOfNames\ncn: crowd\n{}",
        members.collect::<String>()
    ));
    until(&mut romeo, "from='benvolio@localhost/street'");
    expect_at_return(&server, romeo, "u00042");
}
