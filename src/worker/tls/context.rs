//! What handshakes are made with: certificates, versions, suites and who is asked for what. Refuses to know the
//! connections that are made with it.

use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ProducesTickets, WebPkiClientVerifier};
use rustls::{CipherSuite, ServerConfig, SupportedProtocolVersion};

use crate::stream::TlsVersion;

use super::super::certificate::{Certificates, HostCertificate};
use super::super::client_certificate::{AnyCertificate, Authorities};
use super::compact::Overhearing;

/// What handshakes are made with; replaced as a whole when certificates are loaded again. Sessions that
/// stand keep the one they began with.
#[derive(Debug)]
pub struct TlsContext {
    silent: Configs,
    /// The same, but a certificate is asked of the client.
    asking: Configs,
    certificates: Arc<Certificates>,
    client_authorities: Authorities,
    client_verifier: Option<Arc<dyn ClientCertVerifier>>,
    tickets: Arc<dyn ProducesTickets>,
    handshake_timeout_ms: u64,
    negotiation_timeout_ms: u64,
}

#[derive(Debug)]
struct Configs {
    starttls: Ordered,
    direct: Ordered,
}

/// By whose order the cipher suite is chosen. Most libraries name AES-256 with SHA-384 first because it looks stronger; a
/// handshake hashes so much that this costs 20 microseconds more than AES-128 with SHA-256, which processors have
/// instructions for. Who names ChaCha20 first has none for AES, and gets what it wants.
#[derive(Clone, Debug)]
pub(super) struct Ordered {
    pub by_us: Arc<ServerConfig>,
    pub by_client: Arc<ServerConfig>,
}

/// What a context is made of.
#[derive(Debug)]
pub struct TlsWishes {
    /// The first host's certificate is shown to clients that name no host of ours.
    pub hosts: Vec<HostCertificate>,
    /// Versions that are accepted.
    pub versions: Vec<TlsVersion>,
    /// Authorities whose certificates prove addresses of clients. Without any, no client is asked.
    pub client_authorities: Authorities,
    /// How long a client may take.
    pub handshake_timeout_ms: u64,
    /// How long it may take to prove who it is.
    pub negotiation_timeout_ms: u64,
    /// Who keeps the keys of what comes behind the handshake.
    pub keeper: Keeper,
}

/// Who keeps the keys of a TLS 1.3 connection behind its handshake. Those of TLS 1.2 are always rustls'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// rustls, as ever: 7.3 KB.
    Rustls,
    /// We: a third of a kilobyte.
    Compact,
}

/// Whether clients of a listener are asked for a certificate. One that does not chain to a known authority
/// is no error, it merely proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// They are.
    Asked,
    /// They are not: some clients trouble their user with a dialogue when they are.
    Unasked,
}

/// How a connection comes to its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Plaintext first; TLS when the stream asks for it (RFC 6120 section 5).
    StartTls,
    /// TLS from the first byte (XEP-0368).
    Direct,
}

impl TlsContext {
    /// A context of `wishes` that replaces `before`, if there was one.
    ///
    /// # Errors
    /// No host, no version, or authorities that cannot be used.
    pub fn new(
        wishes: TlsWishes,
        before: Option<&TlsContext>,
    ) -> Result<TlsContext, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificates = Arc::new(Certificates::new(wishes.hosts)?);
        let client_verifier = if wishes.client_authorities.is_empty() {
            None
        } else {
            let roots = wishes.client_authorities.roots();
            let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
            let verifier = builder.build();
            Some(verifier.map_err(|error| rustls::Error::General(error.to_string()))?)
        };
        let tickets = match before {
            // Or every reload would cost all clients their resumption.
            Some(before) if before.proved_the_same(&certificates, &wishes.client_authorities) => {
                Arc::clone(&before.tickets)
            }
            _ => rustls::crypto::ring::Ticketer::new()?,
        };
        let versions: Vec<_> = wishes.versions.iter().map(of_rustls).collect();
        let mut light = rustls::crypto::CryptoProvider::clone(&provider);
        // Stable: the rest keeps its order.
        light
            .cipher_suites
            .sort_by_key(|suite| !is_light(suite.suite()));
        let light = Arc::new(light);
        let configs = |verifier: Arc<dyn ClientCertVerifier>| -> Result<Configs, rustls::Error> {
            let config = |provider: &Arc<rustls::crypto::CryptoProvider>| {
                let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
                    .with_protocol_versions(&versions)?
                    .with_client_cert_verifier(Arc::clone(&verifier));
                let resolver: Arc<Certificates> = Arc::clone(&certificates);
                Ok::<_, rustls::Error>(builder.with_cert_resolver(resolver))
            };
            let mut by_us = config(&light)?;
            by_us.ignore_client_order = true;
            let by_client = config(&provider)?;
            Ok(Configs::of(by_us, by_client, &tickets, wishes.keeper))
        };
        let silent = configs(WebPkiClientVerifier::no_client_auth())?;
        let asking = match &client_verifier {
            Some(strict) => configs(Arc::new(AnyCertificate::new(Arc::clone(strict))))?,
            None => configs(WebPkiClientVerifier::no_client_auth())?,
        };
        Ok(TlsContext {
            silent,
            asking,
            certificates,
            client_authorities: wishes.client_authorities,
            client_verifier,
            tickets,
            handshake_timeout_ms: wishes.handshake_timeout_ms,
            negotiation_timeout_ms: wishes.negotiation_timeout_ms,
        })
    }

    /// What each host shows, in the order of the configuration.
    pub fn hosts(&self) -> &[HostCertificate] {
        self.certificates.all()
    }

    /// The authorities whose certificates log clients in.
    pub fn client_authorities(&self) -> &Authorities {
        &self.client_authorities
    }

    /// What such a handshake is made with.
    pub(super) fn configs(&self, security: Security, asked: ClientCertificate) -> &Ordered {
        let configs = match asked {
            ClientCertificate::Asked => &self.asking,
            ClientCertificate::Unasked => &self.silent,
        };
        match security {
            Security::StartTls => &configs.starttls,
            Security::Direct => &configs.direct,
        }
    }

    /// What binds a login to the certificate that a client was shown who named this host.
    pub(super) fn end_point(&self, server_name: Option<&str>) -> Option<Vec<u8>> {
        self.certificates.of(server_name).end_point.clone()
    }

    /// Who judges the certificates of clients; none if nobody is asked for one.
    pub(super) fn client_verifier(&self) -> Option<&Arc<dyn ClientCertVerifier>> {
        self.client_verifier.as_ref()
    }

    /// Whether a session that began under this context may be resumed under one of these: then both sides know the
    /// same of each other. A client that resumes is not shown the host's certificate again and binds its login to the
    /// one that it saw (RFC 5929 section 4.1, tls-server-end-point), it is not asked for its own again, and a
    /// certificate that was replaced because somebody else has its key shall vouch for nothing any more.
    fn proved_the_same(&self, certificates: &Certificates, authorities: &Authorities) -> bool {
        let shown = |certificates: &Certificates| -> Vec<(String, String)> {
            let hosts = certificates.all().iter();
            hosts
                .map(|host| (host.host.clone(), host.fingerprint()))
                .collect()
        };
        shown(&self.certificates) == shown(certificates) && self.client_authorities == *authorities
    }

    /// How long a client may take.
    pub fn handshake_timeout_ms(&self) -> u64 {
        self.handshake_timeout_ms
    }

    /// How long it may take to prove who it is, from the opening of its stream.
    pub fn negotiation_timeout_ms(&self) -> u64 {
        self.negotiation_timeout_ms
    }
}

