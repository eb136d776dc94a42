//! What whoever asked for something hears when it comes to nothing. Refuses to know why it did.

use crate::actor::Envelope;
use crate::actor::rows::StoreError;
use crate::base::{ActorKey, Now, SessionId, limits};
use crate::im::message;
use crate::stanza::{Condition, ErrorType, Kind, Stanza, StanzaError, reply_error};

use super::Shard;
use super::cell::Mail;

impl Shard {
    /// The head of the mailbox could not be done: its sender is told.
    pub(super) fn reject(
        &mut self,
        now: Now,
        actor: ActorKey,
        mail: Option<Mail>,
        error: &StanzaError,
    ) {
        // There is no such account. What failed for want of something, or of a programmer's care, is told again.
        let is_final = !matches!(
            error.condition,
            Condition::InternalServerError | Condition::ResourceConstraint
        );
        if let Some(told) = mail.as_ref().and_then(Mail::tells).filter(|_| is_final) {
            self.confirm(now, told);
        }
        match mail {
            Some(Mail::Outbound {
                session,
                stanza,
                origin,
            }) => {
                self.tell_session(now, actor, session, &stanza, error);
                if let Some(origin) = origin {
                    self.route(now, Envelope::Settled(origin));
                }
            }
            Some(Mail::Inbound { stanza, settle, .. }) => {
                // RFC 6121 section 8.5.1: presence to nobody is ignored.
                if stanza.header.kind != Kind::Presence {
                    self.bounce(now, &stanza, error);
                }
                if let Some(origin) = settle {
                    self.route(now, Envelope::Settled(origin));
                }
            }
            Some(Mail::Leftover(held)) => {
                self.bounce(now, &held.stanza, error);
                let origin = held.kept.and_then(|kept| self.take_unstored(actor, kept));
                self.settle(now, origin);
            }
            // It is over all the same.
            Some(Mail::Ended(session)) => self.forget_session(actor, session),
            // Its row stays, and so do the messages.
            Some(Mail::Retell { .. } | Mail::Regrouped(_) | Mail::Emptying) | None => {}
        }
    }

    /// An error to one of this account's own sessions, about what it sent.
    pub(super) fn tell_session(
        &mut self,
        now: Now,
        actor: ActorKey,
        session: SessionId,
        stanza: &Stanza,
        error: &StanzaError,
    ) {
        log::trace!(
            "stanza_refused trace={} kind={} condition={}",
            stanza.header.trace,
            stanza.header.kind.name(),
            error.condition.name()
        );
        if let Some(mut reply) = reply_error(stanza, error) {
            // Section 8.1.1.1: what had no 'to' was for the account itself.
            let account = self.cells.get(actor).map(|cell| cell.account.jid.clone());
            reply.header.from = reply.header.from.or(account);
            let delivery = crate::actor::Delivery {
                session,
                stanza: reply,
                kept: None,
            };
            self.deliver(now, actor, delivery);
        }
    }

    /// An error to whoever sent the stanza, wherever that is.
    pub(super) fn bounce(&mut self, now: Now, stanza: &Stanza, error: &StanzaError) {
        log::trace!(
            "stanza_bounced trace={} kind={} condition={}",
            stanza.header.trace,
            stanza.header.kind.name(),
            error.condition.name()
        );
        if let Some(reply) = reply_error(stanza, error)
            && reply.header.to.is_some()
        {
            self.route(
                now,
                Envelope::Stanza {
                    stanza: reply,
                    settle: None,
                },
            );
        }
    }

    /// The third panic of an actor within a minute closes it.
    pub(super) fn count_panic(&mut self, now: Now, actor: ActorKey) {
        let cell = &mut self.cells[actor];
        if now.mono_ms.saturating_sub(cell.panicked_at_ms) > limits::PANIC_WINDOW_MS {
            (cell.panics, cell.panicked_at_ms) = (0, now.mono_ms);
        }
        cell.panics += 1;
        if cell.panics >= limits::PANIC_COUNT_MAX {
            cell.panics = 0;
            self.end_all_sessions(now, actor, internal_server_error());
        }
    }
}

pub(super) fn overloaded() -> StanzaError {
    StanzaError::new(
        Condition::ResourceConstraint,
        "The recipient is overloaded, try again later",
    )
}

pub(super) fn internal_error() -> StanzaError {
    StanzaError::new(
        Condition::InternalServerError,
        "The server failed to process this stanza",
    )
    .of_type(ErrorType::Wait)
}

pub(super) fn internal_server_error() -> crate::stanza::StreamError {
    crate::stanza::StreamError::new(
        crate::stanza::StreamCondition::InternalServerError,
        "The server failed repeatedly for this account",
    )
}

/// What a user hears of the store's troubles.
pub(super) fn store_error(error: StoreError) -> StanzaError {
    match error {
        StoreError::Broken => internal_error(),
        StoreError::DiskFull => message::no_room(),
        StoreError::Overloaded => {
            StanzaError::new(Condition::ResourceConstraint, "The server is overloaded")
        }
    }
}
