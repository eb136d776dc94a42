//! What a stream header declares for the elements behind it. Refuses to know the stream's state.

use std::borrow::Cow;

/// Namespaces and language that top-level elements inherit from the stream header. One for each stream; equal
/// ones may be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub(super) content: Cow<'static, str>,
    pub(super) default: Cow<'static, str>,
    pub(super) prefixes: Box<[(Cow<'static, str>, Cow<'static, str>)]>,
    pub(super) lang: Option<Box<str>>,
}

impl Scope {
    /// The scope of a transport without stream header (RFC 7395, XEP-0206), of stored elements and of our own:
    /// no default namespace, no prefixes; children in `content` carry no `xmlns` in normal form.
    pub fn without_header(content: &'static str) -> Scope {
        Scope {
            content: Cow::Borrowed(content),
            default: Cow::Borrowed(""),
            prefixes: Box::default(),
            lang: None,
        }
    }

    /// This scope where normal form takes `content` as inherited.
    pub fn with_content(mut self, content: &'static str) -> Scope {
        self.content = Cow::Borrowed(content);
        self
    }

    /// The namespace that direct children inherit in normal form (RFC 6120 section 4.8.2).
    pub fn content(&self) -> &str {
        &self.content
    }

    /// The default namespace that the header declares; empty if none.
    pub fn default_namespace(&self) -> &str {
        &self.default
    }

    /// What the header binds `prefix` to; the default namespace for the empty one.
    pub fn namespace(&self, prefix: &str) -> Option<&str> {
        if prefix.is_empty() {
            return Some(&self.default);
        }
        let bound = self.prefixes.iter().find(|(known, _)| known == prefix);
        bound.map(|(_, namespace)| &**namespace)
    }

    /// The header's `xml:lang`, the default for its stanzas (RFC 6120 section 4.7.4).
    pub fn lang(&self) -> Option<&str> {
        self.lang.as_deref()
    }
}

/// Owned text that costs no memory where it is one of the names that nearly every stream uses.
pub(super) fn shared(text: &str) -> Cow<'static, str> {
    for known in [
        "",
        "jabber:client",
        "jabber:server",
        "stream",
        "http://etherx.jabber.org/streams",
    ] {
        if text == known {
            return Cow::Borrowed(known);
        }
    }
    Cow::Owned(text.to_owned())
}
