//! A copy of a part of the directory, as far as it takes to know what has changed: of each entry its name and a digest.
//! Refuses to know how it is heard of, and what an entry means.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::ber::Entry;
use super::error::DirectoryError;
use super::sync::{EntryState, SyncMessage, SyncWord};

/// What has become of a part of the directory.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// What follows brings us up to date, until [`Change::Whole`].
    Begins,
    /// An entry that is new, or has other values or another name than before.
    Is { id: &'a [u8], entry: &'a Entry },
    /// One that is not there any more, by the last name that it had.
    Gone { id: &'a [u8], dn: &'a str },
    /// Everything that is there was told of, now or before.
    Whole,
}

/// The copy.
pub struct Content {
    held: BTreeMap<Box<[u8]>, Held>,
    entries_max: usize,
    /// The number of this refresh.
    round: u32,
    /// How many entries were not held before it.
    new_count: usize,
    stage: Stage,
    /// The last state of which we know everything.
    cookie: Option<Vec<u8>>,
    /// What it becomes when we do.
    next_cookie: Option<Vec<u8>>,
    /// Entries that are new since the cookie. A server that goes on from there tells of them again if they are still
    /// there, and need not say that they are gone: by that state they never were.
    since: BTreeSet<Box<[u8]>>,
    /// How it was last heard of.
    manner: Option<Manner>,
    /// Said to be there, and never told of: one by one the reason to have everything told anew, and hidden from us if that
    /// does not tell of it either.
    hidden: BTreeSet<Box<[u8]>>,
    /// Whether one of those is new.
    lacks: bool,
}

/// How a copy is kept up to date. Each knows entries by names of its own, and states of its own: what is known in one is
/// nothing in the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It is looked what there is.
    Looked,
    /// The directory tells.
    Told,
}

struct Held {
    dn: Box<str>,
    digest: u64,
    /// The refresh that last told of it.
    round: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Everything that there is is told anew.
    Anew,
    /// What was told before holds.
    Further,
    /// We are up to date.
    Following,
}

impl Content {
    /// Nothing yet, and never more entries than this.
    pub fn new(entries_max: usize) -> Content {
        Content {
            held: BTreeMap::new(),
            entries_max,
            round: 0,
            new_count: 0,
            stage: Stage::Anew,
            cookie: None,
            next_cookie: None,
            since: BTreeSet::new(),
            manner: None,
            hidden: BTreeSet::new(),
            lacks: false,
        }
    }

    /// What follows is heard of in this manner; whether it was another before, so that everything is to be heard of anew.
    /// What we hold stays until then.
    pub fn comes_by(&mut self, manner: Manner) -> bool {
        if self.manner.replace(manner) == Some(manner) {
            return false;
        }
        self.forget_cookie();
        self.hidden.clear();
        true
    }

    /// What to show the server, so that it tells only what is new.
    pub fn cookie(&self) -> Option<&[u8]> {
        self.cookie.as_deref()
    }

    /// The server does not know the state any more: everything is to be told anew. What we hold stays until then.
    pub fn forget_cookie(&mut self) {
        self.cookie = None;
        self.since.clear();
    }

    /// Whether nothing is outstanding.
    pub fn is_up_to_date(&self) -> bool {
        self.stage == Stage::Following
    }

    /// Whether something is there of which we have not been told, as where a directory was restored from an older copy, or
    /// its rights are others: the refresh that said so makes nothing whole, and the next is to begin anew.
    pub fn lacks(&self) -> bool {
        self.lacks
    }

    /// Nothing is heard for now: what we have may be old.
    pub fn interrupt(&mut self) {
        self.stage = Stage::Further;
    }

