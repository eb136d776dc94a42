//! The store: rows by table and key, kept by an embedded engine behind threads that may wait for a disk.
//! Refuses to know what a row means, and who waits for an answer beyond the number of a seat.
//!
//! - `api`: the handle. Requests carry a ticket, answers come to a port; blocking forms for those who may wait.
//! - `queue`: what waits for the writer, and when it begins. `thread`: readers, and the one writer that commits
//!   once and then answers all.
//! - `batch`: what a collection of saves amounts to. `chain`: saves that rest on each other.
//! - `engine`: what an engine does; `embedded` does it on disk (fjall, opened by `files`), `memory` in maps.
//! - `schema`: versions of the data and the way from one to the next, whose steps alone know rows (`from_1`). `backup`: a copy while writes go on.
//!
//! **The promise.** A save that was answered [`Answer::Saved`](crate::actor::Answer::Saved) survives `kill -9`
//! and power loss. One that was answered `Failed` was refused or its fate is unknown: it may be found after a
//! crash, and whoever asked may save it again. Rows become visible to readers when they are durable, never
//! before.

mod api;
mod backup;
mod batch;
mod chain;
mod embedded;
mod engine;
mod files;
mod from_1;
pub mod memory;
mod queue;
mod room;
mod schema;
mod sequence;
mod space;
mod thread;

#[cfg(test)]
mod testing;

pub use crate::actor::rows::Fence;
pub use api::{OpenError, Port, PortId, Reply, Request, Saving, Store, StoreOptions};
pub use backup::BackupError;
pub use chain::Chains;
pub use engine::{Engine, Keys, Page, Visitor};
pub use schema::{MIGRATIONS, Migration};
