//! The auth thread: answers what streams ask while they verify a user, from the embedded store. Refuses to
//! know SASL's messages, streams, and how a worker waits.

pub mod accounts;
pub mod admin;
mod counts;
mod elsewhere;
mod invitations;
pub mod keys;
mod looks;
mod noted;
mod open_invitations;
mod own;
mod passwords;
pub mod penalty;
mod purge;
mod registrations;
mod seen;
pub mod service;
mod shapes;
mod slots;
#[cfg(test)]
mod tests;
mod threads;
mod tokens;
mod turns;
mod waiting;
mod windows;

pub use crate::im::looks::LOOKS;
pub use crate::im::waiting::WAITING;
pub use accounts::{AccountRows, Accounts, AuthSettings};
pub use admin::{AccountError, AccountSummary};
pub use elsewhere::{ENTRY, Known, prepared};
pub use invitations::{InviteWish, Invited};
pub use noted::ITERATIONS;
pub use open_invitations::KnownInvitation;
pub use purge::Purged;
pub use service::AuthService;
pub use slots::TOKEN;
pub use tokens::TokenSettings;
