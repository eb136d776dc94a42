//! Stonechat: an XMPP server for large public services.

pub mod base;

pub mod jid;
pub mod xml;

pub mod config;
pub mod stanza;

pub mod actor;

pub mod im;
pub mod stream;

pub mod features;

pub mod shard;

#[cfg(feature = "shell")]
pub mod audit;
#[cfg(feature = "shell")]
pub mod auth;
#[cfg(feature = "shell")]
pub mod store;

#[cfg(feature = "shell")]
pub mod worker;

#[cfg(feature = "shell")]
pub mod server;
#[cfg(feature = "shell")]
pub mod tool;
