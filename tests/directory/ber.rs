//! As much of BER as LDAP needs (RFC 4511 section 5.1: lengths are definite), written down so that a server can also
//! get it wrong. It refuses to know what a message means.

use std::io::{self, Read};

/// An element: its tag, of which LDAP never needs more than one byte, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    pub tag: u8,
    pub content: Vec<u8>,
}

pub const INTEGER: u8 = 0x02;
pub const OCTETS: u8 = 0x04;
pub const ENUMERATED: u8 = 0x0a;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;

/// More is not asked of a directory in a test.
const MESSAGE_MAX: usize = 1024 * 1024;

/// Reads one element from a connection; `None` at its end.
pub fn read(from: &mut impl Read) -> io::Result<Option<Element>> {
    let mut tag = [0];
    if from.read(&mut tag)? == 0 {
        return Ok(None);
    }
    let mut first = [0];
    from.read_exact(&mut first)?;
    let mut length = usize::from(first[0]);
    if length >= 0x80 {
        let mut bytes = vec![0; length - 0x80];
        from.read_exact(&mut bytes)?;
        length = bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    }
    assert!(
        length <= MESSAGE_MAX,
        "a client says {length} bytes at once"
    );
    let mut content = vec![0; length];
    from.read_exact(&mut content)?;
    Ok(Some(Element {
        tag: tag[0],
        content,
    }))
}

/// All elements that these bytes are.
pub fn parts(mut bytes: &[u8]) -> Vec<Element> {
    let mut found = Vec::new();
    while let Some(element) = read(&mut bytes).expect("elements are whole") {
        found.push(element);
    }
    found
}

/// An element of this.
pub fn write(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => bytes.push(short),
        _ => {
            bytes.push(0x84);
            bytes.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        }
    }
    bytes.extend(content);
    bytes
}

/// One that holds these.
pub fn of(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    write(tag, &parts.concat())
}

pub fn text(text: &str) -> Vec<u8> {
    write(OCTETS, text.as_bytes())
}

/// A number that is not negative.
pub fn number(tag: u8, number: u32) -> Vec<u8> {
    // A leading zero, or the highest bit would be a sign.
    let bytes = u64::from(number).to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let from = match bytes.get(zeros) {
        Some(byte) if *byte < 0x80 => zeros,
        _ => zeros - 1,
    };
    write(tag, &bytes[from..])
}

/// The value of one.
pub fn as_number(content: &[u8]) -> u32 {
    content
        .iter()
        .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

#[test]
fn what_is_written_is_read() {
    for value in [0, 1, 127, 128, 255, 256, 65_535, u32::MAX] {
        let element = &parts(&number(INTEGER, value))[0];
        assert_eq!((element.tag, as_number(&element.content)), (INTEGER, value));
        assert!(element.content[0] < 0x80, "it is no negative number");
    }
    for length in [0, 127, 128, 70_000] {
        let content = vec![7; length];
        let bytes = [write(OCTETS, &content), text("end")].concat();
        let read = parts(&bytes);
        assert_eq!((read.len(), &read[0].content), (2, &content));
    }
}
