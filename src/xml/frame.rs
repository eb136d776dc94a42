//! Finds where each top-level piece of a stream ends, in bytes as they arrive, each scanned once. Refuses to
//! know whether a piece is well-formed: it only fails early on what cannot become a stream.

use memchr::{memchr, memchr3};
use zeroize::Zeroize;

use super::declaration::check_declaration;
use super::{FrameLimits, XmlError};

/// One piece of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The whole `<stream:stream ...>` start tag; an XML declaration before it was checked and dropped.
    Header(&'a str),
    /// One complete top-level element.
    Element(&'a str),
    /// The stream's end tag: its name with its prefix, to be compared with the header's.
    End(&'a str),
    /// Only whitespace between elements was skipped.
    Keepalive,
}

/// Incremental framing of one stream. While no element is unfinished it holds no heap memory.
#[derive(Debug, Default)]
pub struct Framer {
    /// What arrived of an unfinished piece.
    tail: Vec<u8>,
    place: Place,
    lex: Lex,
    /// The last byte inside the current tag, outside quotes, was a '/'.
    slash: bool,
    /// `tail` was handed out as a frame and is void.
    delivered: bool,
    /// Attributes of the current tag, declarations included.
    attributes: u16,
    depth: u32,
    elements: u32,
}

/// Which piece the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Before the header; a declaration may come.
    #[default]
    Start,
    /// `<?xml ... ?>`
    Declaration,
    /// Before the header, behind the declaration.
    Prolog,
    Header,
    Between,
    Element,
    /// `</stream:stream>`
    EndTag,
    Ended,
}

/// Where inside markup the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Lex {
    /// Character data.
    #[default]
    Text,
    /// Behind a '<'.
    Open,
    /// In a start tag, outside quotes.
    Tag,
    /// In an attribute value.
    Quoted(u8),
    /// In an end tag.
    Close,
    /// Behind `<!` and this many bytes of `[CDATA[`.
    Bang(u8),
    /// In a CDATA section, behind this many ']' (at most 2).
    Cdata(u8),
    /// Behind `<?` and this many bytes of `xml`.
    Question(u8),
}

impl Framer {
    /// A framer that expects a stream header.
    pub fn new() -> Framer {
        Framer::default()
    }

    /// The stream restarts (RFC 6120 section 4.3.3): a header is expected again, what was buffered is gone.
    pub fn reset(&mut self) {
        *self = Framer::default();
    }

    /// Zeroes the frame that was handed out last, which held a secret. What it was made of while it grew is not found any more.
    pub fn wipe(&mut self) {
        if self.delivered {
            self.tail.as_mut_slice().zeroize();
        }
    }

    /// Bytes held of an unfinished piece.
    pub fn buffered(&self) -> usize {
        if self.delivered { 0 } else { self.tail.len() }
    }

    /// The name, with its prefix, of the top-level element that is unfinished, once its start tag goes on behind
    /// it; none if it is no UTF-8.
    pub fn unfinished_name(&self) -> Option<&str> {
        if self.place != Place::Element || self.delivered {
            return None;
        }
        let behind = self.tail.strip_prefix(b"<")?;
        let name = behind.get(..behind.len().min(NAME_BYTES))?;
        let end = name
            .iter()
            .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'))?;
        std::str::from_utf8(&name[..end]).ok()
    }

