//! THROW-AWAY stand-in for the core: echoes lines, to test the shell.

pub mod input;
pub mod mesh;
pub mod output;
mod shard;

pub use input::{CloseReason, Control, Input, Opened, Place};
pub use output::{Ask, Fence, Output};
pub use shard::{EchoStream, Rendered, Shard};
