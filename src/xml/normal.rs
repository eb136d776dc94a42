//! One pass over a complete element: checks what makes it well-formed, resolves prefixes, and writes its inner
//! XML in normal form. Refuses to know what any element means.
//!
//! Normal form: no prefixes on elements; `xmlns` first, and only where the namespace differs from the
//! parent's (from the content namespace, for direct children); attributes in document order, quoted with `'`;
//! attributes with a namespace carry its declaration, `xmlns:a0='..' a0:name='..'`, `xml:` ones as they are;
//! one escaped form of every character; CDATA as text; `<a/>` for what is empty. So a piece of it means the
//! same wherever the content namespace is inherited, and the normal form of a normal form is itself. Elements of a stream
//! have no normal form inside others: a parser that looks for them at any depth would begin or end a stream there.

use xmlparser::{ElementEnd, StrSpan, Token, Tokenizer};

use super::name::is_portable;
use super::reference::{
    References, is_text_doubtful, push_attribute, push_attribute_char, push_text, push_unescaped,
};
use super::run::run_length;
use super::scratch::{AttributeNs, Binding, HeadAttribute, Open, RawAttribute, Span};
use super::{
    Child, FrameLimits, STREAM_NAMESPACE, Scope, Scratch, XML_NAMESPACE, XMLNS_NAMESPACE, XmlError,
};

/// Checks `text`, which is one element with nothing around it, and leaves its normal form in `out`.
///
/// # Errors
///
/// The first thing that XML, namespaces in XML, RFC 6120 section 11.1 or `limits` do not allow; `out` is then
/// of no use.
pub fn normalise(
    text: &str,
    scope: &Scope,
    limits: &FrameLimits,
    out: &mut Scratch,
) -> Result<(), XmlError> {
    // Offsets are 32 bits wide; `words` holds at most the text and the header.
    if text.len() > limits.element_bytes || text.len() > u32::MAX as usize / 2 {
        return Err(XmlError::TooLarge);
    }
    // Short prefixes may stand for long namespaces: what is written is bounded like what is read, and by it.
    let inner_bytes_max = limits
        .element_bytes
        .min(NORMAL_FORM_TIMES_MAX * text.len() + NORMAL_FORM_BYTES_FREE);
    let (content, default) = out.begin(scope, text.len());
    let mut pass = Pass {
        text,
        is_ascii: text.is_ascii(),
        limits,
        out,
        content,
        default,
        tag: Tag::default(),
        tag_default: default,
        elements: 0,
        in_tag: false,
        pending: false,
    };
    let mut tokens = Tokenizer::from_fragment(text, 0..text.len());
    while let Some(token) = tokens.next() {
        let Ok(token) = &token else {
            return Err(why_no_token(text));
        };
        pass.token(token)?;
        if matches!(token, Token::ElementEnd { .. }) {
            // The tokenizer looks at each character for itself. Most text needs no such look.
            let at = tokens.stream().pos();
            let run = plain_text(&text[at..]);
            if !run.is_empty() {
                pass.characters(run, References::Literal)?;
                tokens = Tokenizer::from_fragment(text, at + run.len()..text.len());
            }
        }
        if pass.out.inner.len() > inner_bytes_max {
            return Err(XmlError::TooLarge);
        }
    }
    // The tokenizer is content with a tag that lacks its '>'.
    if pass.elements == 0 || pass.in_tag || !pass.out.open.is_empty() {
        return Err(XmlError::NotWellFormed);
    }
    Ok(())
}

/// The text before the next tag, if all of it is ordinary; else nothing.
fn plain_text(rest: &str) -> &str {
    let run = run_length(rest.as_bytes(), is_text_doubtful);
    match rest.as_bytes().get(run) {
        Some(b'<') => &rest[..run],
        _ => "",
    }
}