    /// A refresh begins, from the state of the cookie on.
    pub fn begin(&mut self, tell: &mut dyn FnMut(Change<'_>)) {
        match self.cookie {
            Some(_) => self.begin_further(tell),
            None => self.begin_anew(tell),
        }
    }

    /// One begins that tells of everything.
    pub fn begin_anew(&mut self, tell: &mut dyn FnMut(Change<'_>)) {
        self.lacks = false;
        self.begin_in(Stage::Anew, tell);
    }

    /// One begins that tells of what is new.
    pub fn begin_further(&mut self, tell: &mut dyn FnMut(Change<'_>)) {
        self.begin_in(Stage::Further, tell);
    }

    fn begin_in(&mut self, stage: Stage, tell: &mut dyn FnMut(Change<'_>)) {
        self.round = self.round.wrapping_add(1);
        self.new_count = 0;
        self.next_cookie = None;
        self.stage = stage;
        tell(Change::Begins);
    }

    /// Takes in what was said, and tells what it changes.
    ///
    /// # Errors
    /// `TooMuch`.
    pub fn hear(
        &mut self,
        message: SyncMessage,
        tell: &mut dyn FnMut(Change<'_>),
    ) -> Result<(), DirectoryError> {
        match message.word {
            SyncWord::Entry { state, id, entry } => match state {
                EntryState::Is => self.take_in(&id, &entry, tell)?,
                EntryState::Present => self.see(&id),
                EntryState::Gone => self.let_go(&id, tell),
            },
            SyncWord::Present(ids) => ids.iter().for_each(|id| self.see(id)),
            SyncWord::Gone(ids) => ids.iter().for_each(|id| self.let_go(id, tell)),
            SyncWord::PhaseEnds {
                are_others_gone,
                is_refreshed,
            } => {
                // RFC 4533 section 1.3.1: "The unchanged entries not identified as being present are deleted".
                if self.stage != Stage::Following && (are_others_gone || self.stage == Stage::Anew)
                {
                    self.let_others_go(tell);
                    self.stage = Stage::Further;
                    if self.held.len() > self.entries_max {
                        return Err(DirectoryError::TooMuch);
                    }
                }
                self.next_cookie = message.cookie.or(self.next_cookie.take());
                if is_refreshed && self.stage != Stage::Following {
                    self.let_forgotten_go(tell);
                    if self.lacks {
                        self.forget_cookie();
                        return Ok(());
                    }
                    self.stage = Stage::Following;
                    if let Some(cookie) = self.next_cookie.take() {
                        self.know(cookie);
                    }
                    tell(Change::Whole);
                }
                return Ok(());
            }
            SyncWord::Nothing => {}
        }
        // Section 3.4.2: "The client SHOULD use the newest (last) cookie". In the middle of a refresh that may be the
        // state after something that we have not heard yet, so until then the old one stays.
        match (message.cookie, self.stage) {
            (Some(cookie), Stage::Following) => self.know(cookie),
            (Some(cookie), Stage::Anew | Stage::Further) => self.next_cookie = Some(cookie),
            (None, _) => {}
        }
        Ok(())
    }

    fn take_in(
        &mut self,
        id: &[u8],
        entry: &Entry,
        tell: &mut dyn FnMut(Change<'_>),
    ) -> Result<(), DirectoryError> {
        let digest = digest(entry);
        self.hidden.remove(id);
        if let Some(held) = self.held.get_mut(id) {
            held.round = self.round;
            // A refresh tells of what we have. What is told behind it has changed, also where none of what we ask for shows
            // it: a date has whole seconds.
            if held.digest == digest && self.stage != Stage::Following {
                return Ok(());
            }
            held.digest = digest;
            held.dn = entry.dn.as_str().into();
        } else {
            if self.is_full() {
                return Err(DirectoryError::TooMuch);
            }
            self.new_count += 1;
            let held = Held {
                dn: entry.dn.as_str().into(),
                digest,
                round: self.round,
            };
            self.held.insert(id.into(), held);
            // Of one that goes on from nothing everything is told again.
            if self.cookie.is_some() {
                self.since.insert(id.into());
            }
        }
        tell(Change::Is { id, entry });
        Ok(())
    }

    /// Whether there is no room for one more. What is told anew may have other names than what we hold, which goes when all
    /// was told: until then there is room for both.
    fn is_full(&self) -> bool {
        let has_room = match self.stage {
            Stage::Anew => {
                self.new_count < self.entries_max && self.held.len() / 2 < self.entries_max
            }
            Stage::Following | Stage::Further => self.held.len() < self.entries_max,
        };
        !has_room
    }

    /// We have all that this state is of.
    fn know(&mut self, cookie: Vec<u8>) {
        self.cookie = Some(cookie);
        self.since.clear();
    }

    /// Those that were told of since the state that the server went on from, and not again.
    fn let_forgotten_go(&mut self, tell: &mut dyn FnMut(Change<'_>)) {
        let since = std::mem::take(&mut self.since);
        for id in since {
            match self.held.get(&id).map(|held| held.round == self.round) {
                Some(true) => {
                    self.since.insert(id);
                }
                Some(false) => self.let_go(&id, tell),
                None => {}
            }
        }
    }

    fn see(&mut self, id: &[u8]) {
        match self.held.get_mut(id) {
            Some(held) => held.round = self.round,
            // What is told anew tells of everything that we may see.
            None if self.stage == Stage::Further && self.hidden.len() < self.entries_max => {
                self.lacks |= self.hidden.insert(id.into());
            }
            None => {}
        }
    }

    fn let_go(&mut self, id: &[u8], tell: &mut dyn FnMut(Change<'_>)) {
        self.hidden.remove(id);
        if let Some(held) = self.held.remove(id) {
            tell(Change::Gone { id, dn: &held.dn });
        }
    }

    fn let_others_go(&mut self, tell: &mut dyn FnMut(Change<'_>)) {
        let round = self.round;
        self.held.retain(|id, held| {
            let stays = held.round == round;
            if !stays {
                tell(Change::Gone { id, dn: &held.dn });
            }
            stays
        });
    }
}

fn digest(entry: &Entry) -> u64 {
    let mut hasher = DefaultHasher::new();
    entry.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
