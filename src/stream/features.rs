//! Stream features (RFC 6120 section 4.3.2): what the client may negotiate next, and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::actor::auth::TokenMechanism;
use crate::config::{Config, DirectoryCertificates, HostConfig, TlsMode};
use crate::stanza::ns;

use super::register::INVITATIONS;
use super::sasl::token::Unbound;
use super::sasl::{self, Mechanism, SaslPolicy};
use super::state::{Phase, StreamState};
use super::tls;
use super::upgrade;

impl StreamState {
    /// The features of the phase that begins.
    pub fn features(&self, config: &Config, caps: &BTreeMap<Arc<str>, String>) -> String {
        if self.jid.is_some() {
            let management = format!("<sm xmlns='{}'/>", ns::SM);
            self.after_authentication(&management, config, caps)
        } else {
            self.before_authentication(config)
        }
    }

    /// The features of a stream whose management was switched on with its binding: offering that once more
    /// would make clients ask, and take the refusal for the end of what they have.
    pub fn features_when_managed(
        &self,
        config: &Config,
        caps: &BTreeMap<Arc<str>, String>,
    ) -> String {
        self.after_authentication("", config, caps)
    }

    /// The mechanisms that this stream's host and channel allow now, best first.
    pub(super) fn mechanisms(&self, config: &Config) -> Vec<Mechanism> {
        let Some(host) = self.host_config(config) else {
            return Vec::new();
        };
        sasl::offered(
            &host.name,
            &policy(host),
            &tls::channel(self.tls.as_deref()),
        )
    }

    /// The mechanisms by which a token authenticates here (XEP-0484), best first.
    pub(super) fn token_mechanisms(&self, config: &Config) -> Vec<TokenMechanism> {
        let unbound = match config.auth.token_unbound {
            true => Unbound::Offered,
            false => Unbound::Refused,
        };
        match config.has_feature(FAST) {
            true => sasl::token::offered(&tls::channel(self.tls.as_deref()), unbound),
            false => Vec::new(),
        }
    }

    /// Whether TLS must come before anything else.
    pub(super) fn needs_tls(&self, config: &Config) -> bool {
        self.tls.is_none()
            && self
                .listener(config)
                .is_none_or(|listener| match listener.tls {
                    TlsMode::Starttls => listener.require_tls,
                    TlsMode::Direct => true,
                    TlsMode::None => false,
                })
    }

    fn before_authentication(&self, config: &Config) -> String {
        let mut xml = String::from("<stream:features>");
        let starttls = self.tls.is_none()
            && self
                .listener(config)
                .is_some_and(|listener| listener.tls == TlsMode::Starttls);
        if self.needs_tls(config) {
            // Section 5.3.1: "the receiving entity MUST NOT offer any other feature" beside a required
            // STARTTLS that could be negotiated before it.
            xml.push_str(&format!(
                "<starttls xmlns='{}'><required/></starttls>",
                ns::TLS
            ));
            xml.push_str("</stream:features>");
            return xml;
        }
        if starttls {
            xml.push_str(&format!("<starttls xmlns='{}'/>", ns::TLS));
        }
        let mechanisms = self.mechanisms(config);
        let names: String = mechanisms
            .iter()
            .map(|mechanism| format!("<mechanism>{}</mechanism>", mechanism.name()))
            .collect();
        xml.push_str(&format!(
            "<mechanisms xmlns='{}'>{names}</mechanisms>",
            ns::SASL
        ));
        // XEP-0388 section 6: "SASL2 MUST only be used by Clients or offered by Servers after TLS negotiation".
        if self.tls.is_some() {
            let upgrades = upgrade::offered(self.host_config(config), config);
            xml.push_str(&sasl2(
                &names,
                &upgrades,
                &self.token_mechanisms(config),
                config,
            ));
        }
        let bindings = sasl::channel_bindings(&mechanisms, &tls::channel(self.tls.as_deref()));
        if !bindings.is_empty() {
            xml.push_str(&format!(
                "<sasl-channel-binding xmlns='{}'>",
                ns::SASL_CHANNEL_BINDING
            ));
            for binding in bindings {
                xml.push_str(&format!("<channel-binding type='{binding}'/>"));
            }
            xml.push_str("</sasl-channel-binding>");
        }
        // Nothing but the deadline of the negotiation counts, however busy the stream is: that is no idle time.
        let limit = super::sasl_profile::PRE_AUTH_BYTES;
        xml.push_str(&limits(limit, None, config));
        if self.may_register(config) {
            if config.has_feature(INVITATIONS) {
                xml.push_str(&format!("<register xmlns='{}'/>", ns::IBR_TOKEN));
            }
            if self.is_open_to_all(config) {
                // XEP-0077 section 8: "a server ... MAY announce support for in-band registration".
                xml.push_str(&format!("<register xmlns='{}'/>", ns::REGISTER_FEATURE));
            }
        }
        xml.push_str("</stream:features>");
        xml
    }

