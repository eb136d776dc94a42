//! What an owner wants removed from his archive and has not been removed yet: it goes though the server stops, or the power,
//! in the middle of it. Refuses to know how messages are removed.

use crate::actor::rows::{Durability, Export, Row, RowKey, RowRange, Slices, Table, Write};
use crate::base::{AccountId, limits};
use crate::jid::Jid;

use super::key;

/// Archives that are being emptied.
pub static EMPTYING: Table = Table {
    name: "archive-emptying",
    durability: Durability::Soon,
    export: Export::Derived,
    slices: Slices::Whole,
    about: "Archives that their owners empty: messages go that are numbered before this, and the bare address; key: account id, that number",
};

/// An archive that is being emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emptying {
    pub account: AccountId,
    /// The bare JID of its owner.
    pub owner: Jid,
    /// Messages with lower numbers go.
    pub until: u64,
}

impl Emptying {
    /// The write that keeps it, for the save with which it begins.
    pub fn put(&self) -> Write {
        let mut value = vec![ROW_VERSION];
        value.extend_from_slice(&self.until.to_be_bytes());
        value.extend_from_slice(self.owner.as_str().as_bytes());
        Write::Put {
            table: &EMPTYING,
            key: Emptying::key(self.account, self.until),
            value: value.into(),
        }
    }

    /// The write that says that the one of this number is done, and nothing of others: an owner may begin a second one before
    /// the first is done, and only where nobody calls it off.
    pub fn done(account: AccountId, until: u64) -> Write {
        Write::Delete {
            table: &EMPTYING,
            key: Emptying::key(account, until),
        }
    }

    /// Under which key its row is.
    pub fn key(account: AccountId, until: u64) -> RowKey {
        key(account).then(&until.to_be_bytes())
    }

    /// What a row says; none if it is damaged.
    pub fn read(row: &Row) -> Option<Emptying> {
        let account = row.key.as_bytes().first_chunk()?;
        let account = AccountId(u64::from_be_bytes(*account));
        let (&version, rest) = row.value.split_first()?;
        let (until, owner) = rest.split_first_chunk::<8>()?;
        let owner = Jid::parse(std::str::from_utf8(owner).ok()?).ok()?;
        (version == ROW_VERSION).then_some(Emptying {
            account,
            owner,
            until: u64::from_be_bytes(*until),
        })
    }

    /// The writes that give a row its present key, if it is under another: a stonechat of before knew one of each account, and
    /// nothing that is done with it would find it.
    pub fn renew(&self, row: &Row) -> Option<[Write; 2]> {
        let (table, key) = (&EMPTYING, row.key.clone());
        let is_old = key != Emptying::key(self.account, self.until);
        is_old.then(|| [self.put(), Write::Delete { table, key }])
    }

    /// All rows behind this key, from the first if there is none.
    pub fn rows_after(after: Option<RowKey>) -> RowRange {
        RowRange {
            from: after.map_or(RowKey::new(&[]), |key| key.then(&[0])),
            to: RowKey::new(&[u8::MAX; 9]),
            count_max: PAGE_COUNT,
            bytes_max: limits::RANGE_BYTES_MAX,
        }
    }
}

const ROW_VERSION: u8 = 1;
/// Rows read at a time: there are few.
const PAGE_COUNT: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_as_it_went_and_a_damaged_one_does_not() {
        let emptying = Emptying {
            account: AccountId(7),
            owner: Jid::parse("juliet@example.com").expect("valid"),
            until: 99,
        };
        let Write::Put { key, value, .. } = emptying.put() else {
            panic!("no put");
        };
        let row = Row {
            key,
            value: value.to_vec(),
        };
        assert_eq!(Emptying::read(&row), Some(emptying.clone()));
        assert!(emptying.renew(&row).is_none());
        let old = Row {
            key: super::key(emptying.account),
            value: row.value.clone(),
        };
        assert_eq!(Emptying::read(&old), Some(emptying.clone()));
        let writes = emptying.renew(&old).expect("another key");
        let keys = writes.map(|write| match write {
            Write::Put { key, .. } | Write::Delete { key, .. } => key,
            Write::Replace { .. } => panic!("nothing to replace"),
        });
        assert_eq!(keys, [row.key.clone(), old.key]);
        for damaged in [
            &b""[..],
            b"\x01",
            b"\x01\0\0\0\0\0\0\0\0",
            b"\x02\0\0\0\0\0\0\0\0a@b",
        ] {
            let key = row.key.clone();
            let value = damaged.to_vec();
            assert_eq!(Emptying::read(&Row { key, value }), None);
        }
    }
}
