//! Questions that take long and wait for one thread: whoever asks much waits behind himself, and not everybody behind him.
//! Refuses to know what is asked, and of whom.

use std::collections::{BTreeMap, VecDeque};

/// What waits, by who asked: each has his turn, one question at a time.
pub(super) struct Turns<K, T> {
    waiting: BTreeMap<K, VecDeque<T>>,
    /// Those of whom something waits, in the order of their turns.
    order: VecDeque<K>,
    count: usize,
    each_max: usize,
    all_max: usize,
}

impl<K: Copy + Ord, T> Turns<K, T> {
    /// Nothing waits. Of each so many may, and so many of all.
    pub(super) fn new(each_max: usize, all_max: usize) -> Turns<K, T> {
        Turns {
            waiting: BTreeMap::new(),
            order: VecDeque::new(),
            count: 0,
            each_max,
            all_max,
        }
    }

    /// One more waits, behind what the same one has asked before.
    ///
    /// # Errors
    /// As many of the same wait as may, or of all: it comes back.
    pub(super) fn push(&mut self, of: K, what: T) -> Result<(), T> {
        if self.count >= self.all_max {
            return Err(what);
        }
        let own = self.waiting.entry(of).or_default();
        if own.len() >= self.each_max {
            return Err(what);
        }
        if own.is_empty() {
            self.order.push_back(of);
        }
        own.push_back(what);
        self.count += 1;
        Ok(())
    }

    /// The next whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let of = self.order.pop_front()?;
        let own = self.waiting.get_mut(&of)?;
        let next = own.pop_front();
        self.count -= usize::from(next.is_some());
        match own.is_empty() {
            true => drop(self.waiting.remove(&of)),
            false => self.order.push_back(of),
        }
        next
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_much_waits_behind_himself() {
        let mut turns = Turns::new(3, 5);
        for n in 0..3 {
            assert_eq!(turns.push('a', n), Ok(()));
        }
        assert_eq!(turns.push('a', 3), Err(3));
        assert_eq!(turns.push('b', 10), Ok(()));
        assert_eq!(turns.push('b', 11), Ok(()));
        assert_eq!(turns.push('c', 20), Err(20), "of all enough wait");
        assert_eq!(turns.pop(), Some(0));
        assert_eq!(turns.push('c', 20), Ok(()));
        let all: Vec<i32> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(all, [10, 1, 20, 11, 2]);
        assert!(turns.is_empty() && turns.waiting.is_empty());
        assert_eq!(turns.push('a', 4), Ok(()));
    }
}
