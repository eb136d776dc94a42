//! The operator asks the directory, and reads what it said.

use std::os::unix::fs::PermissionsExt;

use crate::changes::until_said;
use crate::client::Client;
use crate::served::{house, is_failure, try_password};
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
        " ms, and knows us as dn:cn=stonechat,ou=services,dc=verona,dc=example\n",
        "ok      look-up: (&(objectClass=inetOrgPerson)(uid=juliet)) below ou=people,dc=verona,dc=example",
        &format!("ok      entry: {JULIET}; uid is [\"juliet\"]; readable: "),
        "ok      mapping: entryUUID tells this entry from any other",
        "ok      keys: SCRAM-SHA-256 with 4096 iterations",
        "ok      vCard: FN (displayName 1), EMAIL+INTERNET/USERID (mail 1), N/FAMILY (sn 1), N/GIVEN",
        &format!(
            "ok      bind: the password is right (result 0); its owner is known as dn:{JULIET}\n"
        ),
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
    let secret = directory.file("service-password", "secret-of-stonechat\n");
    let hidden = |mode| {
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(mode)).unwrap();
        let (_, said) = house.tool(&["check"], "");
        !said.contains("service-password: everybody may look into it")
    };
    assert!(hidden(0o600) && hidden(0o640) && !hidden(0o644));
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
    house.write_config(&format!(
        "{text}\n[host.directory_groups]\nbase = \"ou=groups,dc=a\"\nlists_filter = \"(list)\"\n"
    ));
    let (fine, said) = house.tool(&["check"], "");
    assert!(
        !fine && said.contains("host[0].directory_groups.lists_filter: is no filter"),
        "{said}"
    );
    // It finds one, and not everybody: an assertion of a rule (RFC 4515 section 3) knows no asterisk.
    let filter = "filter = \"(uid:caseExactMatch:={user})\"\n";
    house.write_config(&text.replace("base = ", &format!("{filter}base = ")));
    let (fine, said) = house.tool(&["check"], "");
    assert!(
        !fine && said.contains("host[0].directory.filter: is no filter"),
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

#[test]
fn whom_a_certificate_of_ours_stands_for_is_shown() {
    let directory = Slapd::start("tool-certificate");
    let identity = directory.client_certificate("stonechat");
    let more = format!(
        "certificate = {:?}\nkey = {:?}\nbind_dn = \"\"\npassword_file = \"\"\n",
        identity.certificate, identity.key
    );
    let house = house("tool-certificate", &directory, &more);
    let (fine, said) = house.tool(&["directory", "test", "juliet"], "");
    assert!(fine, "{said}");
    let step = " ms, and knows us as dn:cn=stonechat,ou=services,dc=verona,dc=example\n";
    assert!(said.contains(step), "{said}");
}

#[test]
fn an_entry_that_says_another_address_is_nobody_and_the_operator_reads_why() {
    let wishes = Wishes {
        schema: Schema::Stonechat,
        ..Wishes::default()
    };
    let directory = Slapd::with("address", wishes);
    let house = house("address", &directory, "");
    let mut server = house.serve();
    let say = |address: &str| {
        directory.change(&format!(
            "dn: {JULIET}\nchangetype: modify\nadd: objectClass\nobjectClass: stonechatAccount\n-\n\
             replace: stonechatJid\nstonechatJid: {address}\n"
        ));
    };
    let mut juliet = Client::session(&server, "juliet", "balcony");
    until_said(&mut server, "directory_followed host=localhost people=9");
    say("juliet@mantua.example");
    // She is another host's from now on, as if she were gone.
    juliet.fails_with("reset");
    let refused = try_password(&server, "juliet", PASSWORD);
    assert!(is_failure(&refused, "not-authorized"), "{refused}");
    until_said(
        &mut server,
        &format!("directory_other_address account=juliet@localhost entry={JULIET:?}"),
    );
    let (fine, said) = house.tool(&["directory", "test", "juliet"], "");
    let step =
        format!("problem mapping: {JULIET} has a value of stonechatJid that is another address");
    assert!(!fine && said.contains(&step), "{said}");
    directory.change(&format!(
        "dn: {JULIET}\nchangetype: modify\nreplace: stonechatJid\nstonechatJid: Juliet@LOCALHOST\n"
    ));
    Client::session(&server, "juliet", "balcony");
}
