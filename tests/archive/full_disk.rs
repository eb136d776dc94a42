//! What becomes of archives, and of what waits for clients, while the disk has no room. The store that forgets refuses
//! removals, too: it is a disk on which not even the reserve is left.

use super::*;

/// Months are counted in UTC; November is too old when December has thirty days.
const NOVEMBER_IS_OLD_MS: u64 = 1_798_675_200_000;

/// The disk has no room, and every worker knows it.
pub(super) fn fill(world: &mut World) {
    world.store.lock().set_fault(Some(StoreError::DiskFull));
}

/// There is room again, and every worker knows it.
pub(super) fn make_room(world: &mut World) {
    world.store.lock().set_fault(None);
    world.advance(3_000);
    world.end_turns();
}

/// Romeo, who has said so much to himself: the first of it is indexed at once, and then 64 messages at a time.
fn keeper(count: usize) -> (World, ConnId) {
    let mut world = world("");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &notes(0, count, 0));
    world.end_turns();
    hears(&mut world, romeo);
    (world, romeo)
}

/// Begins the command with which an archive is emptied; what confirms it.
pub(super) fn confirmation(world: &mut World, conn: ConnId) -> String {
    command(world, conn, ("delete-archive", "confirm"))
}

/// Begins a command of one page; what says yes to this field of it, and completes it.
fn command(world: &mut World, conn: ConnId, (node, field): (&str, &str)) -> String {
    let run = format!(
        "<iq type='set' id='d' to='localhost'><command xmlns='http://jabber.org/protocol/commands' \
         node='{node}' action='execute'/></iq>"
    );
    let heard = says(world, conn, &run);
    let session = heard.split("sessionid='").nth(1).expect("a form");
    let session = session.split('\'').next().expect("a form");
    format!(
        "<iq type='set' id='d' to='localhost'><command xmlns='http://jabber.org/protocol/commands' \
         node='{node}' sessionid='{session}' action='complete'><x xmlns='jabber:x:data' type='submit'>\
         <field var='{field}'><value>1</value></field></x></command></iq>"
    )
}

#[test]
fn who_empties_his_archive_while_the_disk_is_full_hears_that_it_failed() {
    let (mut world, romeo) = keeper(600);
    let confirm = confirmation(&mut world, romeo);
    fill(&mut world);
    let heard = says(&mut world, romeo, &confirm);
    assert!(heard.contains("<resource-constraint "), "{heard}");
    assert!(!heard.contains("removed"), "{heard}");
    assert_eq!(archived(&world, "romeo").len(), 600);
    make_room(&mut world);
    let confirm = confirmation(&mut world, romeo);
    let heard = says(&mut world, romeo, &confirm);
    world.end_turns();
    let heard = heard + &hears(&mut world, romeo);
    assert!(heard.contains("600 messages were removed"), "{heard}");
    assert!(archived(&world, "romeo").is_empty());
    world.assert_rest();
}

#[test]
fn an_archive_is_emptied_on_a_full_disk_though_what_others_want_is_refused_meanwhile() {
    // Room for what makes room is all that is left; then there is room again before anybody has heard that there was none.
    for has_room_again in [false, true] {
        let (mut world, romeo) = keeper(1_000);
        let juliet = user(&mut world, "juliet", "<presence/>");
        says(&mut world, juliet, &notes(0, 20, 0));
        world.end_turns();
        hears(&mut world, juliet);
        let confirm = confirmation(&mut world, romeo);
        world.store.lock().set_reserve(1);
        fill(&mut world);
        world.disk_is_asleep = true;
        says(&mut world, juliet, &search("note"));
        if has_room_again {
            world.store.lock().set_fault(None);
        }
        // Nobody knows yet that the index of her words was refused.
        let heard = says(&mut world, romeo, &confirm);
        world.disk_is_asleep = false;
        world.end_turns();
        let heard = heard + &hears(&mut world, romeo);
        assert!(heard.contains("1000 messages were removed"), "{heard}");
        assert!(archived(&world, "romeo").is_empty());
        assert!(hears(&mut world, juliet).contains("<resource-constraint "));
        make_room(&mut world);
        assert_eq!(world.row_count(&EMPTYING), 0);
        says(&mut world, romeo, &notes(0, 3, 0));
        world.end_turns();
        assert_eq!(archived(&world, "romeo"), [0, 1, 2]);
        assert_eq!(archived(&world, "juliet").len(), 20);
        world.assert_rest();
    }
}

