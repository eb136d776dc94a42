//! One thread of a measure: a world, its clients, and the server's own channels to the other workers of its process. It
//! turns as `worker/loop.rs` turns, in the same order, and sleeps as that does; instead of sockets it has clients.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use core_affinity::CoreId;
use crossbeam_channel::{Receiver, Sender};
use mio::Events;

use stonechat::base::WorkerId;
use stonechat::stream::StreamState;
use stonechat::worker::{Address, Clock, Seat};

use super::board::{Board, Verdict};
use super::clients::{Act, Client, Clients};
use crate::cpu;
use stonechat::shard::AHEAD;

use crate::world::{Leaving, World};

/// What goes between threads besides batches.
pub enum Note {
    /// A connection whose account's home is the other worker.
    Carried(Box<(Client, Box<StreamState>)>),
    /// The clients of a worker have heard all of this round.
    Done { worker: usize, round: u64 },
}

/// What a thread is started with.
pub struct Post {
    /// Among all threads.
    pub place: usize,
    pub core: Option<CoreId>,
    pub seat: Seat,
    /// The workers of this process, by their place.
    pub addresses: Vec<Address>,
    /// All threads, those of other processes too.
    pub everybody: Vec<Address>,
    pub notes: Receiver<Note>,
    /// To each worker of this process, by its place.
    pub notes_to: Vec<Sender<Note>>,
    pub board: Arc<Board>,
    pub clock: Clock,
}

pub struct Station {
    post: Post,
    world: World,
    clients: Clients,
    sent: u64,
    received: u64,
    sleeps: u64,
}

/// What a window took of one thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    pub cpu: Duration,
    pub wall: Duration,
    /// Logins, messages or presences that arrived.
    pub operations: u64,
    /// Batches and notes to others.
    pub sent: u64,
    /// How often it waited for the other one.
    pub sleeps: u64,
}

impl Station {
    /// Everything but the world is there already.
    pub fn new(post: Post, world: World) -> Station {
        let clients = Clients::new(post.seat.worker.index(), post.addresses.len());
        Station {
            post,
            world,
            clients,
            sent: 0,
            received: 0,
            sleeps: 0,
        }
    }

    /// Does this until nothing is under way at any thread.
    pub fn window(&mut self, act: Act) -> Result<Spent> {
        self.clients.begin(act);
        let mut events = Events::with_capacity(EVENTS);
        self.post.board.meet()?;
        let (cpu_before, wall, sent, sleeps) = (cpu(), Instant::now(), self.sent, self.sleeps);
        loop {
            self.turn()?;
            if self.sleep(&mut events)? == Verdict::Quiet {
                break;
            }
        }
        let spent = Spent {
            cpu: cpu() - cpu_before,
            wall: wall.elapsed(),
            operations: 0,
            sent: self.sent - sent,
            sleeps: self.sleeps - sleeps,
        };
        let operations = self.clients.end()?;
        Ok(Spent {
            operations,
            ..spent
        })
    }

    fn turn(&mut self) -> Result<()> {
        self.world.now = self.post.clock.now();
        self.post.seat.inbox.begin_turn();
        self.world.take_answers();
        // At once, as the worker does: whoever comes next may have the key of one that has gone.
        self.carry()?;
        self.take_notes();
        self.take_batches();
        self.world.run_timers();
        if let Some(round) = self.clients.speak(&mut self.world) {
            self.tell_done(round);
        }
        self.read();
        let (world, clients) = (&mut self.world, &mut self.clients);
        world.flush(&mut |key, bytes| clients.hear(key, bytes));
        world.end_turn();
        self.flush_mesh();
        Ok(())
    }

    fn take_notes(&mut self) {
        while let Ok(note) = self.post.notes.try_recv() {
            self.received += 1;
            match note {
                Note::Carried(carried) => {
                    let (client, state) = *carried;
                    let key = self.world.arrive(state);
                    self.clients.came(key, client);
                }
                Note::Done { worker, round } => self.clients.done_elsewhere(worker, round),
            }
        }
    }

    fn take_batches(&mut self) {
        while let Some(batch) = self.post.seat.inbox.next_batch() {
            self.received += 1;
            self.world.take_batch(batch);
        }
    }

    fn tell_done(&mut self, round: u64) {
        let worker = self.post.seat.worker.index();
        for to in (0..self.post.addresses.len()).filter(|&to| to != worker) {
            self.put(to, Note::Done { worker, round });
        }
    }

