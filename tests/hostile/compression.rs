//! XEP-0138 over real sockets: what it does for those who have it, and what it lets nobody do.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

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

/// Whether a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codec {
    None,
    Zlib,
}

impl Codec {
    /// Logged in; no resource is bound.
    fn log_in(self, server: &Server, name: &str) -> Client {
        match self {
            Codec::Zlib => compressed(server, name),
            Codec::None => {
                let mut client = Client::opened(server);
                client.log_in(name, PASSWORD);
                client
            }
        }
    }
}

/// What the server waits to hear before it says so many messages, from this number on, in their order.
fn expect_messages(client: &mut Client, from: usize, to: usize) {
    let mut number = from;
    while number < to {
        let heard = client.element();
        if heard.starts_with("<message") {
            let id = format!(" id='{number}'");
            assert!(heard.contains(&id), "{number}: {heard}");
            number += 1;
        }
    }
}

/// XEP-0198 section 5 resumes a session, not a stream: what the streams before and after were compressed with is their own
/// business, and what was compressed for the one is nothing to the other.
#[test]
fn a_session_is_resumed_with_and_without_a_codec_and_a_slow_reader_loses_nothing() {
    let ways = [
        (Codec::Zlib, Codec::Zlib),
        (Codec::None, Codec::Zlib),
        (Codec::Zlib, Codec::None),
    ];
    for (before, behind) in ways {
        let test = format!("zlib-resume-{before:?}-{behind:?}");
        let house = House::open(&test, OPTIONS, &["romeo", "juliet"]);
        let mut juliet = before.log_in(&house.server, "juliet");
        assert!(juliet.bind("zlib").contains("type='result'"));
        juliet.send("<presence/>");
        assert!(juliet.element().starts_with("<presence"));
        juliet.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
        let enabled = juliet.element();
        let id = enabled
            .split(" id='")
            .nth(1)
            .and_then(|rest| rest.split('\'').next());
        let id = id.expect("an id").to_owned();
        let mut romeo = Client::session(&house.server, "romeo", "orchard");
        // She reads some, and nothing of the rest.
        let send = |romeo: &mut Client, from: usize, to: usize| {
            for number in from..to {
                let words = "x".repeat(2_000 + number);
                romeo.send(&format!(
                    "<message id='{number}' to='juliet@localhost/zlib'><body>{words}</body></message>"
                ));
            }
            romeo.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
            assert!(romeo.element().contains(" id='p'"));
        };
        send(&mut romeo, 0, 5);
        expect_messages(&mut juliet, 0, 5);
        send(&mut romeo, 5, 60);
        juliet.close();
        let mut juliet = behind.log_in(&house.server, "juliet");
        juliet.send(&format!(
            "<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='5'/>"
        ));
        let resumed = juliet.element();
        assert!(resumed.starts_with("<resumed "), "{resumed}");
        expect_messages(&mut juliet, 5, 60);
        // Both directions go on.
        send(&mut romeo, 60, 70);
        expect_messages(&mut juliet, 60, 70);
        juliet.send("<iq type='get' id='q' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
        while !juliet.element().contains(" id='q'") {}
        // And back to how it was, with everything acknowledged: nothing comes twice.
        juliet.close();
        let mut juliet = before.log_in(&house.server, "juliet");
        juliet.send(&format!(
            "<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='71'/>"
        ));
        let resumed = juliet.element();
        assert!(resumed.starts_with("<resumed "), "{resumed}");
        send(&mut romeo, 70, 71);
        expect_messages(&mut juliet, 70, 71);
        house.close(8 * MIB);
    }
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

/// Empty blocks of RFC 1951: a stored one; and one with Huffman tables, which are built each time for nothing, behind which
/// a stored one fills the last byte.
const EMPTY_BLOCKS: [&[u8]; 2] = [
    b"\0\0\0\xff\xff",
    b"\x04\xc0\x81\0\0\0\0\0\x10\xff\xd5\x04\0\0\xff\xff",
];

#[test]
fn what_becomes_nothing_is_read_no_faster_than_what_becomes_something() {
    const BYTES: usize = 4 * MIB;
    const STEP_MS: u64 = 500;
    let options = format!(
        "{OPTIONS}c2s.rate_bytes_per_s = \"256 KiB\"\nc2s.rate_bytes_burst = \"512 KiB\"\n"
    );
    let house = House::open("zlib-nothing", &options, &["romeo"]);
    for block in EMPTY_BLOCKS {
        let mut romeo = session(&house.server, "romeo");
        // The server's clock goes by itself as well.
        let begun = Instant::now();
        let passed_ms = AtomicU64::new(0);
        let is_answered = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_answered.load(Ordering::SeqCst) {
                    house.advance(STEP_MS);
                    passed_ms.fetch_add(STEP_MS, Ordering::SeqCst);
                }
            });
            romeo.send_as_is(&block.repeat(BYTES / block.len()));
            romeo.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
            let answer = romeo.next();
            is_answered.store(true, Ordering::SeqCst);
            assert!(
                matches!(&answer, Some(Item::Element(text)) if text.contains(" id='p'")),
                "{answer:?}"
            );
        });
        // All but what the burst allows had to wait: 14 seconds.
        let passed_ms = passed_ms.load(Ordering::SeqCst) + STEP_MS;
        let passed_ms = passed_ms + begun.elapsed().as_millis() as u64;
        assert!(passed_ms >= 13_500, "{passed_ms} ms");
        romeo.close();
    }
    house.close(8 * MIB);
}

