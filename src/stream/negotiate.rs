//! The negotiation of a stream (RFC 6120 section 4.3): headers, STARTTLS, SASL in both profiles, binding and
//! stream management as elements. What they mean for an account is an event.

use crate::jid::{self, Jid};
use crate::stanza::{Iq, Kind, Stanza, StreamCondition, StreamError, Type, ns};
use crate::xml::{Header, escape_attribute, parse_header};

use super::login::{ClientState, EnableWish, ResumeWish};
use super::nonza::Nonza;
use super::state::{Context, Event, Phase, StreamState, not_authorized, unsupported_stanza_type};
use crate::config::TlsMode;

impl StreamState {
    /// A stream header arrived (section 4.7).
    pub(super) fn on_header(&mut self, cx: &mut Context<'_>, text: &str) -> Option<Event> {
        let header = match parse_header(text) {
            Ok(header) => header,
            Err(error) => return self.fail(cx, error.into()),
        };
        let from = header
            .from
            .as_deref()
            .and_then(|from| Jid::parse(from).ok());
        // Said back in our header: nobody of elsewhere.
        self.said_from = from
            .clone()
            .filter(|from| cx.config.host(from.domainpart()).is_some());
        if let Err(error) = self.accept_header(cx, &header, from.as_ref()) {
            return self.fail(cx, error);
        }
        self.lang = header.lang.as_deref().map(std::sync::Arc::from);
        self.root_prefix = header.prefix.clone();
        // Content that the client prefixes, with no default namespace, is jabber:client all the same.
        self.scope = Some(cx.scopes.share(header.scope.with_content(ns::CLIENT)));
        self.send_header(cx);
        self.phase = if self.jid.is_some() {
            Phase::Binding
        } else {
            Phase::Negotiating
        };
        self.outbound.push_xml(self.features(cx.config, cx.caps));
        None
    }

    /// Our header: a fresh id each time (section 4.7.3: "MUST be both unpredictable and non-repeating").
    pub(super) fn send_header(&mut self, cx: &mut Context<'_>) {
        self.id = cx.rng.token().into_boxed_str();
        let mut xml = b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
            xmlns:stream='http://etherx.jabber.org/streams'"
            .to_vec();
        let host = self
            .host_config(cx.config)
            .or(cx.config.hosts.first().map(|host| &**host));
        let from = host.map_or("", |host| &host.name);
        // Section 4.7.2: "the server MUST include a 'to' attribute" when the client said who it is, and "MUST NOT"
        // when it did not. Once it is authenticated it hears who it is, whatever it said.
        let known = self.jid.as_ref().filter(|_| self.said_from.is_some());
        let to = known.or(self.said_from.as_ref()).map(Jid::bare_str);
        // Section 4.7.5: "the version ... MUST be" 1.0; 4.7.4: xml:lang MUST be there.
        let attributes = [
            ("id", Some(&*self.id)),
            ("from", Some(from)),
            ("to", to),
            ("version", Some("1.0")),
            // What we say in words is English.
            ("xml:lang", Some("en")),
        ];
        for (name, value) in attributes {
            if let Some(value) = value {
                xml.extend_from_slice(format!(" {name}='").as_bytes());
                escape_attribute(value, &mut xml);
                xml.push(b'\'');
            }
        }
        xml.push(b'>');
        self.outbound
            .push_xml(String::from_utf8(xml).expect("written from strings and ASCII only"));
        self.header_sent = true;
    }