    fn put(&mut self, to: usize, note: Note) {
        self.sent += 1;
        // A thread that is gone has failed, and has said so on the board.
        if self.post.notes_to[to].send(note).is_ok() {
            self.post.addresses[to].knock();
        }
    }

    fn read(&mut self) {
        for at in 0..self.clients.ready.len().min(self.world.reads_per_turn) {
            if at % AHEAD == 0 {
                self.world.look_ahead(&self.clients.ready);
            }
            if let Some((key, bytes)) = self.clients.next() {
                let taken = self.world.read(key, bytes);
                self.clients.took(key, taken);
            }
        }
        self.world.hand_out();
        for key in std::mem::take(&mut self.world.resumed) {
            self.clients.resume(key);
        }
    }

    fn carry(&mut self) -> Result<()> {
        for Leaving { to, key, state } in std::mem::take(&mut self.world.leaving) {
            let client = self.clients.goes(key).context("a stream of nobody's")?;
            self.put(to.index(), Note::Carried(Box::new((client, state))));
        }
        Ok(())
    }

    /// As `Worker::flush_mesh`.
    fn flush_mesh(&mut self) {
        let shard = &mut self.world.shard;
        for (index, sender) in self.post.seat.outboxes.iter().enumerate() {
            let Some(sender) = sender else { continue };
            let to = worker_at(index);
            let mut sent = false;
            shard.channel_holds(to, sender.len());
            while !shard.outbox_is_empty(to) && !sender.is_full() {
                let Some(batch) = shard.take_batch(to) else {
                    break;
                };
                sent |= sender.try_send(batch).is_ok();
                self.sent += 1;
            }
            if sent {
                self.post.addresses[index].knock();
            }
        }
        self.world.drain();
    }

    /// Waits as `Worker::sleep` does.
    fn sleep(&mut self, events: &mut Events) -> Result<Verdict> {
        let (board, place) = (&self.post.board, self.post.place);
        let mut patience = self.patience();
        let mut verdict = Verdict::GoesOn;
        let mut is_idle = false;
        if patience != Some(Duration::ZERO) {
            let inbox = &self.post.seat.inbox;
            inbox.knocker.fall_asleep();
            if !inbox.is_empty() || !self.post.notes.is_empty() {
                patience = Some(Duration::ZERO);
            } else if !self.mesh_waits() {
                is_idle = true;
                verdict = board.idle(place, self.sent, self.received)?;
            }
        }
        if verdict == Verdict::Quiet {
            self.post.seat.inbox.knocker.wake_up();
            self.wake_all();
            return Ok(verdict);
        }
        match self.post.seat.poll.poll(events, patience) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => bail!("epoll does not work: {error}"),
        }
        self.post.seat.inbox.knocker.wake_up();
        if is_idle {
            self.sleeps += 1;
            verdict = self.post.board.woken(place)?;
        }
        Ok(verdict)
    }

    fn patience(&self) -> Option<Duration> {
        let has_more = self.clients.has_more() || !self.world.resumed.is_empty();
        if has_more || self.world.has_work() {
            return Some(Duration::ZERO);
        }
        let retry_ms = self.mesh_waits().then_some(MESH_RETRY_MS);
        let due_ms = self.world.shard.next_deadline();
        let due_ms = due_ms.map(|due_ms| due_ms.saturating_sub(self.world.now.mono_ms));
        let patience_ms = retry_ms.into_iter().chain(due_ms).min();
        patience_ms.map(Duration::from_millis)
    }

    fn mesh_waits(&self) -> bool {
        let mut workers = (0..self.post.addresses.len()).map(worker_at);
        workers.any(|to| self.world.shard.waits_for(to))
    }

    fn wake_all(&self) {
        for address in &self.post.everybody {
            address.knock();
        }
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.give_up();
        }
    }
}

impl Station {
    /// The other threads need not wait for this one.
    pub fn give_up(&self) {
        self.post.board.fail();
        self.wake_all();
    }
}

fn worker_at(index: usize) -> WorkerId {
    WorkerId(u8::try_from(index).expect("workers are counted in a u8"))
}

/// Nobody but knocks.
const EVENTS: usize = 8;
/// As the worker's loop has it.
const MESH_RETRY_MS: u64 = 1;
