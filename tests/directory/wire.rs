//! A directory that answers wrongly: whatever it says, nobody comes in by it who should not, everybody is answered in
//! time, and the server goes on.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::changes::beside_with;
use crate::client::{Client, auth, plain};
use crate::faults::{QUICK, until_let_in};
use crate::house::Files;
use crate::served::{is_failure, try_password};
use crate::server::House;
use crate::slapd::{BASE, PASSWORD, SERVICE, SERVICE_PASSWORD};
use crate::stand_in::{Entry, Filter, Mode, StandIn, Who};

fn house(test: &str, directory: &StandIn, files: &Files, more: &str) -> House {
    house_in_time(test, directory, files, &format!("{QUICK}{more}"))
}

/// The same with its own times.
fn house_in_time(test: &str, directory: &StandIn, files: &Files, more: &str) -> House {
    let password = files.write("password", SERVICE_PASSWORD);
    let host = format!(
        "[[host]]\nname = \"localhost\"\n[host.directory]\nservers = [{:?}]\nstart_tls = false\n\
         base = \"ou=people,{BASE}\"\nbind_dn = {SERVICE:?}\npassword_file = {password:?}\n\
         search_connections = 1\nbind_connections = 1\n{more}",
        directory.url()
    );
    House::new(&format!("wire-{test}"), "log.filter = \"debug\"\n", &host)
}

/// What each way to answer wrongly comes to for somebody whose password is right, and for a session that is there.
fn meets(modes: &[(Mode, &str)]) {
    let directory = StandIn::start(vec![Entry::person("juliet"), Entry::person("romeo")]);
    let files = Files::new("wire");
    let first = format!("{:?}", modes[0].0);
    let house = house(&first, &directory, &files, "");
    let mut server = house.serve();
    let mut romeo = Client::session(&server, "romeo", "orchard");
    for (mode, condition) in modes {
        until_let_in(&server);
        directory.set(*mode);
        let begun = Instant::now();
        let heard = try_password(&server, "juliet", PASSWORD);
        let took = begun.elapsed();
        assert!(is_failure(&heard, condition), "{mode:?}: {heard}");
        // Three times three seconds, a penalty for what may have been a guess, and a slow machine.
        assert!(took < crate::slapd::PATIENCE, "{mode:?}: {took:?}");
        romeo.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
        assert!(romeo.element().contains("type='result'"), "{mode:?}");
        directory.set(Mode::Well);
    }
    until_let_in(&server);
    server.signal("TERM");
    let printed = server.until_logged("stopped");
    assert!(!printed.is_empty());
    assert!(
        !server.printed().contains(PASSWORD),
        "a password is in the log"
    );
}

#[test]
fn a_directory_that_is_late_or_ends_in_the_middle_is_a_matter_of_time() {
    meets(&[
        (Mode::Silent, "temporary-auth-failure"),
        (Mode::Slow(Duration::from_secs(5)), "temporary-auth-failure"),
        (Mode::ClosesInBind(Who::Users), "temporary-auth-failure"),
        (Mode::CutsAnswers, "temporary-auth-failure"),
        (Mode::Disconnects, "temporary-auth-failure"),
    ]);
}

#[test]
fn answers_that_are_none_let_nobody_in() {
    meets(&[
        (Mode::Garbage, "temporary-auth-failure"),
        (Mode::WrongIds, "temporary-auth-failure"),
        (Mode::HugeLength, "temporary-auth-failure"),
        (Mode::Nested, "temporary-auth-failure"),
    ]);
}

#[test]
fn results_that_are_too_many_or_elsewhere_or_none_let_nobody_in() {
    meets(&[
        (Mode::Endless, "temporary-auth-failure"),
        (Mode::Referrals, "temporary-auth-failure"),
        (Mode::References, "not-authorized"),
        (Mode::WithoutAttributes, "not-authorized"),
        (Mode::Twins, "not-authorized"),
    ]);
}

