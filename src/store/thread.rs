//! The store's threads: readers, and the one writer that collects saves, commits once and then answers all.
//! Refuses to know how an engine keeps rows.

use std::io;
use std::mem::take;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::actor::rows::{StoreError, Write};
use crate::actor::{Answer, Ticket};
use crossbeam_channel::{Receiver, Sender, unbounded};

use super::api::{Port, Request};
use super::batch::Batch;
use super::chain::Chains;
use super::engine::{Engine, read};
use super::queue::{Asked, Queue, To};
use super::room::makes_room;
use crate::actor::rows::Fence;

/// The running threads; dropping it ends them when all is done.
pub(super) struct Threads {
    queue: Arc<Queue>,
    reads: Option<Sender<Asked>>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(super) fn start(
        engine: Arc<dyn Engine>,
        ports: Vec<Port>,
        readers: usize,
        rest_after: Duration,
    ) -> io::Result<Threads> {
        let ports = Arc::new(ports);
        let queue = Arc::new(Queue::default());
        let (reads, asked) = unbounded();
        let mut threads = Threads {
            queue: queue.clone(),
            reads: Some(reads.clone()),
            handles: Vec::new(),
        };
        let writer = Writer {
            queue,
            engine: engine.clone(),
            chains: vec![Chains::default(); ports.len()],
            ports: ports.clone(),
            reads,
            rest_after,
            written_bytes: 0,
            rests: RESTS,
        };
        let handle = Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run())?;
        threads.handles.push(handle);
        for _ in 0..readers.max(1) {
            let (engine, ports, asked) = (engine.clone(), ports.clone(), asked.clone());
            let handle = Builder::new()
                .name("store-reader".into())
                .spawn(move || answer_reads(&*engine, &ports, &asked))?;
            threads.handles.push(handle);
        }
        Ok(threads)
    }

    /// Queues saves, in order.
    pub(super) fn save(&self, saves: impl Iterator<Item = Asked>) {
        self.queue.push(saves);
    }

    /// Sends a read to the readers: at once, or behind the commit of what is queued.
    pub(super) fn read(&self, asked: Asked, fence: Fence) {
        let asked = match fence {
            Fence::None => Some(asked),
            Fence::AfterSaves => self.queue.push_behind_saves(asked),
        };
        if let (Some(asked), Some(reads)) = (asked, &self.reads) {
            // The readers are there as long as this sender is.
            let _ = reads.send(asked);
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.queue.close();
        // The readers end when the writer's sender is gone as well, and then have answered everything.
        self.reads = None;
        for handle in self.handles.drain(..) {
            // A port that holds the last handle of its own store is dropped on the thread that it would await.
            if handle.thread().id() != std::thread::current().id() && handle.join().is_err() {
                log::error!("a thread of the store had panicked");
            }
        }
    }
}

struct Writer {
    queue: Arc<Queue>,
    engine: Arc<dyn Engine>,
    ports: Arc<Vec<Port>>,
    /// One for each port.
    chains: Vec<Chains>,
    reads: Sender<Asked>,
    /// When the engine may rest, behind the last of what was asked.
    rest_after: Duration,
    /// Since it did.
    written_bytes: usize,
    rests: u8,
}

/// What is committed at once.
#[derive(Default)]
struct Collected {
    batch: Batch,
    /// Who asked for it, and the chain of each.
    asked: Vec<(To, Option<u64>)>,
}

impl Writer {
    fn run(mut self) {
        // One save of a collection must not be refused for what another would add.
        let mut is_full = false;
        while let Some(all) = self.queue.take(self.rests_after()) {
            if all.is_empty() {
                self.rest();
                continue;
            }
            let mut collected = Collected::default();
            collected.asked.reserve(all.len());
            let mut behind = Vec::new();
            for Asked { to, request } in all {
                let (writes, chain) = match request {
                    Request::Save(writes) => (writes, None),
                    Request::SaveOfChain(writes, chain) => (writes, Some(chain)),
                    Request::SaveInReserve(writes) => {
                        is_full |= is_full_disk(self.commit(take(&mut collected)));
                        let mut own = Batch::default();
                        own.add(writes);
                        let result =
                            self.commit_by(own, |engine, writes| engine.commit_in_reserve(writes));
                        self.answer([to], result);
                        continue;
                    }
                    Request::Drop { table, before } => {
                        is_full |= is_full_disk(self.commit(take(&mut collected)));
                        let result = caught(|| self.engine.drop_before(table, before));
                        self.answer([to], result);
                        continue;
                    }
                    request => {
                        behind.push(Asked { to, request });
                        continue;
                    }
                };
                if let Some(error) = self.refuse(&to, chain) {
                    // Answers come in the order in which saves were asked.
                    is_full |= is_full_disk(self.commit(take(&mut collected)));
                    self.answer([to], Err(error));
                    continue;
                }
                let adds = writes.iter().any(|w| matches!(w, Write::Put { .. }));
                // What makes room is let through while there is none, and says nothing.
                let adds = adds && !makes_room(&writes);
                collected.batch.add(writes);
                collected.asked.push((to, chain));
                if is_full {
                    let commit = self.commit(take(&mut collected));
                    is_full = !(commit.is_ok() && adds);
                }
                if collected.batch.bytes() >= COMMIT_BYTES {
                    is_full |= is_full_disk(self.commit(take(&mut collected)));
                }
            }
            is_full |= is_full_disk(self.commit(collected));
            for asked in behind {
                // The readers outlive the writer: they end when its sender is gone.
                let _ = self.reads.send(asked);
            }
        }
    }

