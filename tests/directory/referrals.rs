//! Directories that name other servers instead of an answer (RFC 4511 sections 4.1.10 and 4.5.3): these are asked where the
//! operator wants it, as far as the addresses say, and no longer than there is something new.

use std::net::TcpListener;

use crate::faults::until_let_in;
use crate::house::Files;
use crate::served::{self, is_failure, try_password};
use crate::slapd::{BASE, PASSWORD, Schema, Slapd, Wishes};
use crate::stand_in::{Entry, Filter, Mode, StandIn};
use crate::wire::house;

#[test]
fn referrals_that_are_followed_in_a_circle_end() {
    let directory = StandIn::start(vec![Entry::person("juliet")]);
    let files = Files::new("circle");
    let house = house("circle", &directory, &files, "referrals = \"follow\"\n");
    let server = house.serve();
    until_let_in(&server);
    let before = directory.connections();
    for mode in [Mode::Referrals, Mode::References] {
        directory.set(mode);
        let heard = try_password(&server, "juliet", PASSWORD);
        assert!(heard.starts_with("<failure"), "{heard}");
    }
    // Each place once, though each sends us on.
    assert!(
        directory.connections() - before <= 12,
        "{}",
        directory.connections()
    );
    directory.set(Mode::Well);
    until_let_in(&server);
}

#[test]
fn of_the_servers_that_one_reference_names_the_first_that_answers_is_asked() {
    let people = || StandIn::start(vec![Entry::person("juliet")]);
    let (directory, first, second) = (people(), people(), people());
    let files = Files::new("any");
    let house = house("any", &directory, &files, "referrals = \"follow\"\n");
    let server = house.serve();
    until_let_in(&server);
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead_port = dead.local_addr().unwrap().port();
    drop(dead);
    for mode in [
        Mode::RefersToAny([first.port, second.port, first.port]),
        Mode::RefersToAny([0, dead_port, second.port]),
        // Two servers may have the same entry.
        Mode::RefersToEach([first.port, second.port]),
    ] {
        directory.set(mode);
        let heard = try_password(&server, "juliet", PASSWORD);
        assert!(heard.starts_with("<success"), "{mode:?}: {heard}");
    }
    directory.set(Mode::RefersToAny([0, dead_port, dead_port]));
    let heard = try_password(&server, "juliet", PASSWORD);
    assert!(is_failure(&heard, "temporary-auth-failure"), "{heard}");
}

#[test]
fn a_reference_says_what_is_asked_there() {
    let people = || StandIn::start(vec![Entry::person("juliet")]);
    let (directory, other) = (people(), people());
    let files = Files::new("asks-there");
    let house = house("asks-there", &directory, &files, "referrals = \"follow\"\n");
    let server = house.serve();
    until_let_in(&server);
    let log_in = |rest, condition: Option<&str>| {
        directory.set(Mode::RefersWith(other.port, rest));
        let heard = try_password(&server, "juliet", PASSWORD);
        match condition {
            None => assert!(heard.starts_with("<success"), "{rest}: {heard}"),
            Some(condition) => assert!(is_failure(&heard, condition), "{rest}: {heard}"),
        }
        let mut searches = other.searches();
        searches.pop()
    };
    let usual = log_in("", None).expect("it was asked");
    assert_eq!(
        (usual.base.as_str(), usual.scope),
        ("ou=people,dc=verona,dc=example", 2)
    );
    // RFC 4511 section 4.1.10: "If the <filter> part of the LDAP URL is present, the client uses this filter in its next
    // request to progress this Search". Ours holds besides.
    let juliets = "uid=juliet,ou=people,dc=verona,dc=example??base?(mail=juliet@verona%2eexample)";
    let asked = log_in(juliets, None).expect("it was asked");
    let mail = ("mail".to_owned(), "juliet@verona.example".to_owned());
    let both = Filter::And(vec![usual.filter, Filter::Equal(mail.0, mail.1)]);
    assert_eq!(asked.filter, both);
    assert_eq!(
        (asked.base.as_str(), asked.scope),
        ("uid=juliet,ou=people,dc=verona,dc=example", 0)
    );
    // One that finds nobody is used, too.
    log_in("???(mail=romeo@verona.example)", Some("not-authorized"));
    // A wider one does not make somebody else of who was asked for.
    directory.set(Mode::RefersWith(other.port, "???(objectClass=*)"));
    let heard = try_password(&server, "romeo", PASSWORD);
    assert!(is_failure(&heard, "not-authorized"), "{heard}");
    // What is no filter or no scope is no address that we could ask.
    for rest in ["??all", "??sub?(mail="] {
        log_in(rest, Some("temporary-auth-failure"));
    }
    // Nor is what is deeper than anybody's stack.
    for depth in [100, 200_000] {
        directory.set(Mode::RefersDeeply(other.port, depth));
        let heard = try_password(&server, "juliet", PASSWORD);
        assert!(is_failure(&heard, "temporary-auth-failure"), "{heard}");
    }
    directory.set(Mode::Well);
    until_let_in(&server);
}

