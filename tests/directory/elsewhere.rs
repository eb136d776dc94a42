//! Directories that are no OpenLDAP, each with its preset and nothing else: its people log in and hear what its policy says,
//! what is changed in it is noticed, its groups mean what they should. Needs 389-ds-base and samba, which `scripts/test
//! packages` installs.

use std::time::Instant;

use crate::changes::{is_here, until_said};
use crate::client::Client;
use crate::ds389::{Ds389, Plugins};
use crate::groups::commands;
use crate::proofs::{show_token, token};
use crate::rosters::{roster, until, until_all};
use crate::samba::{self, Samba};
use crate::served::{house_of, is_failure, section, try_password};
use crate::server::{House, Server};
use crate::slapd::{BASE, PASSWORD, PATIENCE, SERVICE, SERVICE_PASSWORD};

/// Somebody who is here, by a password of their own.
fn session(server: &Server, name: &str, password: &str) -> Client {
    let mut client = Client::opened(server);
    client.log_in(name, password);
    let bound = client.bind("here");
    assert!(bound.contains("type='result'"), "{bound}");
    client.send("<presence/>");
    until(&mut client, "<presence");
    client
}

/// Whatever came before, the session ends.
fn is_ended(client: &mut Client) {
    let error = until(client, "<stream:error");
    assert!(error.contains("<reset "), "{error}");
}

fn comes_in(server: &Server, name: &str, password: &str) {
    let heard = try_password(server, name, password);
    assert!(heard.starts_with("<success"), "{name}: {heard}");
}

fn change_password(client: &mut Client, name: &str, password: &str) -> String {
    client.send(&format!(
        "<iq type='set' id='c'><query xmlns='jabber:iq:register'><username>{name}</username>\
         <password>{password}</password></query></iq>"
    ));
    until(client, "id='c'")
}

fn hears(server: &Server, name: &str, password: &str, condition: &str, text: &str) {
    let heard = try_password(server, name, password);
    assert!(
        is_failure(&heard, condition) && heard.contains(text),
        "{name}: {heard}"
    );
}

/// Waits until somebody is shown the commands of managers, or is not any more.
fn until_manages(client: &mut Client, manages: bool) {
    let begun = Instant::now();
    while commands(client).contains("node='groups'") != manages {
        assert!(begun.elapsed() < PATIENCE);
    }
}

fn shown(name: &str, called: &str) -> String {
    format!(
        "<item jid='{name}@localhost' name='{called}' subscription='both'><group>montagues</group></item>"
    )
}

fn house_on_389(test: &str, directory: &Ds389, more: &str) -> House {
    let password = directory.file("service-password", SERVICE_PASSWORD);
    let usual = [
        ("preset", "\"389ds\"".to_owned()),
        ("servers", format!("[{:?}]", directory.url())),
        ("ca", format!("{:?}", directory.authority.certificate)),
        ("base", format!("\"ou=people,{BASE}\"")),
        ("bind_dn", format!("{SERVICE:?}")),
        ("password_file", format!("{password:?}")),
    ];
    house_of(test, &section(&usual, more))
}

fn person(name: &str) -> String {
    format!("uid={name},ou=people,{BASE}")
}

fn set(directory: &Ds389, dn: &str, attribute: &str, value: &str) {
    directory.change(&format!(
        "dn: {dn}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n"
    ));
}

