//! Accounts and their sessions (RFC 6121): what happens to a stanza at the bare JID to which it belongs.
//! Refuses to know how bytes became a stanza, and on which worker anybody else lives.

pub mod access;
pub mod account;
pub mod acks;
pub mod archive;
pub mod blocking;
pub mod capabilities;
pub mod classify;
pub mod commands;
pub mod credentials;
pub mod flood;
pub mod inactive;
pub mod invitation;
pub mod iq;
pub mod last;
pub mod looks;
pub mod message;
pub mod origin;
pub mod outgoing;
pub mod own;
pub mod pending;
pub mod presence;
pub mod quota;
pub mod roster;
pub mod seen;
pub mod session;
pub mod subscription;
pub mod waiting;

pub use account::{Account, Change, Progress};
pub use session::Session;
