//! Rows over openings, months and full disks.

use super::super::api::{Store, StoreOptions};
use super::super::schema::Migration;
use super::super::testing::{LETTERS, MONTHS, ROSTERS, TempDir, delete, key, put, range};
use super::*;
use crate::base::Sequence;
use fjall::AbstractTree;
use std::fs;

fn open(dir: &TempDir) -> Result<Store, OpenError> {
    let options = StoreOptions::at(dir.join("store"));
    Store::open(options, &[&LETTERS, &ROSTERS], Vec::new())
}

#[test]
fn rows_are_there_after_the_store_was_closed_and_opened() {
    let dir = TempDir::new();
    let store = open(&dir).unwrap();
    store
        .save_now(vec![put(&LETTERS, b"a", b"1"), put(&ROSTERS, b"b", b"2")])
        .unwrap();
    store
        .save_now(vec![delete(&LETTERS, b"a"), delete(&LETTERS, b"never")])
        .unwrap();
    drop(store);
    let store = open(&dir).unwrap();
    assert_eq!(store.row_now(&LETTERS, &key(b"a")), Ok(None));
    assert_eq!(store.row_now(&ROSTERS, &key(b"b")), Ok(Some(b"2".to_vec())));
}

#[test]
fn a_range_stops_at_its_bounds_and_says_whether_more_follow() {
    let dir = TempDir::new();
    let store = open(&dir).unwrap();
    let writes = [b"a", b"b", b"c", b"d"].map(|name| put(&LETTERS, name, &[0; 10]));
    store.save_now(writes.into()).unwrap();
    let found = |count_max, bytes_max, to: &[u8]| {
        let range = RowRange {
            count_max,
            bytes_max,
            ..range(b"a", to)
        };
        let page = store.range_now(&LETTERS, &range).unwrap();
        let keys: Vec<u8> = page.rows.iter().map(|row| row.key.as_bytes()[0]).collect();
        (String::from_utf8(keys).unwrap(), page.more)
    };
    assert_eq!(found(9, 999, b"d"), ("abc".into(), false));
    assert_eq!(found(2, 999, b"d"), ("ab".into(), true));
    assert_eq!(found(3, 999, b"d"), ("abc".into(), false));
    assert_eq!(found(9, 25, b"z"), ("ab".into(), true));
    assert_eq!(found(9, 1, b"z"), ("a".into(), true));
    assert_eq!(found(9, 999, b"a"), (String::new(), false));
    assert_eq!(found(9, 999, b""), (String::new(), false));
}

/// A key of the monthly table: one account, and a moment of the wall clock.
fn month_key(account: u8, wall_ms: u64) -> Vec<u8> {
    [&[account][..], &Sequence::first_at(wall_ms).to_be_bytes()].concat()
}