#[test]
fn people_of_389_directory_server_log_in_and_hear_what_its_policy_says() {
    let directory = Ds389::start("389-policy", Plugins::Usual);
    let options = "tell_locked = true\npoll = \"1 h\"\npassword_change = \"modify\"\n";
    let house = house_on_389("389-policy", &directory, options);
    let mut server = house.serve();
    let (fine, said) = house.tool(
        &["directory", "test", "juliet", "--password"],
        &format!("{PASSWORD}\n"),
    );
    assert!(
        fine && said.contains("mapping: nsUniqueId tells this entry from any other"),
        "{said}"
    );
    let mut juliet = session(&server, "juliet", PASSWORD);
    hears(&server, "juliet", "dagger", "not-authorized", "");
    hears(&server, "paris", PASSWORD, "not-authorized", "");
    let config = |attribute: &str, value: &str| set(&directory, "cn=config", attribute, value);
    for (attribute, value) in [
        ("passwordCheckSyntax", "on"),
        ("passwordMinLength", "8"),
        ("passwordMinCategories", "1"),
        ("passwordLockout", "on"),
        ("passwordMaxFailure", "3"),
        ("passwordMustChange", "on"),
    ] {
        config(attribute, value);
    }
    let refused = change_password(&mut juliet, "juliet", "short");
    assert!(refused.contains("<not-acceptable"), "{refused}");
    let changed = change_password(&mut juliet, "juliet", "a nightingale sings");
    assert!(changed.contains("type='result'"), "{changed}");
    assert!(directory.lets_in(&person("juliet"), "a nightingale sings"));
    // It is her own word, and not to be changed first.
    comes_in(&server, "juliet", "a nightingale sings");
    is_here(&mut juliet);
    // Where we are not shown that it were, too.
    let deny = |rights: &str| {
        directory.change(&format!(
            "dn: {BASE}\nchangetype: modify\nadd: aci\naci: (targetattr = \"passwordExpirationTime\")\
             (version 3.0; acl \"no {rights}\"; deny ({rights}) userdn = \"ldap:///{SERVICE}\";)\n"
        ));
    };
    deny("read, search, compare");
    let changed = change_password(&mut juliet, "juliet", "it is the lark");
    assert!(changed.contains("type='result'"), "{changed}");
    comes_in(&server, "juliet", "it is the lark");
    // Where we may not write it, it is to be changed, and the operator reads what would mend that.
    let mut escalus = session(&server, "escalus", PASSWORD);
    deny("write");
    let changed = change_password(&mut escalus, "escalus", "three civil brawls");
    assert!(changed.contains("type='result'"), "{changed}");
    let line = server.until_logged("directory_must_change account=escalus@localhost ");
    let mend = "mend=\"let bind_dn write passwordExpirationTime\"";
    assert!(line.contains(mend), "{line}");
    hears(
        &server,
        "escalus",
        "three civil brawls",
        "credentials-expired",
        "must be changed",
    );
    for _ in 0..3 {
        directory.lets_in(&person("romeo"), "guess");
    }
    hears(
        &server,
        "romeo",
        PASSWORD,
        "account-disabled",
        "locked after too many",
    );
    // 389 says of an account that is closed what it says of one that is locked, with another result.
    set(&directory, &person("tybalt"), "nsAccountLock", "true");
    hears(&server, "tybalt", PASSWORD, "account-disabled", "");
    server.until_logged("directory_barred account=tybalt@localhost reason=Disabled");
    config("passwordExp", "on");
    set(
        &directory,
        &person("mercutio"),
        "passwordExpirationTime",
        "20200101000000Z",
    );
    hears(
        &server,
        "mercutio",
        PASSWORD,
        "credentials-expired",
        "have expired",
    );
    // An administrator's new password is to be changed first.
    directory.reset_password(&person("benvolio"), "of the administrator");
    hears(
        &server,
        "benvolio",
        "of the administrator",
        "credentials-expired",
        "must be changed",
    );
}