impl Configs {
    fn of(
        mut by_us: ServerConfig,
        mut by_client: ServerConfig,
        tickets: &Arc<dyn ProducesTickets>,
        keeper: Keeper,
    ) -> Configs {
        for config in [&mut by_us, &mut by_client] {
            if keeper == Keeper::Compact {
                config.enable_secret_extraction = true;
                config.key_log = Arc::new(Overhearing);
            }
            config.ticketer = Arc::clone(tickets);
            config.send_tls13_tickets = 1;
            // RFC 9266 section 3: before TLS 1.3 the exporter binds a channel only with the extended master
            // secret. rustls does not tell whether it was agreed on, so it is required; every maintained
            // library has had it since 2016.
            config.require_ems = true;
        }
        // XEP-0368: clients and servers use ALPN with the protocol name `xmpp-client`. rustls refuses a
        // client that offers only others and takes one that offers none.
        let direct = |config: &ServerConfig| {
            let mut config = config.clone();
            config.alpn_protocols = vec![ALPN_CLIENT.to_vec()];
            Arc::new(config)
        };
        Configs {
            direct: Ordered {
                by_us: direct(&by_us),
                by_client: direct(&by_client),
            },
            starttls: Ordered {
                by_us: Arc::new(by_us),
                by_client: Arc::new(by_client),
            },
        }
    }
}

/// What a processor with instructions for AES and SHA-256 does at least cost.
fn is_light(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

fn of_rustls(version: &TlsVersion) -> &'static SupportedProtocolVersion {
    match version {
        TlsVersion::V1_2 => &rustls::version::TLS12,
        TlsVersion::V1_3 => &rustls::version::TLS13,
    }
}

const ALPN_CLIENT: &[u8] = b"xmpp-client";

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A context of one host, `a.example`, which proves itself.
    pub fn context(keeper: Keeper) -> TlsContext {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
        let provider = rustls::crypto::ring::default_provider();
        let certificate = vec![made.cert.der().clone()];
        let key = rustls::sign::CertifiedKey::from_der(certificate, key.unwrap(), &provider);
        let wishes = TlsWishes {
            hosts: vec![HostCertificate::new("a.example", key.unwrap())],
            versions: vec![TlsVersion::V1_2, TlsVersion::V1_3],
            client_authorities: Authorities::default(),
            handshake_timeout_ms: 1,
            negotiation_timeout_ms: 1,
            keeper,
        };
        TlsContext::new(wishes, None).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::context;
    use super::*;

    // peers.md row 20.
    #[test]
    fn no_configuration_takes_early_data_and_tickets_are_of_half_a_day() {
        let context = context(Keeper::Rustls);
        for configs in [&context.silent, &context.asking] {
            let ordered = [&configs.starttls, &configs.direct];
            for config in ordered.iter().flat_map(|it| [&it.by_us, &it.by_client]) {
                assert_eq!(config.max_early_data_size, 0);
                assert!(config.ticketer.enabled());
                // The ticketer changes its key after half of that.
                assert!(config.ticketer.lifetime() <= 12 * 60 * 60);
            }
        }
    }
}
