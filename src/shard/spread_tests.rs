//! Who hears a presence for many, when, and what waits behind it.

use super::super::output::{Ask, Output};
use super::super::testing::{NOW, answers, connect, enter, held, say, shard, stage_of};
use super::*;
use std::collections::BTreeMap;

use crate::actor::auth::AccountRef;
use crate::actor::rows::Row;
use crate::actor::{Answer, Catalog, Ticket};
use crate::base::{AccountId, ActorKey, Generation};
use crate::features;
use crate::im::blocking::BLOCKLIST;
use crate::im::roster::{ROSTER, RosterItem, Standing};
use crate::shard::{Control, Input};
use crate::stanza::{Header, Kind, ns};

const ACCOUNT: AccountId = AccountId(7);

fn contacts(count: u32) -> Vec<Row> {
    let contact = |number: u32| {
        let jid = format!("contact-{number}@localhost");
        let mut item = RosterItem::unknown(Jid::parse(&jid).expect("valid"));
        item.name = format!("Contact {number}");
        item.version = 1;
        item.standing = Standing {
            to: true,
            from: true,
            listed: true,
            ..Standing::default()
        };
        item.row(ACCOUNT)
    };
    (0..count).map(contact).collect()
}

/// Questions about rows, and their tables.
fn questions(shard: &mut Shard) -> Vec<(Ticket, &'static str)> {
    let outputs = std::iter::from_fn(|| shard.poll_output());
    let about_rows = |output| match output {
        Output::Ask(ticket, Ask::Range { table, .. } | Ask::Row { table, .. }) => {
            Some((ticket, table.name))
        }
        _ => None,
    };
    outputs.filter_map(about_rows).collect()
}

#[test]
fn a_login_with_fifty_contacts_reads_two_tables_once_and_sends_two_envelopes_to_each_worker() {
    let (mut shard, actor) = stage_of(4);
    shard.switch(Catalog::new(features::ALL, |_| true));
    shard.cells[actor].account.identity = Some(AccountRef {
        id: ACCOUNT,
        generation: Generation(0),
    });
    let query = format!("<query xmlns='{}'/>", ns::ROSTER);
    let get = Header::new(Kind::Iq, Type::Get);
    say(&mut shard, actor, get, &query);
    let [(ticket, table)] = questions(&mut shard)[..] else {
        panic!("the roster is read once");
    };
    assert_eq!(table, ROSTER.name);
    let rows = contacts(50);
    let answer = Answer::Range { rows, more: false };
    shard.handle(NOW, Input::Answer(ticket, answer));
    let roster = held(&shard, actor).next().expect("the roster is answered");
    assert_eq!(roster.payload.xml().matches("<item ").count(), 50);

    let initial = Header::new(Kind::Presence, Type::Available);
    say(&mut shard, actor, initial, "");
    // Whom nobody may see, and who is not seen.
    let [(ticket, table)] = questions(&mut shard)[..] else {
        panic!("the blocklist is read once");
    };
    assert_eq!(table, BLOCKLIST.name);
    shard.handle(NOW, Input::Answer(ticket, Answer::Row(None)));
    assert_eq!(questions(&mut shard), []);
    assert_eq!(answers(&shard, actor), [Type::Result, Type::Available]);
    let mut told = [0, 0];
    for worker in (0..4).map(WorkerId) {
        let Some(batch) = shard.take_batch(worker) else {
            continue;
        };
        assert_eq!(batch.envelopes.len(), 2, "{worker:?}");
        for envelope in batch.envelopes {
            let Envelope::Group { stanza, to } = envelope else {
                panic!("not a group: {envelope:?}");
            };
            told[usize::from(stanza.header.type_ == Type::Probe)] += to.len();
        }
    }
    // What is left lives here, and nobody uses it.
    assert!(
        told[0] == told[1] && (30..50).contains(&told[0]),
        "{told:?}"
    );
    assert_eq!(shard.resident_accounts(), 1);
}

fn jid(number: usize) -> Jid {
    Jid::parse(&format!("contact-{number}@localhost")).expect("valid")
}

fn presence(type_: Type, from: &str) -> Stanza {
    let mut header = Header::new(Kind::Presence, type_);
    header.from = Jid::parse(from).ok();
    Stanza {
        header,
        payload: crate::stanza::Payload::EMPTY,
    }
}

fn to_many(shard: &mut Shard, stanza: Stanza, count: usize) {
    let to: Vec<Jid> = (0..count).map(jid).collect();
    let to = to.iter().collect();
    shard.route(NOW, Envelope::Group { stanza, to });
}

