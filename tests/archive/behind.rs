//! What says how much there is in an archive, and what was sent before, goes out before the saves on which it rests are
//! answered. Where one of those is refused, though there is room again for what comes behind it, it is not believed.

use super::full_disk::{fill, make_room};
use super::*;

/// There is room again, before any worker has heard that there was none.
fn make_room_unnoticed(world: &mut World) {
    assert!(world.disk_is_asleep, "nobody hears anything");
    world.store.lock().set_fault(None);
}

/// Everybody hears what became of what was saved.
fn wake_disk(world: &mut World, conn: ConnId) {
    world.disk_is_asleep = false;
    world.end_turns();
    make_room(world);
    hears(world, conn);
}

#[test]
fn what_was_refused_does_not_count_for_an_archive_that_is_almost_full() {
    let mut world = world("host.archive.messages = 200\n");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &notes(0, 64, 0));
    world.end_turns();
    world.disk_is_asleep = true;
    fill(&mut world);
    says(&mut world, romeo, &notes(64, 126, 0));
    make_room_unnoticed(&mut world);
    // The count is written with what comes now.
    says(&mut world, romeo, &notes(126, 200, 0));
    wake_disk(&mut world, romeo);
    let mut expected = archived(&world, "romeo");
    assert!(!expected.contains(&64), "{expected:?}");
    // As many as it may hold, and nobody is in memory any more.
    let more = 200 - expected.len();
    says(&mut world, romeo, &notes(200, 200 + more, 0));
    world.end_turns();
    expected.extend(200..200 + more);
    let mut world = world.crash(7);
    let romeo = log_in(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &query_with("romeo", 1, ""));
    world.end_turns();
    assert_eq!(archived(&world, "romeo"), expected);
    world.assert_rest();
}

#[test]
fn what_could_not_be_removed_counts_for_an_archive_that_is_full() {
    let mut world = world("host.archive.messages = 200\n");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &notes(0, 200, 0));
    world.end_turns();
    world.disk_is_asleep = true;
    // The oldest are looked for, and when they are found nothing can be removed.
    world.services_are_mute = true;
    says(&mut world, romeo, &notes(200, 264, 0));
    world.disk_is_asleep = false;
    world.settle();
    world.disk_is_asleep = true;
    fill(&mut world);
    world.services_are_mute = false;
    world.settle();
    make_room_unnoticed(&mut world);
    says(&mut world, romeo, &notes(264, 400, 0));
    wake_disk(&mut world, romeo);
    // It loses now what it did not lose then.
    says(&mut world, romeo, &notes(400, 600, 0));
    world.end_turns();
    let left = archived(&world, "romeo");
    assert!((200..=264).contains(&left.len()), "{} are left", left.len());
    let expected: Vec<usize> = (600 - left.len()..600).collect();
    assert_eq!(left, expected);
    world.assert_rest();
}

#[test]
fn what_was_refused_is_not_known_when_it_is_sent_again() {
    let mut world = world("");
    world.register("juliet", "secret");
    let enable = "<enable xmlns='urn:xmpp:sm:3'/>";
    let mut romeo = user(&mut world, "romeo", enable);
    let message = "<message to='juliet@localhost' type='chat' id='m7'><body>I swear</body>\
        <origin-id xmlns='urn:xmpp:sid:0' id='o7'/></message>";
    world.disk_is_asleep = true;
    fill(&mut world);
    says(&mut world, romeo, message);
    make_room_unnoticed(&mut world);
    // It had not been acknowledged when the connection was lost.
    world.lose(romeo);
    romeo = log_in(&mut world, "romeo", enable);
    says(&mut world, romeo, message);
    wake_disk(&mut world, romeo);
    world.lose(romeo);
    // Nor the second time.
    romeo = log_in(&mut world, "romeo", enable);
    says(&mut world, romeo, message);
    world.end_turns();
    let heard = says(&mut world, romeo, "<r xmlns='urn:xmpp:sm:3'/>");
    assert!(
        heard.contains("h='1'") && !heard.contains("error"),
        "{heard}"
    );
    let juliet = log_in(&mut world, "juliet", "");
    assert_eq!(numbers(&says(&mut world, juliet, "<presence/>")), [7]);
    world.assert_rest();
}
