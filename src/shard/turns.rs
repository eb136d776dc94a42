//! Turns: the head of a mailbox is run from its start until it has all it needs (`apply.rs` carries out the rest). A
//! panic in a turn costs the stanza, not the worker.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::actor::rows::StoreError;
use crate::actor::{Aside, Draft, Need, Outcome, Stop, Turn};
use crate::base::{ActorKey, Now, limits};
use crate::features::mam;
use crate::im::account::Change;
use crate::im::{message, presence, roster, subscription};
use crate::stanza::{Condition, StanzaError};

use super::Shard;
use super::cell::Mail;
use super::pipelines::{self, Pipelines};
use super::refuse::{internal_error, store_error};

impl Shard {
    /// The account shall be run before this turn of the loop ends.
    pub(super) fn wake(&mut self, actor: ActorKey) {
        if let Some(cell) = self.cells.get_mut(actor)
            && !cell.is_ready
        {
            cell.is_ready = true;
            self.ready.push_back(actor);
        }
    }

    /// Reads mail until the box is empty or the head has to wait.
    pub(super) fn run(&mut self, now: Now, actor: ActorKey) {
        if self.regrouping.is_under_way() {
            self.catch_up(actor);
        }
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        cell.is_ready = false;
        cell.used_at_ms = now.mono_ms;
        self.take_up(actor);
        while let Some(cell) = self.cells.get(actor) {
            if cell.waits() || cell.mailbox.front().is_none() {
                break;
            }
            if self.has_no_room_for(actor) {
                let mail = self.finish_mail(actor);
                self.reject(now, actor, mail, &store_error(StoreError::DiskFull));
                continue;
            }
            let outcome = self.attempt(now, actor, Which::Head);
            match outcome {
                Ok(()) | Err(Stop::Done) if self.waits_for_commit() => self.hold(actor),
                Ok(()) | Err(Stop::Done) => {
                    let mail = self.finish_mail(actor);
                    self.apply(now, actor, mail);
                }
                Err(Stop::Need(Need::Directory(ask))) => {
                    self.keep_what_was_read(now, actor);
                    self.ask_directory(now, actor, *ask);
                }
                Err(Stop::Need(need)) => {
                    self.effects.clear();
                    self.park(now, actor, need);
                }
                Err(Stop::Reject(error)) => {
                    self.keep_what_was_read(now, actor);
                    let mail = self.finish_mail(actor);
                    self.reject(now, actor, mail, &error);
                }
                Err(Stop::Aside) => {
                    let progress = self.effects.more.take().unwrap_or_default();
                    self.effects.clear();
                    let mail = self.finish_mail(actor);
                    self.detach(now, actor, mail, progress);
                }
            }
            self.take_up(actor);
        }
        self.count_cell(actor);
        self.resume_own(actor);
        self.arm_actor(now, actor);
    }

    /// A turn is refused: of what it caused only what it learnt of the store stays.
    fn keep_what_was_read(&mut self, now: Now, actor: ActorKey) {
        let mut has_archive = false;
        if let Some(cell) = self.cells.get_mut(actor) {
            for change in self.effects.change.drain(..).filter(Change::is_read) {
                has_archive |= matches!(change, Change::ArchiveRead(_));
                cell.account.apply(change);
            }
        }
        self.effects.clear();
        if has_archive {
            self.trim_archive(now, actor);
        }
    }

    /// One run of the head of the mailbox, or of a step of a request that left it.
    pub(super) fn attempt(&mut self, now: Now, actor: ActorKey, which: Which) -> Outcome {
        if matches!(which, Which::Head)
            && (self.is_held_elsewhere(actor) || self.is_of_revoked(actor))
        {
            return Ok(());
        }
        let cell = &mut self.cells[actor];
        let runs = match which {
            Which::Head => &mut cell.runs,
            Which::Aside(number, _) => match cell.asides.iter_mut().find(|a| a.number == number) {
                Some(aside) => &mut aside.runs,
                None => return Ok(()),
            },
        };
        *runs += 1;
        let runs_max = match which {
            Which::Head => limits::TURN_RUNS_MAX,
            Which::Aside(..) => limits::ASIDE_RUNS_MAX,
        };
        if *runs > runs_max {
            log::error!("turn_restarts_forever account={}", cell.account.jid);
            return Err(Stop::Reject(internal_error()));
        }
        let cell = &self.cells[actor];
        let (mail, loaded, aside) = match which {
            Which::Head => (cell.mailbox.front(), &cell.loaded, None),
            Which::Aside(number, room) => {
                let Some(at) = cell.asides.iter().find(|a| a.number == number) else {
                    return Ok(());
                };
                let progress = &at.progress;
                (Some(&at.mail), &at.loaded, Some(Aside { progress, room }))
            }
        };
        let Some(host) = self.config.host(cell.account.jid.domainpart()) else {
            // A reload took the domain away.
            return Err(Stop::Reject(StanzaError::new(
                Condition::ServiceUnavailable,
                "",
            )));
        };
        let mut turn = Turn {
            now,
            config: &self.config,
            host,
            catalog: &self.catalog,
            actor: &cell.account,
            rng: &mut self.rng,
            sequence: &mut self.sequence,
            seal: &self.seal,
            out: &mut self.effects,
            loaded,
            asker: mail.and_then(Mail::sender),
            disk: self.disk,
            aside,
        };
        let Some(mail) = mail else {
            return Ok(());
        };
        // The actor is lent immutably and the effects of a broken run are dropped: nothing that a panic could
        // leave half-done is seen again.
        match catch_unwind(AssertUnwindSafe(|| {
            read_mail(&mut turn, mail, &self.pipelines)
        })) {
            Ok(outcome) => outcome,
            Err(_) => {
                log::error!("turn_panicked account={}", cell.account.jid);
                self.effects.clear();
                self.count_panic(now, actor);
                Err(Stop::Reject(internal_error()))
            }
        }
    }

