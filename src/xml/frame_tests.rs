use proptest::prelude::*;

use super::*;

const WIDE: FrameLimits = FrameLimits {
    element_bytes: 100_000,
    element_count: 1000,
    depth: 64,
    attributes: 64,
    namespaces: 32,
    header_bytes: 4096,
};

/// What a stream comes to, with owned text; keepalives are left out, for they depend on how bytes arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Header(String),
    Element(String),
    End(String),
    Failed(XmlError),
}

fn feed(framer: &mut Framer, bytes: &[u8], limits: &FrameLimits, pieces: &mut Vec<Piece>) -> bool {
    let mut rest = bytes;
    loop {
        match framer.next(rest, limits) {
            Ok((taken, frame)) => {
                match frame {
                    Some(Frame::Header(text)) => pieces.push(Piece::Header(text.to_owned())),
                    Some(Frame::Element(text)) => pieces.push(Piece::Element(text.to_owned())),
                    Some(Frame::End(name)) => pieces.push(Piece::End(name.to_owned())),
                    Some(Frame::Keepalive) => {}
                    None => {
                        assert_eq!(taken, rest.len(), "all is taken when nothing is complete");
                        return true;
                    }
                }
                rest = &rest[taken..];
            }
            Err(error) => {
                pieces.push(Piece::Failed(error));
                return false;
            }
        }
    }
}

fn pieces_of<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, limits: &FrameLimits) -> Vec<Piece> {
    let mut framer = Framer::new();
    let mut pieces = Vec::new();
    for chunk in chunks {
        if !feed(&mut framer, chunk, limits, &mut pieces) {
            break;
        }
    }
    pieces
}

fn whole(text: &str) -> Vec<Piece> {
    pieces_of([text.as_bytes()], &WIDE)
}

fn header(text: &str) -> Piece {
    Piece::Header(text.to_owned())
}

fn element(text: &str) -> Piece {
    Piece::Element(text.to_owned())
}

const OPEN: &str = "<stream:stream xmlns:stream='>'>";

fn behind_header(text: &str) -> Vec<Piece> {
    let mut pieces = whole(&format!("{OPEN}{text}"));
    assert_eq!(pieces.remove(0), header(OPEN));
    pieces
}

#[test]
fn a_stream_falls_into_its_pieces() {
    assert_eq!(
        whole(
            "<?xml version='1.0' encoding='UTF-8'?>\n <stream:stream a='>' b=\"/>\">\
             <a/> \n<b c='/>'><b><d/></b >\u{fc}<![CDATA[</b>]]]>]]></b></stream:stream> \n"
        ),
        [
            header("<stream:stream a='>' b=\"/>\">"),
            element("<a/>"),
            element("<b c='/>'><b><d/></b >\u{fc}<![CDATA[</b>]]]>]]></b>"),
            Piece::End("stream:stream".to_owned()),
        ]
    );
}

#[test]
fn whitespace_between_elements_is_a_keepalive_and_not_kept() {
    let mut framer = Framer::new();
    framer.next(OPEN.as_bytes(), &WIDE).unwrap();
    let spaces = [b' '; 200_000];
    assert_eq!(
        framer.next(&spaces, &WIDE),
        Ok((200_000, Some(Frame::Keepalive)))
    );
    assert_eq!(framer.next(b"", &WIDE), Ok((0, None)));
    assert_eq!(framer.buffered(), 0);
    assert_eq!(
        framer.next(b" \n<a/>", &WIDE),
        Ok((6, Some(Frame::Element("<a/>"))))
    );
}

#[test]
fn a_frame_inside_one_chunk_is_borrowed_and_a_split_one_is_freed() {
    let mut framer = Framer::new();
    let open = OPEN.as_bytes();
    framer.next(open, &WIDE).unwrap();
    assert_eq!(framer.tail.capacity(), 0);
    assert_eq!(framer.next(b"<a", &WIDE), Ok((2, None)));
    assert_eq!(framer.buffered(), 2);
    assert_eq!(
        framer.next(b"/><b/>", &WIDE),
        Ok((2, Some(Frame::Element("<a/>"))))
    );
    assert_eq!(framer.buffered(), 0);
    assert_eq!(
        framer.next(b"<b/>", &WIDE),
        Ok((4, Some(Frame::Element("<b/>"))))
    );
    assert_eq!(framer.tail.capacity(), 0);
}

#[test]
fn a_reset_forgets_what_was_buffered() {
    let mut framer = Framer::new();
    framer.next(OPEN.as_bytes(), &WIDE).unwrap();
    framer.next(b"<a><b", &WIDE).unwrap();
    framer.reset();
    assert_eq!(framer.buffered(), 0);
    assert_eq!(
        framer.next(b"<stream:stream>", &WIDE),
        Ok((15, Some(Frame::Header("<stream:stream>"))))
    );
}