#[test]
fn what_is_changed_in_389_directory_server_is_noticed_whether_it_tells_or_is_looked_at() {
    for (test, plugins, more) in [
        ("389-looked", Plugins::Usual, "poll = \"1 s\"\n"),
        ("389-told", Plugins::Telling, "poll = \"1 h\"\n"),
    ] {
        let directory = Ds389::start(test, plugins);
        set(&directory, "cn=config", "passwordTrackUpdateTime", "on");
        let groups = format!(
            "[host.directory_groups]\nbase = \"ou=groups,{BASE}\"\nmanagers = [\"rulers\"]\nlists = [\"montagues\"]\n"
        );
        let house = house_on_389(test, &directory, &format!("{more}{groups}"));
        let mut server = house.serve();
        server.until_logged("directory_groups host=localhost people=");
        if plugins == Plugins::Telling {
            until_said(&mut server, "directory_followed host=localhost people=6");
        }
        let mut romeo = session(&server, "romeo", PASSWORD);
        let mut mercutio = session(&server, "mercutio", PASSWORD);
        let mut escalus = session(&server, "escalus", PASSWORD);
        until_manages(&mut escalus, true);
        let seen = roster(&mut romeo, "");
        assert!(
            seen.contains(&shown("benvolio", "benvolio of Verona")),
            "{seen}"
        );
        roster(&mut mercutio, "");
        let member = |what: &str| {
            let (group, who) = (format!("cn=montagues,ou=groups,{BASE}"), person("mercutio"));
            directory.change(&format!(
                "dn: {group}\nchangetype: modify\n{what}: member\nmember: {who}\n"
            ));
        };
        member("add");
        let mercutios = shown("mercutio", "mercutio of Verona");
        until_all(&mut romeo, &[&mercutios, "from='mercutio@localhost/here'"]);
        member("delete");
        until(
            &mut romeo,
            "<item jid='mercutio@localhost' subscription='remove'/>",
        );
        directory.change(&format!(
            "dn: cn=heads,ou=groups,{BASE}\nchangetype: modify\ndelete: uniqueMember\nuniqueMember: {}\n",
            person("escalus")
        ));
        until_manages(&mut escalus, false);
        // Closed, with another password, gone.
        set(&directory, &person("mercutio"), "nsAccountLock", "true");
        is_ended(&mut mercutio);
        let token = token(&server, PASSWORD);
        let mut juliet = session(&server, "juliet", PASSWORD);
        set(&directory, &person("juliet"), "userPassword", "another one");
        is_ended(&mut juliet);
        let refused = show_token(&server, &token);
        assert!(refused.starts_with("<failure"), "{refused}");
        comes_in(&server, "juliet", "another one");
        directory.change(&format!("dn: {}\nchangetype: delete\n", person("romeo")));
        is_ended(&mut romeo);
        is_here(&mut escalus);
    }
}

fn house_on_samba(test: &str, directory: &Samba, more: &str) -> House {
    let password = directory.file("service-password", samba::SERVICE_PASSWORD);
    let usual = [
        ("preset", "\"active-directory\"".to_owned()),
        ("servers", format!("[{:?}]", directory.url())),
        ("ca", format!("{:?}", directory.authority.certificate)),
        ("base", format!("{:?}", samba::PEOPLE)),
        ("bind_dn", format!("{:?}", samba::SERVICE)),
        ("password_file", format!("{password:?}")),
    ];
    house_of(test, &section(&usual, more))
}

#[test]
fn an_active_directory_is_one_by_its_preset() {
    if !Samba::is_possible() {
        // What is not tried is not proved; who knows that can say so.
        let is_known = std::env::var_os("WITHOUT_SAMBA").is_some();
        assert!(is_known, "WITHOUT_SAMBA=1 lets this pass");
        return;
    }
    let directory = Samba::start("samba");
    directory.add_person("svc-stonechat", samba::SERVICE_PASSWORD);
    for name in [
        "juliet", "romeo", "benvolio", "mercutio", "tybalt", "escalus", "nurse",
    ] {
        directory.add_person(name, samba::PASSWORD);
    }
    directory.add_group("montagues", &["romeo", "benvolio"]);
    directory.add_group("heads", &["escalus"]);
    directory.add_group("rulers", &["heads"]);
    its_policy_is_heard(&directory);
    its_count_of_changes_is_followed(&directory);
    its_changes_are_noticed(&directory, "walk");
    directory.change(&format!(
        "dn: {}\nchangetype: modify\nadd: member\nmember: {}\n",
        samba::person("heads"),
        samba::person("escalus")
    ));
    its_changes_are_noticed(&directory, "rule");
}

