//! What a client sends again after a crash, because it never saw the acknowledgement: recognised by its sender
//! and its origin-id (XEP-0359) for at least 24 hours (DESIGN section 20). Refuses to look at the content.
//!
//! Asking the store about every message would make every delivery wait for the disk, so an account that is
//! resident holds the marks of two days in memory and reads them once.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::actor::rows::{Durability, Export, Row, RowKey, RowRange, Slices, Table, Write};
use crate::actor::{Draft, Outcome, Stop, Turn};
use crate::base::{AccountId, Now, limits};
use crate::jid::Jid;
use crate::stanza::{Stanza, ns};

use super::account::{self, Account, Change};
use super::archive::ArchiveId;
use super::message;
use super::quota;

/// One row for each message that was kept, or archived by its sender, and may be sent again; its value is the wall clock
/// in milliseconds, or where the sender's archive has it. The day comes first, so that old rows are a range.
pub static ORIGIN: Table = Table {
    name: "origin",
    durability: Durability::Soon,
    export: Export::Never,
    slices: Slices::Whole,
    about: "Origin-ids of the last two days; key: day since 1970, account id, digest of sender and origin-id",
};

/// The first 96 bits of SHA-256 over the sender's bare JID, a NUL and the origin-id. The sender is in it, so
/// that nobody can choose an id which makes another's message disappear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark([u8; MARK_BYTES]);

/// Marks of what an account was sent today and yesterday.
#[derive(Debug, PartialEq, Eq)]
pub struct Origins {
    /// The older first.
    days: [Day; 2],
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Day {
    number: u32,
    marks: BTreeSet<Mark>,
    /// There are more of them in the store.
    is_cut: bool,
}

/// Inbound: a message that was kept before is done with. Only where the sender's client counts on an
/// acknowledgement (XEP-0198): no other sends again.
///
/// # Errors
/// Parks until the account and its marks were read; stops with [`Stop::Done`] at a repetition.
pub fn recognise(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    let Some(mark) = mark_of(turn, draft) else {
        return Ok(());
    };
    let account = account::identify(turn)?;
    if !is_known(turn, account, mark)? {
        return Ok(());
    }
    // The first may not be durable yet, and this one is settled no sooner: saves are made in their order, so
    // it waits for a row of its own.
    turn.out.write.push(put(turn.now, account, mark));
    Err(Stop::Done)
}

/// Outbound: what was remembered with the message when it was archived at its sender's, if it was. A client that has not
/// seen the acknowledgement sends it again, and it is one message all the same.
///
/// # Errors
/// Parks until the account and its marks were read.
pub fn recall_sent(
    turn: &mut Turn<'_, Account>,
    draft: &Draft,
    to: &Jid,
) -> Result<Option<ArchiveId>, Stop> {
    let Some(mark) = mark_of_sent(draft, to) else {
        return Ok(None);
    };
    let account = account::identify(turn)?;
    if !is_known(turn, account, mark)? {
        return Ok(None);
    }
    let today = day_of(turn.now);
    let row = match turn.load(&ORIGIN, &key(today, account, mark))? {
        Some(row) => Some(row),
        None => turn.load(&ORIGIN, &key(today.saturating_sub(1), account, mark))?,
    };
    let id = row.and_then(ArchiveId::from_bytes);
    if let Some(id) = id {
        // As in `recognise`.
        turn.out.write.push(put_sent(turn.now, account, mark, id));
    }
    Ok(id)
}

/// Outbound: a repetition of what was archived under this id will be recognised.
///
/// # Errors
/// Parks until the account is identified.
pub fn remember_sent(
    turn: &mut Turn<'_, Account>,
    draft: &Draft,
    to: &Jid,
    id: ArchiveId,
) -> Outcome {
    let Some(mark) = mark_of_sent(draft, to) else {
        return Ok(());
    };
    let account = account::identify(turn)?;
    let day = day_of(turn.now);
    if holds(turn, account, day, limits::ORIGINS_COUNT_MAX)? {
        return Ok(());
    }
    turn.out.change.push(Change::OriginKept { day, mark });
    // In the same save as the archive's row.
    turn.out.write.push(put_sent(turn.now, account, mark, id));
    Ok(())
}

/// Inbound, behind keeping: a repetition of what is kept will be recognised.
///
/// # Errors
/// Parks until the account is identified, and until it is known who the sender is, where that matters.
pub fn remember(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    if !draft.kept.is_some_and(|kept| kept.is_stored) {
        return Ok(());
    }
    let Some(mark) = mark_of(turn, draft) else {
        return Ok(());
    };
    let account = account::identify(turn)?;
    let day = day_of(turn.now);
    let is_bound = |most: usize, turn: &Turn<'_, Account>| holds(turn, account, day, most);
    if is_bound(limits::ORIGINS_COUNT_MAX, turn)?
        || is_bound(limits::ORIGINS_STRANGERS_MAX, turn)?
            && !quota::is_contact(turn, draft.stanza.header.from.as_ref())?
    {
        return Ok(());
    }
    turn.out.change.push(Change::OriginKept { day, mark });
    // In the same save as the message: after a crash both are there or neither.
    turn.out.write.push(put(turn.now, account, mark));
    Ok(())
}

/// The mark of a message that gets its row late, and is waited for by its sender's client: with the same save. None if it has
/// none, or its account has enough of them.
pub fn remember_late(
    now: Now,
    account: &Account,
    id: AccountId,
    stanza: &Stanza,
) -> Option<(Change, Write)> {
    let mark = mark_in_stanza(stanza)?;
    let day = day_of(now);
    let from = stanza.header.from.as_ref()?;
    let most = match quota::is_contact_in_memory(account, from) {
        true => limits::ORIGINS_COUNT_MAX,
        false => limits::ORIGINS_STRANGERS_MAX,
    };
    // They were read when it came. Of an account of which they were forgotten since, sessions hold no more than some.
    let origins = account.origins.as_ref();
    if origins.is_some_and(|origins| origins.holds(day, most)) {
        return None;
    }
    Some((Change::OriginKept { day, mark }, put(now, id, mark)))
}

/// Every row that is too old to be asked for.
pub fn outdated(now: Now) -> RowRange {
    RowRange {
        from: RowKey::new(&[]),
        to: RowKey::new(&day_of(now).saturating_sub(1).to_be_bytes()),
        count_max: usize::MAX,
        bytes_max: usize::MAX,
    }
}

impl Origins {
    /// Whether the mark is one of this day's or the day's before; none if only the store can say.
    fn knows(&self, today: u32, mark: Mark) -> Option<bool> {
        let mut is_cut = false;
        for day in self.days.iter().filter(|day| day.number + 1 >= today) {
            if day.marks.contains(&mark) {
                return Some(true);
            }
            is_cut |= day.is_cut;
        }
        (!is_cut).then_some(false)
    }

