//! People change their passwords in the directory by every way that there is, and nobody registers where a directory says
//! who there is.

use std::os::unix::fs::FileExt;
use std::time::Instant;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::ber::{self, ENUMERATED, OCTETS, SEQUENCE, SET};
use crate::changes::{beside, beside_with, is_here};
use crate::client::{Client, auth, plain};
use crate::groups::{commands, look_up, options};
use crate::hosts::reload;
use crate::house::Files;
use crate::served::{self, house, is_failure, try_password};
use crate::server::{House, Server};
use crate::slapd::{BASE, JULIET, PASSWORD, PATIENCE, Slapd};
use crate::stand_in::{Entry, Mode, StandIn};

const COMMANDS: &str = "http://jabber.org/protocol/commands";
/// The command, among those that somebody is shown.
const CHANGE: &str = "node='change-password'";
/// Lets Stonechat change passwords.
pub const MAY_CHANGE: &str = "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nadd: olcAccess\n\
    olcAccess: {0}to attrs=userPassword by dn.exact=\"cn=stonechat,ou=services,dc=verona,dc=example\" =w \
    by self =xw by anonymous auth by * none\n";

const ACTIVE_DIRECTORY: &str =
    "preset = \"active-directory\"\nunique = \"-\"\npassword_change = \"modify\"\n";

fn juliet_of_active_directory() -> Entry {
    let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Entry {
        dn: JULIET.to_owned(),
        attributes: vec![
            attribute("objectCategory", "person"),
            attribute("objectClass", "user"),
            attribute("sAMAccountName", "juliet"),
        ],
    }
}

#[test]
fn active_directory_gets_a_password_in_its_own_way() {
    let directory = StandIn::start(vec![juliet_of_active_directory()]);
    let files = Files::new("unicode");
    let house = beside("unicode", &directory, &files, ACTIVE_DIRECTORY);
    let server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    juliet.send(
        "<iq type='set' id='c'><query xmlns='jabber:iq:register'><username>juliet</username>\
         <password>Nächtigall 1</password></query></iq>",
    );
    let answer = juliet.element();
    assert!(answer.contains("type='result'"), "{answer}");
    // [MS-ADTS] section 3.1.1.3.1.5: replaced, in quotation marks, UTF-16 with the least byte first.
    let quoted: Vec<u8> = "\"Nächtigall 1\""
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(&quoted[..6], [0x22, 0, b'N', 0, 0xe4, 0]);
    let values = ber::of(SET, &[ber::write(OCTETS, &quoted)]);
    let change = ber::of(SEQUENCE, &[ber::text("unicodePwd"), values]);
    let change = ber::of(SEQUENCE, &[ber::write(ENUMERATED, &[2]), change]);
    let expected = [ber::text(JULIET), ber::of(SEQUENCE, &[change])].concat();
    let modified = directory.modified();
    assert_eq!(modified.len(), 1);
    // Whatever form its lengths have.
    let flat = |bytes: &[u8]| flattened(bytes);
    assert_eq!(flat(&modified[0]), flat(&expected));
    assert!(directory.extended().is_empty(), "RFC 3062 is not for it");
}

#[test]
fn a_change_of_a_password_of_which_nobody_knows_whether_it_was_made_is_not_tried_again() {
    for preset in ["openldap", "active-directory"] {
        let mut juliet = Entry::person("juliet");
        let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        juliet.attributes.extend([
            attribute("objectCategory", "person"),
            attribute("objectClass", "user"),
            attribute("sAMAccountName", "juliet"),
        ]);
        let (first, second) = (
            StandIn::start(vec![juliet.clone()]),
            StandIn::start(vec![juliet]),
        );
        let files = Files::new("unknown");
        let options =
            format!("preset = {preset:?}\nunique = \"-\"\npassword_change = \"modify\"\n");
        let house = beside(&format!("unknown-{preset}"), &first, &files, &options);
        let text = std::fs::read_to_string(house.path("stonechat.toml")).unwrap();
        let servers = format!("servers = [{:?}, {:?}]", first.url(), second.url());
        house.write_config(&text.replace(&format!("servers = [{:?}]", first.url()), &servers));
        let server = house.serve();
        let mut juliet = Client::session(&server, "juliet", "balcony");
        first.set(Mode::ClosesInChange);
        second.set(Mode::ClosesInChange);
        juliet.send(
            "<iq type='set' id='c'><query xmlns='jabber:iq:register'><username>juliet</username>\
             <password>swear not by the moon</password></query></iq>",
        );
        let answer = juliet.element();
        assert!(
            answer.contains("type='error'") && answer.contains("type='wait'"),
            "{answer}"
        );
        let changes = |directory: &StandIn| directory.extended().len() + directory.modified().len();
        assert_eq!(changes(&first) + changes(&second), 1, "{preset}");
    }
}

