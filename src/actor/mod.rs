//! The contract between the protocol and the machine: how a handler runs, what it may wait for, what it
//! may cause. Refuses to know any protocol, and who carries the effects out.

pub mod audit;
pub mod auth;
pub mod rows;
mod ticket;

pub use ticket::{Answer, Ticket};
