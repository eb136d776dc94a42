//! Looks for those who have accounts here, where the directory does not tell what becomes of them: fifty with one question.
//! Refuses to judge who is let go.

use std::time::Instant;

use super::cache::Standing;
use super::error::DirectoryError;
use super::host::Shared;
use super::leavers::{self, Missing};
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
        let accounts = shared.accounts_after(after.as_deref())?;
        let Some((last, _)) = accounts.last() else {
            break;
        };
        after = Some(last.clone());
        count += accounts.len();
        for some in accounts.chunks(limits::DIRECTORY_SWEEP_NAMES) {
            let names: Vec<String> = some.iter().map(|(name, _)| name.clone()).collect();
            let found = look_for(shared, link, &names)?;
            for ((name, (_, account)), found) in names.into_iter().zip(some).zip(found) {
                let standing = match found {
                    Found::One(person) => match shared.meet(&name, &person.sight())? {
                        Met::AnotherEntry => Standing::Unknown,
                        _ if person.bar.is_some() => Standing::Barred,
                        Met::Changed(_) | Met::Nobody | Met::Same => continue,
                    },
                    Found::Elsewhere(_) | Found::Many(_) | Found::Nobody => Standing::Unknown,
                };
                missing.push(Missing {
                    name,
                    account: *account,
                    standing,
                });
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
) -> Result<Vec<Found>, DirectoryError> {
    let query = person::query_for_many(&shared.config, names);
    let until = Instant::now() + shared.patience();
    let entries = link.search(&query, until)?;
    Ok(person::judge_all(&shared.config, names, &entries))
}
