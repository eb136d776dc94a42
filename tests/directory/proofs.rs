//! People of the directory prove who they are without a password: by a certificate, by a token.

use std::fs;

use base64::prelude::{BASE64_STANDARD, Engine};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::PrivateKeyDer;

use crate::client::{Client, SASL, TlsWishes, plain};
use crate::scram::hmac_sha256;
use crate::served::{house, is_failure, options};
use crate::server::{House, Server, free_port};
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

const AGENT: &str = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>";

/// A token of Juliet's (XEP-0484), which she gets for this password.
pub fn token(server: &Server, password: &str) -> String {
    let mut client = Client::secure(server);
    let features = client.open();
    assert!(features.contains("HT-SHA-256-NONE"), "{features}");
    let response = BASE64_STANDARD.encode(plain("juliet", password));
    client.send(&format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>{response}</initial-response>\
         {AGENT}<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/></authenticate>"
    ));
    let success = client.element();
    let (_, token) = success.split_once(" token='").expect("a token");
    token.split('\'').next().unwrap().to_owned()
}

/// What she hears who shows it.
pub fn show_token(server: &Server, token: &str) -> String {
    let mut client = Client::secure(server);
    client.open();
    let proof = hmac_sha256(token.as_bytes(), b"Initiator");
    let response = BASE64_STANDARD.encode([b"juliet\0", &proof[..]].concat());
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
