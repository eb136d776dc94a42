#[path = "emptying_tests.rs"]
mod emptying;

use std::sync::Arc;

use super::super::Input;
use super::super::output::Ask;
use super::super::testing::{NOW, open, shard};
use super::*;
use crate::actor::rows::{Durability, Export, RowKey, Slices, Table};
use crate::actor::{Catalog, Feature, IqRoute, Outcome, Turn};
use crate::base::{AccountId, StreamKey, WorkerId};
use crate::engine::archive::{self, ARCHIVE};
use crate::im::Session;
use crate::im::acks::{Acks, Bounds};
use crate::im::archive::{Reach, Search, Stage};
use crate::jid::Jid;
use crate::stanza::{Header, Iq, Kind, Payload, Stanza, Type};

static THINGS: Table = Table {
    name: "things",
    durability: Durability::Soon,
    export: Export::Never,
    slices: Slices::Whole,
    about: "A test's.",
};

const LIBRARY: Feature<Account> = Feature {
    name: "library",
    specs: &[],
    host_disco: &[],
    account_disco: &[],
    host: &[],
    account: &[
        IqRoute::get("urn:library", "read", read),
        IqRoute::get("urn:library", "steps", steps),
        IqRoute::get("urn:library", "long", long),
        IqRoute::get("urn:library", "now", now),
        IqRoute::get("urn:library", "erase", erase),
    ],
    commands: &[],
    portable: None,
};

/// Answers when a row named like the request is there.
fn read(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    turn.aside()?;
    let id = iq.header().id.clone().unwrap_or_default();
    turn.load(&THINGS, &RowKey::new(id.as_bytes()))?;
    turn.out.send(iq.result(Payload::EMPTY));
    Ok(())
}

/// Delivers ten messages, each in a step of its own, then answers.
fn steps(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let aside = turn.aside()?;
    let count = match aside.progress {
        Progress::Archive(search) => search.reach.count,
        _ => 0,
    };
    assert!(aside.room > 0, "a step has room");
    if count == 10 {
        turn.out.send(iq.result(Payload::EMPTY));
        return Ok(());
    }
    let header = Header::new(Kind::Message, Type::Headline);
    let payload = Payload::EMPTY;
    turn.out.deliver(SessionId(1), Stanza { header, payload });
    turn.out.go_on(at(count + 1));
    Ok(())
}

/// So many steps were made.
fn at(count: u32) -> Progress {
    Progress::Archive(Box::new(Search {
        query: Arc::default(),
        reach: Reach {
            stage: Stage::Send,
            whole: (0, 0),
            rest: (0, 0),
            count,
            edge: 0,
            first: None,
            sent: None,
            complete: None,
        },
    }))
}

/// Reads one row after the other, a step for each, and never ends.
fn long(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let aside = turn.aside()?;
    let count = match aside.progress {
        Progress::Archive(search) => search.reach.count,
        _ => 0,
    };
    let id = iq.header().id.clone().unwrap_or_default();
    turn.load(&THINGS, &RowKey::new(format!("{id}{count}").as_bytes()))?;
    let count = count + 1;
    turn.out.go_on(at(count));
    Ok(())
}

fn now(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    turn.out.send(iq.result(Payload::EMPTY));
    Ok(())
}

/// Removes two messages, each in a step of its own, then answers.
fn erase(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let reached = |from| Progress::Erasing {
        of: OWNER,
        from,
        until: 9,
        count: from,
    };
    turn.out.go_on(reached(0));
    let Progress::Erasing { from, .. } = *turn.aside()?.progress else {
        panic!("it began so");
    };
    if from == 2 {
        turn.out.more = None;
        turn.out.send(iq.result(Payload::EMPTY));
        return Ok(());
    }
    turn.out.write.push(Write::Delete {
        table: &ARCHIVE,
        key: archive::key(OWNER, from),
    });
    turn.out.go_on(reached(from + 1));
    Ok(())
}

const OWNER: AccountId = AccountId(7);

