//! A directory in which nearly everybody is missing is not believed: nobody is let go for it, and lists stay until it says so
//! once more.

use std::time::Instant;

use crate::changes::until_said;
use crate::client::Client;
use crate::faults::QUICK;
use crate::proofs::{show_token_of, token_of};
use crate::rosters::{person, roster, until};
use crate::served::house;
use crate::server::{House, Server};
use crate::slapd::{BASE, PASSWORD, PATIENCE, SERVICE, Slapd};

/// Thirty people.
fn pages() -> String {
    let page = |index| {
        format!(
            "dn: {}\nobjectClass: inetOrgPerson\nuid: page{index}\ncn: Page\nsn: Page\nuserPassword: {PASSWORD}\n\n",
            person(&format!("page{index}"))
        )
    };
    (0..30).map(page).collect()
}

/// To Stonechat they are not there any more, as below a wrong base or with a filter that means others.
fn hide_pages(directory: &Slapd) {
    directory.configure(&format!(
        "dn: olcDatabase={{1}}mdb,cn=config\nchangetype: modify\nadd: olcAccess\n\
         olcAccess: {{0}}to dn.regex=\"^uid=page[0-9]+,ou=people,{BASE}$\" by dn.exact=\"{SERVICE}\" none by * break\n"
    ));
}

/// They are there again, each in the entry that it was.
fn show_pages(directory: &Slapd) {
    directory.configure(
        "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\ndelete: olcAccess\nolcAccess: {0}\n",
    );
}

/// Removes somebody; what is logged when that is heard of.
fn delete(directory: &Slapd, name: &str) -> String {
    directory.change(&format!("dn: {}\nchangetype: delete\n", person(name)));
    format!("directory_gone entry={:?}", person(name))
}

/// Has the thirty, of whom nobody was heard yet, be looked up, which gives each an account. Whose turn comes too late is asked
/// for again.
fn greet_pages(house: &House, client: &mut Client) {
    let begun = Instant::now();
    while house.tool(&["user", "list"], "").1.lines().count() < 31 {
        assert!(begun.elapsed() < PATIENCE, "not all have an account");
        for index in 0..30 {
            client.send(&format!(
                "<message to='page{index}@localhost' type='chat'><body>Go</body></message>"
            ));
        }
        client.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
        until(client, "type='result'");
    }
}

/// Behind what was kept for them.
fn is_still_here(client: &mut Client) {
    client.send("<iq type='get' id='still' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    let answer = until(client, "id='still'");
    assert!(answer.contains("type='result'"), "{answer}");
}

/// One of those who are hidden has a session, another a token, and all come in once they are shown again.
fn nobody_was_let_go(server: &Server, directory: &Slapd, page: &mut Client, token: &str) {
    is_still_here(page);
    assert!(!server.printed().contains("directory_let_go"));
    show_pages(directory);
    let welcome = show_token_of(server, "page1", token);
    assert!(welcome.starts_with("<success"), "{welcome}");
    Client::session(server, "page2", "gate");
    is_still_here(page);
}

#[test]
fn nobody_is_let_go_because_the_directory_looks_empty() {
    let directory = Slapd::start("empty");
    directory.change(&pages());
    let house = house("empty", &directory, "listen = false\npoll = \"1 s\"\n");
    let mut server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    greet_pages(&house, &mut juliet);
    let mut page = Client::session(&server, "page0", "gate");
    let token = token_of(&server, "page1", PASSWORD);
    server.until_logged("directory_looked host=localhost accounts=31 ");
    hide_pages(&directory);
    server.until_logged("directory_nearly_empty host=localhost accounts=31 missing=30");
    // Whoever is let go is so before a look is over.
    server.until_logged("directory_looked host=localhost accounts=31 ");
    nobody_was_let_go(&server, &directory, &mut page, &token);
}

#[test]
fn nobody_is_let_go_because_the_directory_tells_of_nearly_nobody() {
    let mut directory = Slapd::start("tells-empty");
    directory.change(&pages());
    let house = house(
        "tells-empty",
        &directory,
        &format!("poll = \"1 h\"\n{QUICK}"),
    );
    let mut server = house.serve();
    until_said(&mut server, "directory_followed host=localhost people=39");
    let mut juliet = Client::session(&server, "juliet", "balcony");
    greet_pages(&house, &mut juliet);
    let mut page = Client::session(&server, "page0", "gate");
    let token = token_of(&server, "page1", PASSWORD);
    hide_pages(&directory);
    server.until_logged(&delete(&directory, "mercutio"));
    // It has forgotten when that was, and tells of everybody anew.
    directory.kill();
    directory.start_again();
    directory.until_logged("consumer state is newer than provider");
    server.until_logged("directory_nearly_empty host=localhost accounts=31 missing=30");
    // What it tells next is heard when whoever is let go is so.
    server.until_logged(&delete(&directory, "nurse"));
    nobody_was_let_go(&server, &directory, &mut page, &token);
}

#[test]
fn a_list_that_nearly_everybody_is_gone_from_is_another_when_the_directory_says_so_again() {
    let directory = Slapd::start("emptied-list");
    let pages_of = |names: &[String]| -> String {
        let members = names
            .iter()
            .map(|name| format!("member: {}\n", person(name)));
        members.collect()
    };
    let mut all: Vec<String> = (0..30).map(|index| format!("page{index}")).collect();
    all.push("juliet".to_owned());
    let group = format!("cn=pages,ou=groups,{BASE}");
    directory.change(&format!(
        "{}dn: {group}\nobjectClass: groupOfNames\ncn: pages\n{}",
        pages(),
        pages_of(&all)
    ));
    // Read when the directory tells.
    let house = house(
        "emptied-list",
        &directory,
        &format!(
            "poll = \"1 h\"\n[host.directory_groups]\nbase = \"ou=groups,{BASE}\"\nlists = [\"pages\"]\n"
        ),
    );
    let mut server = house.serve();
    until_said(&mut server, "directory_listens of=groups of localhost");
    let of_list = |people: u32| format!("directory_groups host=localhost people={people} lists=1 ");
    until_said(&mut server, &of_list(31));
    let mut juliet = Client::session(&server, "juliet", "balcony");
    let replace = |names: &[String]| {
        directory.change(&format!(
            "dn: {group}\nchangetype: modify\nreplace: member\n{}",
            pages_of(names)
        ));
    };
    // Once this was told, nothing from before is.
    all.push("romeo".to_owned());
    replace(&all);
    server.until_logged(&of_list(32));
    replace(&all[29..]);
    server.until_logged("directory_groups_nearly_empty host=localhost people=3 before=32");
    let seen = roster(&mut juliet, "");
    for name in ["page0", "page28", "page29", "romeo"] {
        assert!(
            seen.contains(&format!("{name}@localhost")),
            "{name}: {seen}"
        );
    }
    assert!(!server.printed().contains(&of_list(3)));
    // Nothing but that the group was touched.
    directory.change(&format!(
        "dn: {group}\nchangetype: modify\nreplace: description\ndescription: Pages\n"
    ));
    server.until_logged(&of_list(3));
    let begun = Instant::now();
    let seen = loop {
        let seen = roster(&mut juliet, "");
        if !seen.contains("page28@localhost") {
            break seen;
        }
        assert!(begun.elapsed() < PATIENCE, "{seen}");
    };
    assert!(
        seen.contains("page29@localhost") && seen.contains("romeo@localhost"),
        "{seen}"
    );
}
