//! Stonechat: an XMPP server for large public services.

pub mod actor;
pub mod base;
pub mod config;
pub mod jid;
pub mod server;
pub mod shard;
pub mod stream;
pub mod worker;
pub mod xml;
