//! People change their passwords in the directory by every way that there is, and nobody registers where a directory says
//! who there is.

use std::os::unix::fs::FileExt;

use crate::ber::{self, ENUMERATED, OCTETS, SEQUENCE, SET};
use crate::changes::beside;
use crate::client::Client;
use crate::house::Files;
use crate::served::{house, is_failure, try_password};
use crate::server::Server;
use crate::slapd::{JULIET, PASSWORD, Slapd};
use crate::stand_in::{Entry, Mode, StandIn};

const COMMANDS: &str = "http://jabber.org/protocol/commands";
/// Who may set passwords: the service.
/// Lets Stonechat change passwords.
pub const MAY_CHANGE: &str = "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nadd: olcAccess\n\
    olcAccess: {0}to attrs=userPassword by dn.exact=\"cn=stonechat,ou=services,dc=verona,dc=example\" =w \
    by self =xw by anonymous auth by * none\n";

#[test]
fn active_directory_gets_a_password_in_its_own_way() {
    let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let juliet = Entry {
        dn: JULIET.to_owned(),
        attributes: vec![
            attribute("objectCategory", "person"),
            attribute("objectClass", "user"),
            attribute("sAMAccountName", "juliet"),
        ],
    };
    let directory = StandIn::start(vec![juliet]);
    let files = Files::new("unicode");
    let options = "preset = \"active-directory\"\nunique = \"-\"\npassword_change = \"modify\"\n";
    let house = beside("unicode", &directory, &files, options);
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

#[test]
fn the_command_that_changes_a_password_changes_it_in_the_directory_or_says_why_not() {
    for (change, expected) in [
        ("modify", "The password was changed"),
        ("off", "The account may not be changed any more"),
    ] {
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
        assert!(answer.contains(expected), "{change}: {answer}");
        let is_changed = directory.lets_in(JULIET, "swear not by the moon");
        assert_eq!(is_changed, change == "modify");
        // It was the user's own word, not an administrator's that the policy would have changed first.
        if is_changed {
            let heard = try_password(&server, "juliet", "swear not by the moon");
            assert!(heard.starts_with("<success"), "{heard}");
        }
        // What we changed ourselves is told by the directory, too, and ends nothing.
        juliet.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
        let answer = juliet.element();
        assert!(answer.contains("type='result'"), "{answer}");
    }
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
            count += memchr::memmem::find_iter(&bytes, text).count();
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
