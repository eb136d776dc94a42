//! Tells that change state at another account: kept in a row until the other side has made the change durable,
//! so that a crash cannot leave one half of a subscription (DESIGN section 6). Refuses to know what is told.
//!
//! A tell can arrive twice: when the row's removal is lost with the power. Whoever is told must find the second
//! harmless, which the tables of RFC 6121 appendix A do: what changes nothing is ignored.

use std::sync::Arc;

use crate::actor::rows::{Durability, Export, Row, RowKey, RowRange, Slices, Table, Write};
use crate::actor::{Stop, Tell, Turn};
use crate::base::AccountId;
use crate::stanza::{Stanza, read_stored};

use super::account::{self, Account};

/// One row a tell: number of the account that tells, then a number that grows with time, both big-endian.
pub static OUTGOING: Table = Table {
    name: "outgoing",
    // In one save with the teller's own half.
    durability: Durability::BeforeReply,
    export: Export::Outlives,
    slices: Slices::Whole,
    about: "Subscription stanzas that the other side has not confirmed; key: account id, number by time",
};

/// Sends a stanza that its receiver must not miss: when this turn is durable, and again until it is confirmed.
///
/// # Errors
/// Parks until the account is identified.
pub fn tell(turn: &mut Turn<'_, Account>, stanza: Stanza) -> Result<(), Stop> {
    let account = account::identify(turn)?;
    let number = turn.sequence.next(turn.now);
    let tell = Tell { account, number };
    turn.out.write.push(put(&stanza, tell));
    turn.out.tell(stanza, tell);
    Ok(())
}

/// The write that forgets a tell.
pub fn delete(tell: Tell) -> Write {
    Write::Delete {
        table: &OUTGOING,
        key: key(tell),
    }
}

/// A stored tell; none if the row cannot be read.
pub fn decode(row: &Row) -> Option<(Stanza, Tell)> {
    let (account, number) = row.key.as_bytes().split_first_chunk::<8>()?;
    let tell = Tell {
        account: AccountId(u64::from_be_bytes(*account)),
        number: u64::from_be_bytes(number.try_into().ok()?),
    };
    let (&version, xml) = row.value.split_first()?;
    if version != ROW_VERSION {
        return None;
    }
    let stanza = read_stored(std::str::from_utf8(xml).ok()?)?;
    Some((stanza, tell))
}

/// The write that keeps a tell of an account that is no more.
pub fn put(stanza: &Stanza, tell: Tell) -> Write {
    Write::Put {
        table: &OUTGOING,
        key: key(tell),
        value: encode(stanza),
    }
}

/// The rows of one account behind the number `after`, from the first if there is none.
pub fn rows_of(account: AccountId, after: Option<u64>) -> RowRange {
    let key = |number| key(Tell { account, number });
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

fn encode(stanza: &Stanza) -> Arc<[u8]> {
    let mut value = Vec::with_capacity(stanza.charge() + 16);
    value.push(ROW_VERSION);
    stanza.write_standalone(&mut value);
    value.into()
}

fn key(tell: Tell) -> RowKey {
    RowKey::new(&tell.account.0.to_be_bytes()).then(&tell.number.to_be_bytes())
}

const ROW_VERSION: u8 = 1;

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
        };
        let row = Row {
            key: key(tell),
            value: encode(&stanza).to_vec(),
        };
        assert_eq!(decode(&row), Some((stanza, tell)));
        let range = rows_after(None);
        assert!(range.from < row.key && row.key < range.to);
        assert!(rows_after(Some(row.key.clone())).from > row.key);
    }

    #[test]
    fn a_damaged_row_is_no_tell() {
        let damaged: [(&[u8], &[u8]); 3] =
            [(b"", b"\x01"), (&[0; 16], b""), (&[0; 16], b"\x02<x/>")];
        for (key, value) in damaged {
            let row = Row {
                key: RowKey::new(key),
                value: value.to_vec(),
            };
            assert_eq!(decode(&row), None);
        }
    }
}
