//! The permanent rooms of a host, as its directory has them now. Refuses to know what is done in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::RwLock;

use super::content::{Change, Content};
use super::due::Due;
use super::error::DirectoryError;
use super::host::Shared;
use super::polled::Poller;
use super::pool::{Depth, Link, Query};
use super::room_people::RoomPeople;
use super::rooms::{self, Read, Room};
use super::watch::Follower;
use crate::config::DirectoryConfig;

/// What everybody may read.
#[derive(Default)]
pub struct RoomBook {
    rooms: RwLock<Arc<Rooms>>,
    people: RwLock<Arc<PeopleOfRooms>>,
}

/// Who has which affiliation, by the localparts of rooms; of rooms that are new it is not known yet, and of none where
/// groups are not read.
pub type PeopleOfRooms = BTreeMap<String, RoomPeople>;

/// By their localparts.
pub type Rooms = BTreeMap<String, Arc<Room>>;

impl RoomBook {
    /// All of them, as of now.
    pub fn all(&self) -> Arc<Rooms> {
        Arc::clone(&self.rooms.read())
    }

    /// Who has which affiliation to them by their entries, as of now.
    pub fn people(&self) -> Arc<PeopleOfRooms> {
        Arc::clone(&self.people.read())
    }

    /// Entries of people and groups were looked up.
    pub(super) fn learn_people(&self, people: PeopleOfRooms) {
        if people != *self.people() {
            let affiliations: usize = people.values().map(BTreeMap::len).sum();
            log::info!(
                "directory_room_people rooms={} affiliations={affiliations}",
                people.len()
            );
            *self.people.write() = Arc::new(people);
        }
    }
}

/// What is asked about the rooms of a host.
pub fn query(config: &DirectoryConfig) -> Query {
    Query {
        base: config.options.rooms_base.clone(),
        depth: Depth::Subtree,
        filter: config.options.rooms_filter.clone(),
        attributes: rooms::ATTRIBUTES.map(str::to_owned).to_vec(),
        count_max: config.options.watched as usize,
    }
}

/// Keeps the book.
pub struct RoomKeeper {
    shared: Arc<Shared>,
    poller: Poller,
    pages: Pages,
}

struct Pages {
    host: Arc<str>,
    book: Arc<RoomBook>,
    entries: BTreeMap<Box<[u8]>, Read>,
    is_whole: bool,
    /// Names that several have, which the operator was told of.
    collisions: BTreeSet<String>,
}

impl RoomKeeper {
    pub fn new(shared: &Arc<Shared>) -> RoomKeeper {
        let config = &shared.config;
        let options = &config.options;
        RoomKeeper {
            shared: Arc::clone(shared),
            poller: Poller::new(&query(config), &options.unique, options.preset),
            pages: Pages {
                host: Arc::clone(&shared.host),
                book: Arc::clone(&shared.rooms),
                entries: BTreeMap::new(),
                is_whole: false,
                collisions: BTreeSet::new(),
            },
        }
    }
}

impl Follower for RoomKeeper {
    fn hear(&mut self, change: Change<'_>) {
        let before = self.pages.book.all();
        self.pages.hear(change);
        self.tell_groups(&before);
    }

    fn look(&mut self, link: &mut Link, content: &mut Content) -> Result<(), DirectoryError> {
        let before = self.pages.book.all();
        let RoomKeeper { poller, pages, .. } = self;
        let looked = poller.look(link, content, &mut |change| pages.hear(change));
        self.tell_groups(&before);
        looked?;
        log::debug!("directory_looked_for_rooms host={}", self.shared.host);
        Ok(())
    }
}

impl RoomKeeper {
    /// Who is in which room is found out where groups are read.
    fn tell_groups(&self, before: &Arc<Rooms>) {
        if !Arc::ptr_eq(before, &self.pages.book.all()) {
            self.shared.due.iter().for_each(Due::groups);
        }
    }
}

