//! Lets go who is not in the directory any more, or is closed there. Refuses to believe that nearly everybody has left at
//! once.

use std::sync::Arc;
use std::time::Instant;

use super::cache::Standing;
use super::error::DirectoryError;
use super::host::Shared;
use crate::base::limits;

/// Of `count` accounts these are not members of the directory.
///
/// # Errors
/// The store's, as one of the directory's.
pub fn settle(
    shared: &Shared,
    count: usize,
    missing: Vec<(String, Standing)>,
) -> Result<(), DirectoryError> {
    let missing_count = missing.len();
    let mut leaving = Vec::new();
    for (name, standing) in missing {
        // Who left before stays away, whatever became of the others.
        match shared.is_gone(&name)? {
            true => shared
                .known
                .learn(&Arc::from(name), standing, Instant::now()),
            false => leaving.push((name, standing)),
        }
    }
    let there = count - (missing_count - leaving.len());
    if !is_believable(leaving.len(), there) {
        log::error!(
            "directory_nearly_empty host={} accounts={there} missing={} mend=\"look at base and filter\"",
            shared.host,
            leaving.len()
        );
        return Ok(());
    }
    for (name, standing) in leaving {
        let_go(shared, &name, standing);
    }
    Ok(())
}

/// One of them.
pub fn let_go(shared: &Shared, name: &str, standing: Standing) {
    let known: Arc<str> = Arc::from(name);
    shared.known.learn(&known, standing, Instant::now());
    match shared.note_gone(name) {
        Ok(true) => {
            log::info!(
                "directory_let_go account={name}@{} standing={standing:?}",
                shared.host
            );
            // They are on no list any more.
            shared.due.iter().for_each(|due| {
                due.people(Vec::new(), std::slice::from_ref(&known));
            });
        }
        Ok(false) => return,
        Err(error) => log::error!(
            "directory_unseen host={} account={name} error=\"{error}\"",
            shared.host
        ),
    }
    shared.end_sessions(name, None);
}

/// Whether so many of those who were there the last time may have left since.
fn is_believable(leaving: usize, there: usize) -> bool {
    leaving <= limits::DIRECTORY_GONE_AT_ONCE || leaving * 2 <= there
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_more_than_half_leave_at_once_unless_they_are_few() {
        for (leaving, there, expected) in [
            (0, 0, true),
            (20, 20, true),
            (21, 41, false),
            (21, 42, true),
            (100_000, 100_000, false),
        ] {
            assert_eq!(is_believable(leaving, there), expected, "{leaving} {there}");
        }
    }
}