fn to_one(shard: &mut Shard, mut stanza: Stanza, number: usize) {
    stanza.header.to = Some(jid(number));
    let settle = None;
    shard.route(NOW, Envelope::Stanza { stanza, settle });
}

fn at(ms: u64) -> Now {
    Now {
        mono_ms: NOW.mono_ms + ms,
        ..NOW
    }
}

/// How many get each of what waits.
fn left(shard: &Shard, account: &str) -> Vec<usize> {
    let count = |envelope: &Envelope| match envelope {
        Envelope::Group { to, .. } => to.len(),
        _ => 0,
    };
    shard.spreads.waiting(account).map(count).collect()
}

/// What each contact is told from now on, wherever it lives.
fn collect(shard: &mut Shard, heard: &mut BTreeMap<String, Vec<Type>>) {
    for worker in (0..2).map(WorkerId) {
        let batch = shard.take_batch(worker);
        let envelopes = batch.into_iter().flat_map(|batch| batch.envelopes);
        for envelope in envelopes {
            let (stanza, to) = match envelope {
                Envelope::Group { stanza, to } => (stanza, to),
                Envelope::Stanza { mut stanza, .. } => {
                    let to = stanza.header.to.take().expect("addressed");
                    (stanza, [&to].into_iter().collect())
                }
                other => panic!("{other:?}"),
            };
            for to in to.iter() {
                let heard = heard.entry(to.to_owned()).or_default();
                heard.push(stanza.header.type_);
            }
        }
    }
}

const ROMEO: &str = "romeo@localhost";
const ORCHARD: &str = "romeo@localhost/orchard";

#[test]
fn whoever_of_many_is_there_hears_it_once_and_nobody_comes_for_it() {
    let (mut shard, _) = stage_of(1);
    let all: Vec<Jid> = (0..25).map(jid).collect();
    let there = all.iter().step_by(3);
    let there: Vec<ActorKey> = there.map(|jid| enter(&mut shard, jid)).collect();
    let left = there[1];
    shard.cells[left].account.sessions[0].ended = true;
    let resident = shard.resident_accounts();
    let full = all.iter().map(|jid| jid.with_resource("orchard"));
    let to: Vec<Jid> = full.map(|jid| jid.expect("valid")).collect();
    let stanza = presence(Type::Available, ORCHARD);
    let to = to.iter().collect();
    shard.route(NOW, Envelope::Group { stanza, to });
    shard.hand_out(NOW);
    for actor in there {
        let heard: &[Type] = match actor == left {
            true => &[],
            false => &[Type::Available],
        };
        assert_eq!(answers(&shard, actor), heard);
    }
    assert_eq!(shard.resident_accounts(), resident);
}

#[test]
fn many_contacts_are_told_a_part_at_a_time_and_what_follows_waits() {
    let (mut shard, _) = stage_of(1);
    let count = 2 * limits::SPREAD_COUNT + 7;
    to_many(&mut shard, presence(Type::Available, ORCHARD), count);
    assert_eq!(left(&shard, ROMEO), [limits::SPREAD_COUNT + 7]);
    // From the same account, and from another.
    to_one(&mut shard, presence(Type::Available, ORCHARD), count - 1);
    let somebody = "somebody@localhost/1";
    to_one(&mut shard, presence(Type::Available, somebody), count - 1);
    assert_eq!(left(&shard, ROMEO), [limits::SPREAD_COUNT + 7, 0]);
    assert!(left(&shard, "somebody@localhost").is_empty());
    shard.handle(at(1), Input::Tick);
    assert_eq!(left(&shard, ROMEO), [7, 0]);
    shard.handle(at(2), Input::Tick);
    shard.handle(at(3), Input::Tick);
    assert!(left(&shard, ROMEO).is_empty());
    shard.handle(at(4), Input::Tick);
    assert!(shard.spreads.is_empty());
}

/// What is heard on the other worker of an account there and many of its contacts, all served here, and of one that is
/// not, when the account's presence goes to them.
fn heard_of_a_farewell(stops: bool, is_said: bool) -> BTreeMap<String, Vec<Type>> {
    let mut shard = shard(WorkerId(0), 2);
    let mut all = (0..2 * limits::SPREAD_COUNT).map(jid);
    let other = all.find(|jid| shard.routes.home(jid) == WorkerId(1));
    let from = other.expect("some live there").with_resource("1");
    let mut to: Vec<Jid> = all.collect();
    to.push(Jid::parse("juliet@elsewhere.example").expect("valid"));
    let from = from.expect("valid");
    let say = |shard: &mut Shard, type_| {
        let stanza = presence(type_, from.as_str());
        let to = to.iter().collect();
        shard.route(NOW, Envelope::Group { stanza, to });
    };
    if is_said {
        say(&mut shard, Type::Available);
    }
    let mut heard = BTreeMap::new();
    collect(&mut shard, &mut heard);
    if stops {
        shard.handle(NOW, Input::Control(Control::Drain));
    }
    say(&mut shard, Type::Unavailable);
    for ms in 1..10 {
        shard.handle(at(ms), Input::Tick);
    }
    heard.clear();
    collect(&mut shard, &mut heard);
    heard
}

