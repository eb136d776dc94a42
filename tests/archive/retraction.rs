//! Retractions (XEP-0424) of what is not there, of what is far back, and of what goes at the same moment.

use stonechat::actor::rows::{RowKey, Write};
use stonechat::base::limits;
use stonechat::engine::archive::INDEX;
use stonechat::im::pending::PENDING;
use stonechat::store::Request;

use crate::sim::{self, ConnId, Habits, World};
use crate::{archived, notes, says, user, world};

fn retracts(id: &str, number: usize) -> String {
    format!(
        "<message type='chat' id='m{number}'><retract xmlns='urn:xmpp:message-retract:1' id='{id}'/>\
         <body>I take it back</body></message>"
    )
}

/// Of three thousand messages.
const LISTS: usize = 3_000 / 64 + 2;

#[test]
fn a_retraction_reads_the_row_of_what_it_names_however_many_there_are() {
    let mut world = world("host.archive.messages = 0\n");
    let romeo = user(&mut world, "romeo", "<presence/>");
    for part in 0..30 {
        says(&mut world, romeo, &notes(part * 100, part * 100 + 100, 0));
        world.end_turns();
    }
    // What nobody ever said: one look at the lists of the index, of 64 messages each, and nothing more.
    for number in 0..50 {
        let before = world.reads;
        says(&mut world, romeo, &retracts("nothing", 4_000 + number));
        world.end_turns();
        let rows = world.reads.rows - before.rows;
        let questions = world.reads.questions - before.questions;
        assert!(
            questions <= 2 && rows <= LISTS,
            "{questions} questions, {rows} rows"
        );
    }
    // The very first, three thousand messages ago.
    let before = world.reads;
    says(&mut world, romeo, &retracts("m0", 5_000));
    world.end_turns();
    let rows = world.reads.rows - before.rows;
    assert!(rows <= LISTS + 2, "{rows} rows");
    let first = world.archive("romeo").into_iter().next().expect("a notice");
    assert!(
        first.contains("<retracted ") && !first.contains("note 0"),
        "{first}"
    );
}

/// Somebody who is not in memory gets a retraction of what nobody said: how many questions that takes.
fn questions_of_a_stranger(world: &mut World, juliet: ConnId, number: usize) -> usize {
    world.advance(130_000);
    assert_eq!(world.resident_accounts(), 1, "hers");
    let before = world.reads.questions;
    let message = retracts("nothing", number)
        .replace("<message ", "<message to='romeo@localhost' ")
        .replace("<body>", "<origin-id xmlns='urn:xmpp:sid:0' id='o'/><body>");
    let heard = says(world, juliet, &message);
    world.end_turns();
    assert!(!heard.contains("error"), "{heard}");
    world.reads.questions - before
}

#[test]
fn the_longest_turn_that_there_is_comes_to_its_end() {
    let mut world = world("");
    let juliet = user(&mut world, "juliet", "<presence/>");
    world.register("romeo", "secret");
    // Her own archive is read with the first.
    questions_of_a_stranger(&mut world, juliet, 0);
    let few = questions_of_a_stranger(&mut world, juliet, 1);
    // Of each group of names more lists than are looked at, each of which fills an answer.
    let account = world.account_id("romeo").0.to_be_bytes();
    let value = vec![0xff; limits::RANGE_BYTES_MAX / 16 * 16];
    for group in 0..limits::ARCHIVE_NAME_LISTS {
        for n in 0..=limits::ARCHIVE_NAME_READS as u64 {
            let term = [b'n', 0, 0, 0, 0, 0, 0, group];
            let list = Write::Put {
                table: &INDEX,
                key: RowKey::new(&account)
                    .then(&term)
                    .then(&(n + 1).to_be_bytes()),
                value: value[..].into(),
            };
            world.store.lock().apply(Request::Save(vec![list]));
        }
    }
    let many = questions_of_a_stranger(&mut world, juliet, 2);
    assert_eq!(many - few, limits::ARCHIVE_NAME_READS - 1);
    assert_eq!(archived(&world, "romeo"), [0, 1, 2]);
    world.assert_rest();
}

#[test]
fn a_notice_does_not_bring_back_what_the_archive_lost_meanwhile() {
    let mut gone = 0;
    for seed in 0..60 {
        let options = "c2s.rate_stanzas_per_s = 100000\nc2s.rate_stanzas_burst = 100000\n\
            host.archive.messages = 5\n";
        let config = sim::config(options).expect("valid options");
        let mut world = World::new(seed, 1, Habits::ROUGH, config);
        let romeo = user(&mut world, "romeo", "<presence/>");
        // One less than what makes the oldest go.
        says(&mut world, romeo, &notes(0, 60, 0));
        world.end_turns();
        let first = archived(&world, "romeo")[0];
        // Many more at once, and in the midst of them the retraction of what goes first.
        let id = format!("m{first}");
        let many = notes(60, 130, 0) + &retracts(&id, 130) + &notes(131, 200, 0);
        says(&mut world, romeo, &many);
        world.end_turns();
        world.settle();
        let left = archived(&world, "romeo");
        // "it is not permitted to create gaps or "holes" in the archive" (XEP-0313 section 3.2).
        let expected: Vec<usize> = (200 - left.len()..200).collect();
        assert_eq!(left, expected, "seed {seed}");
        gone += usize::from(left[0] > first);
        assert_eq!(world.row_count(&PENDING), 0);
        world.assert_rest();
    }
    assert_eq!(gone, 60, "what is retracted goes meanwhile");
}
