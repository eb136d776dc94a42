//! SCRAM against the examples of its specifications, then against clients that lie. Kept apart from
//! `scram.rs` for its length.

use super::client::{Client, account, keys};
use super::digest::digest;
use super::mechanism::Mechanism;
use super::scram::*;
use super::{SaslFailure, encoding};
use crate::actor::auth::{AccountRef, ScramHash};
use crate::base::Secret;

fn terms(hash: ScramHash, binding: Binding, nonce: &str) -> Terms {
    Terms {
        hash,
        binding,
        nonce: nonce.to_owned(),
        lists_hash: None,
    }
}

/// Plays one transcript against the server and asserts its every byte.
fn replay(terms: Terms, salt: &str, [first, server_first, last, verifier]: [&str; 4]) {
    let hash = terms.hash;
    let salt = encoding::decode(salt.as_bytes()).expect("the example's salt is base64");
    let opened = ClientFirst::parse(&terms.binding, first.as_bytes()).unwrap();
    assert_eq!(opened.username, "user");
    let stored = keys(hash, "pencil", &salt, 4096);
    let (challenged, challenge) = Challenged::new(terms, opened, stored, Some(account(1)));
    assert_eq!(String::from_utf8_lossy(&challenge), server_first);
    let (_, said) = challenged.verify(last.as_bytes()).unwrap();
    assert_eq!(String::from_utf8_lossy(&said), verifier);
}

