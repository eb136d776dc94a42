//! What is left of origin-ids in the store (DESIGN section 20): rows of today and yesterday stay, older ones
//! are swept out. What a resent message comes to is played in `tests/scenarios/management.xmpp` and judged in
//! `tests/crash/`.

mod sim;

use sim::{Habits, World};
use stonechat::actor::Answer;
use stonechat::actor::rows::{RowKey, RowRange, Write};
use stonechat::im::origin::ORIGIN;
use stonechat::store::Request;

const DAY_MS: u64 = 24 * 3_600_000;
/// More than two pages of a sweep.
const ROWS_A_DAY: u64 = 2_500;

#[test]
fn origin_ids_older_than_yesterday_leave_the_store_within_an_hour() {
    for (workers, habits) in [(1, Habits::KIND), (4, Habits::ROUGH)] {
        let config = sim::config("").expect("the defaults are valid");
        let mut world = World::new(1, workers, habits, config);
        let today = world.now.wall_ms / DAY_MS;
        // The first sweep finds nothing: these come later.
        world.advance(1);
        for day in today - 4..=today {
            remember(&world, day);
        }
        world.advance(3_600_000);
        let left: Vec<u64> = days(&world);
        let mut expected = vec![today - 1; ROWS_A_DAY as usize];
        expected.extend(vec![today; ROWS_A_DAY as usize]);
        assert!(
            left == expected,
            "{workers} workers left {} rows",
            left.len()
        );
        // The day ends: yesterday is another.
        world.advance(DAY_MS);
        assert!(days(&world).iter().all(|day| *day == today));
        world.assert_rest();
    }
}

fn remember(world: &World, day: u64) {
    let key = |account: u64| {
        let day = u32::try_from(day).expect("a day of this century");
        RowKey::new(&day.to_be_bytes())
            .then(&account.to_be_bytes())
            .then(&[7; 12])
    };
    let put = |account| Write::Put {
        table: &ORIGIN,
        key: key(account),
        value: [0; 8][..].into(),
    };
    let writes = (0..ROWS_A_DAY).map(put).collect();
    let mut store = world.store.lock();
    assert!(matches!(store.apply(Request::Save(writes)), Answer::Saved));
    store.sync().expect("no fault is set");
}

/// The day of each row that is there.
fn days(world: &World) -> Vec<u64> {
    let range = RowRange {
        from: RowKey::new(&[]),
        to: RowKey::new(&[0xff]),
        count_max: usize::MAX,
        bytes_max: usize::MAX,
    };
    let table = &ORIGIN;
    let Answer::Range { rows, .. } = world.store.lock().apply(Request::Range { table, range })
    else {
        panic!("no fault is set");
    };
    let day = |key: &RowKey| u32::from_be_bytes(key.as_bytes()[..4].try_into().expect("a key"));
    rows.iter().map(|row| u64::from(day(&row.key))).collect()
}
