//! The permanent rooms of a host, as its directory has them now. Refuses to know what is done in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::content::{Change, Content};
use super::error::DirectoryError;
use super::polled::Poller;
use super::pool::{Depth, Link, Query};
use super::rooms::{self, Read, Room};
use super::watch::Follower;
use crate::config::DirectoryConfig;

/// What everybody may read.
#[derive(Default)]
pub struct RoomBook {
    rooms: RwLock<Arc<Rooms>>,
}

/// By their localparts.
pub type Rooms = BTreeMap<String, Arc<Room>>;

impl RoomBook {
    /// All of them, as of now.
    pub fn all(&self) -> Arc<Rooms> {
        Arc::clone(&self.rooms.read())
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
    host: Arc<str>,
    poller: Poller,
    pages: Pages,
}

struct Pages {
    host: Arc<str>,
    book: Arc<RoomBook>,
    entries: BTreeMap<Box<[u8]>, Read>,
    is_whole: bool,
}

impl RoomKeeper {
    pub fn new(host: &Arc<str>, config: &DirectoryConfig, book: &Arc<RoomBook>) -> RoomKeeper {
        let options = &config.options;
        RoomKeeper {
            host: Arc::clone(host),
            poller: Poller::new(&query(config), &options.unique, options.preset),
            pages: Pages {
                host: Arc::clone(host),
                book: Arc::clone(book),
                entries: BTreeMap::new(),
                is_whole: false,
            },
        }
    }
}

impl Follower for RoomKeeper {
    fn hear(&mut self, change: Change<'_>) {
        self.pages.hear(change);
    }

    fn look(&mut self, link: &mut Link, content: &mut Content) -> Result<(), DirectoryError> {
        let RoomKeeper { poller, pages, .. } = self;
        poller.look(link, content, &mut |change| pages.hear(change))?;
        log::debug!("directory_looked_for_rooms host={}", self.host);
        Ok(())
    }
}

impl Pages {
    fn hear(&mut self, change: Change<'_>) {
        match change {
            Change::Begins => self.is_whole = false,
            Change::Is { id, entry } => {
                let read = rooms::read(entry);
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
    fn settle(&self) {
        let now = self.rooms();
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

    /// Of two of one name neither is.
    fn rooms(&self) -> Rooms {
        let mut rooms: BTreeMap<&str, Vec<&Read>> = BTreeMap::new();
        for read in self.entries.values() {
            if let Some(room) = &read.room {
                rooms.entry(&room.localpart).or_default().push(read);
            }
        }
        let mut found = Rooms::new();
        for (localpart, having) in rooms {
            match having.as_slice() {
                [read] => {
                    let room = read.room.clone().map(Arc::new);
                    found.extend(room.map(|room| (localpart.to_owned(), room)));
                }
                _ => {
                    let names: Vec<&str> = having.iter().map(|read| read.dn.as_str()).collect();
                    log::error!(
                        "directory_room_collision host={} room={localpart} entries={names:?}",
                        self.host
                    );
                }
            }
        }
        found
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