#[test]
fn months_are_read_as_one_table_in_both_directions_and_dropped_whole() {
    let dir = TempDir::new();
    let open = || {
        Store::open(
            StoreOptions::at(dir.join("store")),
            &[&MONTHS, &LETTERS],
            Vec::new(),
        )
    };
    let store = open().unwrap();
    // The middle of each month of 2026, and of the January after.
    let day = 24 * 3_600_000;
    let moments: Vec<u64> = (0..13)
        .map(|n| 1_768_435_200_000 + n * 30 * day + n * day / 2)
        .collect();
    for (n, moment) in moments.iter().enumerate().rev() {
        let value = [n as u8];
        let writes = vec![
            put(&MONTHS, &month_key(7, *moment), &value),
            put(&MONTHS, &month_key(9, *moment), b"other"),
        ];
        store.save_now(writes).unwrap();
    }
    let values = |store: &Store, range: &RowRange| -> Vec<u8> {
        let page = store.range_now(&MONTHS, range).unwrap();
        page.rows.iter().map(|row| row.value[0]).collect()
    };
    let all = range(&month_key(7, 0), &month_key(7, u64::MAX));
    assert_eq!(values(&store, &all), (0..13).collect::<Vec<u8>>());
    let some = range(&month_key(7, moments[3]), &month_key(7, moments[6]));
    assert_eq!(values(&store, &some), [3, 4, 5]);
    let mut last = all.clone();
    last.count_max = 3;
    let back = store.engine().range_back(&MONTHS, &last).unwrap();
    let back_values: Vec<u8> = back.rows.iter().map(|row| row.value[0]).collect();
    assert_eq!((back_values, back.more), (vec![12, 11, 10], true));

    // Whoever owns several prefixes finds all rows of them.
    let both = range(&[7], &[10]);
    assert_eq!(values(&store, &both).len(), 26);

    // The first three months are over before the middle of April.
    store
        .engine()
        .drop_before(&MONTHS, Sequence::first_at(moments[3]))
        .unwrap();
    assert_eq!(values(&store, &all), (3..13).collect::<Vec<u8>>());
    let gone = key(&month_key(7, moments[0]));
    assert_eq!(store.row_now(&MONTHS, &gone), Ok(None));
    store
        .save_now(vec![delete(&MONTHS, gone.as_bytes())])
        .unwrap();
    drop(store);

    let store = open().unwrap();
    assert_eq!(values(&store, &all), (3..13).collect::<Vec<u8>>());
    let kept = key(&month_key(9, moments[12]));
    assert_eq!(store.row_now(&MONTHS, &kept), Ok(Some(b"other".to_vec())));
    let target = dir.join("copy");
    store.backup(&target, Vec::new(), &|| true).unwrap();
    let copy = Store::open(StoreOptions::at(&target), &[&MONTHS, &LETTERS], Vec::new()).unwrap();
    assert_eq!(values(&copy, &all), (3..13).collect::<Vec<u8>>());
}

#[test]
fn keys_are_met_once_each_however_they_are_divided_and_whatever_goes_meanwhile() {
    let dir = TempDir::new();
    let engine = Embedded::open(&StoreOptions::at(dir.path())).unwrap();
    engine.create(&[&MONTHS]).unwrap();
    let month = 31 * 24 * 3_600_000;
    // Of each month all accounts, so that the order of keys is not that of months.
    let mut all = Vec::new();
    for n in 0..4 {
        for account in 1..=5 {
            all.push(month_key(account, 1_768_435_200_000 + n * month));
        }
    }
    let writes: Vec<Write> = all.iter().map(|key| put(&MONTHS, key, b"x")).collect();
    engine.commit(&writes).unwrap();
    let mut wanted = range(&[1], &[5]);
    wanted.count_max = 3;
    let (mut found, mut behind) = (Vec::new(), None);
    loop {
        let page = engine.walk(&MONTHS, &wanted, behind.as_ref()).unwrap();
        assert!(page.keys.len() <= 3);
        let gone = page.keys.iter().map(|key| delete(&MONTHS, key.as_bytes()));
        engine.commit(&gone.collect::<Vec<Write>>()).unwrap();
        behind = page.keys.last().cloned();
        found.extend(page.keys);
        if !page.more {
            break;
        }
    }
    let mut expected: Vec<RowKey> = all.iter().map(|bytes| key(bytes)).collect();
    expected.retain(|key| key.as_bytes()[0] < 5);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(engine.range(&MONTHS, &wanted).unwrap().rows, []);
}

#[test]
fn a_month_that_cannot_be_dropped_takes_nothing_else_with_it() {
    let dir = TempDir::new();
    let engine = Embedded::open(&StoreOptions::at(dir.path())).unwrap();
    engine.create(&[&MONTHS, &LETTERS]).unwrap();
    let old = month_key(1, 1_768_435_200_000);
    engine.commit(&[put(&MONTHS, &old, b"x")]).unwrap();
    fs::rename(dir.join("rows"), dir.join("elsewhere")).unwrap();
    assert!(engine.drop_before(&MONTHS, u64::MAX).is_err());
    fs::rename(dir.join("elsewhere"), dir.join("rows")).unwrap();
    engine.commit(&[put(&LETTERS, b"a", b"1")]).unwrap();
    // The next hour.
    engine.drop_before(&MONTHS, u64::MAX).unwrap();
    assert_eq!(engine.row(&MONTHS, &key(&old)), Ok(None));
}

