//! Keeps what the groups of a host's directory say: reads them at the start, when it is told that something changed, and
//! now and then, and hands on what is another than before. Refuses to let anybody wait for it but who asks for the first,
//! and them for longer than for any answer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError, select};
use parking_lot::Mutex;

use super::content::{Change, Content};
use super::due::{Due, Work};
use super::error::DirectoryError;
use super::grouped::{self, Known};
use super::groups::Named;
use super::host::Shared;
use super::meant::Meant;
use super::pool::Link;
use super::room_people::RoomNames;
use super::service::Answers;
use super::watch::Follower;
use crate::actor::Ticket;
use crate::actor::directory::DirectoryAnswer;
use crate::actor::groups::Groups;
use crate::base::{WorkerId, limits};
use crate::config::GroupsConfig;

/// What was read, for those who ask.
#[derive(Default)]
pub struct Lists(Mutex<State>);

#[derive(Default)]
struct State {
    /// Whether it was tried at all.
    is_known: bool,
    /// Whether another directory is in the place of this one.
    is_over: bool,
    current: Option<Arc<Groups>>,
    waiting: Vec<Waiting>,
}

/// Somebody who asked when nothing was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    since: Instant,
    worker: WorkerId,
    ticket: Ticket,
}

impl Lists {
    /// What is known, if it was tried to know it; whoever asks before that is answered then.
    pub fn ask(&self, worker: WorkerId, ticket: Ticket) -> Option<DirectoryAnswer> {
        self.wait(Waiting {
            since: Instant::now(),
            worker,
            ticket,
        })
    }

    /// The same for whoever has waited elsewhere.
    pub fn wait(&self, waiting: Waiting) -> Option<DirectoryAnswer> {
        let mut state = self.0.lock();
        if !state.is_known {
            state.waiting.push(waiting);
            return None;
        }
        Some(answer(state.current.clone()))
    }

    /// Nobody will read any more what is not known yet: those who wait for it, and nobody waits from now on. What is still
    /// being read is put in force nowhere.
    pub fn end(&self) -> Vec<Waiting> {
        let mut state = self.0.lock();
        (state.is_known, state.is_over) = (true, true);
        std::mem::take(&mut state.waiting)
    }

    /// Has this in force everywhere, by `publish`; whether that was done. One after the other: what was put in force last is
    /// what is known.
    fn put_in_force(&self, groups: &Arc<Groups>, publish: impl FnOnce(Arc<Groups>)) -> bool {
        let mut state = self.0.lock();
        if !state.is_over {
            state.current = Some(Arc::clone(groups));
            publish(Arc::clone(groups));
        }
        !state.is_over
    }

    /// What is in force, if anything is, is so once more: what the directory before this one has read may have been put in force
    /// since.
    pub fn put_in_force_again(&self, publish: impl FnOnce(Arc<Groups>)) {
        let state = self.0.lock();
        if let Some(groups) = &state.current {
            publish(Arc::clone(groups));
        }
    }

    /// It was tried; this is what is known now, for these who waited.
    fn learn(&self, current: Option<Arc<Groups>>) -> Vec<Waiting> {
        let mut state = self.0.lock();
        state.is_known = true;
        state.current = current;
        std::mem::take(&mut state.waiting)
    }

    /// Those who have waited for so long wait no longer.
    fn give_up(&self, patience: Duration) -> Vec<Waiting> {
        let mut state = self.0.lock();
        let late = |waiting: &mut Waiting| waiting.since.elapsed() >= patience;
        state.waiting.extract_if(.., late).collect()
    }
}

impl Waiting {
    /// The answer.
    pub fn hear(&self, answers: &Answers, answer: DirectoryAnswer) {
        answers.profile(self.worker, self.ticket, answer);
    }
}

fn answer(groups: Option<Arc<Groups>>) -> DirectoryAnswer {
    groups.map_or(DirectoryAnswer::Unavailable, DirectoryAnswer::Groups)
}

/// Marks groups as due when the directory tells of a change.
pub struct Woken {
    shared: Arc<Shared>,
    /// It tells of what may have been so before.
    is_refreshing: bool,
    has_changed: bool,
}

impl Woken {
    /// Of this directory.
    pub fn new(shared: &Arc<Shared>) -> Woken {
        Woken {
            shared: Arc::clone(shared),
            is_refreshing: false,
            has_changed: false,
        }
    }
}

