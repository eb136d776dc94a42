//! A directory in which nearly everybody is missing is not believed: nobody is let go for it.

use std::time::Instant;

use crate::changes::until_said;
use crate::client::Client;
use crate::rosters::until;
use crate::served::house;
use crate::server::House;
use crate::slapd::{BASE, PATIENCE, Slapd};

/// Has thirty people of whom nobody was heard yet be looked up, which gives each an account. Whose turn comes too late is asked
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

#[test]
fn nobody_is_let_go_because_the_directory_looks_empty() {
    let directory = Slapd::start("empty");
    let mut people = String::new();
    for index in 0..30 {
        people.push_str(&format!(
            "dn: uid=page{index},ou=people,dc=verona,dc=example\nobjectClass: inetOrgPerson\nuid: page{index}\n\
             cn: Page\nsn: Page\n\n"
        ));
    }
    directory.change(&people);
    let house = house("empty", &directory, "listen = false\npoll = \"1 s\"\n");
    let mut server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    greet_pages(&house, &mut juliet);
    let deletes = (0..30).map(|index| {
        format!("dn: uid=page{index},ou=people,dc=verona,dc=example\nchangetype: delete\n\n")
    });
    server.until_logged("directory_looked host=localhost accounts=31 ");
    directory.change(&deletes.collect::<String>());
    server.until_logged("directory_nearly_empty host=localhost accounts=31 missing=30");
}

#[test]
fn nobody_is_let_go_because_the_directory_tells_of_nearly_nobody() {
    let directory = Slapd::start("tells-empty");
    let name = |index: u32| format!("uid=page{index},ou=people,{BASE}");
    let people = (0..30).map(|index| {
        format!(
            "dn: {}\nobjectClass: inetOrgPerson\nuid: page{index}\ncn: Page\nsn: Page\n\n",
            name(index)
        )
    });
    directory.change(&people.collect::<String>());
    let house = house("tells-empty", &directory, "");
    let server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    greet_pages(&house, &mut juliet);
    server.stop();
    let gone = (0..30).map(|index| format!("dn: {}\nchangetype: delete\n\n", name(index)));
    directory.change(&gone.collect::<String>());
    let mut server = house.serve();
    until_said(
        &mut server,
        "directory_nearly_empty host=localhost accounts=31 missing=30",
    );
}
