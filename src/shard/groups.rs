//! What directories say of people as groups: kept for accounts that come, given to those that are here, and what follows
//! for them. Refuses to know what a list shows.

use std::sync::Arc;

use crate::actor::groups::{Groups, Membership};
use crate::base::ActorKey;
use crate::im::roster::shared::is_touched;
use crate::jid::Jid;

use super::Shard;
use super::cell::Mail;

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
        let pushes = self
            .config
            .host(host)
            .and_then(|host| host.directory.as_ref());
        let pushes = pushes.and_then(|directory| directory.groups.as_ref());
        let pushes = pushes.map_or(0, |groups| groups.options.pushes as usize);
        match groups {
            Some(groups) => self.groups.insert(Arc::clone(host), groups),
            None => self.groups.remove(host),
        };
        let now = self.groups.get(host);
        for (actor, cell) in &mut self.cells {
            let jid = &cell.account.jid;
            if jid.domainpart() != &**host {
                continue;
            }
            let membership = Membership::find(now, jid.localpart());
            let before = std::mem::replace(&mut cell.account.membership, membership);
            let is_here = !cell.account.sessions.is_empty();
            if is_here && is_touched(&before, &cell.account.membership, pushes) {
                self.regrouped.push((actor, before));
            }
        }
    }

    /// All workers know: whoever is concerned acts on it.
    pub(super) fn act_on_groups(&mut self) {
        for (actor, before) in std::mem::take(&mut self.regrouped) {
            self.post_to(actor, Mail::Regrouped(Box::new(before)));
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
