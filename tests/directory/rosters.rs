//! Colleagues whom lists of the directory put into rosters: at login, as the lists change, and beside what is the user's own.

use std::time::Instant;

use crate::changes::until_said;
use crate::client::Client;
use crate::groups::options;
use crate::house::{Files, repository};
use crate::served::house;
use crate::server::{House, Server};
use crate::slapd::{BASE, PATIENCE, Schema, Slapd, Wishes};

const ROSTER: &str = "jabber:iq:roster";

pub fn listed(test: &str, directory: &Slapd, more: &str) -> House {
    house(&format!("rosters-{test}"), directory, &options(more))
}

/// Serves, and waits until the groups are read.
pub fn serve(house: &House) -> Server {
    let mut server = house.serve();
    server.until_logged("directory_groups host=localhost people=");
    server
}

pub fn person(name: &str) -> String {
    format!("uid={name},ou=people,{BASE}")
}

/// Puts somebody into a group, or out of it.
pub fn member(directory: &Slapd, what: &str, name: &str, group: &str) {
    directory.change(&format!(
        "dn: cn={group},ou=groups,{BASE}\nchangetype: modify\n{what}: member\nmember: {}\n",
        person(name)
    ));
}

/// The roster, or what comes instead where this version is known.
pub fn roster(client: &mut Client, ver: &str) -> String {
    client.send(&format!(
        "<iq type='get' id='roster'><query xmlns='{ROSTER}'{ver}/></iq>"
    ));
    until(client, "id='roster'")
}

pub fn set(client: &mut Client, item: &str) -> String {
    client.send(&format!(
        "<iq type='set' id='set'><query xmlns='{ROSTER}'>{item}</query></iq>"
    ));
    until(client, "id='set'")
}

/// The next element that holds this; others are passed over.
pub fn until(client: &mut Client, text: &str) -> String {
    loop {
        let heard = client.element();
        if heard.contains(text) {
            return heard;
        }
    }
}

/// What came until each of these had come, in whatever order, in one text.
pub fn until_all(client: &mut Client, texts: &[&str]) -> String {
    let mut heard = String::new();
    while !texts.iter().all(|text| heard.contains(text)) {
        heard.push_str(&client.element());
    }
    heard
}

/// Everything that came up to now, in one text.
pub fn all(client: &mut Client) -> String {
    client.send("<iq type='get' id='all'><ping xmlns='urn:xmpp:ping'/></iq>");
    let mut all = String::new();
    loop {
        let heard = client.element();
        if heard.contains("id='all'") {
            return all;
        }
        all.push_str(&heard);
    }
}

pub fn item(name: &str, shown: &str, subscription: &str, groups: &[&str]) -> String {
    let groups: String = groups
        .iter()
        .map(|group| format!("<group>{group}</group>"))
        .collect();
    format!(
        "<item jid='{name}@localhost' name='{shown}' subscription='{subscription}'>{groups}</item>"
    )
}

#[test]
fn colleagues_are_in_the_roster_and_see_each_other_without_a_word() {
    let directory = Slapd::start("colleagues");
    let house = listed("login", &directory, "lists = [\"montagues\"]\n");
    let server = house.serve();
    // However early somebody asks, the answer is whole.
    let mut romeo = Client::opened(&server);
    romeo.log_in("romeo", crate::slapd::PASSWORD);
    romeo.bind("orchard");
    let seen = roster(&mut romeo, "");
    assert!(
        seen.contains(&item("benvolio", "Benvolio", "both", &["montagues"])),
        "{seen}"
    );
    assert!(
        seen.contains(&item("montague", "Lord Montague", "both", &["montagues"])),
        "{seen}"
    );
    assert!(
        !seen.contains("romeo@localhost' name") && !seen.contains("juliet"),
        "{seen}"
    );
    romeo.send("<presence><show>away</show></presence>");
    until(&mut romeo, "from='romeo@localhost/orchard'");
    let mut benvolio = Client::session(&server, "benvolio", "street");
    // She is on no list of his.
    let mut juliet = Client::session(&server, "juliet", "balcony");
    let heard = until(&mut benvolio, "from='romeo@localhost/orchard'");
    assert!(heard.contains("<show>away</show>"), "{heard}");
    let heard = until(&mut romeo, "from='benvolio@localhost/street'");
    assert!(heard.starts_with("<presence"), "{heard}");
    // A change, a question, and the end.
    romeo.send("<presence><show>dnd</show></presence>");
    assert!(until(&mut benvolio, "romeo@localhost/orchard").contains("dnd"));
    romeo.send("<presence type='probe' to='benvolio@localhost'/>");
    assert!(until(&mut romeo, "benvolio@localhost/street").starts_with("<presence"));
    benvolio.send("<presence type='unavailable'/>");
    assert!(until(&mut romeo, "benvolio@localhost/street").contains("unavailable"));
    drop(romeo);
    assert!(!all(&mut juliet).contains("romeo"));
}

