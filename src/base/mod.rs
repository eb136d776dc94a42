//! Ids, containers and bounds: what every other layer stands on. Refuses to know XMPP, and everything
//! an operating system offers; time and randomness arrive as arguments.

mod hash;
mod id;
pub mod limits;
mod rng;
mod seal;
mod secret;
mod sequence;
mod spares;
mod time;

pub use hash::{HashSeed, KeyedMap, KeyedSet, KeyedState};
pub use id::{
    AccountId, ActorKey, AddressPrefix, Generation, Partition, SessionId, StreamKey, TraceId, Uuid,
    WorkerId,
};
pub use rng::Rng;
pub use seal::Seal;
pub use secret::Secret;
pub use sequence::{Month, Sequence};
pub use spares::Spares;
pub use time::Now;