/// The tokenizer knows no DTD here and calls it an error like any other; the peer shall hear the right one.
fn why_no_token(text: &str) -> XmlError {
    let mut end = 0;
    for token in Tokenizer::from_fragment(text, 0..text.len()) {
        match token {
            Ok(token) => end = token.span().end(),
            Err(_) => break,
        }
    }
    let rest = &text[end..];
    if rest.starts_with("<?") || rest.starts_with("<!") && !rest.starts_with("<![CDATA[") {
        return XmlError::Restricted;
    }
    XmlError::NotWellFormed
}

struct Pass<'a, 's> {
    text: &'a str,
    is_ascii: bool,
    limits: &'a FrameLimits,
    out: &'s mut Scratch,
    /// What direct children inherit in normal form.
    content: Span,
    /// The input's default namespace outside the top element.
    default: Span,
    tag: Tag,
    /// The default namespace inside the tag at hand.
    tag_default: Span,
    elements: usize,
    /// The '>' of the start tag at hand has not been read.
    in_tag: bool,
    /// The '>' of the last start tag is not written: it may become "/>".
    pending: bool,
}

/// The start tag at hand.
#[derive(Clone, Copy, Default)]
struct Tag {
    qname: Span,
    prefix: Span,
    name: Span,
    bindings: usize,
    declarations: usize,
    default_declared: bool,
    /// One bit for each hash of a raw attribute name, so that most tags need no search for duplicates.
    names_seen: u64,
}

