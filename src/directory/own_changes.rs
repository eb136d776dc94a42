//! Whose passwords are just being changed by themselves. What is met of their entries meanwhile is not judged, and who logs in
//! meanwhile waits: by which password, the old one or the new one, could not be told. Refuses to know how a password is changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::host::Question;
use super::replaced::Replaced;
use crate::base::limits;
use crate::im::seen::PasswordStamp;

/// Changes that are under way.
#[derive(Default)]
pub struct OwnChanges(Mutex<Changes>);

#[derive(Default)]
struct Changes {
    under_way: BTreeMap<Arc<str>, UnderWay>,
    /// Logins that need not wait any more.
    released: Vec<Question>,
    replaced: Replaced,
}

#[derive(Default)]
struct UnderWay {
    count: usize,
    /// An entry was met meanwhile, and not judged.
    is_met: bool,
    /// Who logs in meanwhile.
    waiting: Vec<Question>,
}

/// One that is under way until it ends or is dropped: a panic in the middle must not hide all later changes of others.
pub struct OwnChange<'a> {
    changes: &'a OwnChanges,
    /// None when it is over.
    name: Option<Arc<str>>,
}

impl OwnChange<'_> {
    /// It is over; whether the entry is to be looked at.
    pub fn end(&mut self) -> bool {
        let name = self.name.take();
        name.is_some_and(|name| self.changes.end(&name))
    }
}

impl Drop for OwnChange<'_> {
    fn drop(&mut self) {
        // If it did not come to its end, whoever looks next sees what has become of the entry.
        self.end();
    }
}

/// Whether a login waits.
pub enum Postponed {
    /// Until the change is over.
    Yes,
    /// There is none.
    No(Question),
    /// So many do already.
    Full(Question),
}

