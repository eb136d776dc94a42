//! Canaries: secrets that go through the server in every way there is, and are then looked for in all that it
//! writes for people to read (issue 2, "Secrets never in either").

use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, Engine};

use crate::bystanders::House;
use crate::client::{Client, SASL, auth, plain};
use crate::scram::Scram;
use crate::server::PASSWORD;

/// What must be found nowhere.
#[derive(Default)]
struct Canaries(Vec<String>);

impl Canaries {
    /// A secret that is like no other text.
    fn plant(&mut self, what: &str) -> String {
        let number = self.0.len();
        self.keep(format!("canary{number:02}{what}KjZqVxWp"))
    }

    /// A secret that the server made, or that was made of one.
    fn keep(&mut self, secret: String) -> String {
        self.0.push(secret.clone());
        secret
    }

    /// Looks for each as it is, in base64 at each of the three places it may have in it, and in hexadecimal.
    fn search(&self, place: &str, text: &str) {
        let lower = text.to_lowercase();
        for canary in &self.0 {
            assert!(!text.contains(canary), "{canary} is in {place}");
            for engine in [&BASE64_STANDARD_NO_PAD, &BASE64_URL_SAFE] {
                for shift in 0..3 {
                    let mut bytes = vec![0; shift];
                    bytes.extend_from_slice(canary.as_bytes());
                    let encoded = engine.encode(&bytes);
                    // Its edges depend on the neighbours.
                    let core = &encoded[4..encoded.len() - 4];
                    assert!(!text.contains(core), "{canary} is in {place} in base64");
                }
            }
            let hex: String = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert!(
                !lower.contains(&hex),
                "{canary} is in {place} in hexadecimal"
            );
            let decimal = canary.bytes().map(|byte| byte.to_string());
            let list = decimal.collect::<Vec<_>>().join(", ");
            assert!(!text.contains(&list), "{canary} is in {place} as a list");
        }
    }
}

fn scram(client: &mut Client, name: &str, password: &str, canaries: &mut Canaries) -> String {
    let mut scram = Scram::new(name, password, "fyko+d2lbbFgONRv9qkxdawL");
    let first = BASE64_STANDARD.encode(scram.first());
    client.send(&format!(
        "<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{first}</auth>"
    ));
    let challenge = text_of(&client.element());
    let challenge = String::from_utf8(BASE64_STANDARD.decode(challenge).unwrap()).unwrap();
    let last = scram.last(&challenge).unwrap();
    let proof = last.split(",p=").nth(1).unwrap();
    canaries.keep(proof.to_owned());
    let last = BASE64_STANDARD.encode(last);
    client.send(&format!("<response xmlns='{SASL}'>{last}</response>"));
    client.element()
}

fn text_of(element: &str) -> String {
    let text = element.split('>').nth(1).unwrap_or_default();
    text.split('<').next().unwrap_or_default().to_owned()
}

