//! Read access to XML in normal form: a cursor over a span, without a tree and without recursion. Refuses to
//! know XML in any other form: of such input it makes `None`, or an element that nobody wrote, never a panic.

use std::borrow::Cow;

use memchr::memchr;

use super::reference::parse_reference;

/// One element in normal form and the namespace that it inherits.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    raw: &'a str,
    name: &'a str,
    ns: &'a str,
    /// Behind the name, up to the '>' or "/>".
    attributes: &'a str,
    inner: &'a str,
}

impl<'a> Element<'a> {
    /// The element that `xml` begins with.
    pub fn parse(xml: &'a str, inherited_ns: &'a str) -> Option<Element<'a>> {
        let tag_end = memchr(b'>', xml.as_bytes())?;
        let tag = xml[..tag_end].strip_prefix('<')?;
        let (tag, empty) = match tag.strip_suffix('/') {
            Some(tag) => (tag, true),
            None => (tag, false),
        };
        let name_end = memchr(b' ', tag.as_bytes()).unwrap_or(tag.len());
        let (name, attributes) = tag.split_at(name_end);
        if name.is_empty() || name.starts_with('/') {
            return None;
        }
        // `xmlns` stands first or not at all.
        let ns = match attributes.strip_prefix(" xmlns='") {
            Some(rest) => &rest[..memchr(b'\'', rest.as_bytes())?],
            None => inherited_ns,
        };
        let body = &xml[tag_end + 1..];
        let (inner, rest) = if empty {
            ("", body)
        } else {
            split_at_end(body)?
        };
        Some(Element {
            raw: &xml[..xml.len() - rest.len()],
            name,
            ns,
            attributes,
            inner,
        })
    }

    /// Local name (`xml:name` for an element of the XML namespace, which nobody uses).
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Namespace, its own or inherited, as it stands in an attribute: a '&' in it is escaped.
    pub fn ns(&self) -> &'a str {
        self.ns
    }

    /// Has this name in this namespace.
    pub fn is(&self, ns: &str, name: &str) -> bool {
        self.name == name && self.ns == ns
    }

    /// An attribute's value, unescaped. `name` is local, `xml:lang` or the like.
    pub fn attribute(&self, name: &str) -> Option<Cow<'a, str>> {
        self.attributes()
            .find(|(attribute, _)| *attribute == name)
            .map(|(_, value)| unescape(value))
    }

    /// Names and escaped values in document order, declarations included.
    fn attributes(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut rest = self.attributes;
        std::iter::from_fn(move || {
            let text = rest.strip_prefix(' ')?;
            let (name, text) = text.split_once("='")?;
            let (value, text) = text.split_once('\'')?;
            rest = text;
            Some((name, value))
        })
    }

    /// Direct children that are elements.
    pub fn children(&self) -> Children<'a> {
        Children::new(self.inner, self.ns)
    }

    /// The first child of that name and namespace.
    pub fn child(&self, ns: &str, name: &str) -> Option<Element<'a>> {
        self.children().find(|child| child.is(ns, name))
    }

    /// The character data directly inside, unescaped and concatenated.
    pub fn text(&self) -> Cow<'a, str> {
        let first = memchr(b'<', self.inner.as_bytes()).unwrap_or(self.inner.len());
        if first == self.inner.len() {
            return unescape(self.inner);
        }
        let mut text = unescape(&self.inner[..first]).into_owned();
        let mut rest = &self.inner[first..];
        while let Some(child) = Element::parse(rest, "") {
            rest = &rest[child.raw.len()..];
            let end = memchr(b'<', rest.as_bytes()).unwrap_or(rest.len());
            text.push_str(&unescape(&rest[..end]));
            rest = &rest[end..];
        }
        Cow::Owned(text)
    }

    /// Everything between its tags.
    pub fn inner(&self) -> &'a str {
        self.inner
    }

    /// The element itself; without what it inherits, so only to be put where that is inherited, too.
    pub fn raw(&self) -> &'a str {
        self.raw
    }
}

/// The elements directly inside a span, text skipped.
#[derive(Clone, Debug)]
pub struct Children<'a> {
    rest: &'a str,
    ns: &'a str,
}

impl<'a> Children<'a> {
    /// Over `inner`, whose elements inherit `ns`.
    pub fn new(inner: &'a str, ns: &'a str) -> Children<'a> {
        Children { rest: inner, ns }
    }
}

impl<'a> Iterator for Children<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let start = memchr(b'<', self.rest.as_bytes())?;
        let element = Element::parse(&self.rest[start..], self.ns)?;
        self.rest = &self.rest[start + element.raw.len()..];
        Some(element)
    }
}

/// What precedes the end tag of the element that `body` is inside of, and what follows it. In normal form '<'
/// and '>' stand nowhere but around tags.
fn split_at_end(body: &str) -> Option<(&str, &str)> {
    let mut depth = 0usize;
    let mut at = 0;
    loop {
        let start = at + memchr(b'<', &body.as_bytes()[at..])?;
        let end = start + memchr(b'>', &body.as_bytes()[start..])?;
        if body.as_bytes()[start + 1] == b'/' {
            if depth == 0 {
                return Some((&body[..start], &body[end + 1..]));
            }
            depth -= 1;
        } else if body.as_bytes()[end - 1] != b'/' {
            depth += 1;
        }
        at = end + 1;
    }
}

/// A normal form's text or attribute value as it is meant.
fn unescape(text: &str) -> Cow<'_, str> {
    let Some(first) = memchr(b'&', text.as_bytes()) else {
        return Cow::Borrowed(text);
    };
    let mut out = String::with_capacity(text.len());
    out.push_str(&text[..first]);
    let mut rest = &text[first..];
    while !rest.is_empty() {
        match parse_reference(rest) {
            Ok((character, behind)) => {
                out.push(character);
                rest = behind;
            }
            // Not normal form: let it stand.
            Err(_) => {
                out.push('&');
                rest = &rest[1..];
            }
        }
        let end = memchr(b'&', rest.as_bytes()).unwrap_or(rest.len());
        out.push_str(&rest[..end]);
        rest = &rest[end..];
    }
    Cow::Owned(out)
}

#[cfg(test)]
#[path = "element_tests.rs"]
mod tests;
