//! Stonechat: an XMPP server for large public services.

pub mod actor;
pub mod auth;
pub mod base;
pub mod config;
pub mod im;
pub mod jid;
pub mod stream;
pub mod xml;
