//! What clients do: one file for each scenario.

mod chat;
mod churn;
mod day;
mod friends;
mod presence;
mod ring;
mod rooms;
mod rush;
mod seen;

use super::scenario::{Kind, Scenario};
use super::stage::{Play, Stage};

pub use friends::Friends;
pub use ring::Ring;

/// What a scenario asks of one thread, which drives `share` (0 to 1) of a host's users.
pub fn of(scenario: &Scenario, share: f64) -> Box<dyn Play> {
    match scenario.scenario {
        Kind::Idle => Box::new(Idle),
        Kind::Login => Box::new(churn::Churn::new(scenario.login.clone(), share)),
        Kind::Chat => {
            let chat = scenario.chat.clone().unwrap_or_default();
            Box::new(chat::Pairs::new(chat, share))
        }
        Kind::Presence => {
            let presence = scenario.presence.clone().unwrap_or_default();
            Box::new(presence::Flips::new(presence, &scenario.users, share))
        }
        Kind::Muc => {
            let muc = scenario.muc.clone().unwrap_or_default();
            Box::new(rooms::Rooms::new(muc, &scenario.users, share))
        }
        Kind::Day => {
            let day = scenario.day.clone().unwrap_or_default();
            Box::new(day::Day::new(day, &scenario.users))
        }
    }
}

/// Sessions that only answer what the server asks.
struct Idle;

impl Play for Idle {}

/// One of an open loop's messages is sent by each user in turn, so that all have the same load: the next seat after
/// `last` for which `is_fit`.
fn next_seat(
    stage: &Stage,
    last: &mut usize,
    is_fit: impl Fn(&Stage, usize) -> bool,
) -> Option<usize> {
    let count = stage.seats.len();
    for _ in 0..count {
        *last = (*last + 1) % count;
        if is_fit(stage, *last) {
            return Some(*last);
        }
    }
    None
}
