//! Which of a directory's servers is used: the first that works, and again once it does. Refuses to connect.

mod health;
mod referred;

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::pool::Purpose;
use crate::base::limits;
use health::Health;
pub use health::Setback;
use referred::Referred;

/// What is known of the servers, by their places in the configuration. Shared by all connections.
pub struct Servers {
    states: Mutex<Vec<State>>,
    /// Those that they name.
    pub referred: Referred,
}

#[derive(Clone, Default)]
struct State {
    /// By [`Purpose`]: that it finds people says nothing of whether it can try their passwords.
    health: [Health; 2],
    /// When an operator was last told that it failed for one alone.
    told: Option<Instant>,
}

impl Servers {
    /// So many, none of which has failed yet.
    pub fn new(count: usize) -> Servers {
        Servers {
            states: Mutex::new(vec![State::default(); count]),
            referred: Referred::default(),
        }
    }

    /// The first that is meant and works, as far as anybody knows. If none does, the first whose back-off is over is given to
    /// one asker, who tells what came of it; the others wait `patience` for that.
    pub fn pick(
        &self,
        purpose: Purpose,
        is_meant: impl Fn(usize) -> bool,
        patience: Duration,
        now: Instant,
    ) -> Option<usize> {
        let mut states = self.states.lock();
        let mut all = states.iter().enumerate();
        let works = all.position(|(at, state)| is_meant(at) && state.of(purpose).works());
        if works.is_some() {
            return works;
        }
        State::pick_failed(&mut states, purpose, is_meant, now + patience, now)
    }

    /// One that has failed, and is to be tried by who has an answer of another and makes nobody wait.
    pub fn pick_for_trial(
        &self,
        other: usize,
        purpose: Purpose,
        patience: Duration,
        now: Instant,
    ) -> Option<usize> {
        let mut states = self.states.lock();
        let is_meant = |at| at != other;
        State::pick_failed(&mut states, purpose, is_meant, now + patience, now)
    }

    /// Whether there is one.
    pub fn is_trial_due(&self, other: usize, purpose: Purpose, now: Instant) -> bool {
        let states = self.states.lock();
        let mut others = states.iter().enumerate().filter(|(at, _)| *at != other);
        others.any(|(_, state)| state.of(purpose).is_due(now))
    }

    /// The first before another that works, as far as anybody knows.
    pub fn working_before(&self, other: usize, purpose: Purpose) -> Option<usize> {
        let states = self.states.lock();
        let mut before = states.iter().take(other);
        before.position(|state| state.of(purpose).works())
    }

    /// Whoever was given it to find out whether it works has not: the next asker may.
    pub fn put_back(&self, server: usize, purpose: Purpose, now: Instant) {
        let health = &mut self.states.lock()[server].health[purpose as usize];
        health.leave_until(now);
    }

    /// Whether it has failed for somebody, and another can be used instead.
    pub fn is_better_left(&self, server: usize, purpose: Purpose, now: Instant) -> bool {
        let states = self.states.lock();
        let mut others = states.iter().enumerate().filter(|(at, _)| *at != server);
        !states[server].of(purpose).works()
            && others.any(|(_, state)| state.of(purpose).is_usable(now))
    }

    /// It can be connected to. Whether an operator was told that it cannot.
    pub fn is_reached(&self, server: usize, purpose: Purpose) -> bool {
        self.states.lock()[server].health[purpose as usize].reach()
    }

    /// It has done what somebody asked for. Whether an operator was told that it does not.
    pub fn did(&self, server: usize, purpose: Purpose, now: Instant) -> bool {
        self.states.lock()[server].health[purpose as usize].work(now)
    }