#[test]
fn what_cannot_be_a_stream_fails_with_its_first_bytes() {
    for (text, error) in [
        (&b"x"[..], XmlError::NotWellFormed),
        (b" \r\n\tGET / HTTP/1.1", XmlError::NotWellFormed),
        (b"\xef\xbb\xbf<", XmlError::NotWellFormed),
        (b"\xff\xfe<\0", XmlError::UnsupportedEncoding),
        (b"<\0", XmlError::NotWellFormed),
        (b"<!", XmlError::Restricted),
        (b"<?xmk", XmlError::Restricted),
        (b"<?xmlx", XmlError::Restricted),
        (b"<?xml version='1.0'?><?", XmlError::Restricted),
        (b"<?xml version='1.0'?>x", XmlError::NotWellFormed),
        (
            b"<?xml version='1.0' encoding='ISO-8859-1'?>",
            XmlError::UnsupportedEncoding,
        ),
        (
            b"<?xml version='1.0' encoding='UTF-16'?>",
            XmlError::UnsupportedEncoding,
        ),
        (b"<?xml>", XmlError::Restricted),
        (b"<?xml >", XmlError::NotWellFormed),
        (b"<?xml encoding='UTF-8'?>", XmlError::NotWellFormed),
        (b"</", XmlError::NotWellFormed),
        (b"< ", XmlError::NotWellFormed),
        (b"<<", XmlError::NotWellFormed),
        (b"<stream:stream/>", XmlError::NotWellFormed),
        (b"<stream:stream a='\xc0\x80'>", XmlError::NotUtf8),
    ] {
        for chunks in [vec![text], text.chunks(1).collect()] {
            assert_eq!(
                pieces_of(chunks, &WIDE),
                [Piece::Failed(error)],
                "{}",
                text.escape_ascii()
            );
        }
    }
    assert_eq!(
        whole("<?xml version='1.0' standalone='no'?>"),
        [Piece::Failed(XmlError::NotWellFormed); 0]
    );
}

/// peers.md section 7.1, rows 1, 6 and 7: each construct, wherever it stands.
#[test]
fn what_streams_forbid_fails_between_and_inside_elements() {
    for (text, error) in [
        (
            "<!DOCTYPE lolz [<!ENTITY lol 'lol'>]><lolz>&lol;</lolz>",
            XmlError::Restricted,
        ),
        ("<!-- comment -->", XmlError::Restricted),
        ("<?php echo ?>", XmlError::Restricted),
        ("<?xml version='1.0'?>", XmlError::Restricted),
        ("<a><!DOCTYPE a>", XmlError::Restricted),
        ("<a><!ENTITY x 'y'>", XmlError::Restricted),
        ("<a><!-- -->", XmlError::Restricted),
        ("<a>x<?y?>", XmlError::Restricted),
        ("<a><![CDATA<", XmlError::Restricted),
        ("<![CDATA[x]]>", XmlError::Restricted),
        ("x", XmlError::BadFormat),
        ("\0", XmlError::BadFormat),
        ("</>", XmlError::NotWellFormed),
        ("<a>< b/>", XmlError::NotWellFormed),
    ] {
        let bytes = format!("{OPEN}{text}").into_bytes();
        for size in [1, 2, 3, bytes.len()] {
            assert_eq!(
                pieces_of(bytes.chunks(size), &WIDE)[1..],
                [Piece::Failed(error)],
                "{text} by {size}"
            );
        }
    }
    assert_eq!(
        pieces_of([OPEN.as_bytes(), b"<a>\xed\xa0\x80</a>"], &WIDE)[1..],
        [Piece::Failed(XmlError::NotUtf8)]
    );
}

#[test]
fn an_unfinished_element_tells_its_name_once_that_is_whole() {
    let mut framer = Framer::new();
    let mut feed = |text: &str| {
        let mut rest = text.as_bytes();
        while let (taken, Some(_)) = framer.next(rest, &WIDE).unwrap() {
            rest = &rest[taken..];
        }
        framer.unfinished_name().map(str::to_owned)
    };
    assert_eq!(feed("<s:s to='a'"), None, "a header is no element");
    assert_eq!(feed("><a:b"), None);
    assert_eq!(feed(" c='"), Some("a:b".to_owned()));
    assert_eq!(feed("d'><e>"), Some("a:b".to_owned()));
    assert_eq!(feed("</e></a:b>"), None);
}

#[test]
fn nothing_follows_the_end_of_a_stream() {
    assert_eq!(
        behind_header("</stream:stream ><a/>"),
        [
            Piece::End("stream:stream".to_owned()),
            Piece::Failed(XmlError::NotWellFormed)
        ]
    );
    assert_eq!(behind_header("</s>\n"), [Piece::End("s".to_owned())]);
}

