//! Where everything lives: which domains are served, and which worker is a bare JID's home.

use crate::actor::Envelope;
use crate::base::{HashSeed, Now, Partition, WorkerId};
use crate::jid::Jid;
use crate::stanza::{Condition, Kind, StanzaError, reply_error};

use super::Shard;
use super::cell::Mail;

/// The partition table. Every worker holds the same one.
#[derive(Clone)]
pub struct Routes {
    seed: HashSeed,
    homes: Box<[WorkerId]>,
}

impl Routes {
    /// Partitions dealt to the workers in turn; `seed` is the secret that is kept in the data directory, so that
    /// nobody can choose names that load one worker.
    pub fn new(seed: HashSeed, worker_count: u8) -> Routes {
        let count = u16::from(worker_count.max(1));
        // The remainder is below a u8's count and so fits.
        let homes = (0..Partition::COUNT).map(|partition| WorkerId((partition % count) as u8));
        Routes {
            seed,
            homes: homes.collect(),
        }
    }

    /// The worker on which the account of this address lives, whatever the resource.
    pub fn home(&self, jid: &Jid) -> WorkerId {
        self.homes[Partition::of_hash(self.seed.hash_str(jid.bare_str())).index()]
    }
}

impl Shard {
    fn send(&mut self, to: WorkerId, envelope: Envelope) {
        self.outboxes.push(to, envelope);
        self.count_outboxes();
    }

    /// Brings an envelope to the home of its address.
    pub(super) fn route(&mut self, now: Now, envelope: Envelope) {
        let (stanza, settle) = match envelope {
            Envelope::Settled(origin) if origin.worker == self.place.worker => {
                return self.settled(now, origin);
            }
            Envelope::Settled(origin) => {
                return self.send(origin.worker, Envelope::Settled(origin));
            }
            Envelope::Stanza { stanza, settle } => (stanza, settle),
        };
        let Some(to) = &stanza.header.to else {
            debug_assert!(false, "the pipelines address every stanza");
            return;
        };
        let served = self.config.host(to.domainpart()).is_some();
        if served && to.localpart().is_some() {
            let home = self.routes.home(to);
            log::trace!(
                "stanza_routed trace={} kind={} to-worker={}",
                stanza.header.trace,
                stanza.header.kind.name(),
                home.0
            );
            if home == self.place.worker {
                self.post(now, &to.clone(), Mail::Inbound { stanza, settle });
            } else {
                self.send(home, Envelope::Stanza { stanza, settle });
            }
            return;
        }
        let error = if !served {
            // RFC 6120 section 10.4: no stream to other servers can be made.
            StanzaError::new(
                Condition::RemoteServerNotFound,
                "This server has no federation",
            )
        } else {
            StanzaError::new(Condition::ServiceUnavailable, "")
        };
        // RFC 6121 section 8.3: presence to the server itself is nobody's business.
        if (stanza.header.kind != Kind::Presence || !served)
            && let Some(reply) = reply_error(&stanza, &error)
        {
            self.route(
                now,
                Envelope::Stanza {
                    stanza: reply,
                    settle: None,
                },
            );
        }
        if let Some(origin) = settle {
            self.route(now, Envelope::Settled(origin));
        }
    }
}
