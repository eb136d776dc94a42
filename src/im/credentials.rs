//! The rows of accounts and of removed names: what is kept in place of a password, and the number that
//! outlives a name. Refuses to know how keys are derived and who asks.

use std::fmt;

use crate::actor::auth::{AccountRef, ScramHash, ScramKeys};
use crate::actor::rows::{Durability, Export, RowKey, RowRange, Slices, Table};
use crate::base::{AccountId, Generation, Secret};
use crate::jid::Jid;

/// Accounts by name.
pub static ACCOUNT: Table = Table {
    name: "account",
    durability: Durability::BeforeReply,
    // The key begins with a name, not with the account's number: an export begins by reading this table.
    export: Export::Never,
    slices: Slices::Whole,
    about: "One account: its number, generation, state and SCRAM keys. Key: host, 0, localpart.",
};

/// Names that were removed and must not be taken over by somebody else yet (peers.md row 17).
pub static TOMBSTONE: Table = Table {
    name: "tombstone",
    durability: Durability::BeforeReply,
    export: Export::Never,
    slices: Slices::Whole,
    about: "A removed name: until when it stays free, and whose it was. Key: host, 0, localpart.",
};

/// Numbers of removed accounts whose other rows may still be there.
pub static PURGE: Table = Table {
    name: "purge",
    durability: Durability::BeforeReply,
    export: Export::Never,
    slices: Slices::Whole,
    about: "An account that was removed since the last start, which looks again whether all it had is gone. Key: account id. Value: its bare JID.",
};

/// What newcomers said of themselves when they registered (XEP-0077).
pub static REGISTRATION: Table = Table {
    name: "registration",
    durability: Durability::BeforeReply,
    export: Export::WithAccount,
    slices: Slices::Whole,
    about: "What somebody who registered said besides name and password. Key: account id. Value: lines `field value`.",
};

/// The bare JID in a row of [`PURGE`]; none in those that say nothing.
pub fn purged_account(value: &[u8]) -> Option<Jid> {
    Jid::parse(std::str::from_utf8(value).ok()?).ok()
}

/// The value of a row of [`REGISTRATION`].
pub fn registration_value(fields: &[(String, String)]) -> Vec<u8> {
    let line = |(field, value): &(String, String)| {
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        format!("{field} {value}\n")
    };
    fields.iter().map(line).collect::<String>().into_bytes()
}

/// The key of an account's row in [`REGISTRATION`].
pub fn registration_key(account: AccountId) -> RowKey {
    RowKey::new(&account.0.to_be_bytes())
}

/// The key of a removed account's row in [`PURGE`].
pub fn purge_key(account: AccountId) -> RowKey {
    RowKey::new(&account.0.to_be_bytes())
}

/// The key of `localpart` on `host` in both tables. Prepared names hold no zero byte, so no two pairs share
/// a key.
pub fn name_key(host: &str, localpart: &str) -> RowKey {
    RowKey::new(host.as_bytes())
        .then(&[0])
        .then(localpart.as_bytes())
}

/// The localpart in a key of `host`; none if it is no such key.
pub fn localpart_of(host: &str, key: &RowKey) -> Option<String> {
    let rest = key.as_bytes().strip_prefix(host.as_bytes())?;
    let localpart = rest.strip_prefix(&[0])?;
    String::from_utf8(localpart.to_vec()).ok()
}

/// The names of `host` in order, those behind `after`, at most `count_max`.
pub fn names_after(
    host: &str,
    after: Option<&str>,
    count_max: usize,
    bytes_max: usize,
) -> RowRange {
    RowRange {
        // The smallest key behind another is that one with a zero byte appended.
        from: match after {
            Some(localpart) => name_key(host, localpart).then(&[0]),
            None => name_key(host, ""),
        },
        to: RowKey::new(host.as_bytes()).then(&[1]),
        count_max,
        bytes_max,
    }
}

/// An account's row.
#[derive(Clone, Debug)]
pub struct AccountRow {
    pub account: AccountRef,
    pub state: AccountState,
    /// At most one per digest.
    pub keys: Vec<ScramKeys>,
    /// The digests whose keys a client has made (XEP-0480): nobody has seen that they are of the password.
    pub unverified: Vec<ScramHash>,
}

/// Whether an account may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountState {
    Enabled,
    Disabled,
    /// Registered by its user; an operator has not let it in yet.
    Waiting,
}

