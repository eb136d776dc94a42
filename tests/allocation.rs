//! peers.md section 7.1, row 4: what a client sends inside the limits must not make the server allocate many times
//! as much. Bytes are counted where they are allocated, from the framer to the stanza.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use stonechat::base::{TraceId, limits};
use stonechat::stanza::read_stanza;
use stonechat::xml::{Frame, FrameLimits, Framer, Scratch, normalise, parse_header};

/// The system's allocator, which counts what the current thread asks for.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to `System` unchanged; the counter is a plain cell without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + layout.size());
        // SAFETY: the caller's promise about `layout` is the one that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` came from `System`, with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const HEADER: &str = "<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>";

/// Allocated bytes per byte read for `text`, which comes in pieces of `piece` bytes. It may be refused.
fn amplification(text: &str, piece: usize) -> f64 {
    let limits = FrameLimits::authenticated(limits::ELEMENT_BYTES_MAX);
    let scope = parse_header(HEADER).unwrap().scope;
    let mut framer = Framer::new();
    let (count, _) = framer.next(HEADER.as_bytes(), &limits).unwrap();
    assert_eq!(count, HEADER.len());
    // The worker's scratch is there already, and grown by what came before.
    let mut scratch = Scratch::default();
    let _ = normalise(text, &scope, &limits, &mut scratch);
    let before = ALLOCATED.get();
    for chunk in text.as_bytes().chunks(piece) {
        let mut rest = chunk;
        loop {
            match framer.next(rest, &limits) {
                Ok((taken, frame)) => {
                    rest = &rest[taken..];
                    let Some(frame) = frame else { break };
                    if let Frame::Element(element) = frame
                        && normalise(element, &scope, &limits, &mut scratch).is_ok()
                    {
                        // Refused stanzas cost what accepted ones do.
                        let _ = read_stanza(&scratch.normal(), None, TraceId::default());
                    }
                }
                Err(_) => return (ALLOCATED.get() - before) as f64 / text.len() as f64,
            }
        }
    }
    (ALLOCATED.get() - before) as f64 / text.len() as f64
}

/// A message of about 200 KiB made of this.
fn message(part: impl Fn(usize) -> String) -> String {
    let mut text = "<message to='juliet@localhost'>".to_owned();
    for number in 0.. {
        let next = part(number);
        if text.len() + next.len() > 200 * 1024 || number == limits::ELEMENT_COUNT_MAX - 2 {
            break;
        }
        text.push_str(&next);
    }
    text + "</message>"
}

/// peers.md row 4: "bytes-allocated / bytes-in <= 8 for the whole fuzz corpus".
#[test]
fn the_whole_fuzz_corpus_makes_the_server_allocate_no_more_than_it_may() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let (mut read, mut allocated, mut count) = (0.0, 0.0, 0);
    for target in std::fs::read_dir(corpus).unwrap() {
        for seed in std::fs::read_dir(target.unwrap().path()).unwrap() {
            let bytes = std::fs::read(seed.unwrap().path()).unwrap();
            // What is no text is refused by the framer before anything is made of it, in `hostile`.
            let text = String::from_utf8_lossy(&bytes);
            if text.is_empty() {
                continue;
            }
            let times = amplification(&text, 16 * 1024);
            read += text.len() as f64;
            allocated += times * text.len() as f64;
            count += 1;
        }
    }
    println!("{count} seeds of {read} bytes: {:.1}", allocated / read);
    assert!(count > 20, "the corpus is somewhere else");
    assert!(
        allocated / read <= AMPLIFICATION_MAX,
        "{:.1}",
        allocated / read
    );
}

#[test]
fn no_stanza_makes_the_server_allocate_many_times_what_it_reads() {
    let attributes: String = (0..limits::ATTRIBUTE_COUNT_MAX)
        .map(|number| format!(" a{number}=''"))
        .collect();
    let prefixes: String = (0..limits::NAMESPACE_COUNT_MAX - 1)
        .map(|number| format!(" xmlns:n{number}='urn:a:long:namespace:{number}'"))
        .collect();
    let deep =
        "<a>".repeat(limits::ELEMENT_DEPTH_MAX - 2) + &"</a>".repeat(limits::ELEMENT_DEPTH_MAX - 2);
    let hostile: Vec<(&str, String)> = vec![
        ("text", message(|_| "<body>text</body>".to_owned())),
        ("empty elements", message(|_| "<a/>".to_owned())),
        (
            "empty elements of elsewhere",
            message(|_| "<a xmlns='u'/>".to_owned()),
        ),
        ("references", message(|_| "&#x1F4A9;&lt;".to_owned())),
        (
            "characters to escape",
            message(|_| "<a b='\"\"\"\"'>>>>></a>".to_owned()),
        ),
        ("CDATA", message(|_| "<![CDATA[<<<<<<<<]]>".to_owned())),
        (
            "nothing but '>'",
            format!("<message>{}</message>", ">".repeat(65_000)),
        ),
        ("nothing but quotes", {
            let quotes = "'".repeat(40_000);
            format!("<message><a b=\"{quotes}\"/></message>")
        }),
        ("attributes", message(|_| format!("<a{attributes}/>"))),
        ("declarations", message(|_| format!("<a{prefixes}/>"))),
        ("depth", message(|_| deep.clone())),
        ("a short prefix of a long namespace", {
            let long = "u".repeat(1_000);
            let children = "<p:a/>".repeat(11);
            format!("<message xmlns:p='{long}'>{children}</message>").repeat(100)
        }),
        ("many small stanzas", "<presence/>".repeat(10_000)),
    ];
    for (what, text) in &hostile {
        for piece in [16 * 1024, 1_000] {
            let times = amplification(text, piece);
            println!("{what}, {piece} bytes at a time: {times:.1}");
            let most = match *what {
                "nothing but '>'" | "nothing but quotes" | "a short prefix of a long namespace" => {
                    EXPANSION_MAX
                }
                _ => AMPLIFICATION_MAX,
            };
            assert!(times <= most, "{what}, {piece} bytes at a time: {times:.1}");
        }
    }
}

/// The framer's buffer doubles, which is up to three bytes for one; the scratch takes as many as came, if they are more
/// than it keeps; the stanza has its own, and twelve more for each direct child of at least four.
const AMPLIFICATION_MAX: f64 = 8.0;
/// Where a character of one byte is written with four to six, or a prefix stands for a namespace, the normal form is as
/// many times as long; the scratch that cannot know it beforehand doubles on the way there, and the stanza keeps it once.
/// That share remains: clients are owed the same text that was sent, and what is written is counted as what waits.
const EXPANSION_MAX: f64 = 26.0;
