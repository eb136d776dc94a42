//! Looks for those who have accounts here, where the directory does not tell what becomes of them: fifty with one question.
//! Refuses to judge who is let go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::cache::Standing;
use super::error::DirectoryError;
use super::host::Shared;
use super::leavers::Leavers;
use super::person::{self, Found};
use super::pool::Link;
use crate::base::limits;

/// What the looks before have found.
#[derive(Default)]
pub struct Sweep {
    /// What changes with a password, of each account.
    stamps: BTreeMap<String, u64>,
}

impl Sweep {
    /// Looks for everybody who has an account.
    ///
    /// # Errors
    /// The directory's.
    pub fn look(
        &mut self,
        shared: &Shared,
        link: &mut Link,
        leavers: &mut Leavers,
    ) -> Result<(), DirectoryError> {
        let begun = Instant::now();
        let (mut count, mut missing) = (0, Vec::new());
        let mut stamps = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let names = shared.accounts_after(after.as_deref())?;
            let Some(last) = names.last() else {
                break;
            };
            after = Some(last.clone());
            count += names.len();
            for some in names.chunks(limits::DIRECTORY_SWEEP_NAMES) {
                for (name, found) in look_for(shared, link, some)? {
                    let standing = match found {
                        Found::One(person) if person.bar.is_none() => {
                            leavers.is_here(&name);
                            let before = self.stamps.get(&name);
                            if before.is_some_and(|before| *before != person.stamp) {
                                shared.password_was_changed(&Arc::from(name.as_str()));
                            }
                            stamps.insert(name, person.stamp);
                            continue;
                        }
                        Found::One(_) => Standing::Barred,
                        Found::Many(_) | Found::Nobody => Standing::Unknown,
                    };
                    missing.push((name, standing));
                }
            }
        }
        self.stamps = stamps;
        leavers.settle(shared, count, missing);
        log::debug!(
            "directory_looked host={} accounts={count} took_ms={}",
            shared.host,
            begun.elapsed().as_millis()
        );
        Ok(())
    }
}

/// One question for many names, which costs a directory little more than one for one.
fn look_for(
    shared: &Shared,
    link: &mut Link,
    names: &[String],
) -> Result<Vec<(String, Found)>, DirectoryError> {
    let query = person::query_for_many(&shared.config, names);
    let until = Instant::now() + shared.patience();
    let entries = link.search(&query, until)?;
    let found = person::judge_all(&shared.config, names, &entries);
    Ok(names.iter().cloned().zip(found).collect())
}
