//! Messages kept until a client has them (XEP-0160, DESIGN section 20): their rows, their quota, and what
//! becomes of a delivery that nobody acknowledged.
//!
//! A message that its account archives is stored once: its pending row is a mark of a few bytes that stands for the row
//! of the same number in the archive ([`MARK`]). Any other pending row holds the message itself.

use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::actor::rows::{Durability, Export, RowKey, RowRange, Slices, Table, Write};
use crate::actor::{Kept, Stop, Turn};
use crate::base::{AccountId, Sequence, SessionId};
use crate::jid::Jid;
use crate::stanza::{Kind, Stanza, Type, delay_element, ns, read_stored};

use super::account::{self, Account, Change};
use super::acks::Unacked;
use super::quota::Sender;

/// One row a message: account number, then a number that grows with time, both big-endian.
pub static PENDING: Table = Table {
    name: "pending",
    durability: Durability::Soon,
    export: Export::WithAccount,
    slices: Slices::Whole,
    about: "Messages that no client has acknowledged yet; key: account id, number by time",
};

/// What is written into a row.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// The message.
    Whole(&'a Stanza),
    /// A mark: the message is in the archive, under the same number.
    Archived(&'a Stanza),
}

/// What is in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// The message as it is delivered late: with the stamp of when it came.
    Whole(Stanza),
    /// A mark, when the message came, and what the store found in the archive: nothing where that was not asked for.
    Archived { wall_ms: u64, archived: &'a [u8] },
}

/// Owes a message that came just now to whoever gets it, without a row: it has no other place than its holders, and
/// the archive, if it was archived under a number.
pub fn owe(turn: &mut Turn<'_, Account>, archived: Option<u64>) -> Kept {
    let number = archived.unwrap_or_else(|| turn.sequence.next(turn.now));
    Kept {
        number,
        is_stored: false,
        is_shared: false,
    }
}

/// Keeps a message that came at `wall_ms`, in the order in which the messages came and not in that of their rows.
///
/// # Errors
/// Parks until the account is identified.
pub fn put(
    turn: &mut Turn<'_, Account>,
    kept: Kept,
    body: Body<'_>,
    wall_ms: u64,
    sender: Sender,
) -> Result<Kept, Stop> {
    let account = account::identify(turn)?;
    let value = match body {
        Body::Whole(stanza) => encode_of(stanza, wall_ms, sender),
        Body::Archived(stanza) => mark(stanza, wall_ms, sender),
    };
    let bytes = weight(&value);
    turn.out.change.push(Change::Kept { bytes, sender });
    turn.out.write.push(Write::Put {
        table: &PENDING,
        key: key(account, kept.number),
        value,
    });
    Ok(Kept {
        is_stored: true,
        ..kept
    })
}

/// The write that keeps a message which nobody has but who holds it for a client, under the number that it was given when it
/// came.
pub fn keep(account: AccountId, number: u64, stanza: &Stanza) -> Write {
    Write::Put {
        table: &PENDING,
        key: key(account, number),
        value: encode_of(stanza, Sequence::wall_ms_of(number), Sender::default()),
    }
}

/// The write that forgets a message.
pub fn delete(account: AccountId, number: u64) -> Write {
    Write::Delete {
        table: &PENDING,
        key: key(account, number),
    }
}

/// Rows of an account from number `from` to before number `end`.
pub fn range(account: AccountId, from: u64, end: u64) -> RowRange {
    RowRange {
        from: key(account, from),
        to: key(account, end),
        count_max: usize::MAX,
        bytes_max: usize::MAX,
    }
}

/// The number in a row's key; none if the key is not one of this table's.
pub fn number(key: &RowKey) -> Option<u64> {
    let bytes = key.as_bytes().get(8..16)?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// What is in a row; none if it cannot be read.
pub fn decode<'a>(value: &'a [u8], host: &Jid) -> Option<Found<'a>> {
    let (&version, rest) = value.split_first()?;
    let (stamp, rest) = rest.split_first_chunk::<8>()?;
    let (wall_ms, _) = read_stamp(*stamp);
    match version {
        ROW_VERSION => {
            let stanza = read_stored(std::str::from_utf8(rest).ok()?)?;
            Some(Found::Whole(late(stanza, wall_ms, host)))
        }
        MARK => {
            let (_, archived) = rest.split_first_chunk::<4>()?;
            Some(Found::Archived { wall_ms, archived })
        }
        _ => None,
    }
}

/// A stored message as it is delivered.
pub fn late(mut stanza: Stanza, wall_ms: u64, host: &Jid) -> Stanza {
    // XEP-0160: "it is RECOMMENDED for the server to add a Delayed Delivery extension".
    if !is_stamped(&stanza, host) {
        let delay = delay_element(host, wall_ms);
        stanza.payload = stanza.payload.with(&delay);
    }
    stanza
}

/// Whether this server has said already when the message came: it was late once before. A sender's own stamp
/// is another matter.
pub fn is_stamped(stanza: &Stanza, host: &Jid) -> bool {
    stanza.payload.children().any(|child| {
        child.is(ns::DELAY, "delay") && child.attribute("from").as_deref() == Some(host.as_str())
    })
}

/// A row's value: a version byte, a stamp, the message as XML.
pub fn encode(stanza: &Stanza, wall_ms: u64) -> Arc<[u8]> {
    encode_of(stanza, wall_ms, Sender::of(stanza.header.from.as_ref()))
}