/// A directory one of whose parts is on this server, where it has another name.
fn refers(test: &str, to: &Slapd, part: &str) -> Slapd {
    let directory = Slapd::start(test);
    directory.change(&format!(
        "dn: ou=abroad,{BASE}\nobjectClass: referral\nobjectClass: extensibleObject\nou: abroad\nref: {}/{part},{BASE}\n",
        to.url()
    ));
    directory
}

/// Everybody is on the other server, whose certificate is another authority's.
const ABROAD: &str = "base = \"ou=abroad,dc=verona,dc=example\"\nreferrals = \"follow\"\nverify = false\n\
    referral_bases = [\"ou=people,dc=verona,dc=example\"]\n";

#[test]
fn a_referral_instead_of_an_answer_is_followed() {
    let mut other = Slapd::start("referred-to");
    let directory = refers("refers", &other, "ou=people");
    let house = served::house("refers", &directory, ABROAD);
    let server = house.serve();
    let heard = try_password(&server, "juliet", PASSWORD);
    assert!(heard.starts_with("<success"), "{heard}");
    let heard = try_password(&server, "paris", PASSWORD);
    assert!(is_failure(&heard, "not-authorized"), "{heard}");
    // It takes no password that is not encrypted.
    assert!(other.operations("(uid=juliet)") > 0);
}

#[test]
fn what_a_referral_leads_to_is_read_page_by_page() {
    let wishes = Wishes {
        schema: Schema::Stonechat,
        ..Wishes::default()
    };
    let other = Slapd::with("pages-there", wishes);
    let rooms = (0..600).map(|number| {
        format!(
            "dn: cn=room{number},ou=rooms,{BASE}\nobjectClass: stonechatRoom\ncn: room{number}\n\n"
        )
    });
    other.change(&rooms.collect::<String>());
    other.configure(
        "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nreplace: olcLimits\n\
         olcLimits: dn.exact=\"cn=stonechat,ou=services,dc=verona,dc=example\" size.soft=500 size.hard=500 \
         size.pr=500 size.prtotal=unlimited\n",
    );
    let directory = refers("pages-refers", &other, "ou=rooms");
    let more = "rooms_base = \"ou=abroad,dc=verona,dc=example\"\nreferrals = \"follow\"\nverify = false\n\
                referral_bases = [\"ou=rooms,dc=verona,dc=example\"]\n";
    let house = served::house("pages-refers", &directory, more);
    let (fine, said) = house.tool(&["directory", "rooms"], "");
    assert!(fine, "{said}");
    // The sample has three.
    assert_eq!(said.matches("ok      room ").count(), 603, "{said}");
}

#[test]
fn where_a_directory_sends_us_and_that_it_fails_there_is_logged_once() {
    let people = || StandIn::start(vec![Entry::person("juliet")]);
    let (directory, other) = (people(), people());
    let files = Files::new("logs-there");
    let house = house("logs-there", &directory, &files, "referrals = \"follow\"\n");
    let mut server = house.serve();
    until_let_in(&server);
    let there = format!("server=\"ldap://127.0.0.1:{}\"", other.port);
    directory.set(Mode::RefersWith(
        other.port,
        "???(mail=juliet@verona.example)",
    ));
    for _ in 0..3 {
        let heard = try_password(&server, "juliet", PASSWORD);
        assert!(heard.starts_with("<success"), "{heard}");
    }
    let line = server.until_logged("directory_refers ");
    // Whom it is about is nobody's business.
    assert!(line.contains(&there) && !line.contains("juliet"), "{line}");
    drop(other);
    for _ in 0..3 {
        let heard = try_password(&server, "juliet", PASSWORD);
        assert!(is_failure(&heard, "temporary-auth-failure"), "{heard}");
    }
    let line = server.until_logged("directory_referral_fails ");
    assert!(line.contains(&there) && line.contains("reason="), "{line}");
    assert!(!line.contains("juliet"), "{line}");
    let printed = server.stop();
    for once in ["directory_refers ", "directory_referral_fails "] {
        assert_eq!(printed.matches(once).count(), 1, "{printed}");
    }
}

