use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::api::{Request, Store, StoreOptions};
use super::super::engine::{self, Keys, Page, Visitor};
use super::super::memory::Memory;
use super::super::testing::TempDir;
use super::*;
use crate::actor::Answer;
use crate::actor::auth::AccountRef;
use crate::base::{Generation, Seal, Sequence};
use crate::engine::archive::{Archived, Posting, Term, WITH_MESSAGES, Waiting, waiting};
use crate::im::archive::{ArchiveTally, Quota};
use crate::im::credentials::name_key;
use crate::im::pending::PENDING;
use crate::jid::Jid;

const ROMEO: AccountId = AccountId(7);
const JULIET: AccountId = AccountId(8);
const TABLES: &[&Table] = &[
    &ARCHIVE, &INDEX, &INDEXED, &TALLY, &PENDING, &ACCOUNT, &LOOKS, &WAITING,
];

/// One message as it was said: in both archives, and on its way to juliet.
struct Said {
    number: u64,
    id: String,
    xml: String,
}

/// Two hundred from October into November 2026.
fn said() -> Vec<Said> {
    let at = |n: u64| Sequence::first_at(1_793_404_800_000 + n * 600_000) + n;
    let all = (0..200).map(|n| Said {
        number: at(n),
        id: format!("m{n}"),
        xml: format!(
            "<message xmlns='jabber:client' from='romeo@localhost/orchard' to='juliet@localhost' type='chat' id='m{n}'>\
             <body>Call me but love {n}</body></message>"
        ),
    });
    all.collect()
}

fn put(table: &'static Table, key: &[&[u8]], value: &[&[u8]]) -> Write {
    Write::Put {
        table,
        key: RowKey::new(&key.concat()),
        value: value.concat().into(),
    }
}

/// The rows that version 1 kept of a message, byte for byte as commit 4534c98 wrote them.
fn rows_of_1(owner: AccountId, contact: &str, of: &Said) -> Vec<Write> {
    let (owner, number) = (owner.0.to_be_bytes(), of.number.to_be_bytes());
    let bare = contact.split('/').next().expect("a part");
    let (contact, full) = (Term::contact(bare), Term::full_jid(contact));
    let name = Term::message_id("romeo@localhost", &of.id);
    let tag = 0x0102_0304_0506_0708_u64.to_be_bytes();
    let mut writes = vec![
        put(
            &ARCHIVE,
            &[&owner, &number],
            &[&[1], &tag, of.xml.as_bytes()],
        ),
        put(&INDEX, &[&owner, &contact.0, &number], &[&full.0, &name.0]),
        put(&INDEX, &[&owner, &name.0, &number], &[]),
    ];
    // Somebody has searched for a word.
    let words = Term::words("love");
    writes.extend(
        words
            .iter()
            .map(|word| put(&INDEX, &[&owner, &word.0, &number], &[])),
    );
    writes
}

fn data_of_1() -> Vec<Write> {
    let mut writes = Vec::new();
    let said = said();
    for of in &said {
        writes.extend(rows_of_1(ROMEO, "juliet@localhost", of));
        writes.extend(rows_of_1(JULIET, "romeo@localhost/orchard", of));
        // A mark: its message is in the archive.
        let stamp = Sequence::wall_ms_of(of.number).to_be_bytes();
        let key = [JULIET.0.to_be_bytes(), of.number.to_be_bytes()].concat();
        writes.push(put(
            &PENDING,
            &[&key],
            &[&[2], &stamp, &100_u32.to_be_bytes()],
        ));
    }
    writes.push(put(&ACCOUNT, &[b"localhost\0juliet"], &[b"whatever"]));
    let tybalt = AccountRow {
        account: AccountRef {
            id: AccountId(9),
            generation: Generation(0),
        },
        state: AccountState::Waiting,
        keys: Vec::new(),
        unverified: Vec::new(),
    };
    writes.push(put(&ACCOUNT, &[b"localhost\0tybalt"], &[&tybalt.encode()]));
    for owner in [ROMEO, JULIET] {
        let owner = owner.0.to_be_bytes();
        let (first, last) = (said[0].number, said[199].number);
        for number in [first, last] {
            let month = Month::of(number).first_number().to_be_bytes();
            let value: [&[u8]; 3] = [
                &100_u32.to_be_bytes(),
                &9_u64.to_be_bytes(),
                &last.to_be_bytes(),
            ];
            writes.push(put(&TALLY, &[&owner, &month], &value));
        }
        // The form of the words, and the number before which they are indexed.
        writes.push(put(&INDEXED, &[&owner], &[&[2], &last.to_be_bytes()]));
    }
    writes
}

