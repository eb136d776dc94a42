//! Bytes to checked elements and back (RFC 6120 section 11). Refuses to know what an element means.
//!
//! Bytes of a peer pass [`Framer`] (where does a piece end?), then [`parse_header`] or [`normalise`] (is it
//! well-formed, and what is it without prefixes?). What is kept is the normal form; input is never forwarded.

mod declaration;
mod element;
mod error;
mod frame;
mod header;
mod language;
mod limits;
mod name;
mod normal;
mod reference;
mod run;
mod scope;
mod scratch;
mod write;

pub use element::{Children, Element};
pub use error::XmlError;
pub use frame::{Frame, Framer};
pub use header::{Header, parse_header};
pub use limits::FrameLimits;
pub use normal::normalise;
pub use scope::{Scope, Scopes};
pub use scratch::{Attribute, Child, Normal, Scratch};
pub use write::{Writer, escape_attribute, escape_text};

/// What the prefix `xml` is bound to, always (Namespaces in XML 1.0, section 3).
pub const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";
/// The namespace of streams, in which no element inside another may be (RFC 6120 section 8.4).
pub const STREAM_NAMESPACE: &str = "http://etherx.jabber.org/streams";
/// What the prefix `xmlns` is bound to, always.
pub const XMLNS_NAMESPACE: &str = "http://www.w3.org/2000/xmlns/";
