//! What a directory is asked: searches and their filters, read from the wire. It refuses to know how they are answered.

use super::Entry;
use crate::ber::{self, Element, OCTETS};

/// A search that it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    pub base: String,
    /// RFC 4511 section 4.5.1.2: baseObject (0), singleLevel (1), wholeSubtree (2).
    pub scope: u32,
    pub filter: Filter,
    /// The state that was shown with a request to be told of changes; empty if there was none.
    pub cookie: Option<Vec<u8>>,
}

/// A filter as it came (RFC 4511 section 4.5.1.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Equal(String, String),
    /// As numbers, where both are.
    AtLeast(String, String),
    Present(String),
    /// By a matching rule: here it is no other than being equal.
    Rule {
        rule: String,
        name: String,
        value: String,
    },
    /// One that it does not understand, by its tag: nothing is like it.
    Other(u8),
}

impl Search {
    pub fn read(operation: &Element) -> Search {
        let parts = ber::parts(&operation.content);
        Search {
            base: String::from_utf8_lossy(&parts[0].content).into_owned(),
            scope: ber::as_number(&parts[1].content),
            filter: Filter::read(&parts[6]),
            cookie: None,
        }
    }
}

impl Filter {
    fn read(element: &Element) -> Filter {
        let all = || {
            ber::parts(&element.content)
                .iter()
                .map(Filter::read)
                .collect()
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match element.tag {
            0xa0 => Filter::And(all()),
            0xa1 => Filter::Or(all()),
            0xa2 => Filter::Not(Box::new(Filter::read(&ber::parts(&element.content)[0]))),
            0xa3 => {
                let parts = ber::parts(&element.content);
                Filter::Equal(text(&parts[0].content), text(&parts[1].content))
            }
            0xa5 => {
                let parts = ber::parts(&element.content);
                Filter::AtLeast(text(&parts[0].content), text(&parts[1].content))
            }
            0x87 => Filter::Present(text(&element.content)),
            // RFC 4511 section 4.5.1.7.7.
            0xa9 => {
                let parts = ber::parts(&element.content);
                let part = |tag| {
                    let found = parts.iter().find(|part| part.tag == tag);
                    found.map(|part| text(&part.content)).unwrap_or_default()
                };
                Filter::Rule {
                    rule: part(0x81),
                    name: part(0x82),
                    value: part(0x83),
                }
            }
            other => Filter::Other(other),
        }
    }

    pub fn finds(&self, entry: &Entry) -> bool {
        match self {
            Filter::And(all) => all.iter().all(|filter| filter.finds(entry)),
            Filter::Or(all) => all.iter().any(|filter| filter.finds(entry)),
            Filter::Not(filter) => !filter.finds(entry),
            Filter::Equal(name, value) | Filter::Rule { name, value, .. } => {
                entry.attributes.iter().any(|(own, has)| {
                    own.eq_ignore_ascii_case(name) && has.eq_ignore_ascii_case(value)
                })
            }
            Filter::AtLeast(name, value) => entry.attributes.iter().any(|(own, has)| {
                let number = |text: &str| text.parse::<u64>().unwrap_or_default();
                own.eq_ignore_ascii_case(name) && number(has) >= number(value)
            }),
            Filter::Present(name) => {
                let mut names = entry.attributes.iter().map(|(own, _)| own);
                names.any(|own| own.eq_ignore_ascii_case(name))
            }
            Filter::Other(_) => false,
        }
    }

    /// The values with which something is compared.
    pub fn values(&self) -> Vec<&str> {
        match self {
            Filter::And(all) | Filter::Or(all) => all.iter().flat_map(Filter::values).collect(),
            Filter::Not(filter) => filter.values(),
            Filter::Equal(_, value) | Filter::AtLeast(_, value) | Filter::Rule { value, .. } => {
                vec![value]
            }
            Filter::Present(_) | Filter::Other(_) => Vec::new(),
        }
    }
}

/// The state in a Sync Request Control (RFC 4533 section 2.2): empty if there is none.
pub fn cookie(controls: &Element) -> Option<Vec<u8>> {
    let controls = ber::parts(&controls.content);
    let mut controls = controls.iter().map(|control| ber::parts(&control.content));
    let control = controls.find(|parts| parts[0].content == SYNC_REQUEST.as_bytes())?;
    let value = ber::parts(&control.last()?.content);
    let parts = ber::parts(&value[0].content);
    let cookie = parts.into_iter().find(|part| part.tag == OCTETS);
    Some(cookie.map_or_else(Vec::new, |cookie| cookie.content))
}

/// What a page is asked for with (RFC 2696 section 2): empty for the first.
pub fn page(controls: &Element) -> Option<Vec<u8>> {
    let controls = ber::parts(&controls.content);
    let mut controls = controls.iter().map(|control| ber::parts(&control.content));
    let control = controls.find(|parts| parts[0].content == PAGED.as_bytes())?;
    let value = ber::parts(&control.last()?.content);
    let parts = ber::parts(&value[0].content);
    Some(parts[1].content.clone())
}

/// From which one on members are asked for, of a search for a part of them (`member;range=1500-*`).
pub fn range(operation: &Element) -> Option<u32> {
    let parts = ber::parts(&operation.content);
    let attributes = ber::parts(&parts[7].content);
    let mut attributes = attributes
        .iter()
        .map(|part| String::from_utf8_lossy(&part.content));
    attributes.find_map(|name| {
        let range = name.strip_prefix("member;range=")?;
        range.strip_suffix("-*")?.parse().ok()
    })
}

/// RFC 2696 section 2.
pub const PAGED: &str = "1.2.840.113556.1.4.319";
/// RFC 4533 section 2.2.
pub const SYNC_REQUEST: &str = "1.3.6.1.4.1.4203.1.9.1.1";
