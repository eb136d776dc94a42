//! Who one is by other means than a password in the clear: certificates, channel binding, nobody; and a man in the
//! middle who strips what is offered (peers.md rows 13 and 18). Against the real binary.

use std::fs;

use base64::prelude::{BASE64_STANDARD, Engine};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use sha2::{Digest, Sha256};

use crate::client::{Client, SASL, TlsWishes};
use crate::framer::Item;
use crate::scram::Scram;
use crate::server::{PASSWORD, Server};

const NONCE: &str = "fyko+d2lbbFgONRv9qkxdawL";

fn text_of(element: &str) -> String {
    let text = element.split('>').nth(1).unwrap_or_default();
    text.split('<').next().unwrap_or_default().to_owned()
}

fn decoded(element: &str) -> String {
    String::from_utf8(BASE64_STANDARD.decode(text_of(element)).unwrap()).unwrap()
}

fn open(client: &mut Client, host: &str) -> String {
    client.send(&format!(
        "<stream:stream to='{host}' version='1.0' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'>"
    ));
    client.restarted();
    match client.next() {
        Some(Item::Header(_)) => client.element(),
        other => panic!("no header but {other:?}"),
    }
}

fn listed(features: &str, element: &str) -> Vec<String> {
    let start = format!("<{element}>");
    let parts = features.split(start.as_str()).skip(1);
    parts
        .map(|part| part.split('<').next().unwrap().to_owned())
        .collect()
}

/// Runs a SCRAM exchange on an opened stream: the challenge, and what the server says in the end.
fn prove(client: &mut Client, mechanism: &str, scram: &mut Scram) -> (String, String) {
    let first = BASE64_STANDARD.encode(scram.first());
    client.send(&format!(
        "<auth xmlns='{SASL}' mechanism='{mechanism}'>{first}</auth>"
    ));
    let challenge = client.element();
    if !challenge.starts_with("<challenge") {
        return (String::new(), challenge);
    }
    let challenge = decoded(&challenge);
    let last = BASE64_STANDARD.encode(scram.last(&challenge).unwrap());
    client.send(&format!("<response xmlns='{SASL}'>{last}</response>"));
    (challenge, client.element())
}

#[test]
fn a_proof_bound_to_its_channel_is_accepted_on_that_channel_only() {
    binds_to_its_channel(&Server::start("plus", "", &["juliet"]));
}

#[test]
fn a_proof_is_bound_to_a_channel_that_has_left_rustls_too() {
    let option = "tls.compact = true\n";
    binds_to_its_channel(&Server::start("compact_plus", option, &["juliet"]));
}

fn binds_to_its_channel(server: &Server) {
    let versions = [
        (&rustls::version::TLS13, "tls-exporter"),
        (&rustls::version::TLS12, "tls-exporter"),
        (&rustls::version::TLS13, "tls-server-end-point"),
        (&rustls::version::TLS12, "tls-server-end-point"),
    ];
    for (version, kind) in versions {
        println!("{kind} on {version:?}");
        let wishes = || TlsWishes {
            version,
            certificate: None,
        };
        let mut client = Client::wishing(server.tls_port, wishes());
        let features = client.open();
        assert!(features.contains(&format!("type='{kind}'")), "{features}");
        let channel = match kind {
            "tls-exporter" => client.exporter().to_vec(),
            _ => client.end_point(),
        };
        let header = format!("p={kind},,");
        let bound = || Scram::new("juliet", PASSWORD, NONCE).with_header(&header, &channel);
        let mut scram = bound();
        let (_, success) = prove(&mut client, "SCRAM-SHA-256-PLUS", &mut scram);
        assert!(success.starts_with("<success"), "{success}");
        assert!(scram.is_proved_by(&decoded(&success)));
        client.open();
        assert!(client.bind("balcony").contains("type='result'"));
        // A man in the middle has another channel to the server: what he passes on is worth nothing there.
        let mut other = Client::wishing(server.tls_port, wishes());
        other.open();
        let mut forged = channel.clone();
        if kind == "tls-server-end-point" {
            // His certificate is another; ours is the same on every connection.
            forged[0] ^= 1;
        }
        let mut passed_on = Scram::new("juliet", PASSWORD, NONCE).with_header(&header, &forged);
        let first = BASE64_STANDARD.encode(passed_on.first());
        other.send(&format!(
            "<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256-PLUS'>{first}</auth>"
        ));
        let last = passed_on.last(&decoded(&other.element())).unwrap();
        let last = BASE64_STANDARD.encode(last);
        other.send(&format!("<response xmlns='{SASL}'>{last}</response>"));
        server.advance(8_000);
        let failure = other.element();
        assert!(failure.starts_with("<failure"), "{failure}");
    }
}

