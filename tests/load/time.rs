//! Workers that do not read in time what clients send: who waits for that, in which order, and who does not.

use stonechat::base::limits;

use crate::session;
use crate::sim::plainly::{self, proves, says};
use crate::sim::{self, ConnId, Habits, World};

/// From when on each of them waits.
const LOGINS: u64 = limits::OVERLOAD_AFTER_MS * limits::LAG_LOGINS;
const PRESENCE: u64 = limits::OVERLOAD_AFTER_MS * limits::LAG_PRESENCE;
const ARCHIVE: u64 = limits::OVERLOAD_AFTER_MS * limits::LAG_ARCHIVE;

fn world(workers: u8) -> World {
    let options = "c2s.rate_stanzas_burst = 100000\nc2s.rate_bytes_burst = \"1 GiB\"\n";
    let config = sim::config(options).expect("valid options");
    World::new(1, workers, Habits::KIND, config)
}

/// Romeo and Juliet, who see each other.
fn couple(world: &mut World) -> (ConnId, ConnId) {
    let (romeo, juliet) = (session(world, "romeo"), session(world, "juliet"));
    for (conn, other) in [(romeo, "juliet"), (juliet, "romeo")] {
        says(
            world,
            conn,
            &format!("<presence to='{other}@localhost' type='subscribe'/>"),
        );
    }
    for (conn, other) in [(romeo, "juliet"), (juliet, "romeo")] {
        says(
            world,
            conn,
            &format!("<presence to='{other}@localhost' type='subscribed'/>"),
        );
    }
    world.settle();
    for conn in [romeo, juliet] {
        hears(world, conn);
    }
    (romeo, juliet)
}

fn hears(world: &mut World, conn: ConnId) -> String {
    world.settle();
    plainly::hears(world, conn)
}

/// All workers keep up, and have for long enough.
fn keep_up(world: &mut World) {
    world.advance(2_000);
    world.waited(0);
    world.end_turns();
}

fn presence(show: &str) -> String {
    format!("<presence><show>{show}</show></presence>")
}

fn chat(to: &str, body: &str) -> String {
    format!("<message to='{to}@localhost/r' type='chat'><body>{body}</body></message>")
}

const QUERY: &str = "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>";

/// Whether a login is let in.
fn comes_in(world: &mut World, name: &str) -> bool {
    world.register(name, "secret");
    let conn = world.connect_secure(1);
    proves(world, conn, name).contains("<success")
}

/// What Juliet hears when Romeo changes his presence, and what he hears when he asks his archive.
fn tries(world: &mut World, (romeo, juliet): (ConnId, ConnId), show: &str) -> (String, String) {
    says(world, romeo, &presence(show));
    let heard = hears(world, juliet);
    (heard, says(world, romeo, QUERY))
}

#[test]
fn first_new_logins_wait_then_presence_then_archives_are_not_read_and_messages_always_go_through() {
    let mut world = world(1);
    let (romeo, juliet) = couple(&mut world);
    let both = (romeo, juliet);
    for (step, lag_ms) in [0, LOGINS, PRESENCE, ARCHIVE].into_iter().enumerate() {
        world.waited(lag_ms);
        // One word that was said before the last one, so that it can be told which is heard.
        let (heard, answer) = tries(&mut world, both, ["away", "xa", "dnd", "chat"][step]);
        assert_eq!(heard.contains("<show>"), step < 2, "{lag_ms}: {heard}");
        assert_eq!(answer.contains("<fin "), step < 3, "{lag_ms}: {answer}");
        let is_refused = answer.contains("<resource-constraint ") && answer.contains("type='wait'");
        assert_eq!(is_refused, step == 3, "{lag_ms}: {answer}");
        let newcomer = format!("newcomer{step}");
        assert_eq!(comes_in(&mut world, &newcomer), step < 1, "{lag_ms}");
        says(&mut world, juliet, &chat("romeo", "art thou"));
        let heard = hears(&mut world, romeo);
        assert!(heard.contains("<body>art thou</body>"), "{lag_ms}: {heard}");
    }
    keep_up(&mut world);
    world.advance(limits::SPREAD_PRESSED_MS);
    let heard = hears(&mut world, juliet);
    assert!(heard.contains("<show>chat</show>"), "{heard}");
    assert!(
        !heard.contains("<show>dnd</show>"),
        "only the last word: {heard}"
    );
    let (heard, answer) = tries(&mut world, both, "away");
    assert!(heard.contains("<show>away</show>"), "{heard}");
    assert!(answer.contains("<fin "), "{answer}");
    assert!(!world.is_closed(romeo) && !world.is_closed(juliet));
    assert!(comes_in(&mut world, "tybalt"));
}

