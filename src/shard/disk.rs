//! A disk without room: what would have to be stored is refused before anybody sees it, and in the same words whoever it is
//! for, so that nobody is told of a row that does not exist, and nobody learns who has an account. What neither side wants
//! archived goes on to who is there, as does what only says that something was read. Whether there is room again, the shard
//! asks once a second.
//!
//! That there is none it learns from the first save that is refused. What went out before that went out. What clients have
//! got is removed all the same where the store lets it, and else kept in mind until it does: nobody gets it twice.

use crate::actor::rows::{RowKey, StoreError, Write};
use crate::actor::{Answer, Disk};
use crate::base::{ActorKey, Now, limits};
use crate::im::classify::classify;
use crate::im::pending::PENDING;
use crate::im::{Account, Session, message, presence};
use crate::jid::Jid;
use crate::stanza::Kind;

use super::Shard;
use super::cell::{Cell, Mail};
use super::save::{Attempt, SaveRecord};

impl Shard {
    /// The store answered a save. That removals are let through says nothing of room: only a probe does.
    pub(super) fn watch_disk(&mut self, now: Now, record: &SaveRecord, answer: &Answer) {
        let disk = match answer {
            Answer::Failed(StoreError::DiskFull) => Disk::Full,
            Answer::Saved if record.attempt == Attempt::Probe => Disk::Roomy,
            _ => self.disk,
        };
        if disk == Disk::Full {
            self.timers.arm_disk(now.mono_ms + limits::DISK_PROBE_MS);
        }
        if std::mem::replace(&mut self.disk, disk) != disk {
            log::warn!("disk_changed state={disk:?}");
            // What was counted as archived is not.
            self.forget_archives();
            if disk == Disk::Roomy {
                self.store_unstored(now);
            }
        }
    }

    /// Asks for a save that says nothing new, for nobody else does while everything is refused; and again for the removals
    /// that were.
    pub(super) fn probe_disk(&mut self, now: Now) {
        self.flush_saves(now);
        if self.disk == Disk::Full {
            let (mark, write) = self.renewed_mark();
            self.ask_save(SaveRecord::probe(mark), vec![write]);
        }
        let again = self.refused.iter().take(limits::REMOVALS_AT_ONCE).cloned();
        let again: Vec<RowKey> = again.collect();
        for key in &again {
            self.refused.remove(key);
        }
        self.remove_waiting(again);
        self.call_off_emptyings(now);
        // Nobody else does when there is room again.
        if !self.refused.is_empty() {
            self.timers.arm_disk(now.mono_ms + limits::DISK_PROBE_MS);
        }
    }

    pub(super) fn is_disk_full(&self) -> bool {
        self.disk == Disk::Full
    }

    /// Asks for what clients have got to be removed, apart from everything else.
    pub(super) fn remove_waiting(&mut self, keys: Vec<RowKey>) {
        if keys.is_empty() {
            return;
        }
        let table = &PENDING;
        let deletes = keys.iter().cloned();
        let deletes: Vec<Write> = deletes.map(|key| Write::Delete { table, key }).collect();
        for write in &deletes {
            self.fresh.wrote(write);
        }
        self.ask_save(SaveRecord::again(keys), deletes);
    }

    /// These removals were refused: they are asked for again.
    pub(super) fn keep_removals(&mut self, now: Now, keys: Vec<RowKey>) {
        for key in keys {
            if self.refused.len() >= limits::REMOVALS_REFUSED_MAX {
                return log::error!("removal_forgotten: what clients have comes again");
            }
            self.refused.insert(key);
        }
        if !self.refused.is_empty() {
            self.timers.arm_disk(now.mono_ms + limits::DISK_PROBE_MS);
        }
    }

    /// Whether what waits in this row was delivered, and the row is there because it could not be removed.
    pub(super) fn is_delivered(&self, key: &RowKey) -> bool {
        !self.refused.is_empty() && self.refused.contains(key)
    }

    /// What is known of archives is read again.
    pub(super) fn forget_archives(&mut self) {
        for (_, cell) in &mut self.cells {
            cell.account.archive = None;
            cell.trim = None;
        }
    }

    /// Whether the head of a mailbox is a message that may have to be stored, the disk is full, and nobody is there of whom
    /// its sender may know: then it is the same whether there is such an account, and what it wants archived. Of who is there
    /// the stages of the pipeline know.
    pub(super) fn has_no_room_for(&self, actor: ActorKey) -> bool {
        if self.disk == Disk::Roomy {
            return false;
        }
        let cell = self.cells.get(actor);
        cell.is_some_and(|cell| self.must_store(cell))
    }

    fn must_store(&self, cell: &Cell) -> bool {
        let Some(Mail::Inbound { stanza, .. }) = cell.mailbox.front() else {
            return false;
        };
        let account = &cell.account;
        if stanza.header.kind != Kind::Message || account.anonymous {
            return false;
        }
        let is_archived = self.catalog.has("mam") && classify(stanza).archived;
        let is_taken = || {
            let mut sessions = account.sessions.iter();
            sessions.any(Session::is_willing) && may_know(account, stanza.header.from.as_ref())
        };
        (is_archived || message::is_storable(stanza)) && !is_taken()
    }
}

/// Whether an address may know that somebody is there (RFC 6121 section 11), by what is in memory.
fn may_know(account: &Account, from: Option<&Jid>) -> bool {
    let is_seer = |from: &Jid| account.roster().is_some() && account.last_standing(from).from;
    presence::is_own(account, from) || from.is_some_and(is_seer)
}

