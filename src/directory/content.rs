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
        /// Those that were gone from one whole to the next.
        missed: Vec<String>,
        before: BTreeSet<String>,
    }

    impl Believer {
        fn new() -> Believer {
            Believer {
                content: Content::new(10),
                has: BTreeMap::new(),
                told: 0,
                missed: Vec::new(),
                before: BTreeSet::new(),
            }
        }

        /// By whatever they are known.
        fn dns(&self) -> BTreeSet<String> {
            self.has.values().map(|entry| entry.dn.clone()).collect()
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
                if self.content.is_up_to_date() {
                    let now = self.dns();
                    self.missed.extend(self.before.difference(&now).cloned());
                    self.before = now;
                }
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
            (SyncWord::Present(vec![vec![3]]), Some("half")),
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
    fn who_is_there_and_was_not_told_of_has_everything_be_told_anew_once() {
        let mut copy = Believer::new();
        let present = |names: &[u8]| {
            let ids = names.iter().map(|name| vec![*name]).collect();
            (SyncWord::Present(ids), None)
        };
        copy.begin();
        copy.hear(vec![(is(1, 0), None), (ends(false, true), Some("a"))])
            .unwrap();
        // Restored from an older copy, which had two more.
        copy.begin();
        copy.hear(vec![present(&[1, 2, 3])]).unwrap();
        // It dies, and is asked again.
        copy.begin();
        copy.hear(vec![present(&[1, 2, 3]), (ends(true, true), Some("b"))])
            .unwrap();
        assert!(copy.content.lacks() && !copy.content.is_up_to_date());
        assert_eq!((copy.content.cookie(), copy.names()), (None, vec![1]));
        // Of one of them we are not told.
        copy.begin();
        copy.hear(vec![
            (is(1, 0), None),
            (is(2, 0), None),
            (ends(true, true), Some("b")),
        ])
        .unwrap();
        assert_eq!(copy.names(), [1, 2]);
        copy.begin();
        copy.hear(vec![present(&[1, 2, 3]), (ends(true, true), Some("c"))])
            .unwrap();
        assert!(!copy.content.lacks() && copy.content.is_up_to_date());
        // Nor of one that came and went.
        copy.hear(vec![
            (is(3, 0), Some("d")),
            (SyncWord::Gone(vec![vec![3]]), None),
        ])
        .unwrap();
        copy.begin();
        copy.hear(vec![present(&[1, 2, 3]), (ends(true, true), Some("e"))])
            .unwrap();
        assert!(copy.content.lacks());
    }

    /// An entry as it is known to who looks: by another name than to who is told.
    fn seen(name: u8, value: u8) -> SyncWord {
        SyncWord::Entry {
            state: EntryState::Is,
            id: vec![name, 0],
            entry: entry(name, value),
        }
    }

    #[test]
    fn what_is_told_is_nothing_to_who_looks_and_nobody_is_missed_for_it() {
        let mut copy = Believer::new();
        let all = |word: fn(u8, u8) -> SyncWord| {
            let mut words: Vec<_> = (0..8).map(|name| (word(name, 0), None)).collect();
            words.push((ends(true, true), Some("one")));
            words
        };
        assert!(copy.content.comes_by(Manner::Told));
        copy.begin();
        copy.hear(all(is)).unwrap();
        assert!(!copy.content.comes_by(Manner::Told));
        assert_eq!(copy.content.cookie(), Some(&b"one"[..]));
        // For a time there is room for both.
        assert!(copy.content.comes_by(Manner::Looked));
        assert_eq!(copy.content.cookie(), None);
        copy.begin();
        copy.hear(all(seen)).unwrap();
        assert!(copy.content.comes_by(Manner::Told));
        copy.begin();
        copy.hear(all(is)).unwrap();
        assert_eq!((copy.names().len(), copy.missed), (8, Vec::new()));
    }

    #[test]
    fn what_is_new_since_a_state_that_is_forgotten_is_not_let_go_for_it() {
        let mut copy = Believer::new();
        copy.begin();
        copy.hear(vec![(is(1, 0), None), (ends(false, true), Some("a"))])
            .unwrap();
        // Told behind the state, which is not shown any more.
        copy.hear(vec![(is(2, 0), None)]).unwrap();
        copy.content.forget_cookie();
        copy.content.begin_further(&mut |_| {});
        copy.hear(vec![(ends(false, true), Some("b"))]).unwrap();
        assert_eq!(copy.names(), [1, 2]);
    }

    #[test]
    fn a_content_without_end_has_one() {
        let mut copy = Believer::new();
        copy.begin();
        let all = (0..20).map(|name| (is(name, 0), None)).collect();
        assert_eq!(copy.hear(all), Err(DirectoryError::TooMuch));
        assert_eq!(copy.names().len(), 10);
        // Nor when others were there before, or go on to be.
        copy.content.forget_cookie();
        copy.begin();
        let all = (0..20).map(|name| (seen(name, 0), None)).collect();
        assert_eq!(copy.hear(all), Err(DirectoryError::TooMuch));
        copy.begin();
        let mut all: Vec<_> = (0..10).map(|name| (is(name, 0), None)).collect();
        all.extend((0..10).map(|name| (seen(name, 0), None)));
        all.push((ends(false, true), None));
        assert_eq!(copy.hear(all), Err(DirectoryError::TooMuch));
        assert!(!copy.content.is_up_to_date());
    }

    proptest! {
        /// Whatever phases a server chooses, wherever it dies, and whether it tells or is looked at, in the end we have what it
        /// has.
        #[test]
        fn a_copy_converges(
            rounds in proptest::collection::vec(
                (proptest::collection::btree_map(0..6_u8, 0..3_u8, 0..6), 0..3_u8, 0..12_usize, any::<bool>()), 1..8),
        ) {
            let mut copy = Believer::new();
            let mut before: BTreeMap<u8, u8> = BTreeMap::new();
            // What the server has now, and whom it has changed since the state that we can show.
            let mut world: BTreeMap<u8, u8> = BTreeMap::new();
            let mut touched: BTreeSet<u8> = BTreeSet::new();
            // Whether who looks has a state of their own.
            let mut has_mark = false;
            for (now, phases, dies_after, is_told) in rounds {
                let mut words = Vec::new();
                let (manner, word): (Manner, fn(u8, u8) -> SyncWord) = match is_told {
                    true => (Manner::Told, is),
                    false => (Manner::Looked, seen),
                };
                has_mark &= !copy.content.comes_by(manner);
                let is_anew = match is_told {
                    true => copy.content.cookie().is_none(),
                    false => !has_mark,
                };
                let phases = if is_told { phases } else { 1 };
                let id = |name: u8| match is_told {
                    true => vec![name],
                    false => vec![name, 0],
                };
                touched.extend((0..6).filter(|name| world.get(name) != now.get(name)));
                for (name, value) in &now {
                    match is_anew || touched.contains(name) {
                        true => words.push((word(*name, *value), None)),
                        false if phases != 0 => words.push((SyncWord::Present(vec![id(*name)]), None)),
                        false => {}
                    }
                }
                let gone = before.keys().filter(|name| !now.contains_key(name)).map(|name| vec![*name]);
                let cookie = is_told.then_some("c");
                match phases {
                    0 => {
                        words.push((SyncWord::Gone(gone.collect()), None));
                        words.push((ends(false, true), cookie));
                    }
                    1 => words.push((ends(true, true), cookie)),
                    _ => {
                        words.push((ends(true, false), None));
                        words.push((ends(false, true), cookie));
                    }
                }
                let dies = dies_after < words.len();
                words.truncate(dies_after.min(words.len()));
                match is_anew {
                    true => copy.content.begin_anew(&mut |_| {}),
                    false => copy.content.begin_further(&mut |_| {}),
                }
                copy.hear(words).unwrap();
                prop_assert_eq!(copy.content.is_up_to_date(), !dies);
                if !dies {
                    has_mark |= !is_told;
                    before = now.clone();
                    touched.clear();
                    let has: BTreeMap<u8, u8> = copy.has.iter().map(|(id, entry)| (id[0], entry.values("cn").next().unwrap()[0])).collect();
                    prop_assert_eq!(&has, &now);
                    prop_assert_eq!(copy.has.len(), now.len(), "nobody is there twice");
                }
                world = now;
            }
        }
    }
}