/// A shard with one account, whose one session may hold `unacked` stanzas.
fn stage(unacked: usize) -> (Shard, ActorKey) {
    let mut shard = shard(WorkerId(0), 1);
    shard.switch(Catalog::new(&[&LIBRARY], |_| true));
    let jid = Jid::parse("romeo@localhost").expect("valid");
    let actor = shard.cell_at(NOW, &jid);
    let stream = open(&mut shard);
    let full = jid.with_resource("orchard").expect("valid");
    let session = session(SessionId(1), full, stream, unacked);
    shard.cells[actor].account.sessions.push(session);
    (shard, actor)
}

fn session(id: SessionId, full: Jid, stream: StreamKey, unacked: usize) -> Session {
    let mut session = Session::new(id, full, stream);
    session.acks = Some(Box::new(Acks::new(
        String::new(),
        60_000,
        Bounds {
            count_max: unacked,
            bytes_max: 100_000,
        },
    )));
    session
}

/// A second device of the account.
fn join(shard: &mut Shard, actor: ActorKey, unacked: usize) {
    let stream = open(shard);
    let full = Jid::parse("romeo@localhost/street").expect("valid");
    let session = session(SessionId(2), full, stream, unacked);
    shard.cells[actor].account.sessions.push(session);
}

fn ask(shard: &mut Shard, actor: ActorKey, name: &str, id: &str) {
    ask_as(shard, actor, SessionId(1), name, id);
}

fn ask_as(shard: &mut Shard, actor: ActorKey, session: SessionId, name: &str, id: &str) {
    let mut header = Header::new(Kind::Iq, Type::Get);
    header.id = Some(id.into());
    let asker = shard.cells[actor].account.session(session);
    header.from = asker.map(|asker| asker.jid.clone());
    let payload = Payload::from_normal(&format!("<{name} xmlns='urn:library'/>"));
    let mail = Mail::Outbound {
        session,
        stanza: Stanza { header, payload },
        origin: None,
    };
    shard.post_to(actor, mail);
    shard.drive(NOW);
}

/// Rows that are asked for, by name.
fn asked_for(shard: &mut Shard) -> Vec<(Ticket, String)> {
    let mut asked = Vec::new();
    while let Some(output) = shard.poll_output() {
        if let Output::Ask(ticket, Ask::Row { key, .. }) = output {
            let name = String::from_utf8(key.as_bytes().to_vec()).expect("a name");
            asked.push((ticket, name));
        }
    }
    asked
}

/// Ids of what was answered, errors with a '!', and messages as a dot.
fn heard(shard: &Shard, actor: ActorKey) -> String {
    heard_by(shard, actor, 0)
}

fn heard_by(shard: &Shard, actor: ActorKey, nth: usize) -> String {
    let session = &shard.cells[actor].account.sessions[nth];
    let acks = session.acks.as_ref().expect("set by the stage");
    let said = acks.unacked().map(|held| {
        let header = &held.stanza.header;
        match header.type_ {
            Type::Headline => ".".to_owned(),
            Type::Error => format!("!{}", header.id.as_deref().unwrap_or_default()),
            _ => header.id.as_deref().unwrap_or_default().to_owned(),
        }
    });
    said.collect()
}

fn answer(shard: &mut Shard, ticket: Ticket, answer: Answer) {
    shard.handle(NOW, Input::Answer(ticket, answer));
}

#[test]
fn the_mailbox_goes_on_while_a_request_reads() {
    let (mut shard, actor) = stage(100);
    ask(&mut shard, actor, "read", "a");
    ask(&mut shard, actor, "now", "b");
    assert_eq!(heard(&shard, actor), "b");
    let asked = asked_for(&mut shard);
    assert_eq!(asked.len(), 1);
    answer(&mut shard, asked[0].0, Answer::Row(None));
    assert_eq!(heard(&shard, actor), "ba");
    assert!(shard.cells[actor].asides.is_empty());
}