impl Follower for Woken {
    fn hear(&mut self, change: Change<'_>) {
        match change {
            Change::Begins => self.is_refreshing = true,
            Change::Is { .. } | Change::Gone { .. } => self.has_changed = true,
            Change::Whole => self.is_refreshing = false,
        }
        if self.has_changed && !self.is_refreshing {
            self.has_changed = false;
            self.shared.due.iter().for_each(Due::groups);
        }
    }

    /// Groups are read as often anyway.
    fn look(&mut self, _: &mut Link, _: &mut Content) -> Result<(), DirectoryError> {
        Ok(())
    }
}

/// What one look has found, and those before.
#[derive(Default)]
pub struct Watch {
    people: HashMap<Named, Option<Known>>,
    round: u64,
    /// When everybody was last looked at.
    looked_at_all: Option<Instant>,
    current: Option<Arc<Groups>>,
    /// Many were missing the last time.
    is_doubtful: bool,
    told: Told,
}

/// What an operator was told of: once for as long as it is so.
#[derive(Default)]
struct Told {
    before: BTreeSet<String>,
    now: BTreeSet<String>,
}

impl Told {
    /// A look begins; what was so before and is not any more would be news again.
    fn begin(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    /// It is so; whether that is news.
    fn is_news(&mut self, text: &str) -> bool {
        self.now.insert(text.to_owned()) && !self.before.contains(text)
    }
}

/// How long nothing is read after a look that took so long: a change waits for that long at most, and of a directory that
/// is changed all the time we ask no more than that.
fn pause(took: Duration, every: Duration) -> Duration {
    let least = Duration::from_millis(limits::DIRECTORY_GROUPS_PAUSE_MS);
    (took * limits::DIRECTORY_GROUPS_PAUSE_TIMES)
        .max(least)
        .min(every)
}

impl Watch {
    /// Looks at once, `every`, and when it is woken, until nobody can wake it any more. Begun anew, it goes on from what was
    /// found before.
    pub fn run(
        &mut self,
        shared: &Shared,
        (config, due): (&GroupsConfig, &Due),
        link: &mut Link,
        every: Duration,
        (wake, stop): (&Receiver<()>, &Receiver<()>),
    ) {
        // What was due when a look panicked is due again.
        self.looked_at_all = None;
        let mut work = self.everything(due);
        loop {
            let begun = Instant::now();
            let looked = self.look(shared, config, link, &work);
            // Whoever watches by other options now may have said more by then.
            if stop.try_recv() == Err(TryRecvError::Disconnected) {
                return;
            }
            let mut next = every;
            match looked {
                Ok(Some(groups)) => self.adopt(shared, groups, begun),
                Ok(None) => {}
                Err(error) => {
                    log::warn!(
                        "directory_groups_unread host={} error=\"{error}\"",
                        shared.host
                    );
                    due.put_back(work);
                    next = every.min(Duration::from_millis(limits::DIRECTORY_GROUPS_AGAIN_MS));
                }
            }
            for waiting in shared.lists.learn(self.current.clone()) {
                waiting.hear(&shared.answers, answer(self.current.clone()));
            }
            link.go_back();
            let ended = Instant::now();
            let pause = pause(ended - begun, every);
            if stop.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            select! {
                recv(wake) -> woken => match woken {
                    Ok(()) => work = due.take(),
                    Err(_) => return,
                },
                recv(stop) -> _ => return,
                default(next.saturating_sub(ended.elapsed())) => work = self.everything(due),
            }
        }
    }

    /// What is looked at when nobody has said anything: groups, and of the people those of whom nobody would tell.
    fn everything(&self, due: &Due) -> Work {
        let mut work = due.take();
        (work.groups, work.turn) = (true, true);
        work.everybody |= !due.was_told_since(self.looked_at_all);
        work
    }

    /// Hands on what is another than before, unless nearly everybody is gone, which is believed the second time.
    fn adopt(&mut self, shared: &Shared, groups: Groups, begun: Instant) {
        let (people, lists) = groups.counts();
        let before = self.current.as_ref().map_or(0, |groups| groups.counts().0);
        let is_believable =
            people + limits::DIRECTORY_GONE_AT_ONCE >= before || people * 2 >= before;
        if !is_believable && !std::mem::replace(&mut self.is_doubtful, true) {
            log::error!(
                "directory_groups_nearly_empty host={} people={people} before={before} mend=\"look at base and filter\"",
                shared.host
            );
            return;
        }
        self.is_doubtful = false;
        if self.current.as_deref() == Some(&groups) {
            return;
        }
        let groups = Arc::new(groups);
        self.current = Some(Arc::clone(&groups));
        let publish = |groups| (shared.desk.publish)(&shared.host, Some(groups));
        if !shared.lists.put_in_force(&groups, publish) {
            return;
        }
        // Whoever reads it may ask.
        log::info!(
            "directory_groups host={} people={people} lists={lists} bytes={} took_ms={}",
            shared.host,
            groups.bytes(),
            begun.elapsed().as_millis()
        );
    }

