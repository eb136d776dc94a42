//! What a sender says comes in its order, however full the queues are that it goes through (RFC 6120 section 10.1).

use stonechat::actor::rows::StoreError;

use super::*;

const NO_STORE: &str = "<no-store xmlns='urn:xmpp:hints'/>";

fn acks(world: &mut World, conn: ConnId, handled: usize) -> String {
    says(
        world,
        conn,
        &format!("<a xmlns='urn:xmpp:sm:3' h='{handled}'/>"),
    )
}

/// Acknowledges whatever comes until nothing does; all of it.
fn drain(world: &mut World, conn: ConnId, handled: &mut usize) -> String {
    let mut all = hears(world, conn);
    *handled += stanzas(&all);
    for _ in 0..200 {
        let heard = acks(world, conn, *handled);
        *handled += stanzas(&heard);
        all += &heard;
    }
    all
}

/// The numbers in `id='n7'`, in the order in which they came. An id of an archive may begin so, too, and is no number.
fn numbers(heard: &str) -> Vec<usize> {
    let ids = heard.split("id='n").skip(1);
    let number = |rest: &str| {
        rest.split('\'')
            .next()
            .and_then(|digits| digits.parse().ok())
    };
    ids.filter_map(number).collect()
}

fn chat(number: usize) -> String {
    format!("<message id='n{number}' to='juliet@localhost' type='chat'><body/></message>")
}

#[test]
fn nothing_is_left_behind_when_a_full_queue_shrinks_without_an_acknowledgement() {
    let mut world = world("sm.unacked_count = 10\n");
    let (juliet, _) = managed(&mut world, "juliet");
    let romeo = user(&mut world, "romeo");
    let mut handled = 1;
    let mut sent = String::new();
    for number in 0..6 {
        sent += &chat(number);
    }
    says(&mut world, romeo, &sent);
    let mut heard = hears(&mut world, juliet);
    handled += stanzas(&heard);
    world.stall(juliet, true);
    let available = "<presence to='juliet@localhost/r'/>";
    let gone = "<presence to='juliet@localhost/r' type='unavailable'/>";
    // Ten are unacknowledged, and the seventh message is kept; then the presence coalesces.
    let filled = format!("{available}{gone}{available}");
    says(&mut world, romeo, &format!("{filled}{}{gone}", chat(6)));
    says(&mut world, romeo, &chat(7));
    world.stall(juliet, false);
    world.settle();
    heard += &drain(&mut world, juliet, &mut handled);
    says(&mut world, romeo, &chat(8));
    heard += &drain(&mut world, juliet, &mut handled);
    assert_eq!(numbers(&heard), [0, 1, 2, 3, 4, 5, 6, 7, 8], "{heard}");
}

#[test]
fn what_cannot_be_kept_goes_to_a_client_that_acknowledges_however_much_comes_at_once() {
    for (to, type_) in [
        ("juliet@localhost", "chat"),
        ("juliet@localhost/r", "chat"),
        ("juliet@localhost/r", "groupchat"),
        ("juliet@localhost", "headline"),
        ("juliet@localhost/r", "headline"),
    ] {
        let mut world = world("");
        let (juliet, _) = managed(&mut world, "juliet");
        let romeo = user(&mut world, "romeo");
        says(&mut world, juliet, "<presence to='romeo@localhost'/>");
        hears(&mut world, romeo);
        let message =
            format!("<message to='{to}' type='{type_}'><body/>{NO_STORE}</message>").repeat(740);
        assert_eq!(says(&mut world, romeo, &message), "", "{to} {type_}");
        let heard = drain(&mut world, juliet, &mut 1);
        assert_eq!(count(&heard, "<message "), 740, "{to} {type_}");
    }
}