/// Forty answers to what was asked in one breath, each of the server in its own name: what came out of TLS for them.
fn forty_answers(juliet: &mut Client) -> (usize, Vec<u8>) {
    let asks: String = (0..40)
        .map(|number| {
            format!(
                "<iq type='get' id='{number}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"
            )
        })
        .collect();
    juliet.compressed.clear();
    let records = juliet.records.count;
    juliet.send(&asks);
    for number in 0..40 {
        let answer = juliet.element();
        assert!(answer.contains(&format!(" id='{number}'")), "{answer}");
    }
    let compressed = std::mem::take(&mut juliet.compressed);
    (juliet.records.count - records, compressed)
}

#[test]
fn what_is_said_in_one_breath_shares_a_record_and_senders_share_nothing_in_it() {
    let mut lengths = Vec::new();
    for dictionary in ["sender", "stream"] {
        let options = format!("{OPTIONS}c2s.compression_dictionary = \"{dictionary}\"\n");
        let house = House::open(&format!("zlib-breath-{dictionary}"), &options, &["juliet"]);
        let mut juliet = session(&house.server, "juliet");
        // XEP-0138 section 6: the flush may come "after sending a group of stanzas that have been queued up for delivery".
        let (records, compressed) = forty_answers(&mut juliet);
        assert!(records <= 2, "{dictionary}: {records} records");
        lengths.push(compressed.len());
        if dictionary == "sender" {
            for (number, block) in blocks(&compressed).into_iter().enumerate() {
                // Each can be read without what came before: nothing in it refers to another sender's.
                let mut alone = Decompress::new(false);
                let mut text = Vec::with_capacity(1_024);
                alone
                    .decompress_vec(&block, &mut text, FlushDecompress::Sync)
                    .unwrap();
                let text = String::from_utf8(text).unwrap();
                assert!(text.contains(&format!(" id='{number}'")), "{text}");
                assert_eq!(text.matches("<iq ").count(), 1, "{text}");
            }
        }
        juliet.close();
        house.close(4 * MIB);
    }
    assert!(3 * lengths[1] < lengths[0], "{lengths:?}");
}

/// Pieces that end with a flush: each with the four bytes of the empty stored block that zlib ends one with.
fn blocks(compressed: &[u8]) -> Vec<Vec<u8>> {
    let mut blocks = vec![Vec::new()];
    for byte in compressed {
        let last = blocks.last_mut().unwrap();
        last.push(*byte);
        if last.ends_with(&[0, 0, 0xff, 0xff]) {
            blocks.push(Vec::new());
        }
    }
    assert_eq!(blocks.pop(), Some(Vec::new()), "it ends with a flush");
    blocks
}

#[test]
fn codecs_leave_room_for_everybody_who_does_without() {
    let options = format!("{OPTIONS}server.queue_memory = \"4 MiB\"\n");
    let names = ["romeo", "juliet", "tybalt", "mercutio"];
    let house = House::open("zlib-crowd", &options, &names);
    // Far more than have room, of one account, and none of them goes on.
    let crowd: Vec<Client> = (0..60)
        .map(|_| compressed(&house.server, "romeo"))
        .collect();
    for name in &names[1..] {
        Client::session(&house.server, name, "plain").close();
        session(&house.server, name).close();
    }
    drop(crowd);
    house.close(8 * MIB);
}

/// Logged in from there, as the proxy says; the features behind that, and the server's answer to a request.
fn asked_from(server: &Server, address: &str) -> (String, String) {
    use std::io::Write;
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", server.tls_port)).unwrap();
    let family = match address.contains(':') {
        true => "TCP6",
        false => "TCP4",
    };
    let header = format!("PROXY {family} {address} {address} 4000 5222\r\n");
    socket.write_all(header.as_bytes()).unwrap();
    let mut romeo = Client::over(socket);
    romeo.shake_hands();
    romeo.open();
    let features = romeo.log_in("romeo", PASSWORD);
    romeo.send(&asks("zlib"));
    let answer = romeo.element();
    romeo.close();
    (features, answer)
}

#[test]
fn only_those_whose_address_is_on_the_list_have_it() {
    let options = format!(
        "{OPTIONS}listener.compression_networks = [\"10.20.0.0/16\", \"fd00::/8\"]\n\
         listener.proxy_protocol = true\n"
    );
    let mut server = Server::start("zlib-networks", &options, &["romeo"]);
    for address in ["10.20.7.1", "fd00::17", "::ffff:10.20.0.1"] {
        let (features, answer) = asked_from(&server, address);
        assert!(features.contains("<compression "), "{address}: {features}");
        assert!(answer.starts_with("<compressed "), "{address}: {answer}");
    }
    for address in ["10.21.0.1", "192.0.2.1", "fe80::17", "127.0.0.1"] {
        let (features, answer) = asked_from(&server, address);
        assert!(!features.contains("<compression"), "{address}: {features}");
        assert!(answer.contains("<setup-failed/>"), "{address}: {answer}");
    }
    server.stop();
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
        // One that is a single element may be too large before it has swollen too much.
        match number % 2 {
            0 => ends_with_processing_failed(&mut romeo),
            _ => ends_with_any_error(&mut romeo),
        }
    }
    let log = house.close(8 * MIB);
    assert!(log.matches("compression_failed").count() >= 4, "{log}");
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