    /// Whether so many marks of this day are known.
    fn holds(&self, today: u32, count: usize) -> bool {
        let newest = &self.days[1];
        newest.number >= today && newest.marks.len() >= count
    }

    /// Adds a mark; what is older than the day before is forgotten.
    pub fn add(&mut self, today: u32, mark: Mark) {
        // A clock that was set back fills the newer day a little longer.
        if self.days[1].number < today {
            let fresh = Day {
                number: today,
                ..Day::default()
            };
            self.days[0] = std::mem::replace(&mut self.days[1], fresh);
        }
        self.days[1].add(mark);
    }
}

impl Day {
    fn add(&mut self, mark: Mark) {
        if self.marks.len() < limits::ORIGINS_COUNT_MAX {
            self.marks.insert(mark);
        } else {
            self.is_cut |= !self.marks.contains(&mark);
        }
    }
}

/// Whether an account has so many marks of this day that it gets no more: what is beyond is not recognised when it is sent
/// again, and whoever sends a thousand messages a second finds no other bound.
fn holds(
    turn: &Turn<'_, Account>,
    account: AccountId,
    today: u32,
    count: usize,
) -> Result<bool, Stop> {
    match &turn.actor.origins {
        Some(origins) => Ok(origins.holds(today, count)),
        // Whoever was asked whether he knows the mark has read them in this turn.
        None => Ok(read(turn, account, today)?.holds(today, count)),
    }
}

fn is_known(turn: &mut Turn<'_, Account>, account: AccountId, mark: Mark) -> Result<bool, Stop> {
    let today = day_of(turn.now);
    let known = match &turn.actor.origins {
        Some(origins) => origins.knows(today, mark),
        None => {
            let origins = read(turn, account, today)?;
            let known = origins.knows(today, mark);
            turn.out.change.push(Change::OriginsRead(Box::new(origins)));
            known
        }
    };
    match known {
        Some(known) => Ok(known),
        None => Ok(is_stored(turn, key(today, account, mark))?
            || is_stored(turn, key(today.saturating_sub(1), account, mark))?),
    }
}

fn read(turn: &Turn<'_, Account>, account: AccountId, today: u32) -> Result<Origins, Stop> {
    let day = |number: u32| {
        let range = RowRange {
            from: prefix(number, account),
            to: prefix(number, AccountId(account.0.saturating_add(1))),
            count_max: limits::ORIGINS_COUNT_MAX,
            bytes_max: limits::RANGE_BYTES_MAX,
        };
        let (rows, is_cut) = turn.load_range(&ORIGIN, &range)?;
        Ok::<Day, Stop>(Day {
            number,
            marks: rows.iter().filter_map(mark_in).collect(),
            is_cut,
        })
    };
    Ok(Origins {
        days: [day(today.saturating_sub(1))?, day(today)?],
    })
}

fn is_stored(turn: &Turn<'_, Account>, key: RowKey) -> Result<bool, Stop> {
    Ok(turn.load(&ORIGIN, &key)?.is_some())
}

fn mark_of(turn: &Turn<'_, Account>, draft: &Draft) -> Option<Mark> {
    let stanza = &draft.stanza;
    if draft.settle.is_none() || turn.actor.anonymous || !message::is_storable(stanza) {
        return None;
    }
    mark_in_stanza(stanza)
}

fn mark_in_stanza(stanza: &Stanza) -> Option<Mark> {
    let id = stanza.payload.child(ns::STANZA_ID, "origin-id")?;
    let id = id.attribute("id")?;
    let sender = stanza.header.from.as_ref()?;
    Some(Mark::new(sender.bare_str(), &id, stanza))
}

/// Only where the client counts on an acknowledgement: no other sends again.
fn mark_of_sent(draft: &Draft, to: &Jid) -> Option<Mark> {
    draft.settle?;
    let id = draft.stanza.payload.child(ns::STANZA_ID, "origin-id")?;
    let id = id.attribute("id")?;
    Some(Mark::of_sent(to.bare_str(), &id, &draft.stanza))
}

impl Mark {
    fn new(sender: &str, id: &str, stanza: &Stanza) -> Mark {
        Mark::of(Sha256::new().chain_update(sender), id, stanza)
    }