#[test]
fn of_a_stranger_a_full_queue_takes_what_he_would_miss_and_no_headlines() {
    for (type_, taken) in [("chat", 740), ("headline", 499)] {
        let mut world = world("");
        let (juliet, _) = managed(&mut world, "juliet");
        let romeo = user(&mut world, "romeo");
        let message =
            format!("<message to='juliet@localhost' type='{type_}'><body/>{NO_STORE}</message>");
        assert_eq!(says(&mut world, romeo, &message.repeat(740)), "", "{type_}");
        let heard = drain(&mut world, juliet, &mut 1);
        assert_eq!(count(&heard, "<message "), taken, "{type_}");
    }
}

#[test]
fn beyond_its_bound_what_cannot_be_kept_bounces_to_those_who_may_know_and_may_be_tried_again() {
    for is_told in [false, true] {
        let mut world = world("sm.unacked_count = 5\n");
        let (juliet, _) = managed(&mut world, "juliet");
        let romeo = user(&mut world, "romeo");
        if is_told {
            says(&mut world, juliet, "<presence to='romeo@localhost'/>");
            hears(&mut world, romeo);
        }
        let message =
            format!("<message to='juliet@localhost' type='chat'><body/>{NO_STORE}</message>");
        let heard = says(&mut world, romeo, &message.repeat(12));
        // With her own presence it holds half as much again.
        let bounced = if is_told { 5 } else { 0 };
        assert_eq!(count(&heard, "<resource-constraint"), bounced, "{heard}");
        assert_eq!(count(&heard, "type='wait'"), bounced, "{heard}");
        assert!(is_told || heard.is_empty(), "{heard}");
        assert_eq!(count(&hears(&mut world, juliet), "<message "), 7);
        assert!(!world.is_closed(juliet));
    }
}

#[test]
fn what_a_client_says_to_itself_does_not_end_its_connection() {
    let mut world = world("sm.unacked_count = 5\n");
    let (juliet, _) = managed(&mut world, "juliet");
    let chamber = session(&mut world, "juliet", "chamber", "");
    let message =
        format!("<message to='juliet@localhost/r' type='chat'><body/>{NO_STORE}</message>");
    says(&mut world, chamber, &message.repeat(12));
    assert!(!world.is_closed(juliet));
}

#[test]
fn whatever_follows_a_message_that_is_kept_comes_behind_it() {
    let mut world = world("sm.unacked_count = 20\n");
    let (juliet, _) = managed(&mut world, "juliet");
    let romeo = user(&mut world, "romeo");
    says(&mut world, juliet, "<presence to='romeo@localhost'/>");
    hears(&mut world, romeo);
    let mut handled = 1;
    let mut sent = String::new();
    for number in 0..20 {
        sent += &chat(number);
    }
    sent += "<message id='n20' to='juliet@localhost/r' type='groupchat'><body/></message>\
             <presence id='n21' to='juliet@localhost/r'/>\
             <iq id='n22' type='result' to='juliet@localhost/r'/>\
             <iq id='n23' type='get' to='juliet@localhost/r'><q xmlns='urn:x'/></iq>\
             <message id='n24' type='error' to='juliet@localhost/r'><body/></message>";
    assert_eq!(says(&mut world, romeo, &sent), "");
    // A friend who has said nothing yet waits for nobody.
    let tybalt = user(&mut world, "tybalt");
    says_and_keeps(&mut world, juliet, "<presence to='tybalt@localhost'/>");
    hears(&mut world, tybalt);
    says(
        &mut world,
        tybalt,
        "<presence id='n99' to='juliet@localhost/r'/>",
    );
    let heard = drain(&mut world, juliet, &mut handled);
    let mut order = numbers(&heard);
    let friend = order.iter().position(|number| *number == 99);
    assert_eq!(friend, Some(19), "{order:?}");
    order.remove(19);
    assert_eq!(order, (0..25).collect::<Vec<_>>());
}

