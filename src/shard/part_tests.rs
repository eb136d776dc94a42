//! Who changes the password, removes the account or ends sessions; and what others had asked by then.

use super::*;
use crate::actor::{Catalog, Ticket};
use crate::base::{Generation, StreamKey};
use crate::features;
use crate::im::Session;
use crate::jid::Jid;
use crate::shard::input::Control;
use crate::shard::input::Input;
use crate::shard::session_end::CLOSED;
use crate::shard::testing::{NOW, held, say, stage};
use crate::stanza::{Header, Kind, Payload, Stanza, Type};
use crate::stream::{Login, Profile};

pub const CHANGED: AccountRef = AccountRef {
    id: AccountId(7),
    generation: Generation(2),
};

/// Romeo's session has asked for this; the question that the auth thread has.
fn asks(shard: &mut Shard, actor: ActorKey, query: &str) -> Ticket {
    shard.switch(Catalog::new(features::ALL, |name| name == "register"));
    let account = &mut shard.cells[actor].account;
    account.identity = Some(AccountRef {
        generation: Generation(1),
        ..CHANGED
    });
    account.sessions[0].secured = true;
    let payload = format!("<query xmlns='jabber:iq:register'>{query}</query>");
    say(shard, actor, Header::new(Kind::Iq, Type::Set), &payload);
    let mut outputs = std::iter::from_fn(|| shard.poll_output());
    outputs
        .find_map(|output| match output {
            Output::Ask(ticket, Ask::Auth(AuthAsk::Own(..))) => Some(ticket),
            _ => None,
        })
        .expect("the auth thread was asked")
}

/// Another session, which somebody else may have.
fn binds(shard: &mut Shard, actor: ActorKey, id: u64, resource: &str) {
    let account = &mut shard.cells[actor].account;
    let jid = account.jid.with_resource(resource).expect("valid");
    let mut session = Session::new(SessionId(id), jid, StreamKey::default());
    (session.secured, session.stream) = (true, None);
    account.sessions.push(session);
}

/// The auth thread has done it; the events that are recorded.
fn done(shard: &mut Shard, ticket: Ticket) -> Vec<AuditEvent> {
    events(&finish(shard, ticket, AccountAnswer::Done(CHANGED)))
}

/// What follows from the auth thread's answer.
pub fn finish(shard: &mut Shard, ticket: Ticket, answer: AccountAnswer) -> Vec<Output> {
    let answer = Answer::Auth(AuthAnswer::Own(answer));
    shard.handle(NOW, Input::Answer(ticket, answer));
    shard.end_turn(NOW);
    std::iter::from_fn(|| shard.poll_output()).collect()
}

fn events(outputs: &[Output]) -> Vec<AuditEvent> {
    let events = outputs.iter().filter_map(|output| match output {
        Output::Audit(event) => Some(event.clone()),
        _ => None,
    });
    events.collect()
}

/// What the auth thread is asked for the account.
pub fn asked(outputs: &[Output]) -> Vec<(Ticket, AccountAsk)> {
    let asks = outputs.iter().filter_map(|output| match output {
        Output::Ask(ticket, Ask::Auth(AuthAsk::Own(ask, ..))) => Some((*ticket, ask.clone())),
        _ => None,
    });
    asks.collect()
}

/// This session's client sends it.
pub fn sends(shard: &mut Shard, actor: ActorKey, session: u64, payload: &str) {
    let mut header = Header::new(Kind::Iq, Type::Set);
    header.id = Some("2".into());
    header.to = Some(Jid::parse("localhost").expect("valid"));
    let payload = Payload::from_normal(payload);
    let mail = Mail::Outbound {
        session: SessionId(session),
        stanza: Stanza { header, payload },
        origin: None,
    };
    shard.post_to(actor, mail);
    shard.drive(NOW);
}

fn living(shard: &Shard, actor: ActorKey) -> Vec<u64> {
    let sessions = shard.cells[actor].account.sessions.iter();
    let living = sessions.filter(|session| !session.ended);
    living.map(|session| session.id.0).collect()
}

fn is_change(event: &AuditEvent) -> bool {
    matches!(event, AuditEvent::PasswordChanged { .. })
}

const PASSWORD: &str = "<username>romeo</username><password>other</password>";

