//! A disk without room: what would have to be stored is refused before anybody sees it, and in the same words whoever it is
//! for, so that nobody is told of a row that does not exist, and nobody learns who has an account. Whether there is room
//! again, the shard asks once a second.
//!
//! That there is none it learns from the first save that is refused. What went out before that went out.

use crate::actor::Answer;
use crate::actor::rows::{RowKey, StoreError, Write};
use crate::base::{ActorKey, Now, limits};
use crate::im::classify::classify;
use crate::im::message;
use crate::im::pending::PENDING;
use crate::stanza::Kind;

use super::Shard;
use super::cell::{Cell, Mail};

/// Whether the disk has room, as far as the last save knew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Disk {
    #[default]
    Roomy,
    Full,
}

impl Shard {
    /// The store answered a save.
    pub(super) fn watch_disk(&mut self, now: Now, answer: &Answer) {
        let disk = match answer {
            Answer::Failed(StoreError::DiskFull) => Disk::Full,
            // It may be anything, and has room for all that anybody knows.
            _ => Disk::Roomy,
        };
        if disk == Disk::Full {
            self.timers.arm_disk(now.mono_ms + limits::DISK_PROBE_MS);
        }
        if std::mem::replace(&mut self.disk, disk) != disk {
            log::warn!("disk_changed state={disk:?}");
            // What was counted as archived is not.
            self.forget_archives();
        }
    }

    /// Asks for a save that changes nothing: nobody else does while everything is refused.
    pub(super) fn probe_disk(&mut self, now: Now) {
        if self.disk == Disk::Full {
            self.unsave(Write::Delete {
                table: &PENDING,
                key: RowKey::new(NOBODYS),
            });
            self.flush_saves(now);
        }
    }

    /// What is known of archives is read again.
    pub(super) fn forget_archives(&mut self) {
        for (_, cell) in &mut self.cells {
            cell.account.archive = None;
            cell.trim = None;
        }
    }

    /// Whether the head of a mailbox is a message that would have to be stored, and the disk is full.
    pub(super) fn has_no_room_for(&self, actor: ActorKey) -> bool {
        if self.disk == Disk::Roomy {
            return false;
        }
        let cell = self.cells.get(actor);
        cell.is_some_and(|cell| self.must_store(cell))
    }

    fn must_store(&self, cell: &Cell) -> bool {
        let (stanza, is_taken) = match cell.mailbox.front() {
            Some(Mail::Outbound { stanza, .. }) => (stanza, true),
            Some(Mail::Inbound { stanza, .. }) => {
                (stanza, cell.account.sessions.iter().any(|s| s.is_willing()))
            }
            _ => return false,
        };
        if stanza.header.kind != Kind::Message || cell.account.anonymous {
            return false;
        }
        let is_archived = self.catalog.has("mam") && classify(stanza).archived;
        is_archived || (!is_taken && message::is_storable(stanza))
    }
}

/// Accounts are counted from 1.
const NOBODYS: &[u8] = &[0; 16];
