//! The search for a page, a step at a time: a step reads a bounded piece of the archive and either finds messages to
//! send or knows where the next begins. Refuses to know who asked, and how a message is sent.
//!
//! A page whose messages are found in the order in which they are sent is sent as it is found. Of any other, the
//! last page of a conversation above all, first is measured where it begins; where one step suffices for that,
//! which is the rule, it is sent at once.

use super::intersect::intersect;
use super::list::{INDEX, Posting, index_key};
use super::query::not_found;
use super::row::{ARCHIVE, Archived, key, number_of, range};
use super::words;
use crate::actor::rows::{Pick, Row, RowRange, Write};
use crate::actor::{Actor, Stop, Turn};
use crate::base::{AccountId, limits};
use crate::im::archive::{ArchiveId, Flip, Page as Wish, Query, Reach, Stage};
use crate::stanza::StanzaError;

/// What a step found.
#[derive(Debug)]
pub enum Found<'a> {
    /// These messages are sent, and the search goes on.
    Some(Vec<Archived<'a>>, Reach),
    /// Nothing yet: the index is not as far as the archive. With these writes it comes closer.
    Behind(Vec<Write>, Reach),
    /// These are the last; the page is described.
    Last(Vec<Archived<'a>>, Page),
}

/// The page that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its oldest and newest message.
    pub ends: Option<(ArchiveId, ArchiveId)>,
    /// Nothing that matches is left out behind it.
    pub complete: bool,
    /// How many match, where that was asked for and is known.
    pub count: Option<u32>,
}

/// The way through the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

/// Where the search for a query begins. `oldest` is the number of the first message that is still kept.
///
/// # Errors
/// `item-not-found` if the query names a message that is not kept any more, whether or not its row is still there.
pub fn begin(query: &Query, oldest: u64) -> Result<Reach, StanzaError> {
    let mut named = query.references.iter().chain(query.ids.iter().flatten());
    if named.any(|id| id.number < oldest) {
        return Err(not_found());
    }
    let whole = (query.from.max(oldest), query.to);
    let stage = match query.words.is_empty() {
        false => Stage::Index(None),
        true => Stage::Check(0),
    };
    Ok(Reach {
        stage,
        whole,
        rest: whole,
        count: 0,
        edge: 0,
        first: None,
        sent: None,
        complete: None,
    })
}

/// One step. `room` messages may be sent.
///
/// # Errors
/// Parks until what it reads is there; rejects with `item-not-found` if a message that the query names is not in the
/// archive.
pub fn step<'t, A: Actor>(
    turn: &Turn<'t, A>,
    account: AccountId,
    query: &Query,
    reach: &Reach,
    room: usize,
) -> Result<Found<'t>, Stop> {
    match reach.stage {
        Stage::Index(from) => catch_up(turn, account, query, reach, from, room),
        Stage::Check(at) => check(turn, account, query, reach, at, room),
        Stage::Measure => measure(turn, account, query, reach, room),
        Stage::Send => send(turn, account, query, reach, room),
    }
}

fn catch_up<'t, A: Actor>(
    turn: &Turn<'t, A>,
    account: AccountId,
    query: &Query,
    reach: &Reach,
    from: Option<u64>,
    room: usize,
) -> Result<Found<'t>, Stop> {
    let mut next = reach.clone();
    match words::index(turn, account, from)? {
        Some(done) => {
            next.stage = Stage::Index(Some(done.next));
            Ok(Found::Behind(done.writes, next))
        }
        None => {
            next.stage = Stage::Check(0);
            step(turn, account, query, &next, room)
        }
    }
}

fn check<'t, A: Actor>(
    turn: &Turn<'t, A>,
    account: AccountId,
    query: &Query,
    reach: &Reach,
    at: usize,
    room: usize,
) -> Result<Found<'t>, Stop> {
    let named = query.references.iter().chain(query.ids.iter().flatten());
    let named: Vec<ArchiveId> = named
        .copied()
        .skip(at)
        .take(limits::ASIDE_STEP_COUNT_MAX)
        .collect();
    let mut next = reach.clone();
    if named.is_empty() {
        next.stage = if way_of_page(query) == Some(way_of_sending(query)) {
            Stage::Send
        } else {
            Stage::Measure
        };
        if query.with.is_some() {
            // A list goes with the last message in it, which may be later than the first ones.
            let oldest = oldest(turn, account, reach.whole.0)?;
            next.whole.0 = oldest;
            next.rest.0 = oldest;
        }
        // Most queries name no message: the first real step belongs to the same run.
        return step(turn, account, query, &next, room);
    }
    let keys: Vec<_> = named.iter().map(|id| key(account, id.number)).collect();
    let (rows, is_cut) = turn.load_pick(&ARCHIVE, &Pick::Rows(keys))?;
    let mut rows = rows.iter().filter_map(Archived::read);
    let mut checked = 0;
    for id in &named {
        match rows.next() {
            Some(found) if found.id == *id => checked += 1,
            // What did not fit into the answer is looked at in the next step.
            None if is_cut && checked > 0 => break,
            _ => return Err(Stop::Reject(not_found())),
        }
    }
    next.stage = Stage::Check(at + checked);
    Ok(Found::Some(Vec::new(), next))
}

