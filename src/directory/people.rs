//! What becomes of the people of a directory, and what follows: who is closed or gone loses sessions, whose password is
//! another one loses sessions and tokens. Refuses to know how it is heard of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::ber::Entry;
use super::cache::Standing;
use super::content::{Change, Content};
use super::dn::Dn;
use super::due::Due;
use super::error::DirectoryError;
use super::grouped::USER_NAME;
use super::groups::{DN, UID};
use super::host::Shared;
use super::leavers::{self, Missing};
use super::person;
use super::poll;
use super::pool::Link;
use super::watch::Follower;
use crate::actor::auth::{KeyShape, ScramKeys};
use crate::im::seen::{Leaver, Met, PasswordStamp, Sight};

/// The people of one host.
pub struct People {
    shared: Arc<Shared>,
    book: Book,
    /// Whether the book holds everybody.
    is_whole: bool,
    /// Whether it ever did.
    was_whole: bool,
    /// Whether somebody may have left whom nobody named.
    must_look: bool,
    /// What their keys look like, as far as it was noted.
    shapes: BTreeSet<KeyShape>,
}

/// Who has which name.
#[derive(Default)]
struct Book {
    entries: BTreeMap<Arc<[u8]>, Person>,
    names: BTreeMap<Arc<str>, Vec<Arc<[u8]>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Person {
    names: Vec<Arc<str>>,
    is_closed: bool,
    unique: Option<Box<[u8]>>,
    stamp: PasswordStamp,
}

impl Person {
    fn sight(&self) -> Sight<'_> {
        Sight {
            unique: self.unique.as_deref(),
            stamp: Some(self.stamp),
            is_open: !self.is_closed,
        }
    }

    /// Who is let go when it is gone.
    fn leaver(&self) -> Leaver<'_> {
        Leaver::of_entry(self.unique.as_deref())
    }
}

impl People {
    pub fn new(shared: &Arc<Shared>) -> People {
        People {
            shared: Arc::clone(shared),
            book: Book::default(),
            is_whole: false,
            was_whole: false,
            must_look: true,
            shapes: BTreeSet::new(),
        }
    }

    fn is(&mut self, id: &[u8], entry: &Entry) {
        let config = &self.shared.config;
        let now = Person {
            names: person::names(config, entry),
            is_closed: person::is_closed(entry),
            unique: person::unique(config, entry).map(Box::from),
            stamp: person::stamp(config, entry),
        };
        // Whatever was changed may be in a vCard.
        for name in &now.names {
            self.shared.cards.forget(name);
        }
        let keys = person::keys_of(config, entry);
        let shapes = keys.iter().map(ScramKeys::shape);
        let news: Vec<KeyShape> = shapes.filter(|shape| self.shapes.insert(*shape)).collect();
        self.shared.note_shapes(news);
        let names = now.names.clone();
        let was = self.book.put(id, now);
        self.tell_groups(Some(entry), &names);
        if let Some(was) = was {
            self.tell_groups(None, &was.names);
            self.look_at(&was.names, was.leaver());
        }
        self.look_at(&names, Leaver::Anybody);
    }

    /// Who looks at groups may know them by this entry, or by these names. Not when everybody is told of for the first time:
    /// who is looked at then is looked at anyway.
    fn tell_groups(&self, entry: Option<&Entry>, names: &[Arc<str>]) {
        let Some(due) = self.shared.due.as_ref().filter(|_| self.was_whole) else {
            return;
        };
        let dn = entry.and_then(|entry| Dn::parse(&entry.dn));
        let named = dn.map(|dn| format!("{DN}{}", dn.key())).into_iter();
        let users = entry.iter().flat_map(|entry| entry.texts(USER_NAME));
        let users = users.map(|user| format!("{UID}{}", user.to_lowercase()));
        due.people(named.chain(users).collect(), names);
    }

    /// Somebody of these names came, changed or went: `left`, if nobody has one of them now.
    fn look_at(&mut self, names: &[Arc<str>], left: Leaver<'_>) {
        if !self.is_whole {
            // Until everything was told nobody is missing.
            self.must_look = true;
            return;
        }
        for name in names {
            match self.standing(name, left) {
                Ok((Standing::Member, _)) => {
                    let now = Instant::now();
                    self.shared.known.learn(name, Standing::Member, now);
                }
                Ok((standing, leaver)) => leavers::let_go(&self.shared, name, &leaver, standing),
                Err(error) => {
                    log::error!(
                        "directory_unseen host={} account={name} error=\"{error}\"",
                        self.shared.host
                    );
                    self.must_look = true;
                }
            }
        }
    }

