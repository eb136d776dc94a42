//! What a worker sheds that is too full, who waits for room, and who is let in.

use std::sync::Arc;

use super::super::input::Input;
use super::super::output::Output;
use super::super::seats::Seat;
use super::super::testing::{NOW, open, rendered, stage, stage_of};
use super::*;
use crate::actor::Kept;
use crate::im::acks::Unacked;
use crate::jid::Jid;
use crate::stanza::{Header, Kind, Payload, Stanza, Type};
use crate::stream::{Event, Login, Profile};

/// All of the worker's budget is used.
fn overfull(shard: &mut Shard) {
    let mut counted = 0;
    let budget = shard.budget();
    shard.load.recount(&mut counted, budget);
}

/// The account's session holds more than its share.
fn hold_much(shard: &mut Shard, actor: ActorKey) {
    let mut header = Header::new(Kind::Message, Type::Chat);
    header.id = Some("x".repeat(shard.budget()).into());
    let held = Unacked {
        stanza: Stanza {
            header,
            payload: Payload::EMPTY,
        },
        kept: None::<Kept>,
        wall_ms: 0,
        is_answered: false,
    };
    let session = shard.cells[actor].account.sessions.first_mut();
    let acks = session.and_then(|session| session.acks.as_mut());
    acks.expect("set by the stage").sent(held);
}

#[test]
fn where_nobody_was_to_be_shed_nobody_is_looked_for_again_at_once() {
    let (mut shard, actor) = stage();
    shard.place.worker_count = u8::MAX;
    let is_there = |shard: &Shard| !shard.cells[actor].account.sessions[0].ended;
    let at = |after_ms| Now {
        mono_ms: NOW.mono_ms + after_ms,
        ..NOW
    };
    overfull(&mut shard);
    shard.relieve(NOW);
    hold_much(&mut shard, actor);
    shard.relieve(at(limits::LOAD_NOBODY_MS - 1));
    assert!(is_there(&shard));
    shard.relieve(at(limits::LOAD_NOBODY_MS));
    assert!(!is_there(&shard));
}

/// Whoever is this has proved it here.
fn login(shard: &mut Shard, jid: &Jid) -> StreamKey {
    let key = open(shard);
    let stream = &mut shard.streams[key];
    stream.jid = Some(jid.clone());
    stream.login = Some(Box::new(Login {
        localpart: Arc::from("somebody"),
        account: None,
        mechanism: "PLAIN",
        additional: None,
        profile: Profile::Sasl1,
        token: None,
        began_at_ms: NOW.mono_ms,
    }));
    stream.phase = Phase::Verified;
    key
}

fn proves(shard: &mut Shard, now: Now) -> StreamKey {
    let jid = Jid::parse("romeo@localhost").expect("valid");
    let key = login(shard, &jid);
    shard.on_event(now, key, Event::Verified);
    key
}

fn is_let_in(shard: &mut Shard, key: StreamKey) -> bool {
    let said = rendered(shard, key);
    assert!(!said.contains("<resource-constraint "), "{said}");
    said.contains("<success ")
}

fn at(after_ms: u64) -> Now {
    Now {
        mono_ms: NOW.mono_ms + after_ms,
        ..NOW
    }
}

#[test]
fn while_the_store_is_behind_logins_wait_then_presence_then_archives_are_not_read() {
    let (mut shard, _) = stage();
    let mut open = Vec::new();
    for (percent, level) in [
        (limits::STORE_LOGINS_PERCENT, Pressure::Logins),
        (limits::STORE_PRESENCE_PERCENT, Pressure::Presence),
        (limits::STORE_ARCHIVE_PERCENT, Pressure::Archive),
    ] {
        let count = limits::STORE_OUTSTANDING_MAX * percent / 100;
        while open.len() < count {
            assert!(shard.pressure() < level, "{} open", open.len());
            let seat = shard.seats.take(Seat::Sweep);
            open.push(seat.unwrap_or_else(|_| panic!("there are more")));
        }
        assert_eq!(shard.pressure(), level);
    }
    let waiting = proves(&mut shard, NOW);
    shard.relieve(NOW);
    assert!(!is_let_in(&mut shard, waiting));
    for ticket in open {
        shard.seats.free(ticket);
    }
    shard.relieve(NOW);
    assert!(is_let_in(&mut shard, waiting));
}

#[test]
fn a_login_that_finds_no_room_for_ten_seconds_is_told_so_and_one_that_finds_it_is_let_in() {
    let (mut shard, _) = stage();
    shard.place.worker_count = u8::MAX;
    overfull(&mut shard);
    let (first, second) = (proves(&mut shard, NOW), proves(&mut shard, at(1)));
    shard.handle(at(limits::LOGIN_PATIENCE_MS - 1), Input::Tick);
    assert_eq!(shard.waiting_logins.len(), 2);
    assert!(!is_let_in(&mut shard, first));
    shard.handle(at(limits::LOGIN_PATIENCE_MS), Input::Tick);
    let said = rendered(&mut shard, first);
    assert!(said.contains("<resource-constraint "), "{said}");
    assert_eq!(shard.waiting_logins.len(), 1);
    assert!(!is_let_in(&mut shard, second));
    // There is room again.
    let budget = shard.budget();
    shard.load.recount(&mut { budget }, 0);
    shard.relieve(at(limits::LOGIN_PATIENCE_MS));
    assert!(shard.waiting_logins.is_empty());
    assert!(is_let_in(&mut shard, second));
}