fn measure<'t, A: Actor>(
    turn: &Turn<'t, A>,
    account: AccountId,
    query: &Query,
    reach: &Reach,
    room: usize,
) -> Result<Found<'t>, Stop> {
    let (way, max) = match query.page {
        Wish::First(max) => (Way::Up, max),
        Wish::Last(max) => (Way::Down, max),
        Wish::Count => (Way::Up, limits::ARCHIVE_COUNT_MAX),
    };
    // One more than the page holds tells whether it is the last one.
    let wanted = (max - reach.count) as usize + 1;
    let (found, rest) = proven(turn, account, query, reach.rest, way, wanted)?;
    let mut next = reach.clone();
    let is_full = found.len() == wanted;
    let of_page = if is_full {
        &found[..wanted - 1]
    } else {
        &found[..]
    };
    // A page is at most `u32::MAX` long.
    next.count += of_page.len() as u32;
    next.edge = of_page.last().copied().unwrap_or(reach.edge);
    next.first = reach.first.or(of_page.first().copied());
    if !is_full && let Some(rest) = rest {
        next.rest = rest;
        return Ok(Found::Some(Vec::new(), next));
    }
    if query.page == Wish::Count {
        let page = Page {
            ends: None,
            complete: !is_full && next.count == 0,
            count: (!is_full).then_some(next.count),
        };
        return Ok(Found::Last(Vec::new(), page));
    }
    if next.count == 0 {
        let page = Page {
            ends: None,
            complete: true,
            count: None,
        };
        return Ok(Found::Last(Vec::new(), page));
    }
    // From the first match to the last: what comes meanwhile is not in the page, which would be longer than it may be.
    let first = next.first.unwrap_or(next.edge);
    next.rest = match way {
        Way::Up => (first, next.edge.saturating_add(1)),
        Way::Down => (next.edge, first.saturating_add(1)),
    };
    next.stage = Stage::Send;
    next.complete = Some(!is_full);
    next.count = 0;
    // Found in one step and in memory already: it is sent in this one.
    let is_one_step = reach.count == 0 && of_page.len() <= room;
    if is_one_step && is_unfiltered(query) {
        return send_measured(turn, account, query, reach, way, wanted, next);
    }
    Ok(Found::Some(Vec::new(), next))
}

fn send_measured<'t, A: Actor>(
    turn: &Turn<'t, A>,
    account: AccountId,
    query: &Query,
    reach: &Reach,
    way: Way,
    wanted: usize,
    next: Reach,
) -> Result<Found<'t>, Stop> {
    let (rows, _) = all(turn, account, reach.rest, way, wanted)?;
    let is_in_page = |found: &Archived<'_>| (next.rest.0..next.rest.1).contains(&found.id.number);
    let mut page: Vec<Archived<'t>> = rows
        .iter()
        .filter_map(Archived::read)
        .filter(is_in_page)
        .collect();
    if way_of_sending(query) != way {
        page.reverse();
    }
    let sent = sent_with(None, &page);
    let page_is = Page {
        ends: sent,
        complete: next.complete.unwrap_or(false),
        count: None,
    };
    Ok(Found::Last(page, page_is))
}

fn send<'t, A: Actor>(
    turn: &Turn<'t, A>,
    account: AccountId,
    query: &Query,
    reach: &Reach,
    room: usize,
) -> Result<Found<'t>, Stop> {
    let way = way_of_sending(query);
    // A page that was measured ends where its range does.
    let left = match (reach.complete, query.page) {
        (None, Wish::First(max) | Wish::Last(max)) => Some((max - reach.count) as usize),
        _ => None,
    };
    let wanted = left.map_or(room, |left| room.min(left + 1));
    let (rows, rest) = rows(turn, account, query, reach.rest, way, wanted)?;
    let mut page: Vec<Archived<'t>> = rows.iter().filter_map(Archived::read).collect();
    if !query.words.is_empty() {
        page.retain(|found| is_meant(query, found));
    }
    let is_over = left.is_some_and(|left| page.len() > left);
    page.truncate(left.unwrap_or(usize::MAX));
    let mut next = reach.clone();
    next.sent = sent_with(reach.sent, &page);
    next.count += page.len() as u32;
    match rest {
        Some(rest) if !is_over => {
            next.rest = rest;
            Ok(Found::Some(page, next))
        }
        _ => {
            let page_is = Page {
                ends: next.sent,
                complete: reach.complete.unwrap_or(!is_over),
                count: None,
            };
            Ok(Found::Last(page, page_is))
        }
    }
}

