//! Messages that are owed and have no row because the disk has no room for one: only whoever holds them for a client has
//! them. None is settled before a client has it, or before it has its row, which it gets when there is room again; else
//! its sender would count on what a crash takes. Refuses to know whether there is room.

use std::collections::BTreeMap;

use crate::actor::{Delivery, Kept, Origin};
use crate::base::{ActorKey, Now};
use crate::config::Keep;
use crate::im::account::Change;
use crate::im::{origin, pending};
use crate::stanza::Stanza;

use super::Shard;
use super::cell::Mail;

/// Accounts and numbers of such messages, and who waits for the fate of each, if anybody does. As many as sessions hold.
pub(super) type Unstored = BTreeMap<(ActorKey, u64), Option<Origin>>;

impl Shard {
    /// What is delivered by a turn and should have a row, which it has not: its fate is not decided with the turn. Who waits
    /// for that waits on.
    pub(super) fn leave_unstored(
        &mut self,
        actor: ActorKey,
        delivered: &[Delivery],
        settle: &mut Option<Origin>,
    ) {
        if self.config.delivery.keep != Keep::Always {
            return;
        }
        let mut kept = delivered.iter().filter_map(|delivery| delivery.kept);
        let is_anonymous = || self.cells.get(actor).is_none_or(|c| c.account.anonymous);
        if let Some(kept) = kept.find(|kept| !kept.is_stored)
            && !is_anonymous()
        {
            let waits = settle.take();
            self.unstored.insert((actor, kept.number), waits);
        }
    }

    /// Who waits for the fate of what the mail carried, if its turn decides that: not while others hold a leftover, too.
    pub(super) fn origin_of(&mut self, actor: ActorKey, mail: &Mail) -> Option<Origin> {
        let Mail::Leftover(held) = mail else {
            return mail.settles();
        };
        let kept = held.kept.filter(|_| !self.unstored.is_empty())?;
        match self.share(actor, kept.number) {
            true => None,
            false => self.take_unstored(actor, kept),
        }
    }

    /// A client has it, or nobody will.
    pub(super) fn take_unstored(&mut self, actor: ActorKey, kept: Kept) -> Option<Origin> {
        if kept.is_stored || self.unstored.is_empty() {
            return None;
        }
        self.unstored.remove(&(actor, kept.number)).flatten()
    }

    /// Nobody knows whether a client has it, and nobody has it any more: whoever waits for its fate hears so when he has
    /// waited long enough.
    pub(super) fn forget_unstored(&mut self, actor: ActorKey, kept: Kept) {
        if !kept.is_stored && !self.unstored.is_empty() && !self.share(actor, kept.number) {
            self.unstored.remove(&(actor, kept.number));
        }
    }

    /// There is room again: each gets its row. What is being written to a client that does not count is nowhere else.
    pub(super) fn store_unstored(&mut self, now: Now) {
        for ((actor, number), origin) in std::mem::take(&mut self.unstored) {
            let identity = self.cells.get(actor).and_then(|it| it.account.identity);
            let stanza = self.held_under(actor, number);
            let Some((identity, stanza)) = identity.zip(stanza) else {
                if self.share(actor, number) {
                    self.unstored.insert((actor, number), origin);
                }
                continue;
            };
            log::debug!("stanza_kept_late trace={}", stanza.header.trace);
            let write = pending::keep(identity.id, number, &stanza);
            let mut mark = None;
            if let Some(cell) = self.cells.get_mut(actor) {
                let account = &mut cell.account;
                account.apply(Change::Uncounted);
                // Only who waits for it sends it again.
                let late =
                    origin.and_then(|_| origin::remember_late(now, account, identity.id, &stanza));
                if let Some((change, write)) = late {
                    account.apply(change);
                    mark = Some(write);
                }
            }
            let writes = std::iter::once(write).chain(mark);
            self.save(writes, origin, Some(stanza));
            self.stored(actor, number);
        }
    }

    /// The message of this number, if somebody holds it whole.
    fn held_under(&self, actor: ActorKey, number: u64) -> Option<Stanza> {
        let cell = self.cells.get(actor)?;
        let is_it = |kept: Option<Kept>| kept.is_some_and(|kept| kept.number == number);
        let left = cell.mailbox.leftovers_whole();
        let mut left = left.filter(|held| is_it(held.kept));
        if let Some(held) = left.next() {
            return Some(held.stanza.clone());
        }
        cell.account.sessions.iter().find_map(|session| {
            let mut held = session.held();
            let stream = session.stream.and_then(|key| self.streams.get(key));
            let unwritten = || stream.and_then(|stream| stream.outbound.stanza_under(number));
            let found = held.find(|(kept, _)| is_it(*kept)).map(|(_, it)| it);
            found.or_else(unwritten).cloned()
        })
    }
}