#[test]
fn a_key_without_a_number_is_refused_by_a_monthly_table() {
    let dir = TempDir::new();
    let engine = Embedded::open(&StoreOptions::at(dir.path())).unwrap();
    engine.create(&[&MONTHS]).unwrap();
    let write = [put(&MONTHS, b"short", b"x")];
    assert_eq!(engine.commit(&write), Err(StoreError::Broken));
    assert_eq!(engine.row(&MONTHS, &key(b"short")), Ok(None));
}

#[test]
fn a_row_without_a_key_is_refused() {
    let dir = TempDir::new();
    let engine = Embedded::open(&StoreOptions::at(dir.path())).unwrap();
    engine.create(&[&LETTERS]).unwrap();
    let refused = engine.commit(&[put(&LETTERS, b"", b"x")]);
    assert_eq!(refused, Err(StoreError::Broken));
}

#[test]
fn a_second_stonechat_is_told_that_the_store_is_in_use() {
    let dir = TempDir::new();
    let _first = open(&dir).unwrap();
    let Err(error) = open(&dir) else {
        panic!("two have it open");
    };
    assert!(
        error
            .to_string()
            .starts_with("another stonechat has the store"),
        "{error}"
    );
}

#[test]
fn a_creation_that_was_cut_short_is_begun_again() {
    let dir = TempDir::new();
    let fresh = dir.join("store/rows.new");
    fs::create_dir_all(&fresh).unwrap();
    // What fjall leaves when it is killed before its marker: it would not open that.
    fs::write(fresh.join("0.jnl"), b"").unwrap();
    let store = open(&dir).unwrap();
    store.save_now(vec![put(&LETTERS, b"a", b"1")]).unwrap();
}

#[test]
fn below_the_reserve_writes_are_refused_and_reads_go_on() {
    let dir = TempDir::new();
    let store = open(&dir).unwrap();
    store.save_now(vec![put(&LETTERS, b"a", b"1")]).unwrap();
    store.set_reserve(u64::MAX);
    let refused = store.save_now(vec![put(&LETTERS, b"a", b"2")]);
    assert_eq!(refused, Err(StoreError::DiskFull));
    assert_eq!(store.row_now(&LETTERS, &key(b"a")), Ok(Some(b"1".to_vec())));
    store.set_reserve(0);
    store.save_now(vec![put(&LETTERS, b"a", b"2")]).unwrap();
    assert_eq!(store.row_now(&LETTERS, &key(b"a")), Ok(Some(b"2".to_vec())));
}

#[test]
fn what_removes_more_than_it_adds_may_use_the_reserve() {
    let dir = TempDir::new();
    let engine = Embedded::open(&StoreOptions::at(dir.path())).unwrap();
    engine.create(&[&LETTERS]).unwrap();
    let rows = [b"a", b"b", b"c"].map(|key| put(&LETTERS, key, b"1"));
    engine.commit(&rows).unwrap();
    engine.set_reserve(u64::MAX);
    assert_eq!(
        engine.commit(&[put(&LETTERS, b"d", b"1")]),
        Err(StoreError::DiskFull)
    );
    engine.commit(&[delete(&LETTERS, b"a")]).unwrap();
    assert_eq!(engine.row(&LETTERS, &key(b"a")), Ok(None));
    // The count that goes with it.
    let both = [delete(&LETTERS, b"b"), put(&LETTERS, b"n", b"1")];
    engine.commit(&both).unwrap();
    assert_eq!(engine.row(&LETTERS, &key(b"b")), Ok(None));
    let more = [delete(&LETTERS, b"c"), put(&LETTERS, b"m", &[0; 500])];
    assert_eq!(engine.commit(&more), Err(StoreError::DiskFull));
}