impl Pages {
    fn hear(&mut self, change: Change<'_>) {
        match change {
            Change::Begins => self.is_whole = false,
            Change::Is { id, entry } => {
                let read = rooms::read(entry, &self.host);
                for problem in &read.problems {
                    log::warn!(
                        "directory_room_unclear host={} entry={:?} problem={problem:?}",
                        self.host,
                        read.dn
                    );
                }
                self.entries.insert(id.into(), read);
            }
            Change::Gone { id, .. } => {
                self.entries.remove(id);
            }
            Change::Whole => self.is_whole = true,
        }
        // Half of what there is says nothing of the other half.
        if self.is_whole {
            self.settle();
        }
    }

    /// Puts down what there is, and says what is other than before.
    fn settle(&mut self) {
        let (now, collisions) = self.rooms();
        for (localpart, names) in &collisions {
            if !self.collisions.contains(localpart) {
                log::error!(
                    "directory_room_collision host={} room={localpart} entries={names:?}",
                    self.host
                );
            }
        }
        self.collisions = collisions.into_keys().collect();
        let before = self.book.all();
        if now == *before {
            return;
        }
        for (localpart, room) in &now {
            if before.get(localpart) != Some(room) {
                log::info!("directory_room host={} room={localpart}", self.host);
            }
        }
        for localpart in before.keys().filter(|known| !now.contains_key(*known)) {
            log::info!("directory_room_gone host={} room={localpart}", self.host);
        }
        *self.book.rooms.write() = Arc::new(now);
    }

    /// Of two of one name neither is: names of their entries.
    fn rooms(&self) -> (Rooms, BTreeMap<String, Vec<String>>) {
        let mut rooms: BTreeMap<&str, Vec<&Read>> = BTreeMap::new();
        for read in self.entries.values() {
            if let Some(room) = &read.room {
                rooms.entry(&room.localpart).or_default().push(read);
            }
        }
        let (mut found, mut collisions) = (Rooms::new(), BTreeMap::new());
        for (localpart, having) in rooms {
            match having.as_slice() {
                [read] => {
                    let room = read.room.clone().map(Arc::new);
                    found.extend(room.map(|room| (localpart.to_owned(), room)));
                }
                _ => {
                    let names = having.iter().map(|read| read.dn.clone());
                    collisions.insert(localpart.to_owned(), names.collect());
                }
            }
        }
        (found, collisions)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ber::Entry;
    use super::*;

    #[test]
    fn rooms_are_there_once_all_are_known_and_twins_are_none() {
        let book = Arc::new(RoomBook::default());
        let mut pages = Pages {
            host: Arc::from("a"),
            book: Arc::clone(&book),
            entries: BTreeMap::new(),
            is_whole: false,
            collisions: BTreeSet::new(),
        };
        let names = || book.all().keys().cloned().collect::<Vec<_>>();
        let entry = |dn: &str, cn: &str| Entry::of(dn, &[("cn", &[cn.as_bytes()])]);
        let (piazza, crypt) = (entry("cn=1", "piazza"), entry("cn=2", "Crypt"));
        pages.hear(Change::Begins);
        pages.hear(Change::Is {
            id: b"1",
            entry: &piazza,
        });
        assert_eq!(names(), [""; 0]);
        pages.hear(Change::Is {
            id: b"2",
            entry: &crypt,
        });
        pages.hear(Change::Whole);
        assert_eq!(names(), ["crypt", "piazza"]);
        let twin = entry("cn=3", "piazza");
        pages.hear(Change::Is {
            id: b"3",
            entry: &twin,
        });
        assert_eq!(names(), ["crypt"]);
        pages.hear(Change::Gone {
            id: b"1",
            dn: "cn=1",
        });
        pages.hear(Change::Gone {
            id: b"2",
            dn: "cn=2",
        });
        assert_eq!(names(), ["piazza"]);
    }
}
