//! The memory of a normalisation and the view of its result. Refuses to know how the result came about.

use zeroize::Zeroize;

use super::{Scope, XML_NAMESPACE};

/// Reused memory for [`normalise`](super::normalise): in steady state a plain stanza allocates nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) inner: String,
    pub(super) children: Vec<Child>,
    /// Everything unescaped: namespaces, prefixes, the top element's name and attribute values.
    pub(super) words: String,
    pub(super) name: Span,
    pub(super) ns: Span,
    pub(super) lang: Option<Span>,
    pub(super) attributes: Vec<HeadAttribute>,
    pub(super) bindings: Vec<Binding>,
    pub(super) open: Vec<Open>,
    pub(super) raw: Vec<RawAttribute>,
}

/// A direct child in the normal form of the inner XML; all offsets are bytes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its '<'.
    pub start: u32,
    /// Behind its '>'.
    pub end: u32,
    /// Behind its local name, which begins behind the '<'.
    pub name_end: u32,
}

impl Child {
    /// Its local name in `inner`, the normal form that it is of.
    pub fn name(self, inner: &str) -> &str {
        &inner[self.start as usize + 1..self.name_end as usize]
    }

    /// Its own `xmlns` value, escaped; `None` is the content namespace.
    pub fn ns(self, inner: &str) -> Option<&str> {
        // `xmlns` stands first or not at all.
        let value = inner[self.name_end as usize..].strip_prefix(" xmlns='")?;
        Some(&value[..memchr::memchr(b'\'', value.as_bytes())?])
    }
}

// A direct child may be four bytes, and each has an entry (peers.md section 7.1, row 4).
const _: () = assert!(size_of::<Child>() <= 12);

/// An attribute of the top element, unescaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'s> {
    /// Local name.
    pub name: &'s str,
    /// Namespace, of a prefixed attribute only.
    pub ns: Option<&'s str>,
    /// Value as it is meant.
    pub value: &'s str,
}

/// One checked element: its own tag taken apart, and the normal form of everything inside.
#[derive(Clone, Copy, Debug)]
pub struct Normal<'s> {
    /// Local name of the top element.
    pub name: &'s str,
    /// Its namespace, empty if it has none.
    pub ns: &'s str,
    /// Its own `xml:lang`, not the stream's.
    pub lang: Option<&'s str>,
    /// The inner XML in normal form.
    pub inner: &'s str,
    /// Its direct children, in document order.
    pub children: &'s [Child],
    scratch: &'s Scratch,
}

impl Scratch {
    /// Fresh memory; keep it for the life of a worker.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// The result of the last successful normalisation.
    pub fn normal(&self) -> Normal<'_> {
        Normal {
            name: self.name.of(&self.words),
            ns: self.ns.of(&self.words),
            lang: self.lang.map(|lang| lang.of(&self.words)),
            inner: &self.inner,
            children: &self.children,
            scratch: self,
        }
    }

    /// Zeroes what was written of the last element, which held a secret.
    pub fn wipe(&mut self) {
        for text in [&mut self.inner, &mut self.words] {
            text.as_mut_str().zeroize();
        }
    }

    /// Forgets the last element and takes up the declarations of `scope`; returns the spans of its content
    /// and default namespaces. The element to come has `text_bytes`.
    pub(super) fn begin(&mut self, scope: &Scope, text_bytes: usize) -> (Span, Span) {
        // One huge stanza must not keep its memory for ever. The rest is bounded by counts, at 12 bytes for each child.
        for text in [&mut self.inner, &mut self.words] {
            if text.capacity() > RETAINED_BYTES {
                *text = String::new();
            }
        }
        self.inner.clear();
        // At once and not by doubling: the normal form is mostly about as long as what it is of.
        self.inner.reserve(text_bytes);
        self.children.clear();
        self.words.clear();
        self.lang = None;
        self.attributes.clear();
        self.bindings.clear();
        self.open.clear();
        self.raw.clear();
        let content = self.word(&scope.content);
        let default = if scope.default == scope.content {
            content
        } else {
            self.word(&scope.default)
        };
        for (prefix, ns) in &scope.prefixes {
            let binding = Binding {
                prefix: self.word(prefix),
                ns: self.word(ns),
            };
            self.bindings.push(binding);
        }
        (content, default)
    }

    pub(super) fn word(&mut self, text: &str) -> Span {
        let start = self.words.len();
        self.words.push_str(text);
        Span::new(start, self.words.len())
    }
}

impl<'s> Normal<'s> {
    /// The value of an attribute without prefix.
    pub fn attribute(&self, name: &str) -> Option<&'s str> {
        self.attributes()
            .find(|attribute| attribute.ns.is_none() && attribute.name == name)
            .map(|attribute| attribute.value)
    }

    /// All attributes in document order but `xml:lang` and declarations.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'s>> + use<'s> {
        let scratch = self.scratch;
        scratch.attributes.iter().map(move |attribute| Attribute {
            name: attribute.name.of(&scratch.words),
            ns: match attribute.ns {
                AttributeNs::None => None,
                AttributeNs::Xml => Some(XML_NAMESPACE),
                AttributeNs::Other(ns) => Some(ns.of(&scratch.words)),
            },
            value: attribute.value.of(&scratch.words),
        })
    }
}

/// Memory beyond this is given back before the next element.
const RETAINED_BYTES: usize = 64 * 1024;

/// Bytes of a text that is known from the context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Texts here are bounded by `FrameLimits`, and `normalise` refuses what a u32 cannot count.
    pub(super) fn new(start: usize, end: usize) -> Span {
        Span {
            start: start as u32,
            end: end as u32,
        }
    }

    pub(super) fn of(self, text: &str) -> &str {
        &text[self.start as usize..self.end as usize]
    }
}

/// A prefix that is in scope; both spans of `words`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    pub(super) prefix: Span,
    pub(super) ns: Span,
}

/// An element whose end tag has not come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    /// Name as written, a span of the input.
    pub(super) qname: Span,
    /// Name in normal form, a span of the input.
    pub(super) name: Span,
    /// The default namespace in the input, for its children.
    pub(super) default: Span,
    /// The namespace that its children inherit in normal form.
    pub(super) inherited: Span,
    /// Bindings that were in scope outside of it.
    pub(super) bindings: u32,
}

/// An attribute of the start tag at hand; all but `ns` are spans of the input.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawAttribute {
    pub(super) prefix: Span,
    pub(super) name: Span,
    pub(super) value: Span,
    pub(super) ns: AttributeNs,
    /// Number of its generated prefix.
    pub(super) number: u32,
}

/// An attribute of the top element; spans of `words`.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadAttribute {
    pub(super) name: Span,
    pub(super) ns: AttributeNs,
    pub(super) value: Span,
}

/// Where an attribute's name belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttributeNs {
    /// No prefix: to its element.
    None,
    /// Prefix `xml`.
    Xml,
    /// A span of `words`.
    Other(Span),
}
