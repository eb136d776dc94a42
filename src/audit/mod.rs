//! Audit records on their way to the disk: JSON lines in a file of their own. Refuses to make a worker wait,
//! and to know what an event means.

mod journal;
mod json;
mod sink;
#[cfg(test)]
mod testing;

pub use sink::{Audit, Stopped};
