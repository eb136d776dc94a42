//! What a stream may know of the TLS below it: facts, no library.

use std::sync::Arc;

use super::sasl::ChannelFacts;
use crate::base::Secret;

/// Facts of a completed handshake.
#[derive(Clone, Debug)]
pub struct TlsFacts {
    pub version: TlsVersion,
    /// RFC 9266, label "EXPORTER-Channel-Binding"; only where the handshake makes it unique.
    pub exporter: Option<[u8; 32]>,
    /// RFC 5929 section 4: digest of our certificate.
    pub end_point: Option<Vec<u8>>,
    /// SNI (RFC 6066 section 3).
    pub server_name: Option<String>,
    /// RFC 7301.
    pub alpn: Option<Vec<u8>>,
    /// id-on-xmppAddr (RFC 6120 section 13.7.1.4) of a verified client certificate.
    pub certificate_addresses: Vec<String>,
    /// The subject of a verified client certificate, as a name of an entry (RFC 4514).
    pub certificate_subject: Option<Arc<str>>,
}

/// A version of TLS that this server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

/// What SASL may know of the channel.
pub(super) fn channel(facts: Option<&TlsFacts>) -> ChannelFacts {
    facts.map_or_else(ChannelFacts::default, |facts| ChannelFacts {
        secured: true,
        tls_exporter: facts.exporter.map(|bytes| Secret::new(bytes.to_vec())),
        tls_server_end_point: facts.end_point.clone(),
        certificate_addresses: facts.certificate_addresses.clone(),
        certificate_subject: facts.certificate_subject.clone(),
    })
}