impl<'a> Pass<'a, '_> {
    fn token(&mut self, token: &Token<'a>) -> Result<(), XmlError> {
        match *token {
            Token::ElementStart { prefix, local, .. } => self.start(prefix, local),
            Token::Attribute {
                prefix,
                local,
                value,
                ..
            } => {
                self.check_name(prefix, local)?;
                if prefix.as_str() == "xmlns" {
                    self.declare_prefix(local.as_str(), value.as_str())
                } else if prefix.is_empty() && local.as_str() == "xmlns" {
                    self.declare_default(value.as_str())
                } else {
                    self.attribute(prefix, local, value)
                }
            }
            Token::ElementEnd { end, .. } => match end {
                ElementEnd::Open => self.finish_tag(Contents::Follow),
                ElementEnd::Empty => self.finish_tag(Contents::None),
                ElementEnd::Close(prefix, local) => self.close(prefix, local),
            },
            Token::Text { text } => self.characters(text.as_str(), References::Meant),
            Token::Cdata { text, .. } => self.characters(text.as_str(), References::Literal),
            Token::Declaration { .. }
            | Token::ProcessingInstruction { .. }
            | Token::Comment { .. }
            | Token::DtdStart { .. }
            | Token::EmptyDtd { .. }
            | Token::EntityDeclaration { .. }
            | Token::DtdEnd { .. } => Err(XmlError::Restricted),
        }
    }

    /// The tokenizer takes `:a` for `a`; a qualified name begins with neither.
    fn check_name(&self, prefix: StrSpan<'a>, local: StrSpan<'a>) -> Result<(), XmlError> {
        let before = self.text.as_bytes().get(local.start().wrapping_sub(1));
        if prefix.is_empty() && before == Some(&b':') {
            return Err(XmlError::NotWellFormed);
        }
        let is_portable = || is_portable(prefix.as_str()) && is_portable(local.as_str());
        if !self.is_ascii && !is_portable() {
            return Err(XmlError::NotPortable);
        }
        Ok(())
    }

    fn start(&mut self, prefix: StrSpan<'a>, local: StrSpan<'a>) -> Result<(), XmlError> {
        self.check_name(prefix, local)?;
        if self.out.open.is_empty() && self.elements > 0 {
            return Err(XmlError::NotWellFormed);
        }
        self.elements += 1;
        if self.elements > self.limits.element_count {
            return Err(XmlError::TooManyElements);
        }
        if self.out.open.len() >= self.limits.depth {
            return Err(XmlError::TooDeep);
        }
        self.in_tag = true;
        self.tag = Tag {
            qname: qname(prefix, local),
            prefix: Span::new(prefix.start(), prefix.end()),
            name: Span::new(local.start(), local.end()),
            bindings: self.out.bindings.len(),
            ..Tag::default()
        };
        self.tag_default = self
            .out
            .open
            .last()
            .map_or(self.default, |parent| parent.default);
        self.out.raw.clear();
        Ok(())
    }

    /// `xmlns:prefix='value'`
    fn declare_prefix(&mut self, prefix: &str, value: &str) -> Result<(), XmlError> {
        let ns = self.namespace(value)?;
        let name = ns.of(&self.out.words);
        // Namespaces in XML 1.0, section 3: neither reserved name may change hands, and section 5: a prefix
        // cannot be undeclared.
        if prefix == "xmlns"
            || name == XMLNS_NAMESPACE
            || name.is_empty()
            || (prefix == "xml") != (name == XML_NAMESPACE)
        {
            return Err(XmlError::NotWellFormed);
        }
        let words = &self.out.words;
        if self.out.bindings[self.tag.bindings..]
            .iter()
            .any(|binding| binding.prefix.of(words) == prefix)
        {
            return Err(XmlError::NotWellFormed);
        }
        let prefix = self.out.word(prefix);
        self.out.bindings.push(Binding { prefix, ns });
        Ok(())
    }

    /// `xmlns='value'`
    fn declare_default(&mut self, value: &str) -> Result<(), XmlError> {
        let ns = self.namespace(value)?;
        let name = ns.of(&self.out.words);
        if self.tag.default_declared || name == XML_NAMESPACE || name == XMLNS_NAMESPACE {
            return Err(XmlError::NotWellFormed);
        }
        self.tag.default_declared = true;
        self.tag_default = ns;
        Ok(())
    }

    fn namespace(&mut self, value: &str) -> Result<Span, XmlError> {
        self.tag.declarations += 1;
        if self.tag.declarations > self.limits.namespaces {
            return Err(XmlError::TooManyNamespaces);
        }
        let start = self.out.words.len();
        push_unescaped(value, &mut self.out.words)?;
        if self.out.words.len() - start > NAMESPACE_BYTES_MAX {
            return Err(XmlError::TooLarge);
        }
        Ok(Span::new(start, self.out.words.len()))
    }

    fn attribute(
        &mut self,
        prefix: StrSpan<'a>,
        local: StrSpan<'a>,
        value: StrSpan<'a>,
    ) -> Result<(), XmlError> {
        if self.out.raw.len() >= self.limits.attributes {
            return Err(XmlError::TooManyAttributes);
        }
        let raw = RawAttribute {
            prefix: Span::new(prefix.start(), prefix.end()),
            name: Span::new(local.start(), local.end()),
            value: Span::new(value.start(), value.end()),
            ns: AttributeNs::None,
            number: 0,
        };
        let bit = 1u64 << name_hash(local.as_str());
        if self.tag.names_seen & bit != 0
            && self.out.raw.iter().any(|other| {
                other.name.of(self.text) == local.as_str()
                    && other.prefix.of(self.text) == prefix.as_str()
            })
        {
            return Err(XmlError::NotWellFormed);
        }
        self.tag.names_seen |= bit;
        self.out.raw.push(raw);
        Ok(())
    }

    /// The '>' of a start tag: all its declarations are known.
    fn finish_tag(&mut self, contents: Contents) -> Result<(), XmlError> {
        self.in_tag = false;
        let prefix = self.tag.prefix.of(self.text);
        let is_xml = prefix == "xml";
        let inherited = match self.out.open.last() {
            Some(parent) => parent.inherited,
            None => self.content,
        };
        // The XML namespace must not be a default one, so `xml:name` stays, as a name.
        let (name, ns) = if is_xml {
            (self.tag.qname, inherited)
        } else if prefix.is_empty() {
            (self.tag.name, self.tag_default)
        } else {
            (self.tag.name, self.lookup(prefix)?)
        };
        self.resolve_attributes()?;
        let inside = if self.out.open.is_empty() {
            self.write_head(name, ns)?;
            self.content
        } else {
            self.write_tag(name, ns, inherited)?;
            ns
        };
        match contents {
            Contents::Follow => {
                self.pending = !self.out.open.is_empty();
                self.out.open.push(Open {
                    qname: self.tag.qname,
                    name,
                    default: self.tag_default,
                    inherited: inside,
                    bindings: self.tag.bindings as u32,
                });
            }
            Contents::None => {
                self.out.bindings.truncate(self.tag.bindings);
                if !self.out.open.is_empty() {
                    self.out.inner.push_str("/>");
                    self.end_child();
                }
            }
        }
        Ok(())
    }

    fn lookup(&self, prefix: &str) -> Result<Span, XmlError> {
        let words = &self.out.words;
        self.out
            .bindings
            .iter()
            .rev()
            .find(|binding| binding.prefix.of(words) == prefix)
            .map(|binding| binding.ns)
            .ok_or(XmlError::NotWellFormed)
    }

    /// Finds the namespaces of prefixed attributes, and refuses two attributes of one expanded name
    /// (Namespaces in XML 1.0, section 6.3).
    fn resolve_attributes(&mut self) -> Result<(), XmlError> {
        let mut numbers = 0;
        for at in 0..self.out.raw.len() {
            let raw = self.out.raw[at];
            let prefix = raw.prefix.of(self.text);
            if prefix.is_empty() {
                continue;
            }
            if prefix == "xml" {
                self.out.raw[at].ns = AttributeNs::Xml;
                continue;
            }
            let ns = self.lookup(prefix)?;
            let mut number = None;
            for other in &self.out.raw[..at] {
                let AttributeNs::Other(other_ns) = other.ns else {
                    continue;
                };
                if other_ns == ns || other_ns.of(&self.out.words) == ns.of(&self.out.words) {
                    if other.name.of(self.text) == raw.name.of(self.text) {
                        return Err(XmlError::NotWellFormed);
                    }
                    number = Some(other.number);
                }
            }
            self.out.raw[at].ns = AttributeNs::Other(ns);
            self.out.raw[at].number = number.unwrap_or_else(|| {
                numbers += 1;
                numbers - 1
            });
        }
        Ok(())
    }

    /// The top element's own tag, unescaped.
    fn write_head(&mut self, name: Span, ns: Span) -> Result<(), XmlError> {
        self.out.name = self.out.word(name.of(self.text));
        self.out.ns = ns;
        for at in 0..self.out.raw.len() {
            let raw = self.out.raw[at];
            let start = self.out.words.len();
            push_unescaped(raw.value.of(self.text), &mut self.out.words)?;
            let value = Span::new(start, self.out.words.len());
            if raw.ns == AttributeNs::Xml && raw.name.of(self.text) == "lang" {
                self.out.lang = Some(value);
                continue;
            }
            let name = self.out.word(raw.name.of(self.text));
            self.out.attributes.push(HeadAttribute {
                name,
                ns: raw.ns,
                value,
            });
        }
        Ok(())
    }

    /// Any other start tag, without its '>'.
    fn write_tag(&mut self, name: Span, ns: Span, inherited: Span) -> Result<(), XmlError> {
        self.flush();
        let out = &mut *self.out;
        let start = out.inner.len() as u32;
        out.inner.push('<');
        out.inner.push_str(name.of(self.text));
        let name_end = out.inner.len() as u32;
        if ns != inherited && ns.of(&out.words) != inherited.of(&out.words) {
            if ns.of(&out.words) == STREAM_NAMESPACE {
                return Err(XmlError::Misplaced);
            }
            out.inner.push_str(" xmlns='");
            push_escaped(ns.of(&out.words), &mut out.inner);
            out.inner.push('\'');
        }
        if out.open.len() == 1 {
            out.children.push(Child {
                start,
                end: 0,
                name_end,
            });
        }
        let mut declared = 0;
        for raw in &out.raw {
            match raw.ns {
                AttributeNs::None => out.inner.push(' '),
                AttributeNs::Xml => out.inner.push_str(" xml:"),
                AttributeNs::Other(ns) => {
                    if raw.number == declared {
                        declared += 1;
                        out.inner.push_str(" xmlns:");
                        push_generated(raw.number, &mut out.inner);
                        out.inner.push_str("='");
                        push_escaped(ns.of(&out.words), &mut out.inner);
                        out.inner.push('\'');
                    }
                    out.inner.push(' ');
                    push_generated(raw.number, &mut out.inner);
                    out.inner.push(':');
                }
            }
            out.inner.push_str(raw.name.of(self.text));
            out.inner.push_str("='");
            push_attribute(raw.value.of(self.text), &mut out.inner)?;
            out.inner.push('\'');
        }
        Ok(())
    }

    /// Character data inside the top element.
    fn characters(&mut self, text: &str, references: References) -> Result<(), XmlError> {
        if self.out.open.is_empty() {
            return Err(XmlError::NotWellFormed);
        }
        // An empty CDATA section is nothing.
        if !text.is_empty() {
            self.flush();
            push_text(text, references, &mut self.out.inner)?;
        }
        Ok(())
    }

    fn close(&mut self, prefix: StrSpan<'a>, local: StrSpan<'a>) -> Result<(), XmlError> {
        let open = self.out.open.pop().ok_or(XmlError::NotWellFormed)?;
        self.check_name(prefix, local)?;
        if open.qname.of(self.text) != qname(prefix, local).of(self.text) {
            return Err(XmlError::NotWellFormed);
        }
        self.out.bindings.truncate(open.bindings as usize);
        if self.out.open.is_empty() {
            return Ok(());
        }
        if self.pending {
            self.pending = false;
            self.out.inner.push_str("/>");
        } else {
            self.out.inner.push_str("</");
            self.out.inner.push_str(open.name.of(self.text));
            self.out.inner.push('>');
        }
        self.end_child();
        Ok(())
    }

    /// An element ended; if it was a direct child, its span is known now.
    fn end_child(&mut self) {
        if self.out.open.len() == 1
            && let Some(child) = self.out.children.last_mut()
        {
            child.end = self.out.inner.len() as u32;
        }
    }

    /// Something follows the last start tag.
    fn flush(&mut self) {
        if self.pending {
            self.pending = false;
            self.out.inner.push('>');
        }
    }
}

