//! The contract between the protocol and the machine: how a handler runs, what it may wait for, what it
//! may cause. Refuses to know any protocol, and who carries the effects out.

pub mod audit;
pub mod auth;
pub mod command;
pub mod directory;
mod effects;
mod envelope;
mod feature;
pub mod groups;
pub mod rows;
mod stage;
mod ticket;
mod turn;

pub use command::{Answers, Command, Field, Necessity, Page, Report};
pub use effects::{Delivery, Effects, Kept};
pub use envelope::{Envelope, Origin, Tell};
pub use feature::{Askers, Catalog, Feature, IqRoute, Spec, Verb};
pub use stage::{Draft, Stage};
pub use ticket::{Answer, Ticket};
pub use turn::{Actor, Aside, Disk, Handler, Loaded, Need, Outcome, Stop, Turn};