#[test]
fn data_of_a_newer_version_is_left_as_it_is() {
    const NEWER: &[Migration] = &[Migration {
        from: 1,
        about: "changes nothing",
        run: |_| Ok(()),
    }];
    let dir = TempDir::new();
    let mut options = StoreOptions::at(dir.join("store"));
    options.migrations = NEWER;
    drop(Store::open(options.clone(), &[&LETTERS], Vec::new()).unwrap());
    options.migrations = &[];
    let Err(error) = Store::open(options, &[&LETTERS], Vec::new()) else {
        panic!("it opened newer data");
    };
    assert!(
        matches!(error, OpenError::Newer { found: 2, known: 1 }),
        "{error}"
    );
}

#[test]
fn a_poisoned_database_is_opened_again_and_keeps_its_rows() {
    let dir = TempDir::new();
    let engine = Embedded::open(&StoreOptions::at(dir.path())).unwrap();
    engine.create(&[&LETTERS]).unwrap();
    engine.commit(&[put(&LETTERS, b"a", b"1")]).unwrap();
    *engine.health.lock() = Health::Poisoned(Instant::now());
    engine.commit(&[put(&LETTERS, b"b", b"2")]).unwrap();
    assert_eq!(engine.row(&LETTERS, &key(b"a")), Ok(Some(b"1".to_vec())));
    assert_eq!(engine.row(&LETTERS, &key(b"b")), Ok(Some(b"2".to_vec())));
}

#[test]
fn a_store_whose_files_are_away_fails_until_they_are_back() {
    let dir = TempDir::new();
    let engine = Embedded::open(&StoreOptions::at(dir.path())).unwrap();
    engine.create(&[&LETTERS]).unwrap();
    engine.commit(&[put(&LETTERS, b"a", b"1")]).unwrap();
    *engine.health.lock() = Health::Poisoned(Instant::now());
    fs::rename(dir.join("rows"), dir.join("elsewhere")).unwrap();
    let write = [put(&LETTERS, b"b", b"2")];
    assert_eq!(engine.commit(&write), Err(StoreError::Broken));
    assert_eq!(engine.row(&LETTERS, &key(b"a")), Err(StoreError::Broken));

    fs::rename(dir.join("elsewhere"), dir.join("rows")).unwrap();
    *engine.health.lock() = Health::Poisoned(Instant::now());
    engine.commit(&write).unwrap();
    assert_eq!(engine.row(&LETTERS, &key(b"a")), Ok(Some(b"1".to_vec())));
}

#[test]
fn a_store_at_rest_has_its_rows_in_tables_and_their_memory_is_free() {
    let dir = TempDir::new();
    let engine = Embedded::open(&StoreOptions::at(dir.join("store"))).unwrap();
    engine.create(&[&LETTERS, &ROSTERS]).unwrap();
    let row = |table, n: u8| put(table, &[n], &[n; 10_000]);
    let writes: Vec<Write> = (0..100)
        .flat_map(|n| [row(&LETTERS, n), row(&ROSTERS, n)])
        .collect();
    let held = || {
        let opened = engine.opened.read();
        let spaces = opened.as_ref().unwrap().spaces.read();
        // Whatever fjall still has, of versions of a moment ago, too.
        let held = spaces
            .iter()
            .map(|s| s.keyspace.tree.version_memtable_size_sum());
        let sealed = spaces.iter().map(|s| s.keyspace.sealed_memtable_count());
        (held.sum::<u64>(), sealed.sum::<usize>())
    };
    let until = |is_so: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_so() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    engine.commit(&writes).unwrap();
    assert!(held().0 > 2_000_000);
    engine.rest().unwrap();
    until(&|| held().1 == 0);
    engine.rest().unwrap();
    until(&|| held().0 < 20_000);
    assert!(held().0 < 20_000, "{:?}", held());
    // There is nothing to do, and that is what is done.
    engine.rest().unwrap();
    for n in 0..100 {
        let row = engine.row(&ROSTERS, &key(&[n]));
        assert_eq!(row, Ok(Some(vec![n; 10_000])));
    }
}
