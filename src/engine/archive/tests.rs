//! Searches against a plain list: whatever is asked for, in however small steps, the page is the one that a look at
//! every message finds.

use std::collections::BTreeSet;

use super::*;
use crate::actor::rows::Write;
use crate::actor::{Answer, Aside, Catalog, Disk, Effects, Loaded, Need, Stop, Turn};
use crate::base::{AccountId, Now, Rng, Seal, Sequence, limits};
use crate::config::{Config, Outside, load};
use crate::im::archive::{ArchiveId, Entry as Unindexed, Reach};
use crate::im::pending::{self, Found as Waits, MARK, PENDING};
use crate::im::{Account, Progress};
use crate::jid::Jid;
use crate::stanza::{Condition, Header, Kind, Payload, Stanza, Type, ns};
use crate::store::Request;
use crate::store::memory::MemoryStore;
use crate::xml::Element;

fn seal() -> Seal {
    Seal::new(&[9; 16])
}

const ME: AccountId = AccountId(7);
const OTHER: AccountId = AccountId(8);

/// An archive, and the list that it should be.
struct Library {
    store: MemoryStore,
    config: Config,
    all: Vec<Entry>,
    wall_ms: u64,
    sequence: Sequence,
    /// What no list has yet.
    tail: Vec<Unindexed>,
    /// Writes by which searches took the index further.
    indexed: usize,
}

struct Entry {
    id: ArchiveId,
    contact: Jid,
    words: BTreeSet<&'static str>,
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn message(from: &Jid, body: &str) -> Stanza {
    let mut header = Header::new(Kind::Message, Type::Chat);
    header.from = Some(from.clone());
    header.to = Some(jid("juliet@example.org"));
    header.id = Some("m".into());
    Stanza {
        header,
        payload: Payload::from_normal(&format!("<body>{body}</body>")),
    }
}

/// `count` messages over some months, of few contacts and few words.
fn library(rng: &mut Rng, count: u32) -> Library {
    let outside = Outside {
        features: &[],
        cores: 1,
        address: |_| Ok(()),
        log_filter: |_| Ok(()),
    };
    let mut library = Library {
        store: MemoryStore::new(&[&ARCHIVE, &INDEX, &INDEXED]),
        config: load("", "", &outside).expect("the defaults are valid"),
        all: Vec::new(),
        wall_ms: 1_790_000_000_000,
        sequence: Sequence::above(0),
        tail: Vec::new(),
        indexed: 0,
    };
    for _ in 0..count {
        library.grow(rng);
    }
    library
}

/// What was sent, and what was said about it.
type Outcome = Result<(Vec<ArchiveId>, Page), Condition>;

impl Library {
    /// A message comes.
    fn grow(&mut self, rng: &mut Rng) {
        // Some in the same millisecond, some a week apart.
        self.wall_ms += [0, 0, 1, 60_000, 7 * 24 * 3_600_000][rng.below(5) as usize];
        let now = Now {
            mono_ms: 1,
            wall_ms: self.wall_ms,
        };
        let id = ArchiveId {
            number: self.sequence.next(now),
            tag: rng.next_u64(),
        };
        let contacts = [
            "romeo@example.org/orchard",
            "romeo@example.org/street",
            "nurse@example.org",
        ];
        let contact = jid(contacts[rng.below(3) as usize]);
        let words: BTreeSet<&str> = ["sun", "moon", "star"]
            .into_iter()
            .filter(|_| rng.below(3) == 0)
            .collect();
        let body: Vec<&str> = words.iter().copied().collect();
        let body = format!("{} {}", body.join(" "), "x".repeat(rng.below(200) as usize));
        let stanza = message(&contact, &body);
        self.put(id, &stanza, &contact);
        if self.all.len().is_multiple_of(3) {
            let other = put(OTHER, id, (&stanza, &contact), &mut Vec::new());
            let mut writes = index(OTHER, [other.entry].into_iter());
            writes.push(other.write);
            self.store.apply(Request::Save(writes));
        }
        self.all.push(Entry { id, contact, words });
        if rng.below(20) == 0 {
            self.catch_up();
        }
    }

    fn put(&mut self, id: ArchiveId, stanza: &Stanza, contact: &Jid) {
        let made = put(ME, id, (stanza, contact), &mut Vec::new());
        self.store.apply(Request::Save(vec![made.write]));
        self.tail.push(made.entry);
    }

    /// As `features/mam/keep.rs` does now and then.
    fn catch_up(&mut self) {
        let writes = index(ME, self.tail.drain(..));
        self.store.apply(Request::Save(writes));
    }

