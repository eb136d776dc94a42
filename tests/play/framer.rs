//! Cuts what a server sends into headers, stanzas and ends of streams.
//! It refuses to judge: a server that sends bad XML is found out where the stanza is parsed.

use super::SelfTest;

/// One thing a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The opening tag of a stream, as it came.
    Header(String),
    /// One whole element below it.
    Element(String),
    /// `</stream:stream>`.
    End,
}

/// Holds what has come and is not whole yet.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    is_open: bool,
}

impl Framer {
    /// Takes bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// What is left of bytes that made no item.
    pub fn rest(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    /// The next header begins a new stream: after STARTTLS and SASL.
    pub fn restart(&mut self) {
        self.is_open = false;
    }

    /// The next whole item.
    pub fn pop(&mut self) -> Option<Item> {
        loop {
            let blank = self
                .buffer
                .iter()
                .take_while(|b| b.is_ascii_whitespace())
                .count();
            self.buffer.drain(..blank);
            if !self.buffer.starts_with(b"<?") {
                break;
            }
            let end = find(&self.buffer, b"?>")?;
            self.buffer.drain(..end);
        }
        if self.buffer.starts_with(b"</") {
            let end = tag_end(&self.buffer)?;
            self.buffer.drain(..end);
            self.is_open = false;
            return Some(Item::End);
        }
        if !self.is_open {
            let header = self.take(tag_end(&self.buffer)?);
            self.is_open = true;
            return Some(Item::Header(header));
        }
        let end = element_end(&self.buffer)?;
        Some(Item::Element(self.take(end)))
    }

    fn take(&mut self, end: usize) -> String {
        let bytes: Vec<u8> = self.buffer.drain(..end).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes
        .windows(what.len())
        .position(|w| w == what)
        .map(|at| at + what.len())
}

/// The end of the tag that begins at the start, quotes respected.
fn tag_end(bytes: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (i, byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(i + 1),
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(q), b) if q == *b => quote = None,
            _ => {}
        }
    }
    None
}

fn element_end(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        at += bytes[at..].iter().position(|b| *b == b'<')?;
        if bytes[at..].starts_with(b"<![CDATA[") {
            at += find(&bytes[at..], b"]]>")?;
            continue;
        }
        let end = at + tag_end(&bytes[at..])?;
        let tag = &bytes[at..end];
        if tag.starts_with(b"</") {
            depth = depth.saturating_sub(1);
        } else if !tag.ends_with(b"/>") {
            depth += 1;
        }
        at = end;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Self-tests.
pub const TESTS: &[SelfTest] = &[("framer::any_split_gives_the_same_items", || {
    let text = "<?xml version='1.0'?><s:s a='>'><f/> <m><![CDATA[</m>]]><m k=\"/>\"/></m></s:s>";
    let expected = [
        Item::Header("<s:s a='>'>".into()),
        Item::Element("<f/>".into()),
        Item::Element("<m><![CDATA[</m>]]><m k=\"/>\"/></m>".into()),
        Item::End,
    ];
    for size in 1..text.len() {
        let mut framer = Framer::default();
        let mut items = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            framer.push(piece);
            items.extend(std::iter::from_fn(|| framer.pop()));
        }
        assert_eq!(items, expected, "in pieces of {size}");
    }
})];
