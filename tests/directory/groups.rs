//! Groups of the directory decide who manages and what the operator is shown; what they are is read anew now and then.

use std::time::{Duration, Instant};

use crate::changes::{beside, beside_with};
use crate::client::Client;
use crate::house::Files;
use crate::served::house;
use crate::server::House;
use crate::slapd::{BASE, PATIENCE, Schema, Slapd, Wishes};
use crate::stand_in::{Entry, Filter, Mode, StandIn};

/// Options of a host whose groups are those of the sample, read each second.
pub fn options(more: &str) -> String {
    format!("poll = \"1 s\"\n[host.directory_groups]\nbase = \"ou=groups,{BASE}\"\n{more}")
}

fn grouped(test: &str, directory: &Slapd, more: &str) -> House {
    house(&format!("groups-{test}"), directory, &options(more))
}

/// The commands that somebody is shown.
pub fn commands(client: &mut Client) -> String {
    client.send(
        "<iq type='get' id='c' to='localhost'><query xmlns='http://jabber.org/protocol/disco#items' \
         node='http://jabber.org/protocol/commands'/></iq>",
    );
    client.element()
}

/// What a manager is told of somebody, or the error.
pub fn look_up(client: &mut Client, user: &str) -> String {
    client.send(
        "<iq type='set' id='l' to='localhost'><command xmlns='http://jabber.org/protocol/commands' node='groups'/></iq>",
    );
    let page = client.element();
    let Some((_, rest)) = page.split_once("sessionid='") else {
        return page;
    };
    let session = rest.split('\'').next().unwrap();
    client.send(&format!(
        "<iq type='set' id='l' to='localhost'><command xmlns='http://jabber.org/protocol/commands' node='groups' \
         sessionid='{session}' action='complete'><x xmlns='jabber:x:data' type='submit'>\
         <field var='user'><value>{user}</value></field></x></command></iq>"
    ));
    client.element()
}

#[test]
fn managers_are_members_of_a_group_or_of_one_in_it_for_as_long_as_they_are() {
    let directory = Slapd::start("managers");
    // A circle: heads belong to rulers, and rulers to heads. The heads are named by another attribute.
    directory.change(&format!(
        "dn: cn=rulers,ou=groups,{BASE}\nchangetype: modify\nadd: member\nmember: cn=heads,ou=groups,{BASE}\n\n\
         dn: cn=heads,ou=groups,{BASE}\nchangetype: modify\nadd: uniqueMember\nuniqueMember: cn=rulers,ou=groups,{BASE}\n"
    ));
    let house = grouped(
        "managers",
        &directory,
        "managers = [\"rulers\"]\ncreate_rooms = [\"swords\"]\nlists = [\"montagues\"]\n",
    );
    let mut server = house.serve();
    server.until_logged("directory_groups host=localhost people=");
    let mut capulet = Client::session(&server, "capulet", "hall");
    let mut escalus = Client::session(&server, "escalus", "palace");
    let mut romeo = Client::session(&server, "romeo", "orchard");
    for (client, manages) in [
        (&mut capulet, true),
        (&mut escalus, true),
        (&mut romeo, false),
    ] {
        assert_eq!(commands(client).contains("node='groups'"), manages);
    }
    let refused = look_up(&mut romeo, "romeo");
    assert!(refused.contains("<forbidden"), "{refused}");
    let said = look_up(&mut escalus, "benvolio@localhost");
    assert!(
        said.contains("<value>montagues</value>") && said.contains("<value>2</value>"),
        "{said}"
    );
    assert!(
        said.contains("<value>create rooms</value>"),
        "posixGroup: {said}"
    );
    let said = look_up(&mut escalus, "capulet");
    assert!(
        said.contains("<value>manage</value>") && !said.contains("create rooms"),
        "{said}"
    );
    let said = look_up(&mut escalus, "paris");
    assert!(!said.contains("<value>manage</value>"), "{said}");
    // Who leaves the group manages no more.
    directory.change(&format!(
        "dn: cn=heads,ou=groups,{BASE}\nchangetype: modify\ndelete: uniqueMember\n\
         uniqueMember: uid=capulet,ou=people,{BASE}\n"
    ));
    let begun = Instant::now();
    while commands(&mut capulet).contains("node='groups'") {
        assert!(begun.elapsed() < PATIENCE);
    }
    assert!(commands(&mut escalus).contains("node='groups'"));
}