#[test]
fn those_who_waited_are_let_in_some_at_a_time_in_their_order() {
    let (mut shard, _) = stage();
    shard.place.worker_count = u8::MAX;
    overfull(&mut shard);
    let some = limits::LOGINS_LET_IN_COUNT;
    let waiting: Vec<StreamKey> = (0..2 * some + 1).map(|_| proves(&mut shard, NOW)).collect();
    let budget = shard.budget();
    shard.load.recount(&mut { budget }, 0);
    for (round, inside) in [some, 2 * some].into_iter().enumerate() {
        let round_ms = limits::LOGINS_LET_IN_MS;
        let (now, next) = (
            at(round as u64 * round_ms),
            at((round as u64 + 1) * round_ms),
        );
        shard.handle(now, Input::Tick);
        shard.relieve(now);
        shard.relieve(now);
        assert_eq!(shard.waiting_logins.len(), waiting.len() - inside);
        assert!(is_let_in(&mut shard, waiting[inside - 1]));
        assert!(
            shard.next_deadline() <= Some(next.mono_ms),
            "nothing else wakes the worker"
        );
    }
    let late = proves(&mut shard, NOW);
    assert!(
        !is_let_in(&mut shard, late),
        "one who came before waits still"
    );
    shard.relieve(at(2 * limits::LOGINS_LET_IN_MS));
    assert!(is_let_in(&mut shard, waiting[2 * some]) && is_let_in(&mut shard, late));
}

#[test]
fn who_is_at_home_elsewhere_does_not_wait_for_room_here() {
    let (mut shard, _) = stage_of(2);
    overfull(&mut shard);
    let elsewhere = (0..).find_map(|n| {
        let jid = Jid::parse(&format!("user{n}@localhost")).expect("valid");
        (shard.routes.home(&jid) != shard.place.worker).then_some(jid)
    });
    let key = login(&mut shard, &elsewhere.expect("half of them are"));
    shard.on_event(NOW, key, Event::Verified);
    let outputs: Vec<Output> = std::iter::from_fn(|| shard.poll_output()).collect();
    let goes = |output: &Output| matches!(output, Output::HandOver(..));
    assert!(outputs.iter().any(goes), "{outputs:?}");
}

#[test]
fn who_comes_home_from_another_worker_waits_for_room_like_everybody() {
    let (mut shard, _) = stage_of(2);
    let jid = Jid::parse("romeo@localhost").expect("valid");
    let key = login(&mut shard, &jid);
    let stream = shard.streams.remove(key).expect("it was opened");
    overfull(&mut shard);
    let key = shard.arrive(NOW, stream);
    assert!(!is_let_in(&mut shard, key));
    let budget = shard.budget();
    shard.load.recount(&mut { budget }, 0);
    shard.relieve(NOW);
    assert!(is_let_in(&mut shard, key));
}

#[test]
fn who_is_thrown_out_while_waiting_for_room_is_not_let_in_by_it() {
    let (mut shard, _) = stage();
    shard.place.worker_count = u8::MAX;
    overfull(&mut shard);
    let key = proves(&mut shard, NOW);
    let jid = Jid::parse("romeo@localhost").expect("valid");
    let error = StreamError::new(StreamCondition::Reset, "");
    shard.end_logins((NOW, NOW.mono_ms), &jid, None, &error);
    let budget = shard.budget();
    shard.load.recount(&mut { budget }, 0);
    shard.relieve(NOW);
    assert!(!is_let_in(&mut shard, key));
}

#[test]
fn a_stream_that_sent_much_and_reads_all_is_no_slow_reader() {
    let (mut shard, _) = stage();
    shard.place.worker_count = u8::MAX;
    let local = crate::base::AddressPrefix::Local;
    let peer = std::sync::Arc::from("192.0.2.1:50123");
    let state = crate::stream::StreamState::new(NOW, &shard.config, 0, local, peer, None);
    let key = shard.streams.insert(Box::new(state));
    shard.streams[key].unread_bytes = shard.budget();
    overfull(&mut shard);
    shard.relieve(NOW);
    assert!(!matches!(shard.streams[key].phase, Phase::Closing));
    let closed = std::iter::from_fn(|| shard.poll_output());
    assert_eq!(closed.count(), 0);
}

#[test]
fn pressure_grows_in_the_order_in_which_things_are_shed() {
    let mut load = Load::default();
    let mut counted = 0;
    let mut seen = Vec::new();
    for used in [0, 699, 700, 800, 850, 900, 970, 2_000] {
        load.recount(&mut counted, used);
        seen.push(load.fullness(1_000));
    }
    assert_eq!(
        seen,
        [
            Pressure::None,
            Pressure::None,
            Pressure::Logins,
            Pressure::Presence,
            Pressure::Archive,
            Pressure::Readers,
            Pressure::Sockets,
            Pressure::Sockets
        ]
    );
    load.recount(&mut counted, 0);
    assert_eq!(load.fullness(1_000), Pressure::None);
}