    /// So many of the oldest go.
    fn lose(&mut self, count: usize) {
        self.catch_up();
        let keys = self
            .all
            .drain(..count)
            .map(|entry| key(ME, entry.id.number));
        let pick = crate::actor::rows::Pick::Rows(keys.collect());
        let Answer::Range { rows, .. } = self.store.apply(Request::Pick {
            table: &ARCHIVE,
            pick,
        }) else {
            panic!("no rows");
        };
        assert_eq!(rows.len(), count);
        let writes = rows
            .iter()
            .flat_map(|row| erase(ME, row, u64::MAX))
            .collect();
        self.store.apply(Request::Save(writes));
    }

    /// Plays a query to its end with room for `room` messages a step.
    fn play(&mut self, query: &Query, room: usize) -> Outcome {
        self.play_while(query, room, |_| ())
    }

    /// The same while something happens before every step.
    fn play_while(
        &mut self,
        query: &Query,
        room: usize,
        mut happens: impl FnMut(&mut Library),
    ) -> Outcome {
        let mut reach = begin(query, 0).map_err(|error| error.condition)?;
        // As `features/mam/search.rs` does.
        let mut query = query.clone();
        if let Some(with) = query.with {
            let tail = self.tail.iter().filter(|entry| with.is_of(entry));
            query.unindexed = tail.map(|entry| entry.number).collect();
        }
        let query = &query;
        let mut sent = Vec::new();
        for _ in 0..10_000 {
            happens(self);
            match self.step(query, &reach, room) {
                Ok((page, Ok(next))) => {
                    assert!(page.len() <= room, "more than there is room for");
                    sent.extend(page);
                    reach = next;
                }
                Ok((page, Err(is))) => {
                    sent.extend(page);
                    return Ok((sent, is));
                }
                Err(condition) => return Err(condition),
            }
        }
        panic!("the search does not end: {query:?}");
    }