#[test]
fn whoever_joins_a_list_is_pushed_and_seen_and_whoever_leaves_is_removed() {
    let directory = Slapd::start("pushed");
    let house = listed("pushed", &directory, "lists = [\"montagues\"]\n");
    let server = serve(&house);
    let mut romeo = Client::session(&server, "romeo", "orchard");
    let mut mercutio = Client::session(&server, "mercutio", "square");
    roster(&mut romeo, "");
    let empty = roster(&mut mercutio, "");
    assert!(!empty.contains("<item"), "{empty}");
    member(&directory, "add", "mercutio", "montagues");
    // The list's push and his presence come from two accounts, in any order.
    let heard = until_all(
        &mut romeo,
        &["mercutio@localhost'", "from='mercutio@localhost/square'"],
    );
    assert!(
        heard.contains("<iq") && heard.contains("type='set'"),
        "{heard}"
    );
    assert!(
        heard.contains(&item("mercutio", "Mercutio", "both", &["montagues"])),
        "{heard}"
    );
    // He is told of everybody, and sees who is there.
    let colleagues = ["benvolio", "montague", "romeo"];
    let items = colleagues.map(|name| format!("<item jid='{name}@localhost'"));
    let mut expected: Vec<&str> = items.iter().map(String::as_str).collect();
    expected.push("from='romeo@localhost/orchard'");
    until_all(&mut mercutio, &expected);
    // A version that somebody had before is not known any more.
    member(&directory, "delete", "mercutio", "montagues");
    until_all(
        &mut romeo,
        &[
            "<item jid='mercutio@localhost' subscription='remove'/>",
            "type='unavailable'",
        ],
    );
    until(
        &mut mercutio,
        "<item jid='romeo@localhost' subscription='remove'/>",
    );
    all(&mut romeo);
    mercutio.send("<presence><show>xa</show></presence>");
    until(&mut mercutio, "<show>xa</show>");
    assert!(!all(&mut romeo).contains("mercutio"));
}

#[test]
fn what_is_the_users_own_stays_beside_the_lists() {
    let directory = Slapd::start("own");
    let house = listed("own", &directory, "lists = [\"montagues\"]\n");
    let server = serve(&house);
    let mut romeo = Client::session(&server, "romeo", "orchard");
    roster(&mut romeo, "");
    // As a client does that moves somebody into another group: what the list says is sent along.
    let said = set(
        &mut romeo,
        "<item jid='benvolio@localhost' name='Ben'><group>montagues</group><group>Friends</group></item>",
    );
    assert!(said.contains("type='result'"), "{said}");
    let both = item("benvolio", "Ben", "both", &["Friends", "montagues"]);
    let push = until(&mut romeo, "benvolio");
    assert!(push.contains(&both), "{push}");
    assert!(roster(&mut romeo, "").contains(&both));
    // It is not his to remove, and neither is the subscription.
    let refused = set(
        &mut romeo,
        "<item jid='benvolio@localhost' subscription='remove'/>",
    );
    assert!(refused.contains("<not-allowed"), "{refused}");
    romeo.send("<presence type='unsubscribe' to='benvolio@localhost'/>");
    romeo.send("<presence type='unsubscribed' to='benvolio@localhost'/>");
    let mut benvolio = Client::session(&server, "benvolio", "street");
    until(&mut benvolio, "from='romeo@localhost/orchard'");
    until(&mut romeo, "from='benvolio@localhost/street'");
    assert!(roster(&mut romeo, "").contains(&both));
    // What only repeats the list is nothing of his own.
    set(
        &mut romeo,
        "<item jid='montague@localhost' name='Lord Montague'><group>montagues</group></item>",
    );
    // The list lets go of both, and what was his own is still there.
    member(&directory, "delete", "benvolio", "montagues");
    let push = until(&mut romeo, "<item jid='benvolio@localhost'");
    assert!(
        push.contains(&item("benvolio", "Ben", "none", &["Friends"])),
        "{push}"
    );
    member(&directory, "delete", "montague", "montagues");
    until(
        &mut romeo,
        "<item jid='montague@localhost' subscription='remove'/>",
    );
    let said = set(
        &mut romeo,
        "<item jid='benvolio@localhost' subscription='remove'/>",
    );
    assert!(said.contains("type='result'"), "{said}");
    assert!(!roster(&mut romeo, "").contains("<item"));
}

