//! The queues of DESIGN section 7 when they are full: each test fills one and says who notices.

#[path = "sim/mod.rs"]
mod sim;

#[path = "queues/order.rs"]
mod order;

use sim::plainly::{hears, log_in, says};
use sim::{ConnId, Habits, World};

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";

/// One worker that lets its clients write as fast as they like.
fn world(options: &str) -> World {
    world_of(1, Habits::KIND, options)
}

fn world_of(workers: u8, habits: Habits, options: &str) -> World {
    let rates = "c2s.rate_stanzas_per_s = 100000\nc2s.rate_stanzas_burst = 100000\n\
        c2s.rate_bytes_per_s = \"1 GiB\"\nc2s.rate_bytes_burst = \"1 GiB\"\n";
    let config = sim::config(&format!("{rates}{options}"));
    World::new(1, workers, habits, config.expect("valid options"))
}

/// Logs in and sends `first` behind the binding.
fn session(world: &mut World, name: &str, resource: &str, first: &str) -> ConnId {
    sim::plainly::session(world, name, Some(resource), first)
}

/// A new account with one available resource.
fn user(world: &mut World, name: &str) -> ConnId {
    world.register(name, "secret");
    session(world, name, "r", "<presence/>")
}

/// The same with stream management; and the id to resume by.
fn managed(world: &mut World, name: &str) -> (ConnId, String) {
    world.register(name, "secret");
    let conn = session(world, name, "r", "");
    let enabled = says(world, conn, ENABLE);
    let id = enabled.split("id='").nth(1).expect("resumable");
    let id = id.split('\'').next().expect("a value").to_owned();
    says(world, conn, "<presence/>");
    (conn, id)
}

fn resume(world: &mut World, name: &str, id: &str, h: usize) -> (ConnId, String) {
    let conn = log_in(world, name);
    let xml = format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='{h}'/>");
    let heard = says(world, conn, &xml);
    (conn, heard)
}