/// What a man in the middle leaves of the features.
fn stripped(features: &str) -> String {
    let mut left = String::new();
    for part in features.split_inclusive("</mechanism>") {
        if !part.contains("-PLUS</mechanism>") {
            left.push_str(part);
        }
    }
    match (
        left.find("<sasl-channel-binding"),
        left.find("</sasl-channel-binding>"),
    ) {
        (Some(from), Some(to)) => {
            let end = to + "</sasl-channel-binding>".len();
            format!("{}{}", &left[..from], &left[end..])
        }
        _ => left,
    }
}

#[test]
fn a_client_that_was_shown_less_than_was_offered_is_not_deceived() {
    let server = Server::start("stripped", "", &["juliet"]);
    // It could bind to a channel and sees that the server cannot: it says so, and the server knows better.
    let mut client = Client::opened(&server);
    let mut able = Scram::new("juliet", PASSWORD, NONCE).with_header("y,,", b"");
    let first = BASE64_STANDARD.encode(able.first());
    client.send(&format!(
        "<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{first}</auth>"
    ));
    let mut answer = client.element();
    if answer.starts_with("<challenge") {
        let last = BASE64_STANDARD.encode(able.last(&decoded(&answer)).unwrap());
        client.send(&format!("<response xmlns='{SASL}'>{last}</response>"));
        server.advance(8_000);
        answer = client.element();
    }
    assert!(answer.starts_with("<failure"), "{answer}");
    // It cannot, and finds in the challenge that the lists it saw are not the server's.
    let mut client = Client::secure(&server);
    let features = client.open();
    let shown = stripped(&features);
    assert!(features.contains("-PLUS") && !shown.contains("-PLUS"));
    let mut unable = Scram::new("juliet", PASSWORD, NONCE);
    let (challenge, _) = prove(&mut client, "SCRAM-SHA-256", &mut unable);
    let sees_all = |features: &str| {
        let sasl1 = features.split("</mechanisms>").next().unwrap();
        let mechanisms = listed(sasl1, "mechanism");
        let mechanisms: Vec<&str> = mechanisms.iter().map(String::as_str).collect();
        let kinds = ["tls-exporter", "tls-server-end-point"];
        let has = |kind: &&&str| features.contains(&format!("<channel-binding type='{kind}'/>"));
        let bindings: Vec<&str> = kinds.iter().filter(has).copied().collect();
        Scram::was_shown_all(&challenge, &mechanisms, &bindings)
    };
    assert!(sees_all(&features), "{challenge}");
    assert!(!sees_all(&shown), "{challenge}");
}

