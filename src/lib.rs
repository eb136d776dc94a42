//! Stonechat: an XMPP server for large public services.

pub mod actor;
pub mod base;
pub mod jid;
pub mod store;
pub mod xml;