fn rows_in(engine: &dyn Engine, table: &'static Table, owner: AccountId) -> Vec<Row> {
    let owner = owner.0.to_be_bytes();
    let range = RowRange {
        from: RowKey::new(&owner),
        to: RowKey::new(&owner).then(&[u8::MAX; 25]),
        count_max: usize::MAX,
        bytes_max: usize::MAX,
    };
    engine.range(table, &range).expect("readable").rows
}

/// Everything that was there is there, in its present form.
fn assert_present(engine: &dyn Engine) {
    let said = said();
    let numbers: Vec<u64> = said.iter().map(|of| of.number).collect();
    for (owner, contact) in [
        (ROMEO, "juliet@localhost"),
        (JULIET, "romeo@localhost/orchard"),
    ] {
        let rows = rows_in(engine, &ARCHIVE, owner);
        assert_eq!(rows.len(), said.len());
        for (row, of) in rows.iter().zip(&said) {
            let found = Archived::read(row).expect("a message");
            assert_eq!((found.id.number, found.xml), (of.number, &*of.xml));
            assert_eq!(found.id.tag, 0x0102_0304_0506_0708);
            let name = Term::message_id("romeo@localhost", &of.id);
            assert_eq!(
                (found.entry.full_jid, found.entry.name),
                (Term::full_jid(contact), name)
            );
        }
        let bare = Term::contact(contact.split('/').next().expect("a part"));
        let lists = rows_in(engine, &INDEX, owner);
        let (mut by_contact, mut names) = (Vec::new(), Vec::new());
        for list in &lists {
            match list.key.as_bytes().get(8..16) == Some(&bare.0) {
                true => by_contact.extend(Posting::read(list).map(|posting| posting.number)),
                false => names.extend(Posting::read(list).map(|posting| posting.detail)),
            }
        }
        assert_eq!(by_contact, numbers);
        let mut all: Vec<Term> = said
            .iter()
            .map(|of| Term::message_id("romeo@localhost", &of.id))
            .collect();
        all.sort_unstable();
        names.sort_unstable();
        assert_eq!(names, all, "and no words");
        assert!(rows_in(engine, &INDEXED, owner).is_empty());
        let tally = ArchiveTally::read(&rows_in(engine, &TALLY, owner));
        let held = tally.held(&Quota {
            count: None,
            bytes: None,
            since: 0,
        });
        let bytes: usize = rows.iter().map(|row| row.value.len()).sum();
        assert_eq!((held.count, held.bytes), (200, bytes as u64));
        assert_eq!(tally.indexed_to(), numbers[199]);
    }
    let looks = looks::key("localhost", "juliet");
    assert_eq!(engine.has(&LOOKS, &looks), Ok(true));
    // Who waits for an operator is among those who do.
    for (name, waits) in [("tybalt", true), ("juliet", false)] {
        let key = name_key("localhost", name);
        assert_eq!(engine.has(&WAITING, &key), Ok(waits), "{name}");
    }
    let asked = Request::Joined {
        table: &PENDING,
        range: everything(),
        join: WITH_MESSAGES,
    };
    let Answer::Range { rows, .. } = engine::read(engine, &asked) else {
        panic!("no rows");
    };
    let (host, seal) = (Jid::parse("localhost").expect("valid"), Seal::new(&[9; 16]));
    let messages = rows
        .iter()
        .filter(|row| matches!(waiting(row, &host, &seal), Waiting::Message(_)));
    assert_eq!(messages.count(), 200);
}

#[test]
fn data_of_version_1_is_opened_and_nothing_of_it_is_lost() {
    let dir = TempDir::new();
    let mut options = StoreOptions::at(dir.path());
    options.migrations = &[];
    Store::open(options, TABLES, Vec::new())
        .expect("a disk")
        .save_now(data_of_1())
        .expect("room");
    for _ in 0..2 {
        let store =
            Store::open(StoreOptions::at(dir.path()), TABLES, Vec::new()).expect("old data");
        assert_present(store.engine());
    }
}

/// An engine with data of version 1 that refuses everything after so many commits.
struct Cut {
    memory: Memory,
    left: AtomicUsize,
}

impl Cut {
    fn after(commits: usize) -> Cut {
        let memory = Memory::new(TABLES);
        memory.commit(&data_of_1()).expect("memory");
        let left = AtomicUsize::new(commits);
        Cut { memory, left }
    }

    fn cut(&self) -> Result<(), StoreError> {
        let less = |left: usize| left.checked_sub(1);
        let left = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        left.map(|_| ()).map_err(|_| StoreError::DiskFull)
    }
}

