//! Lets go who is not in the directory any more, or is closed there. Refuses to believe that nearly everybody has left at
//! once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::cache::Standing;
use super::host::Shared;
use crate::base::limits;

/// Who was let go, and did not come back.
#[derive(Default)]
pub struct Leavers {
    gone: BTreeSet<String>,
}

impl Leavers {
    /// Somebody is there.
    pub fn is_here(&mut self, name: &str) {
        self.gone.remove(name);
    }

    /// Of `count` accounts these are not members of the directory.
    pub fn settle(&mut self, shared: &Shared, count: usize, missing: Vec<(String, Standing)>) {
        let is_believable =
            missing.len() <= limits::DIRECTORY_GONE_AT_ONCE || missing.len() * 2 <= count;
        if !is_believable {
            log::error!(
                "directory_nearly_empty host={} accounts={count} missing={} mend=\"look at base and filter\"",
                shared.host,
                missing.len()
            );
            return;
        }
        for (name, standing) in missing {
            self.let_go(shared, &name, standing);
        }
    }

    /// One of them.
    pub fn let_go(&mut self, shared: &Shared, name: &str, standing: Standing) {
        let known = Arc::from(name);
        shared.known.learn(&known, standing, Instant::now());
        if self.gone.insert(name.to_owned()) {
            log::info!(
                "directory_let_go account={name}@{} standing={standing:?}",
                shared.host
            );
            shared.end_sessions(name);
        }
    }
}
