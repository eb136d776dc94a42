//! One worker's whole state, driven by values in and values out: the glass box. Refuses to know sockets,
//! threads, files and clocks.

mod answers;
mod apply;
mod aside;
mod bounds;
mod capabilities;
mod cell;
mod client_state;
#[cfg(test)]
mod colleagues_tests;
mod compression;
mod control;
mod deliver;
mod disk;
mod drain;
mod emptying;
mod ended;
mod expiry;
mod flood;
mod fresh;
mod groups;
mod held;
mod holders;
mod input;
mod lag;
mod load;
mod login;
mod look;
mod mesh;
mod numbers;
mod output;
mod outside;
mod overfull;
mod part;
mod pipelines;
mod post;
mod refuse;
#[cfg(test)]
mod removal_tests;
mod replay;
mod resume;
mod retention;
mod route;
mod save;
mod seats;
mod session_end;
#[allow(clippy::module_inception)]
mod shard;
mod spread;
mod spreads;
#[cfg(test)]
mod strangers_tests;
mod streams;
mod sweep;
#[cfg(test)]
mod testing;
mod timers;
mod trim;
mod turns;
mod unstored;

pub use input::{CloseReason, Control, Input, Opened, Place};
pub use look::AHEAD;
pub use mesh::Batch;
pub use numbers::{NUMBERS, numbers_floor, numbers_range, numbers_wait_ms};
pub use output::{Ask, Codec, Output};
pub use pipelines::PIPELINES;
pub use retention::RETENTION;
pub use route::Routes;
pub use shard::{Rendered, Seeds, Shard};