#[test]
fn an_archive_is_emptied_though_its_owner_goes_meanwhile() {
    let (mut world, romeo) = keeper(1_000);
    let confirm = confirmation(&mut world, romeo);
    world.disk_is_asleep = true;
    world.write(romeo, confirm.as_bytes());
    world.settle();
    assert!(!archived(&world, "romeo").is_empty(), "it has not begun");
    world.lose(romeo);
    world.settle();
    world.disk_is_asleep = false;
    world.end_turns();
    world.settle();
    assert_eq!(archived(&world, "romeo").len(), 0);
    world.advance(120_000);
    assert_eq!(world.resident_accounts(), 0);
    world.assert_rest();
}

#[test]
fn an_archive_is_emptied_no_further_when_that_failed_and_its_owner_throws_out_who_began_it() {
    let (mut world, thief) = keeper(1_000);
    // The sweep with which a server begins is done, and the next is an hour away.
    world.advance(10_000);
    let romeo = log_in(&mut world, "romeo", "");
    let confirm = confirmation(&mut world, thief);
    world.disk_is_asleep = true;
    world.write(thief, confirm.as_bytes());
    world.settle();
    world.store.lock().sync().expect("no fault is set");
    fill(&mut world);
    world.disk_is_asleep = false;
    world.end_turns();
    assert!(hears(&mut world, thief).contains("<resource-constraint "));
    let left = archived(&world, "romeo");
    assert!((1..1_000).contains(&left.len()), "{}", left.len());
    make_room(&mut world);
    let end = command(&mut world, romeo, ("end-sessions", "all"));
    assert!(says(&mut world, romeo, &end).contains("One session was ended"));
    world.end_turns();
    assert_eq!(world.row_count(&EMPTYING), 0);
    world.advance(2 * 3_600_000);
    assert_eq!(archived(&world, "romeo"), left);
    world.assert_rest();
}

#[test]
fn an_archive_is_emptied_though_its_owner_goes_before_it_is_his_turn() {
    let (mut world, romeo) = keeper(100);
    let confirm = confirmation(&mut world, romeo);
    world.services_are_mute = true;
    let all = query(50) + &query(50) + &confirm;
    world.write(romeo, all.as_bytes());
    world.settle();
    world.lose(romeo);
    world.settle();
    world.services_are_mute = false;
    world.end_turns();
    world.settle();
    assert_eq!(archived(&world, "romeo").len(), 0);
    world.advance(120_000);
    assert_eq!(world.resident_accounts(), 0);
    world.assert_rest();
}

#[test]
fn an_archive_is_emptied_though_the_power_goes_meanwhile() {
    for workers in [1, 4] {
        let mut world = world_of(workers, "");
        let romeo = user(&mut world, "romeo", "<presence/>");
        says(&mut world, romeo, &notes(0, 1_000, 0));
        world.end_turns();
        hears(&mut world, romeo);
        let confirm = confirmation(&mut world, romeo);
        world.disk_is_asleep = true;
        world.write(romeo, confirm.as_bytes());
        world.settle();
        world.store.lock().sync().expect("no fault is set");
        let mut world = world.crash(7);
        let left = archived(&world, "romeo").len();
        assert!(
            (1..1_000).contains(&left),
            "it has begun, and not ended: {left}"
        );
        let romeo = log_in(&mut world, "romeo", "<presence/>");
        says(&mut world, romeo, &notes(1_000, 1_003, 0));
        world.advance(120_000);
        world.end_turns();
        // What came since stays, and nothing is left to do.
        assert_eq!(archived(&world, "romeo"), [1_000, 1_001, 1_002]);
        let mut world = world.crash(8);
        world.advance(4_000_000);
        assert_eq!(archived(&world, "romeo"), [1_000, 1_001, 1_002]);
        assert_eq!(world.resident_accounts(), 0);
        world.assert_rest();
    }
}

