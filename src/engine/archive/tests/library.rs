//! An archive and the list that it should be: what a search finds in small steps, and what a look at every message does.

use std::collections::BTreeSet;

use super::super::*;
use crate::actor::{Answer, Aside, Catalog, Disk, Effects, Loaded, Need, Stop, Turn};
use crate::base::{AccountId, Now, Rng, Seal, Sequence, limits};
use crate::config::{Config, Outside, load};
use crate::im::archive::{ArchiveId, Entry as Unindexed, Reach};
use crate::im::{Account, Progress};
use crate::jid::Jid;
use crate::stanza::{Condition, Header, Kind, Payload, Stanza, Type, ns};
use crate::store::Request;
use crate::store::memory::MemoryStore;
use crate::xml::Element;

pub fn seal() -> Seal {
    Seal::new(&[9; 16])
}

pub const ME: AccountId = AccountId(7);
pub const OTHER: AccountId = AccountId(8);

/// An archive, and the list that it should be.
pub struct Library {
    pub store: MemoryStore,
    pub config: Config,
    pub all: Vec<Entry>,
    pub wall_ms: u64,
    pub sequence: Sequence,
    /// What no list has yet.
    pub tail: Vec<Unindexed>,
    /// Writes by which searches took the index further.
    pub indexed: usize,
    pub disk: Disk,
}

pub struct Entry {
    pub id: ArchiveId,
    pub contact: Jid,
    pub words: BTreeSet<&'static str>,
}

pub fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

pub fn message(from: &Jid, body: &str) -> Stanza {
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
pub fn library(rng: &mut Rng, count: u32) -> Library {
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
        disk: Disk::Roomy,
    };
    for _ in 0..count {
        library.grow(rng);
    }
    library
}

/// What was sent, and what was said about it.
pub type Outcome = Result<(Vec<ArchiveId>, Page), Condition>;

impl Library {
    /// A message comes.
    pub fn grow(&mut self, rng: &mut Rng) {
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

    pub fn put(&mut self, id: ArchiveId, stanza: &Stanza, contact: &Jid) {
        let made = put(ME, id, (stanza, contact), &mut Vec::new());
        self.store.apply(Request::Save(vec![made.write]));
        self.tail.push(made.entry);
    }

    /// As `features/mam/keep.rs` does now and then.
    pub fn catch_up(&mut self) {
        let writes = index(ME, self.tail.drain(..));
        self.store.apply(Request::Save(writes));
    }

    /// So many of the oldest go.
    pub fn lose(&mut self, count: usize) {
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
    pub fn play(&mut self, query: &Query, room: usize) -> Outcome {
        self.play_while(query, room, |_| ())
    }

    /// The same while something happens before every step.
    pub fn play_while(
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

    pub fn step(
        &mut self,
        query: &Query,
        reach: &Reach,
        room: usize,
    ) -> Result<(Vec<ArchiveId>, Result<Reach, Page>), Condition> {
        let ids = |page: Vec<Archived<'_>>| page.into_iter().map(|found| found.id).collect();
        let (outcome, questions) = self.run(room, |turn| {
            Ok(match step(turn, ME, query, reach, room)? {
                Found::Some(page, next) => (ids(page), Vec::new(), Ok(next)),
                Found::Behind(writes, next) => (Vec::new(), writes, Ok(next)),
                Found::Last(page, is) => (ids(page), Vec::new(), Err(is)),
            })
        });
        assert!(
            questions < usize::from(limits::ASIDE_RUNS_MAX),
            "a step reads too much: {query:?}"
        );
        let (page, writes, next) = outcome?;
        self.indexed += writes.len();
        self.store.apply(Request::Save(writes));
        Ok((page, next))
    }

    /// What comes of a turn with room for `room` messages, and how many questions to the store it took.
    pub fn run<T>(
        &mut self,
        room: usize,
        act: impl Fn(&Turn<'_, Account>) -> Result<T, Stop>,
    ) -> (Result<T, Condition>, usize) {
        let mut loaded: Vec<Loaded> = Vec::new();
        let account = Account::new(jid("juliet@example.org"));
        let catalog = Catalog::new(&[], |_| true);
        loop {
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
                disk: self.disk,
                aside: Some(Aside {
                    progress: &progress,
                    room,
                }),
            };
            let outcome = match act(&turn) {
                Ok(found) => Ok(found),
                Err(Stop::Reject(error)) => Err(error.condition),
                Err(Stop::Need(need)) => {
                    let fetched = self.fetch(need);
                    loaded.push(fetched);
                    continue;
                }
                Err(other) => panic!("{other:?}"),
            };
            return (outcome, loaded.len());
        }
    }

    pub fn fetch(&mut self, need: Need) -> Loaded {
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
    pub fn look(&self, query: &Query, wish: &Wish) -> (Vec<ArchiveId>, bool, usize) {
        self.look_at(self.all.len(), query, wish)
    }

    /// The same when there were only so many.
    pub fn look_at(
        &self,
        count: usize,
        query: &Query,
        wish: &Wish,
    ) -> (Vec<ArchiveId>, bool, usize) {
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
pub enum Position {
    First,
    Last,
}

#[derive(Debug)]
pub struct Wish {
    pub with: Option<Jid>,
    pub words: Vec<&'static str>,
    pub page: (Option<usize>, Position),
    pub flip: bool,
}

/// A query in XML, and what it means.
pub fn wish(rng: &mut Rng, library: &Library) -> (String, Wish) {
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

pub fn read(xml: &str) -> Query {
    let element = Element::parse(xml, ns::CLIENT).unwrap();
    Query::read(&element, Fields::WithFulltext, &seal())
        .unwrap_or_else(|error| panic!("{xml}: {error}"))
}

pub fn by_words(words: &str) -> Query {
    by_words_in(words, "")
}

/// The same with a page.
pub fn by_words_in(words: &str, page: &str) -> Query {
    read(&format!(
        "<query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
         <value>urn:xmpp:mam:2</value></field><field var='{{urn:xmpp:fulltext:0}}fulltext'>\
         <value>{words}</value></field></x><set xmlns='http://jabber.org/protocol/rsm'>{page}</set></query>"
    ))
}