/// Tags and contents in order, without lengths.
fn flattened(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    for element in ber::parts(bytes) {
        match element.tag {
            SEQUENCE | SET => {
                all.push((element.tag, Vec::new()));
                all.extend(flattened(&element.content));
            }
            tag => all.push((tag, element.content)),
        }
    }
    all
}

/// However busy the machine is, the directory is in time.
const PATIENT: &str = "operation_timeout = \"20 s\"\nqueue_timeout = \"20 s\"\n";

/// Somebody tries a password, which is right, while another client of theirs changes it. Then the directory answers like this.
fn overlap(test: &str, then: Mode) {
    let directory = StandIn::start(vec![juliet_of_active_directory()]);
    let files = Files::new(test);
    let house = beside_with(
        test,
        &directory,
        &files,
        &format!("{ACTIVE_DIRECTORY}{PATIENT}"),
    );
    let server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    directory.set(Mode::HoldsChanges);
    juliet.send(
        "<iq type='set' id='c'><query xmlns='jabber:iq:register'><username>juliet</username>\
         <password>a nightingale</password></query></iq>",
    );
    let begun = Instant::now();
    while directory.modified().is_empty() {
        assert!(begun.elapsed() < PATIENCE);
    }
    let mut other = Client::secure(&server);
    other.open();
    let tried = || directory.binds().iter().filter(|it| it.0 == JULIET).count();
    let before = tried();
    other.send(&auth(&plain("juliet", PASSWORD)));
    while tried() == before {
        assert!(begun.elapsed() < PATIENCE);
    }
    directory.set(then);
    let answer = juliet.element();
    assert!(answer.contains("type='result'"), "{answer}");
    let heard = other.element();
    match then {
        Mode::Well => {
            assert!(heard.starts_with("<success"), "{heard}");
            other.open();
            let bound = other.bind("chamber");
            assert!(bound.contains("type='result'"), "{bound}");
            is_here(&mut other);
        }
        _ => assert!(is_failure(&heard, "not-authorized"), "{heard}"),
    }
    is_here(&mut juliet);
}

#[test]
fn who_logs_in_by_the_new_password_while_it_is_changed_comes_in_and_stays() {
    // The stand-in takes the one that is tried for the new one.
    overlap("overlapped-new", Mode::Well);
}

#[test]
fn who_logs_in_by_the_old_password_while_it_is_changed_is_refused() {
    overlap("overlapped-old", Mode::WrongOf("juliet"));
}

