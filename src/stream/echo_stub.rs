//! THROW-AWAY stand-in for the core streams.

use crate::shard::EchoStream;

slotmap::new_key_type! {
    /// A stream of one shard.
    pub struct StreamKey;
}

/// What the core keeps of a stream.
#[derive(Debug, Default)]
pub struct StreamState(pub EchoStream);

/// Which TLS was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

/// What a completed handshake proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    pub version: TlsVersion,
    pub exporter: Option<[u8; 32]>,
    pub end_point: Option<Vec<u8>>,
    pub server_name: Option<String>,
    pub alpn: Option<Vec<u8>>,
    pub certificate_addresses: Vec<String>,
}
