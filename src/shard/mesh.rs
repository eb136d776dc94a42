//! What waits for other workers: one outbox each, emptied by the shell once per turn of its loop.

use crate::actor::Envelope;
use crate::base::{WorkerId, limits};

/// Envelopes of one worker for one other, in the order in which they were made.
#[derive(Debug)]
pub struct Batch {
    pub from: WorkerId,
    /// Counts the batches of this pair of workers from 1: a gap would be a lost batch.
    pub number: u64,
    pub envelopes: Vec<Envelope>,
}

/// The outboxes of one worker.
pub(super) struct Outboxes {
    own: WorkerId,
    boxes: Vec<Outbox>,
    /// An outbox reached its bound and has not been emptied to the half since.
    is_stopped: bool,
}

#[derive(Default)]
struct Outbox {
    envelopes: Vec<Envelope>,
    number: u64,
}

impl Outboxes {
    pub fn new(own: WorkerId, worker_count: u8) -> Outboxes {
        let boxes = (0..worker_count).map(|_| Outbox::default()).collect();
        Outboxes { own, boxes, is_stopped: false }
    }

    /// Appends: there is no fast path around what waits.
    pub fn push(&mut self, to: WorkerId, envelope: Envelope) {
        let waiting = &mut self.boxes[to.index()].envelopes;
        waiting.push(envelope);
        self.is_stopped |= waiting.len() >= limits::OUTBOX_COUNT_MAX;
    }

    pub fn is_empty(&self, to: WorkerId) -> bool {
        self.boxes[to.index()].envelopes.is_empty()
    }

    /// Takes all that waits for one worker.
    pub fn take(&mut self, to: WorkerId) -> Option<Batch> {
        let outbox = &mut self.boxes[to.index()];
        if outbox.envelopes.is_empty() {
            return None;
        }
        outbox.number += 1;
        let envelopes = std::mem::take(&mut outbox.envelopes);
        Some(Batch { from: self.own, number: outbox.number, envelopes })
    }

    /// Whether the streams that produce shall not be read.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// True once when every outbox has room again.
    pub fn starts_again(&mut self) -> bool {
        let half = limits::OUTBOX_COUNT_MAX / 2;
        let ready =
            self.is_stopped && self.boxes.iter().all(|outbox| outbox.envelopes.len() < half);
        self.is_stopped &= !ready;
        ready
    }
}
