//! Audit records on their way to the disk: JSON lines in a file of their own. Refuses to make a worker wait,
//! and to know what an event means.

mod json;
mod sink;

pub use sink::{Audit, Stopped};