fn attribute(element: &str, name: &str) -> String {
    let value = element.split(&format!(" {name}='")).nth(1);
    value
        .unwrap_or_else(|| panic!("no {name} in {element}"))
        .split('\'')
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn no_secret_is_in_the_log_or_in_the_audit_file() {
    let mut canaries = Canaries::default();
    // Some of what is tried is told late.
    let options = "log.filter = \"trace\"\nc2s.negotiation_timeout = \"10 min\"\n";
    let house = House::open("secrets", options, &[]);
    let server = &house.server;
    let mut passwords = Vec::new();
    for name in ["juliet", "romeo"] {
        let password = canaries.plant("password");
        server.tool(
            &["user", "add", &format!("{name}@localhost")],
            &format!("{password}\n"),
        );
        passwords.push(password);
    }
    let many = canaries.plant("many");
    server.tool(
        &["user", "add", "--from", "-"],
        &format!("tybalt@localhost {many}\n"),
    );
    // PLAIN and SCRAM, right and wrong; SASL2 with everything inline; messages refused for their form.
    let mut wrong = Vec::new();
    for kind in 0..4 {
        let secret = canaries.plant("wrong");
        let mut client = Client::opened(server);
        match kind {
            0 => client.send(&auth(&plain("juliet", &secret))),
            1 => client.send(&auth(format!("{secret}\0juliet").as_bytes())),
            2 => {
                let data = BASE64_STANDARD.encode(plain("juliet", &secret));
                client.send(&format!(
                    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>\
                     <initial-response>{data}</initial-response></authenticate>"
                ));
            }
            _ => {
                let data = BASE64_STANDARD.encode(plain("juliet", &secret));
                client.send(&format!(
                    "<auth xmlns='{SASL}' mechanism='PLAIN'>{data}</auth><!-- {secret} -->"
                ));
            }
        }
        wrong.push(client);
    }
    let mut client = Client::opened(server);
    let secret = canaries.plant("scram");
    let first = BASE64_STANDARD.encode("n,,n=nobody,r=abc");
    client.send(&format!(
        "<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{first}</auth>\
         <response xmlns='{SASL}'>{}</response>",
        BASE64_STANDARD.encode(&secret)
    ));
    wrong.push(client);
    house.advance(8_000);
    house.advance(8_000);
    for client in &mut wrong {
        let answer = client.element();
        assert!(
            answer.starts_with("<failure") || answer.starts_with("<challenge"),
            "{answer}"
        );
    }
    let mut juliet = Client::opened(server);
    let success = scram(&mut juliet, "juliet", &passwords[0], &mut canaries);
    assert!(success.starts_with("<success"), "{success}");
    canaries.keep(text_of(&success));
    juliet.open();
    juliet.bind("balcony");
    let mut romeo = Client::opened(server);
    let data = BASE64_STANDARD.encode(plain("romeo", &passwords[1]));
    romeo.send(&format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>\
         <initial-response>{data}</initial-response>\
         <bind xmlns='urn:xmpp:bind:0'><tag>orchard</tag>\
         <enable xmlns='urn:xmpp:sm:3' resume='true'/></bind></authenticate>"
    ));
    let success = romeo.element();
    assert!(success.contains("<enabled"), "{success}");
    let enabled = success.split("<enabled").nth(1).unwrap();
    let previd = canaries.keep(attribute(&format!("<enabled{enabled}"), "id"));
    romeo.element();
    romeo.send("<presence/>");
    // Bodies: delivered, offline, bounced, and in a stanza that ends the stream.
    for to in ["romeo@localhost", "tybalt@localhost", "nobody@localhost"] {
        let body = canaries.plant("body");
        juliet.send(&format!(
            "<message to='{to}' type='chat' id='{}'><body>{body}</body></message>",
            canaries.plant("id")
        ));
    }
    let bounce = juliet.element();
    assert!(bounce.contains("type='error'"), "{bounce}");
    let body = canaries.plant("broken");
    juliet.send(&format!(
        "<message to='romeo@localhost'><body>{body}</message></body>"
    ));
    juliet.fails_with("not-well-formed");
    // Resumption, with a wrong id and the right one.
    romeo.close();
    house.chat_on();
    let mut back = Vec::new();
    for (id, answer) in [(canaries.plant("previd"), "<failed"), (previd, "<resumed")] {
        let mut again = Client::opened(server);
        again.log_in("romeo", &passwords[1]);
        again.send(&format!(
            "<resume xmlns='urn:xmpp:sm:3' h='0' previd='{id}'/>"
        ));
        let said = again.element();
        assert!(said.starts_with(answer), "{said}");
        back.push(again);
    }
    let new = canaries.plant("passwd");
    let line = format!("{new}\n");
    server.tool(&["user", "passwd", "romeo@localhost"], &line);
    let mut romeo = Client::opened(server);
    romeo.log_in("romeo", &new);
    drop((romeo, back));
    let path = server.data().join("audit.jsonl");
    let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    house.chat_on();
    // Stopping writes what waits; the directory goes with the house, so a link keeps the file.
    let kept = std::env::temp_dir().join(format!("stonechat-audit-kept-{}", std::process::id()));
    let _ = fs::remove_file(&kept);
    fs::hard_link(&path, &kept)
        .or_else(|_| fs::copy(&path, &kept).map(|_| ()))
        .unwrap();
    let log = house.close(16 * 1024 * 1024);
    let audit = fs::read_to_string(&kept).unwrap();
    fs::remove_file(&kept).unwrap();
    // The log is at its most talkative, or the search proves nothing.
    assert!(log.contains("TRACE stonechat::shard"), "no trace of ours");
    canaries.search("the log", &log);
    canaries.search("the audit file", &audit);
    judge_audit(&audit);
}

/// Every line an object, numbered without a gap, and what was done is there.
fn judge_audit(audit: &str) {
    let records: Vec<serde_json::Value> = audit
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for (number, record) in (1_u64..).zip(&records) {
        assert_eq!(record["sequence"], number, "{record}");
        assert!(record["time"].as_str().unwrap().ends_with('Z'), "{record}");
    }
    let has = |event: &str, field: &str, value: &str| {
        let found = records
            .iter()
            .any(|record| record["event"] == event && record[field] == value);
        assert!(found, "no {event} with {field} {value} in\n{audit}");
    };
    for name in ["nurse", "friar", "juliet", "romeo", "tybalt"] {
        has("account-added", "account", &format!("{name}@localhost"));
    }
    has("login", "account", "juliet@localhost");
    has("login", "mechanism", "SCRAM-SHA-256");
    has("login", "mechanism", "PLAIN");
    has("login-failed", "account", "juliet@localhost");
    has("login-failed", "reason", "not-authorized");
    has("login-failed", "reason", "malformed-request");
    has("password-changed", "account", "romeo@localhost");
    has("session-ended", "session", "juliet@localhost/balcony");
    has("session-ended", "reason", "connection-lost");
    has("session-ended", "reason", "reset");
    has("session-ended", "session", "nurse@localhost/kitchen");
    assert_eq!(PASSWORD, "pencil", "the bystanders' password is no canary");
}
