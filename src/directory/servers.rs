//! Which of a directory's servers is used: the first that works, and again once it does. Refuses to connect.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::pool::Purpose;
use crate::base::limits;

/// What is known of the servers, by their places in the configuration. Shared by all connections.
pub struct Servers {
    states: Mutex<Vec<State>>,
}

#[derive(Clone, Default)]
struct State {
    failures: u32,
    /// Left alone until then; none if it works as far as anybody knows.
    until: Option<Instant>,
    /// When it last did what somebody asked for, by [`Purpose`].
    worked: [Option<Instant>; 2],
    /// When an operator was last told that it failed for one alone.
    told: Option<Instant>,
    reason: String,
}

impl Servers {
    /// So many, none of which has failed yet.
    pub fn new(count: usize) -> Servers {
        Servers {
            states: Mutex::new(vec![State::default(); count]),
        }
    }

    /// The first that may be used and is meant. One whose back-off is over is given to one asker, who tells what came of it;
    /// the others wait `patience` for that.
    pub fn pick(
        &self,
        is_meant: impl Fn(usize) -> bool,
        patience: Duration,
        now: Instant,
    ) -> Option<usize> {
        let mut states = self.states.lock();
        let usable = |state: &State| state.until.is_none_or(|until| until <= now);
        let mut all = states.iter().enumerate();
        let found = all.position(|(at, state)| is_meant(at) && usable(state))?;
        let state = &mut states[found];
        if state.failures > 0 {
            state.until = Some(now + patience);
        }
        Some(found)
    }

    /// Whether it has failed for somebody, and another can be used instead.
    pub fn is_better_left(&self, server: usize, now: Instant) -> bool {
        let states = self.states.lock();
        let usable = |state: &State| state.until.is_none_or(|until| until <= now);
        let mut others = states.iter().enumerate().filter(|(at, _)| *at != server);
        states[server].failures > 0 && others.any(|(_, state)| usable(state))
    }

    /// It can be connected to. Whether it had failed before.
    pub fn works(&self, server: usize) -> bool {
        let mut states = self.states.lock();
        let State { worked, told, .. } = states[server];
        let now = State {
            worked,
            told,
            ..State::default()
        };
        std::mem::replace(&mut states[server], now).failures > 0
    }

    /// It has done what somebody asked for.
    pub fn did(&self, server: usize, purpose: Purpose, now: Instant) {
        self.states.lock()[server].worked[purpose as usize] = Some(now);
    }

    /// Whether it has done something of that kind since then: what fails meanwhile is not the whole server's failure. That it
    /// finds people says nothing of whether it can try their passwords.
    pub fn has_done_since(&self, server: usize, purpose: Purpose, since: Instant) -> bool {
        self.states.lock()[server].worked[purpose as usize].is_some_and(|worked| worked >= since)
    }

    /// It has failed for one and works for others. Whether that is news: once in the longest back-off.
    pub fn failed_once(&self, server: usize, now: Instant) -> bool {
        let pause = Duration::from_millis(limits::DIRECTORY_BACK_OFF_MAX_MS);
        let told = &mut self.states.lock()[server].told;
        let is_news = told.is_none_or(|told| now.saturating_duration_since(told) >= pause);
        if is_news {
            *told = Some(now);
        }
        is_news
    }

    /// It does not, and is left alone for a while: twice as long as the last time. Whether that is news.
    pub fn failed(&self, server: usize, reason: &str, now: Instant) -> bool {
        let mut states = self.states.lock();
        let state = &mut states[server];
        let is_news = state.failures == 0;
        let doublings = state.failures.min(16);
        let wait_ms = (limits::DIRECTORY_BACK_OFF_FIRST_MS << doublings)
            .min(limits::DIRECTORY_BACK_OFF_MAX_MS);
        state.failures = state.failures.saturating_add(1);
        state.until = Some(now + Duration::from_millis(wait_ms));
        reason.clone_into(&mut state.reason);
        is_news
    }

