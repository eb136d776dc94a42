//! Turns that wait for the disk: a turn that wrote rows of a [`Durability::BeforeReply`] table is held, with all
//! that it causes, until the group commit answers. The mailbox waits behind it. What the disk refuses never
//! happened, and whoever asked for it hears why.

use crate::actor::Effects;
use crate::actor::rows::{Durability, StoreError};
use crate::base::{ActorKey, Now};
use crate::im::Account;

use super::Shard;
use super::cell::Mail;
use super::refuse::store_error;
use super::save::Waiter;

/// What a turn causes when its rows are durable; its stanza is still the head of the mailbox.
pub(super) struct Held(Effects<Account>);

impl Held {
    /// The account is another from now on: what the turn read or wrote of it is not so any more.
    pub(super) fn forget_rows(&mut self) {
        self.0.change.retain(|change| !change.is_of_rows());
    }

    /// The turn had found this, too.
    #[cfg(test)]
    pub(super) fn found(&mut self, change: crate::im::account::Change) {
        self.0.change.push(change);
    }
}

impl Shard {
    /// Whether the turn that just ran has to be durable before anybody hears of it.
    pub(super) fn waits_for_commit(&self) -> bool {
        let mut writes = self.effects.write.iter();
        writes.any(|write| write.table().durability == Durability::BeforeReply)
    }

    /// Sends the turn's rows to the store and holds the rest.
    pub(super) fn hold(&mut self, actor: ActorKey) {
        let mut effects = std::mem::take(&mut self.effects);
        // No effect, and used by every turn.
        std::mem::swap(&mut effects.scratch, &mut self.effects.scratch);
        self.save_awaited(effects.write.drain(..), Waiter::Turn(actor));
        if let Some(cell) = self.cells.get_mut(actor) {
            cell.held = Some(Box::new(Held(effects)));
        }
    }

    /// The store answered: what was held happens, or its sender hears that it did not.
    pub(super) fn committed(&mut self, now: Now, actor: ActorKey, error: Option<StoreError>) {
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        let Some(held) = cell.held.take() else {
            return;
        };
        match error {
            None => {
                let Held(mut effects) = *held;
                std::mem::swap(&mut effects.scratch, &mut self.effects.scratch);
                self.effects = effects;
                let mail = self.finish_mail(actor);
                self.apply(now, actor, mail);
            }
            Some(error) => {
                // It may have become visible in the store all the same: only a fresh read knows.
                cell.account.distrust();
                self.store_failed(now, actor, error);
            }
        }
        self.wake(actor);
    }

    /// The head of the mailbox could not be done for a reason that passes: its sender is told, and a tell is told
    /// again soon.
    pub(super) fn store_failed(&mut self, now: Now, actor: ActorKey, error: StoreError) {
        let mail = self.finish_mail(actor);
        if let Some(Mail::Inbound { tell: Some(_), .. }) = &mail {
            self.retell_soon(now);
        }
        self.reject(now, actor, mail, &store_error(error));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CAREFUL, answers, ask, commits, held, saved, stage};
    use super::*;
    use crate::stanza::Type;

    fn has_carbons(shard: &Shard, actor: ActorKey) -> bool {
        shard.cells[actor].account.sessions[0].carbons
    }

    #[test]
    fn nobody_hears_of_a_careful_turn_before_it_is_durable_and_what_follows_waits() {
        let (mut shard, actor) = stage();
        ask(&mut shard, actor, "careful");
        ask(&mut shard, actor, "safe");
        let (ticket, writes) = saved(&mut shard).expect("a row was written");
        let careful = writes.iter().filter(|w| w.table().name == CAREFUL.name);
        assert_eq!(careful.count(), 1);
        assert_eq!(answers(&shard, actor), []);
        assert!(!has_carbons(&shard, actor));
        assert!(!shard.cells[actor].is_idle());
        commits(&mut shard, ticket, Ok(()));
        assert_eq!(answers(&shard, actor), [Type::Result, Type::Result]);
        assert!(has_carbons(&shard, actor));
    }

    #[test]
    fn a_turn_that_waits_keeps_no_memory_that_others_use() {
        let (mut shard, actor) = stage();
        shard.effects.scratch.reserve(100_000);
        ask(&mut shard, actor, "careful");
        assert!(shard.effects.scratch.capacity() >= 100_000);
        let (ticket, _) = saved(&mut shard).expect("a row was written");
        commits(&mut shard, ticket, Ok(()));
        assert!(shard.effects.scratch.capacity() >= 100_000);
    }

    #[test]
    fn what_the_disk_refuses_never_happened() {
        for (error, condition) in [
            (StoreError::DiskFull, "<resource-constraint "),
            (StoreError::Broken, "<internal-server-error "),
        ] {
            let (mut shard, actor) = stage();
            ask(&mut shard, actor, "careful");
            let (ticket, _) = saved(&mut shard).expect("a row was written");
            commits(&mut shard, ticket, Err(error));
            assert_eq!(answers(&shard, actor), [Type::Error]);
            let told = held(&shard, actor).next().map(|s| s.payload.xml());
            assert!(told.is_some_and(|xml| xml.contains(condition)), "{told:?}");
            assert!(!has_carbons(&shard, actor));
            // The next turn runs as if nothing had been.
            ask(&mut shard, actor, "careful");
            let (ticket, _) = saved(&mut shard).expect("a row was written");
            commits(&mut shard, ticket, Ok(()));
            assert_eq!(answers(&shard, actor), [Type::Error, Type::Result]);
        }
    }

    #[test]
    fn a_session_that_ends_meanwhile_changes_nothing_for_the_others() {
        let (mut shard, actor) = stage();
        ask(&mut shard, actor, "careful");
        let (ticket, _) = saved(&mut shard).expect("a row was written");
        let id = shard.cells[actor].account.sessions[0].id;
        shard.end_session(super::super::testing::NOW, actor, id, Vec::new(), "closed");
        commits(&mut shard, ticket, Ok(()));
        assert!(shard.cells[actor].account.sessions.is_empty());
        assert!(!shard.cells[actor].waits());
    }
}