#[test]
fn what_an_older_server_left_to_be_emptied_is_emptied_once() {
    let mut world = world("");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &notes(0, 3, 0));
    world.end_turns();
    // It knew one for each account, and left no number in its key.
    let account = world.account_id("romeo");
    let mut value = vec![1];
    value.extend_from_slice(&u64::MAX.to_be_bytes());
    value.extend_from_slice(b"romeo@localhost");
    let write = Write::Put {
        table: &EMPTYING,
        key: RowKey::new(&account.0.to_be_bytes()),
        value: value.into(),
    };
    world.store.lock().apply(Request::Save(vec![write]));
    world.store.lock().sync().expect("no fault is set");
    let mut world = world.crash(7);
    world.advance(120_000);
    world.end_turns();
    assert!(archived(&world, "romeo").is_empty());
    assert_eq!(world.row_count(&EMPTYING), 0);
    world.assert_rest();
}

#[test]
fn old_messages_of_a_host_go_when_the_disk_has_room_again() {
    let options = "host.archive.retention = \"30 d\"\n";
    let mut config = sim::config(&format!(
        "c2s.rate_stanzas_per_s = 100000\nc2s.rate_stanzas_burst = 100000\n{options}"
    ))
    .expect("valid options");
    let mut other = HostConfig::clone(&config.hosts[0]);
    other.name = "example.org".into();
    other.archive.retention = Duration::from_ms(0);
    config.hosts.push(other.into());
    let mut world = World::new(2, 2, Habits::KIND, config);
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &notes(0, 600, 0));
    world.end_turns();
    let before_ms = NOVEMBER_IS_OLD_MS - world.now.wall_ms - 3_600_000;
    world.advance(before_ms);
    assert_eq!(archived(&world, "romeo").len(), 600);
    fill(&mut world);
    world.advance(3 * 3_600_000);
    assert_eq!(archived(&world, "romeo").len(), 600);
    world.store.lock().set_fault(None);
    world.advance(2 * 3_600_000);
    assert!(archived(&world, "romeo").is_empty());
}

#[test]
fn a_month_stays_until_what_is_owed_of_it_has_rows_of_its_own() {
    let mut world = world("host.archive.retention = \"30 d\"\n");
    world.register("juliet", "secret");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &chat("juliet", 0, 20));
    world.end_turns();
    let before_ms = NOVEMBER_IS_OLD_MS - world.now.wall_ms - 3_600_000;
    world.advance(before_ms);
    fill(&mut world);
    world.advance(3 * 3_600_000);
    assert_eq!(archived(&world, "juliet").len(), 20);
    world.store.lock().set_fault(None);
    world.advance(3 * 3_600_000);
    assert!(archived(&world, "juliet").is_empty());
    let mut world = world.crash(7);
    let conn = log_in(&mut world, "juliet", "");
    let heard = says(&mut world, conn, "<presence/>");
    assert_eq!(numbers(&heard), (0..20).collect::<Vec<usize>>());
}

#[test]
fn what_a_client_acknowledges_while_the_disk_is_full_does_not_come_again() {
    for workers in [1, 4] {
        let mut world = world_of(workers, "");
        let juliet = user(
            &mut world,
            "juliet",
            "<presence/><enable xmlns='urn:xmpp:sm:3'/>",
        );
        let romeo = user(&mut world, "romeo", "<presence/>");
        says(&mut world, romeo, &chat("juliet", 0, 20));
        world.end_turns();
        assert_eq!(numbers(&hears(&mut world, juliet)).len(), 20);
        assert_eq!(world.row_count(&PENDING), 20);
        fill(&mut world);
        // Nobody knows yet that it is full, and then everybody does.
        says(&mut world, juliet, "<a xmlns='urn:xmpp:sm:3' h='10'/>");
        world.end_turns();
        says(&mut world, juliet, "<a xmlns='urn:xmpp:sm:3' h='21'/>");
        world.end_turns();
        assert_eq!(world.row_count(&PENDING), 20);
        // The rows are there, and nobody gets them again.
        let chamber = log_in(&mut world, "juliet", "");
        assert!(numbers(&says(&mut world, chamber, "<presence/>")).is_empty());
        make_room(&mut world);
        assert_eq!(world.row_count(&PENDING), 0);
        let window = log_in(&mut world, "juliet", "");
        assert!(numbers(&says(&mut world, window, "<presence/>")).is_empty());
        world.assert_rest();
    }
}

