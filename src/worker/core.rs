//! The border between a worker and what it carries bytes for, as the worker uses it. There are two: the
//! server's [`Shard`], and the echo with which the shell is tested alone (`tests/shell/`).

use crate::base::{Now, StreamKey, WorkerId};
use crate::shard::{Batch, Input, Opened, Output, Rendered, Shard};
use crate::stream::StreamState;

/// One worker's share of the protocol. Each method is described where [`Shard`] has it.
pub trait Core {
    /// See [`Shard::open`].
    fn open(&mut self, now: Now, opened: Opened) -> StreamKey;
    /// See [`Shard::arrive`].
    fn arrive(&mut self, now: Now, state: Box<StreamState>) -> StreamKey;
    /// See [`Shard::handle`].
    fn handle(&mut self, now: Now, input: Input<'_>) -> usize;
    /// See [`Shard::take_in`].
    fn take_in(&mut self, now: Now, stream: StreamKey, bytes: &[u8]) -> usize;
    /// See [`Shard::hand_out`].
    fn hand_out(&mut self, now: Now);
    /// See [`Shard::admits`].
    fn admits(&self) -> bool;
    /// See [`Shard::look_ahead`].
    fn look_ahead(&self, streams: &[StreamKey]);
    /// See [`Shard::lets_go`].
    fn lets_go(&mut self, stream: StreamKey) -> bool;
    /// See [`Shard::poll_output`].
    fn poll_output(&mut self) -> Option<Output>;
    /// See [`Shard::render`].
    fn render(&mut self, now: Now, stream: StreamKey, out: &mut Vec<u8>) -> Rendered;
    /// See [`Shard::end_turn`].
    fn end_turn(&mut self, now: Now);
    /// See [`Shard::next_deadline`].
    fn next_deadline(&self) -> Option<u64>;
    /// See [`Shard::is_settled`].
    fn is_settled(&self) -> bool;
    /// See [`Shard::outbox_is_empty`].
    fn outbox_is_empty(&self, to: WorkerId) -> bool;
    /// See [`Shard::take_batch`].
    fn take_batch(&mut self, to: WorkerId) -> Option<Batch>;
    /// See [`Shard::channel_holds`].
    fn channel_holds(&mut self, to: WorkerId, batches: usize);
    /// See [`Shard::waits_for`].
    fn waits_for(&self, to: WorkerId) -> bool;
}

impl Core for Shard {
    fn open(&mut self, now: Now, opened: Opened) -> StreamKey {
        self.open(now, opened)
    }

    fn arrive(&mut self, now: Now, state: Box<StreamState>) -> StreamKey {
        self.arrive(now, state)
    }

    fn handle(&mut self, now: Now, input: Input<'_>) -> usize {
        self.handle(now, input)
    }

    fn take_in(&mut self, now: Now, stream: StreamKey, bytes: &[u8]) -> usize {
        self.take_in(now, stream, bytes)
    }

    fn hand_out(&mut self, now: Now) {
        self.hand_out(now);
    }

    fn admits(&self) -> bool {
        self.admits()
    }

    fn look_ahead(&self, streams: &[StreamKey]) {
        self.look_ahead(streams);
    }

    fn lets_go(&mut self, stream: StreamKey) -> bool {
        self.lets_go(stream)
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.poll_output()
    }

    fn render(&mut self, now: Now, stream: StreamKey, out: &mut Vec<u8>) -> Rendered {
        self.render(now, stream, out)
    }

    fn end_turn(&mut self, now: Now) {
        self.end_turn(now);
    }

    fn next_deadline(&self) -> Option<u64> {
        self.next_deadline()
    }

    fn is_settled(&self) -> bool {
        self.is_settled()
    }

    fn outbox_is_empty(&self, to: WorkerId) -> bool {
        self.outbox_is_empty(to)
    }

    fn take_batch(&mut self, to: WorkerId) -> Option<Batch> {
        self.take_batch(to)
    }

    fn channel_holds(&mut self, to: WorkerId, batches: usize) {
        self.channel_holds(to, batches);
    }

    fn waits_for(&self, to: WorkerId) -> bool {
        self.waits_for(to)
    }
}
