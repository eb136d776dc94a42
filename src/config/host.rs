//! The checked configuration: the only form of it that the server sees. Immutable, meant to be shared in
//! an `Arc`; refuses to know how it was written.

use std::sync::Arc;

use super::directory::DirectoryConfig;
use super::file::{
    Audit, Auth, Blocking, C2s, Csi, Delivery, File, HostArchive, HostContact, HostRegistration,
    HostVcard, Listener, Log, Profile, Roster, Server, Sm, Store, Tls,
};
use super::place::Places;
use crate::jid::{is_deceptive, skeleton};

/// Everything an operator decided, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub server: Server,
    /// In the order of the file; at least one, names differ.
    pub hosts: Vec<Arc<HostConfig>>,
    /// At least one, addresses differ.
    pub listeners: Vec<Listener>,
    pub c2s: C2s,
    pub sm: Sm,
    pub csi: Csi,
    pub delivery: Delivery,
    pub roster: Roster,
    pub profile: Profile,
    pub blocking: Blocking,
    pub auth: Auth,
    pub tls: Tls,
    pub store: Store,
    pub audit: Audit,
    pub log: Log,
    /// The options as they were given, with defaults: for printing and comparing.
    pub(super) file: File,
    pub(super) places: Places,
}

/// One served domain and its policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConfig {
    /// The prepared domainpart.
    pub name: Arc<str>,
    pub certificate: Certificate,
    /// Whether SASL PLAIN is offered on encrypted streams.
    pub plain: bool,
    /// Whether SASL EXTERNAL is offered to clients with a certificate.
    pub external: bool,
    /// Whether SASL ANONYMOUS is offered.
    pub anonymous: bool,
    /// What the back end that keeps this host's accounts can verify, best first: only that is offered. It is no option;
    /// the embedded store has keys of all, a directory those that it is said to have.
    pub scram: Vec<ScramHash>,
    /// PBKDF2 iterations of new keys: the host's own choice or the server's.
    pub scram_iterations: u32,
    /// What is archived, and how long and how much of it is kept.
    pub archive: HostArchive,
    /// What it says of itself.
    pub vcard: HostVcard,
    /// How to reach those who run it.
    pub contact: HostContact,
    /// Who may make an account; reserved names are prepared.
    pub registration: HostRegistration,
    /// Where its users live, if not in the server's own store.
    pub directory: Option<Arc<DirectoryConfig>>,
}

impl HostRegistration {
    /// Whether the host gives this name, prepared, to anybody who asks for one.
    ///
    /// # Errors
    /// A sentence for who asked.
    pub fn allows(&self, localpart: &str) -> Result<(), &'static str> {
        let count = localpart.chars().count();
        if count < self.name_min as usize || count > self.name_max as usize {
            return Err("The name is too short or too long");
        }
        let looks = bare_looks(localpart);
        let mut reserved = self.reserved.iter();
        if reserved.any(|reserved| bare_looks(reserved) == looks) {
            return Err("This name is reserved, or looks like one that is");
        }
        if !self.lookalikes && is_deceptive(localpart) {
            return Err("This name could be taken for another: use the letters of one script");
        }
        Ok(())
    }
}

/// What people read who do not look closely: UTS #39 tells "admin" from "adm1n" and from "admin.", which they do not.
fn bare_looks(name: &str) -> String {
    let looks = skeleton(name);
    let letters = looks.chars().filter(|c| !c.is_ascii_punctuation());
    // "1" looks like "l" there, and here "l" like "i".
    letters.map(|c| if c == 'l' { 'i' } else { c }).collect()
}

/// Which digest a SCRAM mechanism stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScramHash {
    Sha1,
    Sha256,
    Sha512,
}

impl ScramHash {
    /// Every one, best first.
    pub const ALL: &[ScramHash] = &[ScramHash::Sha512, ScramHash::Sha256, ScramHash::Sha1];
}

/// Where a host's certificate comes from. Paths are as written: relative ones start at the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// Two files in PEM: the chain and its private key.
    Files { certificate: String, key: String },
    /// Made at the first start and kept in the data directory.
    SelfSigned,
}

impl Config {
    /// The host of this prepared domainpart.
    pub fn host(&self, name: &str) -> Option<&Arc<HostConfig>> {
        self.hosts.iter().find(|host| &*host.name == name)
    }

    /// Whether a feature is switched on; what the file does not name is.
    pub fn has_feature(&self, name: &str) -> bool {
        self.file.features.get(name).copied().unwrap_or(true)
    }

    /// Where values stand in the file, for errors that only the shell can find.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// All options with the values in force, as TOML.
    pub fn effective(&self) -> String {
        toml::to_string(&self.file).expect("what was read from TOML is representable in TOML")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_read_as_a_reserved_name_is_reserved() {
        let registration = HostRegistration {
            reserved: ["admin", "info", "no-reply"].map(str::to_owned).to_vec(),
            ..HostRegistration::default()
        };
        let allows = |name| registration.allows(name).is_ok();
        for name in [
            "admin",
            "adm1n",
            "a.d-m_i.n",
            "-info",
            "info.",
            "1nfo",
            "noreply",
            "аdmin",
        ] {
            assert!(!allows(name), "{name}");
        }
        for name in ["admiral", "information", "romeo", "in", "..."] {
            assert!(allows(name), "{name}");
        }
    }
}
