//! Memory of queues, lent to them while they hold something: of very many queues nearly all are empty, and each is
//! filled and emptied again for every stanza. Refuses to know what is queued.

use std::collections::VecDeque;

/// Empty queues whose memory waits for the next who needs some.
#[derive(Debug)]
pub struct Spares<T> {
    queues: Vec<VecDeque<T>>,
}

impl<T> Spares<T> {
    /// Gives memory to a queue that has none, if any is at hand.
    pub fn lend(&mut self, queue: &mut VecDeque<T>) {
        if queue.capacity() == 0
            && let Some(spare) = self.queues.pop()
        {
            *queue = spare;
        }
    }

    /// Takes the memory of a queue that is empty: an idle one keeps none of a busy time.
    pub fn take_back(&mut self, queue: &mut VecDeque<T>) {
        if queue.is_empty() && queue.capacity() > 0 {
            let spare = std::mem::take(queue);
            if spare.capacity() <= CAPACITY_MAX && self.queues.len() < COUNT_MAX {
                self.queues.push(spare);
            }
        }
    }
}

impl<T> Default for Spares<T> {
    fn default() -> Self {
        Spares { queues: Vec::new() }
    }
}

/// Places in a queue that is kept: what a burst left behind is not worth it.
const CAPACITY_MAX: usize = 16;

/// Queues that are kept: as many as a turn of the loop fills, when each of its reads is a message for somebody else.
const COUNT_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_from_one_queue_to_the_next() {
        let mut spares = Spares::default();
        let mut queue = VecDeque::from([1]);
        spares.take_back(&mut queue);
        assert_eq!(queue, [1], "what holds something keeps it");
        queue.clear();
        spares.take_back(&mut queue);
        assert_eq!(queue.capacity(), 0);
        spares.lend(&mut queue);
        assert!(queue.capacity() > 0);
        spares.lend(&mut VecDeque::new());
        assert!(spares.queues.is_empty(), "nobody else has it");
    }

    #[test]
    fn neither_large_queues_nor_many_are_kept() {
        let mut spares = Spares::default();
        spares.take_back(&mut VecDeque::<u8>::with_capacity(CAPACITY_MAX + 1));
        assert!(spares.queues.is_empty());
        for _ in 0..COUNT_MAX + 1 {
            spares.take_back(&mut VecDeque::with_capacity(1));
        }
        assert_eq!(spares.queues.len(), COUNT_MAX);
    }
}
