//! Looks for those who have accounts here, where the directory does not tell what becomes of them: fifty with one question.
//! Refuses to judge who is let go.

use std::time::Instant;

use super::cache::Standing;
use super::error::DirectoryError;
use super::host::Shared;
use super::leavers;
use super::person::{self, Found};
use super::pool::Link;
use crate::base::limits;
use crate::im::seen::Met;

/// Looks for everybody who has an account.
///
/// # Errors
/// The directory's; the store's, as one of them.
pub fn look(shared: &Shared, link: &mut Link) -> Result<(), DirectoryError> {
    let begun = Instant::now();
    let (mut count, mut missing) = (0, Vec::new());
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
                    Found::One(person) => match shared.meet(&name, &person.sight())? {
                        Met::AnotherEntry => Standing::Unknown,
                        _ if person.bar.is_some() => Standing::Barred,
                        Met::Changed(_) | Met::Nobody | Met::Same => continue,
                    },
                    Found::Elsewhere(_) | Found::Many(_) | Found::Nobody => Standing::Unknown,
                };
                missing.push((name, standing));
            }
        }
    }
    leavers::settle(shared, count, missing)?;
    log::debug!(
        "directory_looked host={} accounts={count} took_ms={}",
        shared.host,
        begun.elapsed().as_millis()
    );
    Ok(())
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
