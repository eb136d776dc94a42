//! What is changed in the directory is heard of here, whether the directory tells (RFC 4533) or has to be looked at; a
//! directory that tells wrongly ends nobody's session.

use std::time::{Duration, Instant};

use crate::client::Client;
use crate::faults::{QUICK, until_let_in};
use crate::house::Files;
use crate::passwords::MAY_CHANGE;
use crate::proofs::{show_token, token};
use crate::served::{house, is_failure, try_password};
use crate::server::{House, Server};
use crate::slapd::{BASE, JULIET, PASSWORD, PATIENCE, ROMEO, SERVICE, SERVICE_PASSWORD, Slapd};
use crate::stand_in::{COOKIE, Entry, Mode, StandIn};

const TYBALT: &str = "uid=tybalt,ou=people,dc=verona,dc=example";

/// Until this was logged, which may be long ago.
pub fn until_said(server: &mut Server, text: &str) {
    if !server.printed().contains(text) {
        server.until_logged(text);
    }
}

pub fn is_here(client: &mut Client) {
    client.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    let answer = client.element();
    assert!(answer.contains("type='result'"), "{answer}");
}

#[test]
fn who_is_removed_loses_sessions_whatever_number_of_entries_have_the_name_of_somebody_else() {
    let directory = Slapd::start("namesakes");
    let house = house("namesakes", &directory, "listen = false\npoll = \"1 s\"\n");
    let server = house.serve();
    let mut tybalt = Client::session(&server, "tybalt", "sword");
    let _romeo = Client::session(&server, "romeo", "orchard");
    let namesakes = (0..20).map(|number| {
        format!(
            "dn: cn=Romeo {number},ou=people,{BASE}\nobjectClass: inetOrgPerson\ncn: Romeo {number}\n\
             sn: {number}\nuid: romeo\n\n"
        )
    });
    directory.change(&namesakes.collect::<String>());
    directory.change(&format!("dn: {TYBALT}\nchangetype: delete\n"));
    tybalt.fails_with("reset");
}

#[test]
fn who_is_closed_or_removed_loses_sessions_as_soon_as_the_directory_tells() {
    let directory = Slapd::start("tells");
    // Nobody looks.
    let house = house("tells", &directory, "poll = \"1 h\"\n");
    let mut server = house.serve();
    until_said(&mut server, "directory_followed host=localhost people=9");
    let mut juliet = Client::session(&server, "juliet", "balcony");
    let mut tybalt = Client::session(&server, "tybalt", "sword");
    let mut romeo = Client::session(&server, "romeo", "orchard");
    directory.change(&format!("dn: {JULIET}\nchangetype: delete\n"));
    juliet.fails_with("reset");
    directory.change(&format!(
        "dn: {TYBALT}\nchangetype: modify\nadd: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n"
    ));
    tybalt.fails_with("reset");
    until_said(
        &mut server,
        "directory_let_go account=tybalt@localhost standing=Barred",
    );
    // What is nobody's standing is nobody's matter, and neither is a wrong password, which slapd notes at the entry.
    assert!(!directory.lets_in(ROMEO, "guess"));
    directory.change(&format!(
        "dn: {ROMEO}\nchangetype: modify\nreplace: title\ntitle: Exile\n"
    ));
    is_here(&mut romeo);
    // Another name is as good as gone; who comes back is here again.
    directory.change(&format!(
        "dn: {ROMEO}\nchangetype: modrdn\nnewrdn: uid=exile\ndeleteoldrdn: 1\n"
    ));
    romeo.fails_with("reset");
    directory.change(&format!(
        "dn: {TYBALT}\nchangetype: modify\ndelete: pwdAccountLockedTime\n"
    ));
    Client::session(&server, "tybalt", "sword");
    until_said(
        &mut server,
        "directory_let_go account=romeo@localhost standing=Unknown",
    );
    assert_eq!(server.printed().matches("directory_let_go").count(), 3);
}