#[test]
fn one_of_a_session_runs_at_a_time_the_others_wait_and_too_many_are_refused() {
    let (mut shard, actor) = stage(100);
    for n in 0..=limits::ASIDES_WAITING_MAX {
        ask(&mut shard, actor, "read", &format!("{}", n % 10));
    }
    assert_eq!(
        heard(&shard, actor),
        format!("!{}", limits::ASIDES_WAITING_MAX % 10)
    );
    let asked = asked_for(&mut shard);
    let names: Vec<&str> = asked.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["0"]);
    // It is done, and the second takes its place.
    answer(&mut shard, asked[0].0, Answer::Row(None));
    let next = asked_for(&mut shard);
    assert_eq!(next.len(), 1);
    assert_eq!(next[0].1, "1");
    assert!(heard(&shard, actor).ends_with('0'));
}

#[test]
fn two_long_requests_of_one_device_leave_room_for_another_and_take_turns() {
    let (mut shard, actor) = stage(100);
    join(&mut shard, actor, 100);
    ask(&mut shard, actor, "long", "a");
    ask(&mut shard, actor, "long", "b");
    let asked = asked_for(&mut shard);
    assert_eq!(asked.len(), 1, "a session has one place");
    assert_eq!(asked[0].1, "a0");
    ask_as(&mut shard, actor, SessionId(2), "read", "r");
    let read = asked_for(&mut shard);
    assert_eq!(read.len(), 1);
    answer(&mut shard, read[0].0, Answer::Row(None));
    assert_eq!(heard_by(&shard, actor, 1), "r");
    let mut asked = asked[0].clone();
    for name in ["b0", "a1", "b1", "a2"] {
        answer(&mut shard, asked.0, Answer::Row(None));
        let mut next = asked_for(&mut shard);
        assert_eq!(next.len(), 1, "{next:?}");
        asked = next.remove(0);
        assert_eq!(asked.1, name);
    }
}

/// Other devices of the account, with these numbers.
fn join_as(shard: &mut Shard, actor: ActorKey, ids: impl Iterator<Item = u64>) {
    for id in ids {
        join(shard, actor, 100);
        let sessions = &mut shard.cells[actor].account.sessions;
        let last = sessions.last_mut().expect("just joined");
        last.id = SessionId(id);
        last.jid = Jid::parse(&format!("romeo@localhost/{id}")).expect("valid");
    }
}

#[test]
fn no_more_requests_of_an_account_read_at_a_time_than_its_bound() {
    let (mut shard, actor) = stage(100);
    let count = limits::ASIDES_MAX as u64 + 2;
    join_as(&mut shard, actor, 2..=count);
    for id in 1..=count {
        ask_as(&mut shard, actor, SessionId(id), "read", &id.to_string());
    }
    let mut asked: std::collections::VecDeque<_> = asked_for(&mut shard).into();
    assert_eq!(asked.len(), limits::ASIDES_MAX);
    for id in 1..=count {
        // The first to ask is the first to be served, and the next takes its place.
        let (ticket, name) = asked.pop_front().expect("one is asked for");
        assert_eq!(name, id.to_string());
        answer(&mut shard, ticket, Answer::Row(None));
        assert_eq!(heard_by(&shard, actor, id as usize - 1), name);
        asked.extend(asked_for(&mut shard));
        let waiting = (count - id) as usize;
        assert_eq!(asked.len(), waiting.min(limits::ASIDES_MAX));
    }
}

#[test]
fn requests_of_three_devices_take_turns_at_two_places() {
    let (mut shard, actor) = stage(100);
    join_as(&mut shard, actor, 2..=3);
    for (id, name) in [(1, "a"), (2, "b"), (3, "c")] {
        ask_as(&mut shard, actor, SessionId(id), "long", name);
    }
    let mut asked: std::collections::VecDeque<_> = asked_for(&mut shard).into();
    let mut names: Vec<String> = asked.iter().map(|(_, name)| name.clone()).collect();
    for _ in 0..10 {
        let (ticket, _) = asked.pop_front().expect("one is asked for");
        answer(&mut shard, ticket, Answer::Row(None));
        let next = asked_for(&mut shard);
        names.extend(next.iter().map(|(_, name)| name.clone()));
        asked.extend(next);
    }
    let of = |id: &str| names.iter().filter(|name| name.starts_with(id)).count();
    assert_eq!((of("a"), of("b"), of("c")), (4, 4, 4), "{names:?}");
}