    /// When the engine is to rest if nothing comes; never, if there is not enough to gain or it has.
    fn rests_after(&self) -> Option<Duration> {
        let is_due = self.written_bytes >= REST_BYTES || self.rests < RESTS;
        is_due.then_some(self.rest_after)
    }

    fn rest(&mut self) {
        if self.written_bytes >= REST_BYTES {
            self.written_bytes = 0;
            self.rests = 0;
        }
        self.rests += 1;
        // It is logged, and the next commit meets with what is amiss.
        let _ = caught(|| self.engine.rest());
    }

    /// Why a save is refused for another of its chain.
    fn refuse(&self, to: &To, chain: Option<u64>) -> Option<StoreError> {
        match to {
            To::Port(reply) => self.chains.get(usize::from(reply.port.0))?.refuse(chain),
            To::Caller(_) => None,
        }
    }

    fn commit(&mut self, Collected { batch, asked }: Collected) -> Result<(), StoreError> {
        let result = self.commit_by(batch, |engine, writes| engine.commit(writes));
        if result.is_err() {
            for (to, chain) in &asked {
                if let To::Port(reply) = to
                    && let Some(chains) = self.chains.get_mut(usize::from(reply.port.0))
                {
                    chains.tried(*chain, result);
                }
            }
        }
        self.answer(asked.into_iter().map(|(to, _)| to), result);
        result
    }

    fn commit_by(
        &mut self,
        batch: Batch,
        commit: impl FnOnce(&dyn Engine, &[Write]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.written_bytes += batch.bytes();
        let engine = &*self.engine;
        caught(|| {
            let writes = batch.into_writes(engine);
            match writes.is_empty() {
                true => Ok(()),
                false => commit(engine, &writes),
            }
        })
    }

    fn answer(&self, saved: impl IntoIterator<Item = To>, result: Result<(), StoreError>) {
        let mut answers: Vec<Vec<(Ticket, Answer)>> = Vec::new();
        answers.resize_with(self.ports.len(), Vec::new);
        for to in saved {
            let answer = match result {
                Ok(()) => Answer::Saved,
                Err(error) => Answer::Failed(error),
            };
            match to {
                To::Caller(caller) => tell(&caller, answer),
                To::Port(reply) => match answers.get_mut(usize::from(reply.port.0)) {
                    Some(answers) => answers.push((reply.ticket, answer)),
                    None => log::error!("no port {:?} for {:?}", reply.port, reply.ticket),
                },
            }
        }
        for (port, answers) in self.ports.iter().zip(answers) {
            if !answers.is_empty() {
                port.deliver(answers);
            }
        }
    }
}

fn answer_reads(engine: &dyn Engine, ports: &[Port], asked: &Receiver<Asked>) {
    for Asked { to, request } in asked {
        let answer = caught(|| Ok(read(engine, &request))).unwrap_or_else(Answer::Failed);
        match to {
            To::Caller(caller) => tell(&caller, answer),
            To::Port(reply) => match ports.get(usize::from(reply.port.0)) {
                Some(port) => port.deliver(vec![(reply.ticket, answer)]),
                None => log::error!("no port {:?} for {:?}", reply.port, reply.ticket),
            },
        }
    }
}

fn tell(caller: &Sender<Answer>, answer: Answer) {
    // The channel has room for the one answer, and a caller that is gone needs none.
    let _ = caller.send(answer);
}

fn is_full_disk(commit: Result<(), StoreError>) -> bool {
    commit == Err(StoreError::DiskFull)
}

/// Runs a call of the engine so that its panic is an error of those who asked and not the end of the thread:
/// everybody else would wait for ever.
fn caught<T>(call: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let call = std::panic::AssertUnwindSafe(call);
    std::panic::catch_unwind(call).unwrap_or_else(|_| {
        log::error!("the store's engine panicked");
        Err(StoreError::Broken)
    })
}

/// For less, nothing is put into tables of its own: each costs the disk some syncs, and others their merging.
const REST_BYTES: usize = 1024 * 1024;
/// So often the engine is told to rest, see [`Engine::rest`].
const RESTS: u8 = 2;

/// Bytes of one commit: more are divided, so that a commit always fits into a memtable.
const COMMIT_BYTES: usize = 2 * 1024 * 1024;

#[cfg(test)]
#[path = "thread_tests.rs"]
mod tests;
