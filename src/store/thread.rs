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
mod tests {
    use super::super::api::Reply;
    use super::super::api::{PortId, Saving, Store};
    use super::super::testing::{Guard, Guarded, LETTERS, ROSTERS, delete, key, put, range};
    use super::*;
    use crate::actor::rows::Write;
    use crossbeam_channel::bounded;
    use parking_lot::Mutex;
    use std::thread;
    use std::time::Instant;

    /// Counts commits, can hold them up, and can panic.
    #[derive(Default)]
    struct Watched {
        commits: Mutex<Vec<usize>>,
        /// Commits wait while this is locked.
        gate: Mutex<()>,
        panics: Mutex<bool>,
        /// What adds rows is refused, and nothing else.
        is_full: Mutex<bool>,
        /// What was committed before each rest.
        rests: Mutex<Vec<usize>>,
    }

    impl Guard for Watched {
        fn may(&self, writes: Option<&[Write]>) -> Result<(), StoreError> {
            let Some(writes) = writes else {
                return Ok(());
            };
            let _open = self.gate.lock();
            assert!(!*self.panics.lock(), "the engine was told to panic");
            self.commits.lock().push(writes.len());
            match *self.is_full.lock() && !makes_room(writes) {
                true => Err(StoreError::DiskFull),
                false => Ok(()),
            }
        }

        fn rests(&self) {
            let commits = self.commits.lock().len();
            self.rests.lock().push(commits);
        }
    }

    struct Stage {
        engine: Arc<Guarded<Watched>>,
        store: Store,
        answers: Receiver<(Ticket, Answer)>,
    }

    fn stage() -> Stage {
        let engine = Arc::new(Guarded::<Watched>::default());
        engine.create(&[&LETTERS, &ROSTERS]).unwrap();
        let (sender, answers) = unbounded();
        let port = Port::new(move |all| {
            for answer in all {
                let _ = sender.send(answer);
            }
        });
        let store = Store::on(engine.clone(), &[&LETTERS, &ROSTERS], vec![port]);
        Stage {
            engine,
            store,
            answers,
        }
    }

    impl Stage {
        fn save(&self, ticket: u64, write: Write) {
            self.store.save(reply(ticket), vec![write]);
        }

        fn next(&self) -> (u64, Answer) {
            let (ticket, answer) = self.answers.recv_timeout(Duration::from_secs(60)).unwrap();
            (ticket.0, answer)
        }
    }

    impl Stage {
        /// Whether the next save that is answered was done.
        fn next_saved(&self) -> (u64, bool) {
            let (ticket, answer) = self.next();
            (ticket, matches!(answer, Answer::Saved))
        }
    }

    fn saving(ticket: u64, write: Write) -> Saving {
        Saving {
            ticket: Ticket(ticket),
            writes: vec![write],
            chain: None,
        }
    }

    fn reply(ticket: u64) -> Reply {
        Reply {
            port: PortId(0),
            ticket: Ticket(ticket),
        }
    }

    #[test]
    fn saves_of_one_collection_share_a_commit_and_are_answered_in_order() {
        let stage = stage();
        let gate = stage.engine.guard.gate.lock();
        let saves = (0..50_u8).map(|n| saving(n.into(), put(&LETTERS, &[n], b"x")));
        stage.store.save_all(PortId(0), saves);
        drop(gate);
        for n in 0..50 {
            let (ticket, answer) = stage.next();
            assert!(ticket == n && matches!(answer, Answer::Saved));
        }
        assert_eq!(*stage.engine.guard.commits.lock(), [50]);
    }

