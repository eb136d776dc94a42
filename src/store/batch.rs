//! What a collection of saves amounts to: the last write of each key, nothing for a row that came and went within it, and
//! nothing for the replacement of a row that is not there. Refuses to know when a collection ends.

use std::ops::Range;
use std::sync::Arc;

use crate::actor::rows::{RowKey, Write};

use super::engine::Engine;

/// Writes in the order in which they were saved.
#[derive(Default)]
pub(super) struct Batch {
    writes: Vec<Write>,
    bytes: usize,
}

impl Batch {
    /// Adds what one save writes.
    pub(super) fn add(&mut self, writes: Vec<Write>) {
        for write in &writes {
            let size = match write {
                Write::Put { value, .. } | Write::Replace { value, .. } => value.len(),
                Write::Delete { .. } => 0,
            };
            self.bytes += size + key_of(write).as_bytes().len();
        }
        match self.writes.is_empty() {
            true => self.writes = writes,
            false => self.writes.extend(writes),
        }
    }

    /// Bytes of keys and values that were added, replaced ones included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The writes that are left: puts and deletes, at most one for each key, in the order of tables and keys, which is what
    /// an engine takes fastest. A row that was put and deleted in here leaves nothing, unless the engine held
    /// the key before: then the older row must go. Asking the engine costs a look into filters that are in
    /// memory; writing a tombstone would cost the journal, a memtable and a compaction.
    pub(super) fn into_writes(mut self, engine: &dyn Engine) -> Vec<Write> {
        // Of one key in the order in which they were saved.
        self.writes
            .sort_by(|a, b| (a.table().name, key_of(a)).cmp(&(b.table().name, key_of(b))));
        let mut left = Vec::with_capacity(self.writes.len());
        let mut all = self.writes.into_iter().peekable();
        while let Some(first) = all.next() {
            // The row may have begun here.
            let began_with_put = matches!(first, Write::Put { .. });
            let mut write = first;
            while let Some(later) = all.next_if(|next| is_of_one_row(&write, next)) {
                write = behind(write, later);
            }
            left.extend(resolved(write, began_with_put, engine));
        }
        left
    }
}

/// What an engine does of a write; none if nothing is to be done.
fn resolved(write: Write, began_with_put: bool, engine: &dyn Engine) -> Option<Write> {
    match write {
        Write::Delete { table, key } if began_with_put => {
            let was_there = engine.has(table, &key).unwrap_or(true);
            was_there.then_some(Write::Delete { table, key })
        }
        Write::Replace {
            table,
            key,
            value,
            keeps,
        } if keeps.is_empty() => {
            let is_there = engine.has(table, &key).unwrap_or(false);
            is_there.then_some(Write::Put { table, key, value })
        }
        Write::Replace {
            table,
            key,
            value,
            keeps,
        } => {
            let before = engine.row(table, &key).ok()??;
            let value = keeping(&before, value, keeps);
            Some(Write::Put { table, key, value })
        }
        write => Some(write),
    }
}

fn key_of(write: &Write) -> &RowKey {
    match write {
        Write::Put { key, .. } | Write::Replace { key, .. } | Write::Delete { key, .. } => key,
    }
}

fn is_of_one_row(a: &Write, b: &Write) -> bool {
    key_of(a) == key_of(b) && a.table().name == b.table().name
}

/// What two writes of one key amount to.
fn behind(earlier: Write, later: Write) -> Write {
    match (earlier, later) {
        (
            Write::Put { value: before, .. },
            Write::Replace {
                table,
                key,
                value,
                keeps,
            },
        ) => {
            let value = keeping(&before, value, keeps);
            Write::Put { table, key, value }
        }
        (
            Write::Replace {
                value: before,
                keeps: first,
                ..
            },
            Write::Replace {
                table,
                key,
                value,
                keeps,
            },
        ) => Write::Replace {
            table,
            key,
            value: keeping(&before, value, keeps.clone()),
            // What the earlier one does not keep, the later cannot.
            keeps: keeps.start.max(first.start)..keeps.end.min(first.end),
        },
        (earlier @ Write::Delete { .. }, Write::Replace { .. }) => earlier,
        (_, later) => later,
    }
}

