//! The operator asks the directory, and reads what it said.

use crate::served::house;
use crate::slapd::{JULIET, PASSWORD, Schema, Slapd, Wishes};

#[test]
fn every_step_from_a_name_to_an_account_is_shown_and_no_secret() {
    let wishes = Wishes {
        schema: Schema::Stonechat,
        ..Wishes::default()
    };
    let directory = Slapd::with("tool", wishes);
    let house = house("tool", &directory, "authentication = \"both\"\n");
    let (fine, said) = house.tool(
        &["directory", "test", "Juliet", "--password"],
        &format!("{PASSWORD}\n"),
    );
    assert!(fine, "{said}");
    for step in [
        "ok      server ldap://127.0.0.1:",
        "answers as cn=stonechat,ou=services,dc=verona,dc=example in ",
        "ok      look-up: (&(objectClass=inetOrgPerson)(uid=juliet)) below ou=people,dc=verona,dc=example",
        &format!("ok      entry: {JULIET}; uid is [\"juliet\"]; readable: "),
        "ok      mapping: entryUUID tells this entry from any other",
        "ok      keys: SCRAM-SHA-256 with 4096 iterations",
        "ok      vCard: FN (displayName 1), EMAIL+INTERNET/USERID (mail 1), N/FAMILY (sn 1), N/GIVEN",
        "ok      bind: the password is right (result 0)",
    ] {
        assert!(said.contains(step), "{step:?} is not in\n{said}");
    }
    for secret in [
        PASSWORD,
        "secret-of-stonechat",
        "gMT/M9zgmAQRnb6bD3vimgDewJgdbddKs14uKRjIpHI",
    ] {
        assert!(!said.contains(secret), "{secret} is in\n{said}");
    }
    let (fine, said) = house.tool(
        &["directory", "test", "juliet@localhost", "--password"],
        "dagger\n",
    );
    assert!(
        !fine && said.contains("problem bind: the password is wrong (result 49"),
        "{said}"
    );
    let (fine, said) = house.tool(&["directory", "test", "nurse"], "");
    assert!(
        !fine && said.contains("problem keys: authPassword holds none of SCRAM-SHA-256"),
        "{said}"
    );
    let (fine, said) = house.tool(&["directory", "test", "tybalt"], "");
    assert!(
        !fine && said.contains("problem account: closed in the directory"),
        "{said}"
    );
    let (fine, said) = house.tool(&["directory", "test", "*)(uid=*"], "");
    assert!(
        !fine && said.contains("(uid=\\2a\\29\\28uid=\\2a))"),
        "{said}"
    );
    assert!(said.contains("problem look-up: no entry"), "{said}");
    let (fine, said) = house.tool(&["directory", "test", "juliet@elsewhere.example"], "");
    assert!(!fine && said.contains("has no directory"), "{said}");
}

#[test]
fn a_check_says_which_server_does_not_answer_and_why() {
    let mut directory = Slapd::start("check");
    let house = house("check", &directory, "");
    let (_, said) = house.tool(&["check"], "");
    assert!(
        said.contains("ok      directory of localhost: server ldap://127.0.0.1:"),
        "{said}"
    );
    let base = house.path("stonechat.toml");
    let text = std::fs::read_to_string(&base).unwrap();
    house.write_config(&text.replace("ou=people,dc", "ou=nobody,dc"));
    let (_, said) = house.tool(&["check"], "");
    assert!(
        said.contains("but shows no base ou=nobody,dc=verona"),
        "{said}"
    );
    house.write_config(&text.replace("ou=people,dc", "people,dc"));
    let (fine, said) = house.tool(&["check"], "");
    assert!(
        !fine && said.contains("host[0].directory.base: must be the name of an entry"),
        "{said}"
    );
    house.write_config(&text);
    directory.kill();
    let (_, said) = house.tool(&["check"], "");
    assert!(
        said.contains("warning directory of localhost: server ldap://"),
        "{said}"
    );
    assert!(
        said.contains("no server of the directory can be used"),
        "{said}"
    );
}
