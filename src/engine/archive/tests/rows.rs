//! Rows that leave the archive, change, or are damaged.

use super::super::*;
use super::library::*;
use crate::actor::Answer;
use crate::actor::rows::Write;
use crate::base::{AccountId, Rng, Sequence};
use crate::im::archive::ArchiveId;
use crate::im::pending::{self, Found as Waits, MARK, PENDING};
use crate::store::Request;
use crate::store::memory::MemoryStore;

#[test]
fn what_is_erased_or_retracted_is_found_by_nothing() {
    let mut rng = Rng::from_seed([3; 32]);
    let mut library = library(&mut rng, 0);
    let romeo = jid("romeo@example.org/orchard");
    let stanza = message(&romeo, "sun &amp; moon");
    let id = ArchiveId {
        number: Sequence::first_at(1_795_392_000_000),
        tag: 5,
    };
    library.put(id, &stanza, &romeo);
    library.catch_up();
    let everything = |library: &mut Library, table| match library.store.apply(Request::Range {
        table,
        range: crate::actor::rows::RowRange {
            to: key(AccountId(u64::MAX), u64::MAX),
            ..range(AccountId(0), 0, 0)
        },
    }) {
        Answer::Range { rows, .. } => rows,
        other => panic!("{other:?}"),
    };
    let rows = everything(&mut library, &ARCHIVE);
    assert_eq!((rows.len(), everything(&mut library, &INDEX).len()), (1, 2));
    let (sent, _) = library.play(&by_words("moon"), 10).unwrap();
    assert_eq!(
        (sent, everything(&mut library, &INDEX).len()),
        (vec![id], 4)
    );

    let archived = Archived::read(&rows[0]).unwrap();
    let (grave, _) = tombstone(ME, &archived, "r1", 1_795_392_001_000).unwrap();
    library.store.apply(Request::Save(grave));
    let buried = everything(&mut library, &ARCHIVE);
    let found = Archived::read(&buried[0]).unwrap();
    assert_eq!(found.id, id);
    assert_eq!(
        found.stanza().unwrap().payload.xml(),
        "<retracted xmlns='urn:xmpp:message-retract:1' id='r1' stamp='2026-11-23T00:00:01.000Z'/>"
    );
    assert_eq!(everything(&mut library, &INDEX).len(), 2);

    let gone = erase(ME, &buried[0], u64::MAX);
    library.store.apply(Request::Save(gone));
    assert_eq!(everything(&mut library, &ARCHIVE).len(), 0);
    assert_eq!(everything(&mut library, &INDEX).len(), 0);
}

#[test]
fn a_message_that_its_archive_lets_go_waits_on_as_whose_it_was() {
    let (romeo, n) = (
        jid("romeo@example.org/orchard"),
        Sequence::first_at(1_795_392_000_000),
    );
    let mut store = MemoryStore::new(&[&ARCHIVE, &PENDING]);
    let made = put(
        ME,
        ArchiveId { number: n, tag: 5 },
        (&message(&romeo, "sun"), &romeo),
        &mut Vec::new(),
    );
    // A stranger's, by the bits beside the time, and 77 bytes.
    let stamp = [0x92, 0x34, 1, 2, 3, 4, 5, 6];
    let mark = [&[MARK][..], &stamp, &[0, 0, 0, 77]].concat();
    let pending = Write::Put {
        table: &PENDING,
        key: key(ME, n),
        value: mark.into(),
    };
    store.apply(Request::Save(vec![made.write, pending]));
    let table = &ARCHIVE;
    let range = range(ME, 0, u64::MAX);
    let Answer::Range { rows, .. } = store.apply(Request::Range { table, range }) else {
        panic!("no rows");
    };
    let rescued = rescue(&rows[0], &seal()).expect("a message");
    // In one save with whatever removes it.
    store.apply(Request::Save(vec![rescued]));
    let (table, key) = (&PENDING, key(ME, n));
    let Answer::Row(Some(row)) = store.apply(Request::Row { table, key }) else {
        panic!("it is lost");
    };
    assert_eq!(row[1..9], stamp);
    let found = pending::decode(&row, &jid("example.org"));
    assert!(matches!(found, Some(Waits::Whole(_))));
}

#[test]
fn a_damaged_row_is_no_message() {
    for value in [
        &b""[..],
        b"\x01",
        b"\x01short",
        b"\x0212345678",
        b"\x01123456781234567812345678123456781234<message/>",
        b"\x0212345678123456781234567812345678\xff",
    ] {
        let row = crate::actor::rows::Row {
            key: key(ME, 1),
            value: value.to_vec(),
        };
        assert_eq!(Archived::read(&row), None);
        assert_eq!(erase(ME, &row, u64::MAX).len(), 1);
    }
}
