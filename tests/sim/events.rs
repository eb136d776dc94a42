//! What may happen next, and its happening: the order that threads and networks leave open, drawn from the seed.
//! Time passes here and nowhere else.

use stonechat::actor::Answer;
use stonechat::base::{StreamKey, WorkerId};
use stonechat::shard::{CloseReason, Input, Rendered};

use super::{Worker, World};

/// One thing that may happen next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Answer(usize, usize),
    Sync(usize),
    Batch(usize, usize),
    Arrive(usize),
    Read(usize),
    Flush(usize),
    Written(usize),
    EndTurn(usize),
    HandOut(usize),
    Send(usize, usize),
}

impl World {
    /// Every worker's loop turns once more, though nothing happened.
    pub fn end_turns(&mut self) {
        for worker in 0..self.workers.len() {
            self.workers[worker].shard.end_turn(self.now);
            self.outputs(worker);
        }
        self.settle();
    }

    /// Lets everything happen that can happen now.
    pub fn settle(&mut self) {
        let mut steps = 0u32;
        while self.step() {
            steps += 1;
            assert!(steps < 3_000_000, "the world does not come to rest");
        }
    }

    /// One thing happens; false when there is nothing left to happen at this moment.
    pub fn step(&mut self) -> bool {
        let events = self.possible();
        let Some(&event) = (if self.habits.shuffles {
            let at = self.below(events.len().max(1));
            events.get(at)
        } else {
            events.first()
        }) else {
            return false;
        };
        self.perform(event);
        self.assert_bounds();
        true
    }

    /// Lets time pass, with everything that is due on the way.
    pub fn advance(&mut self, ms: u64) {
        let end_ms = self.now.mono_ms + ms;
        self.settle();
        while let Some(at_ms) = self.next_due().filter(|&at_ms| at_ms <= end_ms) {
            self.move_to(at_ms);
            self.settle();
        }
        self.move_to(end_ms);
        self.settle();
    }

    /// When the auth thread lets go of the next failure, if it holds one back.
    pub fn next_release(&self) -> Option<u64> {
        self.held_back.iter().map(|held| held.0).min()
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        let shards = self
            .workers
            .iter()
            .filter_map(|worker| worker.shard.next_deadline());
        shards.chain(self.next_release()).min()
    }

    pub(super) fn move_to(&mut self, at_ms: u64) {
        let ms = at_ms.saturating_sub(self.now.mono_ms);
        self.now = self.now.plus_ms(ms);
        let now = self.now.mono_ms;
        let mut index = 0;
        while index < self.held_back.len() {
            if self.held_back[index].0 <= now {
                let (_, worker, ticket, answer) = self.held_back.remove(index);
                self.workers[worker.index()].answers.push((ticket, answer));
            } else {
                index += 1;
            }
        }
        for worker in 0..self.workers.len() {
            self.workers[worker].shard.handle(self.now, Input::Tick);
            let next = self.workers[worker].shard.next_deadline();
            assert!(
                next.is_none_or(|at| at > now),
                "the next deadline is later: {next:?} {now}"
            );
            self.outputs(worker);
        }
    }

    pub(super) fn possible(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for (at, worker) in self.workers.iter().enumerate() {
            let answers = match self.services_are_mute {
                true => 0,
                false => worker.answers.len(),
            };
            events.extend((0..answers).map(|answer| Event::Answer(at, answer)));
            for from in 0..self.workers.len() {
                if !self.mesh[from][at].is_empty() {
                    events.push(Event::Batch(from, at));
                }
            }
            if !worker.arrivals.is_empty() {
                events.push(Event::Arrive(at));
            }
            if worker.is_undriven {
                events.push(Event::HandOut(at));
            }
        }
        for (at, conn) in self.conns.iter().enumerate() {
            let feed = !conn.upstream.is_empty() && conn.unread.is_empty() && !conn.securing;
            if conn.key.is_some() && feed {
                events.push(Event::Read(at));
            }
            if conn.key.is_some() && conn.dirty && !conn.stalled && !conn.unwritten {
                events.push(Event::Flush(at));
            }
            if conn.key.is_some() && conn.unwritten && !conn.stalled {
                events.push(Event::Written(at));
            }
        }
        for (at, worker) in self.workers.iter().enumerate() {
            for to in 0..self.workers.len() {
                let room = self.mesh[at][to].len() < self.habits.channel_batches;
                if room && !worker.shard.outbox_is_empty(WorkerId(to as u8)) {
                    events.push(Event::Send(at, to));
                }
            }
            if worker.shard.has_unsaved() {
                events.push(Event::EndTurn(at));
            }
            if !worker.unsynced.is_empty() && !self.disk_is_asleep {
                events.push(Event::Sync(at));
            }
        }
        events
    }