impl Engine for Cut {
    fn create(&self, tables: &[&'static Table]) -> Result<(), StoreError> {
        self.memory.create(tables)
    }
    fn row(&self, table: &'static Table, key: &RowKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.memory.row(table, key)
    }
    fn has(&self, table: &'static Table, key: &RowKey) -> Result<bool, StoreError> {
        self.memory.has(table, key)
    }
    fn range(&self, table: &'static Table, range: &RowRange) -> Result<Page, StoreError> {
        self.memory.range(table, range)
    }
    fn range_back(&self, table: &'static Table, range: &RowRange) -> Result<Page, StoreError> {
        self.memory.range_back(table, range)
    }
    fn walk(
        &self,
        table: &'static Table,
        range: &RowRange,
        behind: Option<&RowKey>,
    ) -> Result<Keys, StoreError> {
        self.memory.walk(table, range, behind)
    }
    fn drop_before(&self, table: &'static Table, before: u64) -> Result<(), StoreError> {
        self.cut()?;
        self.memory.drop_before(table, before)
    }
    fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.cut()?;
        self.memory.commit(writes)
    }
    fn visit(&self, each: &mut Visitor<'_>) -> Result<(), StoreError> {
        self.memory.visit(each)
    }
    fn set_reserve(&self, bytes: u64) {
        self.memory.set_reserve(bytes);
    }
}

#[test]
fn a_way_that_was_cut_short_anywhere_is_gone_to_the_end() {
    let mut commits = 0;
    loop {
        let engine = Cut::after(commits);
        let done = run(&engine);
        run(&engine.memory).expect("it has room");
        assert_present(&engine.memory);
        match done {
            Ok(()) => break,
            Err(error) => assert_eq!(error, StoreError::DiskFull),
        }
        commits += 1;
    }
    assert!(commits >= 6, "{commits}");
}

#[test]
fn damaged_rows_stay_and_stop_nobody() {
    let memory = Memory::new(TABLES);
    memory.commit(&data_of_1()).expect("memory");
    let owner = 9_u64.to_be_bytes();
    let all: [&[u8]; 5] = [
        b"",
        b"\x01",
        b"\x01a tag",
        b"\x01of a tag<message",
        b"\x09what is it",
    ];
    for (number, value) in (1_u64..).zip(all) {
        let row = put(&ARCHIVE, &[&owner, &number.to_be_bytes()], &[value]);
        memory.commit(&[row]).expect("memory");
    }
    run(&memory).expect("memory");
    assert_present(&memory);
    let rows = rows_in(&memory, &ARCHIVE, AccountId(9));
    let values: Vec<&[u8]> = rows.iter().map(|row| &*row.value).collect();
    let renewed = [&b"\x02of a tag"[..], &[0; 24], b"<message"].concat();
    assert_eq!(values, [all[0], all[1], all[2], &renewed, all[4]]);
}

/// What is asserted here of rows without a version byte, nothing else asserts: who changes one adds a step to `MIGRATIONS`,
/// and a test like these with the bytes of before.
#[test]
fn rows_of_version_2_are_these_bytes() {
    let memory = Memory::new(TABLES);
    memory.commit(&data_of_1()).expect("memory");
    run(&memory).expect("memory");
    let said = said();
    let of = said.last().expect("two hundred");
    let name = Term::message_id("romeo@localhost", &of.id);
    let (contact, full) = (
        Term::contact("romeo@localhost"),
        Term::full_jid("romeo@localhost/orchard"),
    );
    let tag = 0x0102_0304_0506_0708_u64.to_be_bytes();
    let archived = [
        &[2][..],
        &tag,
        &contact.0,
        &full.0,
        &name.0,
        of.xml.as_bytes(),
    ]
    .concat();
    let rows = rows_in(&memory, &ARCHIVE, JULIET);
    assert_eq!(rows.last().map(|row| &row.value), Some(&archived));
    let november = rows
        .iter()
        .filter(|row| archive::number_of(&row.key) >= Some(Month::of(of.number).first_number()));
    let (count, bytes) = november.fold((0_u32, 0), |(count, bytes), row| {
        (count + 1, bytes + row.value.len() as u64)
    });
    let number = of.number.to_be_bytes();
    let counted = [
        &count.to_be_bytes()[..],
        &bytes.to_be_bytes(),
        &number,
        &number,
    ]
    .concat();
    let tally = rows_in(&memory, &TALLY, JULIET);
    assert_eq!(tally.last().map(|row| &row.value), Some(&counted));
    let list = rows_in(&memory, &INDEX, JULIET)
        .into_iter()
        .find(|row| row.key.as_bytes()[8..] == [contact.0, number].concat());
    let list = list.expect("under its last message");
    assert!(list.value.ends_with(&[number, full.0].concat()));
}