    /// Whether it has done something of that kind since then: what fails meanwhile is not the whole server's failure.
    pub fn has_done_since(&self, server: usize, purpose: Purpose, since: Instant) -> bool {
        self.states.lock()[server].of(purpose).has_done_since(since)
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

    /// It does not work, and is left alone for a while: twice as long as the last time. Whoever has something else of it to
    /// do need not find that out, too, and does not have to believe it for longer than the first back-off. Whether it is news.
    pub fn failed(
        &self,
        server: usize,
        purpose: Purpose,
        setback: Setback<'_>,
        now: Instant,
    ) -> bool {
        let mut states = self.states.lock();
        let state = &mut states[server];
        let is_news = state.health[purpose as usize].fail(&setback, now);
        state.health[purpose.other() as usize].suspect(&setback, now);
        is_news
    }

    /// Why none can be used: the reason of the first that failed.
    pub fn why(&self, purpose: Purpose) -> String {
        let states = self.states.lock();
        let mut reasons = states.iter().map(|state| state.of(purpose).reason());
        let reason = reasons.find(|reason| !reason.is_empty());
        reason.unwrap_or_default().to_owned()
    }
}

impl State {
    fn of(&self, purpose: Purpose) -> &Health {
        &self.health[purpose as usize]
    }

    /// The first of those that have failed whose time it is; nobody else is given it before `until`.
    fn pick_failed(
        states: &mut [State],
        purpose: Purpose,
        is_meant: impl Fn(usize) -> bool,
        until: Instant,
        now: Instant,
    ) -> Option<usize> {
        let mut all = states.iter().enumerate();
        let found = all.position(|(at, state)| is_meant(at) && state.of(purpose).is_due(now))?;
        states[found].health[purpose as usize].leave_until(until);
        Some(found)
    }
}

impl Purpose {
    fn other(self) -> Purpose {
        match self {
            Purpose::Binding => Purpose::Searching,
            Purpose::Searching => Purpose::Binding,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Purpose::{Binding, Searching};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    /// Nobody answers who connects.
    fn gone(begun: Instant) -> Setback<'static> {
        Setback {
            is_at_work: false,
            reason: "gone",
            begun,
            since: None,
        }
    }

    fn silent(begun: Instant) -> Setback<'static> {
        Setback {
            is_at_work: true,
            reason: "silent",
            ..gone(begun)
        }
    }

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
        let pick =
            |is_meant: fn(usize) -> bool, now| servers.pick(Searching, is_meant, SECOND, now);
        assert_eq!(pick(all, now), Some(0));
        assert!(servers.failed(0, Searching, gone(now), now));
        assert_eq!(pick(all, now), Some(1));
        assert_eq!(pick(first, now), None, "too early");
        let later = now + Duration::from_millis(limits::DIRECTORY_BACK_OFF_FIRST_MS);
        assert_eq!(pick(first, later), Some(0));
        assert!(servers.is_reached(0, Searching));
        assert_eq!(pick(all, later), Some(0));
        assert!(!servers.is_reached(0, Searching));
    }

    #[test]
    fn a_server_that_is_silent_to_passwords_is_well_when_it_judges_one_again() {
        let servers = Servers::new(2);
        let mut now = Instant::now();
        let mut wait_ms = limits::DIRECTORY_BACK_OFF_FIRST_MS;
        // It finds people all the time.
        let silent_there = |now| Setback {
            since: Some(now),
            ..silent(now)
        };
        for round in 0..4 {
            servers.did(0, Searching, now);
            assert_eq!(
                servers.failed(0, Binding, silent_there(now), now),
                round == 0,
                "news once"
            );
            assert!(servers.is_better_left(0, Binding, now));
            assert!(!servers.is_better_left(0, Searching, now));
            assert_eq!(servers.pick(Searching, all, SECOND, now), Some(0));
            let nearly = now + Duration::from_millis(wait_ms - 1);
            assert_eq!(servers.pick(Binding, first, SECOND, nearly), None);
            now += Duration::from_millis(wait_ms);
            wait_ms *= 2;
            assert_eq!(servers.pick(Binding, first, SECOND, now), Some(0));
            // That somebody answers the connection says nothing.
            assert!(!servers.is_reached(0, Binding));
            assert!(!servers.did(0, Searching, now));
            assert!(servers.is_better_left(0, Binding, now));
        }
        assert!(servers.did(0, Binding, now));
        assert!(!servers.is_better_left(0, Binding, now));
        assert_eq!(servers.pick(Binding, all, SECOND, now), Some(0));
    }

