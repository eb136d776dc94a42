//! Versions of the data: which one a directory holds, and the steps from there to ours. Refuses to know what a
//! step does; it only keeps the order and remembers how far it came.

use std::sync::Arc;

use crate::actor::rows::{Durability, Export, RowKey, Slices, StoreError, Table, Write};

use super::api::OpenError;
use super::engine::Engine;

/// Facts of the store about itself.
pub(super) static META: Table = Table {
    name: "meta",
    durability: Durability::BeforeReply,
    export: Export::Never,
    slices: Slices::Whole,
    about: "Facts about the data: `schema_version` (u32) and `number/NAME`, the first number of a \
            sequence that was not given out (u64), both big-endian.",
};

/// One step from a version of the data to the next.
#[derive(Debug)]
pub struct Migration {
    /// The version that it finds; it leaves the next one.
    pub from: u32,
    /// One sentence for the log: what changes.
    pub about: &'static str,
    /// Does it. A crash in the middle runs it again from the start, so it must find its own traces harmless.
    pub run: fn(&dyn Engine) -> Result<(), StoreError>,
}

/// The way from version 1 to the present one, in order.
pub const MIGRATIONS: &[Migration] = &[Migration {
    from: 1,
    about: "archived messages say what they are found by, and accounts what their names look like",
    run: super::from_1::run,
}];

/// The version that a list of migrations ends in.
fn newest(migrations: &[Migration]) -> u32 {
    migrations.last().map_or(1, |migration| migration.from + 1)
}

/// The version of the data, none if nothing was ever kept here.
///
/// # Errors
/// `Newer` if a newer stonechat wrote the data, `Damaged` if the version cannot be read as one.
pub(super) fn check(
    engine: &dyn Engine,
    migrations: &[Migration],
) -> Result<Option<u32>, OpenError> {
    let Some(value) = engine.row(&META, &RowKey::new(VERSION))? else {
        return Ok(None);
    };
    let Ok(bytes) = <[u8; 4]>::try_from(value.as_slice()) else {
        return Err(OpenError::Version);
    };
    let found = u32::from_be_bytes(bytes);
    let known = newest(migrations);
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    Ok(Some(found))
}

/// Brings data of version `found` to the present one, each step committed before the next begins.
///
/// # Errors
/// The engine's; what was done so far stays done.
pub(super) fn migrate(
    engine: &dyn Engine,
    found: Option<u32>,
    migrations: &[Migration],
) -> Result<(), OpenError> {
    let in_order = migrations.iter().zip(1..).all(|(m, from)| m.from == from);
    assert!(in_order, "migrations lead from 1 on without a gap");
    let Some(found) = found else {
        return Ok(remember(engine, newest(migrations))?);
    };
    for step in migrations.iter().filter(|step| step.from >= found) {
        log::info!("the data goes from version {}: {}", step.from, step.about);
        (step.run)(engine)?;
        remember(engine, step.from + 1)?;
    }
    Ok(())
}

fn remember(engine: &dyn Engine, version: u32) -> Result<(), StoreError> {
    engine.commit(&[Write::Put {
        table: &META,
        key: RowKey::new(VERSION),
        value: Arc::from(version.to_be_bytes()),
    }])
}

const VERSION: &[u8] = b"schema_version";

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::super::testing::{LETTERS, key, put};
    use super::*;

    fn append(engine: &dyn Engine, text: &[u8]) -> Result<(), StoreError> {
        let mut value = engine.row(&LETTERS, &key(b"log"))?.unwrap_or_default();
        value.extend_from_slice(text);
        engine.commit(&[put(&LETTERS, b"log", &value)])
    }

    const TWO_STEPS: &[Migration] = &[
        Migration {
            from: 1,
            about: "appends a 2",
            run: |engine| append(engine, b"2"),
        },
        Migration {
            from: 2,
            about: "appends a 3",
            run: |engine| append(engine, b"3"),
        },
    ];
    const SECOND_STEP_FAILS: &[Migration] = &[
        Migration {
            from: 1,
            about: "appends a 2",
            run: |engine| append(engine, b"2"),
        },
        Migration {
            from: 2,
            about: "finds no room",
            run: |_| Err(StoreError::DiskFull),
        },
    ];

    fn log_of(engine: &Memory) -> Option<Vec<u8>> {
        engine.row(&LETTERS, &key(b"log")).unwrap()
    }

    fn engine() -> Memory {
        Memory::new(&[&META, &LETTERS])
    }

    fn bring_up(engine: &Memory, migrations: &[Migration]) -> Result<(), OpenError> {
        let found = check(engine, migrations)?;
        migrate(engine, found, migrations)
    }

    #[test]
    fn fresh_data_has_the_newest_version_and_runs_no_step() {
        let engine = engine();
        bring_up(&engine, TWO_STEPS).unwrap();
        assert_eq!(check(&engine, TWO_STEPS).unwrap(), Some(3));
        assert_eq!(log_of(&engine), None);
    }

    #[test]
    fn old_data_runs_each_missing_step_once_and_in_order() {
        let engine = engine();
        bring_up(&engine, &[]).unwrap();
        bring_up(&engine, TWO_STEPS).unwrap();
        bring_up(&engine, TWO_STEPS).unwrap();
        assert_eq!(log_of(&engine), Some(b"23".to_vec()));
    }

    #[test]
    fn a_step_that_failed_is_taken_up_where_it_stood() {
        let engine = engine();
        bring_up(&engine, &[]).unwrap();
        let error = bring_up(&engine, SECOND_STEP_FAILS).unwrap_err();
        assert!(matches!(error, OpenError::Store(StoreError::DiskFull)));
        assert_eq!(check(&engine, TWO_STEPS).unwrap(), Some(2));
        bring_up(&engine, TWO_STEPS).unwrap();
        assert_eq!(log_of(&engine), Some(b"23".to_vec()));
    }

    #[test]
    fn newer_data_is_refused_and_both_versions_are_named() {
        let engine = engine();
        bring_up(&engine, TWO_STEPS).unwrap();
        let error = bring_up(&engine, &[]).unwrap_err().to_string();
        assert!(
            error.contains("version 3") && error.contains("version 1"),
            "{error}"
        );
    }

    #[test]
    fn a_version_that_is_none_is_refused() {
        let engine = engine();
        engine.commit(&[put(&META, VERSION, b"one")]).unwrap();
        assert!(matches!(check(&engine, &[]), Err(OpenError::Version)));
    }
}
