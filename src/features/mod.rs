//! One XEP, one file. A feature is a table of plain data; this list is the only place that knows them
//! all. No feature names another; what two of them share moves down to `engine/`.

mod account_commands;
mod blocking;
pub mod carbons;
mod client_state;
mod commands;
mod compression;
pub mod disco;
mod export;
mod fast;
mod groups;
mod invitations;
mod last_activity;
mod legacy_session;
pub mod mam;
mod offline;
mod own_sessions;
mod ping;
pub mod private_storage;
mod register;
mod roster;
mod sasl_upgrade;
mod stream_limits;
mod stream_management;
mod time;
pub mod vcard;
mod version;

use crate::actor::Feature;
use crate::im::Account;

/// Every feature, in the order in which disco announces them.
pub const ALL: &[&Feature<Account>] = &[
    &disco::DISCO,
    &disco::CAPS,
    &commands::COMMANDS,
    &own_sessions::OWN_SESSIONS,
    &account_commands::ACCOUNT_COMMANDS,
    &export::EXPORT,
    &groups::GROUPS,
    &roster::ROSTER,
    &register::REGISTER,
    &invitations::INVITATIONS,
    &legacy_session::SESSION,
    &ping::PING,
    &version::VERSION,
    &time::TIME,
    &last_activity::LAST_ACTIVITY,
    &vcard::VCARD,
    &private_storage::PRIVATE_STORAGE,
    &blocking::BLOCKING,
    &blocking::REPORTING,
    &carbons::CARBONS,
    &offline::OFFLINE,
    &mam::MAM,
    &mam::FULLTEXT,
    &fast::FAST,
    &sasl_upgrade::SASL_UPGRADE,
    &stream_management::STREAM_MANAGEMENT,
    &client_state::CLIENT_STATE,
    &compression::COMPRESSION,
    &stream_limits::STREAM_LIMITS,
];

/// Nothing: what a feature does not say.
const NONE: Feature<Account> = Feature {
    name: "",
    specs: &[],
    host_disco: &[],
    account_disco: &[],
    host: &[],
    account: &[],
    commands: &[],
    portable: None,
};

/// Their names, for the switches in `[features]`.
pub const NAMES: [&str; ALL.len()] = {
    let mut names = [""; ALL.len()];
    let mut at = 0;
    while at < ALL.len() {
        names[at] = ALL[at].name;
        at += 1;
    }
    names
};
