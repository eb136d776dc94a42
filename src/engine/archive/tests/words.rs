//! What is found by its words, and when they are indexed.

use super::super::*;
use super::library::*;
use crate::actor::rows::Write;
use crate::actor::{Answer, Disk};
use crate::base::{Rng, Sequence, limits};
use crate::im::archive::ArchiveId;
use crate::stanza::{Condition, Payload};
use crate::store::Request;

#[test]
fn all_texts_of_a_message_are_found_in_every_language() {
    let mut rng = Rng::from_seed([8; 32]);
    let mut library = library(&mut rng, 0);
    let romeo = jid("romeo@example.org/orchard");
    let mut stanza = message(&romeo, "");
    stanza.payload =
        Payload::from_normal("<body>Wherefore art thou</body><body xml:lang='cs'>Proč jsi</body>");
    let id = ArchiveId {
        number: Sequence::first_at(1_795_392_000_000),
        tag: 5,
    };
    library.put(id, &stanza, &romeo);
    for word in ["wherefore", "PROČ", "thou jsi"] {
        assert_eq!(library.play(&by_words(word), 10).unwrap().0, [id], "{word}");
    }
}

#[test]
fn what_was_indexed_by_words_of_another_form_is_indexed_anew() {
    let mut rng = Rng::from_seed([10; 32]);
    let mut library = library(&mut rng, 20);
    let end = library.all.last().map(|entry| entry.id.number + 1).unwrap();
    // As marks were before they said how words are made.
    library.store.apply(Request::Save(vec![Write::Put {
        table: &INDEXED,
        key: crate::im::archive::key(ME),
        value: end.to_be_bytes()[..].into(),
    }]));
    let sunny = library.all.iter();
    let sunny = sunny.filter(|entry| entry.words.contains("sun"));
    let sunny: Vec<ArchiveId> = sunny.map(|entry| entry.id).collect();
    assert!(!sunny.is_empty());
    assert_eq!(library.play(&by_words("sun"), 100).unwrap().0, sunny);
}

#[test]
fn words_are_indexed_when_somebody_searches_and_once() {
    let mut rng = Rng::from_seed([5; 32]);
    let mut library = library(&mut rng, 250);
    let romeo = jid("romeo@example.org/orchard");
    let is_sunny = |entry: &&Entry| entry.words.contains("sun");
    let sunny: Vec<ArchiveId> = library.all.iter().filter(is_sunny).map(|e| e.id).collect();
    let query = read("<query xmlns='urn:xmpp:mam:2'/>");
    library.play(&query, 100).unwrap();
    assert_eq!(library.indexed, 0, "nobody has searched for words");
    let search = |library: &mut Library| {
        let before = library.indexed;
        let (sent, _) = library.play(&by_words("SUN"), 100).unwrap();
        (sent, library.indexed - before)
    };
    let (sent, indexed) = search(&mut library);
    assert_eq!(sent, sunny[..sunny.len().min(50)]);
    assert!(indexed > 250, "{indexed}");
    assert_eq!(search(&mut library).1, 0, "nothing is new");
    // One that came since: its two words, and the mark.
    let number = library.all.last().map(|entry| entry.id.number + 1).unwrap();
    let id = ArchiveId { number, tag: 1 };
    let stanza = message(&romeo, "black sun");
    library.put(id, &stanza, &romeo);
    assert_eq!(search(&mut library).1, 3);
    let (sent, _) = library.play(&by_words("black"), 100).unwrap();
    assert_eq!(sent, [id]);
}

#[test]
fn a_search_asks_a_full_disk_for_nothing() {
    let mut rng = Rng::from_seed([6; 32]);
    let mut library = library(&mut rng, 50);
    let query = by_words("sun");
    library.disk = Disk::Full;
    let refused = Err(Condition::ResourceConstraint);
    assert_eq!(library.play(&query, 100), refused);
    assert_eq!(library.indexed, 0);
    library.disk = Disk::Roomy;
    let found = library.play(&query, 100);
    assert!(library.indexed > 0);
    // Where all is indexed nothing needs to be written.
    library.disk = Disk::Full;
    assert_eq!(library.play(&query, 100), found);
}

/// So many characters that are written without spaces, from this one on.
fn han(from: u32, count: u32) -> String {
    let all = (from..from + count).map(|n| char::from_u32(0x4e00 + n).expect("a character"));
    all.collect()
}

