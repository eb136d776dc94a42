//! Whose rows are on their way to the store. A read behind a save waits for the save's commit, and so does the message
//! whose turn asked: for an account of which nothing is under way the read waits for nobody, or each first message for
//! somebody who came would wait for the disk with what others were sent before it. Refuses to know what rows mean.

use crate::actor::Need;
use crate::actor::rows::{Fence, Pick, RowKey, Table, Write};
use crate::base::{KeyedMap, KeyedState};
use crate::engine::archive::{ARCHIVE, INDEX};
use crate::im::archive::{PREFERENCES, TALLY};
use crate::im::blocking::BLOCKLIST;
use crate::im::origin::ORIGIN;
use crate::im::roster::ROSTER;

/// What was saved of whom, and how much of it is committed.
pub(super) struct Fresh {
    /// Saves that were sent, and those that were answered. They are committed in their order.
    sent: u64,
    answered: u64,
    /// The last save with rows of an account in a table.
    last: KeyedMap<Owned, u64>,
    /// Entries of `last` at which those of whom everything is committed are looked for.
    sweep_at: usize,
}

impl Fresh {
    pub(super) fn new(state: KeyedState) -> Fresh {
        Fresh {
            sent: 0,
            answered: 0,
            last: KeyedMap::with_hasher(state),
            sweep_at: SWEEP_COUNT,
        }
    }

    /// This row is in the next save.
    pub(super) fn wrote(&mut self, write: &Write) {
        let (Write::Put { table, key, .. }
        | Write::Replace { table, key, .. }
        | Write::Delete { table, key }) = write;
        if let Some(owned) = owned_by(table, key) {
            self.last.insert(owned, self.sent + 1);
        }
    }

    /// A save, or what is done in its turn, goes to the store.
    pub(super) fn sent(&mut self) {
        self.sent += 1;
        if self.last.len() >= self.sweep_at {
            let answered = self.answered;
            self.last.retain(|_, save| *save > answered);
            self.sweep_at = SWEEP_COUNT.max(2 * self.last.len());
        }
    }

    /// The store answered it.
    pub(super) fn answered(&mut self) {
        self.answered += 1;
    }

    /// What a read for this need has to wait for.
    pub(super) fn fence(&self, need: &Need) -> Fence {
        let is_committed = |owned: Owned| {
            let last = self.last.get(&owned);
            last.is_none_or(|save| *save <= self.answered)
        };
        match owned_in(need) {
            Some(owned) if is_committed(owned) => Fence::None,
            _ => Fence::AfterSaves,
        }
    }
}

/// Rows of one account in one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Owned {
    /// The table's place in [`OWNED`].
    table: usize,
    account: [u8; 8],
}

/// Whose rows are asked for; none if they may be several's, or of another table.
fn owned_in(need: &Need) -> Option<Owned> {
    let of = |table, keys: &[&RowKey]| {
        let owned = owned_by(table, keys.first()?)?;
        let is_theirs = |key: &&RowKey| owned_by(table, key) == Some(owned);
        keys.iter().all(is_theirs).then_some(owned)
    };
    match need {
        Need::Row(table, key) => of(table, &[key]),
        Need::Range(table, range) | Need::Pick(table, Pick::Last(range) | Pick::Keys(range)) => {
            of(table, &[&range.from, &range.to])
        }
        Need::Pick(table, Pick::Rows(keys)) => of(table, &keys.iter().collect::<Vec<&RowKey>>()),
        Need::Account(_) | Need::Directory(_) => None,
    }
}

fn owned_by(table: &'static Table, key: &RowKey) -> Option<Owned> {
    let table = OWNED.iter().position(|(of, _)| of.name == table.name)?;
    let account = key.as_bytes().get(OWNED[table].1..)?;
    Some(Owned {
        table,
        account: *account.first_chunk()?,
    })
}

/// Tables that the first message for an account reads, and where in their keys the account is.
static OWNED: [(&Table, usize); 7] = [
    (&BLOCKLIST, 0),
    (&ROSTER, 0),
    (&ARCHIVE, 0),
    (&INDEX, 0),
    (&TALLY, 0),
    (&PREFERENCES, 0),
    (&ORIGIN, 4),
];
/// Forty bytes each.
const SWEEP_COUNT: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{AccountId, HashSeed};
    use crate::engine::archive;

    fn fresh() -> Fresh {
        Fresh::new(KeyedState::new(HashSeed(1, 2)))
    }

    fn write(account: u64) -> Write {
        Write::Delete {
            table: &ARCHIVE,
            key: archive::key(AccountId(account), 5),
        }
    }

    fn asks(account: u64) -> Need {
        Need::Range(&ARCHIVE, archive::range(AccountId(account), 0, u64::MAX))
    }

    #[test]
    fn who_has_nothing_under_way_waits_for_nobody() {
        let mut fresh = fresh();
        for save in [&[1][..], &[2, 1], &[3]] {
            save.iter()
                .for_each(|account| fresh.wrote(&write(*account)));
            fresh.sent();
        }
        // Not even sent.
        fresh.wrote(&write(5));
        assert_eq!(fresh.fence(&asks(4)), Fence::None);
        assert_eq!(fresh.fence(&asks(5)), Fence::AfterSaves);
        assert_eq!(fresh.fence(&asks(1)), Fence::AfterSaves);
        fresh.answered();
        assert_eq!(fresh.fence(&asks(1)), Fence::AfterSaves);
        fresh.answered();
        assert_eq!(fresh.fence(&asks(1)), Fence::None);
        assert_eq!(fresh.fence(&asks(2)), Fence::None);
        assert_eq!(fresh.fence(&asks(3)), Fence::AfterSaves);
        // Rows of another table are not under way.
        let preferences = crate::im::archive::key(AccountId(3));
        assert_eq!(
            fresh.fence(&Need::Row(&PREFERENCES, preferences)),
            Fence::None
        );
    }

    #[test]
    fn what_may_be_of_several_or_of_any_table_waits() {
        let fresh = fresh();
        let several = Need::Pick(
            &ARCHIVE,
            Pick::Rows(vec![
                archive::key(AccountId(1), 5),
                archive::key(AccountId(2), 5),
            ]),
        );
        assert_eq!(fresh.fence(&several), Fence::AfterSaves);
        let none = Need::Pick(&ARCHIVE, Pick::Rows(Vec::new()));
        assert_eq!(fresh.fence(&none), Fence::AfterSaves);
        let other = Need::Row(&crate::im::pending::PENDING, archive::key(AccountId(1), 5));
        assert_eq!(fresh.fence(&other), Fence::AfterSaves);
        let short = Need::Row(&ORIGIN, RowKey::new(b"12345"));
        assert_eq!(fresh.fence(&short), Fence::AfterSaves);
    }

    #[test]
    fn of_many_accounts_only_those_are_remembered_that_have_something_under_way() {
        let mut fresh = fresh();
        for n in 0..100_000 {
            fresh.wrote(&write(n));
            fresh.sent();
            if n >= 10 {
                fresh.answered();
            }
        }
        assert!(fresh.last.len() < 2 * SWEEP_COUNT, "{}", fresh.last.len());
        assert_eq!(fresh.fence(&asks(99_999)), Fence::AfterSaves);
        assert_eq!(fresh.fence(&asks(1)), Fence::None);
    }
}