#[test]
fn what_is_kept_and_what_waits_behind_it_come_in_one_order() {
    for keep in ["always", "offline-only"] {
        let mut world = world(&format!(
            "sm.unacked_count = 40\ndelivery.keep = \"{keep}\"\n"
        ));
        let (juliet, _) = managed(&mut world, "juliet");
        let romeo = user(&mut world, "romeo");
        let (mut handled, mut heard) = (1, String::new());
        // More than wait behind a cursor: some of what comes between two kept messages is refused.
        for round in 0..10 {
            let mut sent = String::new();
            for number in round * 60..(round + 1) * 60 {
                sent += &match number % 5 {
                    0 => format!("<presence id='n{number}' to='juliet@localhost/r'/>"),
                    1 => chat(number).replace("<body/>", &format!("<body/>{NO_STORE}")),
                    _ => chat(number),
                };
            }
            says(&mut world, romeo, &sent);
            let now = hears(&mut world, juliet);
            handled += stanzas(&now);
            heard += &now;
            // She acknowledges, but not always all.
            let upto = handled - round % 3;
            let now = acks(&mut world, juliet, upto);
            handled += stanzas(&now);
            heard += &now;
        }
        heard += &drain(&mut world, juliet, &mut handled);
        let order = numbers(&heard);
        assert!(order.is_sorted(), "{keep}: {order:?}");
        let storable = order.iter().filter(|number| **number % 5 > 1);
        assert_eq!(storable.count(), 360, "{keep}");
    }
}

#[test]
fn what_cannot_be_read_is_read_again_and_stays_ahead_of_what_came_meanwhile() {
    let mut world = world("delivery.keep = \"offline-only\"\n");
    let (juliet, romeo) = (user(&mut world, "juliet"), user(&mut world, "romeo"));
    let away = "<presence><priority>-1</priority></presence>";
    says(&mut world, juliet, away);
    says(&mut world, romeo, &format!("{}{}", chat(0), chat(1)));
    world.end_turns();
    world.store.lock().set_fault(Some(StoreError::Broken));
    assert_eq!(numbers(&says(&mut world, juliet, "<presence/>")), [0; 0]);
    says(&mut world, romeo, &chat(2));
    world.advance(900);
    assert_eq!(numbers(&hears(&mut world, juliet)), [0; 0]);
    world.store.lock().set_fault(None);
    world.advance(200);
    assert_eq!(numbers(&hears(&mut world, juliet)), [0, 1, 2]);
}

#[test]
fn what_cannot_be_read_for_half_a_minute_holds_nothing_back_any_longer() {
    let mut world = world("delivery.keep = \"offline-only\"\n");
    let (juliet, romeo) = (user(&mut world, "juliet"), user(&mut world, "romeo"));
    let away = "<presence><priority>-1</priority></presence>";
    says(&mut world, juliet, away);
    says(&mut world, romeo, &chat(0));
    world.end_turns();
    world.store.lock().set_fault(Some(StoreError::Broken));
    says(&mut world, juliet, "<presence/>");
    says(&mut world, romeo, &chat(1));
    world.advance(30_000);
    assert_eq!(numbers(&hears(&mut world, juliet)), [0; 0]);
    world.advance(1_100);
    assert_eq!(numbers(&hears(&mut world, juliet)), [1]);
    world.store.lock().set_fault(None);
    world.advance(60_000);
    world.lose(juliet);
    let juliet = session(&mut world, "juliet", "r", "");
    assert_eq!(numbers(&says(&mut world, juliet, "<presence/>")), [0]);
}

#[test]
fn what_waited_ahead_of_enabled_is_not_lost_with_the_connection() {
    let mut world = world("delivery.keep = \"offline-only\"\n");
    let (juliet, romeo) = (user(&mut world, "juliet"), user(&mut world, "romeo"));
    world.stall(juliet, true);
    says(&mut world, romeo, &chat(0));
    says(&mut world, juliet, ENABLE);
    says(&mut world, romeo, &chat(1));
    world.lose(juliet);
    world.settle();
    let juliet = log_in(&mut world, "juliet");
    let bind =
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq><presence/>";
    let heard = says(&mut world, juliet, bind);
    assert_eq!(numbers(&heard), [0, 1], "{heard}");
}