#[test]
fn a_change_that_a_reload_comes_between_is_not_somebody_elses() {
    let dated = |changed: &str| {
        let mut juliet = juliet_of_active_directory();
        let date = ("pwdLastSet".to_owned(), changed.to_owned());
        juliet.attributes.push(date);
        vec![juliet]
    };
    let directory = StandIn::start(dated("1"));
    let files = Files::new("reloaded");
    let times = "operation_timeout = \"60 s\"\nqueue_timeout = \"60 s\"\n";
    let more = format!("{ACTIVE_DIRECTORY}{times}listen = false\npoll = \"1 h\"\n");
    let house = beside_with("reloaded", &directory, &files, &more);
    let mut server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    directory.set(Mode::HoldsChanges);
    juliet.send(
        "<iq type='set' id='c'><query xmlns='jabber:iq:register'><username>juliet</username>\
         <password>a nightingale</password></query></iq>",
    );
    let begun = Instant::now();
    while directory.modified().is_empty() {
        assert!(begun.elapsed() < PATIENCE);
    }
    // It is done, and not answered yet.
    directory.have(dated("2"));
    // Of which an option has changed, another takes its place.
    reload(&house, "poll = \"1 h\"", "poll = \"2 h\"");
    // Each directory looks at everybody once, when it begins.
    let looks = |server: &Server| server.printed().matches("directory_looked").count();
    while looks(&server) < 2 {
        server.until_logged("directory_looked");
    }
    directory.set(Mode::Well);
    let answer = juliet.element();
    assert!(answer.contains("type='result'"), "{answer}");
    is_here(&mut juliet);
    // A copy that lags says what was said before.
    directory.have(dated("1"));
    reload(&house, "poll = \"2 h\"", "poll = \"3 h\"");
    while looks(&server) < 3 {
        server.until_logged("directory_looked");
    }
    is_here(&mut juliet);
}

#[test]
fn the_command_that_changes_a_password_changes_it_in_the_directory_where_that_is_allowed() {
    for change in ["modify", "off"] {
        let directory = Slapd::start("command");
        directory.configure(MAY_CHANGE);
        let house = house(
            "command",
            &directory,
            &format!("password_change = \"{change}\"\n"),
        );
        let server = house.serve();
        let mut juliet = Client::session(&server, "juliet", "balcony");
        juliet.send(&format!(
            "<iq type='set' id='x' to='localhost'><command xmlns='{COMMANDS}' node='change-password'/></iq>"
        ));
        let form = juliet.element();
        if change == "off" {
            assert!(form.contains("<forbidden "), "{form}");
            continue;
        }
        let (_, session) = form.split_once(" sessionid='").expect("a form");
        let session = session.split('\'').next().unwrap();
        let field = |name: &str| {
            format!("<field var='{name}'><value>swear not by the moon</value></field>")
        };
        juliet.send(&format!(
            "<iq type='set' id='y' to='localhost'><command xmlns='{COMMANDS}' node='change-password' \
             sessionid='{session}'><x xmlns='jabber:x:data' type='submit'>{}{}</x></command></iq>",
            field("password"),
            field("again"),
        ));
        let answer = juliet.element();
        assert!(answer.contains("The password was changed"), "{answer}");
        assert!(directory.lets_in(JULIET, "swear not by the moon"));
        // It was the user's own word, not an administrator's that the policy would have changed first.
        let heard = try_password(&server, "juliet", "swear not by the moon");
        assert!(heard.starts_with("<success"), "{heard}");
        // What we changed ourselves is told by the directory, too, and ends nothing.
        juliet.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
        let answer = juliet.element();
        assert!(answer.contains("type='result'"), "{answer}");
    }
}