    /// What is so now; none if that is what was before.
    fn look(
        &mut self,
        shared: &Shared,
        config: &GroupsConfig,
        link: &mut Link,
        work: &Work,
    ) -> Result<Option<Groups>, DirectoryError> {
        let begun = Instant::now();
        if !work.groups && self.current.is_some() {
            // Whom no group names is no matter of ours.
            let known = self.people.iter();
            let due = known.filter(|(named, known)| work.is_about(named, localpart_of(known)));
            let due: BTreeSet<Named> = due.map(|(named, _)| named.clone()).collect();
            let due: BTreeSet<&str> = due.iter().map(String::as_str).collect();
            if !self.look_up(shared, config, link, &due)? {
                return Ok(None);
            }
        }
        let rooms = shared.rooms.all();
        let others = rooms
            .values()
            .flat_map(|room| room.entries.values().flatten());
        let others: Vec<String> = others.cloned().collect();
        let tend = || self.tend(shared);
        let tree = grouped::read_tree(&shared.config, (config, &others), link, &tend)?;
        let meant = Meant::of(config, &tree);
        let depth = config.options.depth;
        let in_rooms = rooms.iter();
        let in_rooms = in_rooms.map(|(name, room)| (name, RoomNames::of(room, &tree, depth)));
        let in_rooms: Vec<(&String, RoomNames)> = in_rooms.collect();
        self.told.begin();
        for text in &meant.troubles {
            if self.told.is_news(text) {
                log::warn!("directory_groups_trouble host={} {text}", shared.host);
            }
        }
        let listed = meant.everybody();
        let mut needed = listed.clone();
        needed.extend(in_rooms.iter().flat_map(|(_, names)| names.all()));
        if needed.len() > limits::DIRECTORY_PEOPLE_MAX {
            return Err(DirectoryError::TooMuch);
        }
        self.round += 1;
        self.people
            .retain(|named, _| needed.contains(named.as_str()));
        let is_due = |named: &&&str| {
            let known = self.people.get(**named);
            let is_new = known.is_none();
            let is_told = work.groups && work.is_about(named, known.and_then(localpart_of));
            is_new || is_told || (work.turn && self.is_turn_of(named))
        };
        let due: BTreeSet<&str> = needed.iter().filter(is_due).copied().collect();
        self.look_up(shared, config, link, &due)?;
        if work.everybody {
            self.looked_at_all = Some(begun);
        }
        let mut people = self.people_of(shared, &needed);
        let localpart = |named: &str| people.get(named).map(|known| known.localpart.as_str());
        let in_rooms = in_rooms.iter();
        shared.rooms.learn_people(
            in_rooms
                .map(|(name, names)| ((*name).clone(), names.people(localpart)))
                .collect(),
        );
        // Whom only rooms name is on no list, and needs no place here.
        people.retain(|named, _| listed.contains(named));
        Ok(Some(Groups::new(&meant.draft(&people))))
    }

    /// Whether it is somebody's turn in this round, whatever was told.
    fn is_turn_of(&self, named: &str) -> bool {
        let mut hash = DefaultHasher::new();
        named.hash(&mut hash);
        let rounds = limits::DIRECTORY_PEOPLE_ROUNDS;
        hash.finish() % rounds == self.round % rounds
    }

    /// Looks these up; whether any is another than before.
    fn look_up(
        &mut self,
        shared: &Shared,
        config: &GroupsConfig,
        link: &mut Link,
        due: &BTreeSet<&str>,
    ) -> Result<bool, DirectoryError> {
        let mut has_changed = false;
        let found = grouped::look_up(&shared.config, config, link, due, &|| self.tend(shared))?;
        for named in due {
            let known = found.get(*named).cloned();
            let is_same = self.people.get(*named) == Some(&known);
            has_changed |= !is_same;
            if !is_same {
                self.people.insert((*named).to_owned(), known);
            }
        }
        Ok(has_changed)
    }

    /// Whoever has waited for the first look for as long as for any answer goes on without.
    fn tend(&self, shared: &Shared) {
        for waiting in shared.lists.give_up(shared.patience()) {
            waiting.hear(&shared.answers, answer(self.current.clone()));
        }
    }

