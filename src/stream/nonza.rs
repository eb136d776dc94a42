//! A top-level element that is no stanza, as negotiation reads it.

use crate::stanza::ns;
use crate::xml::{Children, Element, Normal};

/// A view of a normalised top-level element outside the content namespace.
pub(super) struct Nonza<'a> {
    pub name: &'a str,
    pub ns: &'a str,
    normal: &'a Normal<'a>,
}

impl<'a> Nonza<'a> {
    /// The element that was normalised last.
    pub fn new(normal: &'a Normal<'a>) -> Nonza<'a> {
        Nonza {
            name: normal.name,
            ns: normal.ns,
            normal,
        }
    }

    /// An attribute's value.
    pub fn attribute(&self, name: &str) -> Option<&'a str> {
        self.normal.attribute(name)
    }

    /// The first child of this namespace and name. Normal form takes the content namespace as inherited,
    /// whatever the top element's own is.
    pub fn child(&self, ns: &str, name: &str) -> Option<Element<'a>> {
        Children::new(self.normal.inner, ns::CLIENT).find(|child| child.is(ns, name))
    }

    /// Its children.
    pub fn children(&self) -> impl Iterator<Item = Element<'a>> + use<'a> {
        Children::new(self.normal.inner, ns::CLIENT)
    }

    /// The text directly inside, where there is nothing but text.
    pub fn text(&self) -> std::borrow::Cow<'a, str> {
        // Inside an element the cursor unescapes; a bare text gets one around it.
        match self.normal.inner.find(['<', '&']) {
            None => std::borrow::Cow::Borrowed(self.normal.inner),
            Some(_) => {
                let wrapped = format!("<t>{}</t>", self.normal.inner);
                let text = Element::parse(&wrapped, "").map(|element| element.text().into_owned());
                std::borrow::Cow::Owned(text.unwrap_or_default())
            }
        }
    }
}