#[test]
fn who_may_register_changes_the_password_and_nobody_else_until_they_join() {
    let directory = Slapd::start("may-register");
    directory.configure(MAY_CHANGE);
    let rules = options("managers = [\"rulers\"]\nregister = [\"rulers\"]\n");
    let more = format!("password_change = \"modify\"\n{rules}");
    let house = house("may-register", &directory, &more);
    let mut server = house.serve();
    server.until_logged("directory_groups host=localhost people=");
    let mut escalus = Client::session(&server, "escalus", "palace");
    let mut romeo = Client::session(&server, "romeo", "orchard");
    let change = |client: &mut Client, name: &str| {
        client.send(&format!(
            "<iq type='set' id='c'><query xmlns='jabber:iq:register'><username>{name}</username>\
             <password>swear not by the moon</password></query></iq>"
        ));
        client.element()
    };
    let is_offered = |client: &mut Client| {
        client.send("<iq type='get' id='f'><query xmlns='jabber:iq:register'/></iq>");
        let fields = client.element();
        assert!(fields.contains("<registered/>"), "{fields}");
        fields.contains("<password/>")
    };
    let dn = |name: &str| format!("uid={name},ou=people,{BASE}");
    assert!(is_offered(&mut escalus) && commands(&mut escalus).contains(CHANGE));
    let changed = change(&mut escalus, "escalus");
    assert!(changed.contains("type='result'"), "{changed}");
    assert!(directory.lets_in(&dn("escalus"), "swear not by the moon"));
    assert!(!is_offered(&mut romeo) && !commands(&mut romeo).contains(CHANGE));
    let refused = change(&mut romeo, "romeo");
    assert!(refused.contains("<not-allowed "), "{refused}");
    assert!(directory.lets_in(&dn("romeo"), PASSWORD));
    directory.change(&format!(
        "dn: cn=rulers,ou=groups,{BASE}\nchangetype: modify\nadd: member\nmember: {}\n",
        dn("romeo")
    ));
    let begun = Instant::now();
    while !commands(&mut romeo).contains(CHANGE) {
        assert!(begun.elapsed() < PATIENCE);
    }
    assert!(is_offered(&mut romeo));
    let changed = change(&mut romeo, "romeo");
    assert!(changed.contains("type='result'"), "{changed}");
    assert!(directory.lets_in(&dn("romeo"), "swear not by the moon"));
    // Managers are shown who may.
    let said = look_up(&mut escalus, "romeo");
    let right = "<value>use in-band registration</value>";
    assert!(said.contains(right), "{said}");
    let said = look_up(&mut escalus, "juliet");
    assert!(!said.contains(right), "{said}");
}

#[test]
fn nobody_registers_where_a_directory_says_who_there_is() {
    let directory = Slapd::start("register");
    let house = house("register", &directory, "");
    let server = house.serve();
    let mut stranger = Client::secure(&server);
    let features = stranger.open();
    assert!(!features.contains("iq-register"), "{features}");
    for request in [
        "<iq type='get' id='a'><query xmlns='jabber:iq:register'/></iq>",
        "<iq type='set' id='b'><query xmlns='jabber:iq:register'><username>paris</username><password>pencil</password></query></iq>",
    ] {
        stranger.send(request);
        let answer = stranger.element();
        // XEP-0077 section 3.1: "If the host does not support In-Band Registration, it MUST return a
        // <service-unavailable/> error".
        assert!(
            answer.contains("type='error'") && answer.contains("<service-unavailable "),
            "{answer}"
        );
    }
    // Nor may an operator allow it.
    let text = std::fs::read_to_string(house.path("stonechat.toml")).unwrap();
    house.write_config(&format!("{text}\n[host.registration]\nmode = \"open\"\n"));
    let (fine, said) = house.tool(&["check"], "");
    assert!(
        !fine && said.contains("host[0].registration.mode: must be \"off\""),
        "{said}"
    );
}

/// How often this is in the memory of a process that we have started.
fn copies(server: &Server, text: &str) -> usize {
    copies_where(server, text, |_| true)
}

/// The same of those that have this behind them.
fn copies_where(server: &Server, text: &str, is_meant: impl Fn(&[u8]) -> bool) -> usize {
    let path = |name: &str| format!("/proc/{}/{name}", server.pid());
    let maps = std::fs::read_to_string(path("maps")).unwrap();
    let memory = std::fs::File::open(path("mem")).unwrap();
    let mut count = 0;
    for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
        let range = line.split(' ').next().unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let at = |text: &str| u64::from_str_radix(text, 16).unwrap();
        let mut bytes = vec![0; usize::try_from(at(to) - at(from)).unwrap()];
        // Some are the kernel's alone.
        if memory.read_exact_at(&mut bytes, at(from)).is_ok() {
            let found = memchr::memmem::find_iter(&bytes, text);
            count += found
                .filter(|at| is_meant(&bytes[at + text.len()..]))
                .count();
        }
    }
    count
}

