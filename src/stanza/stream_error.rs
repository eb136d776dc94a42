//! Stream errors (RFC 6120 section 4.9): said once, then the stream closes.

use std::borrow::Cow;
use std::fmt;

use super::ns;
use crate::xml::{XmlError, escape_text};

/// The defined conditions of RFC 6120 section 4.9.3 that a server can meet on a client's stream. It cannot meet four:
/// `host-gone` (4.9.3.5), because a reload takes no host away, and after a restart nobody knows which were served
/// before (`host-unknown`); `improper-addressing` (4.9.3.7), which is about stanzas "sent between two servers";
/// `remote-connection-failed` (4.9.3.15), "not to be used when the cause of the error is within the administrative
/// domain", where all that authenticates a client is; and
/// `unsupported-feature` (4.9.3.23), which is for the initiating entity to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamCondition {
    BadFormat,
    BadNamespacePrefix,
    Conflict,
    ConnectionTimeout,
    HostUnknown,
    InternalServerError,
    InvalidFrom,
    InvalidNamespace,
    InvalidXml,
    NotAuthorized,
    NotWellFormed,
    PolicyViolation,
    Reset,
    ResourceConstraint,
    RestrictedXml,
    SeeOtherHost(String),
    SystemShutdown,
    UndefinedCondition,
    UnsupportedEncoding,
    UnsupportedStanzaType,
    UnsupportedVersion,
}

impl StreamCondition {
    /// The condition's element.
    pub fn name(&self) -> &'static str {
        match self {
            StreamCondition::BadFormat => "bad-format",
            StreamCondition::BadNamespacePrefix => "bad-namespace-prefix",
            StreamCondition::Conflict => "conflict",
            StreamCondition::ConnectionTimeout => "connection-timeout",
            StreamCondition::HostUnknown => "host-unknown",
            StreamCondition::InternalServerError => "internal-server-error",
            StreamCondition::InvalidFrom => "invalid-from",
            StreamCondition::InvalidNamespace => "invalid-namespace",
            StreamCondition::InvalidXml => "invalid-xml",
            StreamCondition::NotAuthorized => "not-authorized",
            StreamCondition::NotWellFormed => "not-well-formed",
            StreamCondition::PolicyViolation => "policy-violation",
            StreamCondition::Reset => "reset",
            StreamCondition::ResourceConstraint => "resource-constraint",
            StreamCondition::RestrictedXml => "restricted-xml",
            StreamCondition::SeeOtherHost(_) => "see-other-host",
            StreamCondition::SystemShutdown => "system-shutdown",
            StreamCondition::UndefinedCondition => "undefined-condition",
            StreamCondition::UnsupportedEncoding => "unsupported-encoding",
            StreamCondition::UnsupportedStanzaType => "unsupported-stanza-type",
            StreamCondition::UnsupportedVersion => "unsupported-version",
        }
    }
}

/// What the peer is told before its stream closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    pub condition: StreamCondition,
    pub text: Cow<'static, str>,
    /// An application-specific condition (section 4.9.4), in normal form; empty for none.
    pub application: String,
}

impl StreamError {
    /// An error with a sentence that a human can act on.
    pub fn new(condition: StreamCondition, text: &'static str) -> StreamError {
        StreamError {
            condition,
            text: Cow::Borrowed(text),
            application: String::new(),
        }
    }

    /// The `<stream:error/>` element; the prefix is the one that our stream headers declare.
    pub fn to_xml(&self) -> String {
        let name = self.condition.name();
        let mut xml = format!("<stream:error><{name} xmlns='{}'>", ns::STREAM_ERRORS).into_bytes();
        if let StreamCondition::SeeOtherHost(host) = &self.condition {
            escape_text(host, &mut xml);
        }
        xml.extend_from_slice(format!("</{name}>").as_bytes());
        if !self.text.is_empty() {
            let open = format!("<text xmlns='{}' xml:lang='en'>", ns::STREAM_ERRORS);
            xml.extend_from_slice(open.as_bytes());
            escape_text(&self.text, &mut xml);
            xml.extend_from_slice(b"</text>");
        }
        xml.extend_from_slice(self.application.as_bytes());
        xml.extend_from_slice(b"</stream:error>");
        String::from_utf8(xml).expect("written from strings and ASCII only")
    }
}

impl From<XmlError> for StreamError {
    fn from(error: XmlError) -> StreamError {
        let (condition, text) = match error {
            XmlError::BadFormat => (
                StreamCondition::BadFormat,
                "Only elements may stand in a stream",
            ),
            XmlError::BadNamespacePrefix => (
                StreamCondition::BadNamespacePrefix,
                "The header's prefix is not declared",
            ),
            // Section 8.4: a child's namespace is "other than "jabber:client", "jabber:server", or
            // "http://etherx.jabber.org/streams"".
            XmlError::Misplaced => (
                StreamCondition::BadFormat,
                "No element of the stream's namespace may stand inside another",
            ),
            // Section 4.9.3.22: "or has otherwise improperly encoded the stream (e.g., by violating
            // the rules of the [UTF-8] encoding)".
            XmlError::NotUtf8 => (StreamCondition::UnsupportedEncoding, "This is not UTF-8"),
            XmlError::NotWellFormed => (
                StreamCondition::NotWellFormed,
                "This is not well-formed XML",
            ),
            XmlError::NotPortable => (
                StreamCondition::PolicyViolation,
                "A name has characters that not every parser takes",
            ),
            XmlError::Restricted => (
                StreamCondition::RestrictedXml,
                "No comments, processing instructions, DTDs or entities of one's own",
            ),
            XmlError::TooDeep => (StreamCondition::PolicyViolation, "Nested too deeply"),
            XmlError::TooLarge => (StreamCondition::PolicyViolation, "The element is too large"),
            XmlError::TooManyAttributes => (
                StreamCondition::PolicyViolation,
                "Too many attributes on one element",
            ),
            XmlError::TooManyElements => (
                StreamCondition::PolicyViolation,
                "Too many elements in one stanza",
            ),
            XmlError::TooManyNamespaces => (
                StreamCondition::PolicyViolation,
                "Too many namespaces on one element",
            ),
            XmlError::UnsupportedEncoding => {
                (StreamCondition::UnsupportedEncoding, "Streams are UTF-8")
            }
        };
        StreamError::new(condition, text)
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.condition.name(), self.text)
    }
}