#[test]
fn groups_that_cannot_be_read_let_nobody_manage_and_are_read_when_they_can() {
    let mut directory = Slapd::start("unread");
    let house = grouped(
        "unread",
        &directory,
        &format!("managers = [\"cn=rulers,ou=groups,{BASE}\"]\nlists = [\"nobody\"]\n"),
    );
    directory.hang();
    let mut server = house.serve();
    server.until_logged("directory_groups_unread host=localhost");
    directory.go_on();
    // What the options name and the directory does not have.
    server.until_logged("directory_groups_trouble host=localhost unknown=\"nobody\"");
    server.until_logged("directory_groups host=localhost people=1 lists=0");
    let mut escalus = Client::session(&server, "escalus", "palace");
    assert!(commands(&mut escalus).contains("node='groups'"));
    // A directory that does not answer changes nothing.
    directory.kill();
    server.until_logged("directory_groups_unread host=localhost");
    assert!(commands(&mut escalus).contains("node='groups'"));
    directory.start_again();
}

#[test]
fn the_operator_is_shown_groups_and_what_they_mean() {
    let wishes = Wishes {
        schema: Schema::Stonechat,
        ..Wishes::default()
    };
    let directory = Slapd::with("groups-tool", wishes);
    let house = grouped(
        "tool",
        &directory,
        "managers = [\"rulers\", \"gods\"]\nlists = [\"everybody\"]\ndepth = 1\n",
    );
    let (_, said) = house.tool(&["directory", "test", "escalus"], "");
    for step in [
        ": 6 found",
        "ok      group: capulets (4 members): a contact list that is shown",
        "ok      group: everybody (9 members): a contact list",
        "ok      group: rulers (1 members): managers",
        "problem groups: managers names \"gods\", and there is no such group",
    ] {
        assert!(said.contains(step), "{step:?} is not in\n{said}");
    }
    let (_, said) = house.tool(&["directory", "test", "benvolio"], "");
    assert!(
        said.contains("ok      group: swords (3 members): nothing"),
        "{said}"
    );
    assert!(!said.contains("group: rulers"), "{said}");
}

#[test]
fn a_group_that_somebody_makes_of_the_name_of_another_gives_nobody_its_rights() {
    let directory = Slapd::start("ambiguous");
    directory.change(&format!(
        "dn: cn=rulers,ou=people,{BASE}\nobjectClass: groupOfNames\ncn: rulers\nmember: uid=romeo,ou=people,{BASE}\n"
    ));
    let house = house(
        "groups-ambiguous",
        &directory,
        &format!(
            "poll = \"1 s\"\n[host.directory_groups]\nbase = \"{BASE}\"\nmanagers = [\"rulers\"]\n"
        ),
    );
    let mut server = house.serve();
    let several =
        format!("cn=rulers,ou=groups,{BASE} and cn=rulers,ou=people,{BASE}: none of them counts");
    server.until_logged("directory_groups_trouble host=localhost ambiguous=\"rulers\" groups=[\"cn=rulers,ou=groups,");
    server.until_logged("directory_groups host=localhost people=");
    for name in ["romeo", "escalus"] {
        let mut client = Client::session(&server, name, "palace");
        assert!(!commands(&mut client).contains("node='groups'"), "{name}");
        let (fine, said) = house.tool(&["directory", "test", name], "");
        assert!(!fine && said.contains(&several), "{said}");
        assert!(!said.contains("members): managers"), "{said}");
    }
    // By the name of its entry it is the one that is meant.
    let text = std::fs::read_to_string(house.path("stonechat.toml")).unwrap();
    let named = format!("managers = [\"cn=rulers,ou=groups,{BASE}\"]");
    house.write_config(&text.replace("managers = [\"rulers\"]", &named));
    server.signal("HUP");
    let mut escalus = Client::session(&server, "escalus", "palace");
    let begun = Instant::now();
    while !commands(&mut escalus).contains("node='groups'") {
        assert!(begun.elapsed() < PATIENCE);
    }
    let mut romeo = Client::session(&server, "romeo", "orchard");
    assert!(!commands(&mut romeo).contains("node='groups'"));
}

const IN_CHAIN: &str = "1.2.840.113556.1.4.1941";