#[test]
fn lists_are_shown_to_groups_that_are_not_on_them() {
    let wishes = Wishes {
        schema: Schema::Stonechat,
        ..Wishes::default()
    };
    let directory = Slapd::with("shown", wishes);
    let house = listed("shown", &directory, "");
    let server = serve(&house);
    let mut escalus = Client::session(&server, "escalus", "palace");
    let seen = roster(&mut escalus, "");
    assert!(
        seen.contains(&item("juliet", "Juliet", "to", &["The Capulets"])),
        "{seen}"
    );
    assert!(
        seen.contains(&item("romeo", "Romeo", "to", &["The Montagues"])),
        "{seen}"
    );
    // He is closed.
    assert!(!seen.contains("tybalt"), "{seen}");
    let mut juliet = Client::session(&server, "juliet", "balcony");
    let seen = roster(&mut juliet, "");
    assert!(
        seen.contains(&item("nurse", "The Nurse", "both", &["The Capulets"])),
        "{seen}"
    );
    assert!(
        !seen.contains("escalus") && !seen.contains("romeo"),
        "{seen}"
    );
    // He sees her, and she does not see him.
    let heard = until(&mut escalus, "from='juliet@localhost/balcony'");
    assert!(heard.starts_with("<presence"), "{heard}");
    escalus.send("<presence><show>dnd</show></presence>");
    until(&mut escalus, "<show>dnd</show>");
    assert!(!all(&mut juliet).contains("escalus"));
    // A name in the directory is another one.
    directory.change(&format!(
        "dn: {}\nchangetype: modify\nreplace: displayName\ndisplayName: Juliet M.\n",
        person("juliet")
    ));
    until(
        &mut escalus,
        &item("juliet", "Juliet M.", "to", &["The Capulets"]),
    );
}

#[test]
fn who_is_closed_renamed_or_called_otherwise_is_another_contact_at_once() {
    let mut directory = Slapd::start("heard");
    // Nobody looks: what is heard of is heard because the directory tells.
    let more = format!(
        "poll = \"1 h\"\n[host.directory_groups]\nbase = \"ou=groups,{BASE}\"\nlists = [\"montagues\"]\n"
    );
    let house = house("rosters-heard", &directory, &more);
    let mut server = house.serve();
    until_said(&mut server, "directory_followed host=localhost people=9");
    until_said(&mut server, "directory_groups host=localhost people=");
    let mut romeo = Client::session(&server, "romeo", "orchard");
    let seen = roster(&mut romeo, "");
    assert!(seen.contains("benvolio@localhost"), "{seen}");
    let change = |name: &str, what: &str| {
        directory.change(&format!("dn: {}\nchangetype: {what}", person(name)));
    };
    change(
        "benvolio",
        "modify\nreplace: displayName\ndisplayName: Ben Montague\n",
    );
    until(
        &mut romeo,
        &item("benvolio", "Ben Montague", "both", &["montagues"]),
    );
    change(
        "benvolio",
        "modify\nadd: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n",
    );
    until(
        &mut romeo,
        "<item jid='benvolio@localhost' subscription='remove'/>",
    );
    change("benvolio", "modify\ndelete: pwdAccountLockedTime\n");
    until(
        &mut romeo,
        &item("benvolio", "Ben Montague", "both", &["montagues"]),
    );
    // His group is told of his new name by slapd.
    change(
        "benvolio",
        "modrdn\nnewrdn: uid=peacemaker\ndeleteoldrdn: 1\n",
    );
    until_all(
        &mut romeo,
        &[
            "<item jid='benvolio@localhost' subscription='remove'/>",
            "<item jid='peacemaker@localhost'",
        ],
    );
    change("peacemaker", "delete\n");
    until(
        &mut romeo,
        "<item jid='peacemaker@localhost' subscription='remove'/>",
    );
    // A wrong password, which slapd notes at the entry, is a reason to look at somebody, and none to read groups.
    let (looks, reads) = ("entryDN=uid=montague,", "stonechatContactList");
    // What was changed before may still be a reason to read them.
    let is_no_reason = (0..GUESSES_MAX).any(|_| {
        let (looked, read) = (directory.operations(looks), directory.operations(reads));
        assert!(!directory.lets_in(&person("montague"), "guess"));
        let begun = Instant::now();
        while directory.operations(looks) == looked {
            assert!(begun.elapsed() < PATIENCE, "nobody looks at him");
        }
        assert!(!all(&mut romeo).contains("<item"));
        directory.operations(reads) == read
    });
    assert!(is_no_reason, "groups are read each time");
}

