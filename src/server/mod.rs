//! What makes a process of the parts: start and stop, reload, the operator's door. Refuses to know XMPP.

pub mod accounts;
pub mod admin;
pub mod check;
pub mod command;
pub mod descriptors;
pub mod doorman;
pub mod log;
pub mod reload;
pub mod rows;
pub mod settings;