/// A row with these bytes of the one before it, if both have them.
fn keeping(before: &[u8], value: Arc<[u8]>, keeps: Range<usize>) -> Arc<[u8]> {
    let (Some(kept), Some(_)) = (before.get(keeps.clone()), value.get(keeps.clone())) else {
        return value;
    };
    let mut value = value.to_vec();
    value[keeps].copy_from_slice(kept);
    value.into()
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::super::testing::{LETTERS, ROSTERS, delete, put};
    use super::*;

    fn left_of(engine: &Memory, saves: Vec<Vec<Write>>) -> Vec<String> {
        let mut batch = Batch::default();
        for writes in saves {
            batch.add(writes);
        }
        let writes = batch.into_writes(engine);
        writes
            .iter()
            .map(|write| match write {
                Write::Put { key, value, .. } => format!("{key:?}={value:?}"),
                Write::Delete { key, .. } => format!("-{key:?}"),
                Write::Replace { .. } => panic!("no engine knows it"),
            })
            .collect()
    }

    fn engine() -> Memory {
        Memory::new(&[&LETTERS, &ROSTERS])
    }

    #[test]
    fn a_row_that_came_and_went_leaves_nothing() {
        let saves = vec![
            vec![put(&LETTERS, b"a", b"1")],
            vec![put(&LETTERS, b"b", b"2")],
            vec![delete(&LETTERS, b"a")],
        ];
        assert_eq!(left_of(&engine(), saves), ["62=[50]"]);
    }

    #[test]
    fn a_row_that_was_there_before_goes_even_if_it_was_put_again_meanwhile() {
        let engine = engine();
        engine.commit(&[put(&LETTERS, b"a", b"0")]).unwrap();
        let saves = vec![
            vec![put(&LETTERS, b"a", b"1")],
            vec![delete(&LETTERS, b"a")],
        ];
        assert_eq!(left_of(&engine, saves), ["-61"]);
    }

    #[test]
    fn a_later_put_replaces_an_earlier_one_and_a_delete() {
        let saves = vec![
            vec![delete(&LETTERS, b"a"), put(&LETTERS, b"b", b"1")],
            vec![put(&LETTERS, b"b", b"2"), put(&LETTERS, b"a", b"3")],
        ];
        assert_eq!(left_of(&engine(), saves), ["61=[51]", "62=[50]"]);
    }

    #[test]
    fn a_delete_that_came_first_stays() {
        let saves = vec![vec![
            delete(&LETTERS, b"a"),
            put(&LETTERS, b"a", b"1"),
            delete(&LETTERS, b"a"),
        ]];
        assert_eq!(left_of(&engine(), saves), ["-61"]);
    }

    #[test]
    fn a_row_is_replaced_only_if_it_is_there() {
        let engine = engine();
        engine.commit(&[put(&LETTERS, b"a", b"0")]).unwrap();
        let replace = |name: &[u8]| Write::Replace {
            table: &LETTERS,
            key: RowKey::new(name),
            value: (*b"9").into(),
            keeps: 0..0,
        };
        let saves = vec![
            vec![put(&LETTERS, b"c", b"1"), delete(&LETTERS, b"d")],
            vec![replace(b"a"), replace(b"b"), replace(b"c"), replace(b"d")],
            vec![replace(b"e"), put(&LETTERS, b"e", b"2")],
            vec![replace(b"f"), delete(&LETTERS, b"f")],
        ];
        let left = ["61=[57]", "63=[57]", "-64", "65=[50]", "-66"];
        assert_eq!(left_of(&engine, saves), left);
        // Whoever removed it first had the last word.
        let saves = vec![vec![delete(&LETTERS, b"a")], vec![replace(b"a")]];
        assert_eq!(left_of(&engine, saves), ["-61"]);
        let saves = vec![vec![replace(b"a")], vec![delete(&LETTERS, b"a")]];
        assert_eq!(left_of(&engine, saves), ["-61"]);
    }

    #[test]
    fn a_replacement_leaves_what_it_is_to_keep() {
        let engine = engine();
        engine.commit(&[put(&LETTERS, b"a", b"01234")]).unwrap();
        let replace = |name: &[u8], value: &[u8]| Write::Replace {
            table: &LETTERS,
            key: RowKey::new(name),
            value: value.into(),
            keeps: 1..3,
        };
        let saves = vec![
            vec![replace(b"a", b"abcdef"), replace(b"a", b"ABCDE")],
            vec![put(&LETTERS, b"b", b"6789"), replace(b"b", b"abc")],
            // Too short to have any.
            vec![put(&LETTERS, b"c", b"6"), replace(b"c", b"abc")],
        ];
        let texts = |text: &[u8]| format!("{text:?}");
        let left = left_of(&engine, saves);
        let expected = [("61", &b"A12DE"[..]), ("62", b"a78"), ("63", b"abc")];
        let expected = expected.map(|(key, value)| format!("{key}={}", texts(value)));
        assert_eq!(left, expected);
    }

    #[test]
    fn equal_keys_of_two_tables_are_two_rows() {
        let saves = vec![vec![
            put(&LETTERS, b"a", b"1"),
            put(&ROSTERS, b"a", b"2"),
            delete(&LETTERS, b"a"),
        ]];
        assert_eq!(left_of(&engine(), saves), ["61=[50]"]);
    }
}
