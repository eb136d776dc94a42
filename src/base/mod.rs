//! Ids, containers and bounds: what every other layer stands on. Refuses to know XMPP, and everything
//! an operating system offers; time and randomness arrive as arguments.

mod hash;
mod id;
pub mod limits;
mod rng;
mod secret;
mod time;

pub use hash::{HashSeed, KeyedMap, KeyedSet, KeyedState};
pub use id::{AccountId, AddressPrefix, Generation, Partition, SessionId, TraceId, WorkerId};
pub use rng::Rng;
pub use secret::Secret;
pub use time::Now;
