//! What a copy of a directory's content comes to, whatever is told of it and in which order.

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