/// The oldest and newest of what was sent, with these.
fn sent_with(
    sent: Option<(ArchiveId, ArchiveId)>,
    page: &[Archived<'_>],
) -> Option<(ArchiveId, ArchiveId)> {
    let ids = page.iter().map(|found| found.id);
    let all = || {
        sent.into_iter()
            .flat_map(|(a, b)| [a, b])
            .chain(ids.clone())
    };
    let oldest = all().min_by_key(|id| id.number)?;
    let newest = all().max_by_key(|id| id.number)?;
    Some((oldest, newest))
}

/// The way in which the page is found; none where only the count is asked for.
fn way_of_page(query: &Query) -> Option<Way> {
    match query.page {
        Wish::First(_) => Some(Way::Up),
        Wish::Last(_) => Some(Way::Down),
        Wish::Count => None,
    }
}

fn way_of_sending(query: &Query) -> Way {
    match query.flip {
        Flip::OldestFirst => Way::Up,
        Flip::NewestFirst => Way::Down,
    }
}

pub(super) type Bounds = (u64, u64);

/// What is left of `bounds` behind number `last`.
pub(super) fn behind(bounds: Bounds, way: Way, last: u64) -> Bounds {
    match way {
        Way::Up => (last.saturating_add(1), bounds.1),
        Way::Down => (bounds.0, last),
    }
}

/// Numbers of matches, as many as `wanted` at most, and where the search goes on; nowhere when all was looked at.
fn matches<A: Actor>(
    turn: &Turn<'_, A>,
    account: AccountId,
    query: &Query,
    bounds: Bounds,
    way: Way,
    wanted: usize,
) -> Result<(Vec<u64>, Option<Bounds>), Stop> {
    if bounds.0 >= bounds.1 {
        return Ok((Vec::new(), None));
    }
    if let Some(ids) = &query.ids {
        return chosen(turn, account, query, ids, bounds, way, wanted);
    }
    if !is_unfiltered(query) {
        return intersect(turn, account, query, bounds, way, wanted);
    }
    if query.page == Wish::Count {
        return count(turn, account, bounds, wanted);
    }
    let (rows, rest) = all(turn, account, bounds, way, wanted)?;
    let numbers = rows.iter().filter_map(|row| number_of(&row.key));
    Ok((numbers.collect(), rest))
}

/// The same of which it is sure that they say what is searched for.
fn proven<A: Actor>(
    turn: &Turn<'_, A>,
    account: AccountId,
    query: &Query,
    bounds: Bounds,
    way: Way,
    wanted: usize,
) -> Result<(Vec<u64>, Option<Bounds>), Stop> {
    if query.phrases.is_empty() {
        return matches(turn, account, query, bounds, way, wanted);
    }
    let (rows, rest) = rows(turn, account, query, bounds, way, wanted)?;
    let found = rows.iter().filter_map(Archived::read);
    let meant = found.filter(|found| is_meant(query, found));
    Ok((meant.map(|found| found.id.number).collect(), rest))
}

/// Whether a message that is under all words says what is searched for, and was not retracted while its words were being
/// indexed.
fn is_meant(query: &Query, found: &Archived<'_>) -> bool {
    found.says(&query.phrases)
}

/// Those of the messages that were asked for by id that are under every term.
fn chosen<A: Actor>(
    turn: &Turn<'_, A>,
    account: AccountId,
    query: &Query,
    ids: &[ArchiveId],
    bounds: Bounds,
    way: Way,
    wanted: usize,
) -> Result<(Vec<u64>, Option<Bounds>), Stop> {
    let numbers = ids.iter().map(|id| id.number);
    let mut numbers: Vec<u64> = numbers
        .filter(|n| (bounds.0..bounds.1).contains(n))
        .collect();
    if way == Way::Down {
        numbers.reverse();
    }
    let all = numbers.len();
    numbers.truncate(limits::ASIDE_STEP_COUNT_MAX);
    let mut looked_at = numbers.last().copied().filter(|_| numbers.len() < all);
    if let Some(with) = query.with {
        let keys = numbers.iter().map(|number| key(account, *number));
        let (rows, is_cut) = turn.load_pick(&ARCHIVE, &Pick::Rows(keys.collect()))?;
        if is_cut {
            looked_at = rows.last().and_then(|row| number_of(&row.key));
        }
        let found = rows.iter().filter_map(Archived::read);
        let found = found.filter(|found| with.is_of(&found.entry));
        numbers = found.map(|found| found.id.number).collect();
    }
    for term in &query.words {
        let keys = numbers
            .iter()
            .map(|number| index_key(account, *term, *number));
        let (rows, _) = turn.load_pick(&INDEX, &Pick::Rows(keys.collect()))?;
        let found = rows.iter().flat_map(Posting::read);
        numbers = found.map(|posting| posting.number).collect();
    }
    if numbers.len() > wanted {
        numbers.truncate(wanted);
        looked_at = numbers.last().copied();
    }
    Ok((numbers, looked_at.map(|last| behind(bounds, way, last))))
}

/// Numbers of all messages within the bounds, whose text nobody wants.
fn count<A: Actor>(
    turn: &Turn<'_, A>,
    account: AccountId,
    bounds: Bounds,
    wanted: usize,
) -> Result<(Vec<u64>, Option<Bounds>), Stop> {
    let range = RowRange {
        count_max: wanted.min(limits::ARCHIVE_POSTINGS_MAX),
        ..range(account, bounds.0, bounds.1)
    };
    let (rows, more) = turn.load_pick(&ARCHIVE, &Pick::Keys(range))?;
    let numbers: Vec<u64> = rows.iter().filter_map(|row| number_of(&row.key)).collect();
    let last = numbers.last().copied().filter(|_| more);
    Ok((numbers, last.map(|last| behind(bounds, Way::Up, last))))
}

/// Whether every message within its bounds matches.
fn is_unfiltered(query: &Query) -> bool {
    query.with.is_none() && query.words.is_empty() && query.ids.is_none()
}

/// The number of the first message from this one on.
fn oldest<A: Actor>(turn: &Turn<'_, A>, account: AccountId, from: u64) -> Result<u64, Stop> {
    let range = RowRange {
        count_max: 1,
        ..range(account, from, u64::MAX)
    };
    let (rows, _) = turn.load_pick(&ARCHIVE, &Pick::Keys(range))?;
    let oldest = rows.first().and_then(|row| number_of(&row.key));
    Ok(oldest.unwrap_or(u64::MAX))
}

/// Matches with what they say.
fn rows<'t, A: Actor>(
    turn: &Turn<'t, A>,
    account: AccountId,
    query: &Query,
    bounds: Bounds,
    way: Way,
    wanted: usize,
) -> Result<(&'t [Row], Option<Bounds>), Stop> {
    if bounds.0 >= bounds.1 {
        return Ok((&[], None));
    }
    if is_unfiltered(query) {
        return all(turn, account, bounds, way, wanted);
    }
    let (numbers, rest) = matches(turn, account, query, bounds, way, wanted)?;
    let Some(&last) = numbers.last() else {
        return Ok((&[], rest));
    };
    let keys = numbers.iter().map(|number| key(account, *number)).collect();
    let (rows, is_cut) = turn.load_pick(&ARCHIVE, &Pick::Rows(keys))?;
    if !is_cut {
        return Ok((rows, rest));
    }
    let last = rows
        .last()
        .and_then(|row| number_of(&row.key))
        .unwrap_or(last);
    Ok((rows, Some(behind(bounds, way, last))))
}

/// Every message within the bounds.
fn all<'t, A: Actor>(
    turn: &Turn<'t, A>,
    account: AccountId,
    bounds: Bounds,
    way: Way,
    wanted: usize,
) -> Result<(&'t [Row], Option<Bounds>), Stop> {
    let range = RowRange {
        count_max: wanted.min(limits::ARCHIVE_PAGE_COUNT_MAX as usize + 1),
        ..range(account, bounds.0, bounds.1)
    };
    let (rows, more) = match way {
        Way::Up => turn.load_range(&ARCHIVE, &range)?,
        Way::Down => turn.load_pick(&ARCHIVE, &Pick::Last(range))?,
    };
    let last = rows
        .last()
        .filter(|_| more)
        .and_then(|row| number_of(&row.key));
    Ok((rows, last.map(|last| behind(bounds, way, last))))
}