#[test]
fn who_changes_the_password_stays_and_all_others_go() {
    let (mut shard, actor) = stage();
    binds(&mut shard, actor, 2, "balcony");
    let ticket = asks(&mut shard, actor, PASSWORD);
    let events = done(&mut shard, ticket);
    assert_eq!(events.iter().filter(|event| is_change(event)).count(), 1);
    assert_eq!(living(&shard, actor), [1]);
    let identity = shard.cells[actor].account.identity;
    assert_eq!(identity, Some(CHANGED));
    assert!(shard.outdated.contains_key("romeo@localhost"));
    let told: Vec<Type> = held(&shard, actor).map(|s| s.header.type_).collect();
    assert_eq!(told, [Type::Result]);
}

/// The password by which a session has logged in is that of this generation.
fn proved(shard: &mut Shard, actor: ActorKey, id: u64, generation: u32) {
    let account = &mut shard.cells[actor].account;
    let session = account.session_mut(SessionId(id)).expect("it is bound");
    session.generation = Generation(generation);
    account.meet(Some(AccountRef {
        generation: Generation(generation),
        ..CHANGED
    }));
}

/// A stream on which Romeo has logged in by a password of this generation, and bound nothing.
fn logged_in(shard: &mut Shard, generation: u32) -> StreamKey {
    let key = crate::shard::testing::open(shard);
    let stream = &mut shard.streams[key];
    stream.jid = Some(Jid::parse("romeo@localhost").expect("valid"));
    stream.login = Some(Box::new(Login {
        localpart: "romeo".into(),
        account: Some(AccountRef {
            generation: Generation(generation),
            ..CHANGED
        }),
        mechanism: "PLAIN",
        additional: None,
        profile: Profile::Sasl1,
        token: None,
        began_at_ms: NOW.mono_ms,
    }));
    key
}

fn is_reset(shard: &mut Shard, key: StreamKey) -> bool {
    crate::shard::testing::rendered(shard, key).contains("<reset ")
}

#[test]
fn who_logs_in_by_the_new_password_before_the_answer_is_here_stays() {
    let orders: [fn(&mut Shard, ActorKey); 2] = [
        |shard, actor| {
            let ticket = asks(shard, actor, PASSWORD);
            binds(shard, actor, 2, "balcony");
            proved(shard, actor, 2, 1);
            binds(shard, actor, 3, "chamber");
            proved(shard, actor, 3, 2);
            done(shard, ticket);
            assert_eq!(living(shard, actor), [1, 3]);
        },
        // The directory, or an operator, changed it.
        |shard, actor| {
            proved(shard, actor, 1, 1);
            binds(shard, actor, 3, "chamber");
            proved(shard, actor, 3, 2);
            let jid = Jid::parse("romeo@localhost").expect("valid");
            let order = Control::Disconnect(jid, Some(CHANGED), NOW.mono_ms);
            shard.handle(NOW, Input::Control(order));
            assert_eq!(living(shard, actor), [3]);
        },
    ];
    for order in orders {
        let (mut shard, actor) = stage();
        let logins = [1, 2].map(|generation| logged_in(&mut shard, generation));
        order(&mut shard, actor);
        assert_eq!(shard.cells[actor].account.identity, Some(CHANGED));
        assert_eq!(logins.map(|key| is_reset(&mut shard, key)), [true, false]);
        // Whose verdict was on its way.
        let late = [1, 2].map(|generation| logged_in(&mut shard, generation));
        let refused = late.map(|key| shard.refuse_outdated(NOW, key));
        assert_eq!(refused, [true, false]);
    }
}

#[test]
fn where_it_is_not_known_what_an_account_is_now_all_logins_are_void() {
    let (mut shard, _) = stage();
    let login = logged_in(&mut shard, 2);
    let jid = || Jid::parse("romeo@localhost").expect("valid");
    shard.handle(
        NOW,
        Input::Control(Control::Disconnect(jid(), None, NOW.mono_ms)),
    );
    assert!(is_reset(&mut shard, login));
    let login = logged_in(&mut shard, 2);
    // Another word behind it takes nothing back.
    let order = Control::Disconnect(jid(), Some(CHANGED), NOW.mono_ms);
    shard.handle(NOW, Input::Control(order));
    let login_behind = logged_in(&mut shard, 2);
    assert!(is_reset(&mut shard, login) || shard.refuse_outdated(NOW, login));
    assert!(shard.refuse_outdated(NOW, login_behind));
}

