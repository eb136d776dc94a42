//! What can be wrong with XML. Refuses to know the elements that say so on the wire.

use std::fmt;

/// Why bytes of a peer are refused; each ends the stream. RFC 6120 section 11.3: an entity "MUST NOT accept
/// data that is not XML-well-formed", nor "data that is not namespace-well-formed".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XmlError {
    /// Characters between the elements of a stream: stream error `bad-format`.
    BadFormat,
    /// The stream header's own prefix is not declared: `bad-namespace-prefix`.
    BadNamespacePrefix,
    /// An element of the stream's namespace inside another element: `bad-format`.
    Misplaced,
    /// An invalid UTF-8 sequence: `unsupported-encoding`, also for what is "improperly encoded ... (e.g., by
    /// violating the rules of the [UTF-8] encoding)" (RFC 6120 section 4.9.3.22).
    NotUtf8,
    /// XML or namespaces in XML do not allow it: `not-well-formed`.
    NotWellFormed,
    /// A name of XML 1.0's fifth edition that parsers of the fourth refuse: `policy-violation`.
    NotPortable,
    /// A comment, processing instruction, DTD or entity: `restricted-xml` (RFC 6120 section 11.1).
    Restricted,
    /// Nested deeper than [`FrameLimits::depth`](super::FrameLimits): `policy-violation`.
    TooDeep,
    /// More bytes than the limits allow, as sent or in normal form: `policy-violation`.
    TooLarge,
    /// More attributes on one element than the limits allow: `policy-violation`.
    TooManyAttributes,
    /// More elements in one piece than the limits allow: `policy-violation`.
    TooManyElements,
    /// More namespace declarations on one element than the limits allow: `policy-violation`.
    TooManyNamespaces,
    /// An encoding other than UTF-8: `unsupported-encoding` (RFC 6120 section 11.6).
    UnsupportedEncoding,
}

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            XmlError::BadFormat => "characters other than whitespace stand between elements",
            XmlError::BadNamespacePrefix => "the prefix of the stream header is not declared",
            XmlError::Misplaced => "an element of the stream's namespace stands inside another",
            XmlError::NotUtf8 => "the bytes are not UTF-8",
            XmlError::NotWellFormed => "the XML is not well-formed",
            XmlError::NotPortable => "a name has characters that not every parser takes",
            XmlError::Restricted => {
                "comments, processing instructions, DTDs and entities are not allowed in streams"
            }
            XmlError::TooDeep => "the elements are nested too deeply",
            XmlError::TooLarge => "the element is too large",
            XmlError::TooManyAttributes => "an element has too many attributes",
            XmlError::TooManyElements => "there are too many elements in one piece",
            XmlError::TooManyNamespaces => "an element has too many namespace declarations",
            XmlError::UnsupportedEncoding => "the encoding of a stream is UTF-8",
        })
    }
}

impl std::error::Error for XmlError {}
