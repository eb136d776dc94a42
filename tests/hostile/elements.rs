//! Pieces of XML that are too large, too deep, too many or no XML, before login and after it.

use crate::bystanders::House;
use crate::client::{Client, HEADER};
use crate::framer::Item;

/// Where a stream is when the attack comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Plaintext, before STARTTLS.
    Plaintext,
    /// Secured, not authenticated.
    Secured,
    /// Bound.
    Bound,
}

const MOMENTS: [Moment; 3] = [Moment::Plaintext, Moment::Secured, Moment::Bound];

fn at(house: &House, moment: Moment, number: usize) -> Client {
    let server = &house.server;
    match moment {
        Moment::Plaintext => {
            let mut client = Client::plain(server);
            client.open();
            client
        }
        Moment::Secured => Client::opened(server),
        Moment::Bound => Client::session(server, "tybalt", &format!("r{number}")),
    }
}

fn play(test: &str, attacks: &[(&str, Vec<u8>, &str)]) {
    let house = House::open(test, "", &["tybalt"]);
    for (number, (what, bytes, condition)) in attacks.iter().enumerate() {
        for moment in MOMENTS {
            println!("{what}, {moment:?}");
            let mut tybalt = at(&house, moment, number);
            tybalt.send_bytes(bytes);
            tybalt.fails_with(condition);
        }
    }
    // Each of them held less than 512 KiB, and none at the same time as another.
    house.close(8 * 1024 * 1024);
}

fn many(text: &str, count: usize) -> String {
    text.repeat(count)
}

#[test]
fn elements_beyond_the_limits_end_the_stream_with_policy_violation() {
    let large = 300 * 1024;
    let attributes: String = (0..10_000).map(|n| format!(" a{n}='{n}'")).collect();
    let declarations: String = (0..100).map(|n| format!(" xmlns:n{n}='u{n}'")).collect();
    let policy = |what, text: String| (what, text.into_bytes(), "policy-violation");
    play(
        "beyond",
        &[
            policy(
                "an oversized element",
                format!("<message><body>{}</body></message>", many("x", large)),
            ),
            policy("an endless text", format!("<message>{}", many("x", large))),
            policy(
                "an endless attribute",
                format!("<message id='{}", many("x", large)),
            ),
            policy("an endless name", format!("<{}", many("x", large))),
            policy(
                "endless whitespace in a tag",
                format!("<message{}", many(" ", large)),
            ),
            policy(
                "an endless CDATA section",
                format!("<message><![CDATA[{}", many("]", large)),
            ),
            policy("endless elements", format!("<m>{}", many("<a/>", 20_000))),
            policy("endless nesting", many("<a>", 5_000)),
            policy("10,000 attributes", format!("<message{attributes}/>")),
            policy(
                "a hundred declarations",
                format!("<message{declarations}/>"),
            ),
            policy(
                "an end tag that does not end",
                format!("</stream:stream{}", many(" ", 10_000)),
            ),
        ],
    );
}

#[test]
fn what_is_no_restricted_xml_ends_the_stream_by_its_name() {
    let lol = "<!DOCTYPE lol [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;'><!ENTITY c '&b;&b;&b;'>]>";
    let text = |what, text: &str, condition| (what, text.as_bytes().to_vec(), condition);
    play(
        "restricted",
        &[
            text("a DTD", lol, "restricted-xml"),
            text(
                "a DTD inside a stanza",
                &format!("<message>{lol}</message>"),
                "restricted-xml",
            ),
            text(
                "an entity of one's own",
                "<message><body>&c;</body></message>",
                "restricted-xml",
            ),
            text("a comment", "<!-- hidden -->", "restricted-xml"),
            text(
                "a comment inside a stanza",
                "<message><!-- hidden --></message>",
                "restricted-xml",
            ),
            text("an instruction", "<?php exit ?>", "restricted-xml"),
            text(
                "an instruction inside a stanza",
                "<message><?php exit ?></message>",
                "restricted-xml",
            ),
            (
                "bytes that are no UTF-8",
                b"<message><body>\xff\xfe</body></message>".to_vec(),
                "unsupported-encoding",
            ),
            (
                "an overlong form",
                b"<message><body>\xc0\xbc</body></message>".to_vec(),
                "unsupported-encoding",
            ),
            (
                "a surrogate",
                b"<message><body>\xed\xa0\x80</body></message>".to_vec(),
                "unsupported-encoding",
            ),
            text(
                "NUL",
                "<message><body>\0</body></message>",
                "not-well-formed",
            ),
            text(
                "NUL in an attribute",
                "<message id='\0'/>",
                "not-well-formed",
            ),
            text(
                "U+FFFE",
                "<message><body>\u{fffe}</body></message>",
                "not-well-formed",
            ),
            text(
                "NUL by reference",
                "<message><body>&#0;</body></message>",
                "not-well-formed",
            ),
            text(
                "a reference beyond Unicode",
                "<message><body>&#x110000;</body></message>",
                "not-well-formed",
            ),
            text(
                "a reference of twenty digits",
                "<message><body>&#99999999999999999999;</body></message>",
                "not-well-formed",
            ),
            text(
                "the end of the stream inside a stanza",
                "<message></stream:stream></message>",
                "not-well-formed",
            ),
            text("an end of something else", "</anything>", "not-well-formed"),
            text("text between stanzas", "hello", "bad-format"),
        ],
    );
}

