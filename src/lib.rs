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

pub mod audit;
pub mod auth;
pub mod store;

pub mod worker;

pub mod server;
pub mod tool;