#[test]
fn active_directory_is_asked_by_its_rule_for_who_is_in_groups_in_groups() {
    let admins = format!("CN=Admins,OU=Groups,{BASE}");
    let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let person = |name: &str| {
        let dn = format!("CN={name},ou=people,{BASE}");
        let said = [
            ("objectCategory", "person"),
            ("objectClass", "user"),
            ("sAMAccountName", name),
            ("distinguishedName", dn.as_str()),
        ];
        Entry {
            attributes: said.map(|(name, value)| attribute(name, value)).to_vec(),
            dn,
        }
    };
    let (mut juliet, romeo) = (person("juliet"), person("romeo"));
    // By however many groups: the stand-in's rule says so of whoever has it.
    juliet.attributes.push(attribute("memberOf", &admins));
    let group = Entry {
        dn: admins.clone(),
        attributes: vec![
            attribute("objectCategory", "group"),
            attribute("cn", "Admins"),
            // What is here does not count: it is not even asked for.
            attribute("member", &romeo.dn),
        ],
    };
    let directory = StandIn::start(vec![juliet, romeo, group]);
    let files = Files::new("in-chain");
    let more = format!(
        "preset = \"active-directory\"\nunique = \"-\"\nbase = \"{BASE}\"\n\
         [host.directory_groups]\nbase = \"ou=groups,{BASE}\"\nlists_filter = \"-\"\n\
         managers = [\"admins\"]\nnested = \"rule\"\n"
    );
    let house = beside("in-chain", &directory, &files, &more);
    let mut server = house.serve();
    server.until_logged("directory_groups host=localhost people=1 ");
    let mut juliet = Client::session(&server, "juliet", "balcony");
    let mut romeo = Client::session(&server, "romeo", "orchard");
    assert!(commands(&mut juliet).contains("node='groups'"));
    assert!(!commands(&mut romeo).contains("node='groups'"));
    let asks = |filter: &Filter| {
        let Filter::And(all) = filter else {
            return false;
        };
        let rule = Filter::Rule {
            rule: IN_CHAIN.to_owned(),
            name: "memberOf".to_owned(),
            value: admins.clone(),
        };
        all.contains(&rule)
    };
    assert!(
        directory
            .searches()
            .iter()
            .any(|search| asks(&search.filter))
    );
}

/// Juliet has her roster, and the groups are not read yet.
fn expect_roster_before_groups(house: &House) {
    let server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    juliet.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    let answer = loop {
        let heard = juliet.element();
        if heard.contains("id='r'") {
            break heard;
        }
    };
    assert!(answer.contains("type='result'"), "{answer}");
    let printed = server.stop();
    assert!(
        !printed.contains("directory_groups host="),
        "the groups were read first"
    );
}

#[test]
fn a_roster_waits_for_groups_no_longer_than_for_any_answer() {
    let person = |name: String| {
        let mut person = Entry::person(&name);
        let dn = person.dn.clone();
        person.attributes.push(("entryDN".to_owned(), dn));
        person
    };
    // No more than are asked for by their names: of more, everybody would be told with one question.
    let names = (0..990).map(|number| format!("u{number:04}"));
    let mut entries: Vec<Entry> = names.map(person).collect();
    let mut list = Entry {
        dn: format!("cn=everyone,ou=groups,{BASE}"),
        attributes: vec![
            ("objectClass".to_owned(), "groupOfNames".to_owned()),
            ("cn".to_owned(), "everyone".to_owned()),
        ],
    };
    for entry in &entries {
        list.attributes
            .push(("member".to_owned(), entry.dn.clone()));
    }
    entries.extend([person("juliet".to_owned()), list]);
    let directory = StandIn::start(entries);
    let files = Files::new("late-groups");
    let more = format!(
        "listen = false\nconnect_timeout = \"8 s\"\nqueue_timeout = \"2 s\"\noperation_timeout = \"8 s\"\n\
         [host.directory_groups]\nbase = \"ou=groups,{BASE}\"\nlists_filter = \"-\"\nlists = [\"everyone\"]\n"
    );
    let house = beside_with("late-groups", &directory, &files, &more);
    // Twenty questions of fifty, one after the other, each two seconds late: far more than the roster may wait, and than
    // a busy machine takes for the login.
    directory.set(Mode::Slow(Duration::from_secs(2)));
    expect_roster_before_groups(&house);
}

#[test]
fn a_roster_waits_for_no_more_pages_of_groups_than_for_any_answer() {
    let group = |number: u32| Entry {
        dn: format!("cn=g{number},ou=groups,{BASE}"),
        attributes: vec![
            ("objectClass".to_owned(), "groupOfNames".to_owned()),
            ("cn".to_owned(), format!("g{number}")),
        ],
    };
    let mut entries: Vec<Entry> = (0..40).map(group).collect();
    entries.push(Entry::person("juliet"));
    let directory = StandIn::start(entries);
    let files = Files::new("late-pages");
    let more = format!(
        "listen = false\nconnect_timeout = \"8 s\"\nqueue_timeout = \"2 s\"\noperation_timeout = \"8 s\"\n\
         [host.directory_groups]\nbase = \"ou=groups,{BASE}\"\nlists_filter = \"-\"\n"
    );
    let house = beside_with("late-pages", &directory, &files, &more);
    // Each in its time, and all of them not in that of an answer.
    directory.set(Mode::PagesOfOne(Duration::from_secs(1)));
    expect_roster_before_groups(&house);
}

