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
    stage: Stage,
    /// The last state of which we know everything.
    cookie: Option<Vec<u8>>,
    /// What it becomes when we do.
    next_cookie: Option<Vec<u8>>,
    /// Entries that are new since the cookie. A server that goes on from there tells of them again if they are still
    /// there, and need not say that they are gone: by that state they never were.
    since: BTreeSet<Box<[u8]>>,
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
            stage: Stage::Anew,
            cookie: None,
            next_cookie: None,
            since: BTreeSet::new(),
        }
    }

    /// What to show the server, so that it tells only what is new.
    pub fn cookie(&self) -> Option<&[u8]> {
        self.cookie.as_deref()
    }

    /// The server does not know the state any more: everything is to be told anew. What we hold stays until then.
    pub fn forget_cookie(&mut self) {
        self.cookie = None;
    }

    /// Whether nothing is outstanding.
    pub fn is_up_to_date(&self) -> bool {
        self.stage == Stage::Following
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
        self.begin_in(Stage::Anew, tell);
    }

    /// One begins that tells of what is new.
    pub fn begin_further(&mut self, tell: &mut dyn FnMut(Change<'_>)) {
        self.begin_in(Stage::Further, tell);
    }

    fn begin_in(&mut self, stage: Stage, tell: &mut dyn FnMut(Change<'_>)) {
        self.round = self.round.wrapping_add(1);
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
                }
                self.next_cookie = message.cookie.or(self.next_cookie.take());
                if is_refreshed && self.stage != Stage::Following {
                    self.let_forgotten_go(tell);
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
            if self.held.len() >= self.entries_max {
                return Err(DirectoryError::TooMuch);
            }
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
        if let Some(held) = self.held.get_mut(id) {
            held.round = self.round;
        }
    }

    fn let_go(&mut self, id: &[u8], tell: &mut dyn FnMut(Change<'_>)) {
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
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn entry(name: u8, value: u8) -> Entry {
        Entry::of(&format!("uid={name}"), &[("cn", &[&[value]])])
    }

    fn is(name: u8, value: u8) -> SyncWord {
        SyncWord::Entry {
            state: EntryState::Is,
            id: vec![name],
            entry: entry(name, value),
        }
    }

    fn ends(are_others_gone: bool, is_refreshed: bool) -> SyncWord {
        SyncWord::PhaseEnds {
            are_others_gone,
            is_refreshed,
        }
    }

    /// What a consumer has that believes each change.
    struct Believer {
        content: Content,
        has: BTreeMap<Vec<u8>, Entry>,
        told: usize,
    }

    impl Believer {
        fn new() -> Believer {
            Believer {
                content: Content::new(10),
                has: BTreeMap::new(),
                told: 0,
            }
        }

        fn names(&self) -> Vec<u8> {
            self.has.keys().map(|id| id[0]).collect()
        }

        fn hear(&mut self, words: Vec<(SyncWord, Option<&str>)>) -> Result<(), DirectoryError> {
            for (word, cookie) in words {
                let cookie = cookie.map(|cookie| cookie.as_bytes().to_vec());
                let (has, told) = (&mut self.has, &mut self.told);
                let message = SyncMessage { cookie, word };
                self.content.hear(message, &mut |change| match change {
                    Change::Begins | Change::Whole => {}
                    Change::Is { id, entry } => {
                        *told += 1;
                        has.insert(id.to_vec(), entry.clone());
                    }
                    Change::Gone { id, dn } => {
                        *told += 1;
                        assert_eq!(has.remove(id).expect("was there").dn, dn);
                    }
                })?;
            }
            Ok(())
        }

        fn begin(&mut self) {
            self.content.begin(&mut |_| {});
        }
    }

    #[test]
    fn a_present_phase_lets_go_of_whom_it_does_not_name() {
        let mut copy = Believer::new();
        copy.begin();
        copy.hear(vec![
            (is(1, 0), None),
            (is(2, 0), None),
            (is(3, 0), None),
            (ends(false, true), Some("one")),
        ])
        .unwrap();
        assert_eq!(
            (copy.names(), copy.content.cookie()),
            (vec![1, 2, 3], Some(&b"one"[..]))
        );
        copy.begin();
        assert!(!copy.content.is_up_to_date());
        copy.hear(vec![
            (is(1, 1), None),
            (SyncWord::Present(vec![vec![3], vec![9]]), Some("half")),
        ])
        .unwrap();
        // It died here: the state that we can show is the old one.
        assert_eq!(copy.content.cookie(), Some(&b"one"[..]));
        copy.begin();
        copy.hear(vec![
            (SyncWord::Present(vec![vec![3]]), None),
            (ends(true, false), None),
            (SyncWord::Gone(vec![vec![3], vec![8]]), None),
            (is(4, 0), None),
            (ends(false, true), Some("two")),
        ])
        .unwrap();
        assert_eq!(
            (copy.names(), copy.content.cookie()),
            (vec![4], Some(&b"two"[..]))
        );
    }

    #[test]
    fn what_is_told_behind_a_refresh_has_changed_though_nothing_of_it_shows() {
        let mut copy = Believer::new();
        copy.begin();
        copy.hear(vec![(is(1, 0), None), (ends(false, true), Some("a"))])
            .unwrap();
        let told = copy.told;
        copy.hear(vec![(is(1, 0), Some("b"))]).unwrap();
        assert_eq!(copy.told, told + 1);
    }

    #[test]
    fn a_delete_phase_lets_go_of_whom_it_names_and_what_is_the_same_is_not_told() {
        let mut copy = Believer::new();
        copy.begin();
        copy.hear(vec![
            (is(1, 0), None),
            (is(2, 0), None),
            (ends(false, true), Some("a")),
        ])
        .unwrap();
        let told = copy.told;
        copy.begin();
        copy.hear(vec![(is(1, 0), None), (ends(false, true), None)])
            .unwrap();
        assert_eq!((copy.told, copy.names()), (told, vec![1, 2]));
        copy.hear(vec![
            (SyncWord::Nothing, Some("b")),
            (is(1, 5), Some("c")),
            (SyncWord::Gone(vec![vec![2]]), None),
            // Somebody who means no good: nobody is let go after the refresh for not being named.
            (ends(true, true), Some("d")),
        ])
        .unwrap();
        assert_eq!((copy.told, copy.names()), (told + 2, vec![1]));
        // Anew: whom it does not name is not there, whatever the phase is called.
        copy.content.forget_cookie();
        copy.begin();
        copy.hear(vec![(is(7, 0), None), (ends(false, true), Some("e"))])
            .unwrap();
        assert_eq!(copy.names(), [7]);
    }

    #[test]
    fn a_content_without_end_has_one() {
        let mut copy = Believer::new();
        copy.begin();
        let all = (0..20).map(|name| (is(name, 0), None)).collect();
        assert_eq!(copy.hear(all), Err(DirectoryError::TooMuch));
        assert_eq!(copy.names().len(), 10);
    }

    proptest! {
        /// Whatever phases a server chooses, and wherever it dies, in the end we have what it has.
        #[test]
        fn a_copy_converges(
            rounds in proptest::collection::vec(
                (proptest::collection::btree_map(0..6_u8, 0..3_u8, 0..6), 0..3_u8, 0..12_usize), 1..8),
        ) {
            let mut copy = Believer::new();
            let mut before: BTreeMap<u8, u8> = BTreeMap::new();
            // What the server has now, and whom it has changed since the state that we can show.
            let mut world: BTreeMap<u8, u8> = BTreeMap::new();
            let mut touched: BTreeSet<u8> = BTreeSet::new();
            for (now, phases, dies_after) in rounds {
                let mut words = Vec::new();
                let is_anew = copy.content.cookie().is_none();
                touched.extend((0..6).filter(|name| world.get(name) != now.get(name)));
                for (name, value) in &now {
                    match is_anew || touched.contains(name) {
                        true => words.push((is(*name, *value), None)),
                        false if phases != 0 => words.push((SyncWord::Present(vec![vec![*name]]), None)),
                        false => {}
                    }
                }
                let gone = before.keys().filter(|name| !now.contains_key(name)).map(|name| vec![*name]);
                match phases {
                    0 => {
                        words.push((SyncWord::Gone(gone.collect()), None));
                        words.push((ends(false, true), Some("c")));
                    }
                    1 => words.push((ends(true, true), Some("c"))),
                    _ => {
                        words.push((ends(true, false), None));
                        words.push((ends(false, true), Some("c")));
                    }
                }
                let dies = dies_after < words.len();
                words.truncate(dies_after.min(words.len()));
                copy.begin();
                copy.hear(words).unwrap();
                prop_assert_eq!(copy.content.is_up_to_date(), !dies);
                if !dies {
                    before = now.clone();
                    touched.clear();
                    let has: BTreeMap<u8, u8> = copy.has.iter().map(|(id, entry)| (id[0], entry.values("cn").next().unwrap()[0])).collect();
                    prop_assert_eq!(&has, &now);
                }
                world = now;
            }
        }
    }
}
