//! The options of a host whose users live in an LDAP directory. Refuses to know what a preset says where they are empty
//! (`config/directory.rs` does).

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use crate::base::limits;
use crate::config::units::Duration;

/// The LDAP directory in which this host's users live; without `servers` they live in the server's own store. What
/// depends on the kind of directory is the preset's where it is empty; conf/README.md lists those. A reload reads the
/// files anew and makes new connections.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostDirectory {
    /// Addresses as "ldap://host", "ldaps://host" or "ldapi://%2Fpath", with a port if it is another; the first that
    /// answers is used, and again once it answers again.
    /// reload: live
    pub servers: Vec<String>,
    /// The kind of directory: "openldap", "active-directory" or "389ds".
    /// reload: live
    pub preset: DirectoryPreset,
    /// Whether "ldap://" connections are encrypted by StartTLS before anything else is said.
    /// reload: live
    pub start_tls: bool,
    /// Whether the servers' certificates are verified. Without that, whoever is between can read every password.
    /// reload: live
    pub verify: bool,
    /// File with the authorities that sign the servers' certificates, in PEM; if empty, the system's.
    /// reload: live
    pub ca: String,
    /// File with the certificate that we show, in PEM; then we bind by it (SASL EXTERNAL), unless `bind_dn` is given.
    /// reload: live
    pub certificate: String,
    /// File with its private key in PEM; given exactly when `certificate` is.
    /// reload: live
    pub key: String,
    /// The entry as which we search; if empty, and there is no `certificate`, we search as nobody.
    /// reload: live
    pub bind_dn: String,
    /// File whose first line is its password.
    /// reload: live
    pub password_file: String,
    /// The entry below which users are looked for.
    /// reload: live
    pub base: String,
    /// How deep: "sub" everything below, "one" its children.
    /// reload: live
    pub scope: DirectoryScope,
    /// What is a user, as a filter (RFC 4515) in which `{user}` stands for the name that is looked for.
    /// reload: live
    pub filter: String,
    /// The attribute whose value is the localpart of the user's address.
    /// reload: live
    pub localpart: String,
    /// An attribute whose value no other entry ever has, or "-" for none. A name that comes back with another one is
    /// somebody else, and refused until an operator removes what the first had.
    /// reload: live
    pub unique: String,
    /// How passwords are verified: "bind" tries them on the directory (SASL PLAIN only), "scram" uses keys that it stores
    /// (RFC 5803; SASL SCRAM only), "both" offers both.
    /// reload: live
    pub authentication: DirectoryAuthentication,
    /// Whom a client's certificate stands for (`host.auth.external`): "address" whose id-on-xmppAddr it has, "subject" also
    /// whose entry its subject is the name of, where it has no such address of this host.
    /// reload: live
    pub certificates: DirectoryCertificates,
    /// The attribute with the keys of SCRAM.
    /// reload: live
    pub scram: String,
    /// For which digests users have them: of "SHA-1", "SHA-256", "SHA-512". What not everybody has must not be here.
    /// reload: live
    pub scram_hashes: Vec<DirectoryHash>,
    /// How users change their passwords: "off" not here, "modify" by the operation of RFC 3062 as `bind_dn`, which needs
    /// the right to it. Where `authentication` uses keys, those that an entry has are written anew with it, which needs the
    /// right to write `scram`, too.
    /// reload: live
    pub password_change: DirectoryPasswordChange,
    /// Whether people are told that they are locked out (`account-disabled`) where the directory says so whatever the
    /// password is: then a stranger who guesses learns which names exist. Otherwise they hear that the password is
    /// wrong, and only the log says why.
    /// reload: live
    pub tell_locked: bool,
    /// What is done with referrals: "refuse", or "follow", by which we search on servers that the directory names, as
    /// `bind_dn` and with its password, if their hosts are those of `servers` or in `referral_hosts`; by TLS, unless `servers`
    /// has one without. Users' passwords are tried on `servers` alone, and nobody tells of changes then.
    /// reload: live
    pub referrals: DirectoryReferrals,
    /// Other hosts to which referrals may lead, as in "ldap2.example.org". References to any other are passed over: what is
    /// said there would be the word of whoever may write a reference.
    /// reload: live
    pub referral_hosts: Vec<String>,
    /// Where entries may be that are found there, besides below the base that was asked about, as in "dc=example,dc=net".
    /// reload: live
    pub referral_bases: Vec<String>,
    /// How long making a connection may take, "100 ms" to "1 min": finding the addresses of its name, TLS and our own bind
    /// included.
    /// reload: live
    pub connect_timeout: Duration,
    /// How long one answer of the directory may take, "100 ms" to "1 min".
    /// reload: live
    pub operation_timeout: Duration,
    /// How long a question may wait for a connection that is free, "100 ms" to "1 min"; a login is answered within this and
    /// `operation_timeout`, whatever the directory does, and one operation more that was begun by then.
    /// reload: live
    pub queue_timeout: Duration,
    /// Connections that search, 1 to 64.
    /// reload: live
    pub search_connections: u32,
    /// Connections on which users' passwords are tried, 1 to 64.
    /// reload: live
    pub bind_connections: u32,
    /// Questions that may wait for a connection, 1 to 65536; beyond it they fail at once.
    /// reload: live
    pub queue: u32,
    /// How long it is believed that there is a user, for those who send them something; a login always asks.
    /// reload: live
    pub fresh: Duration,
    /// How long it is believed that there is none.
    /// reload: live
    pub fresh_unknown: Duration,
    /// Names about which that is remembered, 1 to 10000000, 200 bytes each.
    /// reload: live
    pub cache: u32,
    /// The entry below which permanent rooms are; if empty, there are none.
    /// reload: live
    pub rooms_base: String,
    /// What is a room, as a filter; its attributes are those of conf/ldap/stonechat.schema.
    /// reload: live
    pub rooms_filter: String,
    /// Whether the directory is to tell of changes if it can (RFC 4533; OpenLDAP's overlay syncprov): who is closed or gone
    /// loses sessions at once, and whose password is another one loses sessions and tokens.
    /// reload: live
    pub listen: bool,
    /// Entries whose changes are told, 1 to 20000000, some 500 bytes each; of more it is looked every `poll`.
    /// reload: live
    pub watched: u32,
    /// How often it is looked for those who have accounts where the directory does not tell; at least "1 s". One question
    /// for fifty accounts.
    /// reload: live
    pub poll: Duration,
}

