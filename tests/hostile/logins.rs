//! Logins in the wrong order, with hostile names, and as somebody else; stanzas of somebody else.

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::bystanders::House;
use crate::client::{Client, SASL, auth, plain};
use crate::server::PASSWORD;

fn condition(failure: &str) -> &str {
    let known = [
        "not-authorized",
        "malformed-request",
        "invalid-authzid",
        "incorrect-encoding",
        "invalid-mechanism",
        "aborted",
    ];
    let found = known
        .into_iter()
        .find(|name| failure.contains(&format!("<{name} ")));
    found.unwrap_or_else(|| panic!("no failure that is known: {failure}"))
}

#[test]
fn hostile_names_fail_like_others() {
    // They are all there before the first is told.
    let options = "c2s.negotiation_timeout = \"10 min\"\n";
    let house = House::open("names", options, &["tybalt"]);
    let long = "x".repeat(1_024);
    let huge = "x".repeat(5_000);
    let names = [
        "",
        " ",
        "nobody",
        "tybalt ",
        "tybalt@localhost",
        "tybalt/resource",
        "*)(uid=*",
        "' OR '1'='1",
        "../../etc/passwd",
        "%s%n%x",
        "${jndi:ldap://x}",
        "<tybalt/>",
        "&amp;",
        "ty\u{202e}balt",
        "ty\u{200d}balt",
        "\u{feff}tybalt",
        "tyb\u{430}lt",
        "\u{fb01}",
        "\u{1f4a9}",
        "a\nb",
        "a\u{7f}b",
        &long,
        &huge,
    ];
    let mut attempts = Vec::new();
    for name in names {
        for password in [PASSWORD, ""] {
            let mut tybalt = Client::opened(&house.server);
            tybalt.send(&auth(&plain(name, password)));
            attempts.push((format!("{name:?} {password:?}"), tybalt));
        }
    }
    // Not even UTF-8, no separators, too many.
    for message in [
        &b"\0\xff\xfe\0pencil"[..],
        b"\0",
        b"\0\0",
        b"tybalt",
        b"\0a\0b\0c",
    ] {
        let mut tybalt = Client::opened(&house.server);
        tybalt.send(&auth(message));
        attempts.push((format!("{message:?}"), tybalt));
    }
    // Failures are told late.
    house.chat_on();
    house.advance(8_000);
    for (what, tybalt) in &mut attempts {
        let failure = tybalt.element();
        let condition = condition(&failure);
        assert!(
            matches!(condition, "not-authorized" | "malformed-request"),
            "{what}: {failure}"
        );
    }
    house.close(8 * 1024 * 1024);
}

#[test]
fn nobody_logs_in_as_another() {
    let house = House::open("authzid", "", &["tybalt", "juliet"]);
    for authzid in [
        "juliet@localhost",
        "juliet",
        "tybalt@elsewhere",
        "tybalt@localhost/resource",
        "localhost",
        "@localhost",
        "tybalt@localhost ",
        "a@b@c",
    ] {
        let mut tybalt = Client::opened(&house.server);
        tybalt.send(&auth(format!("{authzid}\0tybalt\0{PASSWORD}").as_bytes()));
        house.advance(8_000);
        let failure = tybalt.element();
        assert!(
            matches!(condition(&failure), "invalid-authzid" | "malformed-request"),
            "{authzid}: {failure}"
        );
    }
    house.close(0);
}

#[test]
fn sasl_out_of_order_authenticates_nobody() {
    let house = House::open("order", "", &["tybalt"]);
    let mechanism =
        |name: &str, data: &str| format!("<auth xmlns='{SASL}' mechanism='{name}'>{data}</auth>");
    let response = |data: &str| format!("<response xmlns='{SASL}'>{data}</response>");
    let sasl2 = |data: &str| format!("<response xmlns='urn:xmpp:sasl:2'>{data}</response>");
    let first = BASE64_STANDARD.encode("n,,n=tybalt,r=abcdefgh");
    let right = BASE64_STANDARD.encode(plain("tybalt", PASSWORD));
    // What is said, how many challenges come, and which failure behind them.
    let orders: Vec<(String, usize, &str)> = vec![
        (response(&right), 0, "malformed-request"),
        (sasl2(&right), 0, "malformed-request"),
        (
            format!("{}{}", mechanism("SCRAM-SHA-256", &first), sasl2(&right)),
            1,
            "malformed-request",
        ),
        (
            format!("{}{}", mechanism("SCRAM-SHA-256", &first), response(&right)),
            1,
            "malformed-request",
        ),
        (
            format!(
                "{}<abort xmlns='{SASL}'/>",
                mechanism("SCRAM-SHA-256", &first)
            ),
            1,
            "aborted",
        ),
        (
            mechanism("PLAIN", "AHR5YmFsdABwZW5jaWw"),
            0,
            "incorrect-encoding",
        ),
        (mechanism("PLAIN", "%%%"), 0, "incorrect-encoding"),
        (
            mechanism("PLAIN", "AHR5YmFs\ndABwZW5jaWw="),
            0,
            "incorrect-encoding",
        ),
        (mechanism("", ""), 0, "invalid-mechanism"),
        (mechanism("DIGEST-MD5", ""), 0, "invalid-mechanism"),
        (mechanism("plain", &right), 0, "invalid-mechanism"),
        (mechanism("ANONYMOUS", ""), 0, "invalid-mechanism"),
        (mechanism("EXTERNAL", "="), 0, "invalid-mechanism"),
    ];
    for (said, challenges, expected) in &orders {
        println!("{said}");
        let mut tybalt = Client::opened(&house.server);
        tybalt.send(said);
        for _ in 0..*challenges {
            let challenge = tybalt.element();
            assert!(challenge.starts_with("<challenge"), "{challenge}");
        }
        house.server.advance(8_000);
        let failure = tybalt.element();
        assert_eq!(condition(&failure), *expected, "{failure}");
        tybalt.send("<presence/>");
        tybalt.fails_with("not-authorized");
    }
    // A success that the client says itself, and a login behind the login.
    let mut tybalt = Client::opened(&house.server);
    tybalt.send(&format!("<success xmlns='{SASL}'/>"));
    tybalt.fails_with("not-authorized");
    let mut tybalt = Client::opened(&house.server);
    tybalt.log_in("tybalt", PASSWORD);
    tybalt.send(&auth(&plain("tybalt", PASSWORD)));
    tybalt.fails_with("not-authorized");
    house.close(0);
}

