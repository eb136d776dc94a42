//! Attributes of a stanza's start tag that mean something only to whom it is for. Refuses to know what.

use std::sync::Arc;

use crate::xml::{Attribute, Normal, XML_NAMESPACE, escape_attribute};

/// Extension attributes (RFC 6120 section 8.4) in normal form, as `xml/normal.rs` has it: each with a space before it,
/// and a generated prefix declared before its first use. One pointer in the header, and that only where there are any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extensions(Box<str>);

impl Extensions {
    /// Those of a stanza; none if it has none.
    pub(super) fn of(normal: &Normal<'_>) -> Option<Arc<Extensions>> {
        let mut xml = Vec::new();
        let mut namespaces: Vec<&str> = Vec::new();
        for attribute in normal.attributes().filter(is_extension) {
            let prefix = attribute.ns.map(|ns| {
                let known = namespaces.iter().position(|known| *known == ns);
                known.unwrap_or_else(|| {
                    let number = namespaces.len();
                    namespaces.push(ns);
                    push(&mut xml, &format!("xmlns:a{number}"), ns);
                    number
                })
            });
            match prefix {
                Some(number) => push(
                    &mut xml,
                    &format!("a{number}:{}", attribute.name),
                    attribute.value,
                ),
                None => push(&mut xml, attribute.name, attribute.value),
            }
        }
        if xml.is_empty() {
            return None;
        }
        let xml = String::from_utf8(xml).expect("written from strings and ASCII only");
        Some(Arc::new(Extensions(xml.into())))
    }

    /// To be written behind the attributes that every stanza may have.
    pub fn xml(&self) -> &str {
        &self.0
    }
}

/// Whether it is none of RFC 6120's own (section 8.1), nor of "the reserved "http://www.w3.org/XML/1998/namespace"
/// namespace".
fn is_extension(attribute: &Attribute<'_>) -> bool {
    match attribute.ns {
        Some(ns) => ns != XML_NAMESPACE,
        None => !matches!(attribute.name, "from" | "id" | "to" | "type"),
    }
}

fn push(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"='");
    escape_attribute(value, out);
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    use crate::stanza::{Stanza, read_stored};

    fn read(xml: &str) -> Stanza {
        read_stored(xml).expect("a stanza")
    }

    fn written(stanza: &Stanza) -> String {
        let mut out = Vec::new();
        stanza.write_standalone(&mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn attributes_of_others_come_through_with_prefixes_of_our_own_and_are_a_fixed_point() {
        let stanza = read(
            "<message xmlns='jabber:client' xmlns:x='urn:x' x:one='1' xmlns:y='urn:y&amp;' to='a@b' plain='&apos;' \
             y:two='2' x:three='&lt;' xml:lang='de' xml:space='preserve'><body>hi</body></message>",
        );
        let expected = "<message xmlns='jabber:client' to='a@b' xml:lang='de' xmlns:a0='urn:x' a0:one='1' \
            plain='&apos;' xmlns:a1='urn:y&amp;' a1:two='2' a0:three='&lt;'><body>hi</body></message>";
        assert_eq!(written(&stanza), expected);
        assert_eq!(written(&read(expected)), expected);
        let bare = read("<message xmlns='jabber:client' to='a@b'><body>hi</body></message>");
        assert!(stanza.charge() > bare.charge(), "they are charged");
        assert_eq!(bare.header.extensions, None);
    }

    #[test]
    fn a_stanza_without_any_pays_one_pointer() {
        let one = size_of::<Option<std::sync::Arc<super::Extensions>>>();
        assert_eq!(one, size_of::<usize>());
    }
}
