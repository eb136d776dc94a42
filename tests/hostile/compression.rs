//! XEP-0138 over real sockets: what it does for those who have it, and what it lets nobody do.

use flate2::{Compress, Compression, FlushCompress};

use crate::bystanders::House;
use crate::client::Client;
use crate::framer::Item;
use crate::server::{PASSWORD, Server};

const MIB: usize = 1024 * 1024;
const OPTIONS: &str = "listener.compression = \"zlib\"\n";
const NS: &str = "http://jabber.org/protocol/compress";

fn asks(method: &str) -> String {
    format!("<compress xmlns='{NS}'><method>{method}</method></compress>")
}

/// Logged in and compressed; no resource is bound.
fn compressed(server: &Server, name: &str) -> Client {
    let mut client = Client::opened(server);
    let features = client.log_in(name, PASSWORD);
    let offer = "<compression xmlns='http://jabber.org/features/compress'><method>zlib</method></compression>";
    assert!(features.contains(offer), "{features}");
    client.send(&asks("zlib"));
    assert_eq!(client.element(), format!("<compressed xmlns='{NS}'/>"));
    let features = client.compress();
    assert!(features.contains("<bind "), "{features}");
    assert!(!features.contains("<compression "), "{features}");
    client
}

/// The same, bound and available.
fn session(server: &Server, name: &str) -> Client {
    let mut client = compressed(server, name);
    assert!(client.bind("zlib").contains("type='result'"));
    client.send("<presence/>");
    assert!(client.element().starts_with("<presence"));
    client
}

#[test]
fn two_who_are_compressed_say_and_hear_everything_in_order() {
    for dictionary in ["sender", "stream"] {
        let options = format!("{OPTIONS}c2s.compression_dictionary = \"{dictionary}\"\n");
        let house = House::open(
            &format!("zlib-{dictionary}"),
            &options,
            &["romeo", "juliet"],
        );
        let mut romeo = session(&house.server, "romeo");
        let mut juliet = session(&house.server, "juliet");
        for number in 0..200 {
            let words = format!("{number} ").repeat(1 + number * 7);
            romeo.send(&format!(
                "<message id='{number}' to='juliet@localhost/zlib'><body>{words}</body></message>"
            ));
        }
        for number in 0..200 {
            let heard = juliet.element();
            assert!(
                heard.contains(&format!(" id='{number}'")),
                "{number}: {heard}"
            );
        }
        juliet.send("</stream:stream>");
        assert_eq!(juliet.next(), Some(Item::End));
        assert_eq!(juliet.next(), None);
        house.close(8 * MIB);
    }
}

#[test]
fn a_session_is_resumed_over_another_codec_and_a_slow_reader_loses_nothing() {
    let house = House::open("zlib-resume", OPTIONS, &["romeo", "juliet"]);
    let mut juliet = session(&house.server, "juliet");
    juliet.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    let enabled = juliet.element();
    let id = enabled
        .split(" id='")
        .nth(1)
        .and_then(|rest| rest.split('\'').next());
    let id = id.expect("an id").to_owned();
    let mut romeo = Client::session(&house.server, "romeo", "orchard");
    // She reads nothing of it.
    for number in 0..60 {
        let words = "x".repeat(2_000 + number);
        romeo.send(&format!(
            "<message id='{number}' to='juliet@localhost/zlib'><body>{words}</body></message>"
        ));
    }
    romeo.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert!(romeo.element().contains(" id='p'"));
    juliet.close();
    let mut juliet = compressed(&house.server, "juliet");
    juliet.send(&format!(
        "<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>"
    ));
    let resumed = juliet.element();
    assert!(resumed.starts_with("<resumed "), "{resumed}");
    let mut number = 0;
    while number < 60 {
        let heard = juliet.element();
        if heard.starts_with("<message") {
            assert!(
                heard.contains(&format!(" id='{number}'")),
                "{number}: {heard}"
            );
            number += 1;
        }
    }
    house.close(8 * MIB);
}

#[test]
fn nobody_has_compression_who_may_not() {
    let failure = |condition: &str| format!("<failure xmlns='{NS}'><{condition}/></failure>");
    let house = House::open("zlib-refused", OPTIONS, &["romeo"]);
    // Before authentication, and of another method; each time life goes on.
    let mut romeo = Client::opened(&house.server);
    romeo.send(&asks("zlib"));
    assert_eq!(romeo.element(), failure("setup-failed"));
    romeo.log_in("romeo", PASSWORD);
    romeo.send(&asks("lzw"));
    assert_eq!(romeo.element(), failure("unsupported-method"));
    romeo.send(&format!("<compress xmlns='{NS}'/>"));
    assert_eq!(romeo.element(), failure("unsupported-method"));
    romeo.send(&format!(
        "<compress xmlns='{NS}'><method>lzw</method><method> zlib </method></compress>"
    ));
    assert_eq!(romeo.element(), format!("<compressed xmlns='{NS}'/>"));
    romeo.compress();
    // Twice, and inside a session.
    romeo.send(&asks("zlib"));
    assert_eq!(romeo.element(), failure("setup-failed"));
    assert!(romeo.bind("zlib").contains("type='result'"));
    romeo.send(&asks("zlib"));
    assert_eq!(romeo.element(), failure("setup-failed"));
    romeo.send("<presence/>");
    assert!(romeo.element().starts_with("<presence"));
    // Before TLS, where that is required, there is nothing to talk about.
    let mut tybalt = Client::plain(&house.server);
    let features = tybalt.open();
    assert!(
        features.contains("<required/>") && !features.contains("compress"),
        "{features}"
    );
    tybalt.send(&asks("zlib"));
    assert_eq!(tybalt.element(), failure("setup-failed"));
    house.close(4 * MIB);

    let house = House::open("zlib-off", "", &["romeo"]);
    let mut romeo = Client::opened(&house.server);
    let features = romeo.log_in("romeo", PASSWORD);
    assert!(!features.contains("compression"), "{features}");
    romeo.send(&asks("zlib"));
    assert_eq!(romeo.element(), failure("setup-failed"));
    house.close(4 * MIB);
}

