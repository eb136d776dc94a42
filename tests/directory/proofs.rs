//! People of the directory prove who they are without a password: by a certificate, by a token.

use std::fs;
use std::process::Command;

use base64::prelude::{BASE64_STANDARD, Engine};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::changes::until_said;
use crate::client::{Client, SASL, TlsWishes, plain};
use crate::house::Files;
use crate::ports::free_port;
use crate::scram::hmac_sha256;
use crate::served::{house, is_failure, options, try_password};
use crate::server::{House, Server};
use crate::slapd::{JULIET, PASSWORD, ROMEO, Slapd};

const CLOSED: &str =
    "changetype: modify\nadd: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n";

#[test]
fn a_certificate_stands_for_somebody_who_is_in_the_directory() {
    let directory = Slapd::start("external");
    let port = free_port();
    let hosts = options(&directory, "[host.auth]\nexternal = true\n")
        + &format!(
            "[[listener]]\naddress = \"127.0.0.1:{port}\"\ntls = \"direct\"\nclient_certificates = \"request\"\n"
        );
    let house = House::new("directory-external", "", &hosts);
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    house.make_data();
    fs::create_dir(house.data.join("cert")).unwrap();
    fs::write(house.data.join("cert/client-ca.pem"), root.pem()).unwrap();
    let _server = house.serve();
    let show = |address: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // RFC 6120 section 13.7.1.4: id-on-xmppAddr.
        let oid = vec![1, 3, 6, 1, 5, 5, 7, 8, 5];
        params.subject_alt_names = vec![SanType::OtherName((oid, address.into()))];
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut client = Client::wishing(
            port,
            TlsWishes {
                certificate: Some((certificate.der().clone(), private)),
                ..TlsWishes::default()
            },
        );
        let features = client.open();
        assert!(features.contains("EXTERNAL"), "{features}");
        client.send(&format!(
            "<auth xmlns='{SASL}' mechanism='EXTERNAL'>=</auth>"
        ));
        client.element()
    };
    let juliet = show("juliet@localhost");
    assert!(juliet.starts_with("<success"), "{juliet}");
    let paris = show("paris@localhost");
    assert!(is_failure(&paris, "not-authorized"), "{paris}");
    directory.change(&format!("dn: {ROMEO}\n{CLOSED}"));
    let romeo = show("romeo@localhost");
    assert!(is_failure(&romeo, "account-disabled"), "{romeo}");
}

/// A certificate of this subject, most general part first, and its key, by an authority of these files: made by openssl, since
/// a name may have two parts of one kind.
fn certificate(files: &Files, subject: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let path = |name: &str| files.path(name).display().to_string();
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).output();
        let output = output.expect("openssl is installed");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
    };
    let (request, key, own) = (path("request.pem"), path("own.key"), path("own.pem"));
    openssl(&[
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        subject,
        "-keyout",
        &key,
        "-out",
        &request,
    ]);
    // Of version 3, which has extensions.
    let extensions = files.write("extensions", "basicConstraints = CA:FALSE\n");
    let extensions = extensions.display().to_string();
    let (root, root_key) = (path("root.pem"), path("root.key"));
    openssl(&[
        "x509",
        "-req",
        "-in",
        &request,
        "-CA",
        &root,
        "-CAkey",
        &root_key,
        "-CAcreateserial",
        "-extfile",
        &extensions,
        "-days",
        "2",
        "-out",
        &own,
    ]);
    (
        CertificateDer::from_pem_file(own).unwrap(),
        PrivateKeyDer::from_pem_file(key).unwrap(),
    )
}

#[test]
fn a_certificate_stands_for_whose_entry_its_subject_is_the_name_of() {
    let directory = Slapd::start("subject");
    let port = free_port();
    let hosts = options(
        &directory,
        "certificates = \"subject\"\n[host.auth]\nexternal = true\n",
    ) + &format!(
        "[[listener]]\naddress = \"127.0.0.1:{port}\"\ntls = \"direct\"\nclient_certificates = \"request\"\n"
    );
    let house = House::new("directory-subject", "", &hosts);
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let files = Files::new("subject-files");
    files.write("root.pem", &root.pem());
    files.write("root.key", &authority_key.serialize_pem());
    house.make_data();
    fs::create_dir(house.data.join("cert")).unwrap();
    fs::write(house.data.join("cert/client-ca.pem"), root.pem()).unwrap();
    let _server = house.serve();
    let show = |subject: &str, wanted: &str| {
        let wishes = TlsWishes {
            certificate: Some(certificate(&files, subject)),
            ..TlsWishes::default()
        };
        let mut client = Client::wishing(port, wishes);
        let features = client.open();
        assert!(features.contains("EXTERNAL"), "{features}");
        let response = match wanted {
            "" => "=".to_owned(),
            wanted => BASE64_STANDARD.encode(wanted),
        };
        client.send(&format!(
            "<auth xmlns='{SASL}' mechanism='EXTERNAL'>{response}</auth>"
        ));
        client.element()
    };
    let juliet = "/DC=example/DC=verona/OU=people/UID=juliet";
    for wanted in ["", "juliet@localhost"] {
        let answer = show(juliet, wanted);
        assert!(answer.starts_with("<success"), "{wanted}: {answer}");
    }
    // Spelt otherwise, it is the same name.
    let answer = show("/DC=EXAMPLE/DC=Verona/OU=People/UID=Juliet", "");
    assert!(answer.starts_with("<success"), "{answer}");
    for (subject, wanted) in [
        (juliet, "romeo@localhost"),
        ("/DC=example/DC=verona/OU=people/UID=paris", ""),
        // Somebody, and no person.
        ("/DC=example/DC=verona/OU=services/CN=stonechat", ""),
        ("/CN=juliet", ""),
        ("/DC=example/DC=verona/OU=people/UID=*", ""),
        ("/C=IT/O=Verona/emailAddress=juliet@localhost", ""),
    ] {
        let answer = show(subject, wanted);
        assert!(is_failure(&answer, "not-authorized"), "{subject}: {answer}");
    }
    directory.change(&format!("dn: {JULIET}\n{CLOSED}"));
    let closed = show(juliet, "");
    assert!(is_failure(&closed, "account-disabled"), "{closed}");
}