#[test]
fn who_began_to_log_in_behind_a_change_stays_however_late_a_worker_hears_of_it() {
    let (mut shard, _) = stage();
    let jid = || Jid::parse("romeo@localhost").expect("valid");
    let login = logged_in(&mut shard, 2);
    let earlier = Control::Disconnect(jid(), None, NOW.mono_ms - 1);
    shard.handle(NOW, Input::Control(earlier.clone()));
    let login_behind = logged_in(&mut shard, 2);
    assert!(!is_reset(&mut shard, login) && !is_reset(&mut shard, login_behind));
    assert!(!shard.refuse_outdated(NOW, login_behind));
    let now = Control::Disconnect(jid(), None, NOW.mono_ms);
    for control in [now, earlier] {
        shard.handle(NOW, Input::Control(control));
        let late = logged_in(&mut shard, 2);
        assert!(shard.refuse_outdated(NOW, late));
    }
    assert!(is_reset(&mut shard, login) && is_reset(&mut shard, login_behind));
}

#[test]
fn who_has_proved_the_old_password_does_nothing_to_the_account_behind_who_proved_the_new_one() {
    let (mut shard, actor) = stage();
    shard.switch(Catalog::new(features::ALL, |name| name == "register"));
    shard.cells[actor].account.sessions[0].secured = true;
    proved(&mut shard, actor, 1, 1);
    binds(&mut shard, actor, 2, "balcony");
    proved(&mut shard, actor, 2, 2);
    sends(&mut shard, actor, 1, THEFT[0]);
    let outputs: Vec<Output> = std::iter::from_fn(|| shard.poll_output()).collect();
    let asks = asked(&outputs);
    let [(_, AccountAsk::SetPassword { account, .. })] = &asks[..] else {
        panic!("{asks:?}");
    };
    // The keeper of the credentials refuses that.
    assert_eq!(account.generation, Generation(1));
}

#[test]
fn who_takes_the_resource_while_the_password_changes_is_not_who_changed_it() {
    let (mut shard, actor) = stage();
    let ticket = asks(&mut shard, actor, PASSWORD);
    // With the old password, onto the same resource: the victim's session ends by conflict.
    shard.expel(NOW, actor, SessionId(1), other_password());
    binds(&mut shard, actor, 2, "orchard");
    let thief = connect_last(&mut shard, actor);
    let events = done(&mut shard, ticket);
    assert_eq!(events.iter().filter(|event| is_change(event)).count(), 1);
    assert_eq!(living(&shard, actor), [0; 0]);
    let heard = crate::shard::testing::rendered(&mut shard, thief);
    assert!(!heard.contains("<iq"), "{heard}");
    assert!(heard.contains("<reset "), "{heard}");
}

#[test]
fn who_hangs_up_while_the_password_changes_has_changed_it() {
    let (mut shard, actor) = stage();
    binds(&mut shard, actor, 2, "balcony");
    let ticket = asks(&mut shard, actor, PASSWORD);
    shard.end_session(NOW, actor, SessionId(1), Vec::new(), "closed");
    let events = done(&mut shard, ticket);
    assert_eq!(events.iter().filter(|event| is_change(event)).count(), 1);
    assert_eq!(living(&shard, actor), [0; 0]);
    let identity = shard.cells[actor].account.identity;
    assert_eq!(identity, Some(CHANGED));
    assert!(shard.outdated.contains_key("romeo@localhost"));
}

#[test]
fn a_reload_that_takes_the_handler_away_meanwhile_does_not_hide_what_was_done() {
    for (query, is_recorded) in [
        (PASSWORD, is_change as fn(&AuditEvent) -> bool),
        ("<remove/>", |event| {
            matches!(event, AuditEvent::AccountRemoved { .. })
        }),
    ] {
        let (mut shard, actor) = stage();
        binds(&mut shard, actor, 2, "balcony");
        let ticket = asks(&mut shard, actor, query);
        shard.switch(Catalog::new(features::ALL, |_| false));
        let events = done(&mut shard, ticket);
        assert_eq!(events.iter().filter(|e| is_recorded(e)).count(), 1);
        assert!(!living(&shard, actor).contains(&2));
    }
}

