//! Orders from the administrator.

use std::sync::Arc;

use crate::actor::Catalog;
use crate::base::{Now, StreamKey};
use crate::features;
use crate::stanza::{StreamCondition, StreamError};

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
                let keys: Vec<StreamKey> = self.streams.keys().collect();
                for key in keys {
                    self.lose_stream(now, key, Loss::Final);
                    self.fail_stream(now, key, self.farewell());
                }
            }
            Control::Disconnect(jid) => {
                if let Some(actor) = self.actor_of(&jid) {
                    let text = "The account was changed by its administrator";
                    let error = StreamError::new(StreamCondition::Reset, text);
                    self.end_all_sessions(now, actor, error);
                    if let Some(cell) = self.cells.get_mut(actor) {
                        // It may be another account from now on, or none.
                        cell.account.identity = None;
                        cell.account.tally = None;
                        cell.account.origins = None;
                    }
                }
            }
        }
    }

    /// RFC 6120 section 4.9.3.22, or 4.9.3.19 where the operator named another server.
    fn farewell(&self) -> StreamError {
        let other = &self.config.server.see_other_host;
        let condition = if other.is_empty() {
            StreamCondition::SystemShutdown
        } else {
            StreamCondition::SeeOtherHost(other.clone())
        };
        StreamError::new(condition, "The server is shutting down")
    }
}
