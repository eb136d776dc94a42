//! Stanza errors (RFC 6120 section 8.3).

use std::borrow::Cow;
use std::fmt;

use super::ns;
use crate::xml::escape_text;

/// The defined conditions of RFC 6120 section 8.3.3 that this server uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    BadRequest,
    Conflict,
    FeatureNotImplemented,
    Forbidden,
    InternalServerError,
    ItemNotFound,
    JidMalformed,
    NotAcceptable,
    NotAllowed,
    NotAuthorized,
    PolicyViolation,
    RecipientUnavailable,
    RegistrationRequired,
    RemoteServerNotFound,
    ResourceConstraint,
    ServiceUnavailable,
    UnexpectedRequest,
}

impl Condition {
    /// The condition's element.
    pub fn name(self) -> &'static str {
        match self {
            Condition::BadRequest => "bad-request",
            Condition::Conflict => "conflict",
            Condition::FeatureNotImplemented => "feature-not-implemented",
            Condition::Forbidden => "forbidden",
            Condition::InternalServerError => "internal-server-error",
            Condition::ItemNotFound => "item-not-found",
            Condition::JidMalformed => "jid-malformed",
            Condition::NotAcceptable => "not-acceptable",
            Condition::NotAllowed => "not-allowed",
            Condition::NotAuthorized => "not-authorized",
            Condition::PolicyViolation => "policy-violation",
            Condition::RecipientUnavailable => "recipient-unavailable",
            Condition::RegistrationRequired => "registration-required",
            Condition::RemoteServerNotFound => "remote-server-not-found",
            Condition::ResourceConstraint => "resource-constraint",
            Condition::ServiceUnavailable => "service-unavailable",
            Condition::UnexpectedRequest => "unexpected-request",
        }
    }

    /// The type that RFC 6120 section 8.3.3 gives the condition.
    pub fn type_(self) -> ErrorType {
        match self {
            Condition::BadRequest
            | Condition::JidMalformed
            | Condition::NotAcceptable
            | Condition::PolicyViolation => ErrorType::Modify,
            Condition::Forbidden | Condition::NotAuthorized | Condition::RegistrationRequired => {
                ErrorType::Auth
            }
            Condition::RecipientUnavailable
            | Condition::ResourceConstraint
            | Condition::UnexpectedRequest => ErrorType::Wait,
            Condition::Conflict
            | Condition::FeatureNotImplemented
            | Condition::InternalServerError
            | Condition::ItemNotFound
            | Condition::NotAllowed
            | Condition::RemoteServerNotFound
            | Condition::ServiceUnavailable => ErrorType::Cancel,
        }
    }
}

/// What the sender may do about it (RFC 6120 section 8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    Auth,
    Cancel,
    Modify,
    Wait,
}

impl ErrorType {
    /// The attribute's value.
    pub fn name(self) -> &'static str {
        match self {
            ErrorType::Auth => "auth",
            ErrorType::Cancel => "cancel",
            ErrorType::Modify => "modify",
            ErrorType::Wait => "wait",
        }
    }
}

/// What the sender of one stanza is told; life goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaError {
    pub condition: Condition,
    pub type_: ErrorType,
    /// A sentence that a human can act on.
    pub text: Cow<'static, str>,
    /// The application-specific condition (RFC 6120 section 8.3.4) in normal form; empty for none.
    pub application: &'static str,
}

impl StanzaError {
    /// An error of the type that the RFC gives its condition; an empty text is not sent.
    pub fn new(condition: Condition, text: &'static str) -> StanzaError {
        StanzaError {
            condition,
            type_: condition.type_(),
            text: Cow::Borrowed(text),
            application: "",
        }
    }

    /// The same with an application-specific condition, an element in normal form.
    pub fn with_application(mut self, element: &'static str) -> StanzaError {
        self.application = element;
        self
    }

    /// The same with another type, where a specification says so.
    pub fn of_type(mut self, type_: ErrorType) -> StanzaError {
        self.type_ = type_;
        self
    }

    /// The `<error/>` element in normal form.
    pub fn to_xml(&self) -> String {
        let mut xml = format!(
            "<error type='{}'><{} xmlns='{}'/>",
            self.type_.name(),
            self.condition.name(),
            ns::STANZA_ERRORS
        )
        .into_bytes();
        if !self.text.is_empty() {
            xml.extend_from_slice(
                format!("<text xmlns='{}' xml:lang='en'>", ns::STANZA_ERRORS).as_bytes(),
            );
            escape_text(&self.text, &mut xml);
            xml.extend_from_slice(b"</text>");
        }
        // RFC 6120 section 8.3.2: behind the text.
        xml.extend_from_slice(self.application.as_bytes());
        xml.extend_from_slice(b"</error>");
        String::from_utf8(xml).expect("written from strings and ASCII only")
    }
}

impl fmt::Display for StanzaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.condition.name(), self.text)
    }
}