impl Default for HostDirectory {
    fn default() -> HostDirectory {
        HostDirectory {
            servers: Vec::new(),
            preset: DirectoryPreset::default(),
            start_tls: true,
            verify: true,
            ca: String::new(),
            certificate: String::new(),
            key: String::new(),
            bind_dn: String::new(),
            password_file: String::new(),
            base: String::new(),
            scope: DirectoryScope::default(),
            filter: String::new(),
            localpart: String::new(),
            unique: String::new(),
            authentication: DirectoryAuthentication::default(),
            certificates: DirectoryCertificates::default(),
            scram: String::new(),
            scram_hashes: vec![DirectoryHash::Sha256],
            password_change: DirectoryPasswordChange::default(),
            tell_locked: false,
            referrals: DirectoryReferrals::default(),
            referral_hosts: Vec::new(),
            referral_bases: Vec::new(),
            connect_timeout: Duration::from_ms(limits::DIRECTORY_CONNECT_MS),
            operation_timeout: Duration::from_ms(limits::DIRECTORY_OPERATION_MS),
            queue_timeout: Duration::from_ms(limits::DIRECTORY_QUEUE_MS),
            search_connections: limits::DIRECTORY_SEARCH_CONNECTIONS,
            bind_connections: limits::DIRECTORY_BIND_CONNECTIONS,
            queue: limits::DIRECTORY_QUEUE_MAX,
            fresh: Duration::from_ms(limits::DIRECTORY_FRESH_MS),
            fresh_unknown: Duration::from_ms(limits::DIRECTORY_FRESH_UNKNOWN_MS),
            cache: limits::DIRECTORY_CACHE_MAX,
            rooms_base: String::new(),
            rooms_filter: "(objectClass=stonechatRoom)".to_owned(),
            listen: true,
            watched: limits::DIRECTORY_WATCHED_MAX,
            poll: Duration::from_ms(limits::DIRECTORY_POLL_MS),
        }
    }
}

/// Kinds of directories, each with its own defaults.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub enum DirectoryPreset {
    #[serde(rename = "389ds")]
    Ds389,
    #[serde(rename = "active-directory")]
    ActiveDirectory,
    #[default]
    #[serde(rename = "openldap")]
    OpenLdap,
}

/// How deep a search goes.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectoryScope {
    /// The children of the base.
    One,
    /// The base and everything below.
    #[default]
    Sub,
}

/// How a directory verifies passwords.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectoryAuthentication {
    /// By trying them.
    #[default]
    Bind,
    /// By both.
    Both,
    /// By keys that it stores.
    Scram,
}

impl DirectoryAuthentication {
    /// Whether passwords are tried on the directory.
    pub fn binds(self) -> bool {
        self != DirectoryAuthentication::Scram
    }

    /// Whether the directory has keys.
    pub fn has_keys(self) -> bool {
        self != DirectoryAuthentication::Bind
    }
}

/// Whom a certificate stands for.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectoryCertificates {
    /// Whose address is in it.
    #[default]
    Address,
    /// Also whose entry's name its subject is.
    Subject,
}

/// A digest as RFC 5803 names it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum DirectoryHash {
    #[serde(rename = "SHA-1")]
    Sha1,
    #[serde(rename = "SHA-256")]
    Sha256,
    #[serde(rename = "SHA-512")]
    Sha512,
}

/// How users change their passwords.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectoryPasswordChange {
    /// By RFC 3062.
    Modify,
    /// Not here.
    #[default]
    Off,
}

/// What is done when a directory sends us elsewhere.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectoryReferrals {
    /// We go there.
    Follow,
    /// We do not.
    #[default]
    Refuse,
}