    /// An element that is no stanza.
    pub(super) fn on_negotiation(
        &mut self,
        cx: &mut Context<'_>,
        element: &Nonza<'_>,
    ) -> Option<Event> {
        match (element.ns, element.name) {
            (ns::TLS, "starttls") => self.on_starttls(cx),
            (ns::SASL, _) => self.on_sasl1(cx, element),
            (ns::SASL2, _) => self.on_sasl2(cx, element),
            (ns::SM, _) => self.on_stream_management(cx, element),
            (ns::COMPRESS, "compress") => self.on_compression(cx.config, element),
            (ns::CSI, name) if self.knows_states(cx) => match name {
                "active" => Some(Event::ClientState(ClientState::Active)),
                "inactive" => Some(Event::ClientState(ClientState::Inactive)),
                _ => self.fail(cx, unsupported_stanza_type()),
            },
            // Section 4.9.1.1: the client closes the stream over an error. That is no goodbye (XEP-0198 section 7):
            // it may come back for its session.
            (ns::STREAMS, "error") => {
                self.close();
                Some(Event::Ended)
            }
            // Section 4.8.3: stanzas of another content namespace.
            (ns::SERVER, _) => self.fail(
                cx,
                StreamError::new(
                    StreamCondition::InvalidNamespace,
                    "The content namespace of clients is jabber:client",
                ),
            ),
            _ if self.jid.is_none() => self.fail(cx, not_authorized()),
            _ => self.fail(cx, unsupported_stanza_type()),
        }
    }

    /// XEP-0352: states are of sessions, and only "after the client has authenticated".
    fn knows_states(&self, cx: &Context<'_>) -> bool {
        matches!(self.phase, Phase::Bound) && cx.config.has_feature("csi")
    }

    /// Section 7.6: `<iq type='set'><bind/></iq>`, and nothing else before it.
    pub(super) fn on_bind_request(
        &mut self,
        cx: &mut Context<'_>,
        stanza: Stanza,
    ) -> Option<Event> {
        let wish = Iq::request(&stanza)
            .filter(|_| stanza.header.kind == Kind::Iq && stanza.header.type_ == Type::Set)
            .map(Iq::child)
            .filter(|child| child.is(ns::BIND, "bind"));
        let Some(bind) = wish else {
            return self.fail(cx, not_authorized());
        };
        let resource = bind
            .child(ns::BIND, "resource")
            .map(|resource| resource.text().into_owned());
        let resource = resource.filter(|resource| !resource.is_empty());
        Some(Event::Bind {
            request: stanza,
            resource,
        })
    }

    /// Judges the header; `from` is the address in it, if it is one.
    fn accept_header(
        &mut self,
        cx: &Context<'_>,
        header: &Header,
        from: Option<&Jid>,
    ) -> Result<(), StreamError> {
        let refuse = |condition, text| Err(StreamError::new(condition, text));
        // Section 4.8.1: "the stream namespace ... MUST" be this; 4.9.3.10.
        if header.ns != ns::STREAMS {
            return refuse(
                StreamCondition::InvalidNamespace,
                "The stream's namespace is http://etherx.jabber.org/streams",
            );
        }
        if header.name != "stream" {
            return refuse(StreamCondition::BadFormat, "A stream begins with <stream/>");
        }
        if header.scope.content() != ns::CLIENT {
            return refuse(
                StreamCondition::InvalidNamespace,
                "The content namespace of clients is jabber:client",
            );
        }
        // Section 4.9.3.3: a prefix "MUST" not be something else by mistake; ours is free (4.8.5).
        let host = match header.to.as_deref().map(jid::prepare_domainpart) {
            Some(Ok(domain)) => cx.config.host(&domain),
            // Section 4.7.2: the client "MUST" say whom it wants.
            Some(Err(_)) | None => None,
        };
        let Some(host) = host else {
            return refuse(
                StreamCondition::HostUnknown,
                "This domain is not served here",
            );
        };
        // peers.md row 11: an identity is bound to the host under which it was proved.
        if self
            .host
            .as_ref()
            .is_some_and(|before| self.jid.is_some() && *before != host.name)
        {
            return refuse(
                StreamCondition::HostUnknown,
                "You authenticated for another domain",
            );
        }
        // XEP-0388 section 2.1: "If the "from" attribute is not empty and the domain used in this attribute does not
        // match the domain used in the "to" attribute the server SHOULD respond with an invalid-from error".
        if from.is_some_and(|from| from.domainpart() != &*host.name) {
            self.said_from = None;
            return refuse(
                StreamCondition::InvalidFrom,
                "Your address is of another domain than the one you asked for",
            );
        }
        // Section 4.9.3.9: "The data provided in a 'from' attribute does not match an authorized JID or validated domain as
        // negotiated ... between a client and a server via SASL authentication".
        if let (Some(proved), Some(from)) = (&self.jid, from)
            && from.bare_str() != proved.bare_str()
        {
            self.said_from = None;
            return refuse(
                StreamCondition::InvalidFrom,
                "You authenticated as somebody else",
            );
        }
        self.host = Some(std::sync::Arc::clone(&host.name));
        // Section 4.7.5, rule 1 and 4.9.3.25: no 'version' means 0.9, which is not supported.
        let major = header
            .version
            .as_deref()
            .and_then(|version| version.split('.').next());
        match major.and_then(|major| major.parse::<u32>().ok()) {
            Some(1..) => Ok(()),
            _ => refuse(
                StreamCondition::UnsupportedVersion,
                "This server speaks XMPP 1.0",
            ),
        }
    }

