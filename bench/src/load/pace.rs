//! How often an open loop was to do something, beside how often it was done. A mix (`day`) has rates of each who is online, and
//! is not judged here.

use serde::{Deserialize, Serialize};

use super::counts::Counts;
use super::scenario::{Kind, Scenario};

/// Both a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    pub asked: f64,
    pub reached: f64,
}

impl Pace {
    /// Of so many hosts, in so many seconds; None for a closed loop, which asks for no rate.
    pub fn of(scenario: &Scenario, hosts: usize, counts: &Counts, seconds: f64) -> Option<Self> {
        let rates = (&scenario.chat, &scenario.presence, &scenario.muc);
        let (asked, done) = match (scenario.scenario, rates) {
            (Kind::Chat, (Some(chat), _, _)) => (chat.rate, counts.messages_received),
            // A later one may pass an earlier one over: what is heard tells less.
            (Kind::Presence, (_, Some(presence), _)) => (presence.rate, counts.presence_sent),
            // Each is heard by a whole room.
            (Kind::Muc, (_, _, Some(muc))) => {
                let room = u64::from(scenario.community());
                (muc.rate, counts.messages_received / room)
            }
            (Kind::Login, _) => (scenario.login.rate, counts.logins),
            _ => return None,
        };
        (asked > 0.0).then(|| Self {
            asked: asked * hosts as f64,
            reached: done as f64 / seconds.max(1e-9),
        })
    }

    /// For the terminal.
    pub fn text(&self) -> String {
        let Self { asked, reached } = self;
        let share = 100.0 * reached / asked;
        match share < ENOUGH {
            true => format!(
                "note: {reached:.0} a second are {share:.0} % of the {asked:.0} that were asked for"
            ),
            false => format!("rate: {asked:.0} a second asked for, {reached:.0} reached"),
        }
    }
}

/// Percent of what was asked for: less is not what the scenario says.
const ENOUGH: f64 = 95.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(scenario: &str, counts: Counts) -> Option<Pace> {
        let scenario = Scenario::parse(scenario, &[]).expect("a good scenario");
        Pace::of(&scenario, 2, &counts, 10.0)
    }

    #[test]
    fn what_an_open_loop_did_not_come_to_is_noted() {
        let counts = Counts {
            messages_received: 390,
            logins: 195,
            ..Counts::default()
        };
        let chat = pace("scenario = 'chat'\n[chat]\nrate = 20.0", counts).expect("a rate");
        assert_eq!((chat.asked, chat.reached), (40.0, 39.0));
        assert_eq!(chat.text(), "rate: 40 a second asked for, 39 reached");
        let login = pace("scenario = 'login'\n[login]\nrate = 20.0", counts).expect("a rate");
        assert!(login.text().starts_with("note: 20 a second are 49 %"));
        let muc = "scenario = 'muc'\n[users]\ncommunity = 10\ncount = 10\n[muc]\nrate = 2.0";
        let muc = pace(muc, counts).expect("a rate");
        assert_eq!((muc.asked, muc.reached), (4.0, 3.9));
        assert_eq!(pace("scenario = 'chat'", counts), None);
    }
}
