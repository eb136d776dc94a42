use proptest::prelude::*;

use super::*;

fn parts(text: &str) -> (Option<String>, String, Option<String>) {
    let jid = Jid::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    (
        jid.localpart().map(str::to_owned),
        jid.domainpart().to_owned(),
        jid.resourcepart().map(str::to_owned),
    )
}

fn owned(
    local: Option<&str>,
    domain: &str,
    resource: Option<&str>,
) -> (Option<String>, String, Option<String>) {
    (
        local.map(str::to_owned),
        domain.to_owned(),
        resource.map(str::to_owned),
    )
}

/// RFC 7622 section 3.5, table 1.
#[test]
fn legal_examples_of_the_rfc_are_taken_apart() {
    for (text, local, domain, resource) in [
        ("juliet@example.com", Some("juliet"), "example.com", None),
        (
            "juliet@example.com/foo",
            Some("juliet"),
            "example.com",
            Some("foo"),
        ),
        (
            "juliet@example.com/foo bar",
            Some("juliet"),
            "example.com",
            Some("foo bar"),
        ),
        (
            "juliet@example.com/foo@bar",
            Some("juliet"),
            "example.com",
            Some("foo@bar"),
        ),
        (
            "foo\\20bar@example.com",
            Some("foo\\20bar"),
            "example.com",
            None,
        ),
        (
            "fussball@example.com",
            Some("fussball"),
            "example.com",
            None,
        ),
        (
            "fu\u{df}ball@example.com",
            Some("fu\u{df}ball"),
            "example.com",
            None,
        ),
        ("\u{3c0}@example.com", Some("\u{3c0}"), "example.com", None),
        (
            "\u{3a3}@example.com/foo",
            Some("\u{3c3}"),
            "example.com",
            Some("foo"),
        ),
        (
            "\u{3c3}@example.com/foo",
            Some("\u{3c3}"),
            "example.com",
            Some("foo"),
        ),
        (
            "\u{3c2}@example.com/foo",
            Some("\u{3c2}"),
            "example.com",
            Some("foo"),
        ),
        (
            "king@example.com/\u{265a}",
            Some("king"),
            "example.com",
            Some("\u{265a}"),
        ),
        ("example.com", None, "example.com", None),
        ("example.com/foobar", None, "example.com", Some("foobar")),
        (
            "a.example.com/b@example.net",
            None,
            "a.example.com",
            Some("b@example.net"),
        ),
    ] {
        assert_eq!(parts(text), owned(local, domain, resource), "{text}");
    }
}

/// RFC 7622 section 3.5, table 2.
#[test]
fn illegal_examples_of_the_rfc_are_refused() {
    for (text, error) in [
        ("\"juliet\"@example.com", JidError::LocalNotAllowed),
        ("foo bar@example.com", JidError::LocalNotAllowed),
        ("juliet@example.com/ foo", JidError::ResourceNotAllowed),
        ("@example.com/", JidError::LocalEmpty),
        ("henry\u{2163}@example.com", JidError::LocalNotAllowed),
        ("\u{265a}@example.com", JidError::LocalNotAllowed),
        ("juliet@", JidError::DomainEmpty),
        ("/foobar", JidError::DomainEmpty),
        ("", JidError::DomainEmpty),
        ("juliet@example.com/", JidError::ResourceEmpty),
    ] {
        assert_eq!(Jid::parse(text), Err(error), "{text}");
    }
}

#[test]
fn domains_become_lower_case_u_labels() {
    for (text, domain) in [
        ("EXAMPLE.com.", "example.com"),
        ("xn--bcher-kva.example", "b\u{fc}cher.example"),
        ("XN--BCHER-KVA.example", "b\u{fc}cher.example"),
        ("B\u{dc}CHER.example", "b\u{fc}cher.example"),
        ("fa\u{df}.example", "fa\u{df}.example"),
        ("ex\u{ff41}mple.com", "example.com"),
        ("a\u{3002}example", "a.example"),
        ("192.0.2.7", "192.0.2.7"),
        ("[2001:DB8:0:0::1]", "[2001:db8::1]"),
        ("localhost", "localhost"),
    ] {
        assert_eq!(prepare_domainpart(text).as_deref(), Ok(domain), "{text}");
    }
}

#[test]
fn domains_that_no_host_can_have_are_refused() {
    for text in [
        ".",
        "..",
        ".a",
        "a..b",
        "-a",
        "a-",
        "a_b",
        "a b",
        "ab--c",
        "xn--",
        "xn--a",
        "[::1",
        "[1.2.3.4]",
        "[fe80::1%25eth0]",
        "a@b",
        "\u{2f}x",
        "a\u{ff0f}b",
        "a\u{2100}b",
        "a\0b",
        "a:5222",
    ] {
        assert_eq!(
            prepare_domainpart(text).map_err(|_| ()),
            Err(()),
            "{text:?}"
        );
    }
    let label = "a".repeat(63);
    assert!(prepare_domainpart(&label).is_ok());
    assert!(prepare_domainpart(&format!("{label}a")).is_err());
    let long = [label.as_str(); 4].join(".");
    assert_eq!(prepare_domainpart(&long), Err(JidError::DomainTooLong));
    assert!(prepare_domainpart(&long[..253]).is_ok());
}