impl AccountRow {
    /// The keys for `hash`, if it has any.
    pub fn keys_for(&self, hash: ScramHash) -> Option<&ScramKeys> {
        self.keys.iter().find(|keys| keys.hash == hash)
    }

    /// The row's bytes: version, number, generation, state, then per digest its code, marked if a client made the keys,
    /// iterations and three strings of bytes, each behind its length.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.account.id.0.to_be_bytes());
        bytes.extend_from_slice(&self.account.generation.0.to_be_bytes());
        bytes.push(match self.state {
            AccountState::Enabled => 0,
            AccountState::Disabled => 1,
            AccountState::Waiting => 2,
        });
        for keys in &self.keys {
            let mark = match self.unverified.contains(&keys.hash) {
                true => UNVERIFIED,
                false => 0,
            };
            bytes.push(hash_code(keys.hash) | mark);
            bytes.extend_from_slice(&keys.iterations.to_be_bytes());
            let strings = [
                &keys.salt,
                keys.stored_key.expose(),
                keys.server_key.expose(),
            ];
            for string in strings {
                // Salts and digests are at most 255 bytes: `decode` could not have read more, and the
                // only other maker of keys draws 16.
                debug_assert!(string.len() <= usize::from(u8::MAX), "a salt is short");
                bytes.push(string.len().min(usize::from(u8::MAX)) as u8);
                bytes.extend_from_slice(&string[..string.len().min(usize::from(u8::MAX))]);
            }
        }
        bytes
    }

    /// Reads a row.
    ///
    /// # Errors
    /// [`RowError`] for anything that `encode` does not write.
    pub fn decode(bytes: &[u8]) -> Result<AccountRow, RowError> {
        let mut reader = Reader(bytes);
        reader.version()?;
        let id = AccountId(u64::from_be_bytes(reader.array()?));
        let generation = Generation(u32::from_be_bytes(reader.array()?));
        let state = match reader.byte()? {
            0 => AccountState::Enabled,
            1 => AccountState::Disabled,
            2 => AccountState::Waiting,
            _ => return Err(RowError::Damaged),
        };
        let mut row = AccountRow {
            account: AccountRef { id, generation },
            state,
            keys: Vec::new(),
            unverified: Vec::new(),
        };
        while !reader.0.is_empty() {
            let (keys, is_unverified) = reader.keys()?;
            if row.keys_for(keys.hash).is_some() {
                return Err(RowError::Damaged);
            }
            if is_unverified {
                row.unverified.push(keys.hash);
            }
            row.keys.push(keys);
        }
        Ok(row)
    }
}

/// A removed name's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TombstoneRow {
    /// When the name may be given again, in milliseconds since 1970.
    pub until_wall_ms: u64,
    /// Whose it was: what still carries this number belongs to nobody.
    pub id: AccountId,
}

impl TombstoneRow {
    /// The row's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.until_wall_ms.to_be_bytes());
        bytes.extend_from_slice(&self.id.0.to_be_bytes());
        bytes
    }

    /// Reads a row.
    ///
    /// # Errors
    /// [`RowError`] for anything that `encode` does not write.
    pub fn decode(bytes: &[u8]) -> Result<TombstoneRow, RowError> {
        let mut reader = Reader(bytes);
        reader.version()?;
        let row = TombstoneRow {
            until_wall_ms: u64::from_be_bytes(reader.array()?),
            id: AccountId(u64::from_be_bytes(reader.array()?)),
        };
        if reader.0.is_empty() {
            Ok(row)
        } else {
            Err(RowError::Damaged)
        }
    }
}

/// Why a stored row could not be read. The operator reads of it in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowError {
    /// These bytes were never written by any version.
    Damaged,
    /// A later version wrote them.
    Newer,
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RowError::Damaged => "a row of an account is damaged",
            RowError::Newer => "a row of an account was written by a later version",
        })
    }
}