    #[test]
    fn the_engine_rests_twice_when_much_was_written_and_nothing_more_comes() {
        let engine = Arc::new(Guarded::<Watched>::default());
        engine.create(&[&LETTERS]).unwrap();
        let threads = Threads::start(engine.clone(), Vec::new(), 1, Duration::from_millis(1));
        let threads = threads.unwrap();
        let save = |bytes: usize| {
            let (caller, done) = bounded(1);
            let request = Request::Save(vec![put(&LETTERS, b"a", &vec![0; bytes])]);
            let to = To::Caller(caller);
            threads.save([Asked { to, request }].into_iter());
            assert!(matches!(done.recv(), Ok(Answer::Saved)));
        };
        let rests = |count| {
            let deadline = Instant::now() + Duration::from_secs(60);
            while engine.guard.rests.lock().len() < count && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
            }
            engine.guard.rests.lock().clone()
        };
        // Not worth it.
        save(1_000);
        thread::sleep(Duration::from_millis(50));
        assert!(rests(0).is_empty());
        save(REST_BYTES);
        assert_eq!(rests(2), [2, 2]);
        thread::sleep(Duration::from_millis(50));
        assert_eq!(rests(2), [2, 2], "and no more");
        save(REST_BYTES);
        assert_eq!(rests(4), [2, 2, 3, 3]);
    }

    #[test]
    fn a_row_that_came_and_went_is_answered_twice_and_never_committed() {
        let stage = stage();
        let put = saving(1, put(&LETTERS, b"a", b"x"));
        let both = [put, saving(2, delete(&LETTERS, b"a"))];
        stage.store.save_all(PortId(0), both);
        assert!(matches!(stage.next(), (1, Answer::Saved)));
        assert!(matches!(stage.next(), (2, Answer::Saved)));
        assert!(stage.engine.guard.commits.lock().is_empty());
    }

    #[test]
    fn a_fenced_read_sees_what_was_saved_before_it_and_no_other_waits() {
        let stage = stage();
        let gate = stage.engine.guard.gate.lock();
        stage.save(1, put(&ROSTERS, b"a", b"new"));
        stage
            .store
            .row(reply(2), &ROSTERS, key(b"a"), Fence::AfterSaves);
        stage.store.row(reply(3), &ROSTERS, key(b"a"), Fence::None);
        assert!(matches!(stage.next(), (3, Answer::Row(None))));
        drop(gate);
        assert!(matches!(stage.next(), (1, Answer::Saved)));
        assert!(matches!(stage.next(), (2, Answer::Row(Some(value))) if value == b"new"));
    }

    #[test]
    fn a_fenced_read_behind_a_commit_under_way_sees_that_commit() {
        let stage = stage();
        let gate = stage.engine.guard.gate.lock();
        stage.save(1, put(&ROSTERS, b"a", b"1"));
        // The writer has taken the first save when the queue is empty and it commits.
        while !stage.store_is_committing() {
            std::thread::yield_now();
        }
        let all = range(b"", b"z");
        stage
            .store
            .range(reply(2), &ROSTERS, all, Fence::AfterSaves);
        drop(gate);
        assert!(matches!(stage.next(), (1, Answer::Saved)));
        assert!(
            matches!(stage.next(), (2, Answer::Range { rows, more: false }) if rows.len() == 1)
        );
    }

    impl Stage {
        fn store_is_committing(&self) -> bool {
            self.store.threads().queue.is_only_committing()
        }
    }

    #[test]
    fn a_failed_commit_fails_every_save_of_it_and_nothing_else() {
        let stage = stage();
        stage.engine.memory.set_fault(Some(StoreError::DiskFull));
        stage.save(1, put(&LETTERS, b"a", b"1"));
        stage.save(2, put(&ROSTERS, b"b", b"1"));
        for n in 1..=2 {
            let (ticket, answer) = stage.next();
            assert_eq!(ticket, n);
            assert!(matches!(answer, Answer::Failed(StoreError::DiskFull)));
        }
        stage.store.row(reply(3), &LETTERS, key(b"a"), Fence::None);
        assert!(matches!(stage.next(), (3, Answer::Row(None))));
        stage.engine.memory.set_fault(None);
        stage.save(4, put(&LETTERS, b"a", b"1"));
        assert!(matches!(stage.next(), (4, Answer::Saved)));
    }

    #[test]
    fn what_makes_room_on_a_full_disk_is_not_refused_with_what_takes_it() {
        let stage = stage();
        stage.save(1, put(&LETTERS, b"a", b"1"));
        stage.save(2, put(&LETTERS, b"b", b"1"));
        let _ = (stage.next(), stage.next());
        *stage.engine.guard.is_full.lock() = true;
        stage.save(3, put(&LETTERS, b"c", b"1"));
        assert_eq!(stage.next_saved(), (3, false));
        // That this goes says nothing of room.
        let both = vec![delete(&LETTERS, b"a"), put(&LETTERS, b"n", b"1")];
        stage.store.save(reply(4), both);
        assert_eq!(stage.next_saved(), (4, true));
        // These are of one collection.
        let gate = stage.engine.guard.gate.lock();
        stage.save(5, delete(&LETTERS, b"x"));
        while !stage.store_is_committing() {
            std::thread::yield_now();
        }
        stage.save(6, put(&LETTERS, b"d", &[0; 500]));
        stage.save(7, delete(&LETTERS, b"b"));
        drop(gate);
        assert_eq!(stage.next_saved(), (5, true));
        assert_eq!(stage.next_saved(), (6, false));
        assert_eq!(stage.next_saved(), (7, true));
    }

    #[test]
    fn what_rests_on_a_refused_save_is_refused_though_there_is_room_again() {
        let stage = stage();
        let save = |ticket, chain, letter: &[u8]| {
            let saving = Saving {
                ticket: Ticket(ticket),
                writes: vec![put(&LETTERS, letter, b"1")],
                chain,
            };
            stage.store.save_all(PortId(0), [saving]);
        };
        stage.engine.memory.set_fault(Some(StoreError::DiskFull));
        save(1, Some(7), b"a");
        assert_eq!(stage.next_saved(), (1, false));
        stage.engine.memory.set_fault(None);
        // Of one collection, in the order in which they were asked.
        let gate = stage.engine.guard.gate.lock();
        save(2, None, b"b");
        save(3, None, b"c");
        save(4, Some(7), b"d");
        save(5, Some(7), b"e");
        save(6, Some(8), b"f");
        drop(gate);
        for expected in [(2, true), (3, true), (4, false), (5, false), (6, true)] {
            assert_eq!(stage.next_saved(), expected);
        }
        let all = stage.store.range_now(&LETTERS, &range(b"a", b"z")).unwrap();
        let keys: Vec<&[u8]> = all.rows.iter().map(|row| row.key.as_bytes()).collect();
        assert_eq!(keys, [b"b", b"c", b"f"]);
    }

    #[test]
    fn an_engine_that_panics_fails_the_save_and_the_writer_lives_on() {
        let stage = stage();
        *stage.engine.guard.panics.lock() = true;
        let write = || vec![put(&ROSTERS, b"a", b"1")];
        assert_eq!(stage.store.save_now(write()), Err(StoreError::Broken));
        *stage.engine.guard.panics.lock() = false;
        assert_eq!(stage.store.save_now(write()), Ok(()));
    }

    #[test]
    fn dropping_the_store_commits_and_answers_what_is_queued() {
        let stage = stage();
        let gate = stage.engine.guard.gate.lock();
        stage.save(1, put(&LETTERS, b"a", b"1"));
        stage.save(2, put(&LETTERS, b"b", b"1"));
        stage
            .store
            .row(reply(3), &LETTERS, key(b"b"), Fence::AfterSaves);
        drop(gate);
        drop(stage.store);
        let tickets: Vec<u64> = stage.answers.iter().map(|(ticket, _)| ticket.0).collect();
        assert_eq!(tickets, [1, 2, 3]);
    }
}
