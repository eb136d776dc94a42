//! One XEP, one file. A feature is a table of plain data; this list is the only place that knows them
//! all. No feature names another; what two of them share moves down to `engine/`.

pub mod carbons;
mod disco;
mod last_activity;
mod legacy_session;
pub mod mam;
mod offline;
mod ping;
mod register;
mod roster;
mod stream_limits;
mod stream_management;
mod time;
mod version;

use crate::actor::Feature;
use crate::im::Account;

/// Every feature, in the order in which disco announces them.
pub const ALL: &[&Feature<Account>] = &[
    &disco::DISCO,
    &roster::ROSTER,
    &register::REGISTER,
    &legacy_session::SESSION,
    &ping::PING,
    &version::VERSION,
    &time::TIME,
    &last_activity::LAST_ACTIVITY,
    &carbons::CARBONS,
    &offline::OFFLINE,
    &mam::MAM,
    &mam::FULLTEXT,
    &stream_management::STREAM_MANAGEMENT,
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
