//! Of which names an operator has read that several entries have them. Refuses to know the entries.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::base::limits;

/// When each was told of.
#[derive(Default)]
pub struct Collisions(Mutex<HashMap<String, Instant>>);

impl Collisions {
    /// Whether that a name is several entries' is to be told: anybody may try it, as often as they like.
    pub fn is_news(&self, name: &str, now: Instant) -> bool {
        let again = Duration::from_millis(limits::DIRECTORY_COLLISION_MS);
        let is_over = |told: &Instant| now.saturating_duration_since(*told) >= again;
        let mut told = self.0.lock();
        if told.len() >= limits::DIRECTORY_COLLISIONS_MAX {
            told.retain(|_, told| !is_over(told));
        }
        let is_full = told.len() >= limits::DIRECTORY_COLLISIONS_MAX;
        let is_news = match told.get(name) {
            Some(told) => is_over(told),
            None => !is_full,
        };
        if is_news {
            told.insert(name.to_owned(), now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_of_once_in_an_hour_and_no_more_names_than_an_operator_reads() {
        let collisions = Collisions::default();
        let now = Instant::now();
        let later = now + Duration::from_millis(limits::DIRECTORY_COLLISION_MS);
        let nearly = later.checked_sub(Duration::from_millis(1)).expect("later");
        assert!(collisions.is_news("juliet", now) && collisions.is_news("romeo", now));
        assert!(!collisions.is_news("juliet", now) && !collisions.is_news("juliet", nearly));
        assert!(collisions.is_news("juliet", later));
        assert!(!collisions.is_news("juliet", later));
        let many = (0..2 * limits::DIRECTORY_COLLISIONS_MAX).map(|n| n.to_string());
        let told = many.filter(|name| collisions.is_news(name, later)).count();
        // Romeo's was over.
        assert_eq!(told, limits::DIRECTORY_COLLISIONS_MAX - 1);
        assert!(!collisions.is_news("mercutio", later));
        assert!(!collisions.is_news("juliet", later), "she is known still");
        let at_last = later + Duration::from_millis(limits::DIRECTORY_COLLISION_MS);
        assert!(collisions.is_news("mercutio", at_last));
    }
}