    pub(super) fn perform(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Answer(at, answer) => {
                let (ticket, answer) = self.workers[at].answers.remove(answer);
                self.workers[at]
                    .shard
                    .handle(now, Input::Answer(ticket, answer));
                self.outputs(at);
            }
            Event::Sync(at) => {
                // The disk syncs as a whole; the one whose turn it is hears first.
                let synced = self.store.lock().sync();
                let answers: Vec<_> = self.workers[at].unsynced.drain(..).collect();
                for (ticket, answer) in answers {
                    let answer = match (synced, answer) {
                        (Err(error), Answer::Saved) => Answer::Failed(error),
                        (_, answer) => answer,
                    };
                    self.workers[at].answers.push((ticket, answer));
                }
            }
            Event::Batch(from, to) => {
                if let Some(batch) = self.mesh[from][to].pop_front() {
                    self.workers[to].shard.handle(now, Input::Mesh(batch));
                    let left = self.mesh[from][to].len();
                    self.workers[from]
                        .shard
                        .channel_holds(WorkerId(to as u8), left);
                    self.outputs(to);
                }
            }
            Event::Arrive(at) => {
                if let Some((conn, state)) = self.workers[at].arrivals.pop_front() {
                    let key = self.workers[at].shard.arrive(now, state);
                    let moved = &mut self.conns[conn.0];
                    (moved.worker, moved.key, moved.waits) = (at, Some(key), false);
                    self.outputs(at);
                    if self.conns[conn.0].closed {
                        // It broke on its way.
                        self.gone(conn.0, CloseReason::Failed);
                    }
                    self.offer(conn.0);
                }
            }
            Event::Read(at) => self.read_some(at),
            Event::Flush(at) if self.sockets_are_slow => {
                self.conns[at].unwritten = true;
                self.render(at);
            }
            Event::Flush(at) => self.flush(at),
            Event::Written(at) => self.written(at),
            Event::EndTurn(at) => {
                self.workers[at].shard.end_turn(now);
                self.outputs(at);
            }
            Event::HandOut(at) => {
                self.workers[at].is_undriven = false;
                self.workers[at].shard.hand_out(now);
                self.outputs(at);
            }
            Event::Send(from, to) => {
                if let Some(batch) = self.workers[from].shard.take_batch(WorkerId(to as u8)) {
                    self.note(format_args!("{from} {to} {batch:?}"));
                    self.mesh[from][to].push_back(batch);
                }
                self.outputs(from);
            }
        }
    }

    pub(super) fn read_some(&mut self, at: usize) {
        let available = self.conns[at].upstream.len();
        let count = if self.habits.tears {
            1 + self.below(available)
        } else {
            available
        };
        let conn = &mut self.conns[at];
        let bytes: Vec<u8> = conn.upstream.drain(..count.min(available)).collect();
        conn.unread.extend(bytes);
        self.offer(at);
    }

    /// Offers what is unread to the core.
    pub(super) fn offer(&mut self, at: usize) {
        let conn = &mut self.conns[at];
        let (worker, Some(key)) = (conn.worker, conn.key) else {
            return;
        };
        if conn.unread.is_empty() || conn.waits || conn.closing {
            return;
        }
        let bytes = std::mem::take(&mut conn.unread);
        let Worker {
            shard, is_undriven, ..
        } = &mut self.workers[worker];
        let taken = match self.habits.shuffles {
            true => shard.take_in(self.now, key, &bytes),
            false => shard.handle(self.now, Input::Bytes(key, &bytes)),
        };
        *is_undriven = self.habits.shuffles;
        let conn = &mut self.conns[at];
        conn.unread = bytes[taken..].to_vec();
        conn.waits = !conn.unread.is_empty();
        self.outputs(worker);
    }

    pub(super) fn flush(&mut self, at: usize) {
        self.written(at);
        self.render(at);
        self.conns[at].unwritten = true;
        self.written(at);
    }

    /// What was rendered last is in the socket.
    pub(super) fn written(&mut self, at: usize) {
        let conn = &mut self.conns[at];
        let (worker, was_unwritten) = (conn.worker, std::mem::take(&mut conn.unwritten));
        if let (Some(key), true) = (conn.key, was_unwritten) {
            self.workers[worker]
                .shard
                .handle(self.now, Input::Written(key));
            self.outputs(worker);
        }
    }

    pub(super) fn render(&mut self, at: usize) {
        let conn = &mut self.conns[at];
        conn.dirty = false;
        let (worker, Some(key)) = (conn.worker, conn.key) else {
            return;
        };
        let mut bytes = Vec::new();
        let rendered = self.workers[worker].shard.render(self.now, key, &mut bytes);
        self.note(format_args!("{at} {}", String::from_utf8_lossy(&bytes)));
        let conn = &mut self.conns[at];
        conn.downstream.extend(&bytes);
        if rendered == Rendered::More {
            conn.dirty = true;
        }
    }

    pub(super) fn close(&mut self, at: usize) {
        while self.conns[at].key.is_some() {
            self.flush(at);
            if !self.conns[at].dirty {
                break;
            }
        }
        self.conns[at].closing = true;
        self.conns[at].closed = true;
        self.gone(at, CloseReason::Asked);
    }

    pub(super) fn gone(&mut self, at: usize, reason: CloseReason) {
        let conn = &mut self.conns[at];
        conn.dirty = false;
        conn.unwritten = false;
        let worker = conn.worker;
        if let Some(key) = conn.key.take() {
            self.workers[worker]
                .shard
                .handle(self.now, Input::Closed(key, reason));
            self.outputs(worker);
        }
    }

    pub(super) fn conn_at(&self, worker: usize, key: StreamKey) -> Option<usize> {
        self.conns
            .iter()
            .position(|conn| conn.worker == worker && conn.key == Some(key))
    }
}