#[test]
fn any_number_of_references_is_passed_over_and_so_many_are_followed() {
    let directory = StandIn::start(vec![Entry::person("juliet")]);
    let files = Files::new("often");
    for (more, is_in) in [("", true), ("referrals = \"follow\"\n", false)] {
        directory.set(Mode::Well);
        let house = house(&format!("often-{is_in}"), &directory, &files, more);
        let server = house.serve();
        until_let_in(&server);
        directory.set(Mode::RefersOften(1_000));
        let heard = try_password(&server, "juliet", PASSWORD);
        match is_in {
            true => assert!(heard.starts_with("<success"), "{heard}"),
            false => assert!(is_failure(&heard, "temporary-auth-failure"), "{heard}"),
        }
    }
}

#[test]
fn who_writes_a_reference_does_not_choose_whom_we_ask_and_whom_we_believe() {
    let elsewhere = Entry {
        dn: "uid=paris,dc=mantua,dc=example".to_owned(),
        ..Entry::person("paris")
    };
    let people = || StandIn::start(vec![Entry::person("juliet"), elsewhere.clone()]);
    let (directory, other) = (people(), people());
    let files = Files::new("sent");
    let house = house("sent", &directory, &files, "referrals = \"follow\"\n");
    let text = std::fs::read_to_string(house.path("stonechat.toml")).unwrap();
    // The other has another name.
    let text = text.replace("ldap://127.0.0.1:", "ldap://localhost:");
    let log_in = |more: &str, rest: &'static str, name: &str| {
        directory.set(Mode::Well);
        house.write_config(&text.replace("referrals =", &format!("{more}referrals =")));
        let server = house.serve();
        until_let_in(&server);
        directory.set(Mode::RefersWith(other.port, rest));
        let heard = try_password(&server, name, PASSWORD);
        server.stop();
        heard
    };
    let refused = log_in("", "", "juliet");
    assert!(is_failure(&refused, "not-authorized"), "{refused}");
    assert_eq!((other.connections(), other.binds()), (0, Vec::new()));
    let hosts = "referral_hosts = [\"127.0.0.1\"]\n";
    let welcome = log_in(hosts, "", "juliet");
    assert!(welcome.starts_with("<success"), "{welcome}");
    // It says that the people who were asked for are those of another tree.
    let mantua = "dc=mantua,dc=example??sub";
    let refused = log_in(hosts, mantua, "paris");
    assert!(is_failure(&refused, "not-authorized"), "{refused}");
    let bases = format!("{hosts}referral_bases = [\"dc=mantua,dc=example\"]\n");
    let welcome = log_in(&bases, mantua, "paris");
    assert!(welcome.starts_with("<success"), "{welcome}");
}

#[test]
fn who_writes_a_reference_does_not_choose_by_which_filter_people_come_in() {
    let mut juliet = Entry::person("juliet");
    juliet
        .attributes
        .push(("o".to_owned(), "verona".to_owned()));
    let people = || StandIn::start(vec![juliet.clone(), Entry::person("paris")]);
    let (directory, other) = (people(), people());
    let files = Files::new("rule");
    let more = "filter = \"(&(uid={user})(o=verona))\"\nreferrals = \"follow\"\n";
    let house = house("rule", &directory, &files, more);
    let server = house.serve();
    until_let_in(&server);
    for rest in ["???(uid=paris)", "???(objectClass=*)"] {
        directory.set(Mode::RefersWith(other.port, rest));
        let heard = try_password(&server, "paris", PASSWORD);
        assert!(is_failure(&heard, "not-authorized"), "{rest}: {heard}");
    }
    directory.set(Mode::RefersWith(other.port, "???(objectClass=*)"));
    let heard = try_password(&server, "juliet", PASSWORD);
    assert!(heard.starts_with("<success"), "{heard}");
}
