//! What is kept of the tokens of one client (XEP-0484): a row with a number and a time for each, in slots. Refuses to know what
//! a token is made of beside that, and who shows one.

use crate::actor::auth::TokenMechanism;
use crate::actor::rows::{Durability, Export, RowKey, RowRange, Slices, Table, Write};
use crate::base::{AccountId, Now, Uuid, limits};

/// What is known of tokens, a row for each client of an account.
pub static TOKEN: Table = Table {
    name: "token",
    durability: Durability::BeforeReply,
    // Means nothing without this server's secret, and goes with the account.
    export: Export::Derived,
    slices: Slices::Whole,
    about: "Numbers and times of a client's tokens (XEP-0484), never a token. Key: account id, the client's id.",
};

/// XEP-0484 section 5: "For every client using FAST, have two token slots - 'current' and 'new'."
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slots {
    pub fresh: Option<Slot>,
    pub current: Option<Slot>,
    /// The last that are good no more, the latest first: whoever shows one is told so, and is no guesser (section 4.2).
    pub past: [Option<Slot>; PAST_COUNT],
}

/// One token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub mechanism: TokenMechanism,
    /// Random: no two tokens are alike.
    pub serial: [u8; SERIAL_BYTES],
    pub issued_wall_ms: u64,
    pub expires_wall_ms: u64,
}

impl Slot {
    /// Half of its time is over.
    pub fn due_wall_ms(&self) -> u64 {
        let lasts_ms = self.expires_wall_ms.saturating_sub(self.issued_wall_ms);
        self.issued_wall_ms + lasts_ms / 2
    }

    pub fn put(&self, bytes: &mut Vec<u8>) {
        bytes.push(self.mechanism.code());
        bytes.extend_from_slice(&self.serial);
        bytes.extend_from_slice(&self.issued_wall_ms.to_be_bytes());
        bytes.extend_from_slice(&self.expires_wall_ms.to_be_bytes());
    }

