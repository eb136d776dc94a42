//! The clients' side: connections, the login, the messages. Everything here is the driver's own cost
//! and is never part of a figure; it only has to be cheap enough not to hold the server up.

pub mod link;
pub mod management;
pub mod message;
pub mod people;
pub mod plan;
pub mod record;
pub mod roster;
pub mod sasl;
pub mod sasl2;
pub mod session;
pub mod stanza;
pub mod swarm;
pub mod tls;
