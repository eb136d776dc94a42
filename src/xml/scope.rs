//! What a stream header declares for the elements behind it. Refuses to know the stream's state.

use std::borrow::Cow;
use std::sync::Arc;

/// Namespaces and language that top-level elements inherit from the stream header. Streams share equal ones ([`Scopes`]).
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

/// What the headers of one worker's streams declared lately. Nearly all say the same, so that one scope serves thousands of
/// streams: it costs their memory once, and is at hand when a stanza comes.
#[derive(Debug, Default)]
pub struct Scopes {
    lately: [Option<Arc<Scope>>; SCOPES_COUNT],
    /// Whose place the next new one takes.
    oldest: usize,
}

impl Scopes {
    /// One that is equal, shared where there was one lately.
    pub fn share(&mut self, scope: Scope) -> Arc<Scope> {
        let known = self.lately.iter().flatten().find(|known| ***known == scope);
        if let Some(known) = known {
            return Arc::clone(known);
        }
        let scope = Arc::new(scope);
        self.lately[self.oldest] = Some(Arc::clone(&scope));
        self.oldest = (self.oldest + 1) % SCOPES_COUNT;
        scope
    }
}

/// Clients in use differ in `xml:lang`, and a few in prefixes. Each is as large as a header may be, at most.
const SCOPES_COUNT: usize = 16;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn speaking(lang: &str) -> Scope {
        Scope {
            lang: Some(lang.into()),
            ..Scope::without_header("jabber:client")
        }
    }

    #[test]
    fn equal_scopes_are_one() {
        let mut scopes = Scopes::default();
        let first = scopes.share(speaking("it"));
        let other = scopes.share(speaking("en"));
        assert!(Arc::ptr_eq(&first, &scopes.share(speaking("it"))));
        assert!(!Arc::ptr_eq(&first, &other));
    }

    #[test]
    fn of_many_different_ones_only_some_are_kept() {
        let mut scopes = Scopes::default();
        let first = scopes.share(speaking("it"));
        for number in 0..SCOPES_COUNT {
            scopes.share(speaking(&format!("x-{number}")));
        }
        assert_eq!(Arc::strong_count(&first), 1);
        assert!(!Arc::ptr_eq(&first, &scopes.share(speaking("it"))));
    }
}