/// The client of the last session is there.
fn connect_last(shard: &mut Shard, actor: ActorKey) -> StreamKey {
    let key = crate::shard::testing::open(shard);
    let session = shard.cells[actor].account.sessions.last_mut();
    let session = session.expect("it was bound");
    session.stream = Some(key);
    let at = crate::stream::SessionRef {
        actor,
        session: session.id,
    };
    let jid = session.jid.clone();
    shard.streams[key].bound(at, jid);
    key
}

pub const THEFT: [&str; 2] = [
    "<query xmlns='jabber:iq:register'><username>romeo</username><password>stolen</password></query>",
    "<query xmlns='jabber:iq:register'><remove/></query>",
];

#[test]
fn what_others_sent_before_the_password_changed_is_not_done_behind_it() {
    for theft in THEFT {
        for hangs_up in [false, true] {
            let (mut shard, actor) = stage();
            binds(&mut shard, actor, 2, "balcony");
            let ticket = asks(&mut shard, actor, PASSWORD);
            sends(&mut shard, actor, 2, theft);
            if hangs_up {
                shard.end_session(NOW, actor, SessionId(2), Vec::new(), CLOSED);
            }
            let outputs = finish(&mut shard, ticket, AccountAnswer::Done(CHANGED));
            assert_eq!(asked(&outputs), [], "hangs up: {hangs_up}");
            assert_eq!(living(&shard, actor), [1]);
        }
    }
}

#[test]
fn what_was_sent_before_the_operators_word_is_not_done_behind_it() {
    for theft in THEFT {
        let (mut shard, actor) = stage();
        binds(&mut shard, actor, 2, "balcony");
        let ticket = asks(&mut shard, actor, PASSWORD);
        sends(&mut shard, actor, 2, theft);
        let jid = Jid::parse("romeo@localhost").expect("valid");
        shard.handle(
            NOW,
            Input::Control(Control::Disconnect(jid, None, NOW.mono_ms)),
        );
        let outputs = finish(&mut shard, ticket, AccountAnswer::Gone);
        // It would begin by asking who the account is now.
        let is_row = |output: &Output| matches!(output, Output::Ask(_, Ask::Row { .. }));
        assert!(asked(&outputs).is_empty() && !outputs.iter().any(is_row));
        assert_eq!(living(&shard, actor), [0; 0]);
        assert!(shard.cells[actor].mailbox.is_empty());
    }
}

#[test]
fn where_the_other_sessions_stay_they_are_heard() {
    let (mut shard, actor) = stage();
    let mut config = crate::config::Config::clone(&shard.config);
    config.auth.password_change_ends_sessions = false;
    shard.config = Arc::new(config);
    binds(&mut shard, actor, 2, "balcony");
    let ticket = asks(&mut shard, actor, PASSWORD);
    sends(&mut shard, actor, 2, THEFT[0]);
    let outputs = finish(&mut shard, ticket, AccountAnswer::Done(CHANGED));
    assert_eq!(asked(&outputs).len(), 1);
}

#[test]
fn what_the_operator_does_meanwhile_does_not_hide_what_was_done() {
    let jid = || Jid::parse("romeo@localhost").expect("valid");
    let (mut shard, actor) = stage();
    let ticket = asks(&mut shard, actor, "<remove/>");
    shard.handle(
        NOW,
        Input::Control(Control::Disconnect(jid(), None, NOW.mono_ms)),
    );
    let outputs = finish(&mut shard, ticket, AccountAnswer::Done(CHANGED));
    let is_removal = |event: &AuditEvent| matches!(event, AuditEvent::AccountRemoved { .. });
    assert!(events(&outputs).iter().any(is_removal));
    let is_purge = |output: &Output| {
        matches!(
            output,
            Output::Ask(_, Ask::Auth(AuthAsk::Purge(AccountId(7))))
        )
    };
    assert!(outputs.iter().any(is_purge));

    let (mut shard, actor) = stage();
    let ticket = asks(&mut shard, actor, PASSWORD);
    shard.handle(
        NOW,
        Input::Control(Control::Disconnect(jid(), None, NOW.mono_ms)),
    );
    let outputs: Vec<Output> = std::iter::from_fn(|| shard.poll_output()).collect();
    assert_eq!(asked(&outputs), [], "nothing is done twice");
    let outputs = finish(&mut shard, ticket, AccountAnswer::Done(CHANGED));
    assert_eq!(
        events(&outputs).iter().filter(|it| is_change(it)).count(),
        1
    );
    // The operator's word came behind it: who the account is now, the store knows.
    assert_eq!(shard.cells[actor].account.identity, None);
}