fn its_policy_is_heard(directory: &Samba) {
    const PASSWORD: &str = samba::PASSWORD;
    let more = "tell_locked = true\npoll = \"1 h\"\npassword_change = \"modify\"\n";
    let house = house_on_samba("samba-policy", directory, more);
    let server = house.serve();
    let (fine, said) = house.tool(
        &["directory", "test", "juliet", "--password"],
        &format!("{PASSWORD}\n"),
    );
    assert!(
        fine && said.contains("mapping: objectGUID tells this entry from any other"),
        "{said}"
    );
    let mut juliet = session(&server, "juliet", PASSWORD);
    hears(&server, "juliet", "dagger", "not-authorized", "");
    hears(&server, "paris", PASSWORD, "not-authorized", "");
    // Who may not reset passwords may not.
    let refused = change_password(&mut juliet, "juliet", "Nightingale-1");
    assert!(refused.contains("type='error'"), "{refused}");
    assert!(directory.lets_in("juliet", PASSWORD));
    directory.change(&format!(
        "dn: CN=Account Operators,CN=Builtin,{}\nchangetype: modify\nadd: member\nmember: {}\n",
        samba::BASE,
        samba::person("svc-stonechat")
    ));
    // Of that it learns where it binds again.
    drop(juliet);
    server.stop();
    let server = house.serve();
    let mut juliet = session(&server, "juliet", PASSWORD);
    let refused = change_password(&mut juliet, "juliet", "short");
    assert!(refused.contains("<not-acceptable"), "{refused}");
    let changed = change_password(&mut juliet, "juliet", "Nächtigall-1");
    assert!(changed.contains("type='result'"), "{changed}");
    comes_in(&server, "juliet", "Nächtigall-1");
    is_here(&mut juliet);
    hears(&server, "juliet", "Pencil-1598", "not-authorized", "");
    directory.set_password("juliet", PASSWORD);
    let flags = |name: &str, flags: &str| directory.set(name, "userAccountControl", flags);
    flags("tybalt", " 514");
    hears(&server, "tybalt", PASSWORD, "account-disabled", "");
    flags("tybalt", " 512");
    directory.set("nurse", "pwdLastSet", " 0");
    hears(
        &server,
        "nurse",
        PASSWORD,
        "credentials-expired",
        "must be changed",
    );
    directory.set("mercutio", "accountExpires", " 132539328000000000");
    hears(&server, "mercutio", PASSWORD, "account-disabled", "");
    directory.set("mercutio", "accountExpires", " 0");
    directory.change(&format!(
        "dn: {}\nchangetype: modify\nreplace: lockoutThreshold\nlockoutThreshold: 3\n",
        samba::BASE
    ));
    for _ in 0..3 {
        directory.lets_in("escalus", "guess");
    }
    hears(
        &server,
        "escalus",
        PASSWORD,
        "account-disabled",
        "locked after too many",
    );
    directory.set("escalus", "lockoutTime", " 0");
}

/// What is read as a whole is rooms; here they are contacts, since the domain has no class for them.
fn its_count_of_changes_is_followed(directory: &Samba) {
    let rooms = format!("OU=rooms,{}", samba::BASE);
    directory.change(&format!(
        "dn: {rooms}\nobjectClass: organizationalUnit\nou: rooms\n"
    ));
    let add = |name: &str| {
        directory.change(&format!(
            "dn: CN={name},{rooms}\nobjectClass: contact\ncn: {name}\n"
        ));
    };
    add("piazza");
    add("crypt");
    let more = format!(
        "poll = \"1 s\"\nrooms_base = \"{rooms}\"\nrooms_filter = \"(objectClass=contact)\"\n"
    );
    let house = house_on_samba("samba-count", directory, &more);
    let mut server = house.serve();
    until_said(&mut server, "directory_room host=localhost room=piazza");
    until_said(&mut server, "directory_room host=localhost room=crypt");
    // From then on what is newer is asked for, and who is still there.
    until_said(&mut server, "newer=Some(\"(uSNChanged>=");
    add("cell");
    server.until_logged("directory_room host=localhost room=cell");
    directory.change(&format!(
        "dn: CN=cell,{rooms}\nchangetype: modify\nreplace: displayName\ndisplayName: Friar Laurence's cell\n"
    ));
    server.until_logged("directory_room host=localhost room=cell");
    directory.change(&format!(
        "dn: CN=cell,{rooms}\nchangetype: modrdn\nnewrdn: CN=church\ndeleteoldrdn: 1\n"
    ));
    server.until_logged("directory_room host=localhost room=church");
    server.until_logged("directory_room_gone host=localhost room=cell");
    directory.change(&format!("dn: CN=church,{rooms}\nchangetype: delete\n"));
    server.until_logged("directory_room_gone host=localhost room=church");
    // What nobody changed was told once.
    assert_eq!(server.printed().matches("room=piazza").count(), 1);
    let all_anew = "newer=None";
    assert_eq!(
        server.printed().matches(all_anew).count(),
        1,
        "the first time"
    );
}