#[test]
fn a_certificate_logs_its_owner_in_and_nobody_else() {
    let options = "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = \"direct\"\n\
         client_certificates = \"request\"\n\
         [[host]]\nname = \"verona.example\"\nauth.external = true\n";
    let server = Server::start("external", options, &[]);
    let port = server.ports[0];
    server.tool(
        &["user", "add", "--from", "-"],
        &format!("juliet@verona.example {PASSWORD}\nromeo@verona.example {PASSWORD}\n"),
    );
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let signed = |address: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let oid = vec![1, 3, 6, 1, 5, 5, 7, 8, 5];
        params.subject_alt_names = vec![SanType::OtherName((oid, address.into()))];
        params
    };
    let wishes = |certificate: CertificateDer<'static>| TlsWishes {
        version: &rustls::version::TLS13,
        certificate: Some((
            certificate,
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )),
    };
    let known = |address: &str| {
        signed(address)
            .signed_by(&key, &issuer)
            .unwrap()
            .der()
            .clone()
    };
    let offers = |certificate| {
        let mut client = Client::wishing(port, wishes(certificate));
        let features = open(&mut client, "verona.example");
        let offered = features.contains("<mechanism>EXTERNAL</mechanism>");
        (client, offered)
    };
    // Without the file nobody is asked.
    assert!(!offers(known("juliet@verona.example")).1);
    fs::write(server.data().join("cert/client-ca.pem"), root.pem()).unwrap();
    let answer = server.tool(&["reload"], "");
    let said = String::from_utf8(answer.stdout).unwrap();
    let digest = Sha256::digest(root.der());
    let fingerprint: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let line = format!("changed: authorities of client certificates: {fingerprint}\n");
    assert!(said.contains(&line), "{said}");
    let external = |certificate, authzid: &str| {
        let (mut client, offered) = offers(certificate);
        assert!(offered);
        let authzid = match authzid {
            "" => "=".to_owned(),
            _ => BASE64_STANDARD.encode(authzid),
        };
        client.send(&format!(
            "<auth xmlns='{SASL}' mechanism='EXTERNAL'>{authzid}</auth>"
        ));
        server.advance(8_000);
        let answer = client.element();
        (client, answer)
    };
    for authzid in ["", "juliet@verona.example"] {
        let (mut client, success) = external(known("juliet@verona.example"), authzid);
        assert!(success.starts_with("<success"), "{success}");
        open(&mut client, "verona.example");
        let bound = client.bind("balcony");
        assert!(bound.contains("juliet@verona.example/balcony"), "{bound}");
    }
    let (_, failure) = external(known("juliet@verona.example"), "romeo@verona.example");
    assert!(failure.starts_with("<failure"), "{failure}");
    let (_, failure) = external(known("nobody@verona.example"), "");
    assert!(failure.starts_with("<failure"), "{failure}");
    // Signed by nobody we know, or for elsewhere: nothing to log in with is offered.
    let own = signed("juliet@verona.example").self_signed(&key).unwrap();
    assert!(!offers(own.der().clone()).1);
    assert!(!offers(known("juliet@elsewhere.example")).1);
}

#[test]
fn nobody_in_particular_gets_a_name_for_as_long_as_he_stays() {
    let options = "[[host]]\nname = \"verona.example\"\nauth.anonymous = true\n";
    let server = Server::start("anonymous", options, &[]);
    let mut names = Vec::new();
    for _ in 0..2 {
        let mut client = Client::secure(&server);
        let features = open(&mut client, "verona.example");
        assert!(
            features.contains("<mechanism>ANONYMOUS</mechanism>"),
            "{features}"
        );
        client.send(&format!(
            "<auth xmlns='{SASL}' mechanism='ANONYMOUS'>=</auth>"
        ));
        let success = client.element();
        assert!(success.starts_with("<success"), "{success}");
        open(&mut client, "verona.example");
        let bound = client.bind("masked");
        let jid = bound.split("<jid>").nth(1).expect("a full JID");
        let bare = jid.split('/').next().unwrap().to_owned();
        assert!(bare.ends_with("@verona.example"), "{bound}");
        // XEP-0175 section 3: "with an identity of "account/anonymous"".
        client.send(&format!(
            "<iq type='get' id='d' to='{bare}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        ));
        let info = client.element();
        assert!(
            info.contains("<identity category='account' type='anonymous'/>"),
            "{info}"
        );
        assert!(!info.contains("registered"), "{info}");
        names.push(bare);
    }
    assert_ne!(names[0], names[1]);
}

#[test]
fn a_guess_that_hangs_up_is_recorded_once_and_at_once() {
    let server = Server::start("guess", "", &["juliet"]);
    let recorded = || {
        let audit = fs::read_to_string(server.data().join("audit.jsonl")).unwrap_or_default();
        let lines = audit
            .lines()
            .filter(|line| line.contains("\"login-failed\""));
        lines.filter(|line| line.contains("not-authorized")).count()
    };
    const GUESSES: usize = 12;
    for number in 0..GUESSES {
        let mut client = Client::opened(&server);
        client.send(&crate::client::auth(&crate::client::plain(
            "juliet", "wrong",
        )));
        // Not even the verdict is waited for; every other one says goodbye to TLS first.
        if number % 2 == 0 {
            client.close();
        }
    }
    let begun = std::time::Instant::now();
    while recorded() < GUESSES {
        assert!(
            begun.elapsed() < crate::server::PATIENCE,
            "{} of {GUESSES} guesses are recorded",
            recorded()
        );
        std::thread::yield_now();
    }
    server.advance(8_000);
    drop(Client::session(&server, "juliet", "balcony"));
    assert_eq!(recorded(), GUESSES, "when they were told");
}
