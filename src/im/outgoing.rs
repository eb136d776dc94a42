//! Tells that change state at another account: kept in a row until the other side has made the change durable,
//! so that a crash cannot leave one half of a subscription (DESIGN section 6). Refuses to know what is told.
//!
//! A tell can arrive twice, or not while later ones do: when the row's removal is lost with the power, or the other side
//! could not take it. Its number, and that of the tell which it answers, say whether it still means anything
//! (`subscription/half.rs`).

use std::sync::Arc;

use crate::actor::rows::{Durability, Export, Row, RowKey, RowRange, Slices, Table, Write};
use crate::actor::{Tell, Turn};
use crate::base::AccountId;
use crate::stanza::{Stanza, read_stored};

use super::account::Account;

/// One row a tell: number of the account that tells, then a number that grows with time, both big-endian.
pub static OUTGOING: Table = Table {
    name: "outgoing",
    // In one save with the teller's own half.
    durability: Durability::BeforeReply,
    export: Export::Outlives,
    slices: Slices::Whole,
    about: "Subscription stanzas that the other side has not confirmed; key: account id, number by time",
};

/// Whether a tell is told until it is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// It goes out when this turn is durable, and again until it is confirmed.
    Kept,
    /// It repeats another, or changes nothing: it may be lost.
    Once,
}

/// Sends a stanza with its number and that of the one which it answers.
pub fn tell(turn: &mut Turn<'_, Account>, stanza: Stanza, tell: Tell, care: Care) {
    if care == Care::Kept {
        turn.out.write.push(put(&stanza, tell));
    }
    turn.out.tell(stanza, tell);
}

/// The write that forgets a tell.
pub fn delete(account: AccountId, number: u64) -> Write {
    Write::Delete {
        table: &OUTGOING,
        key: key_of(account, number),
    }
}

/// A stored tell; none if the row cannot be read.
pub fn decode(row: &Row) -> Option<(Stanza, Tell)> {
    let (account, number) = row.key.as_bytes().split_first_chunk::<8>()?;
    let (&version, rest) = row.value.split_first()?;
    let (answers, xml) = match version {
        UNNAMED => (0, rest),
        ROW_VERSION => {
            let (answers, xml) = rest.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*answers), xml)
        }
        _ => return None,
    };
    let tell = Tell {
        account: AccountId(u64::from_be_bytes(*account)),
        number: u64::from_be_bytes(number.try_into().ok()?),
        answers,
    };
    let stanza = read_stored(std::str::from_utf8(xml).ok()?)?;
    Some((stanza, tell))
}

/// The write that keeps a tell of an account that is no more.
pub fn put(stanza: &Stanza, tell: Tell) -> Write {
    Write::Put {
        table: &OUTGOING,
        key: key(tell),
        value: encode(stanza, tell.answers),
    }
}

/// The rows of one account behind the number `after`, from the first if there is none.
pub fn rows_of(account: AccountId, after: Option<u64>) -> RowRange {
    let key = |number| key_of(account, number);
    RowRange {
        from: after.map_or(key(0), |number| key(number).then(&[0])),
        to: key(u64::MAX).then(&[0]),
        count_max: usize::MAX,
        bytes_max: usize::MAX,
    }
}

/// All rows behind the key `after`, from the first if there is none.
pub fn rows_after(after: Option<RowKey>) -> RowRange {
    RowRange {
        from: after.map_or(RowKey::new(&[]), |key| key.then(&[0])),
        to: RowKey::new(&[0xff; 17]),
        count_max: usize::MAX,
        bytes_max: usize::MAX,
    }
}

fn encode(stanza: &Stanza, answers: u64) -> Arc<[u8]> {
    let mut value = Vec::with_capacity(stanza.charge() + 24);
    value.push(ROW_VERSION);
    value.extend_from_slice(&answers.to_be_bytes());
    stanza.write_standalone(&mut value);
    value.into()
}

fn key(tell: Tell) -> RowKey {
    key_of(tell.account, tell.number)
}

fn key_of(account: AccountId, number: u64) -> RowKey {
    RowKey::new(&account.0.to_be_bytes()).then(&number.to_be_bytes())
}

/// The first form, which did not say what it answers.
const UNNAMED: u8 = 1;
const ROW_VERSION: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jid::Jid;
    use crate::stanza::{Header, Kind, Payload, Type};

    #[test]
    fn a_tell_is_read_as_it_was_written() {
        let mut header = Header::new(Kind::Presence, Type::Subscribe);
        header.from = Jid::parse("romeo@example.net").ok();
        header.to = Jid::parse("juliet@example.com").ok();
        let payload = Payload::from_normal("<status>Hi &amp; hello</status>");
        let stanza = Stanza { header, payload };
        let tell = Tell {
            account: AccountId(7),
            number: 9,
            answers: 5,
        };
        let row = Row {
            key: key(tell),
            value: encode(&stanza, tell.answers).to_vec(),
        };
        assert_eq!(decode(&row), Some((stanza.clone(), tell)));
        // As version 0.1 wrote it.
        let mut value = vec![UNNAMED];
        stanza.write_standalone(&mut value);
        let key = row.key.clone();
        let unnamed = Tell { answers: 0, ..tell };
        assert_eq!(decode(&Row { key, value }), Some((stanza, unnamed)));
        let range = rows_after(None);
        assert!(range.from < row.key && row.key < range.to);
        assert!(rows_after(Some(row.key.clone())).from > row.key);
    }

    #[test]
    fn a_damaged_row_is_no_tell() {
        let damaged: [(&[u8], &[u8]); 4] = [
            (b"", b"\x01"),
            (&[0; 16], b""),
            (&[0; 16], b"\x02<x/>"),
            (&[0; 16], b"\x03<presence/>"),
        ];
        for (key, value) in damaged {
            let row = Row {
                key: RowKey::new(key),
                value: value.to_vec(),
            };
            assert_eq!(decode(&row), None);
        }
    }
}