    fn take(bytes: &[u8; SLOT_BYTES]) -> Option<Slot> {
        let (mechanism, rest) = bytes.split_first()?;
        let (serial, rest) = rest.split_first_chunk()?;
        let (issued, rest) = rest.split_first_chunk()?;
        Some(Slot {
            mechanism: TokenMechanism::from_code(*mechanism)?,
            serial: *serial,
            issued_wall_ms: u64::from_be_bytes(*issued),
            expires_wall_ms: u64::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

impl Slots {
    /// When the last of those ends that are good; 0 if there is none.
    pub fn last_wall_ms(&self) -> u64 {
        let both = self.fresh.iter().chain(&self.current);
        both.map(|slot| slot.expires_wall_ms).max().unwrap_or(0)
    }

    /// The same of those that are good no more.
    pub fn past_wall_ms(&self) -> u64 {
        let past = self.past.iter().flatten();
        past.map(|slot| slot.expires_wall_ms).max().unwrap_or(0)
    }

    /// This one, if it is one, is good no more. The caller takes it out of where it was.
    pub fn retire(&mut self, slot: Option<Slot>) {
        if slot.is_some() {
            self.past = [slot, self.past[0]];
        }
    }

    /// None is good any more.
    pub fn retire_all(&mut self) {
        let Slots { fresh, current, .. } = *self;
        self.retire(current);
        self.retire(fresh);
        (self.fresh, self.current) = (None, None);
    }

    /// What is kept of them: of those whose time is over nothing, for they would not be good anyway.
    pub fn write(&self, account: AccountId, client: Uuid, now: Now) -> Write {
        let key = key(account, client);
        let mut kept = *self;
        for past in &mut kept.past {
            *past = past.filter(|slot| now.wall_ms < slot.expires_wall_ms);
        }
        if kept == Slots::default() {
            return Write::Delete { table: &TOKEN, key };
        }
        Write::Put {
            table: &TOKEN,
            key,
            value: kept.encode().into(),
        }
    }

    /// A version, then each slot behind the letter of its kind.
    fn encode(&self) -> Vec<u8> {
        let mut value = vec![ROW_VERSION];
        let [last, before] = self.past;
        let slots = [(FRESH, self.fresh), (CURRENT, self.current)];
        for (letter, slot) in slots.into_iter().chain([(PAST, last), (PAST, before)]) {
            if let Some(slot) = slot {
                value.push(letter);
                slot.put(&mut value);
            }
        }
        value
    }

    pub fn decode(value: &[u8]) -> Option<Slots> {
        let (&version, mut rest) = value.split_first()?;
        let mut slots = Slots::default();
        while let Some((&letter, behind)) = rest.split_first() {
            let (slot, behind) = behind.split_first_chunk::<SLOT_BYTES>()?;
            let place = match letter {
                FRESH => &mut slots.fresh,
                CURRENT => &mut slots.current,
                PAST if slots.past[0].is_none() => &mut slots.past[0],
                PAST => &mut slots.past[1],
                _ => return None,
            };
            if place.replace(Slot::take(slot)?).is_some() {
                return None;
            }
            rest = behind;
        }
        (version == ROW_VERSION).then_some(slots)
    }
}

pub(super) fn key(account: AccountId, client: Uuid) -> RowKey {
    RowKey::new(&account.0.to_be_bytes()).then(&client.bytes())
}

/// Whose tokens a row is about.
pub(super) fn client_of(key: &RowKey) -> Option<Uuid> {
    let (_, client) = key.as_bytes().split_first_chunk::<8>()?;
    Some(Uuid::from_bytes(client.try_into().ok()?))
}

pub(super) fn range(account: AccountId) -> RowRange {
    RowRange {
        from: RowKey::new(&account.0.to_be_bytes()),
        to: RowKey::new(&account.0.to_be_bytes()).then(&[0xff; 17]),
        count_max: limits::TOKEN_CLIENTS_LIMIT as usize + 1,
        bytes_max: limits::RANGE_BYTES_MAX,
    }
}

pub(super) const SERIAL_BYTES: usize = 16;
const SLOT_BYTES: usize = 1 + SERIAL_BYTES + 8 + 8;
const FRESH: u8 = b'n';
const CURRENT: u8 = b'c';
const PAST: u8 = b'p';
/// So many tokens of a client that are good no more are known: one that was replaced, or both of one that was logged out.
const PAST_COUNT: usize = 2;
const ROW_VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(byte: u8) -> Slot {
        Slot {
            mechanism: TokenMechanism::Exporter,
            serial: [byte; SERIAL_BYTES],
            issued_wall_ms: 100,
            expires_wall_ms: 200,
        }
    }

    #[test]
    fn a_row_comes_back_as_it_was_written_and_nothing_else_is_one() {
        for slots in [
            Slots::default(),
            Slots {
                fresh: Some(slot(1)),
                ..Slots::default()
            },
            Slots {
                fresh: Some(slot(1)),
                current: Some(slot(2)),
                past: [Some(slot(3)), None],
            },
            Slots {
                past: [Some(slot(3)), Some(slot(4))],
                ..Slots::default()
            },
        ] {
            let value = slots.encode();
            assert_eq!(Slots::decode(&value), Some(slots));
            let longer = [&value[..], b"n"].concat();
            assert_eq!(Slots::decode(&longer), None);
        }
        let once = Slots {
            fresh: Some(slot(1)),
            ..Slots::default()
        };
        let twice = [&once.encode()[..], &once.encode()[1..]].concat();
        assert_eq!(Slots::decode(&twice), None);
        assert_eq!(Slots::decode(b""), None);
        assert_eq!(Slots::decode(b"\x02"), None);
    }

    #[test]
    fn a_token_is_due_when_half_of_its_time_is_over() {
        assert_eq!(slot(1).due_wall_ms(), 150);
    }
}