    fn step(
        &mut self,
        query: &Query,
        reach: &Reach,
        room: usize,
    ) -> Result<(Vec<ArchiveId>, Result<Reach, Page>), Condition> {
        let mut loaded: Vec<Loaded> = Vec::new();
        let account = Account::new(jid("juliet@example.org"));
        let catalog = Catalog::new(&[], |_| true);
        for _ in 0..crate::base::limits::ASIDE_RUNS_MAX {
            let (mut rng, mut sequence) = (Rng::from_seed([0; 32]), Sequence::above(0));
            let mut out = Effects::new();
            let progress = Progress::Begun;
            let turn = Turn {
                now: Now::default(),
                config: &self.config,
                host: &self.config.hosts[0],
                catalog: &catalog,
                actor: &account,
                rng: &mut rng,
                sequence: &mut sequence,
                seal: &seal(),
                out: &mut out,
                loaded: &loaded,
                asker: None,
                disk: Disk::Roomy,
                aside: Some(Aside {
                    progress: &progress,
                    room,
                }),
            };
            let ids = |page: Vec<Archived<'_>>| page.into_iter().map(|found| found.id).collect();
            match step(&turn, ME, query, reach, room) {
                Ok(Found::Some(page, next)) => return Ok((ids(page), Ok(next))),
                Ok(Found::Behind(writes, next)) => {
                    self.indexed += writes.len();
                    self.store.apply(Request::Save(writes));
                    return Ok((Vec::new(), Ok(next)));
                }
                Ok(Found::Last(page, is)) => return Ok((ids(page), Err(is))),
                Err(Stop::Reject(error)) => return Err(error.condition),
                Err(Stop::Need(need)) => {
                    let fetched = self.fetch(need);
                    loaded.push(fetched);
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        panic!("a step reads too much: {query:?}");
    }

    fn fetch(&mut self, need: Need) -> Loaded {
        let request = match &need {
            Need::Row(table, key) => Request::Row {
                table,
                key: key.clone(),
            },
            Need::Range(table, range) => Request::Range {
                table,
                range: range.clone(),
            },
            Need::Pick(table, pick) => Request::Pick {
                table,
                pick: pick.clone(),
            },
            Need::Account(_) | Need::Directory(_) => panic!("no archive asks {need:?}"),
        };
        match (need, self.store.apply(request)) {
            (Need::Row(table, key), Answer::Row(value)) => Loaded::Row { table, key, value },
            (Need::Range(table, range), Answer::Range { rows, more }) => Loaded::Range {
                table,
                range,
                rows,
                more,
            },
            (Need::Pick(table, pick), Answer::Range { rows, more }) => Loaded::Pick {
                table,
                pick,
                rows,
                more,
            },
            other => panic!("{other:?}"),
        }
    }

    /// The same by a look at every message.
    fn look(&self, query: &Query, wish: &Wish) -> (Vec<ArchiveId>, bool, usize) {
        self.look_at(self.all.len(), query, wish)
    }

    /// The same when there were only so many.
    fn look_at(&self, count: usize, query: &Query, wish: &Wish) -> (Vec<ArchiveId>, bool, usize) {
        let fits = |entry: &&Entry| {
            let contact = match &wish.with {
                Some(with) if with.resourcepart().is_some() => entry.contact == *with,
                Some(with) => entry.contact.bare_str() == with.as_str(),
                None => true,
            };
            let ids = query.ids.as_ref();
            (query.from..query.to).contains(&entry.id.number)
                && contact
                && wish.words.iter().all(|word| entry.words.contains(word))
                && ids.is_none_or(|ids| ids.contains(&entry.id))
        };
        let all = self.all[..count].iter();
        let all: Vec<ArchiveId> = all.filter(fits).map(|entry| entry.id).collect();
        let count = all.len();
        let (mut page, complete) = match wish.page {
            (Some(max), Position::First) => (all[..count.min(max)].to_vec(), count <= max),
            (Some(max), Position::Last) => (all[count - count.min(max)..].to_vec(), count <= max),
            (None, _) => (Vec::new(), count == 0),
        };
        if wish.flip {
            page.reverse();
        }
        (page, complete, count)
    }
}

#[derive(Clone, Copy, Debug)]
enum Position {
    First,
    Last,
}

#[derive(Debug)]
struct Wish {
    with: Option<Jid>,
    words: Vec<&'static str>,
    page: (Option<usize>, Position),
    flip: bool,
}

/// A query in XML, and what it means.
fn wish(rng: &mut Rng, library: &Library) -> (String, Wish) {
    let some = |rng: &mut Rng| library.all[rng.below(library.all.len() as u32) as usize].id;
    let with = [
        None,
        None,
        Some("romeo@example.org"),
        Some("romeo@example.org/street"),
        Some("tybalt@example.org"),
    ][rng.below(5) as usize];
    let words: Vec<&str> = match rng.below(4) {
        0 => vec!["sun"],
        1 => vec!["sun", "moon"],
        _ => Vec::new(),
    };
    let mut fields = String::new();
    let mut field = |name: &str, values: &[String]| {
        let values: String = values
            .iter()
            .map(|v| format!("<value>{v}</value>"))
            .collect();
        fields.push_str(&format!("<field var='{name}'>{values}</field>"));
    };
    field("FORM_TYPE", &[ns::MAM.into()]);
    if rng.below(5) == 0 {
        let most = [6, 200][rng.below(2) as usize];
        let ids: Vec<String> = (0..rng.below(most) + 1)
            .map(|_| some(rng).text(&seal()))
            .collect();
        field("ids", &ids);
    }
    if let Some(with) = with {
        field("with", &[with.into()]);
    }
    if !words.is_empty() {
        field("{urn:xmpp:fulltext:0}fulltext", &[words.join(" ")]);
    }
    let moment = |id: ArchiveId| crate::stanza::stamp(Sequence::wall_ms_of(id.number));
    if rng.below(4) == 0 {
        field("start", &[moment(some(rng))]);
    }
    if rng.below(4) == 0 {
        field("end", &[moment(some(rng))]);
    }
    if rng.below(6) == 0 {
        field("after-id", &[some(rng).text(&seal())]);
    }
    let max = match rng.below(5) {
        0 => None,
        _ => Some(rng.below(20) as usize + 1),
    };
    let (position, at) = match rng.below(5) {
        0 => (
            Position::First,
            format!("<after>{}</after>", some(rng).text(&seal())),
        ),
        1 => (
            Position::Last,
            format!("<before>{}</before>", some(rng).text(&seal())),
        ),
        2 => (Position::Last, "<before/>".into()),
        _ => (Position::First, String::new()),
    };
    let flip = rng.below(3) == 0;
    let xml = format!(
        "<query xmlns='{}'><x xmlns='jabber:x:data' type='submit'>{fields}</x>\
         <set xmlns='{}'><max>{}</max>{at}</set>{}</query>",
        ns::MAM,
        ns::RSM,
        max.unwrap_or(0),
        if flip { "<flip-page/>" } else { "" }
    );
    let wish = Wish {
        with: with.map(jid),
        words,
        page: (max, position),
        flip,
    };
    (xml, wish)
}

fn read(xml: &str) -> Query {
    let element = Element::parse(xml, ns::CLIENT).unwrap();
    Query::read(&element, Fields::WithFulltext, &seal())
        .unwrap_or_else(|error| panic!("{xml}: {error}"))
}

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

#[test]
fn what_is_erased_or_retracted_is_found_by_nothing() {
    let mut rng = Rng::from_seed([3; 32]);
    let mut library = library(&mut rng, 0);
    let romeo = jid("romeo@example.org/orchard");
    let stanza = message(&romeo, "sun &amp; moon");
    let id = ArchiveId {
        number: Sequence::first_at(1_795_392_000_000),
        tag: 5,
    };
    library.put(id, &stanza, &romeo);
    library.catch_up();
    let everything = |library: &mut Library, table| match library.store.apply(Request::Range {
        table,
        range: crate::actor::rows::RowRange {
            to: key(AccountId(u64::MAX), u64::MAX),
            ..range(AccountId(0), 0, 0)
        },
    }) {
        Answer::Range { rows, .. } => rows,
        other => panic!("{other:?}"),
    };
    let rows = everything(&mut library, &ARCHIVE);
    assert_eq!((rows.len(), everything(&mut library, &INDEX).len()), (1, 2));
    let (sent, _) = library.play(&by_words("moon"), 10).unwrap();
    assert_eq!(
        (sent, everything(&mut library, &INDEX).len()),
        (vec![id], 4)
    );

    let archived = Archived::read(&rows[0]).unwrap();
    let (grave, _) = tombstone(ME, &archived, "r1", 1_795_392_001_000).unwrap();
    library.store.apply(Request::Save(grave));
    let buried = everything(&mut library, &ARCHIVE);
    let found = Archived::read(&buried[0]).unwrap();
    assert_eq!(found.id, id);
    assert_eq!(
        found.stanza().unwrap().payload.xml(),
        "<retracted xmlns='urn:xmpp:message-retract:1' id='r1' stamp='2026-11-23T00:00:01.000Z'/>"
    );
    assert_eq!(everything(&mut library, &INDEX).len(), 2);

    let gone = erase(ME, &buried[0], u64::MAX);
    library.store.apply(Request::Save(gone));
    assert_eq!(everything(&mut library, &ARCHIVE).len(), 0);
    assert_eq!(everything(&mut library, &INDEX).len(), 0);
}

fn by_words(words: &str) -> Query {
    by_words_in(words, "")
}

/// The same with a page.
fn by_words_in(words: &str, page: &str) -> Query {
    read(&format!(
        "<query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
         <value>urn:xmpp:mam:2</value></field><field var='{{urn:xmpp:fulltext:0}}fulltext'>\
         <value>{words}</value></field></x><set xmlns='http://jabber.org/protocol/rsm'>{page}</set></query>"
    ))
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
    let late = super::row::put_words(ME, &archived).collect();
    library.store.apply(Request::Save(late));
    assert_eq!(library.play(&by_words("sun"), 100).unwrap().0, []);
}

#[test]
fn a_message_that_its_archive_lets_go_waits_on_as_whose_it_was() {
    let (romeo, n) = (
        jid("romeo@example.org/orchard"),
        Sequence::first_at(1_795_392_000_000),
    );
    let mut store = MemoryStore::new(&[&ARCHIVE, &PENDING]);
    let made = put(
        ME,
        ArchiveId { number: n, tag: 5 },
        (&message(&romeo, "sun"), &romeo),
        &mut Vec::new(),
    );
    // A stranger's, by the bits beside the time, and 77 bytes.
    let stamp = [0x92, 0x34, 1, 2, 3, 4, 5, 6];
    let mark = [&[MARK][..], &stamp, &[0, 0, 0, 77]].concat();
    let pending = Write::Put {
        table: &PENDING,
        key: key(ME, n),
        value: mark.into(),
    };
    store.apply(Request::Save(vec![made.write, pending]));
    let table = &ARCHIVE;
    let range = range(ME, 0, u64::MAX);
    let Answer::Range { rows, .. } = store.apply(Request::Range { table, range }) else {
        panic!("no rows");
    };
    let rescued = super::rescue(&rows[0], &seal()).expect("a message");
    // In one save with whatever removes it.
    store.apply(Request::Save(vec![rescued]));
    let (table, key) = (&PENDING, key(ME, n));
    let Answer::Row(Some(row)) = store.apply(Request::Row { table, key }) else {
        panic!("it is lost");
    };
    assert_eq!(row[1..9], stamp);
    let found = pending::decode(&row, &jid("example.org"));
    assert!(matches!(found, Some(Waits::Whole(_))));
}

#[test]
fn a_damaged_row_is_no_message() {
    for value in [
        &b""[..],
        b"\x01",
        b"\x01short",
        b"\x0212345678",
        b"\x01123456781234567812345678123456781234<message/>",
        b"\x0212345678123456781234567812345678\xff",
    ] {
        let row = crate::actor::rows::Row {
            key: key(ME, 1),
            value: value.to_vec(),
        };
        assert_eq!(Archived::read(&row), None);
        assert_eq!(erase(ME, &row, u64::MAX).len(), 1);
    }
}