fn encode_of(stanza: &Stanza, wall_ms: u64, sender: Sender) -> Arc<[u8]> {
    let mut value = Vec::with_capacity(stanza.charge() + 64);
    value.push(ROW_VERSION);
    value.extend_from_slice(&stamp(wall_ms, sender));
    stanza.write_standalone(&mut value);
    value.into()
}

/// A mark: its byte, a stamp, and how many bytes of the quota it takes.
fn mark(stanza: &Stanza, wall_ms: u64, sender: Sender) -> Arc<[u8]> {
    let mut value = [MARK; 13];
    value[1..9].copy_from_slice(&stamp(wall_ms, sender));
    let bytes = u32::try_from(stanza.charge()).unwrap_or(u32::MAX);
    value[9..].copy_from_slice(&bytes.to_be_bytes());
    Arc::from(value)
}

/// Who sent a message, 16 bits, and the wall clock at which it came, which needs no more than the 48 that are left.
fn stamp(wall_ms: u64, sender: Sender) -> [u8; 8] {
    let wall_ms = wall_ms & (u64::MAX >> 16);
    (u64::from(sender.bits()) << 48 | wall_ms).to_be_bytes()
}

fn read_stamp(stamp: [u8; 8]) -> (u64, Sender) {
    let stamp = u64::from_be_bytes(stamp);
    // The shift leaves 16 bits.
    (
        stamp & (u64::MAX >> 16),
        Sender::from_bits((stamp >> 48) as u16),
    )
}

/// Whose message a row holds.
pub fn sender(value: &[u8]) -> Sender {
    let stamp = value.get(STAMP).and_then(|stamp| stamp.try_into().ok());
    stamp.map_or_else(Sender::default, |stamp| read_stamp(stamp).1)
}

/// How many bytes of the quota a row takes: those of the message, wherever it is.
pub fn weight(value: &[u8]) -> usize {
    match value.split_at_checked(9) {
        Some(([MARK, ..], rest)) => rest
            .first_chunk::<4>()
            .map_or(0, |bytes| u32::from_be_bytes(*bytes) as usize),
        _ => value.len(),
    }
}

/// What becomes of a delivery whose session ended before its client acknowledged it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// Other sessions have room for it now.
    Redeliver(SmallVec<[SessionId; 4]>),
    /// It waits in the store, where it gets a row if it has none yet.
    Keep(Kept),
    /// Its sender hears an error.
    Bounce,
    /// A client has it, or nobody misses it.
    Leave,
}

/// Decides the fate of what a session that is over did not acknowledge, when nobody else holds it.
pub fn leftover(account: &Account, held: &Unacked) -> Leftover {
    let stanza = &held.stanza.header;
    if let (Kind::Iq, Type::Get | Type::Set) = (stanza.kind, stanza.type_) {
        // The requester would wait for ever, and MUST get one answer (RFC 6120 section 8.2.3), not two.
        return match held.is_answered {
            true => Leftover::Leave,
            false => Leftover::Bounce,
        };
    }
    // Presence and copies are owed to nobody.
    let Some(kept) = held.kept else {
        return Leftover::Leave;
    };
    let others = account.sessions.iter().filter(|s| s.has_room());
    let others = others.filter(|session| !session.will_read(kept));
    let others: SmallVec<[SessionId; 4]> = others.map(|session| session.id).collect();
    match others.is_empty() {
        false => Leftover::Redeliver(others),
        true if account.anonymous => Leftover::Bounce,
        true => Leftover::Keep(kept),
    }
}

fn key(account: AccountId, number: u64) -> RowKey {
    RowKey::new(&account.0.to_be_bytes()).then(&number.to_be_bytes())
}

/// Where the stamp is in a row of either kind.
pub const STAMP: Range<usize> = 1..9;
/// The first byte of a row that stands for a message in the archive.
pub const MARK: u8 = 2;
const ROW_VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::Header;

    fn host() -> Jid {
        Jid::parse("localhost").expect("valid")
    }

    #[test]
    fn a_mark_weighs_what_its_message_does_and_holds_nothing_of_it() {
        let mut stanza = Stanza {
            header: Header::new(Kind::Message, Type::Chat),
            payload: crate::stanza::Payload::from_normal("<body>Wherefore art thou?</body>"),
        };
        stanza.header.id = Some("m1".into());
        let value = mark(&stanza, 77, Sender::default());
        assert_eq!((value.len(), weight(&value)), (13, stanza.charge()));
        let found = |archived| {
            Some(Found::Archived {
                wall_ms: 77,
                archived,
            })
        };
        assert_eq!(decode(&value, &host()), found(&[]));
        let joined = [&*value, b"and more"].concat();
        assert_eq!(decode(&joined, &host()), found(b"and more"));
        let whole = encode(&stanza, 77);
        assert_eq!(weight(&whole), whole.len());
        let Some(Found::Whole(late)) = decode(&whole, &host()) else {
            panic!("no message");
        };
        assert!(is_stamped(&late, &host()));
    }

    #[test]
    fn a_damaged_row_is_nothing() {
        for value in [
            &b""[..],
            &[MARK],
            &[MARK; 12],
            &[ROW_VERSION; 8],
            b"\x0112345678<a",
            &[9; 20],
        ] {
            assert_eq!(decode(value, &host()), None, "{value:?}");
        }
        assert_eq!(weight(&[MARK; 12]), 0);
    }
}
