//! Keys of SCRAM that stand in the directory: they let in whoever has the password, by each digest; they change with it, and
//! strangers see no difference between who has some and who does not exist.

use std::num::NonZeroU32;

use base64::prelude::{BASE64_STANDARD, Engine};
use ring::{digest, hmac, pbkdf2};

use crate::changes::{beside, until_said};
use crate::client::{Client, SASL};
use crate::house::Files;
use crate::scram::Scram;
use crate::served::{house, is_failure, try_password};
use crate::server::Server;
use crate::slapd::{JULIET, PASSWORD, Schema, Slapd, Wishes};
use crate::stand_in::{Entry, Mode, StandIn};

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

/// One of the digests that RFC 5803 can name, and what is made of a password by it (RFC 5802 section 3).
struct Digest {
    name: &'static str,
    hash: &'static digest::Algorithm,
    hmac: hmac::Algorithm,
    derivation: pbkdf2::Algorithm,
}

/// Besides that of [`Scram`].
fn digests() -> [Digest; 2] {
    [
        Digest {
            name: "SCRAM-SHA-1",
            hash: &digest::SHA1_FOR_LEGACY_USE_ONLY,
            hmac: hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            derivation: pbkdf2::PBKDF2_HMAC_SHA1,
        },
        Digest {
            name: "SCRAM-SHA-512",
            hash: &digest::SHA512,
            hmac: hmac::HMAC_SHA512,
            derivation: pbkdf2::PBKDF2_HMAC_SHA512,
        },
    ]
}

impl Digest {
    fn salted(&self, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
        let mut salted = vec![0; self.hash.output_len()];
        let iterations = NonZeroU32::new(iterations).unwrap();
        pbkdf2::derive(
            self.derivation,
            iterations,
            salt,
            password.as_bytes(),
            &mut salted,
        );
        salted
    }

    fn sign(&self, key: &[u8], text: &str) -> Vec<u8> {
        let tag = hmac::sign(&hmac::Key::new(self.hmac, key), text.as_bytes());
        tag.as_ref().to_vec()
    }

    fn stored_key(&self, salted: &[u8]) -> Vec<u8> {
        let client_key = self.sign(salted, "Client Key");
        digest::digest(self.hash, &client_key).as_ref().to_vec()
    }

    /// A value of authPassword (RFC 5803 section 2).
    fn value(&self, password: &str) -> String {
        let salted = self.salted(password, b"salt of this test", 5_000);
        let [salt, stored, server] = [
            b"salt of this test".to_vec(),
            self.stored_key(&salted),
            self.sign(&salted, "Server Key"),
        ]
        .map(|bytes| BASE64_STANDARD.encode(bytes));
        format!("{}$5000:{salt}${stored}:{server}", self.name)
    }

    /// What comes in the end, and whether the server has proved that it knows the keys.
    fn log_in(&self, server: &Server, name: &str, password: &str) -> (String, bool) {
        let mut client = Client::secure(server);
        let features = client.open();
        assert!(features.contains(&format!(">{}<", self.name)), "{features}");
        let bare = format!("n={name},r=nonce");
        let first = BASE64_STANDARD.encode(format!("n,,{bare}"));
        client.send(&format!(
            "<auth xmlns='{SASL}' mechanism='{}'>{first}</auth>",
            self.name
        ));
        let challenge = decoded(&client.element());
        let field = |key: &str| challenge.split(',').find_map(|it| it.strip_prefix(key));
        let salt = BASE64_STANDARD.decode(field("s=").unwrap()).unwrap();
        let salted = self.salted(password, &salt, field("i=").unwrap().parse().unwrap());
        let without = format!("c=biws,r={}", field("r=").unwrap());
        let signed = format!("{bare},{challenge},{without}");
        let client_key = self.sign(&salted, "Client Key");
        let signature = self.sign(&self.stored_key(&salted), &signed);
        let proof: Vec<u8> = client_key
            .iter()
            .zip(&signature)
            .map(|(a, b)| a ^ b)
            .collect();
        let last = BASE64_STANDARD.encode(format!("{without},p={}", BASE64_STANDARD.encode(proof)));
        client.send(&format!("<response xmlns='{SASL}'>{last}</response>"));
        let end = client.element();
        let theirs = self.sign(&self.sign(&salted, "Server Key"), &signed);
        let proved = BASE64_STANDARD.encode(format!("v={}", BASE64_STANDARD.encode(theirs)));
        let is_proved = end.contains(&proved);
        (end, is_proved)
    }
}

#[test]
fn keys_of_every_digest_that_is_offered_let_their_owner_in() {
    let directory = directory("keys-digests");
    // The shipped ones have no SHA-512, and the nurse none at all.
    for digest in digests() {
        directory.change(&format!(
            "dn: {JULIET}\nchangetype: modify\nadd: authPassword\nauthPassword: {}\n",
            digest.value(PASSWORD)
        ));
    }
    let more = "authentication = \"scram\"\nscram_hashes = [\"SHA-1\", \"SHA-512\"]\n";
    let house = house("keys-digests", &directory, more);
    let server = house.serve();
    for digest in digests() {
        let (end, is_proved) = digest.log_in(&server, "juliet", PASSWORD);
        assert!(
            end.starts_with("<success") && is_proved,
            "{}: {end}",
            digest.name
        );
        for (name, password) in [
            ("juliet", "dagger"),
            ("nurse", PASSWORD),
            ("paris", PASSWORD),
        ] {
            let (end, _) = digest.log_in(&server, name, password);
            assert!(
                is_failure(&end, "not-authorized"),
                "{}: {name}: {end}",
                digest.name
            );
        }
    }
    // Nobody is offered what the operator has not named.
    let features = Client::secure(&server).open();
    assert!(!features.contains(">SCRAM-SHA-256<"), "{features}");
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
fn keys_that_cannot_be_put_back_are_the_operators_matter() {
    let part = |byte: u8, length| BASE64_STANDARD.encode(vec![byte; length]);
    let held = format!(
        "SCRAM-SHA-256$4096:{}${}:{}",
        part(1, 16),
        part(2, 32),
        part(3, 32)
    );
    let mut juliet = Entry::person("juliet");
    let keys = ("authPassword".to_owned(), held.clone());
    juliet.attributes.push(keys);
    let directory = StandIn::start(vec![juliet]);
    let files = Files::new("keys-lost");
    let more = "unique = \"-\"\nauthentication = \"both\"\npassword_change = \"modify\"\n";
    let house = beside("keys-lost", &directory, &files, more);
    let mut server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    directory.set(Mode::ChangesOnce);
    let refused = change_password(&mut juliet, "a nightingale");
    assert!(refused.contains("not-acceptable"), "{refused}");
    let line = server.until_logged("directory_keys_lost account=juliet@localhost ");
    assert!(
        line.contains("attribute=authPassword ") && line.contains("code: 50,"),
        "{line}"
    );
    assert!(line.contains("mend=\"set the password again\""), "{line}");
    // What was to come back is what she had, and nobody reads any of it.
    let modified = directory.modified();
    let has = |at: usize| memchr::memmem::find(&modified[at], held.as_bytes()).is_some();
    assert_eq!((modified.len(), has(0), has(1)), (2, false, true));
    assert!(!server.printed().contains(&part(2, 32)));
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
