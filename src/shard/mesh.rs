//! What waits for other workers: one outbox each, emptied by the shell once per turn of its loop, and the channel
//! behind it. An outbox that is full stops the streams whose envelopes wait for it, and only those.

use std::collections::{BTreeMap, VecDeque};

use crate::actor::Envelope;
use crate::base::{StreamKey, WorkerId, limits};

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
    bytes: usize,
    /// The full outbox into which something was put last, until somebody asks whose it was.
    overflow: Option<WorkerId>,
    /// Streams that are not read until this outbox was emptied.
    held: BTreeMap<StreamKey, WorkerId>,
    /// Bytes that the worker's load was last told of.
    pub counted_bytes: usize,
}

#[derive(Default)]
struct Outbox {
    envelopes: Vec<Envelope>,
    bytes: usize,
    number: u64,
    /// Bytes of each batch in the channel, as far as we know.
    sent: VecDeque<usize>,
}

impl Outboxes {
    pub fn new(own: WorkerId, worker_count: u8) -> Outboxes {
        let boxes = (0..worker_count).map(|_| Outbox::default()).collect();
        Outboxes {
            own,
            boxes,
            bytes: 0,
            overflow: None,
            held: BTreeMap::new(),
            counted_bytes: 0,
        }
    }

    /// Appends: there is no fast path around what waits.
    pub fn push(&mut self, to: WorkerId, envelope: Envelope) {
        let outbox = &mut self.boxes[to.index()];
        outbox.bytes += charge(&envelope);
        self.bytes += charge(&envelope);
        outbox.envelopes.push(envelope);
        if outbox.envelopes.len() >= limits::OUTBOX_COUNT_MAX {
            self.overflow = Some(to);
        }
    }

    pub fn is_empty(&self, to: WorkerId) -> bool {
        self.boxes[to.index()].envelopes.is_empty()
    }

    /// The most envelopes that wait for one worker.
    pub fn longest(&self) -> usize {
        let lengths = self.boxes.iter().map(|outbox| outbox.envelopes.len());
        lengths.max().unwrap_or_default()
    }

    /// Bytes in the outboxes and, as far as we know, in the channels behind them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes all that waits for one worker.
    pub fn take(&mut self, to: WorkerId) -> Option<Batch> {
        let outbox = &mut self.boxes[to.index()];
        if outbox.envelopes.is_empty() {
            return None;
        }
        outbox.number += 1;
        outbox.sent.push_back(std::mem::take(&mut outbox.bytes));
        let envelopes = std::mem::take(&mut outbox.envelopes);
        Some(Batch {
            from: self.own,
            number: outbox.number,
            envelopes,
        })
    }

    /// So many batches are still in the channel.
    pub fn channel_holds(&mut self, to: WorkerId, batches: usize) {
        let sent = &mut self.boxes[to.index()].sent;
        let gone = sent.len().saturating_sub(batches);
        self.bytes -= sent.drain(..gone).sum::<usize>();
    }

    /// Whether anything is in the channel, as far as we know.
    pub fn has_sent(&self, to: WorkerId) -> bool {
        !self.boxes[to.index()].sent.is_empty()
    }

    /// The full outbox into which something was put since this was asked last.
    pub fn take_overflow(&mut self) -> Option<WorkerId> {
        self.overflow.take()
    }

    /// The stream is not to be read until this outbox was emptied.
    pub fn hold(&mut self, stream: StreamKey, to: WorkerId) {
        self.held.insert(stream, to);
    }

    pub fn holds(&self, stream: StreamKey) -> bool {
        self.held.contains_key(&stream)
    }

    /// Takes the streams that waited for this outbox, which is empty now.
    pub fn release(&mut self, to: WorkerId) -> Vec<StreamKey> {
        let (released, held) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|(_, of)| *of == to);
        self.held = held;
        let released: BTreeMap<StreamKey, WorkerId> = released;
        released.into_keys().collect()
    }

    /// The stream is gone.
    pub fn forget(&mut self, stream: StreamKey) {
        self.held.remove(&stream);
    }
}

/// Bytes that an envelope is charged with while it waits.
pub(super) fn charge(envelope: &Envelope) -> usize {
    match envelope {
        Envelope::Stanza { stanza, .. }
        | Envelope::Tell { stanza, .. }
        | Envelope::Retell { stanza, .. } => stanza.charge(),
        Envelope::Group { stanza, to } => stanza.charge() + to.bytes(),
        Envelope::Settled(_) | Envelope::Told { .. } | Envelope::Empty { .. } => {
            size_of::<Envelope>()
        }
    }
}
