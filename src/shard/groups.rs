//! What directories say of people as groups: kept for accounts that come, given to those that are here, and what follows
//! for them. Refuses to know what a list shows.

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
    /// Whether all workers know it.
    is_told: bool,
    /// Accounts that know and have something to do when all workers do, and where they were; those that came meanwhile among
    /// them, for whom others may have refused what they said.
    touched: Vec<(ActorKey, Membership)>,
}

impl Regrouping {
    /// Whether there may be accounts that do not know yet.
    pub fn is_under_way(&self) -> bool {
        !self.open.is_empty()
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
        self.regrouping.is_told = false;
        self.regrouping.open = self.cells.keys().collect();
    }

    /// An account is new here. Until all workers know what it knows, what its sessions tell others may be lost: they are told
    /// once more then.
    pub(super) fn note_newcomer(&mut self, actor: ActorKey) {
        let has_place = self.cells[actor].account.membership.member().is_some();
        if has_place && !self.regrouping.is_told {
            self.regrouping.touched.push((actor, Membership::default()));
        }
    }

    /// All workers know: whoever is concerned acts on it, some at a time.
    pub(super) fn act_on_groups(&mut self, now: Now) {
        self.regrouping.is_told = true;
        for (actor, before) in std::mem::take(&mut self.regrouping.touched) {
            self.post_to(actor, Mail::Regrouped(Box::new(before)));
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
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        let account = &mut cell.account;
        let now = self.groups.get(account.jid.domainpart());
        let known = account.membership.groups();
        if now.map(Arc::as_ptr) == known.map(Arc::as_ptr) {
            return;
        }
        let membership = Membership::find(now, account.jid.localpart());
        let before = std::mem::replace(&mut account.membership, membership);
        // Some may come before all workers know.
        if account.sessions.is_empty() && self.regrouping.is_told {
            return;
        }
        let host = self.config.host(account.jid.domainpart());
        let directory = host.and_then(|host| host.directory.as_ref());
        let groups = directory.and_then(|directory| directory.groups.as_ref());
        let pushes = groups.map_or(0, |groups| groups.options.pushes as usize);
        if !is_touched(&before, &account.membership, pushes) {
            return;
        }
        match self.regrouping.is_told {
            true => self.post_to(actor, Mail::Regrouped(Box::new(before))),
            false => self.regrouping.touched.push((actor, before)),
        }
    }

    /// An account hears what the others hear at the same time.
    pub(super) fn learn_groups(&mut self, actor: ActorKey, groups: &Arc<Groups>) {
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        let account = &mut cell.account;
        if account.membership.groups().is_none() {
            account.membership = Membership::find(Some(groups), account.jid.localpart());
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
        shard.handle(NOW, Input::Control(Control::GroupsTold));
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
        order(&mut shard, Control::GroupsTold);
        assert_eq!(known(&shard), []);
        come(&mut shard, "montague");
        assert_eq!(known(&shard), [], "everybody knows");
    }
}
