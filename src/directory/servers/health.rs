//! What is known of one server for one purpose: whether it works, and how long it is left alone if not. Refuses to know others.

use std::time::{Duration, Instant};

use crate::base::limits;

/// Of one server, for one purpose.
#[derive(Clone, Default)]
pub struct Health {
    failures: u32,
    /// Left alone until then; none if it works as far as anybody knows.
    until: Option<Instant>,
    /// Whether one of its failures was one of what was asked on a connection: then it takes an answer to prove it well.
    is_at_work: bool,
    /// When it failed last.
    failed: Option<Instant>,
    /// It failed for the other purpose, and nobody has tried it for this one.
    is_suspected: bool,
    /// When it last did what somebody asked for.
    worked: Option<Instant>,
    reason: String,
}

/// How a server failed.
#[derive(Clone, Copy, Debug)]
pub struct Setback<'a> {
    /// It could be connected to.
    pub is_at_work: bool,
    pub reason: &'a str,
    /// When that was begun which failed.
    pub begun: Instant,
    /// If it has done something for the other purpose since then, it is not suspected there.
    pub since: Option<Instant>,
}

impl Health {
    /// As far as anybody knows.
    pub fn works(&self) -> bool {
        self.failures == 0
    }

    /// Whether it has failed, and was left alone for long enough.
    pub fn is_due(&self, now: Instant) -> bool {
        !self.works() && self.is_usable(now)
    }

    pub fn is_usable(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    pub fn has_done_since(&self, since: Instant) -> bool {
        self.worked.is_some_and(|worked| worked >= since)
    }

    /// Whether that is news.
    pub fn fail(&mut self, setback: &Setback<'_>, now: Instant) -> bool {
        self.is_at_work |= setback.is_at_work;
        // What was under way when it failed the last time failed with it: many connections find out about one failure.
        if !self.is_suspected && self.failed.is_some_and(|last| setback.begun < last) {
            return false;
        }
        let is_news = self.failures == 0 || self.is_suspected;
        let doublings = self.failures.min(16);
        let wait_ms = (limits::DIRECTORY_BACK_OFF_FIRST_MS << doublings)
            .min(limits::DIRECTORY_BACK_OFF_MAX_MS);
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + Duration::from_millis(wait_ms));
        (self.failed, self.is_suspected) = (Some(now), false);
        setback.reason.clone_into(&mut self.reason);
        is_news
    }

    /// It has failed for the other purpose.
    pub fn suspect(&mut self, setback: &Setback<'_>, now: Instant) {
        let since = setback.since;
        let is_well = since.is_some_and(|since| self.has_done_since(since));
        if self.works() && !is_well {
            self.fail(setback, now);
            self.is_suspected = true;
        }
    }

    /// It is given to nobody before; or to anybody, if that is now.
    pub fn leave_until(&mut self, until: Instant) {
        if !self.works() {
            self.until = Some(until);
        }
    }

    /// It can be connected to. Whether anybody was told that it does not work.
    pub fn reach(&mut self) -> bool {
        !self.is_at_work && self.heal()
    }

    /// It has done what somebody asked for. Whether anybody was told that it does not work.
    pub fn work(&mut self, now: Instant) -> bool {
        self.worked = Some(now);
        self.heal()
    }

    pub fn reason(&self) -> &str {
        &self.reason
    }

    fn heal(&mut self) -> bool {
        let was_told = self.failures > 0 && !self.is_suspected;
        let worked = self.worked;
        *self = Health {
            worked,
            ..Health::default()
        };
        was_told
    }
}
