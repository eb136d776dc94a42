//! What waits for clients beside the archive.

use super::*;

#[test]
fn what_waits_for_who_is_away_is_stored_once() {
    let mut world = world("delivery.offline_count = 2000\n");
    world.register("juliet", "secret");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &chat("juliet", 0, 150));
    world.end_turns();
    assert_eq!(world.row_count(&PENDING), 150);
    assert!(
        waiting_bytes(&world) <= 150 * 16,
        "{}",
        waiting_bytes(&world)
    );
    let juliet = log_in(&mut world, "juliet", "");
    let heard = says(&mut world, juliet, "<presence/>");
    assert_eq!(numbers(&heard), (0..150).collect::<Vec<usize>>());
    for (what, times) in [("<delay ", 150), ("<stanza-id ", 150), ("<body>note ", 150)] {
        assert_eq!(heard.matches(what).count(), times, "{what}");
    }
    // The id by which the archive knows it.
    let id = heard.split("<stanza-id ").nth(1).expect("counted above");
    let id = id.split("id='").nth(1).and_then(|id| id.split('\'').next());
    let page = says(&mut world, juliet, &query(1));
    assert!(
        page.contains(&format!("id='{}'", id.expect("an id"))),
        "{page}"
    );
    world.end_turns();
    assert_eq!(world.row_count(&PENDING), 0);
    assert_eq!(archived(&world, "juliet").len(), 150);
    world.assert_rest();
}

#[test]
fn what_its_recipient_does_not_archive_waits_in_a_row_of_its_own() {
    let mut world = world("");
    let prefs = "<iq type='set' id='p'><prefs xmlns='urn:xmpp:mam:2' default='never'/></iq>";
    let juliet = user(&mut world, "juliet", "");
    assert!(says(&mut world, juliet, prefs).contains("default='never'"));
    says(&mut world, juliet, "</stream:stream>");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &chat("juliet", 0, 3));
    world.end_turns();
    assert!(waiting_bytes(&world) > 3 * 60, "{}", waiting_bytes(&world));
    // What is wanted from now on has no effect on what waits.
    let juliet = log_in(&mut world, "juliet", "");
    says(&mut world, juliet, &prefs.replace("never", "always"));
    says(&mut world, romeo, &chat("juliet", 3, 2));
    let heard = says(&mut world, juliet, "<presence/>");
    assert_eq!(numbers(&heard), [0, 1, 2, 3, 4]);
    assert_eq!(archived(&world, "juliet"), [3, 4]);
    world.end_turns();
    assert_eq!(world.row_count(&PENDING), 0);
}

/// Bytes in the rows of what waits for clients.
fn waiting_bytes(world: &World) -> usize {
    world.rows(&PENDING).iter().map(|row| row.value.len()).sum()
}

#[test]
fn thousands_of_messages_for_an_account_that_is_not_in_memory_wait_for_its_rows_in_order() {
    let options = "delivery.offline_count = 25000\ndelivery.offline_size = \"40 MiB\"\n";
    let mut world = world(options);
    world.register("juliet", "secret");
    let romeo = user(&mut world, "romeo", "<presence/>");
    let heard = says(&mut world, romeo, &chat("juliet", 0, 2_500));
    assert_eq!(heard, "", "nothing bounced");
    world.assert_bounds();
    world.end_turns();
    let juliet = log_in(&mut world, "juliet", "");
    let heard = says(&mut world, juliet, "<presence/>");
    assert_eq!(numbers(&heard), (0..2_500).collect::<Vec<usize>>());
    world.assert_rest();
}
