//! A stanza's inner XML in normal form, shared while it waits, and an index of its direct children.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;
use zeroize::Zeroize;

use super::ns;
use crate::xml::{Child, Children, Element};

/// Normalised inner XML: it stands on its own wherever the content namespace is the default one.
#[derive(Clone)]
pub struct Payload(Option<Arc<Shared>>);

struct Shared {
    xml: Box<str>,
    children: SmallVec<[Child; 3]>,
    /// A bit for each namespace of a direct child: most questions are about what is not there.
    namespaces: u64,
}

impl Shared {
    #[inline(always)]
    fn may_be_secret(&self) -> bool {
        const BITS: u64 = bit(ns::REGISTER) | bit(ns::COMMANDS);
        self.namespaces & BITS != 0 && self.is_secret()
    }

    #[inline(never)]
    fn is_secret(&self) -> bool {
        let mut names = self.children.iter().map(|child| names(&self.xml, child));
        names.any(|(ns, _)| ns == ns::REGISTER || ns == ns::COMMANDS)
    }
}

/// A new password is not left where somebody else's memory was.
impl Drop for Shared {
    fn drop(&mut self) {
        if self.may_be_secret() {
            self.xml.zeroize();
        }
    }
}

impl Payload {
    /// No children, no text.
    pub const EMPTY: Payload = Payload(None);

    /// What the normaliser wrote, with the index that it made.
    pub fn new(xml: &str, children: &[Child]) -> Payload {
        if xml.is_empty() {
            return Payload::EMPTY;
        }
        Payload(Some(Arc::new(Shared {
            xml: xml.into(),
            children: SmallVec::from_slice(children),
            namespaces: children
                .iter()
                .fold(0, |bits, child| bits | bit(names(xml, child).0)),
        })))
    }

    /// XML that the server itself wrote in normal form.
    pub fn from_normal(xml: &str) -> Payload {
        Payload::new(xml, &index(xml))
    }

    /// The same of one element with nothing beside it, which is not looked through.
    pub fn from_element(xml: &str) -> Payload {
        let is_end = |byte: &u8| matches!(byte, b' ' | b'/' | b'>');
        let name_end = xml.bytes().skip(1).position(|byte| is_end(&byte));
        let child = Child {
            start: 0,
            end: u32::try_from(xml.len()).expect("elements are bounded far below 4 GiB"),
            name_end: name_end.map_or(0, |end| end as u32 + 1),
        };
        debug_assert_eq!(&*index(xml), &[child]);
        Payload::new(xml, &[child])
    }

    /// The inner XML.
    pub fn xml(&self) -> &str {
        self.0.as_ref().map_or("", |shared| &shared.xml)
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.xml().len()
    }

    /// Whether there is neither child nor text.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The direct children, in document order.
    pub fn children(&self) -> impl Iterator<Item = Element<'_>> {
        let shared = self.0.as_deref();
        let index = shared.map_or(&[][..], |shared| &shared.children[..]);
        index.iter().filter_map(move |child| {
            let xml = &shared?.xml[child.start as usize..child.end as usize];
            Element::parse(xml, ns::CLIENT)
        })
    }

    /// Namespaces and names of the direct children, in document order: what the index knows without a look
    /// inside.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        let shared = self.0.as_deref();
        let index = shared.map_or(&[][..], |shared| &shared.children[..]);
        index
            .iter()
            .filter_map(move |child| Some(names(&shared?.xml, child)))
    }

    /// The first direct child of this namespace and name.
    pub fn child(&self, ns: &str, name: &str) -> Option<Element<'_>> {
        let shared = self.0.as_deref()?;
        if shared.namespaces & bit(ns) == 0 {
            return None;
        }
        let child = shared
            .children
            .iter()
            .find(|child| names(&shared.xml, child) == (ns, name))?;
        Element::parse(
            &shared.xml[child.start as usize..child.end as usize],
            ns::CLIENT,
        )
    }

    /// Whether a direct child of this namespace and name is there.
    #[inline(always)]
    pub fn has(&self, ns: &str, name: &str) -> bool {
        self.may_have(ns) && self.finds(ns, name)
    }

    #[inline(never)]
    fn finds(&self, ns: &str, name: &str) -> bool {
        self.names().any(|child| child == (ns, name))
    }

    /// False if no direct child is of this namespace; true mostly if one is.
    #[inline(always)]
    pub fn may_have(&self, ns: &str) -> bool {
        let shared = self.0.as_deref();
        shared.is_some_and(|shared| shared.namespaces & bit(ns) != 0)
    }

    /// Whether it is a registration (XEP-0077) or a command (XEP-0050), in which people write new passwords.
    #[inline(always)]
    pub fn may_be_secret(&self) -> bool {
        self.0.as_deref().is_some_and(Shared::may_be_secret)
    }

    /// This payload with `xml` (normal form, elements only) behind its children.
    pub fn with(&self, xml: &str) -> Payload {
        let Some(shared) = self.0.as_deref() else {
            return Payload::from_normal(xml);
        };
        let offset = u32::try_from(shared.xml.len()).expect("stanzas are far below 4 GiB");
        let mut children = shared.children.clone();
        let mut namespaces = shared.namespaces;
        for child in index(xml) {
            namespaces |= bit(names(xml, &child).0);
            children.push(Child {
                start: child.start + offset,
                end: child.end + offset,
                name_end: child.name_end + offset,
            });
        }
        Payload(Some(Arc::new(Shared {
            xml: [&*shared.xml, xml].concat().into(),
            children,
            namespaces,
        })))
    }

    /// This payload without the direct children that `unwanted` names; itself when there are none. Text
    /// between children, which no stanza may carry, is dropped with them.
    pub fn without(&self, unwanted: impl Fn(&Element<'_>) -> bool) -> Payload {
        if !self.children().any(|child| unwanted(&child)) {
            return self.clone();
        }
        let kept: Vec<&str> = self
            .children()
            .filter(|child| !unwanted(child))
            .map(|child| child.raw())
            .collect();
        Payload::from_normal(&kept.concat())
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Payload) -> bool {
        self.xml() == other.xml()
    }
}