    /// Section 5.4.2.
    fn on_starttls(&mut self, cx: &mut Context<'_>) -> Option<Event> {
        let offered = self
            .listener(cx.config)
            .is_some_and(|l| l.tls == TlsMode::Starttls);
        let negotiating = matches!(self.phase, Phase::Negotiating);
        if !offered || !negotiating || self.tls.is_some() || self.jid.is_some() {
            // Section 5.4.2.2: "the receiving entity MUST return a <failure/> element ... and close".
            self.outbound
                .push_xml(format!("<failure xmlns='{}'/>", ns::TLS));
            self.close();
            return Some(Event::Ended);
        }
        self.outbound
            .push_xml(format!("<proceed xmlns='{}'/>", ns::TLS));
        self.phase = Phase::Securing;
        Some(Event::StartTls)
    }

    /// XEP-0198.
    fn on_stream_management(&mut self, cx: &mut Context<'_>, element: &Nonza<'_>) -> Option<Event> {
        let h = element.attribute("h").and_then(|h| h.parse().ok());
        match (&self.phase, element.name, h) {
            (Phase::Bound, "enable", _) => {
                let resume = matches!(element.attribute("resume"), Some("true" | "1"));
                let max_s = element.attribute("max").and_then(|max| max.parse().ok());
                Some(Event::Enable(EnableWish { resume, max_s }))
            }
            (Phase::Bound, "r", _) => Some(Event::AckRequested),
            (Phase::Bound, "a", Some(h)) => Some(Event::Acknowledged(h)),
            (Phase::Binding, "resume", _) => {
                match ResumeWish::read(element.attribute("previd"), element.attribute("h")) {
                    Ok(wish) => Some(Event::Resume(wish)),
                    Err(condition) => {
                        self.outbound.push_xml(failed(condition, None));
                        None
                    }
                }
            }
            // Section 3 and 5: not before authentication, not twice, not in the other's place.
            (_, "enable" | "resume", _) => {
                self.outbound.push_xml(failed("unexpected-request", None));
                None
            }
            (Phase::Bound | Phase::Binding, ..) => self.fail(
                cx,
                StreamError::new(
                    StreamCondition::InvalidXml,
                    "Not in this state, or without 'h'",
                ),
            ),
            _ => self.fail(cx, not_authorized()),
        }
    }
}

/// XEP-0198: `<failed/>` with a stanza error condition, and `h` where the session was known once.
pub fn failed(condition: &str, h: Option<u32>) -> String {
    let h = h.map_or_else(String::new, |h| format!(" h='{h}'"));
    format!(
        "<failed xmlns='{}'{h}><{condition} xmlns='{}'/></failed>",
        ns::SM,
        ns::STANZA_ERRORS
    )
}
