//! Orders from the administrator.

use std::sync::Arc;

use crate::actor::Catalog;
use crate::base::{ActorKey, Now, StreamKey};
use crate::features;
use crate::jid::Jid;
use crate::stanza::{StreamCondition, StreamError};
use crate::stream::StreamState;

use super::Shard;
use super::input::Control;
use super::sweep::SWEEPER;

impl Shard {
    pub(super) fn controlled(&mut self, now: Now, control: Control) {
        match control {
            Control::Reconfigure(config) => {
                self.config = Arc::clone(&config);
                self.switch(Catalog::new(features::ALL, |name| config.has_feature(name)));
            }
            Control::Drain => self.begin_drain(now),
            Control::Disconnect(jid) => self.disconnect(now, &jid),
            Control::TellOf(account) if self.place.worker == SWEEPER => self.replay_of(account),
            Control::TellOf(_) => {}
        }
    }

    /// The account is another from now on, or none: its sessions end, and so do logins that proved what it was.
    fn disconnect(&mut self, now: Now, jid: &Jid) {
        if let Some(actor) = self.actor_of(jid) {
            self.end_all_sessions(now, actor, changed());
            self.forget_identity(actor);
        }
        self.end_logins(now, jid, &changed());
    }

    /// What is known of an account is not so any more.
    pub(super) fn forget_identity(&mut self, actor: ActorKey) {
        if let Some(cell) = self.cells.get_mut(actor) {
            cell.account.identity = None;
            cell.account.distrust();
        }
    }

    /// Ends what has logged in as `jid` and bound no resource yet, and refuses whoever began to log in before now.
    pub(super) fn end_logins(&mut self, now: Now, jid: &Jid, error: &StreamError) {
        let is_login = |stream: &StreamState| {
            let own = stream.jid.as_ref();
            stream.session.is_none() && own.is_some_and(|own| own.bare_str() == jid.bare_str())
        };
        let logins = self.streams.iter().filter(|(_, stream)| is_login(stream));
        let logins: Vec<StreamKey> = logins.map(|(key, _)| key).collect();
        for key in logins {
            self.fail_stream(now, key, error.clone());
        }
        // A verdict may be on its way from the auth thread, or a stream from another worker. No login lasts
        // longer than this.
        let oldest_ms = now
            .mono_ms
            .saturating_sub(self.config.c2s.negotiation_timeout.as_ms());
        self.outdated.retain(|_, at_ms| *at_ms >= oldest_ms);
        self.outdated.insert(jid.bare_str().into(), now.mono_ms);
    }

    /// Refuses a login that began before its account was changed; whether it did.
    pub(super) fn refuse_outdated(&mut self, now: Now, key: StreamKey) -> bool {
        let stream = self.streams.get(key);
        let outdated = stream.is_some_and(|stream| {
            let changed_at_ms = stream.jid.as_ref().map(Jid::bare_str);
            let changed_at_ms = changed_at_ms.and_then(|jid| self.outdated.get(jid));
            let login = stream.login.as_ref();
            changed_at_ms
                .zip(login)
                .is_some_and(|(&at_ms, login)| login.began_at_ms <= at_ms)
        });
        if outdated {
            self.fail_stream(now, key, changed());
        }
        outdated
    }
}

/// RFC 6120 section 4.9.3.16.
fn changed() -> StreamError {
    StreamError::new(
        StreamCondition::Reset,
        "The account was changed by its administrator",
    )
}