#[test]
fn a_roster_that_waits_for_groups_waits_for_those_of_a_reload_instead() {
    let group = |name: String, members: &[&str]| {
        let mut attributes = vec![
            ("objectClass".to_owned(), "groupOfNames".to_owned()),
            ("cn".to_owned(), name.clone()),
        ];
        let members = members.iter().map(|name| Entry::person(name).dn);
        attributes.extend(members.map(|dn| ("member".to_owned(), dn)));
        Entry {
            dn: format!("cn={name},ou=groups,{BASE}"),
            attributes,
        }
    };
    let mut entries: Vec<Entry> = (0..40).map(|n| group(format!("g{n}"), &[])).collect();
    entries.push(group("lovers".to_owned(), &["juliet", "romeo"]));
    for name in ["juliet", "romeo"] {
        let mut person = Entry::person(name);
        let dn = person.dn.clone();
        person.attributes.push(("entryDN".to_owned(), dn));
        entries.push(person);
    }
    let directory = StandIn::start(entries);
    let files = Files::new("reloaded-groups");
    let more = format!(
        "listen = false\nconnect_timeout = \"8 s\"\nqueue_timeout = \"25 s\"\noperation_timeout = \"25 s\"\n\
         [host.directory_groups]\nbase = \"ou=groups,{BASE}\"\nlists_filter = \"-\"\nlists = [\"lovers\"]\n"
    );
    let house = beside_with("reloaded-groups", &directory, &files, &more);
    directory.set(Mode::PagesOfOne(Duration::from_secs(1)));
    let server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    juliet.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    let pages = || {
        let searches = directory.searches().into_iter();
        let groups = searches.filter(|search| search.base.starts_with("ou=groups"));
        groups.count()
    };
    // The roster has asked by then.
    let (asked, begun) = (pages(), Instant::now());
    while pages() <= asked + 1 {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    // One of the same options would stay.
    let text = std::fs::read_to_string(house.path("stonechat.toml")).unwrap();
    house.write_config(&text.replace("listen = false", "listen = false\npoll = \"1 h\""));
    let (fine, said) = house.tool(&["reload"], "");
    assert!(fine, "{said}");
    directory.set(Mode::Well);
    let roster = crate::rosters::until(&mut juliet, "id='r'");
    assert!(roster.contains("romeo@localhost"), "{roster}");
}

#[test]
fn a_group_whose_members_have_no_end_is_left_where_it_is_too_large() {
    let group = Entry {
        dn: format!("cn=everyone,ou=groups,{BASE}"),
        attributes: vec![
            ("objectClass".to_owned(), "groupOfNames".to_owned()),
            ("cn".to_owned(), "everyone".to_owned()),
            ("member;range=0-0".to_owned(), format!("uid=u,{BASE}")),
        ],
    };
    let directory = StandIn::start(vec![group, Entry::person("juliet")]);
    let files = Files::new("endless-ranges");
    let more = format!(
        "listen = false\n[host.directory_groups]\nbase = \"ou=groups,{BASE}\"\nlists_filter = \"-\"\n"
    );
    let house = beside_with("endless-ranges", &directory, &files, &more);
    directory.set(Mode::EndlessRanges);
    let mut server = house.serve();
    let line = server.until_logged("directory_groups_trouble host=localhost group=");
    assert!(line.contains("members=\"more than 100000\""), "{line}");
    server.until_logged("directory_groups host=localhost people=0 ");
}

#[test]
fn a_user_name_that_many_entries_have_keeps_no_group_from_being_read() {
    let group = Entry {
        dn: format!("cn=pages,ou=groups,{BASE}"),
        attributes: vec![
            ("objectClass".to_owned(), "posixGroup".to_owned()),
            ("cn".to_owned(), "pages".to_owned()),
            ("memberUid".to_owned(), "page".to_owned()),
        ],
    };
    // Of each year one.
    let pages = ["2024", "2025", "2026"].map(|year| Entry {
        dn: format!("uid=page,ou={year},ou=people,{BASE}"),
        ..Entry::person("page")
    });
    let entries = pages.into_iter().chain([group, Entry::person("juliet")]);
    let directory = StandIn::start(entries.collect());
    let files = Files::new("many-of-one");
    let more = format!(
        "listen = false\n[host.directory_groups]\nbase = \"ou=groups,{BASE}\"\nlists_filter = \"-\"\n\
         managers = [\"pages\"]\n"
    );
    let house = beside_with("many-of-one", &directory, &files, &more);
    let mut server = house.serve();
    server.until_logged("directory_groups host=localhost people=0 ");
}