#[test]
fn a_read_that_fails_rejects_that_request_and_no_other() {
    let (mut shard, actor) = stage(100);
    ask(&mut shard, actor, "read", "a");
    ask(&mut shard, actor, "read", "b");
    let asked = asked_for(&mut shard);
    answer(&mut shard, asked[0].0, Answer::Failed(StoreError::Broken));
    assert_eq!(heard(&shard, actor), "!a");
    let asked = asked_for(&mut shard);
    answer(&mut shard, asked[0].0, Answer::Row(Some(Vec::new())));
    assert_eq!(heard(&shard, actor), "!ab");
}

#[test]
fn a_long_answer_waits_for_its_client_to_acknowledge() {
    // Half of what may be unacknowledged is a cursor's.
    let (mut shard, actor) = stage(8);
    ask(&mut shard, actor, "steps", "a");
    assert_eq!(heard(&shard, actor), "....");
    for h in [4, 8] {
        let session = &mut shard.cells[actor].account.sessions[0];
        let acks = session.acks.as_mut().expect("set by the stage");
        assert_eq!(acks.acknowledge(h).count(), 4);
        shard.advance_flood(NOW, actor, SessionId(1));
        shard.drive(NOW);
    }
    assert_eq!(heard(&shard, actor), "..a");
    assert!(shard.cells[actor].asides.is_empty());
}

#[test]
fn a_client_that_reads_nothing_stops_no_other_device_of_its_account() {
    let (mut shard, actor) = stage(2);
    join(&mut shard, actor, 100);
    // One message fills what is a cursor's.
    for n in 0..limits::ASIDES_WAITING_MAX {
        ask(&mut shard, actor, "steps", &format!("s{n}"));
    }
    assert_eq!(heard(&shard, actor), ".");
    ask_as(&mut shard, actor, SessionId(2), "read", "a");
    let asked = asked_for(&mut shard);
    assert_eq!(asked.len(), 1);
    answer(&mut shard, asked[0].0, Answer::Row(None));
    assert_eq!(heard_by(&shard, actor, 1), "a");
    // The first one has as many as it may have, the other has not.
    ask(&mut shard, actor, "read", "r");
    assert_eq!(heard(&shard, actor), ".!r");
    assert_eq!(shard.cells[actor].asides.len(), limits::ASIDES_WAITING_MAX);
}

#[test]
fn the_first_to_ask_goes_on_when_its_client_reads_again() {
    let (mut shard, actor) = stage(2);
    ask(&mut shard, actor, "steps", "a");
    ask(&mut shard, actor, "steps", "b");
    assert_eq!(heard(&shard, actor), ".");
    let mut all = String::new();
    for h in 1.. {
        all.push_str(&heard(&shard, actor));
        let session = &mut shard.cells[actor].account.sessions[0];
        let acks = session.acks.as_mut().expect("set by the stage");
        if acks.acknowledge(h).count() == 0 {
            break;
        }
        shard.advance_flood(NOW, actor, SessionId(1));
        shard.drive(NOW);
    }
    assert!(shard.cells[actor].asides.is_empty());
    assert!(all.find('a') < all.find('b'), "{all}");
}

#[test]
fn what_waits_beside_the_mailbox_counts() {
    let (mut shard, actor) = stage(2);
    ask(&mut shard, actor, "steps", "first");
    let before = shard.cells[actor].queued_bytes();
    for n in 0..3 {
        ask(&mut shard, actor, "steps", &format!("s{n}"));
    }
    let asides = &shard.cells[actor].asides;
    let beside: usize = asides[1..].iter().map(|aside| aside.mail.charge()).sum();
    assert!(beside > 3 * 30, "{beside}");
    assert_eq!(shard.cells[actor].queued_bytes(), before + beside);
}

#[test]
fn a_session_that_ends_takes_its_requests_along() {
    let (mut shard, actor) = stage(100);
    ask(&mut shard, actor, "read", "a");
    let asked = asked_for(&mut shard);
    shard.forget_session(actor, SessionId(1));
    assert!(shard.cells[actor].is_idle());
    answer(&mut shard, asked[0].0, Answer::Row(None));
    assert!(shard.cells[actor].account.sessions.is_empty());
    assert_eq!(shard.open_questions(), 0);
}