#[test]
fn what_was_kept_is_delivered_once_while_the_disk_is_full() {
    let mut world = world("");
    world.register("juliet", "secret");
    let romeo = user(&mut world, "romeo", "<presence/>");
    says(&mut world, romeo, &chat("juliet", 0, 20));
    world.end_turns();
    fill(&mut world);
    let all: Vec<usize> = (0..20).collect();
    for expected in [&all[..], &[], &[]] {
        let conn = log_in(&mut world, "juliet", "");
        let heard = says(&mut world, conn, "<presence/>");
        world.end_turns();
        assert_eq!(numbers(&heard), expected);
        world.lose(conn);
        world.settle();
        // Also when nobody remembers the account.
        world.advance(130_000);
    }
    make_room(&mut world);
    assert_eq!(world.row_count(&PENDING), 0);
    world.assert_rest();
}

#[test]
fn a_search_while_the_disk_is_full_says_that_it_cannot_be_done_instead_of_finding_nothing() {
    let (mut world, romeo) = keeper(20);
    fill(&mut world);
    for _ in 0..2 {
        let heard = says(&mut world, romeo, &search("note"));
        world.end_turns();
        let heard = heard + &hears(&mut world, romeo);
        assert!(heard.contains("<resource-constraint "), "{heard}");
        assert!(!heard.contains("<fin "), "{heard}");
    }
    make_room(&mut world);
    let heard = says(&mut world, romeo, &search("note"));
    assert_eq!(heard.matches("<result ").count(), 20);
    // Now all is indexed, and nothing needs to be written.
    fill(&mut world);
    let heard = says(&mut world, romeo, &search("note"));
    assert_eq!(heard.matches("<result ").count(), 20);
    world.assert_rest();
}

#[test]
fn a_conversation_is_found_though_lists_of_it_were_refused_and_the_next_would_not_be() {
    let mut world = world("");
    let romeo = user(&mut world, "romeo", "<presence/>");
    // The first of a month is indexed at once, and the 64th behind it.
    says(&mut world, romeo, &notes(0, 64, 0));
    world.end_turns();
    hears(&mut world, romeo);
    world.disk_is_asleep = true;
    fill(&mut world);
    says(&mut world, romeo, &notes(64, 65, 0));
    // There is room again, and enough comes for the next lists before anybody has heard that some were refused.
    world.store.lock().set_fault(None);
    let heard = says(&mut world, romeo, &notes(65, 200, 0));
    assert_eq!(numbers(&heard).len(), 135, "nobody waits for the disk");
    world.disk_is_asleep = false;
    world.end_turns();
    make_room(&mut world);
    hears(&mut world, romeo);
    // They were bounced with what they rest on, and what comes from now on is counted and found.
    let kept = archived(&world, "romeo");
    assert!(kept.len() >= 64 && !kept.contains(&64), "{kept:?}");
    says(&mut world, romeo, &notes(200, 340, 0));
    world.end_turns();
    hears(&mut world, romeo);
    let all = archived(&world, "romeo");
    assert_eq!(all.len(), kept.len() + 140);
    let all: Vec<String> = all.iter().map(|n| format!("m{n}")).collect();
    assert_eq!(found_with(&mut world, romeo, "romeo"), all);
    world.assert_rest();
}

#[test]
fn a_conversation_is_read_while_the_disk_is_full() {
    let (mut world, romeo) = keeper(100);
    fill(&mut world);
    for _ in 0..2 {
        let heard = says(&mut world, romeo, &query_with("romeo", 100, "<before/>"));
        world.end_turns();
        let heard = heard + &hears(&mut world, romeo);
        let all: Vec<String> = (0..100).map(|n| format!("m{n}")).collect();
        assert_eq!(ids(&heard), all, "{heard}");
    }
    make_room(&mut world);
    world.assert_rest();
}

