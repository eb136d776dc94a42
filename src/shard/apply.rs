//! What a turn caused is carried out: first what it changes, then what it delivers, sends and writes. Refuses to know
//! why it caused that.

use smallvec::SmallVec;

use crate::actor::{Effects, Envelope, Origin};
use crate::base::{ActorKey, Now, SessionId};
use crate::im::Account;
use crate::im::account::Change;
use crate::stanza::Kind;

use super::Shard;
use super::cell::Mail;
use super::output::Output;

/// What has to wait until all else is carried out.
#[derive(Default)]
struct Later {
    /// Sessions that are owed a row which is only now among the saves.
    owed: SmallVec<[SessionId; 4]>,
    /// A session has ended, and what waited behind its requests may go on.
    is_over: bool,
}

impl Shard {
    /// Carries out what the turn wrote.
    pub(super) fn apply(&mut self, now: Now, actor: ActorKey, mail: Option<Mail>) {
        // Lent out and put back, so that its memory is used again.
        let mut effects = std::mem::take(&mut self.effects);
        let mut own = mail.as_ref().and_then(|mail| self.origin_of(actor, mail));
        self.leave_unstored(actor, &effects.deliver, &mut own);
        let later = self.change(now, actor, &mut effects);
        for delivery in effects.deliver.drain(..) {
            self.deliver(now, actor, delivery);
        }
        let tell = mail.as_ref().and_then(Mail::tells);
        let wrote_to = self.cells.get(actor).map(|cell| cell.wrote_to);
        self.likely = wrote_to.unwrap_or_default();
        self.send_and_save(now, &mut effects, mail, own);
        let likely = std::mem::take(&mut self.likely);
        if wrote_to.is_some_and(|last| last != likely)
            && let Some(cell) = self.cells.get_mut(actor)
        {
            cell.wrote_to = likely;
        }
        if let Some(told) = tell {
            self.confirm(now, told);
        }
        self.outputs
            .extend(effects.audit.drain(..).map(Output::Audit));
        self.effects = effects;
        if later.is_over {
            self.run_asides(now, actor);
        }
        for session in later.owed {
            self.deliver_missed(now, actor, session);
        }
    }

    /// What it changes in the account, in the order in which it said so.
    fn change(&mut self, now: Now, actor: ActorKey, effects: &mut Effects<Account>) -> Later {
        let mut later = Later::default();
        for change in effects.change.drain(..) {
            match change {
                Change::DeliverPending { session } => self.begin_flood(now, actor, session, 0),
                Change::Ended(session) => {
                    self.forget_session(actor, session);
                    later.is_over = true;
                }
                Change::TrimArchive => self.trim_archive(now, actor),
                Change::ArchiveRead(archive) => {
                    if let Some(cell) = self.cells.get_mut(actor) {
                        cell.account.apply(Change::ArchiveRead(archive));
                    }
                    // It may have left memory before it lost its oldest messages.
                    self.trim_archive(now, actor);
                }
                Change::EndSessions(ids) => self.expel_by_user(now, actor, ids),
                Change::GiveUp(ids) => self.give_up(now, actor, ids),
                Change::Claimed {
                    session,
                    claim,
                    is_new,
                } => effects.deliver.extend(
                    self.look_up_capabilities(actor, session, &claim)
                        .filter(|_| is_new),
                ),
                Change::Capable { session, ver, info } => {
                    self.learn_capabilities(actor, session, ver, info);
                }
                change => {
                    if let Change::Missed { session, .. } = &change {
                        later.owed.push(*session);
                    }
                    if let Some(cell) = self.cells.get_mut(actor) {
                        cell.account.apply(change);
                    }
                }
            }
        }
        later
    }

    /// What it sends and what it writes; `own` waits for the fate of both.
    fn send_and_save(
        &mut self,
        now: Now,
        effects: &mut Effects<Account>,
        mail: Option<Mail>,
        own: Option<Origin>,
    ) {
        let is_taken = |envelope: &Envelope| {
            matches!(
                envelope,
                Envelope::Stanza {
                    settle: Some(_),
                    ..
                }
            )
        };
        let is_sent = |envelope: &Envelope| matches!(envelope, Envelope::Stanza { .. });
        let goes_on = effects.send.iter().any(is_sent);
        let mut settle = own;
        if !effects.write.is_empty() && effects.send.iter().any(is_taken) {
            // Whoever takes it settles one half, these rows the other.
            self.await_one_more(own);
        }
        for envelope in effects.send.drain(..) {
            if let Envelope::Stanza {
                settle: taken @ Some(_),
                ..
            } = &envelope
            {
                // Whoever takes the stanza settles it.
                debug_assert_eq!(*taken, settle);
                settle = None;
            }
            self.route(now, envelope);
        }
        if effects.write.is_empty() {
            return self.settle(now, settle);
        }
        let bounce = match mail {
            Some(Mail::Inbound { stanza, .. }) => Some(stanza),
            Some(Mail::Leftover(held)) => Some(held.stanza),
            // Where it goes, it is kept or bounced: that the sender's own copy could not be kept says nothing of it.
            Some(Mail::Outbound { stanza, .. })
                if stanza.header.kind == Kind::Message && !goes_on =>
            {
                Some(stanza)
            }
            _ => None,
        };
        if let Some(stanza) = &bounce {
            log::trace!(
                "stanza_kept trace={} rows={}",
                stanza.header.trace,
                effects.write.len()
            );
        }
        self.save(effects.write.drain(..), own, bounce);
    }
}
