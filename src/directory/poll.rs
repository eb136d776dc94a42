//! Looks now and then whether those who have accounts here are still in the directory, and lets go who is not. Refuses to
//! believe that nearly everybody has left at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::cache::Standing;
use super::error::DirectoryError;
use super::host::Shared;
use super::person::{self, Found};
use super::pool::Link;
use crate::base::limits;

/// What the looks before have found.
struct Sweep {
    /// Who was let go, and did not come back.
    gone: BTreeSet<String>,
}

/// Looks every `every`, until nobody holds the other end of `stop`.
pub fn run(shared: &Shared, mut link: Link, every: Duration, stop: &Receiver<()>) {
    let mut sweep = Sweep {
        gone: BTreeSet::new(),
    };
    while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(every) {
        let begun = Instant::now();
        match sweep.look(shared, &mut link) {
            Ok(count) => log::debug!(
                "directory_looked host={} accounts={count} took_ms={}",
                shared.host,
                begun.elapsed().as_millis()
            ),
            // The next time says more.
            Err(error) => log::warn!("directory_unseen host={} error=\"{error}\"", shared.host),
        }
        link.go_back();
    }
}

impl Sweep {
    /// Looks for everybody who has an account; how many that are.
    fn look(&mut self, shared: &Shared, link: &mut Link) -> Result<usize, DirectoryError> {
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
                self.look_for(shared, link, some, &mut missing)?;
            }
        }
        let is_believable =
            missing.len() <= limits::DIRECTORY_GONE_AT_ONCE || missing.len() * 2 <= count;
        if !is_believable {
            log::error!(
                "directory_nearly_empty host={} accounts={count} missing={} mend=\"look at base and filter\"",
                shared.host,
                missing.len()
            );
            return Ok(count);
        }
        for (name, standing) in missing {
            shared
                .known
                .learn(&Arc::from(name.as_str()), standing, Instant::now());
            if self.gone.insert(name.clone()) {
                log::info!(
                    "directory_let_go account={name}@{} standing={standing:?}",
                    shared.host
                );
                shared.end_sessions(&name);
            }
        }
        Ok(count)
    }

    /// One question for many names, which costs a directory little more than one for one.
    fn look_for(
        &mut self,
        shared: &Shared,
        link: &mut Link,
        names: &[String],
        missing: &mut Vec<(String, Standing)>,
    ) -> Result<(), DirectoryError> {
        let query = person::query_for_many(&shared.config, names);
        let until = Instant::now() + shared.patience();
        let entries = link.search(&query, until)?;
        for (name, found) in names
            .iter()
            .zip(person::judge_all(&shared.config, names, &entries))
        {
            let standing = match found {
                Found::One(person) if person.bar.is_none() => {
                    self.gone.remove(name);
                    continue;
                }
                Found::One(_) => Standing::Barred,
                Found::Many(_) | Found::Nobody => Standing::Unknown,
            };
            missing.push((name.clone(), standing));
        }
        Ok(())
    }
}
