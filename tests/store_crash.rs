//! The store's promise against `kill -9`: what was acknowledged is there afterwards. The test runs itself again
//! as the victim, which writes and reports acknowledgements on its standard error.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use stonechat::actor::rows::{Durability, Export, RowKey, Slices, Table, Write};
use stonechat::actor::{Answer, Ticket};
use stonechat::base::Rng;
use stonechat::store::{Port, PortId, Reply, Store, StoreOptions};

static LETTERS: Table = Table {
    name: "letters",
    durability: Durability::Soon,
    export: Export::Never,
    slices: Slices::Whole,
    about: "One row for each number.",
};

static TWINS: Table = Table {
    name: "twins",
    durability: Durability::Soon,
    export: Export::Never,
    slices: Slices::Whole,
    about: "Written in the same save as the letter of the same number.",
};

const ROUNDS: u64 = 6;
/// Numbers of one round begin here times the round.
const ROUND_NUMBERS: u64 = 1_000_000;
/// Numbers that a round may reach beyond the count of acknowledgements at which it is killed.
const ROUND_TAIL: u64 = 20_000;
const OUTSTANDING_MAX: usize = 2_000;
/// How much later than its put a row of the second kind is deleted: some commits later.
const DELETE_LATER: u64 = 1_500;

#[test]
fn what_was_acknowledged_survives_kill_nine() {
    if let Ok(dir) = std::env::var("STONECHAT_CRASH_DIR") {
        let first = std::env::var("STONECHAT_CRASH_FIRST").unwrap();
        write_until_killed(Path::new(&dir), first.parse().unwrap());
    }
    let dir = Dir(std::env::temp_dir().join(format!("stonechat-crash-{}", std::process::id())));
    // Of a process of this number that was killed.
    let _ = std::fs::remove_dir_all(&dir.0);
    let mut rng = Rng::from_seed(fresh_seed());
    let mut acknowledged = BTreeSet::new();
    for round in 1..=ROUNDS {
        let first = round * ROUND_NUMBERS;
        let count = 50 + u64::from(rng.below(8_000));
        acknowledged.extend(kill_after(&dir.0, first, count));
        let store = open(&dir.0, Vec::new());
        for ticket in &acknowledged {
            judge(&store, *ticket, &acknowledged);
        }
        // What was under way when the end came is there as a whole or not at all.
        for n in first..first + count + ROUND_TAIL {
            let twin = row(&store, &TWINS, n);
            assert_eq!(row(&store, &LETTERS, n), twin, "half a save of {n}");
        }
    }
}

/// Kinds of numbers by their remainder: 0 is deleted at once, 1 is deleted later, 2 stays.
fn judge(store: &Store, ticket: u64, acknowledged: &BTreeSet<u64>) {
    let n = ticket / 2;
    if acknowledged.contains(&delete_ticket(n)) {
        assert_eq!(row(store, &LETTERS, n), None, "{n} is back");
    } else if n % 3 == 2 {
        assert_eq!(
            row(store, &LETTERS, n),
            Some(value(n)),
            "{n} was acknowledged and is gone"
        );
    }
}

fn put_ticket(n: u64) -> u64 {
    n * 2
}

fn delete_ticket(n: u64) -> u64 {
    n * 2 + 1
}

fn row(store: &Store, table: &'static Table, n: u64) -> Option<Vec<u8>> {
    store
        .row_now(table, &RowKey::new(&n.to_be_bytes()))
        .unwrap()
}

fn value(n: u64) -> Vec<u8> {
    n.to_be_bytes().repeat(50)
}

/// Starts a victim, kills it after `count` acknowledgements, returns all that it reported.
fn kill_after(dir: &Path, first: u64, count: u64) -> Vec<u64> {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "what_was_acknowledged_survives_kill_nine",
            "--nocapture",
        ])
        .env("STONECHAT_CRASH_DIR", dir)
        .env("STONECHAT_CRASH_FIRST", first.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reports = BufReader::new(victim.stderr.take().unwrap());
    let mut acknowledged = Vec::new();
    let mut line = String::new();
    let mut killed = false;
    // After the kill the pipe still holds what the victim had reported.
    while reports.read_line(&mut line).unwrap() > 0 {
        match line
            .strip_prefix("ack ")
            .and_then(|rest| rest.strip_suffix('\n'))
        {
            Some(ticket) => acknowledged.push(ticket.parse().unwrap()),
            // The last line may be cut; anything else is the victim's complaint.
            None => assert!(killed, "{line}"),
        }
        line.clear();
        if !killed && acknowledged.len() as u64 >= count {
            victim.kill().unwrap();
            killed = true;
        }
    }
    let status = victim.wait().unwrap();
    assert!(killed, "the victim ended by itself: {status}");
    acknowledged
}

fn write_until_killed(dir: &Path, first: u64) -> ! {
    let (sender, answers) = mpsc::channel();
    let port = Port::new(move |all| sender.send(all).unwrap());
    let store = open(dir, vec![port]);
    let mut outstanding = 0;
    for n in first.. {
        for (ticket, writes) in saves_at(n, first) {
            store.save(
                Reply {
                    port: PortId(0),
                    ticket: Ticket(ticket),
                },
                writes,
            );
            outstanding += 1;
        }
        while outstanding > OUTSTANDING_MAX {
            for (ticket, answer) in answers.recv().unwrap() {
                assert!(matches!(answer, Answer::Saved), "{answer:?}");
                eprintln!("ack {}", ticket.0);
                outstanding -= 1;
            }
        }
    }
    unreachable!("there are more numbers than time");
}

fn saves_at(n: u64, first: u64) -> Vec<(u64, Vec<Write>)> {
    let mut saves = vec![(put_ticket(n), tables().map(|table| put(table, n)).into())];
    if n.is_multiple_of(3) {
        saves.push((
            delete_ticket(n),
            tables().map(|table| delete(table, n)).into(),
        ));
    }
    let old = n - DELETE_LATER;
    if old % 3 == 1 && old >= first {
        saves.push((
            delete_ticket(old),
            tables().map(|table| delete(table, old)).into(),
        ));
    }
    saves
}

fn tables() -> [&'static Table; 2] {
    [&LETTERS, &TWINS]
}

fn put(table: &'static Table, n: u64) -> Write {
    Write::Put {
        table,
        key: RowKey::new(&n.to_be_bytes()),
        value: value(n).into(),
    }
}

fn delete(table: &'static Table, n: u64) -> Write {
    Write::Delete {
        table,
        key: RowKey::new(&n.to_be_bytes()),
    }
}

fn open(dir: &Path, ports: Vec<Port>) -> Store {
    Store::open(StoreOptions::at(dir), &tables(), ports).unwrap()
}

/// Another moment of death in every run: the store must not care.
fn fresh_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).unwrap();
    seed
}

struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