    /// How a name stands, and who is let go if nobody comes in by it: `left`, if nobody has it. What follows for sessions and
    /// tokens of an account, if its password is another one, is done.
    fn standing<'a>(
        &'a self,
        name: &str,
        left: Leaver<'a>,
    ) -> Result<(Standing, Leaver<'a>), DirectoryError> {
        let Some(person) = self.book.only(name) else {
            // Two of one name are nobody (`person::judge`), whichever of them comes in.
            let leaver = match self.book.names.contains_key(name) {
                true => Leaver::Anybody,
                false => left,
            };
            return Ok((Standing::Unknown, leaver));
        };
        Ok(match self.shared.meet(name, &person.sight())? {
            Met::AnotherEntry => {
                let leaver = Leaver::of_another(person.unique.as_deref());
                (Standing::Unknown, leaver)
            }
            _ if person.is_closed => (Standing::Barred, Leaver::Anybody),
            Met::Changed(_) | Met::Nobody | Met::Same => (Standing::Member, Leaver::Anybody),
        })
    }

    /// Who has an account, and is not in the book?
    fn look_over_accounts(&mut self) -> Result<(), DirectoryError> {
        let (mut count, mut missing) = (0, Vec::new());
        let mut after: Option<String> = None;
        loop {
            let accounts = self.shared.accounts_after(after.as_deref())?;
            let Some((last, _)) = accounts.last() else {
                break;
            };
            after = Some(last.clone());
            count += accounts.len();
            for (name, account) in accounts {
                match self.standing(&name, Leaver::Account(account))? {
                    (Standing::Member, _) => {}
                    (standing, _) => missing.push(Missing {
                        name,
                        account,
                        standing,
                    }),
                }
            }
        }
        leavers::settle(&self.shared, count, missing)
    }
}

impl Follower for People {
    fn hear(&mut self, change: Change<'_>) {
        match change {
            Change::Begins => self.is_whole = false,
            Change::Is { id, entry } => self.is(id, entry),
            Change::Gone { id, dn } => {
                log::debug!("directory_gone entry={dn:?}");
                if let Some(was) = self.book.remove(id) {
                    self.tell_groups(None, &was.names);
                    self.look_at(&was.names, was.leaver());
                }
            }
            Change::Whole => {
                (self.is_whole, self.was_whole) = (true, true);
                self.shared
                    .due
                    .iter()
                    .for_each(|due| due.is_told(Instant::now()));
                if std::mem::take(&mut self.must_look) {
                    let (host, count) = (&self.shared.host, self.book.entries.len());
                    log::info!("directory_followed host={host} people={count}");
                    if let Err(error) = self.look_over_accounts() {
                        // The next time says more.
                        log::warn!(
                            "directory_unseen host={} error=\"{error}\"",
                            self.shared.host
                        );
                        self.must_look = true;
                    }
                }
            }
        }
    }

    fn look(&mut self, link: &mut Link, _: &mut Content) -> Result<(), DirectoryError> {
        // What was told does not hold any more.
        self.is_whole = false;
        self.must_look = true;
        self.shared.due.iter().for_each(Due::is_untold);
        poll::look(&self.shared, link)
    }
}

impl Book {
    /// What there was of this entry before.
    fn put(&mut self, id: &[u8], person: Person) -> Option<Person> {
        let was = self.remove(id);
        let id: Arc<[u8]> = Arc::from(id);
        for name in &person.names {
            let having = self.names.entry(Arc::clone(name)).or_default();
            having.push(Arc::clone(&id));
        }
        self.entries.insert(id, person);
        was
    }

    fn remove(&mut self, id: &[u8]) -> Option<Person> {
        let was = self.entries.remove(id)?;
        for name in &was.names {
            if let Some(having) = self.names.get_mut(name) {
                having.retain(|other| **other != *id);
                if having.is_empty() {
                    self.names.remove(name);
                }
            }
        }
        Some(was)
    }

    /// The one whose name this is.
    fn only(&self, name: &str) -> Option<&Person> {
        match self.names.get(name).map(Vec::as_slice) {
            Some([id]) => self.entries.get(id),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(names: &[&str], is_closed: bool) -> Person {
        Person {
            names: names.iter().map(|name| Arc::from(*name)).collect(),
            is_closed,
            unique: None,
            stamp: PasswordStamp::default(),
        }
    }

    #[test]
    fn a_name_stands_as_its_only_entry_does() {
        let mut book = Book::default();
        assert_eq!(book.only("juliet"), None);
        assert_eq!(book.put(b"1", person(&["juliet", "jule"], false)), None);
        assert!(book.only("jule").is_some_and(|person| !person.is_closed));
        book.put(b"2", person(&["juliet"], false));
        assert_eq!(book.only("juliet"), None, "two are nobody");
        assert!(book.put(b"2", person(&["romeo"], true)).is_some());
        assert!(book.only("juliet").is_some_and(|person| !person.is_closed));
        assert!(book.only("romeo").is_some_and(|person| person.is_closed));
        book.remove(b"1");
        book.remove(b"2");
        assert!(book.names.is_empty() && book.entries.is_empty());
    }
}
