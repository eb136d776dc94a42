//! Seats kept for answers: how many may be outstanding of each service. Refuses to know what was asked.

use slotmap::SlotMap;

use crate::actor::directory::DirectoryAsk;
use crate::actor::rows::RowKey;
use crate::actor::{Need, Ticket};
use crate::base::{AccountId, ActorKey, SessionId, StreamKey, limits};

use super::cell::Mail;
use super::expiry::Walk;
use super::retention::Months;
use super::save::SaveRecord;

slotmap::new_key_type! {
    pub(super) struct SeatKey;
}

/// Seats kept for answers, and how many of each service are taken.
#[derive(Default)]
pub(super) struct Seats {
    seats: SlotMap<SeatKey, Seat>,
    store: usize,
    auth: usize,
    directory: usize,
}

/// Who asked.
pub(super) enum Seat {
    Need(ActorKey, Need),
    /// A request that left the mailbox.
    Aside(ActorKey, u64, Need),
    Flood(ActorKey, SessionId),
    /// The oldest of an archive that holds too much.
    Trim(ActorKey),
    Sweep,
    /// The moment up to which the clock is believed.
    Clock,
    /// Archives that are being emptied.
    Emptying,
    /// What waits for clients, before months leave the archives.
    Waiting(Months),
    /// What a host that keeps archives shorter than another has to remove.
    Expire(Box<Walk>),
    /// The messages that it stands for.
    Rescue(Months, Option<RowKey>),
    /// Tells of this account, or of all.
    Replay(Option<AccountId>),
    /// A removed account's rows.
    Purge(AccountId),
    Save(SaveRecord),
    /// What left a mailbox until a directory has answered.
    Outside(ActorKey, Box<(Mail, DirectoryAsk)>),
    Auth(StreamKey),
    /// A guess at a password, or the leave to say that one was wrong.
    Guess(StreamKey),
}

impl Seats {
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Questions to the store, saves included.
    pub fn store_count(&self) -> usize {
        self.store
    }

    /// Keeps a seat, or none when the service's share is used up. A save always gets one: refusing it would
    /// break a promise, and its number is bounded by the turns of the loop.
    pub fn take(&mut self, seat: Seat) -> Result<Ticket, Seat> {
        let (used, bound) = match &seat {
            Seat::Auth(_) | Seat::Need(_, Need::Account(_)) => {
                (&mut self.auth, limits::AUTH_OUTSTANDING_MAX)
            }
            // Both wait long, one of them by design: if they took from what others need, guessing would keep
            // out who knows the password. There is at most one for each stream in negotiation.
            // A purge has no one who would hear that there was no seat.
            Seat::Guess(_) | Seat::Purge(_) => {
                return Ok(super::shard::ticket(self.seats.insert(seat)));
            }
            Seat::Save(_) => (&mut self.store, usize::MAX),
            Seat::Outside(..) => (&mut self.directory, limits::DIRECTORY_OUTSTANDING_MAX),
            Seat::Need(..)
            | Seat::Aside(..)
            | Seat::Flood(..)
            | Seat::Trim(_)
            | Seat::Sweep
            | Seat::Clock
            | Seat::Emptying
            | Seat::Waiting(_)
            | Seat::Expire(_)
            | Seat::Rescue(..)
            | Seat::Replay(_) => (&mut self.store, limits::STORE_OUTSTANDING_MAX),
        };
        if *used >= bound {
            return Err(seat);
        }
        *used += 1;
        Ok(super::shard::ticket(self.seats.insert(seat)))
    }

    /// Whether this is waited for by whoever has something done to an account.
    pub fn is_about_account(&self, ticket: Ticket) -> bool {
        let seat = self.seats.get(slotmap::KeyData::from_ffi(ticket.0).into());
        matches!(seat, Some(Seat::Need(_, Need::Account(_))))
    }

    /// The answer is here; none for a seat that was given up.
    pub fn free(&mut self, ticket: Ticket) -> Option<Seat> {
        let seat = self
            .seats
            .remove(slotmap::KeyData::from_ffi(ticket.0).into())?;
        match &seat {
            Seat::Auth(_) | Seat::Need(_, Need::Account(_)) => self.auth -= 1,
            Seat::Guess(_) | Seat::Purge(_) => {}
            Seat::Outside(..) => self.directory -= 1,
            _ => self.store -= 1,
        }
        Some(seat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_its_bound_the_store_is_asked_no_more_but_saves_always_go() {
        let mut seats = Seats::default();
        let first = seats.take(Seat::Sweep).ok().expect("there is room");
        for _ in 1..limits::STORE_OUTSTANDING_MAX {
            assert!(seats.take(Seat::Sweep).is_ok());
        }
        assert!(seats.take(Seat::Sweep).is_err());
        let save = SaveRecord::default();
        assert!(seats.take(Seat::Save(save)).is_ok());
        seats.free(first);
        assert!(seats.take(Seat::Sweep).is_err(), "the save counts");
        assert_eq!(seats.store_count(), limits::STORE_OUTSTANDING_MAX);
    }
}
