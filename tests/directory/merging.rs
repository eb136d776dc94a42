//! Lists of the directory beside what is the user's own, rule by rule (`conf/README.md`, "Contact lists"): what is blocked, what
//! counts, what leaves with its owner, and which members count as none.

use crate::client::Client;
use crate::groups::options;
use crate::rosters::{item, listed, member, person, roster, serve, set, until, until_all};
use crate::served;
use crate::server::House;
use crate::slapd::{BASE, Slapd};

const MONTAGUES: &str = "lists = [\"montagues\"]\n";
const COMMANDS: &str = "http://jabber.org/protocol/commands";

/// Blocks these, or lets them be again.
fn block(client: &mut Client, what: &str, names: &[&str]) {
    let items = names
        .iter()
        .map(|name| format!("<item jid='{name}@localhost'/>"));
    let items: String = items.collect();
    client.send(&format!(
        "<iq type='set' id='{what}'><{what} xmlns='urn:xmpp:blocking'>{items}</{what}></iq>"
    ));
    let answer = until(client, &format!("id='{what}'"));
    assert!(answer.contains("type='result'"), "{answer}");
}

#[test]
fn who_is_blocked_stays_in_the_roster_and_sees_nothing() {
    let directory = Slapd::start("blocked");
    let house = listed("blocked", &directory, MONTAGUES);
    let server = serve(&house);
    let mut romeo = Client::session(&server, "romeo", "orchard");
    roster(&mut romeo, "");
    let mut benvolio = Client::session(&server, "benvolio", "street");
    let mut mercutio = Client::session(&server, "mercutio", "square");
    until(&mut benvolio, "from='romeo@localhost/orchard'");
    // One is on the list, and one is to come.
    block(&mut romeo, "block", &["benvolio", "mercutio"]);
    let gone = until(&mut benvolio, "from='romeo@localhost/orchard'");
    assert!(gone.contains("type='unavailable'"), "{gone}");
    member(&directory, "add", "mercutio", "montagues");
    until(&mut romeo, "<item jid='mercutio@localhost'");
    until(&mut mercutio, "from='benvolio@localhost/street'");
    let seen = roster(&mut romeo, "");
    for (name, shown) in [("benvolio", "Benvolio"), ("mercutio", "Mercutio")] {
        let item = item(name, shown, "both", &["montagues"]);
        assert!(seen.contains(&item), "{seen}");
    }
    for show in ["dnd", "xa"] {
        romeo.send(&format!("<presence><show>{show}</show></presence>"));
    }
    block(&mut romeo, "unblock", &["benvolio", "mercutio"]);
    for client in [&mut benvolio, &mut mercutio] {
        let first = until(client, "from='romeo@localhost/orchard'");
        assert!(first.contains("<show>xa</show>"), "{first}");
    }
}

#[test]
fn what_lists_show_counts_in_no_quota_and_what_is_added_to_it_does() {
    let directory = Slapd::start("quota");
    let host = served::options(&directory, &options(MONTAGUES));
    let house = House::new("directory-rosters-quota", "roster.items = 1\n", &host);
    let server = serve(&house);
    let mut romeo = Client::session(&server, "romeo", "orchard");
    assert_eq!(roster(&mut romeo, "").matches("<item ").count(), 2);
    let said = set(&mut romeo, "<item jid='nurse@localhost' name='Nurse'/>");
    assert!(said.contains("type='result'"), "{said}");
    let repeated =
        "<item jid='montague@localhost' name='Lord Montague'><group>montagues</group></item>";
    let said = set(&mut romeo, repeated);
    assert!(said.contains("type='result'"), "{said}");
    for own in ["juliet", "benvolio"] {
        let said = set(
            &mut romeo,
            &format!("<item jid='{own}@localhost' name='Dear'/>"),
        );
        assert!(said.contains("<resource-constraint "), "{own}: {said}");
    }
    let seen = roster(&mut romeo, "");
    assert_eq!(seen.matches("<item ").count(), 3, "{seen}");
    assert!(!seen.contains("Dear"), "{seen}");
}

