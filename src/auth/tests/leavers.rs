//! Whose account is let go, and whose stays, though it is told late that an entry of a directory is gone.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::auth::Known;
use crate::im::seen::{Leaver, Met, Parting, PasswordStamp, Sight};

const FIRST: &[u8] = b"first";
const SECOND: &[u8] = b"second";

impl House {
    fn admits(&self, unique: Option<&[u8]>) -> Known {
        let stamp = PasswordStamp::default();
        let admitted = self.accounts.admit_known(HOST, "juliet", unique, stamp);
        admitted.expect("memory")
    }

    fn enter(&self, unique: Option<&[u8]>) -> AccountId {
        match self.admits(unique) {
            Known::In(account) => account.id,
            other => panic!("{other:?}"),
        }
    }

    fn meets(&self, unique: &[u8]) -> Met {
        let sight = Sight {
            unique: Some(unique),
            stamp: None,
            is_open: true,
        };
        let met = self.accounts.meet_known(HOST, "juliet", &sight);
        met.expect("memory")
    }

    fn remove(&self) {
        let removed = self.accounts.remove(HOST, "juliet", Now::default());
        removed.expect("she is there");
    }

    fn let_go(&self, leaver: Leaver<'_>) -> Parting {
        let parting = self.accounts.let_known_go(HOST, "juliet", &leaver);
        parting.expect("memory")
    }

    fn is_here(&self) -> bool {
        let parting = self.accounts.parting(HOST, "juliet", &Leaver::Anybody);
        parting == Ok(Parting::New)
    }
}

fn empty() -> House {
    house_on(Arc::default(), 1)
}

#[test]
fn who_has_a_name_stays_when_it_is_told_late_that_another_entry_is_gone() {
    let house = empty();
    let first = house.enter(Some(FIRST));
    house.remove();
    let second = house.enter(Some(SECOND));
    for late in [
        Leaver::Account(first),
        Leaver::AnyBut(SECOND),
        Leaver::Entry(FIRST),
        Leaver::of_another(Some(SECOND)),
        Leaver::of_entry(Some(FIRST)),
    ] {
        assert_eq!(house.let_go(late), Parting::Other, "{late:?}");
        assert!(house.is_here(), "{late:?}");
    }
    for meant in [
        Leaver::Account(second),
        Leaver::AnyBut(FIRST),
        Leaver::Anybody,
        Leaver::Entry(SECOND),
    ] {
        assert_eq!(house.let_go(meant), Parting::New, "{meant:?}");
        assert_eq!(house.let_go(meant), Parting::Already, "{meant:?}");
        assert_eq!(house.meets(SECOND), Met::Same);
        assert!(house.is_here(), "who is found again is back");
    }
    house.remove();
    for nobody in [Leaver::Account(second), Leaver::Entry(SECOND)] {
        assert_eq!(house.let_go(nobody), Parting::Already, "{nobody:?}");
    }
}

#[test]
fn an_account_of_which_no_entry_is_known_goes_with_any() {
    for (known, gone) in [
        (None, Leaver::of_entry(Some(FIRST))),
        // It cannot be read whose it was.
        (Some(SECOND), Leaver::of_entry(Some(b""))),
        // Nobody asks whose it is.
        (None, Leaver::of_entry(None)),
        (Some(FIRST), Leaver::of_another(Some(b""))),
    ] {
        let house = empty();
        house.enter(known);
        assert_eq!(house.let_go(gone), Parting::New, "{known:?} {gone:?}");
    }
    // Whoever of an entry has the name is taken for the account's owner, and comes in.
    let house = empty();
    house.enter(None);
    assert_eq!(house.meets(FIRST), Met::Same);
    assert_eq!(house.let_go(Leaver::AnyBut(FIRST)), Parting::Other);
}

/// One name in a directory that tells late of what becomes of its entries, one after the other.
struct Late {
    house: House,
    /// Who has the name there now.
    entry: Option<u8>,
    made: u8,
    /// What was not told yet: an entry, and whether it is there.
    untold: VecDeque<(u8, bool)>,
    /// Those of which was told that they are there.
    book: BTreeSet<u8>,
    /// Whose the account is.
    owner: Option<u8>,
}

impl Late {
    fn new() -> Late {
        Late {
            house: empty(),
            entry: None,
            made: 0,
            untold: VecDeque::new(),
            book: BTreeSet::new(),
            owner: None,
        }
    }

    fn make_or_delete(&mut self) {
        match self.entry.take() {
            Some(entry) => self.untold.push_back((entry, false)),
            None => {
                self.made += 1;
                self.entry = Some(self.made);
                self.untold.push_back((self.made, true));
            }
        }
    }

    fn log_in(&mut self) {
        if let Some(entry) = self.entry {
            self.house.meets(&[entry]);
            if let Known::In(_) = self.house.admits(Some(&[entry])) {
                self.owner = Some(entry);
            }
        }
    }

    fn remove(&mut self) {
        if self.owner.take().is_some() {
            self.house.remove();
        }
    }

    /// As `directory/people.rs` does.
    fn tell(&mut self) -> Result<(), TestCaseError> {
        let Some((entry, is_there)) = self.untold.pop_front() else {
            return Ok(());
        };
        let was_here = self.house.is_here();
        match is_there {
            true => {
                self.book.insert(entry);
                if self.house.meets(&[entry]) == Met::AnotherEntry {
                    self.house.let_go(Leaver::of_another(Some(&[entry])));
                }
            }
            false => {
                self.book.remove(&entry);
                prop_assert!(self.book.is_empty(), "they come one after the other");
                self.house.let_go(Leaver::of_entry(Some(&[entry])));
                let is_other = self.owner.is_some_and(|owner| owner != entry);
                prop_assert!(!is_other || self.house.is_here() == was_here);
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn however_late_it_is_told_whose_entry_is_gone_is_and_nobody_else(
        steps in proptest::collection::vec(0..5_u8, 0..60),
    ) {
        let mut late = Late::new();
        for step in steps {
            match step {
                0 | 1 => late.make_or_delete(),
                2 => late.log_in(),
                3 => late.remove(),
                _ => late.tell()?,
            }
        }
        while !late.untold.is_empty() {
            late.tell()?;
        }
        if late.owner.is_some() {
            prop_assert_eq!(late.house.is_here(), late.owner == late.entry);
        }
    }
}
