//! However messages leave an archive, no save is so long that everybody's would wait for it.

use super::Input;
use super::Shard;
use super::output::{Ask, Output};
use super::testing::{NOW, commits, stage};
use crate::actor::Answer;
use crate::actor::auth::AccountRef;
use crate::actor::rows::{RowRange, Table, Write};
use crate::base::{AccountId, ActorKey, Generation, Sequence, limits};
use crate::config::{Config, HostConfig};
use crate::engine::archive::{self, ARCHIVE, INDEX, INDEXED};
use crate::im::archive::{Archive, ArchiveId, EMPTYING, Emptying, PREFERENCES, TALLY};
use crate::im::pending::PENDING;
use crate::jid::Jid;
use crate::shard::numbers::NUMBERS;
use crate::stanza::{Header, Kind, Payload, Stanza, Type};
use crate::store::Request;
use crate::store::memory::MemoryStore;

const ACCOUNT: AccountId = AccountId(7);
const COUNT: u64 = 200;
static TABLES: &[&Table] = &[
    &ARCHIVE,
    &INDEX,
    &INDEXED,
    &TALLY,
    &PREFERENCES,
    &EMPTYING,
    &PENDING,
    &NUMBERS,
];

/// Romeo's account, and an archive of messages with hundreds of words each; `mark` says how far they are indexed.
struct Library {
    shard: Shard,
    actor: ActorKey,
    store: MemoryStore,
    /// Writes of the longest save, and removals from the index.
    longest: usize,
    unindexed: usize,
}

impl Library {
    fn new(mark: Option<&[u8]>) -> Library {
        let (mut shard, actor) = stage();
        let contact = Jid::parse("juliet@localhost").expect("valid");
        let mut store = MemoryStore::new(TABLES);
        let mut archive = Archive::default();
        let mut writes = Vec::new();
        for n in 0..COUNT {
            let number = Sequence::first_at(NOW.wall_ms) + n;
            let stanza = Stanza {
                header: Header::new(Kind::Message, Type::Chat),
                // Each character is a word, and so is each pair.
                payload: Payload::from_normal(&format!("<body>{}</body>", characters(n))),
            };
            let id = ArchiveId { number, tag: n };
            let made = archive::put(ACCOUNT, id, (&stanza, &contact), &mut Vec::new());
            archive.add(made.entry, made.bytes);
            writes.push(made.write);
        }
        writes.extend(mark.map(|mark| Write::Put {
            table: &INDEXED,
            key: crate::im::archive::key(ACCOUNT),
            value: mark.into(),
        }));
        store.apply(Request::Save(writes));
        let account = &mut shard.cells[actor].account;
        account.identity = Some(AccountRef {
            id: ACCOUNT,
            generation: Generation(0),
        });
        account.archive = Some(Box::new(archive));
        Library {
            shard,
            actor,
            store,
            longest: 0,
            unindexed: 0,
        }
    }

    fn left(&mut self) -> usize {
        let range = RowRange {
            bytes_max: usize::MAX,
            ..archive::range(ACCOUNT, 0, u64::MAX)
        };
        let table = &ARCHIVE;
        match self.store.apply(Request::Range { table, range }) {
            Answer::Range { rows, .. } => rows.len(),
            other => panic!("{other:?}"),
        }
    }

    /// The store answers until nothing is asked any more.
    fn serve(&mut self) {
        loop {
            self.shard.end_turn(NOW);
            let outputs: Vec<Output> = std::iter::from_fn(|| self.shard.poll_output()).collect();
            let mut is_asked = false;
            for output in outputs {
                let Output::Ask(ticket, ask) = output else {
                    continue;
                };
                is_asked = true;
                let request = match ask {
                    Ask::Row { table, key, .. } => Request::Row { table, key },
                    Ask::Range { table, range, .. } => Request::Range { table, range },
                    Ask::Pick { table, pick, .. } => Request::Pick { table, pick },
                    Ask::Save { writes, .. } => {
                        self.longest = self.longest.max(writes.len());
                        let is_it = |write: &&Write| {
                            matches!(write, Write::Delete { .. }) && write.table().is(&INDEX)
                        };
                        self.unindexed += writes.iter().filter(is_it).count();
                        self.store.apply(Request::Save(writes));
                        commits(&mut self.shard, ticket, Ok(()));
                        continue;
                    }
                    other => panic!("{other:?}"),
                };
                let answer = self.store.apply(request);
                self.shard.handle(NOW, Input::Answer(ticket, answer));
            }
            if !is_asked {
                return;
            }
        }
    }

    /// What nobody ever searched is not looked for in the index, and what was takes more than one save.
    fn judge(&self, is_indexed: bool) {
        let bound = limits::ARCHIVE_ERASE_WRITES + 1_000;
        assert!(self.longest <= bound, "{} writes", self.longest);
        match is_indexed {
            true => assert!(self.unindexed > 50_000, "{}", self.unindexed),
            // With whom it was exchanged.
            false => assert!(self.unindexed <= COUNT as usize, "{}", self.unindexed),
        }
    }
}

fn characters(n: u64) -> String {
    let chars = (0..250).map(|c| char::from_u32(0x4e00 + c * 7 + n as u32));
    chars.map(|c| c.expect("Han")).collect()
}

/// The words of all are indexed, as far as anybody knows; of none are.
const MARKS: [Option<&[u8]>; 2] = [Some(b"?"), None];

#[test]
fn who_empties_an_archive_keeps_nobody_waiting() {
    for mark in MARKS {
        let mut library = Library::new(mark);
        let owner = library.shard.cells[library.actor].account.jid.clone();
        let emptying = Emptying {
            account: ACCOUNT,
            owner: owner.clone(),
            until: u64::MAX,
        };
        library.store.apply(Request::Save(vec![emptying.put()]));
        library.shard.empty(NOW, owner, ACCOUNT, u64::MAX);
        library.serve();
        assert_eq!(library.left(), 0);
        library.judge(mark.is_some());
    }
}

#[test]
fn an_archive_that_loses_its_oldest_keeps_nobody_waiting() {
    for mark in MARKS {
        let mut library = Library::new(mark);
        let mut config = Config::clone(&library.shard.config);
        let mut host = HostConfig::clone(&config.hosts[0]);
        host.archive.messages = 1;
        config.hosts = vec![host.into()];
        library.shard.config = config.into();
        library.shard.trim_archive(NOW, library.actor);
        library.serve();
        assert_eq!(library.left(), 1);
        library.judge(mark.is_some());
    }
}