#[test]
fn what_leaves_with_its_owner_is_the_users_own() {
    let directory = Slapd::start("export");
    let house = listed("export", &directory, MONTAGUES);
    let server = serve(&house);
    let mut romeo = Client::session(&server, "romeo", "orchard");
    let ben = "<item jid='benvolio@localhost' name='Ben'><group>montagues</group><group>Friends</group></item>";
    for own in [ben, "<item jid='nurse@localhost' name='Nurse'/>"] {
        let said = set(&mut romeo, own);
        assert!(said.contains("type='result'"), "{said}");
    }
    let mut command = |attributes: &str, form: &str| {
        romeo.send(&format!(
            "<iq type='set' id='x' to='localhost'><command xmlns='{COMMANDS}' node='export'{attributes}>{form}</command></iq>"
        ));
        until(&mut romeo, "id='x'")
    };
    let page = command("", "");
    let (_, rest) = page.split_once("sessionid='").unwrap();
    let session = rest.split('\'').next().unwrap();
    let said = command(
        &format!(" sessionid='{session}'"),
        "<x xmlns='jabber:x:data' type='submit'><field var='parts'><value>roster</value></field></x>",
    );
    assert_eq!(said.matches("<item ").count(), 2, "{said}");
    let ben = "<item jid='benvolio@localhost' name='Ben' subscription='none'><group>Friends</group></item>";
    assert!(said.contains(ben), "{said}");
    assert!(said.contains("nurse@localhost"), "{said}");
}

#[test]
fn a_list_of_more_members_than_may_be_is_nobodys_until_it_has_fewer() {
    let directory = Slapd::start("members");
    let more = "lists = [\"montagues\", \"capulets\"]\nmembers = 3\n";
    let house = listed("members", &directory, more);
    let mut server = house.serve();
    server.until_logged("directory_groups_trouble host=localhost list=\"capulets\" members=4");
    server.until_logged("directory_groups host=localhost people=3 lists=1");
    let mut romeo = Client::session(&server, "romeo", "orchard");
    assert_eq!(roster(&mut romeo, "").matches("<item ").count(), 2);
    let mut juliet = Client::session(&server, "juliet", "balcony");
    let seen = roster(&mut juliet, "");
    assert!(!seen.contains("<item "), "{seen}");
    member(&directory, "delete", "tybalt", "capulets");
    let capulet = item("capulet", "Lord Capulet", "both", &["capulets"]);
    let nurse = item("nurse", "The Nurse", "both", &["capulets"]);
    until_all(&mut juliet, &[&capulet, &nurse]);
}

#[test]
fn members_of_one_name_are_nobody_until_one_has_it() {
    let directory = Slapd::start("twin-members");
    let guests = format!("ou=guests,ou=people,{BASE}");
    let twin = format!("uid=BENVOLIO,{guests}");
    directory.change(&format!(
        "dn: {guests}\nobjectClass: organizationalUnit\nou: guests\n\n\
         dn: {twin}\nobjectClass: inetOrgPerson\nuid: BENVOLIO\ncn: Another\nsn: Another\n\n\
         dn: cn=montagues,ou=groups,{BASE}\nchangetype: modify\nadd: member\nmember: {twin}\n"
    ));
    let house = listed("twins", &directory, MONTAGUES);
    let mut server = house.serve();
    let line = server.until_logged("directory_collision account=benvolio@localhost");
    // Names are compared in one spelling.
    let said = line.to_lowercase();
    for dn in [&twin, &person("benvolio")] {
        assert!(said.contains(&dn.to_lowercase()), "{line}");
    }
    server.until_logged("directory_groups host=localhost people=2 lists=1");
    let mut romeo = Client::session(&server, "romeo", "orchard");
    let seen = roster(&mut romeo, "");
    assert_eq!(seen.matches("<item ").count(), 1, "{seen}");
    assert!(seen.contains("montague@localhost"), "{seen}");
    directory.change(&format!("dn: {twin}\nchangetype: delete\n"));
    until(
        &mut romeo,
        &item("benvolio", "Benvolio", "both", &["montagues"]),
    );
    // It is said once for as long as it is so.
    let log = server.stop();
    assert_eq!(log.matches("directory_collision").count(), 1, "{log}");
}
