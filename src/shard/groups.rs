//! What directories say of people as groups: kept for accounts that come, given to those that are here, and what follows
//! for them. Refuses to know what a list shows.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::actor::groups::{Groups, Membership};
use crate::base::{ActorKey, Now, limits};
use crate::im::roster::shared::is_touched;
use crate::jid::Jid;

use super::Shard;
use super::cell::Mail;

/// How far the accounts of a worker are with learning what is new.
#[derive(Default)]
pub(super) struct Regrouping {
    /// Who may not know it yet: all at once they would hold up everybody else.
    open: Vec<ActorKey>,
    /// Hosts of whose people not all workers know what is in force.
    untold: BTreeSet<Arc<str>>,
    /// Accounts that know and have something to do when all workers do, and where they were; those that came meanwhile among
    /// them, for whom others may have refused what they said.
    touched: Vec<(ActorKey, Membership)>,
}

impl Regrouping {
    /// Whether there may be accounts that do not know yet.
    pub fn is_under_way(&self) -> bool {
        !self.open.is_empty()
    }

    fn is_told(&self, jid: &Jid) -> bool {
        !self.untold.contains(jid.domainpart())
    }
}

impl Shard {
    /// Where somebody is in the groups of the host, as far as they are known.
    pub(super) fn membership_of(&self, jid: &Jid) -> Membership {
        // Most servers have none.
        match self.groups.is_empty() {
            true => Membership::default(),
            false => Membership::find(self.groups.get(jid.domainpart()), jid.localpart()),
        }
    }

    /// From now on this is in force. Accounts have something to do once it is so for all workers: what they tell each other
    /// would be refused by who does not know yet.
    pub(super) fn regroup(&mut self, host: &Arc<str>, groups: Option<Arc<Groups>>) {
        match groups {
            Some(groups) => self.groups.insert(Arc::clone(host), groups),
            None => self.groups.remove(host),
        };
        self.regrouping.untold.insert(Arc::clone(host));
        self.regrouping.open = self.cells.keys().collect();
    }

    /// An account is new here. Until all workers know what it knows, what its sessions tell others may be lost: they are told
    /// once more then.
    pub(super) fn note_newcomer(&mut self, actor: ActorKey) {
        let account = &self.cells[actor].account;
        let has_place = account.membership.member().is_some();
        if has_place && !self.regrouping.is_told(&account.jid) {
            self.regrouping.touched.push((actor, Membership::default()));
        }
    }

    /// All workers know it of this host: whoever is concerned acts on it, some at a time. Another host's people wait for
    /// their own word, which may be on its way to some of the workers.
    pub(super) fn act_on_groups(&mut self, now: Now, host: &str) {
        self.regrouping.untold.remove(host);
        for (actor, before) in std::mem::take(&mut self.regrouping.touched) {
            let account = self.cells.get(actor).map(|cell| &cell.account);
            match account.is_none_or(|account| self.regrouping.is_told(&account.jid)) {
                true => self.post_to(actor, Mail::Regrouped(Box::new(before))),
                false => self.regrouping.touched.push((actor, before)),
            }
        }
        self.timers.arm_groups(now.mono_ms);
    }

    /// The next of those who do not know yet.
    pub(super) fn groups_due(&mut self, now: Now) {
        for _ in 0..limits::GROUPS_ACCOUNTS_PER_TURN {
            let Some(actor) = self.regrouping.open.pop() else {
                return;
            };
            self.catch_up(actor);
        }
        // Others have the turns in between.
        self.timers.arm_groups(now.mono_ms + 1);
    }

    /// An account knows from now on what is in force: before it hears anything from those who know.
    pub(super) fn catch_up(&mut self, actor: ActorKey) {
        let Some(cell) = self.cells.get(actor) else {
            return;
        };
        let account = &cell.account;
        let now = self.groups.get(account.jid.domainpart());
        let known = account.membership.groups();
        if now.map(Arc::as_ptr) == known.map(Arc::as_ptr) {
            return;
        }
        let membership = Membership::find(now, account.jid.localpart());
        self.move_to(actor, membership);
    }

    /// An account is answered with what is about to be in force. Of its sessions, those that were answered without it hear of it
    /// when all workers know.
    pub(super) fn learn_groups(&mut self, actor: ActorKey, groups: &Arc<Groups>) {
        let Some(cell) = self.cells.get(actor) else {
            return;
        };
        let jid = cell.account.jid.clone();
        if self.groups.contains_key(jid.domainpart()) {
            // It may be newer.
            return self.catch_up(actor);
        }
        if cell.account.membership.groups().is_none() {
            self.regrouping.untold.insert(Arc::from(jid.domainpart()));
            let membership = Membership::find(Some(groups), jid.localpart());
            self.move_to(actor, membership);
        }
    }