/// `bytes` of one character, packed as well as can be.
fn bomb(prefix: &str, bytes: usize) -> Vec<u8> {
    let mut deflate = Compress::new(Compression::best(), true);
    let mut packed = Vec::new();
    let chunk = vec![b' '; MIB];
    let pieces = std::iter::once(prefix.as_bytes());
    for piece in pieces.chain(std::iter::repeat_n(&chunk[..], bytes / MIB)) {
        packed.reserve(piece.len() / 100 + 1_024);
        deflate
            .compress_vec(piece, &mut packed, FlushCompress::Sync)
            .unwrap();
    }
    packed
}

fn ends_with_processing_failed(client: &mut Client) {
    loop {
        match client.next() {
            Some(Item::Element(text)) if text.starts_with("<stream:error") => {
                assert!(text.contains("<undefined-condition "), "{text}");
                let failure = format!("<failure xmlns='{NS}'><processing-failed/></failure>");
                assert!(text.contains(&failure), "{text}");
                break;
            }
            Some(Item::Header(_) | Item::Element(_)) => {}
            other => panic!("no stream error but {other:?}"),
        }
    }
    assert_eq!(client.next(), Some(Item::End));
    assert_eq!(client.next(), None);
}

#[test]
fn bombs_are_cut_off_and_cost_nobody_anything() {
    // White space between stanzas, which the core would drop, and text within one.
    let prefixes = ["", "<message to='nurse@localhost'><body>"];
    let bombs =
        prefixes.map(|prefix| bomb(&format!("{}{prefix}", crate::client::HEADER), 16 * MIB));
    let house = House::open("zlib-bombs", OPTIONS, &["romeo"]);
    for number in 0..8 {
        let bomb = &bombs[number % 2];
        assert!(bomb.len() < 64 * 1024, "{} bytes", bomb.len());
        let mut romeo = session_without_codec(&house.server);
        romeo.send_as_is(bomb);
        ends_with_any_error(&mut romeo);
    }
    let log = house.close(8 * MIB);
    assert!(log.contains("compression_failed"), "{log}");
}

/// Asked for, and granted; what the client sends from here on is its own affair.
fn session_without_codec(server: &Server) -> Client {
    let mut client = Client::opened(server);
    client.log_in("romeo", PASSWORD);
    client.send(&asks("zlib"));
    assert!(client.element().starts_with("<compressed"));
    client.reads_compressed();
    client
}

/// A bomb is cut off by its ratio, or sooner by the size of an element.
fn ends_with_any_error(client: &mut Client) {
    loop {
        match client.next() {
            Some(Item::Element(text)) if text.starts_with("<stream:error") => {
                let is_known =
                    text.contains("<processing-failed/>") || text.contains("<policy-violation ");
                assert!(is_known, "{text}");
                return;
            }
            Some(Item::Header(_) | Item::Element(_)) => {}
            other => panic!("no stream error but {other:?}"),
        }
    }
}

#[test]
fn what_is_no_zlib_ends_the_stream_by_its_name_and_what_is_cut_ends_like_any_connection() {
    let house = House::open("zlib-garbage", OPTIONS, &["romeo"]);
    for garbage in [
        &b"<stream:stream to='localhost' xmlns='jabber:client'>"[..],
        b"\x78\x9c\xff\xff\xff\xff\xff",
        b"\x78\xbb\0\0\0\0\0\0",
    ] {
        let mut romeo = session_without_codec(&house.server);
        romeo.send_as_is(garbage);
        ends_with_processing_failed(&mut romeo);
    }
    // In the middle of a session, which is there for whoever comes back.
    let mut romeo = session(&house.server, "romeo");
    romeo.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    let enabled = romeo.element();
    let id = enabled
        .split(" id='")
        .nth(1)
        .and_then(|rest| rest.split('\'').next());
    let id = id.expect("an id").to_owned();
    romeo.send_as_is(&[0xff; 64]);
    ends_with_processing_failed(&mut romeo);
    let mut romeo = compressed(&house.server, "romeo");
    romeo.send(&format!(
        "<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>"
    ));
    assert!(romeo.element().starts_with("<resumed "));
    // Half of a block, then nothing more.
    let mut packed = Vec::with_capacity(4_096);
    Compress::new(Compression::best(), true)
        .compress_vec(
            crate::client::HEADER.as_bytes(),
            &mut packed,
            FlushCompress::Sync,
        )
        .unwrap();
    for cut in [1, packed.len() / 2, packed.len() - 5] {
        let mut client = session_without_codec(&house.server);
        client.send_as_is(&packed[..cut]);
        client.close();
    }
    house.close(4 * MIB);
}
