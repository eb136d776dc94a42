//! The start tag of a stream (RFC 6120 section 4.7). Refuses to know which values a server accepts.

use std::borrow::Cow;

use xmlparser::{ElementEnd, Token, Tokenizer};

use super::language::is_language;
use super::reference::push_unescaped;
use super::scope::shared;
use super::{FrameLimits, Scope, XML_NAMESPACE, XMLNS_NAMESPACE, XmlError};

/// A stream header, taken apart and unescaped. The caller checks name, namespace, version and addresses.
#[derive(Clone, Debug)]
pub struct Header {
    /// The prefix as written, empty if none; RFC 6120 section 4.8.5 recommends "stream".
    pub prefix: Cow<'static, str>,
    /// Local name of the root, to be "stream".
    pub name: String,
    /// Its namespace, to be `http://etherx.jabber.org/streams`.
    pub ns: String,
    pub to: Option<String>,
    pub from: Option<String>,
    pub id: Option<String>,
    pub version: Option<String>,
    /// `xml:lang`, if it is a language tag.
    pub lang: Option<String>,
    /// What elements of the stream inherit.
    pub scope: Scope,
}

/// Takes apart what [`Frame::Header`](super::Frame) found.
///
/// # Errors
///
/// `BadNamespacePrefix` if the root's own prefix is not declared; `TooManyAttributes` or `TooManyNamespaces`;
/// otherwise `NotWellFormed`.
pub fn parse_header(text: &str) -> Result<Header, XmlError> {
    let mut root = None;
    let mut attributes: Vec<(&str, &str, String)> = Vec::new();
    let mut complete = false;
    for token in Tokenizer::from_fragment(text, 0..text.len()) {
        match token.map_err(|_| XmlError::NotWellFormed)? {
            Token::ElementStart {
                prefix,
                local,
                span,
            } if root.is_none() && !span.as_str().starts_with("<:") => {
                root = Some((prefix.as_str(), local.as_str()));
            }
            Token::Attribute {
                prefix,
                local,
                value,
                span,
            } if !span.as_str().starts_with(':') => {
                let (prefix, local) = (prefix.as_str(), local.as_str());
                if attributes.len() >= FrameLimits::PRE_AUTH.attributes {
                    return Err(XmlError::TooManyAttributes);
                }
                if attributes
                    .iter()
                    .any(|other| other.0 == prefix && other.1 == local)
                {
                    return Err(XmlError::NotWellFormed);
                }
                let mut unescaped = String::new();
                push_unescaped(value.as_str(), &mut unescaped)?;
                attributes.push((prefix, local, unescaped));
            }
            Token::ElementEnd {
                end: ElementEnd::Open,
                ..
            } if !complete => complete = true,
            _ => return Err(XmlError::NotWellFormed),
        }
    }
    let (prefix, name) = root.filter(|_| complete).ok_or(XmlError::NotWellFormed)?;
    build(prefix, name, attributes)
}

fn build(
    prefix: &str,
    name: &str,
    attributes: Vec<(&str, &str, String)>,
) -> Result<Header, XmlError> {
    let mut header = Header {
        prefix: shared(prefix),
        name: name.to_owned(),
        ns: String::new(),
        to: None,
        from: None,
        id: None,
        version: None,
        lang: None,
        scope: Scope::without_header(""),
    };
    let mut prefixes = Vec::new();
    let mut prefixed = Vec::new();
    for (prefix, local, value) in attributes {
        match (prefix, local) {
            ("", "xmlns") => {
                if value == XML_NAMESPACE || value == XMLNS_NAMESPACE {
                    return Err(XmlError::NotWellFormed);
                }
                header.scope.default = shared(&value);
            }
            ("xmlns", _) => {
                let reserved = local == "xmlns" || value == XMLNS_NAMESPACE || value.is_empty();
                if reserved || (local == "xml") != (value == XML_NAMESPACE) {
                    return Err(XmlError::NotWellFormed);
                }
                prefixes.push((shared(local), shared(&value)));
            }
            ("", "to") => header.to = Some(value),
            ("", "from") => header.from = Some(value),
            ("", "id") => header.id = Some(value),
            ("", "version") => header.version = Some(value),
            // It is stamped on every stanza without one of its own: what is no language is not.
            ("xml", "lang") => header.lang = Some(value).filter(|tag| is_language(tag)),
            // Others are ignored, but their names must be namespace-well-formed.
            ("" | "xml", _) => {}
            _ => prefixed.push((prefix, local)),
        }
    }
    if prefixes.len() > FrameLimits::PRE_AUTH.namespaces {
        return Err(XmlError::TooManyNamespaces);
    }
    header.scope.prefixes = prefixes.into_boxed_slice();
    check_prefixed(&prefixed, &header.scope)?;
    header.ns = match prefix {
        "" => header.scope.default.clone().into_owned(),
        _ => lookup(&header.scope, prefix)
            .ok_or(XmlError::BadNamespacePrefix)?
            .to_owned(),
    };
    header.scope.lang = header.lang.as_deref().map(Box::from);
    // RFC 6120 section 4.8.2: the content namespace is declared as the default one, or on every stanza, when
    // it is "jabber:client" until the caller says otherwise.
    header.scope.content = match &*header.scope.default {
        "" | "http://etherx.jabber.org/streams" => shared("jabber:client"),
        _ => header.scope.default.clone(),
    };
    Ok(header)
}

fn lookup<'s>(scope: &'s Scope, prefix: &str) -> Option<&'s str> {
    let mut bindings = scope.prefixes.iter();
    bindings
        .find(|binding| binding.0 == prefix)
        .map(|binding| &*binding.1)
}

/// Every prefix is declared, and no two attributes have one expanded name.
fn check_prefixed(prefixed: &[(&str, &str)], scope: &Scope) -> Result<(), XmlError> {
    for (at, &(prefix, local)) in prefixed.iter().enumerate() {
        let ns = lookup(scope, prefix).ok_or(XmlError::NotWellFormed)?;
        if prefixed[..at]
            .iter()
            .any(|&(other, name)| name == local && lookup(scope, other) == Some(ns))
        {
            return Err(XmlError::NotWellFormed);
        }
    }
    Ok(())
}