#[test]
fn who_is_added_is_known_before_what_was_believed_is_old() {
    let directory = Slapd::start("added");
    let house = house("added", &directory, "fresh_unknown = \"1 h\"\n");
    let mut server = house.serve();
    until_said(&mut server, "directory_followed host=localhost people=9");
    let mut juliet = Client::session(&server, "juliet", "balcony");
    let message = "<message to='paris@localhost' type='chat' id='m'><body>No</body></message>";
    juliet.send(message);
    let bounced = juliet.element();
    assert!(bounced.contains("service-unavailable"), "{bounced}");
    directory.change(&format!(
        "dn: uid=paris,ou=people,{BASE}\nobjectClass: inetOrgPerson\nuid: paris\ncn: Paris\nsn: Paris\nuserPassword: {PASSWORD}\n"
    ));
    let begun = Instant::now();
    // What is kept for him makes an account of his.
    while !house
        .tool(&["user", "list"], "")
        .1
        .contains("paris@localhost")
    {
        assert!(begun.elapsed() < PATIENCE, "nobody told of him");
        juliet.send(message);
    }
}

#[test]
fn a_password_that_is_changed_in_the_directory_ends_sessions_and_tokens() {
    for (way, more) in [
        ("told", "poll = \"1 h\"\n"),
        ("looked", "listen = false\npoll = \"1 s\"\n"),
    ] {
        let directory = Slapd::start(&format!("password-{way}"));
        directory.set_password(JULIET, "a first one");
        directory.change(&format!(
            "dn: {JULIET}\nchangetype: modify\ndelete: pwdReset\n"
        ));
        let house = house(&format!("password-{way}"), &directory, more);
        let mut server = house.serve();
        let token = token(&server, "a first one");
        assert!(show_token(&server, &token).starts_with("<success"));
        let mut juliet = Client::secure(&server);
        juliet.open();
        juliet.log_in("juliet", "a first one");
        juliet.bind("balcony");
        match way {
            "told" => until_said(&mut server, "directory_followed host=localhost people=9"),
            _ => until_said(&mut server, "directory_looked host=localhost accounts=1"),
        };
        // Directories tell the time of a change in whole seconds.
        set_another(&directory, "another one");
        juliet.fails_with("reset");
        until_said(
            &mut server,
            "directory_password_changed account=juliet@localhost",
        );
        let refused = show_token(&server, &token);
        assert!(refused.starts_with("<failure"), "{refused}");
    }
}

#[test]
fn a_directory_that_was_away_is_heard_of_again() {
    let mut directory = Slapd::start("away");
    let house = house("away", &directory, &format!("poll = \"1 h\"\n{QUICK}"));
    let mut server = house.serve();
    until_said(&mut server, "directory_followed host=localhost people=9");
    let mut romeo = Client::session(&server, "romeo", "orchard");
    let mut juliet = Client::session(&server, "juliet", "balcony");
    directory.kill();
    directory.start_again();
    // Before or after it is connected again: what happened in between is told, too.
    directory.change(&format!("dn: {JULIET}\nchangetype: delete\n"));
    juliet.fails_with("reset");
    is_here(&mut romeo);
    directory.kill();
    directory.start_again();
    directory.change(&format!("dn: {ROMEO}\nchangetype: delete\n"));
    romeo.fails_with("reset");
}

#[test]
fn a_directory_that_has_forgotten_what_it_told_is_heard_of_again() {
    let mut directory = Slapd::start("forgets");
    let house = house("forgets", &directory, &format!("poll = \"1 h\"\n{QUICK}"));
    let mut server = house.serve();
    until_said(&mut server, "directory_followed host=localhost people=9");
    let mut romeo = Client::session(&server, "romeo", "orchard");
    let mut juliet = Client::session(&server, "juliet", "balcony");
    directory.change(&format!("dn: {JULIET}\nchangetype: delete\n"));
    juliet.fails_with("reset");
    // Of the last change nothing is left that says when it was.
    directory.kill();
    directory.start_again();
    directory.until_logged("consumer state is newer than provider");
    // Once it has refused to go on, and once anew.
    server.until_logged("directory_listens of=people");
    server.until_logged("directory_listens of=people");
    directory.change(&format!("dn: {ROMEO}\nchangetype: delete\n"));
    romeo.fails_with("reset");
}

/// A house beside a stand-in, with short times unless these options say others.
pub fn beside(test: &str, directory: &StandIn, files: &Files, more: &str) -> House {
    beside_with(test, directory, files, &format!("{QUICK}{more}"))
}