#[test]
fn a_long_part_of_a_sentence_is_found_and_nothing_that_has_its_characters_otherwise() {
    let mut rng = Rng::from_seed([6; 32]);
    let romeo = jid("romeo@example.org/orchard");
    let phrases = [
        han(0, 10),
        "北京天安门广场看升旗仪式".to_owned(),
        "กรุงเทพมหานคร".to_owned(),
        "コンピューターサイエンス".to_owned(),
        han(0, 40),
        format!("{} sun", han(0, 13)),
    ];
    for (at, phrase) in phrases.iter().enumerate() {
        let mut library = library(&mut rng, 0);
        let mut said = Vec::new();
        for n in 0..40 {
            // Most have every pair of it, and in one place not its order.
            let at = phrase.chars().count() / 2 - 1;
            let middle = phrase.char_indices().nth(at).expect("long").0;
            let (before, behind) = phrase.split_at(middle);
            let pair: String = phrase.chars().skip(at - 1).take(2).collect();
            let is_it = n % 8 == 3;
            let body = match is_it {
                true => format!("前{phrase}後"),
                false => format!("{behind}{before}，{pair}"),
            };
            let number = Sequence::first_at(1_795_392_000_000 + n);
            let id = ArchiveId { number, tag: 5 };
            library.put(id, &message(&romeo, &body), &romeo);
            said.extend(is_it.then_some(id));
        }
        let found = |library: &mut Library, page: &str| {
            let query = by_words_in(phrase, page);
            let (sent, page) = library.play(&query, 3).expect("found");
            (sent, page.complete)
        };
        assert_eq!(found(&mut library, ""), (said.clone(), true), "{at}");
        let two = (said[..2].to_vec(), false);
        assert_eq!(found(&mut library, "<max>2</max>"), two, "{at}");
        let last = (said[3..].to_vec(), false);
        assert_eq!(found(&mut library, "<max>2</max><before/>"), last, "{at}");
        let all = (said.clone(), true);
        assert_eq!(found(&mut library, "<max>5</max><before/>"), all, "{at}");
        let (_, count) = library
            .play(&by_words_in(phrase, "<max>0</max>"), 3)
            .expect("found");
        assert_eq!(count.count, Some(5), "{at}");
    }
}

#[test]
fn a_sentence_without_spaces_is_found_by_what_stands_far_behind() {
    let mut rng = Rng::from_seed([6; 32]);
    let mut library = library(&mut rng, 0);
    let romeo = jid("romeo@example.org/orchard");
    let number = Sequence::first_at(1_795_392_000_000);
    let id = ArchiveId { number, tag: 5 };
    let body = format!("{} {}", han(0, 250), "word ".repeat(20));
    library.put(id, &message(&romeo, &body), &romeo);
    for part in [han(100, 2), han(245, 4), han(120, 100), "word".to_owned()] {
        let (sent, _) = library.play(&by_words(&part), 100).expect("found");
        assert_eq!(sent, [id], "{part}");
    }
    let (sent, _) = library.play(&by_words(&han(300, 4)), 100).expect("found");
    assert_eq!(sent, []);
}

#[test]
fn a_step_indexes_no_more_words_than_everybody_can_wait_for() {
    let mut rng = Rng::from_seed([6; 32]);
    let mut library = library(&mut rng, 0);
    let romeo = jid("romeo@example.org/orchard");
    for n in 0..100 {
        let words: String = (0..200).map(|word| format!("w{n}x{word} ")).collect();
        let number = Sequence::first_at(1_795_392_000_000 + n);
        library.put(
            ArchiveId { number, tag: 5 },
            &message(&romeo, &words),
            &romeo,
        );
    }
    let query = by_words("w99x0");
    let mut reach = begin(&query, 0).expect("nothing is named");
    let mut steps = 0;
    loop {
        let before = library.indexed;
        let (sent, next) = library.step(&query, &reach, 100).expect("found");
        let bound = limits::ARCHIVE_INDEX_WORDS + limits::ARCHIVE_WORDS_MAX + 1;
        assert!(library.indexed - before <= bound);
        steps += 1;
        match next {
            Ok(next) => reach = next,
            Err(_) => break assert_eq!(sent.len(), 1),
        }
    }
    assert!(steps > 20, "{steps}");
}

#[test]
fn a_message_that_was_retracted_while_it_was_indexed_is_not_found_by_its_words() {
    let mut rng = Rng::from_seed([6; 32]);
    let mut library = library(&mut rng, 0);
    let romeo = jid("romeo@example.org/orchard");
    let id = ArchiveId {
        number: Sequence::first_at(1_795_392_000_000),
        tag: 5,
    };
    library.put(id, &message(&romeo, "sun"), &romeo);
    let range = range(ME, 0, u64::MAX);
    let table = &ARCHIVE;
    let Answer::Range { rows, .. } = library.store.apply(Request::Range { table, range }) else {
        panic!("no rows");
    };
    let archived = Archived::read(&rows[0]).unwrap();
    let (grave, _) = tombstone(ME, &archived, "r1", 1_795_392_001_000).unwrap();
    library.store.apply(Request::Save(grave));
    // The step that read it before writes behind the retraction.
    let late = super::super::row::put_words(ME, &archived).collect();
    library.store.apply(Request::Save(late));
    assert_eq!(library.play(&by_words("sun"), 100).unwrap().0, []);
}
