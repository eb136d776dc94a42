//! The test's OpenLDAP is what it says of itself: with the sample's people, and with faults at will.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use super::client::said;
use super::{BASE, JULIET, PASSWORD, PATIENCE, ROMEO, SERVICE, SERVICE_PASSWORD, Slapd};
use crate::house::Identity;

fn as_service<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["-x", "-D", SERVICE, "-w", SERVICE_PASSWORD, "-LLL"];
    arguments.extend(rest);
    arguments
}

#[test]
fn the_sample_lets_its_people_in_and_the_service_find_them() {
    let mut directory = Slapd::start("sample");
    assert!(directory.lets_in(JULIET, PASSWORD));
    assert!(!directory.lets_in(JULIET, "dagger"));
    let filter = "(&(objectClass=inetOrgPerson)(uid=romeo))";
    let arguments = as_service(&[
        "-b",
        BASE,
        filter,
        "displayName",
        "userPassword",
        "memberOf",
    ]);
    let found = said(&directory.client("ldapsearch", &arguments, ""));
    assert!(found.contains("displayName: Romeo"), "{found}");
    assert!(
        found.contains("memberOf: cn=montagues,ou=groups,"),
        "{found}"
    );
    assert!(!found.contains("userPassword"), "{found}");
    assert_eq!(
        directory.operations(" BIND dn=\"uid=juliet,"),
        2 + 1,
        "one line more says who is in"
    );
    assert_eq!(directory.operations(&format!("filter=\"{filter}\"")), 1);
    assert_eq!(directory.operations("ACCEPT from"), 3);
}

#[test]
fn passwords_travel_encrypted_only() {
    let directory = Slapd::start("encrypted");
    let whoami = |url: &str, more: &[&str]| {
        let mut command = Command::new("ldapwhoami");
        command
            .args(["-x", "-D", JULIET, "-w", PASSWORD, "-H", url])
            .args(more);
        said(&directory.run(command, ""))
    };
    let refused = whoami(&directory.url(), &[]);
    assert!(
        refused.contains("Confidentiality required (13)"),
        "{refused}"
    );
    let juliet = format!("dn:{JULIET}\n");
    assert_eq!(whoami(&directory.url(), &["-ZZ"]), juliet);
    assert_eq!(whoami(&directory.tls_url(), &[]), juliet);
}

#[test]
fn a_client_certificate_stands_for_the_service() {
    let directory = Slapd::start("certificate");
    let whoami = |identity: &Identity| {
        let mut command = Command::new("ldapwhoami");
        command
            .args(["-Q", "-Y", "EXTERNAL", "-H", &directory.tls_url()])
            .env("LDAPTLS_CERT", &identity.certificate)
            .env("LDAPTLS_KEY", &identity.key);
        said(&directory.run(command, ""))
    };
    let own = whoami(&directory.client_certificate("stonechat"));
    assert_eq!(own, format!("dn:{SERVICE}\n"));
}

#[test]
fn changes_passwords_and_policy_are_the_administrators() {
    let directory = Slapd::start("changes");
    directory.change(&format!(
        "dn: {ROMEO}\nchangetype: modify\nreplace: mail\nmail: romeo@mantua.example\n"
    ));
    assert_eq!(directory.values(ROMEO, "mail"), ["romeo@mantua.example"]);
    directory.set_password(ROMEO, "banished");
    assert!(directory.lets_in(ROMEO, "banished") && !directory.lets_in(ROMEO, PASSWORD));
    let change = format!("dn: {JULIET}\nchangetype: delete\n");
    let refused = directory
        .try_change(ROMEO, "banished", &change)
        .unwrap_err();
    assert!(refused.contains("Insufficient access (50)"), "{refused}");
    for _ in 0..10 {
        assert!(!directory.lets_in(ROMEO, "guess"));
    }
    assert!(
        !directory.lets_in(ROMEO, "banished"),
        "ten guesses lock an account"
    );
    directory.configure("dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nreplace: olcReadOnly\nolcReadOnly: TRUE\n");
    let readonly = directory.try_change(super::ADMIN, super::ADMIN_PASSWORD, &change);
    assert!(readonly.unwrap_err().contains("(53)"));
}

#[test]
fn it_hangs_dies_and_comes_back_where_it_was() {
    let mut directory = Slapd::start("faults");
    directory.hang();
    let mut socket = TcpStream::connect(("127.0.0.1", directory.port)).unwrap();
    // An anonymous bind (RFC 4511 section 4.2), and some time in which a server that is well has answered.
    socket
        .write_all(b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00")
        .unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let nothing = socket.read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    directory.go_on();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.read_exact(&mut [0; 14]).unwrap();
    directory.kill();
    let dead = directory.client("ldapwhoami", &["-x"], "");
    assert!(
        said(&dead).contains("Can't contact LDAP server"),
        "{}",
        said(&dead)
    );
    directory.start_again();
    assert!(directory.lets_in(JULIET, PASSWORD));
    assert!(!directory.processor_time().is_zero());
    directory.stop();
    directory.start_again();
    assert!(directory.lets_in(JULIET, PASSWORD));
}