/// The same with the times of these options, or the usual ones.
pub fn beside_with(test: &str, directory: &StandIn, files: &Files, more: &str) -> House {
    let password = files.write("password", SERVICE_PASSWORD);
    // Those of sections behind it are others'.
    let mut own = more.lines().take_while(|line| !line.starts_with('['));
    let base = match own.any(|line| line.starts_with("base =")) {
        true => String::new(),
        false => format!("base = \"ou=people,{BASE}\"\n"),
    };
    let host = format!(
        "[[host]]\nname = \"localhost\"\n[host.directory]\nservers = [{:?}]\nstart_tls = false\n\
         bind_dn = {SERVICE:?}\npassword_file = {password:?}\n{base}{more}",
        directory.url()
    );
    House::new(
        &format!("changes-{test}"),
        "log.filter = \"debug\"\n",
        &host,
    )
}

/// A stand-in that tells in this way from the beginning, after both have logged in.
fn telling(test: &str, mode: Mode, more: &str) -> (StandIn, Files, House, Server, Client) {
    let directory = StandIn::start(vec![Entry::person("juliet"), Entry::person("romeo")]);
    let files = Files::new("changes");
    let house = beside(test, &directory, &files, more);
    let server = house.serve();
    until_let_in(&server);
    drop(Client::session(&server, "romeo", "orchard"));
    server.stop();
    directory.offer_to_tell();
    directory.set(mode);
    let server = house.serve();
    let mut romeo = Client::session(&server, "romeo", "orchard");
    is_here(&mut romeo);
    (directory, files, house, server, romeo)
}

