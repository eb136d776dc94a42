//! What is in the audit file, and what is missing, when writing and syncing fail.

use super::super::testing::{Watched, directory};
use super::*;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use parking_lot::Mutex;

fn event(count: u64) -> AuditEvent {
    AuditEvent::RecordsDropped { count }
}

fn write(path: &Path, counts: &[u64]) {
    let (audit, thread) = Audit::open(path, WhenFull::default()).expect("opens");
    for count in counts {
        audit.record(0, event(*count));
    }
    assert_eq!(audit.stop(), Stopped::Written);
    thread.join().expect("ends");
}

fn sequences(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).expect("readable");
    text.lines()
        .filter_map(|line| json::last_sequence(line.as_bytes()))
        .collect()
}

#[test]
fn records_are_private_and_numbered_over_restarts_and_torn_lines() {
    let path = directory("numbers").join("audit.jsonl");
    write(&path, &[1, 2]);
    assert_eq!(
        fs::metadata(&path).expect("there").permissions().mode() & 0o777,
        0o600
    );
    let mut file = OpenOptions::new().append(true).open(&path).expect("opens");
    file.write_all(b"{\"sequence\":3,\"ti").expect("writes");
    write(&path, &[3]);
    assert_eq!(sequences(&path), [1, 2, 3]);
}

#[test]
fn a_full_spool_never_blocks_and_says_what_it_left_out() {
    let path = directory("full").join("audit.jsonl");
    let (sender, receiver) = bounded(2);
    let audit = Audit {
        spool: Some(sender),
        line: line().0,
        state: Arc::default(),
    };
    for _ in 0..5 {
        audit.record(0, event(1));
    }
    let (file, sequence) = open(&path).expect("opens");
    let mut sink = Sink {
        path: path.clone(),
        journal: Journal::new(file),
        sequence,
        state: audit.state,
    };
    sink.take(receiver.recv().expect("waits"), &receiver);
    sink.write();
    let text = fs::read_to_string(&path).expect("readable");
    assert!(
        text.lines()
            .next()
            .is_some_and(|line| line.ends_with("\"event\":\"records-dropped\",\"count\":3}"))
    );
    assert_eq!(text.lines().count(), 3);
}

#[test]
fn a_stop_is_heard_behind_a_full_spool_while_the_disk_refuses() {
    let path = directory("refuses").join("audit.jsonl");
    fs::write(&path, b"").expect("writes");
    let (sender, receiver) = bounded(2);
    let (line, orders) = line();
    let audit = Audit {
        spool: Some(sender),
        line,
        state: Arc::default(),
    };
    for _ in 0..5 {
        audit.record(0, event(1));
    }
    let sink = Sink {
        path: path.clone(),
        // Opened to be read: nothing can be written into it.
        journal: Journal::new(File::open(&path).expect("opens")),
        sequence: 0,
        state: Arc::clone(&audit.state),
    };
    let thread = thread::spawn(move || sink.run(&receiver, &orders));
    assert_eq!(audit.stop(), Stopped::Incomplete);
    thread.join().expect("ends");
    // What did not fit is told by a record, which is lost too.
    let lost = audit.state.lost.load(Ordering::Relaxed);
    assert!((3..=5).contains(&lost), "{lost}");
}

/// A sink on what a test watches, and who hands records over.
fn watched() -> (Arc<Mutex<Watched>>, Sink, Audit, Receiver<Record>, Orders) {
    let (watched, medium) = Watched::new();
    let (sender, receiver) = bounded(100);
    let (line, orders) = line();
    let audit = Audit {
        spool: Some(sender),
        line,
        state: Arc::default(),
    };
    let sink = Sink {
        path: PathBuf::new(),
        journal: Journal::new(medium),
        sequence: 0,
        state: Arc::clone(&audit.state),
    };
    (watched, sink, audit, receiver, orders)
}

#[test]
fn records_that_come_while_one_waits_are_synced_with_it_at_once() {
    let (watched, mut sink, audit, spool, _orders) = watched();
    for round in 1..=2 {
        audit.record(0, event(0));
        let first = spool.try_recv().expect("it waits");
        sink.gather(first, &spool, || {
            (1..10).for_each(|n| audit.record(0, event(n)));
        });
        let watched = watched.lock();
        assert_eq!((watched.records(), watched.syncs), (10 * round, round));
    }
}

#[test]
fn what_is_called_written_is_synced() {
    for refuses in [false, true] {
        let (watched, sink, audit, spool, orders) = watched();
        watched.lock().refuses_to_sync = refuses;
        let thread = thread::spawn(move || sink.run(&spool, &orders));
        (0..10).for_each(|n| audit.record(0, event(n)));
        let expected = match refuses {
            true => (Stopped::Incomplete, 0),
            false => (Stopped::Written, 10),
        };
        assert_eq!((audit.stop(), watched.lock().records()), expected);
        thread.join().expect("ends");
    }
}

#[test]
fn stop_intake_lets_nobody_in_while_the_spool_is_half_full() {
    let (sender, _receiver) = bounded(4);
    let audit = Audit {
        spool: Some(sender),
        line: line().0,
        state: Arc::default(),
    };
    audit.configure(WhenFull::StopIntake);
    assert!(audit.admits());
    for _ in 0..3 {
        audit.record(0, event(1));
    }
    assert!(!audit.admits());
    audit.configure(WhenFull::DropAndCount);
    assert!(audit.admits());
}

#[test]
fn a_rotated_file_is_made_anew_and_numbers_go_on() {
    let directory = directory("rotate");
    let path = directory.join("audit.jsonl");
    let (audit, thread) = Audit::open(&path, WhenFull::default()).expect("opens");
    audit.record(0, event(1));
    assert_eq!(audit.stop(), Stopped::Written);
    thread.join().expect("ends");
    let (file, sequence) = open(&path).expect("opens");
    let state = Arc::new(State::default());
    let mut sink = Sink {
        path: path.clone(),
        journal: Journal::new(file),
        sequence,
        state,
    };
    fs::rename(&path, directory.join("audit.1")).expect("moves");
    sink.reopen();
    sink.append(0, &event(2));
    sink.write();
    assert_eq!(sequences(&path), [2]);
    assert_eq!(sequences(&directory.join("audit.1")), [1]);
}

#[test]
fn a_file_that_refuses_is_left_for_a_new_one() {
    let directory = directory("refuses-rotate");
    let path = directory.join("audit.jsonl");
    fs::write(&path, b"").expect("writes");
    let (sender, receiver) = bounded(8);
    let (line, orders) = line();
    let audit = Audit {
        spool: Some(sender),
        line,
        state: Arc::default(),
    };
    let mut sink = Sink {
        path: path.clone(),
        // Opened to be read: nothing can be written into it.
        journal: Journal::new(File::open(&path).expect("opens")),
        sequence: 0,
        state: Arc::clone(&audit.state),
    };
    sink.append(0, &event(1));
    sink.write();
    assert!(audit.state.failing.load(Ordering::Relaxed));
    fs::rename(&path, directory.join("audit.1")).expect("moves");
    audit.record(0, event(2));
    audit.reopen();
    let thread = thread::spawn(move || sink.run(&receiver, &orders));
    let begun = std::time::Instant::now();
    while audit.state.failing.load(Ordering::Relaxed) {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "it goes on failing"
        );
        thread::yield_now();
    }
    assert_eq!(audit.stop(), Stopped::Written);
    thread.join().expect("ends");
    assert_eq!(sequences(&path), [1, 2]);
}