/// One of them asks to see the other, who allows it.
pub(super) fn sees(world: &mut World, (asker, asked): (ConnId, ConnId), (from, to): (&str, &str)) {
    says(
        world,
        asker,
        &format!("<presence type='subscribe' to='{to}@localhost'/>"),
    );
    world.end_turns();
    says(
        world,
        asked,
        &format!("<presence type='subscribed' to='{from}@localhost'/>"),
    );
    world.end_turns();
}

/// Romeo and juliet, who see each other, both with this wish about archives; tybalt, whom nobody knows.
pub(super) fn cast(world: &mut World, archives: &str) -> [ConnId; 3] {
    let prefs =
        format!("<iq type='set' id='p'><prefs xmlns='urn:xmpp:mam:2' default='{archives}'/></iq>");
    let roster = "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>";
    let all = ["romeo", "juliet", "tybalt"].map(|name| {
        let conn = user(world, name, "<presence/>");
        says(world, conn, &format!("{prefs}{roster}"));
        conn
    });
    let [romeo, juliet, _] = all;
    sees(world, (romeo, juliet), ("romeo", "juliet"));
    sees(world, (juliet, romeo), ("juliet", "romeo"));
    // The worker learns of a full disk from whoever is refused first.
    let nurse = user(world, "nurse", "<presence/>");
    fill(world);
    let item = "<query xmlns='jabber:iq:roster'><item jid='peter@localhost'/></query>";
    says(world, nurse, &format!("<iq type='set' id='i'>{item}</iq>"));
    world.end_turns();
    for conn in all {
        hears(world, conn);
    }
    all
}

#[test]
fn who_wants_nothing_archived_talks_on_while_the_disk_is_full() {
    let mut world = world("");
    let [romeo, juliet, tybalt] = cast(&mut world, "never");
    let heard = says(&mut world, romeo, &chat("juliet", 0, 3));
    world.end_turns();
    assert!(!heard.contains("error"), "{heard}");
    assert_eq!(numbers(&hears(&mut world, juliet)), [0, 1, 2]);
    // Whoever may not know that she is there hears what he does of nobody.
    let told = ["juliet", "ghost"].map(|name| {
        let heard = says(&mut world, tybalt, &chat(name, 3, 1));
        world.end_turns();
        (heard + &hears(&mut world, tybalt)).replace(name, "NAME")
    });
    assert!(told[0].contains("<resource-constraint "), "{told:?}");
    assert_eq!(told[0], told[1]);
    assert_eq!(hears(&mut world, juliet), "");
    // What would have to wait for her cannot.
    says(&mut world, juliet, "</stream:stream>");
    hears(&mut world, romeo);
    let heard = says(&mut world, romeo, &chat("juliet", 4, 1));
    assert!(heard.contains("<resource-constraint "), "{heard}");
    make_room(&mut world);
    assert_eq!(world.row_count(&PENDING), 0);
    says(&mut world, romeo, &chat("juliet", 5, 1));
    world.end_turns();
    assert_eq!(world.row_count(&PENDING), 1);
    world.assert_rest();
}

#[test]
fn what_says_that_something_was_read_goes_on_while_the_disk_is_full() {
    let mut world = world("");
    let [romeo, juliet, _] = cast(&mut world, "always");
    let heard = says(&mut world, romeo, &chat("juliet", 0, 1));
    assert!(heard.contains("<resource-constraint "), "{heard}");
    for notice in [
        "<received xmlns='urn:xmpp:receipts' id='x'/>",
        "<displayed xmlns='urn:xmpp:chat-markers:0' id='x'/>",
    ] {
        let message =
            format!("<message type='chat' to='juliet@localhost' id='m7'>{notice}</message>");
        assert_eq!(says(&mut world, romeo, &message), "");
        world.end_turns();
        let heard = hears(&mut world, juliet);
        assert!(heard.contains(notice), "{heard}");
        assert!(!heard.contains("<stanza-id "), "{heard}");
        // With words beside it, it is one that they want to find again.
        let message = message.replace("</message>", "<body>Read</body></message>");
        let heard = says(&mut world, romeo, &message);
        assert!(heard.contains("<resource-constraint "), "{heard}");
    }
    assert_eq!(archived(&world, "romeo"), [0; 0]);
    make_room(&mut world);
    world.assert_rest();
}
