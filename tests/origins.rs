//! What is left of origin-ids in the store (DESIGN section 20): rows of today and yesterday stay, older ones
//! are swept out. What a resent message comes to is played in `tests/scenarios/management.xmpp` and judged in
//! `tests/crash/`.

mod sim;

use sim::plainly::says;
use sim::{ConnId, Habits, World};
use stonechat::actor::Answer;
use stonechat::actor::rows::{RowKey, RowRange, Write};
use stonechat::base::limits;
use stonechat::im::origin::ORIGIN;
use stonechat::im::pending::PENDING;
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

#[test]
fn an_account_remembers_so_many_origin_ids_of_a_day_and_no_more() {
    let config = sim::config("").expect("the defaults are valid");
    let mut world = World::new(1, 1, Habits::KIND, config);
    let today = u32::try_from(world.now.wall_ms / DAY_MS).expect("a day of this century");
    // The first account is the first number's.
    world.register("juliet", "secret");
    let of_juliet = RowKey::new(&today.to_be_bytes()).then(&1u64.to_be_bytes());
    fill(&world, &of_juliet, limits::ORIGINS_COUNT_MAX);
    let romeo = managed(&mut world, "romeo");
    says(&mut world, romeo, &twenty());
    world.end_turns();
    assert_eq!(world.row_count(&PENDING), 20);
    let is_hers = |key: &RowKey| key.as_bytes().starts_with(of_juliet.as_bytes());
    let hers = keys(&world).iter().filter(|key| is_hers(key)).count();
    assert_eq!(hers, limits::ORIGINS_COUNT_MAX);
    // What he has sent himself is another account's.
    assert_eq!(keys(&world).len(), hers + 20);
}

#[test]
fn strangers_cannot_use_up_the_origin_ids_of_a_day() {
    let config = sim::config("").expect("the defaults are valid");
    let mut world = World::new(1, 1, Habits::KIND, config);
    let today = u32::try_from(world.now.wall_ms / DAY_MS).expect("a day of this century");
    let juliet = managed(&mut world, "juliet");
    let item = "<query xmlns='jabber:iq:roster'><item jid='romeo@localhost'/></query>";
    says(
        &mut world,
        juliet,
        &format!("<iq type='set' id='r'>{item}</iq>"),
    );
    world.end_turns();
    let of_juliet = RowKey::new(&today.to_be_bytes()).then(&1u64.to_be_bytes());
    fill(&world, &of_juliet, limits::ORIGINS_STRANGERS_MAX);
    let is_hers = |key: &RowKey| key.as_bytes().starts_with(of_juliet.as_bytes());
    let mut hers = limits::ORIGINS_STRANGERS_MAX;
    for (name, count) in [("tybalt", 0), ("romeo", 20)] {
        let conn = managed(&mut world, name);
        says(&mut world, conn, &twenty());
        world.end_turns();
        hers += count;
        let found = keys(&world).iter().filter(|key| is_hers(key)).count();
        assert_eq!(found, hers, "{name}");
    }
}

/// So many marks of an account and a day.
fn fill(world: &World, of: &RowKey, count: usize) {
    let put = |n: usize| Write::Put {
        table: &ORIGIN,
        key: of.clone().then(&[9; 4]).then(&n.to_be_bytes()),
        value: [0; 8][..].into(),
    };
    let writes = (0..count).map(put).collect();
    let mut store = world.store.lock();
    assert!(matches!(store.apply(Request::Save(writes)), Answer::Saved));
    store.sync().expect("no fault is set");
}

/// Messages to juliet with origin-ids.
fn twenty() -> String {
    let messages = (0..20).map(|n| {
        format!(
            "<message type='chat' to='juliet@localhost'><body>{n}</body>\
             <origin-id xmlns='urn:xmpp:sid:0' id='x{n}'/></message>"
        )
    });
    messages.collect()
}

/// A new account with a session that counts what is acknowledged.
fn managed(world: &mut World, name: &str) -> ConnId {
    world.register(name, "secret");
    sim::plainly::session(world, name, None, "<enable xmlns='urn:xmpp:sm:3'/>")
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
    let day = |key: &RowKey| u32::from_be_bytes(key.as_bytes()[..4].try_into().expect("a key"));
    keys(world).iter().map(|key| u64::from(day(key))).collect()
}

fn keys(world: &World) -> Vec<RowKey> {
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
    rows.into_iter().map(|row| row.key).collect()
}
