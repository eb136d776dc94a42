//! How much is kept for an account until its clients come, and whose that is: strangers may not take all of the room
//! that contacts need. Refuses to know what becomes of a message for which there is none.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::actor::rows::{Row, RowRange};
use crate::actor::{Stop, Turn};
use crate::base::limits;
use crate::jid::Jid;
use crate::stanza::Stanza;

use super::account::{self, Account, Change};
use super::pending::{self, PENDING};
use super::presence;
use super::roster::{self, Standing};
use super::session::Session;

/// How much is kept for an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    all: Share,
    /// Of those who were strangers when they wrote, and not first.
    strangers: Share,
    senders: BTreeMap<u16, Share>,
}

/// A part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    count: usize,
    bytes: usize,
}

/// Who sent a message, as far as a row of it says: 15 bits of a digest of the bare address, which few others share, and
/// whether it was a stranger. Nobody has the digest 0, which says that it was given to a client when it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sender(u16);

/// Whether there is room for one more message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is, for this sender.
    For(Sender),
    NoneForContacts,
    NoneForStrangers,
}

/// Whether one more message of this sender may be kept. A stranger may take a tenth of the host's quota, or half of it
/// while a client is there that only is slow; all of them together half, beyond the first tenth; and a quarter is for
/// contacts alone, whatever else waits.
///
/// # Errors
/// Parks until it was counted what is kept, and until it is known who the sender is, where that matters.
pub fn room(turn: &mut Turn<'_, Account>, stanza: &Stanza) -> Result<Room, Stop> {
    let quota = &turn.config.delivery;
    let most = Share {
        count: quota.offline_count as usize,
        bytes: quota.offline_size.as_bytes() as usize,
    };
    let bytes = stanza.charge();
    let from = stanza.header.from.as_ref();
    let sender = Sender::of(from);
    let counted;
    let actor = turn.actor;
    let tally = match &actor.tally {
        Some(tally) => &**tally,
        None => {
            counted = count(turn, most)?;
            let read = Box::new(counted.clone());
            turn.out.change.push(Change::Counted(read));
            &counted
        }
    };
    let one = most.part(limits::PENDING_SENDER_PART);
    if tally.all.has_room(one, bytes) {
        return Ok(Room::For(sender));
    }
    let is_contact = is_contact(turn, from)?;
    let is_there = |session: &Session| session.is_willing() && session.stream.is_some();
    let half = most.part(limits::PENDING_STRANGERS_PART);
    let one = match actor.sessions.iter().any(is_there) {
        true => half,
        false => one,
    };
    let own = tally.senders.get(&sender.digest()).copied();
    let is_modest = is_contact
        || (own.unwrap_or_default().has_room(one, bytes)
            && tally.strangers.has_room(half, bytes)
            && tally
                .all
                .has_room(most.less(most.part(limits::PENDING_CONTACTS_PART)), bytes));
    Ok(
        match (tally.all.has_room(most, bytes) && is_modest, is_contact) {
            (true, true) => Room::For(sender),
            (true, false) => Room::For(sender.as_stranger()),
            (false, true) => Room::NoneForContacts,
            (false, false) => Room::NoneForStrangers,
        },
    )
}

fn count(turn: &mut Turn<'_, Account>, most: Share) -> Result<Tally, Stop> {
    let account = account::identify(turn)?;
    let range = RowRange {
        count_max: most.count,
        bytes_max: most.bytes,
        ..pending::range(account, 0, u64::MAX)
    };
    let (rows, more) = turn.load_range(&PENDING, &range)?;
    let mut tally = Tally::of(rows);
    if more {
        tally.all.count = most.count;
    }
    Ok(tally)
}

/// Whether the account itself, its server, or somebody in its roster says something.
///
/// # Errors
/// Parks until that is known.
pub(super) fn is_contact(turn: &mut Turn<'_, Account>, from: Option<&Jid>) -> Result<bool, Stop> {
    match from.filter(|from| !is_of_the_house(turn.actor, from)) {
        None => Ok(true),
        Some(from) => Ok(knows(roster::standing(turn, from)?)),
    }
}

/// The same as far as it is in memory.
pub(super) fn is_contact_in_memory(account: &Account, from: &Jid) -> bool {
    is_of_the_house(account, from) || knows(account.last_standing(from))
}

fn is_of_the_house(account: &Account, from: &Jid) -> bool {
    presence::is_own(account, Some(from)) || from.as_str() == account.jid.domainpart()
}

fn knows(standing: Standing) -> bool {
    standing.listed || standing.to || standing.from
}

impl Tally {
    fn of(rows: &[Row]) -> Tally {
        let mut tally = Tally::default();
        for row in rows {
            tally.add(pending::sender(&row.value), pending::weight(&row.value));
        }
        tally
    }

    /// A message was kept.
    pub fn add(&mut self, sender: Sender, bytes: usize) {
        self.all.add(bytes);
        if sender.is_stranger() {
            self.strangers.add(bytes);
        }
        self.senders.entry(sender.digest()).or_default().add(bytes);
    }
}

impl Share {
    fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes;
    }

    fn has_room(self, most: Share, bytes: usize) -> bool {
        self.count < most.count && self.bytes + bytes <= most.bytes
    }

    fn less(self, part: Share) -> Share {
        Share {
            count: self.count.saturating_sub(part.count).max(1),
            bytes: self.bytes.saturating_sub(part.bytes),
        }
    }

    /// The `parts`th part; of a small quota at least one message.
    fn part(self, parts: usize) -> Share {
        Share {
            count: (self.count / parts).max(1),
            bytes: (self.bytes / parts).max(limits::ELEMENT_BYTES_MAX.min(self.bytes)),
        }
    }
}

impl Sender {
    /// Not known to be a stranger.
    pub fn of(from: Option<&Jid>) -> Sender {
        let Some(from) = from else {
            return Sender::default();
        };
        let digest = Sha256::digest(from.bare_str());
        let digest = u16::from_be_bytes([digest[0], digest[1]]) & !STRANGER;
        Sender(digest.max(1))
    }

    fn as_stranger(self) -> Sender {
        Sender(self.0 | STRANGER)
    }

    fn is_stranger(self) -> bool {
        self.0 & STRANGER != 0
    }

    fn digest(self) -> u16 {
        self.0 & !STRANGER
    }

    /// As it stands in a row.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// See [`Sender::bits`].
    pub fn from_bits(bits: u16) -> Sender {
        Sender(bits)
    }
}

const STRANGER: u16 = 1 << 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_who_sent_it_and_whether_that_was_a_stranger() {
        let jid = |text: &str| Jid::parse(text).ok();
        let sender = Sender::of(jid("mallory@localhost/1").as_ref());
        assert_eq!(sender, Sender::of(jid("mallory@localhost/2").as_ref()));
        assert_ne!(sender, Sender::of(jid("romeo@localhost/1").as_ref()));
        assert_ne!(sender, Sender::default());
        assert!(!sender.is_stranger());
        let stranger = sender.as_stranger();
        assert!(stranger.is_stranger() && stranger.digest() == sender.digest());
        assert_eq!(Sender::from_bits(stranger.bits()), stranger);
        let mut tally = Tally::default();
        tally.add(sender, 10);
        tally.add(stranger, 20);
        assert_eq!((tally.all.count, tally.all.bytes), (2, 30));
        assert_eq!((tally.strangers.count, tally.strangers.bytes), (1, 20));
        assert_eq!(tally.senders.len(), 1);
    }
}
