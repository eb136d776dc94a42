//! Whether there is somebody, remembered for a while: for those who send something, never for a login. Refuses to
//! remember longer than it is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

/// Names of one host and what was found for them; the least asked for are forgotten first.
pub struct Known {
    names: Cache<Arc<str>, Remembered>,
    fresh: Duration,
    fresh_unknown: Duration,
}

/// What was found for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Somebody who does not come in.
    Barred,
    Member,
    Unknown,
}

#[derive(Clone, Copy)]
struct Remembered {
    standing: Standing,
    until: Instant,
}

impl Known {
    /// Nothing yet; at most so many names.
    pub fn new(count_max: usize, fresh: Duration, fresh_unknown: Duration) -> Known {
        Known {
            names: Cache::new(count_max),
            fresh,
            fresh_unknown,
        }
    }

    /// What was found out lately.
    pub fn standing(&self, name: &str, now: Instant) -> Option<Standing> {
        let found = self.names.get(name)?;
        (now < found.until).then_some(found.standing)
    }

    /// It was found out.
    pub fn learn(&self, name: &Arc<str>, standing: Standing, now: Instant) {
        let fresh = match standing {
            Standing::Barred | Standing::Member => self.fresh,
            Standing::Unknown => self.fresh_unknown,
        };
        let until = now + fresh;
        let remembered = Remembered { standing, until };
        self.names.insert(Arc::clone(name), remembered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_out_is_believed_for_its_time() {
        let known = Known::new(10, Duration::from_secs(60), Duration::from_secs(30));
        let now = Instant::now();
        let (juliet, nobody): (Arc<str>, Arc<str>) = (Arc::from("juliet"), Arc::from("nobody"));
        assert_eq!(known.standing("juliet", now), None);
        known.learn(&juliet, Standing::Member, now);
        known.learn(&nobody, Standing::Unknown, now);
        let later = now + Duration::from_secs(29);
        assert_eq!(known.standing("juliet", later), Some(Standing::Member));
        assert_eq!(known.standing("nobody", later), Some(Standing::Unknown));
        let later = now + Duration::from_secs(30);
        assert_eq!(known.standing("juliet", later), Some(Standing::Member));
        assert_eq!(known.standing("nobody", later), None);
        assert_eq!(
            known.standing("juliet", now + Duration::from_secs(60)),
            None
        );
    }

    #[test]
    fn names_without_end_are_not_remembered_without_end() {
        let known = Known::new(100, Duration::from_secs(60), Duration::from_secs(60));
        let now = Instant::now();
        for index in 0..10_000 {
            known.learn(&Arc::from(format!("name{index}")), Standing::Unknown, now);
        }
        assert!(known.names.len() <= 100);
    }
}
