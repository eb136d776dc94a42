//! Whatever is asked for, in however small steps, the page is the one that a look at every message finds.

use std::collections::BTreeSet;

use super::super::*;
use super::library::*;
use crate::base::{Now, Rng, Sequence, limits};
use crate::im::archive::ArchiveId;
use crate::stanza::{Condition, ns};
use crate::xml::Element;

#[test]
fn a_page_is_what_a_look_at_every_message_finds() {
    let mut rng = Rng::from_seed([42; 32]);
    // More than twice as many as one step reads of a list.
    for (count, queries) in [(1, 400), (3, 400), (40, 400), (300, 400), (2_000, 100)] {
        let mut library = library(&mut rng, count);
        // In the middle of a list, mostly.
        library.lose(rng.below(count) as usize / 4);
        for _ in 0..queries {
            let (xml, wish) = wish(&mut rng, &library);
            let query = read(&xml);
            let room = [1, 3, 100][rng.below(3) as usize];
            let (page, complete, count) = library.look(&query, &wish);
            let (sent, is) = library
                .play(&query, room)
                .unwrap_or_else(|c| panic!("{xml}: {c:?}"));
            assert_eq!(sent, page, "{xml} {wish:?} room {room}");
            assert_eq!(is.complete, complete, "{xml} {wish:?}");
            let ends = page.iter().min_by_key(|id| id.number);
            let ends = ends.zip(page.iter().max_by_key(|id| id.number));
            assert_eq!(is.ends, ends.map(|(a, b)| (*a, *b)), "{xml}");
            if wish.page.0.is_none() {
                assert_eq!(is.count, Some(count as u32), "{xml}");
            }
        }
    }
}

#[test]
fn a_page_that_is_found_while_messages_come_is_one_that_was_there() {
    let mut rng = Rng::from_seed([43; 32]);
    for (count, libraries) in [(3, 10), (300, 10), (1_200, 3)] {
        for _ in 0..libraries {
            let mut library = library(&mut rng, count);
            for _ in 0..20 {
                play_while_messages_come(&mut rng, &mut library);
            }
        }
    }
}

fn play_while_messages_come(rng: &mut Rng, library: &mut Library) {
    let (xml, wish) = wish(rng, library);
    let query = read(&xml);
    let room = [1, 3, 100][rng.below(3) as usize];
    let before = library.all.len();
    let grow = |library: &mut Library| {
        if rng.below(2) == 0 {
            library.grow(rng);
        }
    };
    let (sent, is) = library
        .play_while(&query, room, grow)
        .unwrap_or_else(|c| panic!("{xml}: {c:?}"));
    if let Some(max) = wish.page.0 {
        assert!(sent.len() <= max, "{xml} has {} of {max}", sent.len());
    }
    let was = (before..=library.all.len()).any(|moment| {
        let (page, complete, count) = library.look_at(moment, &query, &wish);
        let is_counted = wish.page.0.is_some() || is.count == Some(count as u32);
        page == sent && complete == is.complete && is_counted
    });
    assert!(was, "{xml} {wish:?} room {room}");
}

#[test]
fn a_count_reads_no_messages() {
    let mut rng = Rng::from_seed([2; 32]);
    let mut library = library(&mut rng, 0);
    let romeo = jid("romeo@example.org/orchard");
    for n in 0..600 {
        let id = ArchiveId {
            number: Sequence::first_at(1_795_392_000_000 + n),
            tag: n,
        };
        library.put(id, &message(&romeo, &"y".repeat(10_000)), &romeo);
    }
    let query = read(
        "<query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><max>0</max></set></query>",
    );
    let mut steps = 0;
    let (sent, is) = library.play_while(&query, 10, |_| steps += 1).unwrap();
    assert_eq!((sent.len(), is.count), (0, Some(600)));
    assert!(steps < 5, "{steps} steps");
}

#[test]
fn what_is_not_kept_any_more_is_not_found_by_its_id() {
    let mut rng = Rng::from_seed([4; 32]);
    let library = library(&mut rng, 10);
    let (old, first) = (library.all[4].id, library.all[5].id);
    for place in [
        "<set xmlns='http://jabber.org/protocol/rsm'><after>{}</after></set>",
        "<set xmlns='http://jabber.org/protocol/rsm'><before>{}</before></set>",
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>\
         <field var='ids'><value>{}</value></field></x>",
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>\
         <field var='after-id'><value>{}</value></field></x>",
    ] {
        let begun = |id: ArchiveId| {
            let place = place.replace("{}", &id.text(&seal()));
            let query = read(&format!("<query xmlns='urn:xmpp:mam:2'>{place}</query>"));
            begin(&query, first.number).map_err(|error| error.condition)
        };
        assert_eq!(begun(old).err(), Some(Condition::ItemNotFound), "{place}");
        assert!(begun(first).is_ok(), "{place}");
    }
}

