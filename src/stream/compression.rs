//! XEP-0138: Stream Compression, version 2.1, as negotiation: when it is offered and who may have it. Refuses to know how
//! bytes are compressed (`worker/deflate.rs`).
//!
//! | section | item |
//! |---|---|
//! | 2 offer, request, failures | [`StreamState::compression_feature`], `on_compression` |
//! | 2 a new stream | [`StreamState::compressed`] |
//! | 2 processing that fails | `shard/compression.rs` |
//! | 3 business rules, XEP-0170 2 | behind TLS and authentication, before a resource is bound: "both entities MUST now consider the previous (uncompressed) stream to be null and void", and a session cannot be begun anew |
//! | with XEP-0388 | after `<success/>`, in the features that follow it, as long as it brought no session: neither a resource bound inline (XEP-0386) nor a session resumed inline (XEP-0198); both may follow on the compressed stream. Authentication by token (XEP-0484) is the same |
//! | 5 other methods | not done: XEP-0229 is older still |
//!
//! It is Obsolete, because what an attacker can make a server send beside a secret tells of the secret (CRIME), so no
//! listener offers it until its operator says so, and the dictionary is forgotten between senders.

// The type of addresses alone: nothing here opens anything.
use core::net::IpAddr;

use crate::config::{Compression, Config, Dictionary, Network};
use crate::stanza::{StreamCondition, StreamError, ns};

use super::nonza::Nonza;
use super::state::{Event, Phase, StreamState};

impl StreamState {
    /// The stream feature, where compression can be had now.
    pub(super) fn compression_feature(&self, config: &Config) -> String {
        match self.may_compress(config) {
            true => format!(
                "<compression xmlns='{}'><method>{METHOD}</method></compression>",
                ns::COMPRESSION_FEATURE
            ),
            false => String::new(),
        }
    }

    /// Notes where the peer calls from; an address that nobody knows is in no network.
    pub fn comes_from(&mut self, config: &Config, address: Option<IpAddr>) {
        let listener = self.listener(config);
        let networks = listener.map_or(&[][..], |listener| &listener.compression_networks);
        let is_in = |network: &Network| address.is_some_and(|address| network.contains(address));
        self.may_compress_here = networks.is_empty() || networks.iter().any(is_in);
    }

    /// Authenticated, which TLS had to precede where it is required; and not bound, because a new stream begins.
    fn may_compress(&self, config: &Config) -> bool {
        let is_open = self.jid.is_some() && self.session.is_none() && self.compression.is_none();
        let listener = self.listener(config);
        is_open
            && self.may_compress_here
            && listener.is_some_and(|listener| listener.compression == Compression::Zlib)
            && config.has_feature("compression")
    }

    /// The client asks for it.
    pub(super) fn on_compression(&mut self, config: &Config, element: &Nonza<'_>) -> Option<Event> {
        let is_ready = matches!(self.phase, Phase::Binding) && self.may_compress(config);
        let mut methods = element
            .children()
            .filter(|child| child.is(ns::COMPRESS, "method"));
        if !is_ready {
            // "If the receiving entity finds the requested method unacceptable or unworkable for any other reason, it MUST
            // return a <setup-failed/> error".
            self.refuse_compression("setup-failed");
            return None;
        }
        if !methods.any(|method| method.text().trim() == METHOD) {
            // "If the initiating entity requests a stream compression method that is not supported by the receiving
            // entity, the receiving entity MUST return an <unsupported-method/> error".
            self.refuse_compression("unsupported-method");
            return None;
        }
        Some(Event::Compress)
    }

    /// "Failure of the negotiation SHOULD NOT be treated as an unrecoverable error and therefore SHOULD NOT result in a
    /// stream error."
    pub fn refuse_compression(&mut self, condition: &str) {
        self.outbound.push_xml(format!(
            "<failure xmlns='{}'><{condition}/></failure>",
            ns::COMPRESS
        ));
    }

    /// "the receiving entity MUST inform the initiating entity that compression has been successfully negotiated"; nothing
    /// is taken until the shell is ready for it.
    pub fn begin_compression(&mut self, dictionary: Dictionary) {
        self.outbound
            .push_xml(format!("<compressed xmlns='{}'/>", ns::COMPRESS));
        self.phase = Phase::Compressing(dictionary);
    }

    /// "Both entities MUST now consider the previous (uncompressed) stream to be null and void".
    pub fn compressed(&mut self) {
        if let Phase::Compressing(dictionary) = self.phase {
            self.compression = Some(dictionary);
            self.restart();
        }
    }
}

/// "If compression processing fails after the new (compressed) stream has been established, the entity that detects the
/// error SHOULD generate a stream error and close the stream".
pub fn processing_failed() -> StreamError {
    let mut error = StreamError::new(
        StreamCondition::UndefinedCondition,
        "What you sent cannot be decompressed, or grows too much",
    );
    error.application = format!(
        "<failure xmlns='{}'><processing-failed/></failure>",
        ns::COMPRESS
    );
    error
}

/// The only one: "Support for the ZLIB compression method as specified in RFC 1950 is REQUIRED."
const METHOD: &str = "zlib";