fn its_changes_are_noticed(directory: &Samba, nested: &str) {
    const PASSWORD: &str = samba::PASSWORD;
    let more = format!(
        "poll = \"1 s\"\n[host.directory_groups]\nbase = \"{}\"\nnested = \"{nested}\"\nmanagers = [\"rulers\"]\n\
         lists = [\"montagues\"]\n",
        samba::PEOPLE
    );
    let house = house_on_samba(&format!("samba-{nested}"), directory, &more);
    let mut server = house.serve();
    server.until_logged("directory_groups host=localhost people=");
    let mut romeo = session(&server, "romeo", PASSWORD);
    let mut mercutio = session(&server, "mercutio", PASSWORD);
    let mut escalus = session(&server, "escalus", PASSWORD);
    until_manages(&mut escalus, true);
    let seen = roster(&mut romeo, "");
    assert!(seen.contains(&shown("benvolio", "benvolio")), "{seen}");
    roster(&mut mercutio, "");
    let member = |what: &str, who: &str, group: &str| {
        directory.change(&format!(
            "dn: {}\nchangetype: modify\n{what}: member\nmember: {}\n",
            samba::person(group),
            samba::person(who)
        ));
    };
    member("add", "mercutio", "montagues");
    let mercutios = shown("mercutio", "mercutio");
    until_all(&mut romeo, &[&mercutios, "from='mercutio@localhost/here'"]);
    member("delete", "mercutio", "montagues");
    until(
        &mut romeo,
        "<item jid='mercutio@localhost' subscription='remove'/>",
    );
    // Another name, somebody new, somebody gone.
    let name = |change: &str| {
        directory.change(&format!(
            "dn: {}\nchangetype: modify\n{change}\n",
            samba::person("benvolio")
        ));
    };
    name("replace: displayName\ndisplayName: The Peacemaker");
    until(&mut romeo, &shown("benvolio", "The Peacemaker"));
    name("delete: displayName");
    until(&mut romeo, &shown("benvolio", "benvolio"));
    directory.add_person("paris", PASSWORD);
    member("add", "paris", "montagues");
    until(&mut romeo, &shown("paris", "paris"));
    directory.change(&format!(
        "dn: {}\nchangetype: delete\n",
        samba::person("paris")
    ));
    until(
        &mut romeo,
        "<item jid='paris@localhost' subscription='remove'/>",
    );
    member("delete", "escalus", "heads");
    until_manages(&mut escalus, false);
    // Closed, with another password, gone.
    directory.set("mercutio", "userAccountControl", " 514");
    is_ended(&mut mercutio);
    directory.set("mercutio", "userAccountControl", " 512");
    let mut juliet = session(&server, "juliet", PASSWORD);
    directory.set_password("juliet", "Another-1597");
    is_ended(&mut juliet);
    comes_in(&server, "juliet", "Another-1597");
    directory.set_password("juliet", PASSWORD);
    let mut tybalt = session(&server, "tybalt", PASSWORD);
    directory.change(&format!(
        "dn: {}\nchangetype: delete\n",
        samba::person("tybalt")
    ));
    is_ended(&mut tybalt);
    directory.add_person("tybalt", PASSWORD);
    // The name is another entry's now.
    let refused = try_password(&server, "tybalt", PASSWORD);
    assert!(is_failure(&refused, "not-authorized"), "{refused}");
    until_said(
        &mut server,
        "directory_name_taken_over account=tybalt@localhost",
    );
    is_here(&mut escalus);
}
