//! Which mechanisms there are, and which of them a host offers on a given channel. Refuses to run any.

use std::sync::Arc;

use super::identity;
use crate::actor::auth::ScramHash;
use crate::base::Secret;

/// A mechanism that this server can run, best first in the order of the variants. EXTERNAL leads because it
/// is offered only to who has shown a certificate for an address here; XEP-0438 section 5.1 ranks alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    External,
    ScramSha512Plus,
    ScramSha256Plus,
    ScramSha1Plus,
    ScramSha512,
    ScramSha256,
    ScramSha1,
    Plain,
    Anonymous,
}

impl Mechanism {
    /// Every mechanism, best first.
    pub const ALL: [Mechanism; 9] = [
        Mechanism::External,
        Mechanism::ScramSha512Plus,
        Mechanism::ScramSha256Plus,
        Mechanism::ScramSha1Plus,
        Mechanism::ScramSha512,
        Mechanism::ScramSha256,
        Mechanism::ScramSha1,
        Mechanism::Plain,
        Mechanism::Anonymous,
    ];

    /// The name under which IANA keeps it.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::External => "EXTERNAL",
            Mechanism::ScramSha512Plus => "SCRAM-SHA-512-PLUS",
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Mechanism::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha1 => "SCRAM-SHA-1",
            Mechanism::Plain => "PLAIN",
            Mechanism::Anonymous => "ANONYMOUS",
        }
    }

    /// The mechanism of that name, letter for letter (RFC 4422 section 3.1 knows upper case only).
    pub fn from_name(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|m| m.name() == name)
    }

    /// The digest of a SCRAM mechanism.
    pub fn scram_hash(self) -> Option<ScramHash> {
        match self {
            Mechanism::ScramSha512Plus | Mechanism::ScramSha512 => Some(ScramHash::Sha512),
            Mechanism::ScramSha256Plus | Mechanism::ScramSha256 => Some(ScramHash::Sha256),
            Mechanism::ScramSha1Plus | Mechanism::ScramSha1 => Some(ScramHash::Sha1),
            Mechanism::External | Mechanism::Plain | Mechanism::Anonymous => None,
        }
    }

    /// Whether the proof covers the channel that it travels on.
    pub fn binds_channel(self) -> bool {
        matches!(
            self,
            Mechanism::ScramSha512Plus | Mechanism::ScramSha256Plus | Mechanism::ScramSha1Plus
        )
    }
}

/// What a host wants and what its back end can verify.
#[derive(Clone, Debug, Default)]
pub struct SaslPolicy {
    /// The digests for which the back end keeps keys; none if it can only try passwords.
    pub scram: Vec<ScramHash>,
    /// The back end can try passwords and the host allows PLAIN; TLS is asked for in any case.
    pub plain: bool,
    /// Client certificates may stand for accounts.
    pub external: bool,
    /// So may their subjects, which are names of entries in a directory.
    pub subjects: bool,
    /// Strangers may have an address for the time of a stream.
    pub anonymous: bool,
}

/// What is known of the channel under a stream.
#[derive(Clone, Debug, Default)]
pub struct ChannelFacts {
    /// TLS is on.
    pub secured: bool,
    /// RFC 9266: 32 bytes exported under "EXPORTER-Channel-Binding". Present only if the handshake makes them
    /// unique: TLS 1.3, or 1.2 with the extended master secret.
    pub tls_exporter: Option<Secret>,
    /// RFC 5929 section 4: a digest of this server's certificate.
    pub tls_server_end_point: Option<Vec<u8>>,
    /// Every id-on-xmppAddr (RFC 6120 section 13.7.1.4) of a client certificate whose chain was verified.
    pub certificate_addresses: Vec<String>,
    /// The subject of such a certificate, as a name of an entry (RFC 4514).
    pub certificate_subject: Option<Arc<str>>,
}

impl ChannelFacts {
    /// The binding data that this channel has, by type, strongest first.
    pub(super) fn bindings(&self) -> Vec<(&'static str, Secret)> {
        let mut bindings = Vec::new();
        if !self.secured {
            return bindings;
        }
        if let Some(exported) = &self.tls_exporter {
            bindings.push(("tls-exporter", exported.clone()));
        }
        if let Some(certificate) = &self.tls_server_end_point {
            bindings.push(("tls-server-end-point", Secret::new(certificate.clone())));
        }
        bindings
    }

    /// The accounts of `host` for which the client's certificate stands, each once.
    pub(super) fn certified_localparts(&self, host: &str) -> Vec<Arc<str>> {
        let mut localparts: Vec<_> = self
            .certificate_addresses
            .iter()
            .filter_map(|address| identity::localpart_on(host, address))
            .collect();
        localparts.sort();
        localparts.dedup();
        localparts
    }
}