#[test]
fn parts_of_1023_bytes_are_the_longest() {
    let part = "a".repeat(1023);
    assert!(prepare_localpart(&part).is_ok());
    assert!(prepare_resourcepart(&part).is_ok());
    let longer = "a".repeat(1024);
    assert_eq!(prepare_localpart(&longer), Err(JidError::LocalTooLong));
    assert_eq!(
        prepare_resourcepart(&longer),
        Err(JidError::ResourceTooLong)
    );
    // Counted in bytes and after preparation: fullwidth letters shrink to a third.
    let wide = "\u{ff41}".repeat(1023);
    assert_eq!(prepare_localpart(&wide).as_deref(), Ok(part.as_str()));
    assert!(prepare_localpart(&"\u{ff41}".repeat(1024)).is_err());
    let accented = "\u{e9}".repeat(512);
    assert_eq!(prepare_localpart(&accented), Err(JidError::LocalTooLong));
}

#[test]
fn separators_made_by_preparation_do_not_split_again() {
    assert_eq!(
        Jid::parse("a\u{ff20}b@example.com"),
        Err(JidError::LocalNotAllowed)
    );
    assert_eq!(Jid::parse("a@b\u{ff0f}c"), Err(JidError::DomainNotAllowed));
}

#[test]
fn resources_of_an_address_come_and_go() {
    let full = Jid::parse("Juliet@Example.com/Balcony").unwrap();
    assert_eq!(full.as_str(), "juliet@example.com/Balcony");
    assert_eq!(full.bare_str(), "juliet@example.com");
    assert!(full.is_full() && !full.is_bare() && !full.is_domain());
    let bare = full.to_bare();
    assert_eq!(bare.as_str(), "juliet@example.com");
    assert!(Arc::ptr_eq(&bare.text, &bare.to_bare().text));
    assert_eq!(bare.with_resource("Balcony").unwrap(), full);
    assert_eq!(
        full.with_resource("a/b@c").unwrap().resourcepart(),
        Some("a/b@c")
    );
    assert!(full.with_resource("").is_err());
    let domain = Jid::domain("Example.com.").unwrap();
    assert!(domain.is_domain() && domain.is_bare());
    assert!(Jid::domain("a@b").is_err() && Jid::domain("a/b").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn preparation_is_idempotent(text in "\\PC{0,12}|[\\x20-\\x7e]{0,12}|.{1,4}") {
        for prepare in [prepare_localpart, prepare_domainpart, prepare_resourcepart] {
            if let Ok(once) = prepare(&text) {
                let twice = prepare(&once);
                prop_assert_eq!(twice.as_deref(), Ok(&*once));
            }
        }
    }

    #[test]
    fn the_fast_path_agrees_with_the_profiles(text in "[\\x00-\\x7f]{0,10}") {
        use precis_profiles::precis_core::profile::PrecisFastInvocation;
        let slow = precis_profiles::OpaqueString::enforce(text.as_str()).ok();
        let fast = prepare_resourcepart(&text).ok();
        prop_assert_eq!(fast, slow.filter(|slow| !slow.starts_with(' ')));
        let slow = precis_profiles::UsernameCaseMapped::enforce(text.as_str()).ok();
        let fast = prepare_localpart(&text).ok();
        prop_assert_eq!(fast, slow.filter(|slow| !slow.contains(['"', '&', '\'', '/', ':', '<', '>', '@'])));
    }

    #[test]
    fn the_fast_path_agrees_with_idna(text in "[a-c0.-]{1,12}") {
        use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
        let stripped = text.strip_suffix('.').unwrap_or(&text);
        let slow = Uts46::new()
            .to_ascii(stripped.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::Verify)
            .ok();
        prop_assert_eq!(prepare_domainpart(&text).ok(), slow);
    }

    #[test]
    fn a_parsed_address_parses_to_itself(text in "\\PC{1,8}|\\PC{1,6}@[a-z\u{fc}]{1,6}|[A-Za-z]{1,3}@[A-Za-z.]{1,6}/\\PC{1,6}") {
        if let Ok(jid) = Jid::parse(&text) {
            let again = Jid::parse(jid.as_str()).unwrap();
            prop_assert_eq!(&again, &jid);
            prop_assert_eq!((again.at, again.slash), (jid.at, jid.slash));
            let kept = Jid::from_prepared(jid.as_str()).unwrap();
            prop_assert_eq!(&kept, &jid);
            prop_assert_eq!((kept.at, kept.slash), (jid.at, jid.slash));
            let joined = Jid::from_parts(jid.localpart(), jid.domainpart(), jid.resourcepart());
            prop_assert_eq!(joined, Ok(jid));
        }
    }
}

#[test]
fn what_was_prepared_is_only_measured() {
    let long = "a".repeat(1_024);
    let long = [
        format!("{long}@b"),
        format!("a@{long}"),
        format!("a@b/{long}"),
    ];
    let empty = ["", "@b", "a@", "/c", "a@b/"].map(str::to_owned);
    for text in empty.iter().chain(&long) {
        assert!(Jid::from_prepared(text).is_none(), "{text}");
    }
    let jid = Jid::from_prepared("a@b/c@d/e").expect("an address");
    assert_eq!(jid.localpart(), Some("a"));
    assert_eq!(jid.domainpart(), "b");
    assert_eq!(jid.resourcepart(), Some("c@d/e"));
}

/// Every code point alone and beside a letter, not a sample.
#[test]
fn preparation_of_every_code_point_is_idempotent() {
    for character in char::MIN..=char::MAX {
        for text in [character.to_string(), format!("a{character}")] {
            for prepare in [prepare_localpart, prepare_domainpart, prepare_resourcepart] {
                if let Ok(once) = prepare(&text) {
                    assert_eq!(prepare(&once).as_deref(), Ok(&*once), "{text:?}");
                }
            }
        }
    }
}
