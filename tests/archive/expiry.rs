//! What is too old leaves archives by the month, and nothing else does.

use super::*;

#[test]
fn months_that_nobody_keeps_leave_the_store() {
    let mut world = world("host.archive.retention = \"30 d\"\n");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &notes(0, 5, 0));
    world.end_turns();
    assert_eq!(archived(&world, "romeo"), [0, 1, 2, 3, 4]);
    // The message is of late November: its month is over after a week, and too old a month later.
    world.advance(20 * DAY_MS);
    assert_eq!(archived(&world, "romeo").len(), 5);
    world.advance(20 * DAY_MS);
    assert_eq!(archived(&world, "romeo").len(), 0);
    assert_eq!(world.row_count(&INDEX), 0);
}

#[test]
fn a_host_that_keeps_for_ever_keeps_nothing_of_another() {
    let rates = "c2s.rate_stanzas_per_s = 100000\nc2s.rate_stanzas_burst = 100000\n";
    let options = format!("{rates}host.archive.retention = \"30 d\"\n");
    let mut config = sim::config(&options).expect("valid options");
    let mut other = HostConfig::clone(&config.hosts[0]);
    other.name = "example.org".into();
    other.archive.retention = Duration::from_ms(0);
    config.hosts.push(other.into());
    let mut world = World::new(2, 2, Habits::KIND, config);
    for name in ["juliet", "nurse"] {
        world.register(name, "secret");
    }
    let romeo = user(&mut world, "romeo", "<presence/>");
    // More than a step removes, and one for which somebody waits.
    says(&mut world, romeo, &notes(0, 600, 0));
    says(&mut world, romeo, &chat("nurse", 0, 2));
    world.end_turns();
    says(&mut world, romeo, &search("nobody"));
    world.end_turns();
    world.advance(20 * DAY_MS);
    let romeo = log_in(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &chat("juliet", 1_000, 1));
    world.end_turns();
    assert_eq!(archived(&world, "romeo").len(), 603);
    world.advance(20 * DAY_MS);
    assert_eq!(archived(&world, "romeo"), [1_000]);
    assert_eq!(archived(&world, "juliet"), [1_000]);
    assert!(archived(&world, "nurse").is_empty());
    assert_eq!(world.row_count(&ARCHIVE), 2);
    // With whom, and by which name.
    assert_eq!(world.row_count(&INDEX), 4);
    assert_eq!(world.row_count(&TALLY), 2);
    let nurse = log_in(&mut world, "nurse", "");
    assert_eq!(numbers(&says(&mut world, nurse, "<presence/>")), [0, 1]);
}

#[test]
fn what_nobody_has_yet_outlives_its_month_and_its_place_in_the_archive() {
    let options = "delivery.offline_count = 2000\nhost.archive.retention = \"30 d\"\n";
    let mut world = world(&format!("{options}host.archive.messages = 10\n"));
    world.register("juliet", "secret");
    world.register("nurse", "secret");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &chat("juliet", 0, 150));
    says(&mut world, romeo, &chat("nurse", 0, 2));
    world.end_turns();
    // More than ten: all but the newest lost their places.
    let left = archived(&world, "juliet").len();
    assert!((10..=10 + 64).contains(&left), "{left} are left");
    assert_eq!(world.row_count(&PENDING), 152);
    world.advance(40 * DAY_MS);
    assert_eq!(world.row_count(&ARCHIVE), 0, "the month is over");
    assert_eq!(world.row_count(&PENDING), 152);
    let world = &mut world.crash(7);
    for (name, count) in [("juliet", 150), ("nurse", 2)] {
        let conn = log_in(world, name, "");
        let heard = says(world, conn, "<presence/>");
        assert_eq!(numbers(&heard), (0..count).collect::<Vec<usize>>());
        assert_eq!(heard.matches("<stanza-id ").count(), count);
        // The day on which it came.
        assert_eq!(heard.matches("<delay ").count(), count);
        assert_eq!(heard.matches("stamp='2026-11-").count(), count, "{heard}");
    }
    world.end_turns();
    assert_eq!(world.row_count(&PENDING), 0);
}

#[test]
fn a_clock_set_forward_by_years_takes_no_month_that_was_not_due() {
    let mut world = world("host.archive.retention = \"30 d\"\n");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &notes(0, 5, 0));
    world.end_turns();
    world.advance(3_600_000);
    let right_ms = world.now.wall_ms;
    world.set_wall_clock(right_ms + 5 * 365 * DAY_MS);
    // A restart is no proof of time.
    for life in 0..20 {
        world = world.crash(life);
        world.advance(2 * 3_600_000);
    }
    assert_eq!(archived(&world, "romeo").len(), 5);
    // Found and set right after days.
    let ran_ms = 40 * 3_600_000;
    world.set_wall_clock(right_ms + ran_ms);
    world.advance(DAY_MS);
    assert_eq!(archived(&world, "romeo").len(), 5);
    // Never found: the month goes when four times the time that ran makes it old enough. It is over within a week, and
    // 37 days are more than four times nine.
    world.set_wall_clock(right_ms + 5 * 365 * DAY_MS);
    world.advance(10 * DAY_MS);
    assert_eq!(archived(&world, "romeo").len(), 0);
}
