//! Lets go who is not in the directory any more, or is closed there. Refuses to believe that nearly everybody has left at
//! once.

use std::sync::Arc;
use std::time::Instant;

use super::cache::Standing;
use super::error::DirectoryError;
use super::host::Shared;
use crate::base::{AccountId, limits};
use crate::im::seen::{Leaver, Parting};

/// Somebody with an account who is no member of the directory.
pub struct Missing {
    pub name: String,
    /// From before it was looked: who has the name since was not looked for.
    pub account: AccountId,
    pub standing: Standing,
}

/// Of `count` accounts these are not members of the directory.
///
/// # Errors
/// The store's, as one of the directory's.
pub fn settle(shared: &Shared, count: usize, missing: Vec<Missing>) -> Result<(), DirectoryError> {
    let missing_count = missing.len();
    let mut leaving = Vec::new();
    for it in missing {
        match shared.parting(&it.name, &Leaver::Account(it.account))? {
            // Who left before stays away, whatever became of the others.
            Parting::Already => {
                let name = Arc::from(it.name);
                shared.known.learn(&name, it.standing, Instant::now());
            }
            Parting::New => leaving.push(it),
            Parting::Other => {}
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
    for it in leaving {
        let_go(shared, &it.name, &Leaver::Account(it.account), it.standing);
    }
    Ok(())
}

/// One of them. What is said of somebody else's entry says nothing of who has the name.
pub fn let_go(shared: &Shared, name: &str, leaver: &Leaver<'_>, standing: Standing) {
    let known: Arc<str> = Arc::from(name);
    let parting = shared.note_gone(name, leaver);
    if parting == Ok(Parting::Other) {
        log::debug!("directory_other_stays account={name}@{}", shared.host);
        return;
    }
    shared.known.learn(&known, standing, Instant::now());
    match parting {
        Ok(Parting::New) => {
            log::info!(
                "directory_let_go account={name}@{} standing={standing:?}",
                shared.host
            );
            // They are on no list any more.
            shared.due.iter().for_each(|due| {
                due.people(Vec::new(), std::slice::from_ref(&known));
            });
        }
        Ok(Parting::Already | Parting::Other) => return,
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
