//! What an operator was told of servers to which a directory refers (RFC 4511 section 4.1.10). Refuses to decide whether they
//! are asked.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::base::limits;

/// By their addresses.
#[derive(Default)]
pub struct Referred(Mutex<BTreeMap<String, Told>>);

/// What was told of one.
#[derive(Default)]
struct Told {
    works: Option<bool>,
    /// When it was last told that it fails, and that it works.
    times: [Option<Instant>; 2],
}

impl Referred {
    /// It was asked, and has answered or not. Whether that is news: once, and of one that changes its mind again and again once in
    /// the longest back-off. Nobody is told of more than [`limits::DIRECTORY_REFERRED_MAX`]: directories may name any.
    pub fn note(&self, server: &str, works: bool, now: Instant) -> bool {
        let mut known = self.0.lock();
        if !known.contains_key(server) && known.len() >= limits::DIRECTORY_REFERRED_MAX {
            return false;
        }
        let told = known.entry(server.to_owned()).or_default();
        let pause = Duration::from_millis(limits::DIRECTORY_BACK_OFF_MAX_MS);
        let time = &mut told.times[usize::from(works)];
        let is_soon = time.is_some_and(|time| now.saturating_duration_since(time) < pause);
        if told.works == Some(works) || is_soon {
            return false;
        }
        *time = Some(now);
        told.works = Some(works);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_so_is_told_once_and_what_changes_now_and_then() {
        let referred = Referred::default();
        let begun = Instant::now();
        let note = |works, ms| referred.note("ldap://a", works, begun + Duration::from_millis(ms));
        assert!(note(true, 0) && !note(true, 1));
        assert!(note(false, 2) && !note(false, 3));
        assert!(!note(true, 4) && !note(false, 5));
        let pause = limits::DIRECTORY_BACK_OFF_MAX_MS;
        assert!(!note(false, pause) && note(true, pause) && !note(true, 2 * pause));
        assert!(note(false, 2 * pause));
    }

    #[test]
    fn so_many_are_told_of_and_no_more() {
        let referred = Referred::default();
        let now = Instant::now();
        for index in 0..limits::DIRECTORY_REFERRED_MAX {
            assert!(referred.note(&format!("ldap://a{index}"), true, now));
        }
        assert!(!referred.note("ldap://another", true, now));
        assert!(referred.note("ldap://a0", false, now));
    }
}