#[test]
fn a_server_that_stops_tells_only_those_elsewhere_who_has_gone() {
    // Whether others are still being told of what was before, or nobody is.
    for is_said in [false, true] {
        let heard = heard_of_a_farewell(false, is_said);
        assert!(heard.len() > limits::SPREAD_COUNT / 2, "{}", heard.len());
        // Nothing goes elsewhere, and that is what its sender hears.
        let heard = heard_of_a_farewell(true, is_said);
        assert_eq!(heard.len(), 1);
        assert!(heard.into_values().all(|types| types == [Type::Error]));
    }
}

#[test]
fn a_worker_with_too_much_to_do_puts_presence_off_and_no_farewell_of_a_server_that_stops() {
    for stops in [false, true] {
        let mut shard = shard(WorkerId(0), 1);
        let budget = shard.config.server.queue_memory.as_bytes() as usize;
        shard.load.recount(&mut 0, budget);
        if stops {
            shard.handle(NOW, Input::Control(Control::Drain));
        }
        to_many(&mut shard, presence(Type::Unavailable, ORCHARD), 20);
        assert_eq!(shard.spreads.is_empty(), stops);
    }
}

#[test]
fn newer_presence_takes_the_place_of_what_waits_of_the_same_session() {
    let (mut shard, _) = stage_of(1);
    let count = 3 * limits::SPREAD_COUNT;
    for round in 0..12 {
        for session in 0..10 {
            let from = format!("{ROMEO}/{session}");
            let type_ = match round % 2 {
                0 => Type::Available,
                _ => Type::Unavailable,
            };
            to_many(&mut shard, presence(type_, &from), count);
            to_many(&mut shard, presence(Type::Probe, &from), count);
        }
    }
    // The last word of each, the one before it where both count, and a question.
    let waits = left(&shard, ROMEO);
    assert!(waits.len() <= 30, "{}", waits.len());
    assert!(waits.iter().sum::<usize>() <= 30 * count);
}

#[test]
fn what_waits_for_many_is_counted_until_it_is_gone() {
    let (mut shard, _) = stage_of(1);
    let count = 2 * limits::SPREAD_COUNT;
    let before = shard.queued_bytes();
    to_many(&mut shard, presence(Type::Available, ORCHARD), count);
    let half = limits::SPREAD_COUNT * size_of::<Jid>();
    assert!(shard.queued_bytes() > before + half);
    to_many(&mut shard, presence(Type::Available, ORCHARD), count);
    for ms in 1..10 {
        shard.handle(at(ms), Input::Tick);
    }
    assert!(left(&shard, ROMEO).is_empty());
    assert_eq!(shard.queued_bytes(), before);
}

#[test]
fn accounts_that_speak_to_many_take_turns() {
    let (mut shard, _) = stage_of(1);
    let some = 3 * limits::SPREAD_COUNT;
    let other = "mercutio@localhost/1";
    to_many(&mut shard, presence(Type::Available, other), some);
    let many = 20 * limits::SPREAD_COUNT;
    to_many(&mut shard, presence(Type::Available, ORCHARD), many);
    for ms in 1..=4 {
        shard.handle(at(ms), Input::Tick);
    }
    assert!(left(&shard, "mercutio@localhost").is_empty());
    assert_eq!(left(&shard, ROMEO), [17 * limits::SPREAD_COUNT]);
}

#[test]
fn who_has_nothing_more_to_say_takes_no_turn_from_others() {
    let (mut shard, _) = stage_of(1);
    let speaker = |number: u32| format!("speaker-{number}@localhost/1");
    let count = limits::SPREAD_COUNT + 1;
    for number in 0..100 {
        to_many(
            &mut shard,
            presence(Type::Available, &speaker(number)),
            count,
        );
    }
    let last = "speaker-99@localhost";
    assert_eq!(left(&shard, last), [1]);
    shard.handle(at(1), Input::Tick);
    assert!(left(&shard, last).is_empty());
    to_many(&mut shard, presence(Type::Unavailable, &speaker(99)), count);
    assert_eq!(left(&shard, last), [count]);
    shard.handle(at(2), Input::Tick);
    assert_eq!(left(&shard, last), [1]);
    shard.handle(at(3), Input::Tick);
    shard.handle(at(4), Input::Tick);
    assert!(shard.spreads.is_empty());
}