const AGENT: &str = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>";

/// A token of Juliet's (XEP-0484), which she gets for this password.
pub fn token(server: &Server, password: &str) -> String {
    token_of(server, "juliet", password)
}

/// The same of anybody.
pub fn token_of(server: &Server, name: &str, password: &str) -> String {
    let mut client = Client::secure(server);
    let features = client.open();
    assert!(features.contains("HT-SHA-256-NONE"), "{features}");
    let response = BASE64_STANDARD.encode(plain(name, password));
    client.send(&format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>{response}</initial-response>\
         {AGENT}<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/></authenticate>"
    ));
    let success = client.element();
    let (_, token) = success
        .split_once(" token='")
        .unwrap_or_else(|| panic!("a token in {success}"));
    token.split('\'').next().unwrap().to_owned()
}

/// What she hears who shows it.
pub fn show_token(server: &Server, token: &str) -> String {
    show_token_of(server, "juliet", token)
}

/// The same of anybody.
pub fn show_token_of(server: &Server, name: &str, token: &str) -> String {
    let mut client = Client::secure(server);
    client.open();
    let proof = hmac_sha256(token.as_bytes(), b"Initiator");
    let response = BASE64_STANDARD.encode([name.as_bytes(), b"\0", &proof[..]].concat());
    client.send(&format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-NONE'>\
         <initial-response>{response}</initial-response>{AGENT}<fast xmlns='urn:xmpp:fast:0'/></authenticate>"
    ));
    client.element()
}

#[test]
fn a_token_is_worth_nothing_to_who_is_closed_in_the_directory() {
    let directory = Slapd::start("token");
    let house = house("token", &directory, "fresh = \"0 s\"\n");
    let server = house.serve();
    let token = token(&server, PASSWORD);
    let welcome = show_token(&server, &token);
    assert!(welcome.starts_with("<success"), "{welcome}");
    directory.change(&format!("dn: {JULIET}\n{CLOSED}"));
    let refused = show_token(&server, &token);
    assert!(refused.contains("not-authorized"), "{refused}");
}

#[test]
fn a_token_is_worth_nothing_when_the_name_is_somebody_elses() {
    for (way, more) in [
        ("told", "poll = \"1 h\"\n"),
        (
            "looked",
            "listen = false\npoll = \"1 s\"\nfresh_unknown = \"0 s\"\n",
        ),
    ] {
        let directory = Slapd::start(&format!("heir-{way}"));
        let house = house(&format!("heir-{way}"), &directory, more);
        let mut server = house.serve();
        if way == "told" {
            until_said(&mut server, "directory_followed host=localhost people=9");
        }
        let token = token(&server, PASSWORD);
        assert!(show_token(&server, &token).starts_with("<success"));
        directory.change(&format!("dn: {JULIET}\nchangetype: delete\n"));
        until_said(&mut server, "directory_let_go account=juliet@localhost");
        directory.change(&format!(
            "dn: {JULIET}\nobjectClass: inetOrgPerson\nuid: juliet\ncn: Another\nsn: Another\nuserPassword: {PASSWORD}\n"
        ));
        let other = try_password(&server, "juliet", PASSWORD);
        assert!(is_failure(&other, "not-authorized"), "{other}");
        let refused = show_token(&server, &token);
        assert!(is_failure(&refused, "not-authorized"), "{way}: {refused}");
        // Neither do messages to who has the name now go to who had it.
        let mut romeo = Client::session(&server, "romeo", "orchard");
        romeo.send("<message to='juliet@localhost' type='chat' id='m'><body>O</body></message>");
        let bounced = romeo.element();
        assert!(bounced.contains("service-unavailable"), "{way}: {bounced}");
    }
}
