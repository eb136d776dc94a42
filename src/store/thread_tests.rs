//! What the store's threads do with what they are asked, on an engine in memory that can be held up.

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
    assert!(matches!(stage.next(), (2, Answer::Range { rows, more: false }) if rows.len() == 1));
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