    /// Of what the account itself sent. No sender's address begins with a NUL.
    fn of_sent(to: &str, id: &str, stanza: &Stanza) -> Mark {
        Mark::of(Sha256::new().chain_update([0]).chain_update(to), id, stanza)
    }

    /// What is sent again says the same: a client that gives an id twice means another message all the same.
    fn of(whose: Sha256, id: &str, stanza: &Stanza) -> Mark {
        let mut digest = whose.chain_update([0]).chain_update(id);
        digest.update([0]);
        digest.update(stanza.header.type_.attribute().unwrap_or_default());
        digest.update([0]);
        if let Some(body) = stanza.payload.child(ns::CLIENT, "body") {
            digest.update(body.text().as_bytes());
        }
        let digest = digest.finalize();
        let mut mark = [0; MARK_BYTES];
        mark.copy_from_slice(&digest[..MARK_BYTES]);
        Mark(mark)
    }
}

fn mark_in(row: &Row) -> Option<Mark> {
    let mark = row.key.as_bytes().get(PREFIX_BYTES..)?;
    mark.try_into().ok().map(Mark)
}

fn put(now: Now, account: AccountId, mark: Mark) -> Write {
    Write::Put {
        table: &ORIGIN,
        key: key(day_of(now), account, mark),
        value: now.wall_ms.to_be_bytes()[..].into(),
    }
}

fn put_sent(now: Now, account: AccountId, mark: Mark, id: ArchiveId) -> Write {
    Write::Put {
        table: &ORIGIN,
        key: key(day_of(now), account, mark),
        value: id.to_bytes()[..].into(),
    }
}

fn key(day: u32, account: AccountId, mark: Mark) -> RowKey {
    prefix(day, account).then(&mark.0)
}

fn prefix(day: u32, account: AccountId) -> RowKey {
    RowKey::new(&day.to_be_bytes()).then(&account.0.to_be_bytes())
}

/// Days since 1970, which fit for eleven million years.
fn day_of(now: Now) -> u32 {
    u32::try_from(now.wall_ms / DAY_MS).unwrap_or(u32::MAX)
}

const DAY_MS: u64 = 24 * 3_600_000;
/// With day and account 24 bytes: a key that needs no memory of its own.
const MARK_BYTES: usize = 12;
const PREFIX_BYTES: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::{Header, Kind, Payload, Type};