    /// Takes bytes from `input`: how many, and a frame if one is complete. Call again with the rest until no
    /// frame comes back (that call also frees the memory of the last one). A frame that lies wholly inside
    /// `input` borrows it.
    ///
    /// # Errors
    ///
    /// What no stream may contain, and what `limits` forbid, as soon as it is seen. The framer is of no use
    /// afterwards.
    pub fn next<'a>(
        &'a mut self,
        input: &'a [u8],
        limits: &FrameLimits,
    ) -> Result<(usize, Option<Frame<'a>>), XmlError> {
        if self.delivered {
            self.tail = Vec::new();
            self.delivered = false;
        }
        let mut from = 0;
        if self.tail.is_empty() && self.outside() {
            from = skip_whitespace(input);
            if from == input.len() {
                let keepalive = from > 0 && self.place == Place::Between;
                return Ok((from, keepalive.then_some(Frame::Keepalive)));
            }
            self.begin(input[from])?;
        }
        // The declaration is dropped within this call, so that one chunk with all of it costs no copy.
        let mut scanned = from;
        loop {
            // Never beyond the limit: which error is reported must not depend on how the bytes were split.
            let bytes_max = self.bytes_max(limits);
            // Saturating, for the limits may shrink while a piece is unfinished.
            let allowed = bytes_max.saturating_sub(self.tail.len());
            let end = input.len().min(from.saturating_add(allowed));
            let (at, complete) = self.scan(&input[..end], scanned, limits)?;
            if !complete {
                if end == input.len() {
                    self.keep(&input[from..], bytes_max);
                    return Ok((input.len(), None));
                }
                if self.bytes_max(limits) <= bytes_max {
                    return Err(XmlError::TooLarge);
                }
                scanned = at;
                continue;
            }
            if self.place != Place::Declaration {
                return self.deliver(input, from, at);
            }
            self.tail.extend_from_slice(&input[from..at]);
            check_declaration(&self.tail)?;
            self.tail = Vec::new();
            self.place = Place::Prolog;
            from = at + skip_whitespace(&input[at..]);
            if from == input.len() {
                return Ok((from, None));
            }
            self.begin(input[from])?;
            scanned = from;
        }
    }

    fn outside(&self) -> bool {
        matches!(
            self.place,
            Place::Start | Place::Prolog | Place::Between | Place::Ended
        )
    }

    /// Most bytes of the piece at hand; of one that is not known yet, those that tell.
    fn bytes_max(&self, limits: &FrameLimits) -> usize {
        match self.place {
            Place::Start | Place::Prolog | Place::Between | Place::Ended => MARKUP_START_BYTES,
            Place::Element => limits.element_bytes,
            Place::Declaration | Place::Header | Place::EndTag => limits.header_bytes,
        }
    }

    /// The first byte of a piece.
    fn begin(&mut self, byte: u8) -> Result<(), XmlError> {
        self.lex = Lex::Text;
        match (self.place, byte) {
            (Place::Ended, _) => Err(XmlError::NotWellFormed),
            (_, b'<') => Ok(()),
            // Nobody begins like this but UTF-16 and UTF-32 with a byte order mark. UTF-8's own mark is "a
            // zero width no-break space, not a byte order mark" (RFC 6120 section 11.6), so it is text.
            (Place::Start, 0xfe | 0xff) => Err(XmlError::UnsupportedEncoding),
            (Place::Between, _) => Err(XmlError::BadFormat),
            _ => Err(XmlError::NotWellFormed),
        }
    }

    /// Scans `input` from `at`: how far, and whether the piece is complete there.
    fn scan(
        &mut self,
        input: &[u8],
        mut at: usize,
        limits: &FrameLimits,
    ) -> Result<(usize, bool), XmlError> {
        while at < input.len() {
            let rest = &input[at..];
            match self.lex {
                Lex::Text => match memchr(b'<', rest) {
                    Some(skip) => {
                        at += skip + 1;
                        self.lex = Lex::Open;
                    }
                    None => return Ok((input.len(), false)),
                },
                Lex::Open => {
                    at += 1;
                    self.open(rest[0], limits)?;
                }
                Lex::Tag => {
                    let Some(skip) = memchr3(b'>', b'"', b'\'', rest) else {
                        self.slash = rest.last() == Some(&b'/');
                        return Ok((input.len(), false));
                    };
                    let slash = match skip {
                        0 => self.slash,
                        _ => rest[skip - 1] == b'/',
                    };
                    self.slash = false;
                    at += skip + 1;
                    match rest[skip] {
                        b'>' if self.tag_closed(slash)? => return Ok((at, true)),
                        b'>' => self.lex = Lex::Text,
                        quote => {
                            self.attributes = self.attributes.saturating_add(1);
                            // Declarations are told apart later; here the sum is bounded.
                            if usize::from(self.attributes) > limits.attributes + limits.namespaces
                            {
                                return Err(XmlError::TooManyAttributes);
                            }
                            self.lex = Lex::Quoted(quote);
                        }
                    }
                }
                Lex::Quoted(quote) => match memchr(quote, rest) {
                    Some(skip) => {
                        at += skip + 1;
                        self.lex = Lex::Tag;
                    }
                    None => return Ok((input.len(), false)),
                },
                Lex::Close => {
                    let Some(skip) = memchr(b'>', rest) else {
                        return Ok((input.len(), false));
                    };
                    at += skip + 1;
                    self.lex = Lex::Text;
                    if self.place == Place::Declaration || self.place == Place::EndTag {
                        return Ok((at, true));
                    }
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Ok((at, true));
                    }
                }
                Lex::Bang(matched) => {
                    at += 1;
                    self.bang(matched, rest[0])?;
                }
                Lex::Cdata(2) if rest[0] == b'>' => {
                    at += 1;
                    self.lex = Lex::Text;
                }
                Lex::Cdata(brackets) if rest[0] == b']' => {
                    at += 1;
                    self.lex = Lex::Cdata((brackets + 1).min(2));
                }
                Lex::Cdata(_) => {
                    self.lex = Lex::Cdata(0);
                    match memchr(b']', rest) {
                        Some(skip) => at += skip,
                        None => return Ok((input.len(), false)),
                    }
                }
                Lex::Question(matched) => {
                    at += 1;
                    self.question(matched, rest[0])?;
                }
            }
        }
        Ok((at, false))
    }

    /// The byte behind a '<'.
    fn open(&mut self, byte: u8, limits: &FrameLimits) -> Result<(), XmlError> {
        self.lex = match byte {
            b'/' if self.place == Place::Between => {
                self.place = Place::EndTag;
                Lex::Close
            }
            b'/' if self.place == Place::Element => Lex::Close,
            b'!' if self.place == Place::Element => Lex::Bang(0),
            b'?' if self.place == Place::Start => {
                self.place = Place::Declaration;
                Lex::Question(0)
            }
            b'!' | b'?' => return Err(XmlError::Restricted),
            b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80.. => {
                self.enter(limits)?;
                Lex::Tag
            }
            _ => return Err(XmlError::NotWellFormed),
        };
        Ok(())
    }

    /// A start tag begins.
    fn enter(&mut self, limits: &FrameLimits) -> Result<(), XmlError> {
        self.attributes = 0;
        self.slash = false;
        match self.place {
            Place::Start | Place::Prolog => {
                self.place = Place::Header;
                return Ok(());
            }
            Place::Between => {
                self.place = Place::Element;
                self.elements = 0;
                self.depth = 0;
            }
            _ => {}
        }
        self.elements += 1;
        if self.elements as usize > limits.element_count {
            return Err(XmlError::TooManyElements);
        }
        if self.depth as usize >= limits.depth {
            return Err(XmlError::TooDeep);
        }
        Ok(())
    }

    /// A start tag ends: is the piece complete?
    fn tag_closed(&mut self, empty: bool) -> Result<bool, XmlError> {
        if self.place == Place::Header {
            // A stream that ends with its header cannot carry anything.
            return if empty {
                Err(XmlError::NotWellFormed)
            } else {
                Ok(true)
            };
        }
        if !empty {
            self.depth += 1;
        }
        Ok(self.depth == 0)
    }

    /// A byte behind `<!` and `matched` bytes of `[CDATA[`.
    fn bang(&mut self, matched: u8, byte: u8) -> Result<(), XmlError> {
        const CDATA: &[u8; 7] = b"[CDATA[";
        if byte != CDATA[usize::from(matched)] {
            // A comment, a document type, an entity: nothing else begins with `<!`.
            return Err(XmlError::Restricted);
        }
        self.lex = if usize::from(matched) + 1 == CDATA.len() {
            Lex::Cdata(0)
        } else {
            Lex::Bang(matched + 1)
        };
        Ok(())
    }

    /// A byte behind `<?` and `matched` bytes of `xml`.
    fn question(&mut self, matched: u8, byte: u8) -> Result<(), XmlError> {
        let expected = match matched {
            0 => byte == b'x',
            1 => byte == b'm',
            2 => byte == b'l',
            _ => is_whitespace(byte),
        };
        if !expected {
            return Err(XmlError::Restricted);
        }
        self.lex = if matched < 3 {
            Lex::Question(matched + 1)
        } else {
            Lex::Close
        };
        Ok(())
    }

    /// Keeps the beginning of an unfinished piece, never with more capacity than it can need.
    fn keep(&mut self, bytes: &[u8], bytes_max: usize) {
        let len = self.tail.len() + bytes.len();
        if len > self.tail.capacity() {
            let capacity = (2 * self.tail.capacity()).min(bytes_max).max(len);
            self.tail.reserve_exact(capacity - self.tail.len());
        }
        self.tail.extend_from_slice(bytes);
    }

    /// The piece ends at `at` of `input`.
    fn deliver<'a>(
        &'a mut self,
        input: &'a [u8],
        from: usize,
        at: usize,
    ) -> Result<(usize, Option<Frame<'a>>), XmlError> {
        let place = self.place;
        self.place = match place {
            Place::EndTag => Place::Ended,
            _ => Place::Between,
        };
        let bytes = if self.tail.is_empty() {
            &input[from..at]
        } else {
            self.tail.extend_from_slice(&input[from..at]);
            self.delivered = true;
            self.tail.as_slice()
        };
        let text = simdutf8::basic::from_utf8(bytes).map_err(|_| XmlError::NotUtf8)?;
        let frame = match place {
            Place::Header => Frame::Header(text),
            Place::EndTag => match end_name(text) {
                "" => return Err(XmlError::NotWellFormed),
                name => Frame::End(name),
            },
            _ => Frame::Element(text),
        };
        Ok((at, Some(frame)))
    }
}

/// The name in `</name >`.
fn end_name(text: &str) -> &str {
    text[2..text.len() - 1].trim_end_matches(WHITESPACE)
}

fn skip_whitespace(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|&byte| !is_whitespace(byte))
        .unwrap_or(bytes.len())
}

fn is_whitespace(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// A '<' and the byte behind it say what a piece is.
const MARKUP_START_BYTES: usize = 2;

/// Longest name that [`Framer::unfinished_name`] looks for.
const NAME_BYTES: usize = 128;

const WHITESPACE: [char; 4] = [' ', '\t', '\n', '\r'];

const _: () = assert!(size_of::<Framer>() <= 64);

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
