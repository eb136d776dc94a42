//! People of the directory log in, or do not, and are told why.

use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::changes::until_said;
use crate::client::{Client, SASL};
use crate::keys;
use crate::scram::Scram;
use crate::served::{house, is_failure, options, try_password};
use crate::slapd::{BASE, JULIET, PASSWORD, ROMEO, Schema, Slapd, Wishes};

#[test]
fn people_log_in_by_their_password_and_others_learn_nothing() {
    let mut directory = Slapd::start("logins");
    let house = house("logins", &directory, "");
    let mut server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    juliet.send("<message to='romeo@localhost' type='chat'><body>Art thou?</body></message>");
    let begun = Instant::now();
    let wrong = try_password(&server, "romeo", "dagger");
    let wrong_took = begun.elapsed();
    assert!(is_failure(&wrong, "not-authorized"), "{wrong}");
    assert_eq!(
        try_password(&server, "paris", PASSWORD),
        wrong,
        "who is unknown hears the same"
    );
    // A look-up and a bind take milliseconds; the answer comes with the clock (and the penalty behind it).
    assert!(wrong_took >= Duration::from_millis(250), "{wrong_took:?}");
    // He was never here, and has what was sent to him.
    let mut romeo = Client::secure(&server);
    romeo.open();
    romeo.log_in("Romeo", PASSWORD);
    romeo.bind("orchard");
    romeo.send("<presence/>");
    let mut heard = romeo.element();
    while !heard.contains("<message") {
        heard = romeo.element();
    }
    assert!(heard.contains("Art thou?"), "{heard}");
    // Who is not in the directory is not here.
    juliet.send("<message to='paris@localhost' type='chat' id='p'><body>No</body></message>");
    let bounced = juliet.element();
    assert!(bounced.contains("service-unavailable"), "{bounced}");
    let (_, said) = house.tool(&["user", "list"], "");
    assert_eq!(said, "juliet@localhost\nromeo@localhost\n");
    // What the login found out was remembered.
    let filter = "filter=\"(&(objectClass=inetOrgPerson)(uid=paris))\"";
    assert_eq!(directory.operations(filter), 1);
    server.until_logged("session");
    let log = server.stop();
    for secret in [PASSWORD, "dagger", "secret-of-stonechat"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    let records = house.records();
    let text = format!("{records:?}");
    assert!(text.contains("juliet@localhost") && !text.contains(PASSWORD));
}

#[test]
fn people_are_those_of_the_scope_that_is_set() {
    let directory = Slapd::start("scope");
    let guests = format!("ou=guests,ou=people,{BASE}");
    directory.change(&format!(
        "dn: {guests}\nchangetype: add\nobjectClass: organizationalUnit\nou: guests\n\n\
         dn: uid=paris,{guests}\nchangetype: add\nobjectClass: inetOrgPerson\nuid: paris\ncn: Paris\nsn: Paris\n\
         userPassword: {PASSWORD}\n"
    ));
    for (scope, lets_guests_in) in [("sub", true), ("one", false)] {
        let house = house(
            &format!("scope-{scope}"),
            &directory,
            &format!("scope = \"{scope}\"\n"),
        );
        let server = house.serve();
        Client::session(&server, "romeo", "orchard");
        let heard = try_password(&server, "paris", PASSWORD);
        assert_eq!(
            heard.starts_with("<success"),
            lets_guests_in,
            "{scope}: {heard}"
        );
        assert_eq!(
            is_failure(&heard, "not-authorized"),
            !lets_guests_in,
            "{scope}: {heard}"
        );
    }
}

#[test]
fn names_that_mean_something_to_a_directory_are_names() {
    let directory = Slapd::start("injection");
    let house = house("injection", &directory, "");
    let server = house.serve();
    for name in [
        "*",
        "*)(uid=*",
        "juli*",
        "juliet)(|(uid=*",
        "\\2a",
        "jul\\69et",
        "juliet\\00",
    ] {
        let heard = try_password(&server, name, PASSWORD);
        assert!(is_failure(&heard, "not-authorized"), "{name}: {heard}");
    }
    // RFC 4517 section 4.2.11 would fold these spaces; an address has none.
    let heard = try_password(&server, "juliet ", PASSWORD);
    assert!(is_failure(&heard, "not-authorized"), "{heard}");
    // RFC 4513 section 5.1.2: an empty password must not be tried at all.
    let heard = try_password(&server, "juliet", "");
    assert!(is_failure(&heard, "malformed-request"), "{heard}");
    Client::session(&server, "juliet", "balcony");
}

#[test]
fn a_name_with_a_nul_in_it_is_asked_for_nowhere() {
    let mut directory = keys::directory("nul");
    let more = "authentication = \"both\"\nlisten = false\npoll = \"1 h\"\n";
    let house = house("nul", &directory, more);
    let mut server = house.serve();
    until_said(&mut server, "directory_looked host=localhost accounts=0 ");
    let sessions = ["juliet", "romeo"].map(|name| Client::session(&server, name, "balcony"));
    let mut asked = || {
        let asked = [" SRCH base=\"ou=people", " BIND dn=\"uid="];
        asked.map(|operation| directory.operations(operation))
    };
    let before = asked();
    // RFC 4616 section 2 and RFC 5802 section 7: neither names nor passwords have one, so there is one too many.
    for (mechanism, message) in [
        ("PLAIN", "\0jul\0iet\0pencil"),
        ("PLAIN", "\0juliet\0pencil\0"),
        ("PLAIN", "jul\0iet\0juliet\0pencil"),
        ("SCRAM-SHA-256", "n,,n=jul\0iet,r=nonce"),
        ("SCRAM-SHA-256", "n,,n=juliet\0,r=nonce"),
        ("SCRAM-SHA-256", "n,a=jul\0iet,n=juliet,r=nonce"),
    ] {
        let mut client = Client::opened(&server);
        let response = BASE64_STANDARD.encode(message);
        client.send(&format!(
            "<auth xmlns='{SASL}' mechanism='{mechanism}'>{response}</auth>"
        ));
        // RFC 6120 section 6.5.8: "the data sent violates the syntax for the specified SASL mechanism".
        let heard = client.element();
        assert!(
            is_failure(&heard, "malformed-request"),
            "{message:?}: {heard}"
        );
    }
    // Nor does XML have one (XML 1.0 section 2.2), in whatever way it is written: RFC 6120 section 4.9.3.13.
    for (mut client, nul) in sessions.into_iter().zip(["\0", "&#0;"]) {
        client.send(&format!(
            "<iq type='get' id='v' to='tyb{nul}alt@localhost'><vCard xmlns='vcard-temp'/></iq>"
        ));
        client.fails_with("not-well-formed");
    }
    assert_eq!(asked(), before);
}

#[test]
fn what_the_password_policy_says_people_are_told() {
    let directory = Slapd::start("policy");
    let house = house("policy", &directory, "tell_locked = true\nlisten = false\n");
    let server = house.serve();
    let mut tybalt = Client::session(&server, "tybalt", "sword");
    for _ in 0..10 {
        assert!(!directory.lets_in(ROMEO, "guess"));
    }
    let locked = try_password(&server, "romeo", PASSWORD);
    assert!(is_failure(&locked, "account-disabled"), "{locked}");
    assert!(locked.contains("locked after too many"), "{locked}");
    // An administrator gave her a password, which `pwdMustChange` has her change first.
    directory.change(&format!(
        "dn: {JULIET}\nchangetype: modify\nreplace: pwdReset\npwdReset: TRUE\n"
    ));
    let reset = try_password(&server, "juliet", PASSWORD);
    assert!(is_failure(&reset, "credentials-expired"), "{reset}");
    assert!(reset.contains("must be changed"), "{reset}");
    let tybalts = "uid=tybalt,ou=people,dc=verona,dc=example";
    directory.change(&format!(
        "dn: {tybalts}\nchangetype: modify\nreplace: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n"
    ));
    let closed = try_password(&server, "tybalt", PASSWORD);
    assert!(is_failure(&closed, "account-disabled"), "{closed}");
    // Who is here stays until somebody looks (`host.directory.poll`).
    tybalt.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert!(tybalt.element().contains("type='result'"));
    // All is recorded when it has stopped.
    drop(tybalt);
    server.stop();
    let records = format!("{:?}", house.records());
    assert!(records.contains("credentials-expired") && records.contains("account-disabled"));
}

#[test]
fn whose_password_is_too_old_for_openldap_is_told_so() {
    let directory = Slapd::start("expired");
    directory.change(&format!(
        "dn: cn=short,ou=policies,{BASE}\nobjectClass: applicationProcess\nobjectClass: pwdPolicy\ncn: short\n\
         pwdAttribute: userPassword\npwdMaxAge: 1\n\n\
         dn: {JULIET}\nchangetype: modify\nreplace: pwdPolicySubentry\npwdPolicySubentry: cn=short,ou=policies,{BASE}\n"
    ));
    directory.set_password(JULIET, PASSWORD);
    let house = house("expired", &directory, "");
    let mut server = house.serve();
    // Within its second she comes in.
    let heard = loop {
        let heard = try_password(&server, "juliet", PASSWORD);
        if !heard.starts_with("<success") {
            break heard;
        }
    };
    assert!(is_failure(&heard, "credentials-expired"), "{heard}");
    assert!(heard.contains("have expired"), "{heard}");
    server.until_logged("directory_barred account=juliet@localhost reason=Expired");
}

#[test]
fn a_stranger_does_not_learn_from_a_lock_that_a_name_exists() {
    let directory = Slapd::start("locked");
    let house = house("locked", &directory, "");
    let mut server = house.serve();
    for _ in 0..10 {
        assert!(!directory.lets_in(ROMEO, "guess"));
    }
    let unknown = try_password(&server, "paris", "guess");
    assert!(is_failure(&unknown, "not-authorized"), "{unknown}");
    // slapd says of any password that he is locked out, of the right one, too.
    for password in ["guess", PASSWORD] {
        assert_eq!(try_password(&server, "romeo", password), unknown);
    }
    // The operator reads why.
    server.until_logged("directory_barred account=romeo@localhost reason=Locked");
}

#[test]
fn two_entries_of_one_name_are_nobody_and_the_operator_reads_of_it() {
    let directory = Slapd::start("collision");
    directory.change(&format!(
        "dn: ou=guests,ou=people,dc=verona,dc=example\nobjectClass: organizationalUnit\nou: guests\n\n\
         dn: uid=JULIET,ou=guests,ou=people,dc=verona,dc=example\nobjectClass: inetOrgPerson\nuid: JULIET\n\
         cn: Another\nsn: Another\nuserPassword: {PASSWORD}\n"
    ));
    let house = house("collision", &directory, "");
    let mut server = house.serve();
    let heard = try_password(&server, "juliet", PASSWORD);
    assert!(is_failure(&heard, "not-authorized"), "{heard}");
    server.until_logged("directory_collision account=juliet@localhost");
    // Anybody may try the name as often as they like.
    let heard = try_password(&server, "juliet", PASSWORD);
    assert!(is_failure(&heard, "not-authorized"), "{heard}");
    // An entry without the attribute, and one with something else in it, are nobody's.
    Client::session(&server, "romeo", "orchard");
    // All is recorded when it has stopped.
    let log = server.stop();
    assert_eq!(log.matches("directory_collision").count(), 1, "{log}");
    let records = format!("{:?}", house.records());
    let told = records.matches("directory-collision").count();
    assert_eq!(told, 1, "{records}");
}

#[test]
fn keys_of_the_directory_prove_and_are_proved_with_and_without_the_channel() {
    let wishes = Wishes {
        schema: Schema::Stonechat,
        ..Wishes::default()
    };
    let directory = Slapd::with("scram", wishes);
    let house = house("scram", &directory, "authentication = \"scram\"\n");
    let server = house.serve();
    let mut client = Client::secure(&server);
    let features = client.open();
    assert!(features.contains("SCRAM-SHA-256-PLUS<"), "{features}");
    for absent in ["PLAIN", "SCRAM-SHA-1<", "SCRAM-SHA-512", "UPGR-"] {
        assert!(!features.contains(absent), "{absent} in {features}");
    }
    let try_scram = |name: &str, password: &str, binds: bool| {
        let mut client = Client::secure(&server);
        client.open();
        let mut scram = Scram::new(name, password, "nonce");
        let mut mechanism = "SCRAM-SHA-256";
        if binds {
            scram = scram.with_header("p=tls-exporter,,", &client.exporter());
            mechanism = "SCRAM-SHA-256-PLUS";
        } else {
            scram = scram.with_header("n,,", b"");
        }
        let first = BASE64_STANDARD.encode(scram.first());
        client.send(&format!(
            "<auth xmlns='{SASL}' mechanism='{mechanism}'>{first}</auth>"
        ));
        let text = |element: &str| {
            let inner = element
                .split('>')
                .nth(1)
                .unwrap()
                .split('<')
                .next()
                .unwrap();
            String::from_utf8(BASE64_STANDARD.decode(inner).unwrap()).unwrap()
        };
        let challenge = client.element();
        assert!(challenge.starts_with("<challenge"), "{challenge}");
        let last = scram.last(&text(&challenge)).unwrap();
        let last = BASE64_STANDARD.encode(last);
        client.send(&format!("<response xmlns='{SASL}'>{last}</response>"));
        let verdict = client.element();
        if verdict.starts_with("<success") {
            assert!(scram.is_proved_by(&text(&verdict)), "{verdict}");
        }
        verdict
    };
    for binds in [false, true] {
        let verdict = try_scram("juliet", PASSWORD, binds);
        assert!(verdict.starts_with("<success"), "{verdict}");
        for (name, password) in [
            ("juliet", "dagger"),
            ("paris", PASSWORD),
            ("nurse", PASSWORD),
        ] {
            let verdict = try_scram(name, password, binds);
            assert!(is_failure(&verdict, "not-authorized"), "{name}: {verdict}");
        }
    }
    // The directory's administrator has closed it.
    directory.change(&format!(
        "dn: {ROMEO}\nchangetype: modify\nadd: objectClass\nobjectClass: stonechatAccount\n-\n\
         add: stonechatDisabled\nstonechatDisabled: TRUE\n"
    ));
    let verdict = try_scram("romeo", PASSWORD, true);
    assert!(is_failure(&verdict, "not-authorized"), "{verdict}");
}

#[test]
fn a_name_that_comes_back_with_another_entry_is_somebody_else() {
    let directory = Slapd::start("taken-over");
    let house = house("taken-over", &directory, "");
    let mut server = house.serve();
    drop(Client::session(&server, "juliet", "balcony"));
    directory.change(&format!("dn: {JULIET}\nchangetype: delete\n"));
    let gone = try_password(&server, "juliet", PASSWORD);
    assert!(is_failure(&gone, "not-authorized"), "{gone}");
    directory.change(&format!(
        "dn: {JULIET}\nobjectClass: inetOrgPerson\nuid: juliet\ncn: Another\nsn: Another\nuserPassword: {PASSWORD}\n"
    ));
    let other = try_password(&server, "juliet", PASSWORD);
    assert!(is_failure(&other, "not-authorized"), "{other}");
    server.until_logged("directory_name_taken_over account=juliet@localhost");
    // The operator sees to it that nothing of the first is left.
    let (fine, said) = house.tool(&["user", "remove", "juliet@localhost"], "");
    assert!(fine, "{said}");
    Client::session(&server, "juliet", "balcony");
}

#[test]
fn an_entry_of_which_it_cannot_be_read_whose_it_is_is_not_taken_for_the_one_before() {
    let directory = Slapd::start("unreadable");
    let house = house("unreadable", &directory, "listen = false\n");
    let mut server = house.serve();
    drop(Client::session(&server, "juliet", "balcony"));
    directory.configure(
        "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nadd: olcAccess\n\
         olcAccess: {0}to attrs=entryUUID by dn.exact=\"cn=stonechat,ou=services,dc=verona,dc=example\" none \
         by * read\n",
    );
    let unknown = try_password(&server, "juliet", PASSWORD);
    assert!(is_failure(&unknown, "not-authorized"), "{unknown}");
    server.until_logged("directory_entry_unknown account=juliet@localhost");
    // Who was never here has nothing that could be somebody else's.
    let romeo = try_password(&server, "romeo", PASSWORD);
    assert!(romeo.starts_with("<success"), "{romeo}");
}

#[test]
fn a_password_is_changed_in_the_directory_where_that_is_allowed() {
    let directory = Slapd::start("change");
    directory.configure(
        "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nadd: olcAccess\n\
         olcAccess: {0}to attrs=userPassword by dn.exact=\"cn=stonechat,ou=services,dc=verona,dc=example\" =w \
         by self =xw by anonymous auth by * none\n",
    );
    let house = house("change", &directory, "password_change = \"modify\"\n");
    let server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    let mut change = |password: &str| {
        juliet.send(&format!(
            "<iq type='set' id='c'><query xmlns='jabber:iq:register'><username>juliet</username>\
             <password>{password}</password></query></iq>"
        ));
        juliet.element()
    };
    // `pwdMinLength` of the policy.
    let short = change("short");
    assert!(
        short.contains("not-acceptable") && short.contains("too short"),
        "{short}"
    );
    let changed = change("a nightingale");
    assert!(changed.contains("type='result'"), "{changed}");
    assert!(directory.lets_in(JULIET, "a nightingale"));
    let old = try_password(&server, "juliet", PASSWORD);
    assert!(is_failure(&old, "not-authorized"), "{old}");
    Client::secure(&server).open();
    let mut again = Client::secure(&server);
    again.open();
    again.log_in("juliet", "a nightingale");
}

#[test]
fn nobody_leaves_a_directory_or_changes_its_passwords_unless_that_is_allowed() {
    let directory = Slapd::start("fixed");
    let house = house("fixed", &directory, "");
    let server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    for query in [
        "<username>juliet</username><password>a nightingale</password>",
        "<remove/>",
    ] {
        juliet.send(&format!(
            "<iq type='set' id='c'><query xmlns='jabber:iq:register'>{query}</query></iq>"
        ));
        let refused = juliet.element();
        assert!(refused.contains("not-allowed"), "{refused}");
    }
    assert!(directory.lets_in(JULIET, PASSWORD));
    let (fine, said) = house.tool(&["user", "add", "paris@localhost"], "pencil\n");
    assert!(!fine && said.contains("directory"), "{said}");
    let (fine, said) = house.tool(&["user", "passwd", "juliet@localhost"], "pencil\n");
    assert!(!fine && said.contains("directory"), "{said}");
    let disabled = house.tool(&["user", "disable", "juliet@localhost"], "");
    assert!(disabled.0, "{}", disabled.1);
    let kept_out = try_password(&server, "juliet", PASSWORD);
    assert!(is_failure(&kept_out, "not-authorized"), "{kept_out}");
}

#[test]
fn two_hosts_have_two_directories_and_a_third_has_none() {
    let (verona, mantua) = (Slapd::start("verona"), Slapd::start("mantua"));
    mantua.set_password(JULIET, "a tomb in mantua");
    // Set by an administrator, so she would have to change it.
    mantua.change(&format!(
        "dn: {JULIET}\nchangetype: modify\ndelete: pwdReset\n"
    ));
    let hosts = options(&verona, "")
        + &options(&mantua, "").replace("name = \"localhost\"", "name = \"mantua.example\"")
        + "[[host]]\nname = \"padua.example\"\n";
    let house = crate::server::House::new("directory-hosts", "", &hosts);
    let server = house.serve();
    house.add("juliet@padua.example");
    let enter = |host: &str, password: &str| {
        let socket = std::net::TcpStream::connect(("127.0.0.1", server.tls_port)).unwrap();
        let mut client = Client::over(socket).meaning(host);
        client.shake_hands();
        client.open();
        client.send(&crate::client::auth(&crate::client::plain(
            "juliet", password,
        )));
        client.element().starts_with("<success")
    };
    assert!(enter("localhost", PASSWORD) && !enter("localhost", "a tomb in mantua"));
    assert!(enter("mantua.example", "a tomb in mantua") && !enter("mantua.example", PASSWORD));
    assert!(enter("padua.example", PASSWORD));
}

#[test]
fn who_is_closed_or_removed_in_the_directory_loses_sessions_at_the_next_look() {
    let directory = Slapd::start("poll");
    let house = house("poll", &directory, "listen = false\npoll = \"1 s\"\n");
    let mut server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    let mut tybalt = Client::session(&server, "tybalt", "sword");
    let mut romeo = Client::session(&server, "romeo", "orchard");
    directory.change(&format!("dn: {JULIET}\nchangetype: delete\n"));
    juliet.fails_with("reset");
    directory.change(
        "dn: uid=tybalt,ou=people,dc=verona,dc=example\nchangetype: modify\nadd: pwdAccountLockedTime\n\
         pwdAccountLockedTime: 000001010000Z\n",
    );
    tybalt.fails_with("reset");
    server.until_logged("directory_let_go account=tybalt@localhost standing=Barred");
    // Nobody else is meant.
    romeo.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert!(romeo.element().contains("type='result'"));
    romeo.send("<message to='juliet@localhost' type='chat' id='m'><body>Wait</body></message>");
    let bounced = romeo.element();
    assert!(bounced.contains("service-unavailable"), "{bounced}");
    // What was hers stays, until an operator decides otherwise.
    let (_, said) = house.tool(&["user", "list"], "");
    assert!(said.contains("juliet@localhost\n"), "{said}");
}
