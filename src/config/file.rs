//! Every option of the server, once: its type, its name in TOML, its meaning and its default. The sections are in the
//! files beside this one. Refuses to judge values (`check.rs` does) and to know where the text came from.
//!
//! The doc comments are the operator's manual: `conf/reference.toml` is made of them. The last line
//! of each says what a reload does with a changed value.

mod account;
mod client;
mod directory;
mod directory_cards;
mod directory_groups;
mod host;
mod listener;
mod process;

use std::collections::BTreeMap;

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

pub use account::{Auth, Blocking, Delivery, Keep, Profile, Roster};
pub use client::{C2s, Csi, Dictionary, ResourceConflict, Sm};
pub use directory::{
    DirectoryAuthentication, DirectoryCertificates, DirectoryHash, DirectoryPasswordChange,
    DirectoryPreset, DirectoryReferrals, DirectoryScope, HostDirectory,
};
pub use directory_cards::{DirectoryCards, DirectoryWriter, HostDirectoryCards};
pub use directory_groups::{GroupNesting, HostDirectoryGroups};
pub use host::{
    ArchiveDefault, Host, HostArchive, HostAuth, HostContact, HostRegistration, HostVcard,
    RegistrationMode,
};
pub use listener::{ClientCertificates, Compression, Listener, ListenerKind, TlsMode};
pub use process::{Audit, Log, Server, Store, Tls, TlsVersion, WhenFull};

/// The whole file. An absent section has its defaults; a `[[host]]` or `[[listener]]` replaces the default ones.
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// See [`Server`].
    pub server: Server,
    /// See [`Host`].
    pub host: Vec<Host>,
    /// See [`Listener`].
    pub listener: Vec<Listener>,
    /// See [`C2s`].
    pub c2s: C2s,
    /// See [`Sm`].
    pub sm: Sm,
    /// See [`Csi`].
    pub csi: Csi,
    /// See [`Delivery`].
    pub delivery: Delivery,
    /// See [`Roster`].
    pub roster: Roster,
    /// See [`Profile`].
    pub profile: Profile,
    /// See [`Blocking`].
    pub blocking: Blocking,
    /// See [`Auth`].
    pub auth: Auth,
    /// See [`Tls`].
    pub tls: Tls,
    /// See [`Store`].
    pub store: Store,
    /// See [`Audit`].
    pub audit: Audit,
    /// See [`Log`].
    pub log: Log,
    /// Switches by the feature's name; what is not named is on.
    pub features: BTreeMap<String, bool>,
}

impl Default for File {
    fn default() -> File {
        let listener = |address: &str, tls| Listener {
            address: address.to_owned(),
            tls,
            ..Listener::default()
        };
        File {
            server: Server::default(),
            host: vec![Host::default()],
            listener: vec![
                listener("0.0.0.0:5222", TlsMode::Starttls),
                listener("[::]:5222", TlsMode::Starttls),
                listener("0.0.0.0:5223", TlsMode::Direct),
                listener("[::]:5223", TlsMode::Direct),
            ],
            c2s: C2s::default(),
            sm: Sm::default(),
            csi: Csi::default(),
            delivery: Delivery::default(),
            roster: Roster::default(),
            profile: Profile::default(),
            blocking: Blocking::default(),
            auth: Auth::default(),
            tls: Tls::default(),
            store: Store::default(),
            audit: Audit::default(),
            log: Log::default(),
            features: BTreeMap::new(),
        }
    }
}