    /// An account is elsewhere in the groups of its host now.
    fn move_to(&mut self, actor: ActorKey, membership: Membership) {
        let account = &mut self.cells[actor].account;
        let before = std::mem::replace(&mut account.membership, membership);
        let is_told = self.regrouping.is_told(&account.jid);
        // Some may come before all workers know.
        if account.sessions.is_empty() && is_told {
            return;
        }
        let host = self.config.host(account.jid.domainpart());
        let directory = host.and_then(|host| host.directory.as_ref());
        let groups = directory.and_then(|directory| directory.groups.as_ref());
        let pushes = groups.map_or(0, |groups| groups.options.pushes as usize);
        if !is_touched(&before, &account.membership, pushes) {
            return;
        }
        match is_told {
            true => self.post_to(actor, Mail::Regrouped(Box::new(before))),
            false => self.regrouping.touched.push((actor, before)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::input::{Control, Input};
    use super::super::testing::{NOW, stage};
    use super::*;
    use crate::actor::groups::{Draft, DraftList};

    fn those_who_know(shard: &Shard) -> usize {
        let accounts = shard.cells.values().map(|cell| &cell.account);
        accounts
            .filter(|account| account.membership.groups().is_some())
            .count()
    }

    #[test]
    fn accounts_learn_of_groups_some_at_a_time_and_at_once_before_they_hear_anything() {
        let (mut shard, romeo) = stage();
        let per_turn = limits::GROUPS_ACCOUNTS_PER_TURN;
        let others: Vec<ActorKey> = (1..2 * per_turn)
            .map(|number| {
                let jid = Jid::parse(&format!("user{number}@localhost")).expect("valid");
                shard.cell_at(NOW, &jid)
            })
            .collect();
        let groups = Arc::new(Groups::new(&Draft::default()));
        let order = Control::Groups(Arc::from("localhost"), Some(groups));
        shard.handle(NOW, Input::Control(order));
        assert_eq!(those_who_know(&shard), 0);
        shard.run(NOW, romeo);
        assert_eq!(those_who_know(&shard), 1, "who hears something");
        shard.handle(
            NOW,
            Input::Control(Control::GroupsTold(Arc::from("localhost"))),
        );
        for expected in [per_turn, 2 * per_turn] {
            let due_ms = shard.next_deadline().expect("more do not know");
            let now = NOW.plus_ms(due_ms.saturating_sub(NOW.mono_ms));
            shard.handle(now, Input::Tick);
            let known = those_who_know(&shard);
            // Romeo is among one of both.
            assert!(
                known == expected || known == expected + 1,
                "{known} {expected}"
            );
        }
        assert_eq!(those_who_know(&shard), 1 + others.len());
    }

    fn montagues() -> Draft {
        let names = ["benvolio", "montague", "romeo"].map(str::to_owned);
        let list = DraftList {
            key: "m".to_owned(),
            name: "The Montagues".to_owned(),
            members: names.iter().cloned().collect(),
            ..DraftList::default()
        };
        Draft {
            people: names.map(|name| (name.clone(), name)).into(),
            lists: vec![list],
            ..Draft::default()
        }
    }

    #[test]
    fn who_comes_before_all_workers_know_says_it_again_when_they_do() {
        let (mut shard, romeo) = stage();
        shard.cells[romeo].account.sessions.clear();
        let known = |shard: &Shard| {
            let touched = shard.regrouping.touched.iter();
            touched.map(|(actor, _)| *actor).collect::<Vec<_>>()
        };
        let order = |shard: &mut Shard, control| shard.handle(NOW, Input::Control(control));
        let groups = || {
            let groups = Arc::new(Groups::new(&montagues()));
            Control::Groups(Arc::from("localhost"), Some(groups))
        };
        let come = |shard: &mut Shard, name: &str| {
            let jid = Jid::parse(&format!("{name}@localhost")).expect("valid");
            shard.cell_at(NOW, &jid)
        };
        order(&mut shard, groups());
        // Nobody is here of whom it was known, and two come.
        shard.catch_up(romeo);
        let benvolio = come(&mut shard, "benvolio");
        come(&mut shard, "paris");
        assert_eq!(known(&shard), [romeo, benvolio], "paris is on no list");
        order(&mut shard, Control::GroupsTold(Arc::from("localhost")));
        assert_eq!(known(&shard), []);
        come(&mut shard, "montague");
        assert_eq!(known(&shard), [], "everybody knows");
    }

    #[test]
    fn the_people_of_a_host_wait_until_all_workers_know_of_it_whatever_is_known_of_another() {
        let (mut shard, romeo) = stage();
        let order = |shard: &mut Shard, control| shard.handle(NOW, Input::Control(control));
        let hosts: [Arc<str>; 2] = ["localhost", "mantua.example"].map(Arc::from);
        let acts = |shard: &mut Shard| shard.cells[romeo].mailbox.front().is_some();
        // Both are told of at once: another worker has not heard of the first yet.
        for host in [&hosts[1], &hosts[0]] {
            let groups = Some(Arc::new(Groups::new(&montagues())));
            order(&mut shard, Control::Groups(Arc::clone(host), groups));
        }
        shard.catch_up(romeo);
        order(&mut shard, Control::GroupsTold(Arc::clone(&hosts[1])));
        assert!(!acts(&mut shard), "what he says would be refused");
        order(&mut shard, Control::GroupsTold(Arc::clone(&hosts[0])));
        assert!(shard.regrouping.touched.is_empty());
        assert!(acts(&mut shard));
    }

    #[test]
    fn who_was_answered_before_its_account_knew_hears_of_it_when_all_workers_do() {
        let (mut shard, romeo) = stage();
        let groups = Arc::new(Groups::new(&montagues()));
        // Another session of his asks, and the answer comes before the order to all workers.
        shard.learn_groups(romeo, &groups);
        assert!(shard.cells[romeo].account.membership.member().is_some());
        let host = Arc::from("localhost");
        let order = |shard: &mut Shard, control| shard.handle(NOW, Input::Control(control));
        order(
            &mut shard,
            Control::Groups(Arc::clone(&host), Some(Arc::clone(&groups))),
        );
        shard.catch_up(romeo);
        let acts = |shard: &Shard| shard.cells[romeo].mailbox.front().is_some();
        assert!(!acts(&shard));
        order(&mut shard, Control::GroupsTold(Arc::clone(&host)));
        assert!(acts(&shard));
        // Whoever is answered with what was before hears of what is.
        let after = Groups::new(&Draft::default());
        let (mut shard, romeo) = stage();
        order(&mut shard, Control::Groups(host, Some(Arc::new(after))));
        shard.learn_groups(romeo, &groups);
        assert!(shard.cells[romeo].account.membership.member().is_none());
    }
}