#[test]
fn what_is_too_long_is_refused_before_it_is_looked_into() {
    let refused = |xml: &str| {
        let element = Element::parse(xml, ns::CLIENT).unwrap();
        let read = Query::read(&element, Fields::WithFulltext, &seal());
        read.err().map(|error| error.condition)
    };
    let named = |length: usize| {
        let id = "q".repeat(length);
        refused(&format!("<query xmlns='urn:xmpp:mam:2' queryid='{id}'/>"))
    };
    assert_eq!(named(limits::ARCHIVE_QUERY_ID_BYTES_MAX), None);
    let too_long = named(limits::ARCHIVE_QUERY_ID_BYTES_MAX + 1);
    assert_eq!(too_long, Some(Condition::BadRequest));
    let searched = |words: &str| {
        refused(&format!(
            "<query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>urn:xmpp:mam:2</value></field><field var='{{urn:xmpp:fulltext:0}}fulltext'>\
             <value>{words}</value></field></x></query>"
        ))
    };
    let half = limits::ARCHIVE_SEARCH_BYTES_MAX / 2;
    assert_eq!(searched(&"a ".repeat(half)), None);
    assert_eq!(
        searched(&"a ".repeat(half + 1)),
        Some(Condition::BadRequest)
    );
    let hostile = searched(&"a ".repeat(125_000));
    assert_eq!(hostile, Some(Condition::ResourceConstraint));
}

#[test]
fn large_messages_are_sent_a_few_at_a_time_and_all_of_them() {
    let mut rng = Rng::from_seed([1; 32]);
    let mut library = library(&mut rng, 10);
    let romeo = jid("romeo@example.org/orchard");
    let mut sequence = Sequence::above(0);
    for n in 0..12 {
        let now = Now {
            mono_ms: 0,
            wall_ms: 1_900_000_000_000 + n,
        };
        let id = ArchiveId {
            number: sequence.next(now),
            tag: n,
        };
        let stanza = message(&romeo, &"y".repeat(60_000));
        library.put(id, &stanza, &romeo);
        library.all.push(Entry {
            id,
            contact: romeo.clone(),
            words: BTreeSet::new(),
        });
    }
    let last: Vec<ArchiveId> = library
        .all
        .iter()
        .rev()
        .take(12)
        .rev()
        .map(|e| e.id)
        .collect();
    for query in [
        "<set xmlns='http://jabber.org/protocol/rsm'><max>12</max><before/></set>",
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>\
         <field var='with'><value>romeo@example.org</value></field></x>\
         <set xmlns='http://jabber.org/protocol/rsm'><max>12</max><before/></set>",
    ] {
        let query = read(&format!("<query xmlns='urn:xmpp:mam:2'>{query}</query>"));
        let (sent, is) = library.play(&query, 100).unwrap();
        assert_eq!((sent, is.complete), (last.clone(), false));
    }
    let ids: String = last
        .iter()
        .map(|id| format!("<value>{}</value>", id.text(&seal())))
        .collect();
    let query = read(&format!(
        "<query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
         <value>urn:xmpp:mam:2</value></field><field var='ids'>{ids}</field></x></query>"
    ));
    let (sent, is) = library.play(&query, 100).unwrap();
    assert_eq!((sent, is.complete), (last, true));
}

#[test]
fn an_id_of_another_archive_or_with_another_tag_is_not_found() {
    let mut rng = Rng::from_seed([9; 32]);
    let mut library = library(&mut rng, 20);
    let real = library.all[4].id;
    for (at, id) in [
        ArchiveId {
            tag: real.tag ^ 1,
            ..real
        },
        ArchiveId {
            number: real.number ^ 1,
            ..real
        },
        ArchiveId { number: 0, tag: 0 },
        ArchiveId {
            number: u64::MAX,
            tag: u64::MAX,
        },
    ]
    .into_iter()
    .enumerate()
    {
        for place in ["<after>{}</after>", "<before>{}</before>"] {
            let set = place.replace("{}", &id.text(&seal()));
            let query = read(&format!(
                "<query xmlns='{}'><set xmlns='{}'>{set}</set></query>",
                ns::MAM,
                ns::RSM
            ));
            assert_eq!(
                library.play(&query, 10),
                Err(Condition::ItemNotFound),
                "{at} {place}"
            );
        }
    }
}
