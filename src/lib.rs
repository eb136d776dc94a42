//! Stonechat: an XMPP server for large public services.

pub mod actor;
pub mod audit;
pub mod auth;
pub mod base;
pub mod config;
pub mod im;
pub mod jid;
pub mod server;
pub mod shard;
pub mod store;
pub mod stream;
pub mod tool;
pub mod worker;
pub mod xml;
