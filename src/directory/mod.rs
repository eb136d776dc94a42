//! Users who live in an LDAP directory: threads that ask it, and answer by ticket. Refuses to know SASL's messages,
//! streams, and how accounts are stored: `server/` brings what is asked of them as functions.

pub mod access;
mod admission;
pub mod answers;
mod ber;
mod cache;
mod cards;
mod certified;
mod content;
mod desk;
pub mod dn;
mod due;
mod error;
mod escape;
mod grouped;
mod groups;
mod host;
mod keys;
mod leavers;
mod lists;
mod mapping;
mod meant;
mod password;
mod people;
mod person;
mod poll;
mod polled;
mod pool;
mod profile;
mod refusals;
pub mod room_book;
pub mod room_people;
pub mod room_writer;
pub mod rooms;
mod servers;
pub mod service;
mod sync;
mod threads;
pub mod trace;
mod verdict;
mod watch;

pub use desk::{Admission, Desk};
pub use error::DirectoryError;
pub use host::HostDirectory;
pub use pool::is_filter;
pub use service::DirectoryService;