#[test]
fn the_example_of_rfc_5802_section_5_succeeds() {
    replay(
        terms(ScramHash::Sha1, Binding::Absent, "3rfcNHYJY1ZVvWVs7j"),
        "QSXCR+Q6sek8bf92",
        [
            "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,\
             p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ],
    );
}

#[test]
fn the_example_of_rfc_7677_section_3_succeeds() {
    replay(
        terms(
            ScramHash::Sha256,
            Binding::Absent,
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        ),
        "W22ZaJ0SNY7soEsUEjb6gQ==",
        [
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ],
    );
}

/// It also carries an optional extension (`x`) in the client's final message.
#[test]
fn the_example_of_xep_0474_section_6_3_succeeds() {
    let fake = Secret::new(b"THIS IS FAKE CB DATA".to_vec());
    let mut terms = terms(
        ScramHash::Sha1,
        Binding::Required(vec![("tls-exporter", fake)]),
        "a09117a6-ac50-4f2f-93f1-93799c2bddf6",
    );
    terms.lists_hash = Some("G6k/rBLDqgOhRRaCuuatSDFkJ08=".to_owned());
    replay(
        terms,
        "QSXCR+Q6sek8bf92",
        [
            "p=tls-exporter,,n=user,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6",
            "r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,\
             s=QSXCR+Q6sek8bf92,i=4096,h=G6k/rBLDqgOhRRaCuuatSDFkJ08=",
            "c=cD10bHMtZXhwb3J0ZXIsLFRISVMgSVMgRkFLRSBDQiBEQVRB,\
             r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,\
             x=19C6532F-1CF4-4A27-A18D-DC9CEA41BBB3,p=M/SIDjT+dfcxUh89jZEypRvFxB4=",
            "v=MQrMPvv7yv4x4Cq4W4Ih25EqS2c=",
        ],
    );
}

#[test]
fn the_hash_of_the_lists_is_that_of_xep_0474_whatever_their_order() {
    let facts = super::client::secured();
    for offered in [
        [Mechanism::ScramSha1, Mechanism::ScramSha1Plus],
        [Mechanism::ScramSha1Plus, Mechanism::ScramSha1],
    ] {
        let hash = lists_hash(ScramHash::Sha1, &offered, &facts);
        assert_eq!(hash, "G6k/rBLDqgOhRRaCuuatSDFkJ08=");
    }
    // Without channel binding there is no delimiter %x1F either.
    let plain = digest(ScramHash::Sha1, b"PLAIN\x1eSCRAM-SHA-1");
    assert_eq!(
        lists_hash(
            ScramHash::Sha1,
            &[Mechanism::ScramSha1, Mechanism::Plain],
            &facts
        ),
        super::encode(plain.expose())
    );
}

#[test]
fn the_flag_decides_what_happens_to_channel_binding() {
    let required = || Binding::Required(vec![("tls-exporter", Secret::new(vec![1]))]);
    let fails = |binding: Binding, flag: &str| {
        let message = format!("{flag},,n=user,r=abc");
        ClientFirst::parse(&binding, message.as_bytes()).err()
    };
    assert_eq!(fails(Binding::Absent, "n"), None);
    assert_eq!(fails(Binding::Absent, "y"), None);
    assert_eq!(fails(Binding::Offered, "n"), None);
    assert_eq!(fails(required(), "p=tls-exporter"), None);

    let refused = Some(SaslFailure::NotAuthorized);
    assert_eq!(
        fails(Binding::Offered, "y"),
        refused,
        "somebody stripped -PLUS"
    );
    assert_eq!(fails(required(), "y"), refused);
    assert_eq!(fails(required(), "n"), refused);
    assert_eq!(fails(required(), "p=tls-unique"), refused);
    assert_eq!(fails(Binding::Absent, "p=tls-exporter"), refused);
    assert_eq!(fails(Binding::Offered, "p=tls-exporter"), refused);

    for flag in ["", "x", "N", "p", "p=", "p=tls exporter", "nn", "p=\u{e9}"] {
        assert_eq!(fails(required(), flag), Some(MALFORMED), "{flag:?}");
    }
}

#[test]
fn first_messages_that_break_the_grammar_are_malformed() {
    for message in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=user",
        "n,,n=,r=abc",
        "n,,r=abc,n=user",
        "n,,n=user,r=",
        "n,,n=user,r=a b",
        "n,,n=user,r=\u{e9}",
        "n,,n=us=er,r=abc",
        "n,,n=us=2cer,r=abc",
        "n,,n=user,r=abc,",
        "n,,n=user,r=abc,x=",
        "n,,n=user,r=abc,1=2",
        "n,,n=user,r=abc,xy=2",
        "n,,n=user,r=abc,n=other",
        "n,,n=user\0,r=abc",
        "n,a=,n=user,r=abc",
        "n,b=user,n=user,r=abc",
    ] {
        let parsed = ClientFirst::parse(&Binding::Absent, message.as_bytes());
        assert_eq!(parsed.err(), Some(MALFORMED), "{message:?}");
    }
    let parsed = ClientFirst::parse(&Binding::Absent, b"n,,n=us\xffer,r=abc");
    assert_eq!(parsed.err(), Some(MALFORMED));
}

#[test]
fn mandatory_extensions_fail_and_optional_ones_are_ignored() {
    let parse = |message: &str| ClientFirst::parse(&Binding::Absent, message.as_bytes());
    for message in ["n,,m=x,n=user,r=abc", "n,,n=user,r=abc,m=x"] {
        assert_eq!(parse(message).err(), Some(SaslFailure::NotAuthorized));
    }
    let first = parse("n,a=us=2C=3Der,n=us=2C=3Der,r=abc,x=1,y=2=3").unwrap();
    assert_eq!(first.username, "us,=er");
    assert_eq!(first.authzid.as_deref(), Some("us,=er"));
}

/// A server that has challenged `client`, with the keys of "pencil".
fn challenged(client: &Client, account: Option<AccountRef>) -> (Challenged, Vec<u8>) {
    let binding = Binding::Required(vec![("tls-exporter", Secret::new(b"channel".to_vec()))]);
    let first = ClientFirst::parse(&binding, &client.first()).unwrap();
    let keys = keys(client.hash, "pencil", b"salt", 2);
    Challenged::new(
        terms(client.hash, binding, "servernonce"),
        first,
        keys,
        account,
    )
}

