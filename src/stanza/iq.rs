//! An IQ request whose form has been checked (RFC 6120 section 8.2.3), as handlers see it.

use super::{Header, Payload, Stanza, Type};
use crate::xml::Element;

/// A `get` or `set` with an id and exactly one child.
#[derive(Clone, Copy, Debug)]
pub struct Iq<'a>(&'a Stanza);

impl<'a> Iq<'a> {
    /// The request that `stanza` is, or none if it is no well-formed request: "An IQ stanza of type
    /// "get" or "set" MUST contain exactly one child element"; and "The 'id' attribute is REQUIRED".
    pub fn request(stanza: &'a Stanza) -> Option<Iq<'a>> {
        let request = matches!(stanza.header.type_, Type::Get | Type::Set);
        let one_child = stanza.payload.children().take(2).count() == 1;
        (request && one_child && stanza.header.id.is_some()).then_some(Iq(stanza))
    }

    /// The stanza's header.
    pub fn header(self) -> &'a Header {
        &self.0.header
    }

    /// The whole stanza.
    pub fn stanza(self) -> &'a Stanza {
        self.0
    }

    /// The one child.
    pub fn child(self) -> Element<'a> {
        self.0.payload.children().next().expect("checked by Iq::request: there is one child")
    }

    /// The answer with this payload, addressed back to the requester.
    pub fn result(self, payload: Payload) -> Stanza {
        super::reply_result(self.0, payload)
    }
}
