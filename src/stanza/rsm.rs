//! XEP-0059: Result Set Management, version 1.0: which page of a result set is asked for, and how a page is
//! described. Refuses to know what is paged; an item's UID is a text.
//!
//! | section | item |
//! |---|---|
//! | 2.1 limiting | [`PageRequest::max`] |
//! | 2.2 forwards, 2.3 backwards, 2.5 last page | [`Position`] |
//! | 2.4 page not found | whoever pages: only they know a UID that they gave |
//! | 2.6 out of order | [`Position::Index`], for those who can count; others answer `feature-not-implemented` |
//! | 2.7 item count | `max` of 0 |

use super::ns;
use super::{Condition, StanzaError};
use crate::xml::{Element, Writer};

/// The `<set/>` of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// Most items in the page; 0 asks for the count alone.
    pub max: Option<u32>,
    pub position: Position,
}

/// Where the page lies in the result set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Position {
    /// "If no <after/> element is specified, then the UID defaults to "before the first item"".
    #[default]
    First,
    /// Its first item follows the one of this UID.
    After(String),
    /// Its last item precedes the one of this UID.
    Before(String),
    /// It ends with the last item there is.
    Last,
    /// Its first item is the one with so many before it.
    Index(u32),
}

impl PageRequest {
    /// The request inside its wrapper; the default if there is none.
    ///
    /// # Errors
    /// `bad-request` if a number is none, or two positions are given: "RSM does not define the behaviour of
    /// including both" (XEP-0313 section 4.3.2).
    pub fn read(wrapper: &Element<'_>) -> Result<PageRequest, StanzaError> {
        let Some(set) = wrapper.child(ns::RSM, "set") else {
            return Ok(PageRequest::default());
        };
        let child = |name| {
            set.child(ns::RSM, name)
                .map(|child| child.text().into_owned())
        };
        let number = |name| child(name).map(|text| parse(&text)).transpose();
        let mut positions = Vec::new();
        positions.extend(child("after").map(Position::After));
        positions.extend(child("before").map(|uid| {
            // Section 2.5: "including in its request an empty <before/> element".
            if uid.is_empty() {
                Position::Last
            } else {
                Position::Before(uid)
            }
        }));
        positions.extend(number("index")?.map(Position::Index));
        if positions.len() > 1 {
            return Err(bad("A page has one position"));
        }
        Ok(PageRequest {
            max: number("max")?,
            position: positions.pop().unwrap_or_default(),
        })
    }
}

/// The `<set/>` of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageAnswer {
    /// UIDs of the first and last item of the page: "If there are no items in the page, then the <first/> and
    /// <last/> elements MUST NOT be included".
    pub ends: Option<(String, String)>,
    /// Items in the whole set, where that is known.
    pub count: Option<u64>,
}

impl PageAnswer {
    /// Writes the element into an element of another namespace.
    pub fn write(&self, writer: &mut Writer) {
        writer.open("set", Some(ns::RSM));
        if let Some((first, last)) = &self.ends {
            writer.open("first", None).text(first).close();
            writer.open("last", None).text(last).close();
        }
        if let Some(count) = self.count {
            writer.open("count", None).text(&count.to_string()).close();
        }
        writer.close();
    }
}

fn parse(text: &str) -> Result<u32, StanzaError> {
    // The schema has `xs:int`; a page of more than 2^31 items is no page.
    text.trim()
        .parse()
        .map_err(|_| bad("A number of the page is no whole number"))
}

fn bad(text: &'static str) -> StanzaError {
    StanzaError::new(Condition::BadRequest, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(inner: &str) -> Result<PageRequest, StanzaError> {
        let xml = format!(
            "<query xmlns='urn:q'><set xmlns='{}'>{inner}</set></query>",
            ns::RSM
        );
        PageRequest::read(&Element::parse(&xml, ns::CLIENT).unwrap())
    }

    fn at(position: Position) -> PageRequest {
        PageRequest {
            max: Some(10),
            position,
        }
    }

    #[test]
    fn each_position_is_read() {
        let text = |text: &str| text.to_owned();
        assert_eq!(read("<max>10</max>"), Ok(at(Position::First)));
        assert_eq!(
            read("<max>10</max><after>a&amp;</after>"),
            Ok(at(Position::After(text("a&"))))
        );
        assert_eq!(
            read("<before>b</before><max>10</max>"),
            Ok(at(Position::Before(text("b"))))
        );
        assert_eq!(read("<max>10</max><before/>"), Ok(at(Position::Last)));
        assert_eq!(
            read("<max>10</max><index>371</index>"),
            Ok(at(Position::Index(371)))
        );
    }

    #[test]
    fn a_request_without_a_set_asks_for_the_first_page_of_any_size() {
        let none = Element::parse("<query xmlns='urn:q'/>", ns::CLIENT).unwrap();
        assert_eq!(PageRequest::read(&none), Ok(PageRequest::default()));
        assert_eq!(read(""), Ok(PageRequest::default()));
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for inner in [
            "<max>ten</max>",
            "<max>-1</max>",
            "<max/>",
            "<index>99999999999</index>",
            "<after>a</after><before>b</before>",
            "<before/><index>1</index>",
        ] {
            assert!(read(inner).is_err(), "{inner}");
        }
    }

    #[test]
    fn an_empty_page_names_no_items() {
        let written = |answer: PageAnswer| {
            let mut writer = Writer::new();
            writer.open("fin", Some("urn:q"));
            answer.write(&mut writer);
            writer.finish()
        };
        assert_eq!(
            written(PageAnswer {
                ends: None,
                count: Some(0)
            }),
            "<fin xmlns='urn:q'><set xmlns='http://jabber.org/protocol/rsm'><count>0</count></set></fin>"
        );
        assert_eq!(
            written(PageAnswer {
                ends: Some(("a".into(), "b".into())),
                count: None
            }),
            "<fin xmlns='urn:q'><set xmlns='http://jabber.org/protocol/rsm'><first>a</first><last>b</last></set></fin>"
        );
    }
}
