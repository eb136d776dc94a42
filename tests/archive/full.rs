//! A mailbox that is full of what waits for its owner, beside an archive: what its senders hear, and what the owner sees later.

use stonechat::im::pending::PENDING;

use crate::sim::{ConnId, World};
use crate::{archived, chat, hears, log_in, numbers, query, says, user, world};

/// Messages of which the first eight are kept for whoever is away.
const OPTIONS: &str = "delivery.offline_count = 8\n";

/// Juliet, who is away and has romeo in her roster; he and a stranger are there.
fn cast(world: &mut World, archives: &str) -> (ConnId, ConnId) {
    let juliet = user(world, "juliet", "");
    let prefs =
        format!("<iq type='set' id='p'><prefs xmlns='urn:xmpp:mam:2' default='{archives}'/></iq>");
    assert!(says(world, juliet, &prefs).contains("<prefs "));
    let item = "<query xmlns='jabber:iq:roster'><item jid='romeo@localhost'/></query>";
    let heard = says(world, juliet, &format!("<iq type='set' id='r'>{item}</iq>"));
    world.end_turns();
    assert!(!heard.contains("error"), "{heard}");
    says(world, juliet, "</stream:stream>");
    let romeo = user(world, "romeo", "<presence/>");
    let tybalt = user(world, "tybalt", "<presence/>");
    (romeo, tybalt)
}

#[test]
fn what_a_full_mailbox_cannot_keep_of_contacts_is_found_in_the_archive() {
    for keep in ["always", "offline-only"] {
        let mut world = world(&format!("{OPTIONS}delivery.keep = \"{keep}\"\n"));
        let (romeo, tybalt) = cast(&mut world, "always");
        says(&mut world, romeo, "<enable xmlns='urn:xmpp:sm:3'/>");
        let heard = says(&mut world, romeo, &chat("juliet", 0, 12));
        assert!(!heard.contains("error"), "{heard}");
        // A stranger, who could push all out of an archive, hears what he would hear of nobody.
        let heard = says(&mut world, tybalt, &chat("juliet", 12, 3));
        assert_eq!(heard.matches("<service-unavailable ").count(), 3, "{heard}");
        world.end_turns();
        assert_eq!(world.row_count(&PENDING), 8, "{keep}");
        // What is in both archives is acknowledged, though nobody is going to bring the last four.
        let heard = hears(&mut world, romeo);
        let heard = heard + &says(&mut world, romeo, "<r xmlns='urn:xmpp:sm:3'/>");
        assert!(heard.contains("h='12'"), "{heard}");
        assert_eq!(archived(&world, "romeo"), (0..12).collect::<Vec<_>>());
        assert_eq!(archived(&world, "tybalt"), (12..15).collect::<Vec<_>>());

        // After a crash it is the same: eight come, and the others are where clients look for what they missed.
        let mut world = world.crash(3);
        let juliet = log_in(&mut world, "juliet", "");
        let heard = says(&mut world, juliet, "<presence/>");
        assert_eq!(numbers(&heard), (0..8).collect::<Vec<_>>(), "{keep}");
        let last = heard.rsplit("<stanza-id ").next().expect("the last one");
        let last = last
            .split("id='")
            .nth(1)
            .and_then(|id| id.split('\'').next());
        let page = query(50).replace(
            "</max>",
            &format!("</max><after>{}</after>", last.expect("its id")),
        );
        let page = says(&mut world, juliet, &page);
        assert_eq!(numbers(&page), (8..12).collect::<Vec<_>>(), "{page}");
        assert!(page.contains("complete='true'"), "{page}");
        world.end_turns();
        assert_eq!(world.row_count(&PENDING), 0);
        world.assert_rest();
    }
}

#[test]
fn who_archives_nothing_and_has_a_full_mailbox_is_nobody_to_strangers_and_full_to_contacts() {
    let mut world = world(OPTIONS);
    let (romeo, tybalt) = cast(&mut world, "never");
    assert_eq!(says(&mut world, romeo, &chat("juliet", 0, 8)), "");
    // XEP-0160 section 2, step 3: "the server returns a <service-unavailable/> error to the sender".
    let heard = says(&mut world, romeo, &chat("juliet", 8, 1));
    let full = "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text";
    assert!(heard.contains(full), "{heard}");
    // RFC 6121 section 11: not to those who may not know that there is such a mailbox.
    let heard = says(&mut world, tybalt, &chat("juliet", 9, 1));
    let ghost = says(&mut world, tybalt, &chat("ghost", 9, 1));
    assert!(ghost.contains("<service-unavailable "), "{ghost}");
    assert_eq!(heard.replace("juliet@", "ghost@"), ghost);
    world.end_turns();
    // What was refused is in the archive of who said it: it was said.
    assert_eq!(archived(&world, "juliet"), [0; 0]);
    assert_eq!(archived(&world, "romeo"), (0..9).collect::<Vec<_>>());
    let juliet = log_in(&mut world, "juliet", "");
    let heard = says(&mut world, juliet, "<presence/>");
    assert_eq!(numbers(&heard), (0..8).collect::<Vec<_>>());
    world.end_turns();
    // There is room again.
    says(&mut world, juliet, "</stream:stream>");
    assert_eq!(says(&mut world, romeo, &chat("juliet", 10, 1)), "");
    world.assert_rest();
}

#[test]
fn who_logs_in_to_a_full_mailbox_stays_though_another_leaves_what_cannot_be_kept() {
    let mut world = world(&format!(
        "{OPTIONS}delivery.keep = \"offline-only\"\nsm.unacked_count = 16\n"
    ));
    let (romeo, _) = cast(&mut world, "always");
    let sm = "<enable xmlns='urn:xmpp:sm:3'/>";
    let balcony = log_in(&mut world, "juliet", sm);
    let heard = says(
        &mut world,
        balcony,
        "<presence><priority>-1</priority></presence>",
    );
    let full_jid = heard.split("from='").nth(1);
    let full_jid = full_jid.and_then(|from| from.split('\'').next());
    let full_jid = full_jid.expect("its presence comes back").to_owned();
    says(&mut world, romeo, &chat("juliet", 0, 8));
    world.end_turns();
    assert_eq!(world.row_count(&PENDING), 8);
    let direct = chat("juliet", 8, 3).replace("juliet@localhost", &full_jid);
    says(&mut world, romeo, &direct);
    world.end_turns();
    assert_eq!(numbers(&hears(&mut world, balcony)), [8, 9, 10]);
    // It takes no more from a cursor until it acknowledges, and is not full.
    let chamber = log_in(&mut world, "juliet", sm);
    let heard = says(&mut world, chamber, "<presence/>");
    assert_eq!(numbers(&heard), (0..8).collect::<Vec<_>>());
    says(&mut world, balcony, "</stream:stream>");
    world.end_turns();
    assert!(!world.is_closed(chamber));
    assert_eq!(archived(&world, "juliet"), (0..11).collect::<Vec<_>>());
    says(&mut world, chamber, "<a xmlns='urn:xmpp:sm:3' h='9'/>");
    world.end_turns();
    says(&mut world, romeo, &chat("juliet", 11, 1));
    world.end_turns();
    assert_eq!(numbers(&hears(&mut world, chamber)), [11]);
    world.assert_rest();
}