fn count(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

fn stanzas(text: &str) -> usize {
    // What a copy wraps is no stanza of the stream.
    count(text, "<message ") + count(text, "<presence ") + count(text, "<iq ")
        - count(text, "<forwarded ")
}

const PING: &str = "<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";

fn is_served(world: &mut World, conn: ConnId) -> bool {
    says(world, conn, PING).contains("id='p'")
}

#[test]
fn nobody_ends_the_connection_of_a_client_that_acknowledges_by_sending_much() {
    let mut world = world("");
    let (juliet, _) = managed(&mut world, "juliet");
    let romeo = user(&mut world, "romeo");
    // Its own presence came when it was available.
    let mut handled = 1;
    let presences = says(
        &mut world,
        romeo,
        &"<presence to='juliet@localhost'/>".repeat(600),
    );
    assert_eq!(presences, "");
    let heard = hears(&mut world, juliet);
    assert!(
        count(&heard, "<presence ") <= 502,
        "{}",
        count(&heard, "<presence ")
    );
    handled += stanzas(&heard);
    says(
        &mut world,
        juliet,
        &format!("<a xmlns='urn:xmpp:sm:3' h='{handled}'/>"),
    );

    let messages = "<message to='juliet@localhost'><body/></message>".repeat(620);
    assert_eq!(says(&mut world, romeo, &messages), "");
    let mut received = 0;
    for _ in 0..20 {
        let heard = hears(&mut world, juliet);
        received += count(&heard, "<message ");
        handled += stanzas(&heard);
        says_and_keeps(
            &mut world,
            juliet,
            &format!("<a xmlns='urn:xmpp:sm:3' h='{handled}'/>"),
        );
    }
    assert!(!world.is_closed(juliet));
    assert_eq!(received, 620);
    assert!(is_served(&mut world, juliet));
}

/// Says something and leaves the answer to be read.
fn says_and_keeps(world: &mut World, conn: ConnId, xml: &str) {
    world.write(conn, xml.as_bytes());
    world.settle();
}

#[test]
fn a_users_own_copies_do_not_end_a_connection() {
    let mut world = world("");
    let (balcony, _) = managed(&mut world, "juliet");
    let carbons = "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>";
    let mut handled = 1 + stanzas(&says(&mut world, balcony, carbons));
    let chamber = session(&mut world, "juliet", "chamber", "<presence/>");
    let chat = "<message to='nobody@localhost' type='chat'><body/><no-store xmlns='urn:xmpp:hints'/></message>";
    says(&mut world, chamber, &chat.repeat(1_500));
    assert!(!world.is_closed(balcony));
    handled += stanzas(&hears(&mut world, balcony));
    assert!(handled >= 500, "{handled}");
    says(
        &mut world,
        balcony,
        &format!("<a xmlns='urn:xmpp:sm:3' h='{handled}'/>"),
    );
    assert!(is_served(&mut world, balcony));
}

#[test]
fn nobody_ends_a_session_whose_client_is_away() {
    let room = "<presence to='juliet@localhost'><x xmlns='http://jabber.org/protocol/muc#user'/></presence>";
    let floods = [
        "<presence to='juliet@localhost'/>",
        "<presence to='juliet@localhost/r' type='unavailable'/>",
        room,
        "<iq type='result' id='x' to='juliet@localhost/r'/>",
        "<message type='error' to='juliet@localhost/r'><body/></message>",
        "<message to='juliet@localhost'><body/></message>",
    ];
    for flood in floods {
        let mut world = world("");
        let (juliet, id) = managed(&mut world, "juliet");
        let romeo = user(&mut world, "romeo");
        world.lose(juliet);
        says(&mut world, romeo, &flood.repeat(1_400));
        let (_, heard) = resume(&mut world, "juliet", &id, 1);
        assert!(heard.contains("<resumed"), "{flood}: {heard}");
    }
}

#[test]
fn presence_for_a_client_that_is_away_is_the_newest_of_each_sender() {
    let mut world = world("");
    let (juliet, id) = managed(&mut world, "juliet");
    let romeo = user(&mut world, "romeo");
    says(
        &mut world,
        romeo,
        "<presence to='juliet@localhost'><status>written</status></presence>",
    );
    world.lose(juliet);
    let mut flood = String::new();
    for number in 0..50 {
        flood += &format!("<presence to='juliet@localhost'><status>{number}</status></presence>");
    }
    flood += "<presence to='juliet@localhost' type='unavailable'/>";
    flood += "<presence to='juliet@localhost'><status>back</status></presence>";
    says(&mut world, romeo, &flood);
    let (_, heard) = resume(&mut world, "juliet", &id, 1);
    assert_eq!(count(&heard, "<presence "), 3, "{heard}");
    assert!(
        heard.contains("written") && heard.contains("back"),
        "{heard}"
    );
    assert!(heard.contains("type='unavailable'"), "{heard}");
}

#[test]
fn a_request_to_a_full_session_whose_client_is_away_bounces() {
    let mut world = world("sm.unacked_count = 5\n");
    let (juliet, id) = managed(&mut world, "juliet");
    let romeo = user(&mut world, "romeo");
    says(&mut world, juliet, "<presence to='romeo@localhost'/>");
    hears(&mut world, romeo);
    world.lose(juliet);
    let ask = "<iq type='get' id='q' to='juliet@localhost/r'><q xmlns='urn:x'/></iq>";
    assert_eq!(says(&mut world, romeo, &ask.repeat(4)), "", "they wait");
    let heard = says(&mut world, romeo, &ask.repeat(2));
    assert_eq!(count(&heard, "<resource-constraint"), 2, "{heard}");
    let (_, heard) = resume(&mut world, "juliet", &id, 1);
    assert_eq!(count(&heard, "id='q'"), 4, "{heard}");
}

#[test]
fn a_client_that_acknowledges_nothing_for_too_long_loses_its_connection_and_not_its_session() {
    let mut world = world("sm.unacked_count = 5\nc2s.outbound_soft_for = \"40 s\"\n");
    let (juliet, id) = managed(&mut world, "juliet");
    let romeo = user(&mut world, "romeo");
    let answer = "<iq type='result' id='x' to='juliet@localhost/r'/>";
    says(&mut world, romeo, &answer.repeat(9));
    world.advance(39_000);
    assert!(!world.is_closed(juliet));
    // Whoever acknowledges anything has 40 s more.
    says(&mut world, juliet, "<a xmlns='urn:xmpp:sm:3' h='2'/>");
    world.advance(39_000);
    assert!(!world.is_closed(juliet));
    world.advance(1_001);
    let heard = hears(&mut world, juliet);
    assert!(
        heard.contains("too many stanzas are unacknowledged"),
        "{heard}"
    );
    let (_, heard) = resume(&mut world, "juliet", &id, 2);
    assert!(heard.contains("<resumed"), "{heard}");
}

const LARGE: usize = 150_000;

fn large(to: &str) -> String {
    let body = "x".repeat(LARGE);
    format!("<message to='{to}' type='chat'><body>{body}</body></message>")
}

#[test]
fn a_client_that_reads_may_get_much_twice_and_one_that_does_not_is_noticed_in_time() {
    let mut world = world("c2s.outbound_soft_for = \"40 s\"\n");
    let (romeo, juliet) = (user(&mut world, "romeo"), user(&mut world, "juliet"));
    for _ in 0..3 {
        // Both are queued before either is written: the queue is above its soft bound for a moment.
        says(&mut world, romeo, &large("juliet@localhost/r").repeat(2));
        assert!(hears(&mut world, juliet).len() > 2 * LARGE);
        world.advance(41_000);
        hears(&mut world, juliet);
        assert!(!world.is_closed(juliet));
    }
    world.stall(juliet, true);
    says(&mut world, romeo, &large("juliet@localhost/r").repeat(2));
    world.advance(39_000);
    assert!(!world.is_closed(juliet));
    world.advance(1_001);
    assert!(world.is_closed(juliet), "nothing else came for her");
}

#[test]
fn an_empty_queue_takes_the_largest_stanza() {
    let options = "c2s.element_size = \"64 KiB\"\nc2s.outbound_soft = \"32 KiB\"\ncsi.held_size = \"16 KiB\"\n\
        c2s.outbound_hard = \"128 KiB\"\nsm.unacked_size = \"128 KiB\"\n";
    let mut world = world(options);
    let (juliet, _) = managed(&mut world, "juliet");
    let romeo = user(&mut world, "romeo");
    let body = "x".repeat(65_000);
    let mut handled = 1;
    for _ in 0..5 {
        let message =
            format!("<message to='juliet@localhost' type='chat'><body>{body}</body></message>");
        says(&mut world, romeo, &message);
        handled += stanzas(&hears(&mut world, juliet));
        says(
            &mut world,
            juliet,
            &format!("<a xmlns='urn:xmpp:sm:3' h='{handled}'/>"),
        );
    }
    assert_eq!(handled, 6);
    assert!(!world.is_closed(juliet));
}

#[test]
fn a_request_that_waited_for_a_client_that_is_lost_is_answered() {
    let mut world = world("");
    let (romeo, juliet) = (user(&mut world, "romeo"), user(&mut world, "juliet"));
    says(&mut world, juliet, "<presence to='romeo@localhost'/>");
    hears(&mut world, romeo);
    world.stall(juliet, true);
    let ask = "<iq type='get' id='q' to='juliet@localhost/r'><q xmlns='urn:x'/></iq>";
    assert_eq!(says(&mut world, romeo, ask), "");
    world.lose(juliet);
    world.settle();
    let heard = hears(&mut world, romeo);
    assert!(
        heard.contains("service-unavailable") && heard.contains("id='q'"),
        "{heard}"
    );
}

#[test]
fn what_nobody_acknowledges_does_not_make_a_worker_deaf() {
    let options = "server.queue_memory = \"4 MiB\"\nc2s.outbound_hard = \"4 MiB\"\n\
        sm.unacked_size = \"2 MiB\"\ndelivery.offline_size = \"64 MiB\"\n";
    let mut world = world(options);
    let romeo = user(&mut world, "romeo");
    let mut silent = Vec::new();
    for name in ["a", "b", "c"] {
        let (conn, _) = managed(&mut world, name);
        silent.push((name, conn));
    }
    for (name, conn) in &silent {
        for _ in 0..9 {
            says(&mut world, romeo, &large(&format!("{name}@localhost")));
            // She reads, and does not say so.
            hears(&mut world, *conn);
            world.end_turns();
        }
    }
    assert!(world.queued_bytes() < 4 << 20, "{}", world.queued_bytes());
    let ended = silent.iter().filter(|(_, conn)| world.is_closed(*conn));
    let ended: Vec<&str> = ended.map(|(name, _)| *name).collect();
    assert!(!ended.is_empty() && ended.len() < 3, "{ended:?}");
    assert!(is_served(&mut world, romeo));
    // What was held for whoever ended is still there.
    assert_eq!(world.row_count(&stonechat::im::pending::PENDING), 27);
}

#[test]
fn a_full_outbox_stops_the_streams_that_fill_it_and_no_others() {
    let closed = Habits {
        channel_batches: 0,
        ..Habits::KIND
    };
    // No archive: the first message for an account waits for the store, and a burst behind it fills the mailbox.
    let options = "c2s.outbound_soft = \"8 MiB\"\nc2s.outbound_hard = \"16 MiB\"\ndelivery.keep = \"offline-only\"\n\
        features.mam = false\n";
    let mut world = world_of(2, closed, options);
    let (here, there): (Vec<String>, Vec<String>) = (0..20)
        .map(|number| format!("u{number}"))
        .partition(|name| world.home(name) == world.home("u0"));
    let (romeo, tybalt) = (user(&mut world, &here[0]), user(&mut world, &here[1]));
    let juliet = user(&mut world, &there[0]);
    let chat = format!(
        "<message to='{}@localhost/r' type='chat'><body/></message>",
        there[0]
    );
    says(&mut world, romeo, &format!("{}{PING}", chat.repeat(5_000)));
    assert_eq!(hears(&mut world, romeo), "", "he is not read to the end");
    assert!(world.queued_bytes() > 4_096 * 100);
    assert!(is_served(&mut world, tybalt));
    let own = format!(
        "<message to='{}@localhost/r' type='chat'><body>me</body></message>",
        here[1]
    );
    assert!(says(&mut world, tybalt, &own).contains("<body>me"));

    world.widen_channels(64);
    world.settle();
    assert_eq!(count(&hears(&mut world, juliet), "<message "), 5_000);
    assert!(hears(&mut world, romeo).contains("id='p'"));
    assert_eq!(
        world.queued_bytes(),
        0,
        "what left the channel counts no more"
    );
}

#[test]
fn a_client_whose_own_mailbox_is_full_is_not_read() {
    let mut world = world("");
    let juliet = user(&mut world, "juliet");
    says(
        &mut world,
        juliet,
        "<presence><priority>-1</priority></presence>",
    );
    world.services_are_mute = true;
    // How much is kept for her is asked of the store; what follows waits behind it.
    let first = "<message to='juliet@localhost'><body/></message>";
    let heard = says(&mut world, juliet, &format!("{first}{}", PING.repeat(300)));
    assert!(count(&heard, "id='p'") < 300, "the head waits");
    // The world asserts that at most 64 wait.
    world.services_are_mute = false;
    world.settle();
    assert_eq!(count(&(heard + &hears(&mut world, juliet)), "id='p'"), 300);
}

#[test]
fn a_client_with_too_much_unsettled_is_not_read() {
    let mut world = world("delivery.offline_count = 20000\ndelivery.offline_size = \"40 MiB\"\n");
    let (romeo, _) = managed(&mut world, "romeo");
    world.register("juliet", "secret");
    let chat = "<message to='juliet@localhost' type='chat'><body/></message>";
    // She is in memory from then on: what the first reads of her waits for what romeo wrote.
    says(&mut world, romeo, chat);
    world.end_turns();
    world.disk_is_asleep = true;
    says(&mut world, romeo, &chat.repeat(1_500));
    let kept = world.row_count(&stonechat::im::pending::PENDING);
    assert_eq!(kept, 1 + stonechat::base::limits::UNSETTLED_COUNT_MAX);
    world.disk_is_asleep = false;
    world.settle();
    let kept = world.row_count(&stonechat::im::pending::PENDING);
    assert_eq!(kept, 1 + 1_500);
}

#[test]
fn what_is_not_settled_after_ten_seconds_bounces() {
    let mut world = world("");
    let (romeo, _) = managed(&mut world, "romeo");
    world.register("juliet", "secret");
    world.disk_is_asleep = true;
    says(
        &mut world,
        romeo,
        "<message to='juliet@localhost' type='chat' id='m'><body/></message>",
    );
    world.advance(9_000);
    assert!(!hears(&mut world, romeo).contains("id='m'"));
    world.advance(1_001);
    let heard = hears(&mut world, romeo);
    assert!(
        heard.contains("id='m'") && heard.contains("resource-constraint"),
        "{heard}"
    );
    let told = says(&mut world, romeo, "<r xmlns='urn:xmpp:sm:3'/>");
    assert!(told.contains("h='2'"), "settled by the bounce: {told}");
}

#[test]
fn directed_presence_has_a_bound() {
    let mut world = world("");
    let romeo = user(&mut world, "romeo");
    let max = stonechat::base::limits::DIRECTED_COUNT_MAX;
    let mut to_all = String::new();
    for number in 0..=max {
        to_all += &format!("<presence id='d{number}' to='u{number}@elsewhere.example'/>");
    }
    let heard = says(&mut world, romeo, &to_all);
    assert_eq!(count(&heard, "<resource-constraint"), 1);
    assert!(heard.contains(&format!("id='d{max}'")), "the last of them");
    let again = says(
        &mut world,
        romeo,
        "<presence id='again' to='u0@elsewhere.example'/>",
    );
    assert!(!again.contains("resource-constraint"), "{again}");
}

/// A reader who stopped holds so many times 200 kB of 2 MiB.
fn pressed(world: &mut World, romeo: ConnId, juliet: ConnId, times: usize) {
    world.stall(juliet, true);
    let body = "x".repeat(205_000);
    let message =
        format!("<message to='juliet@localhost/r' type='chat'><body>{body}</body></message>");
    for _ in 0..times {
        says(world, romeo, &message);
    }
}

const SMALL: &str = "server.queue_memory = \"2 MiB\"\nc2s.outbound_soft = \"1 MiB\"\n\
    c2s.outbound_hard = \"2 MiB\"\ndelivery.keep = \"offline-only\"\nfeatures.mam = false\n";

#[test]
fn kept_messages_stay_in_the_store_while_memory_is_short() {
    let mut world = world(SMALL);
    let (romeo, juliet) = (user(&mut world, "romeo"), user(&mut world, "juliet"));
    world.register("late", "secret");
    let late = session(
        &mut world,
        "late",
        "r",
        "<presence><priority>-1</priority></presence>",
    );
    says(
        &mut world,
        romeo,
        "<message to='late@localhost'><body>kept</body></message>",
    );
    world.end_turns();
    pressed(&mut world, romeo, juliet, 9);
    let percent = world.queued_bytes() * 100 / (2 << 20);
    assert!((85..90).contains(&percent), "{percent}");
    // However often it asks, it waits once.
    for _ in 0..3 {
        let heard = says(
            &mut world,
            late,
            "<presence><priority>-1</priority></presence><presence/>",
        );
        assert!(!heard.contains("kept"), "{heard}");
    }
    world.stall(juliet, false);
    world.settle();
    world.end_turns();
    assert_eq!(count(&hears(&mut world, late), "kept"), 1);
}

#[test]
fn at_the_very_top_nobody_is_read_until_the_slowest_is_gone() {
    let mut world = world(SMALL);
    let (romeo, juliet) = (user(&mut world, "romeo"), user(&mut world, "juliet"));
    pressed(&mut world, romeo, juliet, 10);
    let percent = world.queued_bytes() * 100 / (2 << 20);
    assert!((97..100).contains(&percent), "{percent}");
    assert!(!is_served(&mut world, romeo));
    assert!(!world.is_closed(juliet));
    world.end_turns();
    assert!(world.is_closed(juliet));
    world.settle();
    assert!(hears(&mut world, romeo).contains("id='p'"));
}