    /// Who everybody is; those of one name are nobody.
    fn people_of<'a>(
        &mut self,
        shared: &Shared,
        needed: &BTreeSet<&'a str>,
    ) -> BTreeMap<&'a str, Known> {
        let known = needed.iter().filter_map(|named| {
            let known = self.people.get(*named)?.clone()?;
            Some((*named, known))
        });
        let mut people: BTreeMap<&str, Known> = known.collect();
        let mut having: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for known in people.values() {
            having
                .entry(&known.localpart)
                .or_default()
                .insert(&known.entry);
        }
        let several = having.into_iter().filter(|(_, entries)| entries.len() > 1);
        let several: BTreeMap<String, Vec<String>> = several
            .map(|(name, entries)| {
                let entries = entries.into_iter().map(str::to_owned);
                (name.to_owned(), entries.collect())
            })
            .collect();
        people.retain(|_, known| !several.contains_key(&known.localpart));
        for (localpart, entries) in several {
            if self.told.is_news(&localpart) {
                shared.report_collision(&localpart, &entries);
            }
        }
        people
    }
}

fn localpart_of(known: &Option<Known>) -> Option<&str> {
    known.as_ref().map(|known| known.localpart.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_for_the_first_look_waits_elsewhere_when_nobody_looks_any_more() {
        let (before, now) = (Lists::default(), Lists::default());
        let worker = WorkerId(0);
        assert!(before.ask(worker, Ticket(1)).is_none());
        let waiting = before.end();
        assert_eq!(waiting.len(), 1);
        assert_eq!(before.end(), [], "each is answered once");
        // Who asks where nothing will be known any more is told so.
        let late = before.ask(worker, Ticket(2));
        assert!(matches!(late, Some(DirectoryAnswer::Unavailable)));
        assert!(now.wait(waiting[0]).is_none());
        // As long as it has waited already.
        assert_eq!(now.give_up(Duration::from_secs(3600)), []);
        assert_eq!(now.learn(Some(Arc::default())), waiting);
        let known = now.ask(worker, Ticket(3));
        assert!(matches!(known, Some(DirectoryAnswer::Groups(_))));
    }

    #[test]
    fn what_is_read_when_another_directory_is_in_its_place_is_put_in_force_nowhere() {
        let (before, now) = (Lists::default(), Lists::default());
        let in_force = Mutex::new(Vec::new());
        let publish = |groups| in_force.lock().push(groups);
        let groups: [Arc<Groups>; 3] = Default::default();
        let is_last = |groups: &Arc<Groups>| {
            let in_force = in_force.lock();
            in_force
                .last()
                .is_some_and(|last| Arc::ptr_eq(last, groups))
        };
        now.put_in_force_again(publish);
        assert!(in_force.lock().is_empty(), "nothing was read");
        // Both read at the same time, while a reload is under way.
        assert!(now.put_in_force(&groups[0], publish));
        assert!(before.put_in_force(&groups[1], publish));
        before.end();
        now.put_in_force_again(publish);
        assert!(is_last(&groups[0]));
        assert!(!before.put_in_force(&groups[2], publish));
        assert!(is_last(&groups[0]));
    }

    #[test]
    fn an_operator_is_told_once_of_what_is_so_and_again_when_it_comes_back() {
        let mut told = Told::default();
        let mut look = |texts: &[&str]| {
            told.begin();
            let news = texts.iter().filter(|text| told.is_news(text));
            (news.count(), told.before.len() + told.now.len())
        };
        assert_eq!(look(&["unknown", "large members=1"]).0, 2);
        assert_eq!(look(&["unknown", "large members=2"]).0, 1);
        assert_eq!(look(&[]).0, 0);
        assert_eq!(look(&["unknown"]).0, 1);
        // What changes all the time is not remembered for ever.
        let kept = (3..100).map(|count| look(&[format!("large members={count}").as_str()]).1);
        assert_eq!(kept.max(), Some(2));
    }

    #[test]
    fn reading_takes_no_more_than_a_part_of_the_time() {
        let of =
            |took_ms, every_s| pause(Duration::from_millis(took_ms), Duration::from_secs(every_s));
        assert_eq!(of(1, 300), Duration::from_secs(1));
        assert_eq!(of(2_000, 300), Duration::from_secs(6));
        assert_eq!(of(200_000, 300), Duration::from_secs(300));
    }
}
