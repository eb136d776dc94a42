//! What entries said of passwords before those were changed here: whoever has read it before, or reads a copy that lags, still
//! comes with it, and it is no news. Refuses to know how a password is changed.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::limits;
use crate::im::seen::PasswordStamp;

/// Kept by name, for each entry that is met is looked for here.
#[derive(Default)]
pub struct Replaced {
    said: HashMap<Arc<str>, VecDeque<PasswordStamp>>,
    /// When it was, and of whom; the oldest first.
    order: VecDeque<(Instant, Arc<str>)>,
}

impl Replaced {
    /// An entry says another thing of its password from now on.
    pub fn add(&mut self, name: &Arc<str>, before: PasswordStamp, now: Instant) {
        self.forget_old(now);
        if self.order.len() >= limits::DIRECTORY_REPLACED_MAX {
            self.forget_first();
        }
        let said = self.said.entry(Arc::clone(name)).or_default();
        said.push_back(before);
        self.order.push_back((now, Arc::clone(name)));
    }

    /// Whether this was said of a password that was changed here since.
    pub fn has(&mut self, name: &str, stamp: &PasswordStamp, now: Instant) -> bool {
        self.forget_old(now);
        let mut said = self.said.get(name).into_iter().flatten();
        said.any(|before| before.changed == stamp.changed)
    }

    fn forget_old(&mut self, now: Instant) {
        while self
            .order
            .front()
            .is_some_and(|(since, _)| is_old(*since, now))
        {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let Some((_, name)) = self.order.pop_front() else {
            return;
        };
        if let Some(said) = self.said.get_mut(&name) {
            said.pop_front();
            if said.is_empty() {
                self.said.remove(&name);
            }
        }
    }
}

fn is_old(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) > REPLACED
}

/// No look takes longer.
const REPLACED: Duration = Duration::from_millis(limits::DIRECTORY_LOOK_MS);

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(changed: u8) -> PasswordStamp {
        PasswordStamp {
            changed: [changed; 8],
            keys: None,
        }
    }

    #[test]
    fn what_was_said_is_known_for_as_long_as_somebody_may_have_read_it() {
        let mut replaced = Replaced::default();
        let (juliet, now) = (Arc::<str>::from("juliet"), Instant::now());
        replaced.add(&juliet, stamp(1), now);
        let later = now + REPLACED;
        replaced.add(&juliet, stamp(2), later);
        for (name, changed, at, expected) in [
            ("juliet", 1, now, true),
            ("juliet", 1, later, true),
            ("juliet", 2, later, true),
            ("juliet", 3, later, false),
            ("romeo", 1, later, false),
            ("juliet", 1, later + Duration::from_millis(1), false),
            ("juliet", 2, later + REPLACED, true),
        ] {
            let found = replaced.has(name, &stamp(changed), at);
            assert_eq!(found, expected, "{name} {changed}");
        }
    }

    #[test]
    fn what_is_old_is_forgotten_when_anybody_is_looked_for_and_the_oldest_where_there_are_many() {
        let mut replaced = Replaced::default();
        let now = Instant::now();
        let count = |replaced: &Replaced| {
            let said: usize = replaced.said.values().map(VecDeque::len).sum();
            assert_eq!(said, replaced.order.len());
            said
        };
        let names: Vec<Arc<str>> = (0..3)
            .map(|number| format!("user{number}").into())
            .collect();
        for number in 0..=limits::DIRECTORY_REPLACED_MAX {
            replaced.add(&names[number % 3], stamp(u8::from(number > 0)), now);
        }
        assert_eq!(count(&replaced), limits::DIRECTORY_REPLACED_MAX);
        assert!(!replaced.has("user0", &stamp(0), now), "the oldest");
        assert!(replaced.has("user1", &stamp(1), now));
        let later = now + 2 * REPLACED;
        assert!(!replaced.has("nobody", &stamp(1), later));
        assert_eq!((count(&replaced), replaced.said.len()), (0, 0));
    }
}
