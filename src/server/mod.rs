//! What makes a process of the parts: start and stop, reload, the operator's door. Refuses to know XMPP.

pub mod accounts;
pub mod admin;
mod certificates;
pub mod check;
pub mod command;
pub mod data;
mod descriptors;
pub mod directory;
pub mod doorman;
pub mod log;
mod ports;
pub mod reload;
pub mod restored;
pub mod rows;
mod running;
pub mod settings;
mod shutdown;
pub mod start;
#[cfg(feature = "trunk")]
mod trunk;
pub mod umask;
