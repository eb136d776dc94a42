//! Keys of SCRAM that stand in the directory: they change with the password, and strangers see no difference between who has
//! some and who does not exist.

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::changes::until_said;
use crate::client::{Client, SASL};
use crate::scram::Scram;
use crate::served::{house, is_failure, try_password};
use crate::server::Server;
use crate::slapd::{JULIET, PASSWORD, Schema, Slapd, Wishes};

/// Lets Stonechat write passwords and keys.
const MAY_CHANGE: &str = "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nadd: olcAccess\n\
    olcAccess: {0}to attrs=userPassword by dn.exact=\"cn=stonechat,ou=services,dc=verona,dc=example\" =w \
    by self =xw by anonymous auth by * none\n\
    olcAccess: {1}to attrs=authPassword by dn.exact=\"cn=stonechat,ou=services,dc=verona,dc=example\" write \
    by * none\n";

pub fn directory(test: &str) -> Slapd {
    let wishes = Wishes {
        schema: Schema::Stonechat,
        ..Wishes::default()
    };
    Slapd::with(test, wishes)
}

pub fn decoded(element: &str) -> String {
    let inner = element.split(['<', '>']).nth(2).unwrap();
    String::from_utf8(BASE64_STANDARD.decode(inner).unwrap()).unwrap()
}

/// The challenge and what comes in the end, of who logs in by SCRAM-SHA-256.
fn scram(server: &Server, name: &str, password: &str) -> (String, String) {
    let mut client = Client::secure(server);
    client.open();
    let mut scram = Scram::new(name, password, "nonce").with_header("n,,", b"");
    let first = BASE64_STANDARD.encode(scram.first());
    client.send(&format!(
        "<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{first}</auth>"
    ));
    let challenge = decoded(&client.element());
    let last = BASE64_STANDARD.encode(scram.last(&challenge).unwrap());
    client.send(&format!("<response xmlns='{SASL}'>{last}</response>"));
    (challenge, client.element())
}

/// Iterations and bytes of the salt.
fn shape(challenge: &str) -> (String, usize) {
    let field = |key: &str| challenge.split(',').find_map(|it| it.strip_prefix(key));
    let salt = BASE64_STANDARD.decode(field("s=").unwrap()).unwrap();
    (field("i=").unwrap().to_owned(), salt.len())
}

fn change_password(client: &mut Client, password: &str) -> String {
    client.send(&format!(
        "<iq type='set' id='c'><query xmlns='jabber:iq:register'><username>juliet</username>\
         <password>{password}</password></query></iq>"
    ));
    client.element()
}

#[test]
fn a_password_that_its_owner_changes_takes_the_keys_with_it() {
    let directory = directory("keys-change");
    directory.configure(MAY_CHANGE);
    let more = "authentication = \"both\"\npassword_change = \"modify\"\n";
    let house = house("keys-change", &directory, more);
    let server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    let is_in = |password: &str| scram(&server, "juliet", password).1.starts_with("<success");
    assert!(is_in(PASSWORD));
    let before = directory.values(JULIET, "authPassword");
    // What `pwdMinLength` of the policy does not want leaves the keys as they were.
    let refused = change_password(&mut juliet, "short");
    assert!(refused.contains("not-acceptable"), "{refused}");
    let mut after = directory.values(JULIET, "authPassword");
    let mut same = before.clone();
    after.sort();
    same.sort();
    assert_eq!(after, same);
    assert!(is_in(PASSWORD) && directory.lets_in(JULIET, PASSWORD));
    let changed = change_password(&mut juliet, "a nightingale sings");
    assert!(changed.contains("type='result'"), "{changed}");
    assert!(directory.lets_in(JULIET, "a nightingale sings"));
    assert!(!is_in(PASSWORD), "the old one is good for SCRAM");
    assert!(is_in("a nightingale sings"));
    let old = try_password(&server, "juliet", PASSWORD);
    assert!(is_failure(&old, "not-authorized"), "{old}");
    // Of every digest that she had, in the same number of iterations, and nothing of the old ones.
    let after = directory.values(JULIET, "authPassword");
    assert_eq!(after.len(), before.len());
    for scheme in ["SCRAM-SHA-1$4096:", "SCRAM-SHA-256$4096:"] {
        assert!(after.iter().any(|it| it.starts_with(scheme)), "{after:?}");
    }
    assert!(after.iter().all(|it| !before.contains(it)), "{after:?}");
    // Her own change throws nobody out.
    juliet.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    let answer = juliet.element();
    assert!(answer.contains("type='result'"), "{answer}");
}

#[test]
fn keys_that_may_not_be_written_leave_the_password_as_it_is() {
    let directory = directory("keys-fixed");
    directory.configure(crate::passwords::MAY_CHANGE);
    let more = "authentication = \"both\"\npassword_change = \"modify\"\n";
    let house = house("keys-fixed", &directory, more);
    let server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    let refused = change_password(&mut juliet, "a nightingale");
    assert!(refused.contains("type='error'"), "{refused}");
    assert!(directory.lets_in(JULIET, PASSWORD));
    assert!(scram(&server, "juliet", PASSWORD).1.starts_with("<success"));
}

#[test]
fn who_does_not_exist_shows_what_the_directorys_keys_look_like() {
    let directory = directory("keys-shapes");
    let more = "authentication = \"both\"\n[host.auth]\nscram_iterations = 20_000\n";
    let house = house("keys-shapes", &directory, more);
    let mut server = house.serve();
    until_said(&mut server, "directory_followed host=localhost people=9");
    // Nobody with keys was asked for yet, and the host's own option is another.
    let stranger = shape(&scram(&server, "nobody", PASSWORD).0);
    let juliet = shape(&scram(&server, "juliet", PASSWORD).0);
    assert_eq!(juliet.0, "4096");
    // The sample's salts have lengths of their own, and one of them it is.
    let romeo = shape(&scram(&server, "romeo", PASSWORD).0);
    assert!([juliet, romeo].contains(&stranger), "{stranger:?}");
    // It stays what it is.
    let challenge = |name: &str| {
        let challenge = scram(&server, name, PASSWORD).0;
        challenge.split_once(",s=").unwrap().1.to_owned()
    };
    assert_eq!(challenge("nobody"), challenge("nobody"));
    assert_ne!(challenge("nobody"), challenge("somebody"));
    // Over a start, before the directory was heard of again.
    let before = challenge("nobody");
    server.stop();
    let server = house.serve();
    let again = scram(&server, "nobody", PASSWORD).0;
    assert!(again.ends_with(&before), "{again} {before}");
}