#[test]
fn logins_that_wait_come_in_when_there_is_time_and_hear_after_ten_seconds_that_there_is_none() {
    let mut world = world(1);
    for name in ["romeo", "juliet"] {
        world.register(name, "secret");
    }
    world.waited(LOGINS);
    let romeo = world.connect_secure(1);
    assert_eq!(proves(&mut world, romeo, "romeo"), "");
    world.advance(limits::LOGIN_PATIENCE_MS - 1);
    world.waited(LOGINS);
    let juliet = world.connect_secure(1);
    assert_eq!(proves(&mut world, juliet, "juliet"), "");
    assert_eq!(hears(&mut world, romeo), "");
    world.advance(1);
    let heard = hears(&mut world, romeo);
    assert!(heard.contains("<resource-constraint "), "{heard}");
    assert!(world.is_closed(romeo));
    keep_up(&mut world);
    assert!(hears(&mut world, juliet).contains("<success"));
}

#[test]
fn a_message_takes_along_what_its_sender_said_to_the_same_contact_before() {
    for workers in [1, 2] {
        let mut world = world(workers);
        let (romeo, juliet) = couple(&mut world);
        world.waited(PRESENCE);
        says(&mut world, romeo, &presence("away"));
        says(&mut world, romeo, &presence("dnd"));
        assert_eq!(hears(&mut world, juliet), "");
        says(&mut world, romeo, &chat("juliet", "soft"));
        // RFC 6120 section 10.1: "MUST ensure in-order processing of the stanzas".
        let heard = hears(&mut world, juliet);
        let (shown, said) = (
            heard.find("<show>dnd</show>"),
            heard.find("<body>soft</body>"),
        );
        assert!(shown.is_some() && shown < said, "{workers}: {heard}");
        assert!(!heard.contains("away"), "{workers}: {heard}");
        // That was all.
        keep_up(&mut world);
        world.advance(1_000);
        assert_eq!(hears(&mut world, juliet), "", "{workers}");
    }
}

#[test]
fn presence_that_waits_is_told_a_little_at_a_time_however_long_there_is_no_time() {
    let mut world = world(1);
    let (romeo, juliet) = couple(&mut world);
    world.waited(ARCHIVE);
    says(&mut world, romeo, &presence("away"));
    assert_eq!(hears(&mut world, juliet), "");
    world.advance(limits::SPREAD_PRESSED_MS);
    world.waited(ARCHIVE);
    assert!(hears(&mut world, juliet).contains("<show>away</show>"));
}

#[test]
fn a_read_under_way_goes_on_when_there_is_time_again() {
    let mut world = world(1);
    let (romeo, juliet) = couple(&mut world);
    says(&mut world, juliet, &chat("romeo", "speak again"));
    hears(&mut world, romeo);
    world.services_are_mute = true;
    assert_eq!(says(&mut world, romeo, QUERY), "");
    world.waited(ARCHIVE);
    world.services_are_mute = false;
    assert_eq!(hears(&mut world, romeo), "");
    keep_up(&mut world);
    let heard = hears(&mut world, romeo);
    assert!(
        heard.contains("speak again") && heard.contains("<fin "),
        "{heard}"
    );
}

#[test]
fn who_switches_it_off_has_nobody_wait_for_want_of_time() {
    let config = sim::config("server.overload_after = \"0 ms\"\n").expect("valid options");
    let mut world = World::new(1, 1, Habits::KIND, config);
    let both = couple(&mut world);
    world.waited(100_000);
    let (heard, answer) = tries(&mut world, both, "away");
    assert!(heard.contains("<show>away</show>"), "{heard}");
    assert!(answer.contains("<fin "), "{answer}");
    assert!(comes_in(&mut world, "tybalt"));
}