    /// Why none can be used: the reason of the first that failed.
    pub fn why(&self) -> String {
        let states = self.states.lock();
        let reason = states.iter().find(|state| !state.reason.is_empty());
        reason.map_or_else(String::new, |state| state.reason.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn all(_: usize) -> bool {
        true
    }

    fn first(server: usize) -> bool {
        server == 0
    }

    #[test]
    fn the_first_that_works_is_used_and_again_once_it_does() {
        let servers = Servers::new(2);
        let now = Instant::now();
        assert_eq!(servers.pick(all, SECOND, now), Some(0));
        assert!(servers.failed(0, "gone", now));
        assert_eq!(servers.pick(all, SECOND, now), Some(1));
        assert_eq!(servers.pick(first, SECOND, now), None, "too early");
        let later = now + Duration::from_millis(limits::DIRECTORY_BACK_OFF_FIRST_MS);
        assert_eq!(servers.pick(first, SECOND, later), Some(0));
        assert!(servers.works(0));
        assert_eq!(servers.pick(all, SECOND, later), Some(0));
        assert!(!servers.works(0));
    }

    #[test]
    fn who_has_a_connection_to_what_failed_for_others_leaves_it_if_there_is_another() {
        let servers = Servers::new(2);
        let now = Instant::now();
        assert!(!servers.is_better_left(0, now), "it works");
        servers.failed(0, "gone", now);
        assert!(servers.is_better_left(0, now));
        assert!(!servers.is_better_left(1, now), "it works");
        servers.failed(1, "gone, too", now);
        assert!(!servers.is_better_left(0, now), "there is no other");
    }

    #[test]
    fn what_works_for_others_is_remembered_whatever_becomes_of_it() {
        let servers = Servers::new(2);
        let now = Instant::now();
        let has_done = |server, since| servers.has_done_since(server, Purpose::Binding, since);
        assert!(!has_done(0, now), "nobody has asked it yet");
        servers.did(0, Purpose::Searching, now);
        assert!(!has_done(0, now), "that was something else");
        servers.did(0, Purpose::Binding, now);
        assert!(has_done(0, now) && !has_done(1, now));
        assert!(!has_done(0, now + SECOND), "that was before");
        servers.failed(0, "gone", now);
        assert!(servers.works(0) && has_done(0, now));
        // Who must not ask the first asks the second.
        assert_eq!(servers.pick(|at| at != 0, SECOND, now), Some(1));
    }

    #[test]
    fn what_fails_for_one_alone_is_told_once_in_a_while() {
        let servers = Servers::new(2);
        let now = Instant::now();
        let longest = Duration::from_millis(limits::DIRECTORY_BACK_OFF_MAX_MS);
        assert!(servers.failed_once(0, now) && servers.failed_once(1, now));
        servers.works(0);
        assert!(!servers.failed_once(0, now + longest - SECOND));
        assert!(servers.failed_once(0, now + longest));
        assert!(!servers.failed_once(0, now + longest));
    }

    #[test]
    fn one_asker_tries_what_has_failed_and_the_others_are_not_held_up() {
        let servers = Servers::new(1);
        let now = Instant::now();
        servers.failed(0, "gone", now);
        let later = now + Duration::from_millis(limits::DIRECTORY_BACK_OFF_FIRST_MS);
        assert_eq!(servers.pick(all, SECOND, later), Some(0));
        assert_eq!(servers.pick(all, SECOND, later), None);
        assert_eq!(servers.why(), "gone");
        // Whoever tried it was never heard of again.
        assert_eq!(servers.pick(all, SECOND, later + SECOND), Some(0));
    }

    #[test]
    fn the_back_off_doubles_up_to_the_longest() {
        let servers = Servers::new(1);
        let mut now = Instant::now();
        for _ in 0..40 {
            servers.failed(0, "gone", now);
            now += Duration::from_millis(limits::DIRECTORY_BACK_OFF_MAX_MS);
            assert_eq!(servers.pick(all, Duration::ZERO, now), Some(0));
        }
        assert!(!servers.failed(0, "gone", now), "no news any more");
        let nearly = Duration::from_millis(limits::DIRECTORY_BACK_OFF_MAX_MS - 1);
        assert_eq!(servers.pick(all, SECOND, now + nearly), None);
    }
}