/// Fewer than lock an account.
const GUESSES_MAX: usize = 5;

/// The people of the sample and so many more, all of whom are in one group with three of the sample.
pub fn many(test: &str, count: usize) -> Slapd {
    let mut ldif = std::fs::read_to_string(repository("conf/ldap/sample.ldif")).unwrap();
    let mut group =
        format!("dn: cn=everyone,ou=groups,{BASE}\nobjectClass: groupOfNames\ncn: everyone\n");
    for number in 0..count {
        let name = format!("u{number:05}");
        let dn = person(&name);
        ldif.push_str(&format!(
            "\ndn: {dn}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n"
        ));
        group.push_str(&format!("member: {dn}\n"));
    }
    for name in ["romeo", "benvolio", "juliet"] {
        group.push_str(&format!("member: {}\n", person(name)));
    }
    let files = Files::new(test);
    let wishes = Wishes {
        bulk: Some(files.write("people.ldif", &format!("{ldif}\n{group}"))),
        ..Wishes::default()
    };
    Slapd::with(test, wishes)
}

#[test]
fn a_change_of_a_list_of_five_thousand_costs_each_member_one_push_or_none() {
    let directory = many("everyone", 5_000);
    for (pushes, expected) in [(1_000, 0), (10_000, 1)] {
        let house = listed(
            &format!("everyone-{pushes}"),
            &directory,
            &format!("lists = [\"everyone\"]\npushes = {pushes}\n"),
        );
        let mut server = house.serve();
        server.until_logged("directory_groups host=localhost people=5003 lists=1");
        let names = ["romeo", "benvolio", "juliet"];
        let mut online = names.map(|name| Client::session(&server, name, "there"));
        for client in &mut online {
            let seen = roster(client, "");
            assert_eq!(seen.matches("<item ").count(), 5_002);
        }
        let mercutio = Client::session(&server, "mercutio", "square");
        member(&directory, "add", "mercutio", "everyone");
        server.until_logged("directory_groups host=localhost people=5004");
        // Whoever joined says that he is there; of the list each hears what of it is new, or nothing.
        let joined = ["from='mercutio@localhost/square'", "<item "];
        for client in &mut online {
            let heard = until_all(client, &joined[..=expected]) + &all(client);
            assert_eq!(
                heard.matches("<item ").count(),
                expected,
                "{pushes}: {heard}"
            );
        }
        // So with a name that is another.
        directory.change(&format!(
            "dn: {}\nchangetype: modify\nreplace: displayName\ndisplayName: Called {pushes}\n",
            person("u00007")
        ));
        server.until_logged("directory_groups host=localhost people=5004");
        for client in &mut online {
            let heard = until_all(client, &joined[1..=expected]) + &all(client);
            assert_eq!(
                heard.matches("<item ").count(),
                expected,
                "{pushes}: {heard}"
            );
        }
        let whole = roster(&mut online[0], "");
        assert!(whole.contains(&format!("name='Called {pushes}'")));
        drop(mercutio);
        server.stop();
        member(&directory, "delete", "mercutio", "everyone");
    }
}