impl OwnChanges {
    pub fn begin(&self, name: &Arc<str>) -> OwnChange<'_> {
        let mut changes = self.0.lock();
        let under_way = changes.under_way.entry(Arc::clone(name));
        under_way.or_default().count += 1;
        OwnChange {
            changes: self,
            name: Some(Arc::clone(name)),
        }
    }

    /// Whether one is under way; then the entry is to be looked at when it is over.
    pub fn meets(&self, name: &str) -> bool {
        let mut changes = self.0.lock();
        let under_way = changes.under_way.get_mut(name);
        under_way.is_some_and(|change| {
            change.is_met = true;
            true
        })
    }

    /// Somebody has proved a password, or asks for keys: if one is under way, until it is over.
    pub fn postpone(&self, question: Question) -> Postponed {
        let mut changes = self.0.lock();
        match changes.under_way.get_mut(&question.localpart) {
            None => Postponed::No(question),
            Some(change) if change.waiting.len() < limits::DIRECTORY_POSTPONED_MAX => {
                change.waiting.push(question);
                Postponed::Yes
            }
            Some(_) => Postponed::Full(question),
        }
    }

    /// Who waited for one that is over, to be asked from the beginning.
    pub fn released(&self) -> Vec<Question> {
        std::mem::take(&mut self.0.lock().released)
    }

    /// An entry says `after` of its password from now on. Who has read it before, or reads a copy that lags, still comes with
    /// what it was `before`.
    pub fn replace(
        &self,
        name: &Arc<str>,
        before: PasswordStamp,
        after: &PasswordStamp,
        now: Instant,
    ) {
        // Without a date it may be said again, of another change.
        if before.changed == after.changed {
            return;
        }
        self.0.lock().replaced.add(name, before, now);
    }

    /// Whether this was said of a password that was changed here since.
    pub fn is_replaced(&self, name: &str, stamp: &PasswordStamp, now: Instant) -> bool {
        self.0.lock().replaced.has(name, stamp, now)
    }

    /// One is over; whether the entry is to be looked at.
    fn end(&self, name: &str) -> bool {
        let mut changes = self.0.lock();
        let Some(change) = changes.under_way.get_mut(name) else {
            return false;
        };
        change.count -= 1;
        if change.count > 0 {
            return false;
        }
        let over = changes.under_way.remove(name).unwrap_or_default();
        changes.released.extend(over.waiting);
        over.is_met
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{self, AssertUnwindSafe};

    use super::super::host::Wish;
    use super::*;
    use crate::actor::Ticket;
    use crate::base::{Secret, WorkerId};

    #[test]
    fn what_is_met_during_changes_is_looked_at_after_the_last() {
        let changes = OwnChanges::default();
        let juliet: Arc<str> = Arc::from("juliet");
        assert!(!changes.meets("juliet"));
        assert!(!changes.begin(&juliet).end(), "nothing was met");
        let mut first = changes.begin(&juliet);
        let mut second = changes.begin(&juliet);
        assert!(changes.meets("juliet") && !changes.meets("romeo"));
        assert!(!first.end(), "another is under way");
        assert!(second.end());
        assert!(!changes.meets("juliet") && changes.0.lock().under_way.is_empty());
    }

    #[test]
    fn a_change_that_panics_is_over() {
        let changes = OwnChanges::default();
        let juliet: Arc<str> = Arc::from("juliet");
        let change = || {
            let _own = changes.begin(&juliet);
            assert!(matches!(
                changes.postpone(login("juliet", 1)),
                Postponed::Yes
            ));
            assert!(!changes.meets("juliet"), "as a bug would have it");
        };
        assert!(panic::catch_unwind(AssertUnwindSafe(change)).is_err());
        assert!(!changes.meets("juliet") && changes.0.lock().under_way.is_empty());
        assert_eq!(changes.released().len(), 1);
    }

    fn login(name: &str, ticket: u64) -> Question {
        Question {
            asked: Instant::now(),
            worker: WorkerId(0),
            ticket: Ticket(ticket),
            localpart: name.into(),
            wish: Wish::Password(Secret::new(b"pencil".to_vec())),
        }
    }

    #[test]
    fn who_logs_in_waits_until_the_last_change_is_over_and_not_more_than_fit() {
        let changes = OwnChanges::default();
        let juliet: Arc<str> = Arc::from("juliet");
        let mut first = changes.begin(&juliet);
        let mut second = changes.begin(&juliet);
        let max = limits::DIRECTORY_POSTPONED_MAX as u64;
        for ticket in 0..max {
            let postponed = changes.postpone(login("juliet", ticket));
            assert!(matches!(postponed, Postponed::Yes));
        }
        let postponed = changes.postpone(login("juliet", max));
        assert!(matches!(postponed, Postponed::Full(_)));
        let postponed = changes.postpone(login("romeo", max));
        assert!(matches!(postponed, Postponed::No(_)));
        first.end();
        assert!(changes.released().is_empty());
        second.end();
        let released = changes.released().into_iter();
        let released: Vec<u64> = released.map(|question| question.ticket.0).collect();
        assert_eq!(released, (0..max).collect::<Vec<_>>());
        let postponed = changes.postpone(login("juliet", 0));
        assert!(matches!(postponed, Postponed::No(_)));
    }

    #[test]
    fn what_was_said_before_a_change_is_no_news_where_the_directory_has_dates() {
        let changes = OwnChanges::default();
        let stamp = |changed: u8| PasswordStamp {
            changed: [changed; 8],
            keys: None,
        };
        let (juliet, now) = (Arc::<str>::from("juliet"), Instant::now());
        changes.replace(&juliet, stamp(1), &stamp(2), now);
        assert!(changes.is_replaced("juliet", &stamp(1), now));
        assert!(!changes.is_replaced("juliet", &stamp(2), now));
        // A directory without dates says the same of every password.
        changes.replace(&juliet, stamp(3), &stamp(3), now);
        assert!(!changes.is_replaced("juliet", &stamp(3), now));
    }
}
