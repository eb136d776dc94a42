//! vCards that were read of a directory, remembered for a while within a bound of bytes. Refuses to read them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// What was read of people, by their names; the least asked for are forgotten first.
pub struct CardCache {
    cards: Cache<Arc<str>, Remembered, Bytes>,
    fresh: Duration,
}

#[derive(Clone)]
struct Remembered {
    card: Option<Arc<str>>,
    until: Instant,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Arc<str>, Remembered> for Bytes {
    fn weight(&self, name: &Arc<str>, remembered: &Remembered) -> u64 {
        let card = remembered.card.as_ref().map_or(0, |card| card.len());
        (name.len() + card + ENTRY_BYTES) as u64
    }
}

impl CardCache {
    /// Nothing yet; at most so many bytes.
    pub fn new(bytes_max: u64, fresh: Duration) -> CardCache {
        let count = usize::try_from(bytes_max / TYPICAL_BYTES).unwrap_or(usize::MAX);
        CardCache {
            cards: Cache::with_weighter(count.max(1), bytes_max, Bytes),
            fresh,
        }
    }

    /// What was read lately: a vCard, or that there is none.
    pub fn find(&self, name: &str, now: Instant) -> Option<Option<Arc<str>>> {
        let found = self.cards.get(name)?;
        (now < found.until).then_some(found.card)
    }

    /// It was read.
    pub fn learn(&self, name: &Arc<str>, card: Option<Arc<str>>, now: Instant) {
        let until = now + self.fresh;
        self.cards
            .insert(Arc::clone(name), Remembered { card, until });
    }

    /// It is another by now.
    pub fn forget(&self, name: &str) {
        self.cards.remove(name);
    }
}

/// What each costs besides its text.
const ENTRY_BYTES: usize = 100;
/// Of one without a photo.
const TYPICAL_BYTES: u64 = 600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_believed_for_their_time_and_take_so_much_room() {
        let cache = CardCache::new(100_000, Duration::from_secs(60));
        let now = Instant::now();
        let juliet: Arc<str> = Arc::from("juliet");
        assert_eq!(cache.find("juliet", now), None);
        cache.learn(&juliet, Some(Arc::from("<FN/>")), now);
        let later = now + Duration::from_secs(59);
        assert_eq!(cache.find("juliet", later), Some(Some(Arc::from("<FN/>"))));
        assert_eq!(cache.find("juliet", now + Duration::from_secs(60)), None);
        cache.forget("juliet");
        assert_eq!(cache.find("juliet", now), None);
        for index in 0..1_000 {
            let name = Arc::from(format!("name{index}"));
            cache.learn(&name, Some(Arc::from("x".repeat(10_000))), now);
        }
        assert!(cache.cards.weight() <= 100_000);
    }
}
