//! The vocabulary: stanzas, their errors, stream errors, namespaces. Refuses to know what any of them
//! causes.

mod build;
mod coalesce;
mod delay;
mod disco;
mod error;
mod extensions;
mod form;
mod header;
mod iq;
pub mod ns;
mod payload;
mod read;
mod rsm;
mod stream_error;

pub use build::{reply_error, reply_result, server_message};
pub use coalesce::{Newcomer, Sender};
pub use delay::{Rounding, delay_element, parse_stamp, stamp};
pub use disco::{Identity, Info, InfoForm};
pub use error::{Condition, ErrorType, StanzaError};
pub use extensions::Extensions;
pub use form::{Choice, FieldType, FormKind, FormWriter, Question, Submission};
pub use header::{Header, Kind, Type};
pub use iq::Iq;
pub use payload::Payload;
pub use read::{ReadError, read_stanza, read_stored};
pub use rsm::{PageAnswer, PageRequest, Position};
pub use stream_error::{StreamCondition, StreamError};

use crate::base::limits;

/// A message, presence or IQ: what a server looks at, and what it only carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stanza {
    pub header: Header,
    pub payload: Payload,
}

impl Stanza {
    /// Whether it is an IQ that has to be answered (RFC 6120 section 8.2.3).
    pub fn is_request(&self) -> bool {
        self.header.kind == Kind::Iq && matches!(self.header.type_, Type::Get | Type::Set)
    }

    /// Bytes that this stanza is charged with in a queue: its payload, what a client may write into its start
    /// tag, and what holding it costs. It changes when the header is edited, so never inside a queue.
    pub fn charge(&self) -> usize {
        self.payload.len() + self.header.bytes() + HELD_BYTES
    }

    /// What a very large stanza, a roster, is charged beyond the largest that anybody may send: it is one burst, and no
    /// sign of a slow reader.
    pub fn excess(&self) -> usize {
        self.charge().saturating_sub(limits::ELEMENT_BYTES_MAX)
    }

    /// Appends the stanza as XML whose default namespace is the stream's content namespace.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.header.write_open(out, None);
        self.close(out);
    }

    /// Appends the stanza as XML that stands on its own: carbons, stored rows.
    pub fn write_standalone(&self, out: &mut Vec<u8>) {
        self.header.write_open(out, Some(ns::CLIENT));
        self.close(out);
    }

    fn close(&self, out: &mut Vec<u8>) {
        if self.payload.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        out.extend_from_slice(self.payload.xml().as_bytes());
        out.extend_from_slice(b"</");
        out.extend_from_slice(self.header.kind.name().as_bytes());
        out.push(b'>');
    }
}

/// The stanza itself and its place in a queue.
const HELD_BYTES: usize = size_of::<Stanza>() + 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_writes_into_the_start_tag_is_charged() {
        let mut stanza = Stanza {
            header: Header::new(Kind::Message, Type::Chat),
            payload: Payload::EMPTY,
        };
        let bare = stanza.charge();
        stanza.header.id = Some("i".repeat(200_000).into());
        stanza.header.lang = Some("l".repeat(3_000).into());
        stanza.header.to = crate::jid::Jid::parse("juliet@example.com/balcony").ok();
        stanza.header.from = crate::jid::Jid::parse("romeo@example.net").ok();
        assert_eq!(stanza.charge(), bare + 200_000 + 3_000 + 26 + 17);
    }
}
