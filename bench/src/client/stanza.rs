//! Whole stanzas out of a stream's bytes, and what stands in their first tag: enough to count, answer and acknowledge,
//! whatever the server; and texts as they stand in XML. It refuses to be a parser: no namespaces, no well-formedness.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memmem};

/// One top-level element as it came.
#[derive(Debug, Clone, Copy)]
pub struct Stanza<'a> {
    pub bytes: &'a [u8],
}

impl<'a> Stanza<'a> {
    /// The name with its prefix.
    pub fn name(&self) -> &'a [u8] {
        let tag = self.tag();
        let end = tag
            .iter()
            .position(|b| b.is_ascii_whitespace() || *b == b'/');
        &tag[..end.unwrap_or(tag.len())]
    }

    /// The value of an attribute of the first tag, entities left as they are.
    pub fn attribute(&self, name: &str) -> Option<&'a [u8]> {
        let mut rest = &self.tag()[self.name().len()..];
        loop {
            let equals = memchr(b'=', rest)?;
            let found = rest[..equals].trim_ascii();
            let opening = equals + 1 + memchr2(b'\'', b'"', &rest[equals + 1..])?;
            let value = &rest[opening + 1..];
            let closing = memchr(rest[opening], value)?;
            if found == name.as_bytes() {
                return Some(&value[..closing]);
            }
            rest = &value[closing + 1..];
        }
    }

    /// Whether the bytes occur anywhere in it.
    pub fn contains(&self, text: &str) -> bool {
        memmem::find(self.bytes, text.as_bytes()).is_some()
    }

    /// What its first tag says of its type; empty when it says nothing.
    pub fn kind(&self) -> &'a [u8] {
        self.attribute("type").unwrap_or_default()
    }

    fn tag(&self) -> &'a [u8] {
        let end = tag_end(self.bytes).unwrap_or(self.bytes.len());
        self.bytes.get(1..end).unwrap_or_default()
    }
}

/// A text as it stands in an element, or in an attribute in single quotes (XML 1.0 section 2.4).
pub fn escaped(text: &str) -> Cow<'_, str> {
    match text.contains(['&', '<', '>', '\'']) {
        false => Cow::Borrowed(text),
        true => {
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            Cow::Owned(text.replace('>', "&gt;").replace('\'', "&apos;"))
        }
    }
}

/// The reverse of it, in either quote; numbers of characters are left as they are.
pub fn unescaped(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">");
    let text = text.replace("&apos;", "'").replace("&quot;", "\"");
    text.replace("&amp;", "&")
}

/// What begins a stream's bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// A whole element of so many bytes, after so many that belong to none (white space, the stream's header).
    Element { skip: usize, length: usize },
    /// The end of the stream, somewhere in so many bytes.
    End,
    /// Nothing whole yet; so many bytes may be forgotten.
    Unfinished { skip: usize },
}

/// Finds the first whole element. The stream's own first tag is passed over.
pub fn first_element(bytes: &[u8]) -> Piece {
    let mut skip = 0;
    loop {
        let Some(start) = memchr(b'<', &bytes[skip..]) else {
            return Piece::Unfinished { skip: bytes.len() };
        };
        skip += start;
        let rest = &bytes[skip..];
        if rest.starts_with(b"</") {
            return match memchr(b'>', rest) {
                Some(_) => Piece::End,
                None => Piece::Unfinished { skip },
            };
        }
        if rest.starts_with(b"<?") || rest.starts_with(b"<stream:stream") {
            match tag_end(rest) {
                Some(end) => skip += end + 1,
                None => return Piece::Unfinished { skip },
            }
            continue;
        }
        return match element_length(rest) {
            Some(length) => Piece::Element { skip, length },
            None => Piece::Unfinished { skip },
        };
    }
}

fn element_length(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        at += memchr(b'<', &bytes[at..])?;
        let end = at + tag_end(&bytes[at..])?;
        if bytes[at + 1] == b'/' {
            depth = depth.saturating_sub(1);
        } else if bytes[end - 1] != b'/' {
            depth += 1;
        }
        at = end + 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Where the tag that `bytes` begin with has its `>`. It may stand in an attribute's value, too (XML 1.0 section 2.3).
fn tag_end(bytes: &[u8]) -> Option<usize> {
    let end = memchr(b'>', bytes)?;
    if memchr2(b'\'', b'"', &bytes[..end]).is_none() {
        return Some(end);
    }
    let mut at = 0;
    loop {
        let found = at + memchr::memchr3(b'>', b'\'', b'"', &bytes[at..])?;
        if bytes[found] == b'>' {
            return Some(found);
        }
        at = found + 2 + memchr(bytes[found], &bytes[found + 1..])?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "<?xml version='1.0'?><stream:stream id='a>b' from='x'><stream:features><a/>\
        </stream:features> <message id=\"1\" to='a'><body>x > y</body></message><presence/><iq type='result' id='r'><q a='>/'/></iq>";

    fn all(mut bytes: &[u8]) -> (Vec<String>, usize) {
        let mut found = Vec::new();
        let before = bytes.len();
        loop {
            match first_element(bytes) {
                Piece::Element { skip, length } => {
                    let element = &bytes[skip..skip + length];
                    found.push(String::from_utf8_lossy(element).into_owned());
                    bytes = &bytes[skip + length..];
                }
                Piece::Unfinished { skip } => return (found, before - bytes.len() + skip),
                Piece::End => return (found, before),
            }
        }
    }

    #[test]
    fn elements_are_the_same_wherever_the_stream_is_split() {
        let (whole, used) = all(STREAM.as_bytes());
        assert_eq!(whole.len(), 4, "{whole:?}");
        assert_eq!(used, STREAM.len());
        for split in 0..STREAM.len() {
            let (mut found, used) = all(&STREAM.as_bytes()[..split]);
            found.extend(all(&STREAM.as_bytes()[used..]).0);
            assert_eq!(found, whole, "split at {split}");
        }
    }

    #[test]
    fn what_is_escaped_has_nothing_that_ends_it_and_is_read_again() {
        for text in ["romeo", "a&b<c>'d\"e&amp;", "&lt;"] {
            let escaped = escaped(text);
            assert!(!escaped.contains(['<', '>', '\'']), "{escaped}");
            assert_eq!(unescaped(&escaped), text);
        }
        assert_eq!(unescaped("&quot;"), "\"");
    }

    #[test]
    fn the_end_of_a_stream_is_seen() {
        assert_eq!(first_element(b" </stream:stream>"), Piece::End);
        assert_eq!(first_element(b"</stream"), Piece::Unfinished { skip: 0 });
    }

    #[test]
    fn attributes_are_found_by_their_whole_names_in_either_quote() {
        let bytes =
            b"<message xml:id='no' from=\"a'b\" id = 'yes' type='chat'><x type='error'/></message>";
        let stanza = Stanza { bytes };
        assert_eq!(stanza.name(), b"message");
        assert_eq!(stanza.attribute("id"), Some(&b"yes"[..]));
        assert_eq!(stanza.attribute("from"), Some(&b"a'b"[..]));
        assert_eq!(stanza.attribute("to"), None);
        assert_eq!(stanza.kind(), b"chat");
        assert_eq!(Stanza { bytes: b"<r/>" }.name(), b"r");
    }
}