fn until_cookies(directory: &StandIn, count: usize) -> Vec<Vec<u8>> {
    let begun = Instant::now();
    loop {
        let cookies = directory.cookies();
        if cookies.len() >= count {
            return cookies;
        }
        assert!(begun.elapsed() < PATIENCE, "{cookies:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_state_is_shown_as_it_came_and_a_server_that_does_not_know_it_is_asked_anew() {
    let (directory, _files, _house, mut server, mut romeo) = telling("state", Mode::Tells, "");
    until_said(&mut server, "directory_followed host=localhost people=2");
    directory.cut();
    let cookies = until_cookies(&directory, 2);
    assert_eq!(cookies, [&[][..], &COOKIE]);
    directory.set(Mode::TellsAnew);
    // Before any of it comes: who looks late sees all of it at once.
    let begun = Instant::now();
    directory.cut();
    // Once with the state, then without one, and not as fast as it can be refused.
    let cookies = until_cookies(&directory, 5);
    assert_eq!(&cookies[2..5], [&COOKIE[..], &[], &[]]);
    until_cookies(&directory, 7);
    assert!(begun.elapsed() > Duration::from_millis(500));
    is_here(&mut romeo);
    assert!(!server.printed().contains("directory_let_go"));
}

#[test]
fn a_directory_that_stops_is_shown_the_state_until_it_is_back() {
    let (directory, _files, _house, mut server, mut romeo) = telling("stops", Mode::Tells, "");
    until_said(&mut server, "directory_followed host=localhost people=2");
    directory.set(Mode::TellsNotNow);
    directory.cut();
    let cookies = until_cookies(&directory, 4);
    assert_eq!(cookies[1..4], [COOKIE; 3]);
    is_here(&mut romeo);
}

#[test]
fn what_is_told_halfway_wrongly_or_endlessly_ends_nobodys_session() {
    for (mode, more, line) in [
        (
            Mode::TellsHalf,
            "",
            "directory_unheard of=people of localhost",
        ),
        (
            Mode::TellsGarbage,
            "",
            "directory_tells_wrongly of=people of localhost",
        ),
        (
            Mode::TellsEndlessly,
            "watched = 1000\n",
            "directory_tells_wrongly of=people of localhost",
        ),
    ] {
        let (directory, _files, _house, mut server, mut romeo) =
            telling(&format!("{mode:?}"), mode, more);
        until_said(&mut server, line);
        is_here(&mut romeo);
        let printed = server.printed();
        assert!(!printed.contains("directory_let_go"), "{mode:?}");
        assert!(!printed.contains("directory_followed"), "{mode:?}");
        let heard = try_password(&server, "juliet", "dagger");
        assert!(is_failure(&heard, "not-authorized"), "{mode:?}: {heard}");
        directory.set(Mode::Tells);
        until_let_in(&server);
    }
}

#[test]
fn who_may_be_behind_a_reference_is_looked_for_because_nobody_would_tell() {
    let directory = StandIn::start(vec![Entry::person("juliet"), Entry::person("romeo")]);
    directory.offer_to_tell();
    directory.set(Mode::Tells);
    let files = Files::new("behind");
    let house = beside(
        "behind",
        &directory,
        &files,
        "referrals = \"follow\"\npoll = \"1 s\"\n",
    );
    let mut server = house.serve();
    until_said(&mut server, "directory_looked host=localhost accounts=");
    assert!(directory.cookies().is_empty(), "it asked to be told");
}

#[test]
fn two_who_are_not_told_of_are_gone() {
    let (directory, _files, _house, mut server, _romeo) = telling("nobody", Mode::Tells, "");
    until_said(&mut server, "directory_followed host=localhost people=2");
    directory.set(Mode::TellsOfNobody);
    directory.cut();
    until_said(
        &mut server,
        "directory_let_go account=juliet@localhost standing=Unknown",
    );
    until_said(
        &mut server,
        "directory_let_go account=romeo@localhost standing=Unknown",
    );
}

#[test]
fn who_is_there_without_having_been_told_of_is_told_of_anew() {
    let directory = StandIn::start(vec![Entry::person("juliet"), Entry::person("romeo")]);
    directory.offer_to_tell();
    directory.set(Mode::TellsOfOne);
    let files = Files::new("lacks");
    let house = beside("lacks", &directory, &files, "");
    let mut server = house.serve();
    until_said(&mut server, "directory_followed host=localhost people=1");
    // It was restored from an older copy, in which Romeo was.
    directory.set(Mode::TellsOfNoChange);
    directory.cut();
    until_said(&mut server, "directory_followed host=localhost people=2");
    let cookies = directory.cookies();
    let mut pairs = cookies.windows(2);
    assert!(pairs.any(|pair| pair == [&COOKIE[..], &[]]), "{cookies:?}");
}

#[test]
fn what_a_vcard_says_is_another_as_soon_as_the_directory_tells() {
    let directory = Slapd::start("tells-cards");
    let house = house("tells-cards", &directory, "poll = \"1 h\"\n");
    let mut server = house.serve();
    until_said(&mut server, "directory_followed host=localhost people=9");
    let mut romeo = Client::session(&server, "romeo", "orchard");
    let mut card = || {
        romeo.send("<iq type='get' id='v' to='juliet@localhost'><vCard xmlns='vcard-temp'/></iq>");
        romeo.element()
    };
    let before = card();
    assert!(before.contains("Daughter"), "{before}");
    directory.change(&format!(
        "dn: {JULIET}\nchangetype: modify\nreplace: title\ntitle: Wife\n"
    ));
    let begun = Instant::now();
    // It would be believed for five minutes.
    loop {
        let card = card();
        if card.contains("Wife") {
            return;
        }
        let printed = || server.printed();
        assert!(begun.elapsed() < PATIENCE, "{card}\n{}", printed());
    }
}

/// Sets a password as an administrator does, so that the directory says that it was changed: it does in whole seconds.
fn set_another(directory: &Slapd, password: &str) {
    let before = directory.values(JULIET, "pwdChangedTime");
    let begun = Instant::now();
    while directory.values(JULIET, "pwdChangedTime") == before {
        assert!(begun.elapsed() < PATIENCE, "no policy notes it");
        directory.set_password(JULIET, password);
    }
    // It has not to be changed first.
    directory.change(&format!(
        "dn: {JULIET}\nchangetype: modify\ndelete: pwdReset\n"
    ));
}

#[test]
fn a_password_that_is_changed_while_nobody_listens_ends_tokens() {
    let directory = Slapd::start("unheard");
    let house = house("unheard", &directory, "poll = \"1 h\"\n");
    let server = house.serve();
    let stolen = token(&server, PASSWORD);
    assert!(show_token(&server, &stolen).starts_with("<success"));
    server.stop();
    set_another(&directory, "another one");
    let mut server = house.serve();
    until_said(&mut server, "directory_followed host=localhost people=9");
    let refused = show_token(&server, &stolen);
    assert!(is_failure(&refused, "credentials-expired"), "{refused}");
    // Those that are made with the new one outlive a start.
    let own = token(&server, "another one");
    server.stop();
    let mut server = house.serve();
    until_said(&mut server, "directory_followed host=localhost people=9");
    let welcome = show_token(&server, &own);
    assert!(welcome.starts_with("<success"), "{welcome}");
    // Directly after a reload that begins to listen anew.
    let text = std::fs::read_to_string(house.path("stonechat.toml")).unwrap();
    house.write_config(&text.replace("poll = \"1 h\"", "poll = \"2 h\""));
    server.signal("HUP");
    server.until_logged("host[localhost].directory.poll");
    set_another(&directory, "a third one");
    let begun = Instant::now();
    while !is_failure(&show_token(&server, &own), "credentials-expired") {
        assert!(begun.elapsed() < PATIENCE, "the token is still good");
    }
}

#[test]
fn who_changes_their_own_password_twice_is_not_deaf_to_others() {
    let directory = Slapd::start("twice");
    directory.configure(MAY_CHANGE);
    let more = "poll = \"1 h\"\npassword_change = \"modify\"\n";
    let house = house("twice", &directory, more);
    let mut server = house.serve();
    until_said(&mut server, "directory_followed host=localhost people=9");
    let mut juliet = Client::session(&server, "juliet", "balcony");
    let change = |id: &str, password: &str| {
        format!(
            "<iq type='set' id='{id}'><query xmlns='jabber:iq:register'><username>juliet</username>\
             <password>{password}</password></query></iq>"
        )
    };
    juliet.send(&(change("a", "a nightingale") + &change("b", "and no lark")));
    for _ in 0..2 {
        let changed = juliet.element();
        assert!(changed.contains("type='result'"), "{changed}");
    }
    let password = ["a nightingale", "and no lark"].into_iter();
    let mut password = password.filter(|password| directory.lets_in(JULIET, password));
    let stolen = token(&server, password.next().expect("one of both"));
    // Her own changes do not throw her out.
    is_here(&mut juliet);
    set_another(&directory, "what the helpdesk says");
    juliet.fails_with("reset");
    until_said(
        &mut server,
        "directory_password_changed account=juliet@localhost",
    );
    let refused = show_token(&server, &stolen);
    assert!(refused.starts_with("<failure"), "{refused}");
}

#[test]
fn who_left_long_ago_does_not_count_among_those_who_leave() {
    let directory = Slapd::start("long-ago");
    let name = |index: u32| format!("uid=page{index},ou=people,{BASE}");
    let people = (0..25).map(|index| {
        format!(
            "dn: {}\nobjectClass: inetOrgPerson\nuid: page{index}\ncn: Page\nsn: Page\n\n",
            name(index)
        )
    });
    directory.change(&people.collect::<String>());
    let house = house("long-ago", &directory, "listen = false\npoll = \"1 s\"\n");
    let mut server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    for index in 0..25 {
        juliet.send(&format!(
            "<message to='page{index}@localhost' type='chat'><body>Go</body></message>"
        ));
    }
    is_here(&mut juliet);
    until_said(&mut server, "directory_looked host=localhost accounts=26 ");
    let delete = |these: std::ops::Range<u32>| {
        let gone = these.map(|index| format!("dn: {}\nchangetype: delete\n\n", name(index)));
        directory.change(&gone.collect::<String>());
    };
    let let_go = |index: u32| format!("directory_let_go account=page{index}@localhost");
    delete(0..15);
    for index in 0..15 {
        until_said(&mut server, &let_go(index));
    }
    delete(15..22);
    for index in 15..22 {
        until_said(&mut server, &let_go(index));
    }
    server.stop();
    let mut server = house.serve();
    delete(22..23);
    until_said(&mut server, &let_go(22));
    // Of those who were gone it is not said again.
    assert_eq!(server.printed().matches("directory_let_go").count(), 1);
}

#[test]
fn who_is_closed_twice_between_two_looks_loses_what_is_there() {
    let directory = Slapd::start("closed-twice");
    let house = house(
        "closed-twice",
        &directory,
        "listen = false\npoll = \"4 s\"\n",
    );
    let mut server = house.serve();
    let close = format!(
        "dn: {JULIET}\nchangetype: modify\nadd: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n"
    );
    let open = format!("dn: {JULIET}\nchangetype: modify\ndelete: pwdAccountLockedTime\n");
    let let_go = "directory_let_go account=juliet@localhost standing=Barred";
    let stolen = token(&server, PASSWORD);
    directory.change(&close);
    server.until_logged(let_go);
    directory.change(&open);
    let mut juliet = Client::session(&server, "juliet", "balcony");
    directory.change(&close);
    juliet.fails_with("reset");
    // This is what an operator does with a stolen account.
    // With a new password slapd opens it, too.
    set_another(&directory, "another one");
    let refused = show_token(&server, &stolen);
    assert!(is_failure(&refused, "credentials-expired"), "{refused}");
}