    #[test]
    fn what_fails_for_one_purpose_is_suspected_for_the_other_once_and_not_if_it_works_there() {
        let servers = Servers::new(2);
        let now = Instant::now();
        assert!(servers.failed(0, Searching, silent(now), now));
        assert!(
            servers.is_better_left(0, Binding, now),
            "nobody has to find out, too"
        );
        assert_eq!(servers.why(Binding), "silent");
        let later = now + Duration::from_millis(limits::DIRECTORY_BACK_OFF_FIRST_MS);
        assert_eq!(servers.pick_for_trial(1, Binding, SECOND, later), Some(0));
        assert!(
            !servers.did(0, Binding, later),
            "nobody was told that it does not"
        );
        assert!(servers.is_better_left(0, Searching, later));
        let since = Setback {
            since: Some(later),
            ..silent(later + SECOND)
        };
        assert!(
            !servers.failed(0, Searching, since, later + SECOND),
            "no news"
        );
        assert!(!servers.is_better_left(0, Binding, later + SECOND));
        let since = Setback {
            since: Some(later + SECOND),
            ..silent(later + SECOND)
        };
        servers.failed(0, Searching, since, later + SECOND);
        assert!(servers.is_better_left(0, Binding, later + SECOND));
        assert!(
            servers.failed(0, Binding, silent(later + SECOND), later + SECOND),
            "a suspicion is no news"
        );
    }

    #[test]
    fn who_has_a_connection_to_what_failed_for_others_leaves_it_if_there_is_another() {
        let servers = Servers::new(2);
        let now = Instant::now();
        assert!(!servers.is_better_left(0, Searching, now), "it works");
        servers.failed(0, Searching, gone(now), now);
        assert!(servers.is_better_left(0, Searching, now));
        assert!(!servers.is_better_left(1, Searching, now), "it works");
        servers.failed(1, Searching, gone(now), now);
        assert!(
            !servers.is_better_left(0, Searching, now),
            "there is no other"
        );
    }

    #[test]
    fn what_works_for_others_is_remembered_whatever_becomes_of_it() {
        let servers = Servers::new(2);
        let now = Instant::now();
        let has_done = |server, since| servers.has_done_since(server, Binding, since);
        assert!(!has_done(0, now), "nobody has asked it yet");
        servers.did(0, Searching, now);
        assert!(!has_done(0, now), "that was something else");
        servers.did(0, Binding, now);
        assert!(has_done(0, now) && !has_done(1, now));
        assert!(!has_done(0, now + SECOND), "that was before");
        servers.failed(0, Binding, gone(now), now);
        assert!(servers.is_reached(0, Binding) && has_done(0, now));
        // Who must not ask the first asks the second.
        assert_eq!(servers.pick(Binding, |at| at != 0, SECOND, now), Some(1));
    }

    #[test]
    fn what_fails_for_one_alone_is_told_once_in_a_while() {
        let servers = Servers::new(2);
        let now = Instant::now();
        let longest = Duration::from_millis(limits::DIRECTORY_BACK_OFF_MAX_MS);
        assert!(servers.failed_once(0, now) && servers.failed_once(1, now));
        servers.did(0, Searching, now);
        assert!(!servers.failed_once(0, now + longest - SECOND));
        assert!(servers.failed_once(0, now + longest));
        assert!(!servers.failed_once(0, now + longest));
    }

    #[test]
    fn one_asker_tries_what_has_failed_and_the_others_are_not_held_up() {
        let servers = Servers::new(1);
        let now = Instant::now();
        servers.failed(0, Searching, gone(now), now);
        let later = now + Duration::from_millis(limits::DIRECTORY_BACK_OFF_FIRST_MS);
        let pick = |now| servers.pick(Searching, all, SECOND, now);
        assert_eq!(pick(later), Some(0));
        assert_eq!(pick(later), None);
        assert_eq!(servers.why(Searching), "gone");
        // Whoever tried it was never heard of again.
        assert_eq!(pick(later + SECOND), Some(0));
        // Whoever tries it now says that nothing is known.
        assert_eq!(pick(later + SECOND), None);
        servers.put_back(0, Searching, later + SECOND);
        assert_eq!(pick(later + SECOND), Some(0));
        assert_eq!(pick(later + SECOND), None);
        assert!(servers.did(0, Searching, later + SECOND));
        servers.put_back(0, Searching, later + SECOND);
        assert_eq!(pick(later + SECOND), Some(0), "it works");
        assert_eq!(pick(later + SECOND), Some(0));
    }