    const TODAY: u32 = 20_000;

    fn origins() -> Origins {
        let day = |number| Day {
            number,
            ..Day::default()
        };
        Origins {
            days: [day(TODAY - 1), day(TODAY)],
        }
    }

    fn says(type_: Type, text: &str) -> Stanza {
        Stanza {
            header: Header::new(Kind::Message, type_),
            payload: Payload::from_normal(&format!("<body>{text}</body>")),
        }
    }

    fn new(sender: &str, id: &str) -> Mark {
        Mark::new(sender, id, &says(Type::Chat, "Hush"))
    }

    fn mark(id: &str) -> Mark {
        new("romeo@example.org", id)
    }

    #[test]
    fn a_mark_names_sender_and_id_and_the_border_between_them() {
        assert_eq!(mark("a"), mark("a"));
        assert_ne!(mark("a"), mark("b"));
        assert_ne!(mark("a"), new("juliet@example.org", "a"));
        assert_ne!(new("romeo@example.or", "ga"), mark("a"));
        // What is said to somebody is not what he says.
        let said = says(Type::Chat, "Hush");
        assert_ne!(Mark::of_sent("romeo@example.org", "a", &said), mark("a"));
    }

    #[test]
    fn what_has_the_same_id_and_says_something_else_is_another_message() {
        let of = |type_, text| Mark::new("romeo@example.org", "a", &says(type_, text));
        assert_eq!(of(Type::Chat, "Hush"), mark("a"));
        assert_ne!(of(Type::Chat, "Speak"), mark("a"));
        assert_ne!(of(Type::Normal, "Hush"), mark("a"));
    }

    #[test]
    fn a_mark_is_known_until_the_end_of_the_next_day() {
        let mut origins = origins();
        origins.add(TODAY, mark("a"));
        assert_eq!(origins.knows(TODAY, mark("a")), Some(true));
        assert_eq!(origins.knows(TODAY, mark("b")), Some(false));
        assert_eq!(origins.knows(TODAY + 1, mark("a")), Some(true));
        assert_eq!(origins.knows(TODAY + 2, mark("a")), Some(false));
        origins.add(TODAY + 1, mark("b"));
        assert_eq!(origins.knows(TODAY + 1, mark("a")), Some(true));
        origins.add(TODAY + 2, mark("c"));
        assert_eq!(origins.knows(TODAY + 2, mark("a")), Some(false));
        assert_eq!(origins.knows(TODAY + 2, mark("b")), Some(true));
    }

    #[test]
    fn beyond_the_bound_nothing_is_added_and_only_the_store_can_say_that_a_mark_is_new() {
        let mut origins = origins();
        for id in 0..=limits::ORIGINS_COUNT_MAX {
            origins.add(TODAY, mark(&id.to_string()));
        }
        let is_full = |day| origins.holds(day, limits::ORIGINS_COUNT_MAX);
        assert!(is_full(TODAY) && !is_full(TODAY + 1));
        let bound = limits::ORIGINS_COUNT_MAX.to_string();
        assert_eq!(origins.knows(TODAY, mark("0")), Some(true));
        assert_eq!(origins.knows(TODAY, mark(&bound)), None);
        assert_eq!(origins.knows(TODAY, mark("new")), None);
        // The next day is whole again, but this one is asked for until it is over.
        origins.add(TODAY + 1, mark("tomorrow"));
        assert_eq!(origins.knows(TODAY + 1, mark("new")), None);
        assert_eq!(origins.knows(TODAY + 2, mark("new")), Some(false));
    }

    #[test]
    fn only_days_before_yesterday_are_outdated() {
        let noon = Now {
            mono_ms: 0,
            wall_ms: u64::from(TODAY) * DAY_MS + DAY_MS / 2,
        };
        let range = outdated(noon);
        let is_outdated = |day| {
            let key = key(day, AccountId(u64::MAX), Mark([0xff; MARK_BYTES]));
            range.from <= key && key < range.to
        };
        assert!(is_outdated(TODAY - 2));
        assert!(!is_outdated(TODAY - 1));
        assert!(!is_outdated(TODAY));
    }
}
