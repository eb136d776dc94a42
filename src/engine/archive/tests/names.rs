//! What is looked for by its name, far back.

use super::super::*;
use super::library::*;
use crate::actor::rows::Write;
use crate::base::{Rng, limits};
use crate::store::Request;

/// A list that fills an answer of the store, with this name in it.
fn list(name: Term, last: u64) -> Write {
    let other = Term([0xff; 8]);
    let count = limits::RANGE_BYTES_MAX / 16;
    let details = std::iter::once(name).chain(std::iter::repeat_n(other, count - 1));
    let value: Vec<u8> = details
        .zip(last + 1 - count as u64..)
        .flat_map(|(detail, number)| [number.to_be_bytes(), detail.0].concat())
        .collect();
    Write::Put {
        table: &INDEX,
        key: super::super::list::index_key(ME, Term::names_with(name), last),
        value: value.into(),
    }
}

#[test]
fn a_look_for_a_name_takes_no_more_answers_than_everybody_can_wait_for() {
    let mut library = library(&mut Rng::from_seed([7; 32]), 0);
    // All in one group: the first byte says in which.
    let names = (0..=limits::ARCHIVE_NAME_READS as u8).map(|n| Term([0, n, 1, 1, 1, 1, 1, 1]));
    let names: Vec<Term> = names.collect();
    for (name, n) in names.iter().zip(1..) {
        let save = vec![list(*name, n * 1_000_000)];
        library.store.apply(Request::Save(save));
    }
    for (back, name) in names.iter().rev().enumerate() {
        let (found, questions) = library.run(1, |turn| named(turn, ME, *name));
        let is_near = back < limits::ARCHIVE_NAME_READS;
        assert_eq!(found.map(|found| found.is_some()), Ok(is_near), "{back}");
        assert_eq!(questions, (back + 1).min(limits::ARCHIVE_NAME_READS));
    }
}