    #[test]
    fn who_has_another_server_that_works_tries_none_that_has_failed() {
        let servers = Servers::new(3);
        let now = Instant::now();
        for server in [0, 1] {
            servers.failed(server, Binding, silent(now), now);
        }
        let later = now + Duration::from_millis(limits::DIRECTORY_BACK_OFF_FIRST_MS);
        let pick = || servers.pick(Binding, all, SECOND, later);
        let trial = || servers.pick_for_trial(2, Binding, SECOND, later);
        assert!(!servers.is_trial_due(2, Binding, now), "too early");
        assert_eq!(servers.pick_for_trial(2, Binding, SECOND, now), None);
        assert!(servers.is_trial_due(2, Binding, later));
        assert_eq!((pick(), trial()), (Some(2), Some(0)));
        assert_eq!((pick(), trial(), trial()), (Some(2), Some(1), None));
        assert!(!servers.is_trial_due(2, Binding, later), "one at a time");
        assert_eq!(servers.working_before(2, Binding), None);
        servers.did(1, Binding, later);
        assert_eq!(servers.working_before(2, Binding), Some(1));
        assert_eq!(servers.working_before(1, Binding), None);
        assert_eq!(pick(), Some(1));
        // Where none works, one asker has to find out.
        for server in [1, 2] {
            servers.failed(server, Binding, silent(later), later);
        }
        let later = later + SECOND;
        assert_eq!(servers.pick(Binding, all, SECOND, later), Some(0));
    }

    #[test]
    fn the_back_off_doubles_up_to_the_longest() {
        let servers = Servers::new(1);
        let mut now = Instant::now();
        for _ in 0..40 {
            servers.failed(0, Searching, gone(now), now);
            now += Duration::from_millis(limits::DIRECTORY_BACK_OFF_MAX_MS);
            assert_eq!(servers.pick(Searching, all, Duration::ZERO, now), Some(0));
        }
        assert!(
            !servers.failed(0, Searching, gone(now), now),
            "no news any more"
        );
        let nearly = Duration::from_millis(limits::DIRECTORY_BACK_OFF_MAX_MS - 1);
        assert_eq!(servers.pick(Searching, all, SECOND, now + nearly), None);
    }

    #[test]
    fn one_failure_that_many_find_out_about_counts_once() {
        let servers = Servers::new(2);
        let begun = Instant::now();
        let first = Duration::from_millis(limits::DIRECTORY_BACK_OFF_FIRST_MS);
        let now = begun + SECOND;
        for index in 0..4 {
            assert_eq!(
                servers.failed(0, Binding, silent(begun), now),
                index == 0,
                "news once"
            );
        }
        assert_eq!(servers.pick(Binding, |at| at == 0, SECOND, now), None);
        let later = now + first;
        assert_eq!(servers.pick(Binding, |at| at == 0, SECOND, later), Some(0));
        // What was begun since then is another one.
        servers.failed(0, Binding, silent(later), later);
        assert_eq!(
            servers.pick(Binding, |at| at == 0, SECOND, later + first),
            None
        );
        let later = later + 2 * first;
        assert_eq!(servers.pick(Binding, |at| at == 0, SECOND, later), Some(0));
    }

    #[test]
    fn a_server_that_is_silent_and_gone_by_turns_is_not_well_before_it_answers() {
        let servers = Servers::new(2);
        let now = Instant::now();
        servers.failed(0, Binding, silent(now), now);
        servers.failed(0, Binding, gone(now), now);
        assert!(!servers.is_reached(0, Binding));
        assert!(servers.is_better_left(0, Binding, now));
        assert!(servers.did(0, Binding, now));
        servers.failed(0, Binding, gone(now), now);
        assert!(servers.is_reached(0, Binding), "that is over");
    }
}
