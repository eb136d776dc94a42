//! Declared options: text in, [`Config`] out, or everything that is wrong with the text. Refuses to read
//! files, open sockets or parse certificates; whoever calls brings the text and judges the rest.

pub mod units;

mod cards;
mod check;
mod difference;
mod directory;
mod file;
mod groups;
mod host;
mod judge;
mod network;
mod place;
mod reference;

pub use cards::{CardField, Cards};
pub use check::{Outside, load};
pub use difference::{Change, difference, live_part};
pub use directory::DirectoryConfig;
pub use file::{
    ArchiveDefault, Audit, Auth, Blocking, C2s, ClientCertificates, Compression, Csi, Delivery,
    Dictionary, DirectoryAuthentication, DirectoryCards, DirectoryCertificates,
    DirectoryPasswordChange, DirectoryPreset, DirectoryReferrals, DirectoryScope, DirectoryWriter,
    File, GroupNesting, Host, HostArchive, HostAuth, HostDirectory, HostRegistration, Keep,
    Listener, ListenerKind, Log, RegistrationMode, ResourceConflict, Roster, Server, Sm, Store,
    Tls, TlsMode, TlsVersion, WhenFull,
};
pub use groups::GroupsConfig;
pub use host::{Certificate, Config, HostConfig, ScramHash};
pub use network::Network;
pub use place::{ConfigError, Places};
pub use reference::{Reload, Section, help, reference, sections};
