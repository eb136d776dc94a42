//! The options of a listener: where connections are accepted, and what is offered on them. Refuses to know
//! who logs in.

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use crate::config::network::Network;

/// An address on which connections are accepted. Repeat the section for each.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listener {
    /// IP address and port; IPv6 in brackets, and `[::]` does not include IPv4.
    /// reload: restart
    pub address: String,
    /// Who connects here: "c2s" (clients).
    /// reload: restart
    pub kind: ListenerKind,
    /// When TLS begins: "starttls" (RFC 6120 section 5), "direct" (XEP-0368) or "none".
    /// reload: restart
    pub tls: TlsMode,
    /// Whether nothing but STARTTLS is offered before it; only with `tls = "starttls"`.
    /// reload: restart
    pub require_tls: bool,
    /// Whether every connection begins with a PROXY header (version 1 or 2), which is required then.
    /// reload: restart
    pub proxy_protocol: bool,
    /// Whether clients are asked for a certificate: "none" or "request". One logs in who was signed by an authority
    /// in `cert/client-ca.pem` of the data directory (PEM, read again on reload); without that file nobody is asked.
    /// reload: restart
    pub client_certificates: ClientCertificates,
    /// Whether compression is offered to clients that have logged in: "none" or "zlib" (XEP-0138, which is obsolete: what
    /// others make the server send beside a secret can tell of it). For links that have no bandwidth otherwise.
    /// reload: restart
    pub compression: Compression,
    /// From which addresses a client may have it, as in ["10.20.0.0/16", "fd00::/8"]; from all if there are none. Behind a
    /// proxy it is the address in the PROXY header that counts.
    /// reload: restart
    pub compression_networks: Vec<Network>,
}

impl Default for Listener {
    fn default() -> Listener {
        Listener {
            address: "[::]:5222".to_owned(),
            kind: ListenerKind::default(),
            tls: TlsMode::default(),
            require_tls: true,
            proxy_protocol: false,
            client_certificates: ClientCertificates::default(),
            compression: Compression::default(),
            compression_networks: Vec::new(),
        }
    }
}

/// Who connects to a listener.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerKind {
    /// Clients.
    #[default]
    C2s,
}

/// Whether compression is offered.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// It is not.
    #[default]
    None,
    /// XEP-0138 with the method of RFC 1950.
    Zlib,
}

/// When TLS begins on a listener.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// With the first byte (XEP-0368).
    Direct,
    /// Never.
    None,
    /// When the client asks for it (RFC 6120 section 5).
    #[default]
    Starttls,
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificates {
    /// They are not.
    #[default]
    None,
    /// They are, and may have none.
    Request,
}