impl Eq for Payload {}

/// Message content is not loggable: a length.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}

/// The index of what the normaliser did not write. The cursor borrows from `xml`, so where its parts lie is
/// a difference of addresses.
fn index(xml: &str) -> SmallVec<[Child; 3]> {
    let base = xml.as_ptr() as usize;
    let bytes = |part: &str| {
        let start = part.as_ptr() as usize - base;
        (start as u32, (start + part.len()) as u32)
    };
    let child = |element: Element<'_>| {
        let (start, end) = bytes(element.raw());
        Child {
            start,
            end,
            name_end: bytes(element.name()).1,
        }
    };
    Children::new(xml, ns::CLIENT).map(child).collect()
}

/// Which of the 64 bits stands for a namespace, and for others: their ends tell them apart best.
#[inline]
const fn bit(ns: &str) -> u64 {
    let bytes = ns.as_bytes();
    let (last, middle) = match bytes.len() {
        0 => (0, 0),
        length => (bytes[length - 1], bytes[length / 2]),
    };
    1 << ((bytes.len() as u64 * 7 + last as u64 + middle as u64 * 3) % 64)
}

/// Namespace and name of a direct child.
fn names<'a>(xml: &'a str, child: &Child) -> (&'a str, &'a str) {
    (child.ns(xml).unwrap_or(ns::CLIENT), child.name(xml))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_found_by_namespace_and_name() {
        let payload = Payload::from_normal("<body>a</body><x xmlns='urn:x'><body/></x><body/>");
        assert_eq!(payload.children().count(), 3);
        assert_eq!(
            payload.child("urn:x", "x").map(|x| x.inner().to_owned()),
            Some("<body/>".into())
        );
        assert!(payload.has(ns::CLIENT, "body"));
        assert!(!payload.has("urn:x", "body"));
    }

    #[test]
    fn one_element_is_known_without_a_look_inside() {
        for xml in [
            "<a/>",
            "<query xmlns='urn:x'/>",
            "<query xmlns='urn:x' ver='&gt;'><item name='/'/></query>",
        ] {
            let (quick, slow) = (Payload::from_element(xml), Payload::from_normal(xml));
            assert_eq!(quick, slow);
            let names = |payload: &Payload| format!("{:?}", payload.names().collect::<Vec<_>>());
            assert_eq!(names(&quick), names(&slow));
            assert_eq!(quick.children().count(), 1);
        }
    }

    #[test]
    fn removing_a_child_leaves_the_others_and_their_index() {
        let payload = Payload::from_normal("<a/><x xmlns='urn:x'/><b>t</b>");
        let rest = payload.without(|child| child.ns() == "urn:x");
        assert_eq!(rest.xml(), "<a/><b>t</b>");
        assert_eq!(
            rest.child(ns::CLIENT, "b").map(|b| b.text().into_owned()),
            Some("t".into())
        );
        assert!(rest.with("<c xmlns='urn:c'/>").has("urn:c", "c"));
    }

    #[test]
    fn a_child_that_is_added_is_indexed_as_if_it_had_always_been_there() {
        for (before, added) in [
            ("<a/><x xmlns='urn:x'>t</x>", "<c xmlns='urn:c'/><body/>"),
            ("text", "<c xmlns='urn:c'/>"),
            ("", "<c xmlns='urn:c'/>"),
            ("<a/>", ""),
        ] {
            let both = Payload::from_normal(before).with(added);
            let whole = Payload::from_normal(&[before, added].concat());
            assert_eq!(both, whole);
            let names = |payload: &Payload| format!("{:?}", payload.names().collect::<Vec<_>>());
            assert_eq!(names(&both), names(&whole));
            let children =
                |payload: &Payload| payload.children().map(|c| c.raw().len()).sum::<usize>();
            assert_eq!(children(&both), children(&whole));
            assert_eq!(both.has("urn:c", "c"), whole.has("urn:c", "c"));
        }
    }
}