#[test]
fn a_connection_that_begins_with_something_else_hears_so() {
    let house = House::open("begins", "", &[]);
    let policy = format!("<stream:stream to='localhost' {}", many("x", 8_000));
    let proxy_v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f\0\0\x01\x7f\0\0\x01\x04\xd2\x14\x66";
    let beginnings: [(&[u8], &str); 9] = [
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "not-well-formed",
        ),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            "not-well-formed",
        ),
        (b"\0\0\0\0", "not-well-formed"),
        // Listeners that expect no PROXY header refuse one (DESIGN section 3).
        (
            b"PROXY TCP4 10.0.0.1 10.0.0.2 1234 5222\r\n<?xml version='1.0'?>",
            "not-well-formed",
        ),
        (proxy_v2, "not-well-formed"),
        (b"\xff\xfe<\0s\0", "unsupported-encoding"),
        (
            b"<?xml version='1.0' encoding='UTF-16'?>",
            "unsupported-encoding",
        ),
        (
            b"<!DOCTYPE lol [<!ENTITY a 'ha'>]><stream:stream>",
            "restricted-xml",
        ),
        (policy.as_bytes(), "policy-violation"),
    ];
    for (bytes, condition) in beginnings {
        for mut tybalt in [Client::plain(&house.server), Client::secure(&house.server)] {
            println!("{}", String::from_utf8_lossy(&bytes[..bytes.len().min(30)]));
            tybalt.send_bytes(bytes);
            tybalt.fails_with(condition);
        }
    }
    house.close(8 * 1024 * 1024);
}

#[test]
fn a_header_inside_the_stream_begins_nothing() {
    let house = House::open("header", "", &["tybalt"]);
    for (moment, condition) in [
        (Moment::Plaintext, "not-authorized"),
        (Moment::Secured, "not-authorized"),
        (Moment::Bound, "unsupported-stanza-type"),
    ] {
        for header in [
            "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams'>",
            "<stream:stream>",
            "<stream:stream/>",
        ] {
            println!("{header}, {moment:?}");
            let mut tybalt = at(&house, moment, 0);
            tybalt.send(header);
            tybalt.fails_with(condition);
        }
        let mut tybalt = at(&house, moment, 0);
        tybalt.send(HEADER);
        tybalt.fails_with("restricted-xml");
    }
    house.close(8 * 1024 * 1024);
}

#[test]
fn half_a_piece_and_silence_is_waited_for_no_longer_than_the_deadline() {
    let house = House::open("silence", "", &["tybalt", "mercutio"]);
    let server = &house.server;
    let half = |mut client: Client, text: &str| {
        client.send(text);
        client
    };
    let secured = Client::opened(server);
    let mut unbound = Client::opened(server);
    unbound.log_in("tybalt", crate::server::PASSWORD);
    let negotiating = [
        Client::plain(server),
        half(Client::plain(server), "<?xml vers"),
        half(Client::plain(server), "<stream:stream to='local"),
        half(Client::secure(server), ""),
        half(
            secured,
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mech",
        ),
        unbound,
    ];
    let mut bound = Client::session(server, "mercutio", "square");
    bound.send("<message to='tybalt@localhost'><body>A plague o' bo");
    house.advance(31_000);
    for mut client in negotiating {
        client.fails_with("connection-timeout");
    }
    // Whoever is logged in has longer, but must answer a ping.
    house.advance(150_000);
    let ping = bound.element();
    assert!(ping.contains("urn:xmpp:ping"), "{ping}");
    house.advance(61_000);
    bound.fails_with("connection-timeout");
    house.close(0);
}

#[test]
fn what_stands_behind_the_end_of_a_stream_is_not_read() {
    let house = House::open("behind", "", &["tybalt"]);
    let mut tybalt = at(&house, Moment::Bound, 0);
    tybalt.send(
        "</stream:stream><message to='nurse@localhost/kitchen'><body>late</body></message><a",
    );
    assert_eq!(tybalt.next(), Some(Item::End));
    assert_eq!(tybalt.next(), None);
    house.close(0);
}

#[test]
fn an_end_tag_of_another_name_is_not_well_formed() {
    let house = House::open("end", "", &["tybalt"]);
    for end in [
        "</stream>",
        "</s:stream>",
        "</stream:message>",
        "</:stream>",
    ] {
        println!("{end}");
        let mut tybalt = at(&house, Moment::Bound, 0);
        tybalt.send(end);
        tybalt.fails_with("not-well-formed");
    }
    house.close(0);
}
