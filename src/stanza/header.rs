//! What routing reads: kind, type, addresses, id, language.

use std::sync::Arc;

use super::Extensions;
use crate::base::TraceId;
use crate::jid::Jid;
use crate::xml::escape_attribute;

/// The three stanza kinds of RFC 6120 section 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Message,
    Presence,
    Iq,
}

impl Kind {
    /// The element's name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Message => "message",
            Kind::Presence => "presence",
            Kind::Iq => "iq",
        }
    }

    /// The kind of an element of this name.
    pub fn from_name(name: &str) -> Option<Kind> {
        match name {
            "message" => Some(Kind::Message),
            "presence" => Some(Kind::Presence),
            "iq" => Some(Kind::Iq),
            _ => None,
        }
    }
}

/// The types of all three kinds; which belong to which, [`Type::parse`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Messages (RFC 6121 section 5.2.2); `Normal` is the default and is not written.
    Normal,
    Chat,
    Groupchat,
    Headline,
    /// Presence (RFC 6121 section 4.7.1); `Available` is the absence of a type.
    Available,
    Unavailable,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    Probe,
    /// IQs (RFC 6120 section 8.2.3).
    Get,
    Set,
    Result,
    /// All three kinds.
    Error,
}

impl Type {
    /// The type that `kind` means by this attribute, or none if the RFC does not define it there.
    pub fn parse(kind: Kind, attribute: Option<&str>) -> Option<Type> {
        Some(match (kind, attribute) {
            (Kind::Message, Some("chat")) => Type::Chat,
            (Kind::Message, Some("groupchat")) => Type::Groupchat,
            (Kind::Message, Some("headline")) => Type::Headline,
            (Kind::Message, Some("error")) => Type::Error,
            // RFC 6121 section 5.2.2: "If an application receives a message with no 'type' attribute
            // or the application does not understand the value of the 'type' attribute provided, it
            // MUST consider the message to be of type "normal"".
            (Kind::Message, _) => Type::Normal,
            (Kind::Presence, None) => Type::Available,
            (Kind::Presence, Some("unavailable")) => Type::Unavailable,
            (Kind::Presence, Some("subscribe")) => Type::Subscribe,
            (Kind::Presence, Some("subscribed")) => Type::Subscribed,
            (Kind::Presence, Some("unsubscribe")) => Type::Unsubscribe,
            (Kind::Presence, Some("unsubscribed")) => Type::Unsubscribed,
            (Kind::Presence, Some("probe")) => Type::Probe,
            (Kind::Iq, Some("get")) => Type::Get,
            (Kind::Iq, Some("set")) => Type::Set,
            (Kind::Iq, Some("result")) => Type::Result,
            (Kind::Presence | Kind::Iq, Some("error")) => Type::Error,
            _ => return None,
        })
    }

    /// The attribute's value; none for the defaults.
    pub fn attribute(self) -> Option<&'static str> {
        Some(match self {
            Type::Normal | Type::Available => return None,
            Type::Chat => "chat",
            Type::Groupchat => "groupchat",
            Type::Headline => "headline",
            Type::Unavailable => "unavailable",
            Type::Subscribe => "subscribe",
            Type::Subscribed => "subscribed",
            Type::Unsubscribe => "unsubscribe",
            Type::Unsubscribed => "unsubscribed",
            Type::Probe => "probe",
            Type::Get => "get",
            Type::Set => "set",
            Type::Result => "result",
            Type::Error => "error",
        })
    }
}

/// A stanza's start tag, as values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    pub type_: Type,
    pub to: Option<Jid>,
    pub from: Option<Jid>,
    pub id: Option<Arc<str>>,
    /// `xml:lang`: the stanza's own, or the stream's (RFC 6120 section 4.7.4).
    pub lang: Option<Arc<str>>,
    /// What its recipient may understand.
    pub extensions: Option<Arc<Extensions>>,
    pub trace: TraceId,
}

impl Header {
    /// A header with nothing but a kind and a type.
    pub fn new(kind: Kind, type_: Type) -> Header {
        Header {
            kind,
            type_,
            to: None,
            from: None,
            id: None,
            lang: None,
            extensions: None,
            trace: TraceId::default(),
        }
    }

    /// Bytes of what has no bound of its own but a stanza's: addresses, id, language and extensions.
    pub(super) fn bytes(&self) -> usize {
        let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
        let address = |jid: &Option<Jid>| jid.as_ref().map_or(0, |jid| jid.as_str().len());
        let extensions = self.extensions.as_ref();
        let more = extensions.map_or(0, |extensions| extensions.xml().len());
        text(&self.id) + text(&self.lang) + address(&self.to) + address(&self.from) + more
    }

    /// Appends `<kind attributes`, without the closing `>` or `/>`.
    pub(super) fn write_open(&self, out: &mut Vec<u8>, ns: Option<&str>) {
        out.push(b'<');
        out.extend_from_slice(self.kind.name().as_bytes());
        let attributes = [
            ("xmlns", ns),
            ("from", self.from.as_ref().map(Jid::as_str)),
            ("to", self.to.as_ref().map(Jid::as_str)),
            ("id", self.id.as_deref()),
            ("type", self.type_.attribute()),
            ("xml:lang", self.lang.as_deref()),
        ];
        for (name, value) in attributes {
            if let Some(value) = value {
                out.push(b' ');
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"='");
                escape_attribute(value, out);
                out.push(b'\'');
            }
        }
        if let Some(extensions) = &self.extensions {
            out.extend_from_slice(extensions.xml().as_bytes());
        }
    }
}