/// What follows a start tag.
#[derive(Clone, Copy)]
enum Contents {
    Follow,
    /// It ended with "/>".
    None,
}

/// A name as written: the spans of its two parts are neighbours.
fn qname(prefix: StrSpan<'_>, local: StrSpan<'_>) -> Span {
    let start = if prefix.is_empty() {
        local.start()
    } else {
        prefix.start()
    };
    Span::new(start, local.end())
}

fn name_hash(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let first = bytes.first().copied().unwrap_or(0);
    let last = bytes.last().copied().unwrap_or(0);
    (u32::from(first) * 7 + u32::from(last) * 5 + bytes.len() as u32) % 64
}

fn push_generated(number: u32, out: &mut String) {
    out.push('a');
    if number >= 10 {
        out.push(digit(number / 10));
    }
    out.push(digit(number % 10));
}

/// At most [`ATTRIBUTE_COUNT_MAX`](crate::base::limits::ATTRIBUTE_COUNT_MAX) prefixes are generated for a tag.
fn digit(number: u32) -> char {
    char::from_digit(number, 10).expect("a tag has fewer than 100 attributes")
}

const _: () = assert!(crate::base::limits::ATTRIBUTE_COUNT_MAX < 100);

fn push_escaped(text: &str, out: &mut String) {
    for character in text.chars() {
        push_attribute_char(character, out);
    }
}

/// Most bytes of normal form for one that was read: '>' in text costs four, `'` in an attribute six, and a prefix
/// that stands for a namespace of 90 bytes some eight.
const NORMAL_FORM_TIMES_MAX: usize = 8;

/// What a short element may have beyond that: a few children in long namespaces.
const NORMAL_FORM_BYTES_FREE: usize = 4 * 1024;

/// Longest namespace name: known ones have below 100 bytes, and each may be compared and written once for
/// every element.
const NAMESPACE_BYTES_MAX: usize = 1024;

#[cfg(test)]
#[path = "normal_tests.rs"]
mod tests;
