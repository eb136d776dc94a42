//! What of the groups of a host, and of the people in them, has changed since it was looked at: told by those who hear of
//! changes, taken by who looks. Refuses to know what follows.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use crate::base::limits;

/// What is due, for both sides.
pub struct Due {
    marked: Mutex<Marked>,
    wake: Sender<()>,
}

#[derive(Default)]
struct Marked {
    work: Work,
    /// Since when the directory tells of everybody who changes; none if it does not.
    told_since: Option<Instant>,
}

/// What is to be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// The groups themselves.
    pub groups: bool,
    /// Everybody in them.
    pub everybody: bool,
    /// Those whose turn it is, whatever was told.
    pub turn: bool,
    /// Whom groups name so (`groups::Named`).
    named: BTreeSet<String>,
    /// Who has, or had, these localparts.
    localparts: BTreeSet<Arc<str>>,
}

impl Due {
    /// Nothing yet; who looks is woken by what comes from the other.
    pub fn new() -> (Due, Receiver<()>) {
        // One that waits is enough.
        let (wake, woken) = bounded(1);
        let due = Due {
            marked: Mutex::default(),
            wake,
        };
        (due, woken)
    }

    /// Some group is another, or gone.
    pub fn groups(&self) {
        self.marked.lock().work.groups = true;
        self.rouse();
    }

    /// Somebody is another, or gone: as groups may name them, and by their localparts.
    pub fn people(&self, named: Vec<String>, localparts: &[Arc<str>]) {
        self.marked.lock().work.add(named, localparts);
        self.rouse();
    }

    /// From now on the directory tells of everybody who changes.
    pub fn is_told(&self, now: Instant) {
        self.marked.lock().told_since.get_or_insert(now);
    }

    /// It does not, or not any more.
    pub fn is_untold(&self) {
        self.marked.lock().told_since = None;
    }

    /// Whether who looked at everybody then has heard of all that changed since.
    pub fn was_told_since(&self, looked: Option<Instant>) -> bool {
        let since = self.marked.lock().told_since;
        since
            .zip(looked)
            .is_some_and(|(since, looked)| since <= looked)
    }

    /// What is to be done; whoever fails at it puts it back.
    pub fn take(&self) -> Work {
        std::mem::take(&mut self.marked.lock().work)
    }

    /// It was not done, or not all of it: whom it was about may have been looked at, and be the same the next time, and the
    /// groups must be read all the same.
    pub fn put_back(&self, work: Work) {
        let mut marked = self.marked.lock();
        marked.work.join(work);
        marked.work.groups = true;
    }

    fn rouse(&self) {
        // One that waits already is enough.
        let _ = self.wake.try_send(());
    }
}

impl Work {
    /// Whether somebody is to be looked at whom groups name so, and who had this localpart.
    pub fn is_about(&self, named: &str, localpart: Option<&str>) -> bool {
        self.everybody
            || self.named.contains(named)
            || localpart.is_some_and(|localpart| self.localparts.contains(localpart))
    }

    fn add(&mut self, named: impl IntoIterator<Item = String>, localparts: &[Arc<str>]) {
        if self.everybody {
            return;
        }
        self.named.extend(named);
        self.localparts.extend(localparts.iter().cloned());
        self.bound();
    }

    fn join(&mut self, other: Work) {
        self.groups |= other.groups;
        self.everybody |= other.everybody;
        self.turn |= other.turn;
        self.named.extend(other.named);
        self.localparts.extend(other.localparts);
        self.bound();
    }

    /// Of so many it is easier to look at all.
    fn bound(&mut self) {
        let count = self.named.len() + self.localparts.len();
        if self.everybody || count > limits::DIRECTORY_LOOK_AT_ALL {
            self.everybody = true;
            self.named.clear();
            self.localparts.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_marked_is_taken_once_and_put_back_if_it_fails() {
        let (due, woken) = Due::new();
        let romeo: Arc<str> = Arc::from("romeo");
        due.people(vec!["dn:uid=romeo".to_owned()], &[Arc::clone(&romeo)]);
        due.groups();
        assert_eq!((woken.len(), woken.try_recv()), (1, Ok(())));
        let work = due.take();
        assert!(work.groups && !work.everybody);
        assert!(work.is_about("dn:uid=romeo", None) && work.is_about("dn:x", Some("romeo")));
        assert!(!work.is_about("dn:x", Some("juliet")));
        assert_eq!(due.take(), Work::default());
        due.put_back(work.clone());
        assert_eq!(due.take(), work);
    }

    #[test]
    fn what_failed_half_way_is_done_whole_the_next_time() {
        let (due, _woken) = Due::new();
        due.people(vec!["dn:uid=romeo".to_owned()], &[]);
        let work = due.take();
        assert!(!work.groups);
        due.put_back(work);
        // Somebody else changes before it is tried again.
        due.people(vec!["dn:uid=juliet".to_owned()], &[]);
        let work = due.take();
        assert!(work.groups && work.is_about("dn:uid=romeo", None));
    }

    #[test]
    fn of_very_many_all_are_looked_at() {
        let (due, _woken) = Due::new();
        for number in 0..=limits::DIRECTORY_LOOK_AT_ALL {
            due.people(vec![format!("dn:uid={number}")], &[]);
        }
        let work = due.take();
        assert!(work.everybody && work.named.is_empty());
    }

    #[test]
    fn who_looked_before_everything_was_told_looks_again() {
        let (due, _woken) = Due::new();
        let begun = Instant::now();
        let later = begun + Duration::from_secs(1);
        assert!(!due.was_told_since(Some(later)), "it does not tell");
        due.is_told(begun);
        assert!(due.was_told_since(Some(later)) && !due.was_told_since(None));
        due.is_untold();
        due.is_told(later);
        assert!(!due.was_told_since(Some(begun)));
    }
}
