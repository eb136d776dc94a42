//! Stonechat: an XMPP server for large public services.

pub mod actor;
pub mod base;
pub mod config;
pub mod jid;
pub mod xml;
