//! When an account was last seen, and what it said then (XEP-0012 section 3): kept when the last available session
//! goes. Refuses to know who may ask.

use std::sync::Arc;

use crate::actor::rows::{Durability, Export, RowKey, Slices, Table, Write};
use crate::actor::{Stop, Turn};
use crate::base::{AccountId, limits};
use crate::stanza::{Stanza, ns};

use super::account::{self, Account};

/// When accounts were last seen.
pub static LAST: Table = Table {
    name: "last-activity",
    // Whoever logs out waits for nothing, and it is written then alone: after a crash, contacts see when the session before
    // was over, and what it said, until the next one ends.
    durability: Durability::Soon,
    export: Export::WithAccount,
    slices: Slices::Whole,
    about: "End of the last presence session (XEP-0012): time, status; key: account id",
};

/// The end of the last presence session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// Milliseconds since 1970.
    pub wall_ms: u64,
    /// The `<status/>` of the unavailable presence; empty if it had none.
    pub status: String,
}

/// A session sent `stanza`, or it was sent for it: if nobody else of the account is available, that is kept.
pub fn remember(turn: &mut Turn<'_, Account>, stanza: &Stanza) {
    let Some(identity) = turn.actor.identity else {
        // Anonymous: nothing of it stays.
        return;
    };
    let status = stanza.payload.child(ns::CLIENT, "status");
    let status = status.map_or(String::new(), |status| status.text().into_owned());
    let end = status.floor_char_boundary(limits::LAST_STATUS_BYTES_MAX);
    let last = Last {
        wall_ms: turn.now.wall_ms,
        status: status[..end].to_owned(),
    };
    turn.out.write.push(Write::Put {
        table: &LAST,
        key: key(identity.id),
        value: last.encode(),
    });
}

/// What was kept.
///
/// # Errors
/// Parks until it was read; rejects when there is no such account.
pub fn load(turn: &mut Turn<'_, Account>) -> Result<Option<Last>, Stop> {
    let account = account::identify(turn)?;
    let row = turn.load(&LAST, &key(account))?;
    Ok(row.and_then(Last::decode))
}

impl Last {
    fn encode(&self) -> Arc<[u8]> {
        let mut value = vec![ROW_VERSION];
        value.extend_from_slice(&self.wall_ms.to_be_bytes());
        value.extend_from_slice(self.status.as_bytes());
        value.into()
    }

    fn decode(value: &[u8]) -> Option<Last> {
        let (&version, rest) = value.split_first()?;
        let (wall_ms, status) = rest.split_first_chunk::<8>()?;
        let status = std::str::from_utf8(status).ok()?;
        (version == ROW_VERSION).then(|| Last {
            wall_ms: u64::from_be_bytes(*wall_ms),
            status: status.to_owned(),
        })
    }
}

fn key(account: AccountId) -> RowKey {
    RowKey::new(&account.0.to_be_bytes())
}

const ROW_VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_as_it_went_and_a_damaged_one_does_not() {
        let last = Last {
            wall_ms: 1_790_000_000_123,
            status: "Heading Home".into(),
        };
        assert_eq!(Last::decode(&last.encode()), Some(last));
        for damaged in [
            &b""[..],
            b"\x01\0\0\0\0\0\0\0",
            b"\x02\0\0\0\0\0\0\0\0",
            b"\x01\0\0\0\0\0\0\0\0\xff",
        ] {
            assert_eq!(Last::decode(damaged), None);
        }
    }
}
