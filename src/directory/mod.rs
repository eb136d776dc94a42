//! Users who live in an LDAP directory: threads that ask it, and answer by ticket. Refuses to know SASL's messages,
//! streams, and how accounts are stored: `server/` brings what is asked of them as functions.

pub mod access;
mod ber;
mod cache;
mod cards;
mod desk;
pub mod dn;
mod error;
mod escape;
mod groups;
mod host;
mod keys;
mod lists;
mod mapping;
mod person;
mod poll;
mod pool;
mod profile;
mod refusals;
mod servers;
pub mod service;
pub mod trace;
mod verdict;

pub use desk::{Admission, Desk};
pub use error::DirectoryError;
pub use host::HostDirectory;
pub use pool::is_filter;
pub use service::DirectoryService;