#[cfg(test)]
mod tests {
    use super::super::Input;
    use super::super::output::{Ask, Output};
    use super::super::testing::{CAREFUL, NOW, commits, saved, stage};
    use super::*;
    use crate::actor::Need;
    use crate::actor::rows::Fence;
    use crate::base::AccountId;
    use crate::engine::archive::{self, ARCHIVE};
    use crate::im::pending;

    #[test]
    fn all_removals_that_were_refused_are_asked_for_again_some_at_a_time() {
        let (mut shard, _) = stage();
        let count = limits::REMOVALS_AT_ONCE + 1;
        let keys = (0..count as u64).map(|n| RowKey::new(&n.to_be_bytes()));
        shard.keep_removals(NOW, keys.collect());
        let mut asked = Vec::new();
        for second in 1..=3 {
            let now = Now {
                mono_ms: NOW.mono_ms + second * limits::DISK_PROBE_MS,
                ..NOW
            };
            shard.handle(now, Input::Tick);
            while let Some(output) = shard.poll_output() {
                if let Output::Ask(ticket, Ask::Save { writes, .. }) = output {
                    asked.push(writes.len());
                    commits(&mut shard, ticket, Ok(()));
                }
            }
        }
        assert_eq!(asked, [limits::REMOVALS_AT_ONCE, 1]);
        assert!(shard.refused.is_empty());
    }

    #[test]
    fn so_many_removals_are_remembered_and_no_more() {
        let (mut shard, _) = stage();
        let keys = (0..=limits::REMOVALS_REFUSED_MAX as u64).map(|n| RowKey::new(&n.to_be_bytes()));
        shard.keep_removals(NOW, keys.collect());
        assert_eq!(shard.refused.len(), limits::REMOVALS_REFUSED_MAX);
    }

    #[test]
    fn a_save_that_was_refused_says_nothing_of_archives_if_none_was_in_it() {
        for is_archive in [false, true] {
            let (mut shard, actor) = stage();
            shard.disk = Disk::Full;
            shard.cells[actor].account.archive = Some(Box::default());
            let (table, key) = match is_archive {
                true => (&ARCHIVE, archive::key(AccountId(7), 9)),
                false => (&CAREFUL, RowKey::new(b"key")),
            };
            let value = [1][..].into();
            shard.unsave(Write::Put { table, key, value });
            let (ticket, _) = saved(&mut shard).expect("a save");
            commits(&mut shard, ticket, Err(StoreError::DiskFull));
            let account = &shard.cells[actor].account;
            assert_eq!(account.archive.is_none(), is_archive);
        }
    }

    #[test]
    fn what_rests_on_a_refused_save_says_so_until_that_is_known() {
        let (mut shard, _) = stage();
        let archives = |shard: &mut Shard, number| {
            shard.unsave(Write::Put {
                table: &ARCHIVE,
                key: archive::key(AccountId(7), number),
                value: [1][..].into(),
            });
        };
        let sent = |shard: &mut Shard| {
            shard.flush_saves(NOW);
            let outputs = std::iter::from_fn(|| shard.poll_output());
            let saves = outputs.filter_map(|output| match output {
                Output::Ask(ticket, Ask::Save { chain, .. }) => Some((ticket, chain)),
                _ => None,
            });
            saves.collect::<Vec<_>>()
        };
        archives(&mut shard, 1);
        let first = sent(&mut shard)[0];
        archives(&mut shard, 2);
        let second = sent(&mut shard)[0];
        // It is not sent yet when the first is refused.
        archives(&mut shard, 3);
        commits(&mut shard, first.0, Err(StoreError::Broken));
        let third = sent(&mut shard)[0];
        assert_eq!([first.1, second.1, third.1], [Some(0); 3]);
        // Those that are refused for it begin no other.
        archives(&mut shard, 4);
        commits(&mut shard, second.0, Err(StoreError::Broken));
        commits(&mut shard, third.0, Err(StoreError::Broken));
        assert_eq!(sent(&mut shard)[0].1, Some(1));
        shard.unsave(pending::delete(AccountId(7), 9));
        assert_eq!(sent(&mut shard)[0].1, None, "it rests on nothing");
    }

    #[test]
    fn what_is_saved_beside_removals_is_under_way_until_its_own_save_is_answered() {
        let (mut shard, _) = stage();
        shard.disk = Disk::Full;
        let account = AccountId(7);
        shard.unsave(Write::Put {
            table: &ARCHIVE,
            key: archive::key(account, 9),
            value: [1][..].into(),
        });
        shard.unsave(pending::delete(account, 8));
        shard.flush_saves(NOW);
        let mut asked = Vec::new();
        while let Some(output) = shard.poll_output() {
            if let Output::Ask(ticket, Ask::Save { writes, .. }) = output {
                let is_it = |write: &Write| write.table().name == ARCHIVE.name;
                asked.push((ticket, writes.iter().any(is_it)));
            }
        }
        assert_eq!(asked.len(), 2);
        let need = Need::Range(&ARCHIVE, archive::range(account, 0, 10));
        for (ticket, is_it) in asked {
            if is_it {
                assert_eq!(shard.fresh.fence(&need), Fence::AfterSaves);
            }
            commits(&mut shard, ticket, Ok(()));
        }
        assert_eq!(shard.fresh.fence(&need), Fence::None);
    }
}
