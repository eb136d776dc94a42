//! What lists of the index have in common, a piece of each at a time. Refuses to know what is done with the messages under
//! those numbers.

use crate::actor::rows::{Pick, Row, RowRange};
use crate::actor::{Actor, Stop, Turn};
use crate::base::{AccountId, limits};
use crate::im::archive::{Query, Term, With};

use super::list::{INDEX, POSTING_BYTES, Posting, last_in, postings};
use super::scan::{Bounds, Way, behind};

/// Numbers under every term of the query. A piece of each list is read, from the same place; what they have in
/// common, as far as all pieces reach, matches.
pub(super) fn intersect<A: Actor>(
    turn: &Turn<'_, A>,
    account: AccountId,
    query: &Query,
    bounds: Bounds,
    way: Way,
    wanted: usize,
) -> Result<(Vec<u64>, Option<Bounds>), Stop> {
    // All of them are there before one is looked into: a run that stops for the next has done nothing.
    let mut pieces = Vec::with_capacity(query.words.len() + 1);
    if let Some(with) = query.with {
        let mut piece = read_contact(turn, account, with, bounds, way)?;
        piece.add(&query.unindexed, bounds, way);
        pieces.push(piece);
    }
    for term in &query.words {
        pieces.push(read_word(turn, account, *term, bounds, way)?);
    }
    // How far all pieces reach, and the first number that all may have in common.
    let mut horizon = None;
    let mut start: Option<u64> = None;
    let further = |a: u64, b: u64| if way == Way::Up { a.max(b) } else { a.min(b) };
    let nearer = |a: u64, b: u64| if way == Way::Up { a.min(b) } else { a.max(b) };
    for piece in &pieces {
        match (piece.numbers.first(), piece.horizon) {
            (None, None) => return Ok((Vec::new(), None)),
            (None, Some(_)) => {}
            (Some(first), _) => {
                start = Some(start.map_or(*first, |start| further(start, *first)));
            }
        }
        if let Some(last) = piece.horizon {
            horizon = Some(horizon.map_or(last, |horizon| nearer(horizon, last)));
        }
    }
    let within = |number: u64| horizon.is_none_or(|horizon| further(number, horizon) == horizon);
    let has = |piece: &Piece, number: u64| match way {
        Way::Up => piece.numbers.binary_search(&number).is_ok(),
        Way::Down => piece.numbers.binary_search_by(|at| number.cmp(at)).is_ok(),
    };
    let (first, others) = pieces
        .split_first()
        .map_or((&[][..], &[][..]), |(a, b)| (&a.numbers[..], b));
    let mut common: Vec<u64> = first
        .iter()
        .copied()
        .filter(|number| within(*number) && others.iter().all(|piece| has(piece, *number)))
        .take(wanted + 1)
        .collect();
    if common.len() > wanted {
        common.truncate(wanted);
        let rest = common.last().map(|last| behind(bounds, way, *last));
        return Ok((common, rest));
    }
    let rest = horizon.map(|horizon| {
        let after = behind(bounds, way, horizon);
        // Nothing before the latest beginning of a list is in all of them.
        match (way, start) {
            (Way::Up, Some(start)) => (after.0.max(start), after.1),
            (Way::Down, Some(start)) => (after.0, after.1.min(start.saturating_add(1))),
            _ => after,
        }
    });
    Ok((common, rest))
}

/// A piece of what is under one term, in the order of the way.
struct Piece {
    numbers: Vec<u64>,
    /// How far it reaches; none if to the end.
    horizon: Option<u64>,
}

impl Piece {
    /// More numbers that are under the term, as far as it reaches; it may have some of them.
    fn add(&mut self, more: &[u64], bounds: Bounds, way: Way) {
        let is_reached = |number: &u64| match (self.horizon, way) {
            (None, _) => true,
            (Some(horizon), Way::Up) => *number <= horizon,
            (Some(horizon), Way::Down) => *number >= horizon,
        };
        let within = more
            .iter()
            .filter(|number| (bounds.0..bounds.1).contains(*number));
        let more: Vec<u64> = within.copied().filter(is_reached).collect();
        if more.is_empty() {
            return;
        }
        self.numbers.extend(more);
        self.numbers.sort_unstable();
        self.numbers.dedup();
        if way == Way::Down {
            self.numbers.reverse();
        }
    }
}

fn read_word<A: Actor>(
    turn: &Turn<'_, A>,
    account: AccountId,
    word: Term,
    bounds: Bounds,
    way: Way,
) -> Result<Piece, Stop> {
    let (rows, more) = read_rows(turn, account, word, bounds, way)?;
    let numbers: Vec<u64> = rows.iter().filter_map(last_in).collect();
    let horizon = numbers.last().copied().filter(|_| more);
    Ok(Piece { numbers, horizon })
}

/// A row is found under the last message in it: the first one behind the bounds may have some that are within.
fn read_contact<A: Actor>(
    turn: &Turn<'_, A>,
    account: AccountId,
    with: With,
    bounds: Bounds,
    way: Way,
) -> Result<Piece, Stop> {
    let (rows, more) = read_rows(turn, account, with.contact, bounds, way)?;
    let (over, _) = match bounds.1 {
        u64::MAX => (&[][..], false),
        to => {
            let range = RowRange {
                count_max: 1,
                ..postings(account, with.contact, to, u64::MAX)
            };
            turn.load_range(&INDEX, &range)?
        }
    };
    let fits = |posting: &Posting| {
        (bounds.0..bounds.1).contains(&posting.number)
            && with.full_jid.is_none_or(|full| full == posting.detail)
    };
    let (numbers, last): (Vec<u64>, Option<Posting>) = match way {
        Way::Up => {
            let over = over.iter().filter(|_| !more).flat_map(Posting::read);
            let all = rows.iter().flat_map(Posting::read).chain(over);
            let last = rows.iter().flat_map(Posting::read).next_back();
            (
                all.filter(fits).map(|posting| posting.number).collect(),
                last,
            )
        }
        Way::Down => {
            let over = over.iter().flat_map(|row| Posting::read(row).rev());
            let down = || rows.iter().flat_map(|row| Posting::read(row).rev());
            let all = over.chain(down());
            let last = down().last();
            (
                all.filter(fits).map(|posting| posting.number).collect(),
                last,
            )
        }
    };
    let horizon = last.map(|last| last.number).filter(|_| more);
    Ok(Piece { numbers, horizon })
}

fn read_rows<'t, A: Actor>(
    turn: &Turn<'t, A>,
    account: AccountId,
    term: Term,
    bounds: Bounds,
    way: Way,
) -> Result<(&'t [Row], bool), Stop> {
    let range = RowRange {
        count_max: limits::ARCHIVE_POSTINGS_MAX,
        bytes_max: limits::ARCHIVE_POSTINGS_MAX * POSTING_BYTES,
        ..postings(account, term, bounds.0, bounds.1)
    };
    match way {
        Way::Up => turn.load_range(&INDEX, &range),
        Way::Down => turn.load_pick(&INDEX, &Pick::Last(range)),
    }
}