/// The bytes that are still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], RowError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(RowError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RowError> {
        self.take(N)?.try_into().map_err(|_| RowError::Damaged)
    }

    fn byte(&mut self) -> Result<u8, RowError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn version(&mut self) -> Result<(), RowError> {
        match self.byte()? {
            VERSION => Ok(()),
            0 => Err(RowError::Damaged),
            _ => Err(RowError::Newer),
        }
    }

    fn string(&mut self) -> Result<&'a [u8], RowError> {
        let length = self.byte()?;
        self.take(usize::from(length))
    }

    /// Keys, and whether a client made them.
    fn keys(&mut self) -> Result<(ScramKeys, bool), RowError> {
        let code = self.byte()?;
        let (hash, digest_bytes) = match code & !UNVERIFIED {
            1 => (ScramHash::Sha1, 20),
            2 => (ScramHash::Sha256, 32),
            3 => (ScramHash::Sha512, 64),
            _ => return Err(RowError::Damaged),
        };
        let keys = ScramKeys {
            hash,
            iterations: u32::from_be_bytes(self.array()?),
            salt: self.string()?.to_vec(),
            stored_key: Secret::new(self.string()?.to_vec()),
            server_key: Secret::new(self.string()?.to_vec()),
        };
        let whole = keys.iterations > 0
            && !keys.salt.is_empty()
            && keys.stored_key.expose().len() == digest_bytes
            && keys.server_key.expose().len() == digest_bytes;
        if whole {
            Ok((keys, code & UNVERIFIED != 0))
        } else {
            Err(RowError::Damaged)
        }
    }
}

fn hash_code(hash: ScramHash) -> u8 {
    match hash {
        ScramHash::Sha1 => 1,
        ScramHash::Sha256 => 2,
        ScramHash::Sha512 => 3,
    }
}

/// Beside the code of a digest: a client made these keys.
const UNVERIFIED: u8 = 0x80;

/// The first byte of both rows.
const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row() -> AccountRow {
        let keys = |hash, digest_bytes: usize| ScramKeys {
            hash,
            iterations: 10_000,
            salt: vec![5; 16],
            stored_key: Secret::new(vec![6; digest_bytes]),
            server_key: Secret::new(vec![7; digest_bytes]),
        };
        AccountRow {
            account: AccountRef {
                id: AccountId(0x0102_0304_0506_0708),
                generation: Generation(9),
            },
            state: AccountState::Disabled,
            keys: vec![keys(ScramHash::Sha256, 32), keys(ScramHash::Sha512, 64)],
            unverified: vec![ScramHash::Sha512],
        }
    }

    #[test]
    fn a_row_comes_back_as_it_was_written() {
        let bytes = row().encode();
        let back = AccountRow::decode(&bytes).unwrap();
        assert_eq!(back.account, row().account);
        assert_eq!(back.state, AccountState::Disabled);
        assert_eq!(back.keys.len(), 2);
        assert!(back.keys_for(ScramHash::Sha1).is_none());
        assert_eq!(back.encode(), bytes);

        let tombstone = TombstoneRow {
            until_wall_ms: 12,
            id: AccountId(3),
        };
        assert_eq!(TombstoneRow::decode(&tombstone.encode()), Ok(tombstone));
    }

    #[test]
    fn damaged_and_newer_rows_are_errors() {
        let bytes = row().encode();
        for length in 0..bytes.len() {
            // Where one digest's keys end, a shorter row is a row.
            let cut_between_keys = length == 14 || length == 14 + 5 + 17 + 33 + 33;
            assert_eq!(
                AccountRow::decode(&bytes[..length]).is_ok(),
                cut_between_keys,
                "{length}"
            );
        }
        let mut newer = bytes.clone();
        newer[0] = VERSION + 1;
        assert_eq!(AccountRow::decode(&newer).err(), Some(RowError::Newer));
        let mut twice = bytes.clone();
        twice.extend_from_slice(&bytes[14..]);
        assert_eq!(AccountRow::decode(&twice).err(), Some(RowError::Damaged));
        assert_eq!(
            TombstoneRow::decode(&[VERSION; 18]).err(),
            Some(RowError::Damaged)
        );
    }

    #[test]
    fn hosts_and_names_cannot_be_cut_in_two_ways() {
        assert_ne!(name_key("a.example", "b"), name_key("a.exampleb", ""));
        let range = names_after("a.example", Some("juliet"), 10, 10);
        assert!(name_key("a.example", "juliet") < range.from);
        assert!(name_key("a.example", "julieta") >= range.from);
        assert!(name_key("a.example", "\u{10ffff}") < range.to);
        assert!(name_key("a.example.org", "a") >= range.to);
        let key = name_key("a.example", "juliet");
        assert_eq!(localpart_of("a.example", &key).as_deref(), Some("juliet"));
        assert_eq!(localpart_of("b.example", &key), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_error_or_a_row_that_stays_itself(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            if let Ok(row) = AccountRow::decode(&bytes) {
                prop_assert_eq!(row.encode(), bytes.clone());
            }
            if let Ok(row) = TombstoneRow::decode(&bytes) {
                prop_assert_eq!(row.encode(), bytes);
            }
        }
    }
}