    /// After authentication: a resource, stream management, and the limits that hold now.
    fn after_authentication(
        &self,
        management: &str,
        config: &Config,
        caps: &BTreeMap<Arc<str>, String>,
    ) -> String {
        let mut xml = String::from("<stream:features>");
        xml.push_str(&self.compression_feature(config));
        if !matches!(self.phase, Phase::Bound) {
            xml.push_str(&format!("<bind xmlns='{}'><required/></bind>", ns::BIND));
            if config.has_feature("legacy-session") {
                // RFC 3921's session, marked as RFC 6121 appendix E advises for compatibility.
                xml.push_str(&format!(
                    "<session xmlns='{}'><optional/></session>",
                    ns::SESSION
                ));
            }
        }
        if config.has_feature(STREAM_MANAGEMENT) {
            xml.push_str(management);
        }
        if config.has_feature("csi") {
            // XEP-0352 section 4.1: "in the stream features after the client has authenticated".
            xml.push_str(&format!("<csi xmlns='{}'/>", ns::CSI));
        }
        if config.has_feature("roster") {
            // RFC 6121 sections 2.6.1 and 3.4: "it MUST advertise the following stream feature".
            for (name, ns) in [("ver", ns::ROSTER_VERSIONING), ("sub", ns::PRE_APPROVAL)] {
                xml.push_str(&format!("<{name} xmlns='{ns}'/>"));
            }
        }
        // XEP-0115 section 6.3: "so that connecting clients ... do not need to send service discovery requests each
        // time they connect".
        let host = self.host_config(config);
        xml.push_str(host.and_then(|host| caps.get(&host.name)).map_or("", |c| c));
        xml.push_str(&limits(
            config.c2s.element_size.as_bytes() as usize,
            Some(config.c2s.ping_after.as_ms() / 1_000),
            config,
        ));
        xml.push_str("</stream:features>");
        xml
    }
}

/// XEP-0388 section 2.1, with what may be negotiated beside.
fn sasl2(mechanisms: &str, upgrades: &str, tokens: &[TokenMechanism], config: &Config) -> String {
    let mut xml = format!("<authentication xmlns='{}'>{mechanisms}<inline>", ns::SASL2);
    if config.has_feature(STREAM_MANAGEMENT) {
        xml.push_str(&format!("<sm xmlns='{}'/>", ns::SM));
    }
    xml.push_str(&format!("<bind xmlns='{}'><inline>", ns::BIND2));
    let inline = [
        (STREAM_MANAGEMENT, ns::SM),
        ("carbons", ns::CARBONS),
        ("csi", ns::CSI),
    ];
    for (feature, var) in inline {
        if config.has_feature(feature) {
            xml.push_str(&format!("<feature var='{var}'/>"));
        }
    }
    xml.push_str("</inline></bind>");
    if !tokens.is_empty() {
        // XEP-0484 section 3.1: "Servers that support FAST MUST advertise this as a SASL2 inline feature." Without
        // 'tls-0rtt': early data can be sent again by anybody.
        xml.push_str(&format!("<fast xmlns='{}'>", ns::FAST));
        for mechanism in tokens {
            xml.push_str(&format!("<mechanism>{}</mechanism>", mechanism.name()));
        }
        xml.push_str("</fast>");
    }
    xml.push_str("</inline>");
    // XEP-0480 section 2.1.
    xml.push_str(upgrades);
    xml.push_str("</authentication>");
    xml
}

/// XEP-0478 section 3.1; `idle_s` if silence has consequences.
fn limits(bytes_max: usize, idle_s: Option<u64>, config: &Config) -> String {
    if !config.has_feature("stream-limits") {
        return String::new();
    }
    let idle = idle_s.map_or_else(String::new, |idle_s| {
        format!("<idle-seconds>{idle_s}</idle-seconds>")
    });
    format!(
        "<limits xmlns='{}'><max-bytes>{bytes_max}</max-bytes>{idle}</limits>",
        ns::STREAM_LIMITS,
    )
}

/// What the host's back end can verify, and what the host allows of it.
fn policy(host: &HostConfig) -> SaslPolicy {
    SaslPolicy {
        scram: host.scram.clone(),
        plain: host.plain,
        external: host.external,
        subjects: host.directory.as_ref().is_some_and(|directory| {
            directory.options.certificates == DirectoryCertificates::Subject
        }),
        anonymous: host.anonymous,
    }
}

/// The name of its switch: `features/stream_management.rs` is a layer above.
const STREAM_MANAGEMENT: &str = "stream-management";
/// The same of `features/fast.rs`.
pub(super) const FAST: &str = "fast";