#[test]
fn what_never_ends_is_refused_while_it_arrives() {
    let limits = FrameLimits {
        element_bytes: 1000,
        element_count: 10,
        depth: 5,
        attributes: 4,
        namespaces: 2,
        header_bytes: 100,
    };
    for (start, more, error) in [
        ("<a>", "x", XmlError::TooLarge),
        ("<a ", " ", XmlError::TooLarge),
        ("<a b='", "x", XmlError::TooLarge),
        ("<a", "a", XmlError::TooLarge),
        ("<a><![CDATA[", "]", XmlError::TooLarge),
        ("<a></a", " ", XmlError::TooLarge),
        ("</stream:stream", " ", XmlError::TooLarge),
        ("<a>", "<a>", XmlError::TooDeep),
        ("<a>", "<a/>", XmlError::TooManyElements),
        ("<a", " b=''", XmlError::TooManyAttributes),
    ] {
        let mut framer = Framer::new();
        let mut pieces = Vec::new();
        feed(&mut framer, OPEN.as_bytes(), &limits, &mut pieces);
        feed(&mut framer, start.as_bytes(), &limits, &mut pieces);
        let mut fed = 0;
        while feed(&mut framer, more.as_bytes(), &limits, &mut pieces) {
            fed += more.len();
            assert!(fed < 1100, "{start}{more} goes on for ever");
            assert!(framer.tail.capacity() <= 1000);
        }
        assert_eq!(pieces[1..], [Piece::Failed(error)], "{start}{more}");
    }
    for (start, more) in [("<?xml ", " "), ("<stream:stream ", " "), ("<s a='", "x")] {
        let text = format!("{start}{}", more.repeat(200));
        assert_eq!(
            pieces_of(text.as_bytes().chunks(7), &limits),
            [Piece::Failed(XmlError::TooLarge)]
        );
    }
}

/// Found by fuzzing: behind the limit another error was seen, if all arrived at once.
#[test]
fn the_limit_comes_before_any_error_behind_it() {
    let limits = FrameLimits {
        element_bytes: 10,
        header_bytes: 40,
        ..WIDE
    };
    for text in [
        format!("{OPEN}<a>xxxxxxx<!"),
        format!("<s{}/>", "s".repeat(40)),
    ] {
        for size in [1, 3, 1000] {
            assert_eq!(
                pieces_of(text.as_bytes().chunks(size), &limits).last(),
                Some(&Piece::Failed(XmlError::TooLarge)),
                "{text}"
            );
        }
    }
}

#[test]
fn limits_that_shrink_within_an_element_hold_at_once() {
    let mut framer = Framer::new();
    framer.next(OPEN.as_bytes(), &WIDE).unwrap();
    framer.next(b"<a>xxxxxxxxxxxx", &WIDE).unwrap();
    let limits = FrameLimits {
        element_bytes: 10,
        ..WIDE
    };
    assert_eq!(framer.next(b"</a>", &limits), Err(XmlError::TooLarge));
}

#[test]
fn an_element_of_just_the_limit_passes() {
    let limits = FrameLimits {
        element_bytes: 10,
        ..WIDE
    };
    let text = format!("{OPEN}<a>xxx</a><a>xxxx</a>");
    for size in [1, 4, 1000] {
        assert_eq!(
            pieces_of(text.as_bytes().chunks(size), &limits)[1..],
            [element("<a>xxx</a>"), Piece::Failed(XmlError::TooLarge)]
        );
    }
}

/// Mostly a stream, so that splits hit the middle of everything.
fn nearly_a_stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        &b"<a>"[..],
        b"</a>",
        b"<b/>",
        b"<b c='>'",
        b" d=\"'\"",
        b"/>",
        b">",
        b"<![CDATA[",
        b"]]>",
        b"]",
        b" ",
        b"\xc3\xbc",
        b"x",
        b"</stream:stream>",
        b"<a b='1'/>",
        b"<a><b></b></a>",
        b"\n",
        b"<!--",
        b"<?",
        b"\xff",
        b"'",
        b"/",
        b"<a><![CDATA[]]]]></a>",
    ]);
    (
        prop::bool::weighted(0.9),
        prop::collection::vec(piece, 0..12),
    )
        .prop_map(|(declared, pieces)| {
            let mut bytes = Vec::new();
            if declared {
                bytes.extend_from_slice(b"<?xml version='1.0'?> <stream:stream to='a'>");
            }
            bytes.extend_from_slice(&pieces.concat());
            bytes
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_split_of_any_bytes_gives_the_same_frames(
        bytes in nearly_a_stream(),
        cuts in prop::collection::vec(0..200usize, 0..8),
    ) {
        let expected = pieces_of([&bytes[..]], &WIDE);
        prop_assert_eq!(&pieces_of(bytes.chunks(1), &WIDE), &expected);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]);
        prop_assert_eq!(pieces_of(chunks, &WIDE), expected);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let expected = pieces_of([&bytes[..]], &WIDE);
        prop_assert_eq!(pieces_of(bytes.chunks(1), &WIDE), expected);
    }
}

#[test]
fn a_frame_that_came_in_pieces_is_zeroed_when_it_is_to_be() {
    let limits = FrameLimits::PRE_AUTH;
    let mut framer = Framer::new();
    let header = framer.next(b"<stream:stream>", &limits).expect("a header");
    assert!(header.1.is_some());
    for piece in [&b"<auth>dag"[..], b"ger</auth>"] {
        let (taken, _) = framer.next(piece, &limits).expect("well-formed");
        assert_eq!(taken, piece.len());
    }
    framer.wipe();
    assert_eq!(framer.tail, [0; 19]);
    assert_eq!(framer.next(b"", &limits), Ok((0, None)));
    assert_eq!(framer.tail.capacity(), 0);
}
