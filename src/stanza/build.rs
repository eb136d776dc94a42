//! Stanzas that the server itself makes: answers and errors.

use std::sync::Arc;

use super::{Header, Kind, Payload, Stanza, StanzaError, Type};
use crate::jid::Jid;

/// The result of an IQ request: addresses swapped, same id.
pub fn reply_result(request: &Stanza, payload: Payload) -> Stanza {
    Stanza {
        header: swapped(&request.header, Type::Result),
        payload,
    }
}

/// The error that answers `stanza`, or none where an answer is forbidden. RFC 6120 section 8.3.1: "An
/// entity that receives an error stanza MUST NOT respond to the stanza with a further error stanza; this
/// helps to prevent looping"; results are likewise never answered (section 8.2.3, rule 4).
///
/// The original payload is not sent back: it is optional (section 8.3.1), and an error must not be a way
/// to make this server send large stanzas to others.
pub fn reply_error(stanza: &Stanza, error: &StanzaError) -> Option<Stanza> {
    if matches!(stanza.header.type_, Type::Error | Type::Result) {
        return None;
    }
    let header = swapped(&stanza.header, Type::Error);
    Some(Stanza {
        header,
        payload: Payload::from_normal(&error.to_xml()),
    })
}

/// A stanza from `from` to `to`, caused by nothing that came in.
pub fn server_message(kind: Kind, type_: Type, from: Jid, to: Jid, payload: Payload) -> Stanza {
    let header = Header {
        from: Some(from),
        to: Some(to),
        ..Header::new(kind, type_)
    };
    Stanza { header, payload }
}

fn swapped(header: &Header, type_: Type) -> Header {
    Header {
        kind: header.kind,
        type_,
        to: header.from.clone(),
        from: header.to.clone(),
        id: header.id.as_ref().map(Arc::clone),
        lang: None,
        extensions: None,
        trace: header.trace,
    }
}
