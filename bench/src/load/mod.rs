//! A load tool for any XMPP server: scenarios, parts that drive users, a coordinator, results and their report page.

pub mod accounts;
pub mod coordinator;
pub mod counts;
mod division;
pub mod latency;
pub mod ledger;
pub mod markdown;
pub mod pace;
pub mod part;
mod play;
mod progress;
mod rates;
mod reach;
pub mod report;
pub mod result;
pub mod scenario;
pub mod shed;
pub mod span;
pub mod stage;
mod sum;
pub mod surge;
pub mod unit;
pub mod watch;
mod words;
