//! What comes in on a stream: from bytes to frames, from these to elements, and from those to events. Refuses to know what an
//! element of the negotiation, or a stanza, asks for.

use crate::config::Config;
use crate::jid::Jid;
use crate::stanza::{
    ReadError, Stanza, StanzaError, StreamCondition, StreamError, ns, read_stanza,
};
use crate::xml::{Frame, FrameLimits, XmlError, normalise};

use super::nonza::Nonza;
use super::sasl_profile::other_traffic;
use super::state::{Context, Event, Phase, StreamState, not_authorized, unsupported_stanza_type};

impl StreamState {
    /// Takes bytes until something happens that only the shard can do, or they are used up: how many were
    /// taken, and what happened. Takes none while the stream waits.
    pub fn take(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> (usize, Option<Event>) {
        let mut taken = 0;
        while !self.waits() {
            if matches!(self.phase, Phase::Closing) {
                return (bytes.len(), None);
            }
            let limits = self.frame_limits(cx.config);
            // The framer lends its buffer to the frame, so it is taken out while the frame is read. It is asked
            // until it has no frame, which is also when it gives back its memory.
            let mut framer = std::mem::take(&mut self.framer);
            let (count, event, is_last) = match framer.next(&bytes[taken..], &limits) {
                Ok((count, None)) => (count, None, true),
                Ok((count, Some(frame))) => (count, self.on_frame(cx, frame, &limits), false),
                Err(error) => (bytes.len() - taken, self.fail(cx, error.into()), true),
            };
            if self.has_read_secret {
                framer.wipe();
            }
            self.framer = framer;
            taken += count;
            self.rate.spend_bytes(count);
            let event = match event {
                None if is_last && self.has_second_header() => self.fail(cx, self.misplaced()),
                event => event,
            };
            if event.is_some() || is_last {
                return (taken, event);
            }
        }
        (taken, None)
    }

    fn frame_limits(&self, config: &Config) -> FrameLimits {
        if self.jid.is_some() {
            FrameLimits::authenticated(config.c2s.element_size.as_bytes() as usize)
        } else {
            FrameLimits::PRE_AUTH
        }
    }

    fn on_frame(
        &mut self,
        cx: &mut Context<'_>,
        frame: Frame<'_>,
        limits: &FrameLimits,
    ) -> Option<Event> {
        match frame {
            // XEP-0388 section 2.2: "Clients MUST NOT send whitespace".
            Frame::Keepalive if self.is_in_sasl2() => self.fail(cx, other_traffic()),
            Frame::Keepalive => None,
            Frame::Header(text) => self.on_header(cx, text),
            // XML 1.0 section 3: "The Name in an element's end-tag MUST match the element type in the start-tag."
            Frame::End(name) if !is_end_of(&self.root_prefix, name) => {
                self.fail(cx, not_well_formed())
            }
            Frame::End(_) => Some(Event::Goodbye),
            Frame::Element(text) => self.on_element(cx, text, limits),
        }
    }

    /// The unfinished element is another stream header: without looking, what is sent "inside" it would be
    /// waited for as one element until that is too large (peers.md row 7).
    fn has_second_header(&self) -> bool {
        let (Some(scope), Some(name)) = (&self.scope, self.framer.unfinished_name()) else {
            return false;
        };
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        local == "stream" && scope.namespace(prefix) == Some(ns::STREAMS)
    }

    /// What an element that nobody expects is answered with.
    fn misplaced(&self) -> StreamError {
        match self.jid {
            None => not_authorized(),
            Some(_) => unsupported_stanza_type(),
        }
    }

    fn on_element(
        &mut self,
        cx: &mut Context<'_>,
        text: &str,
        limits: &FrameLimits,
    ) -> Option<Event> {
        let Some(scope) = self.scope.take() else {
            return self.fail(cx, invalid_xml());
        };
        let normal = normalise(text, &scope, limits, cx.scratch);
        self.scope = Some(scope);
        if let Err(error) = normal {
            return self.fail(cx, error.into());
        }
        self.rate.spend_stanza();
        // The scratch is the worker's: lent for the time in which this element is read.
        let mut scratch = std::mem::take(cx.scratch);
        let normal = scratch.normal();
        let mut is_secret = false;
        let event = if normal.ns == ns::CLIENT {
            match read_stanza(&normal, self.lang.as_ref(), cx.trace) {
                Ok(stanza) => {
                    is_secret = stanza.payload.may_be_secret();
                    self.on_stanza(cx, stanza, normal.attribute("from"))
                }
                Err(ReadError::Reject(stanza, error)) => {
                    is_secret = stanza.payload.may_be_secret();
                    self.on_malformed(cx, *stanza, error, normal.attribute("from"))
                }
                Err(ReadError::UnknownKind) => self.fail(cx, unsupported_stanza_type()),
            }
        } else {
            // What PLAIN sends is a password.
            is_secret = matches!(normal.ns, ns::SASL | ns::SASL2);
            self.on_negotiation(cx, &Nonza::new(&normal))
        };
        if is_secret {
            scratch.wipe();
            self.has_read_secret = true;
        }
        *cx.scratch = scratch;
        event
    }

    fn on_stanza(
        &mut self,
        cx: &mut Context<'_>,
        stanza: Stanza,
        from: Option<&str>,
    ) -> Option<Event> {
        match &self.phase {
            Phase::Bound | Phase::Binding if !self.may_come_from(from) => {
                self.fail(cx, invalid_from())
            }
            Phase::Bound => Some(Event::Stanza(stanza)),
            Phase::Binding => self.on_bind_request(cx, stanza),
            _ => self.on_early_stanza(cx, stanza),
        }
    }

    fn on_malformed(
        &mut self,
        cx: &mut Context<'_>,
        stanza: Stanza,
        error: StanzaError,
        from: Option<&str>,
    ) -> Option<Event> {
        match self.phase {
            Phase::Bound if !self.may_come_from(from) => self.fail(cx, invalid_from()),
            Phase::Bound => Some(Event::Malformed(stanza, error)),
            _ => self.fail(cx, not_authorized()),
        }
    }

    /// RFC 6120 section 4.9.3.9, `invalid-from`: "The data provided in a 'from' attribute does not match an
    /// authorized JID ... between a client and a server via SASL authentication and resource binding."
    fn may_come_from(&self, from: Option<&str>) -> bool {
        let Some(from) = from else {
            return true;
        };
        let (Some(own), Ok(from)) = (&self.jid, Jid::parse(from)) else {
            return false;
        };
        from == *own || from.as_str() == own.bare_str()
    }
}

/// Whether `name` closes a `<stream/>` of that prefix.
fn is_end_of(prefix: &str, name: &str) -> bool {
    match name.split_once(':') {
        Some((before, local)) => local == "stream" && before == prefix,
        None => name == "stream" && prefix.is_empty(),
    }
}

fn invalid_xml() -> StreamError {
    StreamError::new(
        StreamCondition::InvalidXml,
        "This element cannot stand here",
    )
}

fn invalid_from() -> StreamError {
    StreamError::new(
        StreamCondition::InvalidFrom,
        "The 'from' address is not yours",
    )
}

fn not_well_formed() -> StreamError {
    StreamError::from(XmlError::NotWellFormed)
}