#[test]
fn stanzas_before_login_and_in_anothers_name_are_not_processed() {
    let house = House::open("forged", "", &["tybalt"]);
    let to_nurse = "to='nurse@localhost/kitchen'";
    let stanza = format!("<message {to_nurse}><body>forged</body></message>");
    for mut early in [Client::plain(&house.server), Client::secure(&house.server)] {
        early.open();
        early.send(&stanza);
        early.fails_with("not-authorized");
    }
    let mut unbound = Client::opened(&house.server);
    unbound.log_in("tybalt", PASSWORD);
    unbound.send(&stanza);
    unbound.fails_with("not-authorized");
    for from in [
        "friar@localhost",
        "friar@localhost/cell",
        "localhost",
        "tybalt@localhost/other",
        "tybalt@elsewhere",
        "",
        "@",
        "tybalt@localhost/r\u{fffd}",
    ] {
        for name in ["message", "presence", "iq type='get' id='1'"] {
            println!("{from}, {name}");
            let mut tybalt = Client::session(&house.server, "tybalt", "r");
            let end = name.split(' ').next().unwrap();
            tybalt.send(&format!(
                "<{name} from='{from}' {to_nurse}><b xmlns='u'/></{end}>"
            ));
            tybalt.fails_with("invalid-from");
        }
    }
    house.close(0);
}

#[test]
fn numbers_beyond_their_bounds_are_refused_or_read_as_absent() {
    let house = House::open("numbers", "", &["tybalt"]);
    let sm = "urn:xmpp:sm:3";
    let session = || Client::session(&house.server, "tybalt", "r");
    for h in [
        "99999999999999999999",
        "-1",
        "4294967296",
        "1e9",
        "",
        "0x10",
    ] {
        let mut tybalt = session();
        tybalt.send(&format!("<enable xmlns='{sm}'/>"));
        assert!(tybalt.element().starts_with("<enabled"));
        tybalt.send(&format!("<a xmlns='{sm}' h='{h}'/>"));
        tybalt.fails_with("invalid-xml");
    }
    let mut tybalt = session();
    tybalt.send(&format!("<enable xmlns='{sm}'/>"));
    assert!(tybalt.element().starts_with("<enabled"));
    tybalt.send(&format!("<a xmlns='{sm}' h='4294967295'/>"));
    tybalt.fails_with("undefined-condition");
    for max in [
        "4294967295",
        "4294967296",
        "99999999999999999999",
        "-1",
        "NaN",
    ] {
        let mut tybalt = session();
        tybalt.send(&format!("<enable xmlns='{sm}' resume='true' max='{max}'/>"));
        let enabled = tybalt.element();
        assert!(enabled.contains("max='300'"), "{max}: {enabled}");
        tybalt.close();
    }
    for priority in ["128", "-129", "99999999999999999999", "NaN", "1.5", "--1"] {
        let mut tybalt = session();
        tybalt.send(&format!(
            "<presence id='p'><priority>{priority}</priority></presence>"
        ));
        let error = tybalt.element();
        assert!(
            error.contains("type='error'") && error.contains("bad-request"),
            "{priority}: {error}"
        );
        tybalt.close();
    }
    for (version, fails) in [
        ("99999999999999999999.0", true),
        ("4294967295.4294967295", false),
    ] {
        let mut tybalt = Client::secure(&house.server);
        tybalt.send(&format!(
            "<stream:stream to='localhost' version='{version}' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams'>"
        ));
        if fails {
            tybalt.fails_with("unsupported-version");
        }
    }
    house.close(8 * 1024 * 1024);
}
