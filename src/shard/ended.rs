//! What was handled of sessions that are over, for clients that come too late to resume them (XEP-0198 section
//! 5). It lives at the worker, not at the account, which leaves memory when it has no session; so it costs
//! neither sessions nor accounts anything, and a restart forgets it. Refuses to grow.

use std::collections::{BTreeMap, VecDeque};

use crate::base::{Now, limits};
use crate::jid::Jid;

/// The last [`limits::ENDED_COUNT_MAX`] sessions that ended while their client might have resumed them.
#[derive(Default)]
pub(super) struct Ended {
    by_token: BTreeMap<Box<str>, Count>,
    /// Their tokens, oldest first.
    order: VecDeque<Box<str>>,
}

struct Count {
    /// Of the account, whose full or bare JID it is.
    jid: Jid,
    handled: u32,
    at_ms: u64,
}

impl Ended {
    /// A session of `jid` is over that was to be resumed by `token`; `handled` is what an `<a/>` would have said.
    pub fn remember(&mut self, now: Now, token: &str, jid: Jid, handled: u32) {
        let is_old = |count: &Count| count.at_ms + limits::ENDED_MS <= now.mono_ms;
        while let Some(oldest) = self.order.front() {
            let is_full = self.order.len() >= limits::ENDED_COUNT_MAX;
            if !is_full && !self.by_token.get(oldest).is_none_or(is_old) {
                break;
            }
            self.by_token.remove(oldest);
            self.order.pop_front();
        }
        let count = Count {
            jid,
            handled,
            at_ms: now.mono_ms,
        };
        // Tokens are never given twice: each is in both or in neither.
        if self.by_token.insert(token.into(), count).is_none() {
            self.order.push_back(token.into());
        }
    }

    /// What was handled of the session of the account `bare` that was to be resumed by `token`; none once it is
    /// forgotten, and of others' sessions.
    pub fn handled(&self, now: Now, bare: &str, token: &str) -> Option<u32> {
        let count = self.by_token.get(token)?;
        let is_known = count.jid.bare_str() == bare && now.mono_ms < count.at_ms + limits::ENDED_MS;
        is_known.then_some(count.handled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now {
            mono_ms,
            ..Now::default()
        }
    }

    fn juliet() -> Jid {
        Jid::parse("juliet@example.org/balcony").expect("a JID")
    }

    #[test]
    fn a_count_is_told_to_its_account_for_a_while() {
        let mut ended = Ended::default();
        ended.remember(at(5), "t", juliet(), 7);
        let told = |ms, bare: &str, token: &str| ended.handled(at(ms), bare, token);
        assert_eq!(told(6, "juliet@example.org", "t"), Some(7));
        assert_eq!(told(6, "juliet@example.org", "u"), None);
        assert_eq!(told(6, "romeo@example.org", "t"), None);
        assert_eq!(told(5 + limits::ENDED_MS, "juliet@example.org", "t"), None);
    }

    #[test]
    fn the_oldest_make_room_and_those_whose_time_is_over() {
        let mut ended = Ended::default();
        for number in 0..=limits::ENDED_COUNT_MAX {
            ended.remember(at(1), &number.to_string(), juliet(), 1);
        }
        assert_eq!(ended.order.len(), limits::ENDED_COUNT_MAX);
        assert_eq!(ended.handled(at(1), "juliet@example.org", "0"), None);
        assert_eq!(ended.handled(at(1), "juliet@example.org", "1"), Some(1));
        ended.remember(at(1 + limits::ENDED_MS), "late", juliet(), 2);
        assert_eq!((ended.order.len(), ended.by_token.len()), (1, 1));
    }
}
