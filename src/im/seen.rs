//! How a directory last showed the entry of an account: what changes with its password, and whether it was gone. Kept over
//! restarts, so that what happens while nobody looks is seen. Refuses to know how a directory is asked.

use super::credentials::RowError;
use crate::actor::auth::AccountRef;
use crate::actor::rows::{Durability, Export, RowKey, Slices, Table};
use crate::base::AccountId;

/// How the directory last showed an account's entry.
pub static SEEN: Table = Table {
    name: "seen",
    durability: Durability::BeforeReply,
    // Says nothing where the directory is another.
    export: Export::Never,
    slices: Slices::Whole,
    about: "How a directory last showed the entry of an account: whether it was gone, and digests of what changes with its password. Key: account id.",
};

/// The key of an account's row in [`SEEN`].
pub fn seen_key(account: AccountId) -> RowKey {
    RowKey::new(&account.0.to_be_bytes())
}

/// What is another when the password is: digests of what the directory says of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PasswordStamp {
    /// Of when it was changed.
    pub changed: [u8; 8],
    /// Of the keys of SCRAM, where they are asked for.
    pub keys: Option<[u8; 8]>,
}

impl PasswordStamp {
    /// Whether the password is another than it was then. Keys that were not asked for at one of both times say nothing.
    pub fn is_another(&self, before: &PasswordStamp) -> bool {
        let keys = self.keys.zip(before.keys);
        self.changed != before.changed || keys.is_some_and(|(now, before)| now != before)
    }
}

/// An entry as it was found for a name.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// What no other entry ever has; empty if that cannot be read, none if nobody asks for it.
    pub unique: Option<&'a [u8]>,
    /// None if it shall not be compared.
    pub stamp: Option<PasswordStamp>,
    /// Whether its owner may come in.
    pub is_open: bool,
}

/// What the account of a name says to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// The account is another entry's.
    AnotherEntry,
    /// The password was changed since, and the account is this now; what was made under the old one has ended.
    Changed(AccountRef),
    /// There is no such account.
    Nobody,
    Same,
}

/// Who is let go. By then the name may be somebody else's, who stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaver<'a> {
    /// The account of this number.
    Account(AccountId),
    /// The account of another entry than this, which has the name now.
    AnyBut(&'a [u8]),
    /// Whoever has the name.
    Anybody,
    /// The account of this entry, or one of which it is not known whose it is.
    Entry(&'a [u8]),
}

impl<'a> Leaver<'a> {
    /// The account of an entry, by what no other entry ever has: empty if that cannot be read, none if nobody asks for it.
    pub fn of_entry(unique: Option<&'a [u8]>) -> Leaver<'a> {
        match unique {
            Some(unique) if !unique.is_empty() => Leaver::Entry(unique),
            _ => Leaver::Anybody,
        }
    }

    /// The account of another entry than the one that has the name now.
    pub fn of_another(unique: Option<&'a [u8]>) -> Leaver<'a> {
        unique.map_or(Leaver::Anybody, Leaver::AnyBut)
    }

    /// Whether it is this account, which is of that entry, if it is known of which.
    pub fn is(&self, account: AccountId, entry: Option<&[u8]>) -> bool {
        match self {
            Leaver::Account(id) => *id == account,
            Leaver::AnyBut(unique) => entry.is_some_and(|entry| entry != *unique),
            Leaver::Anybody => true,
            Leaver::Entry(unique) => entry.is_none_or(|entry| entry == *unique),
        }
    }
}

/// What it comes to that somebody is let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// They were gone, or there is no such account.
    Already,
    /// They were here until now.
    New,
    /// The name is somebody else's, who stays.
    Other,
}

/// A row of [`SEEN`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Not in the directory any more, or closed there; its sessions were ended.
    pub is_gone: bool,
    /// None if the entry was never found.
    pub stamp: Option<PasswordStamp>,
}

impl Seen {
    /// The same account after an entry was found.
    pub fn after(self, sight: &Sight<'_>) -> Seen {
        let stamp = sight.stamp.map(|stamp| PasswordStamp {
            keys: stamp.keys.or(self.stamp.and_then(|before| before.keys)),
            ..stamp
        });
        Seen {
            is_gone: self.is_gone && !sight.is_open,
            stamp: stamp.or(self.stamp),
        }
    }

    /// The row's bytes: version, whether gone, then eight bytes for each digest.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, u8::from(self.is_gone)];
        if let Some(stamp) = &self.stamp {
            bytes.extend_from_slice(&stamp.changed);
            bytes.extend(stamp.keys.iter().flatten());
        }
        bytes
    }

    /// Reads a row.
    ///
    /// # Errors
    /// [`RowError`] for anything that `encode` does not write.
    pub fn decode(bytes: &[u8]) -> Result<Seen, RowError> {
        let is_gone = match bytes {
            [VERSION, 0, ..] => false,
            [VERSION, 1, ..] => true,
            [version, ..] if *version > VERSION => return Err(RowError::Newer),
            _ => return Err(RowError::Damaged),
        };
        let (digests, rest) = bytes[2..].as_chunks::<8>();
        let stamp = match (digests, rest) {
            ([], []) => None,
            ([changed], []) => Some((*changed, None)),
            ([changed, keys], []) => Some((*changed, Some(*keys))),
            _ => return Err(RowError::Damaged),
        };
        let stamp = stamp.map(|(changed, keys)| PasswordStamp { changed, keys });
        Ok(Seen { is_gone, stamp })
    }
}

/// The first byte.
const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(changed: u8, keys: Option<u8>) -> PasswordStamp {
        PasswordStamp {
            changed: [changed; 8],
            keys: keys.map(|keys| [keys; 8]),
        }
    }

    #[test]
    fn rows_come_back_and_damaged_ones_are_errors() {
        for is_gone in [false, true] {
            for stamp in [None, Some(stamp(1, None)), Some(stamp(1, Some(2)))] {
                let seen = Seen { is_gone, stamp };
                let bytes = seen.encode();
                assert_eq!(Seen::decode(&bytes), Ok(seen));
                let longer = [&bytes[..], &[0]].concat();
                assert_eq!(Seen::decode(&longer), Err(RowError::Damaged));
                let newer = [&[VERSION + 1], &bytes[1..]].concat();
                assert_eq!(Seen::decode(&newer), Err(RowError::Newer));
            }
        }
        for damaged in [&[][..], &[VERSION], &[VERSION, 2], &[0, 0]] {
            assert_eq!(Seen::decode(damaged), Err(RowError::Damaged));
        }
    }

    #[test]
    fn keys_that_are_not_asked_for_make_no_other_password_and_are_not_forgotten() {
        let with_keys = stamp(1, Some(2));
        assert!(!stamp(1, None).is_another(&with_keys));
        assert!(stamp(1, Some(3)).is_another(&with_keys));
        assert!(stamp(2, None).is_another(&with_keys));
        let seen = Seen {
            is_gone: true,
            stamp: Some(with_keys),
        };
        let mut sight = Sight {
            unique: None,
            stamp: Some(stamp(4, None)),
            is_open: false,
        };
        assert_eq!(seen.after(&sight).stamp, Some(stamp(4, Some(2))));
        assert!(seen.after(&sight).is_gone);
        (sight.stamp, sight.is_open) = (None, true);
        assert_eq!(seen.after(&sight).stamp, Some(with_keys));
        assert!(!seen.after(&sight).is_gone);
    }
}