#[test]
fn a_message_stands_between_what_its_session_was_before_and_after_it() {
    let (mut shard, _) = stage_of(1);
    let count = 3 * limits::SPREAD_COUNT;
    let waits = count - limits::SPREAD_COUNT;
    let mut message = presence(Type::Chat, ORCHARD);
    message.header.kind = Kind::Message;
    to_many(&mut shard, presence(Type::Available, ORCHARD), count);
    to_one(&mut shard, message.clone(), count - 1);
    // RFC 6120 section 10.1: "MUST ensure in-order processing".
    to_many(&mut shard, presence(Type::Available, ORCHARD), count);
    assert_eq!(left(&shard, ROMEO), [waits, 0, count]);
    // What stands behind it is void as ever, and so is what stands behind what another session says.
    message.header.from = Jid::parse("romeo@localhost/balcony").ok();
    to_one(&mut shard, message, count - 1);
    to_many(&mut shard, presence(Type::Available, ORCHARD), count);
    assert_eq!(left(&shard, ROMEO), [waits, 0, 0, count]);
}

#[test]
fn however_fast_it_changes_everybody_hears_the_last_word_last() {
    let mut rng = crate::base::Rng::from_seed([7; 32]);
    let (mut shard, _) = stage_of(2);
    let count = 3 * limits::SPREAD_COUNT;
    let mut heard = BTreeMap::new();
    let mut last = Type::Unavailable;
    let mut ms = 0;
    for _ in 0..50 {
        last = match rng.below(2) {
            0 => Type::Available,
            _ => Type::Unavailable,
        };
        // Who may see it changes.
        let some = count - rng.below(2) as usize * limits::SPREAD_COUNT;
        if some < count {
            for number in some..count {
                to_one(&mut shard, presence(Type::Unavailable, ORCHARD), number);
            }
        }
        to_many(&mut shard, presence(last, ORCHARD), some);
        for _ in 0..rng.below(4) {
            ms += 1;
            shard.handle(at(ms), Input::Tick);
            collect(&mut shard, &mut heard);
        }
    }
    to_many(&mut shard, presence(last, ORCHARD), count);
    for _ in 0..40 {
        ms += 1;
        shard.handle(at(ms), Input::Tick);
        collect(&mut shard, &mut heard);
    }
    assert!(shard.spreads.is_empty());
    // The others live on this worker.
    assert!(heard.len() > count / 3, "{}", heard.len());
    for (contact, heard) in heard {
        assert_eq!(heard.last(), Some(&last), "{contact}");
    }
}

#[test]
fn a_client_that_tells_many_faster_than_they_are_told_is_not_read_meanwhile() {
    let (mut shard, actor) = stage_of(1);
    let key = connect(&mut shard, actor);
    assert_eq!(shard.handle(NOW, Input::Bytes(key, b" ")), 1);
    for session in 0..10 {
        let from = format!("{ROMEO}/{session}");
        to_many(&mut shard, presence(Type::Available, &from), 10_000);
    }
    assert_eq!(shard.handle(NOW, Input::Bytes(key, b" ")), 0);
    std::iter::from_fn(|| shard.poll_output()).for_each(drop);
    let is_resumed = |shard: &mut Shard| {
        let mut outputs = std::iter::from_fn(|| shard.poll_output());
        outputs.any(|output| matches!(output, Output::Resume(it) if it == key))
    };
    let turns = 10 * 10_000 / limits::SPREAD_COUNT as u64;
    let ms = (1..2 * turns).find(|ms| {
        shard.handle(at(*ms), Input::Tick);
        is_resumed(&mut shard)
    });
    assert!(ms.is_some_and(|ms| ms > turns / 2), "{ms:?}");
    assert_eq!(shard.handle(at(2 * turns), Input::Bytes(key, b" ")), 1);
}

#[test]
fn what_answers_in_the_name_of_an_account_does_not_wait_behind_its_presence() {
    let (mut shard, _) = stage_of(1);
    to_many(&mut shard, presence(Type::Available, ORCHARD), 2_000);
    let waits = left(&shard, ROMEO).len();
    for (type_, from) in [(Type::Result, ROMEO), (Type::Error, ORCHARD)] {
        let mut answer = presence(type_, from);
        answer.header.kind = Kind::Iq;
        to_one(&mut shard, answer, 1);
    }
    assert_eq!(left(&shard, ROMEO).len(), waits);
    let mut message = presence(Type::Chat, ORCHARD);
    message.header.kind = Kind::Message;
    to_one(&mut shard, message, 1);
    assert_eq!(left(&shard, ROMEO).len(), waits + 1);
}