#[test]
fn passwords_that_were_tried_are_not_left_in_memory() {
    let directory = Slapd::start("memory");
    let house = house("memory", &directory, "bind_connections = 1\n");
    let server = house.serve();
    for _ in 0..4 {
        let heard = try_password(&server, "juliet", "Zebrafinken-17");
        assert!(is_failure(&heard, "not-authorized"), "{heard}");
    }
    // What a connection sent last it forgets with the next.
    let heard = try_password(&server, "juliet", PASSWORD);
    assert!(heard.starts_with("<success"), "{heard}");
    assert_eq!(copies(&server, "Zebrafinken-17"), 0);
    // The scan is no good if it never finds anything.
    assert!(copies(&server, "juliet") > 0);
}

#[test]
fn passwords_that_are_new_are_not_left_in_memory() {
    let directory = Slapd::start("memory-new");
    directory.configure(MAY_CHANGE);
    let more = "password_change = \"modify\"\nsearch_connections = 1\nbind_connections = 1\n";
    let house = house("memory-new", &directory, more);
    let server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    for number in 1..4 {
        juliet.send(&format!(
            "<iq type='set' id='c'><query xmlns='jabber:iq:register'><username>juliet</username>\
             <password>{number}-Zebrafinken</password></query></iq>"
        ));
        let changed = juliet.element();
        assert!(changed.contains("type='result'"), "{changed}");
    }
    assert!(directory.lets_in(JULIET, "3-Zebrafinken"));
    // What a connection sent last it forgets with the next.
    let heard = try_password(&server, "juliet", PASSWORD);
    assert!(is_failure(&heard, "not-authorized"), "{heard}");
    is_here(&mut juliet);
    // What her client sent may stand where streams are read, until something as long has come.
    let is_ours = |behind: &[u8]| !behind.starts_with(b"</password>");
    assert_eq!(copies_where(&server, "-Zebrafinken", is_ours), 0);
    assert!(copies(&server, "juliet") > 0);
}

#[test]
fn passwords_that_streams_have_read_are_not_left_in_memory() {
    let directory = Slapd::start("memory-read");
    directory.configure(MAY_CHANGE);
    let host = served::options(&directory, "password_change = \"modify\"\n");
    // Otherwise rustls keeps what it has decrypted last.
    let house = House::new("memory-read", "tls.compact = true\n", &host);
    let server = house.serve();
    for _ in 0..2 {
        let heard = try_password(&server, "juliet", "Zebrafinken-17");
        assert!(is_failure(&heard, "not-authorized"), "{heard}");
    }
    let mut juliet = Client::session(&server, "juliet", "balcony");
    juliet.send(
        "<iq type='set' id='c'><query xmlns='jabber:iq:register'><username>juliet</username>\
         <password>Kanarien-vogel</password></query></iq>",
    );
    let changed = juliet.element();
    assert!(changed.contains("type='result'"), "{changed}");
    let command = |more: &str| {
        format!(
            "<iq type='set' id='x' to='localhost'><command xmlns='{COMMANDS}' node='change-password'{more}</command></iq>"
        )
    };
    juliet.send(&command(">"));
    let form = juliet.element();
    let (_, session) = form.split_once(" sessionid='").expect("a form");
    let session = session.split('\'').next().unwrap();
    let field = |name: &str| format!("<field var='{name}'><value>Wellen-sittich</value></field>");
    let (password, again) = (field("password"), field("again"));
    juliet.send(&command(&format!(
        " sessionid='{session}'><x xmlns='jabber:x:data' type='submit'>{password}{again}</x>"
    )));
    let changed = juliet.element();
    assert!(changed.contains("The password was changed"), "{changed}");
    let response = BASE64_STANDARD.encode(plain("juliet", "Zebrafinken-17"));
    for sent in [
        &*response,
        "<password>Kanarien-vogel",
        "<value>Wellen-sittich",
    ] {
        assert_eq!(copies(&server, sent), 0, "{sent}");
    }
    assert!(copies(&server, "juliet") > 0);
}