fn verdict(client: &Client, edit: fn(String) -> String) -> Result<(), SaslFailure> {
    let (challenged, challenge) = challenged(client, Some(account(1)));
    let last = String::from_utf8(client.last(&challenge).0).expect("the client speaks UTF-8");
    challenged.verify(edit(last).as_bytes()).map(|_| ())
}

fn bound(hash: ScramHash) -> Client {
    let mut client = Client::new(hash, "p=tls-exporter,,", "user");
    client.binding_data = b"channel";
    client
}

#[test]
fn every_digest_succeeds_and_proves_the_server_too() {
    for hash in [ScramHash::Sha1, ScramHash::Sha256, ScramHash::Sha512] {
        let client = bound(hash);
        let (challenged, challenge) = challenged(&client, Some(account(7)));
        let (last, expected) = client.last(&challenge);
        assert_eq!(challenged.verify(&last), Ok((account(7), expected)));
    }
}

#[test]
fn a_perfect_proof_for_no_account_is_refused() {
    let client = bound(ScramHash::Sha256);
    let (challenged, challenge) = challenged(&client, None);
    let (last, _) = client.last(&challenge);
    assert_eq!(challenged.verify(&last), Err(SaslFailure::NotAuthorized));
}

#[test]
fn a_proof_made_on_another_channel_is_refused() {
    let mut client = bound(ScramHash::Sha256);
    client.binding_data = b"the channel of somebody in the middle";
    assert_eq!(
        verdict(&client, |last| last),
        Err(SaslFailure::NotAuthorized)
    );
    client.binding_data = b"";
    assert_eq!(
        verdict(&client, |last| last),
        Err(SaslFailure::NotAuthorized)
    );
}

fn without_proof(last: String) -> String {
    last.rsplit_once(",p=")
        .expect("a proof was made")
        .0
        .to_owned()
}

fn refused() -> Result<(), SaslFailure> {
    Err(SaslFailure::NotAuthorized)
}

#[test]
fn a_wrong_password_nonce_or_proof_is_refused() {
    let client = bound(ScramHash::Sha256);
    assert_eq!(verdict(&client, |last| last), Ok(()));
    assert_eq!(
        verdict(&client, |last| last.replace("servernonce", "Servernonce")),
        refused()
    );
    assert_eq!(
        verdict(&client, |last| last.replace("servernonce", "")),
        refused()
    );
    assert_eq!(verdict(&client, |last| last + "AAAA"), Err(MALFORMED));
    assert_eq!(verdict(&client, without_proof), Err(MALFORMED));
    assert_eq!(
        verdict(&client, |last| without_proof(last) + ",p="),
        refused()
    );
    assert_eq!(
        verdict(&client, |last| without_proof(last) + ",p=AAAA"),
        refused()
    );

    // A flawless proof over a nonce that this server did not make: what a replay would be.
    let mut client = bound(ScramHash::Sha256);
    client.forged_nonce = Some("clientnonceanothernonce");
    assert_eq!(verdict(&client, |last| last), refused());

    let mut client = bound(ScramHash::Sha256);
    client.password = "Pencil";
    assert_eq!(verdict(&client, |last| last), refused());
}

#[test]
fn final_messages_that_break_the_grammar_are_malformed() {
    let client = bound(ScramHash::Sha1);
    let edits: [fn(String) -> String; 7] = [
        |_| String::new(),
        |_| ",p=".to_owned(),
        |last| last.replacen("c=", "C=", 1),
        |last| last.replacen("c=", "c=!", 1),
        |last| last.replacen(",p=", ",p=x,p=", 1),
        |last| last.replacen(",p=", ",r=again,p=", 1),
        |last| last.replacen(",p=", ",\0,p=", 1),
    ];
    for edit in edits {
        assert_eq!(verdict(&client, edit), Err(MALFORMED));
    }
    let mut client = bound(ScramHash::Sha1);
    client.extension = ",m=must";
    assert_eq!(verdict(&client, |last| last), refused());
    client.extension = ",x=may";
    assert_eq!(verdict(&client, |last| last), Ok(()));
}
