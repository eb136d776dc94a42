//! Accounts as the directory shows them: whose password was changed, who is gone. Refuses to know how a directory is
//! asked, and what becomes of sessions.

use super::accounts::{Accounts, write_of};
use super::elsewhere::{ENTRY, entry_key};
use crate::actor::rows::{StoreError, Write};
use crate::base::AccountId;
use crate::im::seen::{Leaver, Met, Parting, SEEN, Seen, Sight, seen_key};

/// Each of these blocks on the store.
impl Accounts {
    /// An entry was found for this name: tokens that were made under another password end, and so does that it was gone.
    ///
    /// # Errors
    /// The store's.
    pub fn meet_known(
        &self,
        host: &str,
        localpart: &str,
        sight: &Sight<'_>,
    ) -> Result<Met, StoreError> {
        let (met, writes) = self.judge_met(host, localpart, sight)?;
        if writes.is_empty() {
            return Ok(met);
        }
        let _writing = self.writing.lock();
        // Another thread may have been faster.
        let (met, writes) = self.judge_met(host, localpart, sight)?;
        if !writes.is_empty() {
            (self.rows.save)(writes)?;
        }
        Ok(met)
    }

    fn judge_met(
        &self,
        host: &str,
        localpart: &str,
        sight: &Sight<'_>,
    ) -> Result<(Met, Vec<Write>), StoreError> {
        let Some(mut row) = self.load(host, localpart)? else {
            return Ok((Met::Nobody, Vec::new()));
        };
        let id = row.account.id;
        if let Some(unique) = sight.unique
            && let Some(known) = (self.rows.row)(&ENTRY, &entry_key(id))?
            && known != unique
        {
            return Ok((Met::AnotherEntry, Vec::new()));
        }
        let before = self.seen(id)?;
        let now = before.after(sight);
        let mut writes = Vec::new();
        if now != before {
            writes.push(seen_write(id, &now));
        }
        let stamps = now.stamp.zip(before.stamp);
        if !stamps.is_some_and(|(now, before)| now.is_another(&before)) {
            return Ok((Met::Same, writes));
        }
        row.account.generation = row.account.generation.next();
        writes.push(write_of(host, localpart, &row));
        Ok((Met::Changed(row.account), writes))
    }

    /// What it would come to if somebody was let go.
    ///
    /// # Errors
    /// The store's.
    pub fn parting(
        &self,
        host: &str,
        localpart: &str,
        leaver: &Leaver<'_>,
    ) -> Result<Parting, StoreError> {
        Ok(self.judge_leaver(host, localpart, leaver)?.0)
    }

    /// The entry of this account is gone, which may have been heard of late: whoever has the name by now stays.
    ///
    /// # Errors
    /// The store's.
    pub fn let_known_go(
        &self,
        host: &str,
        localpart: &str,
        leaver: &Leaver<'_>,
    ) -> Result<Parting, StoreError> {
        let _writing = self.writing.lock();
        let (parting, writes) = self.judge_leaver(host, localpart, leaver)?;
        if !writes.is_empty() {
            (self.rows.save)(writes)?;
        }
        Ok(parting)
    }

    fn judge_leaver(
        &self,
        host: &str,
        localpart: &str,
        leaver: &Leaver<'_>,
    ) -> Result<(Parting, Vec<Write>), StoreError> {
        let Some(row) = self.load(host, localpart)? else {
            return Ok((Parting::Already, Vec::new()));
        };
        let id = row.account.id;
        let entry = (self.rows.row)(&ENTRY, &entry_key(id))?;
        if !leaver.is(id, entry.as_deref()) {
            return Ok((Parting::Other, Vec::new()));
        }
        let mut seen = self.seen(id)?;
        Ok(match std::mem::replace(&mut seen.is_gone, true) {
            true => (Parting::Already, Vec::new()),
            false => (Parting::New, vec![seen_write(id, &seen)]),
        })
    }

    fn seen(&self, id: AccountId) -> Result<Seen, StoreError> {
        let Some(bytes) = (self.rows.row)(&SEEN, &seen_key(id))? else {
            return Ok(Seen::default());
        };
        Seen::decode(&bytes).map_err(|error| {
            log::error!("account_unreadable account={} error=\"{error}\"", id.0);
            StoreError::Broken
        })
    }
}

pub(super) fn seen_write(account: AccountId, seen: &Seen) -> Write {
    Write::Put {
        table: &SEEN,
        key: seen_key(account),
        value: seen.encode().into(),
    }
}