#[test]
fn a_directory_that_refuses_to_work_judges_no_password() {
    meets(&[
        (Mode::Result(51), "temporary-auth-failure"),
        (Mode::Result(52), "temporary-auth-failure"),
        (Mode::Result(53), "temporary-auth-failure"),
        (Mode::Result(1), "temporary-auth-failure"),
    ]);
}

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
    // request to progress this Search".
    let juliets = "uid=juliet,ou=people,dc=verona,dc=example??base?(mail=juliet@verona%2eexample)";
    let asked = log_in(juliets, None).expect("it was asked");
    let mail = ("mail".to_owned(), "juliet@verona.example".to_owned());
    assert_eq!(asked.filter, Filter::Equal(mail.0, mail.1));
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
fn a_server_that_finds_people_and_is_silent_to_their_passwords_is_left() {
    let people = || StandIn::start(vec![Entry::person("juliet"), Entry::person("romeo")]);
    let (directory, other) = (people(), people());
    let files = Files::new("silent-binds");
    let more = "connect_timeout = \"8 s\"\noperation_timeout = \"8 s\"\nqueue_timeout = \"20 s\"\nlisten = false\n";
    let house = house_in_time("silent-binds", &directory, &files, more);
    let text = std::fs::read_to_string(house.path("stonechat.toml")).unwrap();
    let servers = format!("servers = [{:?}, {:?}]", directory.url(), other.url());
    house.write_config(&text.replace(&format!("servers = [{:?}]", directory.url()), &servers));
    let mut server = house.serve();
    let mut romeo = Client::session(&server, "romeo", "orchard");
    let before = directory.binds().len();
    directory.set(Mode::SilentInBinds);
    let mut juliet = Client::secure(&server);
    juliet.open();
    juliet.send(&auth(&plain("juliet", PASSWORD)));
    let begun = Instant::now();
    let is_juliet = |(dn, _): &(String, String)| dn.starts_with("uid=juliet,");
    while !directory.binds()[before..].iter().any(is_juliet) {
        assert!(
            begun.elapsed() < crate::slapd::PATIENCE,
            "nobody has tried her password"
        );
        std::thread::yield_now();
    }
    // Meanwhile it is asked for somebody else, and answers.
    romeo.send("<message to='mercutio@localhost' type='chat' id='q'><body>Who</body></message>");
    assert!(romeo.element().contains("type='error'"));
    let heard = juliet.element();
    assert!(heard.starts_with("<success"), "{heard}");
    server.until_logged("directory_fails server=");
    assert!(!server.printed().contains("directory_fails_once"));
    // Now and then a password is tried there. That it takes connections and finds people is no sign that it judges them.
    let until_tried_there = || {
        let of_people = |(dn, _): &&(String, String)| dn.starts_with("uid=");
        let tried = || directory.binds().iter().filter(of_people).count();
        let before = tried();
        let begun = Instant::now();
        while tried() == before {
            let heard = try_password(&server, "romeo", PASSWORD);
            assert!(heard.starts_with("<success"), "{heard}");
            assert!(begun.elapsed() < crate::slapd::PATIENCE);
        }
    };
    until_tried_there();
    directory.set(Mode::Well);
    until_tried_there();
    server.until_logged("directory_works server=");
    let printed = server.printed();
    for (once, count) in [("directory_fails server=", 1), ("directory_works", 1)] {
        assert_eq!(printed.matches(once).count(), count, "{printed}");
    }
}

