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
use super::session_end::Loss;

impl Shard {
    pub(super) fn controlled(&mut self, now: Now, control: Control) {
        match control {
            Control::Reconfigure(config) => {
                self.catalog = Catalog::new(features::ALL, |name| config.has_feature(name));
                self.config = Arc::clone(&config);
            }
            Control::Drain => {
                self.draining = true;
                let keys: Vec<StreamKey> = self.streams.keys().collect();
                for key in keys {
                    let farewell = self.farewell();
                    self.lose_stream(now, key, Loss::Final(farewell.condition.name()));
                    self.fail_stream(now, key, farewell);
                }
                // Those that wait for their clients, too: what they hold has no other place.
                let actors: Vec<ActorKey> = self.cells.keys().collect();
                for actor in actors {
                    self.end_all_sessions(now, actor, self.farewell());
                }
            }
            Control::Disconnect(jid) => self.disconnect(now, &jid),
        }
    }

    /// The account is another from now on, or none: its sessions end, and so do logins that proved what it was.
    fn disconnect(&mut self, now: Now, jid: &Jid) {
        if let Some(actor) = self.actor_of(jid) {
            self.end_all_sessions(now, actor, changed());
            if let Some(cell) = self.cells.get_mut(actor) {
                cell.account.identity = None;
                cell.account.distrust();
            }
        }
        let is_login = |stream: &StreamState| {
            let own = stream.jid.as_ref();
            stream.session.is_none() && own.is_some_and(|own| own.bare_str() == jid.bare_str())
        };
        let logins = self.streams.iter().filter(|(_, stream)| is_login(stream));
        let logins: Vec<StreamKey> = logins.map(|(key, _)| key).collect();
        for key in logins {
            self.fail_stream(now, key, changed());
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

    /// RFC 6120 section 4.9.3.22, or 4.9.3.19 where the operator named another server.
    pub(super) fn farewell(&self) -> StreamError {
        let other = &self.config.server.see_other_host;
        let condition = if other.is_empty() {
            StreamCondition::SystemShutdown
        } else {
            StreamCondition::SeeOtherHost(other.clone())
        };
        StreamError::new(condition, "The server is shutting down")
    }
}

/// RFC 6120 section 4.9.3.16.
fn changed() -> StreamError {
    StreamError::new(
        StreamCondition::Reset,
        "The account was changed by its administrator",
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Input, Output, Place, Routes, Seeds};
    use super::*;
    use crate::base::{AddressPrefix, HashSeed, WorkerId};
    use crate::config::{Outside, load};

    const NOW: Now = Now {
        mono_ms: 1_000,
        wall_ms: 1_000_000,
    };

    fn shard() -> Shard {
        let outside = Outside {
            features: &[],
            address: |_| Ok(()),
            log_filter: |_| Ok(()),
            cores: 1,
        };
        let config = Arc::new(load("", "", &outside).expect("the defaults are valid"));
        let place = Place {
            worker: WorkerId(0),
            worker_count: 2,
        };
        let seeds = Seeds {
            maps: HashSeed(1, 2),
            rng: [0; 32],
        };
        Shard::new(place, config, Routes::new(HashSeed(3, 4), 2), seeds, 0)
    }

    #[test]
    fn a_stream_that_was_on_its_way_from_another_worker_hears_of_the_drain_too() {
        let mut shard = shard();
        let peer = Arc::from("192.0.2.1:50123");
        let local = AddressPrefix::Local;
        let state = StreamState::new(NOW, &shard.config, 0, local, peer, None);
        shard.handle(NOW, Input::Control(Control::Drain));
        let key = shard.arrive(NOW, Box::new(state));
        let outputs: Vec<Output> = std::iter::from_fn(|| shard.poll_output()).collect();
        let closed = outputs
            .iter()
            .any(|output| matches!(output, Output::Close(closed) if *closed == key));
        assert!(closed, "{outputs:?}");
        let mut said = Vec::new();
        shard.render(NOW, key, &mut said);
        let said = String::from_utf8(said).expect("XML is UTF-8");
        assert!(said.contains("<system-shutdown"), "{said}");
    }
}