/// The mechanisms to advertise on this channel for `host`, best first. May be empty.
pub fn offered(host: &str, policy: &SaslPolicy, facts: &ChannelFacts) -> Vec<Mechanism> {
    let has_bindings = !facts.bindings().is_empty();
    Mechanism::ALL
        .into_iter()
        .filter(|mechanism| match mechanism.scram_hash() {
            Some(hash) => {
                policy.scram.contains(&hash) && (has_bindings || !mechanism.binds_channel())
            }
            None => match mechanism {
                Mechanism::External => {
                    let is_named = policy.subjects && facts.certificate_subject.is_some();
                    policy.external
                        && facts.secured
                        && (is_named || !facts.certified_localparts(host).is_empty())
                }
                Mechanism::Anonymous => policy.anonymous,
                // RFC 6120 section 13.8.3: never offered on a channel that anybody can read.
                _ => policy.plain && facts.secured,
            },
        })
        .collect()
}

/// The types to advertise by XEP-0440 beside `offered`; if there are none, the feature is absent.
///
/// Without a mechanism that binds there are no types either: XEP-0440 section 3 has clients abort when they
/// see "channel-binding announcements ... but no SASL mechanisms supporting channel-binding".
pub fn channel_bindings(offered: &[Mechanism], facts: &ChannelFacts) -> Vec<&'static str> {
    if !offered.iter().any(|mechanism| mechanism.binds_channel()) {
        return Vec::new();
    }
    facts.bindings().into_iter().map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> SaslPolicy {
        SaslPolicy {
            scram: vec![ScramHash::Sha1, ScramHash::Sha256, ScramHash::Sha512],
            plain: true,
            external: true,
            subjects: false,
            anonymous: true,
        }
    }

    #[test]
    fn an_open_channel_sees_neither_plain_nor_external_nor_binding() {
        let facts = ChannelFacts {
            secured: false,
            tls_exporter: Some(Secret::new(vec![1; 32])),
            tls_server_end_point: Some(vec![2; 32]),
            certificate_addresses: vec!["juliet@example.com".into()],
            certificate_subject: None,
        };
        let offered = offered("example.com", &everything(), &facts);
        assert_eq!(
            offered,
            [
                Mechanism::ScramSha512,
                Mechanism::ScramSha256,
                Mechanism::ScramSha1,
                Mechanism::Anonymous
            ]
        );
        assert!(channel_bindings(&offered, &facts).is_empty());
    }

    #[test]
    fn a_secured_channel_sees_all_that_it_can_carry_best_first() {
        let facts = ChannelFacts {
            secured: true,
            tls_exporter: Some(Secret::new(vec![1; 32])),
            tls_server_end_point: Some(vec![2; 32]),
            certificate_addresses: vec!["juliet@example.com".into()],
            certificate_subject: None,
        };
        let offered = offered("example.com", &everything(), &facts);
        assert_eq!(offered, Mechanism::ALL);
        assert_eq!(
            channel_bindings(&offered, &facts),
            ["tls-exporter", "tls-server-end-point"]
        );
    }

    #[test]
    fn a_back_end_that_only_tries_passwords_announces_no_channel_binding() {
        let policy = SaslPolicy {
            plain: true,
            ..SaslPolicy::default()
        };
        let facts = ChannelFacts {
            secured: true,
            tls_server_end_point: Some(vec![2; 32]),
            ..ChannelFacts::default()
        };
        let offered = offered("example.com", &policy, &facts);
        assert_eq!(offered, [Mechanism::Plain]);
        assert!(channel_bindings(&offered, &facts).is_empty());
    }

    #[test]
    fn a_certificate_for_elsewhere_is_no_reason_to_offer_external() {
        let facts = ChannelFacts {
            secured: true,
            certificate_addresses: vec!["juliet@example.org".into(), "nonsense".into()],
            ..ChannelFacts::default()
        };
        assert!(!offered("example.com", &everything(), &facts).contains(&Mechanism::External));
    }

    #[test]
    fn a_subject_is_a_reason_to_offer_external_where_a_directory_knows_it() {
        let facts = ChannelFacts {
            secured: true,
            certificate_subject: Some("uid=juliet,dc=example".into()),
            ..ChannelFacts::default()
        };
        let offers = |subjects| {
            let policy = SaslPolicy {
                subjects,
                ..everything()
            };
            offered("example.com", &policy, &facts).contains(&Mechanism::External)
        };
        assert!(offers(true) && !offers(false));
    }

    #[test]
    fn every_mechanism_is_found_under_its_own_name_only() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_name(mechanism.name()), Some(mechanism));
            assert_eq!(Mechanism::from_name(&mechanism.name().to_lowercase()), None);
        }
        assert_eq!(Mechanism::from_name("DIGEST-MD5"), None);
    }
}