#[test]
fn nobody_is_sent_back_to_a_server_that_takes_connections_and_answers_nothing() {
    let people = || StandIn::start(vec![Entry::person("juliet"), Entry::person("romeo")]);
    let (directory, other) = (people(), people());
    let files = Files::new("silent");
    let more = "connect_timeout = \"2 s\"\noperation_timeout = \"2 s\"\nqueue_timeout = \"30 s\"\nlisten = false\n";
    let house = house_in_time("silent", &directory, &files, more);
    let text = std::fs::read_to_string(house.path("stonechat.toml")).unwrap();
    let servers = format!("servers = [{:?}, {:?}]", directory.url(), other.url());
    house.write_config(&text.replace(&format!("servers = [{:?}]", directory.url()), &servers));
    let server = house.serve();
    until_let_in(&server);
    let tried = |of: &str| {
        let binds = directory.binds();
        binds.iter().filter(|(dn, _)| dn.starts_with(of)).count()
    };
    let come_in_until = |is_done: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !is_done() {
            let heard = try_password(&server, "romeo", PASSWORD);
            assert!(heard.starts_with("<success"), "{heard}");
            assert!(begun.elapsed() < crate::slapd::PATIENCE);
        }
    };
    directory.set(Mode::Silent);
    // Whoever is first finds out, by a search or by both.
    let heard = try_password(&server, "romeo", PASSWORD);
    assert!(heard.starts_with("<success"), "{heard}");
    let (of_people, of_service) = (tried("uid="), tried(SERVICE));
    // From then on we find out ourselves, time and again.
    come_in_until(&|| tried(SERVICE) > of_service + 4);
    assert_eq!(tried("uid="), of_people);
    directory.set(Mode::Well);
    come_in_until(&|| tried("uid=") > of_people);
}

#[test]
fn an_empty_password_is_never_tried_though_the_directory_would_take_it() {
    let directory = StandIn::start(vec![Entry::person("juliet")]);
    let files = Files::new("empty");
    let house = house("empty", &directory, &files, "");
    let server = house.serve();
    directory.set(Mode::LetsAnybodyIn);
    let heard = try_password(&server, "juliet", "");
    assert!(heard.starts_with("<failure"), "{heard}");
    // What SASLprep leaves nothing of (RFC 4013 section 2.1) is empty, too.
    let heard = try_password(&server, "juliet", "\u{ad}");
    assert!(is_failure(&heard, "not-authorized"), "{heard}");
    // Who is nobody is not let in by a directory that lets anybody in.
    let heard = try_password(&server, "paris", PASSWORD);
    assert!(is_failure(&heard, "not-authorized"), "{heard}");
    let tried = directory.binds();
    assert!(
        tried.iter().all(|(_, password)| !password.is_empty()),
        "{tried:?}"
    );
}

#[test]
fn a_password_crosses_no_open_channel_that_should_have_been_encrypted() {
    let directory = StandIn::start(vec![Entry::person("juliet")]);
    let files = Files::new("open");
    let house = house("open", &directory, &files, "");
    let text = std::fs::read_to_string(house.path("stonechat.toml")).unwrap();
    house.write_config(&text.replace("start_tls = false", "start_tls = true"));
    let server = house.serve();
    for mode in [Mode::RefusesStartTls, Mode::Well, Mode::LetsAnybodyIn] {
        directory.set(mode);
        let heard = try_password(&server, "juliet", PASSWORD);
        assert!(
            is_failure(&heard, "temporary-auth-failure"),
            "{mode:?}: {heard}"
        );
    }
    assert_eq!(directory.binds(), []);
}

#[test]
fn one_entry_whose_password_cannot_be_tried_costs_nobody_else_a_login() {
    let directory = StandIn::start(vec![Entry::person("juliet"), Entry::person("romeo")]);
    let files = Files::new("one-entry");
    // Whatever is found out by the search before is of this login, however slow the machine is.
    let more = "connect_timeout = \"1 min\"\noperation_timeout = \"1 min\"\nlisten = false\n";
    let house = beside_with("one-entry", &directory, &files, more);
    let mut server = house.serve();
    // It is a server that works for others.
    until_let_in(&server);
    directory.set(Mode::BusyOf("romeo"));
    for _ in 0..3 {
        let heard = try_password(&server, "romeo", PASSWORD);
        assert!(is_failure(&heard, "temporary-auth-failure"), "{heard}");
        // Whose turn is next has a server.
        let heard = try_password(&server, "juliet", PASSWORD);
        assert!(heard.starts_with("<success"), "{heard}");
    }
    server.until_logged("directory_fails_once server=");
    assert!(!server.printed().contains("directory_fails server="));
}