/// Romeo ends all other sessions by command, up to where the auth thread is asked to end tokens.
fn ends_all(shard: &mut Shard, actor: ActorKey) -> Ticket {
    shard.switch(Catalog::new(features::ALL, |name| {
        ["commands", "own-sessions", "register"].contains(&name)
    }));
    shard.cells[actor].account.identity = Some(CHANGED);
    let command = |attributes: &str, form: &str| {
        format!(
            "<command xmlns='http://jabber.org/protocol/commands' node='end-sessions'{attributes}>{form}</command>"
        )
    };
    sends(shard, actor, 1, &command("", ""));
    let outputs: Vec<Output> = std::iter::from_fn(|| shard.poll_output()).collect();
    let (ticket, _) = asked(&outputs)[0];
    finish(shard, ticket, AccountAnswer::Clients(Vec::new()));
    let shown = held(shard, actor).last().expect("a form").payload.xml();
    let (_, id) = shown.split_once("sessionid='").expect("a session");
    let (id, _) = id.split_once('\'').expect("it ends");
    let id = format!(" sessionid='{id}'");
    let form =
        "<x xmlns='jabber:x:data' type='submit'><field var='all'><value>1</value></field></x>";
    sends(shard, actor, 1, &command(&id, form));
    let outputs: Vec<Output> = std::iter::from_fn(|| shard.poll_output()).collect();
    let (ticket, ask) = asked(&outputs).remove(0);
    assert!(matches!(ask, AccountAsk::Revoke { .. }));
    ticket
}

#[test]
fn what_a_session_sent_that_its_owner_ends_is_not_done_even_if_it_hung_up() {
    for theft in THEFT {
        for hangs_up in [false, true] {
            let (mut shard, actor) = stage();
            binds(&mut shard, actor, 2, "balcony");
            let ticket = ends_all(&mut shard, actor);
            sends(&mut shard, actor, 2, theft);
            if hangs_up {
                shard.end_session(NOW, actor, SessionId(2), Vec::new(), CLOSED);
            }
            let outputs = finish(&mut shard, ticket, AccountAnswer::Done(CHANGED));
            assert_eq!(asked(&outputs), [], "hangs up: {hangs_up}");
            assert_eq!(living(&shard, actor), [1]);
        }
    }
}

#[test]
fn who_has_logged_in_and_bound_nothing_ends_with_the_sessions() {
    let (mut shard, actor) = stage();
    let ticket = ends_all(&mut shard, actor);
    // XEP-0388: it may bind when it likes.
    let key = crate::shard::testing::open(&mut shard);
    shard.streams[key].jid = Some(Jid::parse("romeo@localhost").expect("valid"));
    finish(&mut shard, ticket, AccountAnswer::Done(CHANGED));
    let heard = crate::shard::testing::rendered(&mut shard, key);
    assert!(heard.contains("<reset "), "{heard}");
    // So do those whose verdict is on its way.
    assert!(shard.outdated.contains_key("romeo@localhost"));
}

#[test]
fn rows_of_who_was_removed_go_later_when_they_cannot_now() {
    let (mut shard, actor) = stage();
    let ticket = asks(&mut shard, actor, "<remove/>");
    let outputs = finish(&mut shard, ticket, AccountAnswer::Done(CHANGED));
    let purge = |outputs: &[Output]| {
        outputs.iter().find_map(|output| match output {
            Output::Ask(ticket, Ask::Auth(AuthAsk::Purge(AccountId(7)))) => Some(*ticket),
            _ => None,
        })
    };
    let ticket = purge(&outputs).expect("its rows go");
    let full = Answer::Auth(AuthAnswer::Unavailable);
    shard.handle(NOW, Input::Answer(ticket, full));
    let mut later = |ms| {
        let now = NOW.plus_ms(ms);
        shard.handle(now, Input::Tick);
        shard.end_turn(now);
        let outputs: Vec<Output> = std::iter::from_fn(|| shard.poll_output()).collect();
        purge(&outputs)
    };
    assert_eq!(later(0), None, "not at once");
    assert!(later(limits::PURGE_AGAIN_MS).is_some());
    assert_eq!(later(2 * limits::PURGE_AGAIN_MS), None, "it is on its way");
}