    /// Whether the head of the mailbox was sent by a session that has been thrown out since.
    fn is_of_revoked(&self, actor: ActorKey) -> bool {
        let cell = &self.cells[actor];
        let sender = cell.mailbox.front().and_then(Mail::sender);
        let session = sender.and_then(|sender| cell.account.session(sender));
        session.is_some_and(|session| session.revoked)
    }

    /// Takes the head off the mailbox: its turn is over.
    pub(super) fn finish_mail(&mut self, actor: ActorKey) -> Option<Mail> {
        let cell = self.cells.get_mut(actor)?;
        cell.runs = 0;
        cell.loaded = Vec::new();
        cell.mailbox.pop(&mut self.spare_mail)
    }
}

/// What is run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    /// The head of the mailbox.
    Head,
    /// The request of this number that left it, with room for so many stanzas.
    Aside(u64, usize),
}

fn read_mail(turn: &mut Turn<'_, crate::im::Account>, mail: &Mail, on: &Pipelines) -> Outcome {
    match mail {
        Mail::Outbound {
            session,
            stanza,
            origin,
        } => {
            let mut draft = Draft::new(stanza.clone(), Some(*session), *origin);
            pipelines::run(on.outbound(stanza.header.kind), turn, &mut draft)
        }
        Mail::Retell { stanza, tell } => subscription::retell(turn, stanza, *tell),
        Mail::Inbound {
            stanza,
            settle,
            tell,
        } => {
            let mut draft = Draft::new(stanza.clone(), None, *settle);
            draft.tell = *tell;
            pipelines::run(on.inbound(stanza.header.kind), turn, &mut draft)
        }
        Mail::Ended(session) => {
            if let Some(session) = turn.actor.session(*session) {
                presence::ended(turn, session);
            }
            Ok(())
        }
        Mail::Leftover(held) => message::leftover(turn, held),
        Mail::Regrouped(before) => roster::shared::regrouped(turn, before),
        Mail::Emptying => mam::go_on_emptying(turn),
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::Output;
    use super::super::testing::{answers, ask, connect, rendered, stage};
    use super::*;
    use crate::stanza::Type;

    #[test]
    fn a_panic_in_a_turn_costs_the_stanza_and_nothing_else() {
        let (mut shard, actor) = stage();
        ask(&mut shard, actor, "trap");
        ask(&mut shard, actor, "safe");
        assert_eq!(answers(&shard, actor), [Type::Error, Type::Result]);
        assert!(shard.effects.send.is_empty());
    }

    #[test]
    fn the_third_panic_within_a_minute_closes_the_account() {
        let (mut shard, actor) = stage();
        for _ in 0..limits::PANIC_COUNT_MAX {
            assert!(!shard.cells[actor].account.sessions.is_empty());
            ask(&mut shard, actor, "trap");
        }
        assert!(shard.cells[actor].account.sessions.is_empty());
    }

    #[test]
    fn a_client_hears_why_the_third_panic_closed_its_stream() {
        let (mut shard, actor) = stage();
        let key = connect(&mut shard, actor);
        for _ in 1..limits::PANIC_COUNT_MAX {
            ask(&mut shard, actor, "trap");
        }
        assert!(!rendered(&mut shard, key).contains("<stream:error>"));
        ask(&mut shard, actor, "trap");
        let said = rendered(&mut shard, key);
        // RFC 6120 section 4.9.3.6. What stands before it are the answer to the trap.
        let (_, error) = said.split_once("<stream:error>").expect("a stream error");
        assert!(error.starts_with("<internal-server-error"), "{said}");
        assert!(said.ends_with("</stream:stream>"), "{said}");
        let outputs: Vec<Output> = std::iter::from_fn(|| shard.poll_output()).collect();
        let closes = |output: &Output| matches!(output, Output::Close(closed) if *closed == key);
        assert!(outputs.iter().any(closes), "{outputs:?}");
    }
}
